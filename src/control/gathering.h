/* What workers remember of requests, asked of one worker after the other. Control thread. */
#ifndef PENSTOCK_CONTROL_GATHERING_H
#define PENSTOCK_CONTROL_GATHERING_H

#include "control/request.h"
#include "proxy/explain.h"

struct gathering {
    /* the question */
    const char *id;              /* of the requests with that id the newest; or */
    unsigned last;               /* so many of the last, at the least */
    bool only_failed;            /* of those that failed somewhere */
    /* Called once, if the client is still there. */
    void (*answer)(const struct gathering *, struct local_call *);

    struct control *control;
    struct decision **found;     /* unfolded, the newest first */
    size_t n;
    unsigned same_id;            /* how many are remembered that have the id */
};
/* Takes a copy of the question, which the rest of the struct is filled in for. */
void gathering_start(const struct request *, const struct gathering *question);

#endif
