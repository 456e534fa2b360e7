#include "monitors/scheduler.h"

#include "balance/live.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "monitors/check.h"
#include "monitors/history.h"

#include <math.h>
#include <string.h>
#include <uthash.h>

/* One endpoint and its jobs, in the order of its pool's monitors. */
struct watch {
    UT_hash_handle hh; /* of the scheduler, by the endpoint's id */
    struct scheduler *scheduler;
    const struct endpoint *endpoint; /* in the scheduler's configuration */
    struct job *jobs[EVIDENCE_MONITORS_MAX];
    unsigned n_jobs;
};

struct job {
    struct watch *watch;
    const struct monitor *monitor; /* in the scheduler's configuration */
    struct monitor_evidence history;
    struct check *check; /* NULL: none is under way, the timer runs */
    struct line_results lines; /* where the endpoint is a tunnel of our edge */
    struct tunnel_line *line;  /* that the check goes over; one reference */
    ev_timer timer;
    nsec_t due;          /* monotonic */
};

struct scheduler {
    struct ev_loop *loop;
    struct scheduler_callbacks callbacks;
    void *arg;
    struct config *config; /* NULL: none yet */
    struct watch *watches;
    struct random random;
};

/* One job */

static void job_arm_at(struct job *job, nsec_t due)
{
    struct ev_loop *loop = job->watch->scheduler->loop;
    nsec_t now = clock_monotonic();

    job->due = due;
    ev_timer_stop(loop, &job->timer);
    ev_now_update(loop);
    ev_timer_set(&job->timer, due > now ? nsec_to_seconds(due - now) : 0, 0);
    ev_timer_start(loop, &job->timer);
}

static void job_arm(struct job *job)
{
    double draw = random_unit(&job->watch->scheduler->random);
    nsec_t pause = history_pause(&job->history, job->monitor, draw), turning = history_pause_turning(job->monitor, draw);
    if (lines_are_turning(&job->lines) && turning < pause)
        pause = turning;
    job_arm_at(job, clock_monotonic() + pause / lines_pace(&job->lines));
}

static bool is_over_edge(const struct job *job)
{
    return job->watch->endpoint->kind == ENDPOINT_EDGE;
}

static void turned(void *arg, const char *tunnel, uint64_t line, bool sick, const char *detail)
{
    const struct scheduler *s = arg;
    if (s->callbacks.turned)
        s->callbacks.turned(s->arg, tunnel, line, sick, detail);
}

static bool may_be_probed(const struct endpoint *endpoint)
{
    bool disabled = endpoint->live && atomic_load_explicit(&endpoint->live->admin, memory_order_relaxed) == ADMIN_DISABLED;
    return endpoint->enabled && endpoint->pool->enabled && !disabled;
}

static void fill_evidence(const struct watch *watch, struct evidence *out)
{
    memset(out, 0, sizeof *out);
    out->n_monitors = watch->n_jobs;
    for (unsigned i = 0; i < watch->n_jobs; i++)
        out->monitors[i] = watch->jobs[i]->history;
}

static void tell(const struct watch *watch)
{
    const struct scheduler *s = watch->scheduler;
    struct evidence evidence;

    fill_evidence(watch, &evidence);
    s->callbacks.evidence(s->arg, watch->endpoint, &evidence);
}

/* The probe's time to first byte once it was connected, which is what a request over a kept connection takes: the newest weighs 3 in 10. */
static void note_latency(const struct endpoint *endpoint, const struct probe_result *result)
{
    nsec_t connected = result->tls > result->connect ? result->tls : result->connect;
    if (!endpoint->live || result->first_byte <= connected)
        return;
    double sample = nsec_to_seconds(result->first_byte - connected);
    double known = atomic_load_explicit(&endpoint->live->probe_latency_s, memory_order_relaxed);
    atomic_store_explicit(&endpoint->live->probe_latency_s, isnan(known) ? sample : 0.7 * known + 0.3 * sample, memory_order_relaxed);
}

