/* The stand-in for cloudflared writes what cloudflared was captured writing, byte for byte, and understands the answers. */
#include "tests/sim/connector/rpc.h"
#include "tests/unit/edge_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { QUESTION = 1 };

static const struct rpc_target promised = { .imported = false }, imported = { .imported = true, .capability = 0 };
static const char *const features[] = { "serialized_headers", "support_datagram_v2", "support_quic_eof", "management_logs",
                                        "allow_remote_config", NULL };

/* --- writing --- */

static void assert_captured(struct bytes *written, const char *name)
{
    struct slice captured = fixture_read(name);
    if (!slice_eq(bytes_slice(written), captured))
        fail_msg("%s was written in another way", name);
    fixture_free(captured);
    bytes_clear(written);
}

static void test_registration(void **state)
{
    (void)state;
    struct bytes out = { 0 };
    struct slice captured = fixture_read("03-rx-registerConnection");
    struct rpc_hello hello = { .account = SLICE("0123456789abcdef0123456789abcdef"),
                               .secret = SLICE("SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS"), .version = SLICE("2026.8.2"),
                               .arch = SLICE("linux_amd64"), .features = features };
    memcpy(hello.tunnel, captured.p + 0x100, RPC_ID);
    memcpy(hello.connector, captured.p + 0x148, RPC_ID);
    memcpy(hello.origin_ip, captured.p + 0x210, sizeof hello.origin_ip);
    fixture_free(captured);
    rpc_add_register(&out, QUESTION, promised, &hello);
    assert_captured(&out, "03-rx-registerConnection");
}

/* The text within a captured call stands at the end, before the table of capabilities. */
static void check_local_configuration(const char *name, size_t at, size_t n)
{
    struct bytes out = { 0 };
    struct slice captured = fixture_read(name);
    rpc_add_local_configuration(&out, QUESTION, promised, (struct slice){ captured.p + at, n });
    fixture_free(captured);
    assert_captured(&out, name);
}

static void test_local_configuration(void **state)
{
    (void)state;
    check_local_configuration("06b-rx-updateLocalConfiguration-promised", 0x90, 0x263);
    check_local_configuration("06-rx-updateLocalConfiguration", 0x90, 0x263);
}

static void test_small_messages(void **state)
{
    (void)state;
    struct bytes out = { 0 };
    rpc_add_bootstrap(&out, 0);
    assert_captured(&out, "01-rx-bootstrap");
    rpc_add_finish(&out, QUESTION, false);
    assert_captured(&out, "05-rx-finish-keepcaps");
    rpc_add_finish(&out, QUESTION, true);
    assert_captured(&out, "16-rx-finish-releasecaps");
    rpc_add_unregister(&out, QUESTION, imported);
    assert_captured(&out, "13-rx-unregisterConnection");
    rpc_add_unregister(&out, QUESTION, promised);
    assert_captured(&out, "13b-rx-unregisterConnection-promised");
    rpc_add_release(&out, 0);
    assert_captured(&out, "14-rx-release");
    rpc_add_abort(&out, "rpc: shutdown");
    assert_captured(&out, "15-rx-abort-shutdown");
}

/* --- reading --- */

static struct rpc_answer take(struct bytes *in, const char *name)
{
    struct slice bytes = fixture_read(name);
    struct rpc_answer answer;
    const char *wrong;
    bytes_clear(in);
    bytes_add(in, bytes);
    fixture_free(bytes);
    assert_true(rpc_take(in, QUESTION, &answer, &wrong));
    assert_null(wrong);
    assert_int_equal(bytes_length(in), 0);
    return answer;
}

static void assert_text(struct slice text, const char *expected)
{
    assert_true(slice_eq(text, slice_of(expected)));
}

static void test_answers(void **state)
{
    (void)state;
    struct bytes in = { 0 };
    struct rpc_answer a = take(&in, "02-tx-return-bootstrap");
    assert_true(a.kind == RPC_RESULTS && a.question == 0 && a.has_capability && a.capability == 0);
    a = take(&in, "04-tx-return-register-ok");
    assert_true(a.kind == RPC_RESULTS && a.question == QUESTION && !a.refused && !a.remotely_managed);
    assert_text(a.location, "poc01");
    assert_true(take(&in, "04b-tx-return-register-ok-remotely-managed").remotely_managed);
    bytes_clear(&in);
}

static void test_refusals(void **state)
{
    (void)state;
    struct bytes in = { 0 };
    static const char *const cases[][2] = { { "08-tx-return-register-error-permanent", "Unauthorized: Invalid tunnel secret" },
                                            { "09-tx-return-register-error-retryafter", "edge is busy" },
                                            { "10-tx-return-register-error-edupconn", "EDUPCONN" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rpc_answer a = take(&in, cases[i][0]);
        assert_true(a.kind == RPC_RESULTS && a.refused);
        assert_text(a.cause, cases[i][1]);
    }
    struct rpc_answer exception = take(&in, "11-tx-return-exception");
    assert_true(exception.kind == RPC_EXCEPTION && exception.question == QUESTION);
    assert_text(exception.reason, "internal failure");
    struct rpc_answer abort = take(&in, "12-tx-abort");
    assert_true(abort.kind == RPC_ABORT);
    assert_text(abort.reason, "edge abort");
    bytes_clear(&in);
}

/* All that an edge wrote on a control stream, byte by byte. */
static void test_a_session_in_pieces(void **state)
{
    (void)state;
    struct slice stream = fixture_control_stream("session-tx", 24);
    struct bytes in = { 0 };
    struct rpc_answer answer;
    const char *wrong;
    unsigned answers = 0;
    for (size_t i = 0; i < stream.n; i++) {
        bytes_add(&in, (struct slice){ stream.p + i, 1 });
        while (rpc_take(&in, UINT32_MAX, &answer, &wrong)) {
            assert_int_equal(answer.kind, RPC_RESULTS);
            answers++;
        }
        assert_null(wrong);
    }
    assert_int_equal(answers, 4); /* registered, bootstrap, rules taken, unregistered */
    bytes_clear(&in);
    fixture_free(stream);
}

static void test_what_is_no_message(void **state)
{
    (void)state;
    struct bytes in = { 0 };
    struct rpc_answer answer;
    const char *wrong;
    bytes_add(&in, SLICE("\xff\xff\xff\xff\xff\xff\xff\xff"));
    assert_false(rpc_take(&in, QUESTION, &answer, &wrong));
    assert_non_null(wrong);
    bytes_clear(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registration), cmocka_unit_test(test_local_configuration), cmocka_unit_test(test_small_messages),
        cmocka_unit_test(test_answers),      cmocka_unit_test(test_refusals),            cmocka_unit_test(test_a_session_in_pieces),
        cmocka_unit_test(test_what_is_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
