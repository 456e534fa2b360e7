#include "proxy/exchange_health.h"

#include "balance/latency.h"
#include "balance/outlier.h"
#include "proxy/notice.h"

/* What a failure costs an endpoint's latency at least: else one that fails fast would look fast (behaviour 4). */
static const double FAILURE_SECONDS = 1.0;

/* What the pool's policy wants, or the one that chose the pool. */
static nsec_t latency_decay(const struct exchange *ex)
{
    nsec_t of_pool = ex->endpoint->pool->steering.latency_decay, of_load_balancer = ex->load_balancer ? ex->load_balancer->steering.latency_decay : 0;
    return of_pool ? of_pool : of_load_balancer ? of_load_balancer : LATENCY_DECAY;
}

void exchange_account_health(struct exchange *ex, enum reason reason)
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

enum reason exchange_reason_of_status(unsigned status)
{
    if (status == 530)
        return REASON_TUNNEL_INACTIVE;
    if ((status >= 502 && status <= 504) || (status >= 520 && status <= 527))
        return REASON_STATUS;
    return REASON_NONE;
}

void exchange_note_first_byte(struct exchange *ex, unsigned status)
{
    struct worker *w = ex->worker;
    ex->times.first_byte = worker_now(w);
    nsec_t taken = ex->times.first_byte - ex->times.sent;
    if (!ex->only)
        histogram_add(&w->counters.first_byte, taken);
    enum reason reason = exchange_reason_of_status(status);
    if (reason == REASON_NONE && !ex->only)
        latency_record(ex->endpoint->live, ex->times.first_byte, nsec_to_seconds(taken), latency_decay(ex));
    exchange_account_health(ex, reason);
}
