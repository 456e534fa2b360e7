#include "proxy/client.h"

#include "base/log.h"
#include "http/chunked.h"
#include "net/tls.h"
#include "net/peer_count.h"
#include "proxy/exchange.h"
#include "proxy/reply.h"

#include <errno.h>
#include <unistd.h>

enum client_state {
    CLIENT_HANDSHAKE,
    CLIENT_IDLE,     /* between requests; owns no buffer */
    CLIENT_HEAD,     /* part of a head has come */
    CLIENT_EXCHANGE, /* an exchange is under way */
    CLIENT_FLUSH,    /* the last response is being written, then the connection closes */
    CLIENT_LINGER,   /* closed for writing; what still comes is thrown away, so that the response is not lost to a reset */
    CLIENT_CLOSED
};

enum { LINGER_BYTES_MAX = 1024 * 1024, READS_PER_EVENT = 4 };
#define LINGER_TIME (2 * NSEC_PER_SEC)
#define LOOK_AGAIN_AFTER NSEC_PER_SEC /* whether a client is there whose body we hold back */
#define NO_DEADLINE (INT64_C(1) << 61)
/* Behaviour 10: a body has to come at 1 kB/s at least, judged once it has taken longer than the time between two reads may. */
#define BODY_RATE_MIN 1000.0

struct client {
    struct stream stream;
    struct timer timer;
    struct soon soon; /* reads on without waiting for the socket */
    struct list link; /* of the worker's clients, open or dead */
    struct worker *worker;
    struct worker_listener *listener;
    struct exchange *exchange;
    struct http_head *head; /* while part of it has come; then the exchange's */
    struct buffer *in;   /* the request's head and what came with it; untouched while the exchange lasts */
    struct buffer *next; /* bytes of later requests that were read together with a body */
    struct h1_out out;
    nsec_t born;
    struct http_parser parser;
    struct chunk_decoder decoder;
    uint64_t body_left;  /* of a body with a length */
    nsec_t body_began;   /* moved on by the time in which the client could not send */
    nsec_t held_since;   /* since when the body is not awaited: no room, or a 100 that the client waits for; 0: it is */
    uint32_t consumed;   /* bytes of `in` that belong to the request under way */
    uint32_t requests;
    uint32_t lingered;
    uint8_t state;
    uint8_t minor;       /* HTTP/1.minor of the request under way */
    uint8_t reading;     /* enum http_body; BODY_NONE: the request is complete; BODY_UNTIL_CLOSE: raw bytes after a 101 */
    bool keep_alive;     /* as the request under way has it */
    bool expects;        /* a 100 is owed once the body is wanted */
    bool until_close;    /* the response ends with the connection */
    bool head_sent;      /* a response was begun for the request under way */
    bool half_closed;    /* the client has finished sending */
    bool last;           /* the client said that the request under way is its last */
    bool in_event;       /* a callback of this connection is on the stack: it goes on by itself */
    bool counted;        /* in the table of connections per client */
    struct address peer;
};

static void client_on_io(struct ev_loop *loop, ev_io *io, int events);
static void client_on_timer(struct timer *timer);
static const struct client_ops h1_client_ops;

size_t client_size(void)
{
    return sizeof(struct client);
}

struct client *client_of_link(struct list *link)
{
    return CONTAINER_OF(link, struct client, link);
}

static const struct timeouts *timeouts_of(const struct client *c)
{
    return &c->worker->snapshot->config->timeouts;
}

static const struct limits *limits_of(const struct client *c)
{
    return &c->worker->snapshot->config->limits;
}

/* The only place that changes the state. */
static void set_state(struct client *c, enum client_state state)
{
    c->state = (uint8_t)state;
}

static void set_deadline(struct client *c, nsec_t after)
{
    timer_arm(&c->worker->timers, &c->timer, after);
}

/* Only a body that could come and does not is the client's fault. While we ourselves read nothing of it nobody would tell us that the client
 * has gone: then we look now and then. */
static void set_body_deadline(struct client *c)
{
    bool is_body = c->reading == BODY_LENGTH || c->reading == BODY_CHUNKED;
    if (c->state == CLIENT_EXCHANGE && stream_watched(&c->stream) & EV_WRITE) /* the deadline is for the response meanwhile */
        return;
    set_deadline(c, c->held_since ? LOOK_AGAIN_AFTER : is_body ? timeouts_of(c)->client_body : NO_DEADLINE);
}

