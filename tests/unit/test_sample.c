/* Files that a sample of requests is read from: a table of lines, and how many of many are drawn. */
#include "cli/sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static bool read_text(const char *text, size_t max, size_t size, struct sample *s, char *error)
{
    FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_non_null(f);
    bool good = sample_read(f, "FILE", max, size, s, error);
    fclose(f);
    return good;
}

static void test_lines(void **state)
{
    static const struct {
        const char *line, *json;
    } rows[] = {
        { "192.0.2.1", "{\"client\":\"192.0.2.1\"}" },
        { "192.0.2.1\r", "{\"client\":\"192.0.2.1\"}" },
        { "2001:db8::1 app.test", "{\"client\":\"2001:db8::1\",\"host\":\"app.test\"}" },
        { "2001:db8::1 app.test \t\r", "{\"client\":\"2001:db8::1\",\"host\":\"app.test\"}" },
        { "192.0.2.1\t- /x?y", "{\"client\":\"192.0.2.1\",\"path\":\"/x?y\"}" },
        { "- app.test / 2.5", "{\"host\":\"app.test\",\"path\":\"/\",\"count\":2.5}" },
        { "{\"client\":\"192.0.2.1\",\"method\":\"POST\",\"host\":\"a:8080\",\"target\":\"/x\",\"status\":200}",
          "{\"client\":\"192.0.2.1\",\"host\":\"a:8080\",\"path\":\"/x\",\"method\":\"POST\"}" },
        { "{\"client\":\"unix\",\"method\":\"OPTIONS\",\"host\":\"a\",\"target\":\"*\"}", "{\"host\":\"a\",\"method\":\"OPTIONS\"}" },
        { "192.0.2.1 - frank [25/Nov/2026:10:00:00 +0000] \"GET /a?b HTTP/1.1\" 200 5 \"http://x/\" \"agent [x] \\\"y\"",
          "{\"client\":\"192.0.2.1\",\"path\":\"/a?b\",\"method\":\"GET\"}" },
    };
    char error[SAMPLE_ERROR_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sample s;
        char text[512];
        snprintf(text, sizeof text, "# one line\n\n%s\n", rows[i].line);
        if (!read_text(text, 10, 10000, &s, error))
            fail_msg("%s: %s", rows[i].line, error);
        char *json = json_dumps(json_array_get(s.clients, 0), JSON_COMPACT);
        assert_int_equal(json_array_size(s.clients), 1);
        assert_int_equal(s.lines, 1);
        assert_string_equal(json, rows[i].json);
        free(json);
        json_decref(s.clients);
    }
}

static void test_errors_name_the_line(void **state)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        { "192.0.2.1\nhost", "FILE:2: \"host\" is no IP address: expected CLIENT [HOST [PATH [COUNT]]], or a line of an access log" },
        { "\x1b[2J", "FILE:1: \"?[2J\" is no IP address: expected CLIENT [HOST [PATH [COUNT]]], or a line of an access log" },
        { "192.0.2.1 a b", "FILE:1: a path begins with \"/\"" },
        { "192.0.2.1 a / x", "FILE:1: \"x\" is no number" },
        { "192.0.2.1 a / -1", "FILE:1: a count is a number from 0 to 1000000000" },
        { "1.1.1.1 a / 1 x", "FILE:1: too many words: expected CLIENT [HOST [PATH [COUNT]]], or a line of an access log" },
        { "{\"host\":\"a\"}", "FILE:1: \"client\" is missing: it is no line of our access log" },
        { "1.1.1.1 - - [x] \"GET", "FILE:1: no request after the date: expected \"METHOD TARGET HTTP/1.1\"" },
        { "{\"client\":\"1.1.1.1\",\"method\":\"GET\",\"target\":\"/a b\"}", "FILE:1: the path has a blank" },
        { "1.1.1.1 a /\x01", "FILE:1: the path has a control character" },
        { "1.1.1.1 a /\xe9", "FILE:1: the path is no UTF-8" },
        { "# nothing\n", "FILE: it has no line that says a request" },
    };
    char error[SAMPLE_ERROR_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sample s;
        assert_false(read_text(rows[i].text, 10, 10000, &s, error));
        assert_null(s.clients);
        assert_string_equal(error, rows[i].error);
    }
}

