/* Tunnels of our edge by way of the admin API: our own routes, and those in the shape of Cloudflare's. */
#include "base/mem.h"
#include "control/admin.h"
#include "fake_local.h"
#include "fake_tunnels.h"
#include "sample_control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define CFD "/client/v4/accounts/acme/cfd_tunnel"
#define NOBODY "00000000-0000-4000-8000-000000000000"
#define SECRET "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

#define FILED "11111111-1111-4111-8111-111111111111"
#define CONNECTOR "9fc01e74-6edb-4ed4-aab2-e8e6d23f09be"

static const char *const addresses[] = { "127.0.0.1:7844" };

static int start(void **state)
{
    struct control *c = sample_control_new();

    c->config->edge = (struct edge_conf){ .addresses = { addresses, 1 }, .advertise = { addresses, 1 }, .expected_connections = 4 };
    c->registry = fake_tunnels_new();
    fake_tunnels_add_of_file(c->registry, FILED, "filed");
    *state = c;
    return 0;
}

static int stop(void **state)
{
    struct control *c = *state;
    fake_tunnels_free(c->registry);
    c->config->edge = (struct edge_conf){ 0 };
    sample_control_free(c);
    return 0;
}

struct answer {
    unsigned status;
    json_t *body;
};

static struct answer ask(struct control *c, enum http_method method, const char *target, const char *body)
{
    struct local_call call;

    fake_call_init(&call, method, target, body);
    admin_handle(c, &call);
    assert_true(call.answered);
    struct answer a = { call.status, json_loadb(call.body.p, call.body.n, 0, NULL) };
    assert_non_null(a.body);
    fake_call_clear(&call);
    return a;
}

/* "result.0.name" → that value; NULL: none. */
static const json_t *at(const json_t *json, const char *path)
{
    char copy[128], *rest = copy, *step;

    snprintf(copy, sizeof copy, "%s", path);
    while (json && (step = strsep(&rest, ".")))
        json = json_is_array(json) ? json_array_get(json, strtoul(step, NULL, 10)) : json_object_get(json, step);
    return json;
}

static const char *text_at(const json_t *json, const char *path)
{
    const char *text = json_string_value(at(json, path));
    return text ? text : "";
}

static void make(struct control *c, const char *name)
{
    char *body = mem_printf("{\"name\":\"%s\"}", name);
    struct answer a = ask(c, METHOD_POST, "/v1/tunnels", body);
    assert_int_equal(a.status, 201);
    json_decref(a.body);
    free(body);
}

/* The id of a tunnel of that name; the caller frees it. */
static char *id_of(struct control *c, const char *name)
{
    return mem_copy_text(tunnels_find(c->registry, name)->id);
}

/* --- our own routes --- */

static void a_tunnel_is_made_and_told_of(void **state)
{
    struct control *c = *state;
    struct credentials credentials;
    struct answer made = ask(c, METHOD_POST, "/v1/tunnels", "{\"name\":\"ams\",\"account\":\"acme\"}");

    assert_int_equal(made.status, 201);
    assert_string_equal(text_at(made.body, "name"), "ams");
    assert_string_equal(text_at(made.body, "account"), "acme");
    assert_string_equal(text_at(made.body, "edge.0"), "127.0.0.1:7844");
    assert_null(token_read(slice_of(text_at(made.body, "token")), &credentials));
    assert_string_equal(credentials.tunnel, text_at(made.body, "id"));
    assert_string_equal(credentials.account, "acme");
    assert_int_equal(json_integer_value(at(made.body, "connections")), 4);
    struct answer told = ask(c, METHOD_GET, "/v1/tunnels/ams/credentials", "");
    assert_int_equal(told.status, 200);
    assert_true(json_equal(told.body, made.body));
    struct answer shown = ask(c, METHOD_GET, "/v1/tunnels/ams", "");
    char *dump = json_dumps(shown.body, 0);
    assert_null(strstr(dump, "token"));
    assert_null(strstr(dump, "secret"));
    free(dump);
    credentials_clear(&credentials);
    json_decref(made.body);
    json_decref(told.body);
    json_decref(shown.body);
}

