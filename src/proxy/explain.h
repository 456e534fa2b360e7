/* Why a request goes where it goes, noted as it is decided, by the very code that directs and chooses: of a request that nobody sent and
 * that is led through that code (counted nowhere, without a trace in the policies' state), and of those that clients send, which each
 * worker remembers for a while.
 *
 * An explanation is asked for by the control thread, answered by a worker: belongs to whoever has it at the moment. */
#ifndef PENSTOCK_PROXY_EXPLAIN_H
#define PENSTOCK_PROXY_EXPLAIN_H

#include "balance/candidate.h"
#include "balance/config.h"
#include "balance/decision.h"
#include "balance/ops.h"
#include "balance/pool_map.h"
#include "balance/sheet.h"
#include "net/mailbox.h"
#include "proxy/choose.h"
#include "proxy/direct.h"
#include "proxy/retry.h"

enum {
    EXPLAIN_LISTED = 8,                /* candidates that a remembered step names */
    EXPLAIN_SIZE_MAX = 8 * 1024 * 1024 /* of a hypothetical decision: later candidates are left out */
};

struct exchange;
struct worker;

struct explanation {
    struct message message;

    /* the question: filled in by whoever asks */
    char *head;                      /* as it would come from a client */
    size_t head_length;
    struct address client;           /* sa_family 0: none, as over a unix socket */
    char *listener;                  /* its address as the configuration has it; NULL: none */
    const char *request_id;          /* in place of those: of a request that was sent. Lasts until `done` */
    unsigned last;                   /* in place of those: so many of the last requests, or of those that failed somewhere */
    bool only_failed;
    /* Runs on the control thread; owns it. */
    void (*done)(struct explanation *, void *arg);
    void *arg;

    /* the answer */
    struct decision **found;         /* those that were sent, the newest first: of an id one alone */
    size_t n_found;
    unsigned same_id;                /* remembered requests with that id */
    struct decision *decision;       /* of one that nobody sent; NULL: the worker stops, or memory is out */
    bool malformed;                  /* no client could send that */
    enum choice_result result;
    double *scores;                  /* while it is under way: room for the largest group */
};

struct explanation *explanation_new(void) __attribute__((returns_nonnull));
void explanation_free(struct explanation *);
/* Any thread; `done` runs on the control thread, brought there by its mailbox. */
void worker_post_explanation(struct worker *, struct explanation *);
/* Answers it, on the worker's thread. */
void explain(struct worker *, struct explanation *);

/* --- what is told; each does nothing where nothing is noted --- */

/* Of a request that starts: its worker remembers it, if it remembers any. */
void explain_begin(struct exchange *);
void explain_end(struct exchange *, enum reason);
/* The exchange is gone. */
void explain_let_go(struct exchange *);

void explain_directed(const struct exchange *, enum direction, const struct rule *);
/* Somebody asked for the client's place: it is the exchange's now. */
void explain_located(const struct exchange *);
void explain_list(const struct exchange *, enum pool_map_kind by);
/* `why_not`: RULED_IN where it stays. */
void explain_session(const struct exchange *, enum ruled_out why_not);
/* It has none that is known. */
void explain_no_session(const struct exchange *, enum session_told);
/* Its answer carries the cookie of its session. */
void explain_gives_cookie(const struct exchange *);
void explain_last_resort(const struct exchange *, const struct pool *fallback);
void explain_queued(const struct exchange *);
void explain_try(const struct exchange *, enum try_how);
void explain_failed(const struct exchange *, enum reason, unsigned status, const char *detail);
/* What comes of it. */
void explain_then(const struct exchange *, enum failed_then);
/* It is sent again to another endpoint. */
void explain_retry(const struct exchange *);
/* It is not sent again. */
void explain_refused(const struct exchange *, enum retry_refused);

/* One question to a policy: between the pools of a list, or the endpoints of a pool. */
struct explain_step {
    struct decision *decision;    /* NULL: nothing is noted */
    struct note_on_sheet *note;
    const struct pool *pool;      /* or */
    const struct pool_list *list;
    const struct steering_candidate *candidates; /* as the policy sees them, and why: by the index of the pool's endpoints or the list's pools */
    const struct candidacy *standings;
    struct step_sheet **sheet;    /* for those that are remembered, as long as candidates and standings are the same; NULL there: not made yet */
};
/* It is about to be asked, or would be if anybody could be chosen. Fills in `note`; the rest is given. `out`: how many are out, and why. */
void explain_step(struct explain_step *, const struct exchange *, enum usability level, const char *policy, size_t n,
                  const uint32_t out[RULED_WEIGHT + 1]);
/* Room for the policy's scores, of `few` where the step has no more candidates; NULL: they are not wanted. */
double *explain_scores(const struct explain_step *, const struct exchange *, double few[EXPLAIN_LISTED]);
/* The policy looked, and saw that. */
void explain_in_flight(struct explain_step *, size_t index, uint32_t);
void explain_connections(struct explain_step *, size_t index, uint32_t);
void explain_latency(struct explain_step *, size_t index, const struct steering_latency *);
/* Asked again, since whoever was chosen could not be had, it says what it says then. */
void explain_asked(struct explain_step *, const struct steering_policy *, bool by_session, const double *scores, size_t chosen);
void explain_ruled_out(struct explain_step *, size_t index, enum ruled_out);

#endif
