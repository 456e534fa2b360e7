/* A stream between a connection that the test plays and a user: what the user is told, by what had come. One letter is one event. */
#include "edge/connection.h"
#include "edge/stream.h"

#include "base/mem.h"
#include "http/trailers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- the user --- */

struct user {
    struct edge_stream *stream; /* NULL: it does not mention us any more */
    char log[256];
    bool full, leaves_when_suspect;
    const char *trailers;
};

__attribute__((format(printf, 2, 3))) static void note(struct user *u, const char *format, ...)
{
    size_t n = strlen(u->log);
    va_list arguments;
    va_start(arguments, format);
    assert_non_null(u->stream); /* after it let go nothing may come */
    vsnprintf(u->log + n, sizeof u->log - n, format, arguments);
    va_end(arguments);
}

static enum exchange_hold take(struct user *u, struct slice body, bool end, size_t *taken)
{
    *taken = u->full ? 0 : body.n;
    if (!end || *taken < body.n)
        return EXCHANGE_HOLDS;
    u->stream = NULL;
    return EXCHANGE_LET_GO;
}

static enum exchange_hold user_writable(void *arg)
{
    note(arg, "room ");
    return EXCHANGE_HOLDS;
}

static void user_failed(void *arg, enum upstream_stage stage, enum reason reason, const char *detail)
{
    static const char *const stages[] = { [STAGE_NOT_CONNECTED] = "unsent", [STAGE_SENT] = "sent", [STAGE_RESPONSE] = "response" };
    struct user *u = arg;
    (void)detail;
    note(u, "failed:%s:%s ", stages[stage], reason_code(reason));
    u->stream = NULL;
}

static enum exchange_hold user_response(void *arg, struct http_head *head, const char *base, const struct http_message *message, struct slice body, bool end,
                                        size_t *taken)
{
    (void)base;
    note(arg, "%u%s+%zu%s ", head->status, message->body == BODY_LENGTH ? "L" : message->body == BODY_NONE ? "-" : "", body.n, end ? "!" : "");
    return take(arg, body, end, taken);
}

static enum exchange_hold user_body(void *arg, struct slice body, bool end, size_t *taken)
{
    note(arg, "+%zu%s ", body.n, end ? "!" : "");
    return take(arg, body, end, taken);
}

static struct slice user_request_trailers(void *arg)
{
    const struct user *u = arg;
    return u->trailers ? slice_of(u->trailers) : (struct slice){ NULL, 0 };
}

static void user_response_trailers(void *arg, struct slice lines)
{
    note(arg, "[%.*s] ", (int)lines.n - 2, lines.p);
}

static enum exchange_hold user_suspect(void *arg)
{
    struct user *u = arg;
    note(u, "suspect ");
    if (!u->leaves_when_suspect)
        return EXCHANGE_HOLDS;
    u->stream = NULL;
    return EXCHANGE_LET_GO;
}

static const struct stream_user_ops user_ops = {
    .writable = user_writable,
    .failed = user_failed,
    .response = user_response,
    .response_body = user_body,
    .request_trailers = user_request_trailers,
    .response_trailers = user_response_trailers,
    .suspect = user_suspect,
};

/* --- the connection: HTTP/2's client half alone, whose peer the test is --- */

struct world {
    struct ev_loop *loop;
    struct balance_epoch epoch;
    struct edge_worker *worker;
    struct edge_worker_options options;
    struct edge_connection connection;
    struct tunnel_line line;
};

static void on_timer(struct timer *timer)
{
    (void)timer;
}

