#include "proxy/exchange_log.h"

#include "http/forwarded.h"
#include "proxy/forward.h"

struct exchange_memory {
    struct endpoint_live *live; /* one reference */
    nsec_t upgrade_idle;
    struct access_record record; /* its slices and texts point into `text` */
    struct address client;
    char text[];
};

void exchange_note_request_id(struct exchange *ex)
{
    const struct http_field *f = http_head_find(ex->head, FIELD_X_REQUEST_ID);
    if (!f || !f->value_len) {
        request_id_make(&ex->worker->random, ex->request_id);
        return;
    }
    size_t n = f->value_len < EXCHANGE_ID_MAX ? f->value_len : EXCHANGE_ID_MAX;
    memcpy(ex->request_id, ex->base + f->value, n);
    ex->request_id[n] = 0;
}

static struct slice field(const struct exchange *ex, enum http_field_id id)
{
    const struct http_field *f = http_head_find(ex->head, id);
    return f ? http_field_value(ex->base, f) : (struct slice){ "", 0 };
}

static void fill_request(const struct exchange *ex, struct access_record *r, struct address *room)
{
    const struct http_head *head = ex->head;
    *r = (struct access_record){
        .wall = ex->started_wall,
        .client = forward_client(ex, room),
        .method = { ex->base + head->start, head->method_len },
        .target = { ex->base + head->target, head->target_len },
        .host = ex->message.host_port,
        .referer = field(ex, FIELD_REFERER),
        .user_agent = field(ex, FIELD_USER_AGENT),
        .minor = head->minor,
        .tls = ex->secure,
        .load_balancer = ex->load_balancer ? ex->load_balancer->name : NULL,
        .endpoint = ex->endpoint ? ex->endpoint->id : NULL,
    };
}

static nsec_t since(nsec_t from, nsec_t to)
{
    return from && to ? to - from : -1;
}

void exchange_log(struct exchange *ex, enum reason reason)
{
    struct worker *w = ex->worker;
    struct access_record record;
    struct address room;
    if (!w->log || ex->only || ex->state == EXCHANGE_NEW)
        return;
    if (ex->memory)
        record = ex->memory->record;
    else
        fill_request(ex, &record, &room);
    record.request_id = slice_of(ex->request_id);
    record.status = ex->status;
    record.bytes_in = ex->body_bytes;
    record.bytes_out = ex->response_bytes;
    record.upstream_address = ex->upstream_address;
    record.upstream_reused = ex->upstream_reused;
    record.retries = ex->retries;
    record.reason = reason;
    const struct exchange_times *t = &ex->times;
    record.choose = since(t->start, t->chosen);
    record.connect = since(t->chosen, t->connected);
    record.send = since(t->connected, t->sent);
    record.first_byte = since(t->sent, t->first_byte);
    record.total = worker_now(w) - t->start;
    log_lines_add(w->log, &record);
}

/* --- what an upgraded exchange remembers --- */

static struct slice keep(char **at, struct slice s)
{
    char *p = *at;
    memcpy(p, s.p, s.n);
    p[s.n] = 0;
    *at += s.n + 1;
    return (struct slice){ p, s.n };
}

struct exchange_memory *exchange_memory_new(const struct exchange *ex)
{
    struct access_record r;
    struct address room;
    fill_request(ex, &r, &room);
    struct slice names[] = { slice_of(r.load_balancer ? r.load_balancer : ""), slice_of(r.endpoint ? r.endpoint : "") };
    struct slice *slices[] = { &r.method, &r.target, &r.host, &r.referer, &r.user_agent, &names[0], &names[1] };
    size_t n = 0, count = sizeof slices / sizeof *slices;
    for (size_t i = 0; i < count; i++)
        n += slices[i]->n + 1;

    struct exchange_memory *m = malloc(sizeof *m + n);
    if (!m)
        return NULL;
    char *at = m->text;
    for (size_t i = 0; i < count; i++)
        *slices[i] = keep(&at, *slices[i]);
    m->live = endpoint_live_ref(ex->endpoint->live);
    m->upgrade_idle = ex->timeouts->upgrade_idle;
    if (r.client) {
        m->client = *r.client;
        r.client = &m->client;
    }
    r.load_balancer = names[0].p;
    r.endpoint = names[1].p;
    m->record = r;
    return m;
}

void exchange_memory_free(struct exchange_memory *m)
{
    if (!m)
        return;
    endpoint_live_unref(m->live);
    free(m);
}

struct endpoint_live *exchange_memory_live(const struct exchange_memory *m)
{
    return m->live;
}

nsec_t exchange_memory_idle(const struct exchange_memory *m)
{
    return m->upgrade_idle;
}
