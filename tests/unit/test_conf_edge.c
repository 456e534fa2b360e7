/* `edge` in the configuration: its defaults, tunnels as endpoints, rules as JSON, and tunnels that join without the files being read again. */
#include "conf_under_test.h"

#include "base/mem.h"

#include <math.h>
#include <sched.h>
#include <unistd.h>

#define AMS "c1744f8b-faa1-48a4-9e5c-02ac921467fa"
#define FRA "7d1f2c0a-3b1e-4c55-9d6e-0a1b2c3d4e5f"
#define SECRET "U1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1M="
#define EDGE(keys) "edge = { addresses = [ \"127.0.0.1:7844\" ]; " keys " };\n"
#define POOL(endpoints) "pools = ( { name = \"p\"; endpoints = ( " endpoints " ); } );\n"
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* --- the edge itself --- */

static void test_defaults(void **state)
{
    (void)state;
    struct config *c = load_text(LISTENER EDGE("") POOL("{ tunnel = \"ams\"; }") BALANCER);
    const struct edge_conf *e = &c->edge;
    assert_int_equal(e->addresses.n, 1);
    assert_int_equal(e->advertise.n, 1);
    assert_string_equal(e->advertise.items[0], "127.0.0.1:7844");
    assert_in_range(strlen(e->location), 1, EDGE_LOCATION_SIZE - 1);
    assert_int_equal(e->expected_connections, 4);
    assert_int_equal(e->connectors_max, 25);
    assert_int_equal(e->connections_max, 100);
    assert_null(e->cert);
    assert_string_equal(e->replica_steering.policy->name, "least_outstanding_requests");
    assert_int_equal(e->n_tunnels + e->n_ingress, 0);
    config_unref(c);

    c = load_text(LISTENER POOL_P BALANCER);
    assert_int_equal(c->edge.addresses.n, 0);
    config_unref(c);
}

static void test_all_that_can_be_given(void **state)
{
    (void)state;
    write_file("fra.secret", SECRET "\n", 0600);
    setenv("PENSTOCK_TEST_SECRET", SECRET, 1);
    make_certificate(&(struct certificate){ .name = "edge", .alternatives = "DNS:*.cftunnel.com", .ends = 86400 });
    struct config *c = load_text(LISTENER "edge = { addresses = [ \":7844\", \"[::1]:7845\" ]; advertise = [ \"Edge.example.com:7844\", \"[::1]:7845\" ]; "
                                          "location = \"ams 01\"; expected_connections = 2; connectors_max = 3; connections_max = 9; "
                                          "cert = \"edge.pem\"; key = \"edge.key\"; ca_file = \"edge.pem\"; replica_steering = { policy = \"random\"; }; "
                                          "tunnels = ( { id = \"C1744F8B-faa1-48a4-9e5c-02ac921467fa\"; name = \"ams\"; secret_env = \"PENSTOCK_TEST_SECRET\"; }, "
                                          "{ id = \"" FRA "\"; name = \"fra\"; secret_file = \"fra.secret\"; } ); };\n"
                                 POOL("{ tunnel = \"ams\"; }") BALANCER);
    const struct edge_conf *e = &c->edge;
    assert_int_equal(e->addresses.n, 2);
    assert_string_equal(e->advertise.items[0], "Edge.example.com:7844");
    assert_string_equal(e->location, "ams 01");
    assert_int_equal(e->expected_connections, 2);
    assert_int_equal(e->connectors_max, 3);
    assert_int_equal(e->connections_max, 9);
    assert_string_equal(e->cert, in_folder("edge.pem"));
    assert_string_equal(e->ca, in_folder("edge.pem"));
    assert_string_equal(e->key, in_folder("edge.key"));
    assert_string_equal(e->replica_steering.policy->name, "random");
    assert_int_equal(e->n_tunnels, 2);
    assert_ptr_equal(config_find_edge_tunnel(c, AMS), &e->tunnels[0]);
    assert_ptr_equal(config_find_edge_tunnel(c, "fra"), &e->tunnels[1]);
    assert_null(config_find_edge_tunnel(c, "lon"));
    assert_string_equal(e->tunnels[0].id, AMS);
    assert_string_equal(e->tunnels[0].secret, SECRET);
    assert_string_equal(e->tunnels[1].secret, SECRET);
    config_unref(c);
}

