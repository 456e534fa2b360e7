/* What a session's cookie says and for how long, who may keep a session, and when its cookie is set anew. */
#include "proxy/affinity.h"

#include "pool_under_test.h"

#define OLD "the former key, thirty-two or more"
#define NEW "the newer key, also long enough...."

enum { LB = 7, BEGUN = 1000000 };

static struct session_keys *keys_of(const char *text)
{
    struct session_keys *keys = calloc(1, sizeof *keys);
    const char *wrong;

    assert_non_null(keys);
    assert_true(session_keys_parse(slice_of(text), keys, &wrong));
    return keys;
}

static void test_signature(void **state)
{
    /* RFC 4231 4.7: a key longer than a block, so that it is hashed first. */
    static const uint8_t expected[] = { 0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f, 0x0d, 0x8a, 0x26, 0xaa, 0xcb, 0xf5, 0xb7, 0x7f,
                                        0x8e, 0x0b, 0xc6, 0x21, 0x37, 0x28, 0xc5, 0x14, 0x05, 0x46, 0x04, 0x0f, 0x0e, 0xe3, 0x7f, 0x54 };
    static const char text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    char key[132] = { 0 };
    uint8_t mac[SESSION_MAC_SIZE];

    memset(key, 0xaa, 131);
    struct session_keys *keys = keys_of(key);
    session_key_sign(&keys->keys[0], text, strlen(text), mac);
    assert_memory_equal(mac, expected, sizeof mac);
    free(keys);
    (void)state;
}

