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

static const struct table_column columns[] = {
    { "ENDPOINT", ALIGN_LEFT }, { "MONITOR", ALIGN_LEFT }, { "RESULT", ALIGN_LEFT },      { "STATUS", ALIGN_RIGHT },
    { "CONNECT", ALIGN_RIGHT }, { "TLS", ALIGN_RIGHT },    { "FIRST BYTE", ALIGN_RIGHT }, { "TOTAL", ALIGN_RIGHT },
    { "ADDRESS", ALIGN_LEFT },  { "WHY", ALIGN_LEFT },
};

static bool passed(const json_t *result)
{
    return json_is_true(json_object_get(result, "pass"));
}

static void add_result(struct table *t, const json_t *result)
{
    const json_t *status = json_object_get(result, "status");

    table_add(t, TONE_PLAIN, format_string(result, "endpoint"));
    table_add(t, TONE_PLAIN, format_string(result, "monitor"));
    table_add_state(t, passed(result) ? "pass" : "fail");
    format_add_count(t, json_integer_value(status) ? status : NULL);
    format_add_milliseconds(t, json_object_get(result, "connect_ms"));
    format_add_milliseconds(t, json_object_get(result, "tls_ms"));
    format_add_milliseconds(t, json_object_get(result, "first_byte_ms"));
    format_add_milliseconds(t, json_object_get(result, "total_ms"));
    table_add(t, TONE_PLAIN, format_string(result, "address"));
    table_add(t, TONE_PLAIN, format_string(result, "detail"));
}

static void print_results(const json_t *results)
{
    format_print_table(columns, sizeof columns / sizeof *columns, results, add_result,
                       "the pool has no monitors: traffic alone judges its endpoints");
}

static int judge(const json_t *results)
{
    size_t i;
    json_t *result;

    json_array_foreach (results, i, result)
        if (!passed(result))
            return EXIT_NO;
    return EXIT_YES;
}

static int test(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    char *pool = strdup(operands[0]), *slash = pool ? strchr(pool, '/') : NULL;
    struct client *client = client_new(&o->client);
    json_t *results = NULL, *body = NULL;

    (void)self;
    if (slash) {
        *slash = '\0';
        body = json_pack("{s:s}", "endpoint", slash + 1);
    }
    char *path = client_path("/v1/monitors/", pool, "test", NULL);
    int result = client ? client_send(client, "POST", path, body, &results) : EXIT_USAGE;
    client_close(client);
    free(path);
    free(pool);
    json_decref(body);
    if (result == EXIT_YES) {
        result = judge(results);
        if (o->json)
            format_print_json(json_incref(results));
        else
            print_results(results);
    }
    json_decref(results);
    return result;
}

static const struct command test_command = {
    .name = "test",
    .operands = "POOL[/ENDPOINT]",
    .help = "runs the pool's monitors once, now, and prints what each step took and answered",
    .notes = "Exit status 1 if one of them fails. What traffic gets is not changed by it.",
    .options = rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = test,
};

static const struct command *const subcommands[] = { &test_command, NULL };

const struct command monitor_command = {
    .name = "monitor",
    .help = "how endpoints are probed",
    .subcommands = subcommands,
};
