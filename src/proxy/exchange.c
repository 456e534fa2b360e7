#include "proxy/exchange.h"

#include "balance/latency.h"
#include "balance/outlier.h"
#include "balance/tally.h"
#include "base/log.h"
#include "http/trailers.h"
#include "proxy/affinity.h"
#include "proxy/choose.h"
#include "proxy/direct.h"
#include "proxy/exchange_log.h"
#include "proxy/explain.h"
#include "proxy/forward.h"
#include "proxy/local_upstream.h"
#include "proxy/notice.h"
#include "proxy/reply.h"
#include "proxy/request_hash.h"
#include "proxy/upstream.h"

/* What a failure costs an endpoint's latency at least: else one that fails fast would look fast (behaviour 4). */
static const double FAILURE_SECONDS = 1.0;

#define NO_LINE UINT64_MAX /* the try met a tunnel of our edge, and no connection of it */

static const char *const state_names[] = {
    [EXCHANGE_NEW] = "new",         [EXCHANGE_CHOOSING] = "choosing",     [EXCHANGE_QUEUED] = "queued", [EXCHANGE_CONNECTING] = "connecting",
    [EXCHANGE_SENT] = "sent",       [EXCHANGE_RESPONDING] = "responding", [EXCHANGE_RAW] = "raw",       [EXCHANGE_DONE] = "done",
};

const char *exchange_state_name(enum exchange_state state)
{
    return state_names[state];
}

/* The only place that changes the state. */
static void set_state(struct exchange *ex, enum exchange_state state)
{
    trace(TRACE_EXCHANGE, "%s: %s -> %s", ex->request_id, state_names[ex->state], state_names[state]);
    ex->state = (uint8_t)state;
}

static void try_endpoint(struct exchange *ex, enum upstream_want want);
static struct tunnel_opened open_tunnel(struct exchange *ex);
static void take_tunnel(struct exchange *ex, const struct tunnel_opened *);
static bool choose_and_try(struct exchange *ex);
static void wait_in_queue(struct exchange *ex);

/* --- timers --- */

static void on_timer(struct timer *timer);

static void arm_timer(struct exchange *ex)
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

/* --- beginning and end --- */

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

/* This worker is the only writer of its line. */
static void add_in_flight(struct worker *w, struct endpoint_live *live, int n)
{
    _Atomic uint32_t *in_flight = &worker_counts(w, live)->in_flight;
    atomic_store_explicit(in_flight, atomic_load_explicit(in_flight, memory_order_relaxed) + (uint32_t)n, memory_order_relaxed);
}

/* Probes are nobody's requests: they count neither as load nor as traffic. */
static void hold_endpoint(struct exchange *ex)
{
    if (ex->only)
        return;
    ex->counted = true;
    add_in_flight(ex->worker, ex->endpoint->live, 1);
    counter_add(&worker_counts(ex->worker, ex->endpoint->live)->requests, 1);
}

static void release(struct exchange *ex, struct endpoint_live *live)
{
    if (!ex->counted)
        return;
    ex->counted = false;
    add_in_flight(ex->worker, live, -1);
    worker_wake_queue(ex->worker);
}

static void release_endpoint(struct exchange *ex)
{
    if (ex->counted)
        release(ex, ex->memory ? exchange_memory_live(ex->memory) : ex->endpoint->live);
}

void exchange_discard(struct exchange *ex)
{
    struct worker *w = ex->worker;
    timer_disarm(&w->timers, &ex->timer);
    list_remove(&ex->queue);
    list_remove(&ex->link);
    buffer_give(&w->buffers, ex->body);
    buffer_give(&w->buffers, ex->request_trailers);
    buffer_give(&w->buffers, ex->response_trailers);
    freelist_give(&w->heads_free, ex->head);
    exchange_memory_free(ex->memory);
    explain_let_go(ex);
    if (ex->snapshot)
        snapshot_unref(ex->snapshot);
    gauge_add(&w->counters.exchanges, -1);
    freelist_give(&w->exchanges_free, ex);
    worker_check_stopped(w);
}

static void abort_upstream(struct exchange *ex)
{
    void *upstream = ex->upstream;
    ex->upstream = NULL;
    if (upstream)
        ex->upstream_ops->abort(upstream);
}

/* Everything that has to be known of it is counted and written down; the exchange is gone afterwards. */
static void finish(struct exchange *ex, enum reason reason)
{
    struct worker *w = ex->worker;
    release_endpoint(ex);
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
    set_state(ex, EXCHANGE_DONE);
    exchange_discard(ex);
}

/* The same, and the client's side is told. */
static void end(struct exchange *ex, enum reason client_is_told, enum reason reason)
{
    const struct client_ops *ops = ex->client_ops;
    void *client = ex->client;
    finish(ex, reason);
    ops->end(client, client_is_told);
}

/* --- our own answers --- */

