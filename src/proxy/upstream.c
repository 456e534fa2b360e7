#include "proxy/upstream.h"

#include "base/log.h"
#include "http/chunked.h"
#include "net/dial.h"
#include "net/tls.h"
#include "proxy/exchange.h"

#include <errno.h>
#include <unistd.h>

enum upstream_state {
    UPSTREAM_DIALLING,
    UPSTREAM_HANDSHAKE,
    UPSTREAM_WAITING, /* for a response's head */
    UPSTREAM_BODY,    /* its head was given to the exchange */
    UPSTREAM_IDLE,
    UPSTREAM_CLOSED
};

enum {
    IDLE_MAX = 512,       /* kept per worker and endpoint; the one idle for longest goes first */
    REQUESTS_MAX = 1000,  /* per connection, ±10 % */
    INTERIM_MAX = 32,     /* behaviour 9 */
    READS_PER_EVENT = 4,
    CACHE_LINE = 64,
};
#define AGE_MAX (3600 * NSEC_PER_SEC)
#define IDLE_TIME_MAX (60 * NSEC_PER_SEC)
#define IDLE_TIME_MIN NSEC_PER_SEC
#define NO_DEADLINE (INT64_C(1) << 61)
/* How long the answer of an upstream that stopped taking our request is awaited: it may have sent one before it closed. */
#define BROKEN_WRITE_TIME NSEC_PER_SEC

struct upstream_pool {
    struct worker *worker;
    struct endpoint_live *live;
    uint64_t dial_hash;
    unsigned users;           /* configurations that name it; none: nothing is kept any more */
    unsigned refs;            /* those and the connections */
    unsigned n_idle;
    struct list idle;         /* the most recently used first */
    nsec_t idle_time;         /* shorter while connections turn out to be closed when they are used again */
    SSL_SESSION *session;     /* the newest, to be resumed by the next connection */
};

struct upstream {
    struct stream stream;
    struct timer timer;
    struct soon soon;         /* reads on, or gives on what was read, without waiting for the socket */
    struct list link;         /* on the pool's idle list, or the worker's list of busy or dead ones */
    struct upstream_pool *pool;
    struct exchange *exchange;
    struct http_head *head;   /* while a response is awaited */
    struct buffer *in;        /* [start, end) is payload not taken yet, or the part of a head */
    struct h1_out out;
    struct dialling *dialling; /* while connecting to an address */
    SSL *ssl;                 /* made before dialling; the stream's afterwards */
    char *tls_name;           /* the name verified, where it follows the request's host; NULL: always the same */
    nsec_t born, connected, secured, expires;
    uint64_t body_left;
    struct http_parser parser;
    struct chunk_decoder decoder;
    uint32_t requests, requests_max;
    uint8_t state;
    uint8_t reading;          /* enum http_body of the response */
    bool keep_alive;          /* the response says so */
    bool ended;               /* the response has come whole */
    bool extra;               /* and more than that */
    bool head_given;          /* the exchange has the response's head */
    bool got_bytes;           /* of a response, since the request was sent */
    bool written;             /* a byte of the request may have been sent */
    bool request_done;        /* and all of it was taken */
    bool write_broken;
    bool blocked;             /* the client's side has no room */
    bool alone;               /* carries an upgrade: not for others */
    bool large_reads;
    uint8_t interims;
    struct address address;
    uint32_t addresses_version; /* of the endpoint's addresses when `address` was last seen among them */
    bool over_unix;
};

struct dialling {
    struct dial dial;
    struct upstream *upstream;
};

static void upstream_on_io(struct ev_loop *loop, ev_io *io, int events);
static void upstream_on_timer(struct timer *timer);
static void upstream_on_soon(struct soon *soon);

size_t upstream_size(void)
{
    return sizeof(struct upstream);
}

struct upstream *upstream_of_link(struct list *link)
{
    return CONTAINER_OF(link, struct upstream, link);
}

static struct worker *worker_of(const struct upstream *u)
{
    return u->pool->worker;
}

static struct endpoint_counts *counts_of(const struct upstream *u)
{
    return worker_counts(u->pool->worker, u->pool->live);
}

static const struct timeouts *timeouts_of(const struct upstream *u)
{
    return u->exchange->timeouts;
}

static void set_state(struct upstream *u, enum upstream_state state)
{
    u->state = (uint8_t)state;
}

static void set_deadline(struct upstream *u, nsec_t after)
{
    timer_arm(&worker_of(u)->timers, &u->timer, after);
}

