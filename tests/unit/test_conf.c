/* The configuration language: what broken files are told, what good ones become. Folders: conf/broken (each file says what it
 * expects), and the examples of the manual. */
#include "conf_under_test.h"

#include "alerts/channel.h"
#include "base/mem.h"
#include "base/units.h"
#include "conf/schema.h"
#include "conf/status_set.h"
#include "conf/syntax.h"
#include "monitors/monitor.h"
#include "steering/registry.h"

#include <dirent.h>
#include <math.h>

#define SECRET "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
#define TUNNEL "c1744f8b-faa1-48a4-9e5c-02ac921467fa"

/* --- files --- */

static char *read_whole(const char *path)
{
    struct text t = { 0 };
    char part[4096];
    size_t n;
    FILE *f = fopen(path, "re");
    require(f != NULL, path);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        text_add_bytes(&t, part, n);
    fclose(f);
    return text_take(&t);
}

static const char *in_source(const char *path)
{
    static char whole[PATH_MAX];
    const char *top = getenv("srcdir"); /* make check sets it */
    snprintf(whole, sizeof whole, "%s/%s", top ? top : "..", path);
    return whole;
}

/* Secrets are for their owner only, but the one that a test wants open. */
static mode_t mode_of(const char *name)
{
    return strstr(name, ".secret") && !strstr(name, "open") ? 0600 : 0644;
}

