#include "edge/stream.h"

#include "base/log.h"
#include "edge/guard.h"
#include "edge/serialized.h"
#include "http/parse.h"
#include "http/rules.h"
#include "http/trailers.h"

#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = HTTP_FIELDS_MAX + 96 };

struct edge_stream {
    struct edge_connection *connection;
    struct list link;        /* on the connection's streams */
    struct list news;        /* on its list of those with something to tell, or alone */
    const struct stream_user_ops *user_ops;
    void *user;              /* NULL: let go */
    int32_t id;              /* 0: not begun */

    /* the request */
    enum http_method method;
    bool upgrade;
    struct buffer *out;      /* payload that nghttp2 did not take yet */
    struct trailers out_trailers; /* what follows it */
    bool out_end;            /* nothing follows it */
    bool out_full;           /* the user waits for room */
    bool deferred;           /* nghttp2 waits for more */
    bool raw_ended;          /* an upgraded client has closed its side */

    /* the response */
    bool has_head, head_given, ended, blocked, closed, refused, oversize, window_moved;
    uint32_t error;          /* HTTP/2's, when closed */
    enum reason reason;      /* of the connection's end */
    unsigned status;
    bool has_length;
    uint64_t length;
    struct response_meta meta;
    struct buffer *packed;   /* cf-cloudflared-response-headers */
    struct buffer *first, *last; /* payload that was not taken yet */
    struct trailers trailers; /* what follows it, not told yet */
    uint64_t taken;
    bool was_blocked, wide;  /* the user was behind once; the window is the large one */
    nsec_t waits_since;
};

struct edge_stream *edge_stream_of_link(struct list *l)
{
    return CONTAINER_OF(l, struct edge_stream, link);
}

struct edge_stream *edge_stream_of_news(struct list *l)
{
    return CONTAINER_OF(l, struct edge_stream, news);
}

static struct buffer_pool *buffers_of(const struct edge_stream *s)
{
    return &s->connection->worker->buffers;
}

static void have_news(struct edge_stream *s)
{
    if (s->user && list_empty(&s->news)) {
        list_push_back(&s->connection->news, &s->news);
        edge_worker_mark(s->connection->worker, s->connection);
    }
}

/* --- life --- */

struct edge_stream *edge_stream_new(struct edge_connection *c, const struct stream_user_ops *ops, void *user, enum reason *why)
{
    struct edge_stream *s = edge_connection_takes_streams(c) ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        *why = REASON_CONNECTION_LOST;
        return NULL;
    }
    s->connection = c;
    s->user_ops = ops;
    s->user = user;
    list_init(&s->news);
    edge_connection_stream_began(c, &s->link);
    return s;
}

/* The stream's window is opened by what its user took. One whose user is never behind the connector may have more on the way. */
static void give_back(struct edge_stream *s, size_t n)
{
    nghttp2_session *session = s->connection->session;
    if (!n || s->closed)
        return;
    nghttp2_session_consume_stream(session, s->id, n);
    s->taken += n;
    if (s->wide || s->was_blocked || s->taken < EDGE_STREAM_WINDOW)
        return;
    s->wide = true;
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, s->id, EDGE_STREAM_WINDOW_WIDE);
}

static void drop_payload(struct edge_stream *s)
{
    while (s->first) {
        struct buffer *b = s->first;
        s->first = b->next;
        buffer_give(buffers_of(s), b);
    }
    s->last = NULL;
}

static void stream_free(struct edge_stream *s)
{
    struct edge_connection *c = s->connection;
    if (s->id) /* nothing happens where nghttp2 knows it no more */
        nghttp2_session_set_stream_user_data(c->session, s->id, NULL);
    drop_payload(s);
    buffer_give(buffers_of(s), s->out);
    trailers_clear(buffers_of(s), &s->out_trailers);
    buffer_give(buffers_of(s), s->packed);
    trailers_clear(buffers_of(s), &s->trailers);
    list_remove(&s->news);
    edge_connection_stream_ended(c, &s->link);
    free(s);
}

