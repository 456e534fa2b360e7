#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/text.h"
#include "net/stream.h"
#include "proxy/h1_out.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- heads --- */

static char scratch[H1_SCRATCH_SIZE];

static const char *format(const struct h1_message *m)
{
    static char text[H1_SCRATCH_SIZE + 1];
    size_t n = h1_format_head(m, text, sizeof text - 1);
    text[n] = 0;
    return text;
}

static void parse(const char *message, struct http_head *head)
{
    static const struct http_limits limits = { .size = 65536, .count = HTTP_FIELDS_MAX, .allow_bare_lf = true };
    struct http_parser parser;
    http_parser_start(&parser, head);
    assert_int_equal(http_parse_request(&parser, head, message, strlen(message), &limits), HTTP_PARSE_DONE);
}

static void drop(struct http_head *head, const char *base, const char *name)
{
    for (unsigned i = 0; i < head->n_fields; i++)
        if (slice_eq_nocase(http_field_name(base, &head->fields[i]), slice_of(name)))
            head->fields[i].flags |= FIELD_DROP;
}

static void test_request_head_drops_and_adds(void **state)
{
    (void)state;
    static const char message[] = "GET http://a/x HTTP/1.1\r\nA: 1\r\nHost: a\r\nB:  2 \r\nC: 3\r\nContent-Length: 5\r\nD: 4\nE: 5\r\n\r\n";
    struct http_head head;
    parse(message, &head);
    drop(&head, message, "Host");
    drop(&head, message, "Content-Length");
    const struct added_field added[] = { { SLICE("X-One"), SLICE("1") }, { SLICE("X-Two"), SLICE("") } };
    struct message_out out = { .base = message, .head = &head, .method = SLICE("GET"), .path = SLICE("/x"), .host = SLICE("b:81"),
                               .added = added, .n_added = 2, .body = BODY_LENGTH, .length = 5, .has_length = true };
    struct h1_message m = { .out = &out, .role = H1_REQUEST };
    assert_string_equal(format(&m), "GET /x HTTP/1.1\r\nHost: b:81\r\nA: 1\r\nB:  2\r\nC: 3\r\nD: 4\r\nE: 5\r\nX-One: 1\r\nX-Two: \r\nContent-Length: 5\r\n\r\n");
}

