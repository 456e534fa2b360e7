#include "alerts/dispatcher.h"

#include "alerts/retry.h"
#include "alerts/transfer.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

/* The alerts of one subject for one channel: its head is tried until it is over, then comes the next. */
enum lane_state { LANE_READY, LANE_SENDING, LANE_PAUSING };
struct lane {
    UT_hash_handle hh; /* of its channel, by subject */
    const char *subject;
    struct channel *channel;
    struct list alerts;
    enum lane_state state;
    struct list link;  /* on channel->ready while READY */
    ev_timer pause;    /* runs while PAUSING */
    struct transfer *transfer; /* while SENDING */
    unsigned failures; /* of the head, in a row */
};

struct alert {
    struct list link;     /* in its lane */
    struct list by_age;   /* in its channel */
    struct lane *lane;
    struct event *event;
};

struct channel {
    struct list link; /* in its dispatcher; by the order of the configuration */
    struct dispatcher *dispatcher;
    char *name;
    const struct channel_conf *conf; /* in the dispatcher's configuration */
    struct lane *lanes;
    struct list ready;  /* lanes whose head may be sent */
    struct list by_age; /* alerts, the oldest first */
    unsigned sending;
    struct channel_status status;
};

struct test {
    struct list link;
    struct transfer *transfer;
    const struct channel_type *type;
    dispatcher_tested *done;
    void *arg;
};

struct dispatcher {
    struct ev_loop *loop;
    struct outbox outbox;
    struct config *config; /* NULL: none yet */
    struct transfers *transfers;
    struct random random;
    struct list channels, tests;
};

static void start_ready_lanes(struct channel *);

/* Lanes */

static struct alert *lane_head(const struct lane *lane)
{
    return list_empty(&lane->alerts) ? NULL : CONTAINER_OF(lane->alerts.next, struct alert, link);
}

