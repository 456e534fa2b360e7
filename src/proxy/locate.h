/* Where the client of a request is. Each worker remembers the last clients it was asked about, so that an address is looked up once for
 * many requests. Worker's thread. */
#ifndef PENSTOCK_PROXY_LOCATE_H
#define PENSTOCK_PROXY_LOCATE_H

#include "balance/geoip.h"
#include "balance/place.h"

struct exchange;
struct located;

struct locator {
    struct geoip_slot *slot; /* NULL: nobody knows */
    struct geoip *geoip;     /* one reference to what the slot had when it was last looked at */
    uint64_t version;
    struct located *known;   /* by a hash of the address; made when first needed */
};
/* A locator is all zero but for its slot. */
void locator_clear(struct locator *);

/* place_unknown where it can't be told. Valid as long as the exchange. */
const struct place *locate(struct exchange *);

#endif
