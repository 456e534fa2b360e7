#include "proxy/simulate.h"

#include "balance/latency.h"
#include "balance/outlier.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/affinity.h"
#include "proxy/choose.h"
#include "proxy/direct.h"
#include "proxy/exchange.h"
#include "proxy/simulate_load.h"

#include <math.h>
#include <uthash.h>

enum {
    WARM_UP = 5,       /* a fifth as many requests as are counted come before those */
    UNQUEUED_MAX = 4,  /* waiting requests that look again when one has left */
    CLOCK_EVERY = 256, /* requests between two looks at the clock on the wall */
};
static const double ASSUMED_LATENCY_S = 0.05;
#define IDLE_GAP (10 * NSEC_PER_MSEC) /* between two requests where there is no rate */
#define FOR_GOOD (INT64_MAX / 2)

/* What became of one request. */
struct fate {
    struct simulated_count what;
    bool last_resort;
    bool full;          /* it waits */
    nsec_t queue;       /* how long at most */
};

struct counted {
    struct simulated_count count; /* begins with the key */
    UT_hash_handle hh;
};
#define KEY_SIZE offsetof(struct simulated_count, n)

/* What the requests of one client for one host have got. */
struct session_jar {
    const char *name;
    char *cookie; /* "name=value"; NULL: none */
    UT_hash_handle hh;
};

struct run {
    struct simulation *x;
    struct ev_loop *loop;
    struct balance_epoch epoch;
    struct worker *worker;
    nsec_t wall;          /* what the made-up time began at, on the wall */
    nsec_t began;         /* by the clock, and what the made-up time began at */
    nsec_t work_until;    /* the thread's own time */
    size_t *order;        /* requests, as they come, in both halves */
    size_t *firsts;       /* of each kind of them the first, in that order */
    unsigned n_firsts;
    struct endpoint_live **as_found; /* by the endpoint's index: each half begins with a copy of these */
    struct random random; /* what is left to chance comes from here in the same turn in both halves: what the loss does not touch is the same */
    struct session_jar *jars; /* uthash, by the requests' `session` */
    struct session_jar **jar_of; /* by the request's index */
    struct departures departures;
    struct waiters waiters;
    struct counted *counted;
    enum simulated_phase phase;
    bool counting;        /* else it is the warm-up */
    bool out_of_memory;
};

/* --- whose sessions there are --- */

static bool list_sessions(struct run *r)
{
    const struct simulation *x = r->x;
    r->jar_of = calloc(x->n_requests + 1, sizeof(struct session_jar *));
    for (size_t i = 0; r->jar_of && i < x->n_requests; i++) {
        struct session_jar *jar;
        const char *name = x->requests[i].session;
        HASH_FIND_STR(r->jars, name, jar);
        if (!jar) {
            jar = mem_zero(sizeof *jar);
            jar->name = name;
            HASH_ADD_KEYPTR(hh, r->jars, jar->name, strlen(jar->name), jar);
        }
        r->jar_of[i] = jar;
    }
    return r->jar_of;
}

/* --- how long a request stays --- */

static double traffic_latency(const struct endpoint *e)
{
    return atomic_load_explicit(&e->live->latency_s, memory_order_relaxed);
}

static double probe_latency(const struct endpoint *e)
{
    return atomic_load_explicit(&e->live->probe_latency_s, memory_order_relaxed);
}

/* What is known of requests to those that had some. */
struct latency_sum {
    double seconds, beyond_probes; /* `beyond_probes`: how much longer than probes of the same endpoint */
    unsigned n, n_probed;
};

static void add_latency(struct latency_sum *sum, const struct endpoint *e)
{
    double traffic = traffic_latency(e), probe = probe_latency(e);
    if (isnan(traffic))
        return;
    sum->seconds += traffic;
    sum->n++;
    if (isnan(probe))
        return;
    sum->beyond_probes += fmax(traffic - probe, 0);
    sum->n_probed++;
}