static void give_rest_of_reply(struct exchange *ex)
{
    ssize_t taken = ex->client_ops->send_body(ex->client, ex->rest, true);
    if (taken == SEND_FAILED) {
        finish(ex, REASON_CLIENT_GONE);
        return;
    }
    ex->rest = slice_from(ex->rest, (size_t)taken);
    if (!ex->rest.n)
        end(ex, REASON_NONE, (enum reason)ex->reason);
}

static void begin_answer(struct exchange *ex, unsigned status, enum reason reason)
{
    abort_upstream(ex);
    release_endpoint(ex);
    list_remove(&ex->queue);
    ex->queue_until = ex->upstream_until = 0;
    set_state(ex, EXCHANGE_RESPONDING);
    ex->local_reply = true;
    ex->status = (uint16_t)status;
    ex->reason = (uint8_t)reason;
    reply_count_status(ex->worker, status);
}

/* What the client doesn't take at once is kept, unless it is the configuration's, which lasts. */
static void give_reply(struct exchange *ex, struct reply *reply)
{
    enum reason reason = (enum reason)ex->reason;
    if (ex->head->method == METHOD_HEAD) {
        reply->message.body = BODY_NONE;
        reply->body.n = 0;
    }
    ex->response_bytes = reply->body.n;
    ssize_t taken = ex->client_ops->send_head(ex->client, &reply->message, reply->body, true);
    if (taken == SEND_FAILED) {
        finish(ex, REASON_CLIENT_GONE);
        return;
    }
    if ((size_t)taken == reply->body.n) {
        end(ex, REASON_NONE, reason);
        return;
    }
    ex->rest = slice_from(reply->body, (size_t)taken);
    if (reply->body.p != reply->text)
        return;
    memcpy(ex->reply_text, ex->rest.p, ex->rest.n);
    ex->rest.p = ex->reply_text;
}

static void answer(struct exchange *ex, unsigned status, enum reason reason, const char *why, nsec_t retry_after)
{
    struct reply reply;
    reply_compose(&reply, status, why, retry_after);
    reply_add_request_id(&reply, ex->request_id);
    begin_answer(ex, status, reason);
    give_reply(ex, &reply);
}

static void answer_by_rule(struct exchange *ex, const struct rule_response *response)
{
    struct reply reply;
    reply_compose_given(&reply, response);
    begin_answer(ex, response->status, REASON_NONE);
    give_reply(ex, &reply);
}

static nsec_t retry_after_of(const struct exchange *ex)
{
    return ex->load_balancer && ex->load_balancer->retry_after ? ex->load_balancer->retry_after : 10 * NSEC_PER_SEC;
}

/* There is nobody to send to. */
static void answer_by_page_or(struct exchange *ex, const char *why)
{
    const struct load_balancer *lb = ex->load_balancer;
    struct reply reply;
    if (!lb || !lb->down_page.file) {
        answer(ex, 503, REASON_NO_ENDPOINT, why, retry_after_of(ex));
        return;
    }
    reply_compose_page(&reply, &lb->down_page, retry_after_of(ex));
    reply_add_request_id(&reply, ex->request_id);
    begin_answer(ex, lb->down_page.status, REASON_NO_ENDPOINT);
    give_reply(ex, &reply);
}

void exchange_refuse(struct exchange *ex, unsigned status, enum reason reason)
{
    answer(ex, status, reason, reason_sentence(reason), status == 503 ? retry_after_of(ex) : 0);
}

/* No endpoint is left to try: the last failure, if there was one, says why. */
static void give_up(struct exchange *ex, enum reason reason)
{
    unsigned status = 502;
    if (ex->only) { /* a probe wants the reason, not an answer of ours */
        abort_upstream(ex);
        end(ex, reason, reason);
        return;
    }
    switch (reason) {
    case REASON_NO_ENDPOINT: answer_by_page_or(ex, reason_sentence(reason)); return;
    case REASON_QUEUE_TIMEOUT:
    case REASON_SHUTDOWN: status = 503; break;
    case REASON_RESPONSE_TIMEOUT:
    case REASON_CONNECT_TIMEOUT:
    case REASON_TOTAL_TIMEOUT: status = 504; break;
    default: break;
    }
    exchange_refuse(ex, status, reason);
}

/* --- health, seen by traffic --- */

/* What the pool's policy wants, or the one that chose the pool. */
static nsec_t latency_decay(const struct exchange *ex)
{
    nsec_t of_pool = ex->endpoint->pool->steering.latency_decay, of_load_balancer = ex->load_balancer ? ex->load_balancer->steering.latency_decay : 0;
    return of_pool ? of_pool : of_load_balancer ? of_load_balancer : LATENCY_DECAY;
}

