#include "proxy/worker.h"

#include "base/log.h"
#include "base/mem.h"
#include "proxy/client.h"
#include "proxy/core.h"
#include "proxy/exchange.h"
#include "proxy/explain.h"
#include "proxy/notice.h"
#include "proxy/probe_client.h"
#include "proxy/remembered.h"
#include "proxy/upstream.h"

#include <errno.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_EVENT = 32,
    SOON_PER_TURN = 1024,
    BUFFERS_KEPT = 256,
    OBJECTS_KEPT = 4096,
    HEADS_KEPT = 256,
};
/* How long a listener rests when descriptors or memory are out: accepting goes on by itself once some are free. */
#define ACCEPT_REST (100 * NSEC_PER_MSEC)
#define COMPLAINT_INTERVAL (10 * NSEC_PER_SEC)

/* --- listeners --- */

void listener_unref(struct worker_listener *l)
{
    if (--l->refs)
        return;
    free(l->address);
    free(l);
}

static void listener_close(struct worker_listener *l)
{
    ev_io_stop(l->worker->loop, &l->io);
    list_remove(&l->link);
    listener_unref(l);
}

static bool out_of_something(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void rest(struct worker *w)
{
    LIST_FOR_EACH(node, &w->listeners)
        ev_io_stop(w->loop, &CONTAINER_OF(node, struct worker_listener, link)->io);
    timer_arm(&w->timers, &w->accept_timer, ACCEPT_REST);
}

static void on_accept_timer(struct timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, accept_timer);
    LIST_FOR_EACH(node, &w->listeners)
        ev_io_start(w->loop, &CONTAINER_OF(node, struct worker_listener, link)->io);
}

static void say_out_of_something(struct worker *w, const struct worker_listener *l, int error)
{
    if (w->accept_complained && worker_now(w) - w->accept_complained < COMPLAINT_INTERVAL)
        return;
    w->accept_complained = worker_now(w);
    log_warning("listener", "%s: can't accept: %s; raise the limit on open files (LimitNOFILE=)", l->address, strerror(error));
}

static void on_acceptable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    struct worker_listener *l = CONTAINER_OF(io, struct worker_listener, io);
    struct worker *w = l->worker;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage peer = { 0 };
        socklen_t length = sizeof peer;
        int fd = accept4(io->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            client_accept(l, fd, &peer);
            continue;
        }
        if (out_of_something(errno)) {
            say_out_of_something(w, l, errno);
            counter_add(&w->counters.connections_refused, 1);
            rest(w);
        }
        return;
    }
}

static struct worker_listener *listener_by_fd(struct worker *w, int fd)
{
    LIST_FOR_EACH(node, &w->listeners)
    {
        struct worker_listener *l = CONTAINER_OF(node, struct worker_listener, link);
        if (l->io.fd == fd)
            return l;
    }
    return NULL;
}

static bool is_unix_socket(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t length = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 && address.ss_family == AF_UNIX;
}

static struct worker_listener *listener_add(struct worker *w, int fd, const char *address)
{
    struct worker_listener *l = mem_zero(sizeof *l);
    l->worker = w;
    l->refs = 1;
    l->address = mem_copy_text(address);
    l->is_unix = is_unix_socket(fd);
    ev_io_init(&l->io, on_acceptable, fd, EV_READ);
    ev_io_start(w->loop, &l->io);
    list_push_back(&w->listeners, &l->link);
    return l;
}

/* Listeners stay as long as their socket is among those given. */
static void set_listeners(struct worker *w, const struct config *config, const int *fds, size_t n)
{
    struct list kept;
    list_init(&kept);
    for (size_t i = 0; i < n; i++) {
        const char *address = w->local ? "admin" : config->listeners[i].address;
        struct worker_listener *l = fds[i] < 0 ? NULL : listener_by_fd(w, fds[i]);
        if (fds[i] < 0)
            continue;
        if (!l)
            l = listener_add(w, fds[i], address);
        l->tls = w->local ? NULL : config->listeners[i].tls_server;
        list_remove(&l->link);
        list_push_back(&kept, &l->link);
    }
    LIST_FOR_EACH(node, &w->listeners)
        listener_close(CONTAINER_OF(node, struct worker_listener, link));
    list_append_all(&w->listeners, &kept);
}

