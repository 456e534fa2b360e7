/* Options, operands and the help made from their table. */
#include "cli/arguments.h"
#include "cli/format.h"
#include "cli/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *file, *wait;
    bool json;
    struct option_values names;
};

static const struct option_row rows[] = {
    { "config", 'c', "FILE", offsetof(struct options, file), "a file", true },
    { "wait", '\0', "DURATION", offsetof(struct options, wait), "how long", false },
    { "json", 'j', NULL, offsetof(struct options, json), "for programs", false },
    { "name", 'n', "NAME", offsetof(struct options, names), "one of many", OPTION_MANY },
    { 0 },
};

static const struct command sample = {
    .name = "sample",
    .operands = "POOL [WEIGHT]",
    .help = "does something",
    .options = rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 2,
};

struct outcome {
    enum arguments_result result;
    struct options options;
    char *operands[4]; /* as argv had them */
    size_t n_operands;
};

/* `line` is split at blanks; "''" stands for an empty argument. What it says on stderr is not looked at here. */
static struct outcome parse(const char *line, char *copy, size_t size)
{
    struct outcome o = { 0 };
    char *argv[16] = { "sample" };
    int argc = 1, first = 0;

    snprintf(copy, size, "%s", line);
    for (char *rest = copy, *word; (word = strtok_r(rest, " ", &rest)) && argc < 15;)
        argv[argc++] = strcmp(word, "''") == 0 ? "" : word;
    o.result = arguments_parse(&sample, "penstock sample", argc, argv, &o.options, &first);
    for (int i = first; o.result == ARGUMENTS_RUN && i < argc; i++)
        o.operands[o.n_operands++] = argv[i];
    return o;
}

