#include "control/edge_certificate.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "control/state_file.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Connectors hold the CA's certificate in a file: it lives long, and is renewed with the same key, so that both verify. */
enum {
    DAY = 24 * 60 * 60,
    CA_DAYS = 20 * 365,
    EDGE_DAYS = 397,
    CA_RENEWED_DAYS = 365,
    EDGE_RENEWED_DAYS = 30,
    SERIAL_BYTES = 16,
    PEM_MAX = 16384
};

/* The connector verifies h2.cftunnel.com, and probe.cftunnel.com in its pre-checks, whatever it dialled. */
static const char names[] = "DNS:*.cftunnel.com,DNS:h2.cftunnel.com";

/* A certificate and its key, with the paths they are kept at. */
struct pair {
    char cert_path[4096], key_path[4096];
    X509 *cert; /* NULL: missing, or can't be used any more */
    EVP_PKEY *key;
};

static void pair_clear(struct pair *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    p->cert = NULL;
    p->key = NULL;
}

static bool say(char error[256], const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool say(char error[256], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, 256, format, arguments);
    va_end(arguments);
    ERR_clear_error();
    return false;
}

/* --- reading --- */

/* There is no passphrase to ask for. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

/* A file's text, for OpenSSL to read. NULL: it is missing, or can't be read, with a message. */
static BIO *open_pem(const char *path, char **pem, bool *missing, char error[256])
{
    size_t n;
    *pem = state_file_read(path, PEM_MAX, &n, missing, error);
    return *pem ? BIO_new_mem_buf(*pem, (int)n) : NULL;
}

static void close_pem(BIO *bio, char *pem)
{
    BIO_free(bio);
    mem_free_secret(pem);
}

/* False: it is there, but not what it should be. */
static bool read_key(const char *path, EVP_PKEY **key, char error[256])
{
    bool missing;
    char *pem;
    BIO *bio = open_pem(path, &pem, &missing, error);
    if (!bio)
        return missing;
    *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    close_pem(bio, pem);
    return *key || say(error, "%s is no private key: remove it to have a new one made", path);
}

static bool read_cert(const char *path, X509 **cert, char error[256])
{
    bool missing;
    char *pem;
    BIO *bio = open_pem(path, &pem, &missing, error);
    if (!bio)
        return missing;
    *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    close_pem(bio, pem);
    return *cert || say(error, "%s is no certificate: remove it to have a new one made", path);
}

static bool read_pair(struct pair *p, char error[256])
{
    return read_key(p->key_path, &p->key, error) && read_cert(p->cert_path, &p->cert, error);
}

static time_t end_of(const X509 *cert)
{
    struct tm end;
    return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) ? timegm(&end) : 0;
}

static bool ends_within(const X509 *cert, time_t now, time_t days)
{
    return end_of(cert) - now < days * DAY;
}

/* --- making --- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool added = extension && X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}

static bool set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    random_bytes(bytes, sizeof bytes);
    bytes[0] &= 0x7f; /* positive (RFC 5280 section 4.1.2.2) */
    bytes[0] |= 0x40;
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return set;
}

static bool set_name(X509_NAME *name, const char *common)
{
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"penstock", -1, -1, 0) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common, -1, -1, 0);
}

/* From yesterday on: clocks differ. */
static X509 *begin(EVP_PKEY *key, time_t now, time_t end)
{
    X509 *cert = X509_new();
    time_t from = now - DAY;
    if (cert && X509_set_version(cert, X509_VERSION_3) && set_serial(cert) && ASN1_TIME_set(X509_getm_notBefore(cert), from) &&
        ASN1_TIME_set(X509_getm_notAfter(cert), end) && X509_set_pubkey(cert, key))
        return cert;
    X509_free(cert);
    return NULL;
}

/* Of two edges somebody may hold both CAs: their names differ. A renewed one keeps its name. */
static bool name_ca(X509 *cert, const X509 *former)
{
    unsigned char bytes[4];
    char common[64];
    if (former)
        return X509_set_subject_name(cert, X509_get_subject_name(former));
    random_bytes(bytes, sizeof bytes);
    snprintf(common, sizeof common, "penstock edge CA %02x%02x%02x%02x", bytes[0], bytes[1], bytes[2], bytes[3]);
    return set_name(X509_get_subject_name(cert), common);
}

static X509 *make_ca(EVP_PKEY *key, const X509 *former, time_t now)
{
    X509 *cert = begin(key, now, now + (time_t)CA_DAYS * DAY);
    if (cert && name_ca(cert, former) && X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
        add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(cert, cert, NID_subject_key_identifier, "hash") && X509_sign(cert, key, EVP_sha256()))
        return cert;
    X509_free(cert);
    return NULL;
}

static X509 *make_leaf(const struct pair *ca, EVP_PKEY *key, time_t now)
{
    time_t end = now + (time_t)EDGE_DAYS * DAY, end_of_ca = end_of(ca->cert);
    X509 *cert = begin(key, now, end < end_of_ca ? end : end_of_ca);
    if (cert && set_name(X509_get_subject_name(cert), "h2.cftunnel.com") &&
        X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) &&
        add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
        add_extension(cert, ca->cert, NID_ext_key_usage, "serverAuth") &&
        add_extension(cert, ca->cert, NID_subject_alt_name, names) &&
        add_extension(cert, ca->cert, NID_subject_key_identifier, "hash") &&
        add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid") && X509_sign(cert, ca->key, EVP_sha256()))
        return cert;
    X509_free(cert);
    return NULL;
}

