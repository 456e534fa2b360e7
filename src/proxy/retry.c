#include "proxy/retry.h"

static const struct retry_decision no = { RETRY_NO, false };
static const struct retry_decision same = { RETRY_SAME_FRESH, false };
static const struct retry_decision other = { RETRY_OTHER, false };
static const struct retry_decision other_charged = { RETRY_OTHER, true };

/* Only what an upstream did can go better elsewhere; also a status that is no failure, when the list names it. */
static bool is_upstreams_doing(enum reason reason)
{
    return reason <= REASON_RESPONSE_IDLE;
}

static bool is_idempotent(const struct failover *f, const struct retry_case *c)
{
    return http_method_is_idempotent(c->method) || (f->idempotency_key && c->idempotency_key);
}

static bool has_other(const struct failover *f, const struct retry_case *c)
{
    return c->has_line || c->others_tried < f->retries;
}

static struct retry_decision on_not_connected(const struct failover *f, const struct retry_case *c)
{
    unsigned wanted = c->reason == REASON_TUNNEL_INACTIVE ? FAILOVER_TUNNEL_INACTIVE : FAILOVER_CONNECT_ERROR;

    return has_other(f, c) && (f->on & wanted) ? other : no;
}

static struct retry_decision on_sent(const struct failover *f, const struct retry_case *c)
{
    return has_other(f, c) && (f->on & FAILOVER_RESET) && is_idempotent(f, c) ? other : no;
}

static struct retry_decision on_timeout(const struct failover *f, const struct retry_case *c)
{
    bool allowed = (f->on & FAILOVER_TIMEOUT) && http_method_is_safe(c->method) && !c->timed_out_before;

    return has_other(f, c) && allowed ? other : no;
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

    return has_other(f, c) && is_status_to_fail_over(f, c) && allowed ? other_charged : no;
}

/* A connector's own 502: as if it were a status of the edge's, but that it could not connect further is what it says. */
static struct retry_decision on_unreachable(const struct failover *f, const struct retry_case *c)
{
    return has_other(f, c) && (f->on & FAILOVER_CONNECT_ERROR) && http_method_is_safe(c->method) ? other_charged : no;
}

/* Bytes came, but no head that could be read: the request may have been processed, as after a reset. */
static struct retry_decision on_unreadable(const struct failover *f, const struct retry_case *c)
{
    return on_sent(f, c).retry == RETRY_OTHER ? other_charged : no;
}

struct retry_decision retry_decide(const struct failover *f, const struct retry_case *c)
{
    if (c->forwarded || !c->body_kept || !is_upstreams_doing(c->reason))
        return no;
    switch (c->stage) {
    case STAGE_NOT_CONNECTED:
        return on_not_connected(f, c);
    case STAGE_REUSED_UNSENT:
        return c->same_tried ? on_not_connected(f, c) : same;
    case STAGE_REUSED_SENT:
        if (c->same_tried)
            return on_sent(f, c);
        return is_idempotent(f, c) ? same : no;
    case STAGE_SENT:
        return on_sent(f, c);
    case STAGE_RESPONSE_TIMEOUT:
        return on_timeout(f, c);
    case STAGE_RESPONSE:
        if (c->reason == REASON_ORIGIN_UNREACHABLE)
            return on_unreachable(f, c);
        return c->status ? on_status(f, c) : on_unreadable(f, c);
    }
    return no;
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
