#include "edge/head_filter.h"

#include "edge/edge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { DATA = 0, HEADERS = 1, CONTINUATION = 9, END_HEADERS = 4 };

static uint8_t wire[512 * 1024], expected[512 * 1024], seen[512 * 1024];
static size_t wire_n, expected_n, seen_n;
static int32_t oversize[8];
static unsigned oversize_n;

static void frame(uint8_t type, uint8_t flags, uint32_t stream, size_t n, bool passes)
{
    uint8_t head[9] = { (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags,
                        (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream };
    size_t from = wire_n;
    memcpy(wire + wire_n, head, sizeof head);
    memset(wire + wire_n + sizeof head, (int)('a' + stream % 20), n);
    wire_n += sizeof head + n;
    if (!passes)
        return;
    memcpy(expected + expected_n, wire + from, wire_n - from);
    expected_n += wire_n - from;
}

static bool feed(void *arg, const uint8_t *p, size_t n)
{
    (void)arg;
    memcpy(seen + seen_n, p, n);
    seen_n += n;
    return true;
}

static bool refuse(void *arg, const uint8_t *p, size_t n)
{
    (void)arg;
    (void)p;
    (void)n;
    return false;
}

static void note_oversize(void *arg, int32_t stream)
{
    (void)arg;
    oversize[oversize_n++] = stream;
}

/* The same bytes in pieces of every size: the same frames, in the same order. */
static void check(void)
{
    for (size_t step = 1; step <= wire_n; step = step < 24 ? step + 1 : step * 3 + 1) {
        struct head_filter f = { 0 };
        seen_n = oversize_n = 0;
        for (size_t at = 0; at < wire_n; at += step)
            assert_true(head_filter_run(&f, wire + at, wire_n - at < step ? wire_n - at : step, feed, note_oversize, NULL));
        assert_int_equal(seen_n, expected_n);
        assert_memory_equal(seen, expected, expected_n);
        assert_null(f.held);
    }
}

static int start(void **state)
{
    (void)state;
    wire_n = expected_n = 0;
    return 0;
}

static void test_ordinary_frames_pass(void **state)
{
    (void)state;
    frame(4, 0, 0, 12, true);
    frame(HEADERS, END_HEADERS, 1, 300, true);
    frame(DATA, 1, 1, 5000, true);
    frame(6, 0, 0, 8, true);
    frame(4, 1, 0, 0, true);
    check();
    assert_int_equal(oversize_n, 0);
}

static void test_a_block_in_several_frames_passes_whole(void **state)
{
    (void)state;
    frame(HEADERS, 0, 3, 16384, true);
    frame(CONTINUATION, 0, 3, 16384, true);
    frame(CONTINUATION, END_HEADERS, 3, 0, true);
    frame(DATA, 1, 3, 10, true);
    check();
    assert_int_equal(oversize_n, 0);
}

static void test_a_block_that_is_too_large_is_left_out(void **state)
{
    (void)state;
    frame(HEADERS, END_HEADERS, 1, 10, true);
    frame(HEADERS, 0, 5, 16384, false);
    for (int i = 0; i < 4; i++)
        frame(CONTINUATION, 0, 5, 16384, false);
    frame(CONTINUATION, END_HEADERS, 5, 77, false);
    frame(DATA, 1, 1, 10, true);
    frame(HEADERS, 1 | END_HEADERS, 7, 20, true);
    check();
    assert_int_equal(oversize_n, 1);
    assert_int_equal(oversize[0], 5);
}

static void test_one_frame_that_is_too_large_is_left_out(void **state)
{
    (void)state;
    frame(HEADERS, END_HEADERS, 9, EDGE_HEAD_BLOCK_MAX + 2000, false);
    frame(DATA, 1, 1, 10, true);
    check();
    assert_int_equal(oversize_n, 1);
    assert_int_equal(oversize[0], 9);
}

static void test_what_is_told_by_the_feeder_ends_it(void **state)
{
    (void)state;
    struct head_filter f = { 0 };
    frame(DATA, 0, 1, 10, true);
    assert_false(head_filter_run(&f, wire, wire_n, refuse, note_oversize, NULL));
}

static void test_clear_frees_what_is_held(void **state)
{
    (void)state;
    struct head_filter f = { 0 };
    frame(HEADERS, 0, 3, 1000, false);
    seen_n = 0;
    assert_true(head_filter_run(&f, wire, wire_n, feed, note_oversize, NULL));
    assert_non_null(f.held);
    assert_int_equal(seen_n, 0);
    head_filter_clear(&f);
    assert_null(f.held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ordinary_frames_pass, start),
        cmocka_unit_test_setup(test_a_block_in_several_frames_passes_whole, start),
        cmocka_unit_test_setup(test_a_block_that_is_too_large_is_left_out, start),
        cmocka_unit_test_setup(test_one_frame_that_is_too_large_is_left_out, start),
        cmocka_unit_test_setup(test_what_is_told_by_the_feeder_ends_it, start),
        cmocka_unit_test_setup(test_clear_frees_what_is_held, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
