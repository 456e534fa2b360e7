#include "steering/registry.h"

#include <string.h>

extern const struct steering_policy steering_dynamic_latency;
extern const struct steering_policy steering_geo;
extern const struct steering_policy steering_hash;
extern const struct steering_policy steering_least_connections;
extern const struct steering_policy steering_least_outstanding_requests;
extern const struct steering_policy steering_off;
extern const struct steering_policy steering_proximity;
extern const struct steering_policy steering_random;
extern const struct steering_policy steering_round_robin;

const struct steering_policy *const steering_policies[] = {
    &steering_dynamic_latency,
    &steering_geo,
    &steering_hash,
    &steering_least_connections,
    &steering_least_outstanding_requests,
    &steering_off,
    &steering_proximity,
    &steering_random,
    &steering_round_robin,
    NULL,
};

static const char failback_delay_help[] =
    "How long a candidate must have been usable again before it is preferred to the one in use";
static const char preempt_help[] = "Go back to the first in order at all; without it, only when the one in use fails";

const struct steering_option_row steering_option_rows[] = {
    { "dynamic_latency", "decay", STEERING_DURATION, "10s", 0.1, 3600,
      "In which a figure fades to 1/e: former answers in the average, and what is idle" },
    { "dynamic_latency", "hysteresis", STEERING_NUMBER, "0.1", 0, 1,
      "By which share, and by 5 ms, another must be better than the one in use" },
    { "geo", "failback_delay", STEERING_DURATION, "30s", 0, 7 * 86400, failback_delay_help },
    { "geo", "preempt", STEERING_FLAG, "true", 0, 0, preempt_help },
    { "hash", "bounded_load", STEERING_NUMBER, "0", 0, 100,
      "How many times its part of what is in flight one may have before the next gets it; 1.25 is usual, 0: no bound" },
    { "hash", "key", STEERING_KEY, "client_ip", 0, 0,
      "What decides: \"client_ip\", \"header:NAME\", \"cookie:NAME\", \"path\", \"query:NAME\"; "
      "a request without it goes anywhere by weight" },
    { "off", "failback_delay", STEERING_DURATION, "30s", 0, 7 * 86400, failback_delay_help },
    { "off", "preempt", STEERING_FLAG, "true", 0, 0, preempt_help },
};

const size_t steering_option_row_count = sizeof steering_option_rows / sizeof *steering_option_rows;

const struct steering_policy *steering_find(const char *name)
{
    for (const struct steering_policy *const *p = steering_policies; *p; p++)
        if (strcmp((*p)->name, name) == 0)
            return *p;
    return NULL;
}
