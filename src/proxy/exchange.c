#include "proxy/exchange.h"

#include "balance/tally.h"
#include "proxy/affinity.h"
#include "proxy/choose.h"
#include "proxy/direct.h"
#include "proxy/exchange_answer.h"
#include "proxy/exchange_inside.h"
#include "proxy/exchange_log.h"
#include "proxy/exchange_relay.h"
#include "proxy/exchange_retry.h"
#include "proxy/exchange_try.h"
#include "proxy/explain.h"
#include "proxy/local_upstream.h"
#include "proxy/upstream.h"

static const char *const state_names[] = {
    [EXCHANGE_NEW] = "new",         [EXCHANGE_CHOOSING] = "choosing",     [EXCHANGE_QUEUED] = "queued", [EXCHANGE_CONNECTING] = "connecting",
    [EXCHANGE_SENT] = "sent",       [EXCHANGE_RESPONDING] = "responding", [EXCHANGE_RAW] = "raw",       [EXCHANGE_DONE] = "done",
};

const char *exchange_state_name(enum exchange_state state)
{
    return state_names[state];
}

/* --- beginning and end --- */

static void on_timer(struct timer *timer);

struct exchange *exchange_new(struct worker *w, const struct client_ops *ops, void *client)
{
    struct exchange *ex = freelist_take(&w->exchanges_free);
    if (!ex)
        return NULL;
    memset(ex, 0, offsetof(struct exchange, request_id));
    ex->request_id[0] = ex->upstream_address[0] = 0;
    ex->worker = w;
    ex->client_ops = ops;
    ex->client = client;
    ex->snapshot = snapshot_ref(w->snapshot);
    ex->timeouts = &w->snapshot->config->timeouts;
    timer_init(&ex->timer, on_timer);
    list_init(&ex->queue);
    list_push_back(&w->exchanges, &ex->link);
    gauge_add(&w->counters.exchanges, 1);
    return ex;
}

void exchange_discard(struct exchange *ex)
{
    struct worker *w = ex->worker;
    timer_disarm(&w->timers, &ex->timer);
    list_remove(&ex->queue);
    list_remove(&ex->link);
    buffer_give(&w->buffers, ex->body);
    trailers_clear(&w->buffers, &ex->request_trailers);
    trailers_clear(&w->buffers, &ex->response_trailers);
    freelist_give(&w->heads_free, ex->head);
    exchange_memory_free(ex->memory);
    explain_let_go(ex);
    if (ex->snapshot)
        snapshot_unref(ex->snapshot);
    gauge_add(&w->counters.exchanges, -1);
    freelist_give(&w->exchanges_free, ex);
    worker_check_stopped(w);
}

void exchange_finish(struct exchange *ex, enum reason reason)
{
    struct worker *w = ex->worker;
    exchange_release_endpoint(ex);
    if (ex->state == EXCHANGE_RAW)
        gauge_add(&w->counters.upgraded, -1);
    if (ex->state != EXCHANGE_NEW)
        retry_budget_end(&w->budget, ex->in_budget);
    if (!ex->only) {
        counter_add(&w->counters.failures[reason], 1);
        histogram_add(&w->counters.latency, worker_now(w) - ex->times.start);
    }
    exchange_log(ex, reason);
    explain_end(ex, reason);
    exchange_set_state(ex, EXCHANGE_DONE);
    exchange_discard(ex);
}

void exchange_end(struct exchange *ex, enum reason client_is_told, enum reason reason)
{
    const struct client_ops *ops = ex->client_ops;
    void *client = ex->client;
    exchange_finish(ex, reason);
    ops->end(client, client_is_told);
}

void exchange_cut(struct exchange *ex, enum reason reason)
{
    exchange_abort_upstream(ex);
    exchange_end(ex, reason, reason);
}

/* --- to an endpoint, or into the queue --- */

void exchange_wait_in_queue(struct exchange *ex)
{
    struct worker *w = ex->worker;
    if (!ex->queue_until)
        ex->queue_until = worker_now(w) + ex->timeouts->queue;
    explain_queued(ex);
    exchange_set_state(ex, EXCHANGE_QUEUED);
    list_push_back(&w->queue, &ex->queue);
    if (!timer_is_armed(&w->queue_timer))
        timer_arm(&w->timers, &w->queue_timer, TIMER_TICK);
    exchange_arm_timer(ex);
}

/* False: it waits in the queue. */
static bool choose_and_try(struct exchange *ex)
{
    exchange_set_state(ex, EXCHANGE_CHOOSING);
    switch (choose(ex)) {
    case CHOICE_MADE:
        if (ex->queue_until) {
            ex->queue_until = 0;
            exchange_arm_timer(ex);
        }
        exchange_try_endpoint(ex, UPSTREAM_ANY);
        return true;
    case CHOICE_FULL: exchange_wait_in_queue(ex); return false;
    case CHOICE_NONE: break;
    }
    exchange_give_up(ex, ex->n_tried ? (enum reason)ex->reason : REASON_NO_ENDPOINT); /* the last failure says why */
    return true;
}

bool exchange_unqueue(struct exchange *ex)
{
    list_remove(&ex->queue);
    return choose_and_try(ex);
}

/* Whoever came before, for the same endpoints, is served first. */
static bool others_wait(const struct exchange *ex)
{
    const struct list *queue = &ex->worker->queue;
    return !list_empty(queue) && CONTAINER_OF(queue->next, struct exchange, queue)->load_balancer == ex->load_balancer;
}

