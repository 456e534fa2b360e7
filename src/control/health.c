#include "control/health.h"

#include "balance/live.h"
#include "balance/outlier.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/tell.h"
#include "control/tunnels.h"
#include "control/ways.h"
#include "monitors/scheduler.h"

#include <stdio.h>

/* Ejections end and slow starts go on in steps of this; a tunnel that only waits for a good answer is looked at less often. */
static const double sweep_s = 0.1, sweep_waiting_s = 1.0;
enum { RAMP_SWEEPS = 5 /* weights move twice a second while they ramp */ };

struct endpoint_record *control_find_endpoint(struct control *control, const char *id)
{
    struct endpoint_record *record;
    HASH_FIND_STR(control->endpoints, id, record);
    return record;
}

/* --- one endpoint --- */

bool health_name_is_pending(const struct endpoint_record *record)
{
    return record->watch && !record->resolved && !record->evidence.name_detail[0];
}

bool health_is_pending(const struct endpoint_record *record)
{
    return record->verdict.state == VERDICT_UNKNOWN || health_name_is_pending(record);
}

static void gather_tunnel(const struct control *control, const struct endpoint *endpoint, struct tunnel_evidence *out)
{
    struct tunnel *t = endpoint->edge_tunnel;
    *out = (struct tunnel_evidence){ .of_edge = endpoint->kind == ENDPOINT_EDGE, .exists = t, .usable = t && tunnel_is_usable(t),
                                     .held_back = t && tunnel_is_held_back(t) };
    if (t)
        out->status = (enum tunnel_status)atomic_load_explicit(&t->status, memory_order_relaxed);
    if (t && control->registry)
        out->for_a_moment = tunnels_refuse(control->registry, endpoint, out->refused) == TUNNELS_WAIT;
}

static void gather(struct endpoint_record *record, nsec_t now)
{
    struct evidence *e = &record->evidence;
    struct endpoint_live *live = record->live;
    e->ejected = outlier_is_ejected(live, now);
    e->ejected_for = (enum reason)atomic_load_explicit(&live->ejected_for, memory_order_relaxed);
    e->ejected_until = atomic_load_explicit(&live->ejected_until, memory_order_relaxed);
    e->consecutive_failures = atomic_load_explicit(&live->consecutive_failures, memory_order_relaxed);
    e->admin = (enum admin_state)atomic_load_explicit(&live->admin, memory_order_relaxed);
    e->enabled = record->endpoint->enabled;
    gather_tunnel(record->control, record->endpoint, &e->tunnel);
}

static void reach(const struct endpoint_record *record, nsec_t now, struct verdict *out)
{
    verdict_reach(&record->evidence, now, out);
    bool in_use = out->state != VERDICT_DRAINED && out->state != VERDICT_DISABLED;
    if (!in_use || !health_name_is_pending(record))
        return;
    *out = (struct verdict){ .state = VERDICT_UNKNOWN, .health = HEALTH_UNKNOWN };
    snprintf(out->reason, sizeof out->reason, "unknown: %s is being resolved", record->watched_host);
}

static void start_sweeping(struct control *control)
{
    if (control->stopping || (ev_is_active(&control->sweep) && control->sweep.repeat <= sweep_s))
        return;
    control->sweep.repeat = sweep_s;
    ev_timer_again(control->loop, &control->sweep);
}

/* True if it is news to them. */
static bool show_workers(const struct endpoint_record *record, nsec_t now)
{
    struct endpoint_live *live = record->live;
    bool resolving = health_name_is_pending(record), kept_out = record->evidence.tunnel.refused[0];
    bool dialable = record->evidence.dialable && !resolving && !kept_out;
    atomic_store_explicit(&live->kept_out, kept_out, memory_order_relaxed);
    atomic_store_explicit(&live->resolving, resolving, memory_order_relaxed);
    bool dialable_before = atomic_exchange_explicit(&live->dialable, dialable, memory_order_relaxed);
    bool changed = endpoint_set_health(live, record->verdict.health, now);
    if (dialable && !dialable_before && record->told == VERDICT_DOWN)
        endpoint_note_return(live, now);
    return changed || dialable != dialable_before;
}