/* ±10 %, so that connections made together don't end together. */
static int64_t jittered(struct worker *w, int64_t t)
{
    return t + (int64_t)((double)t * 0.2 * (random_unit(&w->random) - 0.5));
}

/* --- the pool --- */

struct upstream_pool *upstream_pool_new(struct worker *w, const struct endpoint *e)
{
    struct upstream_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    *pool = (struct upstream_pool){ .worker = w, .live = endpoint_live_ref(e->live), .dial_hash = e->dial_hash, .users = 1, .refs = 1, .idle_time = IDLE_TIME_MAX };
    list_init(&pool->idle);
    return pool;
}

struct upstream_pool *upstream_pool_ref_for(struct upstream_pool *pool, const struct endpoint *e)
{
    if (!pool || pool->live != e->live || pool->dial_hash != e->dial_hash)
        return NULL;
    pool->users++;
    pool->refs++;
    return pool;
}

void upstream_pool_prefetch(const struct upstream_pool *pool)
{
    __builtin_prefetch(pool, 1);
    __builtin_prefetch(&pool->session, 1);
}

static void upstream_close(struct upstream *u);

void upstream_pool_close_idle(struct upstream_pool *pool)
{
    LIST_FOR_EACH(node, &pool->idle)
        upstream_close(upstream_of_link(node));
}

static void pool_release(struct upstream_pool *pool)
{
    if (--pool->refs)
        return;
    SSL_SESSION_free(pool->session);
    endpoint_live_unref(pool->live);
    free(pool);
}

void upstream_pool_unref(struct upstream_pool *pool)
{
    if (!--pool->users)
        upstream_pool_close_idle(pool);
    pool_release(pool);
}

/* --- the end of a connection --- */

static void leave_idle_list(struct upstream *u)
{
    if (u->state == UPSTREAM_IDLE)
        u->pool->n_idle--;
    list_remove(&u->link);
}

static void stop_dialling(struct upstream *u)
{
    if (!u->dialling)
        return;
    dial_cancel(&u->dialling->dial);
    free(u->dialling);
    u->dialling = NULL;
}

static void count_sent(struct upstream *u)
{
    uint64_t n = h1_out_take_sent(&u->out);
    counter_add(&worker_of(u)->counters.bytes_to_upstreams, n);
    counter_add(&counts_of(u)->bytes_sent, n);
}

static void give_memory(struct upstream *u)
{
    struct worker *w = worker_of(u);
    buffer_give(&w->buffers, u->in);
    freelist_give(&w->heads_free, u->head);
    u->in = NULL;
    u->head = NULL;
}

static void upstream_close(struct upstream *u)
{
    if (u->state == UPSTREAM_CLOSED)
        return;
    struct worker *w = worker_of(u);
    leave_idle_list(u);
    set_state(u, UPSTREAM_CLOSED);
    stop_dialling(u);
    stream_close(&u->stream, w->loop);
    SSL_free(u->ssl);
    u->ssl = NULL;
    timer_disarm(&w->timers, &u->timer);
    soon_cancel(&u->soon);
    give_memory(u);
    count_sent(u);
    h1_out_clear(&u->out, &w->buffers);
    list_push_back(&w->dead_upstreams, &u->link);
    struct endpoint_counts *counts = counts_of(u);
    atomic_store_explicit(&counts->connections, atomic_load_explicit(&counts->connections, memory_order_relaxed) - 1, memory_order_relaxed);
    gauge_add(&w->counters.upstreams, -1);
}

void upstream_free(struct upstream *u)
{
    struct worker *w = worker_of(u);
    list_remove(&u->link);
    free(u->tls_name);
    pool_release(u->pool);
    freelist_give(&w->upstreams_free, u);
}

static bool may_be_kept(const struct upstream *u)
{
    struct worker *w = worker_of(u);
    return u->ended && u->keep_alive && !u->extra && u->request_done && !u->write_broken && !u->alone && h1_out_is_empty(&u->out) && !stream_has_pending(&u->stream)
        && u->reading != BODY_UNTIL_CLOSE && u->requests < u->requests_max && worker_now(w) < u->expires && !w->stopping && u->pool->users;
}

/* The exchange has let go: keep the connection or close it. */
static void settle(struct upstream *u)
{
    u->exchange = NULL;
    if (!may_be_kept(u)) {
        upstream_close(u);
        return;
    }
    struct upstream_pool *pool = u->pool;
    if (pool->n_idle >= IDLE_MAX)
        upstream_close(upstream_of_link(pool->idle.prev));
    list_remove(&u->link);
    soon_cancel(&u->soon);
    set_state(u, UPSTREAM_IDLE);
    give_memory(u);
    list_push_front(&pool->idle, &u->link);
    pool->n_idle++;
    stream_watch(&u->stream, worker_of(u)->loop, EV_READ);
    set_deadline(u, pool->idle_time);
}

