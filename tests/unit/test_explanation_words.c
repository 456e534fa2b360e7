/* What an explanation says of decisions that are hard to come by. */
#include "control/explanation_words.h"

#include "balance/sheet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* Chosen in a pool, tried, and `then` came of it. */
static struct decision *failed(enum failed_then then)
{
    struct decision *d = calloc(1, 4096);
    bool fresh;
    assert_non_null(d);
    decision_begin(d, 4096, 8);
    struct note_step *s = decision_add_step(d, AMONG_ENDPOINTS, "pool", "random", 1);
    decision_list(d, s, 0, &fresh)->name = decision_add_name(d, "pool/a");
    s->asked = true;
    s->chosen = 0;
    decision_add_try(d, TRY_FIRST, "pool/a", 1);
    struct note_failed *note = DECISION_ADD(d, NOTE_FAILED, note_failed);
    note->reason = REASON_CONNECTION_LOST;
    note->then = (uint8_t)then;
    return d;
}

static void assert_reason_has(struct decision *d, const char *words, bool has)
{
    char reason[EXPLANATION_WORDS];
    say_reason(&(struct told){ .decision = d }, CHOICE_MADE, reason);
    assert_int_equal(strstr(reason, words) != NULL, has);
}

/* A connection that did not answer for a while, and then did: the choice stands. */
static void test_what_waits_has_not_failed(void **state)
{
    struct decision *d = failed(THEN_WAITS);
    assert_reason_has(d, "failed", false);
    assert_reason_has(d, "random chose this endpoint", true);
    free(d);
    d = failed(THEN_NOBODY);
    assert_reason_has(d, "it failed at the last that was tried", true);
    free(d);
    (void)state;
}

static void test_nobody_knows_where_it_went(void **state)
{
    struct decision *d = failed(THEN_AGAIN);
    while (decision_take(d, 1, 0))
        ;
    decision_add_try(d, TRY_OTHER, "pool/b", 2);
    struct decision *told = decision_unfold(d);
    assert_int_equal(told->endpoint, 0);
    assert_reason_has(told, "no room", true);
    free(told);
    free(d);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_waits_has_not_failed),
        cmocka_unit_test(test_nobody_knows_where_it_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
