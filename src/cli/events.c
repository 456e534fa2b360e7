#include "base/mem.h"
#include "cli/client.h"
#include "cli/format.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PAGE = 1000,          /* events per answer of the API */
    SHOWN_BY_DEFAULT = 50,
    SHOWN_BEFORE_FOLLOWING = 10,
    RECONNECT_PATIENCE_S = 60,
};

struct options {
    struct client_options client;
    const char *since, *type;
    bool follow, json;
};

static const struct option_row rows[] = {
    { "follow", 'f', NULL, offsetof(struct options, follow), "goes on with what happens, until interrupted", false },
    { "since", '\0', "TIME", offsetof(struct options, since), "from then on: 1h (ago), or 2026-11-24T16:00:00Z", false },
    { "type", '\0', "PATTERN", offsetof(struct options, type), "only these: tunnel.*, endpoint.unhealthy …", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* --- one event --- */

/* What it happened to: the most particular thing that it names. */
static const char *subject_key(const json_t *data)
{
    static const char *const keys[] = { "endpoint", "load_balancer", "pool", "listener", "channel", "file" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_string(json_object_get(data, keys[i])))
            return keys[i];
    return NULL;
}

/* Told already by the subject, the type, or the words around. */
static bool is_told(const char *key, const char *subject)
{
    static const char *const keys[] = { "status", "from", "to", "reason", "since", "pool", "diagnosis" };

    if (subject && strcmp(key, subject) == 0)
        return true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static void add_member(struct text *out, const char *key, const json_t *value)
{
    if (json_is_string(value))
        text_addf(out, " %s=%s", key, json_string_value(value));
    else if (json_is_number(value))
        text_addf(out, " %s=%g", key, json_number_value(value));
    else if (json_is_boolean(value))
        text_addf(out, " %s=%s", key, json_is_true(value) ? "yes" : "no");
}

/* "europe/ams healthy → down: connection refused" */
static char *describe_data(json_t *data)
{
    struct text text = { 0 };
    const char *key, *subject = subject_key(data), *reason = format_reason(data, format_string(data, "to"));
    const char *tunnel = format_string(json_object_get(data, "tunnel"), "name");
    json_t *value;

    if (subject)
        text_add(&text, format_string(data, subject));
    else if (tunnel)
        text_add(&text, tunnel);
    if (format_string(data, "from") && format_string(data, "to"))
        text_addf(&text, " %s → %s", format_string(data, "from"), format_string(data, "to"));
    json_object_foreach (data, key, value)
        if (!is_told(key, subject))
            add_member(&text, key, value);
    if (reason && *reason)
        text_addf(&text, "%s%s", text.n ? ": " : "", reason);
    return text_take(&text);
}

static void add_padded(struct text *out, const struct terminal *terminal, enum tone tone, const char *word, int width)
{
    text_add(out, terminal_tone_begin(terminal, tone));
    int used = (int)terminal_add_text(out, slice_of(word), 0);
    text_add(out, terminal_tone_end(terminal, tone));
    text_addf(out, "%*s  ", used < width ? width - used : 0, "");
}

struct printer {
    struct terminal terminal;
    bool json; /* one text a line */
    char *last_id;
};

static void print_event(struct printer *p, const json_t *event)
{
    const char *timestamp = format_string(event, "timestamp"), *severity = format_string(event, "severity"),
               *type = format_string(event, "type");

    free(p->last_id);
    p->last_id = mem_copy_text(format_string(event, "id"));
    if (p->json) {
        json_dumpf(event, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        return;
    }
    struct text out = { 0 };
    char *data = describe_data(json_object_get(event, "data"));
    add_padded(&out, &p->terminal, TONE_FAINT, timestamp ? timestamp : "-", 0);
    add_padded(&out, &p->terminal, tone_of_state(severity ? severity : ""), severity ? severity : "-", 8);
    add_padded(&out, &p->terminal, TONE_PLAIN, type ? type : "-", 22);
    terminal_add_text(&out, slice_of(data), 0);
    text_add(&out, "\n");
    free(data);
    format_print(&out);
}

/* --- the history --- */

/* "/v1/events?type=…&since=…&after=…&limit=…" of those that are given. */
static char *events_path(const struct options *o, const char *since, const char *after, unsigned limit)
{
    const struct {
        const char *name, *value;
    } parameters[] = { { "type=", o->type }, { "since=", since }, { "after=", after } };
    struct text path = { 0 };

    text_addf(&path, "/v1/events?");
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        if (!parameters[i].value)
            continue;
        char *parameter = client_path(parameters[i].name, parameters[i].value, NULL);
        text_addf(&path, "%s&", parameter);
        free(parameter);
    }
    if (limit)
        text_addf(&path, "limit=%u", limit);
    return text_take(&path);
}

/* Page after page where `since` is given, else the last `limit`. *all is the caller's on EXIT_YES. */
static int read_history(struct client *client, const struct options *o, unsigned limit, json_t **all)
{
    size_t n;

    *all = json_array();
    do {
        json_t *page = NULL;
        const char *after = format_string(json_array_get(*all, json_array_size(*all) - 1), "id");
        char *path = events_path(o, o->since, after, o->since ? PAGE : limit);
        int result = client_get(client, path, &page);
        free(path);
        if (result != EXIT_YES) {
            json_decref(*all);
            *all = NULL;
            return result;
        }
        n = json_array_size(page);
        json_array_extend(*all, page);
        json_decref(page);
    } while (o->since && n == PAGE);
    return EXIT_YES;
}

static void print_events(struct printer *p, const json_t *events)
{
    size_t i;
    json_t *event;

    json_array_foreach (events, i, event)
        print_event(p, event);
    fflush(stdout);
}

static int print_history(struct client *client, const struct options *o)
{
    struct printer printer = { 0 };
    json_t *events;
    int result = read_history(client, o, o->json ? PAGE : SHOWN_BY_DEFAULT, &events);

    if (result != EXIT_YES)
        return result;
    if (o->json) {
        format_print_json(events);
        return EXIT_YES;
    }
    terminal_look(&printer.terminal, stdout);
    print_events(&printer, events);
    if (!json_array_size(events))
        fputs("no such events are kept\n", stderr);
    json_decref(events);
    free(printer.last_id);
    return EXIT_YES;
}

/* --- following --- */

static bool event_came(void *arg, const char *id, const json_t *event)
{
    (void)id;
    print_event(arg, event);
    fflush(stdout);
    return !ferror(stdout);
}

static int follow(struct client *client, const struct options *o)
{
    struct printer printer = { .json = o->json };
    json_t *events;
    enum client_stream_end end;
    int result = read_history(client, o, SHOWN_BEFORE_FOLLOWING, &events);

    if (result != EXIT_YES)
        return result;
    terminal_look(&printer.terminal, stdout);
    print_events(&printer, events);
    json_decref(events);
    char *path = events_path(o, NULL, NULL, 0);
    while ((end = client_stream(client, path, printer.last_id, event_came, &printer)) == STREAM_ENDED) {
        fputs("penstock: the stream of events ended; trying again\n", stderr);
        if (!client_wait(client, RECONNECT_PATIENCE_S)) {
            client_get(client, "/v1/trace", NULL); /* says why not */
            break;
        }
    }
    free(path);
    free(printer.last_id);
    return end == STREAM_STOPPED ? EXIT_YES : EXIT_USAGE;
}

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = client_new(&o->client);

    (void)self;
    (void)operands;
    if (!client)
        return EXIT_USAGE;
    int result = o->follow ? follow(client, o) : print_history(client, o);
    client_close(client);
    return result;
}

const struct command events_command = {
    .name = "events",
    .help = "what happened: tunnels, endpoints, pools, load balancers, configurations",
    .notes = "Without --since, the last 50. Times are UTC. With --follow, --json prints one event a line.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
