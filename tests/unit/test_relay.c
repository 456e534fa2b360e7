/* A request that is handed over to another worker, between an exchange and a stream that the test plays: what arrives, in which order, how much
 * is on its way at the most, and that nothing is left. First both workers in turns by one thread, then each by its own. */
#include "edge/relay.h"

#include "base/mem.h"
#include "base/random.h"
#include "edge/stream.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { REQUEST_CREDIT = 64 * 1024, RESPONSE_CREDIT = 256 * 1024, LINE = 7 };

/* --- the exchange, played --- */

struct exchange {
    void *upstream;           /* NULL: let go */
    size_t room;              /* of the client: bytes it takes from now on */
    bool leaves_when_suspect;
    /* what it was told */
    unsigned status, heads, writables, suspects, failures;
    enum upstream_stage stage;
    enum reason reason;
    char detail[96];
    size_t got;
    uint8_t next;             /* of the pattern that bodies are made of */
    bool complete, pattern_broken;
    char trailers[64];
    /* what it sends */
    size_t to_send, sent;
    const char *request_trailers;
    void (*when_over)(struct exchange *);
};

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 31 + at / 251);
}

static void fill(char *to, size_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (char)pattern(at + i);
}

static bool is_pattern(struct slice s, size_t at)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] != pattern(at + i))
            return false;
    return true;
}

static void over(struct exchange *ex)
{
    ex->upstream = NULL;
    if (ex->when_over)
        ex->when_over(ex);
}

static enum exchange_hold take(struct exchange *ex, struct slice body, bool last, size_t *taken)
{
    size_t n = body.n < ex->room ? body.n : ex->room;
    ex->pattern_broken |= !is_pattern((struct slice){ body.p, n }, ex->got);
    ex->got += n;
    ex->room -= n;
    *taken = n;
    if (!last || n < body.n)
        return EXCHANGE_HOLDS;
    ex->complete = true;
    over(ex);
    return EXCHANGE_LET_GO;
}

enum exchange_hold exchange_response(struct exchange *ex, struct http_head *head, const char *base, const struct http_message *message, struct slice body,
                                     bool last, size_t *taken)
{
    (void)message;
    ex->heads++;
    ex->status = head->status;
    ex->pattern_broken |= head->length != 6 || memcmp(base, "A: b\r\n", 6) != 0;
    return take(ex, body, last, taken);
}

enum exchange_hold exchange_response_body(struct exchange *ex, struct slice body, bool last, size_t *taken)
{
    return take(ex, body, last, taken);
}

static void send_more(struct exchange *ex)
{
    char bytes[20000];
    while (ex->sent < ex->to_send) {
        size_t n = ex->to_send - ex->sent < sizeof bytes ? ex->to_send - ex->sent : sizeof bytes;
        fill(bytes, ex->sent, n);
        ssize_t taken = relay_front_ops.send_body(ex->upstream, (struct slice){ bytes, n }, ex->sent + n == ex->to_send);
        ex->sent += (size_t)taken;
        if ((size_t)taken < n)
            return;
    }
}

enum exchange_hold exchange_upstream_writable(struct exchange *ex)
{
    ex->writables++;
    send_more(ex);
    return EXCHANGE_HOLDS;
}

struct slice exchange_request_trailers(struct exchange *ex)
{
    return ex->request_trailers ? slice_of(ex->request_trailers) : (struct slice){ NULL, 0 };
}

void exchange_add_response_trailers(struct exchange *ex, struct slice lines)
{
    assert_false(ex->complete);
    snprintf(ex->trailers + strlen(ex->trailers), sizeof ex->trailers - strlen(ex->trailers), "%.*s", (int)lines.n, lines.p);
}

enum exchange_hold exchange_upstream_suspect(struct exchange *ex)
{
    ex->suspects++;
    if (!ex->leaves_when_suspect)
        return EXCHANGE_HOLDS;
    over(ex);
    return EXCHANGE_LET_GO;
}

void exchange_upstream_failed(struct exchange *ex, enum upstream_stage stage, enum reason reason, const char *detail)
{
    ex->failures++;
    ex->stage = stage;
    ex->reason = reason;
    snprintf(ex->detail, sizeof ex->detail, "%s", detail);
    over(ex);
}

/* --- the connection and its streams, played --- */

