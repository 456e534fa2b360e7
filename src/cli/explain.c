#include "base/mem.h"
#include "cli/client.h"
#include "cli/format.h"

#include <stdlib.h>
#include <string.h>

struct options {
    struct client_options client;
    bool json;
    const char *host, *address, *method, *path, *cookie, *listener, *request, *limit;
    struct option_values headers;
    bool last, failed;
};

/* What is asked for, by options or a URL. */
struct target {
    char *host, *path; /* NULL: not given */
};

static const struct option_row rows[] = {
    { "host", '\0', "HOST", offsetof(struct options, host), "the host that the request is for, if it is not said before", false },
    { "client", '\0', "IP", offsetof(struct options, address), "the client's address (default: none is known)", false },
    { "method", '\0', "METHOD", offsetof(struct options, method), "its method (default: GET)", false },
    { "path", '\0', "PATH", offsetof(struct options, path), "what it asks for (default: /)", false },
    { "cookie", '\0', "COOKIE", offsetof(struct options, cookie), "its cookies, as in a Cookie field: \"a=1; b=2\"", false },
    { "header", '\0', "\"NAME: VALUE\"", offsetof(struct options, headers), "a further field; may be given again", OPTION_MANY },
    { "listener", '\0', "ADDRESS", offsetof(struct options, listener), "where it came in, as the configuration has it (default: nowhere)", false },
    { "request", '\0', "ID", offsetof(struct options, request),
      "instead: a request that was served, by its id in the access log or in X-Request-Id", false },
    { "last", '\0', NULL, offsetof(struct options, last), "instead: which requests are remembered, the newest first", false },
    { "failed", '\0', NULL, offsetof(struct options, failed), "of those only the ones that failed, or failed at some endpoint", false },
    { "limit", '\0', "N", offsetof(struct options, limit), "so many of them (default: 20)", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* --- for people: lines that break between words, and below them are indented alike --- */

enum { INDENT = 3, WRAP_MIN = 24, WRAP_MAX = 110 };

static unsigned line_width(void)
{
    struct terminal terminal;
    terminal_look(&terminal, stdout);
    return !terminal.width ? 0 : terminal.width < WRAP_MAX ? terminal.width : WRAP_MAX;
}

/* The first line of `rest`, in at most so many columns (0: all of it); moves `rest` behind it. */
static struct slice next_line(struct slice *rest, unsigned columns)
{
    size_t end = rest->n, at_space = 0;
    for (size_t i = 0, column = 0; columns && i < rest->n; i++) {
        if (rest->p[i] == ' ')
            at_space = i;
        column += ((unsigned char)rest->p[i] & 0xc0) != 0x80; /* one per character of UTF-8 */
        if (column > columns && at_space) {
            end = at_space;
            break;
        }
    }
    struct slice line = { rest->p, end };
    size_t skipped = end < rest->n ? end + 1 : end;
    rest->p += skipped;
    rest->n -= skipped;
    return line;
}

/* `first` stands before the first line, as many spaces before the others. */
static void add_paragraph(struct text *out, const char *first, const char *words)
{
    unsigned width = line_width(), indent = (unsigned)strlen(first);
    struct slice rest = slice_of(words);
    for (bool begun = false; rest.n || !begun; begun = true) {
        text_addf(out, "%*s", (int)indent, begun ? "" : first);
        terminal_add_text(out, next_line(&rest, width > indent + WRAP_MIN ? width - indent : 0), 0);
        text_add(out, "\n");
    }
}

/* --- candidates --- */

enum column { MARK, CANDIDATE, WEIGHT, IN_FLIGHT, CONNECTIONS, LATENCY, SCORE, NOTE, N_COLUMNS };
static const struct table_column all_columns[] = {
    [MARK] = { " ", ALIGN_LEFT },           [CANDIDATE] = { "CANDIDATE", ALIGN_LEFT },      [WEIGHT] = { "WEIGHT", ALIGN_RIGHT },
    [IN_FLIGHT] = { "IN FLIGHT", ALIGN_RIGHT }, [CONNECTIONS] = { "CONNECTIONS", ALIGN_RIGHT }, [LATENCY] = { "LATENCY", ALIGN_RIGHT },
    [SCORE] = { "SCORE", ALIGN_RIGHT },     [NOTE] = { "NOTE", ALIGN_LEFT },
};

static const json_t *figure(const json_t *candidate, enum column column)
{
    static const char *const keys[] = { [WEIGHT] = "weight", [IN_FLIGHT] = "in_flight", [CONNECTIONS] = "connections", [LATENCY] = "latency_ms", [SCORE] = "score" };
    return json_object_get(candidate, keys[column]);
}

static double factor(const json_t *candidate, const char *name, double without)
{
    const json_t *value = json_object_get(json_object_get(candidate, "weight_factors"), name);
    return json_is_number(value) ? json_number_value(value) : without;
}

/* What keeps it out, what its weight is made of where that is more than the configuration's, and by what its place is known where that matters. */
static char *note_of(const json_t *c)
{
    struct text note = { 0 };
    const char *ruled_out = format_string(c, "ruled_out"), *place = format_string(c, "place");
    double configured = factor(c, "configured", 1), given = factor(c, "override", -1), slow_start = factor(c, "slow_start", 1);
    double connections = factor(c, "connections", 1);

    if (ruled_out)
        text_addf(&note, "%s", ruled_out);
    if (given >= 0 || slow_start < 1 || connections != 1) {
        text_addf(&note, "%sweight: %.4g", note.n ? "; " : "", given >= 0 ? given : configured);
        if (given >= 0)
            text_addf(&note, " by the operator, not %.4g", configured);
        if (slow_start < 1)
            text_addf(&note, " × %.2f slow start", slow_start);
        if (connections != 1)
            text_addf(&note, " × %.4g for its connections", connections);
    }
    if (place)
        text_addf(&note, "%sit is %s", note.n ? "; " : "", place);
    return note.n ? text_take(&note) : NULL;
}

struct shape {
    struct table_column columns[N_COLUMNS];
    enum column kinds[N_COLUMNS];
    size_t n;
    unsigned note_width; /* 0: no limit */
};

static bool has(const json_t *candidates, enum column column)
{
    size_t i;
    const json_t *c;
    json_array_foreach (candidates, i, c) {
        char *note = column == NOTE ? note_of(c) : NULL;
        bool found = note || (column < NOTE && json_is_number(figure(c, column)));
        free(note);
        if (found)
            return true;
    }
    return false;
}

/* Columns without a figure are left out. */
static struct shape shape_of(const json_t *candidates)
{
    struct shape s = { .n = 0 };
    unsigned taken = INDENT, name = (unsigned)strlen(all_columns[CANDIDATE].title), width = line_width();
    size_t i;
    const json_t *c;
    json_array_foreach (candidates, i, c) {
        const char *its = format_string(c, "name");
        unsigned columns = its ? terminal_columns(slice_of(its)) : 1;
        name = columns > name ? columns : name;
    }
    for (enum column k = MARK; k < N_COLUMNS; k++) {
        if (k > CANDIDATE && !has(candidates, k))
            continue;
        s.columns[s.n] = all_columns[k];
        s.kinds[s.n++] = k;
        taken += k == CANDIDATE ? name + 2 : k > CANDIDATE && k < NOTE ? 11 : 0;
    }
    s.note_width = !width ? 0 : width > taken + WRAP_MIN ? width - taken : WRAP_MIN;
    return s;
}

static void add_figure(struct table *t, const json_t *c, enum column column)
{
    const json_t *value = figure(c, column);
    switch (column) {
    case LATENCY: format_add_milliseconds(t, value); break;
    case IN_FLIGHT:
    case CONNECTIONS: format_add_count(t, value); break;
    default:
        if (json_is_number(value))
            table_addf(t, TONE_PLAIN, "%.4g", json_number_value(value));
        else
            table_add(t, TONE_PLAIN, NULL);
    }
}

static void add_note(struct table *t, struct slice line)
{
    struct text copy = { 0 };
    text_add_bytes(&copy, line.p, line.n);
    table_add(t, TONE_PLAIN, line.n ? copy.p : " ");
    text_clear(&copy);
}

static void add_candidate(struct table *t, const struct shape *s, const json_t *c)
{
    bool chosen = json_is_true(json_object_get(c, "chosen"));
    char *note = note_of(c);
    struct slice rest = note ? slice_of(note) : (struct slice){ "", 0 };

    for (bool begun = false; rest.n || !begun; begun = true)
        for (size_t i = 0; i < s->n; i++)
            if (s->kinds[i] == NOTE)
                add_note(t, next_line(&rest, s->note_width));
            else if (begun)
                table_add(t, TONE_PLAIN, " ");
            else if (s->kinds[i] == MARK)
                table_add(t, TONE_GOOD, chosen ? ">" : " ");
            else if (s->kinds[i] == CANDIDATE)
                table_add(t, chosen ? TONE_GOOD : TONE_PLAIN, format_string(c, "name"));
            else
                add_figure(t, c, s->kinds[i]);
    free(note);
}

static void print_candidates(const json_t *candidates)
{
    struct shape shape = shape_of(candidates);
    struct terminal terminal;
    struct table table;
    struct text out = { 0 };
    size_t i;
    const json_t *c;

    if (!json_array_size(candidates))
        return;
    table_init(&table, shape.columns, shape.n);
    json_array_foreach (candidates, i, c)
        add_candidate(&table, &shape, c);
    terminal_look(&terminal, stdout);
    table_write(&table, &terminal, false, &out);
    table_clear(&table);
    format_print(&out);
}

/* --- steps --- */

/* What figures mean is told where they first stand. */
static bool scores_are_told(const json_t *steps, size_t before, const char *scores)
{
    for (size_t i = 0; i < before; i++) {
        const char *earlier = format_string(json_array_get(steps, i), "scores");
        if (earlier && strcmp(earlier, scores) == 0)
            return true;
    }
    return false;
}

static void print_step(const json_t *steps, size_t index)
{
    const json_t *step = json_array_get(steps, index);
    struct text text = { 0 };
    char first[32];
    const json_t *candidates = json_object_get(step, "candidates");
    const char *scores = format_string(step, "scores"), *others = format_string(step, "others");

    snprintf(first, sizeof first, "%2zu. ", index + 1);
    add_paragraph(&text, first, format_string(step, "text"));
    if (scores && !scores_are_told(steps, index, scores))
        add_paragraph(&text, "    Score: ", scores);
    format_print(&text);
    print_candidates(candidates);
    if (others) {
        add_paragraph(&text, "    ", others);
        format_print(&text);
    }
}

static bool answered_by_rule(const json_t *answer)
{
    return json_is_integer(json_object_get(answer, "rule_answers"));
}

static void add_head(struct text *text, const char *host, const json_t *answer)
{
    const char *endpoint = format_string(answer, "endpoint");
    struct text line = { 0 };
    if (answered_by_rule(answer))
        text_addf(&line, "%s -> its rule answers %" JSON_INTEGER_FORMAT, host, json_integer_value(json_object_get(answer, "rule_answers")));
    else
        text_addf(&line, "%s -> %s", host, endpoint ? endpoint : "nobody");
    add_paragraph(text, "", line.p);
    text_clear(&line);
    add_paragraph(text, "", format_string(answer, "reason"));
}

static const char *or_nothing(const char *text)
{
    return text ? text : "";
}

static void add_remembered_head(struct text *text, const json_t *answer)
{
    struct text line = { 0 };
    const char *client = format_string(answer, "client");
    json_int_t same = json_integer_value(json_object_get(answer, "same_id"));
    text_addf(&line, "%s %s%s", or_nothing(format_string(answer, "method")), or_nothing(format_string(answer, "host")),
              or_nothing(format_string(answer, "target")));
    text_addf(&line, "%s%s, %s", client ? " from " : "", or_nothing(client), format_string(answer, "started"));
    add_paragraph(text, "", line.p);
    text_clear(&line);
    const char *whom = answered_by_rule(answer) ? "its rule" : "nobody", *endpoint = format_string(answer, "endpoint");
    text_addf(&line, "-> %s, %s", endpoint ? endpoint : whom, format_string(answer, "outcome"));
    add_paragraph(text, "", line.p);
    text_clear(&line);
    add_paragraph(text, "", format_string(answer, "reason"));
    if (same < 2)
        return;
    text_addf(&line, "The newest of %" JSON_INTEGER_FORMAT " remembered requests with this id.", same);
    add_paragraph(text, "", line.p);
    text_clear(&line);
}

static void print_explanation(const char *host, const json_t *answer)
{
    const json_t *steps = json_object_get(answer, "steps");
    struct text text = { 0 };

    if (host)
        add_head(&text, host, answer);
    else
        add_remembered_head(&text, answer);
    text_add(&text, "\n");
    format_print(&text);
    for (size_t i = 0; i < json_array_size(steps); i++)
        print_step(steps, i);
}

/* --- the last requests --- */

static const struct table_column request_columns[] = {
    { "STARTED", ALIGN_LEFT }, { "REQUEST", ALIGN_LEFT }, { "STATUS", ALIGN_RIGHT }, { "TOOK", ALIGN_RIGHT }, { "TRIES", ALIGN_RIGHT },
    { "ENDPOINT", ALIGN_LEFT }, { "WHAT", ALIGN_LEFT },
};

static void add_request(struct table *t, const json_t *row)
{
    const json_t *status = json_object_get(row, "status");
    bool bad = json_integer_value(status) >= 500 || !json_is_integer(status);
    table_add(t, TONE_PLAIN, format_string(row, "started"));
    table_add(t, TONE_PLAIN, format_string(row, "request"));
    if (json_is_integer(status))
        table_addf(t, bad ? TONE_BAD : TONE_PLAIN, "%" JSON_INTEGER_FORMAT, json_integer_value(status));
    else
        table_add(t, TONE_PLAIN, NULL);
    format_add_milliseconds(t, json_object_get(row, "took_ms"));
    format_add_count(t, json_object_get(row, "tries"));
    table_add(t, TONE_PLAIN, format_string(row, "endpoint"));
    table_addf(t, TONE_PLAIN, "%s %s%s", or_nothing(format_string(row, "method")), or_nothing(format_string(row, "host")),
               or_nothing(format_string(row, "target")));
}

static void print_requests(const json_t *answer)
{
    format_print_table(request_columns, sizeof request_columns / sizeof *request_columns, json_object_get(answer, "requests"), add_request,
                       "no such request is remembered (explain.requests)");
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

static bool has_question(const struct options *o)
{
    return o->address || o->method || o->path || o->cookie || o->listener || o->headers.n;
}

static bool options_fit(const struct options *o, const char *url)
{
    if (o->last && (url || o->host || o->request || has_question(o)))
        fputs("penstock explain: --last goes with --failed and --limit alone\n", stderr);
    else if (o->last)
        return true;
    else if (o->failed || o->limit)
        fputs("penstock explain: --failed and --limit go with --last\n", stderr);
    else if (url && (o->host || o->request))
        fputs("penstock explain: a host or URL says all that --host does: one of the two, or --request ID\n", stderr);
    else if (!url && !o->host == !o->request)
        fputs("penstock explain: HOST or a URL says which request to think of, or --request ID which one to look up: one of the two\n", stderr);
    else if (o->request && has_question(o))
        fputs("penstock explain: --request ID knows client, path, fields and all the rest by itself\n", stderr);
    else
        return true;
    return false;
}

/* "https://app.example.com/x?y", "app.example.com/x", "app.example.com". */
static struct target target_of(const struct options *o, const char *url)
{
    const char *scheme = url ? strstr(url, "://") : NULL, *host = scheme ? scheme + strlen("://") : url ? url : o->host;
    size_t n = !host ? 0 : url ? strcspn(host, "/?#") : strlen(host);
    struct target t = { .host = host ? mem_copy(host, n) : NULL, .path = o->path ? mem_copy_text(o->path) : NULL };
    if (url && !t.path && host[n] && host[n] != '#')
        t.path = mem_printf("%s%.*s", host[n] == '/' ? "" : "/", (int)strcspn(host + n, "#"), host + n);
    return t;
}

static char *question_of(const struct options *o, const struct target *t)
{
    struct text path = { 0 };
    text_add(&path, "/v1/explain");
    add_parameter(&path, "host", t->host);
    add_parameter(&path, "client", o->address);
    add_parameter(&path, "method", o->method);
    add_parameter(&path, "path", t->path);
    add_parameter(&path, "cookie", o->cookie);
    for (size_t i = 0; i < o->headers.n; i++)
        add_parameter(&path, "header", o->headers.items[i]);
    add_parameter(&path, "listener", o->listener);
    add_parameter(&path, "request", o->request);
    return text_take(&path);
}

static int ask(const struct options *o, const struct target *t)
{
    struct client *client = client_new(&o->client);
    json_t *answer = NULL;
    if (!client)
        return EXIT_USAGE;
    char *question = question_of(o, t);
    int result = client_get(client, question, &answer);
    client_close(client);
    free(question);
    if (result == EXIT_YES) {
        result = o->request || format_string(answer, "endpoint") || answered_by_rule(answer) ? EXIT_YES : EXIT_NO;
        if (o->json)
            format_print_json(json_incref(answer));
        else
            print_explanation(t->host, answer);
    }
    json_decref(answer);
    return result;
}

static int show_last(const struct options *o)
{
    struct text path = { 0 };
    text_add(&path, "/v1/requests");
    add_parameter(&path, "limit", o->limit);
    add_parameter(&path, "failed", o->failed ? "true" : NULL);
    int result = client_show(&o->client, path.p, o->json, print_requests);
    text_clear(&path);
    return result;
}

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;

    (void)self;
    if (!options_fit(o, operands[0]))
        return EXIT_USAGE;
    if (o->last)
        return show_last(o);
    struct target target = target_of(o, operands[0]);
    int result = ask(o, &target);
    free(target.host);
    free(target.path);
    return result;
}

const struct command explain_command = {
    .name = "explain",
    .help = "which endpoint a request would get, or got, and why",
    .operands = "[HOST or URL]",
    .operands_max = 1,
    .notes = "With a host, the daemon leads a request through what directs and chooses for others; nobody is asked, nothing is counted. With --request, it "
             "tells how one of the last requests was decided (explain.requests), and --last which there are. Exit status 1 if nobody would answer it, or it is not remembered.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
