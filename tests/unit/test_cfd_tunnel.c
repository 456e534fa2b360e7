/* Our tunnels in the words of Cloudflare's API. */
#include "control/cfd_tunnel.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define AMS "c1744f8b-faa1-48a4-9e5c-02ac921467fa"
#define CONNECTOR "9fc01e74-6edb-4ed4-aab2-e8e6d23f09be"

static const char connected[] =
    "{\"id\":\"" AMS "\",\"name\":\"ams\",\"status\":\"degraded\",\"since\":\"2026-11-24T16:00:00.000Z\",\"account\":\"penstock\","
    "\"created_at\":\"2026-11-20T08:00:00.000Z\",\"conns_active_at\":\"2026-11-24T16:00:00.000Z\",\"conns_inactive_at\":null,"
    "\"config_source\":\"pushed\",\"config_version\":3,\"config\":{\"ingress\":[{\"service\":\"http_status:404\"}]},\"connectors\":"
    "["
    "{\"id\":\"" CONNECTOR "\",\"version\":\"2026.8.2\",\"arch\":\"linux_amd64\",\"origin_ip\":\"192.0.2.7\","
    "\"run_at\":\"2026-11-24T15:59:00.000Z\",\"features\":[\"serialized_headers\"],\"configuration\":{\"version\":3},"
    "\"connections\":["
    "{\"id\":\"a722ad9e-9970-4c8c-a9dd-f9b5cbe17610\",\"index\":0,\"location\":\"ams01\",\"origin_ip\":\"192.0.2.7\","
    "\"opened_at\":\"2026-11-24T16:00:00.000Z\"},"
    "{\"id\":\"b722ad9e-9970-4c8c-a9dd-f9b5cbe17610\",\"index\":1,\"location\":\"ams01\",\"origin_ip\":\"192.0.2.7\","
    "\"opened_at\":\"2026-11-24T16:00:01.000Z\"}]}]}";

