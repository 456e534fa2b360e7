/* The conversation with a connector: a captured session in every cut, answers in and out of turn, and connectors that misbehave. */
#include "edge/capnp.h"
#include "edge/rpc.h"
#include "tests/unit/edge_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* --- a session under test: what goes in, what was told, what comes out --- */

static struct rpc rpc;
static struct rpc_event event;
static char out_room[RPC_OUT_SIZE];
static struct bounded out;
static struct slice rest; /* of the input that was fed last */
static char *fed;

static void start(void)
{
    rpc_clear(&rpc);
    rpc = (struct rpc){ 0 };
    out = (struct bounded){ .p = out_room, .size = sizeof out_room };
    free(fed);
    fed = NULL;
    rest = SLICE("");
}

static int stop(void **state)
{
    (void)state;
    start();
    return 0;
}

/* From memory of exactly the size. */
static enum rpc_event_type feed(struct slice bytes)
{
    free(fed);
    fed = malloc(bytes.n ? bytes.n : 1);
    memcpy(fed, bytes.p, bytes.n);
    rest = (struct slice){ fed, bytes.n };
    return rpc_read(&rpc, &rest, &out, &event);
}

static enum rpc_event_type feed_fixture(const char *name)
{
    struct slice bytes = fixture_read(name);
    enum rpc_event_type type = feed(bytes);
    fixture_free(bytes);
    return type;
}

static void assert_sent(const char *name)
{
    struct slice expected = fixture_read(name);
    if (out.n != expected.n || memcmp(out.p, expected.p, out.n) != 0)
        fail_msg("%s was not sent", name);
    fixture_free(expected);
    out.n = 0;
}

static void assert_over(enum rpc_end end)
{
    struct slice more = SLICE("more");
    assert_int_equal(rpc.state, RPC_ENDED);
    if (rpc.end != end)
        fail_msg("ended as %s (%s), not %s", rpc_end_code(rpc.end), rpc.detail, rpc_end_code(end));
    assert_int_equal(rpc_read(&rpc, &more, &out, &event), RPC_OVER);
    assert_int_equal(more.n, 0);
}

/* What was sent last, as the other side would read it. */
static struct rpc_message last_sent(void)
{
    struct rpc_message m;
    uint64_t size;
    size_t at = 0;
    for (;;) {
        assert_null(capnp_frame_size(out.p + at, out.n - at, &size));
        assert_true(at + size <= out.n);
        if (at + size == out.n)
            break;
        at += (size_t)size;
    }
    assert_null(rpc_message_read((struct slice){ out.p + at, (size_t)size }, &m));
    return m;
}

static void assert_aborted(enum rpc_end end, const char *reason)
{
    struct rpc_message m = last_sent();
    assert_over(end);
    assert_int_equal(m.kind, RPC_KIND_ABORT);
    if (!slice_eq(m.reason, slice_of(reason)))
        fail_msg("aborted for '%.*s', not '%s'", SLICE_ARG(m.reason), reason);
}

/* The tag and the reason of an answer, if it is an exception (rpc.capnp, Return). */
static void assert_exception(uint32_t question, uint16_t type, const char *reason)
{
    struct capnp_message m;
    struct capnp_struct root = capnp_open(&m, (struct slice){ out.p, out.n }), answer = capnp_struct_at(&root, 0);
    assert_int_equal(capnp_u16(&root, 0), 3);
    assert_int_equal(capnp_u32(&answer, 0), question);
    assert_int_equal(capnp_u16(&answer, 6), 1);
    struct capnp_struct exception = capnp_struct_at(&answer, 0);
    assert_int_equal(capnp_u16(&exception, 4), type);
    assert_true(slice_eq(capnp_text_at(&exception, 0, RPC_REASON_MAX), slice_of(reason)));
    out.n = 0;
}

static const struct rpc_connection connection = {
    "\xa7\x22\xad\x9e\x99\x70\x4c\x8c\xa9\xdd\xf9\xb5\xcb\xe1\x76\x10", SLICE("poc01"), false
};

static void start_registered(void)
{
    start();
    assert_int_equal(feed_fixture("01-rx-bootstrap"), RPC_MORE);
    assert_int_equal(feed_fixture("03-rx-registerConnection"), RPC_REGISTER);
    assert_true(rpc_accept(&rpc, event.question, &connection, &out));
    assert_int_equal(feed_fixture("05-rx-finish-keepcaps"), RPC_MORE);
    out.n = 0;
}

/* --- messages made here, other than the captured ones --- */

