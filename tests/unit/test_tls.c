#include "net/tls.h"

#include <openssl/err.h>
#include <pthread.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "tls_pair.h"

enum { HOUR = 3600, DAY = 24 * HOUR };

static int setup(void **state)
{
    static const struct certificate certificates[] = {
        { .name = "first", .alternatives = "DNS:first.example,DNS:shared.example,IP:127.0.0.1,IP:::1", .begins = -HOUR, .ends = 90 * DAY },
        { .name = "second", .alternatives = "DNS:Second.Example,DNS:*.second.example,DNS:shared.example", .begins = -HOUR, .ends = 30 * DAY },
        { .name = "common", .common = "common.example", .begins = -HOUR, .ends = 60 * DAY },
        { .name = "expired", .alternatives = "DNS:expired.example", .begins = -2 * DAY, .ends = -DAY },
        { .name = "future", .alternatives = "DNS:future.example", .begins = DAY, .ends = 2 * DAY },
        { .name = "locked", .alternatives = "DNS:locked.example", .begins = -HOUR, .ends = DAY, .passphrase = "swordfish" },
    };
    if (make_test_folder(state) != 0)
        return -1;
    for (size_t i = 0; i < sizeof certificates / sizeof *certificates; i++)
        make_certificate(&certificates[i]);
    return 0;
}

/* Connects a client to a server; `words` as pair_handshake. */
static bool connect_pair(struct pair *p, struct tls_server *server, struct tls_client *client, const char *name, SSL_SESSION *resume, char words[256])
{
    SSL *ssl = tls_client_session(client, name, resume);
    assert_non_null(ssl);
    pair_init(p, tls_server_session(server), ssl);
    return pair_handshake(p, words);
}

static void common_name(const struct pair *p, char out[64])
{
    X509 *cert = SSL_get1_peer_certificate(p->client.ssl);
    assert_non_null(cert);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out, 64);
    X509_free(cert);
}

static void test_certificate_by_name(void **state)
{
    static const struct {
        const char *asked, *answered;
    } cases[] = {
        { "first.example", "first" },        { "FIRST.example", "first" },       { "second.example", "second" },
        { "www.second.example", "second" },  { "WWW.Second.Example", "second" }, { "a.b.second.example", "first" },
        { "shared.example", "first" },       { "common.example", "common.example" }, { "elsewhere.example", "first" },
        { "127.0.0.1", "first" },            { "example", "first" },
    };
    struct tls_server *server = make_server((const char *[]){ "first", "second", "common", NULL }, TLS1_2_VERSION);
    struct tls_client *client = make_client(NULL);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair p;
        char words[256], name[64];
        assert_true(connect_pair(&p, server, client, cases[i].asked, NULL, words));
        common_name(&p, name);
        if (strcmp(name, cases[i].answered) != 0)
            fail_msg("%s got the certificate of %s", cases[i].asked, name);
        pair_clear(&p);
    }
    tls_client_free(client);
    tls_server_free(server);
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_refuses_files_with_a_reason(void **state)
{
    static const struct {
        const char *cert, *key, *named, *words;
    } cases[] = {
        { "absent.pem", "first.key", "absent.pem", "No such file" },
        { "first.pem", "absent.key", "absent.key", "No such file" },
        { "nonsense.pem", "first.key", "nonsense.pem", "no certificate in PEM form" },
        { "broken.pem", "first.key", "broken.pem", "bad end line" },
        { "first.key", "first.key", "first.key", "no certificate in PEM form" },
        { "first.pem", "nonsense.pem", "nonsense.pem", "no private key in PEM form" },
        { "first.pem", "first.pem", "first.pem", "no private key in PEM form" },
        { "first.pem", "second.key", "second.key", "not the key of the certificate" },
        { "locked.pem", "locked.key", "locked.key", "passphrase" },
    };
    char error[TLS_ERROR_SIZE];
    (void)state;
    write_file("nonsense.pem", "hello\n");
    write_file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_certificate_files files[] = { { in_folder("second.pem"), in_folder("second.key") },
                                                 { in_folder(cases[i].cert), in_folder(cases[i].key) } };
        assert_null(tls_server_new(&(struct tls_server_options){ files, 2, TLS1_2_VERSION, NULL }, error));
        if (!strstr(error, cases[i].named) || !strstr(error, cases[i].words))
            fail_msg("\"%s\" lacks \"%s\" or \"%s\"", error, cases[i].named, cases[i].words);
        assert_null(tls_client_new(&(struct tls_client_options){ true, NULL, files[1].cert, files[1].key }, error));
        assert_non_null(strstr(error, cases[i].words));
    }
    assert_null(tls_client_new(&(struct tls_client_options){ .verify = true, .ca_file = in_folder("absent.pem") }, error));
    assert_non_null(strstr(error, "No such file"));
    assert_null(tls_client_new(&(struct tls_client_options){ .verify = true, .ca_file = in_folder("nonsense.pem") }, error));
    assert_non_null(strstr(error, "no certificate in PEM form"));
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_validity_is_a_warning(void **state)
{
    static const struct {
        const char *cert, *key, *words;
        long ends;
    } cases[] = {
        { "first.pem", "first.key", NULL, 90 * DAY },
        { "expired.pem", "expired.key", "expired on", -DAY },
        { "future.pem", "future.key", "not valid before", 2 * DAY },
    };
    char error[TLS_ERROR_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_certificate_files files = { in_folder(cases[i].cert), in_folder(cases[i].key) };
        struct tls_server *s = tls_server_new(&(struct tls_server_options){ &files, 1, TLS1_2_VERSION, NULL }, error);
        assert_non_null(s);
        if (cases[i].words)
            assert_non_null(strstr(error, cases[i].words));
        else
            assert_string_equal(error, "");
        long off = (long)(tls_server_not_after(s) - time(NULL)) - cases[i].ends;
        assert_true(off <= 1 && off > -HOUR); /* made in the set-up */
        tls_server_free(s);
    }
    struct tls_server *both = make_server((const char *[]){ "first", "second", "common", NULL }, TLS1_2_VERSION);
    long off = (long)(tls_server_not_after(both) - time(NULL)) - 30 * DAY;
    assert_true(off <= 1 && off > -HOUR);
    tls_server_free(both);
}

