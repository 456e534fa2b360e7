/* Every captured message: those of connectors are read field by field, ours are written again to the byte. */
#include "edge/rpc_message.h"
#include "tests/unit/edge_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LOOPBACK "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1"

static struct slice bytes;
static struct rpc_message m;

static void read_fixture(const char *name)
{
    bytes = fixture_read(name);
    const char *wrong = rpc_message_read(bytes, &m);
    if (wrong)
        fail_msg("%s: %s", name, wrong);
}

static void assert_slice(struct slice s, const char *text)
{
    if (!slice_eq(s, slice_of(text)))
        fail_msg("'%.*s' instead of '%s'", SLICE_ARG(s), text);
}

static void assert_uuid(const uint8_t *raw, const char *text)
{
    char formatted[UUID_TEXT_SIZE];
    assert_string_equal(uuid_format(raw, formatted), text);
}

static void bootstrap_is_read(void **state)
{
    (void)state;
    read_fixture("01-rx-bootstrap");
    assert_int_equal(m.kind, RPC_KIND_BOOTSTRAP);
    assert_int_equal(m.question, 0);
    fixture_free(bytes);
}

static const struct registration_row {
    const char *name, *connector, *version;
    uint32_t question;
    const char *features[6];
} registrations[] = {
    { "03-rx-registerConnection", "9fc01e74-6edb-4ed4-aab2-e8e6d23f09be", "2026.8.2", 1,
      { "serialized_headers", "support_datagram_v2", "support_quic_eof", "management_logs", "allow_remote_config" } },
    { "03b-rx-registerConnection-2022.12.1", "b3f392b6-b9b7-48b8-a688-c86b416e1e60", "2022.12.1", 1,
      { "allow_remote_config", "serialized_headers", "support_datagram_v2", "support_quic_eof" } },
    { "03c-rx-registerConnection-2024.12.2", "fbe79444-3bb7-465f-87b5-2bd2ea05865a", "2024.12.2", 1,
      { "support_datagram_v2", "support_quic_eof", "management_logs", "allow_remote_config", "serialized_headers" } },
};

static void assert_registration(const struct registration_row *row)
{
    const struct rpc_registration *r = &m.registration;
    assert_slice(r->account, "0123456789abcdef0123456789abcdef");
    assert_slice(r->secret, "SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS");
    assert_uuid(r->tunnel, "6f1d2c3b-4a59-4867-9786-a5b4c3d2e1f0");
    assert_uuid(r->connector, row->connector);
    assert_slice(r->version, row->version);
    assert_slice(r->arch, "linux_amd64");
    unsigned n = 0;
    for (; row->features[n]; n++)
        assert_slice(r->features[n], row->features[n]);
    assert_int_equal(r->n_features, n);
    assert_true(slice_eq(r->origin_ip, SLICE(LOOPBACK)));
    assert_int_equal(r->connection, 0);
    assert_int_equal(r->attempts, 0);
    assert_false(r->replace_existing);
}

static void registrations_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof registrations / sizeof *registrations; i++) {
        read_fixture(registrations[i].name);
        assert_int_equal(m.kind, RPC_KIND_CALL);
        assert_int_equal(m.method, RPC_METHOD_REGISTER);
        assert_int_equal(m.question, registrations[i].question);
        assert_int_equal(m.target, RPC_TARGET_ANSWER);
        assert_int_equal(m.target_id, 0);
        assert_false(m.target_transformed);
        assert_false(m.results_elsewhere);
        assert_registration(&registrations[i]);
        fixture_free(bytes);
    }
}

