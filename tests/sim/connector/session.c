#include "tests/sim/connector/session.h"

#include "tests/sim/connector/connector.h"
#include "tests/sim/connector/request.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024, SEND_SIZE = 48 * 1024 };

static const double DIAL_TIMEOUT = 15, PREFACE_TIMEOUT = 10; /* seconds; the first applies twice, to TCP and to TLS */
#define SERVER_NAME "h2.cftunnel.com"

void session_touch(struct session *s)
{
    if (list_empty(&s->touched))
        list_push_back(&s->sim->touched, &s->touched);
}

void session_fail(struct session *s, enum loss loss, const char *format, ...)
{
    if (s->loss != LOSS_NONE)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->why, sizeof s->why, format, arguments);
    va_end(arguments);
    s->loss = loss;
    session_touch(s);
}

static void set_patience(struct session *s, double seconds)
{
    ev_timer_stop(s->sim->loop, &s->patience);
    ev_timer_set(&s->patience, seconds, 0);
    if (seconds > 0)
        ev_timer_start(s->sim->loop, &s->patience);
}

void session_return_window(struct session *s, size_t n)
{
    s->unreturned += (uint32_t)n;
    if (s->unreturned < WINDOW_STEP)
        return;
    nghttp2_submit_window_update(s->h2, NGHTTP2_FLAG_NONE, 0, (int32_t)s->unreturned);
    s->unreturned = 0;
    session_touch(s);
}

/* --- HTTP/2, from the edge --- */

static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static struct request *request_of(struct session *s, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(s->h2, stream);
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    if (is_request(frame))
        nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id, request_new(user, frame->hd.stream_id));
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value,
                     size_t value_n, uint8_t flags, void *user)
{
    (void)h2;
    (void)flags;
    struct request *r = request_of(user, frame->hd.stream_id);
    void (*add)(struct request *, struct slice, struct slice) = is_request(frame) ? request_add_field : request_add_up_trailer;
    if (r)
        add(r, (struct slice){ (const char *)name, name_n }, (struct slice){ (const char *)value, value_n });
    return 0;
}

static int on_data_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *data, size_t n, void *user)
{
    (void)h2;
    (void)flags;
    struct session *s = user;
    struct request *r = request_of(s, stream);
    if (!r)
        return 0;
    if (r->kind != REQUEST_CONTROL) {
        request_add_body(r, (struct slice){ (const char *)data, n });
        return 0;
    }
    session_return_window(s, n);
    nghttp2_submit_window_update(s->h2, NGHTTP2_FLAG_NONE, stream, (int32_t)n);
    control_on_data(s, (struct slice){ (const char *)data, n });
    return 0;
}

static void on_ping(struct session *s, const nghttp2_frame *frame)
{
    if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) && !s->sim->faults.mute_ping)
        nghttp2_submit_ping(s->h2, NGHTTP2_FLAG_ACK, frame->ping.opaque_data);
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct session *s = user;
    struct request *r = frame->hd.stream_id ? request_of(s, frame->hd.stream_id) : NULL;
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        if (!s->heard)
            set_patience(s, 0);
        s->heard = true;
        break;
    case NGHTTP2_HEADERS:
        if (r && is_request(frame))
            request_head_done(r, ended);
        else if (r && ended)
            request_body_done(r);
        break;
    case NGHTTP2_DATA:
        if (r && ended)
            request_body_done(r);
        break;
    case NGHTTP2_PING:
        on_ping(s, frame);
        break;
    case NGHTTP2_GOAWAY:
        nghttp2_submit_goaway(h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h2), NGHTTP2_NO_ERROR, NULL, 0);
        break;
    default:
        break;
    }
    return 0;
}

/* A whole answer to a request that is still being sent: Go's server asks for no more of it. */
static int on_frame_sent(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    bool ended = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct request *r = ended ? request_of(user, frame->hd.stream_id) : NULL;
    if (r && !r->up_ended)
        nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t stream, uint32_t error, void *user)
{
    (void)error;
    struct session *s = user;
    struct request *r = request_of(s, stream);
    if (!r)
        return 0;
    if (r->kind == REQUEST_CONTROL)
        control_on_close(s);
    nghttp2_session_set_stream_user_data(h2, stream, NULL);
    request_end(r);
    return 0;
}