static void test_client_verifies(void **state)
{
    static const struct {
        const char *serves, *trusts, *name, *words; /* words NULL: accepted */
    } cases[] = {
        { "first", "first", "first.example", NULL },
        { "first", "first", "127.0.0.1", NULL },
        { "first", "first", "::1", NULL },
        { "second", "second", "www.second.example", NULL },
        { "first", "first", "other.example", "ostname mismatch" },
        { "first", "first", "127.0.0.2", "IP address mismatch" },
        { "second", "second", "a.b.second.example", "ostname mismatch" },
        { "first", "second", "first.example", "self" }, /* "self-signed certificate" */
        { "expired", "expired", "expired.example", "expired" },
        { "future", "future", "future.example", "not yet valid" },
        { "expired", NULL, "other.example", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_server *server = make_server((const char *[]){ cases[i].serves, NULL }, TLS1_2_VERSION);
        struct tls_client *client = make_client(cases[i].trusts);
        struct pair p;
        char words[256];
        bool ok = connect_pair(&p, server, client, cases[i].name, NULL, words);
        if (ok != !cases[i].words || (cases[i].words && !strstr(words, cases[i].words)))
            fail_msg("%s at %s: %s", cases[i].name, cases[i].serves, ok ? "accepted" : words);
        pair_clear(&p);
        tls_client_free(client);
        tls_server_free(server);
    }
}

static void test_names_that_cannot_be_verified(void **state)
{
    struct tls_client *client = make_client("first");
    char name[300];
    (void)state;
    memset(name, 'a', sizeof name);
    name[256] = '\0';
    assert_null(tls_client_session(client, name, NULL));
    assert_null(tls_client_session(client, "", NULL));
    tls_client_free(client);
}

static void test_alpn(void **state)
{
    static const struct {
        const char *protocols[3];
        const char *chosen; /* NULL: refused; "": none */
    } cases[] = {
        { { "h2", "http/1.1", NULL }, "http/1.1" },
        { { "http/1.1", NULL }, "http/1.1" },
        { { "h2", NULL }, NULL },
        { { NULL }, "" },
    };
    struct tls_client *client = make_client(NULL); /* offers http/1.1 */
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_certificate_files files = { in_folder("first.pem"), in_folder("first.key") };
        char error[TLS_ERROR_SIZE], words[256];
        struct tls_server *server = tls_server_new(&(struct tls_server_options){ &files, 1, TLS1_2_VERSION, cases[i].protocols }, error);
        struct pair p;
        const unsigned char *chosen;
        unsigned n;
        assert_int_equal(connect_pair(&p, server, client, "first.example", NULL, words), cases[i].chosen != NULL);
        if (cases[i].chosen) {
            SSL_get0_alpn_selected(p.client.ssl, &chosen, &n);
            assert_int_equal(n, strlen(cases[i].chosen));
            assert_memory_equal(chosen, cases[i].chosen, n);
        }
        pair_clear(&p);
        tls_server_free(server);
    }
    tls_client_free(client);
}

static void test_min_version(void **state)
{
    struct tls_server *server = make_server((const char *[]){ "first", NULL }, TLS1_3_VERSION);
    struct tls_client *client = make_client(NULL);
    struct pair p;
    char words[256];
    (void)state;
    SSL *ssl = tls_client_session(client, "first.example", NULL);
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    pair_init(&p, tls_server_session(server), ssl);
    assert_false(pair_handshake(&p, words));
    assert_string_equal(words, "no TLS version in common");
    pair_clear(&p);
    tls_client_free(client);
    tls_server_free(server);
}

