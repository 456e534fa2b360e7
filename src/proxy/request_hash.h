/* What a request is keyed by, as a number: the same part of a request, the same number, in every worker and process. */
#ifndef PENSTOCK_PROXY_REQUEST_HASH_H
#define PENSTOCK_PROXY_REQUEST_HASH_H

#include "balance/request_key.h"

#include <stdint.h>

struct exchange;

/* 0: the request has nothing of the kind, or nothing is asked for. */
uint64_t request_hash(const struct exchange *, const struct request_key *);

#endif