/* The user is gone or was told all: what is left of the stream is cancelled. */
static void let_go(struct edge_stream *s)
{
    struct edge_connection *c = s->connection;
    s->user = NULL;
    if (s->id && !s->closed && c->phase != CONNECTION_CLOSED) {
        uint32_t code = s->ended && (s->out_end || s->upgrade) ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL;
        if (!(s->ended && s->out_end && !s->out))
            nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, code);
        edge_connection_wants_flush(c);
    }
    stream_free(s);
}

/* --- the request's head --- */

struct fields {
    nghttp2_nv *nv;
    size_t n;
    char *text, *end; /* for names in lower case */
    bool overflow;
};

static void add_field(struct fields *f, struct slice name, struct slice value)
{
    if (f->n >= FIELDS_MAX || name.n > (size_t)(f->end - f->text)) {
        f->overflow = true;
        return;
    }
    for (size_t i = 0; i < name.n; i++)
        f->text[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
    f->nv[f->n++] = (nghttp2_nv){ (uint8_t *)f->text, (uint8_t *)(uintptr_t)value.p, name.n, value.n, NGHTTP2_NV_FLAG_NONE };
    f->text += name.n;
}

/* Whatever commands a connector comes from us alone (edge/guard.h); this is the only way a client's fields take to it. */
static void add_clients_fields(struct fields *f, const struct message_out *out, bool *encoding_given)
{
    for (unsigned i = 0; i < out->head->n_fields; i++) {
        const struct http_field *field = &out->head->fields[i];
        struct slice name = http_field_name(out->base, field);
        if (field->flags || guard_drops_field(name))
            continue;
        *encoding_given |= slice_eq_nocase(name, SLICE("accept-encoding"));
        add_field(f, name, http_field_value(out->base, field));
    }
    for (size_t i = 0; i < out->n_added; i++)
        if (!guard_drops_field(out->added[i].name))
            add_field(f, out->added[i].name, out->added[i].value);
}

/* A server of Go's hands on only trailers that were announced. */
static void announce_trailers(struct fields *f, const struct message_out *out)
{
    for (unsigned i = 0; i < out->head->n_fields; i++) {
        const struct http_field *field = &out->head->fields[i];
        struct slice value = http_field_value(out->base, field), name;
        while (field->id == FIELD_TRAILER && slice_next_element(&value, &name))
            if (trailer_may_pass(name) && !guard_drops_field(name))
                add_field(f, SLICE("trailer"), name);
    }
}

static bool compose(struct edge_stream *s, const struct message_out *out, struct fields *f, char length[static 24])
{
    bool encoding_given = false;
    add_field(f, SLICE(":method"), out->method);
    add_field(f, SLICE(":scheme"), SLICE("https"));
    add_field(f, SLICE(":authority"), out->host);
    add_field(f, SLICE(":path"), out->path);
    if (s->upgrade)
        add_field(f, SLICE("cf-cloudflared-proxy-connection-upgrade"), SLICE("websocket"));
    add_clients_fields(f, out, &encoding_given);
    if (!encoding_given) /* else the connector asks for gzip by itself, and unpacks what comes */
        add_field(f, SLICE("accept-encoding"), SLICE("identity"));
    if (out->body == BODY_CHUNKED)
        announce_trailers(f, out);
    if (out->has_length) {
        int n = snprintf(length, 24, "%llu", (unsigned long long)out->length);
        add_field(f, SLICE("content-length"), (struct slice){ length, (size_t)n });
    }
    return !f->overflow;
}

/* --- the request's body --- */

/* Of one upload no more is sent ahead than EDGE_UPLOAD_WINDOW, and no more than a quarter of what the other uploads have left of the
 * connection's window (1 MiB for all): however many are stalled, one more still finds room. */
static size_t upload_room(const struct edge_stream *s)
{
    nghttp2_session *session = s->connection->session;
    uint32_t initial = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
    int32_t left = nghttp2_session_get_stream_remote_window_size(session, s->id);
    int64_t ahead = left < (int64_t)initial ? (int64_t)initial - left : 0;
    int64_t most = (nghttp2_session_get_remote_window_size(session) + ahead) / 4;
    if (most > EDGE_UPLOAD_WINDOW)
        most = EDGE_UPLOAD_WINDOW;
    return ahead < most ? (size_t)(most - ahead) : 0;
}

/* Once the body has gone. False: nothing follows it. */
static bool submit_trailers(struct edge_stream *s)
{
    enum { AT_MOST = 64 };
    nghttp2_nv nv[AT_MOST];
    struct fields f = { .nv = nv, .text = s->connection->worker->text, .end = s->connection->worker->text + EDGE_SCRATCH_SIZE };
    struct slice lines = trailers_kept(&s->out_trailers), name, value;
    while (f.n < AT_MOST && trailers_next(&lines, &name, &value))
        if (!guard_drops_field(name))
            add_field(&f, name, value);
    return f.n && nghttp2_submit_trailer(s->connection->session, s->id, nv, f.n) == 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct edge_stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)source;
    (void)arg;
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = s->out ? buffer_length(s->out) : 0, allowed = upload_room(s);
    if (n > room)
        n = room;
    if (n > allowed)
        n = allowed;
    if (n) {
        memcpy(to, s->out->data + s->out->start, n);
        s->out->start += (uint32_t)n;
    }
    if (s->out && !buffer_length(s->out)) {
        buffer_give(buffers_of(s), s->out);
        s->out = NULL;
    }
    if (!s->out && s->out_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (submit_trailers(s))
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    } else if (!n) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (s->out_full && n) {
        s->window_moved = true;
        have_news(s);
    }
    return (ssize_t)n;
}

