/* What is noted of a decision can be read again, whatever room there was for it. */
#include "balance/decision.h"

#include "balance/config.h"
#include "balance/sheet.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct decision *begin(size_t size, unsigned listed)
{
    struct decision *d = malloc(size); /* exactly: what goes beyond it is found by a sanitizer */
    assert_non_null(d);
    decision_begin(d, size, listed);
    return d;
}

static void list(struct decision *d, struct note_step *s, size_t index)
{
    bool fresh;
    struct note_candidate *c = decision_list(d, s, index, &fresh);
    assert_non_null(c);
    assert_true(fresh);
    c->weight = (float)index;
}

static void test_texts(void **state)
{
    struct decision *d = begin(1024, 8);
    uint32_t one = decision_add_text(d, SLICE("one"), 10), cut = decision_add_text(d, SLICE("a long one"), 6);

    assert_string_equal(decision_text(d, one), "one");
    assert_string_equal(decision_text(d, cut), "a long");
    assert_null(decision_text(d, 0));
    assert_int_equal(decision_add_text(d, (struct slice){ NULL, 0 }, 10), 0);
    assert_false(d->cut);
    free(d);
    (void)state;
}

static void test_nothing_is_noted_nowhere(void **state)
{
    assert_int_equal(decision_add_text(NULL, SLICE("x"), 9), 0);
    assert_int_equal(decision_add_name(NULL, "x"), 0);
    assert_null(decision_add(NULL, NOTE_LIST, sizeof(struct note_list)));
    assert_null(decision_add_step(NULL, AMONG_POOLS, NULL, "random", 3));
    decision_add_queued(NULL, 1);
    decision_add_try(NULL, TRY_FIRST, "p/e", 1);
    (void)state;
}

static void test_steps_with_room_for_all(void **state)
{
    struct decision *d = begin(4096, 8);
    struct note_step *s = decision_add_step(d, AMONG_ENDPOINTS, "pool", "random", 3);
    bool fresh;

    for (size_t i = 0; i < 3; i++)
        list(d, s, i);
    assert_int_equal(s->listed, 3);
    assert_true(decision_list(d, s, 2, &fresh)->weight == 2 && !fresh);
    assert_true(decision_candidate(d, s, 1)->weight == 1 && decision_candidate(d, s, 1)->in_flight == NOT_ASKED);
    assert_null(decision_candidate(d, s, 3));
    assert_string_equal(decision_text(d, s->within), "pool");
    assert_string_equal(decision_text(d, s->policy), "random");
    free(d);
    (void)state;
}

static void test_steps_of_many(void **state)
{
    struct decision *d = begin(4096, 2);
    struct note_step *s = decision_add_step(d, AMONG_ENDPOINTS, "pool", "random", 1000);
    bool fresh;

    list(d, s, 700);
    list(d, s, 3);
    assert_true(decision_candidate(d, s, 700)->weight == 700 && decision_candidate(d, s, 3)->weight == 3);
    assert_null(decision_candidate(d, s, 0));
    assert_null(decision_list(d, s, 9, &fresh));
    assert_false(fresh);
    free(d);
    (void)state;
}

/* Of two candidates. */
static struct step_sheet *a_sheet(unsigned listed)
{
    struct decision *d = begin(4096, listed);
    decision_add_text(d, SLICE("stands before it"), 40);
    decision_add_try(d, TRY_FIRST, "p/e", 1);
    struct note_step *s = decision_add_step(d, AMONG_ENDPOINTS, "pool", "random", 2);
    bool fresh;
    for (size_t i = 0; i < s->room; i++)
        decision_list(d, s, i, &fresh)->name = decision_add_name(d, i ? "pool/b" : "pool/a");
    struct step_sheet *sheet = step_sheet_new(d, s);
    assert_non_null(sheet);
    free(d);
    return sheet;
}

