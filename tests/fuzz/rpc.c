/* A connector's control stream: where the bytes are cut must not matter to what is told and sent, and what is sent is sound. The first
 * byte says how we answer, the second how the stream is cut. */
#include "edge/capnp.h"
#include "edge/rpc.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_REFUSE = 1, OPTION_FAIL = 2, OPTION_LATE = 4 /* answered at the next event only */, OPTION_SMALL = 8 };
enum { INPUT_MAX = 16384 };

/* A session from begin to end. Of the events it keeps what they said; of the bytes, all. */
struct session {
    struct rpc rpc;
    struct bounded out;
    char sent[INPUT_MAX * 4];
    char told[INPUT_MAX * 2];
    size_t told_n;
    uint32_t late;     /* the question still to be answered */
    enum rpc_event_type late_type; /* RPC_MORE: none */
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void tell(struct session *s, const void *bytes, size_t n)
{
    require(n <= sizeof s->told - s->told_n);
    memcpy(s->told + s->told_n, bytes, n);
    s->told_n += n;
}

static void tell_slice(struct session *s, struct slice text)
{
    tell(s, &text.n, sizeof text.n);
    tell(s, text.p, text.n);
}

static void tell_event(struct session *s, enum rpc_event_type type, const struct rpc_event *e)
{
    tell(s, &type, sizeof type);
    if (type == RPC_REGISTER) {
        tell(s, e->registration.tunnel, UUID_SIZE);
        tell_slice(s, e->registration.account);
        tell_slice(s, e->registration.secret);
        tell_slice(s, e->registration.version);
        for (unsigned i = 0; i < e->registration.n_features; i++)
            tell_slice(s, e->registration.features[i]);
    } else if (type == RPC_CONFIGURATION) {
        tell_slice(s, e->configuration);
    }
}

static void answer(struct session *s, enum rpc_event_type type, uint32_t question, unsigned options)
{
    static const struct rpc_connection connection = { .location = SLICE("here") };
    static const struct rpc_refusal refusal = { .cause = SLICE("Unauthorized") };
    if (type == RPC_MORE || type == RPC_OVER)
        return;
    if (options & OPTION_FAIL)
        rpc_fail(&s->rpc, question, SLICE("no"), &s->out);
    else if (type != RPC_REGISTER)
        rpc_done(&s->rpc, question, &s->out);
    else if (options & OPTION_REFUSE)
        rpc_refuse(&s->rpc, question, &refusal, &s->out);
    else
        rpc_accept(&s->rpc, question, &connection, &s->out);
}

static void on_event(struct session *s, enum rpc_event_type type, const struct rpc_event *e, unsigned options)
{
    tell_event(s, type, e);
    if (options & OPTION_LATE) {
        answer(s, s->late_type, s->late, options);
        s->late = e->question;
        s->late_type = type;
    } else {
        answer(s, type, e->question, options);
    }
}

static void feed(struct session *s, const uint8_t *data, size_t n, unsigned options)
{
    enum rpc_event_type type;
    char *copy = malloc(n ? n : 1);
    require(copy != NULL);
    memcpy(copy, data, n);
    struct slice input = { copy, n };
    do {
        struct rpc_event event = { 0 };
        type = rpc_read(&s->rpc, &input, &s->out, &event);
        if (type != RPC_MORE && type != RPC_OVER)
            on_event(s, type, &event, options);
        require(s->rpc.n_questions <= RPC_QUESTIONS_MAX && s->rpc.partial_size <= RPC_MESSAGE_MAX);
        require((s->rpc.state == RPC_ENDED) == (type == RPC_OVER));
    } while (type != RPC_MORE && type != RPC_OVER);
    require(input.n == 0);
    free(copy);
}

static void run(struct session *s, const uint8_t *data, size_t size, size_t first, size_t step, unsigned options)
{
    s->rpc = (struct rpc){ 0 };
    s->out = (struct bounded){ .p = s->sent, .size = options & OPTION_SMALL ? 300 : sizeof s->sent };
    s->told_n = 0;
    s->late_type = RPC_MORE;
    for (size_t at = 0, n = first; at < size; at += n, n = step) {
        n = n < size - at ? n : size - at;
        feed(s, data + at, n, options);
    }
    rpc_read_end(&s->rpc);
    require(s->rpc.state == RPC_ENDED && s->rpc.end != RPC_END_NONE && s->rpc.end < RPC_ENDS);
    tell(s, &s->rpc.end, sizeof s->rpc.end);
    tell(s, s->rpc.detail, strlen(s->rpc.detail));
    rpc_clear(&s->rpc);
}

static void check_sent(const struct session *s)
{
    struct rpc_message m;
    uint64_t size;
    for (size_t at = 0; at < s->out.n; at += (size_t)size) {
        require(capnp_frame_size(s->out.p + at, s->out.n - at, &size) == NULL && size <= s->out.n - at && size <= RPC_WRITTEN_MAX);
        require(rpc_message_read((struct slice){ s->out.p + at, (size_t)size }, &m) == NULL);
        require(m.kind == RPC_KIND_UNASKED || (m.kind == RPC_KIND_ABORT && at + size == s->out.n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct session whole, pieces;
    if (size < 2 || size > INPUT_MAX)
        return 0;
    unsigned options = data[0];
    size_t cut = data[1], n = size - 2;
    run(&whole, data + 2, n, n, 1, options);
    run(&pieces, data + 2, n, cut % 128, cut & 128 ? n : cut % 128 + 1, options);
    require(whole.told_n == pieces.told_n && memcmp(whole.told, pieces.told, whole.told_n) == 0);
    require(whole.out.n == pieces.out.n && memcmp(whole.sent, pieces.sent, whole.out.n) == 0);
    check_sent(&whole);
    return 0;
}
