#include "control/bus.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "turn_until.h"

enum { PATIENCE_S = 30 };

struct fixture {
    struct ev_loop *loop;
    struct store *store;
    struct bus *bus;
    struct text seen; /* "type subject sequence;" */
    unsigned n_seen;
    struct bus_subscription *second;
    unsigned second_seen;
};

static void on_seen(void *arg, struct event *event)
{
    struct fixture *f = arg;
    f->n_seen++;
    text_addf(&f->seen, "%s %s %u;", event->type, event->subject, (unsigned)event->sequence);
}

static void on_second_seen(void *arg, struct event *event)
{
    struct fixture *f = arg;
    (void)event;
    f->second_seen++;
    bus_unsubscribe(f->second);
}

static int setup(void **state)
{
    struct fixture *f = mem_zero(sizeof *f);
    struct store_options options = { 0 };
    char error[STORE_ERROR_SIZE];

    f->loop = ev_loop_new(0);
    f->store = store_open(f->loop, &options, error);
    f->bus = bus_new(f->store);
    bus_subscribe(f->bus, on_seen, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    bus_free(f->bus);
    text_clear(&f->seen);
    ev_loop_destroy(f->loop);
    free(f);
    return 0;
}

static void events_are_seen_once_committed_in_their_order(void **state)
{
    struct fixture *f = *state;

    bus_publish(f->bus, "endpoint.unhealthy", "europe/ams", SEVERITY_WARNING, false, json_pack("{s:s}", "reason", "down"));
    bus_publish(f->bus, "pool.degraded", "europe", SEVERITY_WARNING, false, NULL);
    bus_publish(f->bus, "endpoint.healthy", "europe/ams", SEVERITY_INFO, true, NULL);
    assert_int_equal(f->n_seen, 0);
    turn_until(f->loop, &f->n_seen, 3, PATIENCE_S);
    assert_string_equal(f->seen.p, "endpoint.unhealthy europe/ams 1;pool.degraded europe 2;endpoint.healthy europe/ams 3;");
}

static void ids_differ_and_sort_by_time(void **state)
{
    struct fixture *f = *state;
    char before[32] = "";

    for (unsigned i = 0; i < 200; i++) {
        const char *id = bus_publish(f->bus, "a.b", "s", SEVERITY_INFO, false, NULL);
        assert_int_equal(strlen(id), 4 + 26);
        assert_memory_equal(id, "evt_", 4);
        assert_int_equal(strspn(id + 4, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), 26);
        assert_true(strcmp(before, id) < 0);
        snprintf(before, sizeof before, "%s", id);
    }
    turn_until(f->loop, &f->n_seen, 200, PATIENCE_S);
}

static void subscriber_may_leave_while_it_is_told(void **state)
{
    struct fixture *f = *state;

    f->second = bus_subscribe(f->bus, on_second_seen, f);
    bus_publish(f->bus, "a.b", "s", SEVERITY_INFO, false, NULL);
    bus_publish(f->bus, "a.b", "s", SEVERITY_INFO, false, NULL);
    turn_until(f->loop, &f->n_seen, 2, PATIENCE_S);
    assert_int_equal(f->second_seen, 1);
}

struct reading {
    unsigned done;
    size_t n;
    char json[512];
};

static void on_read(void *arg, struct event *const *events, size_t n, bool found_after)
{
    struct reading *r = arg;
    struct text json = { 0 };

    assert_true(found_after);
    r->done++;
    r->n = n;
    if (n)
        event_write_json(events[0], &json);
    snprintf(r->json, sizeof r->json, "%s", n ? json.p : "");
    text_clear(&json);
}

static void history_is_json_with_the_five_members(void **state)
{
    struct fixture *f = *state;
    struct reading r = { 0 };

    const char *id = bus_publish(f->bus, "tunnel.inactive", "u", SEVERITY_CRITICAL, false, json_pack("{s:s}", "tunnel", "quote \" and \n"));
    bus_query(f->bus, &(struct event_query){ .type = "tunnel.*" }, on_read, &r);
    turn_until(f->loop, &r.done, 1, PATIENCE_S);
    assert_int_equal(r.n, 1);

    json_error_t error;
    json_t *event = json_loads(r.json, 0, &error);
    assert_non_null(event);
    const char *id_read, *type, *timestamp, *severity, *tunnel;
    assert_int_equal(json_unpack_ex(event, &error, JSON_STRICT, "{s:s, s:s, s:s, s:s, s:{s:s}}", "id", &id_read, "type", &type, "timestamp",
                                    &timestamp, "severity", &severity, "data", "tunnel", &tunnel),
                     0);
    assert_string_equal(id_read, id);
    assert_string_equal(type, "tunnel.inactive");
    assert_string_equal(severity, "critical");
    assert_string_equal(tunnel, "quote \" and \n");
    assert_int_equal(strlen(timestamp), sizeof "2026-11-24T16:00:00.000Z" - 1);
    json_decref(event);
}

/* Alerts: a channel whose dispatcher never gets to send, so that what is queued can be counted. */

static void never_forgotten(void *arg, uint64_t sequence, const char *channel)
{
    (void)sequence;
    (void)channel;
    ++*(unsigned *)arg;
}

static void count_backlog(void *arg, const struct channel_status *status)
{
    text_addf(arg, "%s:%zu ", status->name, status->backlog);
}

static const struct config *two_channels(struct config *config)
{
    static const char *const pool_events[] = { "pool.*" };
    struct channel_conf *channels = arena_array(&config->arena, 2, sizeof *channels);

    channels[0] = (struct channel_conf){ .name = "ops", .type = channel_type_find("webhook"), .url = "http://127.0.0.1:1/" };
    channels[1] = channels[0];
    channels[1].name = "pools";
    channels[1].events = (struct texts){ pool_events, 1 };
    config->channels = channels;
    config->n_channels = 2;
    return config;
}

static void alerts_go_to_the_channels_that_want_them(void **state)
{
    struct fixture *f = *state;
    unsigned forgotten = 0;
    struct config *config = config_new();
    struct outbox outbox = { never_forgotten, &forgotten };
    struct dispatcher *dispatcher = dispatcher_new(f->loop, &outbox);
    struct text backlog = { 0 };

    two_channels(config);
    dispatcher_set_config(dispatcher, config);
    bus_set_config(f->bus, config);
    bus_set_dispatcher(f->bus, dispatcher);
    config_unref(config);
    bus_publish(f->bus, "endpoint.unhealthy", "europe/ams", SEVERITY_WARNING, false, NULL); /* ops */
    bus_publish(f->bus, "endpoint.healthy", "europe/ams", SEVERITY_INFO, true, NULL);       /* ops: a recovery */
    bus_publish(f->bus, "endpoint.drained", "europe/ams", SEVERITY_INFO, false, NULL);      /* nobody */
    bus_publish(f->bus, "pool.healthy", "europe", SEVERITY_INFO, false, NULL);              /* pools */
    turn_until(f->loop, &f->n_seen, 4, PATIENCE_S);
    dispatcher_each_channel(dispatcher, count_backlog, &backlog);
    assert_string_equal(backlog.p, "ops:2 pools:1 ");
    assert_int_equal(forgotten, 0);
    text_clear(&backlog);
    bus_set_dispatcher(f->bus, NULL);
    dispatcher_free(dispatcher);
}

static void on_tested(void *arg, bool delivered, const char *detail)
{
    assert_false(delivered);
    assert_true(strlen(detail) > 0);
    ++*(unsigned *)arg;
}

static void test_of_a_channel_is_an_event_and_has_an_outcome(void **state)
{
    struct fixture *f = *state;
    unsigned forgotten = 0, tested = 0;
    struct config *config = config_new();
    struct outbox outbox = { never_forgotten, &forgotten };
    struct dispatcher *dispatcher = dispatcher_new(f->loop, &outbox);

    two_channels(config);
    dispatcher_set_config(dispatcher, config);
    bus_set_config(f->bus, config);
    bus_set_dispatcher(f->bus, dispatcher);
    config_unref(config);
    assert_false(bus_test_channel(f->bus, "nobody", on_tested, &tested));
    assert_true(bus_test_channel(f->bus, "pools", on_tested, &tested)); /* nobody listens on port 1 */
    turn_until(f->loop, &tested, 1, PATIENCE_S);
    assert_string_equal(f->seen.p, "alert.test pools 1;");
    bus_set_dispatcher(f->bus, NULL);
    dispatcher_free(dispatcher);
}

#define WITH_BUS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUS(events_are_seen_once_committed_in_their_order),
        WITH_BUS(ids_differ_and_sort_by_time),
        WITH_BUS(subscriber_may_leave_while_it_is_told),
        WITH_BUS(history_is_json_with_the_five_members),
        WITH_BUS(alerts_go_to_the_channels_that_want_them),
        WITH_BUS(test_of_a_channel_is_an_event_and_has_an_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