static bool has_forsaken_its_body(const struct client *c)
{
    uint64_t missing = c->reading == BODY_LENGTH ? c->body_left : c->reading == BODY_CHUNKED ? 1 : 0;
    return stream_is_forsaken(&c->stream, missing);
}

static void hold_body(struct client *c)
{
    if (!c->held_since)
        c->held_since = worker_now(c->worker);
}

static void release_body(struct client *c)
{
    if (c->held_since)
        c->body_began += worker_now(c->worker) - c->held_since;
    c->held_since = 0;
}

static void give_buffers(struct client *c)
{
    freelist_give(&c->worker->heads_free, c->head);
    c->head = NULL;
    buffer_give(&c->worker->buffers, c->in);
    buffer_give(&c->worker->buffers, c->next);
    c->in = c->next = NULL;
}

static void count_sent(struct client *c)
{
    counter_add(&c->worker->counters.bytes_to_clients, h1_out_take_sent(&c->out));
}

/* --- ending --- */

static void client_close(struct client *c)
{
    if (c->state == CLIENT_CLOSED)
        return;
    set_state(c, CLIENT_CLOSED);
    struct worker *w = c->worker;
    stream_close(&c->stream, w->loop);
    timer_disarm(&w->timers, &c->timer);
    soon_cancel(&c->soon);
    give_buffers(c);
    count_sent(c);
    h1_out_clear(&c->out, &w->buffers);
    if (c->counted)
        peer_count_leave(w->options.peer_counts, &c->peer);
    list_remove(&c->link);
    list_push_back(&w->dead_clients, &c->link);
    gauge_add(&w->counters.connections, -1);
    worker_check_stopped(w);
}

void client_free(struct client *c)
{
    struct worker *w = c->worker;
    listener_unref(c->listener);
    list_remove(&c->link);
    freelist_give(&w->clients_free, c);
}

/* A plain close could look like a complete response that ends with the connection: a reset can't. */
static void client_reset(struct client *c)
{
    stream_reset(&c->stream, c->worker->loop);
    client_close(c);
}

static void client_gone(struct client *c, enum reason reason)
{
    struct exchange *ex = c->exchange;
    c->exchange = NULL;
    if (ex)
        exchange_client_gone(ex, reason);
    client_close(c);
}

static void start_lingering(struct client *c)
{
    give_buffers(c);
    if (c->half_closed) {
        client_close(c);
        return;
    }
    set_state(c, CLIENT_LINGER);
    stream_shutdown(&c->stream);
    stream_watch(&c->stream, c->worker->loop, EV_READ);
    set_deadline(c, LINGER_TIME);
}

static bool next_has_come(const struct client *c)
{
    return c->next || (c->in && c->in->end > c->consumed);
}

/* The response is with the socket, or on its way there: close once it is, but not before the client can have read it. */
static void finish_and_close(struct client *c)
{
    if (h1_out_is_empty(&c->out)) {
        if (c->last && c->reading == BODY_NONE && !next_has_come(c))
            client_close(c); /* nothing of the client's is unread: a close can't turn into a reset */
        else
            start_lingering(c);
        return;
    }
    set_state(c, CLIENT_FLUSH);
    stream_watch(&c->stream, c->worker->loop, EV_WRITE);
    set_deadline(c, timeouts_of(c)->client_body);
}

/* --- a request's head --- */

/* Answers a request that never became an exchange. Nobody knows where it ends: the connection closes. */
static void refuse(struct client *c, unsigned status, const char *why, enum reason reason)
{
    struct worker *w = c->worker;
    struct reply reply;
    reply_compose(&reply, status, why, 0);
    c->keep_alive = false;
    c->reading = BODY_LENGTH; /* whatever follows is not understood */
    reply_account_refusal(w, c->listener->is_unix ? NULL : &c->peer, c->stream.ssl != NULL, status, reason);
    struct h1_message m = { .out = &reply.message, .role = H1_RESPONSE, .minor = 1, .connection = H1_CONNECTION_CLOSE };
    ssize_t taken = h1_out_head(&c->out, &c->stream, &w->writer, &m, reply.body, true);
    if (taken < 0 || (size_t)taken < reply.body.n)
        client_close(c); /* who sends nonsense and does not read gets no more of our memory */
    else
        finish_and_close(c);
}

