#include "edge/relay.h"

#include "base/log.h"
#include "edge/connection.h"
#include "edge/stream.h"

#include <stdio.h>
#include <string.h>

enum {
    REQUEST_CREDIT = 64 * 1024,   /* of a body, on its way to the back or waiting there */
    RESPONSE_CREDIT = 256 * 1024, /* the same on the way to the front */
};

struct piece { /* payload in a message that waits to be taken */
    struct list link;
    size_t n, taken;
    bool last;
    size_t n_trailers;
    char bytes[]; /* the payload, then lines of trailers */
};

/* --- messages --- */

struct relay_request { /* a message_out that stands on its own */
    struct message_out out;
    struct http_head head;
    struct added_field added[];
    /* the added fields' texts, then the head's bytes */
};

struct relay_response {
    struct http_head head;
    struct http_message message;
    char text[];
};

enum relay_kind {
    RELAY_OPEN, RELAY_BODY, RELAY_CREDIT, RELAY_CLOSE,               /* to the back */
    RELAY_HEAD, RELAY_DATA, RELAY_ROOM, RELAY_FAILED, RELAY_SUSPECT, /* to the front */
    RELAY_SELF                                                       /* the front to itself */
};

struct relay_message {
    struct message message;
    enum relay_kind kind;
    struct relay *relay;        /* one reference while it is on its way */
    size_t n;                   /* CREDIT, ROOM */
    bool end;                   /* OPEN: nothing follows */
    enum upstream_stage stage;
    enum reason reason;
    char detail[96];
    void *head;                 /* OPEN: relay_request; HEAD: relay_response */
    struct piece *piece;        /* BODY, DATA; HEAD: the first of the response's body, an empty one perhaps */
};

/* --- both halves --- */

struct relay_front {
    struct list link;           /* on the worker's fronts */
    struct edge_worker *worker;
    struct exchange *exchange;  /* NULL: let go */
    struct address peer;        /* of the connection */
    size_t credit;              /* for the request's body */
    size_t taken;               /* of the response's, not told the back yet */
    bool full;                  /* the exchange waits for room */
    bool opened, open_failed, head_given;
    bool back_is_over;          /* it has said its last */
    bool self_posted;
    struct relay_response *response;
    struct list pieces;         /* of the response's body */
};

struct relay_back {
    struct list link;           /* on the worker's backs */
    struct edge_worker *worker;
    struct edge_stream *stream; /* NULL: over */
    bool over;
    uint64_t line;
    size_t credit;              /* for the response's body */
    size_t taken;               /* of the request's, not told the front yet */
    struct list pieces;         /* of the request's body */
    struct piece *trailers;     /* of the response, for its last piece; NULL: none */
};

/* Each half is for its worker's thread alone. */
struct relay {
    _Atomic unsigned refs;      /* the front, the back, and each message on its way */
    struct relay_front front;
    struct relay_message open, answer, self; /* the first to the back and from it, and an event of the front's own */
    struct relay_back back;
};

static struct relay *relay_of_front(const struct relay_front *f)
{
    return CONTAINER_OF(f, struct relay, front);
}

static struct relay *relay_of_back(const struct relay_back *b)
{
    return CONTAINER_OF(b, struct relay, back);
}

static struct piece *piece_new(struct slice bytes, bool last, struct slice trailers)
{
    struct piece *p = malloc(sizeof *p + bytes.n + trailers.n);
    if (!p)
        return NULL;
    list_init(&p->link);
    p->n = bytes.n;
    p->taken = 0;
    p->last = last;
    p->n_trailers = trailers.n;
    if (bytes.n)
        memcpy(p->bytes, bytes.p, bytes.n);
    if (trailers.n)
        memcpy(p->bytes + bytes.n, trailers.p, trailers.n);
    return p;
}

static struct slice trailers_of(const struct piece *p)
{
    return (struct slice){ p->bytes + p->n, p->n_trailers };
}

static struct piece *first_of(struct list *pieces)
{
    return CONTAINER_OF(pieces->next, struct piece, link);
}

static void drop_first(struct list *pieces)
{
    free(CONTAINER_OF(list_pop_front(pieces), struct piece, link));
}

static void free_pieces(struct list *pieces)
{
    while (!list_empty(pieces))
        drop_first(pieces);
}

/* By any thread: nobody mentions it any more. */
static void relay_unref(struct relay *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    free_pieces(&r->front.pieces);
    free_pieces(&r->back.pieces);
    free(r->front.response);
    free(r->back.trailers);
    free(r);
}

