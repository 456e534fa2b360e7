#include "cli/client.h"
#include "cli/format.h"

struct options {
    struct client_options client;
    bool json;
};

static const struct option_row rows[] = {
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

static void print_messages(const json_t *messages)
{
    struct text text = { 0 };
    size_t i;
    json_t *m;

    json_array_foreach (messages, i, m) {
        bool warning = tone_of_state(format_string(m, "severity")) == TONE_WARNING;
        json_int_t line = json_integer_value(json_object_get(m, "line"));
        terminal_add_text(&text, slice_of(format_string(m, "file")), 0);
        if (line)
            text_addf(&text, ":%" JSON_INTEGER_FORMAT, line);
        text_add(&text, warning ? ": warning: " : ": ");
        terminal_add_text(&text, slice_of(format_string(m, "text")), 0);
        text_add(&text, "\n");
    }
    if (text.n)
        format_print(&text);
}

static int tell(int result, const json_t *answer)
{
    const json_t *messages = json_object_get(answer, "messages");

    print_messages(messages);
    if (result == EXIT_NO)
        return cli_refuse("%s", format_string(answer, "detail"));
    printf("configuration %" JSON_INTEGER_FORMAT " is in force\n", json_integer_value(json_object_get(answer, "generation")));
    return EXIT_YES;
}

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = client_new(&o->client);
    json_t *answer = NULL;

    (void)self;
    (void)operands;
    if (!client)
        return EXIT_USAGE;
    int result = client_try(client, "POST", "/v1/reload", NULL, &answer);
    client_close(client);
    if (result == EXIT_USAGE)
        return result;
    if (o->json) {
        format_print_json(answer);
        return result;
    }
    result = tell(result, answer);
    json_decref(answer);
    return result;
}

const struct command reload_command = {
    .name = "reload",
    .help = "loads the configuration anew, waits, and prints the outcome",
    .notes = "A refused configuration leaves the running one in place: exit status 1, with the errors.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