/* --- writing --- */

static bool write_bio(const char *path, BIO *bio, char error[256])
{
    char *pem;
    long n = BIO_get_mem_data(bio, &pem);
    bool written = state_file_write(path, pem, (size_t)n, true, error);
    OPENSSL_cleanse(pem, (size_t)n);
    BIO_free(bio);
    return written;
}

static bool write_cert(const struct pair *p, char error[256])
{
    BIO *bio = BIO_new(BIO_s_mem());
    return PEM_write_bio_X509(bio, p->cert) && write_bio(p->cert_path, bio, error);
}

static bool write_key(const struct pair *p, char error[256])
{
    BIO *bio = BIO_new(BIO_s_mem());
    return PEM_write_bio_PrivateKey(bio, p->key, NULL, NULL, 0, NULL, NULL) && write_bio(p->key_path, bio, error);
}

/* --- what is there, and what is missing --- */

static bool cannot_make(const char *path, char error[256])
{
    return say(error, "can't make %s: OpenSSL failed", path);
}

static bool have_key(struct pair *p, char error[256])
{
    if (p->key)
        return true;
    p->key = EVP_EC_gen("P-256");
    return p->key ? write_key(p, error) : cannot_make(p->key_path, error);
}

static bool ca_is_good(const struct pair *ca, time_t now)
{
    return ca->cert && ca->key && X509_check_private_key(ca->cert, ca->key) && !ends_within(ca->cert, now, CA_RENEWED_DAYS);
}

static bool have_ca(struct pair *ca, time_t now, char error[256])
{
    if (!read_pair(ca, error))
        return false;
    if (ca->cert && !ca->key)
        return say(error,
                   "%s is missing: bring it back, or remove edge-ca.pem beside it to have a new CA made, which connectors then need",
                   ca->key_path);
    if (ca->cert && !X509_check_private_key(ca->cert, ca->key))
        return say(error, "%s does not match edge-ca.key beside it: bring the right one back, or remove both to have a new CA made",
                   ca->cert_path);
    if (ca_is_good(ca, now))
        return true;
    if (!have_key(ca, error))
        return false;
    X509 *former = ca->cert;
    ca->cert = make_ca(ca->key, former, now);
    if (former)
        log_warning("edge", "the CA of the edge ends within a year and was renewed: give connectors the new %s", ca->cert_path);
    else
        log_notice("edge", "made a CA for the edge: %s", ca->cert_path);
    X509_free(former);
    return ca->cert ? write_cert(ca, error) : cannot_make(ca->cert_path, error);
}

static bool leaf_is_good(const struct pair *leaf, const struct pair *ca, time_t now)
{
    return leaf->cert && leaf->key && X509_check_private_key(leaf->cert, leaf->key) && X509_verify(leaf->cert, ca->key) == 1 &&
           !ends_within(leaf->cert, now, EDGE_RENEWED_DAYS);
}

static bool have_leaf(struct pair *leaf, const struct pair *ca, time_t now, char error[256])
{
    char text[CLOCK_RFC3339_SIZE];
    if (!read_pair(leaf, error))
        return false;
    if (leaf_is_good(leaf, ca, now))
        return true;
    if (!have_key(leaf, error))
        return false;
    X509_free(leaf->cert);
    leaf->cert = make_leaf(ca, leaf->key, now);
    if (!leaf->cert)
        return cannot_make(leaf->cert_path, error);
    log_notice("edge", "made a certificate for the edge, valid until %s: %s",
               clock_rfc3339((nsec_t)end_of(leaf->cert) * NSEC_PER_SEC, text), leaf->cert_path);
    return write_cert(leaf, error);
}

static bool set_paths(struct pair *p, const char *folder, const char *name)
{
    int a = snprintf(p->cert_path, sizeof p->cert_path, "%s/%s.pem", folder, name);
    int b = snprintf(p->key_path, sizeof p->key_path, "%s/%s.key", folder, name);
    return a < (int)sizeof p->cert_path && b < (int)sizeof p->key_path;
}

static void show(const struct pair *ca, const struct pair *leaf, struct edge_certificate *out)
{
    snprintf(out->ca, sizeof out->ca, "%s", ca->cert_path);
    snprintf(out->cert, sizeof out->cert, "%s", leaf->cert_path);
    snprintf(out->key, sizeof out->key, "%s", leaf->key_path);
    out->not_after = end_of(leaf->cert);
}

bool edge_certificate_ready(const char *state_dir, time_t now, struct edge_certificate *out, char error[256])
{
    struct pair ca = { .cert = NULL }, leaf = { .cert = NULL };
    if (!set_paths(&ca, state_dir, "edge-ca") || !set_paths(&leaf, state_dir, "edge"))
        return say(error, "the state directory's path is too long: %.100s", state_dir);
    bool ready = have_ca(&ca, now, error) && have_leaf(&leaf, &ca, now, error);
    if (ready)
        show(&ca, &leaf, out);
    pair_clear(&ca);
    pair_clear(&leaf);
    ERR_clear_error();
    return ready;
}
