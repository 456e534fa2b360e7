/* The control thread: knows and decides. Everything here is used on its thread only. */
#ifndef PENSTOCK_CONTROL_CONTROL_H
#define PENSTOCK_CONTROL_CONTROL_H

#include "balance/candidate.h"
#include "balance/config.h"
#include "balance/tunnel.h"
#include "balance/verdict.h"
#include "conf/conf.h"
#include "net/mailbox.h"

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <uthash.h>

struct admin;
struct bus;
struct store;
struct dispatcher;
struct scheduler;
struct resolver;
struct resolver_watch;
struct worker;
struct log_sink;
struct control;
struct sockets;
struct threads;
struct certificates;
struct places;
struct tunnels;
struct edge;
struct edge_worker;
struct simulator;

/* A UUID that endpoints name. What is known of it here comes through those endpoints: the edge says 530/1033 or 1016 in place of a
 * tunnel without a connection, and any other answer was carried by one. */
struct tunnel_record {
    char *id;
    char *name;   /* of the first endpoint that names it */
    enum tunnel_status status;
    enum tunnel_status told;      /* by the last event, of this process or the one before; UNKNOWN: none yet */
    nsec_t since; /* wall */
    char reason[VERDICT_TEXT_SIZE];
    const struct config *config; /* the last one that names it */
    UT_hash_handle hh;
};

/* What control knows of an endpoint beyond its live state; keyed by id, survives reloads. */
struct endpoint_record {
    char *id;
    struct endpoint_live *live;
    struct control *control;
    const struct endpoint *endpoint; /* in the configuration in force */
    struct evidence evidence;
    struct verdict verdict;
    nsec_t since;                 /* wall: of the verdict's state */
    enum verdict_state told;      /* by the last event; UNKNOWN: none yet */
    enum verdict_state told_before; /* by the last event of the process before; its past is not this one's, but what was told was told */

    bool ramping;                 /* as of the last look */

    struct resolver_watch *watch; /* NULL: no name is dialled */
    char *watched_host;
    uint16_t watched_port;
    bool resolved;                /* its name had an answer at least once */
    char name_problem[VERDICT_TEXT_SIZE]; /* the last refresh failed and the former addresses serve on; "": nothing wrong */

    struct tunnel_record *tunnel; /* NULL: it names none */
    bool tunnel_suspect;          /* traffic met an inactive tunnel, not yet often enough */
    bool tunnel_failed;           /* it did so often enough to be believed, and nothing good came through since */
    uint64_t good_answers;        /* of traffic, when it was last ejected; see health.c */
    UT_hash_handle hh;
};

struct pool_record {
    char *name;
    enum pool_state state;
    enum pool_state told; /* by the last event, of this process or the one before; UNKNOWN: none yet */
    struct pool_census census;
    nsec_t since; /* wall */
    char reason[VERDICT_TEXT_SIZE];
    const struct pool *pool;
    UT_hash_handle hh;
};

enum load_balancer_state { LB_UNKNOWN /* no verdicts yet */, LB_HEALTHY /* first choice in use, all pools usable */,
                           LB_DEGRADED /* some pool is not as it should be */, LB_FAILOVER /* the first pool is not usable */,
                           LB_FALLBACK /* no pool usable: fallback pool or least bad endpoints, health ignored */, LB_DOWN /* nobody to send to */, LB_DISABLED };
const char *load_balancer_state_name(enum load_balancer_state);
struct way;
struct load_balancer_record {
    char *name;
    enum load_balancer_state state; /* the worst of its ways */
    nsec_t since; /* wall */
    char reason[VERDICT_TEXT_SIZE];
    const struct pool *pool; /* where requests go by the default pools' order; NULL: nowhere */
    struct way *ways;        /* see ways.h; the first is the default pools' */
    size_t n_ways;
    const struct load_balancer *load_balancer;
    UT_hash_handle hh;
};

/* What the operator said at run time, also of endpoints that the file does not have at the moment. */
struct override_record {
    char *id;
    enum admin_state admin;
    double weight; /* NaN: the file's */
    UT_hash_handle hh;
};