/* --- where it is --- */

static void test_where_the_edge_is(void **state)
{
    static const struct {
        const char *keys;
        float latitude; /* NaN: not known */
    } rows[] = {
        { "location = \"ams01\";", 52.31F },
        { "location = \"FRA\";", 50.03F },
        { "location = \"rack 12\";", NAN },
        { "location = \"xyz01\";", NAN },
        { "latitude = 1.5; longitude = 2;", 1.5F },
        { "location = \"ams01\"; latitude = 1.5; longitude = 2;", 1.5F },
        { "location = \"ams01\"; latitude = 0; longitude = 0;", 0 },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[1024];
        snprintf(text, sizeof text, LISTENER EDGE("%s") POOL("{ tunnel = \"ams\"; }") BALANCER, rows[i].keys);
        struct config *c = load_text(text);
        assert_int_equal(isnan(c->edge.latitude), isnan(rows[i].latitude));
        assert_int_equal(isnan(c->edge.longitude), isnan(rows[i].latitude));
        assert_true(isnan(rows[i].latitude) || c->edge.latitude == rows[i].latitude);
        config_unref(c);
    }
}

static void test_a_machine_s_name_is_no_place(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWUTS) < 0 || sethostname("ams01", 5) < 0)
        skip(); /* that is root's */
    struct config *c = load_text(LISTENER EDGE("") POOL("{ tunnel = \"ams\"; }") BALANCER);
    assert_string_equal(c->edge.location, "ams01");
    assert_true(isnan(c->edge.latitude));
    config_unref(c);
}

static void test_addresses_that_name_a_host_are_advertised(void **state)
{
    (void)state;
    struct config *c = load_text(LISTENER "edge = { addresses = [ \":7844\", \"127.0.0.2:7844\", \"0.0.0.0:7845\", \"localhost:7846\", \"[::]:7847\" ]; };\n"
                                 POOL("{ tunnel = \"ams\"; }") BALANCER);
    assert_int_equal(c->edge.advertise.n, 2);
    assert_string_equal(c->edge.advertise.items[0], "127.0.0.2:7844");
    assert_string_equal(c->edge.advertise.items[1], "localhost:7846");
    config_unref(c);
}

static void test_replica_steering_by_name(void **state)
{
    static const char *const names[] = { "least_outstanding_requests", "random", "round_robin" };
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char *text = mem_printf(LISTENER EDGE("replica_steering = \"%s\";") POOL("{ tunnel = \"ams\"; }") BALANCER, names[i]);
        struct config *c = load_text(text);
        assert_string_equal(c->edge.replica_steering.policy->name, names[i]);
        config_unref(c);
        free(text);
    }
}

/* --- endpoints --- */

static void test_a_tunnel_as_endpoint(void **state)
{
    static const struct {
        const char *keys;
        enum endpoint_kind kind;
        const char *name, *tunnel, *dial_host, *host_header;
    } rows[] = {
        { "tunnel = \"ams\";", ENDPOINT_EDGE, "ams", "ams", NULL, NULL },
        { "tunnel = \"C1744F8B-FAA1-48A4-9E5C-02AC921467FA\";", ENDPOINT_EDGE, AMS, AMS, NULL, NULL },
        { "name = \"x\"; tunnel = \"ams\"; host_header = \"inner.example.com\"; max_in_flight = 3;", ENDPOINT_EDGE, "x", "ams", NULL, "inner.example.com" },
        { "address = \"" AMS ".cfargotunnel.com\";", ENDPOINT_EDGE, AMS, AMS, NULL, NULL },
        { "tunnel = \"" AMS "\"; hostname = \"ams.example.com\";", ENDPOINT_HOSTNAME, "ams.example.com", AMS, "ams.example.com", "ams.example.com" },
        { "tunnel = \"" AMS "\"; connect_to = \"127.0.0.1:443\";", ENDPOINT_HOSTNAME, AMS, AMS, "127.0.0.1", NULL },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = mem_printf(LISTENER EDGE("") POOL("{ %s }") BALANCER, rows[i].keys);
        struct config *c = load_text(text);
        const struct endpoint *e = c->endpoints[0];
        assert_int_equal(e->kind, rows[i].kind);
        assert_string_equal(e->name, rows[i].name);
        assert_string_equal(e->tunnel, rows[i].tunnel);
        assert_string_equal(e->dial_host ? e->dial_host : "", rows[i].dial_host ? rows[i].dial_host : "");
        assert_string_equal(e->host_header ? e->host_header : "", rows[i].host_header ? rows[i].host_header : "");
        assert_int_equal(e->tls, rows[i].dial_host != NULL);
        assert_int_equal(e->behind_cloudflare, rows[i].dial_host != NULL);
        assert_null(e->edge_tunnel);
        config_unref(c);
        free(text);
    }
}

