#include "edge/connection.h"

#include "base/log.h"
#include "edge/stranger.h"
#include "edge/stream.h"
#include "net/tls.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECTION_WINDOW = 8 * 1024 * 1024, /* on its way; what has come is given back at once, and held by its stream's window alone */
    WINDOW_LOW = 512 * 1024, /* of the connector's for us, 1 MiB when nothing is on its way */
    STREAMS_MAX = 1000,
    READS_PER_EVENT = 8,
};

static void connection_on_io(struct ev_loop *loop, ev_io *io, int events);
static void connection_on_timer(struct timer *timer);
static nghttp2_session_callbacks *make_callbacks(void);

static bool admit_stranger(struct edge_worker *w, const struct address *peer)
{
    return w->tls && peer_count_enter(w->strangers_by_address, peer, EDGE_STRANGERS, EDGE_STRANGERS_PER_ADDRESS);
}

static void no_stranger_any_more(struct edge_connection *c)
{
    if (!c->is_stranger)
        return;
    c->is_stranger = false;
    peer_count_leave(c->worker->strangers_by_address, &c->peer);
}

void edge_connection_set_phase(struct edge_connection *c, enum connection_phase phase)
{
    static const char *const names[] = { "handshake", "stranger", "asked", "refused", "moving", "serving", "draining", "closed" };
    trace(TRACE_EDGE, "connection %p: %s -> %s", (void *)c, names[c->phase], names[phase]);
    if (phase >= CONNECTION_SERVING || phase == CONNECTION_MOVING)
        no_stranger_any_more(c);
    c->phase = phase;
}

void edge_connection_wants_flush(struct edge_connection *c)
{
    c->want_flush = true;
    edge_worker_mark(c->worker, c);
}

/* --- the end --- */

static void tell_control(struct edge_connection *c, enum line_state, enum reason, const char *detail);

void edge_connection_turn_line(struct edge_connection *c, enum line_state state)
{
    if (c->line && atomic_load_explicit(&c->line->state, memory_order_relaxed) != state && tunnel_set_line_state(c->tunnel, c->line, state))
        edge_worker_epoch_moved(c->worker);
}

/* Their users hear of it before the loop waits: by then other connections of the same process are known to have ended as well, and none of
 * them is tried next. A user who has not taken all that had come keeps stream and connection until then. */
static void end_streams(struct edge_connection *c)
{
    LIST_FOR_EACH(node, &c->streams)
        edge_stream_on_close(edge_stream_of_link(node), NGHTTP2_INTERNAL_ERROR, REASON_CONNECTION_LOST);
}

void edge_connection_close(struct edge_connection *c, enum reason reason, const char *detail)
{
    struct edge_worker *w = c->worker;
    if (c->phase == CONNECTION_CLOSED)
        return;
    bool registered = c->phase >= CONNECTION_SERVING;
    trace(TRACE_EDGE, "connection %p: closed: %s", (void *)c, detail);
    if (c->phase < CONNECTION_ASKED)
        stranger_tell_end(c, reason, detail);
    edge_connection_set_phase(c, CONNECTION_CLOSED);
    timer_disarm(&w->timers, &c->timer);
    if (c->ticket) {
        HASH_DELETE(by_ticket, w->by_ticket, c);
        c->ticket = 0;
    }
    if (c->line_id)
        HASH_DELETE(by_line, w->by_line, c);
    edge_connection_turn_line(c, LINE_CLOSED);
    if (registered && reason == REASON_RESET)
        silence_doubt_the_others(c);
    stream_close(&c->stream, w->loop);
    end_streams(c);
    if (registered)
        tell_control(c, LINE_CLOSED, reason, detail);
    list_remove(&c->link);
    list_push_back(&w->dead, &c->link);
    edge_worker_mark(w, c);
    edge_worker_check_stopped(w);
}

