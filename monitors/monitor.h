/* A kind of monitor: what it asks of an endpoint and what the answer means. The scheduler does the rest. */
#ifndef PENSTOCK_MONITORS_MONITOR_H
#define PENSTOCK_MONITORS_MONITOR_H

#include "balance/probe.h"
#include "balance/verdict.h"

struct judgement {
    bool pass;
    enum diagnosis diagnosis;
    char detail[VERDICT_TEXT_SIZE];
};

struct monitor_type {
    const char *name;
    /* Control thread. Fills in kind, method, path, headers, want_body. */
    void (*prepare)(const struct monitor *, struct probe *);
    /* Pure. */
    void (*judge)(const struct monitor *, const struct probe *, struct judgement *out);
};

/* NULL if there is none of that name. */
const struct monitor_type *monitor_type_find(const char *name);
extern const struct monitor_type *const monitor_types[]; /* alphabetical, NULL-terminated */

#endif