static json_t *read(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static void assert_json(json_t *is, const char *expected)
{
    json_t *should = read(expected);
    if (!json_equal(is, should)) {
        char *dump = json_dumps(is, JSON_COMPACT | JSON_SORT_KEYS);
        print_error("%s\n", dump);
        free(dump);
        fail();
    }
    json_decref(should);
    json_decref(is);
}

#define CONNECTION(id_, time) \
    "{\"id\":\"" id_ "\",\"uuid\":\"" id_ "\",\"client_id\":\"" CONNECTOR \
    "\",\"client_version\":\"2026.8.2\",\"colo_name\":\"ams01\"," \
    "\"origin_ip\":\"192.0.2.7\",\"opened_at\":\"2026-11-24T16:00:0" time ".000Z\",\"is_pending_reconnect\":false}"
#define CONNECTIONS \
    "[" CONNECTION("a722ad9e-9970-4c8c-a9dd-f9b5cbe17610", "0") "," CONNECTION("b722ad9e-9970-4c8c-a9dd-f9b5cbe17610", "1") "]"
#define CLIENT \
    "{\"id\":\"" CONNECTOR "\",\"version\":\"2026.8.2\",\"arch\":\"linux_amd64\",\"features\":[\"serialized_headers\"]," \
    "\"run_at\":\"2026-11-24T15:59:00.000Z\",\"config_version\":3,\"conns\":" CONNECTIONS "}"

static void a_connected_tunnel(void **state)
{
    json_t *ours = read(connected);
    (void)state;

    assert_json(cfd_tunnel(ours),
                "{\"id\":\"" AMS
                "\",\"account_tag\":\"penstock\",\"name\":\"ams\",\"status\":\"degraded\",\"tun_type\":\"cfd_tunnel\","
                "\"config_src\":\"cloudflare\",\"remote_config\":true,\"created_at\":\"2026-11-20T08:00:00.000Z\","
                "\"deleted_at\":null,\"conns_active_at\":\"2026-11-24T16:00:00.000Z\",\"conns_inactive_at\":null,"
                "\"connections\":" CONNECTIONS ",\"metadata\":{}}");
    assert_json(cfd_clients(ours), "[" CLIENT "]");
    assert_json(cfd_client(ours, CONNECTOR), CLIENT);
    assert_null(cfd_client(ours, AMS));
    assert_json(cfd_configuration(ours),
                "{\"account_id\":\"penstock\",\"tunnel_id\":\"" AMS "\",\"version\":3,\"source\":\"cloudflare\","
                "\"created_at\":\"2026-11-20T08:00:00.000Z\",\"config\":{\"ingress\":[{\"service\":\"http_status:404\"}]}}");
    json_decref(ours);
}

/* cloudflared fails on a time that is none, and knows four words for a status. */
static void a_tunnel_of_which_little_is_known(void **state)
{
    json_t *ours = read("{\"id\":\"" AMS "\",\"name\":\"ams\",\"status\":\"unknown\",\"account\":\"penstock\",\"created_at\":null,"
                        "\"config_source\":\"local\",\"config_version\":null,\"config\":null,\"connectors\":[]}");
    json_t *cfd = cfd_tunnel(ours);
    (void)state;

    assert_string_equal(json_string_value(json_object_get(cfd, "status")), "down");
    assert_string_equal(json_string_value(json_object_get(cfd, "created_at")), "1970-01-01T00:00:00Z");
    assert_string_equal(json_string_value(json_object_get(cfd, "config_src")), "local");
    assert_int_equal(json_array_size(json_object_get(cfd, "connections")), 0);
    assert_json(cfd_clients(ours), "[]");
    json_decref(cfd);
    json_decref(ours);
}

/* "b a" → the names of a page, joined by blanks. */
static void lists_by_table(void **state)
{
    static const struct {
        struct cfd_filter filter;
        const char *names;
        size_t total;
    } cases[] = {
        { { .page = 1, .per_page = 10 }, "app-1 app-2 fra", 3 },
        { { .page = 1, .per_page = 2 }, "app-1 app-2", 3 },
        { { .page = 2, .per_page = 2 }, "fra", 3 },
        { { .page = 3, .per_page = 2 }, "", 3 },
        { { .name = "fra", .page = 1, .per_page = 10 }, "fra", 1 },
        { { .name = "fr", .page = 1, .per_page = 10 }, "", 0 },
        { { .prefix = "app-", .page = 1, .per_page = 10 }, "app-1 app-2", 2 },
        { { .not_prefix = "app-", .page = 1, .per_page = 10 }, "fra", 1 },
        { { .id = "C1744F8B-FAA1-48A4-9E5C-02AC92146703", .page = 1, .per_page = 10 }, "fra", 1 },
        { { .status = "healthy", .page = 1, .per_page = 10 }, "app-2", 1 },
        { { .status = "down", .page = 1, .per_page = 10 }, "fra", 1 },
        { { .deleted = true, .page = 1, .per_page = 10 }, "", 0 },
        { { .was_active_at = 1795262400 * NSEC_PER_SEC /* 2026-11-21T12:00:00Z */, .page = 1, .per_page = 10 }, "app-2", 1 },
        { { .was_active_at = 1795262399 * NSEC_PER_SEC, .page = 1, .per_page = 10 }, "", 0 },
        { { .was_inactive_at = 1795262400 * NSEC_PER_SEC, .page = 1, .per_page = 10 }, "app-1 fra", 2 },
        { { .was_inactive_at = 1795262399 * NSEC_PER_SEC, .page = 1, .per_page = 10 }, "app-1", 1 },
        { { .was_inactive_at = 1795175999 * NSEC_PER_SEC, .page = 1, .per_page = 10 }, "", 0 },
        { { .existed_at = 1795176000 * NSEC_PER_SEC /* 2026-11-20T12:00:00Z */, .page = 1, .per_page = 10 }, "app-1 fra", 2 },
    };
    json_t *all =
        read("[{\"id\":\"c1744f8b-faa1-48a4-9e5c-02ac92146703\",\"name\":\"fra\",\"status\":\"unknown\",\"created_at\":null,\"conns_inactive_at\":\"2026-11-21T12:00:00Z\"},"
             "{\"id\":\"c1744f8b-faa1-48a4-9e5c-02ac92146702\",\"name\":\"app-2\",\"status\":\"healthy\",\"created_at\":\"2026-11-"
             "21T00:00:00Z\",\"conns_active_at\":\"2026-11-21T12:00:00Z\",\"conns_inactive_at\":null},"
             "{\"id\":\"c1744f8b-faa1-48a4-9e5c-02ac92146701\",\"name\":\"app-1\",\"status\":\"inactive\",\"created_at\":\"2026-11-"
             "20T12:00:00Z\"}]");
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char names[128] = "";
        size_t total, k;
        json_t *list = cfd_list(all, &cases[i].filter, &total), *t;
        json_array_foreach(list, k, t) snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? " " : "",
                                                json_string_value(json_object_get(t, "name")));
        if (strcmp(names, cases[i].names) != 0 || total != cases[i].total)
            fail_msg("case %zu: \"%s\", %zu", i, names, total);
        json_decref(list);
    }
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connected_tunnel),
        cmocka_unit_test(a_tunnel_of_which_little_is_known),
        cmocka_unit_test(lists_by_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
