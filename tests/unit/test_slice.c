/* Slices and lists. */
#include "base/list.h"
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void slices_are_compared(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal, folded, starts;
    } rows[] = {
        { "", "", true, true, true },         { "a", "", false, false, true },         { "", "a", false, false, false },
        { "abc", "abc", true, true, true },   { "abc", "ABC", false, true, true },     { "abc", "abd", false, false, false },
        { "abc", "Ab", false, false, true },  { "a\xc3", "A\xe3", false, false, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice a = slice_of(rows[i].a), b = slice_of(rows[i].b);
        assert_int_equal(slice_eq(a, b), rows[i].equal);
        assert_int_equal(slice_eq_nocase(a, b), rows[i].folded);
        assert_int_equal(slice_starts_nocase(a, b), rows[i].starts);
    }
    assert_true(slice_eq(slice_of(NULL), SLICE("")));
}

static void white_space_is_trimmed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *trimmed;
    } rows[] = { { "", "" }, { " \t ", "" }, { "a", "a" }, { " a b\t", "a b" }, { "\ra\n", "\ra\n" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_true(slice_eq(slice_trim(slice_of(rows[i].text)), slice_of(rows[i].trimmed)));
}

static void elements_are_taken_one_by_one(void **state)
{
    (void)state;
    static const struct {
        const char *list, *elements;
    } rows[] = {
        { "", "[]" },          { "a", "[a]" },          { "a,b", "[a][b]" },    { " a ,\tb c ", "[a][b c]" },
        { ",", "[][]" },       { "a,,b,", "[a][][b][]" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice rest = slice_of(rows[i].list), element;
        char elements[64] = "";
        size_t n = 0;
        while (slice_next_element(&rest, &element))
            n += (size_t)snprintf(elements + n, sizeof elements - n, "[%.*s]", SLICE_ARG(element));
        assert_string_equal(elements, rows[i].elements);
    }
    struct slice nothing = slice_of(NULL), element;
    assert_false(slice_next_element(&nothing, &element));
}

struct item {
    int value;
    struct list node;
};

static void assert_items(const struct list *l, const char *expected)
{
    char items[64] = "";
    size_t n = 0;
    for (const struct list *node = l->next; node != l; node = node->next) {
        assert_ptr_equal(node->next->prev, node);
        n += (size_t)snprintf(items + n, sizeof items - n, "%d", CONTAINER_OF(node, struct item, node)->value);
    }
    assert_string_equal(items, expected);
    assert_int_equal(list_empty(l), !*expected);
}

static void lists_keep_their_order(void **state)
{
    (void)state;
    struct list a, b;
    struct item items[6];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 6; i++) {
        items[i].value = i;
        list_init(&items[i].node);
    }
    assert_items(&a, "");
    assert_null(list_pop_front(&a));
    list_push_back(&a, &items[1].node);
    list_push_back(&a, &items[2].node);
    list_push_front(&a, &items[0].node);
    assert_items(&a, "012");
    list_append_all(&a, &b);
    assert_items(&a, "012");
    list_append_all(&b, &a);
    assert_items(&a, "");
    assert_items(&b, "012");
    list_push_back(&a, &items[3].node);
    list_append_all(&a, &b);
    assert_items(&a, "3012");
    list_remove(&items[0].node);
    list_remove(&items[0].node); /* on no list: nothing happens */
    assert_items(&a, "312");
    assert_ptr_equal(list_pop_front(&a), &items[3].node);
    assert_true(list_empty(&items[3].node));
    assert_items(&a, "12");
}

static void a_node_may_be_removed_while_visited(void **state)
{
    (void)state;
    struct list l;
    struct item items[5];
    int sum = 0;
    list_init(&l);
    for (int i = 0; i < 5; i++) {
        items[i].value = i;
        list_push_back(&l, &items[i].node);
    }
    LIST_FOR_EACH (node, &l) {
        int value = CONTAINER_OF(node, struct item, node)->value;
        sum += value;
        if (value % 2 == 0)
            list_remove(node);
    }
    assert_int_equal(sum, 10);
    assert_items(&l, "13");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_compared),
        cmocka_unit_test(white_space_is_trimmed),
        cmocka_unit_test(elements_are_taken_one_by_one),
        cmocka_unit_test(lists_keep_their_order),
        cmocka_unit_test(a_node_may_be_removed_while_visited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