static void world_init(struct world *w)
{
    nghttp2_session_callbacks *callbacks;
    *w = (struct world){ .loop = ev_loop_new(0) };
    w->options = (struct edge_worker_options){ .n_workers = 1, .workers = &w->worker, .epoch = &w->epoch };
    w->worker = edge_worker_new(w->loop, &w->options);
    struct edge_connection *c = &w->connection;
    c->worker = w->worker;
    c->phase = CONNECTION_SERVING;
    c->line = &w->line;
    list_init(&c->link);
    list_init(&c->dirty);
    list_init(&c->streams);
    list_init(&c->news);
    timer_init(&c->timer, on_timer);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_session_client_new(&c->session, callbacks, c), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void world_clear(struct world *w)
{
    struct edge_connection *c = &w->connection;
    LIST_FOR_EACH(node, &c->streams)
        edge_stream_drop(edge_stream_of_link(node));
    assert_int_equal(c->n_streams, 0);
    assert_int_equal(atomic_load(&w->line.in_flight), 0);
    timer_disarm(&w->worker->timers, &c->timer);
    list_remove(&c->dirty);
    nghttp2_session_del(c->session);
    edge_worker_free(w->worker);
    ev_loop_destroy(w->loop);
}

/* What goes out, frame by frame: H head, D data, R reset, with "!" where it ends the stream; others are left out. */
static const char *sent(struct world *w)
{
    static char text[64];
    uint8_t wire[65536 * 4];
    size_t n = 0, at = nghttp2_session_get_next_stream_id(w->connection.session) == 3 ? 24 : 0; /* the preface */
    const uint8_t *bytes;
    ssize_t some;
    text[0] = 0;
    while ((some = nghttp2_session_mem_send(w->connection.session, &bytes)) > 0) {
        assert_true(n + (size_t)some <= sizeof wire);
        memcpy(wire + n, bytes, (size_t)some);
        n += (size_t)some;
    }
    if (n < 24 || memcmp(wire, "PRI", 3) != 0)
        at = 0;
    for (; at + 9 <= n; at += 9 + ((size_t)wire[at] << 16 | (size_t)wire[at + 1] << 8 | wire[at + 2])) {
        const char *letter = wire[at + 3] == NGHTTP2_HEADERS ? "H" : wire[at + 3] == NGHTTP2_DATA ? "D" : wire[at + 3] == NGHTTP2_RST_STREAM ? "R" : "";
        bool ends = *letter && *letter != 'R' && wire[at + 4] & NGHTTP2_FLAG_END_STREAM;
        if (*letter != 'D' || !*text || text[strlen(text) - 1] != 'D') /* a row of them is one */
            strcat(text, letter);
        if (ends)
            strcat(text, "!");
    }
    return text;
}

static ssize_t send_head(struct world *w, struct user *u, const char *method, struct slice body, bool end)
{
    struct http_head head = { 0 };
    enum reason why;
    struct message_out out = { .base = "", .head = &head, .method = slice_of(method), .path = SLICE("/"), .host = SLICE("app.test"), .body = BODY_CHUNKED };
    u->stream = edge_stream_new(&w->connection, &user_ops, u, &why);
    assert_non_null(u->stream);
    assert_int_equal(atomic_load(&w->line.in_flight), 1);
    return edge_stream_ops.send_head(u->stream, &out, body, end);
}

/* As the connection does before the loop waits. */
static void deliver(struct world *w)
{
    struct list *node;
    while ((node = list_pop_front(&w->connection.news)))
        edge_stream_deliver(edge_stream_of_news(node));
}

/* --- responses --- */

static void header(struct edge_stream *s, const char *name, const char *value)
{
    edge_stream_on_header(s, slice_of(name), slice_of(value));
}

/* More than is kept of all together. */
static void large_trailer(struct edge_stream *s)
{
    static char value[TRAILERS_MAX];
    memset(value, 'x', sizeof value);
    edge_stream_on_header(s, SLICE("x-large"), (struct slice){ value, sizeof value });
}

static void play(struct world *w, struct user *u, char event)
{
    struct edge_stream *s = u->stream;
    switch (event) {
    case 'h': header(s, ":status", "200"); edge_stream_on_head(s, false); break;
    case 'H': header(s, ":status", "200"); edge_stream_on_head(s, true); break;
    case 'L': header(s, ":status", "200"); header(s, "content-length", "5"); edge_stream_on_head(s, false); break;
    case '1': header(s, ":status", "100"); edge_stream_on_head(s, false); break;
    case '4': header(s, ":status", "204"); edge_stream_on_head(s, true); break;
    case 'u': header(s, ":status", "502"); header(s, "cf-cloudflared-response-meta", "{\"src\":\"cloudflared\"}"); edge_stream_on_head(s, true); break;
    case 'm': header(s, ":status", "200"); header(s, "cf-cloudflared-response-headers", "%"); edge_stream_on_head(s, false); break;
    case 'x': edge_stream_on_head(s, true); break; /* without a status */
    case 'd': edge_stream_on_data(s, (const uint8_t *)"hello", 5); break;
    case 'e': edge_stream_on_end(s); break;
    case 't': header(s, "x-late", "yes"); header(s, "content-length", "7"); edge_stream_on_head(s, true); break;
    case 'T': header(s, "x-late", "yes"); large_trailer(s); header(s, "x-later", "yes"); edge_stream_on_head(s, true); break;
    case 'c': edge_stream_on_close(s, NGHTTP2_CANCEL, REASON_RESET); break;
    case 'l': edge_stream_on_close(s, NGHTTP2_INTERNAL_ERROR, REASON_CONNECTION_LOST); break;
    case 'r': edge_stream_on_refused(s); break;
    case 'o': edge_stream_on_oversize(s); break;
    case 's': edge_stream_on_suspect(s); break;
    case 'b': u->full = true; break;
    case 'w': u->full = false; edge_stream_ops.want_body(s); break;
    case '.': deliver(w); break; /* the user hears of it */
    default: fail_msg("no event: %c", event);
    }
}

static const struct {
    const char *events, *told;
    bool leaves_when_suspect;
    const char *method; /* NULL: GET */
} responses[] = {
    { .events = "hde.", .told = "200+5! " },
    { .events = "h.d.d.e.", .told = "200+0 +5 +5 +0! " },
    { .events = "hdd.e.", .told = "200+10 +0! " },
    { .events = "Lde.", .told = "200L+5! " },
    { .events = "H.", .told = "200L+0! " },
    { .events = "4.", .told = "204-+0! " },
    { .events = "Lde.", .told = "200-+0! ", .method = "HEAD" },
    { .events = "1.h.e.", .told = "200+0 +0! " },
    /* trailers come with the end */
    { .events = "hdt.", .told = "[x-late: yes] 200+5! " },
    { .events = "h.d.t.", .told = "200+0 +5 [x-late: yes] +0! " },
    { .events = "ht.", .told = "[x-late: yes] 200+0! " },
    /* and with one lost all are, so that there is nothing to come behind an empty body */
    { .events = "hdT.", .told = "200+5! " },
    { .events = "hT.", .told = "200L+0! " },
    /* what was whole stays whole */
    { .events = "hdec.", .told = "200+5! " },
    { .events = "hdel.", .told = "200+5! " },
    /* ends: how far it had come */
    { .events = "c.", .told = "failed:sent:reset " },
    { .events = "l.", .told = "failed:sent:connection_lost " },
    { .events = "lc.", .told = "failed:sent:connection_lost " },
    { .events = "r.", .told = "failed:unsent:connection_lost " },
    { .events = "h.c.", .told = "200+0 failed:response:reset " },
    { .events = "hdl.", .told = "200+5 failed:response:connection_lost " },
    { .events = "h.dl.", .told = "200+0 +5 failed:response:connection_lost " },
    { .events = "o.", .told = "failed:sent:malformed " },
    { .events = "m.", .told = "failed:sent:malformed " },
    { .events = "u.", .told = "failed:response:origin_unreachable " },
    { .events = "x.", .told = "" }, /* nghttp2 lets none of these through */
    /* a user without room: nothing is lost, and its failure comes last */
    { .events = "bhd.d.w.e.", .told = "200+5 +10 +0! " },
    { .events = "bhde.w.", .told = "200+5! +5! " },
    { .events = "bhdl.w.", .told = "200+5 +5 failed:response:connection_lost " },
    { .events = "bhdt.w.", .told = "[x-late: yes] 200+5! +5! " },
    /* silence is a matter of those that were not answered yet */
    { .events = "s.", .told = "suspect " },
    { .events = "s.", .told = "suspect ", .leaves_when_suspect = true },
    { .events = "s.h.e.", .told = "suspect 200+0 +0! " },
    { .events = "h.s.", .told = "200+0 " },
    { .events = "cs.", .told = "failed:sent:reset " },
};

static void test_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++) {
        struct world w;
        struct user u = { .leaves_when_suspect = responses[i].leaves_when_suspect };
        world_init(&w);
        send_head(&w, &u, responses[i].method ? responses[i].method : "GET", (struct slice){ NULL, 0 }, true);
        sent(&w);
        for (const char *event = responses[i].events; *event; event++)
            if (u.stream)
                play(&w, &u, *event);
        if (strcmp(u.log, responses[i].told) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", responses[i].events, u.log, responses[i].told);
        world_clear(&w);
    }
}

