/* Random numbers: a fast generator that each owner keeps for itself, and the kernel's bytes for secrets. */
#ifndef PENSTOCK_BASE_RANDOM_H
#define PENSTOCK_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* From the kernel; ends the process if it has none. */
void random_bytes(void *out, size_t n);

/* Until it ends, this thread gets the same bytes with each call: for trials that must begin alike in whatever order, and have no secrets. */
void random_rehearse(uint64_t seed);
void random_end_rehearsal(void);

static inline void random_seed(struct random *r)
{
    random_bytes(&r->state, sizeof r->state);
}

/* SplitMix64 (Steele, Lea, Flood 2014): statistically good, not for secrets. */
static inline uint64_t random_u64(struct random *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* [0, 1) */
static inline double random_unit(struct random *r)
{
    return (double)(random_u64(r) >> 11) * 0x1p-53;
}

#endif