static void refusals_by_table(void **state)
{
    static const struct {
        enum http_method method;
        const char *target, *body;
        unsigned status;
        const char *detail;
    } cases[] = {
        { METHOD_POST, "/v1/tunnels", "{}", 400, "name" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":7}", 400, "name" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":\"a b\"}", 400, "letters" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":\"" NOBODY "\"}", 400, "no UUID" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":\"ams\"}", 409, "already" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":\"filed\"}", 409, "already" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":\"fra\",\"secret\":\"AAAA\"}", 400, "secret" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":\"fra\",\"account\":\"a/b\"}", 500, "account" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":\"fra\",\"account\":7}", 400, "account" },
        { METHOD_POST, "/v1/tunnels", "{\"name\":\"fra\",\"nmae\":\"x\"}", 400, "nmae" },
        { METHOD_DELETE, "/v1/tunnels/fra", "", 404, "fra" },
        { METHOD_DELETE, "/v1/tunnels/filed", "", 409, "configuration" },
        { METHOD_DELETE, "/v1/tunnels/ams?force=yes", "", 400, "force" },
        { METHOD_DELETE, "/v1/tunnels/ams?nonsense=1", "", 400, "nonsense" },
        { METHOD_GET, "/v1/tunnels/fra/credentials", "", 404, "fra" },
        { METHOD_DELETE, "/v1/tunnels/fra/connections", "", 404, "fra" },
        { METHOD_DELETE, "/v1/tunnels/ams/connections?connector=" NOBODY, "", 404, "connector" },
        { METHOD_PATCH, "/v1/tunnels/fra", "{\"state\":\"drained\"}", 404, "fra" },
        { METHOD_PATCH, "/v1/tunnels/ams", "{}", 400, "state" },
        { METHOD_PATCH, "/v1/tunnels/ams", "{\"state\":\"disabled\"}", 400, "state" },
        { METHOD_PATCH, "/v1/tunnels/ams", "{\"weight\":-1}", 400, "weight" },
        { METHOD_PATCH, "/v1/tunnels/ams/connectors/" NOBODY, "{\"state\":\"drained\"}", 404, "connector" },
        { METHOD_POST, "/v1/tunnels/ams", "", 405, "GET, HEAD, PATCH, DELETE" },
        { METHOD_GET, "/v1/edge/login", "", 409, "admin.address" },
    };
    struct control *c = *state;

    make(c, "ams");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = ask(c, cases[i].method, cases[i].target, cases[i].body);
        if (a.status != cases[i].status || !strstr(text_at(a.body, "detail"), cases[i].detail))
            fail_msg("case %zu: %u %s", i, a.status, text_at(a.body, "detail"));
        json_decref(a.body);
    }
}

static void connectors_are_drained_and_weighed(void **state)
{
    static const struct {
        const char *target, *body;
        bool drained;
        double weight;
    } cases[] = {
        { "/v1/tunnels/ams", "{\"state\":\"drained\"}", true, 1 },
        { "/v1/tunnels/ams", "{\"state\":\"enabled\",\"weight\":2}", false, 2 },
        { "/v1/tunnels/ams/connectors/" CONNECTOR, "{\"state\":\"drained\",\"weight\":null}", true, 1 },
        { "/v1/tunnels/ams/connectors/" CONNECTOR, "{\"weight\":0}", true, 0 },
        { "/v1/tunnels/ams/connectors/" CONNECTOR, "{\"state\":\"enabled\"}", false, 0 },
    };
    struct control *c = *state;

    make(c, "ams");
    fake_tunnels_connect(c->registry, "ams", CONNECTOR);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = ask(c, METHOD_PATCH, cases[i].target, cases[i].body);
        assert_int_equal(a.status, 200);
        assert_int_equal(json_is_true(at(a.body, "connectors.0.drained")), cases[i].drained);
        assert_true(json_number_value(at(a.body, "connectors.0.weight")) == cases[i].weight);
        json_decref(a.body);
    }
}

static void connections_are_dropped(void **state)
{
    struct control *c = *state;

    make(c, "ams");
    fake_tunnels_connect(c->registry, "ams", CONNECTOR);
    fake_tunnels_connect(c->registry, "ams", NOBODY);
    struct answer a = ask(c, METHOD_DELETE, "/v1/tunnels/ams/connections?connector=" CONNECTOR, "");
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(at(a.body, "connectors")), 1);
    json_decref(a.body);
    a = ask(c, METHOD_DELETE, "/v1/tunnels/ams/connections", "");
    assert_int_equal(json_array_size(at(a.body, "connectors")), 0);
    json_decref(a.body);
}