static char made_room[64 * 1024];
static struct capnp_builder made;

static struct capnp_place make(unsigned tag, unsigned data_words, unsigned n_pointers)
{
    struct capnp_place root = capnp_build(&made, made_room, sizeof made_room, 1, 1);
    capnp_set_u16(&made, root, 0, (uint16_t)tag);
    return capnp_add_struct(&made, root, 0, data_words, n_pointers);
}

static enum rpc_event_type feed_made(void)
{
    size_t n = capnp_finish(&made);
    assert_true(n > 0);
    return feed((struct slice){ made_room, n });
}

static enum rpc_event_type feed_bootstrap(uint32_t question)
{
    capnp_set_u32(&made, make(8, 1, 1), 0, question);
    return feed_made();
}

static enum rpc_event_type feed_finish(uint32_t question, bool release_results)
{
    struct capnp_place finish = make(4, 1, 0);
    capnp_set_u32(&made, finish, 0, question);
    if (!release_results)
        capnp_set_bit(&made, finish, 32);
    return feed_made();
}

static enum rpc_event_type feed_release(uint32_t capability, uint32_t count)
{
    struct capnp_place release = make(6, 1, 0);
    capnp_set_u32(&made, release, 0, capability);
    capnp_set_u32(&made, release, 4, count);
    return feed_made();
}

struct call {
    uint32_t question;
    uint16_t method, results_to;
    uint64_t interface;   /* 0: the right one */
    uint16_t target_tag;
    uint32_t target;
    bool transformed;
    size_t configuration; /* its size */
};

static enum rpc_event_type feed_call(const struct call *c)
{
    static char json[sizeof made_room];
    struct capnp_place call = make(2, 3, 3), target = capnp_add_struct(&made, call, 0, 1, 1);
    capnp_set_u32(&made, call, 0, c->question);
    capnp_set_u16(&made, call, 4, c->method);
    capnp_set_u16(&made, call, 6, c->results_to);
    capnp_set_u64(&made, call, 8, c->interface ? c->interface : UINT64_C(0xf71695ec7fe85497));
    capnp_set_u16(&made, target, 4, c->target_tag);
    if (c->target_tag == 1) {
        struct capnp_place answer = capnp_add_struct(&made, target, 0, 1, 1);
        capnp_set_u32(&made, answer, 0, c->target);
        if (c->transformed)
            capnp_add_list_of_one(&made, answer, 0, 1, 0);
    } else {
        capnp_set_u32(&made, target, 0, c->target);
    }
    struct capnp_place payload = capnp_add_struct(&made, call, 1, 0, 2), params = capnp_add_struct(&made, payload, 0, 0, 1);
    if (c->configuration)
        capnp_add_data(&made, params, 0, (struct slice){ json, c->configuration });
    return feed_made();
}

enum { REGISTER, UNREGISTER, CONFIGURATION }; /* methods */

/* --- a whole captured session --- */

/* What a connector does and is told, as a text. */
struct transcript {
    char text[4096];
    size_t n;
};

static void note(struct transcript *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct transcript *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(t->text + t->n, sizeof t->text - t->n, format, arguments);
    va_end(arguments);
    assert_true(n >= 0 && t->n + (size_t)n < sizeof t->text);
    t->n += (size_t)n;
}

static void note_registration(struct transcript *t)
{
    const struct rpc_registration *r = &event.registration;
    note(t, "register %u: account %.*s secret %.*s connection %u attempts %u version %.*s arch %.*s features", event.question,
         SLICE_ARG(r->account), SLICE_ARG(r->secret), r->connection, r->attempts, SLICE_ARG(r->version), SLICE_ARG(r->arch));
    for (unsigned i = 0; i < r->n_features; i++)
        note(t, " %.*s", SLICE_ARG(r->features[i]));
    note(t, "\n");
}

/* Answers as the captured edge did. */
static void answer(struct transcript *t, enum rpc_event_type type)
{
    static const struct rpc_connection captured = {
        "\x2b\x90\x4e\x1c\x77\x5d\x4a\x0b\x83\xf6\x10\x9c\xd2\x5e\xb7\x41", SLICE("poc01"), false
    };
    switch (type) {
    case RPC_REGISTER:
        note_registration(t);
        assert_true(rpc_accept(&rpc, event.question, &captured, &out));
        break;
    case RPC_CONFIGURATION:
        note(t, "configuration %u: %.*s\n", event.question, SLICE_ARG(event.configuration));
        assert_true(rpc_done(&rpc, event.question, &out));
        break;
    case RPC_UNREGISTER:
        note(t, "unregister %u\n", event.question);
        assert_true(rpc_done(&rpc, event.question, &out));
        break;
    case RPC_OVER:
        note(t, "over: %s, %s\n", rpc_end_code(rpc.end), rpc.detail);
        break;
    case RPC_MORE:
        break;
    }
}

