#include "cli/client.h"
#include "cli/format.h"

#include <stdlib.h>
#include <string.h>

struct options {
    struct client_options client;
    bool json;
    const char *host, *address, *path, *cookie;
};

static const struct option_row rows[] = {
    { "host", '\0', "HOST", offsetof(struct options, host), "the host that the request is for", true },
    { "client", '\0', "IP", offsetof(struct options, address), "the client's address (default: none is known)", false },
    { "path", '\0', "PATH", offsetof(struct options, path), "what it asks for (default: /)", false },
    { "cookie", '\0', "COOKIE", offsetof(struct options, cookie), "its cookies, as in a Cookie field: \"a=1; b=2\"", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* --- for people --- */

static const struct table_column columns[] = {
    { " ", ALIGN_LEFT }, { "CANDIDATE", ALIGN_LEFT }, { "WEIGHT", ALIGN_RIGHT }, { "IN FLIGHT", ALIGN_RIGHT }, { "LATENCY", ALIGN_RIGHT },
    { "SCORE", ALIGN_RIGHT }, { "WHY NOT", ALIGN_LEFT },
};

static void add_candidate(struct table *t, const json_t *c)
{
    const json_t *score = json_object_get(c, "score");
    bool chosen = json_is_true(json_object_get(c, "chosen"));

    table_add(t, TONE_GOOD, chosen ? ">" : " ");
    table_add(t, TONE_PLAIN, format_string(c, "name"));
    table_addf(t, TONE_PLAIN, "%.4g", json_number_value(json_object_get(c, "weight")));
    format_add_count(t, json_object_get(c, "in_flight"));
    format_add_milliseconds(t, json_object_get(c, "latency_ms"));
    if (json_is_number(score))
        table_addf(t, TONE_PLAIN, "%.4g", json_number_value(score));
    else
        table_add(t, TONE_PLAIN, NULL);
    table_add(t, TONE_PLAIN, format_string(c, "ruled_out") ? format_string(c, "ruled_out") : " ");
}

static void print_step(size_t number, const json_t *step)
{
    struct text text = { 0 };
    const json_t *candidates = json_object_get(step, "candidates");
    const char *scores = format_string(step, "scores");

    text_addf(&text, "\n%zu. ", number);
    terminal_add_text(&text, slice_of(format_string(step, "text")), 0);
    text_add(&text, "\n");
    if (scores && json_array_size(candidates)) {
        text_add(&text, "   Scores: ");
        terminal_add_text(&text, slice_of(scores), 0);
        text_add(&text, "\n");
    }
    format_print(&text);
    if (json_array_size(candidates))
        format_print_table(columns, sizeof columns / sizeof *columns, candidates, add_candidate, "");
}

static void print_explanation(const char *host, const json_t *answer)
{
    const json_t *steps = json_object_get(answer, "steps"), *step;
    struct text text = { 0 };
    size_t i;

    terminal_add_text(&text, slice_of(host), 0);
    text_add(&text, " -> ");
    terminal_add_text(&text, slice_of(format_string(answer, "endpoint") ? format_string(answer, "endpoint") : "nobody"), 0);
    text_add(&text, "\n");
    terminal_add_text(&text, slice_of(format_string(answer, "reason")), 0);
    text_add(&text, "\n");
    format_print(&text);
    json_array_foreach (steps, i, step)
        print_step(i + 1, step);
}

/* --- the call --- */

static void add_parameter(struct text *path, const char *name, const char *value)
{
    if (!value)
        return;
    char *segment = client_path("", value, NULL); /* percent-encoded */
    text_addf(path, "%c%s=%s", strchr(path->p, '?') ? '&' : '?', name, segment);
    free(segment);
}

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct text path = { 0 };
    json_t *answer = NULL;

    (void)self;
    (void)operands;
    struct client *client = client_new(&o->client);
    if (!client)
        return EXIT_USAGE;
    text_add(&path, "/v1/explain");
    add_parameter(&path, "host", o->host);
    add_parameter(&path, "client", o->address);
    add_parameter(&path, "path", o->path);
    add_parameter(&path, "cookie", o->cookie);
    int result = client_get(client, path.p, &answer);
    client_close(client);
    text_clear(&path);
    if (result == EXIT_YES) {
        result = format_string(answer, "endpoint") ? EXIT_YES : EXIT_NO;
        if (o->json)
            format_print_json(json_incref(answer));
        else
            print_explanation(o->host, answer);
    }
    json_decref(answer);
    return result;
}

const struct command explain_command = {
    .name = "explain",
    .help = "which endpoint a request would get, and why",
    .notes = "The daemon leads the request through what directs and chooses for others; nobody is asked, nothing is counted. Exit status 1 if there is no "
             "endpoint for it.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
