/* Databases that tell an address's place (MaxMind DB, MMDB). Each is read whole into memory that nobody else can write to: a file that is cut
 * short or written over under its name harms nobody. */
#ifndef PENSTOCK_BALANCE_GEOIP_H
#define PENSTOCK_BALANCE_GEOIP_H

#include "balance/place.h"
#include "net/address.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

enum { GEOIP_FILES_MAX = 8, GEOIP_ERROR_SIZE = 512 };

/* Counted, immutable. */
struct geoip;

/* What it tells of some of its addresses. */
struct geoip_contents {
    bool countries, subdivisions, coordinates;
};

/* All of the files, or NULL with what is wrong with one. */
struct geoip *geoip_open(const char *const *paths, size_t n, char error[static GEOIP_ERROR_SIZE]);
struct geoip *geoip_ref(struct geoip *);
void geoip_unref(struct geoip *); /* NULL is fine */
struct geoip_contents geoip_contents(const struct geoip *);
/* By the first of the files that knows the address; place_unknown if none does. Understands MaxMind's own fields (country.iso_code,
 * subdivisions[0].iso_code, location), and flat ones (country_code, state1 or region, latitude). */
void geoip_find(const struct geoip *, const struct address *, struct place *out);

/* The databases in use: one per process. Whoever got them keeps them while others replace them. */
struct geoip_slot {
    pthread_mutex_t lock; /* guards `current` */
    struct geoip *current; /* NULL: none */
    _Atomic uint64_t version; /* moves with each new one; 0: there has been none yet */
};
void geoip_slot_init(struct geoip_slot *);
void geoip_slot_clear(struct geoip_slot *);
/* Takes over the reference. */
void geoip_slot_set(struct geoip_slot *, struct geoip *);
/* One reference, or NULL; and the version it is of. Any thread. */
struct geoip *geoip_slot_get(struct geoip_slot *, uint64_t *version);

#endif
