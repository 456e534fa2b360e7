/* From health, weights and what was tried to an endpoint: level by level, pool by pool. The policies have tests of their own. */
#include "proxy/choose.h"

#include "pool_under_test.h"

#include "proxy/exchange.h"
#include "proxy/explain.h"
#include "steering/registry.h"

enum { POOLS = 2, EACH = 2 };

/* Two pools of two endpoints, each chosen by order: e[pool][endpoint]. */
struct scene {
    struct config config;
    struct pool pools[POOLS];
    struct pool *order[POOLS];
    struct endpoint e[POOLS][EACH];
    struct monitor *monitors[1];
    struct monitor monitor;
    struct load_balancer lb;
    struct pool_list list;
    struct balance_epoch epoch;
    struct worker worker;
    struct upstream_pool *upstreams[POOLS * EACH]; /* to `no_upstreams`: they are fetched ahead, and never looked at */
    _Alignas(max_align_t) char no_upstreams[1024];
    struct snapshot snapshot;
    struct exchange ex;
    struct decision *told; /* what was noted, unfolded */
};

static struct scene *scene_new(const char *policy)
{
    struct scene *s = calloc(1, sizeof *s);
    struct steering_conf steering = { .policy = steering_find(policy) };
    struct steering_error error;

    assert_non_null(s);
    if (steering.policy->configure)
        assert_true(steering.policy->configure(&(struct steering_options){ 0 }, &error, &steering.config));
    s->monitors[0] = &s->monitor;
    for (unsigned p = 0; p < POOLS; p++) {
        s->pools[p] = (struct pool){ .name = p ? "second" : "first", .hash = 1 + p, .index = p, .enabled = true, .minimum_endpoints = 1,
                                     .endpoints = s->e[p], .n_endpoints = EACH, .monitors = s->monitors, .n_monitors = 1, .steering = steering,
                                     .passive = { .consecutive = 5, .window = 10 * SECOND, .ejection = 10 * SECOND, .ejection_max = 300 * SECOND } };
        s->order[p] = &s->pools[p];
        for (unsigned i = 0; i < EACH; i++) {
            s->e[p][i] = (struct endpoint){ .name = "e", .id = "pool/e", .hash = 10 * p + i, .index = p * EACH + i, .order = i, .pool = &s->pools[p],
                                            .weight = 1, .enabled = true, .live = endpoint_live_new("pool/e", 1) };
            s->upstreams[p * EACH + i] = (struct upstream_pool *)(void *)s->no_upstreams;
            endpoint_set_health(s->e[p][i].live, HEALTH_UP, START);
        }
    }
    s->lb = (struct load_balancer){ .name = "lb", .enabled = true, .default_pools = s->order, .n_default_pools = POOLS, .steering = steering,
                                    .failover = { .across_pools = true } };
    s->list = (struct pool_list){ .pools = s->order, .n = POOLS };
    s->lb.lists = &s->list;
    s->lb.n_lists = 1;
    s->config = (struct config){ .pools = s->pools, .n_pools = POOLS, .load_balancers = &s->lb, .n_load_balancers = 1, .n_lists = 1 };
    s->worker.options.epoch = &s->epoch;
    s->worker.timers.now = START;
    random_seed(&s->worker.random);
    s->snapshot = (struct snapshot){ .config = &s->config, .worker = &s->worker, .refs = 1, .upstreams = s->upstreams };
    assert_true(choose_init(&s->snapshot));
    s->ex = (struct exchange){ .worker = &s->worker, .snapshot = &s->snapshot, .load_balancer = &s->lb };
    return s;
}

static void scene_free(struct scene *s)
{
    choose_clear(&s->snapshot);
    if (s->lb.steering.policy->release)
        s->lb.steering.policy->release(s->lb.steering.config);
    for (unsigned p = 0; p < POOLS; p++)
        for (unsigned i = 0; i < EACH; i++)
            endpoint_live_unref(s->e[p][i].live);
    free(s);
}

static void set_health(struct scene *s, unsigned p, unsigned i, enum health health)
{
    endpoint_set_health(s->e[p][i].live, health, START);
    balance_epoch_move(&s->epoch);
}

static void eject(struct scene *s, unsigned p, unsigned i)
{
    atomic_store(&s->e[p][i].live->ejected_until, START + SECOND);
    balance_epoch_move(&s->epoch);
}

