#include "proxy/exchange_retry.h"

#include "base/log.h"
#include "proxy/affinity.h"
#include "proxy/choose.h"
#include "proxy/exchange_answer.h"
#include "proxy/exchange_health.h"
#include "proxy/exchange_inside.h"
#include "proxy/exchange_relay.h"
#include "proxy/exchange_try.h"
#include "proxy/explain.h"

/* --- what is left to try --- */

static void strike_out(struct exchange *ex)
{
    ex->tried[ex->n_tried++] = ex->endpoint;
}

/* Those that were lost cost nothing, so that a request outlives whoever dies; one that lives and fails it may do so again elsewhere. */
static bool may_try_other_line(const struct exchange *ex, enum reason reason)
{
    unsigned failures = reason == REASON_CONNECTION_LOST ? ex->n_line_failures : ex->n_line_failures + 1U;
    return ex->over.line && ex->over.line != EXCHANGE_NO_LINE && !ex->only && ex->n_lines_tried + 1 < TUNNEL_TRIES_MAX
        && failures < TUNNEL_FAILURES_MAX;
}

static const struct failover *failover_of(const struct exchange *ex)
{
    static const struct failover none = { 0 };
    return ex->load_balancer ? &ex->load_balancer->failover : &none;
}

static enum retry_refused another_refused(const struct exchange *ex)
{
    if (ex->retries >= failover_of(ex)->retries || ex->n_tried == EXCHANGE_TRIED_MAX)
        return REFUSED_RETRIES;
    return affinity_forbids_another(ex) ? REFUSED_SESSION : REFUSED_NOT;
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
    enum retry_refused refused = another_refused(ex);
    explain_refused(ex, refused);
    if (refused)
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
        explain_then(ex, THEN_FULL);
        ex->endpoint = present;
        ex->n_tried--;
    }
    return result == CHOICE_MADE;
}

static void count_retry(struct exchange *ex, const struct endpoint *from)
{
    ex->retries++;
    explain_retry(ex);
    counter_add(&ex->worker->counters.retries, 1);
    counter_add(&worker_counts(ex->worker, from->live)->retries, 1);
}

static void strike_line_out(struct exchange *ex, enum reason reason)
{
    ex->lines_tried[ex->n_lines_tried++] = ex->over;
    if (reason != REASON_CONNECTION_LOST)
        ex->n_line_failures++;
}

/* Another connection of the same tunnel. False: there is none, or enough were tried. */
static bool try_other_line(struct exchange *ex, enum reason reason)
{
    if (!may_try_other_line(ex, reason))
        return false;
    strike_line_out(ex, reason);
    return exchange_try_line(ex, false);
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
        exchange_try_endpoint(ex, UPSTREAM_ANY);
        return;
    case CHOICE_FULL:
        count_retry(ex, from);
        exchange_wait_in_queue(ex);
        return;
    case CHOICE_NONE: exchange_give_up(ex, reason); return;
    }
}

/* --- what leads here --- */

/* Counted and told where there is none. */
static bool has_budget_for(struct exchange *ex, const struct retry_decision *decision)
{
    if (!decision->charged || retry_budget_take(&ex->worker->budget, &ex->in_budget))
        return true;
    counter_add(&ex->worker->counters.retries_refused_by_budget, 1);
    explain_then(ex, THEN_NO_BUDGET);
    return false;
}

void exchange_after_failure(struct exchange *ex, enum upstream_stage stage, enum reason reason)
{
    struct retry_decision decision = decide_retry(ex, stage, reason, 0);
    ex->timed_out |= stage == STAGE_RESPONSE_TIMEOUT;
    if (decision.retry != RETRY_NO && !has_budget_for(ex, &decision))
        decision.retry = RETRY_NO;
    explain_refused(ex, decision.refused);
    switch (decision.retry) {
    case RETRY_NO: exchange_give_up(ex, reason); return;
    case RETRY_SAME_FRESH:
        ex->same_tried++;
        explain_then(ex, THEN_AGAIN);
        exchange_try_endpoint(ex, UPSTREAM_FRESH);
        return;
    case RETRY_OTHER: try_other(ex, reason); return;
    }
}

