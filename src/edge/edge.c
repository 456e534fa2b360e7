#include "edge/edge.h"

#include "base/log.h"
#include "base/mem.h"
#include "edge/connection.h"
#include "edge/gate.h"
#include "edge/relay.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ACCEPTS_PER_EVENT = 64 };

/* --- listeners --- */

static void on_acceptable(struct ev_loop *loop, ev_io *io, int events)
{
    struct edge_listener *l = CONTAINER_OF(io, struct edge_listener, io);
    (void)loop;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage peer = { 0 };
        socklen_t length = sizeof peer;
        int fd = accept4(io->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        edge_connection_accept(l->worker, fd, &peer);
    }
}

static void close_listeners(struct edge_worker *w)
{
    LIST_FOR_EACH(node, &w->listeners)
    {
        struct edge_listener *l = CONTAINER_OF(node, struct edge_listener, link);
        ev_io_stop(w->loop, &l->io);
        list_remove(&l->link);
        free(l);
    }
}

struct listen_message {
    struct message message;
    struct tls_server *tls;
    size_t n;
    int fds[];
};

struct listening_message {
    struct message message;
    const struct edge_worker_options *options;
};

static void handle_listening(struct message *m, void *owner)
{
    struct listening_message *l = CONTAINER_OF(m, struct listening_message, message);
    (void)owner;
    l->options->listening(l->options->arg, l->options->index);
    free(l);
}

/* Control may close the former sockets, and free the former server. */
static void tell_listening(struct edge_worker *w)
{
    struct listening_message *l = mem_zero(sizeof *l);
    *l = (struct listening_message){ .message.handle = handle_listening, .options = w->given };
    list_init(&l->message.link);
    mailbox_post(w->options.control, &l->message);
}

static void handle_listen(struct message *m, void *owner)
{
    struct listen_message *given = CONTAINER_OF(m, struct listen_message, message);
    struct edge_worker *w = owner;
    close_listeners(w);
    w->tls = given->tls;
    for (size_t i = 0; i < given->n && !w->stopping; i++) {
        if (given->fds[i] < 0)
            continue;
        struct edge_listener *l = mem_zero(sizeof *l);
        l->worker = w;
        list_push_back(&w->listeners, &l->link);
        ev_io_init(&l->io, on_acceptable, given->fds[i], EV_READ);
        ev_io_start(w->loop, &l->io);
    }
    tell_listening(w);
    free(given);
}

void edge_worker_post_listen(struct edge_worker *w, const int *fds, size_t n, struct tls_server *tls)
{
    struct listen_message *m = mem_zero(sizeof *m + n * sizeof *fds);
    m->message.handle = handle_listen;
    list_init(&m->message.link);
    m->tls = tls;
    m->n = n;
    if (n)
        memcpy(m->fds, fds, n * sizeof *fds);
    mailbox_post(&w->mailbox, &m->message);
}

/* --- what control decides --- */

struct steering_message {
    struct message message;
    const struct steering_policy *policy;
    void *config;
};

static void handle_steering(struct message *m, void *owner)
{
    struct steering_message *s = CONTAINER_OF(m, struct steering_message, message);
    gate_set_policy(owner, s->policy, s->config);
    free(s);
}

void edge_worker_post_steering(struct edge_worker *w, const struct steering_policy *policy, void *config)
{
    struct steering_message *m = mem_zero(sizeof *m);
    *m = (struct steering_message){ .message.handle = handle_steering, .policy = policy, .config = config };
    list_init(&m->message.link);
    mailbox_post(&w->mailbox, &m->message);
}

struct answer_message {
    struct message message;
    uint64_t ticket;
    struct edge_answer answer;
};

struct gone_message {
    struct message message;
    const struct edge_worker_options *options;
    char tunnel[UUID_TEXT_SIZE];
    uint64_t line;
};

static void handle_gone(struct message *m, void *owner)
{
    struct gone_message *g = CONTAINER_OF(m, struct gone_message, message);
    (void)owner;
    g->options->line_changed(g->options->arg, g->tunnel, g->line, LINE_CLOSED, REASON_CONNECTION_LOST, "left while it registered");
    free(g);
}

static void tell_gone(struct edge_worker *w, const struct edge_answer *a)
{
    struct gone_message *g = mem_zero(sizeof *g);
    *g = (struct gone_message){ .message.handle = handle_gone, .options = w->given, .line = a->line->id };
    list_init(&g->message.link);
    snprintf(g->tunnel, sizeof g->tunnel, "%s", a->tunnel->id);
    if (tunnel_set_line_state(a->tunnel, a->line, LINE_CLOSED))
        edge_worker_epoch_moved(w);
    mailbox_post(w->options.control, &g->message);
}

