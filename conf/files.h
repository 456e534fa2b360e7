/* The files a configuration names. */
#ifndef PENSTOCK_CONF_FILES_H
#define PENSTOCK_CONF_FILES_H

#include "conf/loader.h"

/* Tells of each file that was read or named and that `user` couldn't read at the next reload, and of an access log that it couldn't
 * write. */
void check_files_of_user(struct loader *);
/* The path of a unix socket, `given` with or without "unix:" by `key` in the file of `at`: absolute, as what binds it needs it. */
const char *socket_path(struct loader *, const char *key, const char *given, struct source at);
/* Whether somebody else's process may read a private key. */
void warn_of_readable_key(struct loader *, const char *path, struct source at);

#endif