static void converse(struct transcript *t, struct slice session, size_t first, size_t step)
{
    start();
    t->n = 0;
    for (size_t at = 0, n = first; at < session.n; at += n, n = step) {
        n = n < session.n - at ? n : session.n - at;
        enum rpc_event_type type = feed((struct slice){ session.p + at, n });
        for (answer(t, type); type != RPC_MORE && type != RPC_OVER; answer(t, type))
            type = rpc_read(&rpc, &rest, &out, &event);
        assert_int_equal(rest.n, 0);
    }
}

static void a_captured_session_is_the_same_in_every_cut(void **state)
{
    (void)state;
    static struct transcript whole, again;
    static char sent[RPC_OUT_SIZE];
    struct slice session = fixture_control_stream("session-rx", 0);
    converse(&whole, session, session.n, 1);
    size_t n_sent = out.n;
    memcpy(sent, out.p, out.n);
    assert_int_equal(session.n, 48 + 552 + 40 + 768 + 40 + 40 + 120 + 40 + 40 + 64);
    assert_int_equal(n_sent, 96 + 144 + 72 + 72);
    const char *expected = "register 1: account 0123456789abcdef0123456789abcdef secret SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS "
                           "connection 0 attempts 0 version 2026.8.2 arch linux_amd64 features";
    assert_memory_equal(whole.text, expected, strlen(expected));
    assert_non_null(strstr(whole.text, "\nconfiguration 1: {\"__configuration_flags\":"));
    const char *end = "{}}\nunregister 1\nover: connector, rpc: shutdown\n";
    assert_string_equal(whole.text + whole.n - strlen(end), end);
    for (size_t cut = 0; cut <= session.n; cut++) {
        converse(&again, session, cut, cut ? session.n : 1);
        if (strcmp(whole.text, again.text) != 0 || out.n != n_sent || memcmp(out.p, sent, n_sent) != 0)
            fail_msg("cut at %zu:\n%s", cut, again.text);
    }
    for (size_t step = 2; step < 64; step++) {
        converse(&again, session, step, step);
        assert_string_equal(whole.text, again.text);
        assert_int_equal(out.n, n_sent);
    }
    fixture_free(session);
}

/* The captured edge answered the registration before the bootstrap; otherwise each byte is the same, the connection's id apart. */
static void the_captured_edge_said_the_same(void **state)
{
    (void)state;
    static struct transcript t;
    struct slice session = fixture_control_stream("session-rx", 0), theirs = fixture_control_stream("session-tx", 24);
    converse(&t, session, session.n, 1);
    assert_int_equal(out.n, theirs.n);
    assert_memory_equal(out.p, theirs.p + 144, 96);
    memcpy(out.p + 96 + 0x78, theirs.p + 0x78, UUID_SIZE);
    assert_memory_equal(out.p + 96, theirs.p, 144);
    assert_memory_equal(out.p + 240, theirs.p + 240, 144);
    fixture_free(session);
    fixture_free(theirs);
}

/* --- answers --- */

static void answers_are_those_of_the_fixtures(void **state)
{
    (void)state;
    start();
    assert_int_equal(feed_fixture("01-rx-bootstrap"), RPC_MORE);
    assert_sent("02-tx-return-bootstrap");
    assert_int_equal(feed_fixture("03-rx-registerConnection"), RPC_REGISTER);
    assert_int_equal(out.n, 0);
    assert_int_equal(rpc.state, RPC_REGISTERING);
    assert_true(rpc_accept(&rpc, event.question, &connection, &out));
    assert_sent("04-tx-return-register-ok");
    assert_int_equal(rpc.state, RPC_REGISTERED);
    assert_int_equal(feed_fixture("05-rx-finish-keepcaps"), RPC_MORE);
    assert_int_equal(feed_fixture("06-rx-updateLocalConfiguration"), RPC_CONFIGURATION);
    assert_true(rpc_done(&rpc, event.question, &out));
    assert_sent("07-tx-return-empty");
    assert_int_equal(feed_fixture("16-rx-finish-releasecaps"), RPC_MORE);
    assert_int_equal(feed_fixture("06b-rx-updateLocalConfiguration-promised"), RPC_CONFIGURATION);
    assert_true(rpc_fail(&rpc, event.question, SLICE("internal failure"), &out));
    assert_sent("11-tx-return-exception");
    assert_int_equal(feed_fixture("16-rx-finish-releasecaps"), RPC_MORE);
    assert_int_equal(feed_fixture("13b-rx-unregisterConnection-promised"), RPC_UNREGISTER);
    assert_int_equal(rpc.state, RPC_UNREGISTERED);
    assert_true(rpc_done(&rpc, event.question, &out));
    assert_sent("07-tx-return-empty");
    assert_int_equal(feed_fixture("05-rx-finish-keepcaps"), RPC_MORE);
    assert_int_equal(feed_fixture("14-rx-release"), RPC_MORE);
    assert_int_equal(feed_fixture("15-rx-abort-shutdown"), RPC_OVER);
    assert_over(RPC_END_CONNECTOR);
    assert_string_equal(rpc.detail, "rpc: shutdown");
    assert_int_equal(out.n, 0);
}

