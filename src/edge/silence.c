#include "edge/silence.h"

#include "base/log.h"
#include "edge/connection.h"
#include "edge/stream.h"

/* --- what is heard --- */

static void note_heard(struct edge_connection *c)
{
    c->silence.received_at = edge_now(c->worker);
    if (c->line)
        atomic_store_explicit(&c->line->heard_at, c->silence.received_at, memory_order_relaxed);
}

void silence_begin(struct edge_connection *c)
{
    note_heard(c);
    c->silence.ping_distance = EDGE_QUIET_MIN;
    timer_disarm(&c->worker->timers, &c->timer);
    timer_arm(&c->worker->timers, &c->timer, EDGE_PING_IDLE);
}

void silence_heard(struct edge_connection *c)
{
    note_heard(c);
    if (c->line && atomic_load_explicit(&c->line->state, memory_order_relaxed) == LINE_SUSPECT) {
        log_info("edge", "tunnel %s: connection %u of connector %s answers again", c->tunnel->name, c->line->index, c->connector->id);
        edge_connection_turn_line(c, c->phase == CONNECTION_SERVING ? LINE_USABLE : LINE_DRAINING);
    }
}

void silence_on_pong(struct edge_connection *c)
{
    nsec_t rtt = edge_now(c->worker) - c->silence.ping_sent_at;
    if (!c->silence.ping_sent_at)
        return;
    c->silence.ping_sent_at = 0;
    /* What a process that was stopped answers at last is no delay of the way: it would have us look away from the next silence. */
    if (rtt < EDGE_SUSPECT_AFTER && c->line)
        atomic_store_explicit(&c->line->rtt, rtt > 0 ? rtt : 1, memory_order_relaxed);
}

/* --- looking --- */

static nsec_t quiet_time(const struct edge_connection *c)
{
    nsec_t rtt = 4 * atomic_load_explicit(&c->line->rtt, memory_order_relaxed);
    nsec_t least = rtt > EDGE_QUIET_MIN ? rtt : EDGE_QUIET_MIN;
    return c->silence.ping_distance > least ? c->silence.ping_distance : least;
}

static void send_ping(struct edge_connection *c)
{
    if (c->silence.ping_sent_at)
        return;
    c->silence.ping_sent_at = edge_now(c->worker);
    nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
    edge_connection_wants_flush(c);
}

/* Since when somebody waits for an answer here; 0: nobody. */
static nsec_t waiting_since(const struct edge_connection *c)
{
    nsec_t oldest = 0;
    LIST_FOR_EACH(node, &c->streams)
    {
        nsec_t since = edge_stream_waits_since(edge_stream_of_link(node));
        if (since && (!oldest || since < oldest))
            oldest = since;
    }
    return oldest;
}

/* What ends one connection without a word, or silences it, mostly does so to its whole process: the others are asked at once, and avoided
 * until they answer, instead of being found out one after the other at the cost of a request each. */
void silence_doubt_the_others(const struct edge_connection *c)
{
    struct tunnel_view *view = tunnel_get_view(c->tunnel);
    atomic_store_explicit(&c->connector->doubted_at, clock_monotonic(), memory_order_release);
    for (size_t i = 0; i < view->n_connectors; i++) {
        const struct tunnel_view_connector *vc = &view->connectors[i];
        for (size_t k = 0; vc->connector == c->connector && k < vc->n_lines; k++) {
            const struct tunnel_line *l = view->lines[vc->first_line + k];
            if (l != c->line && tunnel_line_is_usable(l))
                edge_worker_post_check(c->worker->options.workers[atomic_load_explicit(&l->worker, memory_order_relaxed)], l->id);
        }
    }
    tunnel_view_unref(view);
}