static void handle(struct message *m, void *owner);

static bool is_part_of_relay(const struct relay_message *m)
{
    return m == &m->relay->open || m == &m->relay->answer || m == &m->relay->self;
}

static void message_init(struct relay_message *m, struct relay *r, enum relay_kind kind)
{
    m->message.handle = handle;
    list_init(&m->message.link);
    m->kind = kind;
    m->relay = r;
}

static struct relay_message *message_new(struct relay *r, enum relay_kind kind)
{
    struct relay_message *m = calloc(1, sizeof *m);
    if (m)
        message_init(m, r, kind);
    return m;
}

static void post(struct edge_worker *to, struct relay_message *m)
{
    atomic_fetch_add_explicit(&m->relay->refs, 1, memory_order_relaxed);
    mailbox_post(&to->mailbox, &m->message);
}

/* What was taken is told in portions: as long as the other side is far from its limit it need not know. */
static void tell_taken(struct edge_worker *to, struct relay *r, enum relay_kind kind, size_t *taken, size_t limit)
{
    struct relay_message *m = *taken >= limit / 4 ? message_new(r, kind) : NULL;
    if (!m)
        return;
    m->n = *taken;
    *taken = 0;
    post(to, m);
}

/* --- the front --- */

static void front_let_go(struct relay_front *f)
{
    struct relay *r = relay_of_front(f);
    f->exchange = NULL;
    list_remove(&f->link);
    if (f->opened && !f->back_is_over) {
        struct relay_message *m = message_new(r, RELAY_CLOSE);
        if (m)
            post(r->back.worker, m);
        else
            log_error("edge", "out of memory: a request that was handed over is not closed");
    }
    if (!f->opened) /* the back will never be */
        relay_unref(r);
    relay_unref(r);
}

static void front_fail(struct relay_front *f, enum upstream_stage stage, enum reason reason, const char *detail)
{
    struct exchange *ex = f->exchange;
    front_let_go(f);
    exchange_upstream_failed(ex, stage, reason, detail);
}

void *relay_front_new(struct edge_worker *w, struct exchange *ex, const struct tunnel_line *line)
{
    struct relay *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    atomic_init(&r->refs, 2);
    r->front = (struct relay_front){ .worker = w, .exchange = ex, .peer = line->peer, .credit = REQUEST_CREDIT };
    r->back = (struct relay_back){ .worker = w->options.workers[atomic_load_explicit(&line->worker, memory_order_relaxed)], .line = line->id,
                                   .credit = RESPONSE_CREDIT };
    list_init(&r->front.pieces);
    list_init(&r->back.pieces);
    list_init(&r->back.link);
    list_push_back(&w->relay_fronts, &r->front.link);
    return &r->front;
}

/* Goes on with it from an event of our own. */
static void post_self(struct relay_front *f)
{
    struct relay *r = relay_of_front(f);
    if (f->self_posted)
        return;
    f->self_posted = true;
    message_init(&r->self, r, RELAY_SELF);
    post(f->worker, &r->self);
}

static void *copy_text(char **at, struct slice s)
{
    char *p = *at;
    if (s.n)
        memcpy(p, s.p, s.n);
    *at += s.n;
    return p;
}

static struct relay_request *copy_request(const struct message_out *out)
{
    size_t texts = out->head->length + out->method.n + out->path.n + out->host.n;
    for (size_t i = 0; i < out->n_added; i++)
        texts += out->added[i].name.n + out->added[i].value.n;
    struct relay_request *r = malloc(sizeof *r + out->n_added * sizeof *r->added + texts);
    if (!r)
        return NULL;
    char *at = (char *)&r->added[out->n_added];
    r->out = *out;
    memcpy(&r->head, out->head, offsetof(struct http_head, fields) + out->head->n_fields * sizeof *out->head->fields);
    r->out.head = &r->head;
    r->out.base = copy_text(&at, (struct slice){ out->base, out->head->length });
    r->out.method.p = copy_text(&at, out->method);
    r->out.path.p = copy_text(&at, out->path);
    r->out.host.p = copy_text(&at, out->host);
    for (size_t i = 0; i < out->n_added; i++) {
        r->added[i].name = (struct slice){ copy_text(&at, out->added[i].name), out->added[i].name.n };
        r->added[i].value = (struct slice){ copy_text(&at, out->added[i].value), out->added[i].value.n };
    }
    r->out.added = r->added;
    return r;
}