struct edge_stream {
    const struct stream_user_ops *ops;
    void *user;               /* NULL: over */
    size_t room;              /* for the request's body */
    size_t got, given;
    size_t to_give;           /* of the response's body, a head before it */
    bool head_given, got_all, pattern_broken, aborted, wants_news;
    char path[32], request_trailers[64];
    const char *trailers;     /* of the response */
};

static _Thread_local struct edge_stream *streams[64];
static _Thread_local unsigned n_streams;
static _Thread_local struct { size_t room, to_give; bool refuses; } next_stream;

struct edge_stream *edge_stream_new(struct edge_connection *c, const struct stream_user_ops *ops, void *user, enum reason *why)
{
    (void)c;
    if (next_stream.refuses) {
        *why = REASON_CONNECTION_LOST;
        return NULL;
    }
    struct edge_stream *s = mem_zero(sizeof *s);
    *s = (struct edge_stream){ .ops = ops, .user = user, .room = next_stream.room, .to_give = next_stream.to_give };
    streams[n_streams++] = s;
    return s;
}

static ssize_t stream_send_body(void *upstream, struct slice body, bool end)
{
    struct edge_stream *s = upstream;
    size_t n = body.n < s->room ? body.n : s->room;
    s->pattern_broken |= !is_pattern((struct slice){ body.p, n }, s->got);
    s->got += n;
    s->room -= n;
    if (end && n == body.n) {
        struct slice lines = s->ops->request_trailers(s->user);
        snprintf(s->request_trailers, sizeof s->request_trailers, "%.*s", (int)lines.n, lines.n ? lines.p : "");
        s->got_all = true;
    }
    return (ssize_t)n;
}

static ssize_t stream_send_head(void *upstream, const struct message_out *out, struct slice body, bool end)
{
    struct edge_stream *s = upstream;
    (void)body;
    snprintf(s->path, sizeof s->path, "%.*s %.*s", (int)out->method.n, out->method.p, (int)out->path.n, out->path.p);
    s->pattern_broken |= out->n_added != 1 || !slice_eq(out->added[0].value, SLICE("added")) || !slice_eq(out->host, SLICE("app.test"));
    s->got_all = end;
    s->wants_news = true;
    return 0;
}

static void stream_want_body(void *upstream)
{
    ((struct edge_stream *)upstream)->wants_news = true;
}

static void stream_abort(void *upstream)
{
    struct edge_stream *s = upstream;
    s->user = NULL;
    s->aborted = true;
}

const struct upstream_ops edge_stream_ops = {
    .send_head = stream_send_head, .send_body = stream_send_body, .want_body = stream_want_body, .abort = stream_abort
};

/* Tells its user what there is of the response, until that takes no more. */
static void stream_deliver(struct edge_stream *s)
{
    static const struct http_message message = { .body = BODY_CHUNKED };
    struct http_head head = { .status = 200, .length = 6 };
    char bytes[30000];
    s->wants_news = false;
    while (s->user) {
        size_t taken = 0, n = s->to_give - s->given < sizeof bytes ? s->to_give - s->given : sizeof bytes;
        bool last = s->given + n == s->to_give;
        fill(bytes, s->given, n);
        if (last && s->trailers)
            s->ops->response_trailers(s->user, slice_of(s->trailers));
        if (last)
            s->trailers = NULL;
        struct slice body = { bytes, n };
        enum exchange_hold hold = s->head_given ? s->ops->response_body(s->user, body, last, &taken)
                                                : s->ops->response(s->user, &head, "A: b\r\n", &message, body, last, &taken);
        s->head_given = true;
        s->given += taken;
        if (hold == EXCHANGE_LET_GO)
            s->user = NULL;
        if (taken < n)
            return;
    }
}

static void stream_fail(struct edge_stream *s, enum upstream_stage stage, enum reason reason, const char *detail)
{
    void *user = s->user;
    s->user = NULL;
    s->ops->failed(user, stage, reason, detail);
}

static void forget_streams(void)
{
    while (n_streams)
        free(streams[--n_streams]);
}

/* --- two workers --- */

struct pair {
    struct edge_worker *all[2]; /* the exchanges', the connection's */
    struct edge_connection *connection;
    struct tunnel_line line;
};