static bool only_fra_exists(void *arg, const char *tunnel)
{
    (void)arg;
    return strcmp(tunnel, "fra") == 0;
}

static void test_tunnels_that_do_not_exist_are_warned_of(void **state)
{
    struct conf_messages m = { 0 };
    (void)state;
    struct config *c = load_text(LISTENER EDGE("") POOL("{ tunnel = \"fra\"; },\n{ tunnel = \"ams\"; }, { address = \"http://127.0.0.1:1\"; }") BALANCER);
    conf_warn_of_tunnels(c, only_fra_exists, NULL, &m);
    char *said = print(&m), *expected = mem_printf("%s:4: warning: there is no tunnel \"ams\" yet, so p/ams is down: `penstock tunnel create` makes one\n",
                                                   in_folder("test.conf"));
    assert_string_equal(said, expected);
    free(said);
    free(expected);
    conf_messages_clear(&m);
    config_unref(c);
}

/* --- ingress --- */

#define CATCH_ALL "{ service = \"http_status:404\"; }"

static const struct {
    const char *keys, *json;
} ingresses[] = {
    { "rules = ( " CATCH_ALL " );", "{\"ingress\":[{\"service\":\"http_status:404\"}]}" },
    { "rules = ( { hostname = \"*\"; service = \"hello_world\"; } );", "{\"ingress\":[{\"service\":\"hello_world\"}]}" },
    { "rules = ( { hostname = \"App.example.com\"; path = \"^/a\\\\.b$\"; service = \"http://localhost:8000\"; }, "
      "{ hostname = \"*.Example.com\"; service = \"unix:/run/app.sock\"; }, " CATCH_ALL " );",
      "{\"ingress\":[{\"hostname\":\"app.example.com\",\"path\":\"^/a\\\\.b$\",\"service\":\"http://localhost:8000\"},"
      "{\"hostname\":\"*.example.com\",\"service\":\"unix:/run/app.sock\"},{\"service\":\"http_status:404\"}]}" },
    { "rules = ( { path = \"\\\\.(jpg|png)$\"; service = \"https://[::1]:8443\"; originRequest = { noTLSVerify = true; connectTimeout = \"1m\"; }; }, "
      "{ hostname = \"db.example.com\"; service = \"tcp://127.0.0.1:5432\"; }, " CATCH_ALL " );",
      "{\"ingress\":[{\"path\":\"\\\\.(jpg|png)$\",\"service\":\"https://[::1]:8443\",\"originRequest\":{\"connectTimeout\":60,\"noTLSVerify\":true}},"
      "{\"hostname\":\"db.example.com\",\"service\":\"tcp://127.0.0.1:5432\"},{\"service\":\"http_status:404\"}]}" },
    { "originRequest = { httpHostHeader = \"inner\"; keepAliveConnections = 7; http2Origin = false; }; rules = ( " CATCH_ALL " );",
      "{\"ingress\":[{\"service\":\"http_status:404\"}],\"originRequest\":{\"keepAliveConnections\":7,\"httpHostHeader\":\"inner\",\"http2Origin\":false}}" },
};

static void test_rules_become_what_connectors_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ingresses); i++) {
        char *text = mem_printf(LISTENER EDGE("ingress = ( { tunnels = [ \"ams\" ]; %s } );") POOL("{ tunnel = \"ams\"; }") BALANCER, ingresses[i].keys);
        struct config *c = load_text(text);
        assert_int_equal(c->edge.n_ingress, 1);
        assert_string_equal(c->edge.ingress[0].json, ingresses[i].json);
        assert_int_equal(c->edge.ingress[0].hash, config_hash(ingresses[i].json));
        assert_int_equal(c->edge.ingress[0].at.line, 2);
        config_unref(c);
        free(text);
    }
}