static void a_registration_can_be_refused(void **state)
{
    (void)state;
    static const struct {
        const char *fixture;
        struct rpc_refusal refusal;
    } rows[] = {
        { "08-tx-return-register-error-permanent", { SLICE("Unauthorized: Invalid tunnel secret"), false, 0 } },
        { "09-tx-return-register-error-retryafter", { SLICE("edge is busy"), true, INT64_C(3000000000) } },
        { "10-tx-return-register-error-edupconn", { SLICE("EDUPCONN"), false, 0 } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        start();
        feed_fixture("01-rx-bootstrap");
        assert_int_equal(feed_fixture("03c-rx-registerConnection-2024.12.2"), RPC_REGISTER);
        out.n = 0;
        assert_true(rpc_refuse(&rpc, event.question, &rows[i].refusal, &out));
        assert_sent(rows[i].fixture);
        assert_int_equal(rpc.state, RPC_REFUSED);
        assert_false(rpc_accept(&rpc, event.question, &connection, &out));
        assert_int_equal(feed_fixture("05-rx-finish-keepcaps"), RPC_MORE);
        assert_int_equal(feed_fixture("03-rx-registerConnection"), RPC_MORE);
        assert_exception(1, 0, "this session has had its registration");
    }
    start();
    feed_fixture("01-rx-bootstrap");
    assert_int_equal(feed_fixture("03b-rx-registerConnection-2022.12.1"), RPC_REGISTER);
    out.n = 0;
    assert_true(rpc_fail(&rpc, event.question, SLICE("internal failure"), &out));
    assert_sent("11-tx-return-exception");
    assert_int_equal(rpc.state, RPC_REFUSED);
}

/* Nothing is answered twice, nor with what doesn't fit the question. */
static void answers_must_fit_the_question(void **state)
{
    (void)state;
    start();
    struct rpc_refusal refusal = { SLICE("no"), false, 0 };
    assert_false(rpc_accept(&rpc, 0, &connection, &out));
    feed_fixture("01-rx-bootstrap");
    feed_fixture("03-rx-registerConnection");
    out.n = 0;
    assert_false(rpc_done(&rpc, 1, &out));
    assert_false(rpc_accept(&rpc, 0, &connection, &out));
    assert_false(rpc_fail(&rpc, 0, SLICE("no"), &out));
    assert_false(rpc_refuse(&rpc, 2, &refusal, &out));
    assert_true(rpc_accept(&rpc, 1, &connection, &out));
    out.n = 0;
    assert_false(rpc_accept(&rpc, 1, &connection, &out));
    assert_false(rpc_refuse(&rpc, 1, &refusal, &out));
    assert_false(rpc_fail(&rpc, 1, SLICE("no"), &out));
    feed_fixture("05-rx-finish-keepcaps");
    assert_int_equal(feed_fixture("13-rx-unregisterConnection"), RPC_UNREGISTER);
    assert_false(rpc_accept(&rpc, 1, &connection, &out));
    assert_false(rpc_refuse(&rpc, 1, &refusal, &out));
    struct bounded full = { .p = out_room, .size = 71 };
    assert_false(rpc_done(&rpc, 1, &full)); /* and may be tried again */
    assert_int_equal(full.n, 0);
    assert_true(rpc_done(&rpc, 1, &out));
    assert_false(rpc_done(&rpc, 1, &out));
    assert_int_equal(out.n, 72);
}

/* cloudflared waits 5 s for its registration, then finishes the question. */
static void a_question_given_up_is_answered_as_canceled(void **state)
{
    (void)state;
    start();
    feed_fixture("01-rx-bootstrap");
    feed_fixture("03-rx-registerConnection");
    out.n = 0;
    assert_int_equal(feed_fixture("16-rx-finish-releasecaps"), RPC_MORE);
    struct capnp_message m;
    struct capnp_struct root = capnp_open(&m, (struct slice){ out.p, out.n }), canceled = capnp_struct_at(&root, 0);
    assert_int_equal(capnp_u32(&canceled, 0), 1);
    assert_int_equal(capnp_u16(&canceled, 6), 2);
    assert_int_equal(rpc.state, RPC_REFUSED);
    assert_false(rpc_accept(&rpc, 1, &connection, &out));
    start_registered();
    feed_fixture("06-rx-updateLocalConfiguration");
    assert_int_equal(feed_fixture("16-rx-finish-releasecaps"), RPC_MORE);
    assert_false(rpc_done(&rpc, 1, &out));
    assert_int_equal(rpc.state, RPC_REGISTERED);
    assert_int_equal(feed_fixture("06-rx-updateLocalConfiguration"), RPC_CONFIGURATION); /* the id is free again */
}

static void calls_out_of_turn_are_refused(void **state)
{
    (void)state;
    start();
    feed_fixture("01-rx-bootstrap");
    out.n = 0;
    assert_int_equal(feed_fixture("13-rx-unregisterConnection"), RPC_MORE);
    assert_exception(1, 0, "not registered");
    feed_finish(1, true);
    assert_int_equal(feed_fixture("06-rx-updateLocalConfiguration"), RPC_MORE);
    assert_exception(1, 0, "not registered");
    feed_finish(1, true);
    assert_int_equal(feed_fixture("03-rx-registerConnection"), RPC_REGISTER);
    assert_int_equal(feed_call(&(struct call){ .question = 2, .method = UNREGISTER }), RPC_MORE);
    assert_exception(2, 0, "not registered");
    assert_true(rpc_accept(&rpc, 1, &connection, &out));
    out.n = 0;
    assert_int_equal(feed_call(&(struct call){ .question = 3, .method = UNREGISTER }), RPC_UNREGISTER);
    assert_int_equal(feed_call(&(struct call){ .question = 4, .method = UNREGISTER }), RPC_MORE);
    assert_exception(4, 0, "not registered");
    assert_int_equal(feed_call(&(struct call){ .question = 5, .method = CONFIGURATION }), RPC_MORE);
    assert_exception(5, 0, "not registered");
    assert_int_equal(rpc.state, RPC_UNREGISTERED);
}

static void unknown_methods_are_refused(void **state)
{
    (void)state;
    static const struct call calls[] = {
        { .question = 7, .method = 3 },
        { .question = 7, .method = 0xffff },
        { .question = 7, .method = REGISTER, .interface = UINT64_C(0xea58385c65416035) },
        { .question = 7, .method = REGISTER, .interface = 1, .target_tag = 1 },
    };
    start_registered();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_int_equal(feed_call(&calls[i]), RPC_MORE);
        assert_exception(7, 3, "unknown method");
        assert_int_equal(feed_finish(7, true), RPC_MORE);
        assert_int_equal(out.n, 0);
    }
}