static struct edge_worker *worker_new(unsigned index, struct edge_worker *const *all)
{
    struct edge_worker *w = mem_zero(sizeof *w);
    w->loop = ev_loop_new(0);
    w->options = (struct edge_worker_options){ .index = index, .n_workers = 2, .workers = all };
    mailbox_init(&w->mailbox, w->loop, w);
    timers_init(&w->timers, w->loop);
    list_init(&w->relay_fronts);
    list_init(&w->relay_backs);
    return w;
}

static void pair_init(struct pair *p)
{
    *p = (struct pair){ .line = { .id = LINE } };
    atomic_init(&p->line.worker, 1);
    for (unsigned i = 0; i < 2; i++)
        p->all[i] = worker_new(i, p->all);
    p->connection = mem_zero(sizeof *p->connection);
    p->connection->line_id = LINE;
    HASH_ADD(by_line, p->all[1]->by_line, line_id, sizeof p->connection->line_id, p->connection);
    memset(&next_stream, 0, sizeof next_stream);
    next_stream.room = SIZE_MAX;
}

/* As edge_worker_free() does. */
static void pair_clear(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        struct edge_worker *w = p->all[i];
        w->ended = true;
        mailbox_clear(&w->mailbox);
        relay_free_all(w);
        if (w->by_line)
            HASH_DELETE(by_line, w->by_line, p->connection);
        timers_clear(&w->timers);
        ev_loop_destroy(w->loop);
        free(w);
    }
    free(p->connection);
    forget_streams();
}

/* Until nothing moves any more: streams tell nothing by themselves here. */
static void settle(struct pair *p)
{
    for (unsigned i = 0; i < 20; i++)
        ev_run(p->all[i % 2]->loop, EVRUN_NOWAIT);
}

static void send_request(struct pair *p, struct exchange *ex, size_t body)
{
    static const struct added_field added[] = { { SLICE("x-added"), SLICE("added") } };
    struct http_head head = { 0 };
    struct message_out out = { .base = "", .head = &head, .method = SLICE("PUT"), .path = SLICE("/path"), .host = SLICE("app.test"), .added = added,
                               .n_added = 1 };
    ex->upstream = relay_front_new(p->all[0], ex, &p->line);
    assert_non_null(ex->upstream);
    ex->to_send = body;
    ssize_t taken = relay_front_ops.send_head(ex->upstream, &out, (struct slice){ NULL, 0 }, !body);
    assert_int_equal(taken, 0); /* there is nothing to take */
    send_more(ex);
}

static void assert_nothing_is_left(const struct pair *p)
{
    assert_true(list_empty(&p->all[0]->relay_fronts));
    assert_true(list_empty(&p->all[1]->relay_backs));
}

static void test_a_small_request(void **state)
{
    struct pair p;
    struct exchange ex = { .room = SIZE_MAX };
    (void)state;
    pair_init(&p);
    next_stream.to_give = 100;
    send_request(&p, &ex, 0);
    settle(&p);
    assert_int_equal(n_streams, 1);
    assert_string_equal(streams[0]->path, "PUT /path");
    assert_true(streams[0]->got_all && !streams[0]->pattern_broken);
    stream_deliver(streams[0]);
    settle(&p);
    assert_true(ex.complete && !ex.pattern_broken);
    assert_int_equal(ex.status, 200);
    assert_int_equal(ex.got, 100);
    assert_int_equal(ex.heads, 1);
    assert_false(streams[0]->aborted);
    assert_nothing_is_left(&p);
    pair_clear(&p);
}

static void test_the_head_alone(void **state)
{
    struct pair p;
    struct exchange ex = { .room = SIZE_MAX };
    struct http_head head = { .status = 204, .length = 6 };
    static const struct http_message message = { .body = BODY_CHUNKED };
    size_t taken = 0;
    (void)state;
    pair_init(&p);
    send_request(&p, &ex, 0);
    settle(&p);
    streams[0]->ops->response(streams[0]->user, &head, "A: b\r\n", &message, (struct slice){ NULL, 0 }, false, &taken);
    settle(&p);
    assert_int_equal(ex.heads, 1); /* at once, though no byte of the body has come */
    assert_int_equal(ex.status, 204);
    relay_front_ops.abort(ex.upstream);
    settle(&p);
    assert_nothing_is_left(&p);
    pair_clear(&p);
}