static void take_turn(struct exchange *ex)
{
    if (ex->only || !others_wait(ex)) {
        choose_and_try(ex);
        return;
    }
    exchange_wait_in_queue(ex);
    worker_wake_queue(ex->worker);
}

/* --- the start --- */

/* Whoever it is for and however large it is: false when it was answered already. */
static bool admit(struct exchange *ex)
{
    const struct rule *rule;
    enum direction direction = direct_to_load_balancer(ex, &rule);
    explain_directed(ex, direction, rule);
    uint64_t limit = ex->load_balancer ? ex->load_balancer->limits.body_size : 0;
    uint64_t known = ex->message.body == BODY_LENGTH ? ex->message.length : ex->prefix.n;
    if (rule)
        tally_add(rule->requests, ex->worker->options.index);
    switch (direction) {
    case DIRECT_NO_LOAD_BALANCER: exchange_refuse(ex, 404, REASON_NO_LOAD_BALANCER); return false;
    case DIRECT_DISABLED: exchange_answer_by_page_or(ex, "the load balancer of this host is disabled"); return false;
    case DIRECT_TO_ENDPOINTS:
    case DIRECT_RESPONSE: break;
    }
    if (limit && known > limit) {
        exchange_refuse(ex, 413, REASON_BODY_TOO_LARGE);
        return false;
    }
    if (direction == DIRECT_RESPONSE)
        exchange_answer_by_rule(ex, &rule->response);
    return direction == DIRECT_TO_ENDPOINTS;
}

static void begin_local(struct exchange *ex)
{
    ex->upstream_ops = &local_upstream_ops;
    ex->upstream = local_upstream_new(ex);
    if (ex->upstream)
        exchange_send_request(ex);
    else
        exchange_refuse(ex, 503, REASON_INTERNAL);
}

bool exchange_read_head(struct exchange *ex, struct slice bytes)
{
    static const struct http_limits limits = { .size = BUFFER_LARGE, .count = HTTP_FIELDS_MAX };
    struct http_parser parser;
    if (!(ex->head = freelist_take(&ex->worker->heads_free)))
        return false;
    http_parser_start(&parser, ex->head);
    ex->base = bytes.p;
    return http_parse_request(&parser, ex->head, bytes.p, bytes.n, &limits) == HTTP_PARSE_DONE
        && http_request_rules(ex->head, ex->base, &ex->message) == HTTP_ERROR_NONE;
}

void exchange_start(struct exchange *ex)
{
    struct worker *w = ex->worker;
    ex->times.start = worker_now(w);
    ex->started_wall = clock_wall();
    ex->host = ex->message.host;
    ex->body_ended = ex->prefix_is_all;
    ex->body_bytes = ex->prefix.n;
    exchange_note_request_id(ex);
    explain_begin(ex);
    if (!ex->only)
        counter_add(&w->counters.requests, 1);
    retry_budget_begin(&w->budget);
    exchange_set_state(ex, EXCHANGE_CHOOSING);
    if (w->local && !ex->only) {
        begin_local(ex);
        return;
    }
    if (!ex->only && !admit(ex))
        return;
    if (ex->load_balancer)
        direct_to_session(ex);
    if (ex->timeouts->total) {
        ex->total_until = ex->times.start + ex->timeouts->total;
        exchange_arm_timer(ex);
    }
    take_turn(ex);
}

/* --- the client's end --- */

void exchange_client_gone(struct exchange *ex, enum reason reason)
{
    exchange_abort_upstream(ex);
    exchange_finish(ex, reason);
}

/* It may be gone altogether, which only a write can find out: so it is given up once nothing was written for a while. */
void exchange_client_half_closed(struct exchange *ex)
{
    ex->abort_at = worker_now(ex->worker) + ex->timeouts->client_abort;
    exchange_arm_timer(ex);
}

/* --- time --- */

void exchange_arm_timer(struct exchange *ex)
{
    nsec_t next = 0;
    const nsec_t all[] = { ex->upstream_until, ex->queue_until, ex->total_until, ex->abort_at };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] && (!next || all[i] < next))
            next = all[i];
    if (next)
        timer_arm_at(&ex->worker->timers, &ex->timer, next);
    else
        timer_disarm(&ex->worker->timers, &ex->timer);
}

static void on_timer(struct timer *timer)
{
    struct exchange *ex = CONTAINER_OF(timer, struct exchange, timer);
    nsec_t now = worker_now(ex->worker);
    if (ex->abort_at && ex->abort_at <= now && ex->blocked_by_client && ex->state == EXCHANGE_RESPONDING) {
        exchange_client_half_closed(ex); /* its own side watches over what it does not take */
    } else if (ex->abort_at && ex->abort_at <= now) {
        exchange_cut(ex, ex->state == EXCHANGE_RAW ? REASON_UPGRADE_IDLE : REASON_CLIENT_GONE);
    } else if (ex->total_until && ex->total_until <= now) {
        if (ex->state >= EXCHANGE_RESPONDING)
            exchange_cut(ex, REASON_TOTAL_TIMEOUT);
        else
            exchange_give_up(ex, REASON_TOTAL_TIMEOUT);
    } else if (ex->upstream_until && ex->upstream_until <= now) {
        exchange_upstream_is_late(ex);
    } else if (ex->queue_until && ex->queue_until <= now) {
        ex->queue_until = 0;
        exchange_give_up(ex, REASON_QUEUE_TIMEOUT);
    } else {
        exchange_arm_timer(ex);
    }
}