/* The first connector after the start is no return: everybody's comes then. */
static void note_tunnel(const struct endpoint_record *record, bool usable_before, nsec_t now)
{
    bool usable = record->evidence.tunnel.usable;
    if (usable_before && !usable)
        endpoint_note_loss(record->live, now);
    if (usable && !usable_before && record->told == VERDICT_DOWN)
        endpoint_note_return(record->live, now);
}

/* Is there something that only time will change? */
static bool is_in_motion(const struct endpoint_record *record, nsec_t now)
{
    return record->ramping || outlier_is_ejected(record->live, now) || atomic_load_explicit(&record->live->ejections, memory_order_relaxed);
}

static void change_state(struct endpoint_record *record, const struct verdict *now_holds)
{
    enum verdict_state from = record->verdict.state;
    trace(TRACE_HEALTH, "%s: %s -> %s: %s", record->id, verdict_state_name(from), verdict_state_name(now_holds->state), now_holds->reason);
    record->verdict = *now_holds;
    record->since = clock_wall();
}

static void announce_record(struct control *control, struct endpoint_record *record)
{
    struct announcement what;
    enum verdict_state told = record->told == VERDICT_UNKNOWN ? record->told_before : record->told;
    if (record->verdict.state == VERDICT_UNKNOWN)
        return;
    record->told = record->verdict.state;
    if (announce_endpoint(told, record->verdict.state, &what))
        tell_endpoint(control, record, told, &what);
}

/* Does its pool count a tunnel that takes no requests among others than before? The verdict may be the same. */
static bool is_missed_otherwise(const struct tunnel_evidence *before, const struct tunnel_evidence *now)
{
    return before->usable != now->usable || before->held_back != now->held_back || !before->refused[0] != !now->refused[0];
}

void health_judge(struct control *control, struct endpoint_record *record)
{
    nsec_t now = clock_monotonic();
    struct verdict verdict;
    struct tunnel_evidence tunnel = record->evidence.tunnel;
    gather(record, now);
    note_tunnel(record, tunnel.usable, now);
    reach(record, now, &verdict);
    bool changed = verdict.state != record->verdict.state || record->since == 0;
    if (changed)
        change_state(record, &verdict);
    else
        record->verdict = verdict;
    if (show_workers(record, now) || changed)
        balance_epoch_move(&control->epoch);
    record->ramping = endpoint_is_ramping(record->endpoint, now);
    if (is_in_motion(record, now))
        start_sweeping(control);
    control->unsettled = control->unsettled || changed || record->tunnel || is_missed_otherwise(&tunnel, &record->evidence.tunnel);
    announce_record(control, record);
}

/* --- pools, load balancers, tunnels --- */

static void settle_pool(struct control *control, struct pool_record *record, nsec_t now)
{
    struct pool_standing standing;
    pool_take_census(record->pool, now, &record->census);
    pool_stand(record->pool, &record->census, &standing);
    if (standing.state != record->state || record->since == 0) {
        trace(TRACE_HEALTH, "pool %s: %s -> %s: %s", record->name, pool_state_name(record->state), pool_state_name(standing.state), standing.reason);
        record->state = standing.state;
        record->since = clock_wall();
    }
    memcpy(record->reason, standing.reason, sizeof record->reason);
    enum pool_state told = record->told;
    if (standing.settled)
        record->told = standing.state;
    struct announcement what;
    if (announce_pool(told, &standing, &what))
        tell_pool(control, record, told, &what);
}

static const struct pool_census *census_of(struct control *control, const struct pool *pool)
{
    struct pool_record *record;
    HASH_FIND_STR(control->pools, pool->name, record);
    return &record->census;
}

static void stand_on_censuses(struct control *control, const struct way *way, struct load_balancer_standing *out)
{
    const struct load_balancer *lb = way->balancer;
    struct pool_census *censuses = mem_array(way->list->n + 1, sizeof *censuses);
    for (size_t i = 0; i < way->list->n; i++)
        censuses[i] = *census_of(control, way->list->pools[i]);
    load_balancer_stand(lb, way->list, censuses, lb->fallback_pool ? census_of(control, lb->fallback_pool) : NULL, out);
    free(censuses);
}

