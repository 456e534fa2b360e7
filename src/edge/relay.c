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

struct relay_front;
struct relay_back;

struct piece { /* payload in a message that waits to be taken */
    struct list link;
    size_t n, taken;
    bool last;
    char bytes[];
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
    RELAY_OPEN, RELAY_BODY, RELAY_CREDIT, RELAY_CLOSE,                                /* to the back */
    RELAY_HEAD, RELAY_DATA, RELAY_ROOM, RELAY_FAILED, RELAY_SUSPECT, RELAY_CLOSED, /* to the front */
    RELAY_SELF                                                                         /* the front to itself */
};

struct relay_message {
    struct message message;
    enum relay_kind kind;
    struct relay_front *front;
    struct relay_back *back;
    size_t n;                   /* CREDIT, ROOM */
    bool end;
    enum upstream_stage stage;
    enum reason reason;
    char detail[96];
    void *body;                 /* piece, relay_request or relay_response */
};

struct relay_front {
    struct list link;           /* on the worker's relays */
    void (*free_it)(struct list *);
    struct edge_worker *worker, *to;
    struct exchange *exchange;  /* NULL: let go */
    struct relay_back *back;    /* the other worker's from OPEN on */
    size_t credit;              /* for the request's body */
    bool full;                  /* the exchange waits for room */
    bool opened, open_failed, head_given;
    bool self_posted, over;     /* over: to be freed when our own message comes back */
    struct relay_response *response;
    struct list pieces;         /* of the response's body */
    struct relay_message self;  /* an event of our own */
};

struct relay_back {
    struct list link;
    void (*free_it)(struct list *);
    struct edge_worker *worker, *from;
    struct relay_front *front;
    struct edge_stream *stream; /* NULL: over */
    uint64_t line;
    size_t credit;              /* for the response's body */
    struct list pieces;         /* of the request's body */
};

static void handle(struct message *m, void *owner);

static struct relay_message *message_new(enum relay_kind kind, struct relay_front *front, struct relay_back *back)
{
    struct relay_message *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->message.handle = handle;
    list_init(&m->message.link);
    m->kind = kind;
    m->front = front;
    m->back = back;
    return m;
}

static bool post(struct edge_worker *to, struct relay_message *m)
{
    if (m)
        mailbox_post(&to->mailbox, &m->message);
    return m != NULL;
}

static struct piece *piece_new(struct slice bytes, bool last)
{
    struct piece *p = malloc(sizeof *p + bytes.n);
    if (!p)
        return NULL;
    list_init(&p->link);
    p->n = bytes.n;
    p->taken = 0;
    p->last = last;
    if (bytes.n)
        memcpy(p->bytes, bytes.p, bytes.n);
    return p;
}

static void free_pieces(struct list *pieces)
{
    struct list *node;
    while ((node = list_pop_front(pieces)))
        free(CONTAINER_OF(node, struct piece, link));
}

/* --- the front --- */

static void front_free(struct list *link)
{
    struct relay_front *f = CONTAINER_OF(link, struct relay_front, link);
    list_remove(&f->link);
    free_pieces(&f->pieces);
    free(f->response);
    free(f);
}

static void front_end(struct relay_front *f)
{
    if (f->self_posted)
        f->over = true;
    else
        front_free(&f->link);
}

/* The exchange is done with it; the back hears of that, and answers for both to go. */
static void front_let_go(struct relay_front *f)
{
    f->exchange = NULL;
    free_pieces(&f->pieces);
    if (f->opened) {
        if (!post(f->to, message_new(RELAY_CLOSE, f, f->back)))
            log_error("edge", "out of memory: a request that was handed over is not closed");
        return;
    }
    free(f->back);
    front_end(f);
}

static void front_fail(struct relay_front *f, enum upstream_stage stage, enum reason reason, const char *detail)
{
    struct exchange *ex = f->exchange;
    if (!ex)
        return;
    front_let_go(f);
    exchange_upstream_failed(ex, stage, reason, detail);
}

static void back_free(struct list *link);

