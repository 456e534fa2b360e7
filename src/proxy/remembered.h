/* How a worker's last requests were decided: as many as the configuration says, in blocks that stand ready, the oldest of which gives way
 * to each new request, be it still under way or not. Worker's thread. */
#ifndef PENSTOCK_PROXY_REMEMBERED_H
#define PENSTOCK_PROXY_REMEMBERED_H

#include "balance/decision.h"

enum { REMEMBERED_SIZE = 3072 /* bytes of each */ };

struct remembered;
/* Remembers none, so far. */
struct remembered *remembered_new(void) __attribute__((returns_nonnull, warn_unused_result));
void remembered_free(struct remembered *); /* all that were under way are over */
/* So many from now on; what does not fit is forgotten. */
void remembered_resize(struct remembered *, unsigned n);

/* For a request that begins; NULL: none are remembered. Until remembered_end, *owner follows the block, and becomes NULL when it is taken
 * away. */
struct decision *remembered_begin(struct remembered *, const char *id, unsigned listed, struct decision **owner);
void remembered_end(struct remembered *, const struct decision *);
/* The last one, the one before it (k = 1), and so on; NULL: there are no more. */
const struct decision *remembered_newest(const struct remembered *, unsigned k);
/* The newest of that id; NULL: there is none (any more). `same`: how many there are. */
const struct decision *remembered_find(const struct remembered *, const char *id, unsigned *same);

#endif