static void settle_way(struct control *control, const struct load_balancer_record *record, struct way *way)
{
    struct load_balancer_standing standing;
    stand_on_censuses(control, way, &standing);
    if (standing.state != way->state || way->since == 0) {
        trace(TRACE_HEALTH, "load balancer %s: %s -> %s: %s", way->subject, load_balancer_state_name(way->state), load_balancer_state_name(standing.state),
              standing.reason);
        way->state = standing.state;
        way->since = clock_wall();
    }
    way->pool = standing.pool;
    memcpy(way->reason, standing.reason, sizeof way->reason);
    enum load_balancer_state told = way->told;
    if (standing.settled)
        way->told = standing.state;
    struct announcement what;
    if (announce_load_balancer(told, &standing, &what))
        tell_load_balancer(control, record, way, told, &what);
}

/* As the worst of its ways, the first of several. */
static void settle_load_balancer(struct control *control, struct load_balancer_record *record)
{
    const struct way *worst = &record->ways[0];
    for (size_t i = 0; i < record->n_ways; i++) {
        settle_way(control, record, &record->ways[i]);
        if (load_balancer_worse(worst->state, record->ways[i].state) != worst->state)
            worst = &record->ways[i];
    }
    if (worst->state != record->state || record->since == 0)
        record->since = worst->since;
    record->state = worst->state;
    record->pool = record->ways[0].pool;
    int n = worst == record->ways ? 0 : snprintf(record->reason, sizeof record->reason, "%.100s: ", worst->label);
    size_t room = sizeof record->reason - (size_t)n;
    snprintf(record->reason + n, room, "%.*s", (int)room - 1, worst->reason);
}

/* Requests that came to a good end: what was sent, but for what failed or is still under way. */
static uint64_t good_answers(const struct endpoint_live *live)
{
    uint64_t sent = 0, failed = endpoint_in_flight(live);
    for (unsigned i = 0; i < endpoint_workers(live); i++) {
        sent += atomic_load_explicit(&live->counts[i].requests, memory_order_relaxed);
        failed += atomic_load_explicit(&live->counts[i].failures, memory_order_relaxed);
    }
    return sent > failed ? sent - failed : 0;
}

static bool traffic_passed(const struct endpoint_record *record)
{
    return atomic_load_explicit(&record->live->consecutive_failures, memory_order_relaxed) == 0 && good_answers(record->live) > record->good_answers;
}

static void set_tunnel_status(struct control *control, struct tunnel_record *tunnel, enum tunnel_status status, const char *reason)
{
    snprintf(tunnel->reason, sizeof tunnel->reason, "%s", reason);
    if (tunnel->status == status)
        return;
    enum tunnel_status told = tunnel->told;
    trace(TRACE_HEALTH, "tunnel %s: %s -> %s: %s", tunnel->id, tunnel_status_name(tunnel->status), tunnel_status_name(status), reason);
    tunnel->status = status;
    tunnel->since = clock_wall();
    struct announcement what;
    if (status != TUNNEL_UNKNOWN)
        tunnel->told = status;
    if (announce_tunnel(told, status, &what))
        tell_tunnel(control, tunnel, told, &what);
}

static void describe_tunnel(const struct endpoint_record *witness, bool inactive, char reason[static VERDICT_TEXT_SIZE])
{
    if (!witness)
        snprintf(reason, VERDICT_TEXT_SIZE, "no endpoint names it");
    else if (inactive && witness->verdict.diagnosis != DIAGNOSIS_TUNNEL_INACTIVE) /* never ejected, or looked at by its monitors since */
        snprintf(reason, VERDICT_TEXT_SIZE, "endpoint %.100s: requests failed: %s", witness->id, reason_sentence(REASON_TUNNEL_INACTIVE));
    else
        snprintf(reason, VERDICT_TEXT_SIZE, "endpoint %.100s: %.140s", witness->id, witness->verdict.reason);
}

