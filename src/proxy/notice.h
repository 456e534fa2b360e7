/* What workers tell the control thread of endpoints. */
#ifndef PENSTOCK_PROXY_NOTICE_H
#define PENSTOCK_PROXY_NOTICE_H

#include "proxy/core.h"

void notice_post(struct worker *, struct endpoint_live *, enum reason, bool ejected);
void notice_post_adopted(struct worker *, uint64_t generation);

#endif
