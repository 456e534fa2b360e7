#include "net/stream.h"

#include "base/list.h"
#include "net/tcp.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH };

/* What one call on a stream shares with the BIO below OpenSSL, and what it leaves for stream_failure. Per thread, because a call
 * begins and ends within one, and so a stream needs no room for it. */
static _Thread_local struct {
    bool may_recv;  /* not more than one system call for each read */
    bool more;      /* another record follows at once: let the kernel fill its segments */
    bool at_end;    /* recv returned 0 */
    int error;      /* errno */
    unsigned long tls_error;
    long verify_result;
    char text[160];
} call;

/* --- the BIO: OpenSSL's own makes a SIGPIPE, and reads once more after each message to find that there is nothing --- */

static int bio_fd(BIO *bio)
{
    return (int)(intptr_t)BIO_get_data(bio);
}

static bool would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; /* after EINTR the event comes again: it is level-triggered */
}

static int bio_read(BIO *bio, char *to, size_t n, size_t *got)
{
    *got = 0;
    BIO_clear_retry_flags(bio);
    if (!call.may_recv) {
        BIO_set_retry_read(bio);
        return 0;
    }
    call.may_recv = false;
    ssize_t r = recv(bio_fd(bio), to, n, 0);
    if (r > 0) {
        *got = (size_t)r;
        return 1;
    }
    if (r == 0)
        call.at_end = true;
    else if (would_block(errno))
        BIO_set_retry_read(bio);
    else
        call.error = errno;
    return 0;
}

static int bio_write(BIO *bio, const char *from, size_t n, size_t *put)
{
    *put = 0;
    BIO_clear_retry_flags(bio);
    ssize_t r = send(bio_fd(bio), from, n, MSG_NOSIGNAL | (call.more ? MSG_MORE : 0));
    if (r >= 0) {
        *put = (size_t)r;
        return 1;
    }
    if (would_block(errno))
        BIO_set_retry_write(bio);
    else
        call.error = errno;
    return 0;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return call.at_end;
    default:
        return 0;
    }
}

static BIO_METHOD *bio_method; /* made once, immutable then */

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "penstock stream");
    if (!bio_method)
        return;
    BIO_meth_set_read_ex(bio_method, bio_read);
    BIO_meth_set_write_ex(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* When memory is out the SSL stays without a BIO, and its first call fails with that. */
static void set_bio(SSL *ssl, int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);
    BIO *bio = bio_method ? BIO_new(bio_method) : NULL;
    if (!bio)
        return;
    BIO_set_data(bio, (void *)(intptr_t)fd);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
}

/* --- calls --- */

static void begin_call(bool may_recv)
{
    call.may_recv = may_recv;
    call.more = call.at_end = false;
    call.error = 0;
    call.tls_error = 0;
    /* SSL_get_error takes what others left in this thread's queue for ours. */
    if (ERR_peek_error())
        ERR_clear_error();
}

static ssize_t fail_errno(int error)
{
    call.error = error;
    call.tls_error = 0;
    return STREAM_FAILED;
}

static ssize_t fail_tls(struct stream *s)
{
    call.tls_error = ERR_peek_last_error();
    call.verify_result = SSL_get_verify_result(s->ssl);
    ERR_clear_error();
    s->tls_error = call.tls_error ? call.tls_error : ERR_PACK(ERR_LIB_SSL, 0, SSL_R_PROTOCOL_IS_SHUTDOWN);
    return STREAM_FAILED;
}

/* --- watching --- */

static void update_watch(struct stream *s)
{
    int events = s->watched | (s->tls_wants_write ? EV_WRITE : 0);
    int active = ev_is_active(&s->io) ? s->io.events & (EV_READ | EV_WRITE) : 0;
    if (events == active || !s->loop)
        return;
    ev_io_stop(s->loop, &s->io);
    if (events) {
        ev_io_modify(&s->io, events); /* unlike ev_io_set: the kernel is told only what changed until the next turn */
        ev_io_start(s->loop, &s->io);
    }
}

void stream_watch(struct stream *s, struct ev_loop *loop, int events)
{
    s->loop = loop;
    s->watched = (uint8_t)events;
    update_watch(s);
}

static void on_room_to_write(struct ev_loop *loop, ev_io *io, int events)
{
    struct stream *s = CONTAINER_OF(io, struct stream, io);
    (void)events;
    s->tls_wants_write = false;
    ev_set_cb(io, s->on_io);
    update_watch(s);
    s->on_io(loop, io, EV_READ | EV_WRITE);
}

static void wait_for_room(struct stream *s)
{
    s->tls_wants_write = true;
    ev_set_cb(&s->io, on_room_to_write);
    update_watch(s);
}

