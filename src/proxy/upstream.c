#include "proxy/upstream_inside.h"

#include "base/log.h"

enum {
    REQUESTS_MAX = 1000,  /* per connection, ±10 % */
    INTERIM_MAX = 32,     /* behaviour 9 */
    READS_PER_EVENT = 4,
};
#define AGE_MAX (3600 * NSEC_PER_SEC)
#define NO_DEADLINE (INT64_C(1) << 61)
/* How long the answer of an upstream that stopped taking our request is awaited: it may have sent one before it closed. */
#define BROKEN_WRITE_TIME NSEC_PER_SEC

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

/* ±10 %, so that connections made together don't end together. */
static int64_t jittered(struct worker *w, int64_t t)
{
    return t + (int64_t)((double)t * 0.2 * (random_unit(&w->random) - 0.5));
}

/* --- the end of a connection --- */

static void count_sent(struct upstream *u)
{
    uint64_t n = h1_out_take_sent(&u->out);
    counter_add(&upstream_worker(u)->counters.bytes_to_upstreams, n);
    counter_add(&upstream_counts(u)->bytes_sent, n);
}

static void give_memory(struct upstream *u)
{
    struct worker *w = upstream_worker(u);
    buffer_give(&w->buffers, u->in);
    freelist_give(&w->heads_free, u->head);
    u->in = NULL;
    u->head = NULL;
}

void upstream_close(struct upstream *u)
{
    if (u->state == UPSTREAM_CLOSED)
        return;
    struct worker *w = upstream_worker(u);
    upstream_leave_idle(u);
    upstream_set_state(u, UPSTREAM_CLOSED);
    upstream_stop_dialling(u);
    stream_close(&u->stream, w->loop);
    SSL_free(u->ssl);
    u->ssl = NULL;
    timer_disarm(&w->timers, &u->timer);
    soon_cancel(&u->soon);
    give_memory(u);
    count_sent(u);
    h1_out_clear(&u->out, &w->buffers);
    list_push_back(&w->dead_upstreams, &u->link);
    struct endpoint_counts *counts = upstream_counts(u);
    atomic_store_explicit(&counts->connections, atomic_load_explicit(&counts->connections, memory_order_relaxed) - 1, memory_order_relaxed);
    gauge_add(&w->counters.upstreams, -1);
}

void upstream_free(struct upstream *u)
{
    struct worker *w = upstream_worker(u);
    list_remove(&u->link);
    free(u->tls_name);
    upstream_pool_release(u->pool);
    freelist_give(&w->upstreams_free, u);
}

static bool may_be_kept(const struct upstream *u)
{
    struct worker *w = upstream_worker(u);
    return u->ended && u->keep_alive && !u->extra && u->request_done && !u->write_broken && !u->alone
        && h1_out_is_empty(&u->out) && !stream_has_pending(&u->stream) && u->reading != BODY_UNTIL_CLOSE && u->requests < u->requests_max && worker_now(w) < u->expires && !w->stopping && u->pool->users;
}

