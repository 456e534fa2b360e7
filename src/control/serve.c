/* From start-up to exit: the daemon as one straight line, then what makes it ready, reload and stop. */
#include "control/control.h"

#include "alerts/dispatcher.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/admin.h"
#include "control/bus.h"
#include "control/certificates.h"
#include "control/edge.h"
#include "control/health.h"
#include "control/notify.h"
#include "control/override.h"
#include "control/places.h"
#include "control/privileges.h"
#include "control/publish.h"
#include "control/records.h"
#include "control/simulator.h"
#include "control/sockets.h"
#include "control/state_dir.h"
#include "control/store.h"
#include "control/tallies.h"
#include "control/threads.h"
#include "control/told.h"
#include "control/tunnels.h"
#include "monitors/scheduler.h"
#include "net/resolver.h"
#include "proxy/access_log.h"
#include "net/peer_count.h"
#include "proxy/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long clients wait for names and, with check_first, for monitors before we listen all the same. */
static const double names_wait_s = 2, checks_wait_s = 30;
static const double look_s = 0.05;
/* A stop is over by then, whatever holds it up. */
static const double stop_margin_s = 5, stop_at_once_s = 1;
static const nsec_t admin_grace = NSEC_PER_SEC;
/* No client's stream is left then: what is, is ours. */
static const nsec_t edge_grace = NSEC_PER_SEC / 2;

enum phase { PHASE_STARTING, PHASE_SERVING, PHASE_DRAINING /* workers finish what they have */, PHASE_CLOSING /* the admin API too */ };

/* The process: what control.h shows of it, and what only this file needs. */
struct daemon {
    struct control control;
    const struct serve_options *options;
    struct config *first; /* until it is published */
    enum phase phase;
    struct state_dir state_dir;
    ev_signal reload, terminate, interrupt, reopen;
    ev_timer look;     /* while we wait to be ready */
    ev_timer overdue;  /* of a stop */
    ev_tstamp began;
    struct outbox outbox;
    struct peer_counts *peer_counts;
};

static bool refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("penstock: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return false;
}

static void print_messages(struct conf_messages *messages)
{
    struct text text = { 0 };
    conf_messages_print(messages, &text);
    if (text.n)
        fputs(text.p, stderr);
    text_clear(&text);
    conf_messages_clear(messages);
}

/* --- stopping --- */

static void on_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    log_error("stop", "workers did not end in time: ending at once");
    _exit(EXIT_FAILURE);
}

static void end_by(struct daemon *d, double seconds)
{
    ev_timer_stop(d->control.loop, &d->overdue);
    ev_timer_set(&d->overdue, seconds, 0.);
    ev_timer_start(d->control.loop, &d->overdue);
}

/* Clients that connect from now on are refused, rather than left waiting for nobody: once each worker, which stops already, has answered
 * this, the sockets close. */
static void stop_listening(struct control *control)
{
    control->listening = false;
    publish_listening(control);
    sockets_commit(control->sockets, control->config, false);
}

/* After the workers, see sockets_new(). */
static unsigned watcher_of_edge(const struct control *control, unsigned worker)
{
    return (unsigned)control->n_workers + worker;
}

static void begin_stop(struct daemon *d)
{
    struct control *control = &d->control;
    const struct timeouts *t = &control->config->timeouts;
    d->phase = PHASE_DRAINING;
    control->stopping = true;
    notify_stopping();
    log_notice("stop", "stopping: requests have %g s to end, upgraded connections %g s", nsec_to_seconds(t->shutdown),
               nsec_to_seconds(t->upgrade_shutdown));
    ev_timer_stop(control->loop, &d->look);
    health_stop(control);
    threads_stop(control->threads, t->shutdown, t->upgrade_shutdown);
    stop_listening(control);
    nsec_t longest = t->shutdown > t->upgrade_shutdown ? t->shutdown : t->upgrade_shutdown;
    end_by(d, nsec_to_seconds(longest) + stop_margin_s);
}

static void hasten_stop(struct daemon *d)
{
    log_notice("stop", "stopping at once");
    threads_stop(d->control.threads, 0, 0);
    end_by(d, stop_at_once_s);
}

static void on_edge_stopped(void *arg, unsigned worker)
{
    struct control *control = arg;
    if (control->threads) /* else it was told while the threads were taken down already */
        threads_quit(control->threads, worker);
}

/* Streams of the last clients may lead over any worker's connections: those of connectors are closed once no worker has a request left. */
static void on_worker_drained(void *arg, unsigned worker, unsigned serving)
{
    struct daemon *d = arg;
    (void)worker;
    for (unsigned i = 0; !serving && i < d->control.n_workers; i++)
        edge_worker_post_stop(d->control.edge_workers[i], edge_grace, on_edge_stopped);
}

