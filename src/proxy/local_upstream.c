#include "proxy/local_upstream.h"

#include "proxy/exchange.h"

#include <stdlib.h>

enum call_state {
    CALL_RECEIVING, /* the request's body */
    CALL_RECEIVED,  /* the handler has to be called */
    CALL_HANDLING,  /* an answer is awaited */
    CALL_ANSWERING, /* the head is ready, or given; body follows */
};

struct local_call {
    struct worker *worker;
    struct exchange *exchange;
    struct soon soon;
    struct local_request request;
    struct text body;         /* the request's */
    struct text head, out;    /* the answer: its head, and the payload that was not taken yet, from out_taken on */
    size_t out_taken;
    void (*gone)(void *arg);
    void *gone_arg;
    uint8_t state;
    bool head_given;
    bool ended;               /* nothing will be added to the answer */
    bool too_large;
};

static void call_free(struct local_call *call)
{
    soon_cancel(&call->soon);
    text_clear(&call->body);
    text_clear(&call->head);
    text_clear(&call->out);
    free(call);
}

static void feed(struct local_call *call)
{
    worker_soon(call->worker, &call->soon);
}

/* --- the answer --- */

static struct slice waiting(const struct local_call *call)
{
    return (struct slice){ call->out.p + call->out_taken, call->out.n - call->out_taken };
}

static void mark_taken(struct local_call *call, size_t n)
{
    call->out_taken += n;
    if (call->out_taken == call->out.n) {
        call->out.n = 0;
        call->out_taken = 0;
    } else if (call->out_taken > LOCAL_STREAM_MAX / 2) {
        memmove(call->out.p, call->out.p + call->out_taken, call->out.n - call->out_taken);
        call->out.n -= call->out_taken;
        call->out_taken = 0;
    }
}

static enum exchange_hold give_head(struct local_call *call, size_t *taken)
{
    static const struct http_limits limits = { .size = BUFFER_LARGE, .count = HTTP_FIELDS_MAX };
    struct worker *w = call->worker;
    struct http_parser parser;
    struct http_message message;
    struct http_head *head = freelist_take(&w->heads_free);
    enum http_method method = call->request.method;
    bool well_formed = head != NULL;
    if (head) {
        http_parser_start(&parser, head);
        well_formed = http_parse_response(&parser, head, call->head.p, call->head.n, &limits) == HTTP_PARSE_DONE
            && http_response_rules(head, call->head.p, method, false, &message) == HTTP_ERROR_NONE;
    }
    if (!well_formed) {
        freelist_give(&w->heads_free, head);
        exchange_upstream_failed(call->exchange, STAGE_RESPONSE, REASON_INTERNAL, "the answer has no valid head");
        return EXCHANGE_LET_GO;
    }
    struct slice body = waiting(call);
    bool last = call->ended;
    if (message.body == BODY_NONE) {
        body.n = 0;
        last = true;
    }
    call->head_given = true;
    enum exchange_hold hold = exchange_response(call->exchange, head, call->head.p, &message, body, last, taken);
    freelist_give(&w->heads_free, head);
    return hold;
}

static void deliver(struct local_call *call)
{
    size_t taken = 0;
    enum exchange_hold hold = EXCHANGE_HOLDS;
    if (!call->head_given)
        hold = give_head(call, &taken);
    else if (waiting(call).n || call->ended)
        hold = exchange_response_body(call->exchange, waiting(call), call->ended, &taken);
    if (hold == EXCHANGE_LET_GO) {
        if (!call->ended && call->gone)
            call->gone(call->gone_arg);
        call_free(call);
        return;
    }
    mark_taken(call, taken);
}

static void on_soon(struct soon *soon)
{
    struct local_call *call = CONTAINER_OF(soon, struct local_call, soon);
    struct worker *w = call->worker;
    if (call->state == CALL_RECEIVED) {
        call->state = CALL_HANDLING;
        call->request.body = (struct slice){ call->body.p, call->body.n };
        if (call->too_large) {
            struct text text = { 0 };
            text_add(&text, "{\"type\":\"about:blank\",\"title\":\"Content Too Large\",\"status\":413}\n");
            local_answer(call, 413, "application/problem+json", NULL, &text);
        } else {
            w->local(w->local_arg, call); /* it may answer before it returns, which only asks for this to run again */
        }
        return;
    }
    if (call->state == CALL_ANSWERING)
        deliver(call);
}

