#include "balance/live.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

_Static_assert(offsetof(struct endpoint_live, addresses_version) + sizeof(uint32_t) - offsetof(struct endpoint_live, window) <= 64 &&
                   sizeof(struct endpoint_counts) == 64,
               "each of the two is one cache line");

static struct endpoint_live *allocate(unsigned workers)
{
    size_t size = sizeof(struct endpoint_live) + workers * sizeof(struct endpoint_counts);
    void *memory = aligned_alloc(_Alignof(struct endpoint_live), size);

    if (!memory) {
        fputs("penstock: out of memory\n", stderr);
        abort();
    }
    return memset(memory, 0, size);
}

struct endpoint_live *endpoint_live_new(const char *id, unsigned workers)
{
    struct endpoint_live *live = allocate(workers);

    live->id = mem_copy_text(id);
    for (unsigned i = 0; i < workers; i++)
        live->counts[i].workers = workers;
    atomic_init(&live->refs, 1);
    atomic_init(&live->weight_override, (double)NAN);
    atomic_init(&live->dialable, true);
    atomic_init(&live->probe_latency_s, (double)NAN);
    atomic_init(&live->latency_s, (double)NAN);
    atomic_init(&live->stretches[0].until, STRETCH_OPEN);
    pthread_mutex_init(&live->address_lock, NULL);
    return live;
}

#define COPY(to, from, member) atomic_init(&(to)->member, atomic_load_explicit(&(from)->member, memory_order_relaxed))

static void copy_stretches(struct endpoint_live *to, const struct endpoint_live *from)
{
    for (unsigned i = 0; i < STRETCHES_KEPT; i++) {
        COPY(to, from, stretches[i].since);
        COPY(to, from, stretches[i].until);
    }
    COPY(to, from, stretch);
}

static void copy_what_traffic_says(struct endpoint_live *to, const struct endpoint_live *from)
{
    COPY(to, from, consecutive_failures);
    COPY(to, from, window.halves[0]);
    COPY(to, from, window.halves[1]);
    COPY(to, from, ejected_until);
    COPY(to, from, ejections);
    COPY(to, from, ejected_for);
    COPY(to, from, clean_since);
    COPY(to, from, latency_s);
    COPY(to, from, latency_at);
}

struct endpoint_live *endpoint_live_copy(const struct endpoint_live *from)
{
    struct endpoint_live *to = endpoint_live_new(from->id, 1);

    COPY(to, from, health);
    COPY(to, from, admin);
    COPY(to, from, admin_since);
    COPY(to, from, weight_override);
    COPY(to, from, slow_start_from);
    copy_stretches(to, from);
    COPY(to, from, dialable);
    COPY(to, from, kept_out);
    COPY(to, from, resolving);
    COPY(to, from, probe_latency_s);
    copy_what_traffic_says(to, from);
    atomic_init(&to->counts[0].connections, endpoint_open_connections(from));
    return to;
}

struct endpoint_live *endpoint_live_ref(struct endpoint_live *live)
{
    atomic_fetch_add_explicit(&live->refs, 1, memory_order_relaxed);
    return live;
}

void endpoint_live_unref(struct endpoint_live *live)
{
    if (!live || atomic_fetch_sub_explicit(&live->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&live->address_lock);
    free(live->id);
    free(live);
}

/* No verdict yet speaks neither for nor against: it is no loss, and the first good one no return. */
bool endpoint_in_service(const struct endpoint_live *live, nsec_t now)
{
    return atomic_load_explicit(&live->health, memory_order_relaxed) != HEALTH_DOWN &&
           atomic_load_explicit(&live->admin, memory_order_relaxed) == ADMIN_ENABLED &&
           atomic_load_explicit(&live->ejected_until, memory_order_relaxed) <= now;
}

static struct stretch *stretch_of(struct endpoint_live *live, uint32_t number)
{
    return &live->stretches[number % STRETCHES_KEPT];
}

/* The current stretch goes on if its end was never noted: then it begins anew, since nobody knows how much of it was true. */
void endpoint_note_return(struct endpoint_live *live, nsec_t now)
{
    if (!endpoint_in_service(live, now))
        return;
    uint32_t number = atomic_load_explicit(&live->stretch, memory_order_relaxed);
    if (atomic_load_explicit(&stretch_of(live, number)->until, memory_order_relaxed) != STRETCH_OPEN)
        number++;
    atomic_store_explicit(&stretch_of(live, number)->since, now, memory_order_relaxed);
    atomic_store_explicit(&stretch_of(live, number)->until, STRETCH_OPEN, memory_order_relaxed);
    atomic_store_explicit(&live->stretch, number, memory_order_relaxed);
    atomic_store_explicit(&live->slow_start_from, now, memory_order_relaxed);
}

void endpoint_note_loss(struct endpoint_live *live, nsec_t now)
{
    uint32_t number = atomic_load_explicit(&live->stretch, memory_order_relaxed);

    atomic_store_explicit(&stretch_of(live, number)->until, now, memory_order_relaxed);
}

nsec_t endpoint_usable_since(const struct endpoint_live *live)
{
    uint32_t number = atomic_load_explicit(&live->stretch, memory_order_relaxed);

    return atomic_load_explicit(&live->stretches[number % STRETCHES_KEPT].since, memory_order_relaxed);
}

bool endpoint_was_in_service(const struct endpoint_live *live, nsec_t instant)
{
    for (unsigned i = 0; i < STRETCHES_KEPT; i++) {
        const struct stretch *s = &live->stretches[i];
        if (atomic_load_explicit(&s->since, memory_order_relaxed) < instant && atomic_load_explicit(&s->until, memory_order_relaxed) >= instant)
            return true;
    }
    return false;
}

static bool change(struct endpoint_live *live, _Atomic uint8_t *field, uint8_t value, nsec_t now)
{
    bool before = endpoint_in_service(live, now);
    bool changed = atomic_exchange_explicit(field, value, memory_order_relaxed) != value;
    bool after = endpoint_in_service(live, now);

    if (before && !after)
        endpoint_note_loss(live, now);
    if (after && !before)
        endpoint_note_return(live, now);
    return changed;
}

bool endpoint_set_health(struct endpoint_live *live, enum health health, nsec_t now)
{
    return change(live, &live->health, (uint8_t)health, now);
}

bool endpoint_set_admin(struct endpoint_live *live, enum admin_state admin, nsec_t now)
{
    if (atomic_load_explicit(&live->admin, memory_order_relaxed) != admin)
        atomic_store_explicit(&live->admin_since, now, memory_order_relaxed);
    return change(live, &live->admin, (uint8_t)admin, now);
}

uint32_t endpoint_in_flight(const struct endpoint_live *live)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < endpoint_workers(live); i++)
        sum += atomic_load_explicit(&live->counts[i].in_flight, memory_order_relaxed);
    return sum;
}

uint32_t endpoint_open_connections(const struct endpoint_live *live)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < endpoint_workers(live); i++)
        sum += atomic_load_explicit(&live->counts[i].connections, memory_order_relaxed);
    return sum;
}

void endpoint_set_addresses(struct endpoint_live *live, const struct address_set *addresses)
{
    pthread_mutex_lock(&live->address_lock);
    live->addresses = *addresses;
    atomic_fetch_add_explicit(&live->addresses_version, 1, memory_order_release);
    pthread_mutex_unlock(&live->address_lock);
}

void endpoint_get_addresses(struct endpoint_live *live, struct address_set *out)
{
    pthread_mutex_lock(&live->address_lock);
    *out = live->addresses;
    pthread_mutex_unlock(&live->address_lock);
}