static enum upstream_stage stage_of(const struct upstream *u)
{
    if (u->head_given)
        return STAGE_RESPONSE;
    if (u->state == UPSTREAM_DIALLING || u->state == UPSTREAM_HANDSHAKE)
        return STAGE_NOT_CONNECTED;
    if (u->got_bytes)
        return STAGE_SENT;
    if (u->requests > 1)
        return u->written ? STAGE_REUSED_SENT : STAGE_REUSED_UNSENT;
    return u->written ? STAGE_SENT : STAGE_NOT_CONNECTED;
}

/* Kept connections that turn out closed say that we keep them for too long. */
static void note_reuse_race(struct upstream *u)
{
    struct upstream_pool *pool = u->pool;
    pool->idle_time = pool->idle_time / 2 < IDLE_TIME_MIN ? IDLE_TIME_MIN : pool->idle_time / 2;
    counter_add(&worker_of(u)->counters.reuse_races, 1);
    counter_add(&counts_of(u)->reuse_races, 1);
}

static void fail_at(struct upstream *u, enum upstream_stage stage, enum reason reason, const char *detail)
{
    struct exchange *ex = u->exchange;
    if (stage == STAGE_REUSED_SENT || stage == STAGE_REUSED_UNSENT) {
        note_reuse_race(u);
        reason = REASON_REUSE_RACE;
    }
    trace(TRACE_EXCHANGE, "%s: upstream %s: %s (%s)", ex->request_id, u->pool->live->id, reason_code(reason), detail ? detail : "");
    u->exchange = NULL;
    upstream_describe(u, ex->upstream_address, sizeof ex->upstream_address, &ex->upstream_reused);
    upstream_close(u);
    exchange_upstream_failed(ex, stage, reason, detail);
}

static void fail(struct upstream *u, enum reason reason, const char *detail)
{
    fail_at(u, stage_of(u), reason, detail);
}

/* --- reading --- */

static bool ready_buffer(struct upstream *u)
{
    struct worker *w = worker_of(u);
    if (u->in && u->large_reads && u->in->size < BUFFER_LARGE && !buffer_length(u->in)) {
        buffer_give(&w->buffers, u->in);
        u->in = NULL;
    }
    if (!u->in)
        u->in = buffer_take(&w->buffers, u->large_reads ? BUFFER_LARGE : BUFFER_SMALL);
    if (u->in && !buffer_length(u->in))
        u->in->start = u->in->end = 0;
    return u->in != NULL;
}

/* A head that does not fit the small buffer goes on in a large one. */
static bool grow(struct upstream *u)
{
    struct worker *w = worker_of(u);
    if (u->in->start == 0 && u->in->size >= BUFFER_LARGE)
        return false;
    struct buffer *larger = buffer_take(&w->buffers, BUFFER_LARGE);
    if (!larger)
        return false;
    memcpy(larger->data, u->in->data + u->in->start, buffer_length(u->in));
    larger->end = (uint32_t)buffer_length(u->in);
    buffer_give(&w->buffers, u->in);
    u->in = larger;
    return true;
}

/* Looks through what was received from `from` on, so that [start, end) is payload alone. False: the coding is broken. */
static bool decode(struct upstream *u, uint32_t from)
{
    size_t n = u->in->end - from;
    switch ((enum http_body)u->reading) {
    case BODY_NONE:
        u->extra = n > 0;
        u->in->end = from;
        u->ended = true;
        return true;
    case BODY_LENGTH:
        if (n >= u->body_left) {
            u->extra = n > u->body_left;
            u->in->end = from + (uint32_t)u->body_left;
            u->ended = true;
            n = (size_t)u->body_left;
        }
        u->body_left -= n;
        return true;
    case BODY_CHUNKED: {
        size_t payload, consumed;
        enum http_parse_result result = chunk_decode(&u->decoder, u->in->data + from, n, &payload, &consumed);
        u->in->end = from + (uint32_t)payload;
        exchange_add_response_trailers(u->exchange, (struct slice){ u->in->data + u->in->end, u->decoder.trailers });
        u->ended = result == HTTP_PARSE_DONE;
        u->extra = u->ended && consumed < n;
        return result != HTTP_PARSE_ERROR;
    }
    case BODY_UNTIL_CLOSE:
        return true;
    }
    return false;
}

