/* The admin API from a request to its answer. */
#include "base/mem.h"
#include "control/admin.h"
#include "control/bus.h"
#include "control/event_stream.h"
#include "fake_local.h"
#include "sample_control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { TURNS_MAX = 10000 };

static int start(void **state)
{
    *state = sample_control_new();
    return 0;
}

static int stop(void **state)
{
    sample_control_free(*state);
    return 0;
}

/* Lets the control thread work until the call is answered. */
static void await_answer(struct control *c, const struct local_call *call)
{
    for (int i = 0; i < TURNS_MAX && !call->answered; i++)
        ev_run(c->loop, EVRUN_ONCE);
    assert_true(call->answered);
}

static void await_text(struct control *c, const struct local_call *call, const char *text)
{
    for (int i = 0; i < TURNS_MAX && !(call->body.p && strstr(call->body.p, text)); i++)
        ev_run(c->loop, EVRUN_ONCE);
    assert_non_null(call->body.p);
    assert_non_null(strstr(call->body.p, text));
}

static json_t *body_of(const struct local_call *call)
{
    json_t *json = json_loadb(call->body.p, call->body.n, 0, NULL);
    assert_non_null(json);
    return json;
}

/* --- routing and problems --- */

static void answers_by_table(void **state)
{
    static const struct {
        enum http_method method;
        const char *target, *body;
        unsigned status;
        const char *content_type, *contains;
    } cases[] = {
        { METHOD_GET, "/v1/status", "", 200, "application/json", "\"load_balancers\":[" },
        { METHOD_HEAD, "/v1/status", "", 200, "application/json", "" },
        { METHOD_GET, "/v1/load_balancers", "", 200, "application/json", "[{\"hostnames\":" },
        { METHOD_GET, "/v1/pools", "", 200, "application/json", "[{\"name\":\"europe\"" },
        { METHOD_GET, "/v1/endpoints/europe/ams", "", 200, "application/json", "\"id\":\"europe/ams\"" },
        { METHOD_GET, "/v1/endpoints/%65urope/a%6Ds", "", 200, "application/json", "\"id\":\"europe/ams\"" },
        { METHOD_GET, "/v1/tunnels", "", 200, "application/json", SAMPLE_TUNNEL },
        { METHOD_GET, "/v1/tunnels/" SAMPLE_TUNNEL, "", 200, "application/json", "\"name\":\"ams\"" },
        { METHOD_GET, "/v1/tunnels/ams", "", 200, "application/json", SAMPLE_TUNNEL },
        { METHOD_GET, "/v1/alerts", "", 200, "application/json", "\"name\":\"ops\"" },
        { METHOD_GET, "/v1/trace", "", 200, "application/json", "\"exchange\"" },
        { METHOD_GET, "/v1/events", "", 200, "application/json", "[" },
        { METHOD_GET, "/metrics", "", 200, "text/plain; version=0.0.4; charset=utf-8", "# TYPE penstock_requests_total counter" },
        { METHOD_GET, "/livez", "", 200, "text/plain; charset=utf-8", "ok" },
        { METHOD_GET, "/readyz", "", 200, "text/plain; charset=utf-8", "ok" },
        { METHOD_GET, "/readyz?host=app.example.com", "", 200, "text/plain; charset=utf-8", "ok" },
        { METHOD_GET, "/readyz?host=a.b.app.example.com", "", 200, "text/plain; charset=utf-8", "ok" },
        { METHOD_GET, "/readyz?pool=europe", "", 200, "text/plain; charset=utf-8", "ok" },
        { METHOD_GET, "/readyz?pool=spare", "", 503, "application/problem+json", "0 of 1 endpoints usable" },
        { METHOD_GET, "/readyz?pool=none", "", 404, "application/problem+json", "none" },
        { METHOD_GET, "/readyz?host=other.example.com", "", 404, "application/problem+json", "other.example.com" },
        { METHOD_GET, "/readyz?host=a&pool=b", "", 400, "application/problem+json", "" },
        { METHOD_GET, "/readyz?nonsense=1", "", 400, "application/problem+json", "nonsense" },
        { METHOD_GET, "/readyz?host=%zz", "", 400, "application/problem+json", "host" },
        { METHOD_GET, "/readyz?os=1", "", 400, "application/problem+json", "os" },
        { METHOD_GET, "/", "", 200, "text/html; charset=utf-8", "<title>penstock" },
        { METHOD_POST, "/v1/monitors/europe/test", "", 200, "application/json", "all" },
        { METHOD_POST, "/v1/monitors/europe/test", "{\"endpoint\":\"ams\"}", 200, "application/json", "ams" },
        { METHOD_POST, "/v1/monitors/europe/test?endpoint=ams", "", 200, "application/json", "ams" },
        { METHOD_POST, "/v1/monitors/europe/test", "{\"endpoint\":7}", 400, "application/problem+json", "endpoint" },
        { METHOD_POST, "/v1/monitors/europe/test?endpoint=none", "", 404, "application/problem+json", "europe/none" },
        { METHOD_POST, "/v1/monitors/none/test", "", 404, "application/problem+json", "none" },
        { METHOD_POST, "/v1/alerts/none/test", "", 404, "application/problem+json", "none" },
        { METHOD_POST, "/v1/trace", "{\"subject\":\"health\",\"on\":false}", 200, "application/json", "health" },
        { METHOD_POST, "/v1/trace", "{\"subject\":\"nonsense\",\"on\":true}", 404, "application/problem+json", "edge" },
        { METHOD_POST, "/v1/trace", "{\"subject\":\"health\",\"on\":1}", 400, "application/problem+json", "" },
        { METHOD_GET, "/v1/endpoints/europe/none", "", 404, "application/problem+json", "europe/none" },
        { METHOD_GET, "/v1/endpoints/europe/%ff", "", 404, "application/problem+json", "" },
        { METHOD_GET, "/v1/endpoints/europe", "", 404, "application/problem+json", "" },
        { METHOD_GET, "/v1/endpoints/europe/", "", 404, "application/problem+json", "" },
        { METHOD_GET, "/v1/endpoints/europe/ams/", "", 404, "application/problem+json", "" },
        { METHOD_GET, "/v1/endpoints/europe/a%00s", "", 404, "application/problem+json", "" },
        { METHOD_GET, "/v1/tunnels/none", "", 404, "application/problem+json", "none" },
        { METHOD_GET, "/v1", "", 404, "application/problem+json", "" },
        { METHOD_GET, "//v1/status", "", 404, "application/problem+json", "" },
        { METHOD_GET, "*", "", 404, "application/problem+json", "" },
        { METHOD_GET, "", "", 404, "application/problem+json", "" },
        { METHOD_POST, "/v1/status", "", 405, "application/problem+json", "GET, HEAD" },
        { METHOD_DELETE, "/v1/endpoints/europe/ams", "", 405, "application/problem+json", "GET, HEAD, PATCH" },
        { METHOD_GET, "/v1/reload", "", 405, "application/problem+json", "POST" },
        { METHOD_OTHER, "/metrics", "", 405, "application/problem+json", "" },
        { METHOD_GET, "/v1/events?limit=0", "", 400, "application/problem+json", "limit" },
        { METHOD_GET, "/v1/events?limit=1001", "", 400, "application/problem+json", "limit" },
        { METHOD_GET, "/v1/events?limit=7x", "", 400, "application/problem+json", "limit" },
        { METHOD_GET, "/v1/events?since=yesterday", "", 400, "application/problem+json", "since" },
        { METHOD_GET, "/v1/events?since=2026-11-24", "", 400, "application/problem+json", "since" },
        { METHOD_GET, "/v1/events?since=2026-11-24T16:00:00", "", 400, "application/problem+json", "since" },
        { METHOD_GET, "/v1/events?since=1h", "", 200, "application/json", "[" },
        { METHOD_GET, "/v1/events?since=2020-11-24T16:00:00Z", "", 200, "application/json", "[" },
        { METHOD_GET, "/v1/events?since=2020-11-24T16:00:00.5%2B02:00&limit=1000&type=a.*", "", 200, "application/json", "[" },
        { METHOD_GET, "/v1/events?after=evt_none", "", 404, "application/problem+json", "evt_none" },
    };
    struct control *c = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct local_call call;
        fake_call_init(&call, cases[i].method, cases[i].target, cases[i].body);
        admin_handle(c, &call);
        await_answer(c, &call);
        if (call.status != cases[i].status || strcmp(call.content_type, cases[i].content_type) != 0 ||
            !strstr(call.body.p, cases[i].contains))
            fail_msg("%s: %u %s %s", cases[i].target, call.status, call.content_type, call.body.p);
        if (call.status == 405)
            assert_memory_equal(call.extra + strlen(call.extra) - 2, "\r\n", 2);
        assert_int_equal(strstr(call.extra, "Allow: ") != NULL, call.status == 405);
        if (call.status >= 400) {
            json_t *problem = body_of(&call);
            assert_int_equal(json_integer_value(json_object_get(problem, "status")), call.status);
            assert_string_equal(json_string_value(json_object_get(problem, "type")), "about:blank");
            assert_string_equal(json_string_value(json_object_get(problem, "title")), http_status_phrase(call.status));
            assert_non_null(json_string_value(json_object_get(problem, "detail")));
            json_decref(problem);
        }
        fake_call_clear(&call);
    }
}