static void on_worker_ended(void *arg, unsigned worker, unsigned running)
{
    struct daemon *d = arg;
    sockets_let_go(d->control.sockets, worker);
    sockets_let_go(d->control.sockets, watcher_of_edge(&d->control, worker));
    if (running || d->phase != PHASE_DRAINING)
        return;
    /* The admin API is there to the last. */
    d->phase = PHASE_CLOSING;
    admin_stop(&d->control);
    worker_post_stop(d->control.admin, admin_grace, admin_grace); /* breaks our loop */
    end_by(d, nsec_to_seconds(admin_grace) + stop_margin_s);
}

/* --- signals --- */

static void on_terminate(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop, (void)events;
    struct daemon *d = signal->data;
    if (d->phase < PHASE_DRAINING)
        begin_stop(d);
    else
        hasten_stop(d);
}

static void on_reload(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop, (void)events;
    struct daemon *d = signal->data;
    struct conf_messages messages = { 0 };
    control_reload(&d->control, &messages);
    print_messages(&messages);
}

static void on_reopen(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop, (void)events;
    struct daemon *d = signal->data;
    log_notice("log", "the access log is opened anew");
    log_sink_reopen(d->control.access_log);
}

static void watch_signal(struct daemon *d, ev_signal *watcher, void (*handle)(struct ev_loop *, ev_signal *, int), int number)
{
    ev_signal_init(watcher, handle, number);
    watcher->data = d;
    ev_signal_start(d->control.loop, watcher);
}

static void watch_signals(struct daemon *d)
{
    watch_signal(d, &d->reload, on_reload, SIGHUP);
    watch_signal(d, &d->terminate, on_terminate, SIGTERM);
    watch_signal(d, &d->interrupt, on_terminate, SIGINT);
    watch_signal(d, &d->reopen, on_reopen, SIGUSR1);
}

static void unwatch_signals(struct daemon *d)
{
    ev_signal_stop(d->control.loop, &d->reload);
    ev_signal_stop(d->control.loop, &d->terminate);
    ev_signal_stop(d->control.loop, &d->interrupt);
    ev_signal_stop(d->control.loop, &d->reopen);
    signal(SIGTERM, SIG_IGN); /* what is left takes a moment, and ends by itself */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
}

/* --- becoming ready --- */

static void look_whether_ready(struct daemon *d)
{
    struct control *control = &d->control;
    if (d->phase != PHASE_STARTING || !control->listening || !sockets_are_settled(control->sockets))
        return;
    d->phase = PHASE_SERVING;
    const struct config *config = control->config;
    log_notice("start", "ready: %zu workers, %zu listeners, %zu load balancers, %zu pools, %zu endpoints", control->n_workers, config->n_listeners,
               config->n_load_balancers, config->n_pools, config->n_endpoints);
    notify_ready("serving");
}

static void on_adopted(void *arg, unsigned worker, uint64_t generation)
{
    (void)generation;
    struct control *control = arg;
    if (worker >= control->n_workers)
        return; /* our own, the admin API's */
    sockets_adopted(control->sockets, worker);
    look_whether_ready(CONTAINER_OF(control, struct daemon, control));
}

static void on_edge_listening(void *arg, unsigned worker)
{
    struct control *control = arg;
    edge_adopted(control->edge, worker);
    sockets_adopted(control->sockets, watcher_of_edge(control, worker));
    look_whether_ready(CONTAINER_OF(control, struct daemon, control));
}

static bool may_listen(const struct daemon *d)
{
    ev_tstamp waited = ev_now(d->control.loop) - d->began;
    for (const struct endpoint_record *e = d->control.endpoints; e; e = e->hh.next) {
        if (health_name_is_pending(e) && waited < names_wait_s)
            return false;
        if (d->options->check_first && health_is_pending(e) && waited < checks_wait_s)
            return false;
    }
    return true;
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct daemon *d = timer->data;
    if (!may_listen(d))
        return;
    ev_timer_stop(loop, timer);
    d->control.listening = true;
    publish_listening(&d->control);
}

static void wait_to_be_ready(struct daemon *d)
{
    d->began = ev_now(d->control.loop);
    ev_timer_init(&d->look, on_look, 0., look_s);
    d->look.data = d;
    ev_timer_start(d->control.loop, &d->look);
    if (!d->options->check_first)
        return;
    log_notice("start", "each monitor looks at its endpoints before clients are let in");
    for (const struct endpoint_record *e = d->control.endpoints; e; e = e->hh.next)
        scheduler_hurry(d->control.scheduler, e->id);
}

