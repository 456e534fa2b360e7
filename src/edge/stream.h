/* One request over a connector's connection: an HTTP/2 stream. The sending half of it is an upstream (`edge_stream_ops`), and what comes
 * back is given to a user: an exchange of this worker, or a relay for one of another. The connection's worker only. */
#ifndef PENSTOCK_EDGE_STREAM_H
#define PENSTOCK_EDGE_STREAM_H

#include "balance/ops.h"
#include "edge/connection.h"

/* The same rules as for exchange_… in balance/ops.h: always from an event of the connection's, never inside an operation; after
 * EXCHANGE_LET_GO, or `failed`, the stream does not mention its user again. */
struct stream_user_ops {
    enum exchange_hold (*writable)(void *user);
    void (*failed)(void *user, enum upstream_stage, enum reason, const char *detail);
    enum exchange_hold (*response)(void *user, struct http_head *, const char *base, const struct http_message *, struct slice body, bool end,
                                   size_t *taken);
    enum exchange_hold (*response_body)(void *user, struct slice body, bool end, size_t *taken);
    /* What follows the request's body (http/trailers.h), once all of that was taken; and what follows the response's, before the call that
     * ends it. */
    struct slice (*request_trailers)(void *user);
    void (*response_trailers)(void *user, struct slice lines);
    /* The connection does not answer. LET_GO: the user has moved the request elsewhere. */
    enum exchange_hold (*suspect)(void *user);
};
/* Passes all on to the exchange_… functions; the user is a struct exchange. */
extern const struct stream_user_ops exchange_stream_user;

struct edge_stream;
/* NULL with a reason if the connection takes no stream now. The request goes out with edge_stream_ops.send_head. */
struct edge_stream *edge_stream_new(struct edge_connection *, const struct stream_user_ops *, void *user, enum reason *why);
extern const struct upstream_ops edge_stream_ops;

/* --- for the connection, from nghttp2's callbacks --- */

void edge_stream_on_header(struct edge_stream *, struct slice name, struct slice value);
/* A header block has ended: a response's (or trailers'). `end`: and the stream's sending side. */
void edge_stream_on_head(struct edge_stream *, bool end);
void edge_stream_on_data(struct edge_stream *, const uint8_t *, size_t);
void edge_stream_on_end(struct edge_stream *);
/* The stream is over for nghttp2, with an HTTP/2 error code (0: none), or because its connection is gone (`reason`). */
void edge_stream_on_close(struct edge_stream *, uint32_t error, enum reason);
/* GOAWAY or REFUSED_STREAM: the connector has not looked at it. */
void edge_stream_on_refused(struct edge_stream *);
/* The peer gave window, or a write ended: more of the request may go. */
void edge_stream_on_window(struct edge_stream *);
/* A block of the response's was larger than EDGE_HEAD_BLOCK_MAX, and left out. */
void edge_stream_on_oversize(struct edge_stream *);
/* The connection does not answer: who was not answered yet and may go elsewhere does so. */
void edge_stream_on_suspect(struct edge_stream *);
/* From the connection's own event, after its callbacks: tells the user what was gathered. The stream may be gone afterwards. */
void edge_stream_deliver(struct edge_stream *);
/* Frees it; its user is gone. */
void edge_stream_drop(struct edge_stream *);
struct edge_stream *edge_stream_of_link(struct list *);
struct edge_stream *edge_stream_of_news(struct list *);
/* Since when an answer, any byte, is awaited; 0: it isn't. */
nsec_t edge_stream_waits_since(const struct edge_stream *);

#endif