/* --- requests --- */

static void test_requests(void **state)
{
    static const struct {
        const char *name, *trailers, *frames;
        size_t body;
        bool end;
    } rows[] = {
        { .name = "without a body", .end = true, .frames = "H!" },
        { .name = "a body", .body = 100, .end = true, .frames = "HD!" },
        { .name = "its beginning", .body = 100, .frames = "HD" },
        { .name = "a body that will come", .frames = "H" },
        { .name = "trailers after a body", .body = 100, .end = true, .trailers = "X-Late: yes\r\n", .frames = "HDH!" },
        { .name = "trailers alone", .end = true, .trailers = "X-Late: yes\r\n", .frames = "HH!" },
        { .name = "trailers that command connectors", .body = 100, .end = true, .trailers = "cf-cloudflared-a: b\r\n", .frames = "HD!" },
    };
    static char body[100];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        struct user u = { .trailers = rows[i].trailers };
        world_init(&w);
        ssize_t taken = send_head(&w, &u, "POST", (struct slice){ body, rows[i].body }, rows[i].end);
        assert_int_equal(taken, rows[i].body);
        const char *frames = sent(&w);
        if (strcmp(frames, rows[i].frames) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", rows[i].name, frames, rows[i].frames);
        world_clear(&w);
    }
}

