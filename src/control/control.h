/* The control thread: knows and decides. Everything here is used on its thread only. */
#ifndef PENSTOCK_CONTROL_CONTROL_H
#define PENSTOCK_CONTROL_CONTROL_H

#include "balance/candidate.h"
#include "balance/config.h"
#include "balance/verdict.h"
#include "conf/conf.h"

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

/* What control knows of an endpoint beyond its live state; keyed by id, survives reloads. */
struct endpoint_record {
    char *id;
    struct endpoint_live *live;
    struct resolver_watch *watch; /* NULL: numeric or a unix socket */
    struct control *control;
    struct evidence evidence;
    struct verdict verdict;
    nsec_t since;                 /* wall: of the verdict's state */
    nsec_t usable_since;          /* monotonic; 0: since the start */
    const struct endpoint *endpoint; /* in the configuration in force; NULL once it is gone */
    UT_hash_handle hh;
};

struct pool_record {
    char *name;
    enum pool_state state;
    nsec_t since; /* wall */
    char reason[VERDICT_TEXT_SIZE];
    const struct pool *pool;
    UT_hash_handle hh;
};

enum load_balancer_state { LB_HEALTHY /* first choice in use, all pools usable */, LB_DEGRADED /* some pool is not usable */, LB_FAILOVER /* the first pool is not usable */,
                           LB_FALLBACK /* no pool usable: fallback pool or least bad endpoints, health ignored */, LB_DOWN /* nobody to send to */, LB_DISABLED };
const char *load_balancer_state_name(enum load_balancer_state);
struct load_balancer_record {
    char *name;
    enum load_balancer_state state;
    nsec_t since;
    char reason[VERDICT_TEXT_SIZE];
    const struct pool *pool; /* where requests go by order; NULL: nowhere */
    const struct load_balancer *load_balancer;
    UT_hash_handle hh;
};

struct control {
    struct ev_loop *loop;
    struct config *config;        /* in force */
    const char *config_path;
    char *state_dir;              /* NULL: nothing is kept on disk */
    nsec_t started;               /* wall */
    bool stopping;
    struct balance_epoch epoch;
    struct worker **workers;      /* those that move traffic */
    size_t n_workers;
    struct worker *admin;         /* serves the admin API on this loop */
    struct admin *api;            /* made by admin_start, freed by admin_stop */
    struct bus *bus;
    struct store *store;
    struct dispatcher *dispatcher;
    struct scheduler *scheduler;
    struct resolver *resolver;
    struct endpoint_record *endpoints; /* uthash, by id */
    struct pool_record *pools;         /* by name */
    struct load_balancer_record *load_balancers;
};

struct endpoint_record *control_find_endpoint(struct control *, const char *id);

/* The operator's word at run time: kept in the store until undone, shown, evented. False: no such endpoint. */
bool control_set_admin(struct control *, const char *id, enum admin_state);
/* NaN: back to the file's. */
bool control_set_weight(struct control *, const char *id, double weight);

/* Loads the file anew and puts it in force, or changes nothing and says why. `messages` gets errors and warnings. */
bool control_reload(struct control *, struct conf_messages *messages);

/* Runs the pool's monitors once, now, on one endpoint or (NULL) all of the pool. `done` gets a JSON array, one object per endpoint and
 * monitor: endpoint, monitor, pass, diagnosis, detail, status, address, connect_ms, tls_ms, first_byte_ms, total_ms. False: no such pool
 * or endpoint. */
bool control_monitor_test(struct control *, const char *pool, const char *endpoint, void (*done)(void *arg, json_t *results), void *arg);

/* Serves until told to stop; returns the exit status. */
struct serve_options {
    const char *config_path;
    const char *state_dir; /* NULL: the configuration's, $STATE_DIRECTORY, the default */
    bool check_first;
};
int control_serve(const struct serve_options *);

#endif
