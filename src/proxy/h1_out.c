#include "proxy/h1_out.h"

#include "http/chunked.h"

#include <string.h>

/* --- heads --- */

struct pen {
    char *at, *end; /* at > end: it did not fit */
};

static inline void pen_bytes(struct pen *pen, const char *p, size_t n)
{
    if (!n)
        return;
    if (n <= (size_t)(pen->end - pen->at)) {
        if (n)
            memcpy(pen->at, p, n);
        pen->at += n;
    } else {
        pen->end = pen->at; /* nothing fits from here on */
    }
}

static inline void pen_slice(struct pen *pen, struct slice s)
{
    pen_bytes(pen, s.p, s.n);
}

#define pen_text(pen, literal) pen_bytes(pen, "" literal, sizeof(literal) - 1)

static void pen_number(struct pen *pen, uint64_t value)
{
    char digits[20];
    char *p = digits + sizeof digits;
    do
        *--p = (char)('0' + value % 10);
    while (value /= 10);
    pen_bytes(pen, p, (size_t)(digits + sizeof digits - p));
}

static void start_line(struct pen *pen, const struct h1_message *m)
{
    const struct message_out *out = m->out;
    if (m->role == H1_REQUEST) {
        pen_slice(pen, out->method);
        pen_text(pen, " ");
        pen_slice(pen, out->path);
        pen_text(pen, " HTTP/1.1\r\nHost: ");
        pen_slice(pen, out->host);
        pen_text(pen, "\r\n");
        return;
    }
    pen_text(pen, "HTTP/1.1 ");
    pen_number(pen, out->status);
    pen_text(pen, " ");
    pen_slice(pen, out->reason);
    pen_text(pen, "\r\n");
}

/* Exactly CRLF between two lines: no white space that was trimmed off, no bare LF that was let pass. */
static bool stand_together(const struct http_field *f, const struct http_field *next)
{
    return f->value + f->value_len + 2 == next->name;
}

/* Field lines that stand next to each other are one copy. */
static void forwarded_fields(struct pen *pen, const struct message_out *out)
{
    const struct http_field *f = out->head->fields, *end = f + out->head->n_fields;
    while (f < end) {
        const struct http_field *first = f++;
        if (first->flags)
            continue;
        while (f < end && !f->flags && stand_together(f - 1, f))
            f++;
        pen_bytes(pen, out->base + first->name, f[-1].value + f[-1].value_len - first->name);
        pen_text(pen, "\r\n");
    }
}

static void added_fields(struct pen *pen, const struct message_out *out)
{
    for (size_t i = 0; i < out->n_added; i++) {
        pen_slice(pen, out->added[i].name);
        pen_text(pen, ": ");
        pen_slice(pen, out->added[i].value);
        pen_text(pen, "\r\n");
    }
}

/* Framing is always made anew from how the body was understood, never forwarded. */
static void framing(struct pen *pen, const struct h1_message *m)
{
    const struct message_out *out = m->out;
    if (out->body == BODY_CHUNKED) {
        pen_text(pen, "Transfer-Encoding: chunked\r\n");
    } else if (out->has_length) {
        pen_text(pen, "Content-Length: ");
        pen_number(pen, out->length);
        pen_text(pen, "\r\n");
    }
    if (out->upgrade)
        pen_text(pen, "Connection: upgrade\r\nUpgrade: websocket\r\n");
    else if (m->connection == H1_CONNECTION_CLOSE)
        pen_text(pen, "Connection: close\r\n");
    else if (m->connection == H1_CONNECTION_KEEP_ALIVE)
        pen_text(pen, "Connection: keep-alive\r\n");
}

size_t h1_format_head(const struct h1_message *m, char *scratch, size_t size)
{
    struct pen pen = { scratch, scratch + size };
    start_line(&pen, m);
    if (m->out->head)
        forwarded_fields(&pen, m->out);
    added_fields(&pen, m->out);
    framing(&pen, m);
    if (pen.end - pen.at < 2)
        return 0;
    pen_text(&pen, "\r\n");
    return (size_t)(pen.at - scratch);
}

/* --- writing --- */

/* One attempt: framing bytes before and after the payload. */
struct attempt {
    struct slice pending, before, payload, after;
};

static bool keep(struct h1_out *o, const struct h1_writer *w, struct slice s)
{
    if (!s.n)
        return true;
    if (!o->pending && !(o->pending = buffer_take(w->buffers, s.n)))
        return false;
    if (buffer_room(o->pending) < s.n) {
        struct buffer *larger = buffer_take(w->buffers, buffer_length(o->pending) + s.n);
        if (!larger)
            return false;
        memcpy(larger->data, o->pending->data + o->pending->start, buffer_length(o->pending));
        larger->end = (uint32_t)buffer_length(o->pending);
        buffer_give(w->buffers, o->pending);
        o->pending = larger;
    }
    memcpy(o->pending->data + o->pending->end, s.p, s.n);
    o->pending->end += (uint32_t)s.n;
    return true;
}

static size_t take_off(struct slice *s, size_t written)
{
    size_t n = s->n < written ? s->n : written;
    *s = slice_from(*s, n);
    return written - n;
}

