/* From evidence to verdicts, and from verdicts to what workers see and people are told. */
#ifndef PENSTOCK_CONTROL_HEALTH_H
#define PENSTOCK_CONTROL_HEALTH_H

#include "control/control.h"

void health_init(struct control *);
void health_stop(struct control *);

/* Some evidence of the endpoint changed: reaches the verdict anew, shows it to the workers, tells of it. health_settle must follow. */
void health_judge(struct control *, struct endpoint_record *);
/* After one or several were judged: pools, load balancers, tunnels. */
void health_settle(struct control *);
static inline void health_judge_one(struct control *control, struct endpoint_record *record)
{
    health_judge(control, record);
    health_settle(control);
}
/* The configuration changed: all of it, with the monitors' part of the evidence as the scheduler has it now. */
void health_judge_all(struct control *);

/* Callbacks, `control` the struct control: of the scheduler, and of the workers. */
void health_take_evidence(void *control, const struct endpoint *, const struct evidence *);
void health_take_notice(void *control, const struct endpoint_live *, enum reason, bool ejected);
/* A monitored endpoint without a verdict? Or one whose name has not been answered yet? */
bool health_is_pending(const struct endpoint_record *);
bool health_name_is_pending(const struct endpoint_record *);

#endif