/* A request takes its way, which the endpoint's probes have measured, and its work, which is alike for those of a pool. */
static void estimate_latency(struct simulated_endpoint *out, double probe, const struct latency_sum *pool, const struct latency_sum *all)
{
    const struct latency_sum *probed = pool->n_probed ? pool : all, *known = pool->n ? pool : all;
    if (!isnan(probe)) {
        out->latency_from = LATENCY_OF_PROBES;
        out->latency_s = probe + (probed->n_probed ? probed->beyond_probes / probed->n_probed : 0);
    } else {
        out->latency_from = known->n ? LATENCY_OF_OTHERS : LATENCY_ASSUMED;
        out->latency_s = known->n ? known->seconds / known->n : ASSUMED_LATENCY_S;
    }
}

static void find_latencies_of(struct simulation *x, const struct pool *pool, const struct latency_sum *all)
{
    struct latency_sum sum = { 0 };
    for (size_t i = 0; i < pool->n_endpoints; i++)
        add_latency(&sum, &pool->endpoints[i]);
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        const struct endpoint *e = &pool->endpoints[i];
        struct simulated_endpoint *out = &x->endpoints[e->index];
        out->latency_from = LATENCY_OF_TRAFFIC;
        out->latency_s = traffic_latency(e);
        if (isnan(out->latency_s))
            estimate_latency(out, probe_latency(e), &sum, all);
    }
}

static void find_latencies(struct simulation *x)
{
    struct latency_sum all = { 0 };
    for (size_t i = 0; i < x->config->n_endpoints; i++)
        add_latency(&all, x->config->endpoints[i]);
    for (size_t i = 0; i < x->config->n_pools; i++)
        find_latencies_of(x, &x->config->pools[i], &all);
}

/* --- who comes when --- */

static void shuffle(struct random *random, size_t *items, size_t n)
{
    for (; n > 1; n--) {
        size_t other = (size_t)(random_u64(random) % n), item = items[n - 1];
        items[n - 1] = items[other];
        items[other] = item;
    }
}

/* Each as often as its weight says, give or take one. `kinds`: in random order, so that of more kinds than there are requests any are left out. */
static void fill_order(const struct simulation *x, const size_t *kinds, size_t *order)
{
    double total = 0, sum = 0;
    size_t at = 0;
    for (size_t i = 0; i < x->n_requests; i++)
        total += x->requests[i].weight;
    for (size_t i = 0; i < x->n_requests; i++) {
        sum += x->requests[kinds[i]].weight;
        for (; at < x->n && (double)at + 0.5 < sum / total * x->n; at++)
            order[at] = kinds[i];
    }
    for (; at < x->n; at++) /* of which rounding cheated the last */
        order[at] = order[0];
}

static bool list_firsts(struct run *r)
{
    const struct simulation *x = r->x;
    bool *seen = calloc(x->n_requests + 1, sizeof *seen);
    r->firsts = calloc((x->n_requests < x->n ? x->n_requests : x->n) + 1, sizeof *r->firsts);
    for (size_t i = 0; seen && r->firsts && i < x->n; i++) {
        if (!seen[r->order[i]])
            r->firsts[r->n_firsts++] = r->order[i];
        seen[r->order[i]] = true;
    }
    bool listed = seen && r->firsts;
    free(seen);
    return listed;
}

static bool draw_up_order(struct run *r)
{
    const struct simulation *x = r->x;
    size_t *kinds = calloc(x->n_requests + 1, sizeof *kinds);
    r->order = calloc(x->n + 1, sizeof *r->order);
    if (kinds && r->order) {
        for (size_t i = 0; i < x->n_requests; i++)
            kinds[i] = i;
        shuffle(&r->random, kinds, x->n_requests);
        fill_order(x, kinds, r->order);
        shuffle(&r->random, r->order, x->n);
    }
    bool drawn = kinds && r->order;
    free(kinds);
    return drawn && list_firsts(r);
}

/* --- a world of its own, for each half --- */

/* What traffic has ejected stays so: time is made up, and nobody knows whether it would be well by then. */
static void keep_ejected(const struct config *config, nsec_t now)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (outlier_is_ejected(config->endpoints[i]->live, now))
            atomic_store_explicit(&config->endpoints[i]->live->ejected_until, FOR_GOOD, memory_order_relaxed);
}