static void set_in_flight(struct scene *s, unsigned p, unsigned i, unsigned n)
{
    atomic_store(&s->e[p][i].live->counts[0].in_flight, n);
}

/* As another configuration would. */
static void limit(struct scene *s, unsigned p, unsigned i, unsigned n)
{
    s->e[p][i].max_in_flight = n;
    choose_clear(&s->snapshot);
    assert_true(choose_init(&s->snapshot));
}

static void strike(struct scene *s, unsigned p, unsigned i)
{
    s->ex.tried[s->ex.n_tried++] = &s->e[p][i];
}

static void assert_chosen(struct scene *s, unsigned p, unsigned i)
{
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    if (s->ex.endpoint != &s->e[p][i])
        fail_msg("%u/%u in place of %u/%u", s->ex.endpoint->pool->index, s->ex.endpoint->order, p, i);
}

static void assert_not_chosen(struct scene *s, enum choice_result result)
{
    assert_int_equal(choose(&s->ex), result);
    assert_null(s->ex.endpoint);
}

static void test_healthy_ones_in_order(void **state)
{
    struct scene *s = scene_new("off");

    assert_chosen(s, 0, 0);
    set_health(s, 0, 0, HEALTH_DOWN);
    assert_chosen(s, 0, 1);
    set_health(s, 0, 1, HEALTH_DOWN);
    assert_chosen(s, 1, 0);
    set_health(s, 0, 1, HEALTH_UP);
    s->worker.timers.now += 3600 * SECOND; /* beyond any delay of a failback */
    balance_epoch_move(&s->epoch);
    assert_chosen(s, 0, 1);
    scene_free(s);
    (void)state;
}

/* Healthy anywhere, before ejected anywhere, before unknown anywhere. */
static void test_levels_before_pools(void **state)
{
    struct scene *s = scene_new("off");

    set_health(s, 0, 0, HEALTH_UNKNOWN);
    eject(s, 0, 1);
    assert_chosen(s, 1, 0);
    set_health(s, 1, 0, HEALTH_DOWN);
    set_health(s, 1, 1, HEALTH_DOWN);
    assert_chosen(s, 0, 1);
    set_health(s, 0, 1, HEALTH_DOWN);
    assert_chosen(s, 0, 0);
    scene_free(s);
    (void)state;
}

static void test_tried_ones_are_left_out(void **state)
{
    struct scene *s = scene_new("off");

    strike(s, 0, 0);
    assert_chosen(s, 0, 1);
    strike(s, 0, 1);
    assert_chosen(s, 1, 0);
    strike(s, 1, 0);
    assert_chosen(s, 1, 1);
    strike(s, 1, 1);
    assert_not_chosen(s, CHOICE_NONE);
    s->ex.n_tried = 0; /* the next request finds nothing struck out */
    assert_chosen(s, 0, 0);
    scene_free(s);
    (void)state;
}

static void test_a_failed_request_stays_in_its_pool_where_it_must(void **state)
{
    struct scene *s = scene_new("off");
    s->lb.failover.across_pools = false;

    set_health(s, 0, 0, HEALTH_DOWN);
    set_health(s, 0, 1, HEALTH_DOWN);
    assert_chosen(s, 1, 0); /* one that did not fail yet goes where it can */
    strike(s, 1, 0);
    set_health(s, 0, 0, HEALTH_UP);
    assert_chosen(s, 1, 1);
    strike(s, 1, 1);
    assert_not_chosen(s, CHOICE_NONE);
    s->ex.n_tried = 1;
    limit(s, 1, 1, 2);
    set_in_flight(s, 1, 1, 2);
    assert_not_chosen(s, CHOICE_FULL); /* and waits for one of its own */
    scene_free(s);
    (void)state;
}

/* Below its minimum the pool is nobody's choice, but the request is there already. */
static void test_a_confined_request_has_what_its_pool_has(void **state)
{
    struct scene *s = scene_new("off");
    s->lb.failover.across_pools = false;

    strike(s, 0, 0);
    s->pools[0].minimum_endpoints = 2;
    eject(s, 0, 1);
    assert_chosen(s, 0, 1);
    set_health(s, 0, 1, HEALTH_DOWN);
    assert_not_chosen(s, CHOICE_NONE);
    s->lb.fallback_pool = &s->pools[1];
    assert_not_chosen(s, CHOICE_NONE);
    s->lb.fallback_pool = &s->pools[0]; /* whose health is ignored */
    assert_chosen(s, 0, 1);
    scene_free(s);
    (void)state;
}