static void test_response_head_framing(void **state)
{
    (void)state;
    static const struct {
        enum http_body body;
        bool has_length, upgrade;
        enum h1_connection connection;
        const char *expected;
    } cases[] = {
        { BODY_NONE, false, false, H1_CONNECTION_DEFAULT, "HTTP/1.1 200 OK\r\n\r\n" },
        { BODY_NONE, true, false, H1_CONNECTION_DEFAULT, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" },
        { BODY_LENGTH, true, false, H1_CONNECTION_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n" },
        { BODY_LENGTH, true, false, H1_CONNECTION_KEEP_ALIVE, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n" },
        { BODY_CHUNKED, false, false, H1_CONNECTION_DEFAULT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" },
        /* both lengths would be a smuggler's gift */
        { BODY_CHUNKED, true, false, H1_CONNECTION_DEFAULT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { BODY_UNTIL_CLOSE, false, false, H1_CONNECTION_CLOSE, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" },
        { BODY_UNTIL_CLOSE, false, true, H1_CONNECTION_CLOSE, "HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct message_out out = { .status = 200, .reason = SLICE("OK"), .body = cases[i].body, .has_length = cases[i].has_length, .length = 7,
                                   .upgrade = cases[i].upgrade };
        struct h1_message m = { .out = &out, .role = H1_RESPONSE, .minor = 1, .connection = cases[i].connection };
        assert_string_equal(format(&m), cases[i].expected);
    }
}

static void test_head_that_does_not_fit(void **state)
{
    (void)state;
    static char value[1000];
    memset(value, 'x', sizeof value);
    const struct added_field added[] = { { SLICE("X"), { value, sizeof value } } };
    struct message_out out = { .status = 200, .reason = SLICE("OK"), .added = added, .n_added = 1 };
    struct h1_message m = { .out = &out, .role = H1_RESPONSE, .minor = 1 };
    char small[1100];
    size_t whole = h1_format_head(&m, small, sizeof small);
    assert_int_not_equal(whole, 0);
    for (size_t size = 0; size < whole; size++)
        assert_int_equal(h1_format_head(&m, small, size), 0);
    assert_int_equal(h1_format_head(&m, small, whole), whole);
}

/* --- bodies, through a socket that takes little at a time --- */

struct pipe {
    struct stream stream;
    struct h1_out out;
    struct buffer_pool buffers;
    struct h1_writer writer;
    struct text received;
    int peer;
    struct ev_loop *loop;
};

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events;
}

static void pipe_open(struct pipe *p, int send_buffer)
{
    int fds[2];
    *p = (struct pipe){ .loop = ev_loop_new(EVFLAG_AUTO) };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    if (send_buffer)
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    p->peer = fds[1];
    buffer_pool_init(&p->buffers, 4);
    p->writer = (struct h1_writer){ .buffers = &p->buffers, .scratch = scratch };
    stream_init(&p->stream, fds[0], NULL, on_io);
}

static void drain(struct pipe *p, size_t most)
{
    char bytes[65536];
    ssize_t n = recv(p->peer, bytes, most < sizeof bytes ? most : sizeof bytes, 0);
    if (n > 0)
        text_add_bytes(&p->received, bytes, (size_t)n);
}

static void pipe_close(struct pipe *p)
{
    h1_out_clear(&p->out, &p->buffers);
    buffer_pool_clear(&p->buffers);
    stream_close(&p->stream, p->loop);
    close(p->peer);
    text_clear(&p->received);
    ev_loop_destroy(p->loop);
}

/* Offers the rest again and again, as a giver does, and drains `gulp` bytes in between. */
static void push(struct pipe *p, struct slice body, bool end, size_t gulp, bool head_first, const struct h1_message *m)
{
    bool first = head_first;
    for (int turns = 0; turns < 1000000; turns++) {
        ssize_t n = first ? h1_out_head(&p->out, &p->stream, &p->writer, m, body, end) : h1_out_body(&p->out, &p->stream, &p->writer, body, end);
        first = false;
        assert_true(n >= 0 && (size_t)n <= body.n);
        body = slice_from(body, (size_t)n);
        if (!body.n)
            return;
        drain(p, gulp);
    }
    fail_msg("no progress");
}

static void flush(struct pipe *p, size_t gulp)
{
    for (int turns = 0; turns < 1000000 && !h1_out_is_empty(&p->out); turns++) {
        assert_int_not_equal(h1_out_flush(&p->out, &p->stream, &p->writer), -1);
        drain(p, gulp);
    }
    assert_true(h1_out_is_empty(&p->out));
    for (size_t before = (size_t)-1; before != p->received.n;) {
        before = p->received.n;
        drain(p, 65536);
    }
}

static char payload[200000];

static void check_chunked(const char *p, const char *end, size_t expected, struct slice trailers)
{
    size_t seen = 0;
    for (;;) {
        char *after;
        unsigned long n = strtoul(p, &after, 16);
        assert_memory_equal(after, "\r\n", 2);
        p = after + 2;
        if (!n)
            break;
        assert_true(seen + n <= expected);
        assert_memory_equal(p, payload + seen, n);
        seen += n;
        p += n;
        assert_memory_equal(p, "\r\n", 2);
        p += 2;
    }
    if (trailers.n)
        assert_memory_equal(p, trailers.p, trailers.n);
    p += trailers.n;
    assert_memory_equal(p, "\r\n", 2);
    assert_ptr_equal(p + 2, end);
    assert_int_equal(seen, expected);
}

static void test_bodies_arrive_whole_whatever_the_socket_takes(void **state)
{
    (void)state;
    static const size_t gulps[] = { 100, 1000, 4097, 65536 };
    static const size_t pieces[] = { 1, 4096, 65536, sizeof payload };
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (char)('a' + i % 23);
    static const struct slice trailers[] = { { NULL, 0 }, { NULL, 0 }, SLICE("A: b\r\nC: d\r\n") };
    for (size_t chunked = 0; chunked < 3; chunked++) /* 2: with trailers */
        for (size_t g = 0; g < sizeof gulps / sizeof *gulps; g++)
            for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
                struct pipe p;
                pipe_open(&p, 2048);
                p.out.trailers = trailers[chunked];
                size_t total = pieces[k] == 1 ? 3000 : sizeof payload;
                struct message_out out = { .status = 200, .reason = SLICE("OK"), .body = chunked ? BODY_CHUNKED : BODY_LENGTH, .has_length = !chunked,
                                           .length = total };
                struct h1_message m = { .out = &out, .role = H1_RESPONSE, .minor = 1 };
                for (size_t at = 0; at < total; at += pieces[k]) {
                    size_t n = total - at < pieces[k] ? total - at : pieces[k];
                    push(&p, (struct slice){ payload + at, n }, at + n == total, gulps[g], at == 0, &m);
                }
                flush(&p, gulps[g]);
                const char *body = strstr(p.received.p, "\r\n\r\n") + 4, *end = p.received.p + p.received.n;
                if (chunked) {
                    check_chunked(body, end, total, trailers[chunked]);
                } else {
                    assert_int_equal(end - body, total);
                    assert_memory_equal(body, payload, total);
                }
                pipe_close(&p);
            }
}

static void test_chunked_end_without_payload(void **state)
{
    (void)state;
    struct pipe p;
    struct message_out out = { .status = 200, .reason = SLICE("OK"), .body = BODY_CHUNKED };
    struct h1_message m = { .out = &out, .role = H1_RESPONSE, .minor = 1 };
    pipe_open(&p, 0);
    push(&p, (struct slice){ "abc", 3 }, false, 65536, true, &m);
    push(&p, (struct slice){ NULL, 0 }, true, 65536, false, &m);
    flush(&p, 65536);
    assert_string_equal(p.received.p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    pipe_close(&p);
}

static void test_trailers(void **state)
{
    (void)state;
    static char most[TRAILERS_MAX + 1];
    memset(most, 'a', TRAILERS_MAX);
    memcpy(most + TRAILERS_MAX - 2, "\r\n", 2);
    for (unsigned i = 0; i < 2; i++) { /* after a length nothing may follow */
        struct pipe p;
        struct message_out out = { .status = 200, .reason = SLICE("OK"), .body = i ? BODY_LENGTH : BODY_CHUNKED, .has_length = i, .length = 0 };
        struct h1_message m = { .out = &out, .role = H1_RESPONSE, .minor = 1 };
        pipe_open(&p, 0);
        p.out.trailers = (struct slice){ most, TRAILERS_MAX };
        push(&p, (struct slice){ NULL, 0 }, true, 65536, true, &m);
        flush(&p, 65536);
        const char *body = strstr(p.received.p, "\r\n\r\n") + 4;
        if (i) {
            assert_string_equal(body, "");
        } else {
            assert_memory_equal(body, "0\r\n", 3);
            assert_memory_equal(body + 3, most, TRAILERS_MAX);
            assert_string_equal(body + 3 + TRAILERS_MAX, "\r\n");
        }
        pipe_close(&p);
    }
}

static void test_broken_connection(void **state)
{
    (void)state;
    struct pipe p;
    struct message_out out = { .status = 200, .reason = SLICE("OK") };
    struct h1_message m = { .out = &out, .role = H1_RESPONSE, .minor = 1 };
    pipe_open(&p, 0);
    shutdown(p.peer, SHUT_RDWR);
    assert_int_equal(h1_out_head(&p.out, &p.stream, &p.writer, &m, (struct slice){ "abc", 3 }, true), -1);
    pipe_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_head_drops_and_adds),
        cmocka_unit_test(test_response_head_framing),
        cmocka_unit_test(test_head_that_does_not_fit),
        cmocka_unit_test(test_bodies_arrive_whole_whatever_the_socket_takes),
        cmocka_unit_test(test_chunked_end_without_payload),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_broken_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