static void copy_file(const char *from, const char *to)
{
    struct stat st;
    if (stat(from, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    char *content = read_whole(from);
    write_file(to, content, mode_of(to));
    free(content);
}

static void copy_folder(const char *from, const char *to)
{
    struct dirent **entries;
    char *source = mem_copy_text(in_source(from));
    int n = scandir(source, &entries, NULL, alphasort);
    require(n > 0 && mkdir(in_folder(to), 0755) == 0, source);
    for (int i = 0; i < n; i++) {
        char *old = mem_printf("%s/%s", source, entries[i]->d_name), *new = mem_printf("%s/%s", to, entries[i]->d_name);
        copy_file(old, new);
        free(old);
        free(new);
        free(entries[i]);
    }
    free(entries);
    free(source);
}

static void make_key_pair(const char *name)
{
    char key[64];
    make_certificate(&(struct certificate){ .name = name, .common = "app.example.com", .alternatives = "DNS:app.example.com",
                                            .ends = 86400 });
    snprintf(key, sizeof key, "%s.key", name);
    require(chmod(in_folder(key), strstr(name, "open") ? 0644 : 0600) == 0, key);
}

static void make_edge_key_pair(const char *name)
{
    char key[64];
    make_certificate(&(struct certificate){ .name = name, .common = "edge", .alternatives = "DNS:*.cftunnel.com", .ends = 86400 });
    snprintf(key, sizeof key, "%s.key", name);
    require(chmod(in_folder(key), 0600) == 0, key);
}

static int set_up(void **state)
{
    if (make_test_folder(state) != 0 || chmod(test_folder, 0755) != 0 || mkdir(in_folder("pki"), 0755) != 0)
        return -1;
    make_key_pair("pki/app");
    make_key_pair("pki/other");
    make_key_pair("pki/open");
    make_edge_key_pair("pki/edge");
    copy_folder("tests/unit/conf/broken", "broken");
    copy_folder("tests/unit/conf/broken/parts", "broken/parts");
    copy_folder("conf/examples", "examples");
    return 0;
}

static struct endpoint load_endpoint(struct config **config, const char *keys)
{
    char text[2048];
    snprintf(text, sizeof text, LISTENER "pools = ( { name = \"p\"; endpoints = ( { %s } ); } );\n" BALANCER, keys);
    *config = load_text(text);
    assert_int_equal((*config)->n_endpoints, 1);
    return *(*config)->endpoints[0];
}

/* --- broken files --- */

/* "# expect: [FILE:]LINE: text": exactly these are told. */
static void check_expectations(const char *name, const char *content, const char *said)
{
    static const char mark[] = "# expect: ";
    struct text expected = { 0 };
    for (const char *p = strstr(content, mark); p; p = strstr(p + 1, mark)) {
        size_t n = strcspn(p, "\n");
        const char *rest = p + strlen(mark);
        text_addf(&expected, "%s/%s%s%.*s\n", in_folder("broken"), *rest >= '0' && *rest <= '9' ? name : "", *rest >= '0' &&
                  *rest <= '9' ? ":" : "",
                  (int)(n - strlen(mark)), rest);
    }
    /* Paths in the messages are those of the folder the test runs in. */
    const char *line = said;
    char *rest = NULL;
    for (char *wanted = strtok_r(expected.p, "\n", &rest); wanted; wanted = strtok_r(NULL, "\n", &rest)) {
        size_t n = strcspn(line, "\n");
        char *got = mem_copy(line, n);
        for (char *prefix; (prefix = strstr(got + 1, in_folder("broken/")));)
            memmove(prefix, prefix + strlen(in_folder("broken/")), strlen(prefix + strlen(in_folder("broken/"))) + 1);
        if (strncmp(got, wanted, strlen(wanted)) != 0)
            fail_msg("%s\n  expected: %s\n  got:      %s", name, wanted, got);
        free(got);
        line += n + (line[n] == '\n');
    }
    if (*line)
        fail_msg("%s: told, but not expected: %s", name, line);
    text_clear(&expected);
}

static void check_broken_file(const char *name)
{
    struct conf_messages messages = { 0 };
    char *path = mem_printf("broken/%s", name);
    struct config *config = conf_load(in_folder(path), &messages);
    char *said = print(&messages), *content = read_whole(in_folder(path));
    if (config)
        fail_msg("%s was accepted", name);
    check_expectations(name, content, said);
    assert_true(messages.errors > 0);
    free(said);
    free(content);
    free(path);
    conf_messages_clear(&messages);
}

static void test_broken_files_are_told_everything(void **state)
{
    struct dirent **entries;
    int n = scandir(in_folder("broken"), &entries, NULL, alphasort);
    unsigned checked = 0;
    (void)state;
    for (int i = 0; i < n; i++) {
        const char *suffix = strrchr(entries[i]->d_name, '.');
        if (suffix && strcmp(suffix, ".conf") == 0) {
            check_broken_file(entries[i]->d_name);
            checked++;
        }
        free(entries[i]);
    }
    free(entries);
    assert_true(checked >= 60);
}

static void test_messages_are_sorted_by_file_and_line(void **state)
{
    struct conf_messages m = { 0 };
    (void)state;
    conf_messages_add(&m, CONF_ERROR, &(struct source){ "b", 2 }, "second of %s", "b");
    conf_messages_add(&m, CONF_WARNING, &(struct source){ "b", 1 }, "first");
    conf_messages_add(&m, CONF_ERROR, &(struct source){ "a", 0 }, "whole");
    conf_messages_add(&m, CONF_ERROR, &(struct source){ "b", 2 }, "third");
    char *said = print(&m);
    assert_string_equal(said, "a: whole\nb:1: warning: first\nb:2: second of b\nb:2: third\n");
    assert_int_equal(m.errors, 3);
    free(said);
    conf_messages_clear(&m);
    assert_int_equal(m.n, 0);
}

static void test_a_file_that_is_not_there(void **state)
{
    struct conf_messages m = { 0 };
    (void)state;
    assert_null(conf_load(in_folder("nothing.conf"), &m));
    assert_int_equal(m.errors, 1);
    assert_non_null(strstr(m.items[0].text, "No such file"));
    conf_messages_clear(&m);
}

static void test_a_nul_byte(void **state)
{
    struct conf_messages m = { 0 };
    FILE *f = fopen(in_folder("nul.conf"), "we");
    (void)state;
    require(f && fwrite("workers = 1;\0\n", 1, 14, f) == 14 && fclose(f) == 0, "nul.conf");
    assert_null(conf_load(in_folder("nul.conf"), &m));
    assert_int_equal(m.errors, 1);
    conf_messages_clear(&m);
}

/* --- good files --- */

static void test_defaults(void **state)
{
    (void)state;
    struct config *c = load_text(LISTENER POOL_P BALANCER);
    char duration[DURATION_TEXT_SIZE];

    assert_int_equal(c->generation, 0);
    assert_true(c->workers >= 1);
    assert_null(c->user);
    assert_null(c->state_dir);
    assert_null(c->access_log.path);
    assert_null(c->resolver_servers);
    assert_string_equal(c->admin.socket, "/run/penstock/admin.sock");
    assert_int_equal(c->admin.mode, 0660);
    assert_null(c->admin.address);
    assert_int_equal(c->n_listeners, 1);
    assert_false(c->listeners[0].tls);
    assert_string_equal(duration_format(c->timeouts.client_header, duration), "10s");
    assert_string_equal(duration_format(c->timeouts.response_header, duration), "2m");
    assert_string_equal(duration_format(c->timeouts.upgrade_idle, duration), "1h");
    assert_int_equal(c->timeouts.total, 0);
    assert_int_equal(c->limits.header_size, 32 * 1024);
    assert_int_equal(c->limits.header_count, 100);
    assert_int_equal(c->limits.requests_per_connection, 1000);

    const struct pool *p = &c->pools[0];
    assert_ptr_equal(config_find_pool(c, "p"), p);
    assert_true(p->enabled);
    assert_int_equal(p->minimum_endpoints, 1);
    assert_string_equal(p->steering.policy->name, "least_outstanding_requests");
    assert_int_equal(p->passive.consecutive, 5);
    assert_true(p->passive.ratio == 0.5);
    assert_true(isnan(p->latitude));
    assert_int_equal(p->slow_start, 30 * NSEC_PER_SEC);
    assert_int_equal(p->n_monitors, 1);
    assert_string_equal(p->monitors[0]->name, "default");
    assert_false(p->monitors[0]->expected_codes_given);
    assert_int_equal(p->monitors[0]->interval, 10 * NSEC_PER_SEC);
    assert_int_equal(p->monitors[0]->timeout, 5 * NSEC_PER_SEC);

    const struct endpoint *e = &p->endpoints[0];
    assert_string_equal(e->id, "p/x");
    assert_ptr_equal(config_find_endpoint(c, "p/x"), e);
    assert_ptr_equal(e->pool, p);
    assert_true(e->weight == 1 && e->enabled && e->hash == config_hash("p/x"));
    assert_null(e->tls_client);

    const struct load_balancer *lb = &c->load_balancers[0];
    assert_string_equal(lb->name, "*");
    assert_string_equal(lb->steering.policy->name, "off");
    assert_non_null(lb->steering.config);
    assert_int_equal(lb->when_all_down, WHEN_ALL_DOWN_LEAST_BAD);
    assert_int_equal(lb->failover.retries, 2);
    assert_int_equal(lb->failover.buffer, 64 * 1024);
    assert_int_equal(lb->failover.on, FAILOVER_CONNECT_ERROR | FAILOVER_RESET | FAILOVER_TUNNEL_INACTIVE | FAILOVER_TIMEOUT);
    for (unsigned status = 0; status < 600; status++) {
        bool given = (status >= 502 && status <= 504) || (status >= 520 && status <= 527) || status == 530;
        assert_int_equal(status_bit(lb->failover.on_status, status), given);
        if (status >= 100)
            assert_int_equal(status_bit(p->monitors[0]->expected_codes, status), !given);
    }
    assert_memory_equal(&lb->timeouts, &c->timeouts, sizeof c->timeouts);
    config_unref(c);
}

static const struct reach {
    const char *keys;
    const char *name, *dial_host;
    unsigned port;
    bool tls, behind_cloudflare;
    enum endpoint_kind kind;
    const char *sni, *host_header, *unix_path;
} reaches[] = {
    { "address = \"http://127.0.0.1:8080\";", "127.0.0.1", "127.0.0.1", 8080, false, false, ENDPOINT_ADDRESS, NULL, NULL, NULL },
    { "address = \"http://Origin.Example.com\";", "Origin.Example.com", "origin.example.com", 80, false, false, ENDPOINT_ADDRESS,
      NULL, NULL, NULL },
    { "address = \"https://origin.example.com/\";", "origin.example.com", "origin.example.com", 443, true, false, ENDPOINT_ADDRESS,
      "origin.example.com", NULL, NULL },
    { "address = \"https://[::1]:8443\";", "::1", "::1", 8443, true, false, ENDPOINT_ADDRESS, "::1", NULL, NULL },
    { "address = \"https://[::1]\";", "::1", "::1", 443, true, false, ENDPOINT_ADDRESS, "::1", NULL, NULL },
    { "address = \"10.1.2.3:8080\";", "10.1.2.3", "10.1.2.3", 8080, false, false, ENDPOINT_ADDRESS, NULL, NULL, NULL },
    { "address = \"unix:/run/app.sock\";", "app.sock", NULL, 0, false, false, ENDPOINT_ADDRESS, NULL, NULL, "/run/app.sock" },
    { "name = \"y\"; address = \"https://10.1.2.3\"; sni = \"a.example.com\"; host_header = \"b.example.com:81\";", "y", "10.1.2.3",
      443, true, false,
      ENDPOINT_ADDRESS, "a.example.com", "b.example.com:81", NULL },
    { "hostname = \"fra.example.com\";", "fra.example.com", "fra.example.com", 443, true, true, ENDPOINT_HOSTNAME,
      "fra.example.com",
      "fra.example.com", NULL },
    { "tunnel = \"" TUNNEL "\"; hostname = \"FRA.example.com\";", "fra.example.com", "fra.example.com", 443, true, true,
      ENDPOINT_HOSTNAME,
      "fra.example.com", "fra.example.com", NULL },
    { "hostname = \"fra.example.com\"; connect_to = \"127.0.0.1:8443\";", "fra.example.com", "127.0.0.1", 8443, true, true,
      ENDPOINT_HOSTNAME,
      "fra.example.com", "fra.example.com", NULL },
    { "tunnel = \"" TUNNEL "\"; connect_to = \"edge.example.com:443\";", TUNNEL, "edge.example.com", 443, true, true,
      ENDPOINT_HOSTNAME, NULL, NULL, NULL },
    { "hostname = \"fra.example.com\"; host_header = \"app.example.com\"; sni = \"app.example.com\";", "fra.example.com",
      "fra.example.com", 443, true,
      true, ENDPOINT_HOSTNAME, "app.example.com", "app.example.com", NULL },
    { "tunnel = \"C1744F8B-faa1-48a4-9e5c-02ac921467fa\";", TUNNEL, TUNNEL ".cfargotunnel.com", 443, true, true,
      ENDPOINT_TUNNEL_NAME, NULL, NULL, NULL },
    { "address = \"" TUNNEL ".cfargotunnel.com\";", TUNNEL, TUNNEL ".cfargotunnel.com", 443, true, true, ENDPOINT_TUNNEL_NAME, NULL,
      NULL, NULL },
    { "address = \"https://" TUNNEL ".cfargotunnel.com\"; connect_to = \"127.0.0.1:1\";", TUNNEL, "127.0.0.1", 1, true, true,
      ENDPOINT_HOSTNAME, NULL,
      NULL, NULL },
};

static void assert_text(const char *got, const char *expected)
{
    if (expected)
        assert_string_equal(got ? got : "(null)", expected);
    else
        assert_null(got);
}

static void test_how_endpoints_are_reached(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof reaches / sizeof *reaches; i++) {
        const struct reach *r = &reaches[i];
        struct config *c;
        struct endpoint e = load_endpoint(&c, r->keys);
        assert_text(e.name, r->name);
        assert_text(e.dial_host, r->dial_host);
        assert_int_equal(e.dial_port, r->port);
        assert_int_equal(e.tls, r->tls);
        assert_int_equal(e.tls_client != NULL, r->tls);
        assert_int_equal(e.behind_cloudflare, r->behind_cloudflare);
        assert_int_equal(e.kind, r->kind);
        assert_text(e.sni, r->sni);
        assert_text(e.host_header, r->host_header);
        assert_text(e.unix_path, r->unix_path);
        assert_true(e.rewrite_host && e.tls_verify);
        config_unref(c);
    }
}

static uint64_t dial_hash_of(const char *keys)
{
    struct config *c;
    uint64_t hash = load_endpoint(&c, keys).dial_hash;
    config_unref(c);
    return hash;
}

static void test_dial_hash_changes_with_what_is_dialled(void **state)
{
    (void)state;
    static const char *const same[] = { "hostname = \"a.example.com\";", "hostname = \"a.example.com\"; weight = 2; name = \"n\";",
                                        "tunnel = \"" TUNNEL "\"; hostname = \"A.example.com\"; host_header = \"b.example.com\";" };
    static const char *const others[] = { "hostname = \"b.example.com\";",
                                          "hostname = \"a.example.com\"; connect_to = \"a.example.com:444\";",
                                          "hostname = \"a.example.com\"; sni = \"b.example.com\";",
                                          "hostname = \"a.example.com\"; tls = { verify = false; };",
                                          "hostname = \"a.example.com\"; tls = { ca_file = \"pki/app.pem\"; };",
                                          "hostname = \"a.example.com\"; tls = { client_cert = \"pki/app.pem\"; client_key = \"pki/app.key\"; };",
                                          "address = \"http://a.example.com:443\";" };
    for (size_t i = 1; i < sizeof same / sizeof *same; i++)
        assert_true(dial_hash_of(same[i]) == dial_hash_of(same[0]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(dial_hash_of(others[i]) != dial_hash_of(same[0]));
}

static void test_dial_hash_changes_with_the_content_of_a_file(void **state)
{
    (void)state;
    static const char keys[] = "hostname = \"a.example.com\"; tls = { ca_file = \"ca.pem\"; };";
    char *app = read_whole(in_folder("pki/app.pem")), *other = read_whole(in_folder("pki/other.pem"));
    write_file("ca.pem", app, 0644);
    uint64_t before = dial_hash_of(keys);
    write_file("ca.pem", other, 0644);
    assert_true(dial_hash_of(keys) != before);
    free(app);
    free(other);
}

static void test_endpoints_of_the_same_tls_settings_share_a_context(void **state)
{
    (void)state;
    struct config *c = load_text(LISTENER BALANCER "pools = ( { name = \"p\"; endpoints = (\n"
                                                   "{ hostname = \"a.example.com\"; }, { hostname = \"b.example.com\"; },\n"
                                                   "{ hostname = \"c.example.com\"; tls = { ca_file = \"pki/app.pem\"; }; } ); "
                                                   "} );\n");
    assert_int_equal(c->n_tls_clients, 2);
    assert_ptr_equal(c->endpoints[0]->tls_client, c->endpoints[1]->tls_client);
    assert_ptr_not_equal(c->endpoints[0]->tls_client, c->endpoints[2]->tls_client);
    config_unref(c);
}

static void test_load_balancers_inherit_timeouts_and_limits(void **state)
{
    (void)state;
    struct config *c = load_text(LISTENER POOL_P "timeouts = { connect = \"1s\"; };\n"
                                                 "limits = { body_size = \"1m\"; header_count = 9; };\n"
                                                 "load_balancers = ( { hostnames = [ \"a\" ]; default_pools = [ \"p\" ];\n"
                                                 "  timeouts = { response_header = \"7s\"; }; limits = { body_size = 7.0; }; "
                                                 "} );\n");
    const struct load_balancer *lb = &c->load_balancers[0];
    assert_int_equal(lb->timeouts.connect, NSEC_PER_SEC);
    assert_int_equal(lb->timeouts.response_header, 7 * NSEC_PER_SEC);
    assert_int_equal(lb->timeouts.handshake, 6 * NSEC_PER_SEC);
    assert_int_equal(lb->limits.body_size, 7);
    assert_int_equal(lb->limits.header_count, 9);
    assert_int_equal(c->limits.body_size, 1 << 20);
    assert_int_equal(c->timeouts.response_header, 120 * NSEC_PER_SEC);
    config_unref(c);
}

static void test_monitors(void **state)
{
    (void)state;
    struct config *c = load_text(LISTENER BALANCER
                                 "monitors = ( { name = \"a\"; path = \"/healthz?x=1\"; method = \"HEAD\"; expected_codes = "
                                 "\"2xx, 301-302\";\n"
                                 "    headers = { Accept = \"text/plain\"; Host = \"app.example.com\"; }; },\n"
                                 "  { name = \"b\"; type = \"tcp\"; interval = \"1s\"; },\n"
                                 "  { name = \"c\"; expected_body = \"~^ok\"; expected_codes = [ 200, 204 ]; interval = \"1m\"; "
                                 "} );\n"
                                 "pools = ( { name = \"p\"; monitors = [ \"a\", \"b\", \"c\" ]; " ONE_ENDPOINT "},\n"
                                 "  { name = \"none\"; monitors = [ ]; " ONE_ENDPOINT "} );\n");
    const struct monitor *a = &c->monitors[0], *b = &c->monitors[1], *m = &c->monitors[2];
    assert_string_equal(a->type->name, "http");
    assert_string_equal(a->path, "/healthz?x=1");
    assert_string_equal(a->method, "HEAD");
    assert_int_equal(a->n_headers, 2);
    assert_string_equal(a->headers[1].name, "Host");
    assert_true(a->expected_codes_given && status_bit(a->expected_codes, 299) && status_bit(a->expected_codes, 302));
    assert_false(status_bit(a->expected_codes, 303) || status_bit(a->expected_codes, 199));
    assert_string_equal(b->type->name, "tcp");
    assert_int_equal(b->timeout, NSEC_PER_SEC / 2);
    assert_int_equal(b->interval_turning, NSEC_PER_SEC);
    assert_int_equal(b->interval_down, NSEC_PER_SEC);
    assert_int_equal(b->interval_down_max, 3 * NSEC_PER_SEC);
    assert_non_null(m->expected_pattern);
    assert_true(status_bit(m->expected_codes, 204) && !status_bit(m->expected_codes, 201));
    assert_int_equal(m->timeout, 5 * NSEC_PER_SEC);
    assert_int_equal(m->interval_turning, 2 * NSEC_PER_SEC);
    assert_int_equal(m->interval_down_max, 30 * NSEC_PER_SEC);
    assert_int_equal(c->pools[0].n_monitors, 3);
    assert_ptr_equal(c->pools[0].monitors[1], b);
    assert_int_equal(c->pools[1].n_monitors, 0);
    config_unref(c);
}

static void test_a_monitor_named_default_stands_in(void **state)
{
    (void)state;
    struct config *c = load_text(LISTENER BALANCER POOL_P "monitors = ( { name = \"default\"; path = \"/up\"; } );\n");
    assert_int_equal(c->pools[0].n_monitors, 1);
    assert_ptr_equal(c->pools[0].monitors[0], &c->monitors[0]);
    config_unref(c);
}

static void test_load_balancer(void **state)
{
    (void)state;
    struct config *c = load_text(
        LISTENER "pools = ( { name = \"a\"; " ONE_ENDPOINT "}, { name = \"b\"; enabled = false; latitude = 1; longitude = -1.5; "
            ONE_ENDPOINT "} );\n"
                 "load_balancers = ( { hostnames = [ \"App.example.com\", \"*.App.example.com\" ]; default_pools = [ \"b\", "
                 "\"a\" ]; fallback_pool = \"a\";\n"
                 "  pool_weights = { a = 2; }; steering = { policy = \"off\"; preempt = false; }; retry_after = \"1m\";\n"
                 "  failover = { on = [ \"timeout\", \"5xx\" ]; buffer = \"0\"; idempotency_key = true; }; },\n"
                 "  { hostnames = \"x.example.com\"; default_pools = \"a\"; when_all_down = \"503\"; pool_weights = ( { name = "
                 "\"a\"; value = 0.5; } ); } );\n");
    const struct load_balancer *lb = &c->load_balancers[0], *second = &c->load_balancers[1];
    assert_string_equal(lb->name, "app.example.com");
    assert_int_equal(lb->hostnames.n, 2);
    assert_string_equal(lb->hostnames.items[1], "*.app.example.com");
    assert_int_equal(lb->n_default_pools, 2);
    assert_ptr_equal(lb->default_pools[0], &c->pools[1]);
    assert_ptr_equal(lb->fallback_pool, &c->pools[0]);
    assert_int_equal(lb->when_all_down, WHEN_ALL_DOWN_FALLBACK_POOL);
    assert_true(lb->pool_weights[0] == 1 && lb->pool_weights[1] == 2);
    assert_int_equal(lb->retry_after, 60 * NSEC_PER_SEC);
    assert_int_equal(lb->failover.on, FAILOVER_TIMEOUT);
    assert_true(status_bit(lb->failover.on_status, 500) && status_bit(lb->failover.on_status, 599) &&
                !status_bit(lb->failover.on_status, 499));
    assert_int_equal(lb->failover.buffer, 0);
    assert_true(lb->failover.idempotency_key);
    assert_int_equal(second->when_all_down, WHEN_ALL_DOWN_503);
    assert_true(second->pool_weights[0] == 0.5);
    assert_true(c->pools[1].longitude == -1.5f && !c->pools[1].enabled);
    config_unref(c);
}

/* A rule's sessions have a cookie of their own where no chain of lists leads from its pools to the load balancer's. */
static void test_cookies_of_rules(void **state)
{
    static const struct {
        const char *default_pools, *rules[4], *cookies[4]; /* pools; then the name that each rule's cookie has */
    } cases[] = {
        { "'a'", { "'a'" }, { "s" } },
        { "'a'", { "'b'", "'c'", "'b'" }, { "s-b", "s-c", "s-b" } },
        { "'a', 'b'", { "'b'", "'b', 'c'", "'c', 'd'", "'e'" }, { "s", "s", "s", "s-e" } },
        { "'a'", { "'b', 'c'", "'d'", "'c', 'd'", "'e'" }, { "s-b", "s-b", "s-b", "s-e" } },
        { "'e'", { "'d'", "'c'", "'d', 'c'", "'d', 'e'" }, { "s", "s", "s", "s" } },
        { "'a'", { "" }, { "s" } },
    };

    char pools[1000] = "";
    for (const char *name = "abcde"; *name; name++) {
        size_t n = strlen(pools);
        snprintf(pools + n, sizeof pools - n, "%s{ name = '%c'; monitors = (); endpoints = ( { address = 'http://127.0.0.1:1'; } ); }", n ? ", " : "", *name);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2000];
        int n = snprintf(text, sizeof text, "listeners = ( { address = '127.0.0.1:1'; } ); pools = ( %s ); load_balancers = ( { hostnames = [ '*' ]; default_pools = [ %s ]; session_affinity = "
                         "{ type = 'cookie'; name = 's'; }; rules = ( ", pools, cases[i].default_pools);
        for (size_t k = 0; k < 4 && cases[i].rules[k]; k++)
            n += snprintf(text + n, sizeof text - (size_t)n, "%s{ match = { methods = [ 'GET' ]; }; %s%s%s }", k ? ", " : "",
                          *cases[i].rules[k] ? "pools = [ " : "steering = { policy = 'random'; };", cases[i].rules[k], *cases[i].rules[k] ? " ];" : "");
        snprintf(text + n, sizeof text - (size_t)n, " ); } );\n");
        for (char *p = text; *p; p++)
            if (*p == '\'')
                *p = '"';
        struct config *c = load_text(text);
        assert_string_equal(c->load_balancers[0].affinity.name, "s");
        for (size_t k = 0; k < 4 && cases[i].cookies[k]; k++)
            assert_string_equal(c->load_balancers[0].rules[k].balancer.affinity.name, cases[i].cookies[k]);
        config_unref(c);
    }
    (void)state;
}

static void test_secrets_and_headers(void **state)
{
    (void)state;
    write_file("one.secret", "secret of a file\r\n", 0600);
    write_file("hook.secret", SECRET "\n", 0600);
    setenv("PENSTOCK_TEST_SECRET", "secret of the environment", 1);
    struct config *c = load_text(
        LISTENER BALANCER "admin = { address = \":9090\"; token_file = \"one.secret\"; };\n"
                          "alerts = ( { name = \"ops\"; url = \"https://hooks.example.com/\"; secret_file = \"hook.secret\"; "
                          "events = [ \"tunnel.*\" ]; },\n"
                          "           { name = \"two\"; url_env = \"PENSTOCK_TEST_URL\"; } );\n"
                          "pools = ( { name = \"p\"; endpoints = ( { name = \"x\"; address = \"http://127.0.0.1:1\";\n"
                          "  headers = { X-Plain = \"a b\"; X-File_file = \"one.secret\"; X-Env_env = \"PENSTOCK_TEST_SECRET\"; "
                          "}; },\n"
                          "  { name = \"y\"; address = \"http://127.0.0.1:1\"; headers = ( { name = \"_ga\"; value_file = "
                          "\"one.secret\"; } ); } ); } );\n");
    assert_string_equal(c->admin.token, "secret of a file");
    assert_string_equal(c->channels[0].secret, SECRET);
    assert_string_equal(c->channels[0].type->name, "webhook");
    assert_int_equal(c->channels[0].events.n, 1);
    assert_string_equal(c->channels[1].url, "https://env.example.com/");
    const struct endpoint *x = c->endpoints[0], *y = c->endpoints[1];
    assert_int_equal(x->n_headers, 3);
    assert_string_equal(x->headers[0].value, "a b");
    assert_string_equal(x->headers[1].name, "X-File");
    assert_string_equal(x->headers[1].value, "secret of a file");
    assert_string_equal(x->headers[2].name, "X-Env");
    assert_string_equal(x->headers[2].value, "secret of the environment");
    assert_string_equal(y->headers[0].name, "_ga");
    assert_string_equal(y->headers[0].value, "secret of a file");
    config_unref(c);
}

/* The kernel takes a socket's path as it is given, and the daemon knows only absolute ones. */
static void test_sockets_beside_a_file_named_from_here(void **state)
{
    (void)state;
    struct conf_messages messages = { 0 };
    char here[PATH_MAX], expected[PATH_MAX];
    write_file("relative.conf", POOL_P BALANCER "listeners = ( { address = \"unix:web.sock\"; } );\n"
                                                "admin = { socket = \"admin.sock\"; };\n", 0644);
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(test_folder), 0);
    struct config *c = conf_load("relative.conf", &messages);
    assert_int_equal(chdir(here), 0);
    assert_non_null(c);
    snprintf(expected, sizeof expected, "unix:%s", in_folder("web.sock"));
    assert_string_equal(c->listeners[0].address, expected);
    assert_string_equal(c->admin.socket, in_folder("admin.sock"));
    conf_messages_clear(&messages);
    config_unref(c);
}

static void test_process_keys(void **state)
{
    (void)state;
    struct config *c = load_text(POOL_P BALANCER
                                 "listeners = ( { address = \"unix:run/web.sock\"; }, { address = \"[::1]:80\"; }, { address = "
                                 "\"localhost:81\"; } );\n"
                                 "admin = { socket = \"run/admin.sock\"; mode = \"600\"; address = \"[::1]:9090\"; };\n"
                                 "state_dir = \"/var/lib/x\"; workers = 3;\n"
                                 "trusted_proxies = [ \"10.0.0.0/8\", \"::1\" ];\n"
                                 "resolver = { servers = [ \"127.0.0.1:5353\", \"[::1]:53\", \"10.0.0.1\" ]; };\n"
                                 "access_log = { path = \"log/access\"; format = \"combined\"; };\n");
    char expected[PATH_MAX];
    struct address inside, outside;
    snprintf(expected, sizeof expected, "unix:%s", in_folder("run/web.sock"));
    assert_string_equal(c->listeners[0].address, expected);
    assert_string_equal(c->admin.socket, in_folder("run/admin.sock"));
    assert_int_equal(c->admin.mode, 0600);
    assert_string_equal(c->state_dir, "/var/lib/x");
    assert_int_equal(c->workers, 3);
    assert_string_equal(c->resolver_servers, "127.0.0.1:5353,[::1]:53,10.0.0.1");
    assert_string_equal(c->access_log.path, in_folder("log/access"));
    assert_int_equal(c->access_log.format, ACCESS_LOG_COMBINED);
    assert_true(address_parse("10.1.2.3", 1, &inside) && address_parse("11.1.2.3", 1, &outside));
    assert_true(cidr_set_contains(&c->trusted_proxies, &inside));
    assert_false(cidr_set_contains(&c->trusted_proxies, &outside));
    config_unref(c);
}

static void test_tls_listener(void **state)
{
    (void)state;
    struct config *c = load_text(POOL_P BALANCER "listeners = ( { address = \":443\"; tls = { min_version = \"1.3\"; "
                                                 "certificates = (\n"
                                                 "  { cert = \"pki/app.pem\"; key = \"pki/app.key\"; }, { cert = "
                                                 "\"pki/other.pem\"; key = \"pki/other.key\"; } ); }; } );\n");
    assert_true(c->listeners[0].tls);
    assert_non_null(c->listeners[0].tls_server);
    assert_int_equal(c->listeners[0].n_certificates, 2);
    assert_string_equal(c->listeners[0].certificates[1].cert, in_folder("pki/other.pem"));
    assert_int_equal(c->listeners[0].certificates[1].at.line, 4);
    config_unref(c);
}

static void test_includes_append_lists_and_paths_start_at_their_file(void **state)
{
    (void)state;
    require(mkdir(in_folder("conf.d"), 0755) == 0 && mkdir(in_folder("conf.d/sub"), 0755) == 0, "conf.d");
    write_file("conf.d/token.secret", "t\n", 0600);
    write_file("conf.d/10-a.conf", "pools = ( { name = \"a\"; " ONE_ENDPOINT
               "} );\n@include \"sub/admin.inc\"\ntrusted_proxies = [ \"10.0.0.0/8\" ];\n", 0644);
    write_file("conf.d/20-b.conf", "# a comment /* that opens nothing\npools = ( { name = \"b\"; " ONE_ENDPOINT "} );\n", 0644);
    write_file("conf.d/sub/admin.inc", "/* a comment\n@include \"nothing\"\n*/ admin = { token_file = \"../token.secret\"; };\n",
               0644);
    struct config *c = load_text(LISTENER "trusted_proxies = [ \"11.0.0.0/8\" ];\npools = ( { name = \"p\"; " ONE_ENDPOINT
                                 "} );\ninclude = [ \"conf.d/*.conf\" ];\n"
                                          "load_balancers = ( { hostnames = [ \"*\" ]; default_pools = [ \"p\", \"a\", \"b\" ]; "
                                          "} );\n");
    assert_int_equal(c->n_pools, 3);
    assert_string_equal(c->pools[2].name, "b");
    assert_string_equal(c->pools[2].at.file, in_folder("conf.d/20-b.conf"));
    assert_int_equal(c->pools[2].at.line, 2);
    assert_string_equal(c->admin.token, "t");
    assert_int_equal(c->trusted_proxies.n, 2);
    assert_int_equal(c->n_endpoints, 3);
    assert_int_equal(c->endpoints[2]->index, 2);
    config_unref(c);
}

/* --- warnings --- */

static const struct {
    const char *text;
    const char *warning; /* NULL: none */
} warned[] = {
    { LISTENER POOL_P BALANCER, NULL },
    { POOL_P BALANCER, "no `listeners`" },
    { LISTENER POOL_P, "no `load_balancers`" },
    { LISTENER BALANCER "pools = ( { name = \"p\"; " ONE_ENDPOINT "}, { name = \"q\"; " ONE_ENDPOINT "} );",
      "no load balancer uses the pool \"q\"" },
    { LISTENER POOL_P BALANCER "monitors = ( { name = \"m\"; } );", "no pool uses the monitor \"m\"" },
    { LISTENER BALANCER "pools = ( { name = \"p\"; endpoints = ( { hostname = \"a.example.com\"; } ); } );", "must be DNS-only" },
    { LISTENER BALANCER "pools = ( { name = \"p\"; endpoints = ( { tunnel = \"" TUNNEL "\"; } ); } );",
      "give the endpoint a `hostname`" },
    { LISTENER "pools = ( { name = \"p\"; endpoints = ( { hostname = \"a.example.com\"; } ); } );"
               "load_balancers = ( { hostnames = [ \"a.example.com\" ]; default_pools = [ \"p\" ]; } );", "round in circles" },
    { LISTENER POOL_P "load_balancers = ( { hostnames = [ \"a\" ]; default_pools = [ \"p\" ]; fallback_pool = \"p\"; "
                      "when_all_down = \"503\"; } );", "never used" },
    { LISTENER BALANCER "pools = ( { name = \"p\"; endpoints = ( { address = \"127.0.0.1:1\"; weight = 0; } ); } );", "gets no requests" },
    { LISTENER BALANCER "pools = ( { name = \"p\"; endpoints = ( { address = \"127.0.0.1:1\"; weight = 0; }, { name = \"b\"; address = \"127.0.0.1:2\"; } ); } );", NULL },
    { LISTENER POOL_P BALANCER "include = [ \"nothing.d/*.conf\" ];", "no file matches" },
    { LISTENER POOL_P "\nload_balancers = ( { hostnames = [ \"*\" ]; default_pools = [ \"p\" ];\nrules = (\n"
                      "{ match = { methods = [ \"GET\" ]; }; steering = { policy = \"proximity\"; }; } ); } );", "6: warning: policy \"proximity\"" },
};

static void test_warnings_leave_the_result_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof warned / sizeof *warned; i++) {
        struct conf_messages m = { 0 };
        write_file("test.conf", warned[i].text, 0644);
        struct config *c = load_with("test.conf", &m);
        char *said = print(&m);
        if (warned[i].warning && !strstr(said, warned[i].warning))
            fail_msg("row %zu: %s", i, said);
        if (!warned[i].warning)
            assert_string_equal(said, "");
        free(said);
        conf_messages_clear(&m);
        config_unref(c);
    }
}

