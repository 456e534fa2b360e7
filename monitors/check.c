#include "monitors/check.h"

#include "base/log.h"
#include "balance/pool_map.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct check {
    struct config *config;
    const struct endpoint *endpoint;
    const struct monitor *monitor;
    check_run *run;
    void *run_arg;
    check_done *done; /* NULL: abandoned */
    void *arg;
    uint64_t line;
    unsigned attempts, redirects;
    nsec_t spent; /* of this attempt's timeout, by the probes before the one that is out */
};

static void check_free(struct check *check)
{
    config_unref(check->config);
    free(check);
}

static const char *first_plain_hostname(const struct load_balancer *lb)
{
    for (size_t i = 0; i < lb->hostnames.n; i++)
        if (!strchr(lb->hostnames.items[i], '*'))
            return lb->hostnames.items[i];
    return NULL;
}

static const char *hostname_of_traffic(const struct config *config, const struct pool *pool)
{
    for (size_t i = 0; i < config->n_load_balancers; i++) {
        const struct load_balancer *lb = &config->load_balancers[i];
        const char *name = load_balancer_uses_pool(lb, pool) ? first_plain_hostname(lb) : NULL;
        if (name)
            return name;
    }
    return NULL;
}

static const char *host_header_of(const struct monitor *monitor)
{
    for (size_t i = 0; i < monitor->n_headers; i++)
        if (strcasecmp(monitor->headers[i].name, "Host") == 0)
            return monitor->headers[i].value;
    return NULL;
}

/* For endpoints without a Host of their own: the monitor's, else what traffic would bring, else the address itself. */
static const char *host_of_probe(const struct check *check)
{
    const char *host = host_header_of(check->monitor);
    if (!host)
        host = hostname_of_traffic(check->config, check->endpoint->pool);
    if (!host)
        host = check->endpoint->dial_host;
    return host ? host : "localhost";
}

static void on_probe_done(struct probe *probe, void *arg);

/* Takes over `path`; NULL: the monitor's. */
static void send_probe(struct check *check, char *path)
{
    struct probe *probe = probe_new(check->config, check->endpoint);

    check->monitor->type->prepare(check->monitor, probe);
    if (path) {
        free(probe->path);
        probe->path = path;
    }
    snprintf(probe->host, sizeof probe->host, "%s", host_of_probe(check));
    probe->line = check->line;
    probe->timeout = check->monitor->timeout - check->spent;
    probe->done = on_probe_done;
    probe->arg = check;
    check->run(check->run_arg, probe);
}

static char *next_path(struct check *check, const struct probe *probe)
{
    const struct monitor_type *type = check->monitor->type;

    check->spent += probe->result.total;
    if (!type->follow || check->redirects >= CHECK_REDIRECTS_MAX || check->spent >= check->monitor->timeout)
        return NULL;
    check->redirects++;
    return type->follow(check->monitor, probe);
}

static void attempt(struct check *check)
{
    check->attempts++;
    check->redirects = 0;
    check->spent = 0;
    send_probe(check, NULL);
}

static void finish(struct check *check, const struct probe *probe)
{
    struct judgement judgement;

    check->monitor->type->judge(check->monitor, probe, &judgement);
    trace(TRACE_HEALTH, "%s: monitor %s: %s: %s", check->endpoint->id, check->monitor->name, judgement.pass ? "pass" : diagnosis_code(judgement.diagnosis),
          judgement.detail);
    check->done(check->arg, &judgement, probe);
    check_free(check);
}

static void on_probe_done(struct probe *probe, void *arg)
{
    struct check *check = arg;
    char *path;

    if (!check->done)
        check_free(check);
    else if (probe->result.reason != REASON_NONE && check->attempts <= check->monitor->retries)
        attempt(check);
    else if ((path = next_path(check, probe)))
        send_probe(check, path);
    else
        finish(check, probe);
    probe_free(probe);
}

struct check *check_start(struct config *config, const struct endpoint *endpoint, const struct monitor *monitor, uint64_t line, check_run *run,
                          void *run_arg, check_done *done, void *arg)
{
    struct check *check = mem_alloc(sizeof *check);

    *check = (struct check){
        .config = config_ref(config), .endpoint = endpoint, .monitor = monitor, .line = line, .run = run, .run_arg = run_arg, .done = done, .arg = arg,
    };
    attempt(check);
    return check;
}

void check_abandon(struct check *check)
{
    check->done = NULL;
}
