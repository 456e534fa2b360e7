/* Where the daemon keeps what outlives it, and the lock by which only one daemon does. */
#ifndef PENSTOCK_CONTROL_STATE_DIR_H
#define PENSTOCK_CONTROL_STATE_DIR_H

#include "balance/config.h"

#include <stdbool.h>

#define STATE_DIR_DEFAULT "/var/lib/penstock"
#define STATE_DIR_ERROR_SIZE 512

struct state_dir {
    char *path; /* NULL: nothing is kept on disk */
    int lock;   /* -1: none */
};

/* --state-dir, else $STATE_DIRECTORY, else the configuration's, else the default. *asked: somebody named it, so not having it is an error.
 * The caller frees. */
char *state_dir_choose(const char *option, const struct config *, bool *asked) __attribute__((returns_nonnull, warn_unused_result));
/* The folder chosen; the default only where it exists or can be made. Makes the folder (0700, the user's), and takes the lock. False with a message that names the cure. */
bool state_dir_open(struct state_dir *, const char *option, const struct config *, char error[static STATE_DIR_ERROR_SIZE]);
void state_dir_close(struct state_dir *);

#endif
