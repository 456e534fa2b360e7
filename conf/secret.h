/* Values that may stand in a file or in the environment instead of in the configuration. */
#ifndef PENSTOCK_CONF_SECRET_H
#define PENSTOCK_CONF_SECRET_H

#include "conf/loader.h"

/* What a secret's X, X_file or X_env says, in the configuration's arena; NULL after telling what is wrong. */
const char *secret_read(struct loader *, const struct conf_key *, const struct given *);
/* Whether somebody else's process may read the file of a secret. */
void warn_of_readable_secret(struct loader *, const char *path, struct source at);

#endif