static void test_whose_rules_a_tunnel_gets(void **state)
{
    static const struct {
        const char *id, *name;
        int group; /* -1: none */
    } rows[] = { { AMS, "x", 1 }, { FRA, "fra", 2 }, { FRA, "app-1", 0 }, { FRA, "app-2", 2 }, { FRA, "other", -1 } };
    (void)state;
    struct config *c = load_text(LISTENER EDGE("ingress = ( { tunnels = [ \"app-*\" ]; rules = ( " CATCH_ALL " ); }, "
                                               "{ tunnels = \"C1744F8B-FAA1-48A4-9E5C-02AC921467FA\"; rules = ( " CATCH_ALL " ); }, "
                                               "{ tunnels = [ \"fra\", \"app-2\", \"a*\" ]; rules = ( " CATCH_ALL " ); } );")
                                 POOL("{ tunnel = \"ams\"; }") BALANCER);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct edge_ingress *found = config_find_ingress(c, rows[i].id, rows[i].name);
        assert_int_equal(found ? found - c->edge.ingress : -1, rows[i].group);
    }
    config_unref(c);
}

/* --- joining --- */

static const char joining[] = LISTENER EDGE("") "pools = (\n"
    "{ name = \"p\"; minimum_endpoints = 2; endpoints = (\n"
    "  { name = \"first\"; tunnel = \"app-3\"; },\n"
    "  { tunnels = \"app-*\"; weight = 0.5; identical = true; headers = { X-A = \"b\"; }; },\n"
    "  { tunnels = \"*\"; weight = 2.0; },\n"
    "  { name = \"app-4\"; address = \"http://127.0.0.1:1\"; } ); },\n"
    "{ name = \"q\"; endpoints = ( { tunnels = \"app-1\"; } ); } );\n"
    "load_balancers = ( { hostnames = [ \"*\" ]; default_pools = [ \"p\", \"q\" ]; } );\n";

/* Names of a pool's endpoints in their order. */
static void assert_endpoints(const struct config *c, const char *pool, const char *expected)
{
    struct text names = { 0 };
    const struct pool *p = config_find_pool(c, pool);
    for (size_t i = 0; i < p->n_endpoints; i++) {
        const struct endpoint *e = &p->endpoints[i];
        text_addf(&names, "%s%s%s", i ? " " : "", e->name, e->joined ? "+" : "");
        char *id = mem_printf("%s/%s", pool, e->name);
        assert_string_equal(e->id, id);
        assert_ptr_equal(config_find_endpoint(c, id), e);
        assert_ptr_equal(c->endpoints[e->index], e);
        assert_int_equal(e->order, i);
        assert_ptr_equal(e->pool, p);
        free(id);
    }
    assert_string_equal(names.p ? names.p : "", expected);
    text_clear(&names);
}

static struct config *join(const struct config *in_force, const struct conf_joined *joined, size_t n)
{
    struct conf_messages m = { 0 };
    struct config *c = conf_join(in_force, joined, n, &m);
    assert_non_null(c);
    assert_int_equal(m.n, 0);
    return c;
}

static void test_patterns_make_no_endpoint_before_somebody_joins(void **state)
{
    (void)state;
    struct config *c = load_text(joining);
    const struct pool *p = config_find_pool(c, "p");
    assert_endpoints(c, "p", "first app-4");
    assert_endpoints(c, "q", "");
    assert_int_equal(p->n_patterns, 2);
    assert_string_equal(p->patterns[0].pattern, "app-*");
    assert_true(p->patterns[0].identical && p->patterns[0].weight == 0.5);
    assert_int_equal(p->patterns[0].at.line, 6);
    assert_ptr_equal(config_find_pattern(p, "app-9"), &p->patterns[0]);
    assert_ptr_equal(config_find_pattern(p, "lon"), &p->patterns[1]);
    assert_false(p->patterns[1].identical);
    assert_null(config_find_pattern(config_find_pool(c, "q"), "app-11"));
    config_unref(c);
}