/* With it goes everything: what is answered is what it was. */
static void deleting_a_connected_tunnel_takes_force(void **state)
{
    struct control *c = *state;

    make(c, "ams");
    fake_tunnels_connect(c->registry, "ams", CONNECTOR);
    struct answer a = ask(c, METHOD_DELETE, "/v1/tunnels/ams", "");
    assert_int_equal(a.status, 409);
    assert_non_null(strstr(text_at(a.body, "detail"), "force"));
    json_decref(a.body);
    a = ask(c, METHOD_DELETE, "/v1/tunnels/ams?force=true", "");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(a.body, "name"), "ams");
    assert_null(tunnels_find(c->registry, "ams"));
    json_decref(a.body);
}

static void without_an_edge_nothing_is_made(void **state)
{
    struct control *c = *state;

    c->config->edge.addresses.n = 0;
    struct answer a = ask(c, METHOD_POST, "/v1/tunnels", "{\"name\":\"ams\"}");
    assert_int_equal(a.status, 409);
    assert_non_null(strstr(text_at(a.body, "detail"), "edge = {"));
    json_decref(a.body);
}

static void login_tells_where_cloudflared_may_ask(void **state)
{
    static const struct {
        const char *address, *url;
    } cases[] = {
        { "127.0.0.1:9090", "http://127.0.0.1:9090/client/v4" }, { "lb.example.com:80", "http://lb.example.com:80/client/v4" },
        { ":9090", "http://127.0.0.1:9090/client/v4" },          { "0.0.0.0:9090", "http://127.0.0.1:9090/client/v4" },
        { "[::]:9090", "http://127.0.0.1:9090/client/v4" },      { "[::1]:9090", "http://[::1]:9090/client/v4" },
    };
    struct control *c = *state;

    c->config->admin.token = "right";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        c->config->admin.address = cases[i].address;
        struct answer a = ask(c, METHOD_GET, "/v1/edge/login", "");
        assert_int_equal(a.status, 200);
        assert_string_equal(text_at(a.body, "api_url"), cases[i].url);
        assert_string_equal(text_at(a.body, "token"), "right");
        assert_string_not_equal(text_at(a.body, "zone"), ""); /* cloudflared wants one */
        json_decref(a.body);
    }
    c->config->admin.token = c->config->admin.address = NULL;
}

/* --- Cloudflare's shape --- */

static void assert_refused(const struct answer *a, unsigned status, int code, const char *message)
{
    if (a->status != status || json_integer_value(at(a->body, "errors.0.code")) != code ||
        !strstr(text_at(a->body, "errors.0.message"), message))
        fail_msg("%u %d %s", a->status, (int)json_integer_value(at(a->body, "errors.0.code")),
                 text_at(a->body, "errors.0.message"));
    assert_true(json_is_false(at(a->body, "success")));
    assert_true(json_is_null(at(a->body, "result")));
    assert_int_equal(json_array_size(at(a->body, "messages")), 0);
}

/* cloudflared keeps the secret that it sent: another one would let nobody in. */
static void cloudflared_makes_its_secret_itself(void **state)
{
    struct control *c = *state;
    struct credentials credentials;
    struct answer made = ask(c, METHOD_POST, CFD, "{\"name\":\"ams\",\"tunnel_secret\":\"" SECRET "\",\"config_src\":\"local\"}");

    assert_int_equal(made.status, 200);
    assert_true(json_is_true(at(made.body, "success")));
    assert_int_equal(json_array_size(at(made.body, "errors")), 0);
    assert_string_equal(text_at(made.body, "result.account_tag"), "acme");
    char *target = mem_printf(CFD "/%s/token", text_at(made.body, "result.id"));
    struct answer told = ask(c, METHOD_GET, target, "");
    assert_string_equal(text_at(told.body, "result"), text_at(made.body, "result.token"));
    assert_null(token_read(slice_of(text_at(told.body, "result")), &credentials));
    assert_int_equal(credentials.secret_size, 32);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(credentials.secret[i], 1);
    assert_string_equal(credentials.account, "acme");
    credentials_clear(&credentials);
    free(target);
    json_decref(made.body);
    json_decref(told.body);
}