/* One connection; says whether it was resumed, and leaves its session in the slot. Ends without close_notify when `cut`. */
static bool resumes(struct tls_server *server, struct tls_client *client, const char *name, int version, SSL_SESSION **slot, bool cut)
{
    struct pair p;
    char words[256], byte;
    SSL *ssl = tls_client_session(client, name, *slot);
    SSL_set_max_proto_version(ssl, version);
    tls_client_keep_session(ssl, slot);
    pair_init(&p, tls_server_session(server), ssl);
    if (!pair_handshake(&p, words))
        fail_msg("%s", words);
    assert_int_equal(stream_read(&p.client, &byte, 1), STREAM_AGAIN); /* the ticket of TLS 1.3 */
    bool resumed = SSL_session_reused(ssl);
    assert_int_equal(SSL_get_verify_result(ssl), X509_V_OK);
    if (cut)
        stream_reset(&p.client, p.loop);
    pair_clear(&p);
    return resumed;
}

static void test_sessions(void **state)
{
    static const int versions[] = { TLS1_3_VERSION, TLS1_2_VERSION };
    struct tls_client *client = make_client("first");
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tls_server *server = make_server((const char *[]){ "first", "second", NULL }, TLS1_2_VERSION);
        SSL_SESSION *slot = NULL, *none = NULL;
        assert_false(resumes(server, client, "first.example", versions[i], &slot, false));
        assert_non_null(slot);
        assert_true(resumes(server, client, "first.example", versions[i], &slot, true));
        assert_true(resumes(server, client, "first.example", versions[i], &slot, false)); /* although the one before was cut */
        assert_false(resumes(server, client, "shared.example", versions[i], &slot, false)); /* made for another name */

        tls_server_free(server); /* a reload */
        server = make_server((const char *[]){ "first", NULL }, TLS1_2_VERSION);
        assert_true(resumes(server, client, "shared.example", versions[i], &slot, false));
        assert_false(resumes(server, client, "127.0.0.1", versions[i], &slot, false));
        assert_true(resumes(server, client, "127.0.0.1", versions[i], &slot, false));
        assert_false(resumes(server, client, "::1", versions[i], &slot, false));
        assert_false(resumes(server, client, "first.example", versions[i], &none, false));
        SSL_SESSION_free(slot);
        SSL_SESSION_free(none);
        tls_server_free(server);
    }
    tls_client_free(client);
}

static void test_sessions_outlive_their_context(void **state)
{
    struct tls_server *server = make_server((const char *[]){ "first", "second", NULL }, TLS1_2_VERSION);
    struct tls_client *client = make_client(NULL);
    struct pair p;
    char words[256], name[64];
    (void)state;
    pair_init(&p, tls_server_session(server), tls_client_session(client, "second.example", NULL));
    tls_server_free(server);
    tls_client_free(client);
    assert_true(pair_handshake(&p, words));
    common_name(&p, name);
    assert_string_equal(name, "second");
    pair_clear(&p);
    tls_server_free(NULL);
    tls_client_free(NULL);
}

static void test_client_certificate(void **state)
{
    struct tls_server *server = make_server((const char *[]){ "first", NULL }, TLS1_2_VERSION);
    char error[TLS_ERROR_SIZE], words[256];
    struct tls_client *client = tls_client_new(
        &(struct tls_client_options){ false, NULL, in_folder("second.pem"), in_folder("second.key") }, error);
    struct pair p;
    (void)state;
    SSL *ssl = tls_server_session(server);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_load_file(store, in_folder("second.pem"));
    SSL_set0_verify_cert_store(ssl, store);
    SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_set_session_id_context(ssl, (const unsigned char *)"t", 1);
    pair_init(&p, ssl, tls_client_session(client, "first.example", NULL));
    if (!pair_handshake(&p, words))
        fail_msg("%s", words);
    X509 *cert = SSL_get1_peer_certificate(ssl);
    assert_non_null(cert);
    X509_free(cert);
    pair_clear(&p);
    tls_client_free(client);
    tls_server_free(server);
}

static void *shake_hands(void *arg)
{
    struct tls_server *server = arg;
    struct tls_client *client = make_client("second");
    SSL_SESSION *slot = NULL;
    uintptr_t resumed = 0;
    for (int i = 0; i < 10; i++)
        resumed += resumes(server, client, "second.example", TLS1_3_VERSION, &slot, false);
    SSL_SESSION_free(slot);
    tls_client_free(client);
    return (void *)resumed;
}

static void test_shared_by_threads(void **state)
{
    struct tls_server *server = make_server((const char *[]){ "first", "second", NULL }, TLS1_2_VERSION);
    pthread_t threads[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, shake_hands, server), 0);
    for (int i = 0; i < 3; i++) {
        void *resumed;
        pthread_join(threads[i], &resumed);
        assert_int_equal((uintptr_t)resumed, 9);
    }
    tls_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_by_name),
        cmocka_unit_test(test_refuses_files_with_a_reason),
        cmocka_unit_test(test_validity_is_a_warning),
        cmocka_unit_test(test_client_verifies),
        cmocka_unit_test(test_names_that_cannot_be_verified),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_min_version),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_sessions_outlive_their_context),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, setup, remove_test_folder);
}
