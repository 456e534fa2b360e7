/* Somebody to dial: "host:port", numeric or a name of this machine, or "unix:PATH", and the address that it means. */
#ifndef PENSTOCK_SIM_PEER_H
#define PENSTOCK_SIM_PEER_H

#include <stdbool.h>
#include <sys/socket.h>

#define PEER_UNIX "unix:"

struct peer {
    char *text;
    struct sockaddr_storage address;
    socklen_t length; /* 0: it can't be resolved */
};

/* Copies the text. False if it can't be resolved. */
bool peer_init(struct peer *, const char *text);
void peer_clear(struct peer *);
bool peer_equal(const struct peer *, const struct peer *);
/* A socket that is connecting, or -1. */
int peer_dial(const struct peer *);

#endif
