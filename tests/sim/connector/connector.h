/* A connector: an id, a tunnel's credentials, ingress rules, and its connections to the edge, which it opens, opens again and at
 * the end closes as cloudflared does. */
#ifndef PENSTOCK_SIM_CONNECTOR_H
#define PENSTOCK_SIM_CONNECTOR_H

#include "base/uuid.h"
#include "edge/token.h"
#include "tests/sim/connector/ingress.h"
#include "tests/sim/connector/session.h"

enum connection_state {
    CONNECTION_OFF, CONNECTION_WAITING, CONNECTION_QUEUED, CONNECTION_UP, CONNECTION_REGISTERED, CONNECTION_DONE
};

struct connection {
    struct list queued;
    struct connector *connector;
    unsigned index;
    enum connection_state state;
    struct session *session;
    int slot;               /* in sim->edges; -1: none */
    int avoid;              /* the slot where dialling failed last; -1: none */
    unsigned attempts;      /* in a row that failed */
    enum loss refusal;      /* what the edge said before the TCP connection ended */
    ev_timer wait;
    uint64_t requests;
    char location[65];
};

struct connector {
    struct sim *sim;
    char id[UUID_TEXT_SIZE];
    struct credentials credentials;
    struct ingress *ingress;
    int version;             /* of the configuration; -1: its own */
    bool was_registered;     /* once: from then on it never gives up */
    bool gave_up;
    bool *slot_taken;
    struct connection *connections;
    unsigned n_connections;
};

struct connector *connector_new(struct sim *, const struct credentials *, struct ingress *);
void connector_start(struct connector *);
void connector_free(struct connector *);
unsigned connector_ready(const struct connector *); /* connections that are registered */
/* Takes a pushed configuration if its version is higher. False: it is not sound. */
bool connector_configure(struct connector *, int version, json_t *configuration);
/* What it tells the edge of its own rules; the caller frees. */
char *connector_local_configuration(const struct connector *);

/* Told by sessions. */
void connection_dialled(struct connection *); /* or failed to: the next may dial */
void connection_registered(struct connection *, struct slice location);
void connection_refused(struct connection *, enum loss);
void connection_unready(struct connection *); /* its control stream is gone, it serves on */
void connection_lost(struct connection *, enum loss, const char *why);

/* All connectors unregister, finish what runs, and the loop ends. */
void sim_stop(struct sim *);

#endif
