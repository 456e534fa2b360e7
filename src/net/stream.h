/* One connected socket, plain or TLS, on one loop; one thread. It moves bytes and says how that ended; it owns the descriptor
 * and the SSL, and keeps no bytes of its own beyond OpenSSL's. */
#ifndef PENSTOCK_NET_STREAM_H
#define PENSTOCK_NET_STREAM_H

#include <ev.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
    STREAM_EOF = 0,     /* the peer has finished sending (TLS: close_notify, or the FIN without one) */
    STREAM_AGAIN = -1,  /* nothing now; the watcher will tell (TLS may need the other direction: stream_watch knows) */
    STREAM_FAILED = -2, /* reset, or a TLS error: errno or the OpenSSL queue was translated into stream_failure() */
};

struct stream {
    ev_io io;      /* io.fd; io.data is free for the owner */
    SSL *ssl;      /* NULL: plain */
    bool tls_wants_write; /* the last TLS call waits for room to write, whatever the caller wanted */
};

/* Takes `fd` (non-blocking) and `ssl` (may be NULL; its descriptor is set here). Nothing is watched yet. */
void stream_init(struct stream *, int fd, SSL *ssl, void (*on_io)(struct ev_loop *, ev_io *, int events));
/* Stops the watcher, sends close_notify without waiting, closes. Safe on a closed stream. */
void stream_close(struct stream *, struct ev_loop *);
static inline bool stream_is_open(const struct stream *s)
{
    return s->io.fd >= 0;
}

/* Bytes read, or STREAM_EOF, STREAM_AGAIN, STREAM_FAILED. TLS: fills as much of `n` as is at hand, with one recv at the most. */
ssize_t stream_read(struct stream *, void *buffer, size_t n) __attribute__((warn_unused_result));
/* Bytes taken (possibly fewer than given), or STREAM_AGAIN, STREAM_FAILED. TLS: small pieces are joined into one record;
 * after STREAM_AGAIN the next call must begin with the same bytes. */
ssize_t stream_write(struct stream *, const struct iovec *, int n) __attribute__((warn_unused_result));
/* TLS bytes that were received already and that no event will announce: read until false. */
bool stream_has_pending(const struct stream *);

enum stream_handshake { HANDSHAKE_DONE, HANDSHAKE_AGAIN, HANDSHAKE_FAILED };
enum stream_handshake stream_handshake(struct stream *) __attribute__((warn_unused_result));

/* Sets what is watched: EV_READ | EV_WRITE, or 0. Costs a system call only if it differs. */
void stream_watch(struct stream *, struct ev_loop *, int events);
static inline int stream_watched(const struct stream *s)
{
    return ev_is_active(&s->io) ? s->io.events & (EV_READ | EV_WRITE) : 0;
}

/* Why the last call on this thread failed, in words ("connection reset", "certificate has expired"). Static or thread storage. */
const char *stream_failure(void);

/* Non-blocking, close-on-exec, TCP_NODELAY, keep-alive probes every 30 s. Returns the descriptor; -1 with errno. */
int stream_connect(const struct sockaddr *, socklen_t) __attribute__((warn_unused_result));
/* For a connect that was in progress and became writable: 0 or the errno. */
int stream_connect_result(int fd);

#endif