/* Whether the end of the payload was reached: only then what stands behind it counts as begun. */
static ssize_t settle(struct h1_out *o, const struct h1_writer *w, struct attempt *a, size_t written)
{
    size_t offered = a->payload.n;
    written = take_off(&a->pending, written);
    written = take_off(&a->before, written);
    written = take_off(&a->payload, written);
    take_off(&a->after, written);

    if (o->pending) {
        o->pending->start = o->pending->end - (uint32_t)a->pending.n;
        if (!a->pending.n) {
            buffer_give(w->buffers, o->pending);
            o->pending = NULL;
        }
    }
    if (!keep(o, w, a->before))
        return -1;
    size_t taken = offered - a->payload.n;
    if (o->chunked)
        o->chunk_left -= taken;
    if (!a->payload.n && !keep(o, w, a->after))
        return -1;
    return (ssize_t)taken;
}

static ssize_t write_attempt(struct h1_out *o, struct stream *s, const struct h1_writer *w, struct attempt *a)
{
    if (o->pending)
        a->pending = (struct slice){ o->pending->data + o->pending->start, buffer_length(o->pending) };
    struct iovec iov[4];
    int n = 0;
    for (const struct slice *part = &a->pending; part <= &a->after; part++) {
        if (part->n)
            iov[n++] = (struct iovec){ (void *)(uintptr_t)part->p, part->n };
    }
    o->joined = false;
    if (!n)
        return 0;
    ssize_t written = stream_write(s, iov, n);
    o->sent += written > 0 ? (uint64_t)written : 0;
    ssize_t taken = written < 0 && written != STREAM_AGAIN ? -1 : settle(o, w, a, written < 0 ? 0 : (size_t)written);
    o->joined = s->ssl && o->pending && a->payload.n;
    return taken;
}

/* The end of a chunked body. With trailers it is put together behind where heads are. */
static struct slice last_lines(const struct h1_out *o, const struct h1_writer *w, bool after_payload)
{
    struct slice begin = after_payload ? SLICE("\r\n0\r\n") : SLICE("0\r\n");
    if (!o->trailers.n)
        return after_payload ? SLICE("\r\n0\r\n\r\n") : SLICE("0\r\n\r\n");
    struct pen pen = { w->scratch + H1_SCRATCH_SIZE - H1_TRAILERS_ROOM, w->scratch + H1_SCRATCH_SIZE };
    char *from = pen.at;
    pen_slice(&pen, begin);
    pen_slice(&pen, o->trailers);
    pen_text(&pen, "\r\n");
    return (struct slice){ from, (size_t)(pen.at - from) };
}

/* Frames one piece of payload: a chunk of its own, or the rest of the one that was announced. */
static ssize_t write_piece(struct h1_out *o, struct stream *s, const struct h1_writer *w, struct slice before, struct slice body, bool end)
{
    struct attempt a = { .before = before, .payload = body };
    if (!o->chunked)
        return write_attempt(o, s, w, &a);

    /* before: at most a head in scratch, which has room for a chunk's head behind it */
    char line[CHUNK_HEAD_MAX];
    bool announced = o->chunk_left != 0;
    if (announced && body.n > o->chunk_left)
        a.payload.n = o->chunk_left;
    bool last = end && a.payload.n == body.n;
    if (!announced && body.n) {
        size_t n = chunk_write_head(line, body.n);
        o->chunk_left = body.n;
        if (before.n) {
            memcpy(w->scratch + before.n, line, n);
            a.before.n += n;
        } else {
            a.before = (struct slice){ line, n };
        }
    }
    if (last)
        a.after = last_lines(o, w, a.payload.n > 0);
    else if (a.payload.n)
        a.after = SLICE("\r\n");
    return write_attempt(o, s, w, &a);
}

ssize_t h1_out_body(struct h1_out *o, struct stream *s, const struct h1_writer *w, struct slice body, bool end)
{
    if (o->pending && !o->joined) { /* what is ahead of the payload must leave first */
        int flushed = h1_out_flush(o, s, w);
        if (flushed <= 0)
            return flushed;
    }
    ssize_t taken = write_piece(o, s, w, (struct slice){ NULL, 0 }, body, end);
    if (taken > 0 && (size_t)taken < body.n && o->chunked && !o->chunk_left && !o->pending) {
        /* the end of an announced chunk, and more beyond it */
        struct slice rest = { body.p + taken, body.n - (size_t)taken };
        ssize_t more = write_piece(o, s, w, (struct slice){ NULL, 0 }, rest, end);
        return more < 0 ? -1 : taken + more;
    }
    return taken;
}

ssize_t h1_out_head(struct h1_out *o, struct stream *s, const struct h1_writer *w, const struct h1_message *m, struct slice body, bool end)
{
    size_t n = h1_format_head(m, w->scratch, H1_SCRATCH_SIZE - H1_TRAILERS_ROOM - CHUNK_HEAD_MAX);
    if (!n)
        return -1;
    o->chunked = m->out->body == BODY_CHUNKED;
    o->chunk_left = 0;
    return write_piece(o, s, w, (struct slice){ w->scratch, n }, body, end);
}

int h1_out_flush(struct h1_out *o, struct stream *s, const struct h1_writer *w)
{
    if (!o->pending)
        return 1;
    if (o->joined)
        return 0;
    struct attempt a = { 0 };
    if (write_attempt(o, s, w, &a) < 0)
        return -1;
    return !o->pending;
}

void h1_out_clear(struct h1_out *o, struct buffer_pool *buffers)
{
    buffer_give(buffers, o->pending);
    *o = (struct h1_out){ 0 };
}
