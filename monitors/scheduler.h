/* When each monitor looks at each endpoint, and what its results add up to. Control thread only.
 *
 * One job per endpoint and monitor, with at most one probe out at a time. An endpoint that is disabled, by the file or by the
 * operator, or whose pool is, gets no probes and forgets what was known; a drained one is looked at as ever. A tunnel of our
 * edge is looked at through each of its connections in turn, all of them within one interval (of more than LINES_PER_INTERVAL so
 * many); one without connections is not. */
#ifndef PENSTOCK_MONITORS_SCHEDULER_H
#define PENSTOCK_MONITORS_SCHEDULER_H

#include "monitors/lines.h"

#include <ev.h>

struct scheduler;
struct scheduler_callbacks {
    /* Hands a probe to a worker; its `done` must come back, later, on this thread: also after scheduler_free, when it finds
     * nobody. */
    void (*run)(void *arg, struct probe *);
    /* New evidence about the endpoint: `evidence` has all its monitors' histories (only the monitor fields and n_monitors are
     * filled). May call any function of this header but scheduler_free. */
    void (*evidence)(void *arg, const struct endpoint *, const struct evidence *);
    /* Of endpoints that are tunnels of our edge, may be NULL: a result over one connection; and a connection that carries no
     * requests while others of its tunnel do, or does again (each `sick` is taken back once). The same may be called. */
    void (*looked)(void *arg, const char *tunnel, uint64_t line, const char *monitor, bool pass, const char *detail);
    line_turned *turned;
};
struct scheduler *scheduler_new(struct ev_loop *, const struct scheduler_callbacks *, void *arg);
void scheduler_free(struct scheduler *);
/* The configuration in force changed: histories are carried over by endpoint id and monitor name, jobs of what is gone end, new
 * ones begin at a random point of their interval_turning. Takes its own reference. Tells no evidence: read it, for the monitors'
 * names are those of the new configuration from now on. */
void scheduler_set_config(struct scheduler *, struct config *);
/* Looks at the endpoint soon (interval_turning after the last look at the latest): traffic saw it fail. */
void scheduler_hurry(struct scheduler *, const char *endpoint_id);
/* What was found out has ended with the connections that carried it: nothing is known any more. */
void scheduler_forget(struct scheduler *, const char *endpoint_id);
/* The histories of one endpoint; false if unknown. */
bool scheduler_evidence(const struct scheduler *, const char *endpoint_id, struct evidence *out);

#endif
