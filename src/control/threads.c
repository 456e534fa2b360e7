#include "control/threads.h"

#include "base/mem.h"
#include "edge/edge.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct thread {
    struct message drained, ended, quit;
    pthread_t id;
    bool started;
    bool told_to_quit;    /* control's */
    bool is_over;         /* the thread's own */
    struct ev_loop *loop;
    struct mailbox mailbox;
    struct edge_worker *edge;
    struct worker *worker;
    struct threads *all;
};

struct threads {
    struct thread *items;
    unsigned n, serving, running;
    struct mailbox *control;
    void (*drained)(void *arg, unsigned index, unsigned serving);
    void (*ended)(void *arg, unsigned index, unsigned running);
    void *arg;
};

static void on_drained(struct message *message, void *control)
{
    (void)control;
    struct thread *t = CONTAINER_OF(message, struct thread, drained);
    struct threads *all = t->all;
    all->serving--;
    all->drained(all->arg, (unsigned)(t - all->items), all->serving);
}

static void on_quit(struct message *message, void *thread)
{
    struct thread *t = thread;
    (void)message;
    t->is_over = true;
    ev_break(t->loop, EVBREAK_ALL);
}

static void on_ended(struct message *message, void *control)
{
    (void)control;
    struct thread *t = CONTAINER_OF(message, struct thread, ended);
    struct threads *all = t->all;
    all->running--;
    all->ended(all->arg, (unsigned)(t - all->items), all->running);
}

static void *run(void *arg)
{
    struct thread *t = arg;
    ev_run(t->loop, 0); /* until the worker ends it */
    mailbox_post(t->all->control, &t->drained);
    if (!t->is_over)
        ev_run(t->loop, 0);
    mailbox_post(t->all->control, &t->ended);
    return NULL;
}

static void make(struct threads *all, unsigned index, const struct threads_options *options)
{
    struct thread *t = &all->items[index];
    struct worker_options worker = options->worker;
    worker.index = index;
    list_init(&t->drained.link);
    list_init(&t->ended.link);
    list_init(&t->quit.link);
    t->drained.handle = on_drained;
    t->ended.handle = on_ended;
    t->quit.handle = on_quit;
    t->all = all;
    t->loop = ev_loop_new(EVFLAG_AUTO);
    if (!t->loop)
        return;
    mailbox_init(&t->mailbox, t->loop, t);
    t->edge = options->edge_workers[index] = edge_worker_new(t->loop, edge_options(options->edge, index));
    worker.gate = edge_worker_gate(t->edge);
    t->worker = worker_new(t->loop, &worker);
}

static int start(struct thread *t, unsigned index)
{
    if (!t->worker)
        return ENOMEM;
    int error = pthread_create(&t->id, NULL, run, t);
    if (error)
        return error;
    char name[32]; /* of which the kernel keeps 15 */
    snprintf(name, sizeof name, "worker-%u", index);
    name[15] = '\0';
    pthread_setname_np(t->id, name);
    t->started = true;
    t->all->serving++;
    t->all->running++;
    return 0;
}

static int start_all(struct threads *all)
{
    sigset_t every, before;
    int error = 0;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    for (unsigned i = 0; i < all->n && !error; i++)
        error = start(&all->items[i], i);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

struct threads *threads_start(const struct threads_options *options, char *error)
{
    struct threads *all = mem_zero(sizeof *all);
    all->items = mem_array(options->n, sizeof *all->items);
    all->n = options->n;
    all->control = options->control;
    all->drained = options->drained;
    all->ended = options->ended;
    all->arg = options->arg;
    for (unsigned i = 0; i < all->n; i++)
        make(all, i, options);
    int code = start_all(all);
    if (!code)
        return all;
    snprintf(error, 128, "can't start %u worker threads: %s", all->n, strerror(code));
    threads_join(all);
    threads_free(all);
    return NULL;
}

struct worker *threads_worker(const struct threads *all, unsigned index)
{
    return all->items[index].worker;
}

void threads_stop(struct threads *all, nsec_t grace, nsec_t upgrade_grace)
{
    for (unsigned i = 0; i < all->n; i++)
        if (all->items[i].started)
            worker_post_stop(all->items[i].worker, grace, upgrade_grace);
}

void threads_quit(struct threads *all, unsigned index)
{
    struct thread *t = &all->items[index];
    if (!t->started || t->told_to_quit)
        return;
    t->told_to_quit = true;
    mailbox_post(&t->mailbox, &t->quit);
}

void threads_join(struct threads *all)
{
    for (unsigned i = 0; all && i < all->n; i++)
        threads_quit(all, i);
    for (unsigned i = 0; all && i < all->n; i++)
        if (all->items[i].started)
            pthread_join(all->items[i].id, NULL);
}

void threads_free(struct threads *all)
{
    if (!all)
        return;
    for (unsigned i = 0; i < all->n; i++) {
        list_remove(&all->items[i].drained.link); /* posted, but not handled where the start failed */
        list_remove(&all->items[i].ended.link);
        if (all->items[i].worker)
            worker_free(all->items[i].worker);
    }
    for (unsigned i = 0; i < all->n; i++) /* to each others' connections streams may lead */
        edge_worker_free(all->items[i].edge);
    for (unsigned i = 0; i < all->n; i++)
        if (all->items[i].loop) {
            mailbox_clear(&all->items[i].mailbox);
            ev_loop_destroy(all->items[i].loop);
        }
    free(all->items);
    free(all);
}