static void other_calls_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum rpc_method method;
        enum rpc_target target;
        size_t configuration;
    } rows[] = {
        { "06-rx-updateLocalConfiguration", RPC_METHOD_CONFIGURATION, RPC_TARGET_ANSWER, 611 },
        { "06b-rx-updateLocalConfiguration-promised", RPC_METHOD_CONFIGURATION, RPC_TARGET_ANSWER, 611 },
        { "13-rx-unregisterConnection", RPC_METHOD_UNREGISTER, RPC_TARGET_CAPABILITY, 0 },
        { "13b-rx-unregisterConnection-promised", RPC_METHOD_UNREGISTER, RPC_TARGET_ANSWER, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        read_fixture(rows[i].name);
        assert_int_equal(m.kind, RPC_KIND_CALL);
        assert_int_equal(m.question, 1);
        assert_int_equal(m.method, rows[i].method);
        assert_int_equal(m.target, rows[i].target);
        assert_int_equal(m.target_id, 0);
        assert_int_equal(m.configuration.n, rows[i].configuration);
        if (m.configuration.n) {
            assert_memory_equal(m.configuration.p, "{\"__configuration_flags\":{\"loglevel\":\"info\"", 43);
            assert_memory_equal(m.configuration.p + m.configuration.n - 19, ",\"warp-routing\":{}}", 19);
        }
        fixture_free(bytes);
    }
}

static void the_rest_is_read(void **state)
{
    (void)state;
    read_fixture("05-rx-finish-keepcaps");
    assert_int_equal(m.kind, RPC_KIND_FINISH);
    assert_int_equal(m.question, 1);
    assert_false(m.release_results);
    fixture_free(bytes);

    read_fixture("16-rx-finish-releasecaps");
    assert_int_equal(m.kind, RPC_KIND_FINISH);
    assert_int_equal(m.question, 1);
    assert_true(m.release_results);
    fixture_free(bytes);

    read_fixture("14-rx-release");
    assert_int_equal(m.kind, RPC_KIND_RELEASE);
    assert_int_equal(m.capability, 0);
    assert_int_equal(m.count, 1);
    fixture_free(bytes);

    read_fixture("15-rx-abort-shutdown");
    assert_int_equal(m.kind, RPC_KIND_ABORT);
    assert_slice(m.reason, "rpc: shutdown");
    fixture_free(bytes);
}

static char room[RPC_WRITTEN_MAX];
static struct bounded out;

static void assert_fixture(const char *name, bool written)
{
    struct slice expected = fixture_read(name);
    assert_true(written);
    if (out.n != expected.n || memcmp(out.p, expected.p, out.n) != 0)
        fail_msg("%s is written otherwise", name);
    fixture_free(expected);
    out.n = 0;
}

static void what_we_say_is_written_to_the_byte(void **state)
{
    (void)state;
    out = (struct bounded){ .p = room, .size = sizeof room };
    struct rpc_connection accepted = { "\xa7\x22\xad\x9e\x99\x70\x4c\x8c\xa9\xdd\xf9\xb5\xcb\xe1\x76\x10", SLICE("poc01"), false };
    struct rpc_connection managed = { "\xc6\xc0\x1d\x56\x45\x1c\x4d\x1e\xb3\x9d\xf0\x5e\x64\x2b\x4d\xd7", SLICE("poc01"), true };
    struct rpc_refusal permanent = { SLICE("Unauthorized: Invalid tunnel secret"), false, 0 };
    struct rpc_refusal busy = { SLICE("edge is busy"), true, INT64_C(3000000000) };
    struct rpc_refusal duplicate = { SLICE("EDUPCONN"), false, 0 };
    assert_fixture("02-tx-return-bootstrap", rpc_write_bootstrap(&out, 0, 0));
    assert_fixture("04-tx-return-register-ok", rpc_write_accepted(&out, 1, &accepted));
    assert_fixture("04b-tx-return-register-ok-remotely-managed", rpc_write_accepted(&out, 1, &managed));
    assert_fixture("07-tx-return-empty", rpc_write_empty(&out, 1));
    assert_fixture("08-tx-return-register-error-permanent", rpc_write_refused(&out, 1, &permanent));
    assert_fixture("09-tx-return-register-error-retryafter", rpc_write_refused(&out, 1, &busy));
    assert_fixture("10-tx-return-register-error-edupconn", rpc_write_refused(&out, 1, &duplicate));
    assert_fixture("11-tx-return-exception", rpc_write_exception(&out, 1, RPC_EXCEPTION_FAILED, SLICE("internal failure")));
    assert_fixture("12-tx-abort", rpc_write_abort(&out, SLICE("edge abort")));
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char text[RPC_REASON_MAX * 2];
    struct slice s = { text, sizeof text };
    memset(text, 'x', sizeof text);
    out = (struct bounded){ .p = room, .size = sizeof room };
    assert_true(rpc_write_abort(&out, s));
    assert_int_equal(out.n, 48 + RPC_REASON_MAX + 8);
    assert_null(rpc_message_read((struct slice){ out.p, out.n }, &m));
    assert_int_equal(m.reason.n, RPC_REASON_MAX);
    out.n = 0;
    assert_true(rpc_write_refused(&out, 1, &(struct rpc_refusal){ .cause = s }));
    out.n = 0;
    assert_true(rpc_write_exception(&out, 1, RPC_EXCEPTION_FAILED, s));
    out.n = 0;
    assert_true(rpc_write_accepted(&out, 1, &(struct rpc_connection){ .location = s }));
    assert_int_equal(out.n, 136 + RPC_WORD_MAX + 8);
}