static void settle_tunnel(struct control *control, struct tunnel_record *tunnel)
{
    struct tunnel_tally tally = { 0 };
    const struct endpoint_record *alive = NULL, *inactive = NULL, *any = NULL;
    for (const struct endpoint_record *e = control->endpoints; e; e = e->hh.next) {
        if (e->tunnel != tunnel)
            continue;
        enum tunnel_opinion opinion = tunnel_opinion_of(&e->evidence, e->tunnel_failed, traffic_passed(e));
        any = any ? any : e;
        alive = alive || opinion != OPINION_ALIVE ? alive : e;
        inactive = inactive || opinion != OPINION_INACTIVE ? inactive : e;
        tally.alive += opinion == OPINION_ALIVE;
        tally.inactive += opinion == OPINION_INACTIVE;
    }
    enum tunnel_status status = tunnel_stand(tunnel->status, tally);
    char reason[VERDICT_TEXT_SIZE];
    describe_tunnel(inactive ? inactive : alive ? alive : any, inactive, reason);
    set_tunnel_status(control, tunnel, status, reason);
}

static void settle(struct control *control)
{
    control->unsettled = false;
    nsec_t now = clock_monotonic();
    for (struct tunnel_record *t = control->tunnels; t; t = t->hh.next)
        settle_tunnel(control, t);
    for (struct pool_record *p = control->pools; p; p = p->hh.next)
        settle_pool(control, p, now);
    for (struct load_balancer_record *lb = control->load_balancers; lb; lb = lb->hh.next)
        settle_load_balancer(control, lb);
}

void health_settle(struct control *control)
{
    if (control->unsettled)
        settle(control);
}

/* --- evidence --- */

static void keep_monitors(struct endpoint_record *record, const struct evidence *from)
{
    record->evidence.n_monitors = from->n_monitors;
    memcpy(record->evidence.monitors, from->monitors, from->n_monitors * sizeof *from->monitors);
}

/* Until the scheduler knows the endpoint: its monitors, none of which has looked. */
static void expect_monitors(struct endpoint_record *record)
{
    const struct pool *pool = record->endpoint->pool;
    struct evidence *e = &record->evidence;
    e->n_monitors = pool->n_monitors < EVIDENCE_MONITORS_MAX ? (unsigned)pool->n_monitors : EVIDENCE_MONITORS_MAX;
    for (unsigned i = 0; i < e->n_monitors; i++)
        e->monitors[i] = (struct monitor_evidence){ .name = pool->monitors[i]->name };
}

static void read_monitors(struct control *control, struct endpoint_record *record)
{
    struct evidence monitors;
    if (scheduler_evidence(control->scheduler, record->id, &monitors))
        keep_monitors(record, &monitors);
    else
        expect_monitors(record);
}

void health_judge_all(struct control *control)
{
    for (struct endpoint_record *record = control->endpoints; record; record = record->hh.next) {
        read_monitors(control, record);
        health_judge(control, record);
    }
    settle(control);
}

/* Every monitor passes, the last look included. */
static bool monitors_pass(const struct evidence *e)
{
    for (unsigned i = 0; i < e->n_monitors; i++)
        if (e->monitors[i].health != HEALTH_UP || e->monitors[i].passes == 0)
            return false;
    return e->n_monitors > 0;
}

static nsec_t last_look(const struct evidence *e)
{
    nsec_t last = 0;
    for (unsigned i = 0; i < e->n_monitors; i++)
        last = e->monitors[i].at > last ? e->monitors[i].at : last;
    return last;
}

void health_take_evidence(void *arg, const struct endpoint *endpoint, const struct evidence *monitors)
{
    struct control *control = arg;
    struct endpoint_record *record = control_find_endpoint(control, endpoint->id);
    if (!record || control->stopping)
        return;
    nsec_t before = last_look(&record->evidence);
    keep_monitors(record, monitors);
    if (monitors_pass(monitors) && last_look(monitors) > before) {
        if (outlier_forgive(record->live, clock_monotonic()))
            trace(TRACE_HEALTH, "%s: the monitors pass: ejection for a failure of transport lifted", record->id);
        record->tunnel_suspect = record->tunnel_failed = false;
    }
    health_judge_one(control, record);
}

static void believe_in_tunnel_failure(struct endpoint_record *record)
{
    record->tunnel_suspect = false;
    record->tunnel_failed = true;
    record->good_answers = good_answers(record->live);
}

/* The last endpoint of a pool is never ejected: the sweep sees how long its row of failures gets. */
static void suspect_tunnel(struct control *control, struct endpoint_record *record)
{
    record->tunnel_suspect = !record->tunnel_failed;
    start_sweeping(control);
}