static void not_ready_while_stopping(void **state)
{
    struct control *c = *state;
    struct local_call call;

    c->stopping = true;
    fake_call_init(&call, METHOD_GET, "/readyz", "");
    admin_handle(c, &call);
    assert_int_equal(call.status, 503);
    fake_call_clear(&call);
    fake_call_init(&call, METHOD_GET, "/livez", "");
    admin_handle(c, &call);
    assert_int_equal(call.status, 200);
    fake_call_clear(&call);
}

/* --- changing endpoints --- */

static void patches_by_table(void **state)
{
    static const struct {
        const char *body;
        unsigned status;
        enum admin_state admin;
        double weight; /* NaN: the file's */
    } cases[] = {
        { "{\"state\":\"drained\"}", 200, ADMIN_DRAINED, NAN },
        { "{\"weight\":0.25}", 200, ADMIN_DRAINED, 0.25 },
        { "{\"state\":\"disabled\",\"weight\":3}", 200, ADMIN_DISABLED, 3 },
        { "{\"state\":\"enabled\",\"weight\":0}", 200, ADMIN_ENABLED, 0 },
        { " {\"weight\" : null} ", 200, ADMIN_ENABLED, NAN },
        { "{\"state\":\"drained\",\"weight\":-1}", 400, ADMIN_ENABLED, NAN },
        { "{\"weight\":1001}", 400, ADMIN_ENABLED, NAN },
        { "{\"weight\":\"1\"}", 400, ADMIN_ENABLED, NAN },
        { "{\"weight\":1e999}", 400, ADMIN_ENABLED, NAN },
        { "{\"state\":\"asleep\"}", 400, ADMIN_ENABLED, NAN },
        { "{\"state\":null}", 400, ADMIN_ENABLED, NAN },
        { "{\"state\":\"drained\",\"wieght\":1}", 400, ADMIN_ENABLED, NAN },
        { "{\"state\":\"drained\",\"state\":\"enabled\"}", 400, ADMIN_ENABLED, NAN },
        { "{}", 400, ADMIN_ENABLED, NAN },
        { "", 400, ADMIN_ENABLED, NAN },
        { "[]", 400, ADMIN_ENABLED, NAN },
        { "{", 400, ADMIN_ENABLED, NAN },
        { "{} x", 400, ADMIN_ENABLED, NAN },
    };
    struct control *c = *state;
    struct endpoint_live *live = control_find_endpoint(c, "europe/ams")->live;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct local_call call;
        fake_call_init(&call, METHOD_PATCH, "/v1/endpoints/europe/ams", cases[i].body);
        admin_handle(c, &call);
        await_answer(c, &call);
        assert_int_equal(call.status, cases[i].status);
        assert_int_equal(atomic_load(&live->admin), cases[i].admin);
        double weight = atomic_load(&live->weight_override);
        assert_true(isnan(cases[i].weight) ? isnan(weight) : weight == cases[i].weight);
        fake_call_clear(&call);
    }
}