void edge_connection_free(struct edge_connection *c)
{
    LIST_FOR_EACH(node, &c->streams)
        edge_stream_drop(edge_stream_of_link(node));
    list_remove(&c->link);
    list_remove(&c->dirty);
    nghttp2_session_del(c->session);
    rpc_clear(&c->control.rpc);
    buffer_give(&c->worker->buffers, c->pending);
    OPENSSL_cleanse(c->control.out, sizeof c->control.out);
    free(c->push.json);
    head_filter_clear(&c->filter);
    tunnel_unref(c->tunnel);
    tunnel_connector_unref(c->connector);
    tunnel_line_unref(c->line);
    free(c);
}

struct line_message {
    struct message message;
    const struct edge_worker_options *options;
    char tunnel[UUID_TEXT_SIZE];
    uint64_t line;
    enum line_state state;
    enum reason reason;
    char detail[128];
};

static void handle_line_message(struct message *m, void *owner)
{
    (void)owner;
    struct line_message *l = CONTAINER_OF(m, struct line_message, message);
    l->options->line_changed(l->options->arg, l->tunnel, l->line, l->state, l->reason, l->detail);
    free(l);
}

static void tell_control(struct edge_connection *c, enum line_state state, enum reason reason, const char *detail)
{
    struct line_message *l = calloc(1, sizeof *l);
    if (!l)
        return;
    *l = (struct line_message){ .message.handle = handle_line_message, .options = c->worker->given, .line = c->line_id, .state = state, .reason = reason };
    list_init(&l->message.link);
    snprintf(l->tunnel, sizeof l->tunnel, "%s", c->tunnel->id);
    snprintf(l->detail, sizeof l->detail, "%s", detail ? detail : "");
    mailbox_post(c->worker->options.control, &l->message);
}

/* --- sending --- */

/* Everything nghttp2 has to say, gathered into as few writes as there are 128 KiB. False: the connection is gone. */
static bool flush(struct edge_connection *c)
{
    struct edge_worker *w = c->worker;
    for (;;) {
        if (c->pending) {
            ssize_t n = stream_write(&c->stream, &(struct iovec){ c->pending->data + c->pending->start, buffer_length(c->pending) }, 1);
            if (n == STREAM_AGAIN)
                break;
            if (n < 0)
                return false;
            c->pending->start += (uint32_t)n;
            if (buffer_length(c->pending))
                break;
            buffer_give(&w->buffers, c->pending);
            c->pending = NULL;
        }
        size_t gathered = 0;
        while (gathered < EDGE_SCRATCH_SIZE / 2) { /* a frame is at most 16 KiB and its head */
            const uint8_t *bytes;
            ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
            if (n < 0)
                return false;
            if (n == 0)
                break;
            memcpy(w->wire + gathered, bytes, (size_t)n);
            gathered += (size_t)n;
        }
        if (!gathered) {
            stream_watch(&c->stream, w->loop, EV_READ);
            return true;
        }
        ssize_t n = stream_write(&c->stream, &(struct iovec){ w->wire, gathered }, 1);
        if (n < 0 && n != STREAM_AGAIN)
            return false;
        size_t taken = n > 0 ? (size_t)n : 0;
        if (taken < gathered) {
            if (!(c->pending = buffer_take(&w->buffers, gathered - taken)))
                return false;
            memcpy(c->pending->data, w->wire + taken, gathered - taken);
            c->pending->end = (uint32_t)(gathered - taken);
        }
    }
    stream_watch(&c->stream, w->loop, EV_READ | EV_WRITE);
    return true;
}

/* --- what we ask for --- */

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

int32_t edge_connection_command(struct edge_connection *c, const char *method, const char *command, const char *content_type,
                                nghttp2_data_source_read_callback read)
{
    const nghttp2_data_provider provider = { .read_callback = read };
    nghttp2_nv fields[6];
    size_t n = 0;
    fields[n++] = field(":method", method);
    fields[n++] = field(":scheme", "https");
    fields[n++] = field(":authority", "penstock");
    fields[n++] = field(":path", "/");
    fields[n++] = field("cf-cloudflared-proxy-connection-upgrade", command);
    if (content_type)
        fields[n++] = field("content-type", content_type);
    return nghttp2_submit_request(c->session, NULL, fields, n, &provider, NULL);
}