static void test_full_ones(void **state)
{
    struct scene *s = scene_new("off");

    limit(s, 0, 0, 2);
    limit(s, 0, 1, 2);
    set_in_flight(s, 0, 0, 1);
    assert_chosen(s, 0, 0);
    set_in_flight(s, 0, 0, 2);
    assert_chosen(s, 0, 1);
    set_in_flight(s, 0, 1, 3);
    assert_chosen(s, 1, 0);

    set_health(s, 1, 0, HEALTH_DOWN);
    eject(s, 1, 1);
    assert_not_chosen(s, CHOICE_FULL); /* rather than what is worse */
    set_in_flight(s, 0, 1, 1);
    assert_chosen(s, 0, 1);
    strike(s, 0, 1);
    assert_not_chosen(s, CHOICE_FULL);
    scene_free(s);
    (void)state;
}

static void all_down(struct scene *s)
{
    for (unsigned p = 0; p < POOLS; p++)
        for (unsigned i = 0; i < EACH; i++)
            set_health(s, p, i, HEALTH_DOWN);
}

static void test_when_all_are_down(void **state)
{
    struct scene *s = scene_new("off");

    all_down(s);
    s->lb.when_all_down = WHEN_ALL_DOWN_503;
    assert_not_chosen(s, CHOICE_NONE);
    s->lb.when_all_down = WHEN_ALL_DOWN_LEAST_BAD;
    assert_chosen(s, 0, 0);
    assert_int_equal(s->worker.counters.panic_choices, 1);

    s->lb.when_all_down = WHEN_ALL_DOWN_FALLBACK_POOL; /* without one: the least bad */
    assert_chosen(s, 0, 0);
    s->lb.fallback_pool = &s->pools[1];
    assert_chosen(s, 1, 0);
    assert_int_equal(s->worker.counters.fallback_choices, 1);
    s->pools[1].enabled = false;
    balance_epoch_move(&s->epoch);
    assert_not_chosen(s, CHOICE_NONE);
    assert_int_equal(s->worker.counters.panic_choices, 2);
    scene_free(s);
    (void)state;
}

/* Their health is ignored, but not that it is known. */
static void test_fallback_pool_prefers_its_better_ones(void **state)
{
    struct scene *s = scene_new("off");

    all_down(s);
    s->lb.fallback_pool = &s->pools[1];
    s->pools[1].minimum_endpoints = 2; /* so that one is not enough for the pool to be usable */
    set_health(s, 1, 1, HEALTH_UP);
    assert_chosen(s, 1, 1);
    strike(s, 1, 1);
    assert_chosen(s, 1, 0);
    scene_free(s);
    (void)state;
}

/* Full is no reason for worse ones there either. */
static void test_fallback_pool_that_is_full_is_waited_for(void **state)
{
    struct scene *s = scene_new("off");

    all_down(s);
    s->lb.fallback_pool = &s->pools[1];
    s->pools[1].minimum_endpoints = 2;
    set_health(s, 1, 1, HEALTH_UP);
    limit(s, 1, 1, 2);
    set_in_flight(s, 1, 1, 2);
    assert_not_chosen(s, CHOICE_FULL);
    scene_free(s);
    (void)state;
}

static void test_a_failed_request_is_not_sent_on_to_what_is_down(void **state)
{
    struct scene *s = scene_new("off");

    all_down(s);
    s->lb.when_all_down = WHEN_ALL_DOWN_LEAST_BAD;
    set_health(s, 0, 0, HEALTH_UP);
    assert_chosen(s, 0, 0);
    strike(s, 0, 0);
    assert_not_chosen(s, CHOICE_NONE);
    scene_free(s);
    (void)state;
}

