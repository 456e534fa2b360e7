/* For tests that need files: a folder that goes with the test, and certificates made on the spot. */
#ifndef PENSTOCK_UNIT_TEST_FOLDER_H
#define PENSTOCK_UNIT_TEST_FOLDER_H

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char test_folder[] = "/tmp/penstock-test-XXXXXX";

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
static void __attribute__((unused)) make_certificate(const struct certificate *c)
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

#endif