static bool start_http2(struct edge_connection *c)
{
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, EDGE_STREAM_WINDOW },
        /* No state between header blocks: one that is too large can be left out without losing the connection (edge/head_filter.h). */
        { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0 }, /* it opens none */
    };
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option = NULL;
    bool made = callbacks && nghttp2_option_new(&option) == 0;
    if (made) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_peer_max_concurrent_streams(option, STREAMS_MAX);
        nghttp2_option_set_max_send_header_block_length(option, EDGE_SCRATCH_SIZE);
        made = nghttp2_session_client_new2(&c->session, callbacks, c, option) == 0;
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return made && nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) == 0
        && nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) == 0 && control_stream_open(c);
}

/* --- registered --- */

static void serve_from_now_on(struct edge_connection *c)
{
    struct edge_worker *w = c->worker;
    edge_connection_set_phase(c, CONNECTION_SERVING);
    HASH_ADD(by_line, w->by_line, line_id, sizeof c->line_id, c);
    c->line->owner = c;
    silence_begin(c);
    stream_watch(&c->stream, w->loop, EV_READ);
    edge_connection_turn_line(c, LINE_USABLE);
    edge_connection_wants_flush(c);
}

struct move_message {
    struct message message;
    struct edge_connection *connection;
};

static void handle_move(struct message *m, void *owner)
{
    struct move_message *move = CONTAINER_OF(m, struct move_message, message);
    edge_connection_adopt(owner, move->connection);
    free(move);
}

/* To the worker that has the fewest of that tunnel, before the first request: nothing here refers to this worker any more. */
static void move_away(struct edge_connection *c, unsigned to)
{
    struct edge_worker *w = c->worker;
    struct move_message *m = calloc(1, sizeof *m);
    if (!m || !flush(c)) {
        free(m);
        serve_from_now_on(c);
        return;
    }
    if (c->pending) { /* from one allocator to the other */
        struct buffer *own = malloc(sizeof *own + c->pending->size);
        if (own) {
            memcpy(own, c->pending, sizeof *own + c->pending->size);
            buffer_give(&w->buffers, c->pending);
            c->pending = own;
        }
    }
    edge_connection_set_phase(c, CONNECTION_MOVING);
    stream_watch(&c->stream, w->loop, 0);
    timer_disarm(&w->timers, &c->timer);
    list_remove(&c->link);
    list_remove(&c->dirty);
    *m = (struct move_message){ .message.handle = handle_move, .connection = c };
    list_init(&m->message.link);
    mailbox_post(&w->options.workers[to]->mailbox, &m->message);
}

void edge_connection_adopt(struct edge_worker *w, struct edge_connection *c)
{
    c->worker = w;
    c->stream.loop = NULL;
    list_push_back(&w->connections, &c->link);
    serve_from_now_on(c);
    if (w->stopping)
        edge_connection_drain(c, 0, REASON_SHUTDOWN, "the balancer stops");
    if (stream_has_pending(&c->stream)) /* bytes OpenSSL had taken off the socket before */
        ev_feed_event(w->loop, &c->stream.io, EV_READ);
}

void edge_connection_answer(struct edge_connection *c, const struct edge_answer *a)
{
    struct edge_worker *w = c->worker;
    HASH_DELETE(by_ticket, w->by_ticket, c);
    c->ticket = 0;
    if (!a->accepted) {
        control_stream_refuse(c, a);
        return;
    }
    c->tunnel = a->tunnel;
    c->connector = a->connector;
    c->line = a->line;
    c->line_id = a->line->id;
    if (!control_stream_accept(c, a)) {
        edge_connection_close(c, REASON_INTERNAL, "the connector left while it registered");
        return;
    }
    unsigned to = atomic_load_explicit(&a->line->worker, memory_order_relaxed);
    if (to == w->options.index)
        serve_from_now_on(c);
    else
        move_away(c, to);
}

