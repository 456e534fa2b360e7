#include "sample_control.h"

#include "base/mem.h"
#include "control/admin.h"
#include "control/bus.h"
#include "control/store.h"
#include "control/tunnels.h"
#include "proxy/explain.h"
#include "proxy/simulate.h"
#include "proxy/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool sample_reload_succeeds;

static const char text[] =
    "listeners = ( { address = \"127.0.0.1:8080\"; } );\n"
    "monitors = ( { name = \"app\"; type = \"http\"; path = \"/healthz\"; } );\n"
    "pools = (\n"
    "  { name = \"europe\"; monitors = [ \"app\" ]; endpoints = (\n"
    "      { name = \"ams\"; tunnel = \"" SAMPLE_TUNNEL "\"; hostname = \"ams.example.com\"; max_in_flight = 10; },\n"
    "      { name = \"fra\"; address = \"http://127.0.0.1:8001\"; weight = 0.5; } ); },\n"
    "  { name = \"spare\"; monitors = [ \"app\" ]; endpoints = ( { name = \"us\"; address = \"http://127.0.0.1:8002\"; } ); }\n"
    ");\n"
    "load_balancers = ( { hostnames = [ \"app.example.com\", \"*.app.example.com\" ];\n"
    "                     default_pools = [ \"europe\", \"spare\" ]; } );\n"
    "alerts = ( { name = \"ops\"; type = \"webhook\"; url = \"https://hooks.example.com/penstock\";\n"
    "             secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"; } );\n";

static struct config *load(void)
{
    char path[] = "/tmp/penstock-sample-XXXXXX";
    struct conf_messages messages = { 0 };
    int fd = mkstemp(path);

    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
    close(fd);
    struct config *config = conf_load(path, &messages);
    unlink(path);
    if (!config) {
        struct text said = { 0 };
        conf_messages_print(&messages, &said);
        fail_msg("%s", said.p);
    }
    conf_messages_clear(&messages);
    return config;
}

static struct endpoint_record *add_endpoint(struct control *c, struct endpoint *e, enum verdict_state state, const char *reason)
{
    struct endpoint_record *r = mem_zero(sizeof *r);

    r->id = mem_copy_text(e->id);
    r->live = endpoint_live_new(e->id, 2);
    r->control = c;
    r->endpoint = e;
    r->since = 1764000000 * NSEC_PER_SEC;
    r->verdict.state = state;
    r->verdict.health = state == VERDICT_HEALTHY ? HEALTH_UP : HEALTH_DOWN;
    snprintf(r->verdict.reason, sizeof r->verdict.reason, "%s", reason);
    r->evidence.n_monitors = 1;
    r->evidence.monitors[0] = (struct monitor_evidence){ .name = "app", .health = r->verdict.health };
    endpoint_set_health(r->live, r->verdict.health, 0);
    e->live = endpoint_live_ref(r->live);
    HASH_ADD_KEYPTR(hh, c->endpoints, r->id, strlen(r->id), r);
    return r;
}

static void add_pool(struct control *c, const char *name, enum pool_state state, const char *reason)
{
    struct pool_record *r = mem_zero(sizeof *r);

    r->name = mem_copy_text(name);
    r->pool = config_find_pool(c->config, name);
    r->state = state;
    r->since = 1764000000 * NSEC_PER_SEC;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
    HASH_ADD_KEYPTR(hh, c->pools, r->name, strlen(r->name), r);
}

static void add_load_balancer(struct control *c, const struct load_balancer *lb)
{
    struct load_balancer_record *r = mem_zero(sizeof *r);

    r->name = mem_copy_text(lb->name);
    r->load_balancer = lb;
    r->state = LB_DEGRADED;
    r->pool = lb->default_pools[0];
    snprintf(r->reason, sizeof r->reason, "degraded: europe");
    HASH_ADD_KEYPTR(hh, c->load_balancers, r->name, strlen(r->name), r);
}

static void add_tunnel(struct control *c)
{
    struct tunnel_record *r = mem_zero(sizeof *r);

    r->id = mem_copy_text(SAMPLE_TUNNEL);
    r->name = mem_copy_text("ams");
    r->status = TUNNEL_DOWN;
    r->since = 1764000000 * NSEC_PER_SEC;
    r->config = c->config;
    snprintf(r->reason, sizeof r->reason, "530/1033 from the edge");
    HASH_ADD_KEYPTR(hh, c->tunnels, r->id, strlen(r->id), r);
}

static void forget_nothing(void *arg, uint64_t sequence, const char *channel)
{
    (void)arg;
    (void)sequence;
    (void)channel;
}

