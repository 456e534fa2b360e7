#include "proxy/exchange_relay.h"

#include "proxy/exchange_answer.h"
#include "proxy/exchange_health.h"
#include "proxy/exchange_inside.h"
#include "proxy/exchange_log.h"
#include "proxy/exchange_retry.h"
#include "proxy/forward.h"
#include "proxy/reply.h"

static void stay_awake(struct exchange *ex)
{
    ex->abort_at = worker_now(ex->worker) + exchange_memory_idle(ex->memory);
    exchange_arm_timer(ex);
}

/* For upstreams that don't keep time themselves: anew whenever something moved. */
static void await_upstream(struct exchange *ex)
{
    nsec_t at_most = 0;
    if (ex->upstream && !ex->upstream_ops->keeps_time && !ex->blocked_by_client) {
        if (ex->state == EXCHANGE_SENT)
            at_most = ex->timeouts->response_header;
        else if (ex->state == EXCHANGE_RESPONDING)
            at_most = ex->timeouts->response_idle;
    }
    if (!at_most && !ex->upstream_until)
        return;
    ex->upstream_until = at_most ? worker_now(ex->worker) + at_most : 0;
    exchange_arm_timer(ex);
}

/* --- the request, to the upstream --- */

uint64_t exchange_replay_limit(const struct exchange *ex)
{
    uint64_t limit = ex->load_balancer ? ex->load_balancer->failover.buffer : 0;
    return limit < BUFFER_LARGE ? limit : BUFFER_LARGE;
}

static void forget_body(struct exchange *ex)
{
    buffer_give(&ex->worker->buffers, ex->body);
    ex->body = NULL;
    ex->body_sent = 0;
}

static struct slice unsent_prefix(const struct exchange *ex)
{
    return slice_from(ex->prefix, ex->prefix_sent);
}

static struct slice unsent_body(const struct exchange *ex)
{
    if (!ex->body)
        return (struct slice){ NULL, 0 };
    return (struct slice){ ex->body->data + ex->body_sent, ex->body->end - ex->body_sent };
}

/* The next piece to send, and whether it is the last. */
static struct slice next_piece(const struct exchange *ex, bool *last)
{
    struct slice body = unsent_body(ex), prefix = unsent_prefix(ex);
    *last = ex->body_ended && (!prefix.n || !body.n);
    return prefix.n ? prefix : body;
}

static void mark_sent(struct exchange *ex, size_t n)
{
    if (ex->prefix_sent < ex->prefix.n)
        ex->prefix_sent += n;
    else
        ex->body_sent += (uint32_t)n;
}

static void ask_for_body(struct exchange *ex)
{
    if (ex->body_ended || !ex->body_blocked)
        return;
    ex->body_blocked = false;
    ex->client_ops->want_body(ex->client);
}

/* Sends what there is of the body, until the upstream has no room or nothing is left. */
static void send_body(struct exchange *ex)
{
    while (!ex->body_finished) {
        bool last;
        struct slice piece = next_piece(ex, &last);
        if (!piece.n && !last)
            break;
        ssize_t taken = ex->upstream_ops->send_body(ex->upstream, piece, last);
        if (taken < 0)
            return; /* it will tell from its own event */
        mark_sent(ex, (size_t)taken);
        if (taken > 0)
            await_upstream(ex);
        if ((size_t)taken < piece.n)
            return;
        ex->body_finished = last;
    }
    if (ex->state == EXCHANGE_RAW)
        forget_body(ex); /* it may be idle for days */
    ask_for_body(ex);
}

void exchange_send_request(struct exchange *ex)
{
    struct message_out out;
    struct forward_notes notes;
    bool last;
    forward_request(ex, &out, &notes);
    ex->times.connected = worker_now(ex->worker);
    if (ex->worker->log && ex->upstream_ops->describe)
        ex->upstream_ops->describe(ex->upstream, ex->upstream_address, sizeof ex->upstream_address, &ex->upstream_reused);
    exchange_set_state(ex, EXCHANGE_SENT);
    struct slice piece = next_piece(ex, &last);
    ex->body_blocked = !ex->body_ended; /* once there is room the client is asked on: an Expect is answered, a pause ends */
    ssize_t taken = ex->upstream_ops->send_head(ex->upstream, &out, piece, last);
    ex->times.sent = worker_now(ex->worker);
    await_upstream(ex);
    if (taken < 0)
        return;
    mark_sent(ex, (size_t)taken);
    if ((size_t)taken < piece.n)
        return;
    ex->body_finished = last;
    if (!last)
        send_body(ex);
}