static void refuse_malformed(struct client *c, enum http_parse_error error)
{
    refuse(c, http_error_status(error), http_error_text(error), REASON_CLIENT_BAD_REQUEST);
}

/* What came of the body together with the head. */
static void take_prefix(struct client *c, struct exchange *ex, char *data, size_t n, enum http_parse_error *error)
{
    switch (ex->message.body) {
    case BODY_NONE:
        c->reading = BODY_NONE;
        ex->prefix_is_all = true;
        return;
    case BODY_LENGTH: {
        size_t take = n < ex->message.length ? n : (size_t)ex->message.length;
        ex->prefix = (struct slice){ data, take };
        c->consumed += (uint32_t)take;
        c->body_left = ex->message.length - take;
        ex->prefix_is_all = c->body_left == 0;
        c->reading = c->body_left ? BODY_LENGTH : BODY_NONE;
        return;
    }
    case BODY_CHUNKED: {
        size_t payload, consumed;
        c->decoder = (struct chunk_decoder){ 0 };
        enum http_parse_result result = chunk_decode(&c->decoder, data, n, &payload, &consumed);
        ex->prefix = (struct slice){ data, payload };
        exchange_add_request_trailers(ex, (struct slice){ data + payload, c->decoder.trailers });
        c->consumed += (uint32_t)consumed;
        ex->prefix_is_all = result == HTTP_PARSE_DONE;
        c->reading = ex->prefix_is_all ? BODY_NONE : BODY_CHUNKED;
        if (result == HTTP_PARSE_ERROR)
            *error = (enum http_parse_error)c->decoder.error;
        return;
    }
    case BODY_UNTIL_CLOSE:
        break; /* the rules never say so of a request */
    }
}

static void begin_exchange(struct client *c)
{
    struct worker *w = c->worker;
    struct exchange *ex = exchange_new(w, &h1_client_ops, c);
    if (!ex) {
        client_close(c);
        return;
    }
    struct http_head *head = c->head;
    c->head = NULL;
    ex->head = head;
    ex->base = c->in->data;
    ex->peer = c->listener->is_unix ? NULL : &c->peer;
    ex->secure = c->stream.ssl != NULL;
    ex->listener = c->listener->address;
    c->consumed = head->length;
    c->minor = head->minor;
    c->head_sent = c->until_close = false;

    enum http_parse_error error = http_request_rules(head, ex->base, &ex->message);
    if (!error)
        take_prefix(c, ex, c->in->data + head->length, c->in->end - head->length, &error);
    if (error) {
        exchange_discard(ex);
        refuse_malformed(c, error);
        return;
    }
    c->requests++;
    c->keep_alive = ex->message.keep_alive;
    c->last = !c->keep_alive;
    c->expects = ex->message.expect_continue && !ex->prefix.n;
    c->exchange = ex;
    c->body_began = worker_now(w);
    c->held_since = c->expects ? c->body_began : 0;
    set_state(c, CLIENT_EXCHANGE);
    set_body_deadline(c);
    exchange_start(ex);
    if (c->exchange && c->half_closed)
        exchange_client_half_closed(c->exchange);
}

/* A head larger than the small buffer goes on in a large one. */
static bool grow(struct client *c)
{
    struct buffer *larger = buffer_take(&c->worker->buffers, BUFFER_LARGE);
    if (!larger)
        return false;
    memcpy(larger->data, c->in->data, c->in->end);
    larger->end = c->in->end;
    buffer_give(&c->worker->buffers, c->in);
    c->in = larger;
    return true;
}

/* Parses what is in the buffer; false when more of the head has to come. */
static bool parse_head(struct client *c)
{
    struct worker *w = c->worker;
    if (!c->head) {
        if (!(c->head = freelist_take(&w->heads_free))) {
            client_close(c);
            return true;
        }
        http_parser_start(&c->parser, c->head);
    }
    const struct limits *limits = limits_of(c);
    struct http_limits bounds = { (uint32_t)limits->header_size, (uint16_t)limits->header_count, limits->allow_bare_lf };
    switch (http_parse_request(&c->parser, c->head, c->in->data, c->in->end, &bounds)) {
    case HTTP_PARSE_DONE:
        begin_exchange(c);
        return true;
    case HTTP_PARSE_ERROR:
        refuse_malformed(c, (enum http_parse_error)c->parser.error);
        return true;
    case HTTP_PARSE_MORE:
        break;
    }
    if (!buffer_room(c->in) && !grow(c)) {
        client_close(c);
        return true;
    }
    return false;
}

