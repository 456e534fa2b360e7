/* How a request was decided, as the code that decides it tells: one block of bytes, written by one thread; nothing is allocated. But for
 * steps on sheets (sheet.h), which are unfolded first, it refers to nothing outside, and may be read later, on another thread and under
 * another configuration. Where the block is full, `cut` is set: steps and candidates are left out first, tries last.
 *
 * All `decision_…` that write do nothing where there is no block (NULL). Positions are offsets in the block; 0: none. */
#ifndef PENSTOCK_BALANCE_DECISION_H
#define PENSTOCK_BALANCE_DECISION_H

#include "balance/place.h"
#include "balance/reason.h"
#include "base/clock.h"
#include "base/slice.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What keeps a candidate out of a choice. */
enum ruled_out {
    RULED_IN,
    RULED_USABILITY, /* an endpoint is worse than the level; a pool has not its minimum of that level */
    RULED_DISABLED,  /* a pool */
    RULED_WEIGHT,    /* it is 0 */
    RULED_TRIED,     /* the request failed there */
    RULED_FULL,      /* an endpoint at its max_in_flight */
    RULED_SHED,      /* the pool sheds this request */
    RULED_EMPTY,     /* none of the pool's endpoints, or of the connector's connections, could be had */
    RULED_DRAINED,   /* a connector, by the operator */
    RULED_DOUBTFUL,  /* a connector: one of its connections failed the request, or does not answer */
    RULED_SUSPECT,   /* a connection that does not answer */
    RULED_GOING,     /* a connection that ends */
    RULED_SICK,      /* a connection that monitors found not to carry requests */
    RULED_OUTS
};

/* Between whom a step chooses. */
enum step_among { AMONG_POOLS, AMONG_ENDPOINTS, AMONG_CONNECTORS, AMONG_LINES };

enum note_kind { NOTE_SESSION, NOTE_LIST, NOTE_STEP, NOTE_ON_SHEET /* sheet.h */, NOTE_LAST_RESORT, NOTE_QUEUED, NOTE_TRY, NOTE_FAILED, NOTE_FAILOVER };

/* What happened, in order. */
struct note {
    uint32_t next;
    uint8_t kind; /* enum note_kind */
};

/* What of a session the request brought. */
enum session_told {
    SESSION_KNOWN,
    SESSION_KEYED,   /* the hash of its header is its endpoint */
    SESSION_ABSENT,
    SESSION_REFUSED, /* a cookie that is forged, damaged, or another load balancer's */
    SESSION_OVER,    /* too old, or idle for too long */
    SESSION_GONE     /* of an endpoint that is not the load balancer's any more */
};

struct note_session {
    struct note note;
    uint8_t told;           /* enum session_told */
    uint8_t type;           /* enum affinity_type */
    bool stays;             /* SESSION_KNOWN only, like all below */
    uint8_t why_not;  /* enum ruled_out */
    uint8_t condition;      /* enum condition, of the endpoint */
    bool of_connector;      /* and to one connector of the endpoint's tunnel */
    bool connector_takes_it;
    uint32_t endpoint;
    uint32_t connector;     /* its id; 0: it is not connected */
    uint32_t name;          /* of the cookie or header; but not of SESSION_KNOWN */
};

struct note_list { /* which pools it may go to */
    struct note note;
    uint8_t by;       /* enum pool_map_kind */
    bool maps;        /* there are maps, too */
};

enum { NOT_ASKED = UINT32_MAX };

struct note_candidate {
    uint32_t index;      /* among all of the step */
    uint32_t name;
    uint32_t in_flight;  /* requests, as the policy saw it; NOT_ASKED: it did not look */
    uint32_t connections; /* open to it; likewise */
    uint8_t ruled_out;   /* enum ruled_out */
    uint8_t condition;   /* enum condition in candidate.h; of endpoints */
    uint8_t ejected_for; /* enum reason */
    uint8_t placed;      /* enum placed in config.h: where its coordinates come from */
    float weight;        /* all factors together; 0: out */
    float configured, given /* NaN: nothing */, slow_start, connections_share;
    float score;         /* the policy's; NaN: none */
    float latency_s;     /* NaN: unknown, or nobody looked */
};

struct note_step {
    struct note note;
    uint8_t among;         /* enum step_among */
    uint8_t level;         /* enum usability: who is as good as that, or better */
    bool asked;            /* false: there was nobody to choose from */
    bool by_session;       /* the session's key led, and not the load balancer's or pool's own policy */
    uint32_t within;       /* the pool, tunnel or connector */
    uint32_t policy;
    uint32_t n;            /* candidates */
    uint32_t room;         /* for so many of them, at `candidates` */
    uint32_t listed;       /* are there, in any order where that is fewer than n */
    uint32_t candidates;
    uint32_t chosen;       /* index; NOT_ASKED: nobody */
    uint32_t out[RULED_WEIGHT + 1]; /* of all: how many are out for that from the start, by enum ruled_out */
};

struct note_last_resort { /* health was ignored */
    struct note note;
    uint32_t fallback_pool; /* 0: the least bad endpoint serves */
};

struct note_queued {
    struct note note;
    uint32_t times;        /* that it looked and found all full */
    nsec_t after;          /* since the request's start */
};