static void account_health(struct exchange *ex, enum reason reason)
{
    struct worker *w = ex->worker;
    const struct endpoint *e = ex->endpoint;
    bool counts = reason_counts_against_endpoint(reason);
    if (ex->only) /* a probe is judged by its monitor */
        return;
    if (counts) {
        double seconds = nsec_to_seconds(worker_now(w) - ex->times.chosen);
        counter_add(&worker_counts(w, e->live)->failures, 1);
        latency_record(e->live, worker_now(w), seconds > FAILURE_SECONDS ? seconds : FAILURE_SECONDS, latency_decay(ex));
    }
    bool may_eject = counts && outlier_may_eject(e->pool, e, worker_now(w));
    bool ejected = outlier_record(e->live, &e->pool->passive, reason, worker_now(w), random_u64(&w->random), may_eject);
    if (ejected)
        balance_epoch_move(w->options.epoch);
    /* The first of a row is enough to make the monitors look. */
    if (ejected || (counts && atomic_load_explicit(&e->live->consecutive_failures, memory_order_relaxed) == 1))
        notice_post(w, e->live, reason, ejected);
}

static enum reason reason_of_status(unsigned status)
{
    if (status == 530)
        return REASON_TUNNEL_INACTIVE;
    if ((status >= 502 && status <= 504) || (status >= 520 && status <= 527))
        return REASON_STATUS;
    return REASON_NONE;
}

/* --- trying again --- */

static void strike_out(struct exchange *ex)
{
    ex->tried[ex->n_tried++] = ex->endpoint;
}

/* Those that were lost cost nothing, so that a request outlives whoever dies; one that lives and fails it may do so again elsewhere. */
static bool may_try_other_line(const struct exchange *ex, enum reason reason)
{
    unsigned failures = reason == REASON_CONNECTION_LOST ? ex->n_line_failures : ex->n_line_failures + 1U;
    return ex->over.line && ex->over.line != NO_LINE && !ex->only && ex->n_lines_tried + 1 < TUNNEL_TRIES_MAX && failures < TUNNEL_FAILURES_MAX;
}

static const struct failover *failover_of(const struct exchange *ex)
{
    static const struct failover none = { 0 };
    return ex->load_balancer ? &ex->load_balancer->failover : &none;
}

static bool may_try_other_endpoint(const struct exchange *ex)
{
    return ex->retries < failover_of(ex)->retries && ex->n_tried < EXCHANGE_TRIED_MAX && !affinity_forbids_another(ex);
}

static struct retry_decision decide_retry(const struct exchange *ex, enum upstream_stage stage, enum reason reason, unsigned status)
{
    const struct http_field *key = http_head_find(ex->head, FIELD_IDEMPOTENCY_KEY);
    struct retry_case c = {
        .stage = stage,
        .reason = reason,
        .status = status,
        .method = (enum http_method)ex->head->method,
        .body_kept = !ex->body_dropped,
        .idempotency_key = key != NULL,
        .forwarded = ex->state >= EXCHANGE_RESPONDING,
        .timed_out_before = ex->timed_out,
        .others_tried = ex->retries,
        .has_line = !status && may_try_other_line(ex, reason),
        .same_tried = ex->same_tried,
    };
    struct retry_decision decision = retry_decide(failover_of(ex), &c);
    if (ex->only)
        decision.retry = decision.retry == RETRY_SAME_FRESH ? RETRY_SAME_FRESH : RETRY_NO;
    return decision;
}

/* Another endpoint than the present one, which stays where there is none. */
static enum choice_result look_for_another(struct exchange *ex)
{
    const struct endpoint *present = ex->endpoint;
    if (!may_try_other_endpoint(ex))
        return CHOICE_NONE;
    strike_out(ex);
    enum choice_result result = choose(ex);
    if (result == CHOICE_NONE) {
        explain_then(ex, THEN_NOBODY);
        ex->endpoint = present;
        ex->n_tried--;
    }
    return result;
}

/* The same, while the present one's answer can still be given instead: that is better than to wait for one that is full. */
static bool choose_another(struct exchange *ex)
{
    const struct endpoint *present = ex->endpoint;
    enum choice_result result = look_for_another(ex);
    if (result == CHOICE_FULL) {
        ex->endpoint = present;
        ex->n_tried--;
    }
    return result == CHOICE_MADE;
}

static void count_retry(struct exchange *ex, const struct endpoint *from)
{
    ex->retries++;
    explain_then(ex, THEN_AGAIN);
    counter_add(&ex->worker->counters.retries, 1);
    counter_add(&worker_counts(ex->worker, from->live)->retries, 1);
}

static void rewind_body(struct exchange *ex)
{
    ex->prefix_sent = 0;
    ex->body_sent = 0;
    ex->body_finished = false;
}

/* Another connection of the same tunnel. False: there is none, or enough were tried. */
static bool try_other_line(struct exchange *ex, enum reason reason)
{
    if (!may_try_other_line(ex, reason))
        return false;
    ex->lines_tried[ex->n_lines_tried++] = ex->over;
    if (reason != REASON_CONNECTION_LOST)
        ex->n_line_failures++;
    struct tunnel_opened opened = open_tunnel(ex);
    if (!opened.upstream)
        return false;
    trace(TRACE_EXCHANGE, "%s: another connection of %s", ex->request_id, ex->endpoint->id);
    explain_then(ex, THEN_AGAIN);
    explain_try(ex, TRY_OTHER_LINE);
    rewind_body(ex);
    hold_endpoint(ex);
    take_tunnel(ex, &opened);
    return true;
}

