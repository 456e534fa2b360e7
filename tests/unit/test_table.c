#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct table_column columns[] = { { "NAME", ALIGN_LEFT }, { "LOAD", ALIGN_RIGHT }, { "WHY", ALIGN_LEFT } };

static void expect_table(const struct terminal *terminal, bool cut, const char *const rows[][3], size_t n, const char *expected)
{
    struct table t;
    struct text out = { 0 };

    table_init(&t, columns, 3);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < 3; k++)
            table_add(&t, TONE_PLAIN, rows[i][k]);
    table_write(&t, terminal, cut, &out);
    assert_string_equal(out.p, expected);
    text_clear(&out);
    table_clear(&t);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    static const char *const rows[][3] = { { "ams", "7", "fine" },
                                           { "frankfurt", "12345", NULL },
                                           { "", "0", "a longer reason than the others" } };
    const struct terminal pipe = { 0 };
    (void)state;
    expect_table(&pipe, false, rows, 3,
                 "NAME        LOAD  WHY\n"
                 "ams            7  fine\n"
                 "frankfurt  12345  -\n"
                 "-              0  a longer reason than the others\n");
    expect_table(&pipe, false, rows, 0, "NAME  LOAD  WHY\n");
}

static void width_is_that_on_the_screen(void **state)
{
    static const char *const rows[][3] = {
        { "münchen", "1", "ok" }, { "東京", "2", "ok" }, { "e\xcc\x81", "3", "ok" }, { "x", "4", "ok" }
    };
    const struct terminal pipe = { 0 };
    (void)state;
    expect_table(&pipe, false, rows, 4,
                 "NAME     LOAD  WHY\n"
                 "münchen     1  ok\n"
                 "東京        2  ok\n"
                 "e\xcc\x81           3  ok\n"
                 "x           4  ok\n");
}

static void last_column_is_cut_to_the_terminal(void **state)
{
    static const char *const rows[][3] = { { "ams", "7", "0123456789abcdefghij" }, { "fra", "8", "0123456789abcdefg" } };
    const struct terminal narrow = { .width = 29 };
    (void)state;
    expect_table(&narrow, true, rows, 2,
                 "NAME  LOAD  WHY\n"
                 "ams      7  0123456789abcdef…\n"
                 "fra      8  0123456789abcdefg\n");
    expect_table(&narrow, false, rows, 2,
                 "NAME  LOAD  WHY\n"
                 "ams      7  0123456789abcdefghij\n"
                 "fra      8  0123456789abcdefg\n");
}

static void control_characters_are_masked(void **state)
{
    static const char *const rows[][3] = { { "a\033[31m", "1", "two\nlines" }, { "\xff\xfe", "2", "\xc2\x9b" "x\x7f" } };
    const struct terminal pipe = { 0 };
    (void)state;
    expect_table(&pipe, false, rows, 2,
                 "NAME    LOAD  WHY\n"
                 "a\xef\xbf\xbd[31m     1  two\xef\xbf\xbdlines\n"
                 "\xef\xbf\xbd\xef\xbf\xbd         2  \xef\xbf\xbdx\xef\xbf\xbd\n");
}

static void colours_surround_the_word_alone(void **state)
{
    const struct terminal colourful = { .colours = true }, plain = { 0 };
    struct table t;
    struct text out = { 0 };
    (void)state;

    table_init(&t, columns, 3);
    table_add_state(&t, "healthy");
    table_addf(&t, TONE_PLAIN, "%d", 1);
    table_add_state(&t, "down");
    table_write(&t, &plain, false, &out);
    assert_null(memchr(out.p, '\033', out.n));
    text_clear(&out);
    table_write(&t, &colourful, false, &out);
    assert_string_equal(out.p, "\033[1mNAME\033[0m     \033[1mLOAD\033[0m  \033[1mWHY\033[0m\n"
                               "\033[32mhealthy\033[0m     1  \033[31mdown\033[0m\n");
    text_clear(&out);
    table_clear(&t);
}

static void states_have_tones(void **state)
{
    static const struct {
        const char *word;
        enum tone tone;
    } cases[] = {
        { "healthy", TONE_GOOD },    { "degraded", TONE_WARNING }, { "ejected", TONE_WARNING }, { "drained", TONE_WARNING },
        { "unknown", TONE_WARNING }, { "down", TONE_BAD },         { "critical", TONE_BAD },    { "fallback", TONE_BAD },
        { "inactive", TONE_BAD },    { "disabled", TONE_FAINT },   { "whatever", TONE_PLAIN },  { "", TONE_PLAIN },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(tone_of_state(cases[i].word), cases[i].tone);
}

static void text_is_cut_by_columns(void **state)
{
    static const struct {
        const char *text;
        unsigned columns, used;
        const char *shown;
    } cases[] = {
        { "abc", 0, 3, "abc" }, { "abc", 3, 3, "abc" },     { "abc", 2, 2, "a…" },  { "abc", 1, 1, "…" },
        { "東京", 4, 4, "東京" }, { "東京", 3, 3, "東…" }, { "東京", 2, 1, "…" }, { "", 5, 0, "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text out = { 0 };
        assert_int_equal(terminal_add_text(&out, slice_of(cases[i].text), cases[i].columns), cases[i].used);
        assert_string_equal(out.p ? out.p : "", cases[i].shown);
        text_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(width_is_that_on_the_screen),
        cmocka_unit_test(last_column_is_cut_to_the_terminal),
        cmocka_unit_test(control_characters_are_masked),
        cmocka_unit_test(colours_surround_the_word_alone),
        cmocka_unit_test(states_have_tones),
        cmocka_unit_test(text_is_cut_by_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