static void test_keys(void **state)
{
    static const struct {
        const char *text;
        size_t n; /* 0: refused */
    } cases[] = {
        { OLD, 1 },           { OLD "\n", 1 },        { NEW "\n" OLD "\n", 2 }, { "\n\n" NEW "\r\n\n" OLD, 2 },
        { "", 0 },            { "\n\n", 0 },          { "short", 0 },           { OLD "\nshort\n", 0 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct session_keys *keys = calloc(1, sizeof *keys);
        const char *wrong;
        bool good = session_keys_parse(slice_of(cases[i].text), keys, &wrong);
        assert_int_equal(good, cases[i].n > 0);
        if (good)
            assert_int_equal(keys->n, cases[i].n);
        else
            assert_non_null(wrong);
        free(keys);
    }
    (void)state;
}

static void test_too_many_keys(void **state)
{
    char text[(SESSION_KEYS_MAX + 1) * (SESSION_KEY_MIN + 1) + 1] = "";
    struct session_keys *keys = calloc(1, sizeof *keys);
    const char *wrong;

    for (unsigned i = 0; i <= SESSION_KEYS_MAX; i++)
        strcat(text, "0123456789abcdef0123456789abcdef\n");
    assert_false(session_keys_parse(slice_of(text), keys, &wrong));
    text[SESSION_KEYS_MAX * (SESSION_KEY_MIN + 1)] = '\0';
    assert_true(session_keys_parse(slice_of(text), keys, &wrong));
    assert_int_equal(keys->n, SESSION_KEYS_MAX);
    free(keys);
    (void)state;
}

enum { OF_ENDPOINT = 44 }; /* characters, without a connector */

static const struct session_claim claims[] = {
    { .endpoint = UINT64_C(0xfedcba9876543210), .issued = BEGUN, .seen = BEGUN + 5 },
    { .endpoint = UINT64_C(0xfedcba9876543210), .connector = UINT64_C(0x0123456789abcdef), .issued = BEGUN, .seen = BEGUN + 5 },
};
enum { CLAIMS = sizeof claims / sizeof *claims };

static bool reads(const char *keys_text, uint64_t load_balancer, struct slice text, struct session_claim *out)
{
    struct session_keys *keys = keys_of(keys_text);
    bool read = session_claim_read(keys, load_balancer, text, out);

    free(keys);
    return read;
}

static struct slice write_with(const char *keys_text, const struct session_claim *claim, char text[static SESSION_TEXT_MAX])
{
    struct session_keys *keys = keys_of(keys_text);
    size_t n = session_claim_write(keys, LB, claim, text);

    free(keys);
    return (struct slice){ text, n };
}

static void test_claim_comes_back(void **state)
{
    for (size_t i = 0; i < CLAIMS; i++) {
        char room[SESSION_TEXT_MAX];
        struct session_claim out;
        struct slice text = write_with(OLD, &claims[i], room);
        assert_int_equal(text.n, i ? SESSION_TEXT_MAX : OF_ENDPOINT);
        assert_true(reads(OLD, LB, text, &out));
        assert_true(out.endpoint == claims[i].endpoint && out.connector == claims[i].connector);
        assert_true(out.issued == claims[i].issued && out.seen == claims[i].seen);
        assert_false(reads(OLD, LB + 1, text, &out));
    }
    (void)state;
}

/* As it was written before there were connectors. */
static void test_a_cookie_of_before(void **state)
{
    struct session_claim out;

    assert_true(reads(OLD, LB, SLICE("Af7cuph2VDIQAA9CQAAPQkXwQsuYpn85+sB0J3ndccNU"), &out));
    assert_true(out.endpoint == claims[0].endpoint && out.connector == 0 && out.issued == BEGUN && out.seen == BEGUN + 5);
    (void)state;
}

/* The new key comes first, the old one is accepted until it goes. */
static void test_keys_rotate(void **state)
{
    for (size_t i = 0; i < CLAIMS; i++) {
        char room[2][SESSION_TEXT_MAX];
        struct session_claim out;
        struct slice former = write_with(OLD, &claims[i], room[0]), newer = write_with(NEW "\n" OLD, &claims[i], room[1]);
        assert_true(reads(NEW "\n" OLD, LB, former, &out));
        assert_true(reads(NEW, LB, newer, &out));
        assert_false(reads(OLD, LB, newer, &out));
        assert_false(reads(NEW, LB, former, &out));
    }
    (void)state;
}

static void test_any_change_is_forged(void **state)
{
    struct session_keys *keys = keys_of(OLD);

    for (size_t k = 0; k < CLAIMS; k++) {
        char text[SESSION_TEXT_MAX + 4] = { 0 };
        struct session_claim out;
        size_t size = write_with(OLD, &claims[k], text).n;
        for (size_t i = 0; i < size; i++) {
            char was = text[i];
            text[i] = was == 'A' ? 'B' : 'A';
            assert_false(session_claim_read(keys, LB, (struct slice){ text, size }, &out));
            text[i] = was;
        }
        memcpy(text + size, "AAAA", 4 < sizeof text - size ? 4 : sizeof text - size);
        for (size_t n = 0; n <= sizeof text; n++)
            assert_true(session_claim_read(keys, LB, (struct slice){ text, n }, &out) == (n == size));
        assert_false(session_claim_read(&(struct session_keys){ 0 }, LB, (struct slice){ text, size }, &out));
    }
    free(keys);
    (void)state;
}

static void test_time(void **state)
{
    static const struct {
        nsec_t ttl, idle;
        uint32_t issued, seen, now;
        bool holds;
    } cases[] = {
        { 100 * SECOND, 0, BEGUN, BEGUN, BEGUN, true },
        { 100 * SECOND, 0, BEGUN, BEGUN, BEGUN + 99, true },
        { 100 * SECOND, 0, BEGUN, BEGUN, BEGUN + 100, false },
        { 100 * SECOND, 0, BEGUN, BEGUN + 99, BEGUN + 100, false },
        { 100 * SECOND, 10 * SECOND, BEGUN, BEGUN, BEGUN + 9, true },
        { 100 * SECOND, 10 * SECOND, BEGUN, BEGUN, BEGUN + 10, false },
        { 100 * SECOND, 10 * SECOND, BEGUN, BEGUN + 90, BEGUN + 99, true },
        { 100 * SECOND, 10 * SECOND, BEGUN, BEGUN + 95, BEGUN + 100, false },
        { 100 * SECOND, 0, BEGUN, BEGUN, BEGUN - 60, true },
        { 100 * SECOND, 0, BEGUN, BEGUN, BEGUN - 61, false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct affinity_conf a = { .ttl = cases[i].ttl, .idle = cases[i].idle };
        struct session_claim c = { .endpoint = 1, .issued = cases[i].issued, .seen = cases[i].seen };
        if (session_claim_holds(&a, &c, cases[i].now) != cases[i].holds)
            fail_msg("case %zu", i);
    }
    (void)state;
}

static void test_when_a_cookie_is_set(void **state)
{
    static const struct {
        enum affinity_failover failover;
        nsec_t idle;
        enum session_place place;
        uint32_t seen, now;
        enum session_cookie_need need;
    } cases[] = {
        { AFFINITY_STICKY, 0, SESSION_NEW, 0, BEGUN, SESSION_COOKIE_NEW },
        { AFFINITY_TEMPORARY, 0, SESSION_NEW, 0, BEGUN, SESSION_COOKIE_NEW },
        { AFFINITY_STICKY, 0, SESSION_HERE, BEGUN, BEGUN + 1000, SESSION_COOKIE_NONE },
        { AFFINITY_STICKY, 0, SESSION_ELSEWHERE, BEGUN, BEGUN, SESSION_COOKIE_NEW },
        { AFFINITY_NO_FAILOVER, 0, SESSION_ELSEWHERE, BEGUN, BEGUN, SESSION_COOKIE_NEW },
        { AFFINITY_TEMPORARY, 0, SESSION_ELSEWHERE, BEGUN, BEGUN, SESSION_COOKIE_NONE },
        { AFFINITY_STICKY, 0, SESSION_FIRST_HERE, BEGUN, BEGUN, SESSION_COOKIE_SEEN },
        { AFFINITY_TEMPORARY, 0, SESSION_FIRST_HERE, BEGUN, BEGUN, SESSION_COOKIE_SEEN },
        { AFFINITY_STICKY, 160 * SECOND, SESSION_HERE, BEGUN, BEGUN + 9, SESSION_COOKIE_NONE },
        { AFFINITY_STICKY, 160 * SECOND, SESSION_HERE, BEGUN, BEGUN + 10, SESSION_COOKIE_SEEN },
        { AFFINITY_STICKY, 2 * SECOND, SESSION_HERE, BEGUN, BEGUN, SESSION_COOKIE_NONE },
        { AFFINITY_STICKY, 2 * SECOND, SESSION_HERE, BEGUN, BEGUN + 1, SESSION_COOKIE_SEEN },
        { AFFINITY_STICKY, 2 * SECOND, SESSION_HERE, BEGUN + 5, BEGUN, SESSION_COOKIE_NONE },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct affinity_conf a = { .type = AFFINITY_COOKIE, .ttl = 3600 * SECOND, .idle = cases[i].idle, .failover = cases[i].failover };
        if (session_cookie_need(&a, cases[i].place, cases[i].seen, cases[i].now) != cases[i].need)
            fail_msg("case %zu", i);
    }
    (void)state;
}

static void test_who_may_stay(void **state)
{
    static const struct {
        enum health health;
        enum admin_state admin;
        bool ejected, enabled, pool_enabled, stays;
    } cases[] = {
        { HEALTH_UP, ADMIN_ENABLED, false, true, true, true },       { HEALTH_UNKNOWN, ADMIN_ENABLED, false, true, true, true },
        { HEALTH_DOWN, ADMIN_ENABLED, false, true, true, false },    { HEALTH_UP, ADMIN_ENABLED, true, true, true, false },
        { HEALTH_UP, ADMIN_DRAINED, false, true, true, true },       { HEALTH_DOWN, ADMIN_DRAINED, false, true, true, false },
        { HEALTH_UP, ADMIN_DISABLED, false, true, true, false },     { HEALTH_UP, ADMIN_ENABLED, false, false, true, false },
        { HEALTH_UP, ADMIN_DRAINED, false, false, true, false },     { HEALTH_UP, ADMIN_ENABLED, false, true, false, false },
    };
    struct affinity_conf a = { .type = AFFINITY_COOKIE, .drain_duration = 60 * SECOND };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct monitor monitor = { 0 }, *monitors[] = { &monitor };
        struct pool pool = { .enabled = cases[i].pool_enabled, .monitors = monitors, .n_monitors = 1 };
        struct endpoint e = { .pool = &pool, .enabled = cases[i].enabled, .weight = 0, .live = endpoint_live_new("pool/e", 1) };
        endpoint_set_health(e.live, cases[i].health, START);
        endpoint_set_admin(e.live, cases[i].admin, START);
        atomic_store(&e.live->ejected_until, cases[i].ejected ? START + 3600 * SECOND : 0);
        if (session_may_stay(&a, &e, false, START + 59 * SECOND) != cases[i].stays)
            fail_msg("case %zu", i);
        if (cases[i].admin == ADMIN_DRAINED)
            assert_false(session_may_stay(&a, &e, false, START + 60 * SECOND));
        endpoint_live_unref(e.live);
    }
    (void)state;
}

/* A tunnel that takes no new requests, for its connectors are drained, may still be held for a session. */
static void test_a_session_of_a_connector(void **state)
{
    static const struct {
        bool usable, held, ejected;
        enum health health;
        enum admin_state admin;
        bool stays;
    } cases[] = {
        { true, false, false, HEALTH_UP, ADMIN_ENABLED, true },    { false, false, false, HEALTH_DOWN, ADMIN_ENABLED, false },
        { false, true, false, HEALTH_DOWN, ADMIN_ENABLED, true },  { false, true, true, HEALTH_DOWN, ADMIN_ENABLED, false },
        { false, true, false, HEALTH_DOWN, ADMIN_DRAINED, true },  { false, true, false, HEALTH_DOWN, ADMIN_DISABLED, false },
        { true, false, false, HEALTH_DOWN, ADMIN_ENABLED, false },
    };
    struct affinity_conf a = { .type = AFFINITY_COOKIE, .level = AFFINITY_CONNECTOR, .drain_duration = 60 * SECOND };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct monitor monitor = { 0 }, *monitors[] = { &monitor };
        struct pool pool = { .enabled = true, .monitors = monitors, .n_monitors = 1 };
        struct tunnel *tunnel = tunnel_new("00000000-0000-0000-0000-000000000001", "t");
        struct endpoint e = { .pool = &pool, .enabled = true, .weight = 1, .kind = ENDPOINT_EDGE, .edge_tunnel = tunnel,
                              .live = endpoint_live_new("pool/e", 1) };
        atomic_store(&tunnel->usable, cases[i].usable);
        endpoint_set_health(e.live, cases[i].health, START);
        endpoint_set_admin(e.live, cases[i].admin, START);
        atomic_store(&e.live->ejected_until, cases[i].ejected ? START + 3600 * SECOND : 0);
        if (session_may_stay(&a, &e, cases[i].held, START + 59 * SECOND) != cases[i].stays)
            fail_msg("case %zu", i);
        endpoint_live_unref(e.live);
        tunnel_unref(tunnel);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signature),       cmocka_unit_test(test_keys),
        cmocka_unit_test(test_too_many_keys),   cmocka_unit_test(test_claim_comes_back),
        cmocka_unit_test(test_keys_rotate),     cmocka_unit_test(test_any_change_is_forged),
        cmocka_unit_test(test_time),            cmocka_unit_test(test_when_a_cookie_is_set),
        cmocka_unit_test(test_who_may_stay),     cmocka_unit_test(test_a_cookie_of_before),
        cmocka_unit_test(test_a_session_of_a_connector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
