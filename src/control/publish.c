#include "control/publish.h"

#include "alerts/dispatcher.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/admin.h"
#include "control/bus.h"
#include "control/certificates.h"
#include "control/edge.h"
#include "control/health.h"
#include "control/places.h"
#include "control/records.h"
#include "control/session_keys.h"
#include "control/sockets.h"
#include "control/tallies.h"
#include "control/tunnels.h"
#include "monitors/scheduler.h"
#include "proxy/worker.h"

#include <limits.h>

/* A worker that is not to listen (yet, or any more) gets no sockets. */
static void fill_fds(const struct control *control, unsigned worker, int *fds)
{
    const struct config *config = control->config;
    for (size_t i = 0; i < config->n_listeners; i++)
        fds[i] = -1;
    if (control->listening)
        sockets_of_worker(control->sockets, config, worker, fds);
}

void publish_listening(struct control *control)
{
    int *fds = mem_array(control->config->n_listeners + 1, sizeof *fds);
    for (unsigned i = 0; i < control->n_workers; i++) {
        fill_fds(control, i, fds);
        worker_post_config(control->workers[i], config_ref(control->config), fds);
    }
    edge_post(control->edge);
    sockets_posted(control->sockets);
    free(fds);
}

static void serve_admin(struct control *control)
{
    int fds[SOCKETS_ADMIN_MAX];
    size_t n = sockets_of_admin(control->sockets, control->config, fds);
    worker_serve_local(control->admin, fds, n, admin_handle, control, config_ref(control->config));
}

void publish(struct control *control, struct config *config)
{
    struct config *former = control->config;
    config->generation = ++control->generation;
    tunnels_set_config(control->registry, config);
    tunnels_attach(control->registry, config);
    records_attach(control, config);
    tallies_attach(control, config);
    session_keys_complete(control, config);
    places_set_config(control->places, config);
    control->config = config;
    bus_set_config(control->bus, config);
    dispatcher_set_config(control->dispatcher, config);
    scheduler_set_config(control->scheduler, config);
    records_follow(control, config);
    /* Before the workers see it, so that their first choice knows what we know. */
    health_judge_all(control);
    publish_listening(control);
    serve_admin(control);
    sockets_commit(control->sockets, config, true);
    certificates_look(control->certificates);
    balance_epoch_move(&control->epoch);
    config_unref(former);
}

static void on_refused(struct message *message, void *control)
{
    (void)control;
    struct probe *probe = CONTAINER_OF(message, struct probe, message);
    probe->result.reason = REASON_SHUTDOWN;
    probe->done(probe, probe->arg);
}

/* The worker that owns the probe's connection; UINT_MAX: it is gone. */
static unsigned owner_of(const struct probe *probe)
{
    unsigned owner = UINT_MAX;
    if (!probe->endpoint->edge_tunnel)
        return owner;
    struct tunnel_view *view = tunnel_get_view(probe->endpoint->edge_tunnel);
    for (size_t i = 0; i < view->n_lines; i++)
        if (view->lines[i]->id == probe->line)
            owner = atomic_load_explicit(&view->lines[i]->worker, memory_order_relaxed);
    tunnel_view_unref(view);
    return owner;
}

void publish_run_probe(void *arg, struct probe *probe)
{
    struct control *control = arg;
    unsigned on;
    if (control->stopping) {
        probe->message.handle = on_refused;
        mailbox_post(&control->mailbox, &probe->message);
        return;
    }
    if (probe->line && (on = owner_of(probe)) < control->n_workers) {
        worker_post_probe(control->workers[on], probe);
        return;
    }
    worker_post_probe(control->workers[control->next_worker], probe);
    control->next_worker = (control->next_worker + 1) % (unsigned)control->n_workers;
}