/* --- life --- */

void stream_init(struct stream *s, int fd, SSL *ssl, void (*on_io)(struct ev_loop *, ev_io *, int events))
{
    ev_io_init(&s->io, on_io, fd, EV_READ);
    s->ssl = ssl;
    s->loop = NULL;
    s->on_io = on_io;
    s->tls_error = 0;
    s->watched = 0;
    s->tls_wants_write = s->tls_pending = false;
    if (ssl)
        set_bio(ssl, fd);
}

static void send_close_notify(struct stream *s)
{
    if (s->tls_error || !SSL_is_init_finished(s->ssl))
        return;
    begin_call(false);
    SSL_shutdown(s->ssl);
    ERR_clear_error();
}

static void close_descriptor(struct stream *s, struct ev_loop *loop)
{
    ev_io_stop(loop, &s->io);
    if (s->ssl) {
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* a connection that was cut does not spoil its session */
        SSL_free(s->ssl);
    }
    close(s->io.fd);
    s->io.fd = -1;
    s->ssl = NULL;
    s->watched = 0;
    s->tls_wants_write = s->tls_pending = false;
}

void stream_close(struct stream *s, struct ev_loop *loop)
{
    if (!stream_is_open(s))
        return;
    if (s->ssl)
        send_close_notify(s);
    close_descriptor(s, loop);
}

void stream_reset(struct stream *s, struct ev_loop *loop)
{
    if (!stream_is_open(s))
        return;
    setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
    close_descriptor(s, loop);
}

void stream_shutdown(struct stream *s)
{
    if (s->ssl)
        send_close_notify(s);
    shutdown(s->io.fd, SHUT_WR);
}

/* --- reading --- */

static ssize_t plain_read(int fd, void *buffer, size_t n)
{
    ssize_t r = recv(fd, buffer, n, 0);
    if (r >= 0)
        return r; /* 0 is STREAM_EOF */
    return would_block(errno) ? STREAM_AGAIN : fail_errno(errno);
}

/* What SSL_read's refusal means, when no bytes came before it in this call. */
static ssize_t read_outcome(struct stream *s)
{
    switch (SSL_get_error(s->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return STREAM_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        wait_for_room(s);
        return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return STREAM_EOF;
    default:
        return fail_tls(s);
    }
}

static ssize_t tls_read(struct stream *s, char *buffer, size_t n)
{
    size_t filled = 0, got;

    begin_call(true);
    if (s->tls_error) {
        s->tls_pending = false;
        call.tls_error = s->tls_error;
        return STREAM_FAILED;
    }
    do {
        if (!SSL_read_ex(s->ssl, buffer + filled, n - filled, &got)) {
            ssize_t outcome = read_outcome(s);
            s->tls_pending = filled && outcome != STREAM_AGAIN;
            return filled ? (ssize_t)filled : outcome;
        }
        filled += got;
        call.may_recv = false; /* only what is at hand is added to the first bytes */
        s->tls_pending = SSL_has_pending(s->ssl);
    } while (filled < n && s->tls_pending);
    return (ssize_t)filled;
}

ssize_t stream_read(struct stream *s, void *buffer, size_t n)
{
    return s->ssl ? tls_read(s, buffer, n) : plain_read(s->io.fd, buffer, n);
}

bool stream_is_forsaken(const struct stream *s, uint64_t missing)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    int at_hand = 0;
    if (getsockopt(s->io.fd, IPPROTO_TCP, TCP_INFO, &info, &size))
        return false;
    if (info.tcpi_state == TCP_CLOSE)
        return true;
    if (info.tcpi_state != TCP_CLOSE_WAIT || ioctl(s->io.fd, FIONREAD, &at_hand))
        return false;
    return (uint64_t)at_hand + (s->ssl ? (uint64_t)SSL_pending(s->ssl) : 0) < missing;
}

/* --- writing --- */

static ssize_t plain_write(int fd, const struct iovec *iov, int n)
{
    ssize_t r;
    if (n == 1)
        r = send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
    else
        r = sendmsg(fd, &(struct msghdr){ .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n }, MSG_NOSIGNAL);
    if (r >= 0)
        return r;
    return would_block(errno) ? STREAM_AGAIN : fail_errno(errno);
}

/* A place in an array of pieces. */
struct cursor {
    const struct iovec *piece, *end;
    size_t offset;
};

static void cursor_settle(struct cursor *c)
{
    while (c->piece < c->end && c->offset >= c->piece->iov_len) {
        c->offset -= c->piece->iov_len;
        c->piece++;
    }
}

