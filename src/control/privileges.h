/* What the process may do, and what others may learn from it. At start, before any thread: capabilities belong to threads. */
#ifndef PENSTOCK_CONTROL_PRIVILEGES_H
#define PENSTOCK_CONTROL_PRIVILEGES_H

#include <stdbool.h>

#define PRIVILEGES_ERROR_SIZE 256

/* As many descriptors as the hard limit allows; no core dumps, which would hold secrets. */
void privileges_limits(void);
/* Becomes `user` and its groups, for good, keeping only the right to bind low ports (a reload may need to). Nothing to do if we are that
 * user already. False with a message that names the cure. */
bool privileges_drop(const char *user, char error[static PRIVILEGES_ERROR_SIZE]);
/* Gives a file or folder that was made as root to `user` (NULL: nobody to give it to). */
void privileges_give(const char *path, const char *user);

#endif
