#include "proxy/probe_client.h"

#include "base/text.h"
#include "base/version.h"
#include "proxy/exchange.h"
#include "proxy/upstream.h"

struct probe_client {
    struct worker *worker;
    struct probe *probe;
    struct exchange *exchange;
    struct upstream_pool *pool; /* of its own: a kept connection would hide that a new one can't be made */
    struct text head;           /* the request as it would be received */
    struct timer timer;         /* the probe's timeout; at once when enough was seen */
    nsec_t started;
    bool enough;
};

static nsec_t elapsed(const struct probe_client *pc)
{
    nsec_t t = worker_now(pc->worker) - pc->started;
    return t > 0 ? t : 1; /* 0 says that a step was not reached */
}

static void handle_done(struct message *m, void *owner)
{
    (void)owner;
    struct probe *probe = CONTAINER_OF(m, struct probe, message);
    probe->done(probe, probe->arg);
}

static void finish(struct probe_client *pc, enum reason reason)
{
    struct worker *w = pc->worker;
    struct probe *probe = pc->probe;
    if (probe->result.reason == REASON_NONE && !probe->result.status)
        probe->result.reason = reason;
    probe->result.total = elapsed(pc);
    timer_disarm(&w->timers, &pc->timer);
    if (pc->pool)
        upstream_pool_unref(pc->pool);
    text_clear(&pc->head);
    free(pc);
    probe->message.handle = handle_done;
    mailbox_post(w->options.control, &probe->message);
}

/* --- the client's side --- */

static char *copy_field(const struct message_out *out, enum http_field_id id)
{
    const struct http_field *f = http_head_find(out->head, id);
    struct slice value = f ? http_field_value(out->base, f) : (struct slice){ NULL, 0 };
    return f ? strndup(value.p, value.n) : NULL;
}

static void keep_body(struct probe_client *pc, struct slice body)
{
    struct probe_result *r = &pc->probe->result;
    if (pc->probe->want_body && !r->body)
        r->body = calloc(1, PROBE_BODY_MAX + 1);
    size_t room = r->body ? PROBE_BODY_MAX - r->body_length : 0;
    size_t n = body.n < room ? body.n : room;
    if (n)
        memcpy(r->body + r->body_length, body.p, n);
    r->body_length += n;
    if (n < body.n || !r->body) { /* no more is needed than has come: from an event of ours the exchange is let go */
        pc->enough = true;
        timer_disarm(&pc->worker->timers, &pc->timer);
        timer_arm(&pc->worker->timers, &pc->timer, 0);
    }
}

static void note_connection(struct probe_client *pc)
{
    struct probe_result *r = &pc->probe->result;
    const struct exchange *ex = pc->exchange;
    nsec_t connected = 0, secured = 0;
    bool reused;
    if (!ex->upstream)
        return;
    if (pc->probe->endpoint->kind != ENDPOINT_EDGE)
        upstream_times(ex->upstream, &connected, &secured);
    if (ex->upstream_ops->describe)
        ex->upstream_ops->describe(ex->upstream, r->address, sizeof r->address, &reused);
    r->connect = connected ? connected - pc->started : 0;
    r->tls = pc->probe->endpoint->tls && secured ? secured - pc->started : 0;
}

static void op_send_interim(void *client, const struct message_out *out)
{
    (void)client;
    (void)out;
}

static ssize_t op_send_head(void *client, const struct message_out *out, struct slice body, bool end)
{
    struct probe_client *pc = client;
    struct probe_result *r = &pc->probe->result;
    r->status = out->status;
    r->first_byte = elapsed(pc);
    note_connection(pc);
    if (out->head) {
        r->location = copy_field(out, FIELD_LOCATION);
        r->server = copy_field(out, FIELD_SERVER);
        r->cf_ray = copy_field(out, FIELD_CF_RAY);
    }
    if (!end || body.n)
        keep_body(pc, body);
    return (ssize_t)body.n;
}

static ssize_t op_send_body(void *client, struct slice body, bool end)
{
    (void)end;
    keep_body(client, body);
    return (ssize_t)body.n;
}