static size_t keep_payload(struct edge_stream *s, struct slice body)
{
    if (body.n && !s->out)
        s->out = buffer_take(buffers_of(s), BUFFER_LARGE);
    if (!s->out)
        return 0;
    if (s->out->start && buffer_room(s->out) < body.n) {
        size_t left = buffer_length(s->out);
        memmove(s->out->data, s->out->data + s->out->start, left);
        s->out->start = 0;
        s->out->end = (uint32_t)left;
    }
    size_t n = buffer_room(s->out) < body.n ? buffer_room(s->out) : body.n;
    memcpy(s->out->data + s->out->end, body.p, n);
    s->out->end += (uint32_t)n;
    return n;
}

static void resume(struct edge_stream *s)
{
    if (!s->deferred || s->closed)
        return;
    s->deferred = false;
    nghttp2_session_resume_data(s->connection->session, s->id);
    edge_connection_wants_flush(s->connection);
}

static ssize_t take_body(struct edge_stream *s, struct slice body, bool end)
{
    size_t n = keep_payload(s, body);
    s->out_full = n < body.n;
    if (end && n == body.n) {
        s->out_end = true;
        trailers_keep(buffers_of(s), &s->out_trailers, s->user_ops->request_trailers(s->user));
    }
    resume(s);
    return (ssize_t)n;
}

static ssize_t op_send_head(void *upstream, const struct message_out *out, struct slice body, bool end)
{
    struct edge_stream *s = upstream;
    struct edge_connection *c = s->connection;
    nghttp2_nv nv[FIELDS_MAX];
    char length[24];
    struct fields f = { .nv = nv, .text = c->worker->text, .end = c->worker->text + EDGE_SCRATCH_SIZE };
    const nghttp2_data_provider provider = { .read_callback = read_body };

    s->method = http_method_of(out->method);
    s->upgrade = out->upgrade;
    if (s->upgrade)
        end = false; /* raw bytes may follow */
    bool bodiless = end && !body.n && !s->user_ops->request_trailers(s->user).n;
    int32_t id = compose(s, out, &f, length) ? nghttp2_submit_request(c->session, NULL, nv, f.n, bodiless ? NULL : &provider, s) : -1;
    if (id < 0) {
        s->refused = true;
        have_news(s);
        return (ssize_t)body.n;
    }
    s->id = id;
    s->waits_since = edge_now(c->worker);
    edge_connection_wants_flush(c);
    silence_watch_closely(c);
    if (bodiless) {
        s->out_end = true;
        return 0;
    }
    return take_body(s, body, end);
}