/* --- configurations --- */

static void adopt(struct worker *w, struct config *config, const int *fds, size_t n)
{
    struct snapshot *old = w->snapshot, *new = snapshot_new(w, config, old);
    if (!new) {
        log_error("reload", "out of memory: a worker keeps its former configuration");
        config_unref(config);
        return;
    }
    w->snapshot = new;
    w->log = config->access_log.path ? w->lines : NULL;
    if (w->lines)
        log_lines_set_format(w->lines, config->access_log.format);
    remembered_resize(w->remembered, w->local ? 0 : config->explain_requests);
    set_listeners(w, config, fds, n);
    if (old)
        snapshot_unref(old);
    notice_post_adopted(w, config->generation);
}

struct config_message {
    struct message message;
    struct config *config;
    size_t n;
    int fds[];
};

static void handle_config(struct message *m, void *owner)
{
    struct config_message *c = CONTAINER_OF(m, struct config_message, message);
    struct worker *w = owner;
    timers_refresh(&w->timers);
    if (w->stopping) {
        notice_post_adopted(w, c->config->generation); /* it watches no socket any more */
        config_unref(c->config);
    } else {
        adopt(w, c->config, c->fds, c->n);
    }
    free(c);
}

void worker_post_config(struct worker *w, struct config *config, const int *fds)
{
    size_t n = config->n_listeners;
    struct config_message *m = mem_zero(sizeof *m + n * sizeof *fds);
    m->message.handle = handle_config;
    list_init(&m->message.link);
    m->config = config;
    m->n = n;
    memcpy(m->fds, fds, n * sizeof *fds);
    mailbox_post(&w->mailbox, &m->message);
}

void worker_serve_local(struct worker *w, const int *fds, size_t n, local_handler *handler, void *arg, struct config *config)
{
    w->local = handler;
    w->local_arg = arg;
    timers_refresh(&w->timers);
    adopt(w, config, fds, n);
}

/* --- stopping --- */

void worker_check_stopped(struct worker *w)
{
    if (w->stopping && list_empty(&w->clients) && list_empty(&w->exchanges))
        ev_break(w->loop, EVBREAK_ALL);
}

static void cut_exchanges(struct worker *w, bool upgraded_too)
{
    LIST_FOR_EACH(node, &w->exchanges)
    {
        struct exchange *ex = CONTAINER_OF(node, struct exchange, link);
        if (upgraded_too || ex->state != EXCHANGE_RAW)
            exchange_cut(ex, REASON_SHUTDOWN);
    }
}

/* Those that are left have an upgraded connection, or none at all. */
static void cut_clients(struct worker *w)
{
    LIST_FOR_EACH(node, &w->clients)
        client_cut(client_of_link(node));
}

/* Nobody waits for their results any more. */
static void cut_probes(struct worker *w)
{
    LIST_FOR_EACH(node, &w->exchanges)
    {
        struct exchange *ex = CONTAINER_OF(node, struct exchange, link);
        if (ex->only)
            exchange_cut(ex, REASON_SHUTDOWN);
    }
}

static void on_stop_timer(struct timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, stop_timer);
    nsec_t now = worker_now(w);
    cut_exchanges(w, now >= w->cut_at);
    cut_clients(w);
    if (now < w->cut_at)
        timer_arm_at(&w->timers, &w->stop_timer, w->cut_at);
    worker_check_stopped(w);
}

struct stop_message {
    struct message message;
    nsec_t grace, upgrade_grace;
};

static void begin_to_stop(struct worker *w)
{
    w->stopping = true;
    timer_disarm(&w->timers, &w->accept_timer);
    LIST_FOR_EACH(node, &w->listeners)
    {
        struct worker_listener *l = CONTAINER_OF(node, struct worker_listener, link);
        on_acceptable(w->loop, &l->io, EV_READ); /* whoever the kernel let in already */
        listener_close(l);
    }
    LIST_FOR_EACH(node, &w->clients)
        client_stop(client_of_link(node));
    cut_probes(w);
    if (!w->snapshot)
        return;
    for (size_t i = 0; i < w->snapshot->config->n_endpoints; i++)
        upstream_pool_close_idle(w->snapshot->upstreams[i]);
}