/* Of what has no room nothing is written, and what stands in the buffer stays. */
static void writing_without_room_fails(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 104; size++) {
        char *p = malloc(size ? size : 1);
        struct bounded small = { .p = p, .size = size };
        size_t begin = size < 8 ? size : 8;
        memset(p, 'x', size);
        small.n = begin;
        bool written = rpc_write_bootstrap(&small, 0, 0);
        assert_int_equal(written, size >= 8 + 96);
        assert_int_equal(small.n, written ? 8 + 96 : begin);
        for (size_t i = 0; i < begin; i++)
            assert_int_equal(p[i], 'x');
        free(p);
    }
}

/* The wrapped message begins with the old root's pointer, two words on. */
static void unknown_messages_are_sent_back(void **state)
{
    (void)state;
    static const char *const names[] = { "14-rx-release", "13-rx-unregisterConnection", "15-rx-abort-shutdown" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct slice message = fixture_read(names[i]);
        out = (struct bounded){ .p = room, .size = sizeof room };
        assert_true(rpc_write_unimplemented(&out, message));
        assert_int_equal(out.n, message.n + 24);
        assert_memory_equal(out.p + 8, "\0\0\0\0\1\0\1\0" "\0\0\0\0\0\0\0\0" "\4\0\0\0\1\0\1\0", 24);
        assert_memory_equal(out.p + 32, message.p + 8, message.n - 8);
        assert_null(rpc_message_read((struct slice){ out.p, out.n }, &m));
        assert_int_equal(m.kind, RPC_KIND_UNASKED);
        fixture_free(message);
    }
    struct slice large = fixture_read("03-rx-registerConnection");
    out.n = 0;
    assert_false(rpc_write_unimplemented(&out, large));
    assert_false(rpc_write_unimplemented(&out, SLICE("\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"))); /* two segments */
    assert_false(rpc_write_unimplemented(&out, SLICE("\0\0\0\0\2\0\0\0\12\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"))); /* a far root */
    assert_int_equal(out.n, 0);
    fixture_free(large);
}

/* Cut after every word, with a framing that agrees. Only the last word, of an empty table of capabilities, is nothing that we
 * read. */
static void cut_messages_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "03-rx-registerConnection", "06-rx-updateLocalConfiguration", "13-rx-unregisterConnection" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct slice whole = fixture_read(names[i]);
        size_t enough = whole.n / 8 - 2;
        for (size_t words = 0; words <= enough; words++) {
            size_t n = 8 + words * 8;
            char *copy = malloc(n);
            memcpy(copy, whole.p, n);
            copy[4] = (char)words;
            copy[5] = (char)(words >> 8);
            const char *wrong = rpc_message_read((struct slice){ copy, n }, &m);
            free(copy);
            if ((wrong == NULL) != (words == enough))
                fail_msg("%s, %zu words of it: %s", names[i], words, wrong ? wrong : "taken");
        }
        fixture_free(whole);
    }
}

