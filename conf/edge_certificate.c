/* The certificate that connectors are shown: what they will say to it. */
#include "conf/files.h"
#include "conf/parts.h"

#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* The name that cloudflared asks for and verifies, whatever it dials. */
#define CONNECTORS_NAME "h2.cftunnel.com"

/* The certificate, and what follows it in the file. False where there is none; tls_server_new() has told it. */
static bool read_chain(const char *path, X509 **leaf, STACK_OF(X509) *others)
{
    BIO *file = BIO_new_file(path, "r");
    *leaf = file ? PEM_read_bio_X509_AUX(file, NULL, NULL, NULL) : NULL;
    for (X509 *next; *leaf && (next = PEM_read_bio_X509(file, NULL, NULL, NULL));)
        sk_X509_push(others, next);
    BIO_free(file);
    ERR_clear_error();
    return *leaf;
}

/* Believed as cloudflared believes: whatever stands in the file is an authority, our certificate itself as well. NULL if it is, else why not. */
static const char *why_not_believed(const char *ca, X509 *leaf, STACK_OF(X509) *others)
{
    const char *why = NULL;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *rules = NULL;
    if (!X509_STORE_load_file(store, ca)) {
        why = "it has no certificate in PEM";
    } else {
        X509_STORE_CTX_init(context, store, leaf, others);
        rules = X509_STORE_CTX_get0_param(context);
        X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
        X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
        if (X509_verify_cert(context) != 1)
            why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
    }
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    ERR_clear_error();
    return why;
}

static void check_names(struct loader *l, const struct members *m, const struct edge_conf *edge)
{
    X509 *leaf;
    STACK_OF(X509) *others = sk_X509_new_null();
    if (read_chain(edge->cert, &leaf, others)) {
        const char *why = why_not_believed(edge->ca, leaf, others);
        if (X509_check_host(leaf, CONNECTORS_NAME, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
            conf_error(l, member_place(m, "cert"),
                       "connectors verify the name " CONNECTORS_NAME ", which %s is not valid for: it needs the alternative name *.cftunnel.com", edge->cert);
        if (why)
            conf_error(l, member_place(m, "ca_file"), "connectors that are given %s would not believe %s: %s", edge->ca, edge->cert, why);
    }
    X509_free(leaf);
    sk_X509_pop_free(others, X509_free);
}

/* The key must be the certificate's. */
static void check_pair(struct loader *l, const struct members *m, const struct edge_conf *edge)
{
    static const char *const no_alpn[] = { NULL };
    char error[TLS_ERROR_SIZE] = "";
    struct tls_certificate_files files = { edge->cert, edge->key };
    struct tls_server *server = tls_server_new(&(struct tls_server_options){ &files, 1, TLS1_2_VERSION, no_alpn }, error);
    if (!server)
        conf_error(l, member_place(m, "cert"), "%s", error);
    else if (*error)
        conf_warning(l, member_place(m, "cert"), "%s", error);
    tls_server_free(server);
}

void check_edge_certificate(struct loader *l, const struct members *m, const struct edge_conf *edge)
{
    bool any = has_member(m, "cert") || has_member(m, "key") || has_member(m, "ca_file");
    bool all = has_member(m, "cert") && has_member(m, "key") && has_member(m, "ca_file");
    if (any && !all)
        conf_error(l, m->at, "`cert`, `key` and `ca_file` of `edge` go together: without them they are made and kept in the state directory");
    if (edge->key)
        warn_of_readable_key(l, edge->key, member_place(m, "key"));
    if (!all || !is_good(l, m))
        return;
    check_pair(l, m, edge);
    if (is_good(l, m))
        check_names(l, m, edge);
}