static ssize_t op_send_body(void *upstream, struct slice body, bool end)
{
    struct edge_stream *s = upstream;
    if (s->closed || s->refused)
        return (ssize_t)body.n; /* the news of it is on its way */
    return take_body(s, body, end);
}

static void op_want_body(void *upstream)
{
    struct edge_stream *s = upstream;
    s->blocked = false;
    have_news(s);
}

static void op_abort(void *upstream)
{
    let_go(upstream);
}

static void op_describe(const void *upstream, char *address, size_t size, bool *reused)
{
    const struct edge_stream *s = upstream;
    char text[ADDRESS_TEXT_SIZE];
    address_format(&s->connection->peer, text);
    snprintf(address, size, "%s", text);
    *reused = true;
}

const struct upstream_ops edge_stream_ops = {
    .send_head = op_send_head,
    .send_body = op_send_body,
    .want_body = op_want_body,
    .abort = op_abort,
    .describe = op_describe,
};

nsec_t edge_stream_waits_since(const struct edge_stream *s)
{
    return s->has_head || s->closed || s->refused ? 0 : s->waits_since;
}

/* --- the response, as nghttp2 tells it --- */

static bool is(struct slice name, const char *what)
{
    return slice_eq(name, slice_of(what));
}

static unsigned read_number(struct slice s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s.n && i < 4; i++)
        n = n * 10 + (unsigned)(s.p[i] - '0');
    return n;
}

static bool read_length(struct slice s, uint64_t *out)
{
    uint64_t n = 0;
    if (!s.n || s.n > 18)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = n;
    return true;
}

/* As a line. */
static void add_trailer(struct edge_stream *s, struct slice name, struct slice value)
{
    const struct slice parts[] = { name, SLICE(": "), value, SLICE("\r\n") };
    for (size_t i = 0; trailer_may_pass(name) && i < sizeof parts / sizeof *parts; i++)
        trailers_keep(buffers_of(s), &s->trailers, parts[i]);
}

void edge_stream_on_header(struct edge_stream *s, struct slice name, struct slice value)
{
    if (s->has_head) {
        add_trailer(s, name, value);
        return;
    }
    if (is(name, ":status")) {
        s->status = value.n == 3 ? read_number(value) : 0;
    } else if (is(name, "content-length")) {
        s->has_length = read_length(value, &s->length);
    } else if (is(name, "cf-cloudflared-response-meta")) {
        if (!response_meta_read(value, &s->meta))
            s->meta = (struct response_meta){ 0 };
    } else if (is(name, "cf-cloudflared-response-headers") && !s->packed && (s->packed = buffer_take(buffers_of(s), value.n))) {
        memcpy(s->packed->data, value.p, value.n);
        s->packed->end = (uint32_t)value.n;
    }
}

static void forget_head(struct edge_stream *s)
{
    s->status = 0;
    s->has_length = false;
    s->meta = (struct response_meta){ 0 };
    buffer_give(buffers_of(s), s->packed);
    s->packed = NULL;
}

void edge_stream_on_head(struct edge_stream *s, bool end)
{
    if (!s->has_head && s->status >= 200)
        s->has_head = true;
    else if (!s->has_head)
        forget_head(s); /* a 100: our own was sent */
    s->ended |= end;
    have_news(s);
}