static void unknown_messages_are_sent_back(void **state)
{
    (void)state;
    static const unsigned kinds[] = { 5 /* resolve */, 7, 9, 10, 11, 12, 13 /* disembargo */, 14, 0xffff };
    start_registered();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        make(kinds[i], 1, 1);
        assert_int_equal(feed_made(), RPC_MORE);
        assert_int_equal(out.n, made.n + 24);
        assert_int_equal(last_sent().kind, RPC_KIND_UNASKED);
        out.n = 0;
    }
    static const struct call elsewhere[] = { { .question = 9, .method = CONFIGURATION, .results_to = 1 },
                                              { .question = 9, .method = CONFIGURATION, .target_tag = 2 } };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(feed_call(&elsewhere[i]), RPC_MORE);
        assert_int_equal(out.n, made.n + 24);
        out.n = 0;
    }
    assert_int_equal(rpc.n_questions, 1); /* only the bootstrap's */
    struct capnp_place large = make(5, 0, 1);
    capnp_add_data(&made, large, 0, (struct slice){ out_room, RPC_WRITTEN_MAX });
    assert_int_equal(feed_made(), RPC_OVER);
    assert_aborted(RPC_END_UNKNOWN, "a message is of an unknown kind");
}

/* --- references and targets --- */

static void the_capability_lives_as_long_as_it_is_held(void **state)
{
    (void)state;
    start_registered();
    assert_int_equal(feed_finish(0, false), RPC_MORE);
    assert_int_equal(feed_call(&(struct call){ .question = 1, .method = CONFIGURATION }), RPC_CONFIGURATION);
    assert_int_equal(feed_bootstrap(2), RPC_MORE);
    assert_int_equal(feed_release(0, 1), RPC_MORE);
    assert_int_equal(feed_call(&(struct call){ .question = 3, .method = CONFIGURATION }), RPC_CONFIGURATION);
    assert_int_equal(feed_finish(2, true), RPC_MORE);
    assert_int_equal(feed_call(&(struct call){ .question = 4, .method = CONFIGURATION }), RPC_OVER);
    assert_aborted(RPC_END_TARGET, "a call to what was never offered");
}

