/* What would become of the traffic if endpoints were lost or drained: requests that nobody sent are led through the very code that directs and
 * chooses for others, first as things are, then as they would be. All of it happens in a world of its own: a configuration whose endpoints
 * have live states that nobody else reads, and a worker whose loop never runs. Time in it is made up.
 *
 * Both halves begin alike and have the same requests in the same order with the same draws, so that what differs is what the loss does: a load
 * balancer that it doesn't touch has the same shares to the last request. Clients' sessions are older than either.
 *
 * What is modelled: a request occupies its endpoint for the latency that is known of it, requests come at random at the rate given, those that
 * find all full wait as in a worker's queue, sessions' cookies are kept by the clients that were given them. What is lost is known to be: how
 * long monitors and traffic take to find out is not, nor do endpoints become slower with more load. Nobody recovers meanwhile: what traffic has
 * ejected stays ejected, and slow starts stand where they stand.
 *
 * One thread at a time, any. */
#ifndef PENSTOCK_PROXY_SIMULATE_H
#define PENSTOCK_PROXY_SIMULATE_H

#include "balance/candidate.h"
#include "balance/config.h"
#include "net/address.h"

struct geoip_slot;

enum { SIMULATE_REQUESTS = 10000, SIMULATE_REQUESTS_MAX = 1000000, SIMULATE_WAITING_MAX = 10000 };
/* For both halves: the thread's own, and of the clock on the wall, of which a busy machine takes more. */
#define SIMULATE_WORK_MAX (10 * NSEC_PER_SEC)
#define SIMULATE_TIME_MAX (60 * NSEC_PER_SEC)

/* A kind of request, and how much of the traffic it is. */
struct simulated_request {
    char *head;              /* as it would come from a client, without Cookie, up to the empty line */
    char *cookie;            /* NULL: none */
    struct address client;   /* sa_family 0: none, as over a unix socket */
    double weight;
    char *session;           /* the same of those of the same client and host */
    bool idle;               /* it takes no time and is no load: asked for what would become of it, but nobody sends it at the moment */
};

enum simulated_outcome {
    SIMULATED_SENT,          /* to the endpoint */
    SIMULATED_LOST,          /* to one of those that are down, since nobody else is left: it fails */
    SIMULATED_NOBODY,        /* 503: nobody may be sent to */
    SIMULATED_WAITED,        /* 503: in vain, all were full for too long */
    SIMULATED_RESPONSE,      /* a rule answers by itself */
    SIMULATED_DISABLED,      /* 503: the load balancer is */
    SIMULATED_NO_LOAD_BALANCER, /* 404 */
    SIMULATED_MALFORMED,     /* no client can send that */
    SIMULATED_OUTCOMES
};

enum simulated_phase { SIMULATED_NOW, SIMULATED_THEN, SIMULATED_PHASES };

struct simulated_count {
    const struct load_balancer *load_balancer; /* NULL: none; not a rule's own, which is `rule` */
    const struct rule *rule;
    const struct endpoint *endpoint;           /* of SENT and LOST */
    enum simulated_outcome outcome;
    unsigned n[SIMULATED_PHASES];
    unsigned of_traffic[SIMULATED_PHASES];     /* of those, not idle */
    unsigned last_resort[SIMULATED_PHASES];    /* of those, though health was against it */
};

/* Where a latency comes from: all but the first are guesses. The others are those of its pool or, where none of them is known, all. */
enum simulated_latency {
    LATENCY_OF_TRAFFIC,
    LATENCY_OF_PROBES,       /* its probes', and by how much requests to others take longer than theirs */
    LATENCY_OF_OTHERS,       /* their mean */
    LATENCY_ASSUMED,         /* nothing is known of anybody */
    SIMULATED_LATENCIES
};

struct simulated_endpoint {
    bool down, drained;      /* of the question */
    bool was_out;            /* of service, before anything was lost */
    double latency_s;        /* a request's stay */
    enum simulated_latency latency_from;
    unsigned sent[SIMULATED_PHASES];           /* idle ones are left out */
    unsigned most_in_flight[SIMULATED_PHASES];
};

struct simulation {
    /* the question */
    struct config *config;   /* of this simulation alone, live states attached; one reference */
    struct geoip_slot *geoip; /* NULL: nobody knows where clients are */
    struct simulated_request *requests;
    size_t n_requests;
    unsigned n;              /* requests in each half */
    double rate;             /* per second, of all; 0: each is over before the next comes */
    uint64_t seed;
    struct simulated_endpoint *endpoints; /* by index */
    _Atomic bool cancelled;  /* set by any thread: it ends soon */

    /* the answer */
    struct simulated_count *counts; /* in no order */
    size_t n_counts;
    unsigned made[SIMULATED_PHASES];       /* requests whose outcome is known */
    unsigned of_traffic[SIMULATED_PHASES]; /* of those, not idle */
    double seconds[SIMULATED_PHASES];      /* that they took to come, of the made-up time */
    struct pool_census *censuses[SIMULATED_PHASES]; /* by the pool's index */
    bool complete;           /* false: cancelled, time was out, or memory */
};

/* Takes the reference to the configuration over. */
struct simulation *simulation_new(struct config *) __attribute__((returns_nonnull));
void simulation_free(struct simulation *);
/* Copies all of it. */
void simulation_add_request(struct simulation *, const char *method, const char *host, const char *path, const char *cookie, const struct address *client,
                            double weight);
/* Blocks for as long as it takes, at most SIMULATE_TIME_MAX. Once. */
void simulate(struct simulation *);

#endif