/* The failed one is behind us already; the last failure is what the client hears of if there is no other. */
static void try_other(struct exchange *ex, enum reason reason)
{
    const struct endpoint *from = ex->endpoint;
    if (try_other_line(ex, reason))
        return;
    switch (look_for_another(ex)) {
    case CHOICE_MADE:
        count_retry(ex, from);
        try_endpoint(ex, UPSTREAM_ANY);
        return;
    case CHOICE_FULL:
        count_retry(ex, from);
        wait_in_queue(ex);
        return;
    case CHOICE_NONE: give_up(ex, reason); return;
    }
}

static void after_failure(struct exchange *ex, enum upstream_stage stage, enum reason reason)
{
    struct retry_decision decision = decide_retry(ex, stage, reason, 0);
    ex->timed_out |= stage == STAGE_RESPONSE_TIMEOUT;
    if (decision.charged && decision.retry != RETRY_NO && !retry_budget_take(&ex->worker->budget, &ex->in_budget)) {
        counter_add(&ex->worker->counters.retries_refused_by_budget, 1);
        decision.retry = RETRY_NO;
        explain_then(ex, THEN_NO_BUDGET);
    }
    switch (decision.retry) {
    case RETRY_NO: give_up(ex, reason); return;
    case RETRY_SAME_FRESH:
        ex->same_tried++;
        explain_then(ex, THEN_AGAIN);
        try_endpoint(ex, UPSTREAM_FRESH);
        return;
    case RETRY_OTHER: try_other(ex, reason); return;
    }
}

/* The upstream of this try is gone, or never was. */
static void end_try(struct exchange *ex, enum reason reason, const char *detail)
{
    ex->upstream = NULL;
    ex->reason = (uint8_t)reason;
    trace(TRACE_EXCHANGE, "%s: %s failed: %s", ex->request_id, ex->endpoint ? ex->endpoint->id : "our own answer",
          detail ? detail : reason_sentence(reason));
    explain_failed(ex, reason, 0, detail);
    release_endpoint(ex);
    ex->upstream_until = 0;
    if (ex->endpoint && !(ex->over.line && reason == REASON_TUNNEL_INACTIVE)) /* that the edge knows better than traffic can */
        account_health(ex, reason);
    if (ex->client_ops->try_failed)
        ex->client_ops->try_failed(ex->client, reason, detail);
}

void exchange_upstream_failed(struct exchange *ex, enum upstream_stage stage, enum reason reason, const char *detail)
{
    if (ex->state == EXCHANGE_RAW) { /* its endpoint is not known any more, and answered long ago */
        ex->upstream = NULL;
        end(ex, reason, reason);
        return;
    }
    end_try(ex, reason, detail);
    if (ex->state == EXCHANGE_RESPONDING)
        end(ex, reason, reason);
    else
        after_failure(ex, stage, reason);
}

/* --- the request --- */

/* How much of a body is kept for sending it again. */
static uint64_t replay_limit(const struct exchange *ex)
{
    uint64_t limit = ex->load_balancer ? ex->load_balancer->failover.buffer : 0;
    return limit < BUFFER_LARGE ? limit : BUFFER_LARGE;
}

static void forget_body(struct exchange *ex)
{
    buffer_give(&ex->worker->buffers, ex->body);
    ex->body = NULL;
    ex->body_sent = 0;
}

static struct slice unsent_prefix(const struct exchange *ex)
{
    return slice_from(ex->prefix, ex->prefix_sent);
}

static struct slice unsent_body(const struct exchange *ex)
{
    if (!ex->body)
        return (struct slice){ NULL, 0 };
    return (struct slice){ ex->body->data + ex->body_sent, ex->body->end - ex->body_sent };
}

/* The next piece to send, and whether it is the last. */
static struct slice next_piece(const struct exchange *ex, bool *last)
{
    struct slice body = unsent_body(ex), prefix = unsent_prefix(ex);
    *last = ex->body_ended && (!prefix.n || !body.n);
    return prefix.n ? prefix : body;
}

static void mark_sent(struct exchange *ex, size_t n)
{
    if (ex->prefix_sent < ex->prefix.n)
        ex->prefix_sent += n;
    else
        ex->body_sent += (uint32_t)n;
}

static void ask_for_body(struct exchange *ex)
{
    if (ex->body_ended || !ex->body_blocked)
        return;
    ex->body_blocked = false;
    ex->client_ops->want_body(ex->client);
}

/* For upstreams that don't keep time themselves: anew whenever something moved. */
static void await_upstream(struct exchange *ex)
{
    nsec_t at_most = 0;
    if (ex->upstream && !ex->upstream_ops->keeps_time && !ex->blocked_by_client) {
        if (ex->state == EXCHANGE_SENT)
            at_most = ex->timeouts->response_header;
        else if (ex->state == EXCHANGE_RESPONDING)
            at_most = ex->timeouts->response_idle;
    }
    if (!at_most && !ex->upstream_until)
        return;
    ex->upstream_until = at_most ? worker_now(ex->worker) + at_most : 0;
    arm_timer(ex);
}

