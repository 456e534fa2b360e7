/* Listening sockets: opened once by the control thread before privileges are dropped, and kept over reloads. */
#ifndef PENSTOCK_NET_LISTENER_H
#define PENSTOCK_NET_LISTENER_H

#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* "host:port", "[v6]:port", ":port", "unix:/path" */
struct listen_spec {
    const char *address;
    mode_t mode;        /* unix sockets: permissions; 0: as the umask says */
    const char *group;  /* unix sockets; NULL: unchanged */
};

/* Opens `n` sockets into fds: TCP with SO_REUSEPORT one each; a unix socket once, the same descriptor in every place (a stale
 * socket file, one that nobody answers on, is replaced; a living one is an error). Host names are resolved (numeric or "localhost").
 * False, with everything closed again and a message in `error` (>= 256 bytes) that names the address and the cure. */
bool listener_open(const struct listen_spec *, int *fds, size_t n, char *error);

/* Sockets inherited from systemd (LISTEN_FDS): the descriptor bound to `address`, or -1. */
int listener_inherited(const char *address);

#endif