enum try_how { TRY_FIRST, TRY_OTHER, TRY_SAME_FRESH /* after a reuse race */, TRY_OTHER_LINE };
struct note_try {
    struct note note;
    uint8_t how;           /* enum try_how */
    uint32_t endpoint;     /* 0, until unfolded: the one that was chosen last */
    nsec_t after;
};

/* What comes of a try that failed. */
enum failed_then {
    THEN_ANSWERED, /* `refused` says why */
    THEN_AGAIN,
    THEN_NOBODY,   /* it could go on, but there is no other */
    THEN_FULL,     /* none that takes it now */
    THEN_NO_BUDGET,
    THEN_WAITS     /* for the one that does not answer: it may live */
};
struct note_failed {
    struct note note;
    uint8_t reason;        /* enum reason */
    uint8_t then;          /* enum failed_then */
    uint8_t refused;       /* enum retry_refused in proxy/retry.h */
    uint8_t retry, retries; /* THEN_AGAIN: which of how many; 0: it is none that counts */
    uint16_t status;       /* of an answer; 0: none came */
    uint32_t detail;
    nsec_t after;
};

struct note_failover { /* what a failure would lead to */
    struct note note;
    bool across_pools;
    unsigned retries;
};

enum {
    DECISION_ID_SIZE = 65,
    DECISION_TEXT_MAX = 255,
    DECISION_ALIGNMENT = 8,
    DECISION_KEPT_FOR_TRIES = 512 /* bytes that steps leave: what failed, and how it went on, is said before who else there was */
};

struct decision {
    uint32_t size, used;       /* of the whole block */
    uint32_t listed;           /* candidates per step at the most */
    bool cut;
    bool lost;                 /* the last try: there was no room for it */
    bool over;
    bool located;              /* somebody asked for the client's place */
    uint8_t reason;            /* enum reason: how it ended */
    uint8_t direction;         /* enum direction in proxy/direct.h */
    uint16_t status;           /* as the client got it; 0: none */
    uint16_t down_status;      /* of the answer where there is nobody to send to */
    bool down_page;            /* which is a page of the operator's */
    bool rule_has_pools;       /* of its own */
    bool gives_cookie;         /* for its session */
    unsigned rule_line;        /* 0: no rule holds */
    uint32_t request_line, host, load_balancer, rule; /* the line without its version */
    uint32_t endpoint;         /* the last that was chosen */
    uint32_t first, last;      /* notes */
    uint32_t queued;           /* the note that it waits, while no try followed */
    uint32_t failed;           /* the note of the last failure; 0: there was none, or no room for it */
    uint32_t choice;           /* the note on a sheet that chose the endpoint; 0: something else did */
    sa_family_t client_family; /* 0: there is no client's address, as over a unix socket */

    /* not zeroed at the start */
    nsec_t started_wall, took;
    nsec_t first_byte;         /* of the endpoint's answer, since the start; 0: none came */
    uint64_t bytes;            /* of the answer's body, to the client */
    struct address client;
    struct place place;
    char id[DECISION_ID_SIZE];
};

/* `size` bytes, aligned like a struct decision, are its own. */
void decision_begin(struct decision *, size_t size, unsigned listed);

/* The text's position; cut after `max` bytes, or DECISION_TEXT_MAX. 0 where there is no room, or no text. */
uint32_t decision_add_text(struct decision *, struct slice, size_t max);
/* The same for what belongs to a step. */
uint32_t decision_add_name(struct decision *, const char *);
/* NULL for 0. */
const char *decision_text(const struct decision *, uint32_t);

/* Notes of all kinds; NULL where there is no room. */
void *decision_add(struct decision *, enum note_kind, size_t size);
/* The position of so many bytes, with `leave` of them left behind it; 0 where there is no room. */
uint32_t decision_take(struct decision *, size_t, size_t leave);
/* A note that is not filled in but for its kind. */
void *decision_add_blank(struct decision *, enum note_kind, size_t size, size_t leave);
#define DECISION_ADD(decision, kind, type) ((struct type *)decision_add(decision, kind, sizeof(struct type)))
const struct note *decision_first(const struct decision *);
const struct note *decision_next(const struct decision *, const struct note *);

struct note_step *decision_add_step(struct decision *, enum step_among, const char *within, const char *policy, size_t n);
void note_candidate_init(struct note_candidate *, size_t index);
/* The candidate of that index, listed now if it was not; it has nothing but its index then, and `*fresh` is set. NULL: it is not listed
 * and there is no room. */
struct note_candidate *decision_list(struct decision *, struct note_step *, size_t index, bool *fresh);
/* The same for reading; NULL: it is not listed. */
const struct note_candidate *decision_candidate(const struct decision *, const struct note_step *, size_t index);
const struct note_candidate *decision_candidates(const struct decision *, const struct note_step *);

/* It found all full, and looks again later: what was noted while it waited before is forgotten. */
void decision_add_queued(struct decision *, nsec_t after);
/* `endpoint` NULL: as the choice says. Without room for its name it is not noted: a former choice would name it. */
void decision_add_try(struct decision *, enum try_how, const char *endpoint, nsec_t after);

static inline uint32_t decision_aligned(size_t n)
{
    return (uint32_t)((n + DECISION_ALIGNMENT - 1) & ~(size_t)(DECISION_ALIGNMENT - 1));
}

static inline void *decision_at(const struct decision *d, uint32_t position)
{
    return (char *)(uintptr_t)d + position;
}

#endif
