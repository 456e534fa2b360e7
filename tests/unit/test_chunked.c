/* The chunked coding, whole, byte by byte, and cut at every position. */
#include "http/chunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAYLOAD_MAX = 64 * 1024 };

struct decoded {
    enum http_parse_result result;
    enum http_parse_error error;
    size_t consumed, payload, trailers;
    char data[PAYLOAD_MAX];
    char lines[CHUNK_TRAILERS_MAX];
};

/* Feeds `first` bytes, then `step` at a time; each piece is a block of its own, so that AddressSanitizer watches its ends. */
static void decode(struct decoded *out, struct slice input, size_t first, size_t step)
{
    struct chunk_decoder decoder = { 0 };
    size_t at = 0, n = first < input.n ? first : input.n;
    out->consumed = out->payload = out->trailers = 0;
    for (;;) {
        size_t payload, consumed;
        char *piece = malloc(n ? n : 1);
        assert_non_null(piece);
        if (n)
            memcpy(piece, input.p + at, n);
        out->result = chunk_decode(&decoder, piece, n, &payload, &consumed);
        assert_true(payload + decoder.trailers <= consumed && consumed <= n && out->payload + payload <= PAYLOAD_MAX);
        assert_true(out->trailers + decoder.trailers <= sizeof out->lines);
        if (out->result == HTTP_PARSE_MORE)
            assert_int_equal(consumed, n);
        if (payload)
            memcpy(out->data + out->payload, piece, payload);
        memcpy(out->lines + out->trailers, piece + payload, decoder.trailers);
        free(piece);
        out->payload += payload;
        out->trailers += decoder.trailers;
        out->consumed += consumed;
        at += n;
        if (out->result != HTTP_PARSE_MORE || at == input.n)
            break;
        n = input.n - at < step ? input.n - at : step;
    }
    out->error = decoder.error;
}

static void assert_same(const char *name, const struct decoded *a, const struct decoded *b)
{
    if (a->result != b->result || a->error != b->error || a->consumed != b->consumed || a->payload != b->payload ||
        memcmp(a->data, b->data, a->payload) != 0 || a->trailers != b->trailers || memcmp(a->lines, b->lines, a->trailers) != 0)
        fail_msg("%s: where the input is cut changes the outcome", name);
}

static void decode_every_way(struct decoded *out, const char *name, struct slice input)
{
    struct decoded *again = malloc(sizeof *again);
    assert_non_null(again);
    decode(out, input, input.n, 1);
    decode(again, input, 0, 1);
    assert_same(name, out, again);
    for (size_t cut = 0; cut <= input.n; cut++) {
        decode(again, input, cut, input.n);
        assert_same(name, out, again);
    }
    free(again);
}

#define INPUT(literal) { (literal), sizeof(literal) - 1 }

