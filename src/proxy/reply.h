/* Answers of our own: short, plain, never cached. */
#ifndef PENSTOCK_PROXY_REPLY_H
#define PENSTOCK_PROXY_REPLY_H

#include "balance/ops.h"
#include "proxy/core.h"

enum { REPLY_BODY_MAX = 256, REPLY_FIELDS_MAX = 5 };
struct reply {
    struct message_out message;
    struct slice body;
    struct added_field fields[REPLY_FIELDS_MAX];
    char text[REPLY_BODY_MAX];
    char retry_after[24];
};

/* `why` in words. `retry_after`: 0 for none. The reply points into itself: not to be copied. */
void reply_compose(struct reply *, unsigned status, const char *why, nsec_t retry_after);
/* The page of a load balancer that has nobody to send to; points into the configuration. */
void reply_compose_page(struct reply *, const struct down_page *, nsec_t retry_after);
/* So that whoever gets it can say which request it was; the id has to last as long. */
void reply_add_request_id(struct reply *, const char *id);
/* What a rule answers; points into the configuration. */
void reply_compose_given(struct reply *, const struct rule_response *);
/* Counts and logs the refusal of a request that was too broken to become an exchange. `peer`: NULL over a unix socket. */
void reply_account_refusal(struct worker *, const struct address *peer, bool tls, unsigned status, enum reason);
/* One response in the worker's counters. */
void reply_count_status(struct worker *, unsigned status);

#endif