static void test_joining(void **state)
{
    static const struct conf_joined joined[] = {
        { "p", FRA, "lon" }, { "p", "10000000-0000-4000-8000-000000000002", "app-2" }, { "p", "10000000-0000-4000-8000-000000000001", "app-1" },
        { "q", "10000000-0000-4000-8000-000000000001", "app-1" },
        { "q", "10000000-0000-4000-8000-000000000002", "app-2" }, /* matches nothing there */
        { "r", FRA, "lon" },                                      /* there is no such pool */
        { "p", "10000000-0000-4000-8000-000000000003", "app-3" }, /* an endpoint of the file has the tunnel */
        { "p", "10000000-0000-4000-8000-000000000004", "app-4" }, /* or the name */
    };
    (void)state;
    struct config *c = load_text(joining), *with = join(c, joined, COUNT(joined));
    config_unref(c); /* nothing of it is needed any more */
    assert_endpoints(with, "p", "first app-1+ app-2+ lon+ app-4");
    assert_endpoints(with, "q", "app-1+");
    const struct endpoint *e = config_find_endpoint(with, "p/app-2"), *other = config_find_endpoint(with, "p/lon");
    assert_int_equal(e->kind, ENDPOINT_EDGE);
    assert_string_equal(e->tunnel, "10000000-0000-4000-8000-000000000002");
    assert_true(e->weight == 0.5 && e->enabled && other->weight == 2);
    assert_int_equal(e->n_headers, 1);
    assert_null(e->dial_host);
    assert_int_equal(e->at.line, 6);
    assert_string_equal(e->at.file, in_folder("test.conf"));
    assert_string_equal(with->file, in_folder("test.conf"));
    config_unref(with);
}

static void assert_placed(const struct config *c, const char *id, enum placed placed, float latitude)
{
    const struct endpoint *e = config_find_endpoint(c, id);
    const struct pool *p = e ? NULL : config_find_pool(c, id);
    float its = e ? e->latitude : p->latitude;
    assert_int_equal(e ? e->placed : p->placed, placed);
    assert_int_equal(isnan(its), placed == PLACED_NOWHERE);
    assert_true(isnan(its) || its == latitude);
}

static void test_what_says_most_closely_where_a_thing_is(void **state)
{
    static const struct conf_joined joined[] = { { "pattern", FRA, "app-1" } };
    (void)state;
    struct config *c = load_text(
        LISTENER EDGE("location = \"ams01\";")
        "pools = ( { name = \"own\"; latitude = 1; longitude = 1; endpoints = ( { tunnel = \"ams\"; }, { name = \"x\"; tunnel = \"fra\"; latitude = 2; longitude = 2; } ); },\n"
        "  { name = \"tunnel\"; endpoints = ( { name = \"plain\"; address = \"http://127.0.0.1:1\"; }, { tunnel = \"ams\"; } ); },\n"
        "  { name = \"first\"; endpoints = ( { name = \"x\"; address = \"http://127.0.0.1:1\"; latitude = 3; longitude = 3; }, { tunnel = \"ams\"; } ); },\n"
        "  { name = \"pattern\"; endpoints = ( { tunnels = \"app-*\"; } ); },\n"
        "  { name = \"public\"; endpoints = ( { name = \"x\"; hostname = \"x.example.com\"; tunnel = \"" FRA "\"; } ); } );\n"
        "load_balancers = ( { hostnames = [ \"*\" ]; default_pools = [ \"own\", \"tunnel\", \"first\", \"pattern\", \"public\" ]; } );");
    assert_placed(c, "own", PLACED_BY_FILE, 1);
    assert_placed(c, "own/ams", PLACED_BY_POOL, 1);
    assert_placed(c, "own/x", PLACED_BY_FILE, 2);
    assert_placed(c, "tunnel/plain", PLACED_NOWHERE, 0);
    assert_placed(c, "tunnel/ams", PLACED_BY_EDGE, 52.31F);
    assert_placed(c, "tunnel", PLACED_BY_ENDPOINT, 52.31F);
    assert_placed(c, "first", PLACED_BY_ENDPOINT, 3);
    assert_placed(c, "public/x", PLACED_NOWHERE, 0);
    assert_placed(c, "pattern", PLACED_NOWHERE, 0);
    struct config *with = join(c, joined, 1);
    assert_placed(with, "pattern/app-1", PLACED_BY_EDGE, 52.31F);
    assert_placed(with, "pattern", PLACED_BY_ENDPOINT, 52.31F);
    config_unref(with);
    config_unref(c);
}

