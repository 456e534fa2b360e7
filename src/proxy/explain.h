/* Why a request goes where it goes: a request that nobody sent is led through the very code that directs and chooses for others, and what
 * that decides is noted as it is decided. It is counted nowhere and leaves no trace in the policies' state.
 *
 * Asked for by the control thread, answered by a worker: belongs to whoever has it at the moment. */
#ifndef PENSTOCK_PROXY_EXPLAIN_H
#define PENSTOCK_PROXY_EXPLAIN_H

#include "balance/candidate.h"
#include "balance/config.h"
#include "balance/place.h"
#include "balance/pool_map.h"
#include "base/arena.h"
#include "net/mailbox.h"
#include "proxy/choose.h"
#include "proxy/direct.h"

enum { EXPLAIN_CANDIDATES_MAX = 50000 }; /* in all steps; later steps have none */

struct exchange;
struct worker;

/* What keeps a candidate out of a step. */
enum ruled_out {
    RULED_IN,
    RULED_USABILITY, /* an endpoint is worse than the level; a pool has not its minimum of that level */
    RULED_DISABLED,  /* a pool */
    RULED_WEIGHT,    /* it is 0 */
    RULED_FULL,      /* at its max_in_flight */
    RULED_SHED,      /* the pool sheds this request */
    RULED_EMPTY      /* none of the pool's endpoints could be had */
};

struct explain_candidate {
    const struct pool *pool;         /* or */
    const struct endpoint *endpoint;
    enum ruled_out ruled_out;
    enum usability usability;        /* of an endpoint */
    double weight;                   /* all factors together; 0: out */
    double slow_start;               /* its share of it, of an endpoint; 1: over */
    double score;                    /* the policy's; NaN: not considered */
    uint32_t in_flight;
    double latency_s;                /* NaN: unknown */
};

/* One question to a policy: between the pools of a list (`pool` NULL), or the endpoints of a pool. */
struct explain_step {
    const struct pool *pool;
    enum usability level;            /* who is as good as that, or better */
    const char *policy;              /* "hash" also in its place, for sessions */
    const char *scores_are;          /* NULL: nobody was asked */
    bool by_session;                 /* the session's key led, and not the load balancer's or pool's own policy */
    struct explain_candidate *candidates;
    size_t n;
    size_t chosen;                   /* STEERING_NONE: nobody */
};

enum { EXPLAIN_STEPS_MAX = 2000 };

struct explanation {
    struct message message;

    /* the question: filled in by whoever asks */
    char *head;                      /* as it would come from a client */
    size_t head_length;
    struct address client;           /* sa_family 0: none, as over a unix socket */
    /* Runs on the control thread; owns it. */
    void (*done)(struct explanation *, void *arg);
    void *arg;

    /* the answer */
    struct arena arena;
    struct config *config;           /* one reference: what all below is of. NULL: the worker stops, or has nothing yet */
    bool malformed;                  /* no client could send that */
    enum direction direction;
    const struct load_balancer *load_balancer; /* NULL: none; of a rule: the rule's own */
    const struct rule *rule;
    bool located;
    struct place place;
    const struct pool_list *list;    /* NULL: nothing had to be chosen from */
    enum pool_map_kind by;
    const struct endpoint *session;  /* that the request's session has */
    bool session_stays;              /* and goes to, or waits for */
    struct explain_step *steps;
    size_t n_steps, n_candidates;
    bool last_resort;                /* health was ignored */
    enum choice_result result;
    const struct endpoint *endpoint; /* NULL: none */
    double *scores;                  /* while it is under way: room for the largest group */
};

struct explanation *explanation_new(void) __attribute__((returns_nonnull));
void explanation_free(struct explanation *);
/* Any thread; `done` runs on the control thread, brought there by its mailbox. */
void worker_post_explanation(struct worker *, struct explanation *);
/* Answers it, on the worker's thread. */
void explain(struct worker *, struct explanation *);

/* --- what choose.c tells; each does nothing where there is no explanation --- */

void explain_list(struct explanation *, const struct pool_list *, enum pool_map_kind by);
void explain_session(struct explanation *, const struct endpoint *, bool stays);
/* A question is about to be asked, or would be if anybody could be chosen. `candidates`: as the policy sees them, by the index of the pool's endpoints or
 * the list's pools. NULL where there is no explanation. */
struct explain_step *explain_step(struct explanation *, const struct exchange *, const struct pool *, enum usability level, const char *policy,
                                  const struct steering_candidate *, size_t n);
void explain_asked(struct explain_step *, const struct steering_policy *, bool by_session, const double *scores, size_t chosen);
void explain_ruled_out(struct explain_step *, size_t index, enum ruled_out);
void explain_last_resort(struct explanation *);

#endif
