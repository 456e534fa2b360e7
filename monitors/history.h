/* What the results of one monitor on one endpoint add up to, and when it looks again. Pure: time and draws are arguments. */
#ifndef PENSTOCK_MONITORS_HISTORY_H
#define PENSTOCK_MONITORS_HISTORY_H

#include "monitors/monitor.h"

/* Takes in a result. The first pass ever counts alone; later it takes consecutive_up of them in a row, or consecutive_down failures, to
 * turn. A blocked probe changes nothing but what is shown. */
void history_add(struct monitor_evidence *, const struct monitor *, const struct judgement *, nsec_t now);
/* Nothing is known (any more). */
void history_forget(struct monitor_evidence *);

/* From one result to the next look, ±10 % by `draw` (0 to 1): `interval`; `interval_turning` while the last result contradicts what is
 * believed; when down `interval_down`, doubling up to `interval_down_max`. */
nsec_t history_pause(const struct monitor_evidence *, const struct monitor *, double draw);
/* While something contradicts what is believed: interval_turning ±10 %. */
nsec_t history_pause_turning(const struct monitor *, double draw);
/* To the first look: a point of interval_turning, so that a start spreads its probes and has its verdicts soon. */
nsec_t history_first_pause(const struct monitor *, double draw);
/* When traffic says that it failed: the instant of the next look, at least interval_turning after the last. */
nsec_t history_hurry(const struct monitor_evidence *, const struct monitor *, nsec_t now, double draw);

#endif