void edge_stream_on_data(struct edge_stream *s, const uint8_t *bytes, size_t n)
{
    /* The connection's window is for all: a user who is behind must not hold it. */
    nghttp2_session_consume_connection(s->connection->session, n);
    if (!s->user || s->oversize) {
        give_back(s, n);
        return;
    }
    while (n) {
        if (!s->last || !buffer_room(s->last)) {
            struct buffer *b = buffer_take(buffers_of(s), n > BUFFER_SMALL ? BUFFER_LARGE : BUFFER_SMALL);
            if (!b) {
                s->error = NGHTTP2_INTERNAL_ERROR;
                s->closed = true;
                have_news(s);
                return;
            }
            b->next = NULL;
            if (s->last)
                s->last->next = b;
            else
                s->first = b;
            s->last = b;
        }
        size_t take = buffer_room(s->last) < n ? buffer_room(s->last) : n;
        memcpy(s->last->data + s->last->end, bytes, take);
        s->last->end += (uint32_t)take;
        bytes += take;
        n -= take;
    }
    if (!s->blocked)
        have_news(s);
}

void edge_stream_on_end(struct edge_stream *s)
{
    s->ended = true;
    if (!s->blocked)
        have_news(s);
}

void edge_stream_on_close(struct edge_stream *s, uint32_t error, enum reason reason)
{
    if (s->closed) /* why it was is known */
        return;
    s->closed = true;
    s->error = error;
    s->reason = reason;
    if (!s->user)
        return;
    have_news(s);
}

void edge_stream_on_refused(struct edge_stream *s)
{
    s->closed = true;
    s->refused = !s->has_head; /* one that was answered was looked at, whatever is said of it now: it must not be sent again */
    have_news(s);
}

void edge_stream_on_window(struct edge_stream *s)
{
    resume(s);
}

void edge_stream_on_oversize(struct edge_stream *s)
{
    s->oversize = true;
    have_news(s);
}

void edge_stream_drop(struct edge_stream *s)
{
    s->user = NULL;
    stream_free(s);
}

void edge_stream_on_suspect(struct edge_stream *s)
{
    if (!s->user || s->has_head || s->closed)
        return;
    if (s->user_ops->suspect(s->user) == EXCHANGE_LET_GO)
        let_go(s);
}

/* --- the response, as the user is told --- */

/* A response's head as the rules for HTTP/1 know it: what the connector packed, with our framing. */
static const char *build_head(struct edge_stream *s, struct http_head *head, char *text, size_t size)
{
    struct bounded out = { .p = text, .size = size };
    bool upgraded = false, bodiless = s->method == METHOD_HEAD || s->status == 204 || s->status == 304;
    memset(head, 0, offsetof(struct http_head, fields));
    head->minor = 1;
    head->status = (uint16_t)s->status;
    const char *phrase = http_status_phrase(s->status);
    bounded_add(&out, slice_of(phrase));
    head->reason_len = (uint32_t)out.n;
    head->fields_start = (uint32_t)out.n;
    if (s->packed) {
        struct slice packed = { s->packed->data, buffer_length(s->packed) };
        const char *wrong = serialized_read(packed, &out, head, HTTP_FIELDS_MAX - 4);
        if (wrong)
            return wrong;
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < head->n_fields; i++) {
        struct http_field f = head->fields[i];
        if (f.id == FIELD_CONTENT_LENGTH || f.id == FIELD_TRANSFER_ENCODING)
            continue; /* what counts is HTTP/2's own framing */
        if (f.id == FIELD_UPGRADE && s->upgrade && s->status == 200) {
            upgraded = slice_eq_nocase(http_field_value(text, &f), SLICE("websocket"));
        } else if (f.id == FIELD_CONNECTION && s->upgrade) {
            continue;
        }
        head->fields[kept++] = f;
    }
    head->n_fields = (uint16_t)kept;

    char line[64];
    int n = 0;
    if (upgraded) {
        head->status = 101;
        n = snprintf(line, sizeof line, "Connection: upgrade");
    } else if (s->has_length || (s->ended && !s->first && !s->trailers.lines && !bodiless)) {
        n = snprintf(line, sizeof line, "Content-Length: %llu", (unsigned long long)(s->has_length ? s->length : 0));
    } else if (!bodiless) {
        n = snprintf(line, sizeof line, "Transfer-Encoding: chunked");
    }
    if (n) {
        size_t colon = (size_t)(strchr(line, ':') - line), at = out.n;
        bounded_add(&out, (struct slice){ line, (size_t)n });
        bounded_add(&out, SLICE("\r\n"));
        head->fields[head->n_fields++] = (struct http_field){
            .name = (uint32_t)at, .name_len = (uint16_t)colon, .value = (uint32_t)(at + colon + 2), .value_len = (uint32_t)n - (uint32_t)colon - 2,
            .id = (uint8_t)http_field_id_of((struct slice){ line, colon }),
        };
    }
    head->length = (uint32_t)out.n;
    return out.overflow || head->length > EDGE_HEAD_MAX ? "the response's head is larger than 48 KiB" : NULL;
}

