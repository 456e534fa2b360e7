/* One TLS connection that a connector made to us: HTTP/2 with reversed roles (we are the client), its control stream, its PINGs. */
#ifndef PENSTOCK_EDGE_CONNECTION_H
#define PENSTOCK_EDGE_CONNECTION_H

#include "edge/core.h"
#include "edge/head_filter.h"
#include "edge/rpc.h"
#include "net/stream.h"

#include <nghttp2/nghttp2.h>

struct edge_stream;

/* PING every EDGE_PING_IDLE, and at once when a stream has waited with nothing received on the connection for max(EDGE_QUIET_MIN,
 * 4 × RTT), at growing distances as long as answers come; none back within EDGE_SUSPECT_AFTER: suspect; within EDGE_DEAD_AFTER: dead. What
 * a waiting request is moved by comes a tick of the timers early at the most, and never late. */
#define EDGE_PING_IDLE (10 * NSEC_PER_SEC)
#define EDGE_QUIET_MIN (250 * NSEC_PER_MSEC)
#define EDGE_SUSPECT_AFTER NSEC_PER_SEC
#define EDGE_DEAD_AFTER (5 * NSEC_PER_SEC)

enum connection_phase {
    CONNECTION_HANDSHAKE, /* TLS */
    CONNECTION_STRANGER,  /* HTTP/2 is up, the control stream open; the registration is awaited */
    CONNECTION_ASKED,     /* control was asked */
    CONNECTION_REFUSED,   /* and told so; the connector reads why */
    CONNECTION_MOVING,    /* accepted; on its way to another worker */
    CONNECTION_SERVING,
    CONNECTION_DRAINING,  /* takes no new streams */
    CONNECTION_CLOSED
};

struct edge_push { /* an update-configuration under way */
    int32_t stream;  /* 0: none */
    int version;
    char *json;
    size_t n, sent;
    char answer[512];
    size_t answer_n;
};

struct edge_connection {
    struct stream stream;
    struct edge_worker *worker;
    struct list link;        /* on the worker's connections or dead ones */
    struct list dirty;       /* on its list of those, or alone */
    struct timer timer;      /* handshake; then pings; then the grace of a drain */
    enum connection_phase phase;
    nghttp2_session *session;
    struct address peer;
    uint64_t ticket;
    UT_hash_handle by_ticket;

    /* registered */
    struct tunnel *tunnel;
    struct tunnel_connector *connector;
    struct tunnel_line *line;
    uint64_t line_id;        /* the key of by_line */
    UT_hash_handle by_line;
    struct edge_push push;

    /* the control stream */
    int32_t control_stream;
    struct rpc rpc;
    uint32_t register_question;
    char rpc_out[RPC_OUT_SIZE]; /* answers not given to nghttp2 yet */
    size_t rpc_out_n;

    struct head_filter filter;
    struct list streams, news; /* all requests; those with something to tell */
    unsigned n_streams;
    struct buffer *pending;  /* bytes the socket did not take */
    bool want_flush;
    bool is_stranger;        /* counted among those that are not registered yet */
    bool close_after;        /* once everything is sent and no stream is left */

    nsec_t received_at;      /* the last bytes */
    nsec_t ping_sent_at;     /* 0: none is out */
    nsec_t ping_distance;    /* grows while answers come */
    nsec_t grace_until;      /* of a drain; 0: none */
    const char *drained_for; /* why it takes no new streams: told of its end too */
};

/* A connection the listener accepted: refused without a word where there are too many strangers. */
void edge_connection_accept(struct edge_worker *, int fd, const struct sockaddr_storage *peer);
/* Takes over the descriptor and `ssl` (NULL: plain, where a test plays the connector) of one that was counted among the strangers. NULL when
 * memory is out: then all is undone. */
struct edge_connection *edge_connection_begin(struct edge_worker *, int fd, SSL *ssl, const struct address *peer);
/* Control's decision. Takes over the answer's references. */
void edge_connection_answer(struct edge_connection *, const struct edge_answer *);
/* It arrives on its new worker. */
void edge_connection_adopt(struct edge_worker *, struct edge_connection *);
/* `detail`, a literal, is also what is told of its end. */
void edge_connection_drain(struct edge_connection *, nsec_t grace, enum reason, const char *detail);
void edge_connection_close(struct edge_connection *, enum reason, const char *detail);
void edge_connection_push(struct edge_connection *, int version, const char *json, size_t n);
/* Is it alive? A PING goes out at once. */
void edge_connection_check(struct edge_connection *);
/* Sends, and tells users what there is to tell: before the loop waits. */
void edge_connection_serve(struct edge_connection *);
void edge_connection_free(struct edge_connection *);

/* --- for streams --- */

bool edge_connection_takes_streams(const struct edge_connection *);
void edge_connection_stream_began(struct edge_connection *, struct list *link);
void edge_connection_stream_ended(struct edge_connection *, struct list *link);
/* nghttp2 was given something: it has to be sent. */
void edge_connection_wants_flush(struct edge_connection *);
/* A stream waits for its answer from now on: its silence is looked at closely again. */
void edge_connection_watch_closely(struct edge_connection *);

#endif
