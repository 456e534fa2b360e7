/* The arguments of a request's target: what follows "?", divided by "&", each "name=value". Nothing is decoded. */
#ifndef PENSTOCK_HTTP_TARGET_H
#define PENSTOCK_HTTP_TARGET_H

#include "base/slice.h"

/* Of a target in origin form: what stands before "?", and what after; .p of `query` is NULL if there is no "?". */
void target_split(struct slice target, struct slice *path, struct slice *query);
/* The value of the first argument of that name, empty where it has no "="; .p is NULL if there is none. */
struct slice target_argument(struct slice query, struct slice name);

#endif