void *relay_front_new(struct edge_worker *w, struct exchange *ex, unsigned to, uint64_t line)
{
    struct relay_front *f = calloc(1, sizeof *f);
    struct relay_back *b = f ? calloc(1, sizeof *b) : NULL;
    if (!b) {
        free(f);
        return NULL;
    }
    *f = (struct relay_front){ .free_it = front_free, .worker = w, .to = w->options.workers[to], .exchange = ex, .back = b, .credit = REQUEST_CREDIT };
    list_init(&f->pieces);
    list_push_back(&w->relays, &f->link);
    *b = (struct relay_back){ .free_it = back_free, .worker = f->to, .from = w, .front = f, .line = line, .credit = RESPONSE_CREDIT };
    list_init(&b->pieces);
    list_init(&b->link);
    return f;
}

/* Goes on with it from an event of our own. */
static void post_self(struct relay_front *f)
{
    if (f->self_posted)
        return;
    f->self_posted = true;
    f->self = (struct relay_message){ .message.handle = handle, .kind = RELAY_SELF, .front = f };
    list_init(&f->self.message.link);
    mailbox_post(&f->worker->mailbox, &f->self.message);
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
    if (body.n > f->credit) {
        body.n = f->credit;
        end = false;
        f->full = true;
    }
    if (!body.n && !end)
        return 0;
    struct relay_message *m = message_new(RELAY_BODY, f, f->back);
    struct piece *p = m ? piece_new(body, end) : NULL;
    if (!p) {
        free(m);
        f->full = true; /* nothing was taken: tried again at the next sign of room */
        post_self(f);
        return 0;
    }
    m->body = p;
    f->credit -= body.n;
    post(f->to, m);
    return (ssize_t)body.n;
}

static ssize_t front_send_head(void *upstream, const struct message_out *out, struct slice body, bool end)
{
    struct relay_front *f = upstream;
    struct relay_message *m = message_new(RELAY_OPEN, f, f->back);
    if (m && !(m->body = copy_request(out))) {
        free(m);
        m = NULL;
    }
    if (m)
        m->end = end && !body.n;
    f->opened = post(f->to, m);
    if (!f->opened) {
        f->open_failed = true;
        post_self(f);
        return (ssize_t)body.n;
    }
    return end && !body.n ? 0 : front_send_body(f, body, end);
}

static void front_want_body(void *upstream)
{
    post_self(upstream);
}

static void front_abort(void *upstream)
{
    front_let_go(upstream);
}

const struct upstream_ops relay_front_ops = {
    .send_head = front_send_head,
    .send_body = front_send_body,
    .want_body = front_want_body,
    .abort = front_abort,
};

static void give_credit(struct relay_front *f, size_t n)
{
    struct relay_message *m = n ? message_new(RELAY_CREDIT, f, f->back) : NULL;
    if (m)
        m->n = n;
    post(f->to, m);
}

/* What has come, head first, until the exchange has no room. */
static void front_give(struct relay_front *f)
{
    while (f->exchange && (!list_empty(&f->pieces) || (f->response && !f->head_given))) {
        struct piece *p = list_empty(&f->pieces) ? NULL : CONTAINER_OF(f->pieces.next, struct piece, link);
        struct slice body = p ? (struct slice){ p->bytes + p->taken, p->n - p->taken } : (struct slice){ NULL, 0 };
        bool last = p && p->last;
        size_t taken = 0;
        enum exchange_hold hold;
        if (!f->head_given) {
            if (!p)
                return; /* the first piece is on its way: one write for both */
            f->head_given = true;
            hold = exchange_response(f->exchange, &f->response->head, f->response->text, &f->response->message, body, last, &taken);
        } else {
            hold = exchange_response_body(f->exchange, body, last, &taken);
        }
        if (hold == EXCHANGE_LET_GO) {
            front_let_go(f);
            return;
        }
        p->taken += taken;
        give_credit(f, taken);
        if (p->taken < p->n)
            return;
        list_remove(&p->link);
        free(p);
    }
}

