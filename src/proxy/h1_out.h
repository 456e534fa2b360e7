/* The sending half of an HTTP/1 connection, the same towards clients and upstreams: writes heads, frames bodies, and keeps what the
 * socket would not take of its own bytes. Payload is never kept: what was not taken stays with the giver. One thread. */
#ifndef PENSTOCK_PROXY_H1_OUT_H
#define PENSTOCK_PROXY_H1_OUT_H

#include "balance/ops.h"
#include "base/buffer.h"
#include "http/trailers.h"
#include "net/stream.h"

struct h1_out {
    struct buffer *pending; /* head and framing bytes that go before anything else; NULL: none */
    uint64_t chunk_left;    /* payload owed to the chunk that was announced */
    uint64_t sent;          /* bytes the socket took and nobody counted yet, heads and framing among them */
    struct slice trailers;  /* what follows a chunked body: set for the call that ends it, lines as in http/trailers.h */
    bool chunked;           /* how the message under way is framed */
    bool joined;            /* TLS has seen pending bytes and payload as one: they must be offered together again */
};

struct h1_writer { /* what it works with: the worker's */
    struct buffer_pool *buffers;
    char *scratch; /* H1_SCRATCH_SIZE bytes in which heads are put together */
};
/* The largest head that can be forwarded, with all that is added to it. */
enum { H1_TRAILERS_ROOM = TRAILERS_MAX + 16, H1_SCRATCH_SIZE = BUFFER_LARGE + 32 * 1024 + H1_TRAILERS_ROOM };

enum h1_role { H1_REQUEST, H1_RESPONSE };

enum h1_connection { H1_CONNECTION_DEFAULT, H1_CONNECTION_CLOSE, H1_CONNECTION_KEEP_ALIVE };

struct h1_message {
    const struct message_out *out;
    enum h1_role role;
    uint8_t minor;         /* responses: what the client speaks */
    enum h1_connection connection;
};

/* Bytes of `body` taken; -1: the connection is broken (stream_failure says how), or the head is larger than the scratch. */
ssize_t h1_out_head(struct h1_out *, struct stream *, const struct h1_writer *, const struct h1_message *, struct slice body, bool end);
ssize_t h1_out_body(struct h1_out *, struct stream *, const struct h1_writer *, struct slice body, bool end);
/* For a socket that has room again. 1: nothing is pending; 0: something still is; -1: broken. */
int h1_out_flush(struct h1_out *, struct stream *, const struct h1_writer *);
/* True while payload has to be offered again before anything moves. */
static inline bool h1_out_needs_payload(const struct h1_out *o)
{
    return o->joined;
}
static inline bool h1_out_is_empty(const struct h1_out *o)
{
    return !o->pending;
}
/* How many bytes left since it was last asked. */
static inline uint64_t h1_out_take_sent(struct h1_out *o)
{
    uint64_t sent = o->sent;
    o->sent = 0;
    return sent;
}
void h1_out_clear(struct h1_out *, struct buffer_pool *);

/* Puts a head together in scratch; its length, or 0 if it doesn't fit. For the tests. */
size_t h1_format_head(const struct h1_message *, char *scratch, size_t size);

#endif