static void begin_answer(struct local_call *call, unsigned status, const char *content_type, const char *extra)
{
    text_addf(&call->head, "HTTP/1.1 %u %s\r\n", status, http_status_phrase(status));
    if (content_type)
        text_addf(&call->head, "Content-Type: %s\r\n", content_type);
    if (extra)
        text_add(&call->head, extra);
    call->state = CALL_ANSWERING;
    feed(call);
}

void local_answer(struct local_call *call, unsigned status, const char *content_type, const char *extra, struct text *body)
{
    begin_answer(call, status, content_type, extra);
    if (status != 204)
        text_addf(&call->head, "Content-Length: %zu\r\n", body ? body->n : 0);
    text_add(&call->head, "\r\n");
    if (body) {
        call->out = *body;
        *body = (struct text){ 0 };
    }
    call->ended = true;
}

void local_stream_begin(struct local_call *call, unsigned status, const char *content_type)
{
    begin_answer(call, status, content_type, "Transfer-Encoding: chunked\r\n");
    text_add(&call->head, "\r\n");
}

bool local_stream_write(struct local_call *call, const void *bytes, size_t n)
{
    if (waiting(call).n + n > LOCAL_STREAM_MAX)
        return false;
    text_add_bytes(&call->out, bytes, n);
    feed(call);
    return true;
}

void local_stream_end(struct local_call *call)
{
    call->ended = true;
    feed(call);
}

void local_call_on_gone(struct local_call *call, void (*gone)(void *arg), void *arg)
{
    call->gone = gone;
    call->gone_arg = arg;
}

const struct local_request *local_call_request(const struct local_call *call)
{
    return &call->request;
}

/* --- the request --- */

static void take_body(struct local_call *call, struct slice body, bool end)
{
    if (call->body.n + body.n > LOCAL_BODY_MAX)
        call->too_large = true;
    else
        text_add_bytes(&call->body, body.p, body.n);
    if (call->state == CALL_RECEIVING && (end || call->too_large)) {
        call->state = CALL_RECEIVED;
        feed(call);
    }
}

static ssize_t op_send_body(void *upstream, struct slice body, bool end)
{
    take_body(upstream, body, end);
    return (ssize_t)body.n;
}

static ssize_t op_send_head(void *upstream, const struct message_out *out, struct slice body, bool end)
{
    (void)out; /* it was read from the exchange's own head already */
    return op_send_body(upstream, body, end);
}

static void op_want_body(void *upstream)
{
    feed(upstream);
}

static void op_abort(void *upstream)
{
    struct local_call *call = upstream;
    if (call->state >= CALL_HANDLING && !call->ended && call->gone)
        call->gone(call->gone_arg);
    call_free(call);
}

const struct upstream_ops local_upstream_ops = {
    .send_head = op_send_head,
    .send_body = op_send_body,
    .want_body = op_want_body,
    .abort = op_abort,
    .keeps_time = true, /* an event stream may be silent for as long as it likes */
};

static struct slice field(const struct exchange *ex, const char *name)
{
    const struct http_field *f = http_head_find_name(ex->head, ex->base, slice_of(name));
    return f ? http_field_value(ex->base, f) : (struct slice){ "", 0 };
}

static void read_target(struct local_request *r, const struct exchange *ex)
{
    struct slice path = { ex->base + ex->head->path, ex->head->path_len };
    const char *mark = path.n ? memchr(path.p, '?', path.n) : NULL;
    r->path = mark ? (struct slice){ path.p, (size_t)(mark - path.p) } : path;
    r->query = mark ? (struct slice){ mark + 1, path.n - r->path.n - 1 } : (struct slice){ "", 0 };
    if (!r->path.n)
        r->path = SLICE("/");
}


void *local_upstream_new(struct exchange *ex)
{
    struct local_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->worker = ex->worker;
    call->exchange = ex;
    soon_init(&call->soon, on_soon);
    struct local_request *r = &call->request;
    r->method = (enum http_method)ex->head->method;
    read_target(r, ex);
    r->authorization = field(ex, "authorization");
    r->accept = field(ex, "accept");
    r->content_type = field(ex, "content-type");
    r->last_event_id = field(ex, "last-event-id");
    r->host = ex->message.host_port;
    call->too_large = ex->message.body == BODY_LENGTH && ex->message.length > LOCAL_BODY_MAX;
    r->over_unix_socket = !ex->peer;
    if (ex->peer)
        r->client = *ex->peer;
    return call;
}
