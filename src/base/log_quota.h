/* At most so many log lines of one kind within a time, whatever strangers do. One thread at a time. */
#ifndef PENSTOCK_BASE_LOG_QUOTA_H
#define PENSTOCK_BASE_LOG_QUOTA_H

#include "base/clock.h"

#include <stdbool.h>

enum { LOG_QUOTA_LINES = 5 };
#define LOG_QUOTA_WINDOW (10 * NSEC_PER_SEC)

struct log_quota { /* all zero at first */
    nsec_t window;   /* when it began */
    unsigned logged, kept_back;
};

/* May one more line be logged? */
bool log_quota_take(struct log_quota *, nsec_t now);
/* How many lines were kept back in a window that is over by now, said once. To be asked before log_quota_take, and now and then. */
unsigned log_quota_end(struct log_quota *, nsec_t now);

#endif