/* --- reading --- */

/* What OpenSSL has already no event will announce. */
static void watch_for_more(struct client *c)
{
    stream_watch(&c->stream, c->worker->loop, EV_READ);
    if (stream_has_pending(&c->stream))
        worker_soon(c->worker, &c->soon);
}

static void wait_for_request(struct client *c)
{
    if (c->worker->stopping || c->half_closed) {
        client_close(c);
        return;
    }
    set_state(c, CLIENT_IDLE);
    give_buffers(c);
    watch_for_more(c);
    set_deadline(c, timeouts_of(c)->client_idle);
}

static void read_head(struct client *c)
{
    if (!c->in && !(c->in = buffer_take(&c->worker->buffers, BUFFER_SMALL))) {
        client_close(c);
        return;
    }
    ssize_t n = stream_read(&c->stream, c->in->data + c->in->end, buffer_room(c->in));
    if (n == STREAM_AGAIN) {
        if (c->state == CLIENT_IDLE) {
            buffer_give(&c->worker->buffers, c->in);
            c->in = NULL;
        }
        return;
    }
    if (n <= 0) {
        client_close(c);
        return;
    }
    counter_add(&c->worker->counters.bytes_from_clients, (uint64_t)n);
    c->in->end += (uint32_t)n;
    if (!parse_head(c) && c->state == CLIENT_IDLE) {
        set_state(c, CLIENT_HEAD);
        set_deadline(c, timeouts_of(c)->client_header);
    }
}

/* The bytes behind a body that was read a little too far belong to the next request. */
static bool keep_for_next(struct client *c, const char *p, size_t n)
{
    if (!n)
        return true;
    if (!c->next && !(c->next = buffer_take(&c->worker->buffers, n)))
        return false;
    if (buffer_room(c->next) < n)
        return false;
    memcpy(c->next->data + c->next->end, p, n);
    c->next->end += (uint32_t)n;
    return true;
}

static void body_is_broken(struct client *c, enum reason reason, unsigned status)
{
    c->keep_alive = false;
    if (!c->head_sent && c->exchange) {
        exchange_refuse(c->exchange, status, reason);
        return;
    }
    client_gone(c, reason);
}

static bool body_is_too_slow(const struct client *c, uint64_t bytes)
{
    nsec_t taken = worker_now(c->worker) - c->body_began;
    return taken > timeouts_of(c)->client_body && (double)bytes < nsec_to_seconds(taken) * BODY_RATE_MIN;
}

static bool end_of_input(struct client *c)
{
    c->half_closed = true;
    if (c->reading == BODY_UNTIL_CLOSE) {
        c->reading = BODY_NONE;
        stream_watch(&c->stream, c->worker->loop, stream_watched(&c->stream) & ~EV_READ); /* the end would be announced for ever */
        exchange_body_arrived(c->exchange, 0, true);
        return false;
    }
    client_gone(c, REASON_CLIENT_GONE);
    return false;
}

/* What came behind a request for an upgrade was held until the 101: now it is the first of the raw bytes. */
static bool take_held_bytes(struct client *c, char *space, size_t room)
{
    size_t n = c->in->end - c->consumed;
    if (!n) {
        buffer_give(&c->worker->buffers, c->in);
        c->in = c->next;
        c->next = NULL;
        c->consumed = 0;
        return true;
    }
    if (n > room)
        n = room;
    memcpy(space, c->in->data + c->consumed, n);
    c->consumed += (uint32_t)n;
    exchange_body_arrived(c->exchange, n, false);
    return true;
}