/* Sends what there is of the body, until the upstream has no room or nothing is left. */
static void send_body(struct exchange *ex)
{
    while (!ex->body_finished) {
        bool last;
        struct slice piece = next_piece(ex, &last);
        if (!piece.n && !last)
            break;
        ssize_t taken = ex->upstream_ops->send_body(ex->upstream, piece, last);
        if (taken < 0)
            return; /* it will tell from its own event */
        mark_sent(ex, (size_t)taken);
        if (taken > 0)
            await_upstream(ex);
        if ((size_t)taken < piece.n)
            return;
        ex->body_finished = last;
    }
    if (ex->state == EXCHANGE_RAW)
        forget_body(ex); /* it may be idle for days */
    ask_for_body(ex);
}

static void send_request(struct exchange *ex)
{
    struct message_out out;
    struct forward_notes notes;
    bool last;
    forward_request(ex, &out, &notes);
    ex->times.connected = worker_now(ex->worker);
    if (ex->worker->log && ex->upstream_ops->describe)
        ex->upstream_ops->describe(ex->upstream, ex->upstream_address, sizeof ex->upstream_address, &ex->upstream_reused);
    set_state(ex, EXCHANGE_SENT);
    struct slice piece = next_piece(ex, &last);
    ex->body_blocked = !ex->body_ended; /* once there is room the client is asked on: an Expect is answered, a pause ends */
    ssize_t taken = ex->upstream_ops->send_head(ex->upstream, &out, piece, last);
    ex->times.sent = worker_now(ex->worker);
    await_upstream(ex);
    if (taken < 0)
        return;
    mark_sent(ex, (size_t)taken);
    if ((size_t)taken < piece.n)
        return;
    ex->body_finished = last;
    if (!last)
        send_body(ex);
}

enum exchange_hold exchange_upstream_ready(struct exchange *ex)
{
    if (ex->connect_only) {
        ex->client_ops->connected(ex->client);
        ex->upstream = NULL;
        end(ex, REASON_NONE, REASON_NONE);
        return EXCHANGE_LET_GO;
    }
    send_request(ex);
    return EXCHANGE_HOLDS;
}

enum exchange_hold exchange_upstream_writable(struct exchange *ex)
{
    send_body(ex);
    return EXCHANGE_HOLDS;
}

/* A request that could not be sent again must not meet a connection that is closed already. */
static enum upstream_want wanted_connection(const struct exchange *ex, enum upstream_want want)
{
    if (ex->message.upgrade_websocket || want == UPSTREAM_FRESH)
        return UPSTREAM_FRESH;
    bool kept = ex->message.body == BODY_NONE || (ex->message.body == BODY_LENGTH && ex->message.length <= replay_limit(ex));
    return kept && http_method_is_idempotent((enum http_method)ex->head->method) ? want : UPSTREAM_ALIVE;
}

static struct tunnel_opened open_tunnel(struct exchange *ex)
{
    const struct tunnel_gate *gate = ex->worker->options.gate;
    struct tunnel_wish wish = {
        .decision = ex->decision,
        .asks_only = ex->explanation != NULL,
        .line = ex->only_line,
        .tried = ex->lines_tried,
        .n_tried = ex->n_lines_tried,
        .other_connector = ex->n_lines_tried && ex->reason == REASON_ORIGIN_UNREACHABLE,
        .has_body = ex->message.body != BODY_NONE,
        .host = ex->message.host_port,
        .random = random_u64(&ex->worker->random),
        .key = request_hash(ex, &ex->snapshot->config->edge.replica_steering.key),
        .latitude = locate(ex)->latitude,
        .longitude = ex->place.longitude,
        .session = affinity_within(ex, ex->endpoint),
    };
    if (!gate || !ex->endpoint->edge_tunnel)
        return (struct tunnel_opened){ .reason = REASON_TUNNEL_INACTIVE };
    return gate->open(gate->worker, ex->endpoint->edge_tunnel, ex, &wish);
}

void exchange_explain_tunnel(struct exchange *ex)
{
    open_tunnel(ex);
}

static void take_tunnel(struct exchange *ex, const struct tunnel_opened *opened)
{
    ex->upstream_ops = opened->ops;
    ex->upstream = opened->upstream;
    ex->over = opened->over;
    send_request(ex);
}

static void try_tunnel(struct exchange *ex)
{
    ex->n_lines_tried = ex->n_line_failures = 0;
    ex->over = (struct tunnel_try){ 0 };
    struct tunnel_opened opened = open_tunnel(ex);
    if (opened.upstream) {
        take_tunnel(ex, &opened);
    } else if (opened.reason == REASON_NO_LOAD_BALANCER) {
        answer(ex, 404, opened.reason, reason_sentence(opened.reason), 0);
    } else {
        ex->over.line = NO_LINE;
        end_try(ex, opened.reason, NULL);
        after_failure(ex, STAGE_NOT_CONNECTED, opened.reason);
    }
}

