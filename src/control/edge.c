#include "control/edge.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/certificates.h"
#include "control/edge_certificate.h"
#include "control/publish.h"
#include "control/sockets.h"
#include "control/tunnels.h"
#include "net/tls.h"

#include <stdio.h>

static const double day_s = 24 * 60 * 60;

/* Workers may still use it until each has adopted the post of that number. */
struct former {
    struct list link;
    struct tls_server *server; /* NULL: only the policy */
    struct config *config;     /* whose policy they chose by; one reference */
    uint64_t until;
};

struct edge {
    struct control *control;
    unsigned n;
    struct edge_worker_options *options;
    struct edge_worker **workers;
    struct tls_server *server, *prepared;
    struct edge_certificate files, prepared_files; /* of the certificates of these */
    struct config *config;           /* whose policy the workers have; one reference */
    struct list formers;
    uint64_t posts, *adopted;
    ev_timer daily;
    nsec_t (*wall)(void);            /* tests script it */
};

/* --- the certificate --- */

static bool fail(struct conf_messages *messages, const struct config *config, const char *why)
{
    conf_messages_add(messages, CONF_ERROR, &(struct source){ config->file, 0 }, "%s", why);
    return false;
}

static bool find_files(const struct edge *e, const struct edge_conf *conf, struct edge_certificate *out, char error[256])
{
    if (!conf->cert && !e->control->state_dir) {
        snprintf(error, 256, "%s", "the edge's certificate can't be kept without a state directory: give --state-dir, or edge.cert, "
                                   "edge.key and edge.ca_file");
        return false;
    }
    if (!conf->cert)
        return edge_certificate_ready(e->control->state_dir, e->wall() / NSEC_PER_SEC, out, error);
    snprintf(out->ca, sizeof out->ca, "%s", conf->ca ? conf->ca : conf->cert);
    snprintf(out->cert, sizeof out->cert, "%s", conf->cert);
    snprintf(out->key, sizeof out->key, "%s", conf->key);
    return true;
}

/* Connectors offer no ALPN and no certificate. */
static struct tls_server *make_server(const struct edge_certificate *files, char error[TLS_ERROR_SIZE])
{
    struct tls_certificate_files certificate = { files->cert, files->key };
    struct tls_server_options options = { .certificates = &certificate, .n_certificates = 1, .min_version = TLS1_2_VERSION };
    return tls_server_new(&options, error);
}

static struct tls_server *open_server(const struct edge *e, const struct edge_conf *conf, struct edge_certificate *files,
                                      char error[TLS_ERROR_SIZE])
{
    error[0] = '\0';
    return find_files(e, conf, files, error) ? make_server(files, error) : NULL;
}

void edge_abandon(struct edge *e)
{
    tls_server_free(e->prepared);
    e->prepared = NULL;
}

bool edge_prepare(struct edge *e, const struct config *config, struct conf_messages *messages)
{
    char error[TLS_ERROR_SIZE];
    struct edge_certificate files = { .not_after = 0 };
    edge_abandon(e);
    if (config->edge.addresses.n == 0)
        return true;
    e->prepared = open_server(e, &config->edge, &files, error);
    if (!e->prepared)
        return fail(messages, config, error);
    if (error[0])
        conf_messages_add(messages, CONF_WARNING, &(struct source){ config->file, 0 }, "%s", error);
    files.not_after = tls_server_not_after(e->prepared);
    e->prepared_files = files;
    return true;
}

time_t edge_certificate_end(const struct edge *e)
{
    return e->server ? e->files.not_after : 0;
}

const char *edge_ca_file(const struct edge *e)
{
    return e->server ? e->files.ca : NULL;
}

/* --- what the workers hold --- */

static void give_up(struct edge *e, struct tls_server *server, struct config *config)
{
    if (!server && !config)
        return;
    struct former *f = mem_zero(sizeof *f);
    *f = (struct former){ .server = server, .config = config, .until = e->posts };
    list_init(&f->link);
    list_push_back(&e->formers, &f->link);
}

static void former_free(struct former *f)
{
    list_remove(&f->link);
    tls_server_free(f->server);
    config_unref(f->config);
    free(f);
}

void edge_adopted(struct edge *e, unsigned worker)
{
    uint64_t least = ++e->adopted[worker];
    for (unsigned i = 0; i < e->n; i++)
        least = e->adopted[i] < least ? e->adopted[i] : least;
    LIST_FOR_EACH(node, &e->formers) {
        struct former *f = CONTAINER_OF(node, struct former, link);
        if (f->until <= least)
            former_free(f);
    }
}

