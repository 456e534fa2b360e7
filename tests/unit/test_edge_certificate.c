/* The edge's CA and certificate: what connectors must be able to verify, what is kept, what is renewed and when. */
#include "control/edge_certificate.h"

#include "test_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { DAY = 24 * 60 * 60 };

static time_t now;

static int setup(void **state)
{
    now = time(NULL);
    strcpy(test_folder, "/tmp/penstock-test-XXXXXX");
    return make_test_folder(state);
}

static X509 *read_certificate(const char *path)
{
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(cert);
    return cert;
}

static void make_ready(time_t when, struct edge_certificate *out)
{
    char error[256] = "";
    if (!edge_certificate_ready(test_folder, when, out, error))
        fail_msg("%s", error);
}

/* As a connector does: that CA alone, that name, the purpose of a server. */
static int verify(const char *ca_path, const char *cert_path, const char *host, time_t when)
{
    X509 *ca = read_certificate(ca_path), *cert = read_certificate(cert_path);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, cert, NULL);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set1_host(param, host, 0);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_time(param, when);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_verify_cert(context);
    int outcome = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(cert);
    return outcome;
}

static bool same_certificate(X509 *a, X509 *b)
{
    bool same = X509_cmp(a, b) == 0;
    X509_free(a);
    X509_free(b);
    return same;
}

static void made_on_first_start(void **state)
{
    (void)state;
    struct edge_certificate c;
    make_ready(now, &c);
    assert_string_equal(c.ca, in_folder("edge-ca.pem"));
    assert_int_equal(verify(c.ca, c.cert, "h2.cftunnel.com", now), X509_V_OK);
    assert_int_equal(verify(c.ca, c.cert, "probe.cftunnel.com", now), X509_V_OK);
    assert_int_equal(verify(c.ca, c.cert, "cftunnel.com", now), X509_V_ERR_HOSTNAME_MISMATCH);
    assert_int_equal(verify(c.ca, c.cert, "h2.example.com", now), X509_V_ERR_HOSTNAME_MISMATCH);
    X509 *ca = read_certificate(c.ca), *cert = read_certificate(c.cert);
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_true(X509_check_ca(ca) == 1 && X509_check_ca(cert) == 0);
    char group[32];
    assert_true(EVP_PKEY_get_group_name(X509_get0_pubkey(cert), group, sizeof group, NULL));
    assert_string_equal(group, "prime256v1");
    X509_free(ca);
    X509_free(cert);
}

static void keys_are_the_owner_s(void **state)
{
    (void)state;
    struct edge_certificate c;
    struct stat key, ca_key;
    make_ready(now, &c);
    assert_int_equal(stat(c.key, &key), 0);
    assert_int_equal(stat(in_folder("edge-ca.key"), &ca_key), 0);
    assert_int_equal(key.st_mode & 07777, 0600);
    assert_int_equal(ca_key.st_mode & 07777, 0600);
}

static void kept_while_good(void **state)
{
    (void)state;
    struct edge_certificate c, again;
    make_ready(now, &c);
    X509 *before = read_certificate(c.cert);
    make_ready(now + 300 * (time_t)DAY, &again);
    assert_true(same_certificate(before, read_certificate(again.cert)));
    assert_true(c.not_after == again.not_after);
}

static void renewed_before_it_ends(void **state)
{
    (void)state;
    struct edge_certificate c, again;
    make_ready(now, &c);
    X509 *before = read_certificate(c.cert), *ca_before = read_certificate(c.ca);
    time_t later = c.not_after - 29 * (time_t)DAY;
    make_ready(later, &again);
    assert_false(same_certificate(before, read_certificate(again.cert)));
    assert_true(same_certificate(ca_before, read_certificate(again.ca)));
    assert_true(again.not_after > c.not_after);
    assert_int_equal(verify(c.ca, again.cert, "h2.cftunnel.com", later), X509_V_OK);
}

/* Connectors that hold the former CA go on: its key and name stay. */
static void renewed_ca_keeps_its_key(void **state)
{
    (void)state;
    struct edge_certificate c, again;
    make_ready(now, &c);
    X509 *former = read_certificate(c.ca);
    time_t later = now + (20 * 365 - 300) * (time_t)DAY;
    make_ready(later, &again);
    X509 *renewed = read_certificate(again.ca);
    assert_int_not_equal(X509_cmp(former, renewed), 0);
    assert_int_equal(X509_NAME_cmp(X509_get_subject_name(former), X509_get_subject_name(renewed)), 0);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(former), X509_get0_pubkey(renewed)), 1);
    X509 *leaf = read_certificate(again.cert);
    assert_int_equal(X509_verify(leaf, X509_get0_pubkey(former)), 1);
    X509_free(leaf);
    X509_free(former);
    X509_free(renewed);
}

static void lost_edge_key_is_made_anew(void **state)
{
    (void)state;
    struct edge_certificate c;
    make_ready(now, &c);
    assert_int_equal(unlink(c.key), 0);
    make_ready(now, &c);
    assert_int_equal(verify(c.ca, c.cert, "h2.cftunnel.com", now), X509_V_OK);
}

static void expect_refusal(const char *with)
{
    struct edge_certificate c;
    char error[256] = "";
    assert_false(edge_certificate_ready(test_folder, now, &c, error));
    if (!strstr(error, with))
        fail_msg("\"%s\" does not name \"%s\"", error, with);
}

/* A CA that connectors rely on is never replaced behind the operator's back. */
static void lost_ca_key_is_an_error(void **state)
{
    (void)state;
    struct edge_certificate c;
    make_ready(now, &c);
    assert_int_equal(unlink(in_folder("edge-ca.key")), 0);
    expect_refusal("edge-ca.key is missing");
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_true(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void what_is_no_certificate_is_an_error(void **state)
{
    (void)state;
    struct edge_certificate c;
    make_ready(now, &c);
    write_text(c.cert, "nothing of use");
    expect_refusal("edge.pem is no certificate");
    assert_int_equal(unlink(c.cert), 0);
    make_ready(now, &c);
    write_text(c.key, "nothing of use");
    expect_refusal("edge.key is no private key");
}

static void foreign_ca_certificate_is_an_error(void **state)
{
    (void)state;
    struct edge_certificate c;
    make_ready(now, &c);
    make_certificate(&(struct certificate){ .name = "other", .ends = 1000 });
    assert_int_equal(rename(in_folder("other.pem"), c.ca), 0);
    expect_refusal("does not match edge-ca.key");
}

static void folder_that_is_missing_is_an_error(void **state)
{
    (void)state;
    struct edge_certificate c;
    char error[256];
    assert_false(edge_certificate_ready("/nonexistent/penstock", now, &c, error));
    assert_non_null(strstr(error, "/nonexistent/penstock/edge-ca.key"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, remove_test_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(made_on_first_start),
        IN_FOLDER(keys_are_the_owner_s),
        IN_FOLDER(kept_while_good),
        IN_FOLDER(renewed_before_it_ends),
        IN_FOLDER(renewed_ca_keeps_its_key),
        IN_FOLDER(lost_edge_key_is_made_anew),
        IN_FOLDER(lost_ca_key_is_an_error),
        IN_FOLDER(what_is_no_certificate_is_an_error),
        IN_FOLDER(foreign_ca_certificate_is_an_error),
        IN_FOLDER(folder_that_is_missing_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
