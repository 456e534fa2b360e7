/* Time. Durations and instants are nanoseconds in an int64_t; instants are of the monotonic clock unless the name says wall. */
#ifndef PENSTOCK_BASE_CLOCK_H
#define PENSTOCK_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

typedef int64_t nsec_t;

#define NSEC_PER_USEC INT64_C(1000)
#define NSEC_PER_MSEC INT64_C(1000000)
#define NSEC_PER_SEC INT64_C(1000000000)

static inline nsec_t clock_read(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (nsec_t)t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static inline nsec_t clock_monotonic(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

/* Since the Unix epoch. */
static inline nsec_t clock_wall(void)
{
    return clock_read(CLOCK_REALTIME);
}

static inline double nsec_to_seconds(nsec_t t)
{
    return (double)t / (double)NSEC_PER_SEC;
}

#define CLOCK_RFC3339_SIZE sizeof("2026-11-24T16:00:00.000Z")
/* Writes UTC with milliseconds; returns `out`. */
char *clock_rfc3339(nsec_t wall, char out[static CLOCK_RFC3339_SIZE]);

#endif