struct control {
    struct ev_loop *loop;
    struct mailbox mailbox;       /* what workers post; its owner is this */
    struct config *config;        /* in force */
    uint64_t generation;          /* of the last configuration published */
    const char *config_path;
    char *state_dir;              /* NULL: nothing is kept on disk */
    nsec_t started;               /* wall */
    bool listening;               /* workers accept; false before we are ready, and when we stop */
    bool stopping;
    struct balance_epoch epoch;
    struct worker **workers;      /* those that move traffic */
    size_t n_workers;
    struct worker *admin;         /* serves the admin API on this loop */
    struct admin *api;            /* made by admin_start, freed by admin_stop */
    struct log_sink *access_log;
    struct bus *bus;
    struct store *store;
    struct dispatcher *dispatcher;
    struct scheduler *scheduler;
    struct resolver *resolver;
    struct sockets *sockets;      /* what we listen on */
    struct threads *threads;      /* what the workers run on */
    struct places *places;        /* where clients are */
    struct certificates *certificates; /* when ours end */
    struct told_state *told;           /* uthash: before the start, see told.h */
    struct simulator *simulator;  /* NULL: none was asked for so far */
    struct tunnels *registry;     /* of our edge: its tunnels, and who is connected; NULL: in tests that need none */
    struct edge *edge;            /* what connectors dial; likewise */
    struct edge_worker **edge_workers; /* by worker */
    struct endpoint_record *endpoints; /* uthash, by id */
    struct pool_record *pools;         /* by name */
    struct load_balancer_record *load_balancers; /* by name */
    struct tunnel_record *tunnels;     /* by id; those of our own edge are the registry's */
    struct override_record *overrides; /* by endpoint id */
    struct named_tally *tallies;       /* by name, see tallies.h */
    ev_timer sweep;               /* runs only while something is ejected, ramping, or waits for a good answer */
    unsigned sweeps;
    bool unsettled;               /* some verdict changed since pools, load balancers and tunnels were looked at */
    struct session_keys session_keys; /* where the configuration has none; n == 0: not needed so far */
    unsigned next_worker;         /* whom the next probe goes to */
    char last_rejection[256];     /* the first error of a configuration that was refused since the one in force; "": none */
};

struct endpoint_record *control_find_endpoint(struct control *, const char *id);

/* The operator's word at run time: kept in the store until undone, shown, evented. False: no such endpoint. */
bool control_set_admin(struct control *, const char *id, enum admin_state);
/* NaN: back to the file's. */
bool control_set_weight(struct control *, const char *id, double weight);

/* Loads the file anew and puts it in force, or changes nothing and says why. `messages` gets errors and warnings. */
bool control_reload(struct control *, struct conf_messages *messages);
/* Puts the configuration in force in force again, with the tunnels that have joined its pools or left them; no file of it is read. */
bool control_rejoin(struct control *, struct conf_messages *messages);
/* A configuration like the one in force, made anew from what that was read from, for whoever wants one of its own. NULL: the files that it names
 * are not what they were. Live states are not attached. */
struct config *control_remake_config(struct control *, struct conf_messages *messages) __attribute__((warn_unused_result));

/* Runs the pool's monitors once, now, on one endpoint or (NULL) all of the pool. `done` gets a JSON array, one object per endpoint and
 * monitor: endpoint, monitor, pass, diagnosis, detail, status, address, connect_ms, tls_ms, first_byte_ms, total_ms; who keeps it
 * takes a reference. `done` runs at once where there is nothing to check. False: no such pool or endpoint, `done` does not run. */
bool control_monitor_test(struct control *, const char *pool, const char *endpoint, void (*done)(void *arg, json_t *results), void *arg);

/* Serves until told to stop; returns the exit status. */
struct serve_options {
    const char *config_path;
    const char *state_dir; /* NULL: the configuration's, $STATE_DIRECTORY, the default */
    bool check_first;      /* listen only once every monitor has looked at its endpoints */
};
int control_serve(const struct serve_options *);

#endif