/* Where the request may be sent again it goes at once; the connection that is silent may live, and then nobody is harmed. */
enum exchange_hold exchange_upstream_suspect(struct exchange *ex)
{
    if (ex->state != EXCHANGE_SENT || ex->only || decide_retry(ex, STAGE_SENT, REASON_CONNECTION_LOST, 0).retry != RETRY_OTHER)
        return EXCHANGE_HOLDS;
    const struct endpoint *from = ex->endpoint;
    explain_failed(ex, REASON_CONNECTION_LOST, 0, "the connection does not answer");
    if (try_other_line(ex, REASON_CONNECTION_LOST)) {
        add_in_flight(ex->worker, from->live, -1); /* counted twice for a moment */
        return EXCHANGE_LET_GO;
    }
    if (!choose_another(ex)) {
        explain_then(ex, THEN_WAITS);
        return EXCHANGE_HOLDS;
    }
    ex->upstream_until = 0;
    release(ex, from->live);
    count_retry(ex, from);
    try_endpoint(ex, UPSTREAM_ANY);
    return EXCHANGE_LET_GO;
}

static void try_endpoint(struct exchange *ex, enum upstream_want want)
{
    struct upstream_pool *pool = ex->only ? ex->only_pool : ex->snapshot->upstreams[ex->endpoint->index];
    rewind_body(ex);
    hold_endpoint(ex);
    ex->times.chosen = worker_now(ex->worker);
    explain_try(ex, want == UPSTREAM_FRESH ? TRY_SAME_FRESH : ex->retries ? TRY_OTHER : TRY_FIRST);
    if (ex->endpoint->kind == ENDPOINT_EDGE) {
        try_tunnel(ex);
        return;
    }
    ex->over.line = 0;
    struct upstream_start start = upstream_acquire(pool, ex, wanted_connection(ex, want));
    ex->upstream_ops = &h1_upstream_ops;
    ex->upstream = start.upstream;
    if (!start.upstream) {
        end_try(ex, start.reason, NULL);
        after_failure(ex, STAGE_NOT_CONNECTED, start.reason);
    } else if (start.ready) {
        send_request(ex);
    } else {
        set_state(ex, EXCHANGE_CONNECTING);
    }
}

static void wait_in_queue(struct exchange *ex)
{
    struct worker *w = ex->worker;
    if (!ex->queue_until)
        ex->queue_until = worker_now(w) + ex->timeouts->queue;
    explain_queued(ex);
    set_state(ex, EXCHANGE_QUEUED);
    list_push_back(&w->queue, &ex->queue);
    if (!timer_is_armed(&w->queue_timer))
        timer_arm(&w->timers, &w->queue_timer, TIMER_TICK);
    arm_timer(ex);
}

/* False: it waits in the queue. */
static bool choose_and_try(struct exchange *ex)
{
    set_state(ex, EXCHANGE_CHOOSING);
    switch (choose(ex)) {
    case CHOICE_MADE:
        if (ex->queue_until) {
            ex->queue_until = 0;
            arm_timer(ex);
        }
        try_endpoint(ex, UPSTREAM_ANY);
        return true;
    case CHOICE_FULL: wait_in_queue(ex); return false;
    case CHOICE_NONE: break;
    }
    give_up(ex, ex->n_tried ? (enum reason)ex->reason : REASON_NO_ENDPOINT); /* the last failure says why */
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
    wait_in_queue(ex);
    worker_wake_queue(ex->worker);
}

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
    case DIRECT_NO_LOAD_BALANCER: answer(ex, 404, REASON_NO_LOAD_BALANCER, reason_sentence(REASON_NO_LOAD_BALANCER), 0); return false;
    case DIRECT_DISABLED: answer_by_page_or(ex, "the load balancer of this host is disabled"); return false;
    case DIRECT_TO_ENDPOINTS:
    case DIRECT_RESPONSE: break;
    }
    if (limit && known > limit) {
        exchange_refuse(ex, 413, REASON_BODY_TOO_LARGE);
        return false;
    }
    if (direction == DIRECT_RESPONSE)
        answer_by_rule(ex, &rule->response);
    return direction == DIRECT_TO_ENDPOINTS;
}

static void begin_local(struct exchange *ex)
{
    ex->upstream_ops = &local_upstream_ops;
    ex->upstream = local_upstream_new(ex);
    if (ex->upstream)
        send_request(ex);
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
    set_state(ex, EXCHANGE_CHOOSING);
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
        arm_timer(ex);
    }
    take_turn(ex);
}

/* --- the request's body, from the client's side --- */

