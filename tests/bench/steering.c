/* What a choice costs each policy, with 10 and with 1,000 candidates: nanoseconds, and their ratio. Built and run by
 * `tests/bench/run --steering`. Candidates have two workers' counters on a cache line each, as endpoints do; 1 in 50 is struck
 * out. */
#include "base/clock.h"
#include "base/random.h"
#include "steering/registry.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MANY = 1000, FEW = 10, WORKERS = 2, CHOICES = 400000, ROUNDS = 5 };

/* Under load: every latency was just seen. */
#define NOW (100 * NSEC_PER_SEC)

struct counts {
    _Alignas(64) _Atomic uint32_t in_flight;
    _Atomic uint32_t connections;
};
static struct live {
    _Alignas(64) _Atomic double latency;
    _Atomic int64_t latency_at;
    struct counts counts[WORKERS];
} lives[MANY];

static uint32_t in_flight(const struct steering_view *view, size_t i)
{
    (void)view;
    uint32_t sum = 0;
    for (unsigned w = 0; w < WORKERS; w++)
        sum += atomic_load_explicit(&lives[i].counts[w].in_flight, memory_order_relaxed);
    return sum;
}

static uint32_t connections(const struct steering_view *view, size_t i)
{
    (void)view;
    uint32_t sum = 0;
    for (unsigned w = 0; w < WORKERS; w++)
        sum += atomic_load_explicit(&lives[i].counts[w].connections, memory_order_relaxed);
    return sum;
}

static struct steering_latency latency(const struct steering_view *view, size_t i)
{
    (void)view;
    return (struct steering_latency){ atomic_load_explicit(&lives[i].latency, memory_order_relaxed),
                                      atomic_load_explicit(&lives[i].latency_at, memory_order_relaxed), NAN };
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fill(struct steering_candidate *candidates, size_t n)
{
    struct random r = { 1 };
    for (size_t i = 0; i < n; i++) {
        candidates[i] = (struct steering_candidate){ .id = random_u64(&r), .weight = 1 + (double)(i % 3), .order = (unsigned)i };
        candidates[i].latitude = (float)(i % 90);
        candidates[i].longitude = (float)(i % 180);
        atomic_store(&lives[i].latency_at, NOW);
        atomic_store(&lives[i].latency, 0.01 + random_unit(&r) / 10);
        atomic_store(&lives[i].counts[0].in_flight, (uint32_t)(random_u64(&r) % 8));
        atomic_store(&lives[i].counts[1].connections, (uint32_t)(random_u64(&r) % 8));
    }
}

/* Nanoseconds of one choice, used. */
static double measure(const struct steering_policy *p, void *w, const struct steering_view *view)
{
    struct random r = { 2 };
    size_t used = 0;
    double start = seconds();
    for (unsigned i = 0; i < CHOICES; i++) {
        struct steering_request request = { .now = NOW, .random = random_u64(&r), .key = random_u64(&r) };
        request.latitude = 50;
        request.longitude = 8;
        size_t chosen = p->choose(w, &request, view, NULL);
        if (p->commit)
            p->commit(w, chosen);
        used += chosen != STEERING_NONE;
    }
    double taken = seconds() - start;
    if (used != CHOICES)
        abort();
    return taken / CHOICES * 1e9;
}

static void set_up(const struct steering_policy *p, size_t n, void **config, void **w)
{
    static struct steering_candidate candidates[MANY];
    struct steering_error error;
    fill(candidates, n);
    if (p->configure && !p->configure(&(struct steering_options){ 0 }, &error, config))
        abort();
    *w = p->worker_new(*config);
    if (!*w || !p->update(*w, candidates, n))
        abort();
}

int main(void)
{
    static const size_t sizes[] = { FEW, MANY };
    static uint64_t struck_out[MANY / 64 + 1];
    struct steering_view view = { in_flight, connections, latency, struck_out };

    for (size_t i = 7; i < MANY; i += 50)
        struck_out[i / 64] |= UINT64_C(1) << (i % 64);
    printf("%-28s %8s %8s %6s\n", "policy", "10", "1000", "ratio");
    for (const struct steering_policy *const *p = steering_policies; *p; p++) {
        double best[2] = { INFINITY, INFINITY };
        void *configs[2] = { 0 }, *workers[2];
        for (unsigned s = 0; s < 2; s++)
            set_up(*p, sizes[s], &configs[s], &workers[s]);
        for (unsigned round = 0; round < ROUNDS; round++)
            for (unsigned s = 0; s < 2; s++)
                best[s] = fmin(best[s], measure(*p, workers[s], &view));
        printf("%-28s %8.1f %8.1f %6.2f\n", (*p)->name, best[0], best[1], best[1] / best[0]);
        for (unsigned s = 0; s < 2; s++) {
            (*p)->worker_free(workers[s]);
            if ((*p)->release)
                (*p)->release(configs[s]);
        }
    }
    return 0;
}
