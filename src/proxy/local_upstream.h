/* An upstream that is a function of this process: see proxy/local.h for whoever answers. Worker's thread. */
#ifndef PENSTOCK_PROXY_LOCAL_UPSTREAM_H
#define PENSTOCK_PROXY_LOCAL_UPSTREAM_H

#include "balance/ops.h"
#include "proxy/core.h"

extern const struct upstream_ops local_upstream_ops;
/* NULL when memory is out. */
void *local_upstream_new(struct exchange *);

#endif