static void stop(struct worker *w, nsec_t grace, nsec_t upgrade_grace)
{
    timers_refresh(&w->timers);
    if (!w->stopping)
        begin_to_stop(w);
    w->stop_at = worker_now(w) + grace;
    w->cut_at = worker_now(w) + (upgrade_grace > grace ? upgrade_grace : grace);
    timer_disarm(&w->timers, &w->stop_timer);
    timer_arm_at(&w->timers, &w->stop_timer, w->stop_at);
    worker_check_stopped(w);
}

static void handle_stop(struct message *m, void *owner)
{
    struct stop_message *s = CONTAINER_OF(m, struct stop_message, message);
    stop(owner, s->grace, s->upgrade_grace);
    free(s);
}

void worker_post_stop(struct worker *w, nsec_t grace, nsec_t upgrade_grace)
{
    struct stop_message *s = mem_zero(sizeof *s);
    *s = (struct stop_message){ .message.handle = handle_stop, .grace = grace, .upgrade_grace = upgrade_grace };
    list_init(&s->message.link);
    mailbox_post(&w->mailbox, &s->message);
}

/* --- probes --- */

static void handle_probe(struct message *m, void *owner)
{
    struct worker *w = owner;
    timers_refresh(&w->timers);
    probe_client_start(w, CONTAINER_OF(m, struct probe, message));
}

void worker_post_probe(struct worker *w, struct probe *probe)
{
    probe->message.handle = handle_probe;
    mailbox_post(&w->mailbox, &probe->message);
}

/* --- explanations --- */

static void explained(struct message *m, void *owner)
{
    (void)owner;
    struct explanation *x = CONTAINER_OF(m, struct explanation, message);
    x->done(x, x->arg);
}

static void handle_explanation(struct message *m, void *owner)
{
    struct worker *w = owner;
    struct explanation *x = CONTAINER_OF(m, struct explanation, message);
    timers_refresh(&w->timers);
    if (w->snapshot && !w->stopping)
        explain(w, x);
    x->message.handle = explained;
    mailbox_post(w->options.control, &x->message);
}

void worker_post_explanation(struct worker *w, struct explanation *x)
{
    list_init(&x->message.link);
    x->message.handle = handle_explanation;
    mailbox_post(&w->mailbox, &x->message);
}

/* --- the queue for endpoints at their max_in_flight --- */

void worker_wake_queue(struct worker *w)
{
    if (!list_empty(&w->queue))
        worker_soon(w, &w->queue_soon);
}

/* Everybody in turn, oldest first: who finds no room goes back to the end of the line in the same order. Where one that may go anywhere
 * found none, nobody behind it will. */
static void serve_queue(struct worker *w)
{
    const struct load_balancer *full = NULL;
    struct list waiting;
    list_init(&waiting);
    list_append_all(&waiting, &w->queue);
    struct list *node;
    while ((node = list_pop_front(&waiting))) {
        struct exchange *ex = CONTAINER_OF(node, struct exchange, queue);
        const struct load_balancer *lb = ex->load_balancer;
        bool may_go_anywhere = ex->n_tried == 0 && !ex->session.endpoint;
        if (lb == full)
            list_push_back(&w->queue, node);
        else if (!exchange_unqueue(ex) && may_go_anywhere)
            full = lb;
    }
}

static void on_queue_soon(struct soon *soon)
{
    serve_queue(CONTAINER_OF(soon, struct worker, queue_soon));
}

static void on_queue_timer(struct timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, queue_timer);
    serve_queue(w);
    if (!list_empty(&w->queue))
        timer_arm(&w->timers, &w->queue_timer, TIMER_TICK);
}

/* --- each turn of the loop --- */

static void on_check(struct ev_loop *loop, ev_check *check, int events)
{
    (void)loop;
    (void)events;
    timers_refresh(&CONTAINER_OF(check, struct worker, check)->timers);
}

/* No callback is on the stack now: what was closed in this turn can be freed. */
static void bury_the_dead(struct worker *w)
{
    LIST_FOR_EACH(node, &w->dead_clients)
        client_free(client_of_link(node));
    LIST_FOR_EACH(node, &w->dead_upstreams)
        upstream_free(upstream_of_link(node));
}

static void on_not_yet(struct ev_loop *loop, ev_idle *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
}

