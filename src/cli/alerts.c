#include "cli/client.h"
#include "cli/format.h"

#include <stdlib.h>

struct options {
    struct client_options client;
    bool json;
};

static const struct option_row rows[] = {
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* --- list --- */

static const struct table_column columns[] = {
    { "NAME", ALIGN_LEFT },     { "TYPE", ALIGN_LEFT },         { "BACKLOG", ALIGN_RIGHT },   { "DELIVERED", ALIGN_RIGHT },
    { "FAILED", ALIGN_RIGHT }, { "LAST SUCCESS", ALIGN_LEFT }, { "LAST ERROR", ALIGN_LEFT },
};

static void add_channel(struct table *t, const json_t *channel)
{
    char age[FORMAT_AGE_SIZE];
    const json_t *backlog = json_object_get(channel, "backlog");
    const char *error = json_is_true(json_object_get(channel, "closed")) ? "closed by the other side until a reload"
                                                                         : format_string(channel, "last_error");

    table_add(t, TONE_PLAIN, format_string(channel, "name"));
    table_add(t, TONE_PLAIN, format_string(channel, "type"));
    table_addf(t, json_integer_value(backlog) ? TONE_WARNING : TONE_PLAIN, "%" JSON_INTEGER_FORMAT, json_integer_value(backlog));
    format_add_count(t, json_object_get(channel, "delivered"));
    format_add_count(t, json_object_get(channel, "failures"));
    table_add(t, TONE_PLAIN, format_age(format_parse_time(format_string(channel, "last_success")), clock_wall(), age));
    table_add(t, TONE_BAD, error);
}

static void print_channels(const json_t *list)
{
    format_print_table(columns, sizeof columns / sizeof *columns, list, add_channel,
                       "the configuration has no alert channels");
}

static int list(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;

    (void)self;
    (void)operands;
    return client_show(&o->client, "/v1/alerts", o->json, print_channels);
}

static const struct command list_command = {
    .name = "list",
    .help = "channels, with their backlog and last error",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = list,
};

/* --- test --- */

static int tell_outcome(const char *channel, const json_t *answer)
{
    const char *detail = format_string(answer, "detail");

    if (!json_is_true(json_object_get(answer, "delivered")))
        return cli_refuse("%s did not take it: %s", channel, detail);
    printf("%s took it: %s\n", channel, detail);
    return EXIT_YES;
}

static int test(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = client_new(&o->client);
    json_t *answer = NULL;

    (void)self;
    if (!client)
        return EXIT_USAGE;
    char *path = client_path("/v1/alerts/", operands[0], "test", NULL);
    int result = client_send(client, "POST", path, NULL, &answer);
    free(path);
    client_close(client);
    if (result == EXIT_YES && o->json) {
        result = json_is_true(json_object_get(answer, "delivered")) ? EXIT_YES : EXIT_NO;
        format_print_json(json_incref(answer));
    } else if (result == EXIT_YES) {
        result = tell_outcome(operands[0], answer);
    }
    json_decref(answer);
    return result;
}

static const struct command test_command = {
    .name = "test",
    .operands = "CHANNEL",
    .help = "sends one alert.test event, once, and says what came of it",
    .options = rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = test,
};

static const struct command *const subcommands[] = { &list_command, &test_command, NULL };

const struct command alerts_command = {
    .name = "alerts",
    .help = "the channels that people are told by",
    .subcommands = subcommands,
};
