#include "control/control.h"

#include "base/mem.h"
#include "control/publish.h"
#include "monitors/check.h"

#include <string.h>

/* One run of `penstock monitor test`: a check per endpoint and monitor, all at once. */
struct monitor_test {
    struct control *control;
    json_t *results; /* in the order of the configuration */
    unsigned pending;
    void (*done)(void *arg, json_t *results);
    void *arg;
};

struct one_check {
    struct monitor_test *test;
    size_t place; /* among the results */
};

static json_t *milliseconds(nsec_t duration)
{
    return duration > 0 ? json_real((double)duration / NSEC_PER_MSEC) : json_null();
}

/* Details may quote what an origin sent: what is not UTF-8 becomes null. */
static json_t *text_or_null(const char *text)
{
    json_t *value = text && *text ? json_string(text) : NULL;
    return value ? value : json_null();
}

static void describe(json_t *result, const struct judgement *judgement, const struct probe_result *probe)
{
    json_object_set_new(result, "pass", json_boolean(judgement->pass));
    json_object_set_new(result, "diagnosis", json_string(diagnosis_code(judgement->diagnosis)));
    json_object_set_new(result, "detail", text_or_null(judgement->detail));
    json_object_set_new(result, "status", probe->status ? json_integer((json_int_t)probe->status) : json_null());
    json_object_set_new(result, "address", text_or_null(probe->address));
    json_object_set_new(result, "connect_ms", milliseconds(probe->connect));
    json_object_set_new(result, "tls_ms", milliseconds(probe->tls));
    json_object_set_new(result, "first_byte_ms", milliseconds(probe->first_byte));
    json_object_set_new(result, "total_ms", milliseconds(probe->total));
}

static void release(struct monitor_test *test)
{
    if (--test->pending)
        return;
    test->done(test->arg, test->results);
    json_decref(test->results);
    free(test);
}

static void on_check_done(void *arg, const struct judgement *judgement, const struct probe *last)
{
    struct one_check *one = arg;
    describe(json_array_get(one->test->results, one->place), judgement, &last->result);
    release(one->test);
    free(one);
}

static void check_endpoint(struct monitor_test *test, const struct endpoint *endpoint)
{
    const struct pool *pool = endpoint->pool;
    for (size_t i = 0; i < pool->n_monitors; i++) {
        struct one_check *one = mem_alloc(sizeof *one);
        *one = (struct one_check){ test, json_array_size(test->results) };
        json_array_append_new(test->results, json_pack("{s:s, s:s}", "endpoint", endpoint->id, "monitor", pool->monitors[i]->name));
        test->pending++;
        check_start(test->control->config, endpoint, pool->monitors[i], 0, publish_run_probe, test->control, on_check_done, one);
    }
}

static const struct endpoint *endpoint_of_pool(const struct pool *pool, const char *name)
{
    for (size_t i = 0; i < pool->n_endpoints; i++)
        if (strcmp(pool->endpoints[i].name, name) == 0)
            return &pool->endpoints[i];
    return NULL;
}

bool control_monitor_test(struct control *control, const char *pool_name, const char *endpoint_name, void (*done)(void *arg, json_t *results), void *arg)
{
    const struct pool *pool = config_find_pool(control->config, pool_name);
    const struct endpoint *only = pool && endpoint_name ? endpoint_of_pool(pool, endpoint_name) : NULL;
    if (!pool || (endpoint_name && !only))
        return false;
    struct monitor_test *test = mem_alloc(sizeof *test);
    *test = (struct monitor_test){ .control = control, .results = json_array(), .pending = 1, .done = done, .arg = arg };
    for (size_t i = 0; i < pool->n_endpoints; i++)
        if (!only || only == &pool->endpoints[i])
            check_endpoint(test, &pool->endpoints[i]);
    release(test); /* nothing to check: answered at once */
    return true;
}
