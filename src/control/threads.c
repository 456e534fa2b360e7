#include "control/threads.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct thread {
    struct message ended;
    pthread_t id;
    bool started;
    struct ev_loop *loop;
    struct worker *worker;
    struct threads *all;
};

struct threads {
    struct thread *items;
    unsigned n, running;
    struct mailbox *control;
    void (*ended)(void *arg, unsigned index, unsigned running);
    void *arg;
};

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
    ev_run(t->loop, 0);
    mailbox_post(t->all->control, &t->ended);
    return NULL;
}

static void make(struct threads *all, unsigned index, const struct threads_options *options)
{
    struct thread *t = &all->items[index];
    struct worker_options worker = options->worker;
    worker.index = index;
    list_init(&t->ended.link);
    t->ended.handle = on_ended;
    t->all = all;
    t->loop = ev_loop_new(EVFLAG_AUTO);
    t->worker = t->loop ? worker_new(t->loop, &worker) : NULL;
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
    all->ended = options->ended;
    all->arg = options->arg;
    for (unsigned i = 0; i < all->n; i++)
        make(all, i, options);
    int code = start_all(all);
    if (!code)
        return all;
    snprintf(error, 128, "can't start %u worker threads: %s", all->n, strerror(code));
    threads_stop(all, 0, 0);
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

void threads_join(struct threads *all)
{
    for (unsigned i = 0; all && i < all->n; i++)
        if (all->items[i].started)
            pthread_join(all->items[i].id, NULL);
}

void threads_free(struct threads *all)
{
    if (!all)
        return;
    for (unsigned i = 0; i < all->n; i++) {
        list_remove(&all->items[i].ended.link); /* posted, but not handled where the start failed */
        if (all->items[i].worker)
            worker_free(all->items[i].worker);
        if (all->items[i].loop)
            ev_loop_destroy(all->items[i].loop);
    }
    free(all->items);
    free(all);
}
