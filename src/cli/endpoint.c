#include "base/units.h"
#include "cli/client.h"
#include "cli/format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 200 };

struct options {
    struct client_options client;
    const char *wait;
    bool json;
};

static const struct option_row state_rows[] = {
    { "wait", '\0', "DURATION", offsetof(struct options, wait),
      "waits at most so long until nothing is in flight (enable: until it is healthy)", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

static const struct option_row weight_rows[] = {
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* NULL after an error message. */
static char *path_of(const char *id)
{
    const char *slash = strchr(id, '/');

    if (!slash || slash == id || !slash[1]) {
        cli_usage_error("%s: an endpoint is named POOL/ENDPOINT", id);
        return NULL;
    }
    char *pool = strndup(id, (size_t)(slash - id));
    char *path = client_path("/v1/endpoints/", pool, slash + 1, NULL);
    free(pool);
    return path;
}

static bool is_settled(const json_t *endpoint, bool enable)
{
    const char *state = format_string(endpoint, "state");

    if (enable)
        return state && strcmp(state, "healthy") == 0;
    return json_integer_value(json_object_get(endpoint, "in_flight")) == 0;
}

static int complain_unsettled(const json_t *endpoint, bool enable, const char *wait)
{
    const char *id = format_string(endpoint, "id");

    if (enable)
        return cli_refuse("%s is still %s after %s: %s", id, format_string(endpoint, "state"), wait,
                          format_reason(endpoint, format_string(endpoint, "state")));
    return cli_refuse("%s still has %" JSON_INTEGER_FORMAT " requests in flight after %s", id,
                      json_integer_value(json_object_get(endpoint, "in_flight")), wait);
}

/* *endpoint is replaced by what it is like at the end. */
static int wait_until_settled(struct client *client, const char *path, bool enable, const char *wait, json_t **endpoint)
{
    const struct timespec pause = { .tv_nsec = POLL_MS * NSEC_PER_MSEC };
    nsec_t patience = 0;

    duration_parse(wait, &patience);
    for (nsec_t until = clock_monotonic() + patience; !is_settled(*endpoint, enable);) {
        if (clock_monotonic() >= until)
            return complain_unsettled(*endpoint, enable, wait);
        nanosleep(&pause, NULL);
        json_decref(*endpoint);
        int result = client_get(client, path, endpoint);
        if (result != EXIT_YES) {
            *endpoint = NULL;
            return result;
        }
    }
    return EXIT_YES;
}

static void print_endpoint(const json_t *e)
{
    struct text out = { 0 };

    terminal_add_text(&out, slice_of(format_string(e, "id")), 0);
    text_add(&out, " is ");
    terminal_add_text(&out, slice_of(format_string(e, "state")), 0);
    text_addf(&out, ", weight %g", json_number_value(json_object_get(e, "weight")));
    if (json_is_number(json_object_get(e, "weight_override")))
        text_addf(&out, " (the configuration's is %g)", json_number_value(json_object_get(e, "weight_configured")));
    text_addf(&out, ", %" JSON_INTEGER_FORMAT " in flight\n", json_integer_value(json_object_get(e, "in_flight")));
    format_print(&out);
}

/* Takes the patch over. */
static int patch(const struct options *o, const char *id, json_t *patch, bool enable)
{
    char *path = path_of(id);
    struct client *client = path ? client_new(&o->client) : NULL;
    json_t *endpoint = NULL;
    int result = client ? client_send(client, "PATCH", path, patch, &endpoint) : EXIT_USAGE;

    if (result == EXIT_YES && o->wait)
        result = wait_until_settled(client, path, enable, o->wait, &endpoint);
    if (endpoint && o->json)
        format_print_json(json_incref(endpoint));
    else if (endpoint)
        print_endpoint(endpoint);
    json_decref(endpoint);
    json_decref(patch);
    client_close(client);
    free(path);
    return result;
}

/* "drain" → "drained" */
static const char *state_asked_for(const struct command *self)
{
    static const char *const names[][2] = { { "drain", "drained" }, { "disable", "disabled" } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(self->name, names[i][0]) == 0)
            return names[i][1];
    return "enabled";
}

static int set_state(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    const char *state = state_asked_for(self);
    nsec_t patience;

    if (o->wait && !duration_parse(o->wait, &patience))
        return cli_usage_error("--wait: %s is no duration; write 30s, 5m or 1h", o->wait);
    return patch(o, operands[0], json_pack("{s:s}", "state", state), strcmp(state, "enabled") == 0);
}

static int set_weight(const struct command *self, const void *arg, char *const *operands)
{
    char *end;
    double weight = strtod(operands[1], &end);

    (void)self;
    if (strcmp(operands[1], "default") == 0)
        return patch(arg, operands[0], json_pack("{s:n}", "weight"), false);
    if (!*operands[1] || *end || !isfinite(weight) || weight < 0)
        return cli_usage_error("%s is no weight: a number from 0 up, or default", operands[1]);
    return patch(arg, operands[0], json_pack("{s:f}", "weight", weight), false);
}

#define STATE_COMMAND(word, what, more) \
    static const struct command word##_command = { \
        .name = #word, \
        .operands = "POOL/ENDPOINT", \
        .help = what, \
        .notes = more "It survives reloads and restarts until undone.", \
        .options = state_rows, \
        .options_size = sizeof(struct options), \
        .operands_min = 1, \
        .operands_max = 1, \
        .run = set_state, \
    }
STATE_COMMAND(drain, "sends it nothing new; what is under way goes on",
              "Nothing overrides it, not even that all others are down.\n");
STATE_COMMAND(disable, "takes it out of use altogether; what is under way goes on",
              "Nothing overrides it, not even that all others are down.\n");
STATE_COMMAND(enable, "lifts a drain or disable", "Health decides again. It does not lift enabled = false of the configuration.\n");

static const struct command weight_command = {
    .name = "weight",
    .operands = "POOL/ENDPOINT W|default",
    .help = "sets its weight, or goes back to the configuration's",
    .options = weight_rows,
    .options_size = sizeof(struct options),
    .operands_min = 2,
    .operands_max = 2,
    .run = set_weight,
};

static const struct command *const subcommands[] = { &drain_command, &disable_command, &enable_command, &weight_command, NULL };

const struct command endpoint_command = {
    .name = "endpoint",
    .help = "takes endpoints out of use, and back, at run time",
    .subcommands = subcommands,
};