static void offer_room(struct relay_front *f)
{
    if (!f->exchange || !f->full || !f->credit)
        return;
    f->full = false;
    if (exchange_upstream_writable(f->exchange) == EXCHANGE_LET_GO)
        front_let_go(f);
}

static void front_goes_on(struct relay_front *f)
{
    f->self_posted = false;
    if (f->over) {
        front_free(&f->link);
    } else if (f->open_failed) {
        front_fail(f, STAGE_NOT_CONNECTED, REASON_INTERNAL, "out of memory");
    } else {
        front_give(f);
        if (f->exchange)
            offer_room(f);
    }
}

static void front_receives(struct relay_front *f, struct relay_message *m)
{
    switch (m->kind) {
    case RELAY_HEAD:
        f->response = m->body;
        m->body = NULL;
        return;
    case RELAY_DATA:
        if (f->exchange) {
            list_push_back(&f->pieces, &((struct piece *)m->body)->link);
            m->body = NULL;
            front_give(f);
        }
        return;
    case RELAY_ROOM:
        f->credit += m->n;
        offer_room(f);
        return;
    case RELAY_FAILED: front_fail(f, m->stage, m->reason, m->detail); return;
    case RELAY_SUSPECT:
        if (f->exchange && !f->head_given && exchange_upstream_suspect(f->exchange) == EXCHANGE_LET_GO)
            front_let_go(f);
        return;
    case RELAY_CLOSED: front_end(f); return;
    case RELAY_SELF: front_goes_on(f); return;
    default: return;
    }
}

/* --- the back --- */

static void back_free(struct list *link)
{
    struct relay_back *b = CONTAINER_OF(link, struct relay_back, link);
    list_remove(&b->link);
    free_pieces(&b->pieces);
    free(b);
}

static void tell_failed(struct relay_back *b, enum upstream_stage stage, enum reason reason, const char *detail)
{
    struct relay_message *m = message_new(RELAY_FAILED, b->front, b);
    if (m) {
        m->stage = stage;
        m->reason = reason;
        snprintf(m->detail, sizeof m->detail, "%s", detail ? detail : "");
    }
    post(b->from, m);
}

static enum exchange_hold back_writable(void *user);

static void back_failed(void *user, enum upstream_stage stage, enum reason reason, const char *detail)
{
    struct relay_back *b = user;
    b->stream = NULL;
    tell_failed(b, stage, reason, detail);
}

/* Passes on as much as there is credit for. */
static enum exchange_hold pass_data(struct relay_back *b, struct slice body, bool end, size_t *taken)
{
    if (body.n > b->credit) {
        body.n = b->credit;
        end = false;
    }
    *taken = 0;
    if (!body.n && !end)
        return EXCHANGE_HOLDS;
    struct relay_message *m = message_new(RELAY_DATA, b->front, b);
    struct piece *p = m ? piece_new(body, end) : NULL;
    if (!p) {
        free(m);
        return EXCHANGE_HOLDS;
    }
    m->body = p;
    b->credit -= body.n;
    post(b->from, m);
    *taken = body.n;
    if (!end)
        return EXCHANGE_HOLDS;
    b->stream = NULL;
    return EXCHANGE_LET_GO;
}

static enum exchange_hold back_response(void *user, struct http_head *head, const char *base, const struct http_message *message, struct slice body, bool end,
                                        size_t *taken)
{
    struct relay_back *b = user;
    struct relay_message *m = message_new(RELAY_HEAD, b->front, b);
    struct relay_response *r = m ? malloc(sizeof *r + head->length) : NULL;
    if (!r) {
        free(m);
        b->stream = NULL;
        tell_failed(b, STAGE_SENT, REASON_INTERNAL, "out of memory");
        return EXCHANGE_LET_GO;
    }
    memcpy(&r->head, head, offsetof(struct http_head, fields) + head->n_fields * sizeof *head->fields);
    r->message = *message;
    memcpy(r->text, base, head->length);
    m->body = r;
    post(b->from, m);
    if (!body.n && !end) { /* the front waits for a piece with the head */
        if ((m = message_new(RELAY_DATA, b->front, b)) && !(m->body = piece_new(body, false))) {
            free(m);
            m = NULL;
        }
        post(b->from, m);
        *taken = 0;
        return EXCHANGE_HOLDS;
    }
    return pass_data(b, body, end, taken);
}

