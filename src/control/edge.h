/* What connectors dial: sockets, certificate and policy of the edge's workers. Control thread. */
#ifndef PENSTOCK_CONTROL_EDGE_H
#define PENSTOCK_CONTROL_EDGE_H

#include "control/control.h"
#include "edge/edge.h"

#include <time.h>

struct edge;
/* `listening` runs, with `arg`, for each worker that has adopted what was posted, see edge_worker_options. */
struct edge *edge_new(struct control *, unsigned workers, void (*listening)(void *control, unsigned worker))
    __attribute__((returns_nonnull));
/* After the workers, and after what they posted was handled. NULL is fine. */
void edge_free(struct edge *);

/* Of its certificate: the clock, and how often it is looked whether that ends soon. For tests; daily by itself. */
void edge_set_time(struct edge *, nsec_t (*wall)(void), double every_s);

/* For the worker of that index; they live as long as the edge. */
const struct edge_worker_options *edge_options(const struct edge *, unsigned worker);
/* Where each is put when it is made. */
struct edge_worker **edge_workers(struct edge *);

/* Has the certificate and its key ready for a configuration that is about to be published. False: `messages` says why. */
bool edge_prepare(struct edge *, const struct config *, struct conf_messages *messages);
void edge_abandon(struct edge *);
/* Posts the sockets of the configuration in force, its policy and the certificate that was prepared to the workers; no sockets
 * when we stop. Part of publish_listening(). */
void edge_post(struct edge *);
/* A worker adopted what was posted last: what it held before may go. */
void edge_adopted(struct edge *, unsigned worker);

/* When the certificate in use ends; 0: there is none. */
time_t edge_certificate_end(const struct edge *);
/* The file with the CA that connectors verify us by; NULL: there is no edge. */
const char *edge_ca_file(const struct edge *);

#endif