/* One read of the body; true when another one is worth trying. */
static bool read_body_once(struct client *c)
{
    struct exchange *ex = c->exchange;
    size_t room;
    char *space = exchange_body_space(ex, &room);
    if (!space) {
        hold_body(c);
        stream_watch(&c->stream, c->worker->loop, stream_watched(&c->stream) & ~EV_READ);
        set_body_deadline(c);
        return false;
    }
    if (c->reading == BODY_UNTIL_CLOSE && c->in)
        return take_held_bytes(c, space, room);
    size_t ask = room;
    if (c->reading == BODY_LENGTH && ask > c->body_left)
        ask = (size_t)c->body_left;
    ssize_t n = stream_read(&c->stream, space, ask);
    if (n == STREAM_AGAIN)
        return false;
    if (n == STREAM_EOF)
        return end_of_input(c);
    if (n < 0) {
        client_gone(c, REASON_CLIENT_GONE);
        return false;
    }
    counter_add(&c->worker->counters.bytes_from_clients, (uint64_t)n);
    c->expects = false;
    release_body(c);

    size_t payload = (size_t)n;
    if (c->reading == BODY_LENGTH) {
        c->body_left -= payload;
        if (!c->body_left)
            c->reading = BODY_NONE;
    } else if (c->reading == BODY_CHUNKED) {
        size_t consumed;
        enum http_parse_result result = chunk_decode(&c->decoder, space, (size_t)n, &payload, &consumed);
        if (result == HTTP_PARSE_ERROR) {
            body_is_broken(c, REASON_CLIENT_BAD_REQUEST, http_error_status((enum http_parse_error)c->decoder.error));
            return false;
        }
        exchange_add_request_trailers(ex, (struct slice){ space + payload, c->decoder.trailers });
        if (result == HTTP_PARSE_DONE) {
            c->reading = BODY_NONE;
            if (!keep_for_next(c, space + consumed, (size_t)n - consumed)) {
                client_gone(c, REASON_LIMIT);
                return false;
            }
        }
    }
    if (c->reading != BODY_UNTIL_CLOSE && body_is_too_slow(c, ex->body_bytes + payload)) {
        body_is_broken(c, REASON_CLIENT_BODY_TIMEOUT, 408);
        return false;
    }
    set_body_deadline(c);
    exchange_body_arrived(ex, payload, c->reading == BODY_NONE);
    return (size_t)n == ask && c->exchange && c->reading != BODY_NONE;
}

static void read_body(struct client *c)
{
    for (int i = 0; i < READS_PER_EVENT; i++)
        if (!read_body_once(c))
            break;
    if (c->exchange)
        exchange_body_missed(c->exchange);
}

/* The request is complete and its answer is awaited: what comes now is the next request, or the end. */
static void read_ahead(struct client *c)
{
    struct buffer *in = c->next ? c->next : c->in;
    if (!in || !buffer_room(in)) {
        stream_watch(&c->stream, c->worker->loop, stream_watched(&c->stream) & ~EV_READ);
        return;
    }
    ssize_t n = stream_read(&c->stream, in->data + in->end, buffer_room(in));
    if (n == STREAM_AGAIN)
        return;
    if (n == STREAM_EOF) {
        c->half_closed = true;
        stream_watch(&c->stream, c->worker->loop, stream_watched(&c->stream) & ~EV_READ);
        if (c->exchange)
            exchange_client_half_closed(c->exchange);
        return;
    }
    if (n < 0) {
        client_gone(c, REASON_CLIENT_GONE);
        return;
    }
    counter_add(&c->worker->counters.bytes_from_clients, (uint64_t)n);
    in->end += (uint32_t)n;
}

static void read_and_forget(struct client *c)
{
    char nowhere[4096];
    ssize_t n = stream_read(&c->stream, nowhere, sizeof nowhere);
    if (n == STREAM_AGAIN)
        return;
    if (n <= 0 || (c->lingered += (uint32_t)n) > LINGER_BYTES_MAX)
        client_close(c);
}

static void shake_hands(struct client *c)
{
    struct worker_counters *counters = &c->worker->counters;
    switch (stream_handshake(&c->stream)) {
    case HANDSHAKE_AGAIN:
        return;
    case HANDSHAKE_FAILED:
        counter_add(&counters->tls_failures, 1);
        client_close(c);
        return;
    case HANDSHAKE_DONE:
        counter_add(&counters->tls_handshakes, 1);
        if (SSL_session_reused(c->stream.ssl))
            counter_add(&counters->tls_resumed, 1);
        set_state(c, CLIENT_IDLE);
        set_deadline(c, timeouts_of(c)->client_header);
        read_head(c);
        return;
    }
}

static void readable(struct client *c)
{
    switch ((enum client_state)c->state) {
    case CLIENT_HANDSHAKE: shake_hands(c); break;
    case CLIENT_IDLE:
    case CLIENT_HEAD: read_head(c); break;
    case CLIENT_EXCHANGE:
        if (c->reading == BODY_NONE)
            read_ahead(c);
        else if (c->exchange)
            read_body(c);
        break;
    case CLIENT_LINGER: read_and_forget(c); break;
    case CLIENT_FLUSH:
    case CLIENT_CLOSED: break;
    }
}