static const struct note_step *step_of(const struct note *note)
{
    assert_int_equal(note->kind, NOTE_STEP);
    return (const void *)note;
}

/* What one request saw is not what another did. */
static void test_steps_on_a_sheet(void **state)
{
    struct step_sheet *sheet = a_sheet(8);
    struct decision *d = begin(2048, 8), *told;
    struct note_on_sheet *on;
    bool fresh = false;
    unsigned n = 0;

    for (; (on = decision_add_on_sheet(d, sheet)); n++) {
        struct seen *seen = note_see(on, n % 2, &fresh);
        assert_false(fresh);
        seen->ruled_out = RULED_TRIED;
        seen->in_flight = n;
        on->asked = true;
        on->chosen = 1 - n % 2;
        if (n == 1)
            on->policy = decision_add_name(d, "hash");
    }
    step_sheet_unref(sheet); /* the decision's own are left */
    assert_true(d->cut && n > 5);
    told = decision_unfold(d);
    decision_release_sheets(d, decision_first(d));
    free(d);
    for (const struct note *note = decision_first(told); note; note = decision_next(told, note), n--) {
        const struct note_step *s = step_of(note);
        unsigned k = (unsigned)(s->chosen == 1 ? 0 : 1);
        assert_string_equal(decision_text(told, s->within), "pool");
        assert_string_equal(decision_text(told, decision_candidate(told, s, 0)->name), "pool/a");
        assert_string_equal(decision_text(told, decision_candidate(told, s, 1)->name), "pool/b");
        assert_int_equal(decision_candidate(told, s, k)->ruled_out, RULED_TRIED);
        assert_int_equal(decision_candidate(told, s, k)->in_flight % 2, k);
        assert_int_equal(decision_candidate(told, s, k)->connections, NOT_ASKED);
        assert_int_equal(decision_candidate(told, s, 1 - k)->ruled_out, RULED_IN);
        assert_int_equal(decision_candidate(told, s, 1 - k)->in_flight, NOT_ASKED);
        assert_string_equal(decision_text(told, s->policy), decision_candidate(told, s, k)->in_flight == 1 ? "hash" : "random");
    }
    assert_int_equal(n, 0);
    free(told);
    (void)state;
}

/* A sheet of many lists none: each request notes what it looked at. */
static void test_a_sheet_that_lists_none(void **state)
{
    struct step_sheet *sheet = a_sheet(0);
    struct decision *d = begin(2048, 1), *told;
    struct note_on_sheet *on = decision_add_on_sheet(d, sheet);
    bool fresh = false;

    struct seen *seen = note_see(on, 1, &fresh);
    assert_true(fresh);
    struct note_candidate *facts = decision_add_facts(d, seen);
    facts->name = decision_add_name(d, "pool/b");
    facts->weight = 3;
    seen->score = 0.5f;
    fresh = false;
    assert_ptr_equal(note_see(on, 1, &fresh), seen);
    assert_false(fresh);
    assert_null(note_see(on, 0, &fresh));
    on->chosen = 1;
    told = decision_unfold(d);
    const struct note_step *s = step_of(decision_first(told));
    assert_true(s->n == 2 && s->listed == 1);
    assert_true(decision_candidate(told, s, 1)->weight == 3 && decision_candidate(told, s, 1)->score == 0.5f);
    assert_null(decision_candidate(told, s, 0));
    decision_release_sheets(d, decision_first(d));
    step_sheet_unref(sheet);
    free(told);
    free(d);
    (void)state;
}