static void start_services(struct control *c)
{
    static const struct outbox outbox = { .forget = forget_nothing };
    char error[STORE_ERROR_SIZE];
    const struct store_options in_memory = { 0 };

    c->loop = ev_loop_new(EVFLAG_AUTO);
    c->store = store_open(c->loop, &in_memory, error);
    assert_non_null(c->store);
    c->bus = bus_new(c->store);
    bus_set_config(c->bus, c->config);
    c->dispatcher = dispatcher_new(c->loop, &outbox);
    dispatcher_set_config(c->dispatcher, c->config);
    admin_start(c);
}

struct control *sample_control_new(void)
{
    struct control *c = mem_zero(sizeof *c);

    c->config = load();
    c->config->generation = c->generation = 3;
    c->started = clock_wall() - 90 * NSEC_PER_SEC;
    c->listening = true;
    add_endpoint(c, config_find_endpoint(c->config, "europe/ams"), VERDICT_DOWN, "down: 530/1033 from the edge 3 times");
    add_endpoint(c, config_find_endpoint(c->config, "europe/fra"), VERDICT_HEALTHY, "");
    add_endpoint(c, config_find_endpoint(c->config, "spare/us"), VERDICT_DOWN, "down: connection refused \xff");
    add_pool(c, "europe", POOL_DEGRADED, "1 of 2 endpoints usable");
    add_pool(c, "spare", POOL_CRITICAL, "0 of 1 endpoints usable");
    add_load_balancer(c, &c->config->load_balancers[0]);
    add_tunnel(c);
    start_services(c);
    return c;
}

static void free_records(struct control *c)
{
    struct endpoint_record *e, *e_next;
    struct pool_record *p, *p_next;
    struct load_balancer_record *l, *l_next;
    struct tunnel_record *t, *t_next;

    HASH_ITER (hh, c->endpoints, e, e_next) {
        HASH_DEL(c->endpoints, e);
        endpoint_live_unref(e->live);
        free(e->id);
        free(e);
    }
    HASH_ITER (hh, c->pools, p, p_next) {
        HASH_DEL(c->pools, p);
        free(p->name);
        free(p);
    }
    HASH_ITER (hh, c->load_balancers, l, l_next) {
        HASH_DEL(c->load_balancers, l);
        free(l->name);
        free(l);
    }
    HASH_ITER (hh, c->tunnels, t, t_next) {
        HASH_DEL(c->tunnels, t);
        free(t->id);
        free(t->name);
        free(t);
    }
}

void sample_control_free(struct control *c)
{
    admin_stop(c);
    dispatcher_free(c->dispatcher);
    store_close(c->store);
    bus_free(c->bus);
    free_records(c);
    config_unref(c->config);
    ev_loop_destroy(c->loop);
    free(c);
}

/* --- what the rest of control would do --- */

struct endpoint_record *control_find_endpoint(struct control *c, const char *id)
{
    struct endpoint_record *r;
    HASH_FIND_STR(c->endpoints, id, r);
    return r;
}

bool control_set_admin(struct control *c, const char *id, enum admin_state state)
{
    struct endpoint_record *r = control_find_endpoint(c, id);

    endpoint_set_admin(r->live, state, 0);
    r->verdict.state = state == ADMIN_DRAINED ? VERDICT_DRAINED : state == ADMIN_DISABLED ? VERDICT_DISABLED : VERDICT_HEALTHY;
    bus_publish(c->bus, state == ADMIN_DRAINED ? "endpoint.drained" : "endpoint.healthy", id, SEVERITY_INFO, false,
                json_pack("{s:s}", "endpoint", id));
    return true;
}

bool control_set_weight(struct control *c, const char *id, double weight)
{
    atomic_store(&control_find_endpoint(c, id)->live->weight_override, weight);
    return true;
}

struct config *control_remake_config(struct control *c, struct conf_messages *messages)
{
    return conf_join(c->config, NULL, 0, messages);
}

bool control_reload(struct control *c, struct conf_messages *messages)
{
    const struct source at = { "a.conf", 7 };
    conf_messages_add(messages, sample_reload_succeeds ? CONF_WARNING : CONF_ERROR, &at, "what");
    c->config->generation += sample_reload_succeeds;
    return sample_reload_succeeds;
}

bool control_monitor_test(struct control *c, const char *pool, const char *endpoint, void (*done)(void *arg, json_t *results),
                          void *arg)
{
    (void)c;
    if (strcmp(pool, "europe") != 0 || (endpoint && strcmp(endpoint, "ams") != 0))
        return false;
    json_t *results = json_pack("[{s:s, s:b}]", "endpoint", endpoint ? endpoint : "all", "pass", 1);
    done(arg, results);
    json_decref(results);
    return true;
}

/* Nor what a worker is made of. */
void simulate(struct simulation *x)
{
    x->counts = mem_zero(sizeof *x->counts);
}

/* There are no workers. */
void worker_post_explanation(struct worker *w, struct explanation *x)
{
    (void)w;
    (void)x;
    fail();
}

const struct worker_counters *worker_counters(const struct worker *w)
{
    (void)w;
    fail();
    return NULL;
}
