#include "control/bus.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/ulid.h"

#include <stdio.h>
#include <string.h>

struct bus {
    struct store *store;
    struct dispatcher *dispatcher;
    struct config *config;
    struct ulid_source ids;
    uint64_t sequence; /* the last one given */
    char last_id[32];
    struct list subscriptions;
    bool telling; /* subscriptions that end meanwhile are freed afterwards */
};

struct bus_subscription {
    struct list link;
    struct bus *bus;
    void (*seen)(void *arg, struct event *); /* NULL: ended */
    void *arg;
};

/* An event on its way through the store, and who gets it afterwards. */
struct publication {
    struct bus *bus;
    char *only_channel; /* of a test; NULL: none */
    dispatcher_tested *tested;
    void *tested_arg;
    size_t n_channels;
    char *channels[]; /* names: the configuration may have changed by then */
};

struct bus *bus_new(struct store *store)
{
    struct bus *bus = mem_zero(sizeof *bus);
    bus->store = store;
    bus->sequence = store_last_sequence(store);
    list_init(&bus->subscriptions);
    return bus;
}

void bus_free(struct bus *bus)
{
    LIST_FOR_EACH(node, &bus->subscriptions)
        free(CONTAINER_OF(node, struct bus_subscription, link));
    if (bus->config)
        config_unref(bus->config);
    free(bus);
}

void bus_set_config(struct bus *bus, struct config *config)
{
    struct config *before = bus->config;
    bus->config = config_ref(config);
    if (before)
        config_unref(before);
}

void bus_set_dispatcher(struct bus *bus, struct dispatcher *dispatcher)
{
    bus->dispatcher = dispatcher;
}

/* Subscriptions */

struct bus_subscription *bus_subscribe(struct bus *bus, void (*seen)(void *arg, struct event *), void *arg)
{
    struct bus_subscription *subscription = mem_zero(sizeof *subscription);
    *subscription = (struct bus_subscription){ .bus = bus, .seen = seen, .arg = arg };
    list_init(&subscription->link);
    list_push_back(&bus->subscriptions, &subscription->link);
    return subscription;
}

static void subscription_free(struct bus_subscription *subscription)
{
    list_remove(&subscription->link);
    free(subscription);
}

void bus_unsubscribe(struct bus_subscription *subscription)
{
    subscription->seen = NULL;
    if (!subscription->bus->telling)
        subscription_free(subscription);
}

static void tell_subscribers(struct bus *bus, struct event *event)
{
    bus->telling = true;
    for (struct list *node = bus->subscriptions.next; node != &bus->subscriptions; node = node->next) {
        struct bus_subscription *subscription = CONTAINER_OF(node, struct bus_subscription, link);
        if (subscription->seen)
            subscription->seen(subscription->arg, event);
    }
    bus->telling = false;
    LIST_FOR_EACH(node, &bus->subscriptions)
        if (!CONTAINER_OF(node, struct bus_subscription, link)->seen)
            subscription_free(CONTAINER_OF(node, struct bus_subscription, link));
}

/* Publishing */

static struct event *make_event(struct bus *bus, const char *type, const char *subject, enum severity severity, bool recovery, json_t *data)
{
    char ulid[ULID_TEXT_SIZE];
    char *text = data ? json_dumps(data, JSON_COMPACT) : mem_copy_text("{}");
    struct event event = {
        .sequence = ++bus->sequence, .type = type, .subject = subject, .severity = severity, .recovery = recovery, .wall = clock_wall(),
        .data = text ? text : "{}",
    };

    snprintf(event.id, sizeof event.id, "evt_%s", ulid_make(&bus->ids, event.wall, ulid));
    memcpy(bus->last_id, event.id, sizeof bus->last_id);
    struct event *made = event_new(&event);
    free(text);
    if (data)
        json_decref(data);
    return made;
}

static struct publication *publication_new(struct bus *bus, const struct event *event)
{
    size_t most = bus->config ? bus->config->n_channels : 0;
    struct publication *p = mem_zero(sizeof *p + most * sizeof *p->channels);

    p->bus = bus;
    for (size_t i = 0; i < most; i++)
        if (channel_wants(&bus->config->channels[i], event))
            p->channels[p->n_channels++] = mem_copy_text(bus->config->channels[i].name);
    return p;
}

static void publication_free(struct publication *p)
{
    for (size_t i = 0; i < p->n_channels; i++)
        free(p->channels[i]);
    free(p->only_channel);
    free(p);
}

static void start_test(struct publication *p, struct event *event)
{
    struct dispatcher *dispatcher = p->bus->dispatcher;
    if (!dispatcher || !dispatcher_test(dispatcher, p->only_channel, event, p->tested, p->tested_arg))
        p->tested(p->tested_arg, false, "the channel is gone");
}

static void on_committed(void *arg, struct event *event, bool durable)
{
    struct publication *p = arg;

    trace(TRACE_ALERTS, "%s %s about %s: for %zu channels%s", event->id, event->type, event->subject, p->n_channels,
          durable ? "" : ", not on disk");
    for (size_t i = 0; i < p->n_channels && p->bus->dispatcher; i++)
        dispatcher_deliver(p->bus->dispatcher, p->channels[i], event);
    tell_subscribers(p->bus, event);
    if (p->only_channel)
        start_test(p, event);
    publication_free(p);
}

static void commit(struct bus *bus, struct event *event, struct publication *p)
{
    store_add_event(bus->store, event, (const char *const *)p->channels, p->n_channels, on_committed, p);
    event_unref(event);
}

const char *bus_publish(struct bus *bus, const char *type, const char *subject, enum severity severity, bool recovery, json_t *data)
{
    struct event *event = make_event(bus, type, subject, severity, recovery, data);
    commit(bus, event, publication_new(bus, event));
    return bus->last_id;
}

static bool has_channel(const struct bus *bus, const char *name)
{
    for (size_t i = 0; bus->config && i < bus->config->n_channels; i++)
        if (strcmp(bus->config->channels[i].name, name) == 0)
            return true;
    return false;
}

bool bus_test_channel(struct bus *bus, const char *channel, dispatcher_tested *done, void *arg)
{
    if (!has_channel(bus, channel))
        return false;
    struct event *event = make_event(bus, "alert.test", channel, SEVERITY_INFO, false, json_pack("{s:s}", "channel", channel));
    struct publication *p = mem_zero(sizeof *p);
    p->bus = bus;
    p->only_channel = mem_copy_text(channel);
    p->tested = done;
    p->tested_arg = arg;
    commit(bus, event, p);
    return true;
}

struct store_read *bus_query(struct bus *bus, const struct event_query *query,
                             void (*done)(void *arg, struct event *const *, size_t n, bool found_after), void *arg)
{
    return store_read_events(bus->store, query, done, arg);
}