static void count_extra(struct upstream *u)
{
    if (u->extra)
        counter_add(&worker_of(u)->counters.extra_responses, 1);
}

/* What follows every time the exchange has seen a piece. */
static void after_giving(struct upstream *u, enum exchange_hold hold, size_t taken)
{
    if (hold == EXCHANGE_LET_GO) {
        count_extra(u);
        settle(u);
        return;
    }
    u->in->start += (uint32_t)taken;
    u->blocked = buffer_length(u->in) > 0;
    if (!u->blocked && u->exchange->state == EXCHANGE_RAW)
        give_memory(u); /* it may be idle for days */
    stream_watch(&u->stream, worker_of(u)->loop, u->blocked ? stream_watched(&u->stream) & ~EV_READ : stream_watched(&u->stream) | EV_READ);
    set_deadline(u, u->blocked || u->exchange->state == EXCHANGE_RAW ? NO_DEADLINE : timeouts_of(u)->response_idle);
}

static void give_body(struct upstream *u)
{
    size_t taken = 0;
    struct slice body = { u->in->data + u->in->start, buffer_length(u->in) };
    if (!body.n && !u->ended)
        return;
    enum exchange_hold hold = exchange_response_body(u->exchange, body, u->ended, &taken);
    after_giving(u, hold, taken);
}

static void give_head(struct upstream *u, const char *base, const struct http_message *message)
{
    size_t taken = 0;
    u->in->start += u->head->length;
    set_state(u, UPSTREAM_BODY);
    if (!decode(u, u->in->start)) {
        fail_at(u, STAGE_SENT, REASON_MALFORMED, http_error_text((enum http_parse_error)u->decoder.error));
        return;
    }
    u->head_given = true;
    struct slice body = { u->in->data + u->in->start, buffer_length(u->in) };
    enum exchange_hold hold = exchange_response(u->exchange, u->head, base, message, body, u->ended, &taken);
    after_giving(u, hold, taken);
}

/* True if another head may follow in the buffer. */
static bool take_head(struct upstream *u)
{
    struct exchange *ex = u->exchange;
    const char *base = u->in->data + u->in->start;
    struct http_message message;
    enum http_parse_error error = http_response_rules(u->head, base, (enum http_method)ex->head->method, ex->message.upgrade_websocket, &message);
    if (error) {
        fail(u, REASON_MALFORMED, http_error_text(error));
        return false;
    }
    if (u->head->status < 200 && u->head->status != 101) {
        if (++u->interims > INTERIM_MAX) {
            fail(u, REASON_MALFORMED, "more than 32 interim responses");
            return false;
        }
        uint32_t length = u->head->length;
        if (exchange_interim(ex, u->head, base) == EXCHANGE_LET_GO) {
            settle(u);
            return false;
        }
        u->in->start += length;
        http_parser_start(&u->parser, u->head);
        return buffer_length(u->in) > 0;
    }
    u->keep_alive = message.keep_alive;
    u->reading = (uint8_t)message.body;
    u->body_left = message.length;
    u->decoder = (struct chunk_decoder){ 0 };
    if (u->head->status == 101) {
        if (!u->request_done) {
            fail(u, REASON_MALFORMED, "switched protocols before the request was complete");
            return false;
        }
        u->reading = BODY_UNTIL_CLOSE;
        u->request_done = false; /* raw bytes follow */
        u->out.chunked = false;
    }
    give_head(u, base, &message);
    return false;
}

static void parse_heads(struct upstream *u)
{
    static const struct http_limits limits = { .size = BUFFER_LARGE, .count = HTTP_FIELDS_MAX };
    bool more = true;
    while (more) {
        switch (http_parse_response(&u->parser, u->head, u->in->data + u->in->start, buffer_length(u->in), &limits)) {
        case HTTP_PARSE_DONE:
            more = take_head(u);
            break;
        case HTTP_PARSE_ERROR:
            fail(u, REASON_MALFORMED, http_error_text((enum http_parse_error)u->parser.error));
            return;
        case HTTP_PARSE_MORE:
            if (!buffer_room(u->in) && !grow(u))
                fail(u, REASON_MALFORMED, "the response's head is too large");
            return;
        }
    }
}

