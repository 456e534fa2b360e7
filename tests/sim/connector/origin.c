#include "tests/sim/connector/origin.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

enum {
    HEAD_MAX = 1024 * 1024,
    LINE_MAX_SIZE = 64 * 1024,
    TX_HIGH = 32 * 1024, /* bytes of a body that wait for the socket; the rest waits in the stream's window */
    IDLE_MAX = 256,
};
static const double CONNECT_TIMEOUT = 30; /* seconds */

enum origin_state {
    ORIGIN_HEAD, ORIGIN_LENGTH, ORIGIN_CHUNK_SIZE, ORIGIN_CHUNK, ORIGIN_CHUNK_END, ORIGIN_TRAILERS, ORIGIN_UNTIL_CLOSE, ORIGIN_DONE
};

struct origin {
    struct list idle;
    struct sim *sim;
    struct request *request; /* NULL: idle, or already told */
    struct peer peer;        /* its address only */
    int fd;
    ev_io io;
    ev_timer patience;
    bool connected, reused, raw, chunked;
    bool any_read;           /* since the request began */
    bool body_begun, body_written;
    struct bytes head;       /* of the request: kept to send it again */
    struct bytes tx, rx;     /* rx: a head or a line that is not whole */
    enum origin_state state;
    uint64_t left;
    bool keep, upgraded;
};

static void origin_free(struct origin *o)
{
    struct ev_loop *loop = o->sim->loop;
    if (!list_empty(&o->idle)) {
        list_remove(&o->idle);
        o->sim->n_idle_origins--;
    }
    ev_io_stop(loop, &o->io);
    ev_timer_stop(loop, &o->patience);
    if (o->fd >= 0)
        close(o->fd);
    bytes_clear(&o->head);
    bytes_clear(&o->tx);
    bytes_clear(&o->rx);
    free(o);
}

static void watch(struct origin *o, int events)
{
    if (o->io.events == events && ev_is_active(&o->io) == (events != 0))
        return;
    ev_io_stop(o->sim->loop, &o->io);
    ev_io_set(&o->io, o->fd, events);
    if (events)
        ev_io_start(o->sim->loop, &o->io);
}

static bool wants_more(const struct origin *o)
{
    return bytes_length(&o->request->down) < BODY_HIGH;
}

static void watch_what_is_due(struct origin *o)
{
    bool write = !o->connected || bytes_length(&o->tx);
    bool read = o->connected && (!o->request || wants_more(o));
    watch(o, (read ? EV_READ : 0) | (write ? EV_WRITE : 0));
}

/* --- the end of a request --- */

static struct request *part(struct origin *o)
{
    struct request *r = o->request;
    o->request = NULL;
    r->origin = NULL;
    return r;
}

static void rest(struct origin *o)
{
    bool reusable = o->keep && !o->raw && !o->upgraded && o->state == ORIGIN_DONE && o->body_written && !bytes_length(&o->tx);
    if (!reusable || o->sim->n_idle_origins >= IDLE_MAX) {
        origin_free(o);
        return;
    }
    list_push_front(&o->sim->idle_origins, &o->idle);
    o->sim->n_idle_origins++;
    watch_what_is_due(o);
}

static void finish(struct origin *o)
{
    struct request *r = part(o);
    rest(o);
    request_response_done(r);
}

static void dial(struct origin *o);

/* A kept connection may have been closed while the request was on its way: then it is sent once more, on a fresh one. */
static bool begin_again(struct origin *o)
{
    if (!o->reused || o->any_read || o->body_begun)
        return false;
    watch(o, 0);
    close(o->fd);
    o->fd = -1;
    o->reused = o->connected = o->body_written = false;
    bytes_clear(&o->tx);
    bytes_add(&o->tx, bytes_slice(&o->head));
    dial(o);
    return true;
}

static void fail(struct origin *o)
{
    if (begin_again(o))
        return;
    struct request *r = part(o);
    origin_free(o);
    request_fail(r);
}

/* --- writing --- */

