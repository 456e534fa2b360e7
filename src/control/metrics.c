#include "control/metrics.h"

#include "alerts/dispatcher.h"
#include "balance/tally.h"
#include "base/version.h"
#include "control/exposition.h"
#include "control/metrics_tunnels.h"
#include "control/store.h"
#include "control/totals.h"
#include "net/tls.h"
#include "proxy/access_log.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

struct scrape {
    struct control *control;
    struct exposition format;
    nsec_t now; /* monotonic */
};

static void single(struct scrape *s, const char *name, enum metric_type type, const char *help, double value)
{
    exposition_family(&s->format, name, type, help);
    exposition_sample(&s->format, NULL, 0, value);
}

/* --- the process --- */

static unsigned count_open_files(void)
{
    unsigned n = 0;
    DIR *directory = opendir("/proc/self/fd");

    if (!directory)
        return 0;
    while (readdir(directory))
        n++;
    closedir(directory);
    return n > 3 ? n - 3 : 0; /* ".", "..", and the directory itself */
}

static void write_memory(struct scrape *s)
{
    uint64_t total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%" SCNu64 " %" SCNu64, &total, &resident) == 2) {
        double page = (double)sysconf(_SC_PAGESIZE);
        single(s, "process_virtual_memory_bytes", METRIC_GAUGE, "Size of the address space.", (double)total * page);
        single(s, "process_resident_memory_bytes", METRIC_GAUGE, "Memory in use.", (double)resident * page);
    }
    if (f)
        fclose(f);
}

