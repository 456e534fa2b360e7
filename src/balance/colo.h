/* Where data centres are, by the names that Cloudflare gives its own: the IATA code of an airport nearby and a number, "dfw08". */
#ifndef PENSTOCK_BALANCE_COLO_H
#define PENSTOCK_BALANCE_COLO_H

#include <stddef.h>

struct colo {
    char code[4];              /* in capitals */
    float latitude, longitude; /* degrees, of the airport: within some tens of kilometres of the place */
};
extern const struct colo colos[]; /* by code */
extern const size_t n_colos;

/* By such a name, in letters of either case, the number or without it. NULL: it is none, or there is nothing at that airport that we know of. */
const struct colo *colo_find(const char *name);

#endif