static void nearest_member_is_suggested(void **state)
{
    struct local_call call;
    fake_call_init(&call, METHOD_PATCH, "/v1/endpoints/europe/ams", "{\"wieght\":1}");
    admin_handle(*state, &call);
    assert_non_null(strstr(call.body.p, "did you mean \\\"weight\\\""));
    fake_call_clear(&call);
}

static void deeply_nested_body_is_refused(void **state)
{
    enum { DEPTH = 30000 };
    char *body = malloc(DEPTH + 1);
    struct local_call call;

    memset(body, '[', DEPTH);
    body[DEPTH] = '\0';
    fake_call_init(&call, METHOD_PATCH, "/v1/endpoints/europe/ams", body);
    admin_handle(*state, &call);
    assert_int_equal(call.status, 400);
    fake_call_clear(&call);
    free(body);
}

/* --- access --- */

static unsigned status_over_tcp(struct control *c, enum http_method method, const char *target, const char *authorization)
{
    struct local_call call;

    fake_call_init_tcp(&call, method, target, authorization);
    admin_handle(c, &call);
    unsigned status = call.status;
    assert_int_equal(strstr(call.extra, "WWW-Authenticate: Bearer") != NULL, status == 401);
    fake_call_clear(&call);
    return status;
}

static void token_is_asked_for(void **state)
{
    struct control *c = *state;

    assert_int_equal(status_over_tcp(c, METHOD_GET, "/v1/status", NULL), 200);
    assert_int_equal(status_over_tcp(c, METHOD_POST, "/v1/reload", NULL), 403);
    c->config->admin.token = "right";
    assert_int_equal(status_over_tcp(c, METHOD_GET, "/v1/status", NULL), 401);
    assert_int_equal(status_over_tcp(c, METHOD_GET, "/v1/nonsense", NULL), 401);
    assert_int_equal(status_over_tcp(c, METHOD_GET, "/livez", "Bearer wrong"), 401);
    assert_int_equal(status_over_tcp(c, METHOD_GET, "/livez", NULL), 200);
    assert_int_equal(status_over_tcp(c, METHOD_POST, "/livez", NULL), 401);
    assert_int_equal(status_over_tcp(c, METHOD_GET, "/v1/status", "Bearer right"), 200);
    sample_reload_succeeds = true;
    assert_int_equal(status_over_tcp(c, METHOD_POST, "/v1/reload", "Bearer right"), 200);
    c->config->admin.token = NULL;
}

