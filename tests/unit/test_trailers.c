/* What may follow a body, and what has to stand in heads. */
#include "http/trailers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const pass[] = { "X-Late", "grpc-status", "grpc-message", "Server-Timing", "Digest", "ETag", "Last-Modified", "x", "X-Contents", "Ifs",
                                    "X-Forward", "Cfx", "a-name-that-is-longer-than-any-name-that-anybody-would-want-to-look-for-in-a-message" };
static const char *const stay[] = {
    "", "Content-Length", "content-length", "Content_Length", "Transfer-Encoding", "transfer_encoding", "Trailer", "TE", "Connection", "Keep-Alive", "Upgrade",
    "Host", "Expect", "Authorization", "Cookie", "Set-Cookie", "Proxy-Authorization", "Proxy-Connection", "Content-Type", "Content-Encoding", "Content-Range",
    "Content-A", "Range", "If-Match", "If-None-Match", "Cache-Control", "Max-Forwards", "Age", "Expires", "Date", "Location", "Retry-After", "Vary",
    "WWW-Authenticate", "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Anything", "Forwarded", "X-Real-IP", "True-Client-IP", "X-Request-ID",
    "CF-Connecting-IP", "cf-cloudflared-proxy-connection-upgrade", "cf_cloudflared_a", "Cf-Ray", "Sec-WebSocket-Key", "Idempotency-Key",
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pass / sizeof *pass; i++)
        if (!trailer_may_pass(slice_of(pass[i])))
            fail_msg("%s should pass", pass[i]);
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++)
        if (trailer_may_pass(slice_of(stay[i])))
            fail_msg("%s should not pass", stay[i]);
}

static const struct {
    const char *lines, *cleaned;
} texts[] = {
    { "", "" },
    { "A: b\r\n", "A: b\r\n" },
    { "A:\r\nB:  c \t\r\n", "A:\r\nB:  c \t\r\n" },
    { "Content-Length: 3\r\nA: b\r\nHost: c\r\nD: e\r\nTE: f\r\n", "A: b\r\nD: e\r\n" },
    { "Host: c\r\n", "" },
    { "A: b\r\nC: d", "A: b\r\n" }, /* what is cut off is none */
    { "A: b\r\nno colon\r\nC: d\r\n", "A: b\r\n" },
    { "A: b:c\r\n", "A: b:c\r\n" },
};

static void test_lines_are_cleaned(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i].lines);
        char *lines = malloc(n + 1); /* one of its own, for AddressSanitizer */
        assert_non_null(lines);
        memcpy(lines, texts[i].lines, n);
        n = trailers_clean(lines, n);
        assert_int_equal(n, strlen(texts[i].cleaned));
        assert_memory_equal(lines, texts[i].cleaned, n);
        assert_int_equal(trailers_clean(lines, n), n); /* and stay so */
        free(lines);
    }
}

static void test_fields_one_by_one(void **state)
{
    struct slice lines = SLICE("A: b\r\nC:\r\nD:\t e f \r\n"), name, value;
    static const char *const expected[][2] = { { "A", "b" }, { "C", "" }, { "D", "e f" } };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(trailers_next(&lines, &name, &value));
        assert_true(slice_eq(name, slice_of(expected[i][0])) && slice_eq(value, slice_of(expected[i][1])));
    }
    assert_false(trailers_next(&lines, &name, &value));
}

/* --- kept in pieces --- */

/* In the place of base/buffer.c: one that has no memory when it is told so, and knows how many it gave. */
static bool memory_is_out;
static unsigned given;

struct buffer *buffer_take(struct buffer_pool *pool, size_t size)
{
    struct buffer *b = memory_is_out ? NULL : malloc(sizeof *b + size);
    (void)pool;
    if (!b)
        return NULL;
    *b = (struct buffer){ .size = (uint32_t)size };
    given++;
    return b;
}

void buffer_give(struct buffer_pool *pool, struct buffer *b)
{
    (void)pool;
    given -= b != NULL;
    free(b);
}

/* What is offered, piece by piece; NULL ends them. "-": as many bytes as may be kept in all. */
static const struct {
    const char *pieces[5];
    unsigned without_memory; /* for the how many-th of them memory is out; 0: for none */
    const char *kept;
} kept_rows[] = {
    { { NULL }, 0, "" },
    { { "A: b\r\n", "", "C: ", "d\r\n" }, 0, "A: b\r\nC: d\r\n" },
    { { "X-Long: aaaa", "B: c\r\n" }, 1, "" }, /* else the rest of a line were a line */
    { { "A: b\r\n", "C: d\r\n" }, 2, "A: b\r\nC: d\r\n" }, /* nothing more has to be taken */
    { { "A: b\r\nX-Long: ", "-", "C: d\r\n", "E: f\r\n" }, 0, "" },
    { { "", "A: b\r\n" }, 1, "A: b\r\n" },
};

static void test_with_a_piece_lost_all_is(void **state)
{
    char filling[TRAILERS_MAX];
    (void)state;
    memset(filling, 'x', sizeof filling);
    for (size_t i = 0; i < sizeof kept_rows / sizeof *kept_rows; i++) {
        struct trailers t = { 0 };
        for (unsigned j = 0; kept_rows[i].pieces[j]; j++) {
            const char *piece = kept_rows[i].pieces[j];
            memory_is_out = j + 1 == kept_rows[i].without_memory;
            trailers_keep(NULL, &t, *piece == '-' ? (struct slice){ filling, sizeof filling } : slice_of(piece));
        }
        memory_is_out = false;
        if (!slice_eq(trailers_kept(&t), slice_of(kept_rows[i].kept)))
            fail_msg("row %zu: %.*s", i, (int)trailers_kept(&t).n, trailers_kept(&t).p);
        assert_int_equal(given, t.lines != NULL);
        trailers_clear(NULL, &t);
        assert_int_equal(given, 0);
        trailers_keep(NULL, &t, SLICE("A: b\r\n"));
        assert_int_equal(trailers_kept(&t).n, 6); /* as at first */
        trailers_clear(NULL, &t);
    }
}

static void test_as_many_as_fit(void **state)
{
    struct trailers t = { 0 };
    char line[TRAILERS_MAX / 8];
    (void)state;
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 8; i++)
        trailers_keep(NULL, &t, (struct slice){ line, sizeof line });
    assert_int_equal(trailers_kept(&t).n, TRAILERS_MAX);
    trailers_keep(NULL, &t, SLICE("x"));
    assert_int_equal(trailers_kept(&t).n, 0);
    assert_int_equal(given, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_lines_are_cleaned),
        cmocka_unit_test(test_fields_one_by_one),
        cmocka_unit_test(test_with_a_piece_lost_all_is),
        cmocka_unit_test(test_as_many_as_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
