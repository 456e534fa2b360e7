#include "net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "tls_pair.h"

/* The program's own system calls, for it and the libraries it uses: counted, and made to fail on demand. */
static unsigned recvs, sends, epoll_changes;
static bool no_room;

ssize_t recv(int fd, void *buffer, size_t n, int flags)
{
    recvs++;
    return syscall(SYS_recvfrom, fd, buffer, n, flags, NULL, NULL);
}

ssize_t send(int fd, const void *buffer, size_t n, int flags)
{
    sends++;
    assert_true(flags & MSG_NOSIGNAL);
    if (no_room) {
        errno = EAGAIN;
        return -1;
    }
    return syscall(SYS_sendto, fd, buffer, n, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    sends++;
    assert_true(flags & MSG_NOSIGNAL);
    return syscall(SYS_sendmsg, fd, message, flags);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    epoll_changes++;
    return (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

static void forget_calls(void)
{
    recvs = sends = epoll_changes = 0;
}

enum kind { PLAIN, TLS_1_2, TLS_1_3 };

struct fixture {
    enum kind kind;
    struct tls_server *server;
    struct tls_client *client;
    struct pair pair;
};

static int setup(void **state)
{
    static const struct certificate certificate = { .name = "a", .alternatives = "DNS:a.example", .begins = -60, .ends = 3600 };
    if (make_test_folder(state) != 0)
        return -1;
    make_certificate(&certificate);
    return 0;
}

static void fixture_begin(struct fixture *f, enum kind kind)
{
    *f = (struct fixture){ .kind = kind };
    if (kind == PLAIN) {
        pair_init(&f->pair, NULL, NULL);
        return;
    }
    f->server = make_server((const char *[]){ "a", NULL }, TLS1_2_VERSION);
    f->client = make_client("a");
    SSL *client = tls_client_session(f->client, "a.example", NULL);
    SSL_set_max_proto_version(client, kind == TLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
    pair_init(&f->pair, tls_server_session(f->server), client);
}

static void fixture_connect(struct fixture *f, enum kind kind)
{
    char words[256], byte;
    fixture_begin(f, kind);
    if (!pair_handshake(&f->pair, words))
        fail_msg("%s", words);
    assert_int_equal(stream_read(&f->pair.client, &byte, 1), STREAM_AGAIN); /* takes the ticket of TLS 1.3 */
}

static void fixture_end(struct fixture *f)
{
    pair_clear(&f->pair);
    tls_client_free(f->client);
    tls_server_free(f->server);
}

#define FOR_EACH_KIND(kind) for (enum kind kind = PLAIN; kind <= TLS_1_3; kind++)

static void test_one_call_per_message(void **state)
{
    static const char head[200] = "head", body[3000] = "body";
    (void)state;
    FOR_EACH_KIND(kind) {
        struct fixture f;
        char buffer[16384];
        struct iovec iov[] = { { (void *)head, sizeof head }, { (void *)body, sizeof body } };
        fixture_connect(&f, kind);
        forget_calls();
        assert_int_equal(stream_write(&f.pair.client, iov, 2), sizeof head + sizeof body);
        assert_int_equal(sends, 1);
        assert_int_equal(stream_read(&f.pair.server, buffer, sizeof buffer), sizeof head + sizeof body);
        assert_int_equal(recvs, 1);
        assert_memory_equal(buffer, head, sizeof head);
        assert_memory_equal(buffer + sizeof head, body, sizeof body);
        assert_false(stream_has_pending(&f.pair.server));

        assert_int_equal(stream_write(&f.pair.server, iov, 1), sizeof head);
        assert_int_equal(stream_read(&f.pair.client, buffer, sizeof buffer), sizeof head);
        assert_int_equal(sends, 2);
        assert_int_equal(recvs, 2);
        assert_int_equal(stream_read(&f.pair.client, buffer, sizeof buffer), STREAM_AGAIN);
        assert_int_equal(recvs, 3);
        fixture_end(&f);
    }
}

static void test_handshake_calls(void **state)
{
    (void)state;
    struct fixture f;
    char words[256];
    fixture_begin(&f, TLS_1_3);
    forget_calls();
    assert_true(pair_handshake(&f.pair, words));
    assert_int_equal(sends, 4); /* hello; server's flight; client's finish; ticket */
    assert_int_equal(recvs, 3); /* hello; server's flight; client's finish */
    fixture_end(&f);
}

static unsigned char pattern(size_t at)
{
    return (unsigned char)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

/* Pieces of all sizes, from one to many records, with the socket full again and again. */
static void test_large_transfer(void **state)
{
    enum { TOTAL = 3 << 20 };
    static unsigned char data[TOTAL], got[TOTAL];
    static const size_t lengths[] = { 1, 17, 0, 16384, 5, 16383, 40000, 200, 0, 100000, 3, 16385 };
    enum { PIECES = 12 };
    (void)state;
    for (size_t i = 0; i < TOTAL; i++)
        data[i] = pattern(i);
    FOR_EACH_KIND(kind) {
        struct fixture f;
        size_t sent = 0, received = 0, pieces_at = 0;
        unsigned full = 0;
        fixture_connect(&f, kind);
        memset(got, 0, sizeof got);
        for (unsigned turns = 0; received < TOTAL && turns < 100000; turns++) {
            struct iovec iov[PIECES];
            int n = 0;
            size_t offset = sent;
            for (; n < PIECES && offset < TOTAL; n++) {
                size_t length = lengths[(pieces_at + (size_t)n) % PIECES];
                if (length > TOTAL - offset)
                    length = TOTAL - offset;
                iov[n] = (struct iovec){ data + offset, length };
                offset += length;
            }
            ssize_t w = n ? stream_write(&f.pair.client, iov, n) : 0;
            assert_true(w >= 0 || w == STREAM_AGAIN);
            if (w > 0) {
                sent += (size_t)w;
                pieces_at++; /* cut the rest otherwise than before, but for what may wait in a record */
            } else if (n) {
                full++;
            }
            size_t room = turns % 3 == 0 ? 1000 : 65536;
            if (room > TOTAL - received)
                room = TOTAL - received;
            forget_calls();
            ssize_t r = stream_read(&f.pair.server, got + received, room);
            assert_true(recvs <= 1);
            assert_true(r > 0 || r == STREAM_AGAIN);
            if (r > 0)
                received += (size_t)r;
        }
        assert_int_equal(received, TOTAL);
        assert_memory_equal(got, data, TOTAL);
        if (kind != PLAIN)
            assert_false(stream_has_pending(&f.pair.server));
        assert_true(full > 0);
        fixture_end(&f);
    }
}

static void send_text(struct stream *s, const char *text)
{
    struct iovec iov = { (void *)text, strlen(text) };
    assert_int_equal(stream_write(s, &iov, 1), strlen(text));
}

/* What came together, in records of its own, is read with one recv; what didn't fit is told of. */
static void test_pending(void **state)
{
    (void)state;
    for (enum kind kind = TLS_1_2; kind <= TLS_1_3; kind++) {
        struct fixture f;
        char buffer[64];
        fixture_connect(&f, kind);
        send_text(&f.pair.client, "one");
        send_text(&f.pair.client, "two");
        send_text(&f.pair.client, "three");
        forget_calls();
        assert_int_equal(stream_read(&f.pair.server, buffer, 8), 8);
        assert_memory_equal(buffer, "onetwoth", 8);
        assert_true(stream_has_pending(&f.pair.server));
        assert_int_equal(stream_read(&f.pair.server, buffer, 3), 3);
        assert_memory_equal(buffer, "ree", 3);
        assert_false(stream_has_pending(&f.pair.server));
        assert_int_equal(recvs, 1);

        /* An end behind bytes is not lost. */
        send_text(&f.pair.client, "last");
        stream_shutdown(&f.pair.client);
        assert_int_equal(stream_read(&f.pair.server, buffer, sizeof buffer), 4);
        assert_true(stream_has_pending(&f.pair.server));
        assert_int_equal(stream_read(&f.pair.server, buffer, sizeof buffer), STREAM_EOF);
        assert_false(stream_has_pending(&f.pair.server));
        fixture_end(&f);
    }
}

/* A request that came with the client's last flight: no event will announce it. */
static void test_request_with_the_handshake(void **state)
{
    struct fixture f;
    char buffer[64];
    (void)state;
    fixture_begin(&f, TLS_1_3);
    assert_int_equal(stream_handshake(&f.pair.client), HANDSHAKE_AGAIN);
    assert_int_equal(stream_handshake(&f.pair.server), HANDSHAKE_AGAIN);
    assert_int_equal(stream_handshake(&f.pair.client), HANDSHAKE_DONE);
    send_text(&f.pair.client, "GET");
    assert_int_equal(stream_handshake(&f.pair.server), HANDSHAKE_DONE);
    assert_true(stream_has_pending(&f.pair.server));
    forget_calls();
    assert_int_equal(stream_read(&f.pair.server, buffer, sizeof buffer), 3);
    assert_int_equal(recvs, 0);
    assert_false(stream_has_pending(&f.pair.server));
    fixture_end(&f);
}

static void test_ends(void **state)
{
    (void)state;
    FOR_EACH_KIND(kind) {
        struct fixture f;
        char byte;
        /* shutdown leaves the other direction open */
        fixture_connect(&f, kind);
        stream_shutdown(&f.pair.client);
        assert_int_equal(stream_read(&f.pair.server, &byte, 1), STREAM_EOF);
        assert_int_equal(stream_read(&f.pair.server, &byte, 1), STREAM_EOF);
        send_text(&f.pair.server, "x");
        assert_int_equal(stream_read(&f.pair.client, &byte, 1), 1);
        stream_close(&f.pair.server, f.pair.loop);
        assert_false(stream_is_open(&f.pair.server));
        stream_close(&f.pair.server, f.pair.loop); /* twice is fine */
        assert_int_equal(stream_read(&f.pair.client, &byte, 1), STREAM_EOF);
        fixture_end(&f);

        /* a FIN without close_notify is an end */
        fixture_connect(&f, kind);
        shutdown(f.pair.client.io.fd, SHUT_WR);
        assert_int_equal(stream_read(&f.pair.server, &byte, 1), STREAM_EOF);
        fixture_end(&f);

        /* writing to a peer that is gone */
        fixture_connect(&f, kind);
        stream_reset(&f.pair.client, f.pair.loop);
        struct iovec iov = { (void *)"x", 1 };
        assert_int_equal(stream_write(&f.pair.server, &iov, 1), STREAM_FAILED);
        assert_string_equal(stream_failure(), "connection closed by the peer");
        fixture_end(&f);
    }
}

/* Two connected TCP sockets. */
static void connect_tcp(int fds[2])
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    fds[0] = stream_connect((struct sockaddr *)&a, n);
    assert_true(fds[0] >= 0);
    fds[1] = accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    assert_int_equal(stream_connect_result(fds[0]), 0);
    close(listener);
}

static void test_reset_over_tcp(void **state)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct stream a, b;
    int fds[2];
    char byte;
    (void)state;
    connect_tcp(fds);
    stream_init(&a, fds[0], NULL, ignore_io);
    stream_init(&b, fds[1], NULL, ignore_io);
    send_text(&b, "x");
    stream_reset(&b, loop);
    assert_int_equal(stream_read(&a, &byte, 1), 1);
    assert_int_equal(stream_read(&a, &byte, 1), STREAM_FAILED);
    assert_string_equal(stream_failure(), "connection reset");
    stream_close(&a, loop);
    ev_loop_destroy(loop);
}

static void test_connect_refused(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof a;
    int bound = socket(AF_INET, SOCK_STREAM, 0); /* holds the port, listens not */
    (void)state;
    assert_int_equal(bind(bound, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(bound, (struct sockaddr *)&a, &n), 0);
    int fd = stream_connect((struct sockaddr *)&a, n);
    if (fd >= 0) {
        assert_int_equal(stream_connect_result(fd), ECONNREFUSED);
        close(fd);
    } else {
        assert_int_equal(errno, ECONNREFUSED);
    }
    assert_string_equal(stream_errno_text(ECONNREFUSED), "connection refused");
    close(bound);
}

static void test_failed_handshakes_in_words(void **state)
{
    static const struct {
        const char *sent, *words;
    } cases[] = {
        { "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "plain HTTP on a TLS port" },
        { "SSH-2.0-OpenSSH_9.2\r\n", "the peer does not speak TLS on that port" },
        { "", "connection closed during the TLS handshake" },
    };
    struct tls_server *server = make_server((const char *[]){ "a", NULL }, TLS1_2_VERSION);
    struct tls_client *client = make_client("a");
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair p;
        pair_init(&p, tls_server_session(server), NULL);
        if (*cases[i].sent)
            send_text(&p.client, cases[i].sent);
        stream_shutdown(&p.client);
        assert_int_equal(stream_handshake(&p.server), HANDSHAKE_FAILED);
        assert_string_equal(stream_failure(), cases[i].words);
        pair_clear(&p);
    }
    /* The same from the other side. */
    struct pair p;
    pair_init(&p, NULL, tls_client_session(client, "a.example", NULL));
    assert_int_equal(stream_handshake(&p.client), HANDSHAKE_AGAIN);
    send_text(&p.server, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_int_equal(stream_handshake(&p.client), HANDSHAKE_FAILED);
    assert_string_equal(stream_failure(), "the peer does not speak TLS on that port");
    pair_clear(&p);
    tls_client_free(client);
    tls_server_free(server);
}

static void test_peer_that_breaks_off_is_named(void **state)
{
    struct tls_server *server = make_server((const char *[]){ "a", NULL }, TLS1_2_VERSION);
    struct tls_client *client = make_client("a");
    struct pair p;
    (void)state;
    SSL *ssl = tls_client_session(client, "other.example", NULL);
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    pair_init(&p, tls_server_session(server), ssl);
    assert_int_equal(stream_handshake(&p.client), HANDSHAKE_AGAIN);
    assert_int_equal(stream_handshake(&p.server), HANDSHAKE_AGAIN);
    assert_int_equal(stream_handshake(&p.client), HANDSHAKE_FAILED);
    assert_string_equal(stream_failure(), "hostname mismatch");
    assert_int_equal(stream_handshake(&p.server), HANDSHAKE_FAILED);
    assert_string_equal(stream_failure(), "the peer broke off TLS: bad certificate");
    pair_clear(&p);
    tls_client_free(client);
    tls_server_free(server);
}

/* A record that was changed on its way; what came before it is still read. */
static void test_broken_record(void **state)
{
    (void)state;
    for (enum kind kind = TLS_1_2; kind <= TLS_1_3; kind++) {
        struct fixture f;
        char buffer[4096];
        fixture_connect(&f, kind);
        send_text(&f.pair.client, "good");
        send_text(&f.pair.client, "evil");
        ssize_t n = recv(f.pair.server.io.fd, buffer, sizeof buffer, 0);
        assert_true(n > 10);
        buffer[n - 1] ^= 1;
        assert_int_equal(write(f.pair.client.io.fd, buffer, (size_t)n), n);
        assert_int_equal(stream_read(&f.pair.server, buffer, sizeof buffer), 4);
        assert_memory_equal(buffer, "good", 4);
        assert_true(stream_has_pending(&f.pair.server));
        assert_int_equal(stream_read(&f.pair.server, buffer, sizeof buffer), STREAM_FAILED);
        assert_string_equal(stream_failure(), "decryption failed or bad record mac");
        assert_false(stream_has_pending(&f.pair.server));
        struct iovec iov = { buffer, 1 };
        assert_int_equal(stream_write(&f.pair.server, &iov, 1), STREAM_FAILED);
        fixture_end(&f);
    }
}

static int seen_events;
static unsigned seen_times;

static void see_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)io;
    seen_events = events;
    seen_times++;
    ev_break(loop, EVBREAK_ONE);
}

static void turn(struct ev_loop *loop)
{
    ev_run(loop, EVRUN_NOWAIT);
}

static void test_watch_costs_only_changes(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, NULL, NULL);
    struct stream *s = &p.server;
    assert_int_equal(stream_watched(s), 0);
    forget_calls();
    stream_watch(s, p.loop, EV_READ);
    turn(p.loop);
    assert_int_equal(epoll_changes, 1);
    assert_int_equal(stream_watched(s), EV_READ);
    for (int i = 0; i < 3; i++) { /* the same, and there and back within a turn */
        stream_watch(s, p.loop, EV_READ);
        stream_watch(s, p.loop, EV_READ | EV_WRITE);
        stream_watch(s, p.loop, 0);
        stream_watch(s, p.loop, EV_READ);
        turn(p.loop);
    }
    assert_int_equal(epoll_changes, 1);
    stream_watch(s, p.loop, EV_READ | EV_WRITE);
    turn(p.loop);
    assert_int_equal(epoll_changes, 2);
    stream_watch(s, p.loop, 0);
    turn(p.loop);
    assert_int_equal(stream_watched(s), 0);
    pair_clear(&p);
}

static void test_events_arrive(void **state)
{
    struct pair p;
    int fds[2];
    (void)state;
    p.loop = ev_loop_new(0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    stream_init(&p.server, fds[0], NULL, see_io);
    stream_init(&p.client, fds[1], NULL, ignore_io);
    seen_times = 0;
    stream_watch(&p.server, p.loop, EV_READ);
    turn(p.loop);
    assert_int_equal(seen_times, 0);
    send_text(&p.client, "x");
    turn(p.loop);
    assert_int_equal(seen_times, 1);
    assert_int_equal(seen_events, EV_READ);
    stream_watch(&p.server, p.loop, EV_WRITE);
    turn(p.loop);
    assert_int_equal(seen_times, 2);
    assert_int_equal(seen_events, EV_WRITE);
    pair_clear(&p);
}

/* The handshake has to write and can't: the owner, who watches for reading, is called once there is room. */
static void test_handshake_waits_for_room(void **state)
{
    struct fixture f;
    (void)state;
    fixture_begin(&f, TLS_1_3);
    struct stream *s = &f.pair.server;
    ev_set_cb(&s->io, see_io);
    s->on_io = see_io;
    assert_int_equal(stream_handshake(&f.pair.client), HANDSHAKE_AGAIN);
    stream_watch(s, f.pair.loop, EV_READ);
    no_room = true;
    assert_int_equal(stream_handshake(s), HANDSHAKE_AGAIN);
    no_room = false;
    assert_int_equal(stream_watched(s), EV_READ);
    seen_times = 0;
    turn(f.pair.loop);
    assert_int_equal(seen_times, 1);
    assert_int_equal(seen_events, EV_READ | EV_WRITE);
    assert_int_equal(stream_handshake(s), HANDSHAKE_AGAIN);
    turn(f.pair.loop); /* nothing to read: the room to write is not watched any more */
    assert_int_equal(seen_times, 1);
    assert_int_equal(stream_handshake(&f.pair.client), HANDSHAKE_DONE);
    turn(f.pair.loop);
    assert_int_equal(seen_times, 2);
    assert_int_equal(seen_events, EV_READ);
    assert_int_equal(stream_handshake(s), HANDSHAKE_DONE);
    fixture_end(&f);
}

/* What another user of OpenSSL left on this thread is not taken for ours. */
static void test_foreign_errors_are_not_ours(void **state)
{
    (void)state;
    for (enum kind kind = TLS_1_2; kind <= TLS_1_3; kind++) {
        struct fixture f;
        char byte;
        fixture_connect(&f, kind);
        ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
        assert_int_equal(stream_read(&f.pair.server, &byte, 1), STREAM_AGAIN);
        ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
        send_text(&f.pair.server, "x");
        assert_int_equal(ERR_peek_error(), 0);
        fixture_end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_call_per_message),
        cmocka_unit_test(test_handshake_calls),
        cmocka_unit_test(test_large_transfer),
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_request_with_the_handshake),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_reset_over_tcp),
        cmocka_unit_test(test_connect_refused),
        cmocka_unit_test(test_failed_handshakes_in_words),
        cmocka_unit_test(test_peer_that_breaks_off_is_named),
        cmocka_unit_test(test_broken_record),
        cmocka_unit_test(test_watch_costs_only_changes),
        cmocka_unit_test(test_events_arrive),
        cmocka_unit_test(test_handshake_waits_for_room),
        cmocka_unit_test(test_foreign_errors_are_not_ours),
    };
    return cmocka_run_group_tests(tests, setup, remove_test_folder);
}