/* No new streams; what was not answered and may be sent again moves at once, the rest waits. */
static void become_suspect(struct edge_connection *c)
{
    if (atomic_load_explicit(&c->line->state, memory_order_relaxed) != LINE_USABLE && c->phase == CONNECTION_SERVING)
        return;
    if (c->phase == CONNECTION_SERVING) {
        log_notice("edge", "tunnel %s: connection %u of connector %s does not answer", c->tunnel->name, c->line->index, c->connector->id);
        edge_connection_turn_line(c, LINE_SUSPECT);
        silence_doubt_the_others(c);
    }
    LIST_FOR_EACH(node, &c->streams)
        edge_stream_on_suspect(edge_stream_of_link(node));
}

/* Each timer may be a tick late, and two follow one another until a request leaves a silent connection: so each is set a tick early, lest
 * the answer come later than the limits say. */
static nsec_t left_of(nsec_t limit, nsec_t waited)
{
    return limit - waited - TIMER_TICK;
}

static bool awaits_pong(const struct edge_connection *c)
{
    return c->silence.ping_sent_at && c->silence.received_at < c->silence.ping_sent_at;
}

static bool is_too_silent(const struct edge_connection *c)
{
    return awaits_pong(c) && left_of(EDGE_SUSPECT_AFTER, edge_now(c->worker) - c->silence.ping_sent_at) <= 0;
}

/* What it learns it acts upon; when to look again. The connection may be closed afterwards. */
static nsec_t look_at_silence(struct edge_connection *c)
{
    nsec_t now = edge_now(c->worker);
    if (is_too_silent(c)) /* if it was us who slept, the answer has been here for long */
        edge_connection_read_once(c);
    if (c->phase == CONNECTION_CLOSED)
        return 0;
    if (awaits_pong(c)) {
        nsec_t silent = now - c->silence.ping_sent_at;
        if (silent >= EDGE_DEAD_AFTER) {
            edge_connection_close(c, REASON_RESET, "no answer to a PING for 5 s");
            return 0;
        }
        if (!is_too_silent(c))
            return left_of(EDGE_SUSPECT_AFTER, silent);
        become_suspect(c);
        return EDGE_DEAD_AFTER - silent;
    }
    nsec_t waits = waiting_since(c), last = c->silence.received_at > waits ? c->silence.received_at : waits;
    nsec_t due = waits ? left_of(quiet_time(c), now - last) : EDGE_PING_IDLE - (now - c->silence.received_at);
    if (due > 0)
        return due;
    if (waits)
        c->silence.ping_distance = 2 * quiet_time(c) < EDGE_PING_IDLE ? 2 * quiet_time(c) : EDGE_PING_IDLE;
    c->silence.ping_sent_at = 0; /* an earlier one was answered by other bytes */
    send_ping(c);
    return left_of(EDGE_SUSPECT_AFTER, 0);
}

void silence_watch(struct edge_connection *c)
{
    struct edge_worker *w = c->worker;
    nsec_t next = look_at_silence(c);
    if (c->phase == CONNECTION_CLOSED)
        return;
    if (c->grace_until && c->grace_until - edge_now(w) < next)
        next = c->grace_until - edge_now(w);
    timer_arm(&w->timers, &c->timer, next > 0 ? next : 0);
}

void silence_check(struct edge_connection *c)
{
    if (c->phase != CONNECTION_SERVING || awaits_pong(c))
        return;
    c->silence.ping_sent_at = 0;
    send_ping(c);
    timer_disarm(&c->worker->timers, &c->timer);
    timer_arm(&c->worker->timers, &c->timer, left_of(EDGE_SUSPECT_AFTER, 0));
}

void silence_watch_closely(struct edge_connection *c)
{
    c->silence.ping_distance = EDGE_QUIET_MIN;
    nsec_t due = edge_now(c->worker) + left_of(quiet_time(c), 0);
    if (timer_is_armed(&c->timer) && c->timer.deadline <= due)
        return;
    timer_disarm(&c->worker->timers, &c->timer);
    timer_arm_at(&c->worker->timers, &c->timer, due);
}
