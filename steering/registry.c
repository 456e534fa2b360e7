#include "steering/registry.h"

#include <string.h>

extern const struct steering_policy steering_least_outstanding_requests;
extern const struct steering_policy steering_off;
extern const struct steering_policy steering_random;
extern const struct steering_policy steering_round_robin;

const struct steering_policy *const steering_policies[] = {
    &steering_least_outstanding_requests,
    &steering_off,
    &steering_random,
    &steering_round_robin,
    NULL,
};

const struct steering_option_row steering_option_rows[] = {
    { "off", "failback_delay", STEERING_DURATION, "30s", 0, 7 * 86400,
      "How long a candidate must have been usable again before it is preferred to the one in use" },
    { "off", "preempt", STEERING_FLAG, "true", 0, 0, "Go back to the first in order at all; without it, only when the one in use fails" },
};

const size_t steering_option_row_count = sizeof steering_option_rows / sizeof *steering_option_rows;

const struct steering_policy *steering_find(const char *name)
{
    for (const struct steering_policy *const *p = steering_policies; *p; p++)
        if (strcmp((*p)->name, name) == 0)
            return *p;
    return NULL;
}
