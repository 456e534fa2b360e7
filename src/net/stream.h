/* One connected socket, plain or TLS, on one loop; one thread. It moves bytes and says how that ended; it owns the descriptor
 * and the SSL, and keeps no bytes of its own beyond OpenSSL's. */
#ifndef PENSTOCK_NET_STREAM_H
#define PENSTOCK_NET_STREAM_H

#include <ev.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
    /* The peer has finished sending. TLS: by close_notify, or by a FIN without one, which many servers do: nobody but the message's own
     * framing can tell that it was cut short; what ends with the connection may have been cut by anyone on the way. */
    STREAM_EOF = 0,
    /* Nothing now; the watcher will tell (TLS may need the other direction: the stream sees to that itself). Also after a readable event
     * that was TLS's own, a session ticket for instance. */
    STREAM_AGAIN = -1,
    STREAM_FAILED = -2, /* reset, or a TLS error: errno or the OpenSSL queue was translated into stream_failure() */
};

struct stream {
    ev_io io;      /* io.fd; io.data is free for the owner */
    SSL *ssl;      /* NULL: plain */
    struct ev_loop *loop; /* where it was watched last */
    void (*on_io)(struct ev_loop *, ev_io *, int events);
    unsigned long tls_error; /* OpenSSL's code of what broke it; not 0: no close_notify any more */
    uint8_t watched;      /* what the owner asked for: EV_READ | EV_WRITE */
    bool tls_wants_write; /* reading or the handshake waits for room to write; the event is given to the owner as EV_READ | EV_WRITE */
    bool tls_pending;     /* see stream_has_pending */
};

/* Takes `fd` (non-blocking) and `ssl` (may be NULL; its descriptor is set here). Nothing is watched yet. */
void stream_init(struct stream *, int fd, SSL *ssl, void (*on_io)(struct ev_loop *, ev_io *, int events));
/* Stops the watcher, sends close_notify without waiting, closes. Safe on a closed stream. */
void stream_close(struct stream *, struct ev_loop *);
/* Closes so that the peer sees it was cut: with a TCP reset and without close_notify. Safe on a closed stream. */
void stream_reset(struct stream *, struct ev_loop *);
/* Nothing more will be written: close_notify and FIN. Reading goes on. */
void stream_shutdown(struct stream *);
static inline bool stream_is_open(const struct stream *s)
{
    return s->io.fd >= 0;
}

/* Bytes read, or STREAM_EOF, STREAM_AGAIN, STREAM_FAILED; n >= 1. One recv at the most. TLS: fills as much of `n` as is at hand; the end
 * or a failure found behind bytes is told by the next call. */
ssize_t stream_read(struct stream *, void *buffer, size_t n) __attribute__((warn_unused_result));
/* Bytes taken (possibly fewer than given), or STREAM_AGAIN, STREAM_FAILED. TLS: small pieces are joined into one record; after
 * STREAM_AGAIN or a short count the next call must begin with the bytes that were not taken, and with no fewer of them. */
ssize_t stream_write(struct stream *, const struct iovec *, int n) __attribute__((warn_unused_result));
/* TLS bytes, an end or a failure that were received already and that no event will announce: read until false. Changes with
 * stream_read and stream_handshake only. */
static inline bool stream_has_pending(const struct stream *s)
{
    return s->tls_pending;
}

/* Of a socket that is not being read: the peer has reset it, or finished sending with fewer than `missing` bytes at hand. TCP only. */
bool stream_is_forsaken(const struct stream *, uint64_t missing);

enum stream_handshake { HANDSHAKE_DONE, HANDSHAKE_AGAIN, HANDSHAKE_FAILED };
enum stream_handshake stream_handshake(struct stream *) __attribute__((warn_unused_result));

/* Sets what is watched: EV_READ | EV_WRITE, or 0. Costs a system call only if it differs, and at the loop's next turn. */
void stream_watch(struct stream *, struct ev_loop *, int events);
static inline int stream_watched(const struct stream *s)
{
    return s->watched;
}

/* Why the last call on this thread failed, in words ("connection reset", "certificate has expired"). Static or thread storage. */
const char *stream_failure(void);
/* The same for an errno of a connect. */
const char *stream_errno_text(int error);

/* Non-blocking, close-on-exec, TCP_NODELAY, keep-alive probes every 30 s. Returns the descriptor; -1 with errno. */
int stream_connect(const struct sockaddr *, socklen_t) __attribute__((warn_unused_result));
/* For a connect that was in progress and became writable: 0 or the errno. */
int stream_connect_result(int fd);

#endif