static bool make_callbacks(nghttp2_session_callbacks **callbacks, nghttp2_option **option)
{
    if (nghttp2_session_callbacks_new(callbacks))
        return false;
    if (nghttp2_option_new(option)) {
        nghttp2_session_callbacks_del(*callbacks);
        return false;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(*callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(*callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(*callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(*callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(*callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(*callbacks, on_stream_close);
    nghttp2_option_set_no_auto_window_update(*option, 1);
    nghttp2_option_set_no_auto_ping_ack(*option, 1);
    nghttp2_option_set_no_closed_streams(*option, 1);
    nghttp2_option_set_max_send_header_block_length(*option, 4 * 1024 * 1024);
    return true;
}

/* The frames that cloudflared begins with, without waiting for the edge. */
static bool begin_http2(struct session *s)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 1024 * 1024 },      { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, UINT32_MAX },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX }, { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },      { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
    };
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    if (!make_callbacks(&callbacks, &option))
        return false;
    int error = nghttp2_session_server_new2(&s->h2, callbacks, s, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (error)
        return false;
    nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(s->h2, NGHTTP2_FLAG_NONE, 0, WINDOW);
    return true;
}

/* --- the socket --- */

static void watch(struct session *s, int events)
{
    if (s->io.events == events && ev_is_active(&s->io))
        return;
    ev_io_stop(s->sim->loop, &s->io);
    ev_io_set(&s->io, s->fd, events);
    ev_io_start(s->sim->loop, &s->io);
}

static const char *tls_error(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return reason ? reason : "the connection was closed";
}

static void shake_hands(struct session *s)
{
    int done = SSL_do_handshake(s->ssl), why = SSL_get_error(s->ssl, done);
    if (done != 1 && (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)) {
        watch(s, why == SSL_ERROR_WANT_READ ? EV_READ : EV_WRITE);
        return;
    }
    connection_dialled(s->connection);
    if (done != 1 || !begin_http2(s)) {
        session_fail(s, LOSS_DIAL, "TLS handshake: %s", tls_error());
        return;
    }
    s->state = SESSION_OPEN;
    watch(s, EV_READ);
    set_patience(s, PREFACE_TIMEOUT);
    session_touch(s);
}

static void on_connected(struct session *s)
{
    int error = 0;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error });
    if (error) {
        connection_dialled(s->connection);
        session_fail(s, LOSS_DIAL, "connect: %s", strerror(error));
        return;
    }
    s->state = SESSION_HANDSHAKE;
    set_patience(s, DIAL_TIMEOUT);
    shake_hands(s);
}

static void receive(struct session *s)
{
    static char scratch[READ_SIZE]; /* one thread, and nothing stays in it */
    while (s->loss == LOSS_NONE) {
        int n = SSL_read(s->ssl, scratch, sizeof scratch);
        if (n <= 0) {
            int why = SSL_get_error(s->ssl, n);
            if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
                session_fail(s, LOSS_CLOSED, "connection with edge closed");
            ERR_clear_error();
            break;
        }
        ssize_t taken = nghttp2_session_mem_recv(s->h2, (const uint8_t *)scratch, (size_t)n);
        if (taken < 0)
            session_fail(s, LOSS_CLOSED, "HTTP/2: %s", nghttp2_strerror((int)taken));
    }
    session_touch(s);
}

/* How many bytes TLS took; -1: the connection is broken. */
static ssize_t write_some(struct session *s, struct slice data)
{
    int n = SSL_write(s->ssl, data.p, (int)data.n), why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, n);
    if (n > 0)
        return n;
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static bool write_all(struct session *s, struct bytes *data)
{
    while (bytes_length(data)) {
        ssize_t n = write_some(s, bytes_slice(data));
        if (n < 0)
            session_fail(s, LOSS_CLOSED, "connection with edge closed");
        if (n <= 0)
            return false;
        bytes_drop(data, (size_t)n);
    }
    return true;
}

static bool collect_frames(struct session *s, struct bytes *frames)
{
    const uint8_t *p;
    ssize_t n = 0;
    while (bytes_length(frames) < SEND_SIZE && (n = nghttp2_session_mem_send(s->h2, &p)) > 0)
        bytes_add(frames, (struct slice){ (const char *)p, (size_t)n });
    if (n < 0)
        session_fail(s, LOSS_CLOSED, "HTTP/2: %s", nghttp2_strerror((int)n));
    return bytes_length(frames) != 0;
}

static void flush(struct session *s)
{
    static struct bytes frames; /* one thread; empty between calls */
    if (s->state != SESSION_OPEN || s->loss != LOSS_NONE)
        return;
    bool writable = write_all(s, &s->out);
    if (writable && s->out.size)
        bytes_clear(&s->out);
    while (writable && collect_frames(s, &frames))
        writable = write_all(s, &frames);
    bytes_add(&s->out, bytes_slice(&frames));
    bytes_drop(&frames, bytes_length(&frames));
    watch(s, bytes_length(&s->out) ? EV_READ | EV_WRITE : EV_READ);
    if (!nghttp2_session_want_read(s->h2) && !nghttp2_session_want_write(s->h2) && !bytes_length(&s->out))
        session_fail(s, LOSS_CLOSED, "HTTP/2 is over");
}

static void on_io(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    struct session *s = w->data;
    if (s->loss != LOSS_NONE)
        return;
    switch (s->state) {
    case SESSION_CONNECTING:
        on_connected(s);
        break;
    case SESSION_HANDSHAKE:
        shake_hands(s);
        break;
    case SESSION_OPEN:
        if (events & EV_READ)
            receive(s);
        session_touch(s);
        break;
    }
}

static void on_patience(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct session *s = w->data;
    if (s->state != SESSION_OPEN)
        connection_dialled(s->connection);
    session_fail(s, s->state == SESSION_OPEN ? LOSS_CLOSED : LOSS_DIAL,
                 s->state == SESSION_OPEN ? "no preface from the edge" : "dialling takes too long");
}

/* --- life --- */

static bool dial(struct session *s, const struct peer *edge)
{
    s->fd = peer_dial(edge);
    s->ssl = SSL_new(s->sim->tls);
    if (s->fd < 0 || !s->ssl)
        return false;
    SSL_set_fd(s->ssl, s->fd);
    SSL_set_connect_state(s->ssl);
    SSL_set_tlsext_host_name(s->ssl, SERVER_NAME);
    SSL_set1_host(s->ssl, SERVER_NAME);
    return true;
}

struct session *session_new(struct connection *c, const struct peer *edge)
{
    struct session *s = mem_zero(sizeof *s);
    s->sim = c->connector->sim;
    s->connection = c;
    s->fd = -1;
    list_init(&s->touched);
    list_init(&s->requests);
    ev_init(&s->io, on_io);
    ev_init(&s->patience, on_patience);
    s->io.data = s->patience.data = s;
    if (!dial(s, edge)) {
        session_free(s);
        return NULL;
    }
    watch(s, EV_WRITE);
    set_patience(s, DIAL_TIMEOUT);
    return s;
}

static void close_socket(struct session *s)
{
    if (s->ssl && s->state == SESSION_OPEN && !s->cut && !s->abandoned)
        SSL_shutdown(s->ssl);
    ERR_clear_error();
    SSL_free(s->ssl);
    if (s->fd < 0 || s->abandoned) /* then the kernel holds it until the process ends, and the edge hears nothing */
        return;
    if (s->cut)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
    close(s->fd);
}

void session_free(struct session *s)
{
    list_remove(&s->touched);
    while (!list_empty(&s->requests))
        request_end(CONTAINER_OF(s->requests.next, struct request, node));
    list_remove(&s->touched); /* window that was given back */
    ev_io_stop(s->sim->loop, &s->io);
    ev_timer_stop(s->sim->loop, &s->patience);
    close_socket(s);
    nghttp2_session_del(s->h2);
    bytes_clear(&s->out);
    control_clear(&s->control);
    free(s);
}

void session_settle_all(struct sim *sim)
{
    struct list *node;
    while ((node = list_pop_front(&sim->touched))) {
        struct session *s = CONTAINER_OF(node, struct session, touched);
        flush(s);
        if (s->loss == LOSS_NONE)
            continue;
        /* what was begun to say may still go out: a TLS alert, a GOAWAY */
        connection_lost(s->connection, s->loss, s->why);
    }
}