enum exchange_hold exchange_upstream_ready(struct exchange *ex)
{
    if (ex->connect_only) {
        ex->client_ops->connected(ex->client);
        ex->upstream = NULL;
        exchange_end(ex, REASON_NONE, REASON_NONE);
        return EXCHANGE_LET_GO;
    }
    exchange_send_request(ex);
    return EXCHANGE_HOLDS;
}

enum exchange_hold exchange_upstream_writable(struct exchange *ex)
{
    send_body(ex);
    return EXCHANGE_HOLDS;
}

/* --- the request's body, from the client's side --- */

/* Makes room by forgetting what was sent, at the price of not being able to send it again. */
static void drop_sent(struct exchange *ex)
{
    struct buffer *b = ex->body;
    uint32_t left = b->end - ex->body_sent;
    if (ex->prefix_sent < ex->prefix.n || !ex->body_sent || (left && ex->body_sent < b->size / 2))
        return;
    memmove(b->data, b->data + ex->body_sent, left);
    b->end = left;
    ex->body_sent = 0;
    ex->body_dropped = true;
}

char *exchange_body_space(struct exchange *ex, size_t *room)
{
    if (!ex->body && !(ex->body = buffer_take(&ex->worker->buffers, BUFFER_LARGE)))
        return NULL;
    if (ex->prefix.n + ex->body->end >= exchange_replay_limit(ex) || ex->state == EXCHANGE_RAW)
        drop_sent(ex);
    *room = buffer_room(ex->body);
    ex->body_blocked = *room == 0;
    return *room ? ex->body->data + ex->body->end : NULL;
}

void exchange_body_arrived(struct exchange *ex, size_t n, bool last)
{
    ex->body->end += (uint32_t)n;
    ex->body_bytes += n;
    ex->body_ended = last;
    if (ex->state == EXCHANGE_RAW) {
        stay_awake(ex);
    } else {
        uint64_t limit = ex->load_balancer ? ex->load_balancer->limits.body_size : 0;
        if (limit && ex->body_bytes > limit && ex->state < EXCHANGE_RESPONDING) {
            exchange_refuse(ex, 413, REASON_BODY_TOO_LARGE);
            return;
        }
    }
    if (ex->upstream && ex->state >= EXCHANGE_SENT)
        send_body(ex);
}

void exchange_body_missed(struct exchange *ex)
{
    if (ex->state == EXCHANGE_RAW && !unsent_body(ex).n)
        forget_body(ex);
}

/* --- trailers: left out where they can't be kept --- */

static struct slice cleaned(const struct trailers *t)
{
    if (t->lines)
        t->lines->end = (uint32_t)trailers_clean(t->lines->data, t->lines->end);
    return trailers_kept(t);
}

void exchange_add_request_trailers(struct exchange *ex, struct slice lines)
{
    trailers_keep(&ex->worker->buffers, &ex->request_trailers, lines);
}

struct slice exchange_request_trailers(struct exchange *ex)
{
    return cleaned(&ex->request_trailers);
}

void exchange_add_response_trailers(struct exchange *ex, struct slice lines)
{
    trailers_keep(&ex->worker->buffers, &ex->response_trailers, lines);
}

struct slice exchange_response_trailers(struct exchange *ex)
{
    return cleaned(&ex->response_trailers);
}

/* --- the response --- */

void exchange_client_writable(struct exchange *ex)
{
    if (ex->local_reply && ex->rest.n) {
        exchange_give_rest_of_reply(ex);
        return;
    }
    if (!ex->blocked_by_client)
        return;
    ex->blocked_by_client = false;
    await_upstream(ex);
    ex->upstream_ops->want_body(ex->upstream);
}