/* --- draining --- */

static void say_goodbye(struct edge_connection *c)
{
    if (c->close_after)
        return;
    c->close_after = true;
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    edge_connection_wants_flush(c);
}

void edge_connection_drain(struct edge_connection *c, nsec_t grace, enum reason reason, const char *detail)
{
    struct edge_worker *w = c->worker;
    if (c->phase != CONNECTION_SERVING && c->phase != CONNECTION_DRAINING)
        return;
    if (grace) {
        c->grace_until = edge_now(w) + grace;
        timer_disarm(&w->timers, &c->timer);
        timer_arm(&w->timers, &c->timer, grace < EDGE_QUIET_MIN ? grace : EDGE_QUIET_MIN);
    }
    if (c->phase == CONNECTION_DRAINING)
        return;
    c->drained_for = detail;
    edge_connection_set_phase(c, CONNECTION_DRAINING);
    edge_connection_turn_line(c, LINE_DRAINING);
    tell_control(c, LINE_DRAINING, reason, detail);
    edge_worker_mark(w, c);
}

/* --- nghttp2's callbacks: each only passes on to the stream that is meant --- */

static struct edge_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n,
                     uint8_t flags, void *arg)
{
    (void)flags;
    (void)arg;
    struct edge_stream *s = stream_of(session, frame->hd.stream_id);
    if (s)
        edge_stream_on_header(s, (struct slice){ (const char *)name, name_n }, (struct slice){ (const char *)value, value_n });
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *arg)
{
    struct edge_connection *c = arg;
    (void)flags;
    struct edge_stream *s = stream_of(session, id);
    if (s) {
        edge_stream_on_data(s, bytes, n);
        return 0;
    }
    if (id == c->control.stream)
        control_stream_read(c, bytes, n);
    else if (id == c->push.stream)
        config_push_read(c, bytes, n);
    nghttp2_session_consume(session, id, n); /* at once: nobody holds it */
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct edge_connection *c = arg;
    struct edge_stream *s = frame->hd.stream_id ? stream_of(session, frame->hd.stream_id) : NULL;
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (s)
            edge_stream_on_head(s, end);
        break;
    case NGHTTP2_DATA:
        if (s && end)
            edge_stream_on_end(s);
        else if (end && frame->hd.stream_id == c->control.stream)
            control_stream_end(c, "the control stream ended");
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (s)
            edge_stream_on_window(s);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            silence_on_pong(c);
        break;
    case NGHTTP2_GOAWAY:
        edge_connection_drain(c, 0, REASON_NONE, "the connector said that it goes (GOAWAY)");
        break;
    default: break;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct edge_connection *c = arg;
    struct edge_stream *s = stream_of(session, id);
    if (s && error == NGHTTP2_REFUSED_STREAM)
        edge_stream_on_refused(s);
    else if (s)
        edge_stream_on_close(s, error, REASON_RESET);
    else if (id == c->push.stream)
        config_push_end(c);
    else if (id == c->control.stream)
        control_stream_end(c, "the control stream was reset");
    return 0;
}

/* nghttp2 gives up a frame that it can't send, a request's head too. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int why, void *arg)
{
    (void)why;
    (void)arg;
    struct edge_stream *s = frame->hd.type == NGHTTP2_HEADERS ? stream_of(session, frame->hd.stream_id) : NULL;
    if (s)
        edge_stream_on_refused(s);
    return 0;
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks))
        return NULL;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    return callbacks;
}

/* --- receiving --- */

static bool feed(struct edge_connection *c, const uint8_t *bytes, size_t n)
{
    return nghttp2_session_mem_recv(c->session, bytes, n) == (ssize_t)n;
}

static void oversize_head(void *arg, int32_t id)
{
    struct edge_connection *c = arg;
    struct edge_stream *s = stream_of(c->session, id);
    if (!nghttp2_session_find_stream(c->session, id))
        return; /* over, or never begun: nothing is to be ended, and nothing to be kept for a connector that doesn't read */
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    if (s)
        edge_stream_on_oversize(s);
    edge_connection_wants_flush(c);
}

