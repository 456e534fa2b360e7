#include "cli/client.h"
#include "cli/format.h"
#include "cli/tunnel.h"

#include <stdlib.h>
#include <string.h>

struct options {
    struct client_options client;
    bool wide, json;
};

static const struct option_row rows[] = {
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

static const struct option_row info_rows[] = {
    { "wide", 'w', NULL, offsetof(struct options, wide), "each connection as well: its state, delay, last probe", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* --- list --- */

static const struct table_column list_columns[] = {
    { "ID", ALIGN_LEFT },          { "NAME", ALIGN_LEFT },        { "STATUS", ALIGN_LEFT },    { "SINCE", ALIGN_RIGHT },
    { "CONNECTORS", ALIGN_RIGHT }, { "CONNECTIONS", ALIGN_LEFT }, { "ENDPOINTS", ALIGN_LEFT }, { "WHY", ALIGN_LEFT },
};

static void add_tunnel(struct table *t, const json_t *tunnel)
{
    char age[FORMAT_AGE_SIZE];
    char *endpoints = format_list(json_object_get(tunnel, "endpoints")), *locations = format_tunnel_locations(tunnel);
    size_t connectors = json_array_size(json_object_get(tunnel, "connectors"));

    table_add(t, TONE_PLAIN, format_string(tunnel, "id"));
    table_add(t, TONE_PLAIN, format_string(tunnel, "name"));
    table_add_state(t, format_string(tunnel, "status"));
    table_add(t, TONE_PLAIN, format_age(format_parse_time(format_string(tunnel, "since")), clock_wall(), age));
    if (connectors)
        table_addf(t, TONE_PLAIN, "%zu", connectors);
    else
        table_add(t, TONE_PLAIN, NULL);
    table_add(t, TONE_PLAIN, *locations ? locations : NULL);
    table_add(t, TONE_PLAIN, *endpoints ? endpoints : NULL);
    table_add(t, TONE_PLAIN, format_reason(tunnel, format_string(tunnel, "status")));
    free(locations);
    free(endpoints);
}

static void print_tunnels(const json_t *list)
{
    format_print_table(list_columns, sizeof list_columns / sizeof *list_columns, list, add_tunnel,
                       "there is no tunnel: no endpoint of the configuration names one, and our edge has none (penstock tunnel create NAME)");
}

static int list(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;

    (void)self;
    (void)operands;
    return client_show(&o->client, "/v1/tunnels", o->json, print_tunnels);
}

static const struct command list_command = {
    .name = "list",
    .help = "the tunnels of our edge, and those that endpoints lead through",
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
    char *locations = format_locations(json_object_get(connector, "connections"));

    table_add(t, TONE_PLAIN, format_string(connector, "id"));
    table_add(t, TONE_PLAIN, format_string(connector, "run_at"));
    table_add(t, TONE_PLAIN, format_string(connector, "arch"));
    table_add(t, TONE_PLAIN, format_string(connector, "version"));
    table_add(t, TONE_PLAIN, format_string(connector, "origin_ip"));
    table_add(t, TONE_PLAIN, locations);
    free(locations);
}

static bool is_ours(const json_t *tunnel)
{
    return json_is_true(json_object_get(tunnel, "edge"));
}

static void write_connectors(const json_t *tunnel, const struct terminal *terminal, struct text *out)
{
    const json_t *connectors = json_object_get(tunnel, "connectors");
    struct table table;
    size_t i;
    json_t *connector;

    text_add(out, "\n");
    if (!json_array_size(connectors)) {
        text_add(out, is_ours(tunnel) ? "This tunnel has no active connectors.\n"
                                      : "Its connectors are known to the edge that they dial, not here.\n");
        return;
    }
    table_init(&table, connector_columns, sizeof connector_columns / sizeof *connector_columns);
    json_array_foreach (connectors, i, connector)
        add_connector(&table, connector);
    table_write(&table, terminal, false, out);
    table_clear(&table);
}

static const struct table_column connection_columns[] = {
    { "CONNECTOR ID", ALIGN_LEFT }, { "INDEX", ALIGN_RIGHT }, { "CONNECTION ID", ALIGN_LEFT }, { "EDGE", ALIGN_LEFT },
    { "OPENED", ALIGN_LEFT },       { "STATE", ALIGN_LEFT },  { "IN FLIGHT", ALIGN_RIGHT },    { "RTT", ALIGN_RIGHT },
    { "WEIGHT", ALIGN_RIGHT },      { "PROBED", ALIGN_RIGHT }, { "LAST PROBE", ALIGN_LEFT },
};

static void add_probe(struct table *t, const json_t *probe)
{
    char age[FORMAT_AGE_SIZE];
    bool pass = json_is_true(json_object_get(probe, "pass"));
    const char *detail = format_string(probe, "detail");

    table_add(t, TONE_PLAIN, format_age(format_parse_time(format_string(probe, "at")), clock_wall(), age));
    if (!json_is_object(probe))
        table_add(t, TONE_PLAIN, NULL);
    else
        table_addf(t, pass ? TONE_GOOD : TONE_BAD, "%s%s%s", pass ? "pass" : "fail", detail && *detail ? ": " : "",
                   detail ? detail : "");
}

static void add_connection(struct table *t, const json_t *connector, const json_t *connection)
{
    bool drained = json_is_true(json_object_get(connector, "drained"));

    table_add(t, TONE_PLAIN, format_string(connector, "id"));
    format_add_count(t, json_object_get(connection, "index"));
    table_add(t, TONE_PLAIN, format_string(connection, "id"));
    table_add(t, TONE_PLAIN, format_string(connection, "location"));
    table_add(t, TONE_PLAIN, format_string(connection, "opened_at"));
    table_add_state(t, drained ? "drained" : format_string(connection, "status"));
    format_add_count(t, json_object_get(connection, "in_flight"));
    format_add_milliseconds(t, json_object_get(connection, "rtt_ms"));
    table_addf(t, TONE_PLAIN, "%g", json_number_value(json_object_get(connector, "weight")));
    add_probe(t, json_object_get(connection, "last_probe"));
}

static void write_connections(const json_t *connectors, const struct terminal *terminal, struct text *out)
{
    struct table table;
    size_t i, k;
    json_t *connector, *connection;

    table_init(&table, connection_columns, sizeof connection_columns / sizeof *connection_columns);
    json_array_foreach (connectors, i, connector)
        json_array_foreach (json_object_get(connector, "connections"), k, connection)
            add_connection(&table, connector, connection);
    text_add(out, "\n");
    table_write(&table, terminal, false, out);
    table_clear(&table);
}

static void write_line(struct text *out, const char *title, const char *value)
{
    text_addf(out, "%-11s", title);
    terminal_add_text(out, slice_of(value && *value ? value : "-"), 0);
    text_add(out, "\n");
}

/* One line for each tunnel whose rules ours differ from: an endpoint of the same pool. */
static void write_drift(const json_t *tunnel, struct text *out)
{
    size_t i;
    json_t *drift;

    json_array_foreach (json_object_get(tunnel, "drift"), i, drift) {
        struct text line = { 0 };
        text_addf(&line, "as %s, its rules differ from those of %s: %s", format_string(drift, "subject"), format_string(drift, "compared_with"),
                  format_string(drift, "difference"));
        write_line(out, "DRIFT:", line.p);
        text_clear(&line);
    }
}

static unsigned count_followers(const json_t *connectors)
{
    size_t i;
    json_t *connector;
    unsigned n = 0;

    json_array_foreach (connectors, i, connector) {
        const char *state = format_string(json_object_get(connector, "configuration"), "state");
        n += state && strcmp(state, "applied") == 0;
    }
    return n;
}

static void write_refusals(const json_t *connectors, struct text *out)
{
    size_t i;
    json_t *connector;

    json_array_foreach (connectors, i, connector) {
        const json_t *configuration = json_object_get(connector, "configuration");
        const char *state = format_string(configuration, "state"), *answer = format_string(configuration, "answer");
        struct text line = { 0 };
        if (!state || (strcmp(state, "refused") != 0 && strcmp(state, "unanswered") != 0))
            continue;
        text_addf(&line, "by connector %s: %s", format_string(connector, "id"), answer && *answer ? answer : "no answer");
        write_line(out, "REFUSED:", line.p);
        text_clear(&line);
    }
}

/* Whose rules its connectors follow. */
static void write_rules(const json_t *tunnel, struct text *out)
{
    const json_t *connectors = json_object_get(tunnel, "connectors");
    const char *source = format_string(tunnel, "config_source");
    size_t n = json_array_size(json_object_get(json_object_get(tunnel, "config"), "ingress"));
    struct text line = { 0 };

    if (source && strcmp(source, "pushed") == 0)
        text_addf(&line, "of the edge, version %lld: %u of %zu connectors follow them",
                  (long long)json_integer_value(json_object_get(tunnel, "config_version")), count_followers(connectors), json_array_size(connectors));
    else if (n)
        text_addf(&line, "of its connectors' own: %zu", n);
    write_line(out, "RULES:", line.p);
    write_refusals(connectors, out);
    text_clear(&line);
}

static void print_tunnel(const json_t *tunnel, bool wide)
{
    struct terminal terminal;
    struct text out = { 0 };
    char *endpoints = format_list(json_object_get(tunnel, "endpoints"));
    const char *status = format_string(tunnel, "status");
    enum tone tone = tone_of_state(status);

    terminal_look(&terminal, stdout);
    write_line(&out, "NAME:", format_string(tunnel, "name"));
    write_line(&out, "ID:", format_string(tunnel, "id"));
    write_line(&out, "CREATED:", format_string(tunnel, "created_at"));
    text_addf(&out, "%-11s%s%s%s\n", "STATUS:", terminal_tone_begin(&terminal, tone), status, terminal_tone_end(&terminal, tone));
    write_line(&out, "SINCE:", format_string(tunnel, "since"));
    write_line(&out, "WHY:", format_reason(tunnel, format_string(tunnel, "status")));
    write_line(&out, "ENDPOINTS:", endpoints);
    if (is_ours(tunnel))
        write_rules(tunnel, &out);
    write_drift(tunnel, &out);
    write_connectors(tunnel, &terminal, &out);
    if (wide)
        write_connections(json_object_get(tunnel, "connectors"), &terminal, &out);
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
        print_tunnel(tunnel, o->wide);
    json_decref(tunnel);
    return result;
}

static const struct command info_command = {
    .name = "info",
    .operands = "UUID|NAME",
    .help = "one tunnel, with its connectors and their connections",
    .options = info_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = info,
};

static const struct command *const subcommands[] = {
    &tunnel_create_command, &list_command,           &info_command,           &tunnel_token_command,
    &tunnel_run_command,    &tunnel_drain_command,   &tunnel_undrain_command, &tunnel_evict_command,
    &tunnel_weight_command, &tunnel_cleanup_command, &tunnel_delete_command,  NULL,
};

const struct command tunnel_command = {
    .name = "tunnel",
    .help = "tunnels of our edge, and Cloudflare's as seen through the endpoints that name them",
    .subcommands = subcommands,
};
