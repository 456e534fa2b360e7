/* Options that every TCP socket of ours gets. */
#ifndef PENSTOCK_NET_TCP_H
#define PENSTOCK_NET_TCP_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* No delay for small writes; a peer that is gone is noticed after two minutes of silence, by probes every 30 s. Sockets accepted from a
 * listening one inherit all of it. */
static inline void tcp_set_options(int fd)
{
    static const int on = 1, interval_s = 30, probes = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

#endif
