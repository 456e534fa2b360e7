/* What the workers run on: one thread and one loop each. */
#ifndef PENSTOCK_CONTROL_THREADS_H
#define PENSTOCK_CONTROL_THREADS_H

#include "control/edge.h"
#include "proxy/worker.h"

#include <stdbool.h>

struct threads;
struct threads_options {
    unsigned n;
    struct worker_options worker;   /* but for the index and the gate */
    const struct edge *edge;        /* the options of its workers */
    struct edge_worker **edge_workers; /* where those are put, by index */
    struct mailbox *control;
    /* On the control thread: one worker has ended, so many still serve; its edge goes on, for others may have streams there. */
    void (*drained)(void *arg, unsigned index, unsigned serving);
    void (*ended)(void *arg, unsigned index, unsigned running); /* likewise: one thread has ended, so many still run */
    void *arg;
};
/* Signals are blocked in them. NULL with errno's words in `error` (>= 128 bytes). */
struct threads *threads_start(const struct threads_options *, char *error);
struct worker *threads_worker(const struct threads *, unsigned index);
/* Ends the workers within that time; `drained` tells. Again with less: sooner. */
void threads_stop(struct threads *, nsec_t grace, nsec_t upgrade_grace);
/* Ends that thread; `ended` tells. */
void threads_quit(struct threads *, unsigned index);
/* Waits for threads that have ended or are about to. What they have posted is to be handled before they are freed. */
void threads_join(struct threads *);
void threads_free(struct threads *);

#endif