static void other_targets_end_the_session(void **state)
{
    (void)state;
    static const struct call calls[] = {
        { .question = 2, .method = CONFIGURATION, .target = 1 }, /* a capability that isn't */
        { .question = 2, .method = CONFIGURATION, .target_tag = 1, .target = 9 }, /* the answer to what wasn't asked */
        { .question = 2, .method = CONFIGURATION, .target_tag = 1, .target = 0, .transformed = true }, /* something in it */
        { .question = 2, .method = CONFIGURATION, .target_tag = 1, .target = 1 }, /* the answer to a call */
        { .question = 2, .method = CONFIGURATION, .target_tag = 1, .target = 2 }, /* its own */
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        start_registered();
        assert_int_equal(feed_call(&(struct call){ .question = 1, .method = CONFIGURATION }), RPC_CONFIGURATION);
        assert_int_equal(feed_call(&calls[i]), RPC_OVER);
        assert_aborted(RPC_END_TARGET, "a call to what was never offered");
    }
    start();
    assert_int_equal(feed_fixture("03-rx-registerConnection"), RPC_OVER); /* no bootstrap before it */
    assert_aborted(RPC_END_TARGET, "a call to what was never offered");
}

static void releasing_what_is_not_held_ends_the_session(void **state)
{
    (void)state;
    static const struct {
        uint32_t capability, count;
        bool ends;
    } rows[] = { { 0, 0, false },         { 0, 1, false }, { 0, 2, true },
                 { 0, UINT32_MAX, true }, { 1, 1, true },  { UINT32_MAX, 0, true } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        start_registered();
        assert_int_equal(feed_release(rows[i].capability, rows[i].count), rows[i].ends ? RPC_OVER : RPC_MORE);
        if (rows[i].ends)
            assert_aborted(RPC_END_RELEASE, "a release of what is not held");
    }
}

/* --- bounds --- */

static void questions_are_counted(void **state)
{
    (void)state;
    start();
    for (uint32_t i = 0; i < RPC_QUESTIONS_MAX; i++)
        assert_int_equal(feed_bootstrap(100 + i), RPC_MORE);
    assert_int_equal(feed_bootstrap(1), RPC_OVER);
    assert_aborted(RPC_END_QUESTIONS, "too many questions at once");
    start();
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(feed_bootstrap(i), RPC_MORE);
        assert_int_equal(feed_finish(i, true), RPC_MORE);
        out.n = 0;
    }
    assert_int_equal(rpc.references, 0);
    assert_int_equal(rpc.n_questions, 0);
}

static void ids_of_questions_are_watched(void **state)
{
    (void)state;
    start_registered();
    assert_int_equal(feed_bootstrap(0), RPC_OVER);
    assert_aborted(RPC_END_QUESTION, "the id of a question is in use, or not in use");
    start_registered();
    assert_int_equal(feed_call(&(struct call){ .question = 0, .method = CONFIGURATION }), RPC_OVER);
    assert_aborted(RPC_END_QUESTION, "the id of a question is in use, or not in use");
    start_registered();
    assert_int_equal(feed_call(&(struct call){ .question = 0, .method = 9 }), RPC_OVER);
    assert_aborted(RPC_END_QUESTION, "the id of a question is in use, or not in use");
    start_registered();
    assert_int_equal(feed_finish(1, false), RPC_OVER);
    assert_aborted(RPC_END_QUESTION, "the id of a question is in use, or not in use");
}

