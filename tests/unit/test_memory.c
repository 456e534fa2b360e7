/* Buffers and their pool, arenas, growing texts, allocation that can't fail. */
#include "base/arena.h"
#include "base/buffer.h"
#include "base/mem.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void buffers_have_the_size_asked_for(void **state)
{
    (void)state;
    static const struct {
        size_t asked, given;
    } rows[] = {
        { 0, BUFFER_SMALL },  { 1, BUFFER_SMALL },          { BUFFER_SMALL, BUFFER_SMALL },         { BUFFER_SMALL + 1, BUFFER_LARGE },
        { BUFFER_LARGE, BUFFER_LARGE }, { BUFFER_LARGE + 1, BUFFER_LARGE + 1 },
    };
    struct buffer_pool pool;
    buffer_pool_init(&pool, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer *b = buffer_take(&pool, rows[i].asked);
        assert_non_null(b);
        assert_int_equal(b->size, rows[i].given);
        assert_int_equal(buffer_length(b), 0);
        assert_int_equal(buffer_room(b), rows[i].given);
        memset(b->data, 'x', b->size);
        b->start = 3;
        b->end = 10;
        assert_int_equal(buffer_length(b), 7);
        buffer_give(&pool, b);
    }
    assert_int_equal(pool.small_count, 1); /* the others were taken from the pool */
    assert_int_equal(pool.large_count, 1);
    assert_null(buffer_take(&pool, SIZE_MAX));
    buffer_give(&pool, NULL);
    buffer_pool_clear(&pool);
    assert_int_equal(pool.keep, 2);
}

static void the_pool_keeps_no_more_than_it_may(void **state)
{
    (void)state;
    struct buffer_pool pool;
    struct buffer *taken[5];
    buffer_pool_init(&pool, 3);
    for (int i = 0; i < 5; i++)
        taken[i] = buffer_take(&pool, 1);
    for (int i = 0; i < 5; i++) {
        taken[i]->end = 5;
        buffer_give(&pool, taken[i]);
    }
    assert_int_equal(pool.small_count, 3);
    struct buffer *b = buffer_take(&pool, 1);
    assert_ptr_equal(b, taken[2]); /* the last that was kept is warmest */
    assert_int_equal(buffer_length(b), 0);
    buffer_give(&pool, b);
    buffer_pool_clear(&pool);
    assert_int_equal(pool.small_count, 0);
}

static void arenas_give_zeroed_aligned_memory(void **state)
{
    (void)state;
    struct arena a = { 0 };
    for (size_t size = 0; size < 50000; size = size * 2 + 1) {
        unsigned char *p = arena_alloc(&a, size);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 'x', size);
    }
    int *numbers = arena_array(&a, 100, sizeof *numbers);
    assert_int_equal(numbers[99], 0);
    char *copy = arena_copy_text(&a, "copy");
    char *printed = arena_printf(&a, "%s-%d", copy, 42);
    assert_string_equal(printed, "copy-42");
    assert_string_equal(copy, "copy");
    arena_clear(&a);
    assert_null(a.blocks);
    arena_clear(&a);
    assert_string_equal(arena_copy_text(&a, ""), ""); /* usable again */
    arena_clear(&a);
}

static void texts_grow(void **state)
{
    (void)state;
    struct text t = { 0 };
    char *taken = text_take(&t);
    assert_string_equal(taken, "");
    free(taken);
    text_add_bytes(&t, NULL, 0);
    text_add(&t, "a");
    text_addf(&t, "%d%s", 1, "b");
    text_add_bytes(&t, "c\0d", 3);
    assert_int_equal(t.n, 6);
    assert_memory_equal(t.p, "a1bc\0d", 7);
    for (int i = 0; i < 1000; i++)
        text_addf(&t, "%05d", i);
    assert_int_equal(t.n, 5006);
    assert_string_equal(t.p + 5001, "00999");
    text_clear(&t);
    assert_null(t.p);
    text_add(&t, "again");
    taken = text_take(&t);
    assert_string_equal(taken, "again");
    assert_int_equal(t.n, 0);
    free(taken);
}

static void allocations_are_there(void **state)
{
    (void)state;
    int *zero = mem_zero(sizeof *zero), *array = mem_array(3, sizeof *array);
    assert_int_equal(*zero + array[0] + array[2], 0);
    array[0] = 7;
    array = mem_resize(array, 1000, sizeof *array);
    assert_int_equal(array[0], 7);
    char *text = mem_copy_text("text"), *bytes = mem_copy("ab", 2), *printed = mem_printf("%s%d", text, 1);
    assert_string_equal(text, "text");
    assert_string_equal(bytes, "ab");
    assert_string_equal(printed, "text1");
    void *none = mem_alloc(0);
    assert_non_null(none);
    free(none);
    free(zero);
    free(array);
    free(text);
    free(bytes);
    mem_free_secret(printed);
    mem_free_secret(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_have_the_size_asked_for),
        cmocka_unit_test(the_pool_keeps_no_more_than_it_may),
        cmocka_unit_test(arenas_give_zeroed_aligned_memory),
        cmocka_unit_test(texts_grow),
        cmocka_unit_test(allocations_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
