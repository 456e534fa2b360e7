/* What all parts of the stand-in share: one process, one loop, one thread. */
#ifndef PENSTOCK_SIM_SIM_H
#define PENSTOCK_SIM_SIM_H

#include "base/list.h"
#include "base/random.h"
#include "tests/sim/connector/peer.h"

#include <ev.h>
#include <openssl/ssl.h>

/* What it does wrong on demand. */
struct faults {
    bool mute_ping;       /* PINGs are not answered */
    bool silent;          /* on every stream but the control stream: requests wait, responses stop */
    bool never_register;  /* the control stream opens, and nothing comes */
    bool wrong_secret;
    bool broken_headers;  /* the packed fields of responses can't be unpacked */
    bool no_meta;         /* responses don't say who answered */
    unsigned refuse;      /* so many streams are refused, RST_STREAM(REFUSED_STREAM) */
    size_t huge_header;   /* bytes of a field that every response gets; 0: none */
};

struct sim {
    struct ev_loop *loop;
    SSL_CTX *tls;
    struct peer *edges; /* slots: the same address may stand there several times */
    unsigned n_edges;
    unsigned ha_connections, retries;
    double pace;  /* seconds that a second of cloudflared's waiting takes: between connections, before it tries again */
    double grace; /* seconds */
    const char *version;
    struct faults faults;
    struct random random;

    struct connector **connectors;
    unsigned n_connectors;
    bool stopping;
    ev_timer grace_timer;
    int exit_status;

    struct list touched; /* sessions with something to send, or at their end */
    ev_prepare before_wait;
    struct list idle_origins;
    unsigned n_idle_origins;
    struct list dial_queue; /* connections that wait until fewer are dialling */
    unsigned dialling;
    uint64_t requests;      /* streams that were requests, since the start */
    char date[32];          /* of the second `date_at` */
    time_t date_at;
};

#endif