/* The one that is tried first may be the one that is gone, and the other only not to its monitor's liking. */
static void test_where_all_are_down_the_others_are_tried_too(void **state)
{
    struct scene *s = scene_new("off");

    all_down(s);
    s->lb.when_all_down = WHEN_ALL_DOWN_LEAST_BAD;
    for (unsigned p = 0; p < POOLS; p++)
        for (unsigned i = 0; i < EACH; i++) {
            assert_chosen(s, p, i);
            strike(s, p, i);
        }
    assert_not_chosen(s, CHOICE_NONE);
    scene_free(s);
    (void)state;
}

static void test_where_all_are_down_failover_may_be_confined_to_the_pool(void **state)
{
    struct scene *s = scene_new("off");

    all_down(s);
    s->lb.when_all_down = WHEN_ALL_DOWN_LEAST_BAD;
    s->lb.failover.across_pools = false;
    for (unsigned i = 0; i < EACH; i++) {
        assert_chosen(s, 0, i);
        strike(s, 0, i);
    }
    assert_not_chosen(s, CHOICE_NONE);
    scene_free(s);
    (void)state;
}

/* By the operator, the file, or weight 0: nothing overrides that. */
static void test_never(void **state)
{
    struct scene *s = scene_new("off");

    s->lb.when_all_down = WHEN_ALL_DOWN_LEAST_BAD;
    endpoint_set_admin(s->e[0][0].live, ADMIN_DRAINED, START);
    endpoint_set_admin(s->e[0][1].live, ADMIN_DISABLED, START);
    s->e[1][0].enabled = false;
    s->e[1][1].weight = 0;
    balance_epoch_move(&s->epoch);
    assert_not_chosen(s, CHOICE_NONE);
    endpoint_set_admin(s->e[0][0].live, ADMIN_ENABLED, START);
    set_health(s, 0, 0, HEALTH_DOWN);
    assert_chosen(s, 0, 0);
    scene_free(s);
    (void)state;
}

static void test_probe_has_one_choice(void **state)
{
    struct scene *s = scene_new("off");

    all_down(s);
    s->ex.only = &s->e[1][1];
    s->ex.load_balancer = NULL;
    assert_chosen(s, 1, 1);
    strike(s, 1, 1);
    assert_not_chosen(s, CHOICE_NONE);
    scene_free(s);
    (void)state;
}

/* Tables are made anew only when the epoch says so, for the level that is looked at. */
static void test_epoch(void **state)
{
    struct scene *s = scene_new("off");

    assert_chosen(s, 0, 0);
    endpoint_set_health(s->e[0][0].live, HEALTH_DOWN, START);
    assert_chosen(s, 0, 0);
    balance_epoch_move(&s->epoch);
    assert_chosen(s, 0, 1);
    scene_free(s);
    (void)state;
}

/* Every policy at both levels, with everything that can rule an endpoint out changing at random: never one that may not be, always one if any may. */
static void test_all_policies_keep_the_rules(void **state)
{
    for (size_t n = 0; steering_policies[n]; n++) {
        struct scene *s = scene_new(steering_policies[n]->name);
        struct random random = { .state = 1 + n };
        for (unsigned p = 0; p < POOLS; p++)
            for (unsigned i = 0; i < EACH; i++)
                limit(s, p, i, 1);
        for (unsigned round = 0; round < 2000; round++) {
            unsigned allowed = 0, healthy = 0;
            s->ex.n_tried = 0;
            for (unsigned p = 0; p < POOLS; p++)
                for (unsigned i = 0; i < EACH; i++) {
                    bool up = random_u64(&random) % 2, tried = random_u64(&random) % 4 == 0, full = random_u64(&random) % 4 == 0;
                    set_health(s, p, i, up ? HEALTH_UP : HEALTH_DOWN);
                    set_in_flight(s, p, i, full);
                    if (tried)
                        strike(s, p, i);
                    healthy += up && !tried;
                    allowed += up && !tried && !full;
                }
            s->lb.when_all_down = WHEN_ALL_DOWN_503;
            enum choice_result result = choose(&s->ex);
            assert_int_equal(result, allowed ? CHOICE_MADE : healthy ? CHOICE_FULL : CHOICE_NONE);
            if (!allowed)
                continue;
            const struct endpoint *e = s->ex.endpoint;
            assert_int_equal(atomic_load(&e->live->health), HEALTH_UP);
            assert_int_equal(endpoint_in_flight(e->live), 0);
            for (unsigned i = 0; i < s->ex.n_tried; i++)
                assert_ptr_not_equal(s->ex.tried[i], e);
        }
        scene_free(s);
    }
    (void)state;
}