static void handle_answer(struct message *m, void *owner)
{
    struct answer_message *a = CONTAINER_OF(m, struct answer_message, message);
    struct edge_worker *w = owner;
    struct edge_connection *c;
    timers_refresh(&w->timers);
    HASH_FIND(by_ticket, w->by_ticket, &a->ticket, sizeof a->ticket, c);
    if (c) {
        edge_connection_answer(c, &a->answer);
    } else if (a->answer.accepted) { /* it left meanwhile: control hears of it as of any other end */
        tell_gone(w, &a->answer);
        tunnel_unref(a->answer.tunnel);
        tunnel_connector_unref(a->answer.connector);
        tunnel_line_unref(a->answer.line);
    }
    free(a);
}

void edge_worker_post_answer(struct edge_worker *w, uint64_t ticket, const struct edge_answer *answer)
{
    struct answer_message *m = mem_zero(sizeof *m);
    *m = (struct answer_message){ .message.handle = handle_answer, .ticket = ticket, .answer = *answer };
    list_init(&m->message.link);
    mailbox_post(&w->mailbox, &m->message);
}

enum line_order { ORDER_CHECK, ORDER_DRAIN, ORDER_CLOSE, ORDER_PUSH };

struct line_order_message {
    struct message message;
    enum line_order order;
    uint64_t line;
    nsec_t grace;
    enum reason reason;
    char detail[128];
    int version;
    size_t n;
    char json[];
};

static void handle_line_order(struct message *m, void *owner)
{
    struct line_order_message *o = CONTAINER_OF(m, struct line_order_message, message);
    struct edge_worker *w = owner;
    struct edge_connection *c;
    timers_refresh(&w->timers);
    HASH_FIND(by_line, w->by_line, &o->line, sizeof o->line, c);
    if (c) {
        switch (o->order) {
        case ORDER_CHECK: silence_check(c); break;
        case ORDER_DRAIN: edge_connection_drain(c, o->grace, REASON_NONE, "drained by the operator"); break;
        case ORDER_CLOSE: edge_connection_close(c, o->reason, o->detail); break;
        case ORDER_PUSH: config_push_begin(c, o->version, o->json, o->n); break;
        }
    }
    free(o);
}

static void post_order(struct edge_worker *w, const struct line_order_message *given, const char *json)
{
    struct line_order_message *m = mem_zero(sizeof *m + given->n);
    memcpy(m, given, sizeof *m);
    if (given->n)
        memcpy(m->json, json, given->n);
    m->message.handle = handle_line_order;
    list_init(&m->message.link);
    mailbox_post(&w->mailbox, &m->message);
}

void edge_worker_post_check(struct edge_worker *w, uint64_t line)
{
    post_order(w, &(struct line_order_message){ .order = ORDER_CHECK, .line = line }, NULL);
}

void edge_worker_post_drain(struct edge_worker *w, uint64_t line, nsec_t grace)
{
    post_order(w, &(struct line_order_message){ .order = ORDER_DRAIN, .line = line, .grace = grace }, NULL);
}

void edge_worker_post_close(struct edge_worker *w, uint64_t line, enum reason reason, const char *detail)
{
    struct line_order_message m = { .order = ORDER_CLOSE, .line = line, .reason = reason };
    snprintf(m.detail, sizeof m.detail, "%s", detail);
    post_order(w, &m, NULL);
}

void edge_worker_post_push(struct edge_worker *w, uint64_t line, int version, const char *json, size_t n)
{
    post_order(w, &(struct line_order_message){ .order = ORDER_PUSH, .line = line, .version = version, .n = n }, json);
}

/* --- stopping --- */

struct stopped_message {
    struct message message;
    const struct edge_worker_options *options;
    void (*stopped)(void *arg, unsigned index);
};

static void handle_stopped(struct message *m, void *owner)
{
    (void)owner;
    struct stopped_message *s = CONTAINER_OF(m, struct stopped_message, message);
    s->stopped(s->options->arg, s->options->index);
    free(s);
}

void edge_worker_check_stopped(struct edge_worker *w)
{
    if (!w->stopping || !w->stopped || !list_empty(&w->connections))
        return;
    struct stopped_message *m = mem_zero(sizeof *m);
    *m = (struct stopped_message){ .message.handle = handle_stopped, .options = w->given, .stopped = w->stopped };
    list_init(&m->message.link);
    w->stopped = NULL;
    mailbox_post(w->options.control, &m->message);
}

struct stop_message {
    struct message message;
    nsec_t grace;
    void (*stopped)(void *arg, unsigned index);
};

static void on_stop_timer(struct timer *timer)
{
    struct edge_worker *w = CONTAINER_OF(timer, struct edge_worker, stop_timer);
    LIST_FOR_EACH(node, &w->connections)
        edge_connection_close(CONTAINER_OF(node, struct edge_connection, link), REASON_SHUTDOWN, "the balancer stops");
}

