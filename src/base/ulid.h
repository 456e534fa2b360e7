/* Identifiers that sort by time: 26 characters, 48 bits of milliseconds and 80 of randomness (the ULID specification). */
#ifndef PENSTOCK_BASE_ULID_H
#define PENSTOCK_BASE_ULID_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define ULID_TEXT_SIZE 27

/* One per owner; zero-initialised is fresh. */
struct ulid_source {
    uint64_t milliseconds;
    uint8_t random[10];
};

/* Greater than the last one of this source, also when the clock stands still or goes back. Returns `out`. */
char *ulid_make(struct ulid_source *, nsec_t wall, char out[static ULID_TEXT_SIZE]);

#endif
