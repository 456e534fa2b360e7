/* The last requests, and those that are under way. */
#include "proxy/remembered.h"

#include "balance/sheet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct remembered *remembered_of(unsigned n)
{
    struct remembered *r = remembered_new();
    remembered_resize(r, n);
    return r;
}

static void begin(struct remembered *r, unsigned id, struct decision **owner)
{
    char text[16];
    snprintf(text, sizeof text, "%u", id);
    assert_non_null(remembered_begin(r, text, 8, owner));
}

/* It ends at once. */
static void note(struct remembered *r, unsigned id)
{
    struct decision *d;
    begin(r, id, &d);
    remembered_end(r, d);
}

static void assert_remembered(const struct remembered *r, unsigned from, unsigned to, unsigned of)
{
    for (unsigned i = 0; i < of; i++) {
        char id[16];
        unsigned same;
        snprintf(id, sizeof id, "%u", i);
        const struct decision *d = remembered_find(r, id, &same);
        assert_int_equal(d != NULL, i >= from && i < to);
        assert_int_equal(same, d != NULL);
    }
}

static void test_the_oldest_gives_way(void **state)
{
    struct remembered *r = remembered_of(3);

    assert_remembered(r, 0, 0, 3);
    for (unsigned i = 0; i < 10; i++) {
        note(r, i);
        assert_remembered(r, i < 3 ? 0 : i - 2, i + 1, 12);
    }
    remembered_free(r);
    (void)state;
}

static void test_the_newest_come_first(void **state)
{
    struct remembered *r = remembered_of(3);

    assert_null(remembered_newest(r, 0));
    for (unsigned i = 0; i < 5; i++) {
        note(r, i);
        for (unsigned k = 0; k < 4; k++) {
            char id[16];
            const struct decision *d = remembered_newest(r, k);
            snprintf(id, sizeof id, "%u", i - k);
            assert_int_equal(d != NULL, k < 3 && k <= i);
            if (d)
                assert_string_equal(d->id, id);
        }
    }
    remembered_free(r);
    (void)state;
}

static void test_all_that_is_noted_is_kept(void **state)
{
    struct remembered *r = remembered_of(1);
    struct decision *d;
    unsigned same, n = 0;

    begin(r, 7, &d);
    while (DECISION_ADD(d, NOTE_QUEUED, note_queued))
        n++;
    uint32_t used = d->used;
    remembered_end(r, d);
    const struct decision *kept = remembered_find(r, "7", &same);
    assert_true(kept->used == used && kept->cut);
    for (const struct note *note = decision_first(kept); note; note = decision_next(kept, note))
        n--;
    assert_int_equal(n, 0);
    remembered_free(r);
    (void)state;
}

static void test_who_is_under_way(void **state)
{
    struct remembered *r = remembered_of(2);
    struct decision *first, *second, *none;
    unsigned same;

    begin(r, 0, &first);
    begin(r, 1, &second);
    assert_ptr_equal(remembered_find(r, "0", &same), first);
    note(r, 2);
    assert_null(first); /* it was told */
    assert_ptr_equal(remembered_find(r, "1", &same), second);
    remembered_resize(r, 5);
    assert_ptr_equal(remembered_find(r, "1", &same), second);
    second->status = 7;
    assert_int_equal(remembered_find(r, "1", &same)->status, 7);
    remembered_resize(r, 0);
    assert_null(second);
    assert_null(remembered_begin(r, "5", 8, &none));
    assert_null(none);
    remembered_free(r);
    (void)state;
}

static void test_same_ids(void **state)
{
    struct remembered *r = remembered_of(5);
    unsigned same;

    for (unsigned i = 0; i < 3; i++) {
        struct decision *d;
        begin(r, 7, &d);
        d->status = (uint16_t)i;
        remembered_end(r, d);
    }
    assert_int_equal(remembered_find(r, "7", &same)->status, 2);
    assert_int_equal(same, 3);
    remembered_free(r);
    (void)state;
}

static void test_more_or_fewer(void **state)
{
    static const struct {
        unsigned from, notes, to, first;
    } rows[] = { { 4, 2, 8, 0 }, { 4, 4, 8, 0 }, { 4, 7, 8, 3 }, { 4, 7, 4, 3 }, { 4, 7, 2, 5 }, { 4, 2, 1, 1 }, { 4, 7, 0, 7 } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct remembered *r = remembered_of(rows[i].from);
        for (unsigned k = 0; k < rows[i].notes; k++)
            note(r, k);
        remembered_resize(r, rows[i].to);
        assert_remembered(r, rows[i].first, rows[i].notes, 12);
        remembered_resize(r, 9);
        note(r, rows[i].notes);
        assert_remembered(r, rows[i].first, rows[i].notes + 1, 12);
        remembered_free(r);
    }
    (void)state;
}

/* Those of the blocks that give way, and of all at the end: a leak, or a use after it, is found by a sanitizer. */
static void test_sheets_are_let_go(void **state)
{
    struct remembered *r = remembered_of(3);
    struct decision *scratch = malloc(2048);
    decision_begin(scratch, 2048, 8);
    struct step_sheet *sheet = step_sheet_new(scratch, decision_add_step(scratch, AMONG_POOLS, NULL, "random", 0));

    for (unsigned i = 0; i < 7; i++) {
        struct decision *d;
        begin(r, i, &d);
        assert_non_null(decision_add_on_sheet(d, sheet));
        remembered_end(r, d);
        if (i == 4)
            remembered_resize(r, 2);
    }
    free(scratch);
    step_sheet_unref(sheet);
    remembered_free(r);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_gives_way),
        cmocka_unit_test(test_the_newest_come_first),
        cmocka_unit_test(test_all_that_is_noted_is_kept),
        cmocka_unit_test(test_who_is_under_way),
        cmocka_unit_test(test_same_ids),
        cmocka_unit_test(test_more_or_fewer),
        cmocka_unit_test(test_sheets_are_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