static void add_body_piece(struct origin *o, struct slice piece)
{
    char size[24];
    if (o->chunked) {
        snprintf(size, sizeof size, "%zx\r\n", piece.n);
        bytes_add_text(&o->tx, size);
    }
    bytes_add(&o->tx, piece);
    if (o->chunked)
        bytes_add_text(&o->tx, "\r\n");
}

static void take_body(struct origin *o)
{
    struct request *r = o->request;
    bool handshake = r->kind == REQUEST_WEBSOCKET && !o->upgraded; /* which has no body */
    if (handshake || o->body_written)
        return;
    while (bytes_length(&r->up) && bytes_length(&o->tx) < TX_HIGH) {
        struct slice piece = bytes_slice(&r->up);
        piece.n = piece.n < TX_HIGH ? piece.n : TX_HIGH;
        add_body_piece(o, piece);
        o->body_begun = true;
        request_took(r, piece.n);
    }
    if (r->up_ended && !bytes_length(&r->up)) {
        if (o->chunked) {
            bytes_add_text(&o->tx, "0\r\n");
            bytes_add(&o->tx, bytes_slice(&r->up_trailers));
            bytes_add_text(&o->tx, "\r\n");
        }
        o->body_written = true;
    }
}

/* False: the connection is broken. */
static bool send_pending(struct origin *o)
{
    while (bytes_length(&o->tx)) {
        ssize_t n = send(o->fd, o->tx.p + o->tx.start, bytes_length(&o->tx), MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        bytes_drop(&o->tx, (size_t)n);
        if (!bytes_length(&o->tx))
            take_body(o);
    }
    return true;
}

/* cloudflared ends both directions of what is no longer HTTP as soon as the edge has ended one. */
static bool is_half_closed(const struct origin *o)
{
    return (o->raw || o->upgraded) && o->body_written && !bytes_length(&o->tx);
}

/* A broken connection may have an answer to read first: a service that refuses an upload. */
static void pump(struct origin *o)
{
    take_body(o);
    if (!send_pending(o)) {
        bytes_clear(&o->tx);
        o->body_written = true;
        o->keep = false;
    }
    if (is_half_closed(o)) {
        o->keep = false;
        finish(o);
    } else {
        watch_what_is_due(o);
    }
}

/* --- reading --- */

static void read_field(struct origin *o, struct slice line, void (*tell)(struct request *, struct slice, struct slice))
{
    const char *colon = memchr(line.p, ':', line.n);
    if (!colon)
        return;
    struct slice name = { line.p, (size_t)(colon - line.p) };
    struct slice value = slice_trim((struct slice){ colon + 1, line.n - name.n - 1 });
    if (tell == request_pack && slice_eq_nocase(name, SLICE("transfer-encoding"))) {
        o->state = ORIGIN_CHUNK_SIZE;
        return;
    }
    if (tell == request_pack && slice_eq_nocase(name, SLICE("trailer")))
        return;
    if (slice_eq_nocase(name, SLICE("content-length")) && o->state == ORIGIN_UNTIL_CLOSE) {
        o->state = ORIGIN_LENGTH;
        o->left = strtoull(value.p, NULL, 10);
    }
    if (slice_eq_nocase(name, SLICE("connection")) && slice_eq_nocase(value, SLICE("close")))
        o->keep = false;
    tell(o->request, name, value);
}

static bool next_line(struct slice *rest_of, struct slice *line)
{
    const char *end = memchr(rest_of->p, '\n', rest_of->n);
    if (!end)
        return false;
    size_t n = (size_t)(end - rest_of->p);
    *line = (struct slice){ rest_of->p, n && end[-1] == '\r' ? n - 1 : n };
    rest_of->p += n + 1;
    rest_of->n -= n + 1;
    return true;
}

/* Status and framing. False: that is no response. */
static bool read_head(struct origin *o, struct slice head)
{
    struct slice line;
    unsigned minor, status;
    char start[32];
    if (!next_line(&head, &line) || line.n < 12)
        return false;
    snprintf(start, sizeof start, "%.*s", (int)(line.n < 31 ? line.n : 31), line.p);
    if (sscanf(start, "HTTP/1.%1u %3u", &minor, &status) != 2 || status < 100)
        return false;
    if (status < 200 && status != 101)
        return true; /* the final one is still to come */
    o->keep = minor == 1;
    o->state = ORIGIN_UNTIL_CLOSE;
    o->upgraded = status == 101;
    while (next_line(&head, &line) && line.n)
        read_field(o, line, request_pack);
    bool empty = o->state == ORIGIN_LENGTH && o->left == 0;
    if (o->upgraded)
        o->state = ORIGIN_UNTIL_CLOSE;
    else if (empty || strcmp(o->request->method, "HEAD") == 0 || status == 204 || status == 304)
        o->state = ORIGIN_DONE;
    o->request->flush |= o->state == ORIGIN_CHUNK_SIZE || !o->request->length[0];
    request_respond(o->request, status);
    return true;
}

/* Collects in rx up to what ends with `end`. NULL: more is to come, or `wrong`. */
static const char *collect(struct origin *o, struct slice *in, struct slice end, size_t max, bool *wrong)
{
    size_t had = bytes_length(&o->rx);
    bytes_add(&o->rx, *in);
    struct slice all = bytes_slice(&o->rx);
    const char *found = all.n ? memmem(all.p, all.n, end.p, end.n) : NULL;
    if (!found) {
        in->n = 0;
        *wrong |= all.n > max;
        return NULL;
    }
    size_t n = (size_t)(found - all.p) + end.n;
    in->p += n - had;
    in->n -= n - had;
    o->rx.end = o->rx.start + n;
    return all.p;
}

static void read_trailers(struct origin *o, struct slice *in, bool *wrong)
{
    const char *p = collect(o, in, SLICE("\n"), LINE_MAX_SIZE, wrong);
    struct slice text = bytes_slice(&o->rx), line;
    if (!p || !next_line(&text, &line))
        return;
    if (line.n)
        read_field(o, line, request_add_trailer);
    else
        o->state = ORIGIN_DONE;
    bytes_drop(&o->rx, bytes_length(&o->rx));
}

static void pass_on(struct origin *o, struct slice *in, uint64_t max)
{
    size_t n = in->n < max ? in->n : (size_t)max;
    request_add_response(o->request, (struct slice){ in->p, n });
    in->p += n;
    in->n -= n;
    if (o->state != ORIGIN_UNTIL_CLOSE)
        o->left -= n;
}

/* False: what comes is not HTTP. */
static bool digest(struct origin *o, struct slice in)
{
    bool wrong = false;
    const char *p;
    while (in.n && !wrong && o->state != ORIGIN_DONE) {
        switch (o->state) {
        case ORIGIN_HEAD:
            if ((p = collect(o, &in, SLICE("\r\n\r\n"), HEAD_MAX, &wrong))) {
                wrong = !read_head(o, bytes_slice(&o->rx));
                bytes_drop(&o->rx, bytes_length(&o->rx));
            }
            break;
        case ORIGIN_LENGTH:
            pass_on(o, &in, o->left);
            if (o->left == 0)
                o->state = ORIGIN_DONE;
            break;
        case ORIGIN_CHUNK_SIZE:
            if ((p = collect(o, &in, SLICE("\n"), LINE_MAX_SIZE, &wrong))) {
                o->left = strtoull(p, NULL, 16);
                o->state = o->left ? ORIGIN_CHUNK : ORIGIN_TRAILERS;
                bytes_drop(&o->rx, bytes_length(&o->rx));
            }
            break;
        case ORIGIN_CHUNK:
            pass_on(o, &in, o->left);
            if (o->left == 0)
                o->state = ORIGIN_CHUNK_END;
            break;
        case ORIGIN_CHUNK_END:
            if ((p = collect(o, &in, SLICE("\n"), 2, &wrong))) {
                o->state = ORIGIN_CHUNK_SIZE;
                bytes_drop(&o->rx, bytes_length(&o->rx));
            }
            break;
        case ORIGIN_TRAILERS:
            read_trailers(o, &in, &wrong);
            break;
        case ORIGIN_UNTIL_CLOSE:
            pass_on(o, &in, in.n);
            break;
        case ORIGIN_DONE:
            break;
        }
    }
    o->keep &= in.n == 0;
    return !wrong;
}

static void on_end(struct origin *o)
{
    if (o->state != ORIGIN_UNTIL_CLOSE) {
        fail(o);
        return;
    }
    o->keep = false;
    finish(o);
}

static void on_readable(struct origin *o)
{
    static char scratch[64 * 1024]; /* one thread, and nothing stays in it */
    ssize_t n = recv(o->fd, scratch, sizeof scratch, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (!o->request) {
        origin_free(o);
    } else if (n < 0) {
        fail(o);
    } else if (n == 0) {
        on_end(o);
    } else {
        o->any_read = true;
        if (!digest(o, (struct slice){ scratch, (size_t)n }))
            fail(o);
        else if (o->state == ORIGIN_DONE)
            finish(o);
        else
            pump(o);
    }
}

/* --- for the loop --- */

static void on_connected(struct origin *o)
{
    int error = 0;
    getsockopt(o->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error });
    if (error) {
        fail(o);
        return;
    }
    ev_timer_stop(o->sim->loop, &o->patience);
    o->connected = true;
    if (o->raw) {
        o->state = ORIGIN_UNTIL_CLOSE;
        o->request->flush = true;
        request_respond(o->request, 200);
    }
    request_continue(o->request);
    pump(o);
}

static void on_io(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    struct origin *o = w->data;
    if (!o->connected)
        on_connected(o);
    else if (events & EV_WRITE && o->request)
        pump(o);
    else if (events & EV_READ)
        on_readable(o);
}

static void on_patience(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    fail(w->data);
}

/* --- for the request --- */

static void dial(struct origin *o)
{
    o->fd = peer_dial(&o->peer);
    /* what fails at once is told as what fails later */
    ev_timer_stop(o->sim->loop, &o->patience);
    ev_timer_set(&o->patience, o->fd < 0 ? 0 : CONNECT_TIMEOUT, 0);
    ev_timer_start(o->sim->loop, &o->patience);
    if (o->fd >= 0)
        watch(o, EV_WRITE);
}

static struct origin *take_idle(struct sim *sim, const struct peer *peer)
{
    LIST_FOR_EACH (node, &sim->idle_origins) {
        struct origin *o = CONTAINER_OF(node, struct origin, idle);
        if (!peer_equal(&o->peer, peer))
            continue;
        list_remove(&o->idle);
        sim->n_idle_origins--;
        return o;
    }
    return NULL;
}

static struct origin *origin_new(struct sim *sim, const struct peer *peer)
{
    struct origin *o = mem_zero(sizeof *o);
    o->sim = sim;
    o->fd = -1;
    o->peer = *peer;
    o->peer.text = NULL;
    list_init(&o->idle);
    ev_init(&o->io, on_io);
    ev_init(&o->patience, on_patience);
    o->io.data = o->patience.data = o;
    return o;
}

void origin_start(struct request *r, const struct peer *peer, struct slice head, bool chunked)
{
    struct sim *sim = r->session->sim;
    bool raw = r->kind == REQUEST_TCP;
    struct origin *o = raw || r->kind == REQUEST_WEBSOCKET ? NULL : take_idle(sim, peer);
    bool reused = o;
    if (!o)
        o = origin_new(sim, peer);
    o->reused = reused;
    o->raw = raw;
    o->chunked = chunked;
    o->request = r;
    o->state = ORIGIN_HEAD;
    o->any_read = o->body_begun = o->body_written = o->upgraded = false;
    r->origin = o;
    bytes_drop(&o->head, bytes_length(&o->head));
    bytes_add(&o->head, head);
    bytes_add(&o->tx, head);
    if (!reused) {
        dial(o);
        return;
    }
    request_continue(r);
    pump(o);
}

void origin_body_came(struct origin *o)
{
    if (o->connected)
        pump(o);
}

void origin_response_left(struct origin *o)
{
    if (o->connected)
        watch_what_is_due(o);
}

void origin_drop(struct origin *o)
{
    part(o);
    origin_free(o);
}

void origin_close_idle(struct sim *sim)
{
    while (!list_empty(&sim->idle_origins))
        origin_free(CONTAINER_OF(sim->idle_origins.next, struct origin, idle));
}