/* An upload no faster than the stream takes it, with REQUEST_CREDIT at the most on its way. */
static void test_an_upload_waits(void **state)
{
    struct pair p;
    struct exchange ex = { .room = SIZE_MAX };
    (void)state;
    pair_init(&p);
    next_stream.room = 0;
    send_request(&p, &ex, 1000000);
    settle(&p);
    assert_int_equal(ex.sent, REQUEST_CREDIT);
    for (size_t got = 0; got < 1000000; got = streams[0]->got) {
        streams[0]->room = 10000;
        assert_int_equal(streams[0]->ops->writable(streams[0]->user), EXCHANGE_HOLDS);
        settle(&p);
        assert_true(streams[0]->got > got);
        assert_true(ex.sent - streams[0]->got <= REQUEST_CREDIT);
    }
    assert_true(streams[0]->got_all && !streams[0]->pattern_broken);
    assert_true(ex.writables > 0);
    stream_deliver(streams[0]);
    settle(&p);
    assert_true(ex.complete);
    assert_nothing_is_left(&p);
    pair_clear(&p);
}

/* A download no faster than the client takes it, with RESPONSE_CREDIT at the most on its way. */
static void test_a_download_waits(void **state)
{
    struct pair p;
    struct exchange ex = { .room = 0 };
    (void)state;
    pair_init(&p);
    next_stream.to_give = 2000000;
    send_request(&p, &ex, 0);
    settle(&p);
    stream_deliver(streams[0]);
    settle(&p);
    assert_int_equal(streams[0]->given, RESPONSE_CREDIT);
    assert_int_equal(ex.got, 0);
    for (size_t got = 0; !ex.complete; got = ex.got) {
        ex.room = 50000;
        relay_front_ops.want_body(ex.upstream);
        settle(&p);
        assert_true(ex.got > got);
        if (streams[0]->wants_news)
            stream_deliver(streams[0]);
        assert_true(streams[0]->given - ex.got <= RESPONSE_CREDIT);
        settle(&p);
    }
    assert_int_equal(ex.got, 2000000);
    assert_false(ex.pattern_broken);
    assert_nothing_is_left(&p);
    pair_clear(&p);
}

/* After a body or without one, also where the last piece has to wait for credit or room. */
static void test_trailers(void **state)
{
    static const size_t sizes[] = { 0, 1, RESPONSE_CREDIT, RESPONSE_CREDIT + 1, 1000000 };
    struct pair p;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct exchange ex = { .room = 0, .request_trailers = "A: b\r\n" };
        pair_init(&p);
        next_stream.to_give = sizes[i];
        send_request(&p, &ex, sizes[i]);
        for (unsigned turns = 0; turns < 10; turns++)
            settle(&p);
        assert_true(streams[0]->got_all && streams[0]->got == sizes[i]);
        assert_string_equal(streams[0]->request_trailers, "A: b\r\n");
        streams[0]->trailers = "C: d\r\n";
        stream_deliver(streams[0]);
        settle(&p);
        for (unsigned turns = 0; !ex.complete; turns++) {
            assert_true(turns < 100);
            ex.room = 50000;
            relay_front_ops.want_body(ex.upstream);
            settle(&p);
            if (streams[0]->wants_news)
                stream_deliver(streams[0]);
            settle(&p);
        }
        assert_int_equal(ex.got, sizes[i]);
        assert_string_equal(ex.trailers, "C: d\r\n");
        assert_nothing_is_left(&p);
        pair_clear(&p);
    }
}

static void test_the_connection_is_gone(void **state)
{
    struct pair p;
    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* it takes no stream; it is not there */
        struct exchange ex = { .room = 0 };
        pair_init(&p);
        next_stream.refuses = i == 0;
        p.line.id = i == 0 ? LINE : LINE + 1;
        send_request(&p, &ex, 1000);
        settle(&p);
        assert_int_equal(ex.failures, 1);
        assert_int_equal(ex.stage, STAGE_NOT_CONNECTED);
        assert_int_equal(ex.reason, REASON_CONNECTION_LOST);
        assert_int_equal(n_streams, 0);
        assert_nothing_is_left(&p);
        pair_clear(&p);
    }
}