/* --- starting --- */

static struct config *load(const char *path)
{
    struct conf_messages messages = { 0 };
    struct config *config = conf_load(path, &messages);
    print_messages(&messages);
    return config;
}

static bool open_sockets(struct control *control, const struct config *config)
{
    struct conf_messages messages = { 0 };
    control->sockets = sockets_new(config->workers, 2 * config->workers); /* and as many of the edge */
    bool opened = sockets_prepare(control->sockets, config, &messages);
    print_messages(&messages);
    return opened;
}

/* What takes root's rights, and giving them up. */
static bool take_hold(struct daemon *d, const struct config *config)
{
    char error[STATE_DIR_ERROR_SIZE];
    if (!state_dir_open(&d->state_dir, d->options->state_dir, config, error))
        return refuse("%s", error);
    d->control.state_dir = d->state_dir.path;
    if (!open_sockets(&d->control, config))
        return false;
    if (config->user && !privileges_drop(config->user, error))
        return refuse("%s", error);
    return true;
}

static bool open_store(struct control *control, const struct config *config)
{
    char error[STORE_ERROR_SIZE];
    control->store = store_open(control->loop, &(struct store_options){ .directory = control->state_dir }, error);
    if (!control->store && config->user)
        return refuse("%s (the state directory and what is in it must belong to user \"%s\")", error, config->user);
    return control->store || refuse("%s", error);
}

static bool open_access_log(struct control *control, const struct config *config)
{
    char error[256];
    control->access_log = log_sink_new(&config->access_log, error);
    return control->access_log || refuse("%s", error);
}

static bool open_resolver(struct control *control, const struct config *config)
{
    char error[RESOLVER_ERROR_SIZE];
    control->resolver = resolver_new(control->loop, &(struct resolver_options){ .servers = config->resolver_servers }, error);
    return control->resolver || refuse("can't start the resolver: %s", error);
}

static void on_forget(void *store, uint64_t sequence, const char *channel)
{
    store_forget_delivery(store, sequence, channel);
}

static void make_messengers(struct daemon *d)
{
    struct control *control = &d->control;
    control->bus = bus_new(control->store);
    d->outbox = (struct outbox){ on_forget, control->store };
    control->dispatcher = dispatcher_new(control->loop, &d->outbox);
    bus_set_dispatcher(control->bus, control->dispatcher);
}

static bool start_workers(struct daemon *d, const struct config *config)
{
    struct control *control = &d->control;
    char error[128];
    d->peer_counts = peer_counts_new();
    struct threads_options options = {
        .n = config->workers,
        .worker = { .epoch = &control->epoch, .access_log = control->access_log, .peer_counts = d->peer_counts,
                    .geoip = places_slot(control->places), .control = &control->mailbox, .notice = health_take_notice, .adopted = on_adopted, .arg = control },
        .edge = control->edge,
        .edge_workers = edge_workers(control->edge),
        .control = &control->mailbox,
        .drained = on_worker_drained,
        .ended = on_worker_ended,
        .arg = d,
    };
    control->threads = threads_start(&options, error);
    if (!control->threads)
        return refuse("%s", error);
    control->n_workers = config->workers;
    control->edge_workers = edge_workers(control->edge);
    control->workers = mem_array(control->n_workers, sizeof(struct worker *));
    for (unsigned i = 0; i < control->n_workers; i++)
        control->workers[i] = threads_worker(control->threads, i);
    return true;
}

static bool start_admin(struct daemon *d)
{
    struct control *control = &d->control;
    struct worker_options options = { .index = (unsigned)control->n_workers, .epoch = &control->epoch, .control = &control->mailbox, .notice = health_take_notice, .adopted = on_adopted, .arg = control };
    control->admin = worker_new(control->loop, &options);
    return control->admin || refuse("out of memory");
}

static void take_undelivered(void *dispatcher, const char *channel, struct event *event)
{
    dispatcher_deliver(dispatcher, channel, event);
}

static bool open_edge(struct daemon *d, const struct config *config)
{
    struct control *control = &d->control;
    char error[256];
    control->registry = tunnels_new(control);
    control->edge = edge_new(control, config->workers, on_edge_listening);
    return tunnels_load(control->registry, error) || refuse("%s", error);
}