/* --- reload --- */

static void reload_tells_what_was_found(void **state)
{
    struct control *c = *state;
    for (int good = 0; good < 2; good++) {
        struct local_call call;
        sample_reload_succeeds = good;
        fake_call_init(&call, METHOD_POST, "/v1/reload", "");
        admin_handle(c, &call);
        assert_int_equal(call.status, good ? 200 : 422);
        json_t *answer = body_of(&call), *message = json_array_get(json_object_get(answer, "messages"), 0);
        assert_string_equal(json_string_value(json_object_get(message, "severity")), good ? "warning" : "error");
        assert_string_equal(json_string_value(json_object_get(message, "file")), "a.conf");
        assert_int_equal(json_integer_value(json_object_get(message, "line")), 7);
        assert_int_equal(json_integer_value(json_object_get(answer, "generation")), good ? 4 : 0);
        json_decref(answer);
        fake_call_clear(&call);
    }
}

/* --- events --- */

static void publish(struct control *c, unsigned i)
{
    bus_publish(c->bus, i % 2 ? "pool.degraded" : "endpoint.drained", "europe", SEVERITY_INFO, false,
                json_pack("{s:i}", "number", (int)i));
}

/* The caller frees it. */
static char *id_of_last(const json_t *events)
{
    const char *id = json_string_value(json_object_get(json_array_get(events, json_array_size(events) - 1), "id"));
    return mem_copy_text(id ? id : "");
}