static void end_of_input(struct upstream *u)
{
    if (u->state == UPSTREAM_BODY && u->reading == BODY_UNTIL_CLOSE) {
        u->ended = true;
        stream_watch(&u->stream, worker_of(u)->loop, stream_watched(&u->stream) & ~EV_READ);
        give_body(u);
        return;
    }
    if (u->state == UPSTREAM_BODY)
        fail(u, REASON_TRUNCATED, "closed in the middle of a body");
    else
        fail(u, REASON_RESET, u->got_bytes ? "closed in the middle of a head" : "closed without an answer");
}

/* One read; true when another one is worth trying. */
static bool read_once(struct upstream *u)
{
    struct worker *w = worker_of(u);
    if (!ready_buffer(u)) {
        fail(u, REASON_INTERNAL, "out of memory");
        return false;
    }
    size_t room = buffer_room(u->in);
    ssize_t n = stream_read(&u->stream, u->in->data + u->in->end, room);
    if (n == STREAM_AGAIN)
        return false;
    if (n == STREAM_EOF) {
        end_of_input(u);
        return false;
    }
    if (n < 0) {
        fail(u, u->state == UPSTREAM_BODY ? REASON_TRUNCATED : REASON_RESET, stream_failure());
        return false;
    }
    counter_add(&w->counters.bytes_from_upstreams, (uint64_t)n);
    counter_add(&counts_of(u)->bytes_received, (uint64_t)n);
    u->got_bytes = true;
    u->large_reads = (size_t)n == room;
    uint32_t from = u->in->end;
    u->in->end += (uint32_t)n;
    if (u->state == UPSTREAM_WAITING)
        parse_heads(u);
    else if (!decode(u, from))
        fail(u, REASON_MALFORMED, http_error_text((enum http_parse_error)u->decoder.error));
    else
        give_body(u);
    return u->large_reads && u->state == UPSTREAM_BODY && !u->blocked;
}

static bool is_receiving(const struct upstream *u)
{
    return (u->state == UPSTREAM_WAITING || u->state == UPSTREAM_BODY) && !u->ended && !u->blocked;
}

static void readable(struct upstream *u)
{
    if (u->state == UPSTREAM_IDLE) { /* closed, or speaks without being asked: no good either way */
        upstream_close(u);
        return;
    }
    if (u->blocked) { /* asked for by want_body */
        u->blocked = false;
        give_body(u);
    } else {
        for (int i = 0; i < READS_PER_EVENT && is_receiving(u) && read_once(u); i++)
            ;
    }
    if (is_receiving(u) && stream_has_pending(&u->stream))
        worker_soon(worker_of(u), &u->soon);
}

/* --- connecting --- */

static void become_ready(struct upstream *u)
{
    struct worker *w = worker_of(u);
    u->secured = worker_now(w);
    set_state(u, UPSTREAM_WAITING);
    stream_watch(&u->stream, w->loop, EV_READ);
    if (exchange_upstream_ready(u->exchange) == EXCHANGE_LET_GO)
        settle(u);
}

static void shake_hands(struct upstream *u)
{
    switch (stream_handshake(&u->stream)) {
    case HANDSHAKE_AGAIN: break;
    case HANDSHAKE_DONE: become_ready(u); break;
    case HANDSHAKE_FAILED: fail(u, REASON_TLS_FAILED, stream_failure()); break;
    }
}

static void on_connected(struct upstream *u, int fd)
{
    struct worker *w = worker_of(u);
    u->connected = worker_now(w);
    stream_init(&u->stream, fd, u->ssl, upstream_on_io);
    bool secure = u->ssl != NULL;
    u->ssl = NULL;
    if (!secure) {
        become_ready(u);
        return;
    }
    set_state(u, UPSTREAM_HANDSHAKE);
    timer_arm_at(&w->timers, &u->timer, u->born + timeouts_of(u)->handshake);
    stream_watch(&u->stream, w->loop, EV_READ);
    shake_hands(u);
}

static void on_dialled(struct dial *dial)
{
    struct upstream *u = CONTAINER_OF(dial, struct dialling, dial)->upstream;
    int fd = dial->fd, error = dial->error;
    u->address = dial->addresses.items[dial->index];
    stop_dialling(u);
    if (fd >= 0) {
        on_connected(u, fd);
        return;
    }
    /* The next connection begins with another address. */
    atomic_fetch_add_explicit(&u->pool->live->address_turn, 1, memory_order_relaxed);
    fail(u, REASON_CONNECT_FAILED, strerror(error));
}

static void on_unix_connected(struct upstream *u)
{
    int fd = u->stream.io.fd, error = stream_connect_result(fd);
    struct worker *w = worker_of(u);
    if (error) {
        fail(u, REASON_CONNECT_FAILED, strerror(error));
        return;
    }
    stream_watch(&u->stream, w->loop, 0);
    on_connected(u, fd);
}