/* What came to a port and was no HTTP stands in every access log. */
static void test_lines_without_a_request(void **state)
{
    char error[SAMPLE_ERROR_SIZE];
    struct sample s;
    (void)state;
    assert_true(read_text("192.0.2.1 - - [25/Nov/2026:10:00:00 +0000] \"\\x16\\x03\\x01\" 400 5 \"-\" \"-\"\n"
                          "192.0.2.1 - - [25/Nov/2026:10:00:00 +0000] \"-\" 408 0 \"-\" \"-\"\n"
                          "192.0.2.1 - - [25/Nov/2026:10:00:00 +0000] \"\" 400 0 \"-\" \"-\"\n"
                          "{\"client\":\"192.0.2.1\",\"method\":\"\",\"host\":\"\",\"target\":\"\"}\n"
                          "192.0.2.1 - - [25/Nov/2026:10:00:00 +0000] \"GET /\\\"x HTTP/1.1\" 200 5 \"-\" \"-\"\n",
                          10, 10000, &s, error));
    assert_int_equal(s.without, 4);
    assert_int_equal(s.lines, 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(s.clients, 0), "path")), "/\\\"x");
    json_decref(s.clients);
}

static bool read_bytes(const void *bytes, size_t n, struct sample *s, char *error)
{
    FILE *f = fmemopen((void *)(uintptr_t)bytes, n, "r");
    assert_non_null(f);
    bool good = sample_read(f, "FILE", 10, 10000, s, error);
    fclose(f);
    return good;
}

static void test_files_of_other_kinds(void **state)
{
    enum { LONG = 300 * 1024 };
    static char line[LONG];
    char error[SAMPLE_ERROR_SIZE];
    struct sample s;
    (void)state;
    assert_true(read_text("\xef\xbb\xbf" "192.0.2.1\r\n\xef\xbb\xbf#", 10, 10000, &s, error) == false); /* only in front */
    assert_true(read_text("\xef\xbb\xbf" "192.0.2.1\r\n", 10, 10000, &s, error));
    assert_string_equal(json_string_value(json_object_get(json_array_get(s.clients, 0), "client")), "192.0.2.1");
    json_decref(s.clients);
    assert_false(read_bytes("1.1.1.1\0\n1.1.1.1", 17, &s, error));
    assert_string_equal(error, "FILE:1: the line holds a NUL: it is no text");
    memset(line, '#', sizeof line);
    assert_false(read_bytes(line, sizeof line, &s, error));
    assert_string_equal(error, "FILE:1: the line is too long");
}

/* Of 10,000 lines some 1,000 are drawn, from everywhere alike. */
static void test_of_many_some_are_drawn(void **state)
{
    enum { LINES = 10000, DRAWN = 1000 };
    char *text = calloc(LINES, 32), *at = text, error[SAMPLE_ERROR_SIZE];
    unsigned late = 0;
    struct sample s;
    (void)state;
    for (unsigned i = 0; i < LINES; i++)
        at += sprintf(at, "10.0.%u.%u\n", i >> 8, i & 255);
    assert_true(read_text(text, DRAWN, 1000000, &s, error));
    assert_int_equal(s.lines, LINES);
    assert_int_equal(json_array_size(s.clients), DRAWN);
    for (size_t i = 0; i < DRAWN; i++) {
        unsigned third = 0;
        assert_int_equal(sscanf(json_string_value(json_object_get(json_array_get(s.clients, i), "client")), "10.0.%u", &third), 1);
        late += third >= LINES / 2 >> 8;
    }
    assert_in_range(late, DRAWN * 2 / 5, DRAWN * 3 / 5);
    json_decref(s.clients);
    assert_true(read_text(text, DRAWN, 5000, &s, error)); /* what is left must fit */
    char *json = json_dumps(s.clients, JSON_COMPACT);
    assert_in_range(strlen(json), 4000, 5001);
    free(json);
    json_decref(s.clients);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_errors_name_the_line),
        cmocka_unit_test(test_lines_without_a_request),
        cmocka_unit_test(test_files_of_other_kinds),
        cmocka_unit_test(test_of_many_some_are_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