/* A read behind what was published: waits until all of it is committed. */
static char *list_events(struct control *c, const char *target, size_t expected)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        struct local_call call;
        fake_call_init(&call, METHOD_GET, target, "");
        admin_handle(c, &call);
        await_answer(c, &call);
        assert_int_equal(call.status, 200);
        json_t *events = body_of(&call);
        char *id = id_of_last(events);
        size_t n = json_array_size(events);
        json_decref(events);
        fake_call_clear(&call);
        if (n == expected)
            return id;
        free(id);
    }
    fail_msg("never %zu events at %s", expected, target);
    return NULL;
}

static void events_are_listed(void **state)
{
    struct control *c = *state;
    char target[128];

    free(list_events(c, "/v1/events", 0));
    for (unsigned i = 0; i < 10; i++)
        publish(c, i);
    free(list_events(c, "/v1/events", 10));
    free(list_events(c, "/v1/events?type=pool.*", 5));
    free(list_events(c, "/v1/events?type=pool.*&limit=3", 3));
    free(list_events(c, "/v1/events?subject=america", 0));
    char *third = list_events(c, "/v1/events?since=1h&limit=3", 3);
    snprintf(target, sizeof target, "/v1/events?after=%s", third);
    free(list_events(c, target, 7));
    free(third);
}

static void follow(struct local_call *call, struct control *c, const char *target, const char *last_event_id)
{
    fake_call_init(call, METHOD_GET, target, "");
    call->request.accept = SLICE("text/html;q=0.5, text/event-stream");
    call->request.last_event_id = slice_of(last_event_id);
    admin_handle(c, call);
    assert_true(call->streaming);
    assert_int_equal(call->status, 200);
    assert_string_equal(call->content_type, "text/event-stream");
}

static unsigned count(const char *text, const char *word)
{
    unsigned n = 0;
    for (; text && (text = strstr(text, word)); text++)
        n++;
    return n;
}

static void stream_begins_with_what_happens(void **state)
{
    struct control *c = *state;
    struct local_call call;

    publish(c, 0);
    free(list_events(c, "/v1/events", 1));
    follow(&call, c, "/v1/events?type=endpoint.*", NULL);
    for (unsigned i = 1; i <= 4; i++)
        publish(c, i);
    await_text(c, &call, "\"number\":4");
    assert_int_equal(count(call.body.p, "\nid: evt_"), 2);
    assert_int_equal(count(call.body.p, "event: endpoint.drained\ndata: {"), 2);
    assert_null(strstr(call.body.p, "\"number\":0"));
    assert_null(strstr(call.body.p, "pool.degraded"));
    fake_call_leave(&call);
    publish(c, 6);
    free(list_events(c, "/v1/events", 6));
    fake_call_clear(&call);
}

static void note_written(void *arg, bool durable)
{
    (void)durable;
    *(bool *)arg = true;
}

static void await_writes(struct control *c)
{
    bool written = false;
    store_when_written(c->store, note_written, &written);
    while (!written)
        ev_run(c->loop, EVRUN_ONCE);
}

/* More than one page of history, and events while it is read: all of it once, in order. */
static void stream_resumes_without_gap_or_repetition(void **state)
{
    enum { HISTORY = 2300, MORE = 20 };
    struct control *c = *state;
    struct local_call call;
    char last[32];

    publish(c, 0);
    char *first = list_events(c, "/v1/events", 1);
    for (unsigned i = 1; i <= HISTORY; i++)
        publish(c, i);
    await_writes(c);
    follow(&call, c, "/v1/events", first);
    for (unsigned i = HISTORY + 1; i <= HISTORY + MORE; i++) {
        publish(c, i);
        ev_run(c->loop, EVRUN_NOWAIT);
    }
    snprintf(last, sizeof last, "\"number\":%d}", HISTORY + MORE);
    await_text(c, &call, last);
    assert_int_equal(count(call.body.p, "\nid: evt_"), HISTORY + MORE);
    unsigned expected = 1;
    for (const char *p = call.body.p; (p = strstr(p, "\"number\":")); p++)
        assert_int_equal(strtoul(p + 9, NULL, 10), expected++);
    fake_call_leave(&call);
    fake_call_clear(&call);
    free(first);
}