static bool feed_pieces(void *arg, const uint8_t *bytes, size_t n)
{
    return feed(arg, bytes, n);
}

bool edge_connection_read_once(struct edge_connection *c)
{
    struct edge_worker *w = c->worker;
    ssize_t n = stream_read(&c->stream, w->wire, EDGE_SCRATCH_SIZE / 2);
    if (n == STREAM_AGAIN)
        return false;
    if (n == STREAM_EOF || n < 0) {
        edge_connection_close(c, REASON_RESET, n == STREAM_EOF ? "closed by the connector" : stream_failure());
        return false;
    }
    silence_heard(c);
    if (!head_filter_run(&c->filter, (const uint8_t *)w->wire, (size_t)n, feed_pieces, oversize_head, c)) {
        edge_connection_close(c, REASON_MALFORMED, "broke the rules of HTTP/2");
        return false;
    }
    edge_connection_wants_flush(c);
    return c->phase != CONNECTION_CLOSED && (n == EDGE_SCRATCH_SIZE / 2 || stream_has_pending(&c->stream));
}

static void shake_hands(struct edge_connection *c)
{
    switch (stream_handshake(&c->stream)) {
    case HANDSHAKE_AGAIN: return;
    case HANDSHAKE_FAILED: /* pre-checks look and leave: that is no event */
        edge_connection_close(c, REASON_TLS_FAILED, stream_failure());
        return;
    case HANDSHAKE_DONE:
        if (!start_http2(c)) {
            edge_connection_close(c, REASON_INTERNAL, "out of memory");
            return;
        }
        edge_connection_set_phase(c, CONNECTION_STRANGER);
        edge_connection_wants_flush(c);
        return;
    }
}

static void connection_on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct edge_connection *c = CONTAINER_OF(io, struct edge_connection, stream.io);
    if (c->phase == CONNECTION_HANDSHAKE)
        shake_hands(c);
    if (c->phase == CONNECTION_HANDSHAKE || c->phase == CONNECTION_CLOSED)
        return;
    if (events & EV_WRITE)
        edge_connection_wants_flush(c);
    if (events & EV_READ)
        for (int i = 0; i < READS_PER_EVENT && edge_connection_read_once(c); i++)
            ;
    if (c->phase != CONNECTION_CLOSED && stream_has_pending(&c->stream))
        ev_feed_event(loop, io, EV_READ);
}

/* --- before the loop waits --- */

static void tell_news(struct edge_connection *c)
{
    struct list *node;
    while ((node = list_pop_front(&c->news)))
        edge_stream_deliver(edge_stream_of_news(node));
}

/* What the connector sent broke rules so that nghttp2 said GOAWAY, and listens no more. */
static bool is_given_up(const struct edge_connection *c)
{
    return !c->close_after && !c->pending && !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session);
}

static void finish_if_done(struct edge_connection *c)
{
    if (c->phase == CONNECTION_DRAINING && !c->n_streams && !c->push.stream)
        say_goodbye(c);
    if (c->close_after && !c->pending && !nghttp2_session_want_write(c->session))
        edge_connection_close(c, REASON_NONE, c->drained_for);
    else if (c->phase != CONNECTION_CLOSED && is_given_up(c))
        edge_connection_close(c, REASON_MALFORMED, "broke the rules of HTTP/2");
}

/* For whoever looks for a connection that takes a body. */
static void note_window(struct edge_connection *c)
{
    bool low = nghttp2_session_get_remote_window_size(c->session) < WINDOW_LOW;
    if (c->line && atomic_load_explicit(&c->line->window_is_low, memory_order_relaxed) != low)
        atomic_store_explicit(&c->line->window_is_low, low, memory_order_relaxed);
}