static bool dial_unix(struct upstream *u, const char *path)
{
    struct sockaddr_un where = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof where.sun_path)
        return false;
    memcpy(where.sun_path, path, strlen(path) + 1);
    int fd = stream_connect((const struct sockaddr *)&where, sizeof where);
    if (fd < 0)
        return false;
    u->over_unix = true;
    stream_init(&u->stream, fd, NULL, upstream_on_io);
    stream_watch(&u->stream, worker_of(u)->loop, EV_WRITE);
    return true;
}

static bool dial_tcp(struct upstream *u)
{
    struct address_set addresses;
    struct worker *w = worker_of(u);
    u->addresses_version = atomic_load_explicit(&u->pool->live->addresses_version, memory_order_acquire);
    endpoint_get_addresses(u->pool->live, &addresses);
    if (!addresses.n || !(u->dialling = calloc(1, sizeof *u->dialling)))
        return false;
    u->dialling->upstream = u;
    unsigned first = atomic_load_explicit(&u->pool->live->address_turn, memory_order_relaxed) % addresses.n;
    dial_start(&u->dialling->dial, w->loop, &w->timers, &addresses, first, on_dialled);
    return true;
}

/* The request's host, where the endpoint has no name of its own to be verified by. */
static char *copy_tls_name(const struct exchange *ex)
{
    char *name = ex->host.n ? malloc(ex->host.n + 1) : NULL;
    if (name) {
        memcpy(name, ex->host.p, ex->host.n);
        name[ex->host.n] = 0;
    }
    return name;
}

static bool prepare_tls(struct upstream *u, const struct exchange *ex)
{
    const struct endpoint *e = ex->endpoint;
    if (!e->tls_client)
        return true;
    if (!e->sni && !(u->tls_name = copy_tls_name(ex)))
        return false;
    /* Sessions are kept only where the name is always the same: one made for another name must not be resumed. */
    u->ssl = tls_client_session(e->tls_client, e->sni ? e->sni : u->tls_name, e->sni ? u->pool->session : NULL);
    if (u->ssl && e->sni)
        tls_client_keep_session(u->ssl, &u->pool->session);
    return u->ssl != NULL;
}

static struct upstream *make(struct upstream_pool *pool, struct exchange *ex)
{
    struct worker *w = pool->worker;
    struct upstream *u = freelist_take(&w->upstreams_free);
    if (!u)
        return NULL;
    *u = (struct upstream){ .pool = pool, .exchange = ex, .state = UPSTREAM_DIALLING, .born = worker_now(w) };
    u->stream.io.fd = -1;
    pool->refs++;
    u->requests_max = (uint32_t)jittered(w, REQUESTS_MAX);
    u->expires = u->born + jittered(w, AGE_MAX);
    timer_init(&u->timer, upstream_on_timer);
    soon_init(&u->soon, upstream_on_soon);
    list_push_back(&w->busy_upstreams, &u->link);
    struct endpoint_counts *counts = counts_of(u);
    atomic_store_explicit(&counts->connections, atomic_load_explicit(&counts->connections, memory_order_relaxed) + 1, memory_order_relaxed);
    gauge_add(&w->counters.upstreams, 1);
    return u;
}

static struct upstream_start connect_new(struct upstream_pool *pool, struct exchange *ex)
{
    struct upstream_start start = { .reason = REASON_INTERNAL };
    struct upstream *u = make(pool, ex);
    if (!u)
        return start;
    bool on_its_way = prepare_tls(u, ex);
    if (on_its_way && ex->endpoint->unix_path) {
        on_its_way = dial_unix(u, ex->endpoint->unix_path);
        start.reason = REASON_CONNECT_FAILED;
    } else if (on_its_way) {
        on_its_way = dial_tcp(u);
        start.reason = REASON_NO_ADDRESS;
    }
    if (!on_its_way) {
        upstream_close(u);
        return start;
    }
    set_deadline(u, ex->timeouts->connect);
    u->requests = 1;
    start.upstream = u;
    return start;
}

/* --- taking one --- */

