#include "net/tls.h"

#include "base/mem.h"
#include "base/random.h"
#include "net/ticket.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* AEAD with forward secrecy only (RFC 9325 section 4.2); AES-128 first, which costs least where AES has instructions, and ChaCha20 for
 * a client that puts it first because it has none. */
#define CIPHERS_1_2 \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

enum { NAME_MAX_LENGTH = 255 };

static bool refuse(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, TLS_ERROR_SIZE, format, arguments);
    va_end(arguments);
    ERR_clear_error();
    return false;
}

/* OpenSSL's first error in words: those after it only say who passed it on. */
static const char *openssl_reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *words = code ? ERR_reason_error_string(code) : NULL;
    return words ? words : "OpenSSL gives no reason";
}

/* Empties the queue. */
static bool some_error_is(int library, int reason)
{
    bool found = false;
    for (unsigned long code; (code = ERR_get_error());)
        found = found || (ERR_GET_LIB(code) == library && ERR_GET_REASON(code) == reason);
    return found;
}

/* --- what both sides share --- */

static SSL_CTX *context_new(const SSL_METHOD *method, int min_version)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    /* NO_AUTO_CHAIN: the chain is what the file holds, and is not looked for anew at each handshake. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record's head and body with one recv */
    if (!SSL_CTX_set_min_proto_version(ctx, min_version) || !SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) ||
        !SSL_CTX_set_ciphersuites(ctx, CIPHERS_1_3) || !SSL_CTX_set1_groups_list(ctx, GROUPS)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static bool check_readable(const char *path, char *error)
{
    FILE *f = fopen(path, "re");
    if (f) {
        fclose(f);
        return true;
    }
    if (errno == EACCES)
        return refuse(error, "%s: permission denied: the user that penstock runs as must be able to read it", path);
    return refuse(error, "%s: %s", path, strerror(errno));
}

/* Instead of OpenSSL's own, which would ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static bool use_certificate(SSL_CTX *ctx, const char *path, char *error)
{
    if (!check_readable(path, error))
        return false;
    if (SSL_CTX_use_certificate_chain_file(ctx, path) == 1)
        return true;
    const char *reason = openssl_reason();
    if (some_error_is(ERR_LIB_PEM, PEM_R_NO_START_LINE))
        return refuse(error, "%s: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path);
    return refuse(error, "%s: can't be used as a certificate: %s", path, reason);
}

static EVP_PKEY *read_key(const char *path, char *error)
{
    if (!check_readable(path, error))
        return NULL;
    FILE *f = fopen(path, "re");
    EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, no_passphrase, NULL) : NULL;
    if (f)
        fclose(f);
    if (key)
        return key;
    if (some_error_is(ERR_LIB_PEM, PEM_R_BAD_PASSWORD_READ))
        refuse(error, "%s: is protected by a passphrase, which nobody could enter: `openssl pkey -in %s -out NEW` removes it", path, path);
    else
        refuse(error, "%s: holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)", path);
    return NULL;
}

static bool use_key(SSL_CTX *ctx, const char *cert, const char *path, char *error)
{
    EVP_PKEY *key = read_key(path, error);
    if (!key)
        return false;
    bool fits = X509_check_private_key(SSL_CTX_get0_certificate(ctx), key);
    bool used = fits && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    EVP_PKEY_free(key);
    if (!fits)
        return refuse(error, "%s: is not the key of the certificate in %s", path, cert);
    return used || refuse(error, "%s: can't be used as a key: %s", path, openssl_reason());
}

static time_t to_time(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) ? timegm(&tm) : 0;
}

/* A certificate out of its time is usable all the same: better a warning of the client's than no service for all. */
static void warn_of_validity(const X509 *cert, const char *path, char *error)
{
    time_t end = to_time(X509_get0_notAfter(cert)), begin = to_time(X509_get0_notBefore(cert)), now = time(NULL);
    const char *words = end < now ? "the certificate expired on" : begin > now ? "the certificate is not valid before" : NULL;
    if (!words)
        return;
    struct tm tm;
    char date[sizeof "2026-11-24 16:00 UTC"] = "";
    gmtime_r(end < now ? &end : &begin, &tm);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &tm);
    refuse(error, "%s: %s %s", path, words, date);
}

