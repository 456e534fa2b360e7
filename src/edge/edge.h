/* The edge on one worker: accepts connectors, owns their connections, carries requests to them as streams, and passes on those for
 * connections of other workers. What a connection is for is decided by the registry on the control thread (edge/registry.h), with which
 * it speaks by messages. Unless said otherwise a function belongs to the worker's thread.
 *
 * A connection's life: accepted → TLS → HTTP/2 (we are the client) → control stream → registration asked of control → registered: a line
 * of its tunnel, perhaps on another worker → draining → closed. */
#ifndef PENSTOCK_EDGE_EDGE_H
#define PENSTOCK_EDGE_EDGE_H

#include "balance/live.h"
#include "balance/tunnel.h"
#include "edge/token.h"
#include "net/mailbox.h"
#include "net/tls.h"
#include "steering/policy.h"

#include <ev.h>

struct edge_worker;

enum {
    EDGE_HANDSHAKE_SECONDS = 10,     /* from accept to the registration call */
    EDGE_STRANGERS_PER_ADDRESS = 1024, /* connections of one address that are not registered yet */
    EDGE_STRANGERS = 4096,           /* of all addresses, per worker: a herd comes back at once */
    EDGE_FAILURES_PER_ADDRESS = 100, /* of strangers, per worker and EDGE_FAILURES_WINDOW; then it is not listened to until that is over */
    EDGE_FAILURES = 65536,           /* of all addresses: more are not remembered */
    EDGE_UPLOAD_WINDOW = 192 * 1024, /* bytes of one upload the connector has not taken yet */
    /* What a connector may send of one response ahead of its client; the second while the client is never behind. */
    EDGE_STREAM_WINDOW = 256 * 1024,
    EDGE_STREAM_WINDOW_WIDE = 1024 * 1024,
    EDGE_HEAD_MAX = 48 * 1024,       /* a response's head; larger: 502 for that request, and the connection lives */
    EDGE_HEAD_BLOCK_MAX = 64 * 1024, /* the same as it comes, packed and coded: as long as a string that nghttp2 takes may be */
};
#define EDGE_FAILURES_WINDOW (10 * NSEC_PER_SEC)

/* --- what a worker tells the control thread; each is a message, handled there by the callbacks of edge_worker_options --- */

struct edge_registration {
    uint64_t ticket;                 /* names the waiting connection in edge_worker_answer() */
    unsigned worker;
    struct credentials credentials;  /* cleared by whoever handles it */
    unsigned index;                  /* connIndex */
    char connector[UUID_TEXT_SIZE];
    char version[CONNECTOR_TEXT_SIZE], arch[CONNECTOR_TEXT_SIZE];
    char features[8][CONNECTOR_TEXT_SIZE];
    unsigned n_features;
    unsigned attempts;
    struct address peer;
};

struct edge_answer {
    bool accepted;
    /* accepted */
    struct tunnel *tunnel;           /* one reference, the connection's from then on */
    struct tunnel_connector *connector; /* likewise */
    struct tunnel_line *line;        /* likewise; its `worker` says where the connection goes */
    char location[32];
    bool remotely_managed;           /* we push its configuration: it need not tell us its own */
    /* refused */
    char cause[128];                 /* what the connector is told; then it is closed */
};

struct edge_worker_options {
    unsigned index, n_workers;
    struct edge_worker *const *workers; /* all of them, by index: filled in before any listens */
    struct balance_epoch *epoch;
    struct mailbox *control;
    void *arg;                       /* of the callbacks, which run on the control thread */
    void (*registered)(void *arg, struct edge_registration *); /* a connector asks; owned by the callee until it returns */
    /* The connection is over, or (`draining`) takes no new streams. Told once each, also for one that control itself closed. */
    void (*line_changed)(void *arg, const char *tunnel, uint64_t line, enum line_state, enum reason, const char *detail);
    void (*local_configuration)(void *arg, const char *tunnel, const char *connector, const char *json, size_t n);
    /* Also where it came to nothing, the connection being gone: then not applied, and `answer` is "". */
    void (*pushed)(void *arg, const char *tunnel, const char *connector, int version, bool applied, const char *answer);
    /* Once for each edge_worker_post_listen(): those sockets are watched, and no others. Control may close the former ones, and free the
     * former server. */
    void (*listening)(void *arg, unsigned index);
};

/* Any thread, before the loop runs. The options must outlive what it posts to control. */
struct edge_worker *edge_worker_new(struct ev_loop *, const struct edge_worker_options *);
/* Closes what is open. After the loop has ended. */
void edge_worker_free(struct edge_worker *);
/* The gate for the worker's requests; constant. Any thread. */
const struct tunnel_gate *edge_worker_gate(const struct edge_worker *);

/* --- what the control thread asks of it: any thread, by message --- */

/* Listens on these sockets from now on, with this certificate, and no others; the sockets stay control's. The server must outlive it. */
void edge_worker_post_listen(struct edge_worker *, const int *fds, size_t n, struct tls_server *);
/* The policy that chooses among the connectors of a tunnel; must outlive the worker's next one. */
void edge_worker_post_steering(struct edge_worker *, const struct steering_policy *, void *config);
/* Answers a registration; takes over the answer's references. */
void edge_worker_post_answer(struct edge_worker *, uint64_t ticket, const struct edge_answer *);
/* No new streams; when the running ones have ended, or after `grace`, GOAWAY and close. */
void edge_worker_post_drain(struct edge_worker *, uint64_t line, nsec_t grace);
/* Has it say whether it lives, at once. */
void edge_worker_post_check(struct edge_worker *, uint64_t line);
/* Closes at once: replaced, deleted, evicted. */
void edge_worker_post_close(struct edge_worker *, uint64_t line, enum reason, const char *detail);
/* Pushes a configuration: {"version":…,"config":…}. */
void edge_worker_post_push(struct edge_worker *, uint64_t line, int version, const char *json, size_t n);
/* Stops: no new connections, all lines drain within `grace`. `stopped` runs on the control thread when none is left. */
void edge_worker_post_stop(struct edge_worker *, nsec_t grace, void (*stopped)(void *arg, unsigned index));

#endif
