#include "cli/client.h"
#include "cli/format.h"

#include <stdlib.h>
#include <string.h>

struct options {
    struct client_options client;
    bool json;
};

static const struct option_row rows[] = {
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* How many connections go to each location: "2xams01, 1xfra02", as `cloudflared tunnel info` shows them. */
static char *locations_of(const json_t *connections)
{
    json_t *counts = json_object(), *connection, *count;
    struct text text = { 0 };
    const char *location;
    size_t i;

    json_array_foreach (connections, i, connection) {
        location = format_string(connection, "location");
        if (location)
            json_object_set_new(counts, location, json_integer(json_integer_value(json_object_get(counts, location)) + 1));
    }
    json_object_foreach (counts, location, count)
        text_addf(&text, "%s%" JSON_INTEGER_FORMAT "x%s", text.n ? ", " : "", json_integer_value(count), location);
    json_decref(counts);
    return text_take(&text);
}

/* --- list --- */

static const struct table_column list_columns[] = {
    { "ID", ALIGN_LEFT },    { "NAME", ALIGN_LEFT },         { "STATUS", ALIGN_LEFT },
    { "SINCE", ALIGN_RIGHT }, { "CONNECTORS", ALIGN_RIGHT }, { "ENDPOINTS", ALIGN_LEFT }, { "WHY", ALIGN_LEFT },
};

static void add_tunnel(struct table *t, const json_t *tunnel)
{
    char age[FORMAT_AGE_SIZE];
    char *endpoints = format_list(json_object_get(tunnel, "endpoints"));
    size_t connectors = json_array_size(json_object_get(tunnel, "connectors"));

    table_add(t, TONE_PLAIN, format_string(tunnel, "id"));
    table_add(t, TONE_PLAIN, format_string(tunnel, "name"));
    table_add_state(t, format_string(tunnel, "status"));
    table_add(t, TONE_PLAIN, format_age(format_parse_time(format_string(tunnel, "since")), clock_wall(), age));
    if (connectors)
        table_addf(t, TONE_PLAIN, "%zu", connectors);
    else
        table_add(t, TONE_PLAIN, NULL);
    table_add(t, TONE_PLAIN, endpoints);
    table_add(t, TONE_PLAIN, format_reason(tunnel, format_string(tunnel, "status")));
    free(endpoints);
}

static void print_tunnels(const json_t *list)
{
    struct table table;
    struct terminal terminal;
    struct text out = { 0 };
    size_t i;
    json_t *tunnel;

    if (!json_array_size(list)) {
        puts("no endpoint of the configuration names a tunnel");
        return;
    }
    table_init(&table, list_columns, sizeof list_columns / sizeof *list_columns);
    json_array_foreach (list, i, tunnel)
        add_tunnel(&table, tunnel);
    terminal_look(&terminal, stdout);
    table_write(&table, &terminal, false, &out);
    table_clear(&table);
    format_print(&out);
}

static int list(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = client_new(&o->client);
    json_t *tunnels = NULL;

    (void)self;
    (void)operands;
    int result = client ? client_get(client, "/v1/tunnels", &tunnels) : EXIT_USAGE;
    client_close(client);
    if (result == EXIT_YES && o->json)
        format_print_json(json_incref(tunnels));
    else if (result == EXIT_YES)
        print_tunnels(tunnels);
    json_decref(tunnels);
    return result;
}

static const struct command list_command = {
    .name = "list",
    .help = "the tunnels that endpoints lead through",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = list,
};

/* --- info --- */

static const struct table_column connector_columns[] = {
    { "CONNECTOR ID", ALIGN_LEFT }, { "CREATED", ALIGN_LEFT }, { "ARCHITECTURE", ALIGN_LEFT },
    { "VERSION", ALIGN_LEFT },      { "ORIGIN IP", ALIGN_LEFT }, { "EDGE", ALIGN_LEFT },
};

static void add_connector(struct table *t, const json_t *connector)
{
    char *locations = locations_of(json_object_get(connector, "connections"));

    table_add(t, TONE_PLAIN, format_string(connector, "id"));
    table_add(t, TONE_PLAIN, format_string(connector, "run_at"));
    table_add(t, TONE_PLAIN, format_string(connector, "arch"));
    table_add(t, TONE_PLAIN, format_string(connector, "version"));
    table_add(t, TONE_PLAIN, format_string(connector, "origin_ip"));
    table_add(t, TONE_PLAIN, locations);
    free(locations);
}

static void write_connectors(const json_t *connectors, const struct terminal *terminal, struct text *out)
{
    struct table table;
    size_t i;
    json_t *connector;

    text_add(out, "\n");
    if (!json_array_size(connectors)) {
        text_add(out, "Its connectors are known to the edge that they dial, not here.\n");
        return;
    }
    table_init(&table, connector_columns, sizeof connector_columns / sizeof *connector_columns);
    json_array_foreach (connectors, i, connector)
        add_connector(&table, connector);
    table_write(&table, terminal, false, out);
    table_clear(&table);
}

static void write_line(struct text *out, const char *title, const char *value)
{
    text_addf(out, "%-11s", title);
    terminal_add_text(out, slice_of(value && *value ? value : "-"), 0);
    text_add(out, "\n");
}

static void print_tunnel(const json_t *tunnel)
{
    struct terminal terminal;
    struct text out = { 0 };
    char *endpoints = format_list(json_object_get(tunnel, "endpoints"));
    const char *status = format_string(tunnel, "status");
    enum tone tone = tone_of_state(status);

    terminal_look(&terminal, stdout);
    write_line(&out, "NAME:", format_string(tunnel, "name"));
    write_line(&out, "ID:", format_string(tunnel, "id"));
    text_addf(&out, "%-11s%s%s%s\n", "STATUS:", terminal_tone_begin(&terminal, tone), status, terminal_tone_end(&terminal, tone));
    write_line(&out, "SINCE:", format_string(tunnel, "since"));
    write_line(&out, "WHY:", format_reason(tunnel, format_string(tunnel, "status")));
    write_line(&out, "ENDPOINTS:", endpoints);
    write_connectors(json_object_get(tunnel, "connectors"), &terminal, &out);
    format_print(&out);
    free(endpoints);
}

static int info(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = client_new(&o->client);
    json_t *tunnel = NULL;

    (void)self;
    if (!client)
        return EXIT_USAGE;
    char *path = client_path("/v1/tunnels/", operands[0], NULL);
    int result = client_get(client, path, &tunnel);
    free(path);
    client_close(client);
    if (result == EXIT_YES && o->json)
        format_print_json(json_incref(tunnel));
    else if (result == EXIT_YES)
        print_tunnel(tunnel);
    json_decref(tunnel);
    return result;
}

static const struct command info_command = {
    .name = "info",
    .operands = "UUID|NAME",
    .help = "one tunnel, with its connectors and their connections",
    .options = rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = info,
};

static const struct command *const subcommands[] = { &list_command, &info_command, NULL };

const struct command tunnel_command = {
    .name = "tunnel",
    .help = "Cloudflare tunnels, as seen through the endpoints that name them",
    .subcommands = subcommands,
};