static void post_to(const struct edge *e, unsigned worker)
{
    const struct config *config = e->control->config;
    int *fds = mem_array(config->edge.addresses.n + 1, sizeof *fds);
    size_t n = e->server && !e->control->stopping ? config->edge.addresses.n : 0;
    if (n)
        sockets_of_edge(e->control->sockets, config, worker, fds);
    if (config->edge.replica_steering.policy)
        edge_worker_post_steering(e->workers[worker], config->edge.replica_steering.policy, config->edge.replica_steering.config);
    edge_worker_post_listen(e->workers[worker], fds, n, e->server);
    free(fds);
}

/* Without addresses there are no connectors, and what is left of them uses neither. */
static void take_prepared(struct edge *e, struct tls_server **former)
{
    bool wanted = e->control->config->edge.addresses.n > 0;
    *former = NULL;
    if (!e->prepared && wanted)
        return;
    *former = e->server;
    e->server = e->prepared;
    e->files = e->prepared_files;
    e->prepared = NULL;
}

void edge_post(struct edge *e)
{
    struct tls_server *server;
    struct config *config = e->config;
    take_prepared(e, &server);
    e->config = config_ref(e->control->config);
    e->posts++;
    for (unsigned i = 0; i < e->n; i++)
        post_to(e, i);
    give_up(e, server, config);
}

/* --- renewal --- */

static void renew(struct edge *e)
{
    char error[TLS_ERROR_SIZE];
    struct edge_certificate files = { .not_after = 0 };
    const struct edge_conf *conf = &e->control->config->edge;
    if (!e->server || conf->cert || e->control->stopping)
        return;
    e->prepared = open_server(e, conf, &files, error);
    if (!e->prepared) {
        log_error("edge", "the edge's certificate can't be renewed: %s", error);
        return;
    }
    files.not_after = tls_server_not_after(e->prepared);
    if (files.not_after == e->files.not_after) {
        edge_abandon(e);
        return;
    }
    e->prepared_files = files;
    publish_listening(e->control); /* to all: who has adopted what is counted for all together */
    certificates_look(e->control->certificates);
}

static void on_day(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    renew(timer->data);
}

/* --- life --- */

static void set_options(struct edge *e, void (*listening)(void *control, unsigned worker))
{
    for (unsigned i = 0; i < e->n; i++)
        e->options[i] = (struct edge_worker_options){
            .index = i,
            .n_workers = e->n,
            .workers = e->workers,
            .epoch = &e->control->epoch,
            .control = &e->control->mailbox,
            .arg = e->control,
            .registered = tunnels_on_registered,
            .line_changed = tunnels_on_line_changed,
            .local_configuration = tunnels_on_local_configuration,
            .pushed = tunnels_on_pushed,
            .listening = listening,
        };
}

struct edge *edge_new(struct control *control, unsigned workers, void (*listening)(void *control, unsigned worker))
{
    struct edge *e = mem_zero(sizeof *e);
    e->control = control;
    e->n = workers;
    e->options = mem_array(workers, sizeof *e->options);
    e->workers = mem_array(workers, sizeof(struct edge_worker *));
    e->adopted = mem_array(workers, sizeof *e->adopted);
    list_init(&e->formers);
    set_options(e, listening);
    e->daily.data = e;
    ev_init(&e->daily, on_day);
    edge_set_time(e, clock_wall, day_s);
    return e;
}

void edge_set_time(struct edge *e, nsec_t (*wall)(void), double every_s)
{
    e->wall = wall;
    ev_timer_stop(e->control->loop, &e->daily);
    ev_timer_set(&e->daily, every_s, every_s);
    ev_timer_start(e->control->loop, &e->daily);
}

void edge_free(struct edge *e)
{
    if (!e)
        return;
    ev_timer_stop(e->control->loop, &e->daily);
    LIST_FOR_EACH(node, &e->formers)
        former_free(CONTAINER_OF(node, struct former, link));
    tls_server_free(e->prepared);
    tls_server_free(e->server);
    config_unref(e->config);
    free(e->options);
    free(e->workers);
    free(e->adopted);
    free(e);
}

const struct edge_worker_options *edge_options(const struct edge *e, unsigned worker)
{
    return &e->options[worker];
}

struct edge_worker **edge_workers(struct edge *e)
{
    return e->workers;
}
