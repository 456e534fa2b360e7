/* How one candidate is chosen among several: the contract between the balancer and a steering policy. Pools in a load balancer and
 * endpoints in a pool are both candidates, so a policy works at either level. A policy sees plain data; it has no clock, no
 * generator of random numbers and no I/O of its own. This header is installed: a policy may also be a shared object
 * that exports one `const struct steering_policy penstock_steering_policy`. */
#ifndef PENSTOCK_STEERING_POLICY_H
#define PENSTOCK_STEERING_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEERING_ABI 3U
#define STEERING_NONE ((size_t)-1)

/* What changes with the epoch: health, weight or configuration moved. */
struct steering_candidate {
    uint64_t id;                /* stable hash of the name */
    double weight;              /* >= 0, after overrides and slow start; 0: never chosen */
    float latitude, longitude;  /* degrees; NaN if unknown */
    unsigned order;             /* position in the configuration */
    int64_t usable_since;       /* monotonic nanoseconds; 0: since the start */
};

/* What differs from request to request. */
struct steering_request {
    int64_t now;                /* monotonic nanoseconds */
    uint64_t random;            /* a fresh draw */
    uint64_t key;               /* hash of what the policy's STEERING_KEY option names; 0: there is nothing of the kind */
    float latitude, longitude;  /* of the client; NaN if unknown */
};

/* What changes with each request, by the candidate's index, read on demand. */
struct steering_latency {
    double seconds;             /* of traffic: peak EWMA of time to first byte; NaN: none was seen yet */
    int64_t at;                 /* of the last of it */
    double probe_seconds;       /* of monitors' probes; NaN: none */
};
struct steering_view {
    uint32_t (*in_flight)(const struct steering_view *, size_t index); /* requests */
    /* Open to the candidate, idle ones that are kept for reuse included. Where many requests share one connection: those in
     * flight. */
    uint32_t (*connections)(const struct steering_view *, size_t index);
    struct steering_latency (*latency)(const struct steering_view *, size_t index);
    const uint64_t *struck_out; /* bit set: tried already, or not usable */
};

static inline bool steering_is_struck_out(const struct steering_view *view, size_t index)
{
    return view->struck_out[index / 64] >> (index % 64) & 1;
}

/* The policy's group of the configuration, as name and value. */
struct steering_option {
    const char *name;
    enum {
        STEERING_NUMBER, STEERING_FLAG, STEERING_TEXT, STEERING_DURATION,
        /* A text that the balancer reads, for steering_request.key: "client_ip", "header:NAME", "cookie:NAME", "path", "query:NAME" */
        STEERING_KEY
    } type;
    double number;      /* durations: seconds */
    bool flag;
    const char *text;
};
struct steering_options {
    const struct steering_option *items;
    size_t n;
};
struct steering_error {
    const char *option; /* static, or NULL when no single option is at fault */
    char message[256];
};

/* Where a policy leads all requests of a client to the same candidate while nothing changes. Elsewhere the key of a session that has
 * one is hashed in its stead. */
enum steering_steadiness { STEERING_UNSTEADY, STEERING_STEADY_BETWEEN_POOLS, STEERING_STEADY };

struct steering_policy {
    const char *name;
    uint32_t abi; /* STEERING_ABI */
    enum steering_steadiness steadiness;
    const char *scores_are; /* what they mean, for `explain`: "the chance of each"; may be NULL */

    /* Control thread, at load. A built-in policy's unlisted options were refused before; a shared object gets all that stand in its
     * group, but for `policy` and `module`, and refuses what it doesn't know. Numbers, flags and texts are told by how they are
     * written; a text that reads as a duration ("15s", "0") is one and has its text as well; the option named `key` is the
     * STEERING_KEY. Names, texts and values are gone when it returns. False with `error` filled in refuses the configuration;
     * *config (may stay NULL) is shared by all workers and immutable. An option that was not given may be missing: its default is
     * the policy's own. May be NULL where there are no options. */
    bool (*configure)(const struct steering_options *, struct steering_error *, void **config);
    /* Any thread, after configure: seconds in which an old latency fades to 1/e, in the average of the candidates' figures where
     * those are endpoints. NULL: the policy does not care. */
    double (*latency_decay)(const void *config);
    /* Worker thread, once per worker and group. NULL only when memory is out. */
    void *(*worker_new)(void *config);
    /* Worker thread, whenever the epoch moved: rebuild tables. `candidates` stay valid until the next update. False: memory is out,
     * and the group keeps its former tables. */
    bool (*update)(void *w, const struct steering_candidate *, size_t n);
    /* Worker thread, per request; allocates nothing. Pure: the index chosen, never one struck out or of weight 0, or STEERING_NONE.
     * `scores`, when given, gets one figure per candidate for `explain` (NaN: not considered). */
    size_t (*choose)(const void *w, const struct steering_request *, const struct steering_view *, double *scores);
    /* Worker thread: the choice was used. May be NULL. */
    void (*commit)(void *w, size_t index);
    void (*worker_free)(void *w);
    /* Any thread, after the last worker_free. Called only where configure left a *config. May be NULL. */
    void (*release)(void *config);
};

#endif