/* --- examples --- */

static void test_examples_load(void **state)
{
    struct dirent **entries;
    unsigned loaded = 0;
    (void)state;
    make_key_pair("examples/app");
    make_key_pair("examples/other");
    make_key_pair("examples/ca");
    make_edge_key_pair("examples/edge");
    write_file("examples/admin.token", "token\n", 0600);
    write_file("examples/sorry.html", "<h1>Sorry</h1>\n", 0644);
    write_file("examples/access.secret", "secret\n", 0600);
    write_file("examples/hook.secret", SECRET "\n", 0600);
    write_file("examples/ams.secret", "U1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1M=\n", 0600);
    write_file("examples/chat.url", "https://chat.example.com/hook/1\n", 0600);
    int n = scandir(in_folder("examples"), &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *name = mem_printf("examples/%s", entries[i]->d_name);
        if (strstr(name, ".conf")) {
            config_unref(load_file(name));
            loaded++;
        }
        free(name);
        free(entries[i]);
    }
    free(entries);
    assert_true(loaded >= 6);
}

static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
        if ((p == text || !strchr("abcdefghijklmnopqrstuvwxyz_-", p[-1])) && !strchr("abcdefghijklmnopqrstuvwxyz-", p[n]))
            return true;
    return false;
}

static void check_has_all_keys(const struct conf_group *group, const char *text)
{
    for (const struct conf_key *k = group->keys; k->name; k++) {
        if (!has_word(text, k->name))
            fail_msg("full.conf lacks `%s` of %s", k->name, group->what);
        if (k->members && !k->inherits)
            check_has_all_keys(k->members, text);
    }
}

