/* Character classes against their grammar, and the fast scanners against a loop that looks at one byte at a time. */
#include "base/random.h"
#include "http/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const struct {
    enum http_char_class class;
    const char *members;
} classes[] = {
    { CHAR_TOKEN, "!#$%&'*+-.^_`|~" DIGITS LETTERS },              /* RFC 9110 5.6.2 */
    { CHAR_REG_NAME, "-._~" "!$&'()*+,;=" DIGITS LETTERS },        /* RFC 3986: unreserved, sub-delims */
    { CHAR_DIGIT, DIGITS },
    { CHAR_HEX, DIGITS "abcdefABCDEF" },
};

static void classes_have_exactly_their_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        for (unsigned c = 0; c < 256; c++)
            assert_int_equal(http_char_is((char)c, classes[i].class), c && strchr(classes[i].members, (int)c) != NULL);
}

static void controls_and_targets(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        assert_int_equal(http_char_is_control((char)c), c < ' ' || c == 127);
        assert_int_equal(http_char_is_target((char)c), c > ' ' && c < 127 && c != '#');
    }
}

static bool stops_value(char c)
{
    return http_char_is_control(c);
}

static bool stops_target(char c)
{
    return !http_char_is_target(c);
}

static bool stops_token(char c)
{
    return !http_char_is(c, CHAR_TOKEN);
}

static const struct scanner {
    const char *(*scan)(const char *, const char *);
    bool (*stops)(char);
} scanners[] = {
    { scan_value, stops_value },   { scan_value_words, stops_value },   { scan_target, stops_target },
    { scan_target_words, stops_target }, { scan_token, stops_token },
};

static void assert_scans(const struct scanner *s, const char *p, const char *end)
{
    const char *expected = p;
    while (expected < end && !s->stops(*expected))
        expected++;
    assert_ptr_equal(s->scan(p, end), expected);
}

enum { LENGTHS = 70 };

/* Every byte at every place of every length: in a block that ends with the text, so that a look past it is seen. */
static void scanners_stop_at_every_byte_everywhere(void **state)
{
    (void)state;
    for (size_t n = 0; n < LENGTHS; n++) {
        char *text = malloc(n ? n : 1);
        assert_non_null(text);
        memset(text, 'a', n);
        for (size_t i = 0; i < sizeof scanners / sizeof *scanners; i++) {
            assert_ptr_equal(scanners[i].scan(text, text + n), text + n);
            for (size_t at = 0; at < n; at++) {
                for (unsigned c = 0; c < 256; c++) {
                    text[at] = (char)c;
                    assert_scans(&scanners[i], text, text + n);
                }
                text[at] = 'a';
            }
        }
        free(text);
    }
}

/* Bytes near the limits of the classes, side by side: carries between the bytes of a word must not matter. */
static void scanners_agree_on_random_texts(void **state)
{
    (void)state;
    static const char alphabet[] = { 'a', 'z', '~', ' ', '!', '"', '#', '$', '\x1f', '\t', '\x7f', '\x7e', (char)0x80, (char)0xff, 0, 1 };
    struct random r = { 1 };
    for (unsigned round = 0; round < 20000; round++) {
        char text[LENGTHS];
        size_t n = random_u64(&r) % LENGTHS;
        unsigned common = random_u64(&r) % 32;
        for (size_t i = 0; i < n; i++)
            text[i] = random_u64(&r) % 32 < common ? 'a' : alphabet[random_u64(&r) % sizeof alphabet];
        for (size_t i = 0; i < sizeof scanners / sizeof *scanners; i++)
            assert_scans(&scanners[i], text, text + n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_have_exactly_their_members),
        cmocka_unit_test(controls_and_targets),
        cmocka_unit_test(scanners_stop_at_every_byte_everywhere),
        cmocka_unit_test(scanners_agree_on_random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
