/* A kind of monitor: what it asks of an endpoint and what the answer means. check.h and scheduler.h do the rest. */
#ifndef PENSTOCK_MONITORS_MONITOR_H
#define PENSTOCK_MONITORS_MONITOR_H

#include "balance/probe.h"
#include "balance/verdict.h"

struct judgement {
    bool pass;
    /* PROBE_BLOCKED with !pass: the answer says nothing about the endpoint and counts neither way. */
    enum diagnosis diagnosis;
    char detail[VERDICT_TEXT_SIZE]; /* what was seen: "530/1033 from the edge", "expected 200-299, got 404" */
};

struct monitor_type {
    const char *name;
    /* Control thread. Fills in kind, method, path, headers, want_body. */
    void (*prepare)(const struct monitor *, struct probe *);
    /* The path to ask the same endpoint for next (the caller frees it), or NULL: the answer stands. NULL where a type has no redirects. */
    char *(*follow)(const struct monitor *, const struct probe *);
    /* Pure. */
    void (*judge)(const struct monitor *, const struct probe *, struct judgement *out);
};

/* NULL if there is none of that name. */
const struct monitor_type *monitor_type_find(const char *name);
extern const struct monitor_type *const monitor_types[]; /* alphabetical, NULL-terminated */

/* What every type says of a probe that got no answer; false if it got one. */
bool judge_transport(const struct probe_result *, struct judgement *out);

#endif