/* Tries go where the last step says, unless they say it themselves. */
static void test_tries_are_named_by_their_step(void **state)
{
    struct step_sheet *sheet = a_sheet(8);
    struct decision *d = begin(2048, 8), *told;
    static const char *const names[] = { "pool/b", "pool/b", "p/e", "pool/a" };
    unsigned n = 0;

    decision_add_on_sheet(d, sheet)->chosen = 1;
    decision_add_try(d, TRY_FIRST, NULL, 1);
    decision_add_try(d, TRY_SAME_FRESH, NULL, 1);
    decision_add_try(d, TRY_OTHER, "p/e", 1);
    decision_add_on_sheet(d, sheet)->chosen = 0;
    decision_add_try(d, TRY_OTHER, NULL, 1);
    told = decision_unfold(d);
    for (const struct note *note = decision_first(told); note; note = decision_next(told, note))
        if (note->kind == NOTE_TRY)
            assert_string_equal(decision_text(told, ((const struct note_try *)(const void *)note)->endpoint), names[n++]);
    assert_int_equal(n, 4);
    assert_string_equal(decision_text(told, told->endpoint), "pool/a");
    decision_release_sheets(d, decision_first(d));
    step_sheet_unref(sheet);
    free(told);
    free(d);
    (void)state;
}

/* A leak, or a use after it, is found by a sanitizer. */
static void test_waiting_lets_go_of_sheets(void **state)
{
    struct step_sheet *sheet = a_sheet(8);
    struct decision *d = begin(2048, 8), *told;
    unsigned n = 0;

    for (unsigned k = 0; k < 100; k++) {
        assert_non_null(decision_add_on_sheet(d, sheet));
        decision_add_queued(d, k);
    }
    step_sheet_unref(sheet);
    told = decision_unfold(d);
    for (const struct note *note = decision_first(told); note; note = decision_next(told, note))
        n++;
    assert_int_equal(n, 2);
    decision_release_sheets(d, decision_first(d));
    free(told);
    free(d);
    (void)state;
}

/* However small the block is, tries have the better chance, and all that is there can be read. */
static void test_any_room(void **state)
{
    for (size_t size = sizeof(struct decision) + 8; size < 4096; size += 8) {
        struct decision *d = begin(size, 8);
        unsigned steps = 0, tries = 0;
        for (unsigned k = 0; k < 3; k++) {
            struct note_step *s = decision_add_step(d, AMONG_ENDPOINTS, "pool", "least_outstanding_requests", 8);
            bool fresh;
            for (size_t i = 0; s && i < s->room; i++)
                decision_list(d, s, i, &fresh)->name = decision_add_name(d, "pool/endpoint");
            decision_add_try(d, k ? TRY_OTHER : TRY_FIRST, "pool/endpoint", k);
        }
        for (const struct note *n = decision_first(d); n; n = decision_next(d, n)) {
            steps += n->kind == NOTE_STEP;
            tries += n->kind == NOTE_TRY;
        }
        assert_true(tries >= steps && tries <= 3);
        assert_true(d->used <= d->size);
        assert_int_equal(d->cut, steps < 3 || d->cut);
        if (size > 2048)
            assert_int_equal(tries, 3);
        free(d);
    }
    (void)state;
}

/* Hundreds of looks, as the queue has them, leave the first and the last. */
static void test_waiting_takes_no_more_room(void **state)
{
    struct decision *d = begin(2048, 4);
    const struct note *kinds[8];
    unsigned n = 0;

    for (unsigned k = 0; k < 500; k++) {
        decision_add_step(d, AMONG_POOLS, NULL, "random", 2);
        decision_add_queued(d, 5 + k);
    }
    decision_add_step(d, AMONG_POOLS, NULL, "hash", 2);
    decision_add_try(d, TRY_FIRST, "p/e", 900);
    for (const struct note *note = decision_first(d); note; note = decision_next(d, note))
        if (n < 8)
            kinds[n++] = note;
    assert_int_equal(n, 4);
    assert_true(kinds[0]->kind == NOTE_STEP && kinds[1]->kind == NOTE_QUEUED && kinds[2]->kind == NOTE_STEP && kinds[3]->kind == NOTE_TRY);
    const struct note_queued *q = (const void *)kinds[1];
    assert_int_equal(q->times, 500);
    assert_int_equal(q->after, 5);
    assert_string_equal(decision_text(d, d->endpoint), "p/e");
    assert_false(d->cut);
    free(d);
    (void)state;
}