static void test_full_example_has_every_key(void **state)
{
    (void)state;
    char *text = read_whole(in_folder("examples/full.conf"));
    check_has_all_keys(&conf_root, text);
    free(text);
}

/* --- the schema itself --- */

static void check_text_bound(const char *type, const char *value)
{
    nsec_t duration;
    uint64_t size;
    char *end;
    if (strcmp(type, "duration") == 0)
        assert_true(duration_parse(value, &duration));
    else if (strcmp(type, "size") == 0)
        assert_true(size_parse(value, &size));
    else if (strcmp(type, "count") == 0 || strcmp(type, "number") == 0 || strcmp(type, "degrees") == 0)
        assert_true((strtod(value, &end), *end == '\0'));
}

static void check_group(const struct conf_group *group)
{
    assert_non_null(group->what);
    for (const struct conf_key *k = group->keys; k->name; k++) {
        assert_true(k->help && *k->help && k->help[strlen(k->help) - 1] == '.' && !strpbrk(k->help, "\t\n"));
        assert_int_equal(k->members != NULL, k->type->is_group);
        assert_false(k->required && k->fallback);
        for (const char *const *bound = (const char *const[]){ k->fallback, k->least, k->most, "0" },
             *const *end = bound + 4; bound < end; bound++)
            if (*bound)
                check_text_bound(k->type->short_name, *bound);
        for (const struct conf_key *other = group->keys; other < k; other++)
            assert_string_not_equal(k->name, other->name);
        if (k->members)
            check_group(k->members);
    }
}

