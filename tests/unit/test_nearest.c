#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static const char *const words[] = { "status", "events", "endpoint", "reload", "trace", "tunnel", "steering", "endpoint_steering" };

static const char *suggestion(const char *word)
{
    struct nearest s = { .word = word };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        nearest_offer(&s, words[i]);
    return s.best;
}

static void nearest_word_is_found(void **state)
{
    static const struct {
        const char *typed, *meant;
    } cases[] = {
        { "status", "status" },   { "stauts", "status" },     { "statsu", "status" },         { "event", "events" }, { "endpoints", "endpoint" },
        { "Reload", "reload" },   { "relaod", "reload" },     { "tunel", "tunnel" },          { "trac", "trace" },   { "sterring", "steering" },
        { "endpoint-steering", "endpoint_steering" }, { "teh", NULL }, { "configuration", NULL }, { "", NULL },      { "x", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = suggestion(cases[i].typed);
        if (cases[i].meant)
            assert_string_equal(got, cases[i].meant);
        else
            assert_null(got);
    }
}

static void long_words_are_bounded(void **state)
{
    char word[1000];
    (void)state;
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    struct nearest s = { .word = word };
    nearest_offer(&s, word);
    assert_ptr_equal(s.best, word);
    assert_int_equal(s.distance, 0);
    assert_null(suggestion(word));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_word_is_found),
        cmocka_unit_test(long_words_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