static void test_who_joins_is_told_anew_each_time(void **state)
{
    static const struct conf_joined one[] = { { "p", AMS, "app-1" } }, other[] = { { "p", FRA, "app-2" } };
    (void)state;
    struct config *c = load_text(joining), *with_one = join(c, one, 1), *with_other = join(with_one, other, 1), *without = join(with_other, NULL, 0);
    assert_endpoints(with_one, "p", "first app-1+ app-4");
    assert_endpoints(with_other, "p", "first app-2+ app-4");
    assert_endpoints(without, "p", "first app-4");
    config_unref(c);
    config_unref(with_one);
    config_unref(with_other);
    config_unref(without);
}

static const char including[] = LISTENER EDGE("tunnels = ( { id = \"" AMS "\"; name = \"ams\"; secret_file = \"ams.secret\"; } );")
    "@include \"part.inc\"\ninclude = [ \"more.d/*.conf\" ];\n" BALANCER;

static struct config *load_including(void)
{
    write_file("ams.secret", SECRET, 0600);
    write_file("part.inc", POOL("{ tunnels = \"app-*\"; }"), 0644);
    require(mkdir(in_folder("more.d"), 0755) == 0, "a folder");
    write_file("more.d/a.conf", "pools = ( { name = \"q\";\n" ONE_ENDPOINT "} );\n", 0644);
    write_file("test.conf", including, 0644);
    struct conf_messages m = { 0 };
    struct config *c = load_with("test.conf", &m);
    assert_int_equal(m.n, 1); /* nobody uses q: not told again by those who join */
    conf_messages_clear(&m);
    return c;
}

static void test_files_are_not_read_again(void **state)
{
    static const struct conf_joined joined[] = { { "p", FRA, "app-1" } };
    (void)state;
    struct config *c = load_including();
    write_file("test.conf", "half edited", 0644);
    write_file("more.d/b.conf", "new", 0644);
    require(remove(in_folder("part.inc")) == 0 && remove(in_folder("more.d/a.conf")) == 0, "files that go");
    struct config *with = join(c, joined, 1);
    config_unref(c);
    assert_endpoints(with, "p", "app-1+");
    assert_endpoints(with, "q", "x");
    assert_string_equal(config_find_pool(with, "q")->at.file, in_folder("more.d/a.conf"));
    assert_string_equal(config_find_endpoint(with, "p/app-1")->at.file, in_folder("part.inc"));
    assert_string_equal(with->edge.tunnels[0].secret, SECRET);
    config_unref(with);
}

static void test_what_can_not_be_joined_leaves_all_as_it_is(void **state)
{
    static const struct conf_joined joined[] = { { "p", FRA, "app-1" } };
    struct conf_messages m = { 0 };
    (void)state;
    remove(in_folder("more.d/b.conf"));
    remove(in_folder("more.d"));
    struct config *c = load_including();
    require(remove(in_folder("ams.secret")) == 0, "the secret");
    assert_null(conf_join(c, joined, 1, &m));
    assert_int_equal(m.errors, 1);
    assert_string_equal(m.items[0].file, in_folder("test.conf"));
    assert_int_equal(m.items[0].line, 2);
    assert_non_null(strstr(m.items[0].text, "ams.secret"));
    conf_messages_clear(&m);
    assert_endpoints(c, "p", "");
    write_file("ams.secret", SECRET, 0600);
    struct config *with = join(c, joined, 1);
    assert_endpoints(with, "p", "app-1+");
    config_unref(with);
    config_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all_that_can_be_given),
        cmocka_unit_test(test_where_the_edge_is),
        cmocka_unit_test(test_a_machine_s_name_is_no_place),
        cmocka_unit_test(test_what_says_most_closely_where_a_thing_is),
        cmocka_unit_test(test_addresses_that_name_a_host_are_advertised),
        cmocka_unit_test(test_replica_steering_by_name),
        cmocka_unit_test(test_a_tunnel_as_endpoint),
        cmocka_unit_test(test_tunnels_that_do_not_exist_are_warned_of),
        cmocka_unit_test(test_rules_become_what_connectors_read),
        cmocka_unit_test(test_whose_rules_a_tunnel_gets),
        cmocka_unit_test(test_patterns_make_no_endpoint_before_somebody_joins),
        cmocka_unit_test(test_joining),
        cmocka_unit_test(test_who_joins_is_told_anew_each_time),
        cmocka_unit_test(test_files_are_not_read_again),
        cmocka_unit_test(test_what_can_not_be_joined_leaves_all_as_it_is),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
