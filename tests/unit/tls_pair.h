/* For tests of TLS: two streams that talk to each other. */
#ifndef PENSTOCK_UNIT_TLS_PAIR_H
#define PENSTOCK_UNIT_TLS_PAIR_H

#include "net/stream.h"
#include "net/tls.h"
#include "test_folder.h"

static const char *const alpn_http[] = { "h2", "http/1.1", NULL };

/* A server with the certificates of these names (NULL-terminated). */
static struct tls_server *make_server(const char *const *names, int min_version)
{
    struct tls_certificate_files files[8];
    char text[8][2][PATH_MAX], error[TLS_ERROR_SIZE];
    size_t n = 0;
    for (; names[n]; n++) {
        snprintf(text[n][0], PATH_MAX, "%s/%s.pem", test_folder, names[n]);
        snprintf(text[n][1], PATH_MAX, "%s/%s.key", test_folder, names[n]);
        files[n] = (struct tls_certificate_files){ text[n][0], text[n][1] };
    }
    struct tls_server *s = tls_server_new(&(struct tls_server_options){ files, n, min_version, alpn_http }, error);
    require(s != NULL, error);
    return s;
}

/* A client that trusts the certificate of this name; NULL: verifies nothing. */
static struct tls_client *make_client(const char *trusts)
{
    char file[64] = "", error[TLS_ERROR_SIZE];
    if (trusts)
        snprintf(file, sizeof file, "%s.pem", trusts);
    struct tls_client *c = tls_client_new(&(struct tls_client_options){ .verify = trusts, .ca_file = trusts ? in_folder(file) : NULL }, error);
    require(c != NULL, error);
    return c;
}

struct pair {
    struct ev_loop *loop;
    struct stream server, client;
};

static void ignore_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)io, (void)events;
}

/* Takes both; NULL and NULL: a plain pair. */
static void pair_init(struct pair *p, SSL *server, SSL *client)
{
    int fds[2];
    p->loop = ev_loop_new(0);
    require(p->loop && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "a pair of sockets");
    stream_init(&p->server, fds[0], server, ignore_io);
    stream_init(&p->client, fds[1], client, ignore_io);
}

static void pair_clear(struct pair *p)
{
    stream_close(&p->client, p->loop);
    stream_close(&p->server, p->loop);
    ev_loop_destroy(p->loop);
}

/* What became of both; `words`: why the first of them failed. */
static bool pair_handshake(struct pair *p, char words[256])
{
    enum stream_handshake server = HANDSHAKE_AGAIN, client = HANDSHAKE_AGAIN;
    words[0] = '\0';
    for (int turns = 0; turns < 20 && (server == HANDSHAKE_AGAIN || client == HANDSHAKE_AGAIN); turns++) {
        if (client == HANDSHAKE_AGAIN && (client = stream_handshake(&p->client)) == HANDSHAKE_FAILED && !*words)
            snprintf(words, 256, "%s", stream_failure());
        if (server == HANDSHAKE_AGAIN && (server = stream_handshake(&p->server)) == HANDSHAKE_FAILED && !*words)
            snprintf(words, 256, "%s", stream_failure());
        if (client == HANDSHAKE_FAILED || server == HANDSHAKE_FAILED)
            break;
    }
    return server == HANDSHAKE_DONE && client == HANDSHAKE_DONE;
}

#endif