/* With the tunnels that had joined its pools before. */
static bool publish_first(struct daemon *d)
{
    struct control *control = &d->control;
    struct conf_messages messages = { 0 };
    tunnels_set_config(control->registry, d->first);
    struct config *config = d->first = tunnels_join(control->registry, d->first, &messages);
    bool good = config && edge_prepare(control->edge, config, &messages);
    print_messages(&messages);
    if (!good)
        return false;
    d->first = NULL;
    publish(control, config);
    return true;
}

static void on_line_looked(void *arg, const char *tunnel, uint64_t line, const char *monitor, bool pass, const char *detail)
{
    struct control *control = arg;
    tunnels_note_probe(control->registry, tunnel, line, monitor, pass, detail);
}

static void on_line_turned(void *arg, const char *tunnel, uint64_t line, bool sick, const char *detail)
{
    struct control *control = arg;
    tunnels_set_sick(control->registry, tunnel, line, sick, detail);
}

static bool start(struct daemon *d)
{
    static const struct scheduler_callbacks callbacks = { publish_run_probe, health_take_evidence, on_line_looked, on_line_turned };
    struct control *control = &d->control;
    const struct config *config = d->first;
    if (!take_hold(d, config) || !open_store(control, config) || !open_access_log(control, config) || !open_resolver(control, config))
        return false;
    told_load(control);
    make_messengers(d);
    control->places = places_new(control);
    if (!open_edge(d, config) || !start_workers(d, config) || !start_admin(d))
        return false;
    control->scheduler = scheduler_new(control->loop, &callbacks, control);
    control->certificates = certificates_new(control);
    admin_start(control);
    override_load(control);
    if (!publish_first(d))
        return false;
    store_each_undelivered(control->store, take_undelivered, control->dispatcher);
    watch_signals(d);
    wait_to_be_ready(d);
    return true;
}

/* --- the whole --- */

static struct daemon *daemon_new(const struct serve_options *options, struct config *first)
{
    struct daemon *d = mem_zero(sizeof *d);
    struct control *control = &d->control;
    d->options = options;
    d->first = first;
    d->state_dir.lock = -1;
    control->loop = ev_loop_new(EVFLAG_AUTO);
    control->config_path = options->config_path;
    control->started = clock_wall();
    mailbox_init(&control->mailbox, control->loop, control);
    health_init(control);
    ev_timer_init(&d->look, on_look, 0., 0.);
    ev_timer_init(&d->overdue, on_overdue, 0., 0.);
    return d;
}

/* In the opposite order of the start; all of it may be missing. */
static void daemon_free(struct daemon *d)
{
    struct control *control = &d->control;
    control->stopping = true;
    unwatch_signals(d);
    ev_timer_stop(control->loop, &d->look);
    ev_timer_stop(control->loop, &d->overdue);
    if (control->threads)
        threads_stop(control->threads, 0, 0); /* where the start failed; the others have ended */
    threads_join(control->threads);
    ev_run(control->loop, EVRUN_NOWAIT); /* what they posted */
    threads_free(control->threads);
    control->threads = NULL;
    control->edge_workers = NULL; /* freed with them */
    if (control->admin)
        worker_free(control->admin);
    if (d->peer_counts)
        peer_counts_free(d->peer_counts);
    simulator_free(control->simulator);
    mailbox_clear(&control->mailbox); /* the last probes come back */
    if (control->scheduler)
        scheduler_free(control->scheduler);
    tunnels_free(control->registry);
    edge_free(control->edge);
    records_clear(control);
    tallies_clear(control);
    told_clear(control);
    certificates_free(control->certificates);
    places_free(control->places);
    if (control->resolver)
        resolver_free(control->resolver);
    log_sink_free(control->access_log);
    if (control->dispatcher) {
        bus_set_dispatcher(control->bus, NULL);
        dispatcher_free(control->dispatcher);
    }
    if (control->store)
        store_close(control->store);
    if (control->bus)
        bus_free(control->bus);
    override_clear(control);
    sockets_free(control->sockets);
    state_dir_close(&d->state_dir);
    config_unref(control->config);
    config_unref(d->first);
    free(control->workers);
    ev_loop_destroy(control->loop);
    free(d);
}

int control_serve(const struct serve_options *options)
{
    int status = EXIT_FAILURE;
    signal(SIGPIPE, SIG_IGN);
    privileges_limits(); /* before there is a secret in memory */
    struct config *config = load(options->config_path);
    if (!config)
        return status;
    struct daemon *d = daemon_new(options, config);
    if (start(d)) {
        ev_run(d->control.loop, 0);
        log_notice("stop", "stopped");
        status = EXIT_SUCCESS;
    }
    daemon_free(d);
    return status;
}