enum exchange_hold exchange_interim(struct exchange *ex, const struct http_head *head, const char *base)
{
    /* Our own 100 has gone out where the client asked for one; theirs answers nobody. */
    if (head->status == 100)
        return EXCHANGE_HOLDS;
    struct message_out out = {
        .base = base,
        .head = head,
        .status = head->status,
        .reason = { base + head->reason, head->reason_len },
    };
    ex->client_ops->send_interim(ex->client, &out);
    return EXCHANGE_HOLDS;
}

/* After a 101 bytes go both ways, perhaps for days: the configuration and the request's buffers are let go. */
static bool become_raw(struct exchange *ex)
{
    struct worker *w = ex->worker;
    if (!(ex->memory = exchange_memory_new(ex)))
        return false;
    exchange_set_state(ex, EXCHANGE_RAW);
    counter_add(&w->counters.upgrades, 1);
    gauge_add(&w->counters.upgraded, 1);
    freelist_give(&w->heads_free, ex->head);
    ex->head = NULL;
    ex->base = NULL;
    ex->prefix = (struct slice){ NULL, 0 };
    ex->prefix_sent = 0;
    forget_body(ex);
    ex->body_ended = ex->body_finished = false;
    ex->body_blocked = true;
    ex->load_balancer = NULL;
    ex->endpoint = NULL;
    ex->timeouts = NULL;
    snapshot_unref(ex->snapshot);
    ex->snapshot = NULL;
    ex->total_until = 0;
    stay_awake(ex);
    return true;
}

/* The client took `taken` of what was given; `last`: and that was the rest of the response. */
static enum exchange_hold after_giving(struct exchange *ex, ssize_t taken, size_t given, bool last, size_t *out)
{
    if (taken == SEND_FAILED) {
        exchange_finish(ex, REASON_CLIENT_GONE);
        return EXCHANGE_LET_GO;
    }
    *out = (size_t)taken;
    ex->response_bytes += (size_t)taken;
    if (last && (size_t)taken == given) {
        ex->upstream = NULL;
        exchange_end(ex, REASON_NONE, REASON_NONE);
        return EXCHANGE_LET_GO;
    }
    ex->blocked_by_client = (size_t)taken < given;
    if (taken && ex->state == EXCHANGE_RESPONDING && ex->abort_at)
        exchange_client_half_closed(ex); /* it may still be there: anew */
    await_upstream(ex);
    return EXCHANGE_HOLDS;
}

enum exchange_hold exchange_response(struct exchange *ex, struct http_head *head, const char *base, const struct http_message *message,
                                     struct slice body, bool last, size_t *taken)
{
    unsigned status = head->status;
    if (ex->endpoint) {
        exchange_note_first_byte(ex, status);
        if (status >= 400 && exchange_retry_instead(ex, status))
            return EXCHANGE_LET_GO;
    }
    struct message_out out;
    struct forward_notes notes;
    forward_response(ex, head, base, message, &out, &notes);
    ex->status = (uint16_t)status;
    ex->reason = REASON_NONE;
    if (!ex->only)
        reply_count_status(ex->worker, status);
    exchange_set_state(ex, EXCHANGE_RESPONDING);
    ssize_t n = ex->client_ops->send_head(ex->client, &out, body, last);
    if (status != 101 || n == SEND_FAILED)
        return after_giving(ex, n, body.n, last, taken);

    if (!become_raw(ex)) {
        ex->upstream = NULL;
        exchange_end(ex, REASON_INTERNAL, REASON_INTERNAL);
        return EXCHANGE_LET_GO;
    }
    ask_for_body(ex);
    return after_giving(ex, n, body.n, last, taken);
}

enum exchange_hold exchange_response_body(struct exchange *ex, struct slice body, bool last, size_t *taken)
{
    if (ex->state == EXCHANGE_RAW)
        stay_awake(ex);
    return after_giving(ex, ex->client_ops->send_body(ex->client, body, last), body.n, last, taken);
}