/* Makes room by forgetting what was sent, at the price of not being able to send it again. */
static void drop_sent(struct exchange *ex)
{
    struct buffer *b = ex->body;
    uint32_t left = b->end - ex->body_sent;
    if (ex->prefix_sent < ex->prefix.n || !ex->body_sent || (left && ex->body_sent < b->size / 2))
        return;
    memmove(b->data, b->data + ex->body_sent, left);
    b->end = left;
    ex->body_sent = 0;
    ex->body_dropped = true;
}

char *exchange_body_space(struct exchange *ex, size_t *room)
{
    if (!ex->body && !(ex->body = buffer_take(&ex->worker->buffers, BUFFER_LARGE)))
        return NULL;
    if (ex->prefix.n + ex->body->end >= replay_limit(ex) || ex->state == EXCHANGE_RAW)
        drop_sent(ex);
    *room = buffer_room(ex->body);
    ex->body_blocked = *room == 0;
    return *room ? ex->body->data + ex->body->end : NULL;
}

static void stay_awake(struct exchange *ex)
{
    ex->abort_at = worker_now(ex->worker) + exchange_memory_idle(ex->memory);
    arm_timer(ex);
}

void exchange_body_arrived(struct exchange *ex, size_t n, bool last)
{
    ex->body->end += (uint32_t)n;
    ex->body_bytes += n;
    ex->body_ended = last;
    if (ex->state == EXCHANGE_RAW) {
        stay_awake(ex);
    } else {
        uint64_t limit = ex->load_balancer ? ex->load_balancer->limits.body_size : 0;
        if (limit && ex->body_bytes > limit && ex->state < EXCHANGE_RESPONDING) {
            exchange_refuse(ex, 413, REASON_BODY_TOO_LARGE);
            return;
        }
    }
    if (ex->upstream && ex->state >= EXCHANGE_SENT)
        send_body(ex);
}

void exchange_body_missed(struct exchange *ex)
{
    if (ex->state == EXCHANGE_RAW && !unsent_body(ex).n)
        forget_body(ex);
}

/* --- trailers: left out where they can't be kept --- */

static struct slice cleaned(struct buffer *kept)
{
    if (!kept)
        return (struct slice){ NULL, 0 };
    kept->end = (uint32_t)trailers_clean(kept->data, kept->end);
    return (struct slice){ kept->data, kept->end };
}

void exchange_add_request_trailers(struct exchange *ex, struct slice lines)
{
    trailers_keep(&ex->worker->buffers, &ex->request_trailers, lines);
}

struct slice exchange_request_trailers(struct exchange *ex)
{
    return cleaned(ex->request_trailers);
}

void exchange_add_response_trailers(struct exchange *ex, struct slice lines)
{
    trailers_keep(&ex->worker->buffers, &ex->response_trailers, lines);
}

struct slice exchange_response_trailers(struct exchange *ex)
{
    return cleaned(ex->response_trailers);
}

void exchange_client_writable(struct exchange *ex)
{
    if (ex->local_reply && ex->rest.n) {
        give_rest_of_reply(ex);
        return;
    }
    if (!ex->blocked_by_client)
        return;
    ex->blocked_by_client = false;
    await_upstream(ex);
    ex->upstream_ops->want_body(ex->upstream);
}

void exchange_client_gone(struct exchange *ex, enum reason reason)
{
    abort_upstream(ex);
    finish(ex, reason);
}

/* It may be gone altogether, which only a write can find out: so it is given up once nothing was written for a while. */
void exchange_client_half_closed(struct exchange *ex)
{
    ex->abort_at = worker_now(ex->worker) + ex->timeouts->client_abort;
    arm_timer(ex);
}

void exchange_cut(struct exchange *ex, enum reason reason)
{
    abort_upstream(ex);
    end(ex, reason, reason);
}

/* --- the response --- */

static void note_first_byte(struct exchange *ex, unsigned status)
{
    struct worker *w = ex->worker;
    ex->times.first_byte = worker_now(w);
    nsec_t taken = ex->times.first_byte - ex->times.sent;
    if (!ex->only)
        histogram_add(&w->counters.first_byte, taken);
    enum reason reason = reason_of_status(status);
    if (reason == REASON_NONE && !ex->only)
        latency_record(ex->endpoint->live, ex->times.first_byte, nsec_to_seconds(taken), latency_decay(ex));
    account_health(ex, reason);
}

/* An answer that another endpoint may do better. True: the exchange has gone on to that one. */
static bool retry_instead(struct exchange *ex, unsigned status)
{
    enum reason reason = reason_of_status(status);
    struct retry_decision decision = decide_retry(ex, STAGE_RESPONSE, reason, status);
    const struct endpoint *from = ex->endpoint;
    if (decision.retry != RETRY_OTHER)
        return false;
    explain_failed(ex, reason, status, NULL);
    if (decision.charged && !retry_budget_take(&ex->worker->budget, &ex->in_budget)) {
        counter_add(&ex->worker->counters.retries_refused_by_budget, 1);
        explain_then(ex, THEN_NO_BUDGET);
        return false;
    }
    if (!choose_another(ex))
        return false;
    release(ex, from->live);
    trace(TRACE_EXCHANGE, "%s: %s answered %u: on to %s", ex->request_id, from->id, status, ex->endpoint->id);
    ex->upstream = NULL;
    count_retry(ex, from);
    try_endpoint(ex, UPSTREAM_ANY);
    return true;
}

