/* What the workers run on: one thread and one loop each. */
#ifndef PENSTOCK_CONTROL_THREADS_H
#define PENSTOCK_CONTROL_THREADS_H

#include "proxy/worker.h"

#include <stdbool.h>

struct threads;
struct threads_options {
    unsigned n;
    struct worker_options worker;   /* but for the index */
    struct mailbox *control;
    void (*ended)(void *arg, unsigned index, unsigned running); /* on the control thread: one has ended, so many still run */
    void *arg;
};
/* Signals are blocked in them. NULL with errno's words in `error` (>= 128 bytes). */
struct threads *threads_start(const struct threads_options *, char *error);
struct worker *threads_worker(const struct threads *, unsigned index);
/* Ends them within that time; `ended` tells. Again with less: sooner. */
void threads_stop(struct threads *, nsec_t grace, nsec_t upgrade_grace);
/* Waits for threads that have ended or are about to. What they have posted is to be handled before they are freed. */
void threads_join(struct threads *);
void threads_free(struct threads *);

#endif
