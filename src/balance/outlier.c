#include "balance/outlier.h"

#include "balance/candidate.h"

#include <math.h>

static const double JITTER = 0.1;

/* A half window as one word: its number (24 bits: comes round after 2.6 years of 5 s), and how many requests and failures it saw. */
enum { COUNT_BITS = 20, COUNT_MAX = (1 << COUNT_BITS) - 1 };
#define TAG_MASK UINT64_C(0xffffff)

struct half {
    uint64_t tag;
    uint32_t requests, failures;
};

static uint64_t half_pack(struct half h)
{
    return h.tag << (2 * COUNT_BITS) | (uint64_t)h.requests << COUNT_BITS | h.failures;
}

static struct half half_unpack(uint64_t word)
{
    return (struct half){ word >> (2 * COUNT_BITS), word >> COUNT_BITS & COUNT_MAX, word & COUNT_MAX };
}

static uint64_t half_number(const struct passive *passive, nsec_t now)
{
    nsec_t length = passive->window / 2;

    return length > 0 ? (uint64_t)(now / length) : (uint64_t)now;
}

/* A full half stops counting, which keeps its ratio. */
static void half_count(_Atomic uint64_t *half, uint64_t tag, bool failed)
{
    uint64_t word = atomic_load_explicit(half, memory_order_relaxed);
    struct half next;

    do {
        next = half_unpack(word);
        if (next.tag != tag)
            next = (struct half){ .tag = tag };
        if (next.requests == COUNT_MAX)
            return;
        next.requests++;
        next.failures += failed;
    } while (!atomic_compare_exchange_weak_explicit(half, &word, half_pack(next), memory_order_relaxed, memory_order_relaxed));
}

static void window_count(struct outlier_window *window, uint64_t number, bool failed)
{
    half_count(&window->halves[number % 2], number & TAG_MASK, failed);
}

static struct half window_sum(const struct outlier_window *window, uint64_t number)
{
    struct half sum = { 0 };

    for (unsigned i = 0; i < 2; i++) {
        struct half h = half_unpack(atomic_load_explicit(&window->halves[i], memory_order_relaxed));
        if (h.tag != (number & TAG_MASK) && h.tag != ((number - 1) & TAG_MASK))
            continue;
        sum.requests += h.requests;
        sum.failures += h.failures;
    }
    return sum;
}

static void forget_failures(struct endpoint_live *live)
{
    atomic_store_explicit(&live->consecutive_failures, 0, memory_order_relaxed);
    for (unsigned i = 0; i < 2; i++)
        atomic_store_explicit(&live->window.halves[i], 0, memory_order_relaxed);
}

static bool too_many_in_a_row(const struct passive *passive, uint32_t consecutive)
{
    return passive->consecutive && consecutive >= passive->consecutive;
}

static bool too_large_a_share(const struct passive *passive, struct half sum)
{
    return passive->ratio > 0 && sum.requests >= passive->min_requests && sum.failures >= passive->ratio * sum.requests;
}

static nsec_t ejection_length(const struct passive *passive, uint32_t times, uint64_t random)
{
    double unit = (double)(random >> 11) * 0x1p-53;
    double length = (double)passive->ejection * times * (1 - JITTER + 2 * JITTER * unit);

    return length < (double)passive->ejection_max ? (nsec_t)length : passive->ejection_max;
}

/* Whoever moves ejected_until from what it was before the failure has ejected; everyone else came too late. */
static bool eject(struct endpoint_live *live, const struct passive *passive, enum reason reason, nsec_t now, uint64_t random)
{
    nsec_t before = atomic_load_explicit(&live->ejected_until, memory_order_acquire);
    if (before > now)
        return false;
    bool served = endpoint_in_service(live, now);
    uint32_t times = atomic_load_explicit(&live->ejections, memory_order_relaxed) + 1;
    nsec_t until = now + ejection_length(passive, times, random);

    /* Before the ejection shows, so that nobody sees it with the reason of the one before. */
    atomic_store_explicit(&live->ejected_for, (uint8_t)reason, memory_order_relaxed);
    if (!atomic_compare_exchange_strong_explicit(&live->ejected_until, &before, until, memory_order_acq_rel, memory_order_relaxed))
        return false;
    atomic_fetch_add_explicit(&live->ejections, 1, memory_order_relaxed);
    if (served)
        endpoint_note_loss(live, now);
    forget_failures(live);
    return true;
}