static void options_and_operands(void **state)
{
    static const struct {
        const char *line;
        enum arguments_result result;
        const char *file, *wait;
        bool json;
        const char *operands; /* joined by blanks */
    } cases[] = {
        { "-c f pool", ARGUMENTS_RUN, "f", NULL, false, "pool" },
        { "-cf pool", ARGUMENTS_RUN, "f", NULL, false, "pool" },
        { "--config=f --json pool", ARGUMENTS_RUN, "f", NULL, true, "pool" },
        { "pool 0.5 --config f -j", ARGUMENTS_RUN, "f", NULL, true, "pool 0.5" },
        { "pool --wait 5m --config f 7", ARGUMENTS_RUN, "f", "5m", false, "pool 7" },
        { "-c f -- -pool", ARGUMENTS_RUN, "f", NULL, false, "-pool" },
        { "-jcf pool", ARGUMENTS_RUN, "f", NULL, true, "pool" },
        { "-c a -c b pool", ARGUMENTS_RUN, "b", NULL, false, "pool" },
        { "--conf f pool", ARGUMENTS_RUN, "f", NULL, false, "pool" }, /* an unambiguous beginning is enough */
        { "--help", ARGUMENTS_HELP, NULL, NULL, false, NULL },
        { "-h nonsense too many operands", ARGUMENTS_HELP, NULL, NULL, false, NULL },
        { "--version", ARGUMENTS_VERSION, NULL, NULL, false, NULL },
        { "-c f", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
        { "pool", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
        { "-c f a b c", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
        { "-c f pool -1", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
        { "-c f pool --nonsense", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
        { "-c f pool --json=yes", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
        { "pool -c", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
        { "-c f pool --wait", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
        { "", ARGUMENTS_WRONG, NULL, NULL, false, NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[128], joined[128] = "";
        struct outcome o = parse(cases[i].line, line, sizeof line);
        assert_int_equal(o.result, cases[i].result);
        if (o.result != ARGUMENTS_RUN)
            continue;
        for (size_t k = 0; k < o.n_operands; k++)
            snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", k ? " " : "", o.operands[k]);
        assert_string_equal(joined, cases[i].operands);
        assert_string_equal(o.options.file, cases[i].file);
        assert_int_equal(o.options.json, cases[i].json);
        if (cases[i].wait)
            assert_string_equal(o.options.wait, cases[i].wait);
        else
            assert_null(o.options.wait);
    }
}

static void some_options_are_given_again(void **state)
{
    char copy[128];
    struct outcome o = parse("--name a -c x p -n b --name=c", copy, sizeof copy);
    (void)state;
    assert_int_equal(o.result, ARGUMENTS_RUN);
    assert_int_equal(o.options.names.n, 3);
    assert_string_equal(o.options.names.items[0], "a");
    assert_string_equal(o.options.names.items[1], "b");
    assert_string_equal(o.options.names.items[2], "c");
    char *argv[OPTION_VALUES_MAX + 8] = { "sample", "-c", "x", "p" };
    struct options options = { 0 };
    int argc = 4, first;
    while (argc < OPTION_VALUES_MAX + 5)
        argv[argc++] = "-na";
    assert_int_equal(arguments_parse(&sample, "penstock sample", argc, argv, &options, &first), ARGUMENTS_WRONG);
}

static void help_shows_each_row(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    (void)state;

    arguments_print_help(&sample, "penstock sample", f);
    fclose(f);
    assert_string_equal(text, "usage: penstock sample -c FILE [OPTION…] POOL [WEIGHT]\n"
                              "Does something.\n"
                              "\n"
                              "Options:\n"
                              "  -c, --config FILE    a file\n"
                              "      --wait DURATION  how long\n"
                              "  -j, --json           for programs\n"
                              "  -n, --name NAME      one of many\n"
                              "  -h, --help           prints this\n"
                              "      --version        prints the version\n");
    free(text);
}

static void ages(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        { -5, "now" },
        { 0, "now" },
        { 1, "1 s" },
        { 59, "59 s" },
        { 60, "1 min" },
        { 3599, "59 min" },
        { 3600, "1 h 0 min" },
        { 7384, "2 h 3 min" },
        { 86400, "1 d 0 h" },
        { 90000, "1 d 1 h" },
        { 8640000, "100 d 0 h" },
    };
    const nsec_t now = 1764000000 * NSEC_PER_SEC;
    char out[FORMAT_AGE_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(format_age(now - cases[i].seconds * NSEC_PER_SEC, now, out), cases[i].text);
    assert_string_equal(format_age(0, now, out), "-");
}

static void times_of_the_api(void **state)
{
    (void)state;
    assert_int_equal(format_parse_time("1970-01-01T00:00:01.500Z"), 3 * NSEC_PER_SEC / 2);
    assert_int_equal(format_parse_time("2026-11-24T16:00:00.000Z"), 1795536000 * NSEC_PER_SEC);
    assert_int_equal(format_parse_time("yesterday"), 0);
    assert_int_equal(format_parse_time(NULL), 0);
}

/* --- event streams --- */

struct heard {
    char text[256];
    unsigned stop_after;
};

static bool hear(void *arg, const char *id, const char *data, size_t n)
{
    struct heard *h = arg;
    size_t used = strlen(h->text);
    snprintf(h->text + used, sizeof h->text - used, "[%s|%.*s]", id, (int)n, data);
    return --h->stop_after > 0;
}

static const char stream[] =
    ": hello\n\nid: evt_1\nevent: a.b\ndata: {\"x\":1}\n\n: keep-alive\n\nid: evt_2\r\ndata:one\r\ndata: two\r\n\r\n"
    "event: nothing\n\nid: evt_3\ndata\n\ndata: not ended";

/* However the bytes come. */
static void event_stream_in_every_cut(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= sizeof stream - 1; cut++) {
        struct heard h = { .stop_after = 100 };
        struct sse s = { .event = hear, .arg = &h };
        assert_true(sse_feed(&s, stream, cut));
        assert_true(sse_feed(&s, stream + cut, sizeof stream - 1 - cut));
        assert_string_equal(h.text, "[evt_1|{\"x\":1}][evt_2|one\ntwo][evt_3|]");
        sse_clear(&s);
    }
}

static void event_stream_stops_when_told(void **state)
{
    struct heard h = { .stop_after = 1 };
    struct sse s = { .event = hear, .arg = &h };
    (void)state;
    assert_false(sse_feed(&s, stream, sizeof stream - 1));
    assert_string_equal(h.text, "[evt_1|{\"x\":1}]");
    sse_clear(&s);
}

static void endless_line_is_refused(void **state)
{
    struct heard h = { .stop_after = 1 };
    struct sse s = { .event = hear, .arg = &h };
    char *bytes = calloc(1, SSE_LINE_MAX + 1);
    (void)state;
    memset(bytes, 'a', SSE_LINE_MAX + 1);
    assert_true(sse_feed(&s, bytes, SSE_LINE_MAX));
    assert_false(sse_feed(&s, bytes, 1));
    sse_clear(&s);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands),
        cmocka_unit_test(some_options_are_given_again),
        cmocka_unit_test(help_shows_each_row),
        cmocka_unit_test(ages),
        cmocka_unit_test(times_of_the_api),
        cmocka_unit_test(event_stream_in_every_cut),
        cmocka_unit_test(event_stream_stops_when_told),
        cmocka_unit_test(endless_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