void exchange_upstream_failed(struct exchange *ex, enum upstream_stage stage, enum reason reason, const char *detail)
{
    if (ex->state == EXCHANGE_RAW) { /* its endpoint is not known any more, and answered long ago */
        ex->upstream = NULL;
        exchange_end(ex, reason, reason);
        return;
    }
    exchange_end_try(ex, reason, detail);
    if (ex->state == EXCHANGE_RESPONDING) {
        explain_refused(ex, REFUSED_BEGUN);
        exchange_end(ex, reason, reason);
    } else {
        exchange_after_failure(ex, stage, reason);
    }
}

void exchange_upstream_is_late(struct exchange *ex)
{
    ex->upstream_until = 0;
    if (ex->state >= EXCHANGE_RESPONDING) {
        exchange_cut(ex, REASON_RESPONSE_IDLE);
        return;
    }
    exchange_abort_upstream(ex);
    exchange_end_try(ex, REASON_RESPONSE_TIMEOUT, "no response in time");
    exchange_after_failure(ex, STAGE_RESPONSE_TIMEOUT, REASON_RESPONSE_TIMEOUT);
}

static bool leave_for_line(struct exchange *ex, bool no_doubtful)
{
    struct endpoint_live *live = ex->endpoint->live;
    exchange_add_in_flight(ex->worker, live, -1); /* the other try counts anew, and the exchange may be gone after it */
    if (exchange_try_line(ex, no_doubtful))
        return true;
    exchange_add_in_flight(ex->worker, live, 1);
    return false;
}

/* Where the request may be sent again it goes at once; the connection that is silent may live, and then nobody is harmed. Those beside it
 * are mostly as silent, and each takes long to find out: another tunnel comes before them. */
enum exchange_hold exchange_upstream_suspect(struct exchange *ex)
{
    if (ex->state != EXCHANGE_SENT || ex->only || decide_retry(ex, STAGE_SENT, REASON_CONNECTION_LOST, 0).retry != RETRY_OTHER)
        return EXCHANGE_HOLDS;
    const struct endpoint *from = ex->endpoint;
    bool other_line = may_try_other_line(ex, REASON_CONNECTION_LOST);
    explain_failed(ex, REASON_CONNECTION_LOST, 0, "the connection does not answer");
    if (other_line)
        strike_line_out(ex, REASON_CONNECTION_LOST);
    if (other_line && leave_for_line(ex, true))
        return EXCHANGE_LET_GO;
    if (!choose_another(ex)) {
        if (other_line && leave_for_line(ex, false))
            return EXCHANGE_LET_GO;
        explain_then(ex, THEN_WAITS);
        return EXCHANGE_HOLDS;
    }
    ex->upstream_until = 0;
    exchange_release(ex, from->live);
    count_retry(ex, from);
    exchange_try_endpoint(ex, UPSTREAM_ANY);
    return EXCHANGE_LET_GO;
}

bool exchange_retry_instead(struct exchange *ex, unsigned status)
{
    enum reason reason = exchange_reason_of_status(status);
    struct retry_decision decision = decide_retry(ex, STAGE_RESPONSE, reason, status);
    const struct endpoint *from = ex->endpoint;
    if (decision.refused == REFUSED_NO_FAILURE)
        return false;
    explain_failed(ex, reason, status, NULL);
    explain_refused(ex, decision.refused);
    if (decision.retry != RETRY_OTHER)
        return false;
    if (!has_budget_for(ex, &decision) || !choose_another(ex))
        return false;
    exchange_release(ex, from->live);
    trace(TRACE_EXCHANGE, "%s: %s answered %u: on to %s", ex->request_id, from->id, status, ex->endpoint->id);
    ex->upstream = NULL;
    count_retry(ex, from);
    exchange_try_endpoint(ex, UPSTREAM_ANY);
    return true;
}
