#include "proxy/retry.h"

static struct retry_decision no(enum retry_refused why)
{
    return (struct retry_decision){ .retry = RETRY_NO, .refused = why };
}

/* Only what an upstream did can go better elsewhere; also a status that is no failure, when the list names it. */
static bool is_upstreams_doing(enum reason reason)
{
    return reason <= REASON_RESPONSE_IDLE;
}

static bool is_idempotent(const struct failover *f, const struct retry_case *c)
{
    return http_method_is_idempotent(c->method) || (f->idempotency_key && c->idempotency_key);
}

static struct retry_decision same(void)
{
    return (struct retry_decision){ .retry = RETRY_SAME_FRESH };
}

static struct retry_decision other(const struct failover *f, const struct retry_case *c, bool charged)
{
    if (!c->has_line && c->others_tried >= f->retries)
        return no(REFUSED_RETRIES);
    return (struct retry_decision){ .retry = RETRY_OTHER, .charged = charged };
}

static struct retry_decision on_not_connected(const struct failover *f, const struct retry_case *c)
{
    unsigned wanted = c->reason == REASON_TUNNEL_INACTIVE ? FAILOVER_TUNNEL_INACTIVE : FAILOVER_CONNECT_ERROR;

    return f->on & wanted ? other(f, c, false) : no(REFUSED_KIND);
}

static struct retry_decision on_sent(const struct failover *f, const struct retry_case *c, bool charged)
{
    if (!(f->on & FAILOVER_RESET))
        return no(REFUSED_KIND);
    return is_idempotent(f, c) ? other(f, c, charged) : no(REFUSED_METHOD);
}

static struct retry_decision on_timeout(const struct failover *f, const struct retry_case *c)
{
    if (!(f->on & FAILOVER_TIMEOUT))
        return no(REFUSED_KIND);
    if (!http_method_is_safe(c->method))
        return no(REFUSED_METHOD);
    return c->timed_out_before ? no(REFUSED_TIMED_OUT) : other(f, c, false);
}

/* The edge says so without having delivered the request to anybody; 520, 522 and 524 may come after that. */
static bool is_undelivered(unsigned status)
{
    return status == 521 || status == 523 || status == 525 || status == 526 || status == 530;
}

static bool is_status_to_fail_over(const struct failover *f, const struct retry_case *c)
{
    return status_bit(f->on_status, c->status) || (c->reason == REASON_TUNNEL_INACTIVE && (f->on & FAILOVER_TUNNEL_INACTIVE));
}

static struct retry_decision on_status(const struct failover *f, const struct retry_case *c)
{
    bool allowed = http_method_is_safe(c->method) || (f->retry_post_undelivered && is_undelivered(c->status));
    return allowed ? other(f, c, true) : no(REFUSED_METHOD);
}

/* A connector's own 502: as if it were a status of the edge's, but that it could not connect further is what it says. */
static struct retry_decision on_unreachable(const struct failover *f, const struct retry_case *c)
{
    if (!(f->on & FAILOVER_CONNECT_ERROR))
        return no(REFUSED_KIND);
    return http_method_is_safe(c->method) ? other(f, c, true) : no(REFUSED_METHOD);
}

static bool is_failure(const struct failover *f, const struct retry_case *c)
{
    bool answered = c->stage == STAGE_RESPONSE && c->status && c->reason != REASON_ORIGIN_UNREACHABLE;
    return answered ? is_status_to_fail_over(f, c) : true;
}

struct retry_decision retry_decide(const struct failover *f, const struct retry_case *c)
{
    if (!is_upstreams_doing(c->reason) || !is_failure(f, c))
        return no(REFUSED_NO_FAILURE);
    if (c->forwarded)
        return no(REFUSED_BEGUN);
    if (!c->body_kept)
        return no(REFUSED_BODY);
    switch (c->stage) {
    case STAGE_NOT_CONNECTED:
        return on_not_connected(f, c);
    case STAGE_REUSED_UNSENT:
        return c->same_tried ? on_not_connected(f, c) : same();
    case STAGE_REUSED_SENT:
        if (c->same_tried)
            return on_sent(f, c, false);
        return is_idempotent(f, c) ? same() : no(REFUSED_METHOD);
    case STAGE_SENT:
        return on_sent(f, c, false);
    case STAGE_RESPONSE_TIMEOUT:
        return on_timeout(f, c);
    case STAGE_RESPONSE:
        if (c->reason == REASON_ORIGIN_UNREACHABLE)
            return on_unreachable(f, c);
        /* Bytes came, but no head that could be read: the request may have been processed, as after a reset. */
        return c->status ? on_status(f, c) : on_sent(f, c, true);
    }
    return no(REFUSED_NO_FAILURE);
}

void retry_budget_begin(struct retry_budget *b)
{
    b->in_flight++;
}

static unsigned limit(const struct retry_budget *b)
{
    unsigned share = (unsigned)((uint64_t)b->in_flight * RETRY_BUDGET_PERCENT / 100);

    return share > RETRY_BUDGET_FLOOR ? share : RETRY_BUDGET_FLOOR;
}

bool retry_budget_take(struct retry_budget *b, bool *held)
{
    if (*held)
        return true;
    if (b->retrying >= limit(b))
        return false;
    b->retrying++;
    *held = true;
    return true;
}

void retry_budget_end(struct retry_budget *b, bool held)
{
    b->in_flight--;
    b->retrying -= held;
}