/* Pools 1 : 3, in each the endpoints 1 : 4, over 100,000 requests within 1 %. Sessions' keys bring `hash` to both levels. */
static void test_weights_count_at_both_levels(void **state)
{
    static const struct {
        const char *policy;
        bool keys;
    } cases[] = { { "random", false }, { "round_robin", false }, { "hash", false }, { "round_robin", true } };
    static const double of_pools[POOLS] = { 1, 3 };
    enum { REQUESTS = 100000 };

    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        struct scene *s = scene_new(cases[n].policy);
        struct random random = { .state = 1 + n };
        unsigned counts[POOLS][EACH] = { 0 };
        s->worker.random = random;
        s->list.weights = of_pools;
        for (unsigned p = 0; p < POOLS; p++) { /* no hash is another's: what is between pools must not tell what is within */
            s->pools[p].hash = random_u64(&random);
            s->e[p][0].hash = random_u64(&random);
            s->e[p][1].hash = random_u64(&random);
            s->e[p][1].weight = 4;
        }
        for (unsigned i = 0; i < REQUESTS; i++) {
            s->ex.session.key = cases[n].keys ? random_u64(&random) | 1 : 0;
            assert_int_equal(choose(&s->ex), CHOICE_MADE);
            counts[s->ex.endpoint->pool->index][s->ex.endpoint->order]++;
        }
        for (unsigned p = 0; p < POOLS; p++)
            for (unsigned i = 0; i < EACH; i++) {
                double expected = of_pools[p] / 4 * (i ? 0.8 : 0.2);
                if (fabs((double)counts[p][i] / REQUESTS - expected) > 0.01)
                    fail_msg("%s: %u/%u got %u", cases[n].policy, p, i, counts[p][i]);
            }
        scene_free(s);
    }
    (void)state;
}

/* --- sessions --- */

static struct scene *scene_with_session(unsigned p, unsigned i)
{
    struct scene *s = scene_new("off");

    s->lb.affinity = (struct affinity_conf){ .type = AFFINITY_COOKIE, .name = "penstock", .ttl = 3600 * SECOND };
    s->ex.session.endpoint = &s->e[p][i];
    return s;
}

static void test_a_session_comes_before_order_weight_and_pools(void **state)
{
    struct scene *s = scene_with_session(1, 1);

    s->e[1][1].weight = 0;
    assert_chosen(s, 1, 1);
    set_health(s, 1, 1, HEALTH_UNKNOWN);
    assert_chosen(s, 1, 1);
    set_health(s, 1, 1, HEALTH_DOWN);
    assert_chosen(s, 0, 0);
    set_health(s, 1, 1, HEALTH_UP);
    eject(s, 1, 1);
    assert_chosen(s, 0, 0);
    scene_free(s);
    (void)state;
}

static void test_a_session_waits_for_its_endpoint(void **state)
{
    struct scene *s = scene_with_session(1, 1);

    limit(s, 1, 1, 1);
    set_in_flight(s, 1, 1, 1);
    assert_not_chosen(s, CHOICE_FULL);
    set_in_flight(s, 1, 1, 0);
    assert_chosen(s, 1, 1);
    scene_free(s);
    (void)state;
}

static void test_a_session_that_failed_goes_on(void **state)
{
    struct scene *s = scene_with_session(1, 1);

    strike(s, 1, 1);
    assert_chosen(s, 0, 0);
    scene_free(s);
    (void)state;
}

/* The same key, the same endpoint, whatever the policy's turn is; without a key the policy's turn. */
static void test_a_key_in_place_of_turns(void **state)
{
    struct scene *s = scene_new("round_robin");

    s->lb.affinity = (struct affinity_conf){ .type = AFFINITY_HEADER };
    s->ex.session.key = 12345;
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    const struct endpoint *its = s->ex.endpoint;
    for (unsigned i = 0; i < 20; i++) {
        s->ex.session.key = 0;
        assert_int_equal(choose(&s->ex), CHOICE_MADE);
        s->ex.session.key = 12345;
        assert_int_equal(choose(&s->ex), CHOICE_MADE);
        assert_ptr_equal(s->ex.endpoint, its);
    }
    set_health(s, its->pool->index, its->order, HEALTH_DOWN);
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    assert_ptr_not_equal(s->ex.endpoint, its);
    set_health(s, its->pool->index, its->order, HEALTH_UP);
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    assert_ptr_equal(s->ex.endpoint, its);
    scene_free(s);
    (void)state;
}