static enum exchange_hold back_response_body(void *user, struct slice body, bool end, size_t *taken)
{
    return pass_data(user, body, end, taken);
}

static enum exchange_hold back_suspect(void *user)
{
    struct relay_back *b = user;
    post(b->from, message_new(RELAY_SUSPECT, b->front, b));
    return EXCHANGE_HOLDS;
}

static const struct stream_user_ops back_user = {
    .writable = back_writable,
    .failed = back_failed,
    .response = back_response,
    .response_body = back_response_body,
    .suspect = back_suspect,
};

/* Gives the stream what has come of the request's body, and its room back to the front. */
static void back_send(struct relay_back *b)
{
    size_t given = 0;
    while (b->stream && !list_empty(&b->pieces)) {
        struct piece *p = CONTAINER_OF(b->pieces.next, struct piece, link);
        ssize_t n = edge_stream_ops.send_body(b->stream, (struct slice){ p->bytes + p->taken, p->n - p->taken }, p->last);
        if (n < 0)
            break;
        p->taken += (size_t)n;
        given += (size_t)n;
        if (p->taken < p->n)
            break;
        list_remove(&p->link);
        free(p);
    }
    struct relay_message *m = given ? message_new(RELAY_ROOM, b->front, b) : NULL;
    if (m)
        m->n = given;
    post(b->from, m);
}

static enum exchange_hold back_writable(void *user)
{
    back_send(user);
    return EXCHANGE_HOLDS;
}

static struct edge_connection *connection_by_line(struct edge_worker *w, uint64_t line)
{
    struct edge_connection *c;
    HASH_FIND(by_line, w->by_line, &line, sizeof line, c);
    return c;
}

static void back_open(struct relay_back *b, struct relay_message *m)
{
    struct edge_worker *w = b->worker;
    struct edge_connection *c = connection_by_line(w, b->line);
    enum reason why = REASON_CONNECTION_LOST;
    struct relay_request *r = m->body;
    list_push_back(&w->relays, &b->link);
    b->stream = c ? edge_stream_new(c, &back_user, b, &why) : NULL;
    if (b->stream)
        edge_stream_ops.send_head(b->stream, &r->out, (struct slice){ NULL, 0 }, m->end);
    else
        tell_failed(b, STAGE_NOT_CONNECTED, why, "the connection is gone");
}

static void back_receives(struct relay_back *b, struct relay_message *m)
{
    switch (m->kind) {
    case RELAY_OPEN: back_open(b, m); return;
    case RELAY_BODY:
        list_push_back(&b->pieces, &((struct piece *)m->body)->link);
        m->body = NULL;
        back_send(b);
        return;
    case RELAY_CREDIT:
        b->credit += m->n;
        if (b->stream)
            edge_stream_ops.want_body(b->stream);
        return;
    case RELAY_CLOSE:
        if (b->stream)
            edge_stream_ops.abort(b->stream);
        b->stream = NULL;
        post(b->from, message_new(RELAY_CLOSED, b->front, NULL));
        back_free(&b->link);
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
    struct edge_worker *w = owner;
    bool self = m->kind == RELAY_SELF; /* part of the front, which may be gone afterwards */
    timers_refresh(&w->timers);
    if (is_for_front(m->kind))
        front_receives(m->front, m);
    else
        back_receives(m->back, m);
    if (self)
        return;
    free(m->body);
    free(m);
}

void relay_free_all(struct edge_worker *w)
{
    LIST_FOR_EACH(node, &w->relays)
    {
        /* both halves begin alike */
        struct relay_front *either = CONTAINER_OF(node, struct relay_front, link);
        either->free_it(node);
    }
}
