/* One check of one endpoint by one monitor: a probe, the redirects that it follows within the endpoint, and once more (`retries`
 * times at the most) when no answer came: a lost packet is not an outage. An answer is never asked for twice. Control thread
 * only. */
#ifndef PENSTOCK_MONITORS_CHECK_H
#define PENSTOCK_MONITORS_CHECK_H

#include "monitors/monitor.h"

enum { CHECK_REDIRECTS_MAX = 5 };

struct check;
/* Hands a probe to a worker; its `done` must come back, later, on this thread. */
typedef void check_run(void *arg, struct probe *);
/* `last`: the probe that decided; valid during the call. */
typedef void check_done(void *arg, const struct judgement *, const struct probe *last);

/* `line`: over this connection of the endpoint's tunnel and no other; 0: any. Each attempt has the monitor's timeout, redirects
 * included. The endpoint and the monitor belong to the configuration, of which the check takes its own reference. `done` runs
 * once, unless the check is abandoned first. */
struct check *check_start(struct config *, const struct endpoint *, const struct monitor *, uint64_t line, check_run *run,
                          void *run_arg, check_done *done, void *arg) __attribute__((returns_nonnull));
/* The result is of no interest any more: the probe that is out comes back to nobody. */
void check_abandon(struct check *);

#endif