/* --- watched --- */

enum { BLOCK = 16384 };

/* `listed`: as for requests that are remembered; without an explanation it is one of those. */
static void watch_as(struct scene *s, bool remembered, unsigned listed)
{
    struct decision *d = malloc(BLOCK);
    assert_non_null(d);
    decision_begin(d, BLOCK, listed);
    s->ex.decision = d;
    s->ex.explanation = remembered ? NULL : explanation_new();
    if (!remembered)
        s->ex.explanation->scores = calloc(POOLS * EACH, sizeof(double));
}

static void watch(struct scene *s)
{
    watch_as(s, false, UINT32_MAX);
}

static void stop_watching(struct scene *s)
{
    if (s->ex.explanation)
        explanation_free(s->ex.explanation);
    decision_release_sheets(s->ex.decision, decision_first(s->ex.decision));
    free(s->ex.decision);
    free(s->told);
    s->ex.explanation = NULL;
    s->ex.decision = s->told = NULL;
}

static void read_on(struct scene *s)
{
    free(s->told);
    s->told = decision_unfold(s->ex.decision);
    assert_non_null(s->told);
}

static unsigned notes_of(const struct scene *s, enum note_kind kind, const struct note *out[8])
{
    unsigned n = 0;
    for (const struct note *note = decision_first(s->told); note; note = decision_next(s->told, note))
        if (note->kind == kind && n < 8)
            out[n++] = note;
    return n;
}

static const struct note_step *step_at(const struct scene *s, unsigned i)
{
    const struct note *notes[8];
    assert_true(i < notes_of(s, NOTE_STEP, notes));
    return (const struct note_step *)(const void *)notes[i];
}

static const struct note_candidate *candidate_at(const struct scene *s, unsigned step, unsigned i)
{
    const struct note_candidate *c = decision_candidate(s->told, step_at(s, step), i);
    assert_non_null(c);
    return c;
}

static void assert_what_was_decided(struct scene *s)
{
    const struct note *notes[8];

    assert_int_equal(notes_of(s, NOTE_STEP, notes), 3);
    assert_true(step_at(s, 0)->among == AMONG_POOLS && step_at(s, 0)->level == USABLE_HEALTHY && step_at(s, 0)->n == POOLS);
    assert_string_equal(decision_text(s->told, step_at(s, 1)->within), "first");
    assert_int_equal(step_at(s, 1)->chosen, NOT_ASKED);
    assert_int_equal(candidate_at(s, 1, 0)->ruled_out, RULED_USABILITY);
    assert_int_equal(candidate_at(s, 1, 0)->condition, CONDITION_DOWN);
    assert_int_equal(candidate_at(s, 1, 1)->ruled_out, RULED_FULL);
    assert_true(candidate_at(s, 1, 1)->in_flight == 1 && candidate_at(s, 1, 1)->weight == 1);
    assert_int_equal(candidate_at(s, 0, 0)->ruled_out, RULED_EMPTY);
    assert_int_equal(step_at(s, 2)->chosen, 0);
    assert_true(candidate_at(s, 2, 0)->score >= 0);
}

static void test_what_is_decided_is_noted(void **state)
{
    for (unsigned remembered = 0; remembered < 2; remembered++) {
        struct scene *s = scene_new("off");
        set_health(s, 0, 0, HEALTH_DOWN);
        limit(s, 0, 1, 1);
        set_in_flight(s, 0, 1, 1);
        watch_as(s, remembered, remembered ? EXPLAIN_LISTED : UINT32_MAX);
        assert_chosen(s, 1, 0);
        read_on(s);
        assert_what_was_decided(s);
        stop_watching(s);
        scene_free(s);
    }
    (void)state;
}