static bool keep_as_found(struct run *r)
{
    const struct config *config = r->x->config;
    r->as_found = calloc(config->n_endpoints + 1, sizeof(struct endpoint_live *));
    for (size_t i = 0; r->as_found && i < config->n_endpoints; i++) {
        const struct endpoint *e = config->endpoints[i];
        r->as_found[i] = e->live;
        r->x->endpoints[i].was_out = !e->enabled || !endpoint_in_service(e->live, r->began);
    }
    return r->as_found;
}

static bool make_worker(struct run *r)
{
    struct worker_options options = { .epoch = &r->epoch, .geoip = r->x->geoip };
    r->loop = ev_loop_new(EVFLAG_AUTO);
    if (!r->loop)
        return false;
    r->worker = worker_new(r->loop, &options);
    r->worker->timers.now = r->began;
    r->worker->snapshot = snapshot_new(r->worker, config_ref(r->x->config), NULL);
    if (r->worker->snapshot)
        return true;
    config_unref(r->x->config); /* the reference that was not taken */
    return false;
}

static bool make_world(struct run *r)
{
    const struct config *config = r->x->config;
    for (size_t i = 0; i < config->n_endpoints; i++)
        config->endpoints[i]->live = endpoint_live_copy(r->as_found[i]);
    r->random.state = r->x->seed;
    return waiters_init(&r->waiters, SIMULATE_WAITING_MAX) && make_worker(r);
}

static void end_world(struct run *r)
{
    const struct config *config = r->x->config;
    if (r->worker)
        worker_free(r->worker);
    if (r->loop)
        ev_loop_destroy(r->loop);
    r->worker = NULL;
    r->loop = NULL;
    for (size_t i = 0; i < config->n_endpoints; i++) {
        endpoint_live_unref(config->endpoints[i]->live);
        config->endpoints[i]->live = r->as_found[i];
    }
    for (struct session_jar *jar = r->jars; jar; jar = jar->hh.next) {
        free(jar->cookie);
        jar->cookie = NULL;
    }
    departures_clear(&r->departures);
    waiters_clear(&r->waiters);
}

static bool set_up(struct run *r)
{
    r->random.state = r->x->seed;
    r->wall = clock_wall();
    r->began = clock_monotonic();
    r->work_until = clock_read(CLOCK_THREAD_CPUTIME_ID) + SIMULATE_WORK_MAX;
    find_latencies(r->x);
    keep_ejected(r->x->config, r->began);
    return r->x->n_requests && list_sessions(r) && draw_up_order(r) && keep_as_found(r);
}

static void take_down(struct run *r)
{
    struct session_jar *jar, *next;
    HASH_ITER(hh, r->jars, jar, next) {
        HASH_DEL(r->jars, jar);
        free(jar);
    }
    free(r->jar_of);
    free(r->order);
    free(r->firsts);
    free(r->as_found);
}

/* --- a request --- */

static struct slice write_head(const struct run *r, size_t request, struct text *out)
{
    const struct simulated_request *s = &r->x->requests[request];
    const char *session = r->jar_of[request]->cookie;
    text_add(out, s->head);
    if (session || s->cookie)
        text_addf(out, "Cookie: %s%s%s\r\n", session ? session : "", session && s->cookie ? "; " : "", s->cookie ? s->cookie : "");
    text_add(out, "\r\n");
    return (struct slice){ out->p, out->n };
}

static bool is_down(const struct run *r, const struct endpoint *e)
{
    return r->phase == SIMULATED_THEN && r->x->endpoints[e->index].down;
}

/* What can't be reached was sent nothing: the retry table says whether another is tried. */
static bool may_go_elsewhere(const struct exchange *ex)
{
    struct retry_case failed = { .stage = STAGE_NOT_CONNECTED, .reason = REASON_CONNECT_FAILED, .method = ex->head->method, .body_kept = true,
                                 .others_tried = ex->n_tried };
    return ex->n_tried < EXCHANGE_TRIED_MAX && !affinity_forbids_another(ex)
        && retry_decide(&ex->load_balancer->failover, &failed).retry == RETRY_OTHER;
}

