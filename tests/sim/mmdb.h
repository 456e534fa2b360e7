/* Writes a small MaxMind DB (format 2.0), for tests of those who read one. */
#ifndef PENSTOCK_SIM_MMDB_H
#define PENSTOCK_SIM_MMDB_H

#include <stdbool.h>
#include <stddef.h>

struct mmdb_row {
    const char *network;              /* "192.0.2.0/24", "2001:db8::/32"; a narrower one overrides a wider one */
    const char *country;              /* NULL: not told, as below */
    const char *subdivision;          /* its code; flat: its name */
    const double *latitude, *longitude;
};

/* `flat`: fields without groups (country_code, state1, latitude), and coordinates of single precision. False if it can't be written, or a network
 * is none. */
bool mmdb_write(const char *path, const struct mmdb_row *, size_t n, bool flat);

#endif