static void handle_stop(struct message *m, void *owner)
{
    struct stop_message *s = CONTAINER_OF(m, struct stop_message, message);
    struct edge_worker *w = owner;
    timers_refresh(&w->timers);
    w->stopping = true;
    w->stopped = s->stopped;
    close_listeners(w);
    LIST_FOR_EACH(node, &w->connections)
    {
        struct edge_connection *c = CONTAINER_OF(node, struct edge_connection, link);
        if (c->phase >= CONNECTION_SERVING)
            edge_connection_drain(c, s->grace, REASON_SHUTDOWN, "the balancer stops");
        else
            edge_connection_close(c, REASON_SHUTDOWN, "the balancer stops");
    }
    timer_arm(&w->timers, &w->stop_timer, s->grace);
    free(s);
    edge_worker_check_stopped(w);
}

void edge_worker_post_stop(struct edge_worker *w, nsec_t grace, void (*stopped)(void *arg, unsigned index))
{
    struct stop_message *m = mem_zero(sizeof *m);
    *m = (struct stop_message){ .message.handle = handle_stop, .grace = grace, .stopped = stopped };
    list_init(&m->message.link);
    mailbox_post(&w->mailbox, &m->message);
}

/* --- each turn of the loop --- */

void edge_worker_epoch_moved(struct edge_worker *w)
{
    balance_epoch_move(w->options.epoch);
}

void edge_worker_mark(struct edge_worker *w, struct edge_connection *c)
{
    if (!list_empty(&c->dirty))
        return;
    list_push_back(&w->dirty, &c->dirty);
    ev_idle_start(w->loop, &w->not_yet);
}

static void on_not_yet(struct ev_loop *loop, ev_idle *idle, int events)
{
    (void)loop;
    (void)idle;
    (void)events;
}

static void on_check(struct ev_loop *loop, ev_check *check, int events)
{
    (void)loop;
    (void)events;
    timers_refresh(&CONTAINER_OF(check, struct edge_worker, check)->timers);
}

/* What is marked meanwhile has the next turn, for which the loop does not wait. */
static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct edge_worker *w = CONTAINER_OF(prepare, struct edge_worker, prepare);
    struct list now;
    struct list *node;
    (void)events;
    list_init(&now);
    list_append_all(&now, &w->dirty);
    while ((node = list_pop_front(&now)))
        edge_connection_serve(CONTAINER_OF(node, struct edge_connection, dirty));
    LIST_FOR_EACH(dead, &w->dead)
        if (!CONTAINER_OF(dead, struct edge_connection, link)->n_streams)
            edge_connection_free(CONTAINER_OF(dead, struct edge_connection, link));
    if (list_empty(&w->dirty))
        ev_idle_stop(loop, &w->not_yet);
}

/* --- life --- */

struct edge_worker *edge_worker_new(struct ev_loop *loop, const struct edge_worker_options *options)
{
    struct edge_worker *w = mem_zero(sizeof *w);
    w->loop = loop;
    w->options = *options;
    w->given = options;
    w->gate = (struct tunnel_gate){ .worker = w, .open = gate_open, .home = gate_home };
    mailbox_init(&w->mailbox, loop, w);
    timers_init(&w->timers, loop);
    timers_refresh(&w->timers);
    timer_init(&w->stop_timer, on_stop_timer);
    buffer_pool_init(&w->buffers, EDGE_BUFFERS_KEPT);
    w->strangers_by_address = peer_counts_new();
    w->failures_by_address = peer_counts_new();
    struct list *const lists[] = { &w->listeners, &w->connections, &w->dead, &w->dirty, &w->relay_fronts, &w->relay_backs };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    ev_check_init(&w->check, on_check);
    ev_set_priority(&w->check, EV_MAXPRI);
    ev_check_start(loop, &w->check);
    ev_prepare_init(&w->prepare, on_prepare);
    ev_set_priority(&w->prepare, EV_MINPRI);
    ev_prepare_start(loop, &w->prepare);
    ev_idle_init(&w->not_yet, on_not_yet);
    return w;
}

void edge_worker_free(struct edge_worker *w)
{
    if (!w)
        return;
    w->stopping = w->ended = true;
    mailbox_clear(&w->mailbox);
    close_listeners(w);
    LIST_FOR_EACH(node, &w->connections)
        edge_connection_close(CONTAINER_OF(node, struct edge_connection, link), REASON_SHUTDOWN, "the balancer stops");
    relay_free_all(w);
    LIST_FOR_EACH(dead, &w->dead)
        edge_connection_free(CONTAINER_OF(dead, struct edge_connection, link));
    gate_clear(w);
    ev_check_stop(w->loop, &w->check);
    ev_prepare_stop(w->loop, &w->prepare);
    ev_idle_stop(w->loop, &w->not_yet);
    timer_disarm(&w->timers, &w->stop_timer);
    timers_clear(&w->timers);
    buffer_pool_clear(&w->buffers);
    peer_counts_free(w->strangers_by_address);
    peer_counts_free(w->failures_by_address);
    free(w);
}

const struct tunnel_gate *edge_worker_gate(const struct edge_worker *w)
{
    return &w->gate;
}