/* --- the next request on the same connection --- */

/* Moves what came behind the last request to the front; false if nothing did. */
static bool shift_to_next_request(struct client *c)
{
    size_t left = c->in->end - c->consumed;
    if (left) { /* then nothing was read too far with a body either */
        memmove(c->in->data, c->in->data + c->consumed, left);
        c->in->end = (uint32_t)left;
        return true;
    }
    buffer_give(&c->worker->buffers, c->in);
    c->in = c->next;
    c->next = NULL;
    return c->in != NULL;
}

static bool may_keep(const struct client *c)
{
    const struct limits *limits = limits_of(c);
    return c->keep_alive && !c->worker->stopping && (!c->half_closed || next_has_come(c))
        && (!limits->requests_per_connection || c->requests < limits->requests_per_connection)
        && (!limits->connection_age || worker_now(c->worker) - c->born < limits->connection_age);
}

/* Whether the response under way says that the connection stays open: decided once, when its head is written. */
static bool decide_keep_alive(struct client *c, bool until_close)
{
    c->until_close = until_close;
    if (until_close || c->reading != BODY_NONE || !may_keep(c))
        c->keep_alive = false;
    return c->keep_alive;
}

/* Goes on after an exchange has ended, and with the requests that are in the buffer already. */
static void next_requests(struct client *c)
{
    while (c->state == CLIENT_EXCHANGE && !c->exchange) {
        if (!c->keep_alive) {
            finish_and_close(c);
            return;
        }
        if (!h1_out_is_empty(&c->out)) {
            stream_watch(&c->stream, c->worker->loop, c->half_closed ? EV_WRITE : EV_READ | EV_WRITE);
            set_deadline(c, timeouts_of(c)->client_body);
            return; /* one response at a time: the rest when it has left */
        }
        if (!shift_to_next_request(c)) {
            wait_for_request(c);
            return;
        }
        set_state(c, CLIENT_IDLE);
        if (parse_head(c))
            continue;
        if (c->half_closed) {
            client_close(c); /* the rest of it will not come */
            return;
        }
        set_state(c, CLIENT_HEAD);
        set_deadline(c, timeouts_of(c)->client_header);
        watch_for_more(c);
    }
}

/* --- events --- */

static void writable(struct client *c)
{
    int events = stream_watched(&c->stream);
    if (!h1_out_needs_payload(&c->out)) {
        int flushed = h1_out_flush(&c->out, &c->stream, &c->worker->writer);
        if (flushed < 0) {
            client_gone(c, REASON_CLIENT_GONE);
            return;
        }
        if (!flushed)
            return;
    }
    if (c->state == CLIENT_FLUSH) {
        finish_and_close(c);
        return;
    }
    stream_watch(&c->stream, c->worker->loop, events & ~EV_WRITE);
    set_body_deadline(c);
    if (c->exchange)
        exchange_client_writable(c->exchange);
}

/* Bytes that were received already, and that no event will announce. */
static bool has_more_at_hand(const struct client *c)
{
    return stream_has_pending(&c->stream) || (c->reading == BODY_UNTIL_CLOSE && c->in);
}

static void client_event(struct client *c, int events)
{
    c->in_event = true;
    if (c->state == CLIENT_HANDSHAKE)
        shake_hands(c);
    else {
        if (events & EV_WRITE)
            writable(c);
        if (events & EV_READ)
            readable(c);
    }
    next_requests(c);
    if (c->state != CLIENT_CLOSED && c->state != CLIENT_HANDSHAKE && has_more_at_hand(c) && stream_watched(&c->stream) & EV_READ)
        worker_soon(c->worker, &c->soon);
    c->in_event = false;
}

static void client_on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    client_event(CONTAINER_OF(io, struct client, stream.io), events);
}

static void client_on_soon(struct soon *soon)
{
    client_event(CONTAINER_OF(soon, struct client, soon), EV_READ);
}