/* What happened since it went on is not forgotten when it waits again, whether or not there was room to say that it went on. */
static void test_a_try_without_room_ends_the_wait(void **state)
{
    struct decision *d = begin(1024, 8);
    unsigned n = 1, kept = 0;

    decision_add_queued(d, 1);
    while (DECISION_ADD(d, NOTE_FAILED, note_failed))
        n++;
    decision_add_try(d, TRY_OTHER, "p/e", 2);
    decision_add_queued(d, 3);
    for (const struct note *note = decision_first(d); note; note = decision_next(d, note))
        kept++;
    assert_true(d->cut && n > 2);
    assert_int_equal(kept, n);
    free(d);
    (void)state;
}

/* As a request's code does it: a try leaves it to the choice to name its endpoint only where that does. */
static void note_something(struct decision *d, struct step_sheet *const sheets[2], struct random *r)
{
    uint64_t draw = random_u64(r);
    bool fresh = false, of_many = draw >> 8 & 1;
    switch (draw % 5) {
    case 0: decision_add_queued(d, 1); break;
    case 1: decision_add_try(d, TRY_OTHER, "p/e", 2); break;
    case 2: DECISION_ADD(d, NOTE_FAILED, note_failed); break;
    default: {
        struct note_on_sheet *on = decision_add_on_sheet(d, sheets[of_many]);
        struct seen *seen = on ? note_see(on, draw >> 16 & 1, &fresh) : NULL;
        struct note_candidate *facts = fresh ? decision_add_facts(d, seen) : NULL;
        if (facts)
            facts->name = decision_add_name(d, "pool/c");
        if (!seen || (of_many && (!facts || !facts->name)))
            break;
        on->chosen = seen->index;
        decision_add_try(d, TRY_FIRST, NULL, 3);
    }
    }
}

/* Whatever is noted in whatever order, and however little room there is: what is unfolded can be read, and every try has its endpoint. */
static void test_any_order_in_any_room(void **state)
{
    struct step_sheet *const sheets[2] = { a_sheet(8), a_sheet(0) };
    struct random r = { 7 };
    unsigned tries = 0, steps = 0;

    for (size_t size = sizeof(struct decision) + 8; size < 4096; size += 8) {
        struct decision *d = begin(size, 1 + (unsigned)(size / 8 % 2)), *told;
        for (unsigned k = 0; k < 60; k++)
            note_something(d, sheets, &r);
        told = decision_unfold(d);
        decision_release_sheets(d, decision_first(d));
        free(d);
        for (const struct note *n = decision_first(told); n; n = decision_next(told, n)) {
            assert_true(n->kind != NOTE_ON_SHEET && told->used <= told->size);
            steps += n->kind == NOTE_STEP;
            if (n->kind != NOTE_TRY)
                continue;
            assert_non_null(decision_text(told, ((const struct note_try *)(const void *)n)->endpoint));
            tries++;
        }
        free(told);
    }
    step_sheet_unref(sheets[0]);
    step_sheet_unref(sheets[1]);
    assert_true(tries > 1000 && steps > 1000);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_nothing_is_noted_nowhere),
        cmocka_unit_test(test_steps_with_room_for_all),
        cmocka_unit_test(test_steps_of_many),
        cmocka_unit_test(test_steps_on_a_sheet),
        cmocka_unit_test(test_a_sheet_that_lists_none),
        cmocka_unit_test(test_tries_are_named_by_their_step),
        cmocka_unit_test(test_waiting_lets_go_of_sheets),
        cmocka_unit_test(test_any_room),
        cmocka_unit_test(test_waiting_takes_no_more_room),
        cmocka_unit_test(test_a_try_without_room_ends_the_wait),
        cmocka_unit_test(test_any_order_in_any_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
