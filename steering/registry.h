/* The built-in policies, by name. */
#ifndef PENSTOCK_STEERING_REGISTRY_H
#define PENSTOCK_STEERING_REGISTRY_H

#include "steering/policy.h"

struct steering_option_row { /* the schema of one option of one policy */
    const char *policy;
    const char *name;
    int type;            /* of struct steering_option */
    const char *fallback; /* default, spelled as in a configuration */
    double min, max;     /* numbers; durations in seconds */
    const char *help;
};

/* NULL if there is none of that name. */
const struct steering_policy *steering_find(const char *name);
/* All, in alphabetical order; NULL-terminated. */
extern const struct steering_policy *const steering_policies[];
extern const struct steering_option_row steering_option_rows[];
extern const size_t steering_option_row_count;

#endif