static void tell_failure(struct edge_stream *s, enum upstream_stage stage, enum reason reason, const char *detail)
{
    void *user = s->user;
    const struct stream_user_ops *ops = s->user_ops;
    let_go(s);
    ops->failed(user, stage, reason, detail);
}

static enum upstream_stage stage_of(const struct edge_stream *s)
{
    return s->head_given ? STAGE_RESPONSE : !s->id ? STAGE_NOT_CONNECTED : STAGE_SENT;
}

static bool settle_piece(struct edge_stream *s, enum exchange_hold hold, size_t taken)
{
    struct buffer *b = s->first;
    if (b && taken) {
        give_back(s, taken);
        edge_connection_wants_flush(s->connection); /* the window that this opens */
        b->start += (uint32_t)taken;
        if (!buffer_length(b)) {
            s->first = b->next;
            if (!s->first)
                s->last = NULL;
            buffer_give(buffers_of(s), b);
        }
    }
    if (hold == EXCHANGE_LET_GO) {
        let_go(s);
        return false;
    }
    return true;
}

static struct slice first_piece(const struct edge_stream *s, bool *last)
{
    *last = s->ended && (!s->first || !s->first->next);
    return s->first ? (struct slice){ s->first->data + s->first->start, buffer_length(s->first) } : (struct slice){ NULL, 0 };
}

/* Its 502, in place of an answer from the service behind it. */
static bool is_connectors_own(const struct edge_stream *s)
{
    return s->status == 502 && s->meta.source == RESPONSE_OF_CONNECTOR && !(s->packed && buffer_length(s->packed));
}

static void set_blocked(struct edge_stream *s, bool blocked)
{
    s->blocked = blocked;
    s->was_blocked |= blocked;
}

static void tell_trailers(struct edge_stream *s)
{
    if (!s->trailers.lines)
        return;
    s->user_ops->response_trailers(s->user, trailers_kept(&s->trailers));
    trailers_clear(buffers_of(s), &s->trailers);
}

static bool give_head(struct edge_stream *s)
{
    struct edge_worker *w = s->connection->worker;
    struct http_message message;
    size_t taken = 0;
    bool last;
    const char *wrong = build_head(s, &w->head, w->text, sizeof w->text);
    if (!wrong) {
        enum http_parse_error error = http_response_rules(&w->head, w->text, s->method, s->upgrade, &message);
        wrong = error ? http_error_text(error) : NULL;
    }
    if (wrong) {
        tell_failure(s, STAGE_SENT, REASON_MALFORMED, wrong);
        return false;
    }
    s->head_given = true;
    buffer_give(buffers_of(s), s->packed);
    s->packed = NULL;
    struct slice body = first_piece(s, &last);
    if (message.body == BODY_NONE && !message.upgrade_websocket) {
        body.n = 0;
        last = true;
    }
    if (last)
        tell_trailers(s);
    enum exchange_hold hold = s->user_ops->response(s->user, &w->head, w->text, &message, body, last, &taken);
    set_blocked(s, hold == EXCHANGE_HOLDS && taken < body.n);
    return settle_piece(s, hold, taken);
}