static void test_failures_arrive_as_they_are(void **state)
{
    struct pair p;
    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* before the head; after it */
        struct exchange ex = { .room = 0 };
        pair_init(&p);
        next_stream.to_give = 1000;
        send_request(&p, &ex, 0);
        settle(&p);
        if (i)
            stream_deliver(streams[0]);
        if (streams[0]->user)
            stream_fail(streams[0], STAGE_SENT, REASON_RESET, "why");
        settle(&p);
        assert_int_equal(ex.failures, i ? 0 : 1);
        assert_int_equal(ex.heads, i);
        if (i) { /* all had been passed on before: the client may take it when it likes */
            ex.room = 1000;
            relay_front_ops.want_body(ex.upstream);
            settle(&p);
            assert_true(ex.complete);
        } else {
            assert_int_equal(ex.stage, STAGE_SENT);
            assert_int_equal(ex.reason, REASON_RESET);
            assert_string_equal(ex.detail, "why");
        }
        assert_nothing_is_left(&p);
        pair_clear(&p);
    }
}

/* At any time: before the back hears of the request, while the answer is on its way, in the middle of bodies. */
static void test_the_client_leaves(void **state)
{
    struct pair p;
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct exchange ex = { .room = 0 };
        pair_init(&p);
        next_stream.to_give = 1000000;
        next_stream.room = i == 3 ? 0 : SIZE_MAX;
        send_request(&p, &ex, i == 3 ? 100000 : 0);
        if (i)
            settle(&p);
        if (i >= 2)
            stream_deliver(streams[0]);
        if (i >= 3)
            settle(&p);
        relay_front_ops.abort(ex.upstream);
        settle(&p);
        assert_int_equal(n_streams, 1);
        assert_true(streams[0]->aborted);
        assert_int_equal(ex.failures, 0);
        assert_nothing_is_left(&p);
        pair_clear(&p);
    }
}

static void test_suspicion(void **state)
{
    struct pair p;
    (void)state;
    for (unsigned i = 0; i < 3; i++) { /* it stays; it leaves; it has its head already and is not asked */
        struct exchange ex = { .room = 0, .leaves_when_suspect = i == 1 };
        pair_init(&p);
        next_stream.to_give = 1000000;
        send_request(&p, &ex, 0);
        settle(&p);
        if (i == 2)
            stream_deliver(streams[0]);
        assert_int_equal(streams[0]->ops->suspect(streams[0]->user), EXCHANGE_HOLDS);
        settle(&p);
        assert_int_equal(ex.suspects, i < 2);
        assert_int_equal(streams[0]->aborted, i == 1);
        if (i != 1)
            relay_front_ops.abort(ex.upstream);
        settle(&p);
        assert_nothing_is_left(&p);
        pair_clear(&p);
    }
}

/* The workers end while requests are at every step; what was held is found by LeakSanitizer. */
static void test_the_end_of_all(void **state)
{
    struct pair p;
    struct exchange ex[4] = { 0 };
    (void)state;
    pair_init(&p);
    next_stream.to_give = 1000000;
    for (unsigned i = 0; i < 4; i++) {
        send_request(&p, &ex[i], i == 2 ? 1000000 : 0);
        if (i < 3)
            settle(&p);
        if (i == 1)
            stream_deliver(streams[n_streams - 1]);
    }
    assert_non_null(relay_front_new(p.all[0], &ex[0], &p.line)); /* and one that has not begun */
    pair_clear(&p);
}

static void test_whom_it_is_connected_to(void **state)
{
    struct pair p;
    struct exchange ex = { 0 };
    char address[80];
    bool reused = false;
    (void)state;
    pair_init(&p);
    assert_true(address_parse("192.0.2.7", 4711, &p.line.peer));
    send_request(&p, &ex, 0);
    relay_front_ops.describe(ex.upstream, address, sizeof address, &reused);
    assert_string_equal(address, "192.0.2.7:4711");
    assert_true(reused);
    relay_front_ops.abort(ex.upstream);
    pair_clear(&p);
}

/* --- each by its own thread --- */

enum { REQUESTS = 400, AT_ONCE = 8, BODY_MAX = 400000 };

struct run {
    struct pair pair;
    struct exchange exchanges[AT_ONCE];
    struct random random;
    unsigned begun, ended, broken; /* the exchanges' thread */
    unsigned broken_streams;       /* the connection's */
    ev_prepare clients, connection;
    _Atomic bool done;
    ev_async wake;
};

