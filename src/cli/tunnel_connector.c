#include "base/units.h"
#include "cli/client.h"
#include "cli/format.h"
#include "cli/tunnel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { POLL_MS = 200 };

struct options {
    struct client_options client;
    const char *connector, *wait;
    bool json;
};

#define CONNECTOR_ROW { "connector", '\0', "ID", offsetof(struct options, connector), "only this one of its connectors", false }

static const struct option_row waiting_rows[] = {
    CONNECTOR_ROW,
    { "wait", '\0', "DURATION", offsetof(struct options, wait), "waits at most so long until nothing is in flight", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

static const struct option_row undrain_rows[] = {
    CONNECTOR_ROW,
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

static const struct option_row weight_rows[] = {
    { "connector", '\0', "ID", offsetof(struct options, connector), "which of its connectors; all of them otherwise", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* --- requests --- */

static char *path_of(const struct options *o, const char *tunnel)
{
    return o->connector ? client_path("/v1/tunnels/", tunnel, "connectors", o->connector, NULL)
                        : client_path("/v1/tunnels/", tunnel, NULL);
}

/* Takes the patch over. */
static int patch(struct client *client, const struct options *o, const char *tunnel, json_t *patch, json_t **answer)
{
    char *path = path_of(o, tunnel);
    int result = client_send(client, "PATCH", path, patch, answer);

    json_decref(patch);
    free(path);
    return result;
}

static int drop(struct client *client, const struct options *o, const char *tunnel, json_t **answer)
{
    char *path = client_path("/v1/tunnels/", tunnel, "connections", NULL);
    char *query = o->connector ? client_path("?connector=", o->connector, NULL) : NULL;
    struct text whole = { 0 };

    text_addf(&whole, "%s%s", path, query ? query : "");
    json_decref(*answer);
    *answer = NULL;
    int result = client_send(client, "DELETE", whole.p, NULL, answer);
    text_clear(&whole);
    free(query);
    free(path);
    return result;
}

/* --- waiting --- */

static bool is_meant(const struct options *o, const json_t *connector)
{
    const char *id = format_string(connector, "id");
    return !o->connector || (id && strcasecmp(id, o->connector) == 0);
}

static json_int_t count_in_flight(const struct options *o, const json_t *tunnel)
{
    const json_t *connector;
    json_int_t n = 0;
    size_t i;

    json_array_foreach (json_object_get(tunnel, "connectors"), i, connector)
        n += is_meant(o, connector) ? format_in_flight(connector) : 0;
    return n;
}

/* *tunnel is replaced by what it is like at the end. EXIT_NO, silently: something is still in flight. */
static int wait_until_quiet(struct client *client, const struct options *o, json_t **tunnel)
{
    const struct timespec pause = { .tv_nsec = POLL_MS * NSEC_PER_MSEC };
    nsec_t patience = 0;
    char *path = client_path("/v1/tunnels/", format_string(*tunnel, "id"), NULL);
    int result = EXIT_YES;

    duration_parse(o->wait, &patience);
    for (nsec_t until = clock_monotonic() + patience; result == EXIT_YES && count_in_flight(o, *tunnel) > 0;) {
        if (clock_monotonic() >= until) {
            result = EXIT_NO;
            break;
        }
        nanosleep(&pause, NULL);
        json_decref(*tunnel);
        *tunnel = NULL;
        result = client_get(client, path, tunnel);
    }
    free(path);
    return result;
}

/* --- words --- */

static void print_connectors(const struct options *o, const json_t *tunnel)
{
    const json_t *connector;
    size_t i, n = 0;

    json_array_foreach (json_object_get(tunnel, "connectors"), i, connector) {
        if (!is_meant(o, connector))
            continue;
        n++;
        printf("connector %s of %s: %s, weight %g, %zu connections\n", format_string(connector, "id"),
               format_string(tunnel, "name"), json_is_true(json_object_get(connector, "drained")) ? "drained" : "in use",
               json_number_value(json_object_get(connector, "weight")), json_array_size(json_object_get(connector, "connections")));
    }
    if (!n)
        printf("tunnel %s: %s; no connector is connected\n", format_string(tunnel, "name"),
               json_is_true(json_object_get(tunnel, "drained")) ? "drained" : "in use");
}

/* Takes the tunnel over. */
static void print_outcome(const struct options *o, json_t *tunnel)
{
    if (tunnel && o->json)
        format_print_json(json_incref(tunnel));
    else if (tunnel)
        print_connectors(o, tunnel);
    json_decref(tunnel);
}

/* False after an error message. */
static bool wait_is_sound(const struct options *o)
{
    nsec_t patience;
    if (!o->wait || duration_parse(o->wait, &patience))
        return true;
    cli_usage_error("--wait: %s is no duration; write 30s, 5m or 1h", o->wait);
    return false;
}

/* --- commands --- */

static int drain(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = wait_is_sound(o) ? client_new(&o->client) : NULL;
    json_t *tunnel = NULL;
    bool drained = self == &tunnel_drain_command;
    int result =
        client ? patch(client, o, operands[0], json_pack("{s:s}", "state", drained ? "drained" : "enabled"), &tunnel) : EXIT_USAGE;

    if (result == EXIT_YES && o->wait)
        result = wait_until_quiet(client, o, &tunnel);
    if (result == EXIT_NO && tunnel)
        cli_refuse("%" JSON_INTEGER_FORMAT " requests are still in flight after %s", count_in_flight(o, tunnel), o->wait);
    print_outcome(o, tunnel);
    client_close(client);
    return result;
}

static int evict(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = wait_is_sound(o) ? client_new(&o->client) : NULL;
    json_t *tunnel = NULL;
    json_int_t cut = 0;

    (void)self;
    int result = client ? patch(client, o, operands[0], json_pack("{s:s}", "state", "drained"), &tunnel) : EXIT_USAGE;
    if (result == EXIT_YES && o->wait && wait_until_quiet(client, o, &tunnel) == EXIT_USAGE)
        result = EXIT_USAGE;
    if (result == EXIT_YES) {
        cut = count_in_flight(o, tunnel);
        result = drop(client, o, operands[0], &tunnel);
    }
    print_outcome(o, tunnel);
    client_close(client);
    if (result == EXIT_YES && cut)
        return cli_refuse("%" JSON_INTEGER_FORMAT " requests were in flight when the connections were dropped", cut);
    return result;
}

static int weight(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    bool lifted = strcmp(operands[1], "default") == 0;
    char *end;
    double w = strtod(operands[1], &end);

    (void)self;
    if (!lifted && (!*operands[1] || *end || !isfinite(w) || w < 0))
        return cli_usage_error("%s is no weight: a number from 0 up, or default", operands[1]);
    struct client *client = client_new(&o->client);
    json_t *tunnel = NULL;
    int result =
        client ? patch(client, o, operands[0], lifted ? json_pack("{s:n}", "weight") : json_pack("{s:f}", "weight", w), &tunnel)
               : EXIT_USAGE;
    print_outcome(o, tunnel);
    client_close(client);
    return result;
}

#define REMEMBERED "It is remembered by the connector's id, over reconnections, reloads and restarts, until undone."

const struct command tunnel_drain_command = {
    .name = "drain",
    .operands = "UUID|NAME",
    .help = "sends a tunnel's connectors, or one of them, nothing new",
    .notes = "What is under way goes on, and they stay connected.\n" REMEMBERED,
    .options = waiting_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = drain,
};

const struct command tunnel_undrain_command = {
    .name = "undrain",
    .operands = "UUID|NAME",
    .help = "uses them again",
    .options = undrain_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = drain,
};

const struct command tunnel_evict_command = {
    .name = "evict",
    .operands = "UUID|NAME",
    .help = "drains them and drops their connections",
    .notes =
        "With --wait once nothing is in flight, or when the time is over. A connector that comes back stays drained.\n" REMEMBERED,
    .options = waiting_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = evict,
};

const struct command tunnel_weight_command = {
    .name = "weight",
    .operands = "UUID|NAME W|default",
    .help = "sets a connector's share of its tunnel's requests, 1 by default",
    .notes = REMEMBERED,
    .options = weight_rows,
    .options_size = sizeof(struct options),
    .operands_min = 2,
    .operands_max = 2,
    .run = weight,
};
