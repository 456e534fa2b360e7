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

/* Opens `n` sockets into fds, non-blocking and close-on-exec: TCP with SO_REUSEPORT one each (another process that listens there
 * already is an error all the same); a unix socket once, the same descriptor in every place (a stale socket file, one that nobody
 * answers on, is replaced; a living one is an error). The host is numeric, empty or "localhost" (127.0.0.1); "" and "::" take both
 * families. What is accepted inherits TCP_NODELAY and keep-alive probes every 30 s.
 * False, with everything closed again and a message in `error` (>= LISTENER_ERROR_SIZE bytes) that names the address and the cure. */
#define LISTENER_ERROR_SIZE 256
bool listener_open(const struct listen_spec *, int *fds, size_t n, char *error);

/* Sockets inherited from systemd (LISTEN_FDS): the descriptor that listens on `address`, made non-blocking and close-on-exec; or -1. */
int listener_inherited(const char *address);

#endif