static void test_every_row_is_sound(void **state)
{
    (void)state;
    check_group(&conf_root);
}

static void test_list_of_keys(void **state)
{
    char *text = NULL, *rest = NULL;
    size_t size = 0;
    unsigned lines = 0;
    FILE *f = open_memstream(&text, &size);
    (void)state;
    conf_print_keys(f);
    fclose(f);
    assert_non_null(strstr(text, "\npools[].endpoints[].weight\tnumber\t1.0\t0 - 1000\t"));
    assert_non_null(strstr(text, "\nload_balancers[].steering.failback_delay\tduration\t30s\t"));
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), lines++) {
        unsigned tabs = 0;
        for (const char *p = line; *p; p++)
            tabs += *p == '\t';
        assert_int_equal(tabs, 4);
    }
    assert_true(lines > 100);
    free(text);
}

static void test_sets_of_statuses(void **state)
{
    static const struct {
        const char *text;
        unsigned inside, outside; /* 0: no set at all */
    } rows[] = {
        { "200", 200, 201 }, { "200-204", 203, 205 }, { "2xx", 299, 300 }, { "5XX", 500, 499 }, { " 200 , 301 - 302 ", 302, 303 },
            { "100-599", 599, 0 },
        { "", 0, 0 }, { ",", 0, 0 }, { "200,", 0, 0 }, { "99", 0, 0 }, { "600", 0, 0 }, { "200-", 0, 0 }, { "-200", 0, 0 }, { "2x",
                0, 0 },
        { "0xx", 0, 0 }, { "6xx", 0, 0 }, { "299-200", 0, 0 }, { "200-299-300", 0, 0 }, { "2000", 0, 0 }, { "+200", 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bits[75] = { 0 };
        if (status_set_parse(rows[i].text, bits) != (rows[i].inside != 0))
            fail_msg("%s", rows[i].text);
        if (rows[i].inside)
            assert_true(status_bit(bits, rows[i].inside) && !status_bit(bits, rows[i].outside));
    }
}

static void test_syntax_that_is_fine(void **state)
{
    static const char *const texts[] = {
        "", "\n", "# only a comment", "a = 1", "a = 1;", "a : 1, b = 2", "a = 1 b = 2",
            "a = -1.5e3; b = .5; c = 1.; d = 0x1F; e = 12L; f = +3;",
        "a = \"x\\\"y\" /* and */ \"z\"; // end", "a = ( ); b = [ ]; c = { };", "a = ( 1, \"x\", ( true, { b = 1; } ), [ 1, 2 ] );",
        "a = { b = { a = 1; }; a = 2; };", "a = TRUE; b = False;", "a-b_c = 1; a* = 2;", "a=1//x\nb=2#y", "a = \"\\\\\"; b = 1;",
    };
    struct syntax_error error;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!syntax_check(texts[i], strlen(texts[i]), &error))
            fail_msg("%s: %s", texts[i], error.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_files_are_told_everything),
        cmocka_unit_test(test_messages_are_sorted_by_file_and_line),
        cmocka_unit_test(test_a_file_that_is_not_there),
        cmocka_unit_test(test_a_nul_byte),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_how_endpoints_are_reached),
        cmocka_unit_test(test_dial_hash_changes_with_what_is_dialled),
        cmocka_unit_test(test_dial_hash_changes_with_the_content_of_a_file),
        cmocka_unit_test(test_endpoints_of_the_same_tls_settings_share_a_context),
        cmocka_unit_test(test_load_balancers_inherit_timeouts_and_limits),
        cmocka_unit_test(test_monitors),
        cmocka_unit_test(test_a_monitor_named_default_stands_in),
        cmocka_unit_test(test_load_balancer),
        cmocka_unit_test(test_cookies_of_rules),
        cmocka_unit_test(test_secrets_and_headers),
        cmocka_unit_test(test_process_keys),
        cmocka_unit_test(test_sockets_beside_a_file_named_from_here),
        cmocka_unit_test(test_tls_listener),
        cmocka_unit_test(test_includes_append_lists_and_paths_start_at_their_file),
        cmocka_unit_test(test_warnings_leave_the_result_valid),
        cmocka_unit_test(test_examples_load),
        cmocka_unit_test(test_full_example_has_every_key),
        cmocka_unit_test(test_every_row_is_sound),
        cmocka_unit_test(test_list_of_keys),
        cmocka_unit_test(test_sets_of_statuses),
        cmocka_unit_test(test_syntax_that_is_fine),
    };
    setenv("PENSTOCK_TEST_URL", "https://env.example.com/", 1);
    return cmocka_run_group_tests(tests, set_up, remove_test_folder);
}