void edge_connection_serve(struct edge_connection *c)
{
    tell_news(c);
    if (c->phase == CONNECTION_CLOSED || c->phase == CONNECTION_HANDSHAKE || !c->session)
        return;
    if (c->want_flush) {
        c->want_flush = false;
        if (!flush(c)) {
            edge_connection_close(c, REASON_RESET, stream_failure());
            return;
        }
        note_window(c);
    }
    finish_if_done(c);
    if (c->phase != CONNECTION_CLOSED && c->close_after && nghttp2_session_want_write(c->session) && !c->pending)
        edge_connection_wants_flush(c);
}

/* --- time --- */

static void connection_on_timer(struct timer *timer)
{
    struct edge_connection *c = CONTAINER_OF(timer, struct edge_connection, timer);
    switch (c->phase) {
    case CONNECTION_HANDSHAKE: edge_connection_close(c, REASON_CLIENT_HANDSHAKE, "the TLS handshake took too long"); break;
    case CONNECTION_STRANGER: edge_connection_close(c, REASON_CLIENT_HEADER_TIMEOUT, "did not register in time"); break;
    case CONNECTION_ASKED: edge_connection_close(c, REASON_INTERNAL, "no decision on its registration in time"); break;
    case CONNECTION_REFUSED: edge_connection_close(c, REASON_NONE, "refused"); break;
    case CONNECTION_SERVING: silence_watch(c); break;
    case CONNECTION_DRAINING:
        if (c->grace_until && edge_now(c->worker) >= c->grace_until)
            edge_connection_close(c, REASON_SHUTDOWN, "the time to drain is over");
        else
            silence_watch(c);
        break;
    case CONNECTION_MOVING:
    case CONNECTION_CLOSED: break;
    }
}

/* --- streams come and go --- */

bool edge_connection_takes_streams(const struct edge_connection *c)
{
    return c->phase == CONNECTION_SERVING && !c->close_after && nghttp2_session_check_request_allowed(c->session)
        && c->n_streams < nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

void edge_connection_stream_began(struct edge_connection *c, struct list *link)
{
    list_push_back(&c->streams, link);
    c->n_streams++;
    atomic_store_explicit(&c->line->in_flight, c->n_streams, memory_order_relaxed);
}

void edge_connection_stream_ended(struct edge_connection *c, struct list *link)
{
    list_remove(link);
    c->n_streams--;
    atomic_store_explicit(&c->line->in_flight, c->n_streams, memory_order_relaxed);
    edge_worker_mark(c->worker, c);
}

/* --- the beginning --- */

struct edge_connection *edge_connection_begin(struct edge_worker *w, int fd, SSL *ssl, const struct address *peer)
{
    struct edge_connection *c = calloc(1, sizeof *c);
    if (!c) {
        peer_count_leave(w->strangers_by_address, peer);
        SSL_free(ssl);
        close(fd);
        return NULL;
    }
    c->is_stranger = true;
    c->peer = *peer;
    c->worker = w;
    list_init(&c->dirty);
    list_init(&c->streams);
    list_init(&c->news);
    timer_init(&c->timer, connection_on_timer);
    stream_init(&c->stream, fd, ssl, connection_on_io);
    list_push_back(&w->connections, &c->link);
    timer_arm(&w->timers, &c->timer, EDGE_HANDSHAKE_SECONDS * NSEC_PER_SEC);
    stream_watch(&c->stream, w->loop, EV_READ);
    return c;
}

void edge_connection_accept(struct edge_worker *w, int fd, const struct sockaddr_storage *peer)
{
    struct address from;
    memcpy(&from, peer, sizeof from);
    if (stranger_is_barred(w, &from)) {
        close(fd);
        return;
    }
    if (!admit_stranger(w, &from)) {
        if (w->tls)
            stranger_tell_refused(w, &from);
        close(fd);
        return;
    }
    SSL *ssl = tls_server_session(w->tls);
    if (!ssl) {
        peer_count_leave(w->strangers_by_address, &from);
        close(fd);
        return;
    }
    edge_connection_begin(w, fd, ssl, &from);
}