static ssize_t front_send_body(void *upstream, struct slice body, bool end)
{
    struct relay_front *f = upstream;
    struct relay *r = relay_of_front(f);
    if (body.n > f->credit) {
        body.n = f->credit;
        end = false;
        f->full = true;
    }
    if (!body.n && !end)
        return 0;
    struct slice trailers = end ? exchange_request_trailers(f->exchange) : (struct slice){ NULL, 0 };
    struct relay_message *m = message_new(r, RELAY_BODY);
    if (!m || !(m->piece = piece_new(body, end, trailers))) {
        free(m);
        f->full = true; /* nothing was taken: tried again at the next sign of room */
        post_self(f);
        return 0;
    }
    f->credit -= body.n;
    post(r->back.worker, m);
    return (ssize_t)body.n;
}

static ssize_t front_send_head(void *upstream, const struct message_out *out, struct slice body, bool end)
{
    struct relay_front *f = upstream;
    struct relay *r = relay_of_front(f);
    struct relay_request *request = copy_request(out);
    if (!request) {
        f->open_failed = true;
        post_self(f);
        return (ssize_t)body.n;
    }
    message_init(&r->open, r, RELAY_OPEN);
    r->open.head = request;
    r->open.end = end && !body.n && !exchange_request_trailers(f->exchange).n;
    f->opened = true;
    post(r->back.worker, &r->open);
    return r->open.end ? 0 : front_send_body(f, body, end);
}

static void front_want_body(void *upstream)
{
    post_self(upstream);
}

static void front_abort(void *upstream)
{
    front_let_go(upstream);
}

static void front_describe(const void *upstream, char *address, size_t size, bool *reused)
{
    const struct relay_front *f = upstream;
    char text[ADDRESS_TEXT_SIZE];
    address_format(&f->peer, text);
    snprintf(address, size, "%s", text);
    *reused = true;
}

const struct upstream_ops relay_front_ops = {
    .send_head = front_send_head,
    .send_body = front_send_body,
    .want_body = front_want_body,
    .abort = front_abort,
    .describe = front_describe,
};

static enum exchange_hold give_piece(struct relay_front *f, struct piece *p, size_t *taken)
{
    struct slice body = { p->bytes + p->taken, p->n - p->taken };
    if (p->n_trailers)
        exchange_add_response_trailers(f->exchange, trailers_of(p));
    p->n_trailers = 0; /* it may be offered again */
    if (f->head_given)
        return exchange_response_body(f->exchange, body, p->last, taken);
    f->head_given = true;
    return exchange_response(f->exchange, &f->response->head, f->response->text, &f->response->message, body, p->last, taken);
}

/* What has come, until the exchange has no room. */
static void front_give(struct relay_front *f)
{
    while (!list_empty(&f->pieces)) {
        struct piece *p = first_of(&f->pieces);
        size_t taken = 0;
        if (give_piece(f, p, &taken) == EXCHANGE_LET_GO) {
            front_let_go(f);
            return;
        }
        p->taken += taken;
        f->taken += taken;
        if (!f->back_is_over)
            tell_taken(relay_of_front(f)->back.worker, relay_of_front(f), RELAY_CREDIT, &f->taken, RESPONSE_CREDIT);
        if (p->taken < p->n)
            return;
        drop_first(&f->pieces);
    }
}

static void front_takes_piece(struct relay_front *f, struct relay_message *m)
{
    list_push_back(&f->pieces, &m->piece->link);
    f->back_is_over = m->piece->last;
    m->piece = NULL;
    front_give(f);
}

static void offer_room(struct relay_front *f)
{
    if (!f->full || !f->credit)
        return;
    f->full = false;
    if (exchange_upstream_writable(f->exchange) == EXCHANGE_LET_GO)
        front_let_go(f);
}

static void front_goes_on(struct relay_front *f)
{
    if (f->open_failed) {
        front_fail(f, STAGE_NOT_CONNECTED, REASON_INTERNAL, "out of memory");
        return;
    }
    front_give(f);
    if (f->exchange)
        offer_room(f);
}