static bool use_files(SSL_CTX *ctx, const char *cert, const char *key, char *error)
{
    if (!use_certificate(ctx, cert, error) || !use_key(ctx, cert, key, error))
        return false;
    warn_of_validity(SSL_CTX_get0_certificate(ctx), cert, error);
    return true;
}

/* --- session tickets --- */

/* Of the process, not of a context: a reload makes new contexts and must keep the sessions. The cipher is fetched once, because
 * OpenSSL would look it up anew for each ticket. */
static struct ticket_keys ticket_keys = TICKET_KEYS_INIT;
static EVP_CIPHER *ticket_cipher;
static pthread_once_t ticket_cipher_once = PTHREAD_ONCE_INIT;

static void fetch_ticket_cipher(void)
{
    ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
}

static bool set_ticket_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters);
}

/* See SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 the ticket is unknown, 1 fine, 2 fine and to be replaced, -1 failed. */
static int on_ticket(SSL *ssl, unsigned char name[TICKET_NAME_SIZE], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    struct ticket_key key;
    enum ticket_key_age age = TICKET_KEY_CURRENT;

    if (sealing) {
        ticket_keys_current(&ticket_keys, clock_monotonic(), &key);
        memcpy(name, key.name, TICKET_NAME_SIZE);
        random_bytes(iv, (size_t)EVP_CIPHER_get_iv_length(ticket_cipher));
    } else {
        age = ticket_keys_find(&ticket_keys, clock_monotonic(), name, &key);
        if (age == TICKET_KEY_UNKNOWN)
            return 0;
    }
    bool ok = EVP_CipherInit_ex2(cipher, ticket_cipher, key.cipher, iv, sealing, NULL) && set_ticket_mac(mac, &key);
    explicit_bzero(&key, sizeof key);
    /* TLS 1.3: a client uses a ticket once (RFC 8446 appendix C.4), so each use earns a new one. */
    return !ok ? -1 : age == TICKET_KEY_PREVIOUS || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}

/* --- server --- */

struct server_name {
    char *name; /* lower case, "*.x" for a wildcard */
    size_t certificate;
};

/* Belongs to the first of its contexts, which every SSL keeps alive: a handshake may outlive tls_server_free. */
struct tls_server {
    SSL_CTX **contexts; /* one per certificate */
    size_t n_contexts;
    struct server_name *names; /* sorted by name */
    size_t n_names;
    unsigned char *alpn; /* by preference, as on the wire */
    unsigned alpn_length;
    time_t not_after;
};

static void free_server(void *parent, void *server, CRYPTO_EX_DATA *data, int index, long number, void *pointer)
{
    struct tls_server *s = server;
    (void)parent, (void)data, (void)index, (void)number, (void)pointer;
    if (!s)
        return;
    for (size_t i = 1; i < s->n_contexts; i++)
        SSL_CTX_free(s->contexts[i]);
    for (size_t i = 0; i < s->n_names; i++)
        free(s->names[i].name);
    free(s->contexts);
    free(s->names);
    free(s->alpn);
    free(s);
}

static int server_index, session_slot_index;
static pthread_once_t indices_once = PTHREAD_ONCE_INIT;

static void make_indices(void)
{
    server_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_server);
    session_slot_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static void add_name(struct tls_server *s, const unsigned char *name, size_t length, size_t certificate)
{
    if (length == 0 || length > NAME_MAX_LENGTH || memchr(name, '\0', length))
        return;
    s->names = mem_resize(s->names, s->n_names + 1, sizeof *s->names);
    struct server_name *added = &s->names[s->n_names++];
    *added = (struct server_name){ mem_copy(name, length), certificate };
    for (char *p = added->name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
}

/* The names of subjectAltName; the subject's common name counts only where that has none (RFC 9525 does away with it). */
static void add_names(struct tls_server *s, const X509 *cert, size_t certificate)
{
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t before = s->n_names;
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(alternatives, i);
        if (g->type == GEN_DNS)
            add_name(s, ASN1_STRING_get0_data(g->d.dNSName), (size_t)ASN1_STRING_length(g->d.dNSName), certificate);
    }
    GENERAL_NAMES_free(alternatives);
    int at = X509_NAME_get_index_by_NID(X509_get_subject_name(cert), NID_commonName, -1);
    if (s->n_names > before || at < 0)
        return;
    const ASN1_STRING *common = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(cert), at));
    add_name(s, ASN1_STRING_get0_data(common), (size_t)ASN1_STRING_length(common), certificate);
}

