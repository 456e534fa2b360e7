/* The store's tables and the SQL about them. One thread at a time; every call may wait for the disk. */
#ifndef PENSTOCK_CONTROL_DATABASE_H
#define PENSTOCK_CONTROL_DATABASE_H

#include "control/store.h"

enum database_result {
    DATABASE_DONE,
    DATABASE_RETRY,  /* the disk, not the statement: the same may succeed later */
    DATABASE_REFUSED /* it never will */
};

struct database;
/* See store_open. */
struct database *database_open(const char *directory, char error[static STORE_ERROR_SIZE]);
void database_close(struct database *);
/* Of the last call that was not DATABASE_DONE. */
const char *database_error(const struct database *);

/* Writes stand between these; whatever fails with RETRY has to be rolled back. */
enum database_result database_begin(struct database *);
enum database_result database_commit(struct database *);
void database_rollback(struct database *);

enum database_result database_add_event(struct database *, const struct event *, char *const *channels, size_t n_channels);
enum database_result database_forget_delivery(struct database *, uint64_t sequence, const char *channel);
enum database_result database_set_override(struct database *, const char *endpoint, enum admin_state, double weight);
enum { DATABASE_PRUNE_MAX = 1000 };
/* Removes events older than `oldest` (wall) and the oldest beyond `keep`, but for those with undelivered alerts; at most
 * DATABASE_PRUNE_MAX of either kind. `removed` gets how many. */
enum database_result database_prune(struct database *, nsec_t oldest, uint64_t keep, uint64_t *removed);

uint64_t database_count_events(const struct database *);
uint64_t database_last_sequence(struct database *);
void database_each_override(struct database *, void (*each)(void *arg, const char *endpoint, enum admin_state, double weight), void *arg);
void database_each_undelivered(struct database *, void (*each)(void *arg, const char *channel, struct event *), void *arg);
void database_each_last(struct database *, void (*each)(void *arg, struct event *), void *arg);
/* Fills `out` (room for STORE_READ_MAX) with references, oldest first; returns how many. */
size_t database_read_events(struct database *, const struct event_query *, struct event **out, bool *found_after);

#endif