static void front_receives(struct relay_front *f, struct relay_message *m)
{
    if (m->kind == RELAY_SELF)
        f->self_posted = false;
    if (!f->exchange)
        return;
    switch (m->kind) {
    case RELAY_HEAD:
        f->response = m->head;
        m->head = NULL;
        front_takes_piece(f, m);
        return;
    case RELAY_DATA: front_takes_piece(f, m); return;
    case RELAY_ROOM:
        f->credit += m->n;
        offer_room(f);
        return;
    case RELAY_FAILED:
        f->back_is_over = true;
        front_fail(f, m->stage, m->reason, m->detail);
        return;
    case RELAY_SUSPECT:
        if (!f->head_given && exchange_upstream_suspect(f->exchange) == EXCHANGE_LET_GO)
            front_let_go(f);
        return;
    case RELAY_SELF: front_goes_on(f); return;
    default: return;
    }
}

/* --- the back --- */

/* It has said its last, or is not wanted any more. What still comes for it is dropped. */
static void back_end(struct relay_back *b)
{
    b->stream = NULL;
    b->over = true;
    list_remove(&b->link);
    relay_unref(relay_of_back(b));
}

static struct relay_message *answer_new(struct relay_back *b, enum relay_kind kind)
{
    struct relay *r = relay_of_back(b);
    if (r->answer.relay)
        return message_new(r, kind);
    message_init(&r->answer, r, kind);
    return &r->answer;
}

static void back_fail(struct relay_back *b, enum upstream_stage stage, enum reason reason, const char *detail)
{
    struct relay_message *m = answer_new(b, RELAY_FAILED);
    if (m) {
        m->stage = stage;
        m->reason = reason;
        snprintf(m->detail, sizeof m->detail, "%s", detail ? detail : "");
        post(relay_of_back(b)->front.worker, m);
    } else {
        log_error("edge", "out of memory: the end of a request that was handed over is not told");
    }
    back_end(b);
}

static void back_failed(void *user, enum upstream_stage stage, enum reason reason, const char *detail)
{
    back_fail(user, stage, reason, detail);
}

/* As much of it as there is credit for; NULL: memory is out. */
static struct piece *next_piece(struct relay_back *b, struct slice body, bool end)
{
    bool all = body.n <= b->credit;
    struct slice trailers = end && all && b->trailers ? trailers_of(b->trailers) : (struct slice){ NULL, 0 };
    struct piece *p = piece_new((struct slice){ body.p, all ? body.n : b->credit }, end && all, trailers);
    if (p)
        b->credit -= p->n;
    return p;
}

static enum exchange_hold pass_on(struct relay_back *b, struct relay_message *m, size_t *taken)
{
    bool last = m->piece->last;
    *taken = m->piece->n;
    post(relay_of_back(b)->front.worker, m);
    if (!last)
        return EXCHANGE_HOLDS;
    back_end(b);
    return EXCHANGE_LET_GO;
}

static enum exchange_hold back_is_out_of_memory(struct relay_back *b, enum upstream_stage stage)
{
    back_fail(b, stage, REASON_INTERNAL, "out of memory");
    return EXCHANGE_LET_GO;
}

static struct relay_response *copy_response(const struct http_head *head, const char *base, const struct http_message *message)
{
    struct relay_response *r = malloc(sizeof *r + head->length);
    if (!r)
        return NULL;
    memcpy(&r->head, head, offsetof(struct http_head, fields) + head->n_fields * sizeof *head->fields);
    r->message = *message;
    memcpy(r->text, base, head->length);
    return r;
}

/* With a piece of the body in any case: one message, and one write to the client. */
static enum exchange_hold back_response(void *user, struct http_head *head, const char *base, const struct http_message *message, struct slice body, bool end,
                                        size_t *taken)
{
    struct relay_back *b = user;
    struct relay_response *response = copy_response(head, base, message);
    struct piece *piece = response ? next_piece(b, body, end) : NULL;
    if (!piece) {
        free(response);
        return back_is_out_of_memory(b, STAGE_SENT);
    }
    struct relay_message *m = &relay_of_back(b)->answer;
    message_init(m, relay_of_back(b), RELAY_HEAD);
    m->head = response;
    m->piece = piece;
    return pass_on(b, m, taken);
}

static enum exchange_hold back_response_body(void *user, struct slice body, bool end, size_t *taken)
{
    struct relay_back *b = user;
    *taken = 0;
    if (body.n && !b->credit)
        return EXCHANGE_HOLDS;
    struct relay_message *m = message_new(relay_of_back(b), RELAY_DATA);
    if (!m || !(m->piece = next_piece(b, body, end))) {
        free(m);
        return back_is_out_of_memory(b, STAGE_RESPONSE);
    }
    return pass_on(b, m, taken);
}