static void stream_after_an_event_that_is_gone(void **state)
{
    struct control *c = *state;
    struct local_call call;

    publish(c, 1);
    free(list_events(c, "/v1/events", 1));
    follow(&call, c, "/v1/events", "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    await_text(c, &call, "not kept any more");
    await_text(c, &call, "\"number\":1");
    fake_call_leave(&call);
    fake_call_clear(&call);
}

static void client_that_does_not_read_is_dropped(void **state)
{
    struct control *c = *state;
    struct local_call call;

    follow(&call, c, "/v1/events", NULL);
    call.stalled = true;
    publish(c, 1);
    await_answer(c, &call);
    fake_call_clear(&call);
}

/* Whoever resumes while more happens than is kept for it comes back with the last id it got. */
static void stream_that_falls_behind_is_ended(void **state)
{
    struct control *c = *state;
    struct local_call call;

    publish(c, 0);
    char *first = list_events(c, "/v1/events", 1);
    for (unsigned i = 1; i <= 5 * EVENT_STREAM_WAITING_MAX; i++)
        publish(c, i);
    follow(&call, c, "/v1/events", first);
    await_writes(c);
    if (!call.answered) /* it kept up: all of it came */
        await_text(c, &call, "\"number\":5000}");
    unsigned expected = 1;
    for (const char *p = call.body.p; (p = strstr(p, "\"number\":")); p++)
        assert_int_equal(strtoul(p + 9, NULL, 10), expected++);
    if (!call.answered)
        fake_call_leave(&call);
    fake_call_clear(&call);
    free(first);
}

static void streams_end_at_stop(void **state)
{
    struct control *c = *state;
    struct local_call stream, list;

    follow(&stream, c, "/v1/events", NULL);
    fake_call_init(&list, METHOD_GET, "/v1/events", "");
    admin_handle(c, &list);
    admin_stop(c);
    assert_true(stream.answered);
    assert_int_equal(list.status, 503);
    fake_call_clear(&stream);
    fake_call_clear(&list);
    fake_call_init(&list, METHOD_GET, "/v1/events", "");
    admin_handle(c, &list);
    assert_int_equal(list.status, 503);
    fake_call_clear(&list);
}

/* --- the page --- */

static void page_escapes(void **state)
{
    struct control *c = *state;
    struct endpoint_record *r = control_find_endpoint(c, "europe/ams");
    struct local_call call;

    snprintf(r->verdict.reason, sizeof r->verdict.reason, "<script>alert(\"1\")</script>&");
    fake_call_init(&call, METHOD_GET, "/", "");
    admin_handle(c, &call);
    assert_null(strstr(call.body.p, "<script"));
    assert_non_null(strstr(call.body.p, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;"));
    assert_non_null(strstr(call.extra, "Content-Security-Policy: default-src 'none'"));
    fake_call_clear(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_by_table, start, stop),
        cmocka_unit_test_setup_teardown(not_ready_while_stopping, start, stop),
        cmocka_unit_test_setup_teardown(patches_by_table, start, stop),
        cmocka_unit_test_setup_teardown(nearest_member_is_suggested, start, stop),
        cmocka_unit_test_setup_teardown(deeply_nested_body_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(token_is_asked_for, start, stop),
        cmocka_unit_test_setup_teardown(reload_tells_what_was_found, start, stop),
        cmocka_unit_test_setup_teardown(events_are_listed, start, stop),
        cmocka_unit_test_setup_teardown(stream_begins_with_what_happens, start, stop),
        cmocka_unit_test_setup_teardown(stream_resumes_without_gap_or_repetition, start, stop),
        cmocka_unit_test_setup_teardown(stream_after_an_event_that_is_gone, start, stop),
        cmocka_unit_test_setup_teardown(client_that_does_not_read_is_dropped, start, stop),
        cmocka_unit_test_setup_teardown(stream_that_falls_behind_is_ended, start, stop),
        cmocka_unit_test_setup_teardown(streams_end_at_stop, start, stop),
        cmocka_unit_test_setup_teardown(page_escapes, start, stop),
    };
    alarm(120); /* what never comes is not waited for */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
