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

static const struct session_claim claim = { .endpoint = UINT64_C(0xfedcba9876543210), .issued = BEGUN, .seen = BEGUN + 5 };

static bool reads(const char *keys_text, uint64_t load_balancer, const char text[static SESSION_TEXT_SIZE], struct session_claim *out)
{
    struct session_keys *keys = keys_of(keys_text);
    bool read = session_claim_read(keys, load_balancer, (struct slice){ text, SESSION_TEXT_SIZE }, out);

    free(keys);
    return read;
}

static void write_with(const char *keys_text, char text[static SESSION_TEXT_SIZE])
{
    struct session_keys *keys = keys_of(keys_text);

    session_claim_write(keys, LB, &claim, text);
    free(keys);
}

static void test_claim_comes_back(void **state)
{
    char text[SESSION_TEXT_SIZE];
    struct session_claim out;

    write_with(OLD, text);
    assert_true(reads(OLD, LB, text, &out));
    assert_true(out.endpoint == claim.endpoint && out.issued == claim.issued && out.seen == claim.seen);
    assert_false(reads(OLD, LB + 1, text, &out));
    (void)state;
}

/* The new key comes first, the old one is accepted until it goes. */
static void test_keys_rotate(void **state)
{
    char former[SESSION_TEXT_SIZE], newer[SESSION_TEXT_SIZE];
    struct session_claim out;

    write_with(OLD, former);
    write_with(NEW "\n" OLD, newer);
    assert_true(reads(NEW "\n" OLD, LB, former, &out));
    assert_true(reads(NEW, LB, newer, &out));
    assert_false(reads(OLD, LB, newer, &out));
    assert_false(reads(NEW, LB, former, &out));
    (void)state;
}

static void test_any_change_is_forged(void **state)
{
    char text[SESSION_TEXT_SIZE];
    struct session_claim out;
    struct session_keys *keys = keys_of(OLD);

    write_with(OLD, text);
    for (size_t i = 0; i < sizeof text; i++) {
        char was = text[i];
        text[i] = was == 'A' ? 'B' : 'A';
        assert_false(session_claim_read(keys, LB, (struct slice){ text, sizeof text }, &out));
        text[i] = was;
    }
    for (size_t n = 0; n < sizeof text; n++)
        assert_false(session_claim_read(keys, LB, (struct slice){ text, n }, &out));
    assert_false(session_claim_read(&(struct session_keys){ 0 }, LB, (struct slice){ text, sizeof text }, &out));
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
        struct session_claim c = { 1, cases[i].issued, cases[i].seen };
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
        bool pinned, there;
        uint32_t seen, now;
        enum session_cookie_need need;
    } cases[] = {
        { AFFINITY_STICKY, 0, false, false, 0, BEGUN, SESSION_COOKIE_NEW },
        { AFFINITY_TEMPORARY, 0, false, false, 0, BEGUN, SESSION_COOKIE_NEW },
        { AFFINITY_STICKY, 0, true, true, BEGUN, BEGUN + 1000, SESSION_COOKIE_NONE },
        { AFFINITY_STICKY, 0, true, false, BEGUN, BEGUN, SESSION_COOKIE_NEW },
        { AFFINITY_NO_FAILOVER, 0, true, false, BEGUN, BEGUN, SESSION_COOKIE_NEW },
        { AFFINITY_TEMPORARY, 0, true, false, BEGUN, BEGUN, SESSION_COOKIE_NONE },
        { AFFINITY_STICKY, 160 * SECOND, true, true, BEGUN, BEGUN + 9, SESSION_COOKIE_NONE },
        { AFFINITY_STICKY, 160 * SECOND, true, true, BEGUN, BEGUN + 10, SESSION_COOKIE_SEEN },
        { AFFINITY_STICKY, 2 * SECOND, true, true, BEGUN, BEGUN, SESSION_COOKIE_NONE },
        { AFFINITY_STICKY, 2 * SECOND, true, true, BEGUN, BEGUN + 1, SESSION_COOKIE_SEEN },
        { AFFINITY_STICKY, 2 * SECOND, true, true, BEGUN + 5, BEGUN, SESSION_COOKIE_NONE },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct affinity_conf a = { .type = AFFINITY_COOKIE, .ttl = 3600 * SECOND, .idle = cases[i].idle, .failover = cases[i].failover };
        if (session_cookie_need(&a, cases[i].pinned, cases[i].there, cases[i].seen, cases[i].now) != cases[i].need)
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
        if (session_may_stay(&a, &e, START + 59 * SECOND) != cases[i].stays)
            fail_msg("case %zu", i);
        if (cases[i].admin == ADMIN_DRAINED)
            assert_false(session_may_stay(&a, &e, START + 60 * SECOND));
        endpoint_live_unref(e.live);
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
        cmocka_unit_test(test_who_may_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
