/* One TLS connection that a connector made to us: HTTP/2 with reversed roles (we are the client), from accept to its end. Its parts are the control
 * stream, a push of a configuration, the watch over its silence, and the requests' streams (edge/stream.h). Its worker only. */
#ifndef PENSTOCK_EDGE_CONNECTION_H
#define PENSTOCK_EDGE_CONNECTION_H

#include "edge/config_push.h"
#include "edge/control_stream.h"
#include "edge/core.h"
#include "edge/head_filter.h"
#include "edge/silence.h"
#include "net/stream.h"

#include <nghttp2/nghttp2.h>

struct edge_stream;

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

    struct control_stream control;
    struct config_push push;
    struct silence silence;

    struct head_filter filter;
    struct list streams, news; /* all requests; those with something to tell */
    unsigned n_streams;
    struct buffer *pending;  /* bytes the socket did not take */
    bool want_flush;
    bool is_stranger;        /* counted among those that are not registered yet */
    bool close_after;        /* once everything is sent and no stream is left */
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
/* Sends, and tells users what there is to tell: before the loop waits. */
void edge_connection_serve(struct edge_connection *);
void edge_connection_free(struct edge_connection *);

/* --- for streams --- */

bool edge_connection_takes_streams(const struct edge_connection *);
void edge_connection_stream_began(struct edge_connection *, struct list *link);
void edge_connection_stream_ended(struct edge_connection *, struct list *link);
/* nghttp2 was given something: it has to be sent. */
void edge_connection_wants_flush(struct edge_connection *);

/* --- for its parts --- */

/* The only place that changes the phase. */
void edge_connection_set_phase(struct edge_connection *, enum connection_phase);
/* What all threads see of it; nothing happens where it has none, or is so already. */
void edge_connection_turn_line(struct edge_connection *, enum line_state);
/* One read; true when another is worth trying. The connection may be closed afterwards. */
bool edge_connection_read_once(struct edge_connection *);
/* A request that only we may make (edge/guard.h), answered by the connector itself; `content_type` may be NULL. The stream's id, or an error
 * of nghttp2. */
int32_t edge_connection_command(struct edge_connection *, const char *method, const char *command, const char *content_type,
                                nghttp2_data_source_read_callback);

#endif