static int compare_names(const void *a, const void *b)
{
    const struct server_name *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->certificate > y->certificate) - (x->certificate < y->certificate);
}

/* Of certificates with the same name the first counts. */
static void sort_names(struct tls_server *s)
{
    size_t kept = 0;
    if (s->n_names)
        qsort(s->names, s->n_names, sizeof *s->names, compare_names);
    for (size_t i = 0; i < s->n_names; i++) {
        if (kept && strcmp(s->names[kept - 1].name, s->names[i].name) == 0)
            free(s->names[i].name);
        else
            s->names[kept++] = s->names[i];
    }
    s->n_names = kept;
}

static int compare_to_name(const void *key, const void *item)
{
    return strcmp(key, ((const struct server_name *)item)->name);
}

static const struct server_name *find_name(const struct tls_server *s, const char *name)
{
    return s->n_names ? bsearch(name, s->names, s->n_names, sizeof *s->names, compare_to_name) : NULL;
}

static size_t find_certificate(const struct tls_server *s, const char *asked)
{
    char name[NAME_MAX_LENGTH + 2];
    size_t length = strlen(asked);
    if (length == 0 || length > NAME_MAX_LENGTH)
        return 0;
    for (size_t i = 0; i <= length; i++)
        name[i] = (char)tolower((unsigned char)asked[i]);
    const struct server_name *found = find_name(s, name);
    char *dot = strchr(name, '.');
    if (!found && dot && dot != name) {
        *--dot = '*';
        found = find_name(s, dot);
    }
    return found ? found->certificate : 0;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_server *s = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t certificate = asked ? find_certificate(s, asked) : 0;
    (void)alert;
    if (certificate)
        SSL_set_SSL_CTX(ssl, s->contexts[certificate]);
    return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *offered, unsigned length, void *arg)
{
    const struct tls_server *s = arg;
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_length, s->alpn, s->alpn_length, offered, length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 section 3.2; going on would help attacks across protocols */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void set_alpn(struct tls_server *s, const char *const *protocols)
{
    for (; protocols && *protocols; protocols++) {
        size_t n = strlen(*protocols);
        s->alpn = mem_resize(s->alpn, s->alpn_length + 1 + n, 1);
        s->alpn[s->alpn_length] = (unsigned char)n;
        memcpy(s->alpn + s->alpn_length + 1, *protocols, n);
        s->alpn_length += (unsigned)n + 1;
    }
}

static SSL_CTX *server_context(struct tls_server *s, const struct tls_server_options *options)
{
    SSL_CTX *ctx = context_new(TLS_server_method(), options->min_version);
    if (!ctx)
        return NULL;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets hold the sessions, so nothing is kept or locked here */
    SSL_CTX_set_num_tickets(ctx, 1); /* OpenSSL makes two; a client with parallel connections has one from each of them */
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, s);
    if (s->alpn)
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, s);
    return ctx;
}

/* With the first context the server belongs to it: from then on it is freed by freeing that. */
static bool add_context(struct tls_server *s, SSL_CTX *ctx)
{
    if (!ctx || (s->n_contexts == 0 && !SSL_CTX_set_ex_data(ctx, server_index, s))) {
        SSL_CTX_free(ctx);
        return false;
    }
    s->contexts[s->n_contexts++] = ctx;
    return true;
}

static bool add_certificate(struct tls_server *s, const struct tls_server_options *options, size_t i, char *error)
{
    const struct tls_certificate_files *files = &options->certificates[i];
    if (!add_context(s, server_context(s, options)))
        return refuse(error, "OpenSSL: %s", openssl_reason());
    if (!use_files(s->contexts[i], files->cert, files->key, error))
        return false;
    const X509 *cert = SSL_CTX_get0_certificate(s->contexts[i]);
    time_t not_after = to_time(X509_get0_notAfter(cert));
    if (i == 0 || not_after < s->not_after)
        s->not_after = not_after;
    add_names(s, cert, i);
    return true;
}

struct tls_server *tls_server_new(const struct tls_server_options *options, char error[TLS_ERROR_SIZE])
{
    error[0] = '\0';
    pthread_once(&indices_once, make_indices);
    pthread_once(&ticket_cipher_once, fetch_ticket_cipher);
    struct tls_server *s = mem_zero(sizeof *s);
    s->contexts = mem_array(options->n_certificates, sizeof *s->contexts);
    set_alpn(s, options->alpn);
    for (size_t i = 0; i < options->n_certificates; i++) {
        if (!add_certificate(s, options, i, error)) {
            tls_server_free(s);
            return NULL;
        }
    }
    sort_names(s);
    ERR_clear_error();
    return s;
}

