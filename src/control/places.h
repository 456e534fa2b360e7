/* The databases that tell where clients are: opened with the configuration, and again when their files change. While new ones can't be read the
 * former ones stay in use; that is told once. */
#ifndef PENSTOCK_CONTROL_PLACES_H
#define PENSTOCK_CONTROL_PLACES_H

#include "balance/geoip.h"
#include "control/control.h"

struct places;
struct places *places_new(struct control *);
void places_free(struct places *);
/* What workers read. As long as the places. */
struct geoip_slot *places_slot(struct places *);
/* Takes what the configuration opened. */
void places_set_config(struct places *, struct config *);
/* place_unknown where it can't be told. */
void places_find(struct places *, const struct address *, struct place *out);

#endif