static void lane_set_state(struct lane *lane, enum lane_state state)
{
    if (lane->state == LANE_SENDING)
        lane->channel->sending--;
    list_remove(&lane->link);
    ev_timer_stop(lane->channel->dispatcher->loop, &lane->pause);
    lane->state = state;
    switch (state) {
    case LANE_READY: list_push_back(&lane->channel->ready, &lane->link); break;
    case LANE_SENDING: lane->channel->sending++; break;
    case LANE_PAUSING: ev_timer_start(lane->channel->dispatcher->loop, &lane->pause); break;
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct lane *lane = timer->data;
    (void)loop;
    (void)events;
    lane_set_state(lane, LANE_READY);
    start_ready_lanes(lane->channel);
}

static struct lane *lane_of(struct channel *channel, const char *subject)
{
    struct lane *lane;

    HASH_FIND_STR(channel->lanes, subject, lane);
    if (lane)
        return lane;
    lane = mem_zero(sizeof *lane);
    lane->subject = mem_copy_text(subject);
    lane->channel = channel;
    list_init(&lane->alerts);
    list_init(&lane->link);
    ev_init(&lane->pause, on_pause_over);
    lane->pause.data = lane;
    HASH_ADD_KEYPTR(hh, channel->lanes, lane->subject, strlen(lane->subject), lane);
    lane_set_state(lane, LANE_READY);
    return lane;
}

static void lane_free(struct lane *lane)
{
    if (lane->transfer)
        transfer_cancel(lane->transfer);
    ev_timer_stop(lane->channel->dispatcher->loop, &lane->pause);
    list_remove(&lane->link);
    if (lane->state == LANE_SENDING)
        lane->channel->sending--;
    HASH_DEL(lane->channel->lanes, lane);
    free((char *)lane->subject);
    free(lane);
}

/* Alerts */

static void alert_free(struct alert *alert)
{
    list_remove(&alert->link);
    list_remove(&alert->by_age);
    alert->lane->channel->status.backlog--;
    event_unref(alert->event);
    free(alert);
}

static void forget(struct dispatcher *d, const struct event *event, const char *channel)
{
    d->outbox.forget(d->outbox.arg, event->sequence, channel);
}

/* It is over, one way or the other: its row goes, and its lane's next comes up. */
static void alert_end(struct alert *alert)
{
    struct lane *lane = alert->lane;
    struct channel *channel = lane->channel;
    bool was_head = alert == lane_head(lane);

    forget(channel->dispatcher, alert->event, channel->name);
    alert_free(alert);
    if (list_empty(&lane->alerts)) {
        lane_free(lane);
    } else if (was_head) {
        lane->failures = 0;
        lane_set_state(lane, LANE_READY);
    }
}

static void give_up(struct alert *alert, const char *why)
{
    struct channel *channel = alert->lane->channel;

    log_error("alerts", "channel %s: %s about %s (%s) is dropped: %s", channel->name, alert->event->type, alert->event->subject,
              alert->event->id, why);
    channel->status.dropped++;
    alert_end(alert);
}

/* Ends whatever waits or is under way. */
static void channel_drop_all(struct channel *channel, const char *why)
{
    size_t n = channel->status.backlog;
    struct lane *lane, *next;

    if (n)
        log_error("alerts", "channel %s: %zu waiting alerts are dropped: %s", channel->name, n, why);
    HASH_ITER(hh, channel->lanes, lane, next)
    {
        LIST_FOR_EACH(node, &lane->alerts)
        {
            struct alert *alert = CONTAINER_OF(node, struct alert, link);
            forget(channel->dispatcher, alert->event, channel->name);
            alert_free(alert);
        }
        lane_free(lane);
    }
    channel->status.dropped += n;
}

/* Attempts */

static void describe(const struct transfer_result *result, char *out, size_t size)
{
    if (result->status)
        snprintf(out, size, "HTTP %u in %.0f ms", result->status, nsec_to_seconds(result->duration) * 1000);
    else
        snprintf(out, size, "%s", result->error);
}

static void note_success(struct channel *channel)
{
    channel->status.delivered++;
    channel->status.last_success = clock_wall();
    if (channel->status.last_error[0])
        log_notice("alerts", "channel %s takes alerts again", channel->name);
    channel->status.last_error[0] = '\0';
}

static void note_failure(struct channel *channel, const struct event *event, const struct transfer_result *result)
{
    bool first = !channel->status.last_error[0];

    channel->status.failures++;
    channel->status.last_error_at = clock_wall();
    describe(result, channel->status.last_error, sizeof channel->status.last_error);
    if (first)
        log_warning("alerts", "channel %s: %s about %s (%s) was not delivered: %s", channel->name, event->type, event->subject, event->id,
                    channel->status.last_error);
}

static void pause_lane(struct lane *lane, nsec_t retry_after)
{
    struct dispatcher *d = lane->channel->dispatcher;
    nsec_t pause = retry_pause(++lane->failures, retry_after, random_unit(&d->random));

    trace(TRACE_ALERTS, "channel %s, %s: attempt %u failed (%s), next in %.1f s", lane->channel->name, lane->subject, lane->failures,
          lane->channel->status.last_error, nsec_to_seconds(pause));
    ev_now_update(d->loop);
    ev_timer_set(&lane->pause, nsec_to_seconds(pause), 0);
    lane_set_state(lane, LANE_PAUSING);
}

static void retry_later(struct lane *lane, nsec_t retry_after)
{
    if (clock_wall() - lane_head(lane)->event->wall >= RETRY_GIVE_UP_AFTER)
        give_up(lane_head(lane), "a day has passed");
    else
        pause_lane(lane, retry_after);
}

static void close_channel(struct channel *channel)
{
    channel->status.closed = true;
    log_error("alerts", "channel %s answered 410 (gone): it gets nothing more until a reload or restart", channel->name);
    channel_drop_all(channel, "the channel is closed");
}

static void on_answer(void *arg, const struct transfer_result *result)
{
    struct lane *lane = arg;
    struct channel *channel = lane->channel;
    struct alert *alert = lane_head(lane);
    enum delivery outcome = channel->conf->type->judge(result->status, result->body);

    lane->transfer = NULL;
    if (outcome == DELIVERY_DONE)
        note_success(channel);
    else
        note_failure(channel, alert->event, result);
    switch (outcome) {
    case DELIVERY_DONE:
        trace(TRACE_ALERTS, "channel %s: %s (%s) delivered", channel->name, alert->event->type, alert->event->id);
        alert_end(alert);
        break;
    case DELIVERY_RETRY: retry_later(lane, result->retry_after); break;
    case DELIVERY_REFUSED: give_up(alert, channel->status.last_error); break;
    case DELIVERY_GONE: close_channel(channel); break;
    }
    start_ready_lanes(channel);
}

static struct transfer *post(struct dispatcher *d, const struct channel_conf *conf, const struct event *event,
                             void (*done)(void *arg, const struct transfer_result *), void *arg)
{
    struct channel_request request = { 0 };
    struct transfer_options options = { .timeout = conf->timeout, .tls_verify = conf->tls_verify, .ca_file = conf->ca_file };

    conf->type->compose(conf, event, clock_wall(), &request);
    return transfer_start(d->transfers, &request, &options, done, arg);
}

static void start_ready_lanes(struct channel *channel)
{
    while (channel->sending < DISPATCHER_PARALLEL && !list_empty(&channel->ready)) {
        struct lane *lane = CONTAINER_OF(channel->ready.next, struct lane, link);
        lane_set_state(lane, LANE_SENDING);
        channel->status.attempts++;
        lane->transfer = post(channel->dispatcher, channel->conf, lane_head(lane)->event, on_answer, lane);
    }
}

/* Channels */

static struct channel *find_channel(const struct dispatcher *d, const char *name)
{
    for (struct list *node = d->channels.next; node != &d->channels; node = node->next) {
        struct channel *channel = CONTAINER_OF(node, struct channel, link);
        if (strcmp(channel->name, name) == 0)
            return channel;
    }
    return NULL;
}

static struct channel *channel_new(struct dispatcher *d, const char *name)
{
    struct channel *channel = mem_zero(sizeof *channel);

    channel->dispatcher = d;
    channel->name = mem_copy_text(name);
    list_init(&channel->link);
    list_init(&channel->ready);
    list_init(&channel->by_age);
    return channel;
}

static void channel_free(struct channel *channel)
{
    struct lane *lane, *next;

    HASH_ITER(hh, channel->lanes, lane, next)
    {
        LIST_FOR_EACH(node, &lane->alerts)
            alert_free(CONTAINER_OF(node, struct alert, link));
        lane_free(lane);
    }
    list_remove(&channel->link);
    free(channel->name);
    free(channel);
}

static void channel_configure(struct channel *channel, const struct channel_conf *conf)
{
    channel->conf = conf;
    channel->status.name = conf->name;
    channel->status.type = conf->type->name;
    channel->status.closed = false;
}

void dispatcher_set_config(struct dispatcher *d, struct config *config)
{
    struct config *before = d->config;
    struct list gone;

    list_init(&gone);
    list_append_all(&gone, &d->channels);
    d->config = config_ref(config);
    for (size_t i = 0; i < config->n_channels; i++) {
        const struct channel_conf *conf = &config->channels[i];
        struct channel *channel = NULL;
        LIST_FOR_EACH(node, &gone)
            if (strcmp(CONTAINER_OF(node, struct channel, link)->name, conf->name) == 0)
                channel = CONTAINER_OF(node, struct channel, link);
        if (channel)
            list_remove(&channel->link);
        else
            channel = channel_new(d, conf->name);
        channel_configure(channel, conf);
        list_push_back(&d->channels, &channel->link);
    }
    LIST_FOR_EACH(node, &gone)
    {
        struct channel *channel = CONTAINER_OF(node, struct channel, link);
        channel_drop_all(channel, "the configuration has no such channel any more");
        channel_free(channel);
    }
    if (before)
        config_unref(before);
}

static struct alert *oldest_waiting(struct channel *channel)
{
    LIST_FOR_EACH(node, &channel->by_age)
    {
        struct alert *alert = CONTAINER_OF(node, struct alert, by_age);
        if (alert->lane->state != LANE_SENDING || alert != lane_head(alert->lane))
            return alert;
    }
    return NULL;
}

static void make_room(struct channel *channel)
{
    struct alert *oldest = channel->status.backlog >= DISPATCHER_BACKLOG_MAX ? oldest_waiting(channel) : NULL;
    if (oldest)
        give_up(oldest, "too many are waiting");
}

void dispatcher_deliver(struct dispatcher *d, const char *name, struct event *event)
{
    struct channel *channel = find_channel(d, name);

    if (!channel || channel->status.closed) {
        log_error("alerts", "%s about %s (%s) is dropped: channel %s is %s", event->type, event->subject, event->id, name,
                  channel ? "closed" : "not in the configuration");
        if (channel)
            channel->status.dropped++;
        forget(d, event, name);
        return;
    }
    make_room(channel);
    struct alert *alert = mem_zero(sizeof *alert);
    alert->event = event_ref(event);
    alert->lane = lane_of(channel, event->subject);
    list_init(&alert->link);
    list_init(&alert->by_age);
    list_push_back(&alert->lane->alerts, &alert->link);
    list_push_back(&channel->by_age, &alert->by_age);
    channel->status.backlog++;
    start_ready_lanes(channel);
}

/* Tests */

static void test_end(struct test *test, bool delivered, const char *detail)
{
    list_remove(&test->link);
    test->done(test->arg, delivered, detail);
    free(test);
}

static void on_test_answer(void *arg, const struct transfer_result *result)
{
    struct test *test = arg;
    char detail[DISPATCHER_ERROR_SIZE];

    describe(result, detail, sizeof detail);
    test_end(test, test->type->judge(result->status, result->body) == DELIVERY_DONE, detail);
}

bool dispatcher_test(struct dispatcher *d, const char *name, struct event *event, dispatcher_tested *done, void *arg)
{
    struct channel *channel = find_channel(d, name);
    if (!channel)
        return false;

    struct test *test = mem_zero(sizeof *test);
    test->type = channel->conf->type;
    test->done = done;
    test->arg = arg;
    list_init(&test->link);
    list_push_back(&d->tests, &test->link);
    test->transfer = post(d, channel->conf, event, on_test_answer, test);
    return true;
}

/* The whole */

struct dispatcher *dispatcher_new(struct ev_loop *loop, const struct outbox *outbox)
{
    struct dispatcher *d = mem_zero(sizeof *d);

    d->loop = loop;
    d->outbox = *outbox;
    d->transfers = transfers_new(loop);
    random_seed(&d->random);
    list_init(&d->channels);
    list_init(&d->tests);
    return d;
}

void dispatcher_free(struct dispatcher *d)
{
    LIST_FOR_EACH(node, &d->tests)
    {
        struct test *test = CONTAINER_OF(node, struct test, link);
        transfer_cancel(test->transfer);
        test_end(test, false, "cut short: penstock is stopping");
    }
    LIST_FOR_EACH(node, &d->channels)
        channel_free(CONTAINER_OF(node, struct channel, link));
    transfers_free(d->transfers);
    if (d->config)
        config_unref(d->config);
    free(d);
}

void dispatcher_each_channel(const struct dispatcher *d, void (*each)(void *arg, const struct channel_status *), void *arg)
{
    for (struct list *node = d->channels.next; node != &d->channels; node = node->next)
        each(arg, &CONTAINER_OF(node, struct channel, link)->status);
}
