#include "proxy/exchange_try.h"

#include "base/log.h"
#include "proxy/affinity.h"
#include "proxy/exchange_answer.h"
#include "proxy/exchange_health.h"
#include "proxy/exchange_inside.h"
#include "proxy/exchange_log.h"
#include "proxy/exchange_relay.h"
#include "proxy/exchange_retry.h"
#include "proxy/explain.h"
#include "proxy/request_hash.h"

/* --- what it holds of its endpoint --- */

void exchange_add_in_flight(struct worker *w, struct endpoint_live *live, int n)
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
    exchange_add_in_flight(ex->worker, ex->endpoint->live, 1);
    counter_add(&worker_counts(ex->worker, ex->endpoint->live)->requests, 1);
}

void exchange_release(struct exchange *ex, struct endpoint_live *live)
{
    if (!ex->counted)
        return;
    ex->counted = false;
    exchange_add_in_flight(ex->worker, live, -1);
    worker_wake_queue(ex->worker);
}

void exchange_release_endpoint(struct exchange *ex)
{
    if (ex->counted)
        exchange_release(ex, ex->memory ? exchange_memory_live(ex->memory) : ex->endpoint->live);
}

void exchange_abort_upstream(struct exchange *ex)
{
    void *upstream = ex->upstream;
    ex->upstream = NULL;
    if (upstream)
        ex->upstream_ops->abort(upstream);
}

void exchange_end_try(struct exchange *ex, enum reason reason, const char *detail)
{
    ex->upstream = NULL;
    ex->reason = (uint8_t)reason;
    trace(TRACE_EXCHANGE, "%s: %s failed: %s", ex->request_id, ex->endpoint ? ex->endpoint->id : "our own answer",
          detail ? detail : reason_sentence(reason));
    explain_failed(ex, reason, 0, detail);
    exchange_release_endpoint(ex);
    ex->upstream_until = 0;
    if (ex->endpoint && !(ex->over.line && reason == REASON_TUNNEL_INACTIVE)) /* that the edge knows better than traffic can */
        exchange_account_health(ex, reason);
    if (ex->client_ops->try_failed)
        ex->client_ops->try_failed(ex->client, reason, detail);
}

/* --- over a tunnel of our edge --- */

static struct tunnel_opened open_tunnel(struct exchange *ex, bool no_doubtful)
{
    const struct tunnel_gate *gate = ex->worker->options.gate;
    struct tunnel_wish wish = {
        .decision = ex->decision,
        .asks_only = ex->explanation != NULL,
        .line = ex->only_line,
        .tried = ex->lines_tried,
        .n_tried = ex->n_lines_tried,
        .other_connector = ex->n_lines_tried && ex->reason == REASON_ORIGIN_UNREACHABLE,
        .no_doubtful = no_doubtful,
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
    open_tunnel(ex, false);
}

static void take_tunnel(struct exchange *ex, const struct tunnel_opened *opened)
{
    ex->upstream_ops = opened->ops;
    ex->upstream = opened->upstream;
    ex->over = opened->over;
    exchange_send_request(ex);
}

bool exchange_try_line(struct exchange *ex, bool no_doubtful)
{
    struct tunnel_opened opened = open_tunnel(ex, no_doubtful);
    if (!opened.upstream)
        return false;
    trace(TRACE_EXCHANGE, "%s: another connection of %s", ex->request_id, ex->endpoint->id);
    explain_then(ex, THEN_AGAIN);
    explain_try(ex, TRY_OTHER_LINE);
    exchange_rewind_body(ex);
    hold_endpoint(ex);
    take_tunnel(ex, &opened);
    return true;
}

static void try_tunnel(struct exchange *ex)
{
    ex->n_lines_tried = ex->n_line_failures = 0;
    ex->over = (struct tunnel_try){ 0 };
    struct tunnel_opened opened = open_tunnel(ex, false);
    if (opened.upstream) {
        take_tunnel(ex, &opened);
    } else if (opened.reason == REASON_NO_LOAD_BALANCER) {
        exchange_refuse(ex, 404, opened.reason);
    } else {
        ex->over.line = EXCHANGE_NO_LINE;
        exchange_end_try(ex, opened.reason, NULL);
        exchange_after_failure(ex, STAGE_NOT_CONNECTED, opened.reason);
    }
}

/* --- to the endpoint --- */

/* A request that could not be sent again must not meet a connection that is closed already. */
static enum upstream_want wanted_connection(const struct exchange *ex, enum upstream_want want)
{
    if (ex->message.upgrade_websocket || want == UPSTREAM_FRESH)
        return UPSTREAM_FRESH;
    bool kept = ex->message.body == BODY_NONE || (ex->message.body == BODY_LENGTH && ex->message.length <= exchange_replay_limit(ex));
    return kept && http_method_is_idempotent((enum http_method)ex->head->method) ? want : UPSTREAM_ALIVE;
}

void exchange_try_endpoint(struct exchange *ex, enum upstream_want want)
{
    struct upstream_pool *pool = ex->only ? ex->only_pool : ex->snapshot->upstreams[ex->endpoint->index];
    if (pool)
        upstream_pool_prefetch_next(pool);
    exchange_rewind_body(ex);
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
        exchange_end_try(ex, start.reason, NULL);
        exchange_after_failure(ex, STAGE_NOT_CONNECTED, start.reason);
    } else if (start.ready) {
        exchange_send_request(ex);
    } else {
        exchange_set_state(ex, EXCHANGE_CONNECTING);
    }
}