static void op_want_body(void *client)
{
    (void)client;
}

static void op_end(void *client, enum reason reason)
{
    struct probe_client *pc = client;
    pc->exchange = NULL;
    finish(pc, reason);
}

static void op_try_failed(void *client, enum reason reason, const char *detail)
{
    struct probe_client *pc = client;
    struct probe_result *r = &pc->probe->result;
    r->reason = reason;
    snprintf(r->detail, sizeof r->detail, "%s", detail ? detail : reason_sentence(reason));
    snprintf(r->address, sizeof r->address, "%s", pc->exchange->upstream_address);
}

static void op_connected(void *client)
{
    note_connection(client);
}

static const struct client_ops probe_ops = {
    .send_interim = op_send_interim,
    .send_head = op_send_head,
    .send_body = op_send_body,
    .want_body = op_want_body,
    .end = op_end,
    .try_failed = op_try_failed,
    .connected = op_connected,
};

/* --- time --- */

static void on_timer(struct timer *timer)
{
    struct probe_client *pc = CONTAINER_OF(timer, struct probe_client, timer);
    struct exchange *ex = pc->exchange;
    enum reason reason = ex->state < EXCHANGE_SENT ? REASON_CONNECT_TIMEOUT : REASON_RESPONSE_TIMEOUT;
    if (!pc->enough) {
        note_connection(pc);
        pc->probe->result.reason = reason;
        snprintf(pc->probe->result.detail, sizeof pc->probe->result.detail, "%s", reason_sentence(reason));
    }
    pc->exchange = NULL;
    exchange_client_gone(ex, pc->enough ? REASON_NONE : reason);
    finish(pc, reason);
}

/* --- beginning --- */

static void write_head(struct probe_client *pc)
{
    const struct probe *p = pc->probe;
    bool accept = false, agent = false;
    text_addf(&pc->head, "%s %s HTTP/1.1\r\nHost: %s\r\n", p->method[0] ? p->method : "GET", p->path ? p->path : "/", p->host);
    for (size_t i = 0; i < p->n_headers; i++) {
        if (strcasecmp(p->headers[i].name, "host") == 0)
            continue;
        accept |= strcasecmp(p->headers[i].name, "accept") == 0;
        agent |= strcasecmp(p->headers[i].name, "user-agent") == 0;
        text_addf(&pc->head, "%s: %s\r\n", p->headers[i].name, p->headers[i].value);
    }
    if (!agent)
        text_add(&pc->head, "User-Agent: penstock/" PENSTOCK_VERSION " (health check)\r\n");
    if (!accept)
        text_add(&pc->head, "Accept: */*\r\n");
    text_add(&pc->head, "\r\n");
}

void probe_client_start(struct worker *w, struct probe *probe)
{
    struct probe_client *pc = calloc(1, sizeof *pc);
    if (!pc) {
        probe->result.reason = REASON_INTERNAL;
        probe->message.handle = handle_done;
        mailbox_post(w->options.control, &probe->message);
        return;
    }
    *pc = (struct probe_client){ .worker = w, .probe = probe, .started = worker_now(w) };
    timer_init(&pc->timer, on_timer);
    write_head(pc);
    struct exchange *ex = w->snapshot && !w->stopping ? exchange_new(w, &probe_ops, pc) : NULL;
    pc->pool = upstream_pool_new(w, probe->endpoint);
    if (!ex || !pc->pool || !exchange_read_head(ex, (struct slice){ pc->head.p, pc->head.n })) {
        if (ex)
            exchange_discard(ex);
        snprintf(probe->result.detail, sizeof probe->result.detail, "the probe's request is not valid, or there is no memory for it");
        finish(pc, REASON_INTERNAL);
        return;
    }
    pc->exchange = ex;
    ex->only = probe->endpoint;
    ex->only_pool = pc->pool;
    ex->only_line = probe->line;
    ex->connect_only = probe->kind == PROBE_CONNECT;
    ex->prefix_is_all = true;
    timer_arm(&w->timers, &pc->timer, probe->timeout);
    exchange_start(ex);
}