void tls_server_free(struct tls_server *s)
{
    if (s && s->n_contexts)
        SSL_CTX_free(s->contexts[0]);
    else
        free_server(NULL, s, NULL, 0, 0, NULL);
}

SSL *tls_server_session(struct tls_server *s)
{
    SSL *ssl = SSL_new(s->contexts[0]);
    if (ssl)
        SSL_set_accept_state(ssl);
    else
        ERR_clear_error();
    return ssl;
}

time_t tls_server_not_after(const struct tls_server *s)
{
    return s->not_after;
}

/* --- client --- */

struct tls_client {
    SSL_CTX *ctx;
};

/* The name that the connection was made for, as it is kept with its session. Freed by the caller. */
static char *session_name(SSL *ssl)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name)
        return OPENSSL_strdup(name);
    return X509_VERIFY_PARAM_get1_ip_asc(SSL_get0_param(ssl));
}

/* Returns 1 when the session was kept. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **slot = SSL_get_ex_data(ssl, session_slot_index);
    if (!slot)
        return 0;
    char *name = session_name(ssl);
    bool named = name && SSL_SESSION_set1_hostname(session, name);
    OPENSSL_free(name);
    if (!named)
        return 0;
    SSL_SESSION_free(*slot);
    *slot = session;
    return 1;
}

static bool set_trust(SSL_CTX *ctx, const struct tls_client_options *options, char *error)
{
    if (!options->verify)
        return true;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (!options->ca_file)
        return SSL_CTX_set_default_verify_paths(ctx) || refuse(error, "the system's certificates: %s", openssl_reason());
    if (!check_readable(options->ca_file, error))
        return false;
    if (SSL_CTX_load_verify_file(ctx, options->ca_file))
        return true;
    return refuse(error, "%s: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", options->ca_file);
}

static bool set_up_client(SSL_CTX *ctx, const struct tls_client_options *options, char *error)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    X509_VERIFY_PARAM_set_hostflags(SSL_CTX_get0_param(ctx), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1) != 0)
        return refuse(error, "OpenSSL: %s", openssl_reason());
    return set_trust(ctx, options, error) && (!options->client_cert || use_files(ctx, options->client_cert, options->client_key, error));
}

struct tls_client *tls_client_new(const struct tls_client_options *options, char error[TLS_ERROR_SIZE])
{
    error[0] = '\0';
    pthread_once(&indices_once, make_indices);
    SSL_CTX *ctx = context_new(TLS_client_method(), TLS1_2_VERSION);
    if (!ctx) {
        refuse(error, "OpenSSL: %s", openssl_reason());
        return NULL;
    }
    if (!set_up_client(ctx, options, error)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    ERR_clear_error();
    struct tls_client *c = mem_zero(sizeof *c);
    c->ctx = ctx;
    return c;
}

void tls_client_free(struct tls_client *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ctx);
    free(c);
}

static bool is_ip_literal(const char *name)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* An empty name would switch verification off, so it is none. */
static bool set_name(SSL *ssl, const char *name)
{
    if (!*name || strlen(name) > NAME_MAX_LENGTH)
        return false;
    if (is_ip_literal(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    return SSL_set_tlsext_host_name(ssl, name) && SSL_set1_host(ssl, name);
}

static bool was_made_for(const SSL_SESSION *session, SSL *ssl)
{
    const char *kept = SSL_SESSION_get0_hostname(session);
    char *name = session_name(ssl);
    bool same = kept && name && strcasecmp(kept, name) == 0;
    OPENSSL_free(name);
    return same;
}

SSL *tls_client_session(struct tls_client *c, const char *server_name, SSL_SESSION *resume)
{
    SSL *ssl = SSL_new(c->ctx);
    if (!ssl || !set_name(ssl, server_name)) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_connect_state(ssl);
    if (resume && SSL_SESSION_is_resumable(resume) && was_made_for(resume, ssl))
        SSL_set_session(ssl, resume);
    return ssl;
}

void tls_client_keep_session(SSL *ssl, SSL_SESSION **slot)
{
    SSL_set_ex_data(ssl, session_slot_index, slot);
}
