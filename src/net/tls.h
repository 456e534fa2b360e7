/* TLS contexts. Contexts are immutable once made and shared by all threads; SSL objects belong to one stream, which reads and writes
 * below them (set by stream_init). OpenSSL's error queue is left empty. */
#ifndef PENSTOCK_NET_TLS_H
#define PENSTOCK_NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define TLS_ERROR_SIZE 256

/* --- our side as a server: certificates by SNI (exact name, then wildcard of one label, then the first) --- */

struct tls_certificate_files {
    const char *cert, *key; /* PEM paths; the chain may follow the certificate */
};
struct tls_server_options {
    const struct tls_certificate_files *certificates;
    size_t n_certificates;   /* >= 1 */
    int min_version;         /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *const *alpn; /* by preference; NULL-terminated */
};
struct tls_server;
/* Session-ticket keys live as long as the process, so that a reload keeps sessions; rotated every 12 h, the previous is accepted.
 * NULL with a message in `error` (unreadable file, key that doesn't match). Otherwise `error` is "" or a warning: a certificate that has
 * expired or is not valid yet. Every message names the file, none a key's content; to have each certificate's message, make a server
 * of each alone. */
struct tls_server *tls_server_new(const struct tls_server_options *, char error[TLS_ERROR_SIZE]);
/* Sessions that were begun keep what they need of it. NULL is fine. */
void tls_server_free(struct tls_server *);
/* A new server-side SSL in accept state; NULL when memory is out. */
SSL *tls_server_session(struct tls_server *);
/* When the first of its certificates ends: wall seconds since the epoch. */
time_t tls_server_not_after(const struct tls_server *);

/* --- our side as a client, to one endpoint --- */

struct tls_client_options {
    bool verify;             /* default true */
    const char *ca_file;     /* NULL: the system's store */
    const char *client_cert, *client_key; /* both or none */
};
struct tls_client;
/* NULL with a message in `error`; otherwise `error` is "", or a warning about the client certificate as above. */
struct tls_client *tls_client_new(const struct tls_client_options *, char error[TLS_ERROR_SIZE]);
void tls_client_free(struct tls_client *); /* NULL is fine; sessions that were begun keep what they need of it */
/* In connect state, ALPN http/1.1, with `server_name` as SNI and as the name verified (an IP literal is verified as such and sends no
 * SNI). `resume` may be NULL; a session that was made with another name is not resumed. NULL when memory is out or the name is none
 * that can be verified (empty, or longer than 255 bytes). */
SSL *tls_client_session(struct tls_client *, const char *server_name, SSL_SESSION *resume);
/* Where this connection's newest session ticket is put, for the next to resume: each worker keeps one slot per endpoint.
 * The slot must outlive the SSL. */
void tls_client_keep_session(SSL *, SSL_SESSION **slot);

#endif