static enum simulated_outcome choose_for(const struct run *r, struct exchange *ex, struct fate *d)
{
    struct worker_counters *counters = &r->worker->counters;
    uint64_t before = counter_read(&counters->panic_choices) + counter_read(&counters->fallback_choices);
    const struct endpoint *lost = NULL;
    enum choice_result result;
    while ((result = choose(ex)) == CHOICE_MADE && is_down(r, ex->endpoint)) {
        lost = ex->endpoint;
        if (!may_go_elsewhere(ex))
            break;
        ex->tried[ex->n_tried++] = lost;
    }
    d->last_resort = counter_read(&counters->panic_choices) + counter_read(&counters->fallback_choices) > before;
    d->full = result == CHOICE_FULL;
    d->queue = ex->timeouts->queue;
    d->what.endpoint = result == CHOICE_MADE ? ex->endpoint : lost;
    if (lost && (result != CHOICE_MADE || is_down(r, ex->endpoint)))
        return SIMULATED_LOST;
    return result == CHOICE_MADE ? SIMULATED_SENT : SIMULATED_NOBODY;
}

/* The load balancer that a request is a matter of, if not the rule's own. */
static const struct load_balancer *load_balancer_of(const struct exchange *ex)
{
    return route_find(ex->snapshot->routes, ex->host);
}

static enum simulated_outcome direct(const struct run *r, struct exchange *ex, struct fate *d)
{
    enum direction direction = direct_to_load_balancer(ex, &d->what.rule);
    d->what.load_balancer = load_balancer_of(ex);
    switch (direction) {
    case DIRECT_NO_LOAD_BALANCER: return SIMULATED_NO_LOAD_BALANCER;
    case DIRECT_DISABLED: return SIMULATED_DISABLED;
    case DIRECT_RESPONSE: return SIMULATED_RESPONSE;
    case DIRECT_TO_ENDPOINTS: break;
    }
    direct_to_session(ex);
    return choose_for(r, ex, d);
}

/* The client keeps what an answer would have given it. */
static void keep_cookie(struct session_jar *jar, const struct exchange *ex)
{
    char cookie[1024];
    size_t n = ex->load_balancer->affinity.name ? affinity_write_cookie(ex, 200, cookie, sizeof cookie - 1) : 0;
    if (!n)
        return;
    cookie[n] = '\0';
    cookie[strcspn(cookie, ";")] = '\0';
    free(jar->cookie);
    jar->cookie = mem_copy_text(cookie);
}

static void decide(struct run *r, size_t request, uint64_t draws, struct fate *out)
{
    const struct simulated_request *s = &r->x->requests[request];
    struct text head = { 0 };
    struct exchange *ex = exchange_new(r->worker, NULL, NULL);
    memset(out, 0, sizeof *out); /* padding too: the key is compared as bytes */
    r->worker->random.state = draws;
    if (!ex) {
        r->out_of_memory = true;
        return;
    }
    ex->peer = s->client.sa.sa_family ? &s->client : NULL;
    ex->times.start = worker_now(r->worker);
    ex->started_wall = r->wall + worker_now(r->worker) - r->began;
    if (exchange_read_head(ex, write_head(r, request, &head))) {
        ex->host = ex->message.host;
        out->what.outcome = direct(r, ex, out);
        if (out->what.outcome == SIMULATED_SENT)
            keep_cookie(r->jar_of[request], ex);
    } else {
        out->what.outcome = SIMULATED_MALFORMED;
    }
    exchange_discard(ex);
    text_clear(&head);
}

/* --- what it leads to --- */

static void count(struct run *r, size_t request, const struct fate *d)
{
    struct counted *c;
    bool idle = r->x->requests[request].idle;
    if (!r->counting)
        return;
    HASH_FIND(hh, r->counted, &d->what, KEY_SIZE, c);
    if (!c) {
        c = mem_zero(sizeof *c);
        memcpy(&c->count, &d->what, KEY_SIZE);
        HASH_ADD_KEYPTR(hh, r->counted, &c->count, KEY_SIZE, c);
        r->x->n_counts++;
    }
    c->count.n[r->phase]++;
    c->count.last_resort[r->phase] += d->last_resort;
    r->x->made[r->phase]++;
    if (idle)
        return;
    c->count.of_traffic[r->phase]++;
    r->x->of_traffic[r->phase]++;
    if (d->what.outcome == SIMULATED_SENT)
        r->x->endpoints[d->what.endpoint->index].sent[r->phase]++;
}

