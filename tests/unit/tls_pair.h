/* For tests of TLS: certificates made on the spot, in a folder that goes with the test, and two streams that talk to each other. */
#ifndef PENSTOCK_UNIT_TLS_PAIR_H
#define PENSTOCK_UNIT_TLS_PAIR_H

#include "net/stream.h"
#include "net/tls.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char test_folder[] = "/tmp/penstock-tls-XXXXXX";

static int make_test_folder(void **state)
{
    (void)state;
    return mkdtemp(test_folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static int remove_test_folder(void **state)
{
    (void)state;
    return nftw(test_folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Path of a file in the folder; eight are remembered at a time. */
static const char *in_folder(const char *name)
{
    static _Thread_local char paths[8][PATH_MAX];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", test_folder, name);
    return path;
}

static void require(bool fact, const char *what)
{
    if (fact)
        return;
    fprintf(stderr, "test set-up: %s\n", what);
    abort();
}

struct certificate {
    const char *name;         /* files NAME.pem and NAME.key */
    const char *alternatives; /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
    const char *common;       /* NULL: the name */
    long begins, ends;        /* seconds from now */
    const char *passphrase;   /* of the key; NULL: none */
};

/* A key on P-256 and a certificate that signs itself, so that it is its own authority. */
static void make_certificate(const struct certificate *c)
{
    char file[64];
    const char *common = c->common ? c->common : c->name;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    require(key && cert, "a key");
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), c->begins);
    X509_gmtime_adj(X509_getm_notAfter(cert), c->ends);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)common, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    if (c->alternatives) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, c->alternatives);
        require(extension && X509_add_ext(cert, extension, -1), "alternative names");
        X509_EXTENSION_free(extension);
    }
    require(X509_sign(cert, key, EVP_sha256()) > 0, "a signature");

    snprintf(file, sizeof file, "%s.pem", c->name);
    FILE *f = fopen(in_folder(file), "we");
    require(f && PEM_write_X509(f, cert) && fclose(f) == 0, file);
    snprintf(file, sizeof file, "%s.key", c->name);
    f = fopen(in_folder(file), "we");
    require(f && PEM_write_PrivateKey(f, key, c->passphrase ? EVP_aes_128_cbc() : NULL, (const unsigned char *)c->passphrase,
                                      c->passphrase ? (int)strlen(c->passphrase) : 0, NULL, NULL) && fclose(f) == 0, file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

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