/* Up to one record's worth of the pieces from `c` on, without moving it; one piece that is enough is not copied. Per thread, not per
 * stream: OpenSSL has taken the bytes over when the call returns, and a retry joins the same again. */
static const char *join_record(struct cursor c, size_t *length)
{
    static _Thread_local char joined[RECORD_MAX];
    size_t left = c.piece->iov_len - c.offset, n = 0;

    if (left >= RECORD_MAX || c.piece + 1 == c.end) {
        *length = left < RECORD_MAX ? left : RECORD_MAX;
        return (const char *)c.piece->iov_base + c.offset;
    }
    while (c.piece < c.end && n < RECORD_MAX) {
        left = c.piece->iov_len - c.offset;
        if (left > RECORD_MAX - n)
            left = RECORD_MAX - n;
        memcpy(joined + n, (const char *)c.piece->iov_base + c.offset, left);
        n += left;
        c.offset += left;
        cursor_settle(&c);
    }
    *length = n;
    return joined;
}

static ssize_t tls_write(struct stream *s, const struct iovec *iov, int n)
{
    struct cursor c = { iov, iov + n, 0 };
    size_t taken = 0, total = 0, length, written;

    begin_call(false);
    if (s->tls_error) {
        call.tls_error = s->tls_error;
        return STREAM_FAILED;
    }
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    for (cursor_settle(&c); taken < total; cursor_settle(&c)) {
        const char *record = join_record(c, &length);
        call.more = taken + length < total;
        if (!SSL_write_ex(s->ssl, record, length, &written)) {
            int why = SSL_get_error(s->ssl, 0);
            if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ)
                return taken ? (ssize_t)taken : STREAM_AGAIN;
            return fail_tls(s); /* what was taken went nowhere */
        }
        taken += written;
        c.offset += written;
    }
    return (ssize_t)taken;
}

ssize_t stream_write(struct stream *s, const struct iovec *iov, int n)
{
    return s->ssl ? tls_write(s, iov, n) : plain_write(s->io.fd, iov, n);
}

/* --- handshake --- */

enum stream_handshake stream_handshake(struct stream *s)
{
    if (!s->ssl)
        return HANDSHAKE_DONE;
    begin_call(SSL_is_server(s->ssl) || !SSL_in_before(s->ssl)); /* nothing can have come before our first flight */
    int r = SSL_do_handshake(s->ssl);
    if (r == 1) {
        s->tls_pending = SSL_has_pending(s->ssl);
        return HANDSHAKE_DONE;
    }
    switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return HANDSHAKE_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        wait_for_room(s);
        return HANDSHAKE_AGAIN;
    default:
        fail_tls(s);
        return HANDSHAKE_FAILED;
    }
}

/* --- failures in words --- */

const char *stream_errno_text(int error)
{
    switch (error) {
    case ECONNRESET:
        return "connection reset";
    case EPIPE:
        return "connection closed by the peer";
    case ECONNREFUSED:
        return "connection refused";
    case ETIMEDOUT:
        return "connection timed out";
    case EHOSTUNREACH:
        return "no route to host";
    case ENETUNREACH:
        return "network is unreachable";
    default:
        return strerror(error); /* thread storage since glibc 2.32 */
    }
}

static const char *tls_error_text(unsigned long code)
{
    int reason = ERR_GET_REASON(code);
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET) {
        snprintf(call.text, sizeof call.text, "the peer broke off TLS: %s", SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
        return call.text;
    }
    switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? reason : 0) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return X509_verify_cert_error_string(call.verify_result);
    case SSL_R_WRONG_VERSION_NUMBER:
        return "the peer does not speak TLS on that port";
    case SSL_R_HTTP_REQUEST:
        return "plain HTTP on a TLS port";
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return "no TLS version in common";
    case SSL_R_NO_SHARED_CIPHER:
        return "no TLS cipher in common";
    }
    const char *words = ERR_reason_error_string(code);
    return words ? words : "TLS failed";
}

const char *stream_failure(void)
{
    if (call.tls_error)
        return tls_error_text(call.tls_error);
    if (call.error)
        return stream_errno_text(call.error);
    return call.at_end ? "connection closed during the TLS handshake" : "TLS failed";
}

/* --- connecting --- */

int stream_connect(const struct sockaddr *address, socklen_t length)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (address->sa_family != AF_UNIX)
        tcp_set_options(fd);
    if (connect(fd, address, length) < 0 && errno != EINPROGRESS && errno != EINTR) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

int stream_connect_result(int fd)
{
    int error = 0;
    socklen_t n = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 ? errno : error;
}