/* A step of more candidates than may be listed has those that the policy looked at, and the one it chose. */
static void test_of_many_the_chosen_one_is_noted(void **state)
{
    struct scene *s = scene_new("least_outstanding_requests");

    set_in_flight(s, 0, 0, 3);
    set_health(s, 1, 0, HEALTH_DOWN);
    watch_as(s, true, 1);
    strike(s, 0, 1);
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    read_on(s);
    const struct note_step *pools = step_at(s, 0), *endpoints = step_at(s, 1);
    assert_int_equal(pools->listed, 1);
    assert_non_null(decision_candidate(s->told, pools, pools->chosen));
    assert_int_equal(endpoints->n, EACH);
    assert_int_equal(endpoints->listed, 1);
    assert_non_null(decision_candidate(s->told, endpoints, endpoints->chosen));
    assert_int_equal(endpoints->chosen, s->ex.endpoint->order);
    assert_int_equal(endpoints->out[RULED_IN] + endpoints->out[RULED_USABILITY], EACH);
    stop_watching(s);
    scene_free(s);
    (void)state;
}

/* What is remembered is no hypothesis: turns and counters move. */
static void test_remembered_choices_count(void **state)
{
    struct scene *s = scene_new("round_robin");

    watch_as(s, true, EXPLAIN_LISTED);
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    const struct endpoint *first = s->ex.endpoint;
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    assert_ptr_not_equal(s->ex.endpoint, first);
    stop_watching(s);
    scene_free(s);
    (void)state;
}

static void test_watched_choices_leave_no_trace(void **state)
{
    struct scene *s = scene_new("round_robin");

    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    watch(s);
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    const struct endpoint *next = s->ex.endpoint;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(choose(&s->ex), CHOICE_MADE);
        assert_ptr_equal(s->ex.endpoint, next);
    }
    stop_watching(s);
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    assert_ptr_equal(s->ex.endpoint, next);
    assert_int_equal(choose(&s->ex), CHOICE_MADE);
    assert_true(s->ex.endpoint != next);
    scene_free(s);
    (void)state;
}

static void test_last_resorts_are_noted_and_not_counted(void **state)
{
    struct scene *s = scene_new("off");

    for (unsigned p = 0; p < POOLS; p++)
        for (unsigned i = 0; i < EACH; i++)
            set_health(s, p, i, HEALTH_DOWN);
    s->lb.when_all_down = WHEN_ALL_DOWN_LEAST_BAD;
    watch(s);
    assert_chosen(s, 0, 0);
    const struct note *notes[8];
    read_on(s);
    assert_int_equal(notes_of(s, NOTE_LAST_RESORT, notes), 1);
    assert_int_equal(atomic_load(&s->worker.counters.panic_choices), 0);
    stop_watching(s);
    scene_free(s);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_decided_is_noted),
        cmocka_unit_test(test_of_many_the_chosen_one_is_noted),
        cmocka_unit_test(test_remembered_choices_count),
        cmocka_unit_test(test_watched_choices_leave_no_trace),
        cmocka_unit_test(test_last_resorts_are_noted_and_not_counted),
        cmocka_unit_test(test_a_session_comes_before_order_weight_and_pools),
        cmocka_unit_test(test_a_session_waits_for_its_endpoint),
        cmocka_unit_test(test_a_session_that_failed_goes_on),
        cmocka_unit_test(test_a_key_in_place_of_turns),
        cmocka_unit_test(test_healthy_ones_in_order),
        cmocka_unit_test(test_levels_before_pools),
        cmocka_unit_test(test_tried_ones_are_left_out),
        cmocka_unit_test(test_a_failed_request_stays_in_its_pool_where_it_must),
        cmocka_unit_test(test_a_confined_request_has_what_its_pool_has),
        cmocka_unit_test(test_full_ones),
        cmocka_unit_test(test_when_all_are_down),
        cmocka_unit_test(test_fallback_pool_prefers_its_better_ones),
        cmocka_unit_test(test_fallback_pool_that_is_full_is_waited_for),
        cmocka_unit_test(test_a_failed_request_is_not_sent_on_to_what_is_down),
        cmocka_unit_test(test_where_all_are_down_the_others_are_tried_too),
        cmocka_unit_test(test_where_all_are_down_failover_may_be_confined_to_the_pool),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_probe_has_one_choice),
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_all_policies_keep_the_rules),
        cmocka_unit_test(test_weights_count_at_both_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
