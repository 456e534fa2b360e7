#include "balance/tally.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

struct count {
    _Atomic uint64_t n; /* its worker writes */
    char apart[64 - sizeof(uint64_t)];
};

struct tally {
    _Atomic unsigned refs;
    unsigned workers;
    struct count *counts;
};

struct tally *tally_new(unsigned workers)
{
    struct tally *t = mem_zero(sizeof *t);
    atomic_init(&t->refs, 1);
    t->workers = workers;
    t->counts = mem_array(workers ? workers : 1, sizeof *t->counts);
    return t;
}

struct tally *tally_ref(struct tally *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tally_unref(struct tally *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(t->counts);
    free(t);
}

void tally_add(struct tally *t, unsigned worker)
{
    if (!t)
        return;
    _Atomic uint64_t *n = &t->counts[worker].n;
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

uint64_t tally_sum(const struct tally *t)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < t->workers; i++)
        sum += atomic_load_explicit(&t->counts[i].n, memory_order_relaxed);
    return sum;
}
