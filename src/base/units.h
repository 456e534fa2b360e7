/* Durations and sizes as people write them: "250ms", "15s", "5m", "1h"; "64k", "1m", "0". */
#ifndef PENSTOCK_BASE_UNITS_H
#define PENSTOCK_BASE_UNITS_H

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False, and `*out` untouched, for anything else: no unit (but "0"), signs, overflow. Units: ns us ms s m h d. A fraction ("1.5s") is fine. */
bool duration_parse(const char *text, nsec_t *out);
/* Units: none (bytes), k, m, g, of 1024; upper case too. */
bool size_parse(const char *text, uint64_t *out);

#define DURATION_TEXT_SIZE 32
/* The shortest exact form of one unit: 1500ms, 15s, 2h. */
char *duration_format(nsec_t, char out[static DURATION_TEXT_SIZE]);
#define SIZE_TEXT_SIZE 32
char *size_format(uint64_t, char out[static SIZE_TEXT_SIZE]);

#endif