/* Whether the kernel knows already that the connection is closed. */
static bool is_still_open(struct upstream *u)
{
    char byte;
    return recv(u->stream.io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static bool serves_name(const struct upstream *u, const struct exchange *ex)
{
    return !u->tls_name || slice_eq(slice_of(u->tls_name), ex->host);
}

/* The name may have moved since it was dialled. */
static bool leads_there_still(struct upstream *u)
{
    struct endpoint_live *live = u->pool->live;
    uint32_t version = atomic_load_explicit(&live->addresses_version, memory_order_acquire);
    if (u->over_unix || u->addresses_version == version)
        return true;
    struct address_set addresses;
    endpoint_get_addresses(live, &addresses);
    for (unsigned i = 0; i < addresses.n; i++) {
        if (!address_equal(&addresses.items[i], &u->address))
            continue;
        u->addresses_version = version;
        return true;
    }
    return false;
}

/* All of it at once: of many connections, the one whose turn it is has mostly left the nearer caches. */
static void prefetch(const struct upstream *u)
{
    for (size_t i = 0; i < sizeof *u; i += CACHE_LINE)
        __builtin_prefetch((const char *)u + i, 1);
}

static struct upstream *take_idle(struct upstream_pool *pool, const struct exchange *ex, enum upstream_want want)
{
    LIST_FOR_EACH(node, &pool->idle)
    {
        struct upstream *u = upstream_of_link(node);
        prefetch(u);
        if (!serves_name(u, ex))
            continue;
        if (!leads_there_still(u)) {
            upstream_close(u);
            continue;
        }
        if (want == UPSTREAM_ALIVE && !is_still_open(u)) {
            note_reuse_race(u);
            upstream_close(u);
            continue;
        }
        return u;
    }
    return NULL;
}

static void begin_request(struct upstream *u, struct exchange *ex)
{
    struct worker *w = worker_of(u);
    leave_idle_list(u);
    list_push_back(&w->busy_upstreams, &u->link);
    set_state(u, UPSTREAM_WAITING);
    u->exchange = ex;
    u->requests++;
    u->ended = u->extra = u->head_given = u->got_bytes = u->written = u->request_done = u->blocked = false;
    u->interims = 0;
    if (u->pool->idle_time < IDLE_TIME_MAX)
        u->pool->idle_time += u->pool->idle_time / 64;
}

struct upstream_start upstream_acquire(struct upstream_pool *pool, struct exchange *ex, enum upstream_want want)
{
    struct upstream *u = want == UPSTREAM_FRESH ? NULL : take_idle(pool, ex, want);
    if (!u)
        return connect_new(pool, ex);
    begin_request(u, ex);
    return (struct upstream_start){ .upstream = u, .ready = true };
}

void upstream_describe(const struct upstream *u, char *address, size_t size, bool *reused)
{
    char text[ADDRESS_TEXT_SIZE] = "unix";
    if (!u->over_unix)
        address_format(&u->address, text);
    snprintf(address, size, "%s", text);
    *reused = u->requests > 1;
}

void upstream_times(const struct upstream *u, nsec_t *connected, nsec_t *secured)
{
    *connected = u->connected;
    *secured = u->secured;
}

/* --- what the exchange asks --- */

static void watch_for_room(struct upstream *u)
{
    stream_watch(&u->stream, worker_of(u)->loop, stream_watched(&u->stream) | EV_WRITE);
}

/* An upstream that closes while we send may have answered before: what it said is read first. */
static ssize_t swallow(struct upstream *u, size_t given)
{
    if (!u->write_broken) {
        u->write_broken = true;
        count_sent(u);
        h1_out_clear(&u->out, &worker_of(u)->buffers);
        if (u->state == UPSTREAM_WAITING)
            set_deadline(u, BROKEN_WRITE_TIME);
        worker_soon(worker_of(u), &u->soon);
    }
    return (ssize_t)given;
}

static ssize_t after_send(struct upstream *u, ssize_t taken, size_t given, bool end)
{
    if (taken < 0)
        return swallow(u, given);
    count_sent(u);
    u->written = true;
    if ((size_t)taken < given || !h1_out_is_empty(&u->out))
        watch_for_room(u);
    if ((size_t)taken == given && end)
        u->request_done = true;
    if (u->state == UPSTREAM_WAITING)
        set_deadline(u, timeouts_of(u)->response_header);
    return taken;
}

static struct slice trailers_at(const struct upstream *u, bool end)
{
    return end ? exchange_request_trailers(u->exchange) : (struct slice){ NULL, 0 };
}

static ssize_t op_send_head(void *upstream, const struct message_out *out, struct slice body, bool end)
{
    struct upstream *u = upstream;
    struct worker *w = worker_of(u);
    if (!u->head && !(u->head = freelist_take(&w->heads_free)))
        return swallow(u, body.n);
    http_parser_start(&u->parser, u->head);
    u->alone = out->upgrade;
    struct h1_message m = { .out = out, .role = H1_REQUEST };
    u->out.trailers = trailers_at(u, end);
    return after_send(u, h1_out_head(&u->out, &u->stream, &w->writer, &m, body, end), body.n, end);
}

/* The client of an upgraded connection has closed its side: the upstream must see it. */
static void shut_down_if_raw(struct upstream *u)
{
    if (u->request_done && u->exchange->state == EXCHANGE_RAW && h1_out_is_empty(&u->out))
        stream_shutdown(&u->stream);
}

static ssize_t op_send_body(void *upstream, struct slice body, bool end)
{
    struct upstream *u = upstream;
    if (u->write_broken)
        return (ssize_t)body.n;
    u->out.trailers = trailers_at(u, end);
    ssize_t taken = after_send(u, h1_out_body(&u->out, &u->stream, &worker_of(u)->writer, body, end), body.n, end);
    shut_down_if_raw(u);
    return taken;
}

static void op_want_body(void *upstream)
{
    struct upstream *u = upstream;
    worker_soon(worker_of(u), &u->soon);
}

static void op_abort(void *upstream)
{
    struct upstream *u = upstream;
    u->exchange = NULL;
    upstream_close(u);
}

static void op_describe(const void *upstream, char *address, size_t size, bool *reused)
{
    upstream_describe(upstream, address, size, reused);
}

const struct upstream_ops h1_upstream_ops = {
    .send_head = op_send_head,
    .send_body = op_send_body,
    .want_body = op_want_body,
    .abort = op_abort,
    .describe = op_describe,
    .keeps_time = true,
};

/* --- events --- */

static void writable(struct upstream *u)
{
    struct worker *w = worker_of(u);
    if (u->write_broken) {
        stream_watch(&u->stream, w->loop, stream_watched(&u->stream) & ~EV_WRITE);
        return;
    }
    if (!h1_out_needs_payload(&u->out)) {
        int flushed = h1_out_flush(&u->out, &u->stream, &w->writer);
        if (flushed < 0)
            swallow(u, 0);
        if (flushed <= 0)
            return;
    }
    stream_watch(&u->stream, w->loop, stream_watched(&u->stream) & ~EV_WRITE);
    if (u->state == UPSTREAM_WAITING)
        set_deadline(u, timeouts_of(u)->response_header);
    shut_down_if_raw(u);
    if (!u->request_done && exchange_upstream_writable(u->exchange) == EXCHANGE_LET_GO)
        settle(u);
}

static void upstream_on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct upstream *u = CONTAINER_OF(io, struct upstream, stream.io);
    switch ((enum upstream_state)u->state) {
    case UPSTREAM_DIALLING: on_unix_connected(u); return;
    case UPSTREAM_HANDSHAKE: shake_hands(u); return;
    case UPSTREAM_WAITING:
    case UPSTREAM_BODY:
        if (events & EV_WRITE)
            writable(u);
        if (events & EV_READ && u->state != UPSTREAM_CLOSED)
            readable(u);
        return;
    case UPSTREAM_IDLE: readable(u); return;
    case UPSTREAM_CLOSED: return;
    }
}

static void upstream_on_soon(struct soon *soon)
{
    struct upstream *u = CONTAINER_OF(soon, struct upstream, soon);
    if (u->state == UPSTREAM_WAITING || u->state == UPSTREAM_BODY)
        readable(u);
}

static void upstream_on_timer(struct timer *timer)
{
    struct upstream *u = CONTAINER_OF(timer, struct upstream, timer);
    switch ((enum upstream_state)u->state) {
    case UPSTREAM_DIALLING:
        atomic_fetch_add_explicit(&u->pool->live->address_turn, 1, memory_order_relaxed);
        fail(u, REASON_CONNECT_TIMEOUT, "no connection in time");
        return;
    case UPSTREAM_HANDSHAKE: fail(u, REASON_CONNECT_TIMEOUT, "the TLS handshake did not end in time"); return;
    case UPSTREAM_WAITING:
        if (u->write_broken)
            fail(u, REASON_RESET, "stopped reading the request, and did not answer");
        else
            fail_at(u, STAGE_RESPONSE_TIMEOUT, REASON_RESPONSE_TIMEOUT, "no response in time");
        return;
    case UPSTREAM_BODY: fail(u, REASON_RESPONSE_IDLE, "the response stopped"); return;
    case UPSTREAM_IDLE: upstream_close(u); return;
    case UPSTREAM_CLOSED: return;
    }
}