static void write_process(struct scrape *s)
{
    struct rlimit files;
    struct timespec cpu;

    single(s, "process_start_time_seconds", METRIC_GAUGE, "When the process began, since the Unix epoch.",
           nsec_to_seconds(s->control->started));
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        single(s, "process_cpu_seconds", METRIC_COUNTER, "Processor time used.", (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    write_memory(s);
    single(s, "process_open_fds", METRIC_GAUGE, "Open file descriptors.", count_open_files());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        single(s, "process_max_fds", METRIC_GAUGE, "How many file descriptors may be open.", (double)files.rlim_cur);
}

/* --- configuration and certificates --- */

static void write_build(struct scrape *s)
{
    const struct label version = { "version", PENSTOCK_VERSION };

    exposition_family(&s->format, "penstock_build_info", METRIC_GAUGE, "Which program this is.");
    exposition_sample(&s->format, &version, 1, 1);
    single(s, "penstock_config_generation", METRIC_GAUGE, "Counts configurations put in force since the start.",
           (double)s->control->config->generation);
    single(s, "penstock_config_rejected", METRIC_GAUGE,
           "1 while the last configuration offered was refused and the one before serves on.",
           s->control->last_rejection[0] != '\0');
    single(s, "penstock_workers", METRIC_GAUGE, "Threads that move traffic.", (double)s->control->n_workers);
}

static void write_certificates(struct scrape *s)
{
    const struct config *config = s->control->config;

    exposition_family(&s->format, "penstock_certificate_expiry_timestamp_seconds", METRIC_GAUGE,
                      "When the first certificate of a listener ends, since the Unix epoch.");
    for (size_t i = 0; i < config->n_listeners; i++) {
        const struct listener *l = &config->listeners[i];
        const struct label listener = { "listener", l->address };
        if (l->tls_server)
            exposition_sample(&s->format, &listener, 1, (double)tls_server_not_after(l->tls_server));
    }
}

/* --- what the workers count --- */

struct worker_row {
    const char *name;
    const char *help;
    size_t offset;
};
#define WORKER_ROW(member, name, help) { "penstock_" name, help, offsetof(struct worker_counters, member) }

static const struct worker_row worker_counter_rows[] = {
    WORKER_ROW(connections_accepted, "client_connections", "Connections accepted from clients."),
    WORKER_ROW(connections_refused, "client_connections_refused", "Connections from clients beyond a limit."),
    WORKER_ROW(tls_handshakes, "tls_handshakes", "TLS handshakes with clients that succeeded."),
    WORKER_ROW(tls_resumed, "tls_resumed", "Of these, those that resumed a session."),
    WORKER_ROW(tls_failures, "tls_failures", "TLS handshakes with clients that failed."),
    WORKER_ROW(requests, "requests", "Requests from clients."),
    WORKER_ROW(upgrades, "upgrades", "Connections switched to another protocol (WebSocket)."),
    WORKER_ROW(bytes_from_clients, "client_received_bytes", "Bytes received from clients."),
    WORKER_ROW(bytes_to_clients, "client_sent_bytes", "Bytes sent to clients."),
    WORKER_ROW(bytes_from_upstreams, "upstream_received_bytes", "Bytes received from endpoints."),
    WORKER_ROW(bytes_to_upstreams, "upstream_sent_bytes", "Bytes sent to endpoints."),
    WORKER_ROW(retries, "retries", "Requests sent again, to another endpoint or over a fresh connection."),
    WORKER_ROW(retries_refused_by_budget, "retries_refused", "Retries not made because too many were under way."),
    WORKER_ROW(reuse_races, "reuse_races", "Kept connections that turned out closed when a request was sent."),
    WORKER_ROW(extra_responses, "extra_responses", "Bytes that an endpoint sent beyond its response; the connection was closed."),
    WORKER_ROW(panic_choices, "panic_choices", "Requests sent to an endpoint held to be down because all were."),
    WORKER_ROW(fallback_choices, "fallback_choices", "Requests sent to a fallback pool because no pool was usable."),
    WORKER_ROW(geoip_lookups, "geoip_lookups", "Look-ups in the databases of places; who asks again is remembered."),
};

static const struct worker_row worker_gauge_rows[] = {
    WORKER_ROW(connections, "client_connections_open", "Connections of clients open now."),
    WORKER_ROW(exchanges, "requests_in_flight", "Requests under way now."),
    WORKER_ROW(upstreams, "upstream_connections_open", "Connections to endpoints open now."),
    WORKER_ROW(upgraded, "upgraded_connections_open", "Upgraded connections (WebSocket) open now."),
};

static const struct {
    const char *class;
    size_t offset;
} response_rows[] = {
    { "1xx", offsetof(struct worker_counters, responses_1xx) }, { "2xx", offsetof(struct worker_counters, responses_2xx) },
    { "3xx", offsetof(struct worker_counters, responses_3xx) }, { "4xx", offsetof(struct worker_counters, responses_4xx) },
    { "5xx", offsetof(struct worker_counters, responses_5xx) },
};

static void write_histogram(struct scrape *s, const char *name, const char *help, size_t offset)
{
    struct histogram_totals totals;
    double bounds[HISTOGRAM_BUCKETS - 1];

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++)
        bounds[i] = (double)histogram_bound_ms(i) / 1000;
    totals_histogram(s->control, offset, &totals);
    exposition_family(&s->format, name, METRIC_HISTOGRAM, help);
    exposition_histogram(&s->format, totals.buckets, bounds, HISTOGRAM_BUCKETS, totals.sum_s);
}

static void write_responses(struct scrape *s)
{
    exposition_family(&s->format, "penstock_responses", METRIC_COUNTER, "Responses sent to clients, by class of status.");
    for (size_t i = 0; i < COUNT_OF(response_rows); i++) {
        const struct label class = { "class", response_rows[i].class };
        exposition_sample(&s->format, &class, 1, (double)totals_counter(s->control, response_rows[i].offset));
    }
}

static void write_failures(struct scrape *s)
{
    exposition_family(&s->format, "penstock_failures", METRIC_COUNTER, "Requests and connections that failed, by reason.");
    for (enum reason r = REASON_NONE + 1; r < REASONS; r++) {
        const struct label reason = { "reason", reason_code(r) };
        size_t offset = offsetof(struct worker_counters, failures) + (size_t)r * sizeof(_Atomic uint64_t);
        exposition_sample(&s->format, &reason, 1, (double)totals_counter(s->control, offset));
    }
}

static void write_workers(struct scrape *s)
{
    if (s->control->access_log)
        single(s, "penstock_access_log_lost", METRIC_COUNTER, "Lines of the access log lost because they could not be written, or not fast enough.",
               (double)log_sink_lost(s->control->access_log));
    for (size_t i = 0; i < COUNT_OF(worker_counter_rows); i++) {
        const struct worker_row *row = &worker_counter_rows[i];
        single(s, row->name, METRIC_COUNTER, row->help, (double)totals_counter(s->control, row->offset));
    }
    for (size_t i = 0; i < COUNT_OF(worker_gauge_rows); i++) {
        const struct worker_row *row = &worker_gauge_rows[i];
        single(s, row->name, METRIC_GAUGE, row->help, (double)totals_gauge(s->control, row->offset));
    }
    write_responses(s);
    write_failures(s);
    write_histogram(s, "penstock_request_duration_seconds", "From a request's first byte to the end of its response.",
                    offsetof(struct worker_counters, latency));
    write_histogram(s, "penstock_upstream_first_byte_seconds",
                    "From a request sent to an endpoint to the first byte of its response.",
                    offsetof(struct worker_counters, first_byte));
}

/* --- load balancers, pools --- */

enum { LABELS_MAX = 4 };

/* One sample per state: 1 for the one it is in. `labels` has room for one more. */
static void write_states(struct scrape *s, struct label labels[LABELS_MAX], size_t n, const char *const *states, size_t n_states,
                         const char *state)
{
    for (size_t i = 0; i < n_states; i++) {
        labels[n] = (struct label){ "state", states[i] };
        exposition_sample(&s->format, labels, n + 1, strcmp(states[i], state) == 0);
    }
}

#define STATE_NAMES_MAX 8
#define NAMES_OF_STATES(names, last, name_of) \
    const char *names[STATE_NAMES_MAX]; \
    size_t n_##names = 0; \
    for (; n_##names <= (size_t)(last); n_##names++) \
        names[n_##names] = name_of((unsigned)n_##names)

static void write_load_balancers(struct scrape *s)
{
    NAMES_OF_STATES(states, LB_DISABLED, load_balancer_state_name);
    exposition_family(&s->format, "penstock_load_balancer_state", METRIC_GAUGE, "1 for the state that a load balancer is in.");
    for (size_t i = 0; i < s->control->config->n_load_balancers; i++) {
        struct load_balancer_record *r;
        const char *name = s->control->config->load_balancers[i].name;
        struct label labels[LABELS_MAX] = { { "load_balancer", name } };
        HASH_FIND_STR(s->control->load_balancers, name, r);
        if (r)
            write_states(s, labels, 1, states, n_states, load_balancer_state_name(r->state));
    }
}

static void write_pool_states(struct scrape *s)
{
    NAMES_OF_STATES(states, POOL_DISABLED, pool_state_name);
    exposition_family(&s->format, "penstock_pool_state", METRIC_GAUGE, "1 for the state that a pool is in.");
    for (size_t i = 0; i < s->control->config->n_pools; i++) {
        struct pool_record *r;
        const char *name = s->control->config->pools[i].name;
        struct label labels[LABELS_MAX] = { { "pool", name } };
        HASH_FIND_STR(s->control->pools, name, r);
        if (r)
            write_states(s, labels, 1, states, n_states, pool_state_name(r->state));
    }
}

static void write_pool_endpoints(struct scrape *s)
{
    static const char *const names[USABILITIES] = { "healthy", "ejected", "unknown", "last_resort", "absent", "never" };

    exposition_family(&s->format, "penstock_pool_endpoints", METRIC_GAUGE, "Endpoints of a pool, by how usable they are.");
    for (size_t i = 0; i < s->control->config->n_pools; i++) {
        const struct pool *p = &s->control->config->pools[i];
        struct pool_census census;
        pool_take_census(p, s->now, &census);
        for (size_t u = 0; u < USABILITIES; u++) {
            const struct label labels[] = { { "pool", p->name }, { "usability", names[u] } };
            exposition_sample(&s->format, labels, COUNT_OF(labels), census.at[u]);
        }
    }
}

/* As many samples as the file has rules and pools. */
static void write_rules(struct scrape *s)
{
    const struct config *config = s->control->config;
    exposition_family(&s->format, "penstock_rule_requests", METRIC_COUNTER, "Requests that a rule decided about.");
    for (size_t i = 0; i < config->n_load_balancers; i++)
        for (size_t k = 0; k < config->load_balancers[i].n_rules; k++) {
            const struct rule *rule = &config->load_balancers[i].rules[k];
            const struct label labels[] = { { "load_balancer", config->load_balancers[i].name }, { "rule", rule->label } };
            exposition_sample(&s->format, labels, COUNT_OF(labels), rule->requests ? (double)tally_sum(rule->requests) : 0);
        }
}

static void write_shed_requests(struct scrape *s)
{
    const struct config *config = s->control->config;
    exposition_family(&s->format, "penstock_pool_shed_requests", METRIC_COUNTER, "Requests that a pool would have had, and shed.");
    for (size_t i = 0; i < config->n_pools; i++) {
        const struct label pool = { "pool", config->pools[i].name };
        exposition_sample(&s->format, &pool, 1, config->pools[i].shed ? (double)tally_sum(config->pools[i].shed) : 0);
    }
}

/* --- endpoints --- */

struct endpoint_view {
    const struct endpoint *endpoint;
    const struct endpoint_record *record;
    struct endpoint_totals totals;
    nsec_t now;
};

static double endpoint_requests(const struct endpoint_view *v)
{
    return (double)v->totals.requests;
}
static double endpoint_failures(const struct endpoint_view *v)
{
    return (double)v->totals.failures;
}
static double endpoint_retries(const struct endpoint_view *v)
{
    return (double)v->totals.retries;
}
static double endpoint_reuse_races(const struct endpoint_view *v)
{
    return (double)v->totals.reuse_races;
}
static double endpoint_bytes_sent(const struct endpoint_view *v)
{
    return (double)v->totals.bytes_sent;
}
static double endpoint_bytes_received(const struct endpoint_view *v)
{
    return (double)v->totals.bytes_received;
}
static double endpoint_in_flight_now(const struct endpoint_view *v)
{
    return (double)v->totals.in_flight;
}
static double endpoint_connections(const struct endpoint_view *v)
{
    return (double)v->totals.connections;
}
static double endpoint_latency(const struct endpoint_view *v)
{
    return atomic_load_explicit(&v->record->live->latency_s, memory_order_relaxed);
}
static double endpoint_probe_latency(const struct endpoint_view *v)
{
    return atomic_load_explicit(&v->record->live->probe_latency_s, memory_order_relaxed);
}
/* Slow start doesn't apply to a pool's last healthy endpoint. */
static double endpoint_weight_now(const struct endpoint_view *v)
{
    struct pool_census census;

    if (!endpoint_is_ramping(v->endpoint, v->now))
        return endpoint_weight(v->endpoint, v->now, false);
    pool_take_census(v->endpoint->pool, v->now, &census);
    return endpoint_weight(v->endpoint, v->now, census.at[USABLE_HEALTHY] >= 2);
}
static double endpoint_is_up(const struct endpoint_view *v)
{
    return v->record->verdict.state == VERDICT_HEALTHY;
}

static const struct endpoint_row {
    const char *name;
    enum metric_type type;
    const char *help;
    double (*read)(const struct endpoint_view *);
} endpoint_rows[] = {
    { "penstock_endpoint_up", METRIC_GAUGE, "1 while an endpoint is healthy.", endpoint_is_up },
    { "penstock_endpoint_weight", METRIC_GAUGE, "Weight in use, after overrides and slow start.", endpoint_weight_now },
    { "penstock_endpoint_in_flight", METRIC_GAUGE, "Requests under way to an endpoint.", endpoint_in_flight_now },
    { "penstock_endpoint_connections_open", METRIC_GAUGE, "Connections open to an endpoint, idle ones included.",
      endpoint_connections },
    { "penstock_endpoint_latency_seconds", METRIC_GAUGE, "Time to first byte of traffic, peak moving average.", endpoint_latency },
    { "penstock_endpoint_probe_latency_seconds", METRIC_GAUGE, "Time to first byte of monitors.", endpoint_probe_latency },
    { "penstock_endpoint_requests", METRIC_COUNTER, "Requests sent to an endpoint.", endpoint_requests },
    { "penstock_endpoint_failures", METRIC_COUNTER, "Failures that count against an endpoint.", endpoint_failures },
    { "penstock_endpoint_retries", METRIC_COUNTER, "Requests moved away from an endpoint that failed.", endpoint_retries },
    { "penstock_endpoint_reuse_races", METRIC_COUNTER, "Kept connections to an endpoint that turned out closed.",
      endpoint_reuse_races },
    { "penstock_endpoint_sent_bytes", METRIC_COUNTER, "Bytes sent to an endpoint.", endpoint_bytes_sent },
    { "penstock_endpoint_received_bytes", METRIC_COUNTER, "Bytes received from an endpoint.", endpoint_bytes_received },
};

/* Calls `write` for every endpoint of the configuration in force, in its order. */
static void for_each_endpoint(struct scrape *s, void (*write)(struct scrape *, const struct endpoint_view *, const void *),
                              const void *arg)
{
    const struct config *config = s->control->config;

    for (size_t i = 0; i < config->n_endpoints; i++) {
        struct endpoint_view v = { .endpoint = config->endpoints[i], .now = s->now };
        v.record = control_find_endpoint(s->control, v.endpoint->id);
        if (!v.record)
            continue;
        totals_endpoint(v.record->live, &v.totals);
        write(s, &v, arg);
    }
}

static void write_endpoint_sample(struct scrape *s, const struct endpoint_view *v, const void *arg)
{
    const struct endpoint_row *row = arg;
    const struct label labels[] = { { "pool", v->endpoint->pool->name }, { "endpoint", v->endpoint->name } };
    exposition_sample(&s->format, labels, COUNT_OF(labels), row->read(v));
}

static void write_endpoint_states(struct scrape *s, const struct endpoint_view *v, const void *arg)
{
    NAMES_OF_STATES(states, VERDICT_DISABLED, verdict_state_name);
    struct label labels[LABELS_MAX] = { { "pool", v->endpoint->pool->name }, { "endpoint", v->endpoint->name } };
    (void)arg;
    write_states(s, labels, 2, states, n_states, verdict_state_name(v->record->verdict.state));
}

static void write_monitor_samples(struct scrape *s, const struct endpoint_view *v, const void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < v->record->evidence.n_monitors; i++) {
        const struct monitor_evidence *m = &v->record->evidence.monitors[i];
        const struct label labels[] = { { "pool", v->endpoint->pool->name },
                                        { "endpoint", v->endpoint->name },
                                        { "monitor", m->name } };
        exposition_sample(&s->format, labels, COUNT_OF(labels), m->health == HEALTH_UNKNOWN ? NAN : m->health == HEALTH_UP);
    }
}

static void write_endpoints(struct scrape *s)
{
    exposition_family(&s->format, "penstock_endpoint_state", METRIC_GAUGE, "1 for the state that an endpoint is in.");
    for_each_endpoint(s, write_endpoint_states, NULL);
    for (size_t i = 0; i < COUNT_OF(endpoint_rows); i++) {
        exposition_family(&s->format, endpoint_rows[i].name, endpoint_rows[i].type, endpoint_rows[i].help);
        for_each_endpoint(s, write_endpoint_sample, &endpoint_rows[i]);
    }
    exposition_family(&s->format, "penstock_monitor_up", METRIC_GAUGE, "1 while a monitor holds an endpoint to be up.");
    for_each_endpoint(s, write_monitor_samples, NULL);
}

/* --- alerts and store --- */

static double channel_backlog(const struct channel_status *c)
{
    return (double)c->backlog;
}
static double channel_closed(const struct channel_status *c)
{
    return c->closed;
}
static double channel_delivered(const struct channel_status *c)
{
    return (double)c->delivered;
}
static double channel_attempts(const struct channel_status *c)
{
    return (double)c->attempts;
}
static double channel_failures(const struct channel_status *c)
{
    return (double)c->failures;
}
static double channel_dropped(const struct channel_status *c)
{
    return (double)c->dropped;
}

static const struct channel_row {
    const char *name;
    enum metric_type type;
    const char *help;
    double (*read)(const struct channel_status *);
} channel_rows[] = {
    { "penstock_alerts_backlog", METRIC_GAUGE, "Alerts waiting for a channel or under way to it.", channel_backlog },
    { "penstock_alerts_channel_closed", METRIC_GAUGE, "1 when the other side said for good that it takes no more alerts.",
      channel_closed },
    { "penstock_alerts_delivered", METRIC_COUNTER, "Alerts delivered.", channel_delivered },
    { "penstock_alerts_attempts", METRIC_COUNTER, "Attempts to deliver an alert.", channel_attempts },
    { "penstock_alerts_failures", METRIC_COUNTER, "Attempts to deliver an alert that failed.", channel_failures },
    { "penstock_alerts_dropped", METRIC_COUNTER, "Alerts given up.", channel_dropped },
};

struct channel_sample {
    struct scrape *scrape;
    const struct channel_row *row;
};

static void write_channel_sample(void *arg, const struct channel_status *c)
{
    const struct channel_sample *x = arg;
    const struct label channel = { "channel", c->name };
    exposition_sample(&x->scrape->format, &channel, 1, x->row->read(c));
}

static void write_channels(struct scrape *s)
{
    for (size_t i = 0; i < COUNT_OF(channel_rows); i++) {
        struct channel_sample x = { s, &channel_rows[i] };
        exposition_family(&s->format, x.row->name, x.row->type, x.row->help);
        dispatcher_each_channel(s->control->dispatcher, write_channel_sample, &x);
    }
}

static void write_store(struct scrape *s)
{
    struct store_status store;

    store_get_status(s->control->store, &store);
    single(s, "penstock_store_events", METRIC_GAUGE, "Events kept in the history.", (double)store.events);
    single(s, "penstock_store_queue", METRIC_GAUGE, "Writes waiting for the disk.", store.queued);
    single(s, "penstock_store_failing", METRIC_GAUGE, "1 while writes fail and are tried again.", store.failing);
    single(s, "penstock_store_lost_writes", METRIC_COUNTER, "Writes lost because too many waited.", (double)store.lost);
}

void metrics_write(struct control *c, bool openmetrics, struct text *out)
{
    struct scrape s = { .control = c, .format = { .out = out, .openmetrics = openmetrics }, .now = clock_monotonic() };

    write_build(&s);
    write_workers(&s);
    write_load_balancers(&s);
    write_pool_states(&s);
    write_pool_endpoints(&s);
    write_shed_requests(&s);
    write_rules(&s);
    write_endpoints(&s);
    metrics_write_tunnels(c, &s.format);
    write_channels(&s);
    write_store(&s);
    write_certificates(&s);
    write_process(&s);
    exposition_end(&s.format);
}