/* The exchange has let go: keep the connection or close it. */
static void settle(struct upstream *u)
{
    u->exchange = NULL;
    if (!may_be_kept(u)) {
        upstream_close(u);
        return;
    }
    soon_cancel(&u->soon);
    give_memory(u);
    upstream_keep_idle(u);
    stream_watch(&u->stream, upstream_worker(u)->loop, EV_READ);
    upstream_set_deadline(u, u->pool->idle_time);
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

static void fail_at(struct upstream *u, enum upstream_stage stage, enum reason reason, const char *detail)
{
    struct exchange *ex = u->exchange;
    if (stage == STAGE_REUSED_SENT || stage == STAGE_REUSED_UNSENT) {
        upstream_note_reuse_race(u);
        reason = REASON_REUSE_RACE;
    }
    trace(TRACE_EXCHANGE, "%s: upstream %s: %s (%s)", ex->request_id, u->pool->live->id, reason_code(reason), detail ? detail : "");
    u->exchange = NULL;
    upstream_describe(u, ex->upstream_address, sizeof ex->upstream_address, &ex->upstream_reused);
    upstream_close(u);
    exchange_upstream_failed(ex, stage, reason, detail);
}

void upstream_fail(struct upstream *u, enum reason reason, const char *detail)
{
    fail_at(u, stage_of(u), reason, detail);
}

/* --- reading --- */

static bool ready_buffer(struct upstream *u)
{
    struct worker *w = upstream_worker(u);
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
    struct worker *w = upstream_worker(u);
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
        counter_add(&upstream_worker(u)->counters.extra_responses, 1);
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
    stream_watch(&u->stream, upstream_worker(u)->loop, u->blocked ? stream_watched(&u->stream) & ~EV_READ : stream_watched(&u->stream) | EV_READ);
    upstream_set_deadline(u, u->blocked || u->exchange->state == EXCHANGE_RAW ? NO_DEADLINE : upstream_timeouts(u)->response_idle);
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
    upstream_set_state(u, UPSTREAM_BODY);
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
        upstream_fail(u, REASON_MALFORMED, http_error_text(error));
        return false;
    }
    if (u->head->status < 200 && u->head->status != 101) {
        if (++u->interims > INTERIM_MAX) {
            upstream_fail(u, REASON_MALFORMED, "more than 32 interim responses");
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
    if (message.body == BODY_CHUNKED)
        u->decoder = (struct chunk_decoder){ 0 };
    if (u->head->status == 101) {
        if (!u->request_done) {
            upstream_fail(u, REASON_MALFORMED, "switched protocols before the request was complete");
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
            upstream_fail(u, REASON_MALFORMED, http_error_text((enum http_parse_error)u->parser.error));
            return;
        case HTTP_PARSE_MORE:
            if (!buffer_room(u->in) && !grow(u))
                upstream_fail(u, REASON_MALFORMED, "the response's head is too large");
            return;
        }
    }
}

static void end_of_input(struct upstream *u)
{
    if (u->state == UPSTREAM_BODY && u->reading == BODY_UNTIL_CLOSE) {
        u->ended = true;
        stream_watch(&u->stream, upstream_worker(u)->loop, stream_watched(&u->stream) & ~EV_READ);
        give_body(u);
        return;
    }
    if (u->state == UPSTREAM_BODY)
        upstream_fail(u, REASON_TRUNCATED, "closed in the middle of a body");
    else
        upstream_fail(u, REASON_RESET, u->got_bytes ? "closed in the middle of a head" : "closed without an answer");
}

/* One read; true when another one is worth trying. */
static bool read_once(struct upstream *u)
{
    struct worker *w = upstream_worker(u);
    if (!ready_buffer(u)) {
        upstream_fail(u, REASON_INTERNAL, "out of memory");
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
        upstream_fail(u, u->state == UPSTREAM_BODY ? REASON_TRUNCATED : REASON_RESET, stream_failure());
        return false;
    }
    counter_add(&w->counters.bytes_from_upstreams, (uint64_t)n);
    counter_add(&upstream_counts(u)->bytes_received, (uint64_t)n);
    u->got_bytes = true;
    u->large_reads = (size_t)n == room;
    uint32_t from = u->in->end;
    u->in->end += (uint32_t)n;
    if (u->state == UPSTREAM_WAITING)
        parse_heads(u);
    else if (!decode(u, from))
        upstream_fail(u, REASON_MALFORMED, http_error_text((enum http_parse_error)u->decoder.error));
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
        worker_soon(upstream_worker(u), &u->soon);
}

/* --- a new one --- */

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
    struct endpoint_counts *counts = upstream_counts(u);
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
    if (!upstream_connect(u, ex, &start.reason)) {
        upstream_close(u);
        return start;
    }
    upstream_set_deadline(u, ex->timeouts->connect);
    u->requests = 1;
    start.upstream = u;
    return start;
}

void upstream_become_ready(struct upstream *u)
{
    struct worker *w = upstream_worker(u);
    u->secured = worker_now(w);
    upstream_set_state(u, UPSTREAM_WAITING);
    stream_watch(&u->stream, w->loop, EV_READ);
    if (exchange_upstream_ready(u->exchange) == EXCHANGE_LET_GO)
        settle(u);
}

/* --- taking one --- */

static void begin_request(struct upstream *u, struct exchange *ex)
{
    struct worker *w = upstream_worker(u);
    list_push_back(&w->busy_upstreams, &u->link);
    upstream_set_state(u, UPSTREAM_WAITING);
    u->exchange = ex;
    u->requests++;
    u->ended = u->extra = u->head_given = u->got_bytes = u->written = u->request_done = u->blocked = false;
    u->interims = 0;
}

struct upstream_start upstream_acquire(struct upstream_pool *pool, struct exchange *ex, enum upstream_want want)
{
    struct upstream *u = want == UPSTREAM_FRESH ? NULL : upstream_take_idle(pool, ex, want);
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
    stream_watch(&u->stream, upstream_worker(u)->loop, stream_watched(&u->stream) | EV_WRITE);
}

/* An upstream that closes while we send may have answered before: what it said is read first. */
static ssize_t swallow(struct upstream *u, size_t given)
{
    if (!u->write_broken) {
        u->write_broken = true;
        count_sent(u);
        h1_out_clear(&u->out, &upstream_worker(u)->buffers);
        if (u->state == UPSTREAM_WAITING)
            upstream_set_deadline(u, BROKEN_WRITE_TIME);
        worker_soon(upstream_worker(u), &u->soon);
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
        upstream_set_deadline(u, upstream_timeouts(u)->response_header);
    return taken;
}

static struct slice trailers_at(const struct upstream *u, bool end)
{
    return end ? exchange_request_trailers(u->exchange) : (struct slice){ NULL, 0 };
}

static ssize_t op_send_head(void *upstream, const struct message_out *out, struct slice body, bool end)
{
    struct upstream *u = upstream;
    struct worker *w = upstream_worker(u);
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
    ssize_t taken = after_send(u, h1_out_body(&u->out, &u->stream, &upstream_worker(u)->writer, body, end), body.n, end);
    shut_down_if_raw(u);
    return taken;
}

static void op_want_body(void *upstream)
{
    struct upstream *u = upstream;
    worker_soon(upstream_worker(u), &u->soon);
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
    struct worker *w = upstream_worker(u);
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
        upstream_set_deadline(u, upstream_timeouts(u)->response_header);
    shut_down_if_raw(u);
    if (!u->request_done && exchange_upstream_writable(u->exchange) == EXCHANGE_LET_GO)
        settle(u);
}

/* Since the request was sent others were served: what the response touches is fetched while the kernel hands it out. */
static void prefetch(const struct upstream *u)
{
    upstream_prefetch(u);
    endpoint_prefetch(u->pool->live, upstream_worker(u)->options.index);
}

void upstream_on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct upstream *u = CONTAINER_OF(io, struct upstream, stream.io);
    prefetch(u);
    switch ((enum upstream_state)u->state) {
    case UPSTREAM_DIALLING: upstream_on_unix_connected(u); return;
    case UPSTREAM_HANDSHAKE: upstream_shake_hands(u); return;
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
        upstream_fail(u, REASON_CONNECT_TIMEOUT, "no connection in time");
        return;
    case UPSTREAM_HANDSHAKE: upstream_fail(u, REASON_CONNECT_TIMEOUT, "the TLS handshake did not end in time"); return;
    case UPSTREAM_WAITING:
        if (u->write_broken)
            upstream_fail(u, REASON_RESET, "stopped reading the request, and did not answer");
        else
            fail_at(u, STAGE_RESPONSE_TIMEOUT, REASON_RESPONSE_TIMEOUT, "no response in time");
        return;
    case UPSTREAM_BODY: upstream_fail(u, REASON_RESPONSE_IDLE, "the response stopped"); return;
    case UPSTREAM_IDLE: upstream_close(u); return;
    case UPSTREAM_CLOSED: return;
    }
}