static void client_on_timer(struct timer *timer)
{
    struct client *c = CONTAINER_OF(timer, struct client, timer);
    c->in_event = true;
    switch ((enum client_state)c->state) {
    case CLIENT_HANDSHAKE:
        counter_add(&c->worker->counters.failures[REASON_CLIENT_HANDSHAKE], 1);
        client_close(c);
        break;
    case CLIENT_HEAD:
        refuse(c, 408, "the request's head did not come in time", REASON_CLIENT_HEADER_TIMEOUT);
        break;
    case CLIENT_EXCHANGE:
        if (c->exchange && c->held_since && !(stream_watched(&c->stream) & EV_WRITE)) {
            if (has_forsaken_its_body(c))
                client_gone(c, REASON_CLIENT_GONE);
            else
                set_body_deadline(c);
        } else if (c->exchange && h1_out_is_empty(&c->out) && !(stream_watched(&c->stream) & EV_WRITE))
            body_is_broken(c, REASON_CLIENT_BODY_TIMEOUT, 408);
        else
            client_gone(c, REASON_CLIENT_WRITE_TIMEOUT);
        next_requests(c);
        break;
    case CLIENT_IDLE:
    case CLIENT_FLUSH:
    case CLIENT_LINGER: client_close(c); break;
    case CLIENT_CLOSED: break;
    }
    c->in_event = false;
}

/* --- what the exchange asks --- */

static void watch_for_room(struct client *c)
{
    stream_watch(&c->stream, c->worker->loop, stream_watched(&c->stream) | EV_WRITE);
    if (c->reading != BODY_UNTIL_CLOSE) /* the exchange itself watches over an upgraded connection */
        set_deadline(c, timeouts_of(c)->client_body);
}

static ssize_t after_send(struct client *c, ssize_t taken, size_t given)
{
    if (taken < 0) {
        c->exchange = NULL;
        client_close(c);
        return SEND_FAILED;
    }
    count_sent(c);
    if ((size_t)taken < given || !h1_out_is_empty(&c->out))
        watch_for_room(c);
    return taken;
}

static void op_send_interim(void *client, const struct message_out *out)
{
    struct client *c = client;
    if (c->minor == 0) /* RFC 9110 15.2 */
        return;
    struct h1_message m = { .out = out, .role = H1_RESPONSE, .minor = 1 };
    counter_add(&c->worker->counters.responses_1xx, 1);
    /* A failure shows again with the final response. */
    if (h1_out_is_empty(&c->out) && h1_out_head(&c->out, &c->stream, &c->worker->writer, &m, (struct slice){ NULL, 0 }, false) == 0
        && !h1_out_is_empty(&c->out))
        watch_for_room(c);
}

/* Frames a response for this client. HTTP/1.0 knows no chunks: there the end of the connection is the end of the body (RFC 9112
 * 6.3). True if it ends so. */
static bool frame_response(const struct client *c, struct message_out *out, size_t body, bool end)
{
    if (out->body == BODY_UNTIL_CLOSE && !out->upgrade) {
        out->body = end ? BODY_LENGTH : BODY_CHUNKED;
        out->has_length = end;
        out->length = body;
    }
    if (out->body == BODY_CHUNKED && c->minor == 0)
        out->body = BODY_UNTIL_CLOSE;
    return out->body == BODY_UNTIL_CLOSE;
}

static void announce_trailers(struct client *c, bool end)
{
    c->out.trailers = end ? exchange_response_trailers(c->exchange) : (struct slice){ NULL, 0 };
}

static ssize_t op_send_head(void *client, const struct message_out *given, struct slice body, bool end)
{
    struct client *c = client;
    struct message_out out = *given;
    struct h1_message m = { .out = &out, .role = H1_RESPONSE, .minor = c->minor };
    bool until_close = frame_response(c, &out, body.n, end);
    if (out.upgrade) {
        c->keep_alive = false;
        c->until_close = true;
        c->reading = BODY_UNTIL_CLOSE;
    } else if (!decide_keep_alive(c, until_close)) {
        m.connection = H1_CONNECTION_CLOSE;
    } else if (c->minor == 0) {
        m.connection = H1_CONNECTION_KEEP_ALIVE;
    }
    c->head_sent = true;
    c->expects = false; /* a final response takes the place of the 100 */
    announce_trailers(c, end);
    return after_send(c, h1_out_head(&c->out, &c->stream, &c->worker->writer, &m, body, end), body.n);
}

static ssize_t op_send_body(void *client, struct slice body, bool end)
{
    struct client *c = client;
    announce_trailers(c, end);
    return after_send(c, h1_out_body(&c->out, &c->stream, &c->worker->writer, body, end), body.n);
}