/* One piece after the other, until the user has no room or nothing is left. */
static void give_body(struct edge_stream *s)
{
    while (s->first || s->ended) {
        size_t taken = 0;
        bool last;
        struct slice body = first_piece(s, &last);
        if (last)
            tell_trailers(s);
        enum exchange_hold hold = s->user_ops->response_body(s->user, body, last, &taken);
        set_blocked(s, hold == EXCHANGE_HOLDS && taken < body.n);
        if (!settle_piece(s, hold, taken) || s->blocked || (last && !body.n))
            return;
    }
    /* Nothing more will come of it. */
    if (s->closed)
        tell_failure(s, STAGE_RESPONSE, s->reason == REASON_NONE ? REASON_TRUNCATED : s->reason, "the stream was reset in the middle of a body");
}

void edge_stream_deliver(struct edge_stream *s)
{
    if (!s->user) {
        stream_free(s);
        return;
    }
    if (s->window_moved) {
        s->window_moved = s->out_full = false;
        if (s->user_ops->writable(s->user) == EXCHANGE_LET_GO) {
            let_go(s);
            return;
        }
    }
    if (s->refused) {
        tell_failure(s, STAGE_NOT_CONNECTED, REASON_CONNECTION_LOST, "the connector refused the stream");
        return;
    }
    if (s->oversize) {
        tell_failure(s, stage_of(s), REASON_MALFORMED,
                     s->has_head ? "the response's trailers are larger than 64 KiB" : "the response's head is larger than 48 KiB");
        return;
    }
    if (s->has_head && !s->head_given && is_connectors_own(s)) {
        tell_failure(s, STAGE_RESPONSE, REASON_ORIGIN_UNREACHABLE, NULL);
        return;
    }
    if (s->has_head && !s->head_given && !give_head(s))
        return;
    if (s->head_given) {
        if (!s->blocked && (s->first || s->ended || s->closed))
            give_body(s);
        return;
    }
    if (s->closed)
        tell_failure(s, stage_of(s), s->reason == REASON_NONE ? REASON_RESET : s->reason, "the stream was reset before a response");
}

/* --- an exchange of this worker --- */

static enum exchange_hold exchange_writable(void *user)
{
    return exchange_upstream_writable(user);
}

static void exchange_failed(void *user, enum upstream_stage stage, enum reason reason, const char *detail)
{
    exchange_upstream_failed(user, stage, reason, detail);
}

static enum exchange_hold exchange_responds(void *user, struct http_head *head, const char *base, const struct http_message *message, struct slice body,
                                            bool end, size_t *taken)
{
    return exchange_response(user, head, base, message, body, end, taken);
}

static enum exchange_hold exchange_responds_more(void *user, struct slice body, bool end, size_t *taken)
{
    return exchange_response_body(user, body, end, taken);
}

static struct slice exchange_has_trailers(void *user)
{
    return exchange_request_trailers(user);
}

static void exchange_gets_trailers(void *user, struct slice lines)
{
    exchange_add_response_trailers(user, lines);
}

static enum exchange_hold exchange_suspects(void *user)
{
    return exchange_upstream_suspect(user);
}

const struct stream_user_ops exchange_stream_user = {
    .writable = exchange_writable,
    .failed = exchange_failed,
    .response = exchange_responds,
    .response_body = exchange_responds_more,
    .request_trailers = exchange_has_trailers,
    .response_trailers = exchange_gets_trailers,
    .suspect = exchange_suspects,
};