static void log_turn(const struct job *job, enum health before)
{
    static const char *const names[] = { [HEALTH_UNKNOWN] = "unknown", [HEALTH_UP] = "up", [HEALTH_DOWN] = "down" };
    if (job->history.health != before)
        log_info("health", "%s: monitor %s: %s, was %s: %s", job->watch->endpoint->id, job->monitor->name, names[job->history.health],
                 names[before], job->history.detail);
}

static void drop_line(struct job *job)
{
    tunnel_line_unref(job->line);
    job->line = NULL;
}

/* Over a connection that has gone, or does not answer, a failure says nothing: who owns it has seen that itself. And nobody was asked where
 * our own worker ends. */
static bool says_nothing(const struct job *job, const struct judgement *judgement, const struct probe *last)
{
    if (last->result.reason == REASON_SHUTDOWN)
        return true;
    return job->line && !judgement->pass && atomic_load_explicit(&job->line->state, memory_order_acquire) != LINE_USABLE;
}

/* True if it counts for the endpoint. */
static bool take_over_line(struct job *job, const struct judgement *judgement)
{
    struct scheduler *s = job->watch->scheduler;
    if (!job->line)
        return true;
    if (s->callbacks.looked)
        s->callbacks.looked(s->arg, job->lines.tunnel, job->line->id, job->monitor->name, judgement->pass, judgement->detail);
    return lines_add(&job->lines, job->line->id, job->monitor, judgement, clock_monotonic(), turned, s);
}

static void take_result(struct job *job, const struct judgement *judgement, const struct probe *last)
{
    enum health before = job->history.health;
    if (says_nothing(job, judgement, last) || !take_over_line(job, judgement))
        return;
    history_add(&job->history, job->monitor, judgement, clock_monotonic());
    if (judgement->pass)
        note_latency(job->watch->endpoint, &last->result);
    log_turn(job, before);
}

static void on_check_done(void *arg, const struct judgement *judgement, const struct probe *last)
{
    struct job *job = arg;
    struct watch *watch = job->watch;

    job->check = NULL;
    if (may_be_probed(watch->endpoint))
        take_result(job, judgement, last);
    else
        history_forget(&job->history);
    drop_line(job);
    job_arm(job);
    tell(watch);
}

static void job_idle(struct job *job)
{
    bool knew = job->history.at != 0;
    history_forget(&job->history);
    lines_clear(&job->lines, turned, job->watch->scheduler);
    job_arm(job);
    if (knew)
        tell(job->watch);
}

/* False: there is nothing to send over. */
static bool choose_line(struct job *job)
{
    struct tunnel *tunnel = job->watch->endpoint->edge_tunnel;
    if (!is_over_edge(job))
        return true;
    job->line = tunnel ? lines_next(&job->lines, tunnel, turned, job->watch->scheduler) : NULL;
    return job->line;
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct job *job = timer->data;
    struct scheduler *s = job->watch->scheduler;

    (void)events;
    ev_timer_stop(loop, timer);
    if (!may_be_probed(job->watch->endpoint))
        job_idle(job);
    else if (!choose_line(job))
        job_arm(job);
    else
        job->check = check_start(s->config, job->watch->endpoint, job->monitor, job->line ? job->line->id : 0, s->callbacks.run, s->arg, on_check_done, job);
}

static struct job *job_new(struct watch *watch, const struct monitor *monitor)
{
    struct job *job = mem_zero(sizeof *job);

    job->watch = watch;
    job->monitor = monitor;
    job->history.name = monitor->name;
    ev_init(&job->timer, on_due);
    job->timer.data = job;
    job_arm_at(job, clock_monotonic() + history_first_pause(monitor, random_unit(&watch->scheduler->random)));
    return job;
}

static void job_free(struct job *job)
{
    ev_timer_stop(job->watch->scheduler->loop, &job->timer);
    if (job->check)
        check_abandon(job->check);
    drop_line(job);
    lines_clear(&job->lines, turned, job->watch->scheduler);
    free(job);
}

/* A check that is under way ends by the rules it began with; its result counts. */
static void job_move(struct job *job, struct watch *watch, const struct monitor *monitor)
{
    nsec_t latest = clock_monotonic() + monitor->interval;

    job->watch = watch;
    job->monitor = monitor;
    job->history.name = monitor->name;
    if (!job->check && job->due > latest)
        job_arm(job);
}

