/* The parts of the control thread that turn evidence into events, with a real loop: a store in memory, names that nobody answers, probes that are
 * held back for the test to speak in their place. One at a time. After cmocka.h. */
#ifndef PENSTOCK_UNIT_LIVE_CONTROL_H
#define PENSTOCK_UNIT_LIVE_CONTROL_H

#include "control/bus.h"
#include "control/health.h"
#include "control/override.h"
#include "control/records.h"
#include "control/store.h"
#include "control/tunnels.h"
#include "monitors/scheduler.h"
#include "net/resolver.h"

static struct list held_probes;

static void hold_probe(void *arg, struct probe *probe)
{
    (void)arg;
    list_push_back(&held_probes, &probe->message.link);
}

static void give_back_probes(void)
{
    struct list *node;
    while ((node = list_pop_front(&held_probes))) {
        struct probe *probe = CONTAINER_OF(CONTAINER_OF(node, struct message, link), struct probe, message);
        probe->done(probe, probe->arg);
    }
}

/* `event` is told of each. */
static void live_control_start(struct control *c, void (*event)(void *arg, struct event *), void *arg)
{
    static const struct scheduler_callbacks callbacks = { .run = hold_probe, .evidence = health_take_evidence };
    char error[STORE_ERROR_SIZE];
    list_init(&held_probes);
    c->loop = ev_loop_new(EVFLAG_AUTO);
    mailbox_init(&c->mailbox, c->loop, c);
    c->store = store_open(c->loop, &(struct store_options){ 0 }, error);
    assert_non_null(c->store);
    c->bus = bus_new(c->store);
    bus_subscribe(c->bus, event, arg);
    c->resolver = resolver_new(c->loop, &(struct resolver_options){ .servers = "127.0.0.1:1" }, error);
    assert_non_null(c->resolver);
    c->scheduler = scheduler_new(c->loop, &callbacks, c);
    health_init(c);
}

/* What publish() does, but for workers, sockets and tunnels. Takes the configuration over. */
static void live_control_put_in_force(struct control *c, struct config *config)
{
    struct config *former = c->config;
    records_attach(c, config);
    c->config = config;
    bus_set_config(c->bus, config);
    scheduler_set_config(c->scheduler, config);
    records_follow(c, config);
    health_judge_all(c);
    config_unref(former);
}

static void live_control_stop(struct control *c)
{
    health_stop(c);
    scheduler_free(c->scheduler);
    give_back_probes();
    tunnels_free(c->registry);
    records_clear(c);
    resolver_free(c->resolver);
    store_close(c->store);
    bus_free(c->bus);
    override_clear(c);
    mailbox_clear(&c->mailbox);
    config_unref(c->config);
    ev_loop_destroy(c->loop);
}

#endif