static struct slice header(char room[8], uint32_t segments, uint32_t words)
{
    uint32_t fields[2] = { segments - 1, words };
    memcpy(room, fields, 8);
    return (struct slice){ room, 8 };
}

/* Large messages are for those who are registered, and nobody's memory is taken before bytes have come. */
static void messages_are_limited(void **state)
{
    (void)state;
    static const struct {
        bool registered;
        uint32_t segments, words;
        enum rpc_end end; /* RPC_END_NONE: goes on */
        const char *reason;
    } rows[] = {
        { false, 1, RPC_STRANGER_MESSAGE_MAX / 8 - 1, RPC_END_NONE, NULL },
        { false, 1, RPC_STRANGER_MESSAGE_MAX / 8, RPC_END_TOO_LARGE, "a message is too large" },
        { true, 1, RPC_STRANGER_MESSAGE_MAX / 8, RPC_END_NONE, NULL },
        { true, 1, RPC_MESSAGE_MAX / 8 - 1, RPC_END_NONE, NULL },
        { true, 1, RPC_MESSAGE_MAX / 8, RPC_END_TOO_LARGE, "a message is too large" },
        { true, 1, UINT32_MAX, RPC_END_TOO_LARGE, "a message is too large" },
        { false, 17, 1, RPC_END_MALFORMED, "a message is malformed: a message of more than 16 segments" },
        { true, 0, 1, RPC_END_MALFORMED, "a message is malformed: a message of more than 16 segments" },
        { false, 1, 0, RPC_END_MALFORMED, "a message is malformed: a message without a root" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char room[8];
        start();
        if (rows[i].registered)
            start_registered();
        enum rpc_event_type type = feed(header(room, rows[i].segments, rows[i].words));
        if (rows[i].end) {
            assert_int_equal(type, RPC_OVER);
            assert_aborted(rows[i].end, rows[i].reason);
        } else {
            assert_int_equal(type, RPC_MORE);
            assert_true(rpc.partial_size <= 1024);
        }
        assert_int_equal(rest.n, 0);
    }
}

static void a_large_configuration_arrives(void **state)
{
    (void)state;
    static const struct call large = { .question = 1, .method = CONFIGURATION, .configuration = 60000 };
    start_registered();
    assert_int_equal(feed_call(&large), RPC_CONFIGURATION);
    assert_int_equal(event.configuration.n, large.configuration);
    start_registered();
    feed_call(&large); /* for the bytes */
    size_t n = made.n, fed_n = 0;
    start_registered();
    enum rpc_event_type type = RPC_MORE;
    for (size_t step = 1; fed_n < n; fed_n += step, step = step * 2 + 1) {
        assert_int_equal(type, RPC_MORE);
        step = step < n - fed_n ? step : n - fed_n;
        type = feed((struct slice){ made_room + fed_n, step });
    }
    assert_int_equal(type, RPC_CONFIGURATION);
    assert_int_equal(event.configuration.n, large.configuration);
    assert_true(rpc_done(&rpc, event.question, &out));
    assert_int_equal(feed_finish(1, false), RPC_MORE);
    assert_null(rpc.partial); /* nothing is kept between messages */
    start();
    feed_fixture("01-rx-bootstrap");
    assert_int_equal(feed_call(&large), RPC_OVER);
    assert_over(RPC_END_TOO_LARGE);
}

static void answers_that_are_not_taken_end_the_session(void **state)
{
    (void)state;
    start();
    out.size = 96 + 95;
    assert_int_equal(feed_bootstrap(0), RPC_MORE);
    assert_int_equal(feed_bootstrap(1), RPC_OVER);
    assert_over(RPC_END_BACKLOG);
    assert_int_equal(out.n, 96);
    start_registered();
    out.size = 8;
    assert_int_equal(feed_call(&(struct call){ .question = 1, .method = 9 }), RPC_OVER);
    assert_over(RPC_END_BACKLOG);
    assert_int_equal(out.n, 0);
}

/* --- ends --- */

static void malformed_messages_end_the_session(void **state)
{
    (void)state;
    start();
    feed_fixture("01-rx-bootstrap");
    struct slice message = fixture_read("03-rx-registerConnection");
    char *hostile = (char *)message.p;
    hostile[0x98 + 4] = 0x7a; /* a tunnel id of 15 bytes */
    assert_int_equal(feed(message), RPC_OVER);
    assert_aborted(RPC_END_MALFORMED, "a message is malformed: an id that is not 16 bytes long");
    assert_false(rpc_accept(&rpc, 1, &connection, &out));
    fixture_free(message);
}

static void answers_to_us_end_the_session(void **state)
{
    (void)state;
    static const char *const names[] = { "04-tx-return-register-ok", "07-tx-return-empty", "11-tx-return-exception" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        start_registered();
        assert_int_equal(feed_fixture(names[i]), RPC_OVER);
        assert_aborted(RPC_END_UNASKED, "a message answers what was never asked");
    }
}

static void we_can_end_it(void **state)
{
    (void)state;
    start_registered();
    rpc_abort(&rpc, SLICE("edge abort"), &out);
    assert_sent("12-tx-abort");
    assert_over(RPC_END_OURS);
    rpc_abort(&rpc, SLICE("again"), &out);
    assert_int_equal(out.n, 0);
    assert_string_equal(rpc.detail, "edge abort");
}

static void the_stream_can_end(void **state)
{
    (void)state;
    start();
    rpc_read_end(&rpc);
    assert_over(RPC_END_CLOSED);
    start_registered();
    rpc_read_end(&rpc);
    assert_over(RPC_END_CLOSED);
    start();
    assert_int_equal(feed((struct slice){ "\0\0\0\0\5\0\0", 7 }), RPC_MORE);
    rpc_read_end(&rpc);
    assert_over(RPC_END_TRUNCATED);
    start();
    feed_fixture("15-rx-abort-shutdown");
    rpc_read_end(&rpc);
    assert_over(RPC_END_CONNECTOR);
    /* after a message that came in pieces was told */
    start();
    feed_fixture("01-rx-bootstrap");
    struct slice message = fixture_read("03-rx-registerConnection");
    assert_int_equal(feed((struct slice){ message.p, 100 }), RPC_MORE);
    assert_int_equal(feed((struct slice){ message.p + 100, message.n - 100 }), RPC_REGISTER);
    fixture_free(message);
    rpc_read_end(&rpc);
    assert_over(RPC_END_CLOSED);
}

/* What a connector says of its end goes into the log. */
static void reasons_of_connectors_are_made_harmless(void **state)
{
    (void)state;
    char text[RPC_REASON_MAX + 50];
    memset(text, 'x', sizeof text);
    memcpy(text, "a\r\n\033[1m\xff\x7f", 9);
    start_registered();
    capnp_add_text(&made, make(1, 1, 1), 0, (struct slice){ text, sizeof text });
    assert_int_equal(feed_made(), RPC_OVER);
    assert_over(RPC_END_CONNECTOR);
    assert_int_equal(strlen(rpc.detail), RPC_REASON_MAX);
    assert_memory_equal(rpc.detail, "a???[1m??xxx", 12);
}

static void every_end_has_its_words(void **state)
{
    (void)state;
    for (enum rpc_end end = RPC_END_NONE; end < RPC_ENDS; end++) {
        assert_true(strlen(rpc_end_code(end)) > 0 && strlen(rpc_end_text(end)) > 0);
        for (enum rpc_end other = RPC_END_NONE; other < end; other++)
            assert_string_not_equal(rpc_end_code(end), rpc_end_code(other));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_captured_session_is_the_same_in_every_cut),
        cmocka_unit_test(the_captured_edge_said_the_same),
        cmocka_unit_test(answers_are_those_of_the_fixtures),
        cmocka_unit_test(a_registration_can_be_refused),
        cmocka_unit_test(answers_must_fit_the_question),
        cmocka_unit_test(a_question_given_up_is_answered_as_canceled),
        cmocka_unit_test(calls_out_of_turn_are_refused),
        cmocka_unit_test(unknown_methods_are_refused),
        cmocka_unit_test(unknown_messages_are_sent_back),
        cmocka_unit_test(the_capability_lives_as_long_as_it_is_held),
        cmocka_unit_test(other_targets_end_the_session),
        cmocka_unit_test(releasing_what_is_not_held_ends_the_session),
        cmocka_unit_test(questions_are_counted),
        cmocka_unit_test(ids_of_questions_are_watched),
        cmocka_unit_test(messages_are_limited),
        cmocka_unit_test(a_large_configuration_arrives),
        cmocka_unit_test(answers_that_are_not_taken_end_the_session),
        cmocka_unit_test(malformed_messages_end_the_session),
        cmocka_unit_test(answers_to_us_end_the_session),
        cmocka_unit_test(we_can_end_it),
        cmocka_unit_test(the_stream_can_end),
        cmocka_unit_test(reasons_of_connectors_are_made_harmless),
        cmocka_unit_test(every_end_has_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, stop);
}