void health_take_notice(void *arg, const struct endpoint_live *live, enum reason reason, bool ejected)
{
    struct control *control = arg;
    struct endpoint_record *record = control_find_endpoint(control, live->id);
    if (!record || record->live != live || control->stopping)
        return;
    trace(TRACE_HEALTH, "%s: traffic failed: %s%s", record->id, reason_code(reason), ejected ? ", ejected" : "");
    if (reason != REASON_NONE)
        scheduler_hurry(control->scheduler, record->id);
    if (record->watch && (reason == REASON_CONNECT_FAILED || reason == REASON_CONNECT_TIMEOUT))
        resolver_refresh(record->watch);
    if (reason == REASON_TUNNEL_INACTIVE && record->tunnel)
        suspect_tunnel(control, record);
    if (!ejected)
        return;
    if (reason == REASON_TUNNEL_INACTIVE)
        believe_in_tunnel_failure(record);
    record->good_answers = good_answers(live);
    health_judge_one(control, record);
}

/* --- the sweep: what only time changes --- */

struct sweep {
    bool soon, later, ramps;
};

static void sweep_ejection(struct control *control, struct endpoint_record *record, nsec_t now, struct sweep *sweep)
{
    if (outlier_sweep(record->live, &record->endpoint->pool->passive, now)) {
        trace(TRACE_HEALTH, "%s: the ejection is over", record->id);
        record->good_answers = good_answers(record->live);
        health_judge(control, record);
    }
    sweep->soon = sweep->soon || is_in_motion(record, now);
}

static void sweep_slow_start(struct control *control, struct endpoint_record *record, nsec_t now, struct sweep *sweep)
{
    bool was_ramping = record->ramping;
    record->ramping = endpoint_is_ramping(record->endpoint, now);
    sweep->ramps = sweep->ramps || record->ramping;
    if (!was_ramping || record->ramping)
        return;
    trace(TRACE_HEALTH, "%s: slow start is over", record->id);
    balance_epoch_move(&control->epoch);
}

static void sweep_suspect(struct control *control, struct endpoint_record *record, struct sweep *sweep)
{
    unsigned failures = atomic_load_explicit(&record->live->consecutive_failures, memory_order_relaxed), enough = record->endpoint->pool->passive.consecutive;
    if (!record->tunnel_suspect)
        return;
    if (failures == 0) {
        record->tunnel_suspect = false;
    } else if (failures < enough || enough == 0) {
        sweep->later = true;
    } else {
        trace(TRACE_HEALTH, "%s: traffic met an inactive tunnel %u times in a row", record->id, failures);
        believe_in_tunnel_failure(record);
        health_judge(control, record);
    }
}

/* A tunnel that only traffic watches is well again once a request was answered through it. */
static void sweep_failed_tunnel(struct control *control, struct endpoint_record *record, struct sweep *sweep)
{
    if (!record->tunnel_failed)
        return;
    if (record->evidence.ejected || !traffic_passed(record)) {
        sweep->later = true;
        return;
    }
    record->tunnel_failed = false;
    health_judge(control, record);
}

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct control *control = timer->data;
    nsec_t now = clock_monotonic();
    struct sweep sweep = { 0 };
    for (struct endpoint_record *e = control->endpoints; e; e = e->hh.next) {
        sweep_slow_start(control, e, now, &sweep);
        sweep_ejection(control, e, now, &sweep);
        sweep_suspect(control, e, &sweep);
        sweep_failed_tunnel(control, e, &sweep);
    }
    if (sweep.ramps && ++control->sweeps % RAMP_SWEEPS == 0)
        balance_epoch_move(&control->epoch);
    timer->repeat = sweep.soon ? sweep_s : sweep.later ? sweep_waiting_s : 0.;
    ev_timer_again(loop, timer); /* stops where there is nothing to wait for */
    health_settle(control);
}

void health_init(struct control *control)
{
    ev_timer_init(&control->sweep, on_sweep, 0., 0.);
    control->sweep.data = control;
}

void health_stop(struct control *control)
{
    ev_timer_stop(control->loop, &control->sweep);
}