/* A registration with one word changed. */
static void hostile_registrations_are_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned at;
        const char *word, *wrong;
    } rows[] = {
        { 0x098, "\x31\0\0\0\x7a\0\0\0", "an id that is not 16 bytes long" },       /* tunnel: 15 */
        { 0x098, "\0\0\0\0\0\0\0\0", "an id that is not 16 bytes long" },           /* none */
        { 0x098, "\x31\0\0\0\x8a\0\0\0", "a text or data too long" },               /* 17 */
        { 0x128, "\x0d\0\0\0\x7a\0\0\0", "an id that is not 16 bytes long" },       /* connector */
        { 0x0a8, "\x05\0\0\0\x12\x02\0\0", "a text or data too long" },             /* account: 66 */
        { 0x0a8, "\x05\0\0\0\x02\x01\0\0", "a text not ended by its only NUL" },    /* 32 of the 33 */
        { 0x0a8, "\x05\0\0\0\x12\x01\0\0", "a text not ended by its only NUL" },    /* 34 */
        { 0x0a8, "\x05\0\0\0\x02\0\0\0", "a text not ended by its only NUL" },      /* 0 */
        { 0x0b8, "ab\ndefgh", "a text that is not printable ASCII" },
        { 0x0b8, "ab\0defgh", "a text not ended by its only NUL" },
        { 0x0b8, "ab\xc3\xa9" "efgh", "a text that is not printable ASCII" },
        { 0x1f0, "2026.8\x7f\x31", "a text that is not printable ASCII" },          /* version */
        { 0x0b0, "\x15\0\0\0\x0a\x04\0\0", "a text or data too long" },             /* secret: 129 */
        { 0x120, "\x75\0\0\0\x7a\0\0\0", "an IP address that is not 4 or 16 bytes long" },
        { 0x130, "\x11\0\0\0\x0e\x01\0\0", "a list too long" },                     /* features: 33 */
        { 0x130, "\x11\0\0\0\x2a\0\0\0", "a list of other elements than structs or pointers" },
        { 0x160, "\xfd\xff\xff\xff\x92\0\0\0", "a text not ended by its only NUL" },    /* a feature that is its own pointer */
        { 0x130, "\x10\0\0\0\x01\0\x01\0", "a pointer of another kind than expected" },
        { 0x138, "\x59\0\0\0\x4a\x1f\0\0", "a text or data too long" },
        { 0x140, "\x5d\x01\0\0\x62\0\0\0", "a pointer leads out of its segment" },
        { 0x140, "\x5d\0\0\x80\x62\0\0\0", "a pointer leads out of its segment" },
        { 0x140, "\x03\0\0\0\0\0\0\0", "a pointer of another kind than expected" }, /* a capability */
        { 0x140, "\x02\0\0\0\x01\0\0\0", "a far pointer into a segment that does not exist" },
        { 0x140, "\x8a\x01\0\0\0\0\0\0", "a far pointer to a far pointer" },        /* lands on itself … */
        { 0x118, "\xfc\xff\xff\xff\0\0\xff\xff", "a pointer leads out of its segment" },
    };
    struct slice whole = fixture_read("03-rx-registerConnection");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *copy = malloc(whole.n);
        memcpy(copy, whole.p, whole.n);
        memcpy(copy + rows[i].at, rows[i].word, 8);
        const char *wrong = rpc_message_read((struct slice){ copy, whole.n }, &m);
        if (!wrong || strcmp(wrong, rows[i].wrong) != 0)
            fail_msg("row %zu: %s, not %s", i, wrong ? wrong : "taken", rows[i].wrong);
        free(copy);
    }
    fixture_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bootstrap_is_read),
        cmocka_unit_test(registrations_are_read),
        cmocka_unit_test(other_calls_are_read),
        cmocka_unit_test(the_rest_is_read),
        cmocka_unit_test(what_we_say_is_written_to_the_byte),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(writing_without_room_fails),
        cmocka_unit_test(unknown_messages_are_sent_back),
        cmocka_unit_test(cut_messages_are_refused),
        cmocka_unit_test(hostile_registrations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
