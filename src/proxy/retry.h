/* May a request be sent again, and where to? The retry table, by what the upstream can have seen. Pure, but for the budget. */
#ifndef PENSTOCK_PROXY_RETRY_H
#define PENSTOCK_PROXY_RETRY_H

#include "balance/config.h"
#include "balance/ops.h"

struct retry_case {
    enum upstream_stage stage;
    enum reason reason;
    unsigned status;      /* STAGE_RESPONSE: of the response; 0 when no head could be read */
    enum http_method method;
    bool body_kept;       /* there is no body, or all of it that was taken from the client is still in the replay buffer */
    bool idempotency_key; /* the request has an Idempotency-Key */
    bool forwarded;       /* a byte of the response has gone to the client */
    bool timed_out_before; /* an earlier try of this request ended with STAGE_RESPONSE_TIMEOUT */
    unsigned others_tried; /* endpoints tried beyond the first */
    bool has_line;        /* another connection of the endpoint's tunnel may be tried, which costs nothing of `retries` */
    unsigned same_tried;  /* fresh connections to this endpoint after a reuse race */
};

enum retry {
    RETRY_NO,
    RETRY_SAME_FRESH, /* the reuse race: the same endpoint, a fresh connection; not charged to its health */
    RETRY_OTHER       /* an endpoint not tried yet, or another connection of its tunnel */
};
/* Why not, for explanations; after RETRY_NO. */
enum retry_refused {
    REFUSED_NOT,
    REFUSED_NO_FAILURE, /* nothing that another endpoint could do better */
    REFUSED_BEGUN,      /* the client has a part of the response */
    REFUSED_BODY,       /* it was not kept whole */
    REFUSED_KIND,       /* `failover.on` does not name it */
    REFUSED_METHOD,     /* the endpoint may have acted on it */
    REFUSED_TIMED_OUT,  /* for the second time */
    REFUSED_RETRIES,    /* `failover.retries` are used up */
    REFUSED_SESSION     /* it may not leave its endpoint */
};
struct retry_decision {
    enum retry retry;
    bool charged; /* only if the budget allows it: retry_budget_take */
    enum retry_refused refused;
};
struct retry_decision retry_decide(const struct failover *, const struct retry_case *);

/* 20 % of the requests in flight, 3 at least, may be retries after a response, so that a failing service is not hit twice as hard. Retries
 * of unanswered requests are free: when an endpoint dies, all of them move at once. One per worker; zero-initialised is empty. */
enum { RETRY_BUDGET_PERCENT = 20, RETRY_BUDGET_FLOOR = 3 };
struct retry_budget {
    unsigned in_flight, retrying;
};
void retry_budget_begin(struct retry_budget *);
/* *held belongs to the exchange, false at its beginning: its share of the budget, taken at most once. False: no budget, no retry. */
bool retry_budget_take(struct retry_budget *, bool *held);
void retry_budget_end(struct retry_budget *, bool held);

#endif