/* What is done may lead to more of it: so much in one turn, then the sockets have theirs. */
static void do_what_is_due(struct worker *w)
{
    for (int i = 0; i < SOON_PER_TURN && !list_empty(&w->soon); i++) {
        struct soon *soon = CONTAINER_OF(list_pop_front(&w->soon), struct soon, link);
        soon->run(soon);
    }
    if (list_empty(&w->soon))
        ev_idle_stop(w->loop, &w->not_yet);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    (void)loop;
    (void)events;
    struct worker *w = CONTAINER_OF(prepare, struct worker, prepare);
    do_what_is_due(w);
    bury_the_dead(w);
    if (w->lines)
        log_lines_flush(w->lines);
}

/* --- life --- */

static void init_lists(struct worker *w)
{
    struct list *const all[] = { &w->listeners, &w->clients, &w->dead_clients, &w->dead_upstreams, &w->busy_upstreams, &w->exchanges, &w->queue, &w->soon };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        list_init(all[i]);
}

static void init_watchers(struct worker *w)
{
    ev_check_init(&w->check, on_check);
    ev_set_priority(&w->check, EV_MAXPRI);
    ev_check_start(w->loop, &w->check);
    ev_prepare_init(&w->prepare, on_prepare);
    ev_set_priority(&w->prepare, EV_MINPRI);
    ev_prepare_start(w->loop, &w->prepare);
    soon_init(&w->queue_soon, on_queue_soon);
    ev_idle_init(&w->not_yet, on_not_yet);
    timer_init(&w->queue_timer, on_queue_timer);
    timer_init(&w->accept_timer, on_accept_timer);
    timer_init(&w->stop_timer, on_stop_timer);
}

struct worker *worker_new(struct ev_loop *loop, const struct worker_options *options)
{
    struct worker *w = mem_zero(sizeof *w);
    w->loop = loop;
    w->options = *options;
    timers_init(&w->timers, loop);
    timers_refresh(&w->timers);
    mailbox_init(&w->mailbox, loop, w);
    random_seed(&w->random);
    buffer_pool_init(&w->buffers, BUFFERS_KEPT);
    freelist_init(&w->clients_free, client_size(), OBJECTS_KEPT);
    freelist_init(&w->upstreams_free, upstream_size(), OBJECTS_KEPT);
    freelist_init(&w->exchanges_free, sizeof(struct exchange), OBJECTS_KEPT);
    freelist_init(&w->heads_free, sizeof(struct http_head), HEADS_KEPT);
    w->writer = (struct h1_writer){ .buffers = &w->buffers, .scratch = mem_alloc(H1_SCRATCH_SIZE) };
    if (options->access_log)
        w->lines = log_lines_new(options->access_log);
    w->locator.slot = options->geoip;
    w->remembered = remembered_new();
    init_lists(w);
    init_watchers(w);
    return w;
}

/* What is still open when the loop has ended is cut. */
static void close_everything(struct worker *w)
{
    cut_exchanges(w, true);
    cut_clients(w);
    LIST_FOR_EACH(node, &w->listeners)
        listener_close(CONTAINER_OF(node, struct worker_listener, link));
}

void worker_free(struct worker *w)
{
    w->stopping = true;
    mailbox_clear(&w->mailbox);
    close_everything(w);
    if (w->snapshot)
        snapshot_unref(w->snapshot);
    bury_the_dead(w);
    remembered_free(w->remembered);
    ev_check_stop(w->loop, &w->check);
    ev_prepare_stop(w->loop, &w->prepare);
    ev_idle_stop(w->loop, &w->not_yet);
    timer_disarm(&w->timers, &w->queue_timer);
    timer_disarm(&w->timers, &w->accept_timer);
    timer_disarm(&w->timers, &w->stop_timer);
    timers_clear(&w->timers);
    log_lines_free(w->lines);
    buffer_pool_clear(&w->buffers);
    freelist_clear(&w->clients_free);
    freelist_clear(&w->upstreams_free);
    freelist_clear(&w->exchanges_free);
    freelist_clear(&w->heads_free);
    free(w->writer.scratch);
    locator_clear(&w->locator);
    free(w);
}

const struct worker_counters *worker_counters(const struct worker *w)
{
    return &w->counters;
}