static void set_load(struct endpoint_live *live, int change)
{
    struct endpoint_counts *n = &live->counts[0];
    uint32_t in_flight = atomic_load_explicit(&n->in_flight, memory_order_relaxed) + (uint32_t)change;
    atomic_store_explicit(&n->in_flight, in_flight, memory_order_relaxed);
    if (in_flight > atomic_load_explicit(&n->connections, memory_order_relaxed)) /* kept once opened */
        atomic_store_explicit(&n->connections, in_flight, memory_order_relaxed);
}

static void answered(struct run *r, size_t endpoint)
{
    const struct endpoint *e = r->x->config->endpoints[endpoint];
    nsec_t decay = e->pool->steering.latency_decay;
    latency_record(e->live, worker_now(r->worker), r->x->endpoints[endpoint].latency_s, decay ? decay : LATENCY_DECAY);
}

/* Its endpoint is busy with it, for as long as it was seen to take. */
static void occupy(struct run *r, size_t request, const struct endpoint *e)
{
    struct simulated_endpoint *s = &r->x->endpoints[e->index];
    if (!(r->x->rate > 0) || r->x->requests[request].idle) {
        answered(r, e->index);
        return;
    }
    nsec_t stay = (nsec_t)(s->latency_s * (double)NSEC_PER_SEC);
    if (!departures_add(&r->departures, (struct departure){ worker_now(r->worker) + stay, e->index })) {
        r->out_of_memory = true;
        return;
    }
    set_load(e->live, 1);
    unsigned in_flight = endpoint_in_flight(e->live);
    if (r->counting && in_flight > s->most_in_flight[r->phase])
        s->most_in_flight[r->phase] = in_flight;
}

/* False: it would have to wait (on). */
static bool settle(struct run *r, size_t request, uint64_t draws, struct fate *d)
{
    decide(r, request, draws, d);
    if (d->full)
        return false;
    if (d->what.outcome == SIMULATED_SENT)
        occupy(r, request, d->what.endpoint);
    count(r, request, d);
    return true;
}

static void give_up(struct run *r, const struct waiting *w)
{
    struct fate d;
    memset(&d, 0, sizeof d); /* padding too, as above */
    d.what.outcome = SIMULATED_WAITED;
    d.what.load_balancer = w->load_balancer;
    d.what.rule = w->rule;
    count(r, w->request, &d);
}

static void give_up_the_overdue(struct run *r)
{
    struct waiting w;
    while (waiters_take_overdue(&r->waiters, worker_now(r->worker), &w))
        give_up(r, &w);
}

/* Those at the head of the queue look again, now that one of all has left. */
static void let_in(struct run *r)
{
    struct waiting w;
    give_up_the_overdue(r);
    for (unsigned i = 0; i < UNQUEUED_MAX && waiters_take(&r->waiters, &w); i++) {
        struct fate d;
        if (settle(r, w.request, w.draws, &d))
            return;
        waiters_add(&r->waiters, w); /* there is room: it was taken from it */
    }
}

static void request_comes(struct run *r, size_t request)
{
    struct fate d;
    uint64_t draws = random_u64(&r->random);
    if (settle(r, request, draws, &d))
        return;
    struct waiting w = { request, draws, worker_now(r->worker) + d.queue, d.what.load_balancer, d.what.rule };
    if (d.queue <= 0 || !(r->x->rate > 0) || !waiters_add(&r->waiters, w))
        give_up(r, &w);
}

/* --- time --- */

static void pass_time(struct run *r, nsec_t until)
{
    struct departure d;
    while (departures_take(&r->departures, until, &d)) {
        r->worker->timers.now = d.at > worker_now(r->worker) ? d.at : worker_now(r->worker);
        set_load(r->x->config->endpoints[d.endpoint]->live, -1);
        answered(r, d.endpoint);
        let_in(r);
    }
    r->worker->timers.now = until;
    give_up_the_overdue(r);
}

static nsec_t next_gap(struct run *r, size_t request)
{
    if (r->x->requests[request].idle)
        return 0;
    if (!(r->x->rate > 0))
        return IDLE_GAP;
    return (nsec_t)(-log1p(-random_unit(&r->random)) / r->x->rate * (double)NSEC_PER_SEC);
}