static const struct {
    const char *name;
    struct slice input;
    const char *payload;
    size_t rest; /* bytes of the next message */
} whole[] = {
    { "empty", INPUT("0\r\n\r\n"), "", 0 },
    { "one chunk", INPUT("3\r\nabc\r\n0\r\n\r\n"), "abc", 0 },
    { "several", INPUT("1\r\na\r\n0002\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\n"), "abc0123456789", 0 },
    { "hex in both cases", INPUT("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n"), "01234567890123456789a", 0 },
    { "data that looks like framing", INPUT("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), "\r\n0\r\n\r\n", 0 },
    { "what follows is not ours", INPUT("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), "a", 16 },
    { "several zeros", INPUT("000\r\n\r\n"), "", 0 },
    { "sixteen digits", INPUT("0000000000000001\r\na\r\n0\r\n\r\n"), "a", 0 },
    { "extensions", INPUT("1;a=b\r\na\r\n2 ; c = \"d;\xe9\" \t\r\nbc\r\n0;last\r\n\r\n"), "abc", 0 },
    { "trailers", INPUT("1\r\na\r\n0\r\nA: b\r\nC:\r\nD: \t e \xe9\r\n\r\n"), "a", 0 },
};

static void bodies_are_decoded(void **state)
{
    (void)state;
    static struct decoded d;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        decode_every_way(&d, whole[i].name, whole[i].input);
        if (d.result != HTTP_PARSE_DONE)
            fail_msg("%s: not accepted: %s", whole[i].name, http_error_text(d.error));
        assert_int_equal(d.consumed, whole[i].input.n - whole[i].rest);
        assert_int_equal(d.payload, strlen(whole[i].payload));
        assert_memory_equal(d.data, whole[i].payload, d.payload);
    }
}

static const struct {
    const char *name;
    struct slice input;
    enum http_parse_error error;
    size_t at;
    const char *payload; /* what was decoded before */
} refused[] = {
    { "no size", INPUT("\r\n"), HTTP_ERROR_CHUNK_SIZE, 0, "" },
    { "no digits before an extension", INPUT(";a\r\n"), HTTP_ERROR_CHUNK_SIZE, 0, "" },
    { "not hexadecimal", INPUT("g\r\n"), HTTP_ERROR_CHUNK_SIZE, 0, "" },
    { "0x", INPUT("0x3\r\nabc\r\n"), HTTP_ERROR_CHUNK_SIZE, 1, "" },
    { "sign", INPUT("+3\r\nabc\r\n"), HTTP_ERROR_CHUNK_SIZE, 0, "" },
    { "minus", INPUT("-1\r\n"), HTTP_ERROR_CHUNK_SIZE, 0, "" },
    { "space before", INPUT(" 3\r\nabc\r\n"), HTTP_ERROR_CHUNK_SIZE, 0, "" },
    { "space after", INPUT("3 \r\nabc\r\n"), HTTP_ERROR_CHUNK_SIZE, 2, "" },
    { "underscore", INPUT("1_0\r\n"), HTTP_ERROR_CHUNK_SIZE, 1, "" },
    { "quoted", INPUT("\"3\"\r\n"), HTTP_ERROR_CHUNK_SIZE, 0, "" },
    { "NUL", INPUT("3\0\r\n"), HTTP_ERROR_CHUNK_SIZE, 1, "" },
    { "2^63", INPUT("8000000000000000\r\n"), HTTP_ERROR_CHUNK_SIZE, 15, "" },
    { "2^64", INPUT("10000000000000000\r\n"), HTTP_ERROR_CHUNK_SIZE, 16, "" },
    { "2^64 + 3", INPUT("10000000000000003\r\n"), HTTP_ERROR_CHUNK_SIZE, 16, "" },
    { "seventeen zeros", INPUT("00000000000000000\r\n"), HTTP_ERROR_CHUNK_SIZE, 16, "" },
    { "bare LF after the size", INPUT("3\nabc\r\n"), HTTP_ERROR_BARE_LF, 1, "" },
    { "bare CR after the size", INPUT("3\rabc\r\n"), HTTP_ERROR_BARE_CR, 2, "" },
    { "bare LF after an extension", INPUT("3;a\nabc\r\n"), HTTP_ERROR_BARE_LF, 3, "" },
    { "bare CR in an extension", INPUT("3;a\rb\r\n"), HTTP_ERROR_BARE_CR, 4, "" },
    { "control in an extension", INPUT("3;a\x01\r\n"), HTTP_ERROR_CHUNK_EXTENSION, 3, "" },
    { "NUL in an extension", INPUT("3;a\0\r\n"), HTTP_ERROR_CHUNK_EXTENSION, 3, "" },
    { "more data than announced", INPUT("3\r\nabcd\r\n"), HTTP_ERROR_CHUNK_END, 6, "abc" },
    { "bare LF after the data", INPUT("3\r\nabc\n0\r\n\r\n"), HTTP_ERROR_CHUNK_END, 6, "abc" },
    { "bare CR after the data", INPUT("3\r\nabc\r0\r\n\r\n"), HTTP_ERROR_CHUNK_END, 7, "abc" },
    { "no size for the second", INPUT("1\r\na\r\n\r\n"), HTTP_ERROR_CHUNK_SIZE, 6, "a" },
    { "bare LF as last line", INPUT("0\r\n\n"), HTTP_ERROR_BARE_LF, 3, "" },
    { "bare CR as last line", INPUT("0\r\n\rx"), HTTP_ERROR_BARE_CR, 4, "" },
    { "trailer without colon", INPUT("0\r\nabc\r\n\r\n"), HTTP_ERROR_TRAILER, 6, "" },
    { "trailer without name", INPUT("0\r\n: a\r\n\r\n"), HTTP_ERROR_TRAILER, 3, "" },
    { "space before the colon of a trailer", INPUT("0\r\nA : b\r\n\r\n"), HTTP_ERROR_TRAILER, 4, "" },
    { "folded trailer", INPUT("0\r\nA: b\r\n c\r\n\r\n"), HTTP_ERROR_TRAILER, 9, "" },
    { "control in a trailer", INPUT("0\r\nA: \x01\r\n\r\n"), HTTP_ERROR_TRAILER, 6, "" },
    { "NUL in a trailer", INPUT("0\r\nA: \0\r\n\r\n"), HTTP_ERROR_TRAILER, 6, "" },
    { "DEL in a trailer", INPUT("0\r\nA: \x7f\r\n\r\n"), HTTP_ERROR_TRAILER, 6, "" },
    { "bare LF after a trailer", INPUT("0\r\nA: b\n\r\n"), HTTP_ERROR_BARE_LF, 7, "" },
    { "bare CR in a trailer", INPUT("0\r\nA: b\rc\r\n\r\n"), HTTP_ERROR_BARE_CR, 8, "" },
    { "request instead of the last chunk", INPUT("1\r\na\r\nGET / HTTP/1.1\r\n"), HTTP_ERROR_CHUNK_SIZE, 6, "a" },
};

static void broken_framing_is_refused(void **state)
{
    (void)state;
    static struct decoded d;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        decode_every_way(&d, refused[i].name, refused[i].input);
        if (d.result != HTTP_PARSE_ERROR)
            fail_msg("%s: not refused", refused[i].name);
        if (d.error != refused[i].error || d.consumed != refused[i].at)
            fail_msg("%s: refused for \"%s\" at %zu, not for \"%s\" at %zu", refused[i].name, http_error_text(d.error), d.consumed,
                     http_error_text(refused[i].error), refused[i].at);
        assert_int_equal(http_error_status(d.error), 400);
        assert_int_equal(d.payload, strlen(refused[i].payload));
        assert_memory_equal(d.data, refused[i].payload, d.payload);
    }
}

static void prefixes_are_unfinished(void **state)
{
    (void)state;
    static struct decoded d;
    struct slice input = SLICE("2;x\r\nab\r\n0\r\nA: b\r\n\r\n");
    for (size_t n = 0; n < input.n; n++) {
        decode(&d, (struct slice){ input.p, n }, 0, 1);
        assert_int_equal(d.result, HTTP_PARSE_MORE);
        assert_int_equal(d.consumed, n);
    }
}

/* Neither outcome changes when more bytes come. */
static void outcomes_are_final(void **state)
{
    (void)state;
    struct chunk_decoder good = { 0 }, bad = { 0 };
    size_t payload, consumed;
    char end[] = "0\r\n\r\n", wrong[] = "x", more[] = "1\r\na\r\n";
    assert_int_equal(chunk_decode(&good, end, 5, &payload, &consumed), HTTP_PARSE_DONE);
    assert_int_equal(chunk_decode(&good, more, 6, &payload, &consumed), HTTP_PARSE_DONE);
    assert_int_equal(consumed, 0);
    assert_int_equal(chunk_decode(&bad, wrong, 1, &payload, &consumed), HTTP_PARSE_ERROR);
    assert_int_equal(chunk_decode(&bad, more, 6, &payload, &consumed), HTTP_PARSE_ERROR);
    assert_int_equal(consumed, 0);
}

struct writer {
    char data[PAYLOAD_MAX];
    size_t n;
};

static void put(struct writer *w, const char *text)
{
    size_t n = strlen(text);
    assert_true(w->n + n <= sizeof w->data);
    memcpy(w->data + w->n, text, n);
    w->n += n;
}

static void put_run(struct writer *w, char c, size_t n)
{
    assert_true(w->n + n <= sizeof w->data);
    memset(w->data + w->n, c, n);
    w->n += n;
}

static void assert_outcome(struct writer *w, enum http_parse_error error)
{
    static struct decoded d;
    struct slice input = { w->data, w->n };
    decode(&d, input, input.n, 1);
    assert_int_equal(d.error, error);
    assert_int_equal(d.result, error ? HTTP_PARSE_ERROR : HTTP_PARSE_DONE);
    decode(&d, input, 0, 1);
    assert_int_equal(d.error, error);
}

/* Of the extension's bytes its semicolon and white space count. */
static void extensions_of_a_line_are_limited(void **state)
{
    (void)state;
    static const char *const starts[] = { "1;", "1 ;", "1\t", "1;a=\"" };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        for (size_t extension = CHUNK_LINE_MAX - 1; extension <= CHUNK_LINE_MAX + 1; extension++) {
            static struct writer w;
            bool space = starts[i][1] == '\t';
            w.n = 0;
            put(&w, starts[i]);
            put_run(&w, space ? ' ' : 'a', extension - strlen(starts[i]) + 1 - space);
            put(&w, space ? ";" : "");
            put(&w, "\r\na\r\n0\r\n\r\n");
            assert_outcome(&w, extension > CHUNK_LINE_MAX ? HTTP_ERROR_CHUNK_EXTENSION : HTTP_ERROR_NONE);
        }
    }
}

static void extensions_of_a_message_are_limited(void **state)
{
    (void)state;
    static struct writer w;
    for (unsigned more = 0; more <= 1; more++) {
        w.n = 0;
        for (unsigned i = 0; i < CHUNK_EXTENSIONS_MAX / 128; i++) {
            put(&w, "1;");
            put_run(&w, 'a', 127);
            put(&w, "\r\na\r\n");
        }
        put(&w, more ? "0;\r\n\r\n" : "0\r\n\r\n");
        assert_outcome(&w, more ? HTTP_ERROR_CHUNK_EXTENSION : HTTP_ERROR_NONE);
    }
}

static void an_endless_extension_is_refused(void **state)
{
    (void)state;
    static struct writer w;
    w.n = 0;
    put(&w, "1;");
    put_run(&w, 'a', PAYLOAD_MAX - 2);
    assert_outcome(&w, HTTP_ERROR_CHUNK_EXTENSION);
}

/* All bytes after the last chunk's line count. */
static void trailers_are_left_to_the_caller(void **state)
{
    static const struct slice input = INPUT("1\r\na\r\n2\r\nbc\r\n0\r\nA: b\r\nC:\r\nD: \t e \xe9\r\n\r\nGET");
    static const char lines[] = "A: b\r\nC:\r\nD: \t e \xe9\r\n";
    static struct decoded d;
    (void)state;
    decode_every_way(&d, "trailers", input);
    assert_int_equal(d.result, HTTP_PARSE_DONE);
    assert_int_equal(d.payload, 3);
    assert_int_equal(d.trailers, sizeof lines - 1);
    assert_memory_equal(d.lines, lines, d.trailers);
}

static void trailers_are_limited(void **state)
{
    (void)state;
    static struct writer w;
    for (size_t size = CHUNK_TRAILERS_MAX - 1; size <= CHUNK_TRAILERS_MAX + 1; size++) {
        w.n = 0;
        put(&w, "0\r\nA: ");
        put_run(&w, 'b', size - 3 - 4);
        put(&w, "\r\n\r\n");
        assert_outcome(&w, size > CHUNK_TRAILERS_MAX ? HTTP_ERROR_TRAILER : HTTP_ERROR_NONE);
    }
    w.n = 0;
    put(&w, "0\r\n");
    for (size_t i = 0; i < CHUNK_TRAILERS_MAX / 4; i++)
        put(&w, "A:\r\n");
    put(&w, "\r\n");
    assert_outcome(&w, HTTP_ERROR_TRAILER);
}

static void heads_are_written(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *head;
    } rows[] = {
        { 0, "0\r\n" },           { 1, "1\r\n" },           { 15, "f\r\n" },         { 16, "10\r\n" },
        { 255, "ff\r\n" },        { 256, "100\r\n" },       { 65536, "10000\r\n" },  { INT64_MAX, "7fffffffffffffff\r\n" },
        { UINT64_MAX, "ffffffffffffffff\r\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char head[CHUNK_HEAD_MAX];
        size_t n = chunk_write_head(head, rows[i].size);
        assert_int_equal(n, strlen(rows[i].head));
        assert_memory_equal(head, rows[i].head, n);
    }
}

static void written_chunks_are_read(void **state)
{
    (void)state;
    static struct writer w;
    static struct decoded d;
    size_t expected = 0;
    w.n = 0;
    for (size_t size = 1; size < 20000; size = size * 3 + 1) {
        char head[CHUNK_HEAD_MAX];
        size_t n = chunk_write_head(head, size);
        memcpy(w.data + w.n, head, n);
        w.n += n;
        put_run(&w, 'x', size);
        put(&w, "\r\n");
        expected += size;
    }
    put(&w, "0\r\n\r\n");
    for (size_t step = 1; step < 5000; step = step * 2 + 1) {
        decode(&d, (struct slice){ w.data, w.n }, 0, step);
        assert_int_equal(d.result, HTTP_PARSE_DONE);
        assert_int_equal(d.payload, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_decoded),
        cmocka_unit_test(broken_framing_is_refused),
        cmocka_unit_test(prefixes_are_unfinished),
        cmocka_unit_test(outcomes_are_final),
        cmocka_unit_test(extensions_of_a_line_are_limited),
        cmocka_unit_test(extensions_of_a_message_are_limited),
        cmocka_unit_test(an_endless_extension_is_refused),
        cmocka_unit_test(trailers_are_left_to_the_caller),
        cmocka_unit_test(trailers_are_limited),
        cmocka_unit_test(heads_are_written),
        cmocka_unit_test(written_chunks_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