static void lists_have_pages(void **state)
{
    static const struct {
        const char *query, *names;
        unsigned page, per_page, count, total, pages;
    } cases[] = {
        { "", "ams filed fra", 1, 1000, 3, 3, 1 },
        { "?page=2&per_page=2", "fra", 2, 2, 1, 3, 2 },
        { "?name=ams&is_deleted=false&page=1", "ams", 1, 1000, 1, 1, 1 },
        { "?name=nobody", "", 1, 1000, 0, 0, 0 },
        { "?uuid=" FILED, "filed", 1, 1000, 1, 1, 1 },
        { "?is_deleted=true", "", 1, 1000, 0, 0, 0 },
        { "?include_prefix=f&exclude_prefix=fi", "fra", 1, 1000, 1, 1, 1 },
        { "?existed_at=2001-01-01T00:00:00Z&status=inactive", "filed", 1, 1000, 1, 1, 1 },
        { "?was_active_at=2101-01-01T00:00:00Z", "", 1, 1000, 0, 0, 0 },
        { "?was_inactive_at=2101-01-01T00:00:00Z&name=ams", "ams", 1, 1000, 1, 1, 1 },
    };
    struct control *c = *state;

    make(c, "fra");
    make(c, "ams");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[256], names[128] = "";
        snprintf(target, sizeof target, "%s%s", i % 2 ? "/client/v4/accounts/acme/tunnels" : CFD, cases[i].query);
        struct answer a = ask(c, METHOD_GET, target, "");
        for (size_t k = 0; k < json_array_size(at(a.body, "result")); k++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", k ? " " : "",
                     json_string_value(json_object_get(json_array_get(at(a.body, "result"), k), "name")));
        assert_string_equal(names, cases[i].names);
        assert_int_equal(json_integer_value(at(a.body, "result_info.page")), cases[i].page);
        assert_int_equal(json_integer_value(at(a.body, "result_info.per_page")), cases[i].per_page);
        assert_int_equal(json_integer_value(at(a.body, "result_info.count")), cases[i].count);
        assert_int_equal(json_integer_value(at(a.body, "result_info.total_count")), cases[i].total);
        assert_int_equal(json_integer_value(at(a.body, "result_info.total_pages")), cases[i].pages);
        json_decref(a.body);
    }
}

static void refusals_in_envelopes(void **state)
{
    static const struct {
        enum http_method method;
        const char *target; /* %s: the id of "ams" */
        const char *body;
        unsigned status;
        int code;
        const char *message;
    } cases[] = {
        { METHOD_POST, CFD, "{\"name\":\"ams\"}", 409, 1013, "already" },
        { METHOD_POST, CFD, "{\"name\":\"a b\"}", 400, 1002, "letters" },
        { METHOD_POST, CFD, "{}", 400, 1002, "name" },
        { METHOD_POST, CFD, "nonsense", 400, 1002, "JSON" },
        { METHOD_POST, CFD, "{\"name\":\"fra\",\"tunnel_secret\":\"AAAA\"}", 400, 1002, "tunnel_secret" },
        { METHOD_POST, "/client/v4/accounts/a%2fb/cfd_tunnel", "{\"name\":\"fra\"}", 400, 1002, "account" },
        { METHOD_GET, CFD "?page=0", "", 400, 1002, "page" },
        { METHOD_GET, CFD "?nonsense=1", "", 400, 1002, "nonsense" },
        { METHOD_GET, CFD "?existed_at=never", "", 400, 1002, "existed_at" },
        { METHOD_GET, CFD "?was_active_at=never", "", 400, 1002, "was_active_at" },
        { METHOD_GET, CFD "?was_inactive_at=never", "", 400, 1002, "was_inactive_at" },
        { METHOD_GET, CFD "/" NOBODY, "", 404, 1003, NOBODY },
        { METHOD_GET, CFD "/ams", "", 404, 1003, "ams" },
        { METHOD_GET, CFD "/" NOBODY "/token", "", 404, 1003, NOBODY },
        { METHOD_GET, CFD "/" NOBODY "/connections", "", 404, 1003, NOBODY },
        { METHOD_DELETE, CFD "/" NOBODY, "", 404, 1003, NOBODY },
        { METHOD_DELETE, CFD "/%s?cascade=1", "", 400, 1002, "cascade" },
        { METHOD_DELETE, CFD "/" FILED, "", 409, 1055, "configuration" },
        { METHOD_DELETE, CFD "/%s/connections?client_id=" NOBODY, "", 404, 1003, NOBODY },
        { METHOD_GET, CFD "/%s/connectors/" NOBODY, "", 404, 1003, NOBODY },
        { METHOD_PUT, CFD "/%s/configurations", "{\"config\":{\"ingress\":[]}}", 409, 1055, "edge.ingress" },
        { METHOD_PUT, CFD "/%s", "{}", 405, 10405, "GET" },
        { METHOD_GET, "/client/v4/zones/z/tunnels/x/routes", "", 404, 7003, "nothing" },
        { METHOD_GET, "/client/v4/", "", 404, 7003, "nothing" },
    };
    struct control *c = *state;

    make(c, "ams");
    char *id = id_of(c, "ams");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *hole = strstr(cases[i].target, "%s");
        char *target = hole ? mem_printf("%.*s%s%s", (int)(hole - cases[i].target), cases[i].target, id, hole + 2)
                            : mem_copy_text(cases[i].target);
        struct answer a = ask(c, cases[i].method, target, cases[i].body);
        assert_refused(&a, cases[i].status, cases[i].code, cases[i].message);
        json_decref(a.body);
        free(target);
    }
    free(id);
}

