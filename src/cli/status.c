#include "cli/client.h"
#include "cli/format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WATCH_PAUSE_MS = 1000, RATE_PAUSE_MS = 500 };

struct options {
    struct client_options client;
    bool watch, json;
};

static const struct option_row rows[] = {
    { "watch", 'w', NULL, offsetof(struct options, watch), "redraws every second, until interrupted", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* Two looks at the daemon: what a counter grew by between them is its rate. */
struct look {
    const json_t *now, *before;
    nsec_t time; /* the daemon's */
    double elapsed_s;
    const struct terminal *terminal;
    bool cut;
};

static json_int_t integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* Per second; NaN without a former look, or when the daemon was restarted between. */
static double rate(const struct look *l, json_int_t now, json_int_t before)
{
    return l->elapsed_s > 0 && now >= before ? (double)(now - before) / l->elapsed_s : NAN;
}

static void add_rate(struct table *t, double per_second)
{
    if (isnan(per_second))
        table_add(t, TONE_PLAIN, NULL);
    else
        table_addf(t, TONE_PLAIN, per_second > 0 && per_second < 10 ? "%.1f" : "%.0f", per_second);
}

static void add_age(struct table *t, const struct look *l, const json_t *object)
{
    char age[FORMAT_AGE_SIZE];
    table_add(t, TONE_PLAIN, format_age(format_parse_time(format_string(object, "since")), l->time, age));
}

static void write_table(struct table *t, const struct look *l, struct text *out)
{
    text_add(out, "\n");
    table_write(t, l->terminal, l->cut, out);
    table_clear(t);
}

/* --- load balancers --- */

/* Those of maps and rules, where something is to be said of them. */
static void add_lists(struct table *t, const struct look *l, const json_t *lb)
{
    size_t i;
    json_t *list;

    json_array_foreach (json_object_get(lb, "lists"), i, list) {
        json_int_t others = integer(list, "others");
        if (i == 0 || strcmp(format_string(list, "state"), "healthy") == 0)
            continue;
        if (others)
            table_addf(t, TONE_PLAIN, "  %s, and %" JSON_INTEGER_FORMAT " more", format_string(list, "for"), others);
        else
            table_addf(t, TONE_PLAIN, "  %s", format_string(list, "for"));
        table_add_state(t, format_string(list, "state"));
        table_add(t, TONE_PLAIN, format_string(list, "pool"));
        table_add(t, TONE_PLAIN, " ");
        add_age(t, l, list);
        table_add(t, TONE_PLAIN, format_reason(list, format_string(list, "state")));
    }
}

static void write_load_balancers(const struct look *l, struct text *out)
{
    static const struct table_column columns[] = {
        { "LOAD BALANCER", ALIGN_LEFT }, { "STATE", ALIGN_LEFT },  { "POOL", ALIGN_LEFT },
        { "STEERING", ALIGN_LEFT },      { "SINCE", ALIGN_RIGHT }, { "WHY", ALIGN_LEFT },
    };
    struct table t;
    size_t i;
    json_t *lb;

    table_init(&t, columns, sizeof columns / sizeof *columns);
    json_array_foreach (json_object_get(l->now, "load_balancers"), i, lb) {
        char *hostnames = format_list(json_object_get(lb, "hostnames"));
        table_add(&t, TONE_PLAIN, hostnames);
        table_add_state(&t, format_string(lb, "state"));
        table_add(&t, TONE_PLAIN, format_string(lb, "pool"));
        table_add(&t, TONE_PLAIN, format_string(lb, "steering"));
        add_age(&t, l, lb);
        table_add(&t, TONE_PLAIN, format_reason(lb, format_string(lb, "state")));
        free(hostnames);
        add_lists(&t, l, lb);
    }
    write_table(&t, l, out);
}

/* --- pools and endpoints --- */

enum { POOL_COLUMNS_BETWEEN = 4 }; /* that only endpoints fill in: weight to requests */

static void add_weight(struct table *t, const json_t *e)
{
    bool overridden = json_is_number(json_object_get(e, "weight_override"));
    table_addf(t, overridden ? TONE_WARNING : TONE_PLAIN, "%g%s", json_number_value(json_object_get(e, "weight")),
               overridden ? "*" : "");
}

static void add_endpoint(struct table *t, const struct look *l, const json_t *e, const json_t *before)
{
    table_addf(t, TONE_PLAIN, "  %s", format_string(e, "name"));
    table_add_state(t, format_string(e, "state"));
    add_weight(t, e);
    table_addf(t, TONE_PLAIN, "%" JSON_INTEGER_FORMAT, integer(e, "in_flight"));
    format_add_milliseconds(t, json_object_get(e, "latency_ms"));
    add_rate(t, before ? rate(l, integer(e, "requests"), integer(before, "requests")) : NAN);
    add_age(t, l, e);
    table_add(t, TONE_PLAIN, format_reason(e, format_string(e, "state")));
}

/* The endpoint of that id in the former look. */
static const json_t *find_before(const struct look *l, const char *id)
{
    size_t i, k;
    json_t *pool, *e;

    json_array_foreach (json_object_get(l->before, "pools"), i, pool)
        json_array_foreach (json_object_get(pool, "endpoints"), k, e)
            if (strcmp(format_string(e, "id"), id) == 0)
                return e;
    return NULL;
}

static void add_pool(struct table *t, const struct look *l, const json_t *pool)
{
    size_t i;
    json_t *e;

    table_add(t, TONE_HEADING, format_string(pool, "name"));
    table_add_state(t, format_string(pool, "state"));
    for (size_t n = 0; n < POOL_COLUMNS_BETWEEN; n++)
        table_addf(t, TONE_PLAIN, "%s", "");
    add_age(t, l, pool);
    table_add(t, TONE_PLAIN, format_reason(pool, format_string(pool, "state")));
    json_array_foreach (json_object_get(pool, "endpoints"), i, e)
        add_endpoint(t, l, e, find_before(l, format_string(e, "id")));
}

static void write_pools(const struct look *l, struct text *out)
{
    static const struct table_column columns[] = {
        { "POOL / ENDPOINT", ALIGN_LEFT }, { "STATE", ALIGN_LEFT }, { "WEIGHT", ALIGN_RIGHT }, { "IN FLIGHT", ALIGN_RIGHT },
        { "LATENCY", ALIGN_RIGHT },        { "REQ/S", ALIGN_RIGHT }, { "SINCE", ALIGN_RIGHT },  { "WHY", ALIGN_LEFT },
    };
    struct table t;
    size_t i;
    json_t *pool;

    table_init(&t, columns, sizeof columns / sizeof *columns);
    json_array_foreach (json_object_get(l->now, "pools"), i, pool)
        add_pool(&t, l, pool);
    write_table(&t, l, out);
}

/* --- tunnels --- */

static void write_tunnels(const struct look *l, struct text *out)
{
    static const struct table_column columns[] = {
        { "TUNNEL", ALIGN_LEFT },       { "STATUS", ALIGN_LEFT },      { "ID", ALIGN_LEFT },  { "SINCE", ALIGN_RIGHT },
        { "CONNECTORS", ALIGN_RIGHT }, { "CONNECTIONS", ALIGN_LEFT }, { "WHY", ALIGN_LEFT },
    };
    const json_t *list = json_object_get(l->now, "tunnels");
    struct table t;
    size_t i;
    json_t *tunnel;

    if (!json_array_size(list))
        return;
    table_init(&t, columns, sizeof columns / sizeof *columns);
    json_array_foreach (list, i, tunnel) {
        size_t connectors = json_array_size(json_object_get(tunnel, "connectors"));
        char *locations = format_tunnel_locations(tunnel);
        table_add(&t, TONE_PLAIN, format_string(tunnel, "name"));
        table_add_state(&t, format_string(tunnel, "status"));
        table_add(&t, TONE_PLAIN, format_string(tunnel, "id"));
        add_age(&t, l, tunnel);
        if (connectors)
            table_addf(&t, TONE_PLAIN, "%zu", connectors);
        else
            table_add(&t, TONE_PLAIN, NULL);
        table_add(&t, TONE_PLAIN, *locations ? locations : NULL);
        table_add(&t, TONE_PLAIN, format_reason(tunnel, format_string(tunnel, "status")));
        free(locations);
    }
    write_table(&t, l, out);
}

static void add_connector(struct table *t, const json_t *tunnel, const json_t *connector)
{
    char *locations = format_locations(json_object_get(connector, "connections"));

    table_add(t, TONE_PLAIN, format_string(connector, "id"));
    table_add(t, TONE_PLAIN, format_string(tunnel, "name"));
    table_add_state(t, json_is_true(json_object_get(connector, "drained")) ? "drained" : "connected");
    table_add(t, TONE_PLAIN, locations);
    table_addf(t, TONE_PLAIN, "%g", json_number_value(json_object_get(connector, "weight")));
    table_addf(t, TONE_PLAIN, "%" JSON_INTEGER_FORMAT, format_in_flight(connector));
    table_add(t, TONE_PLAIN, format_string(connector, "version"));
    table_add(t, TONE_PLAIN, format_string(connector, "origin_ip"));
    free(locations);
}

static void write_connectors(const struct look *l, struct text *out)
{
    static const struct table_column columns[] = {
        { "CONNECTOR", ALIGN_LEFT }, { "TUNNEL", ALIGN_LEFT },     { "STATE", ALIGN_LEFT },   { "CONNECTIONS", ALIGN_LEFT },
        { "WEIGHT", ALIGN_RIGHT },   { "IN FLIGHT", ALIGN_RIGHT }, { "VERSION", ALIGN_LEFT }, { "ORIGIN IP", ALIGN_LEFT },
    };
    struct table t;
    size_t i, k, n = 0;
    json_t *tunnel, *connector;

    table_init(&t, columns, sizeof columns / sizeof *columns);
    json_array_foreach (json_object_get(l->now, "tunnels"), i, tunnel)
        json_array_foreach (json_object_get(tunnel, "connectors"), k, connector) {
            add_connector(&t, tunnel, connector);
            n++;
        }
    if (n)
        write_table(&t, l, out);
    else
        table_clear(&t);
}

/* --- the whole --- */

static void write_warning(const struct look *l, struct text *out, const char *what, const char *detail)
{
    text_add(out, terminal_tone_begin(l->terminal, TONE_BAD));
    text_add(out, what);
    terminal_add_text(out, slice_of(detail), 0);
    text_add(out, terminal_tone_end(l->terminal, TONE_BAD));
    text_add(out, "\n");
}

static void write_summary(const struct look *l, struct text *out)
{
    char age[FORMAT_AGE_SIZE];
    const json_t *traffic = json_object_get(l->now, "traffic"), *store = json_object_get(l->now, "store");
    double per_second = rate(l, integer(traffic, "requests"), integer(json_object_get(l->before, "traffic"), "requests"));
    const char *rejection = format_string(l->now, "last_rejection");

    text_addf(out,
              "penstock %s, up %s, configuration %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
              " connections, %" JSON_INTEGER_FORMAT " in flight",
              format_string(l->now, "version"), format_age(format_parse_time(format_string(l->now, "started")), l->time, age),
              integer(l->now, "generation"), integer(traffic, "connections"), integer(traffic, "in_flight"));
    if (!isnan(per_second))
        text_addf(out, ", %.*f requests/s", per_second > 0 && per_second < 10 ? 1 : 0, per_second);
    text_add(out, "\n");
    if (json_is_true(json_object_get(l->now, "stopping")))
        write_warning(l, out, "it is stopping", "");
    if (rejection)
        write_warning(l, out, "the last configuration offered was refused: ", rejection);
    if (json_is_true(json_object_get(store, "failing")))
        write_warning(l, out, "the store can't be written: ", format_string(store, "error"));
}

static void write_status(const struct look *l, struct text *out)
{
    write_summary(l, out);
    write_load_balancers(l, out);
    write_pools(l, out);
    write_tunnels(l, out);
    write_connectors(l, out);
}

static double seconds_between(const json_t *before, const json_t *now)
{
    return json_number_value(json_object_get(now, "uptime_s")) - json_number_value(json_object_get(before, "uptime_s"));
}

static void look_twice(struct look *l, const json_t *before, const json_t *now, const struct terminal *terminal, bool cut)
{
    *l = (struct look){ .now = now, .before = before, .terminal = terminal, .cut = cut };
    l->time = format_parse_time(format_string(now, "time"));
    l->elapsed_s = before ? seconds_between(before, now) : 0;
}

static void pause_ms(long ms)
{
    const struct timespec pause = { ms / 1000, ms % 1000 * NSEC_PER_MSEC };
    nanosleep(&pause, NULL);
}

static int print_once(struct client *client)
{
    json_t *before = NULL, *now = NULL;
    struct terminal terminal;
    struct text out = { 0 };
    struct look look;

    terminal_look(&terminal, stdout);
    int result = client_get(client, "/v1/status", &before);
    if (result == EXIT_YES) {
        pause_ms(RATE_PAUSE_MS);
        result = client_get(client, "/v1/status", &now);
    }
    if (result == EXIT_YES) {
        look_twice(&look, before, now, &terminal, false);
        write_status(&look, &out);
        format_print(&out);
    }
    json_decref(before);
    json_decref(now);
    return result;
}

/* Over the former picture, line by line, so that it doesn't flicker; what has no room below is left out. */
static void redraw(const struct terminal *terminal, struct text *picture)
{
    unsigned lines = 1;

    fputs("\033[H", stdout);
    for (const char *line = picture->p, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        if (terminal->height && lines >= terminal->height)
            break;
        fwrite(line, 1, (size_t)(end - line), stdout);
        fputs("\033[K\n", stdout);
    }
    fputs("\033[J", stdout);
    fflush(stdout);
    text_clear(picture);
}

static int watch(struct client *client)
{
    json_t *before = NULL, *now;
    int result;

    while ((result = client_get(client, "/v1/status", &now)) == EXIT_YES) {
        struct terminal terminal;
        struct text picture = { 0 };
        struct look look;

        terminal_look(&terminal, stdout); /* it may have been resized */
        look_twice(&look, before, now, &terminal, true);
        write_status(&look, &picture);
        if (terminal.width) {
            redraw(&terminal, &picture);
        } else {
            text_add(&picture, "\n");
            format_print(&picture);
            fflush(stdout);
        }
        json_decref(before);
        before = now;
        pause_ms(WATCH_PAUSE_MS);
    }
    json_decref(before);
    return result;
}

static int print_json(struct client *client)
{
    json_t *status = NULL;
    int result = client_get(client, "/v1/status", &status);

    if (result == EXIT_YES)
        format_print_json(status);
    return result;
}

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;

    (void)self;
    (void)operands;
    if (o->watch && o->json)
        return cli_usage_error("--watch and --json exclude each other: programs ask again themselves");
    struct client *client = client_new(&o->client);
    if (!client)
        return EXIT_USAGE;
    int result = o->json ? print_json(client) : o->watch ? watch(client) : print_once(client);
    client_close(client);
    return result;
}

const struct command status_command = {
    .name = "status",
    .help = "load balancers, pools, endpoints, tunnels: state, why, latency, requests",
    .notes = "A weight with * was set at run time; WHY says what else was.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