static struct run *the_run; /* set before the threads begin */

static void when_over(struct exchange *ex)
{
    the_run->ended++;
    the_run->broken += ex->failures || ex->pattern_broken;
}

/* Begins requests, gives clients room, and lets some of them leave. */
static void play_clients(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct run *r = CONTAINER_OF(prepare, struct run, clients);
    (void)events;
    for (unsigned i = 0; i < AT_ONCE; i++) {
        struct exchange *ex = &r->exchanges[i];
        if (!ex->upstream && r->begun < REQUESTS) {
            *ex = (struct exchange){ .when_over = when_over };
            r->begun++;
            send_request(&r->pair, ex, random_u64(&r->random) % 2 * (random_u64(&r->random) % BODY_MAX));
        } else if (ex->upstream && random_u64(&r->random) % 500 == 0) {
            void *upstream = ex->upstream;
            over(ex);
            relay_front_ops.abort(upstream);
        } else if (ex->upstream && ex->room < 1000) {
            ex->room += random_u64(&r->random) % 20000;
            relay_front_ops.want_body(ex->upstream);
        }
    }
    if (r->ended < REQUESTS)
        return;
    atomic_store(&r->done, true);
    ev_async_send(r->pair.all[1]->loop, &r->wake);
    ev_break(loop, EVBREAK_ALL);
}

static void play_connection(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct run *r = CONTAINER_OF(prepare, struct run, connection);
    (void)events;
    next_stream.room = 5000;
    next_stream.to_give = (next_stream.to_give * 7 + 12345) % BODY_MAX;
    for (unsigned i = 0; i < n_streams;) {
        struct edge_stream *s = streams[i];
        if (s->user && s->room < 5000) {
            s->room += 30000;
            s->ops->writable(s->user);
        }
        if (s->user && s->wants_news && s->got_all)
            stream_deliver(s);
        if (s->user) {
            i++;
            continue;
        }
        r->broken_streams += s->pattern_broken;
        free(s);
        streams[i] = streams[--n_streams];
    }
    if (atomic_load(&r->done))
        ev_break(loop, EVBREAK_ALL);
}

static void on_wake(struct ev_loop *loop, ev_async *wake, int events)
{
    (void)loop;
    (void)wake;
    (void)events;
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

static void *run_connection(void *arg)
{
    struct run *r = arg;
    ev_timer often;
    ev_timer_init(&often, on_idle, 0.001, 0.001);
    ev_timer_start(r->pair.all[1]->loop, &often);
    ev_run(r->pair.all[1]->loop, 0);
    ev_timer_stop(r->pair.all[1]->loop, &often);
    forget_streams();
    return NULL;
}

static void test_two_threads(void **state)
{
    struct run r = { .random = { 42 } };
    pthread_t thread;
    ev_timer often;
    (void)state;
    pair_init(&r.pair);
    the_run = &r;
    ev_prepare_init(&r.clients, play_clients);
    ev_prepare_start(r.pair.all[0]->loop, &r.clients);
    ev_prepare_init(&r.connection, play_connection);
    ev_prepare_start(r.pair.all[1]->loop, &r.connection);
    ev_async_init(&r.wake, on_wake);
    ev_async_start(r.pair.all[1]->loop, &r.wake);
    ev_timer_init(&often, on_idle, 0.001, 0.001);
    ev_timer_start(r.pair.all[0]->loop, &often);
    assert_int_equal(pthread_create(&thread, NULL, run_connection, &r), 0);
    ev_run(r.pair.all[0]->loop, 0);
    pthread_join(thread, NULL);
    assert_int_equal(r.ended, REQUESTS);
    assert_int_equal(r.broken, 0);
    assert_int_equal(r.broken_streams, 0);
    pair_clear(&r.pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_request),
        cmocka_unit_test(test_the_head_alone),
        cmocka_unit_test(test_an_upload_waits),
        cmocka_unit_test(test_a_download_waits),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_the_connection_is_gone),
        cmocka_unit_test(test_failures_arrive_as_they_are),
        cmocka_unit_test(test_the_client_leaves),
        cmocka_unit_test(test_suspicion),
        cmocka_unit_test(test_the_end_of_all),
        cmocka_unit_test(test_whom_it_is_connected_to),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
