/* What a connector needs to become a tunnel's: for those who may know the secret. */
#ifndef PENSTOCK_CONTROL_TUNNEL_ACCESS_H
#define PENSTOCK_CONTROL_TUNNEL_ACCESS_H

#include "control/control.h"
#include "edge/token.h"

/* {"id", "name", "account", "token", "credentials_file", "ca_file", "ca", "edge", "connections", "pushed"}. "token": holds the secret;
 * "credentials_file": `path`, null where that is ""; "ca": the PEM text, null if the file can't be read; "edge": the addresses to
 * dial; "connections": how many of them a connector should have; "pushed": it gets its rules from us. */
json_t *tunnel_access_json(const struct control *, const char *name, const struct credentials *, const char *path)
    __attribute__((returns_nonnull));

#endif