static void record_success(struct endpoint_live *live, uint64_t number)
{
    if (atomic_load_explicit(&live->consecutive_failures, memory_order_relaxed))
        atomic_store_explicit(&live->consecutive_failures, 0, memory_order_relaxed);
    window_count(&live->window, number, false);
}

bool outlier_record(struct endpoint_live *live, const struct passive *passive, enum reason reason, nsec_t now, uint64_t random, bool may_eject)
{
    uint64_t number = half_number(passive, now);

    if (outlier_is_ejected(live, now))
        return false;
    if (reason == REASON_NONE) {
        record_success(live, number);
        return false;
    }
    if (!reason_counts_against_endpoint(reason))
        return false;
    window_count(&live->window, number, true);
    uint32_t consecutive = atomic_fetch_add_explicit(&live->consecutive_failures, 1, memory_order_relaxed) + 1;
    if (!too_many_in_a_row(passive, consecutive) && !too_large_a_share(passive, window_sum(&live->window, number)))
        return false;
    return may_eject && eject(live, passive, reason, now, random);
}

/* Endpoints that traffic has nothing against and that are not known to be down. */
static bool is_spare(const struct endpoint *e, nsec_t now)
{
    enum usability u = endpoint_usability(e, now);

    return (u == USABLE_HEALTHY || u == USABLE_UNKNOWN) && endpoint_weight(e, now, false) > 0;
}

bool outlier_may_eject(const struct pool *pool, const struct endpoint *endpoint, nsec_t now)
{
    double kept = ceil((double)pool->n_endpoints * pool->panic);
    size_t floor_count = kept > 1 ? (size_t)kept : 1, others = 0;

    for (size_t i = 0; i < pool->n_endpoints && others < floor_count; i++)
        others += &pool->endpoints[i] != endpoint && is_spare(&pool->endpoints[i], now);
    return others >= floor_count;
}

bool outlier_is_ejected(const struct endpoint_live *live, nsec_t now)
{
    return atomic_load_explicit(&live->ejected_until, memory_order_relaxed) > now;
}

static bool end_ejection(struct endpoint_live *live, nsec_t until, nsec_t now)
{
    if (!atomic_compare_exchange_strong_explicit(&live->ejected_until, &until, 0, memory_order_acq_rel, memory_order_relaxed))
        return false;
    atomic_store_explicit(&live->clean_since, now, memory_order_relaxed);
    endpoint_note_return(live, now);
    return true;
}

/* Only this lessens the count, so it can't go below 0. */
static void decay(struct endpoint_live *live, const struct passive *passive, nsec_t now)
{
    nsec_t since = atomic_load_explicit(&live->clean_since, memory_order_relaxed);

    while (now - since >= passive->ejection && atomic_load_explicit(&live->ejections, memory_order_relaxed)) {
        atomic_fetch_sub_explicit(&live->ejections, 1, memory_order_relaxed);
        since += passive->ejection;
    }
    atomic_store_explicit(&live->clean_since, since, memory_order_relaxed);
}

bool outlier_sweep(struct endpoint_live *live, const struct passive *passive, nsec_t now)
{
    nsec_t until = atomic_load_explicit(&live->ejected_until, memory_order_acquire);

    if (until > now)
        return false;
    if (until)
        return end_ejection(live, until, now);
    if (atomic_load_explicit(&live->ejections, memory_order_relaxed))
        decay(live, passive, now);
    return false;
}

bool outlier_forgive(struct endpoint_live *live, nsec_t now)
{
    nsec_t until = atomic_load_explicit(&live->ejected_until, memory_order_acquire);

    if (until <= now || !reason_is_transport(atomic_load_explicit(&live->ejected_for, memory_order_relaxed)))
        return false;
    return end_ejection(live, until, now);
}
