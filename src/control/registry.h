/* The insides of the registry (tunnels.h), shared by its files: tunnels.c finds and makes, tunnels_admission.c lets connections
 * in, tunnels_lines.c keeps who is connected, tunnels_operator.c does what the operator says, tunnels_push.c and tunnels_drift.c
 * see to equal configurations, tunnels_news.c tells and remembers, tunnels_json.c shows. */
#ifndef PENSTOCK_CONTROL_REGISTRY_H
#define PENSTOCK_CONTROL_REGISTRY_H

#include "base/log_quota.h"
#include "control/ingress.h"
#include "control/tunnel_file.h"
#include "control/tunnels.h"

enum {
    CONNECTORS_REMEMBERED = 64, /* of one tunnel, those without a connection included */
    PUSH_TRIES = 5,             /* versions tried on a connector that has a higher one */
};
#define PUSH_ANSWER_WAIT (10 * NSEC_PER_SEC) /* for the answer, and before that for a connection that can carry it */
#define PUSH_AGAIN_AFTER (500 * NSEC_PER_MSEC)
#define PUSH_LOST_WAIT (60 * NSEC_PER_SEC)   /* in a rolling change, for connectors that left to come back */

enum push_state {
    PUSH_NONE,
    PUSH_SENT,       /* an answer is awaited until `at` */
    PUSH_AGAIN,      /* its connection went before the answer, or its version was too low: sent again at `at` */
    PUSH_APPLIED,
    PUSH_REFUSED,    /* the connector did not take it */
    PUSH_UNANSWERED
};

/* A connector that has, or recently had, connections. */
struct connector_entry {
    struct tunnel_connector *shared; /* one reference */
    char features[8][CONNECTOR_TEXT_SIZE];
    unsigned n_features;
    unsigned n_lines;
    nsec_t gone_at;                  /* monotonic: of its last connection's end, while it has none */
    json_t *local;                   /* what it says its own rules are, canonical; NULL: nothing */
    struct {
        enum push_state state;
        nsec_t at, deadline;         /* monotonic */
        unsigned tries;
        int version;                 /* of the last one sent */
        uint64_t hash;               /* of its ingress */
        char answer[128];
    } push;
};

/* The last probe over a connection, of any monitor. */
struct line_probe {
    nsec_t at; /* wall; 0: none yet */
    bool pass;
    char monitor[64];
    char detail[VERDICT_TEXT_SIZE];
};

struct line_entry {
    struct tunnel_line *line;        /* one reference */
    struct connector_entry *connector;
    bool draining;
    nsec_t close_at;                 /* monotonic: its worker was, or is again, asked to close it; 0: it stays */
    char why_closed[128];
    unsigned sick;                   /* monitors that say so */
    char sick_detail[VERDICT_TEXT_SIZE];
    struct line_probe probe;
};

struct tunnel_entry {
    struct tunnels *tunnels;
    struct tunnel *tunnel;           /* one reference */
    bool in_file;                    /* of the configuration file; else of the state directory */
    bool deleted;                    /* stays until its last connection is closed */
    bool marked;                     /* while a configuration is compared */
    bool was_usable, was_connected;  /* when its endpoints were last judged */
    nsec_t unusable_since;           /* monotonic: connected, but no connection takes requests; 0: not so */
    bool any_account;                /* the file names none */
    struct credentials credentials;
    nsec_t created;                  /* wall; 0: not known yet */
    struct connector_entry *connectors[CONNECTORS_REMEMBERED];
    unsigned n_connectors;
    struct line_entry *lines[TUNNEL_CONNECTIONS_MAX + 1];
    unsigned n_lines;
    char last_end[VERDICT_TEXT_SIZE];
    struct tunnel_memory memory;     /* its standing is the one in force */
    bool unsaved;
    bool restless;                   /* something changes with time alone: looked at with each tick, the others once a second */

    char *ingress;                   /* what is pushed, as JSON; NULL: nothing */
    json_t *pushed;                  /* the same, canonical */
    uint64_t ingress_hash;
    bool rolling;                    /* waits for its turn in a rolling change, or has it */
    json_t *effective;               /* rules that its connectors follow, or last did, canonical; NULL: not known */
    uint64_t effective_hash;
    nsec_t first_connected;          /* monotonic: since when it has connections without a break; 0: it has none */
    UT_hash_handle hh;               /* by id */
};

/* Rules that differ where they should not: between an endpoint's tunnel and the others of its pool, or between the connectors of
 * a tunnel. */
struct drift {
    char *subject;                   /* POOL/ENDPOINT, or a tunnel's id */
    char tunnel[UUID_TEXT_SIZE];
    char other[TUNNEL_NAME_SIZE];    /* the tunnel, or connector, it is compared with */
    char words[INGRESS_DIFFERENCE_SIZE];
    nsec_t since;                    /* monotonic */
    bool told, seen;
    UT_hash_handle hh;
};