static struct slice back_request_trailers(void *user)
{
    const struct relay_back *b = user;
    return list_empty(&b->pieces) ? (struct slice){ NULL, 0 } : trailers_of(CONTAINER_OF(b->pieces.next, const struct piece, link));
}

static void back_response_trailers(void *user, struct slice lines)
{
    struct relay_back *b = user;
    free(b->trailers);
    b->trailers = piece_new((struct slice){ NULL, 0 }, true, lines);
}

static enum exchange_hold back_suspect(void *user)
{
    struct relay_back *b = user;
    struct relay_message *m = message_new(relay_of_back(b), RELAY_SUSPECT);
    if (m)
        post(relay_of_back(b)->front.worker, m);
    return EXCHANGE_HOLDS;
}

/* Gives the stream what has come of the request's body, and its room back to the front. */
static void back_send(struct relay_back *b)
{
    while (!list_empty(&b->pieces)) {
        struct piece *p = first_of(&b->pieces);
        ssize_t n = edge_stream_ops.send_body(b->stream, (struct slice){ p->bytes + p->taken, p->n - p->taken }, p->last);
        if (n < 0)
            break;
        p->taken += (size_t)n;
        b->taken += (size_t)n;
        if (p->taken < p->n)
            break;
        drop_first(&b->pieces);
    }
    tell_taken(relay_of_back(b)->front.worker, relay_of_back(b), RELAY_ROOM, &b->taken, REQUEST_CREDIT);
}

static enum exchange_hold back_writable(void *user)
{
    back_send(user);
    return EXCHANGE_HOLDS;
}

static const struct stream_user_ops back_user = {
    .writable = back_writable,
    .failed = back_failed,
    .response = back_response,
    .response_body = back_response_body,
    .request_trailers = back_request_trailers,
    .response_trailers = back_response_trailers,
    .suspect = back_suspect,
};

static void back_open(struct relay_back *b, const struct relay_message *m)
{
    struct edge_worker *w = b->worker;
    struct edge_connection *c;
    enum reason why = REASON_CONNECTION_LOST;
    const struct relay_request *request = m->head;
    list_push_back(&w->relay_backs, &b->link);
    HASH_FIND(by_line, w->by_line, &b->line, sizeof b->line, c);
    b->stream = c ? edge_stream_new(c, &back_user, b, &why) : NULL;
    if (b->stream)
        edge_stream_ops.send_head(b->stream, &request->out, (struct slice){ NULL, 0 }, m->end);
    else
        back_fail(b, STAGE_NOT_CONNECTED, why, "the connection is gone");
}

static void back_receives(struct relay_back *b, struct relay_message *m)
{
    if (b->over)
        return;
    switch (m->kind) {
    case RELAY_OPEN: back_open(b, m); return;
    case RELAY_BODY:
        list_push_back(&b->pieces, &m->piece->link);
        m->piece = NULL;
        back_send(b);
        return;
    case RELAY_CREDIT:
        b->credit += m->n;
        edge_stream_ops.want_body(b->stream);
        return;
    case RELAY_CLOSE:
        edge_stream_ops.abort(b->stream);
        back_end(b);
        return;
    default: return;
    }
}

/* --- both --- */

static bool is_for_front(enum relay_kind kind)
{
    return kind >= RELAY_HEAD;
}

static void handle(struct message *message, void *owner)
{
    struct relay_message *m = CONTAINER_OF(message, struct relay_message, message);
    struct relay *r = m->relay;
    struct edge_worker *w = owner;
    if (w->ended) {
        if (m->kind == RELAY_OPEN)
            back_end(&r->back);
    } else {
        timers_refresh(&w->timers);
        if (is_for_front(m->kind))
            front_receives(&r->front, m);
        else
            back_receives(&r->back, m);
    }
    free(m->head);
    free(m->piece);
    if (!is_part_of_relay(m))
        free(m);
    relay_unref(r);
}

void relay_free_all(struct edge_worker *w)
{
    LIST_FOR_EACH(node, &w->relay_fronts)
    {
        struct relay_front *f = CONTAINER_OF(node, struct relay_front, link);
        f->exchange = NULL;
        list_remove(node);
        if (!f->opened)
            relay_unref(relay_of_front(f));
        relay_unref(relay_of_front(f));
    }
    LIST_FOR_EACH(back, &w->relay_backs)
        back_end(CONTAINER_OF(back, struct relay_back, link));
}