static void a_tunnel_by_its_id(void **state)
{
    static const char *const targets[] = { "", "/connections", "/configurations" };
    struct control *c = *state;

    make(c, "ams");
    char *id = id_of(c, "ams");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char *target = mem_printf(CFD "/%s%s", id, targets[i]);
        struct answer a = ask(c, METHOD_GET, target, "");
        assert_int_equal(a.status, 200);
        assert_true(json_is_true(at(a.body, "success")));
        json_decref(a.body);
        free(target);
    }
    char *target = mem_printf(CFD "/%s", id);
    struct answer gone = ask(c, METHOD_DELETE, target, "");
    assert_int_equal(gone.status, 200);
    assert_string_not_equal(text_at(gone.body, "result.deleted_at"), "");
    json_decref(gone.body);
    gone = ask(c, METHOD_DELETE, target, "");
    assert_refused(&gone, 404, 1003, id);
    json_decref(gone.body);
    free(target);
    free(id);
}

static void connectors_of_a_tunnel(void **state)
{
    struct control *c = *state;

    make(c, "ams");
    fake_tunnels_connect(c->registry, "ams", CONNECTOR);
    char *id = id_of(c, "ams"), *all = mem_printf(CFD "/%s/connections", id),
         *one = mem_printf(CFD "/%s/connectors/" CONNECTOR, id);
    char *tunnel = mem_printf(CFD "/%s", id), *cascade = mem_printf(CFD "/%s?cascade=true", id);
    struct answer a = ask(c, METHOD_GET, all, "");
    assert_string_equal(text_at(a.body, "result.0.id"), CONNECTOR);
    assert_string_equal(text_at(a.body, "result.0.conns.1.colo_name"), "ams01");
    json_decref(a.body);
    a = ask(c, METHOD_GET, one, "");
    assert_string_equal(text_at(a.body, "result.version"), "2026.8.2");
    json_decref(a.body);
    a = ask(c, METHOD_DELETE, tunnel, "");
    assert_refused(&a, 400, 1022, "connections");
    json_decref(a.body);
    char *of_one = mem_printf("%s?client_id=" CONNECTOR, all);
    a = ask(c, METHOD_DELETE, of_one, "");
    assert_int_equal(a.status, 200);
    json_decref(a.body);
    a = ask(c, METHOD_GET, all, "");
    assert_int_equal(json_array_size(at(a.body, "result")), 0);
    json_decref(a.body);
    fake_tunnels_connect(c->registry, "ams", NOBODY);
    a = ask(c, METHOD_DELETE, cascade, "");
    assert_int_equal(a.status, 200);
    json_decref(a.body);
    free(of_one), free(id), free(all), free(one), free(tunnel), free(cascade);
}

/* --- metrics --- */