struct tunnels {
    struct control *control;
    struct tunnel_entry *entries;    /* uthash, by id */
    char location[EDGE_LOCATION_SIZE];
    unsigned expected, connectors_max, connections_max;
    uint64_t last_line;
    struct log_quota refusals;
    struct tunnel_entry *rolling;    /* whose turn it is in a rolling change; NULL: nobody's */
    nsec_t rolling_lost_at;          /* monotonic: since when that one has no connector; 0: it has */
    bool change_waits;               /* a connected tunnel may be waiting for its turn: of thousands at rest none is looked at */
    bool any_restless;               /* likewise */
    struct drift *drifts;            /* uthash, by subject */
    bool drift_dirty;                /* they are to be found anew, */
    nsec_t compare_at;               /* monotonic: but not before */
    bool republish;                  /* a tunnel came or went that the configuration in force should know of */
    ev_timer tick;
    unsigned ticks;
    uint64_t epoch;                  /* of the last tick: workers move it when a tunnel's usability turns */
    nsec_t (*monotonic)(void);       /* clocks: tests script them */
    nsec_t (*wall)(void);
};

/* NULL when we have stopped. */
static inline struct edge_worker *registry_worker(const struct tunnels *t, unsigned index)
{
    return t->control->edge_workers ? t->control->edge_workers[index] : NULL;
}

static inline void registry_make_restless(struct tunnel_entry *e)
{
    e->restless = e->tunnels->any_restless = true;
}

/* tunnels.c */
struct tunnel_entry *registry_add(struct tunnels *, const char *id, const char *name);
void registry_remove(struct tunnel_entry *);
/* Closes its connections; it is removed with the last of them. */
void registry_delete(struct tunnel_entry *, const char *why);
struct tunnel_entry *registry_find(const struct tunnels *, const char *id_or_name);
struct tunnel_entry *registry_by_id(const struct tunnels *, const char *id);
/* What only time changes: news that have waited, pushes without an answer, what is to be written. */
void registry_tick(struct tunnels *);

/* tunnels_admission.c */
/* Says how many refusals went without a word, once their time is over. */
void registry_end_refusals(struct tunnels *);

/* tunnels_lines.c */
struct connector_entry *registry_connector(const struct tunnel_entry *, const char *id);
struct connector_entry *registry_connector_make(struct tunnel_entry *, const struct edge_registration *);
void registry_connector_apply_word(struct tunnel_entry *, struct connector_entry *);
struct line_entry *registry_line(const struct tunnel_entry *, uint64_t id);
/* Takes over the reference. */
struct line_entry *registry_line_add(struct tunnel_entry *, struct connector_entry *, struct tunnel_line *);
/* Asks its worker to close it; it counts no more. */
void registry_line_close(struct tunnel_entry *, struct line_entry *, const char *why);
void registry_close_all(struct tunnel_entry *, const char *connector /* NULL: all */, const char *why);
/* Somebody came or went: view, status, endpoints. */
void registry_lines_changed(struct tunnel_entry *);
/* Drains, weights or sickness changed. */
void registry_usability_changed(struct tunnel_entry *);
bool registry_line_counts(const struct line_entry *); /* it is not on its way out */
unsigned registry_count_lines(const struct tunnel_entry *, const struct connector_entry *); /* that count; NULL: all */
/* Orders that have come to nothing, connectors that need not be remembered any more. */
void registry_lines_tick(struct tunnel_entry *);
bool registry_lines_are_closing(const struct tunnel_entry *);
void registry_forget_all(struct tunnel_entry *);

/* tunnels_news.c */
void registry_recount(struct tunnel_entry *); /* the standing, and what is to be told of it */
void registry_tell_due(struct tunnel_entry *);
void registry_judge_endpoints(struct tunnel_entry *);
/* Usable or not, awaited or not: shown to the endpoints where it turned. */
void registry_look(struct tunnel_entry *);
void registry_save(struct tunnel_entry *);    /* now; what fails is logged and tried again */

/* tunnels_join.c */
/* The configuration in force has to learn of it, where an endpoint names it or a pool has a pattern for it. */
void registry_came(struct tunnel_entry *);
void registry_went(struct tunnel_entry *);
void registry_join_tick(struct tunnels *);

/* tunnels_push.c */
void registry_set_ingress(struct tunnel_entry *, const struct edge_ingress *);
void registry_push_on_registration(struct tunnel_entry *, struct connector_entry *);
/* Whose turn it is in a rolling change. */
void registry_roll(struct tunnels *);
void registry_push_tick(struct tunnel_entry *);
bool registry_push_is_under_way(const struct tunnel_entry *);
void registry_push_line_closed(struct tunnel_entry *, struct connector_entry *);

/* tunnels_drift.c */
void registry_configuration_changed(struct tunnel_entry *);
void registry_drift_tick(struct tunnels *);
/* It connected a moment ago, what rules it has is not known yet, and some pool wants identical ones. */
bool registry_awaits_rules(const struct tunnel_entry *);
const struct drift *registry_drift(const struct tunnels *, const char *subject);
void registry_forget_drifts(struct tunnels *);

#endif
