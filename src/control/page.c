#include "control/page.h"

#include <math.h>
#include <string.h>

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>penstock</title><style>\n"
    ":root{color-scheme:light dark;--good:#17803d;--warning:#a15c00;--bad:#c01c28;--line:#8884}\n"
    "@media(prefers-color-scheme:dark){:root{--good:#57c97b;--warning:#e5a50a;--bad:#ff7b72}}\n"
    "body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:80rem;padding:0 1rem}\n"
    "h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .3rem}p{margin:.2rem 0}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}\n"
    "th{font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums}td.why{min-width:16rem}.faint{opacity:.65}\n"
    ".good{color:var(--good)}.warning{color:var(--warning)}.bad{color:var(--bad)}.state{font-weight:600}\n"
    "</style></head><body>\n";

static void add_escaped(struct text *out, const char *s)
{
    for (; s && *s; s++) {
        switch (*s) {
        case '<':
            text_add(out, "&lt;");
            break;
        case '>':
            text_add(out, "&gt;");
            break;
        case '&':
            text_add(out, "&amp;");
            break;
        case '"':
            text_add(out, "&quot;");
            break;
        default:
            text_add_bytes(out, s, 1);
        }
    }
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static const char *class_of_state(const char *state)
{
    static const char *const good[] = { "healthy", NULL };
    static const char *const bad[] = { "down", "critical", "fallback", "inactive", NULL };
    static const char *const faint[] = { "disabled", NULL };
    static const struct {
        const char *class;
        const char *const *states;
    } classes[] = { { "good", good }, { "bad", bad }, { "faint", faint } };

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        for (const char *const *s = classes[i].states; *s; s++)
            if (strcmp(*s, state) == 0)
                return classes[i].class;
    return "warning";
}

/* --- cells --- */

static void cell(struct text *out, const char *class, const char *s)
{
    text_addf(out, "<td class=\"%s\">", class);
    add_escaped(out, *s ? s : "–");
    text_add(out, "</td>");
}

static void state_cell(struct text *out, const char *state)
{
    text_addf(out, "<td class=\"state %s\">", class_of_state(state));
    add_escaped(out, state);
    text_add(out, "</td>");
}

static void number_cell(struct text *out, const json_t *number, const char *format)
{
    text_add(out, "<td class=\"n\">");
    if (json_is_number(number))
        text_addf(out, format, json_number_value(number)); /* a format of this file */
    else
        text_add(out, "–");
    text_add(out, "</td>");
}

static void list_cell(struct text *out, const json_t *strings)
{
    size_t i;
    json_t *s;

    text_add(out, "<td>");
    json_array_foreach (strings, i, s) {
        text_add(out, i ? ", " : "");
        add_escaped(out, json_string_value(s));
    }
    text_add(out, "</td>");
}

static void begin_table(struct text *out, const char *title, const char *header_cells)
{
    text_addf(out, "<h2>%s</h2><div class=\"wide\"><table><tr>%s</tr>\n", title, header_cells);
}

static void end_table(struct text *out)
{
    text_add(out, "</table></div>\n");
}

/* --- sections --- */

static void write_summary(const json_t *status, struct text *out)
{
    const json_t *traffic = json_object_get(status, "traffic");
    double uptime = json_number_value(json_object_get(status, "uptime_s"));

    text_add(out, "<h1>penstock <span class=\"faint\">");
    add_escaped(out, text_of(status, "version"));
    text_addf(out, "</span></h1><p>Up %.0f d %.0f h %.0f min · configuration %" JSON_INTEGER_FORMAT " (", floor(uptime / 86400),
              floor(fmod(uptime, 86400) / 3600), floor(fmod(uptime, 3600) / 60),
              json_integer_value(json_object_get(status, "generation")));
    add_escaped(out, text_of(status, "config"));
    text_addf(out,
              ") · %" JSON_INTEGER_FORMAT " connections · %" JSON_INTEGER_FORMAT " requests in flight · %" JSON_INTEGER_FORMAT
              " served · ",
              json_integer_value(json_object_get(traffic, "connections")),
              json_integer_value(json_object_get(traffic, "in_flight")), json_integer_value(json_object_get(traffic, "requests")));
    add_escaped(out, text_of(status, "time"));
    text_add(out, "</p>\n");
    if (*text_of(status, "last_rejection")) {
        text_add(out, "<p class=\"bad\">The last configuration was refused: ");
        add_escaped(out, text_of(status, "last_rejection"));
        text_add(out, "</p>\n");
    }
}

/* Those of maps and rules. */
static void write_lists(const json_t *lb, struct text *out)
{
    size_t i;
    json_t *list;

    json_array_foreach (json_object_get(lb, "lists"), i, list) {
        if (i == 0)
            continue;
        text_add(out, "<tr>");
        cell(out, "", text_of(list, "for"));
        state_cell(out, text_of(list, "state"));
        cell(out, "", text_of(list, "pool"));
        cell(out, "", "");
        cell(out, "faint", text_of(list, "since"));
        cell(out, "why", text_of(list, "reason"));
        text_add(out, "</tr>\n");
    }
}

static void write_load_balancers(const json_t *list, struct text *out)
{
    size_t i;
    json_t *lb;

    begin_table(out, "Load balancers", "<th>Hostnames<th>State<th>Pool<th>Steering<th>Since<th>Why");
    json_array_foreach (list, i, lb) {
        text_add(out, "<tr>");
        list_cell(out, json_object_get(lb, "hostnames"));
        state_cell(out, text_of(lb, "state"));
        cell(out, "", text_of(lb, "pool"));
        cell(out, "", text_of(lb, "steering"));
        cell(out, "faint", text_of(lb, "since"));
        cell(out, "why", text_of(lb, "reason"));
        text_add(out, "</tr>\n");
        write_lists(lb, out);
    }
    end_table(out);
}

static void write_endpoint(const json_t *e, struct text *out)
{
    text_add(out, "<tr>");
    cell(out, "", text_of(e, "name"));
    state_cell(out, text_of(e, "state"));
    cell(out, "", text_of(e, "address"));
    number_cell(out, json_object_get(e, "weight"), "%g");
    number_cell(out, json_object_get(e, "latency_ms"), "%.1f");
    number_cell(out, json_object_get(e, "in_flight"), "%.0f");
    number_cell(out, json_object_get(e, "requests"), "%.0f");
    number_cell(out, json_object_get(e, "failures"), "%.0f");
    cell(out, "why", text_of(e, "reason"));
    text_add(out, "</tr>\n");
}

static void write_pool(const json_t *pool, struct text *out)
{
    size_t i;
    json_t *e;

    text_add(out, "<h2>Pool ");
    add_escaped(out, text_of(pool, "name"));
    text_addf(out, " <span class=\"state %s\">", class_of_state(text_of(pool, "state")));
    add_escaped(out, text_of(pool, "state"));
    text_add(out, "</span></h2><p>");
    add_escaped(out, text_of(pool, "reason"));
    text_add(out,
             "</p><div class=\"wide\"><table><tr><th>Endpoint<th>State<th>Address<th class=\"n\">Weight<th class=\"n\">Latency ms"
             "<th class=\"n\">In flight<th class=\"n\">Requests<th class=\"n\">Failures<th>Why</tr>\n");
    json_array_foreach (json_object_get(pool, "endpoints"), i, e)
        write_endpoint(e, out);
    end_table(out);
}

static void write_tunnels(const json_t *list, struct text *out)
{
    size_t i;
    json_t *t;

    if (!json_array_size(list))
        return;
    begin_table(out, "Tunnels", "<th>Name<th>Status<th>Id<th>Since<th>Why");
    json_array_foreach (list, i, t) {
        text_add(out, "<tr>");
        cell(out, "", text_of(t, "name"));
        state_cell(out, text_of(t, "status"));
        cell(out, "", text_of(t, "id"));
        cell(out, "faint", text_of(t, "since"));
        cell(out, "why", text_of(t, "reason"));
        text_add(out, "</tr>\n");
    }
    end_table(out);
}

static void connector_row(const json_t *tunnel, const json_t *connector, struct text *out)
{
    const json_t *connection;
    json_int_t in_flight = 0;
    size_t i;

    json_array_foreach (json_object_get(connector, "connections"), i, connection)
        in_flight += json_integer_value(json_object_get(connection, "in_flight"));
    json_t *connections = json_integer((json_int_t)i), *sum = json_integer(in_flight);
    text_add(out, "<tr>");
    cell(out, "", text_of(connector, "id"));
    cell(out, "", text_of(tunnel, "name"));
    state_cell(out, json_is_true(json_object_get(connector, "drained")) ? "drained" : "connected");
    number_cell(out, connections, "%.0f");
    number_cell(out, sum, "%.0f");
    number_cell(out, json_object_get(connector, "weight"), "%g");
    cell(out, "", text_of(connector, "version"));
    cell(out, "", text_of(connector, "origin_ip"));
    cell(out, "faint", text_of(connector, "run_at"));
    text_add(out, "</tr>\n");
    json_decref(connections);
    json_decref(sum);
}

static void write_connectors(const json_t *tunnels, struct text *out)
{
    size_t i, k, n = 0;
    json_t *t, *c;

    json_array_foreach (tunnels, i, t)
        n += json_array_size(json_object_get(t, "connectors"));
    if (!n)
        return;
    begin_table(out, "Connectors",
                "<th>Id<th>Tunnel<th>State<th class=\"n\">Connections<th class=\"n\">In flight<th "
                "class=\"n\">Weight<th>Version<th>Origin IP"
                "<th>Connected since");
    json_array_foreach (tunnels, i, t)
        json_array_foreach (json_object_get(t, "connectors"), k, c)
            connector_row(t, c, out);
    end_table(out);
}

static void write_channels(const json_t *list, struct text *out)
{
    size_t i;
    json_t *c;

    if (!json_array_size(list))
        return;
    begin_table(out, "Alert channels",
                "<th>Name<th>Type<th class=\"n\">Backlog<th class=\"n\">Delivered<th>Last success<th>Last error");
    json_array_foreach (list, i, c) {
        text_add(out, "<tr>");
        cell(out, "", text_of(c, "name"));
        cell(out, "", text_of(c, "type"));
        number_cell(out, json_object_get(c, "backlog"), "%.0f");
        number_cell(out, json_object_get(c, "delivered"), "%.0f");
        cell(out, "faint", text_of(c, "last_success"));
        cell(out, "why", text_of(c, "last_error"));
        text_add(out, "</tr>\n");
    }
    end_table(out);
}

void page_write(const json_t *status, struct text *out)
{
    size_t i;
    json_t *pool;

    text_add(out, head);
    write_summary(status, out);
    write_load_balancers(json_object_get(status, "load_balancers"), out);
    json_array_foreach (json_object_get(status, "pools"), i, pool)
        write_pool(pool, out);
    write_tunnels(json_object_get(status, "tunnels"), out);
    write_connectors(json_object_get(status, "tunnels"), out);
    write_channels(json_object_get(status, "alerts"), out);
    text_add(out, "<p class=\"faint\">The same for programs: /v1/status, /v1/events, /metrics.</p></body></html>\n");
}