static void metrics_count_who_is_connected(void **state)
{
    static const char *const lines[] = {
        "penstock_tunnel_state{tunnel=\"" FILED "\",name=\"filed\",state=\"degraded\"} 1\n",
        "penstock_tunnel_connectors{tunnel=\"" FILED "\",name=\"filed\",state=\"used\"} 1\n",
        "penstock_tunnel_connectors{tunnel=\"" FILED "\",name=\"filed\",state=\"drained\"} 1\n",
        "penstock_tunnel_connections{tunnel=\"" FILED "\",name=\"filed\",state=\"usable\"} 1\n",
        "penstock_tunnel_connections{tunnel=\"" FILED "\",name=\"filed\",state=\"drained\"} 1\n",
        "penstock_tunnel_connections{tunnel=\"" FILED "\",name=\"filed\",state=\"suspect\"} 2\n",
        "penstock_tunnel_connections{tunnel=\"" FILED "\",name=\"filed\",state=\"sick\"} 0\n",
        "penstock_tunnel_streams{tunnel=\"" FILED "\",name=\"filed\"} 4\n",
    };
    struct control *c = *state;
    struct local_call call;

    fake_tunnels_connect(c->registry, "filed", CONNECTOR);
    fake_tunnels_connect(c->registry, "filed", NOBODY);
    assert_int_equal(tunnels_drain(c->registry, "filed", NOBODY, true), TUNNELS_DONE);
    fake_call_init(&call, METHOD_GET, "/metrics", "");
    admin_handle(c, &call);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(call.body.p, lines[i]))
            fail_msg("%s in:\n%s", lines[i], call.body.p);
    fake_call_clear(&call);
}

/* --- secrets --- */

static unsigned over_tcp(struct control *c, enum http_method method, const char *target, const char *authorization, json_t **body)
{
    struct local_call call;

    fake_call_init_tcp(&call, method, target, authorization);
    admin_handle(c, &call);
    unsigned status = call.status;
    *body = json_loadb(call.body.p, call.body.n, 0, NULL);
    fake_call_clear(&call);
    return status;
}

static void no_secret_over_tcp_without_the_token(void **state)
{
    struct control *c = *state;

    make(c, "ams");
    char *id = id_of(c, "ams");
    char *targets[] = { mem_copy_text("/v1/tunnels/ams/credentials"), mem_copy_text("/v1/edge/login"),
                        mem_printf(CFD "/%s/token", id) };
    static const struct {
        const char *token, *authorization;
        unsigned status;
    } cases[] = { { NULL, NULL, 403 }, { NULL, "Bearer right", 403 }, { "right", NULL, 401 }, { "right", "Bearer wrong", 401 },
                  { "right", "Bearer right", 200 } };
    c->config->admin.address = "127.0.0.1:9090";
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        bool enveloped = strncmp(targets[t], "/client/", 8) == 0;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            json_t *body;
            c->config->admin.token = cases[i].token;
            assert_int_equal(over_tcp(c, METHOD_GET, targets[t], cases[i].authorization, &body), cases[i].status);
            if (cases[i].status != 200 && enveloped)
                assert_int_equal(json_integer_value(at(body, "errors.0.code")), 10000);
            else if (cases[i].status != 200)
                assert_int_equal(json_integer_value(at(body, "status")), cases[i].status);
            json_decref(body);
        }
        free(targets[t]);
    }
    c->config->admin.token = c->config->admin.address = NULL;
    free(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tunnel_is_made_and_told_of, start, stop),
        cmocka_unit_test_setup_teardown(refusals_by_table, start, stop),
        cmocka_unit_test_setup_teardown(connectors_are_drained_and_weighed, start, stop),
        cmocka_unit_test_setup_teardown(connections_are_dropped, start, stop),
        cmocka_unit_test_setup_teardown(deleting_a_connected_tunnel_takes_force, start, stop),
        cmocka_unit_test_setup_teardown(without_an_edge_nothing_is_made, start, stop),
        cmocka_unit_test_setup_teardown(login_tells_where_cloudflared_may_ask, start, stop),
        cmocka_unit_test_setup_teardown(cloudflared_makes_its_secret_itself, start, stop),
        cmocka_unit_test_setup_teardown(lists_have_pages, start, stop),
        cmocka_unit_test_setup_teardown(refusals_in_envelopes, start, stop),
        cmocka_unit_test_setup_teardown(a_tunnel_by_its_id, start, stop),
        cmocka_unit_test_setup_teardown(connectors_of_a_tunnel, start, stop),
        cmocka_unit_test_setup_teardown(metrics_count_who_is_connected, start, stop),
        cmocka_unit_test_setup_teardown(no_secret_over_tcp_without_the_token, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