/* Watches */

static struct watch *watch_find(struct watch *watches, const char *endpoint_id)
{
    struct watch *watch;
    HASH_FIND_STR(watches, endpoint_id, watch);
    return watch;
}

static struct job *watch_take_job(struct watch *watch, const char *monitor)
{
    for (unsigned i = 0; watch && i < watch->n_jobs; i++) {
        struct job *job = watch->jobs[i];
        if (strcmp(job->monitor->name, monitor) != 0)
            continue;
        watch->jobs[i] = watch->jobs[--watch->n_jobs];
        return job;
    }
    return NULL;
}

static struct watch *watch_new(struct scheduler *s, const struct endpoint *endpoint, struct watch *before)
{
    struct watch *watch = mem_zero(sizeof *watch);
    const struct pool *pool = endpoint->pool;

    watch->scheduler = s;
    watch->endpoint = endpoint;
    for (size_t i = 0; i < pool->n_monitors && watch->n_jobs < EVIDENCE_MONITORS_MAX; i++) {
        const struct monitor *monitor = pool->monitors[i];
        struct job *job = watch_take_job(before, monitor->name);
        if (job)
            job_move(job, watch, monitor);
        else
            job = job_new(watch, monitor);
        watch->jobs[watch->n_jobs++] = job;
    }
    return watch;
}

static void watch_free_all(struct watch **watches)
{
    struct watch *watch, *next;

    HASH_ITER(hh, *watches, watch, next)
    {
        HASH_DEL(*watches, watch);
        for (unsigned i = 0; i < watch->n_jobs; i++)
            job_free(watch->jobs[i]);
        free(watch);
    }
}

/* The whole */

struct scheduler *scheduler_new(struct ev_loop *loop, const struct scheduler_callbacks *callbacks, void *arg)
{
    struct scheduler *s = mem_zero(sizeof *s);
    s->loop = loop;
    s->callbacks = *callbacks;
    s->arg = arg;
    random_seed(&s->random);
    return s;
}

void scheduler_free(struct scheduler *s)
{
    watch_free_all(&s->watches);
    if (s->config)
        config_unref(s->config);
    free(s);
}

void scheduler_set_config(struct scheduler *s, struct config *config)
{
    struct config *former = s->config;
    struct watch *before = s->watches;

    s->config = config_ref(config);
    s->watches = NULL;
    for (size_t i = 0; i < config->n_endpoints; i++) {
        const struct endpoint *endpoint = config->endpoints[i];
        struct watch *watch = watch_new(s, endpoint, watch_find(before, endpoint->id));
        HASH_ADD_KEYPTR(hh, s->watches, watch->endpoint->id, strlen(watch->endpoint->id), watch);
    }
    watch_free_all(&before);
    if (former)
        config_unref(former);
}

void scheduler_hurry(struct scheduler *s, const char *endpoint_id)
{
    const struct watch *watch = watch_find(s->watches, endpoint_id);

    for (unsigned i = 0; watch && i < watch->n_jobs; i++) {
        struct job *job = watch->jobs[i];
        nsec_t due = history_hurry(&job->history, job->monitor, clock_monotonic(), random_unit(&s->random));
        if (!job->check && due < job->due)
            job_arm_at(job, due);
    }
}

void scheduler_forget(struct scheduler *s, const char *endpoint_id)
{
    const struct watch *watch = watch_find(s->watches, endpoint_id);

    for (unsigned i = 0; watch && i < watch->n_jobs; i++) {
        struct job *job = watch->jobs[i];
        history_forget(&job->history);
        lines_clear(&job->lines, turned, s);
    }
    if (watch)
        tell(watch);
}

bool scheduler_evidence(const struct scheduler *s, const char *endpoint_id, struct evidence *out)
{
    const struct watch *watch = watch_find(s->watches, endpoint_id);
    if (watch)
        fill_evidence(watch, out);
    return watch != NULL;
}
