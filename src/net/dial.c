#include "net/dial.h"

#include "base/list.h"
#include "net/stream.h"

#include <errno.h>
#include <unistd.h>

/* Connected, or nothing left to try. */
static bool is_over(const struct dial *d)
{
    return d->fd >= 0 || (d->started == d->addresses.n && d->pending == 0);
}

/* Returns its descriptor. */
static int end_attempt(struct dial_attempt *a)
{
    ev_io_stop(a->dial->loop, &a->io);
    a->dial->pending--;
    return a->io.fd;
}

static void stop(struct dial *d)
{
    timer_disarm(d->timers, &d->stagger);
    ev_prepare_stop(d->loop, &d->soon);
    for (int i = 0; i < DIAL_PARALLEL; i++) {
        if (ev_is_active(&d->attempts[i].io))
            close(end_attempt(&d->attempts[i]));
    }
}

static void finish_if_over(struct dial *d)
{
    if (!is_over(d))
        return;
    stop(d);
    d->done(d);
}

static struct dial_attempt *free_attempt(struct dial *d)
{
    for (int i = 0; i < DIAL_PARALLEL; i++) {
        if (!ev_is_active(&d->attempts[i].io))
            return &d->attempts[i];
    }
    return NULL;
}

static void note_failure(struct dial *d, unsigned index, int error)
{
    d->index = index;
    d->error = error;
}

static bool start_attempt(struct dial *d, struct dial_attempt *attempt)
{
    unsigned index = (d->first + d->started++) % d->addresses.n;
    const struct address *a = &d->addresses.items[index];
    int fd = stream_connect(&a->sa, address_length(a));
    if (fd < 0) {
        note_failure(d, index, errno);
        return false;
    }
    attempt->index = index;
    ev_io_set(&attempt->io, fd, EV_WRITE);
    ev_io_start(d->loop, &attempt->io);
    d->pending++;
    return true;
}

/* Begins one attempt, passing over those that fail at once. */
static void start_next(struct dial *d)
{
    struct dial_attempt *attempt = free_attempt(d);
    while (attempt && d->started < d->addresses.n && !start_attempt(d, attempt))
        ;
    if (d->started < d->addresses.n)
        timer_arm(d->timers, &d->stagger, DIAL_STAGGER);
    else
        timer_disarm(d->timers, &d->stagger);
}

static void on_stagger(struct timer *t)
{
    struct dial *d = CONTAINER_OF(t, struct dial, stagger);
    start_next(d);
    finish_if_over(d);
}

static void on_soon(struct ev_loop *loop, ev_prepare *w, int events)
{
    struct dial *d = CONTAINER_OF(w, struct dial, soon);
    (void)loop, (void)events;
    finish_if_over(d);
}

static void on_attempt(struct ev_loop *loop, ev_io *io, int events)
{
    struct dial_attempt *a = CONTAINER_OF(io, struct dial_attempt, io);
    struct dial *d = a->dial;
    (void)loop, (void)events;

    int fd = end_attempt(a), error = stream_connect_result(fd);
    if (error) {
        close(fd);
        note_failure(d, a->index, error);
        start_next(d);
    } else {
        d->fd = fd;
        d->index = a->index;
    }
    finish_if_over(d);
}

void dial_start(struct dial *d, struct ev_loop *loop, struct timers *timers, const struct address_set *addresses, unsigned first,
                void (*done)(struct dial *))
{
    d->loop = loop;
    d->timers = timers;
    d->addresses = *addresses;
    d->first = first % addresses->n;
    d->started = d->pending = 0;
    d->done = done;
    d->fd = -1;
    d->error = 0;
    d->index = d->first;
    timer_init(&d->stagger, on_stagger);
    ev_prepare_init(&d->soon, on_soon);
    for (int i = 0; i < DIAL_PARALLEL; i++) {
        d->attempts[i].dial = d;
        ev_init(&d->attempts[i].io, on_attempt);
    }
    start_next(d);
    if (is_over(d))
        ev_prepare_start(loop, &d->soon);
}

void dial_cancel(struct dial *d)
{
    if (d->loop)
        stop(d);
}