enum exchange_hold exchange_interim(struct exchange *ex, const struct http_head *head, const char *base)
{
    /* Our own 100 has gone out where the client asked for one; theirs answers nobody. */
    if (head->status == 100)
        return EXCHANGE_HOLDS;
    struct message_out out = {
        .base = base,
        .head = head,
        .status = head->status,
        .reason = { base + head->reason, head->reason_len },
    };
    ex->client_ops->send_interim(ex->client, &out);
    return EXCHANGE_HOLDS;
}

/* After a 101 bytes go both ways, perhaps for days: the configuration and the request's buffers are let go. */
static bool become_raw(struct exchange *ex)
{
    struct worker *w = ex->worker;
    if (!(ex->memory = exchange_memory_new(ex)))
        return false;
    set_state(ex, EXCHANGE_RAW);
    counter_add(&w->counters.upgrades, 1);
    gauge_add(&w->counters.upgraded, 1);
    freelist_give(&w->heads_free, ex->head);
    ex->head = NULL;
    ex->base = NULL;
    ex->prefix = (struct slice){ NULL, 0 };
    ex->prefix_sent = 0;
    forget_body(ex);
    ex->body_ended = ex->body_finished = false;
    ex->body_blocked = true;
    ex->load_balancer = NULL;
    ex->endpoint = NULL;
    ex->timeouts = NULL;
    snapshot_unref(ex->snapshot);
    ex->snapshot = NULL;
    ex->total_until = 0;
    stay_awake(ex);
    return true;
}

/* The client took `taken` of what was given; `all`: and that was the rest of the response. */
static enum exchange_hold after_giving(struct exchange *ex, ssize_t taken, size_t given, bool last, size_t *out)
{
    if (taken == SEND_FAILED) {
        finish(ex, REASON_CLIENT_GONE);
        return EXCHANGE_LET_GO;
    }
    *out = (size_t)taken;
    ex->response_bytes += (size_t)taken;
    if (last && (size_t)taken == given) {
        ex->upstream = NULL;
        end(ex, REASON_NONE, REASON_NONE);
        return EXCHANGE_LET_GO;
    }
    ex->blocked_by_client = (size_t)taken < given;
    if (taken && ex->state == EXCHANGE_RESPONDING && ex->abort_at)
        exchange_client_half_closed(ex); /* it may still be there: anew */
    await_upstream(ex);
    return EXCHANGE_HOLDS;
}

enum exchange_hold exchange_response(struct exchange *ex, struct http_head *head, const char *base, const struct http_message *message,
                                     struct slice body, bool last, size_t *taken)
{
    unsigned status = head->status;
    if (ex->endpoint) {
        note_first_byte(ex, status);
        if (status >= 400 && retry_instead(ex, status))
            return EXCHANGE_LET_GO;
    }
    struct message_out out;
    struct forward_notes notes;
    forward_response(ex, head, base, message, &out, &notes);
    ex->status = (uint16_t)status;
    ex->reason = REASON_NONE;
    if (!ex->only)
        reply_count_status(ex->worker, status);
    set_state(ex, EXCHANGE_RESPONDING);
    ssize_t n = ex->client_ops->send_head(ex->client, &out, body, last);
    if (status != 101 || n == SEND_FAILED)
        return after_giving(ex, n, body.n, last, taken);

    if (!become_raw(ex)) {
        ex->upstream = NULL;
        end(ex, REASON_INTERNAL, REASON_INTERNAL);
        return EXCHANGE_LET_GO;
    }
    ask_for_body(ex);
    return after_giving(ex, n, body.n, last, taken);
}

enum exchange_hold exchange_response_body(struct exchange *ex, struct slice body, bool last, size_t *taken)
{
    if (ex->state == EXCHANGE_RAW)
        stay_awake(ex);
    return after_giving(ex, ex->client_ops->send_body(ex->client, body, last), body.n, last, taken);
}

/* --- time --- */

static void upstream_is_late(struct exchange *ex)
{
    ex->upstream_until = 0;
    if (ex->state >= EXCHANGE_RESPONDING) {
        exchange_cut(ex, REASON_RESPONSE_IDLE);
        return;
    }
    abort_upstream(ex);
    end_try(ex, REASON_RESPONSE_TIMEOUT, "no response in time");
    after_failure(ex, STAGE_RESPONSE_TIMEOUT, REASON_RESPONSE_TIMEOUT);
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
            give_up(ex, REASON_TOTAL_TIMEOUT);
    } else if (ex->upstream_until && ex->upstream_until <= now) {
        upstream_is_late(ex);
    } else if (ex->queue_until && ex->queue_until <= now) {
        ex->queue_until = 0;
        give_up(ex, REASON_QUEUE_TIMEOUT);
    } else {
        arm_timer(ex);
    }
}