/* No more than the window, and the user hears when there is room again. */
static void test_an_upload_waits_for_the_window(void **state)
{
    enum { WINDOW = 65535 };
    struct world w;
    struct user u = { 0 };
    static char body[200000];
    size_t taken = 0;
    (void)state;
    world_init(&w);
    taken = (size_t)send_head(&w, &u, "POST", (struct slice){ body, sizeof body }, true);
    assert_true(taken > 0 && taken < sizeof body);
    for (unsigned i = 0; i < 10; i++) {
        assert_string_equal(sent(&w), i ? "" : "HD");
        deliver(&w); /* what was taken from it makes room */
        taken += (size_t)edge_stream_ops.send_body(u.stream, (struct slice){ body + taken, sizeof body - taken }, true);
    }
    assert_true(taken < sizeof body && taken <= WINDOW + BUFFER_LARGE);
    assert_true(strncmp(u.log, "room ", 5) == 0);
    edge_stream_ops.abort(u.stream);
    assert_string_equal(sent(&w), "R");
    world_clear(&w);
}

static void test_aborted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) { /* before it was sent; before the answer; in the middle of it */
        struct world w;
        struct user u = { 0 };
        world_init(&w);
        send_head(&w, &u, "GET", (struct slice){ NULL, 0 }, true);
        if (i)
            sent(&w);
        if (i == 2) {
            play(&w, &u, 'h');
            play(&w, &u, '.');
        }
        edge_stream_ops.abort(u.stream);
        u.stream = NULL;
        assert_string_equal(sent(&w), i ? "R" : "");
        world_clear(&w);
    }
}

static void test_connections_that_take_no_streams(void **state)
{
    struct world w;
    enum reason why = REASON_NONE;
    (void)state;
    world_init(&w);
    w.connection.phase = CONNECTION_DRAINING;
    assert_null(edge_stream_new(&w.connection, &user_ops, NULL, &why));
    assert_int_equal(why, REASON_CONNECTION_LOST);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_an_upload_waits_for_the_window),
        cmocka_unit_test(test_aborted),
        cmocka_unit_test(test_connections_that_take_no_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