static void send_continue(struct client *c)
{
    static const struct message_out out = { .status = 100, .reason = { "Continue", 8 } };
    c->expects = false;
    if (!c->head_sent)
        op_send_interim(c, &out);
}

static void op_want_body(void *client)
{
    struct client *c = client;
    if (c->reading == BODY_NONE)
        return;
    if (c->expects)
        send_continue(c);
    release_body(c);
    stream_watch(&c->stream, c->worker->loop, stream_watched(&c->stream) | EV_READ);
    set_body_deadline(c);
    if (has_more_at_hand(c))
        worker_soon(c->worker, &c->soon);
}

static void op_end(void *client, enum reason reason)
{
    struct client *c = client;
    c->exchange = NULL;
    if (reason != REASON_NONE) {
        if (c->until_close && c->head_sent)
            client_reset(c);
        else
            client_close(c);
        return;
    }
    if (c->reading != BODY_NONE)
        c->keep_alive = false; /* the rest of the body would be taken for a request */
    if (c->in_event) /* then it goes on by itself, and however many requests have come already don't nest */
        return;
    c->in_event = true;
    next_requests(c);
    c->in_event = false;
}

static const struct client_ops h1_client_ops = {
    .send_interim = op_send_interim,
    .send_head = op_send_head,
    .send_body = op_send_body,
    .want_body = op_want_body,
    .end = op_end,
};

/* --- beginning --- */

static void keep_peer(struct client *c, const struct sockaddr_storage *peer)
{
    if (peer->ss_family == AF_INET6)
        memcpy(&c->peer.v6, peer, sizeof c->peer.v6);
    else if (peer->ss_family == AF_INET)
        memcpy(&c->peer.v4, peer, sizeof c->peer.v4);
}

static bool within_limits(struct client *c)
{
    struct worker *w = c->worker;
    const struct limits *limits = limits_of(c);
    if (c->listener->is_unix || !w->options.peer_counts || !(limits->connections || limits->connections_per_client))
        return true;
    c->counted = peer_count_enter(w->options.peer_counts, &c->peer, limits->connections, limits->connections_per_client);
    return c->counted;
}

void client_accept(struct worker_listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct worker *w = l->worker;
    struct client *c = freelist_take(&w->clients_free);
    SSL *ssl = NULL;
    if (c && l->tls && !(ssl = tls_server_session(l->tls))) {
        freelist_give(&w->clients_free, c);
        c = NULL;
    }
    if (!c) {
        close(fd);
        counter_add(&w->counters.connections_refused, 1);
        return;
    }
    *c = (struct client){ .worker = w, .listener = l, .state = CLIENT_IDLE, .born = worker_now(w) };
    l->refs++;
    timer_init(&c->timer, client_on_timer);
    soon_init(&c->soon, client_on_soon);
    stream_init(&c->stream, fd, ssl, client_on_io);
    list_push_back(&w->clients, &c->link);
    keep_peer(c, peer);
    counter_add(&w->counters.connections_accepted, 1);
    gauge_add(&w->counters.connections, 1);
    if (!within_limits(c)) {
        counter_add(&w->counters.connections_refused, 1);
        counter_add(&w->counters.failures[REASON_LIMIT], 1);
        client_close(c);
        return;
    }
    stream_watch(&c->stream, w->loop, EV_READ);
    if (ssl) {
        set_state(c, CLIENT_HANDSHAKE);
        set_deadline(c, timeouts_of(c)->client_handshake);
    } else {
        set_deadline(c, timeouts_of(c)->client_header);
    }
    client_event(c, EV_READ); /* most have sent their request already */
}

void client_stop(struct client *c)
{
    switch ((enum client_state)c->state) {
    case CLIENT_IDLE:
        readable(c); /* a request that has come already is answered still */
        next_requests(c);
        if (c->state == CLIENT_IDLE)
            client_close(c);
        break;
    case CLIENT_HANDSHAKE: client_close(c); break;
    case CLIENT_HEAD:
    case CLIENT_EXCHANGE: c->keep_alive = false; break;
    case CLIENT_FLUSH:
    case CLIENT_LINGER:
    case CLIENT_CLOSED: break;
    }
}

void client_cut(struct client *c)
{
    if (!c->exchange)
        client_close(c);
}