static bool has_to_end(const struct run *r)
{
    return r->out_of_memory || atomic_load_explicit(&r->x->cancelled, memory_order_relaxed) || clock_monotonic() >= r->began + SIMULATE_TIME_MAX ||
           clock_read(CLOCK_THREAD_CPUTIME_ID) >= r->work_until;
}

static bool pass_requests(struct run *r, const size_t *order, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (i % CLOCK_EVERY == 0 && has_to_end(r))
            return false;
        pass_time(r, worker_now(r->worker) + next_gap(r, order[i]));
        request_comes(r, order[i]);
    }
    return true;
}

static bool gives_cookies(const struct load_balancer *lb)
{
    if (lb->affinity.name)
        return true;
    for (size_t i = 0; i < lb->n_rules; i++)
        if (lb->rules[i].balancer.affinity.name)
            return true;
    return false;
}

static bool has_sessions(const struct config *config)
{
    for (size_t i = 0; i < config->n_load_balancers; i++)
        if (gives_cookies(&config->load_balancers[i]))
            return true;
    return false;
}

/* The time that clients took to get their sessions lies before now. */
static void begin_now(struct run *r)
{
    nsec_t passed = worker_now(r->worker) - r->began;
    for (size_t i = 0; i < r->x->config->n_endpoints; i++) {
        struct endpoint_live *live = r->x->config->endpoints[i]->live;
        nsec_t slow_start_from = atomic_load_explicit(&live->slow_start_from, memory_order_relaxed);
        nsec_t admin_since = atomic_load_explicit(&live->admin_since, memory_order_relaxed);
        atomic_store_explicit(&live->slow_start_from, slow_start_from ? slow_start_from + passed : 0, memory_order_relaxed);
        atomic_store_explicit(&live->admin_since, admin_since ? admin_since + passed : 0, memory_order_relaxed);
    }
}

/* What is lost can't be reached, which its monitors see. */
static void lose(struct run *r)
{
    const struct simulation *x = r->x;
    nsec_t now = worker_now(r->worker);
    for (size_t i = 0; i < x->config->n_endpoints; i++) {
        struct endpoint_live *live = x->config->endpoints[i]->live;
        if (x->endpoints[i].down) {
            endpoint_set_health(live, HEALTH_DOWN, now);
            atomic_store_explicit(&live->dialable, false, memory_order_relaxed);
        }
        if (x->endpoints[i].drained && atomic_load_explicit(&live->admin, memory_order_relaxed) == ADMIN_ENABLED)
            endpoint_set_admin(live, ADMIN_DRAINED, now);
    }
}

static bool pass_phase(struct run *r)
{
    struct simulation *x = r->x;
    r->counting = false;
    bool passed = !has_sessions(x->config) || pass_requests(r, r->firsts, r->n_firsts);
    begin_now(r);
    if (r->phase == SIMULATED_THEN)
        lose(r);
    balance_epoch_move(&r->epoch);
    for (size_t i = 0; i < x->config->n_pools; i++)
        pool_take_census(&x->config->pools[i], worker_now(r->worker), &x->censuses[r->phase][i]);
    passed = passed && pass_requests(r, r->order, x->n / WARM_UP);
    nsec_t from = worker_now(r->worker);
    r->counting = true;
    passed = passed && pass_requests(r, r->order, x->n);
    x->seconds[r->phase] = nsec_to_seconds(worker_now(r->worker) - from);
    return passed && !r->out_of_memory;
}

static bool run_phase(struct run *r, enum simulated_phase phase)
{
    r->phase = phase;
    random_rehearse(r->x->seed);
    bool passed = make_world(r) && pass_phase(r);
    random_end_rehearsal();
    end_world(r);
    return passed;
}

static void tell(struct run *r)
{
    struct counted *c, *next;
    size_t n = 0;
    r->x->counts = mem_array(r->x->n_counts + 1, sizeof *r->x->counts);
    HASH_ITER(hh, r->counted, c, next) {
        HASH_DEL(r->counted, c);
        r->x->counts[n++] = c->count;
        free(c);
    }
}

void simulate(struct simulation *x)
{
    struct run r = { .x = x };
    if (set_up(&r))
        x->complete = run_phase(&r, SIMULATED_NOW) && run_phase(&r, SIMULATED_THEN);
    tell(&r);
    take_down(&r);
}
