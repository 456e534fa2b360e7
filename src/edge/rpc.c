#include "edge/rpc.h"

#include "edge/capnp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum question_kind { QUESTION_BOOTSTRAP, QUESTION_REGISTER, QUESTION_CONFIGURATION, QUESTION_UNREGISTER, QUESTION_OTHER };

enum { CAPABILITY = 0 /* the number of our only one */, PARTIAL_SIZE_MIN = 1024 };

static const struct {
    const char *code, *text;
    bool silent; /* nobody is there who would hear why */
} ends[] = {
    [RPC_END_NONE] = { "none", "the session has not ended", true },
    [RPC_END_CONNECTOR] = { "connector", "the connector ended the session", true },
    [RPC_END_CLOSED] = { "closed", "the connector closed the control stream", true },
    [RPC_END_TRUNCATED] = { "truncated", "the control stream was closed within a message", true },
    [RPC_END_OURS] = { "ours", "the session was ended from here", false },
    [RPC_END_TOO_LARGE] = { "too_large", "a message is too large", false },
    [RPC_END_MALFORMED] = { "malformed", "a message is malformed", false },
    [RPC_END_UNASKED] = { "unasked", "a message answers what was never asked", false },
    [RPC_END_UNKNOWN] = { "unknown", "a message is of an unknown kind", false },
    [RPC_END_QUESTIONS] = { "questions", "too many questions at once", false },
    [RPC_END_QUESTION] = { "question", "the id of a question is in use, or not in use", false },
    [RPC_END_TARGET] = { "target", "a call to what was never offered", false },
    [RPC_END_RELEASE] = { "release", "a release of what is not held", false },
    [RPC_END_BACKLOG] = { "backlog", "the connector does not take its answers", true },
    [RPC_END_MEMORY] = { "memory", "out of memory", false },
};

_Static_assert(sizeof ends / sizeof *ends == RPC_ENDS, "a row for each end");

const char *rpc_end_code(enum rpc_end end)
{
    return ends[end].code;
}

const char *rpc_end_text(enum rpc_end end)
{
    return ends[end].text;
}

static void set_state(struct rpc *r, enum rpc_state state)
{
    if (r->state != RPC_ENDED)
        r->state = state;
}

/* --- the end --- */

static void set_detail(struct rpc *r, struct slice detail)
{
    size_t n = detail.n < RPC_REASON_MAX ? detail.n : RPC_REASON_MAX;
    for (size_t i = 0; i < n; i++)
        r->detail[i] = (char)(detail.p[i] >= ' ' && detail.p[i] <= '~' ? detail.p[i] : '?');
    r->detail[n] = '\0';
}

static enum rpc_event_type end_session(struct rpc *r, enum rpc_end end, struct slice detail, struct bounded *out)
{
    char reason[RPC_REASON_MAX + 128];
    set_detail(r, detail);
    r->end = end;
    set_state(r, RPC_ENDED);
    if (!ends[end].silent) {
        const char *text = end == RPC_END_OURS ? "" : ends[end].text;
        int n = snprintf(reason, sizeof reason, "%s%s%s", text, *text && *r->detail ? ": " : "", r->detail);
        rpc_write_abort(out, (struct slice){ reason, (size_t)n });
    }
    return RPC_OVER;
}

static enum rpc_event_type breach(struct rpc *r, enum rpc_end end, struct bounded *out)
{
    return end_session(r, end, SLICE(""), out);
}

/* What a message of the connector's led to has been sent, if there was room. */
static enum rpc_event_type sent(struct rpc *r, bool written, struct bounded *out)
{
    return written ? RPC_MORE : breach(r, RPC_END_BACKLOG, out);
}

/* --- questions --- */

static struct rpc_question *find_question(struct rpc *r, uint32_t id)
{
    for (unsigned i = 0; i < r->n_questions; i++)
        if (r->questions[i].id == id)
            return &r->questions[i];
    return NULL;
}

/* Stays until the connector says that it is finished, answered or not. */
static enum rpc_end add_question(struct rpc *r, uint32_t id, enum question_kind kind)
{
    if (find_question(r, id))
        return RPC_END_QUESTION;
    if (r->n_questions == RPC_QUESTIONS_MAX)
        return RPC_END_QUESTIONS;
    r->questions[r->n_questions++] = (struct rpc_question){ .id = id, .kind = (uint8_t)kind };
    return RPC_END_NONE;
}

static bool mark_answered(struct rpc *r, uint32_t id, bool written)
{
    if (written)
        find_question(r, id)->answered = true;
    return written;
}

static bool is_waiting(struct rpc *r, uint32_t id, unsigned kinds)
{
    const struct rpc_question *q = find_question(r, id);
    return r->state != RPC_ENDED && q && !q->answered && (kinds >> q->kind & 1);
}

static enum rpc_event_type on_bootstrap(struct rpc *r, const struct rpc_message *m, struct bounded *out)
{
    enum rpc_end wrong = add_question(r, m->question, QUESTION_BOOTSTRAP);
    if (wrong)
        return breach(r, wrong, out);
    r->references++;
    return sent(r, mark_answered(r, m->question, rpc_write_bootstrap(out, m->question, CAPABILITY)), out);
}

/* Every question gets an answer, also the one that the connector has given up (rpc.capnp, Finish). */
static enum rpc_event_type on_finish(struct rpc *r, const struct rpc_message *m, struct bounded *out)
{
    struct rpc_question *q = find_question(r, m->question), gone;
    if (!q)
        return breach(r, RPC_END_QUESTION, out);
    gone = *q;
    *q = r->questions[--r->n_questions];
    if (gone.kind == QUESTION_BOOTSTRAP && m->release_results && r->references)
        r->references--;
    if (gone.answered)
        return RPC_MORE;
    if (gone.kind == QUESTION_REGISTER)
        set_state(r, RPC_REFUSED);
    return sent(r, rpc_write_canceled(out, m->question), out);
}

static enum rpc_event_type on_release(struct rpc *r, const struct rpc_message *m, struct bounded *out)
{
    if (m->capability != CAPABILITY || m->count > r->references)
        return breach(r, RPC_END_RELEASE, out);
    r->references -= m->count;
    return RPC_MORE;
}

/* --- calls --- */

static bool is_target(struct rpc *r, const struct rpc_message *m)
{
    if (m->target == RPC_TARGET_CAPABILITY)
        return m->target_id == CAPABILITY && r->references;
    const struct rpc_question *q = find_question(r, m->target_id);
    return q && q->kind == QUESTION_BOOTSTRAP && !m->target_transformed;
}

static enum rpc_event_type refuse_call(struct rpc *r, uint32_t question, enum rpc_exception type, struct slice why,
                                       struct bounded *out)
{
    enum rpc_end wrong = add_question(r, question, QUESTION_OTHER);
    if (wrong)
        return breach(r, wrong, out);
    return sent(r, mark_answered(r, question, rpc_write_exception(out, question, type, why)), out);
}

struct method_row {
    enum rpc_state turn, next; /* when it may be called, and what follows */
    enum question_kind kind;
    enum rpc_event_type event;
    struct slice out_of_turn;
};

static const struct method_row methods[] = {
    [RPC_METHOD_REGISTER] = { RPC_STRANGER, RPC_REGISTERING, QUESTION_REGISTER, RPC_REGISTER,
                              SLICE("this session has had its registration") },
    [RPC_METHOD_CONFIGURATION] = { RPC_REGISTERED, RPC_REGISTERED, QUESTION_CONFIGURATION, RPC_CONFIGURATION,
                                   SLICE("not registered") },
    [RPC_METHOD_UNREGISTER] = { RPC_REGISTERED, RPC_UNREGISTERED, QUESTION_UNREGISTER, RPC_UNREGISTER,
                                SLICE("not registered") },
};

static enum rpc_event_type on_method(struct rpc *r, const struct rpc_message *m, struct bounded *out, struct rpc_event *event)
{
    const struct method_row *row = &methods[m->method];
    if (m->method == RPC_METHOD_UNKNOWN)
        return refuse_call(r, m->question, RPC_EXCEPTION_UNIMPLEMENTED, SLICE("unknown method"), out);
    if (r->state != row->turn)
        return refuse_call(r, m->question, RPC_EXCEPTION_FAILED, row->out_of_turn, out);
    enum rpc_end wrong = add_question(r, m->question, row->kind);
    if (wrong)
        return breach(r, wrong, out);
    set_state(r, row->next);
    event->question = m->question;
    event->registration = m->registration;
    event->configuration = m->configuration;
    return row->event;
}

static enum rpc_event_type send_back(struct rpc *r, struct slice bytes, struct bounded *out)
{
    return rpc_write_unimplemented(out, bytes) ? RPC_MORE : breach(r, RPC_END_UNKNOWN, out);
}

static enum rpc_event_type on_call(struct rpc *r, const struct rpc_message *m, struct slice bytes, struct bounded *out,
                                   struct rpc_event *event)
{
    if (m->target == RPC_TARGET_UNKNOWN || m->results_elsewhere)
        return send_back(r, bytes, out);
    return is_target(r, m) ? on_method(r, m, out, event) : breach(r, RPC_END_TARGET, out);
}

/* --- messages --- */

static enum rpc_event_type handle(struct rpc *r, struct slice bytes, struct bounded *out, struct rpc_event *event)
{
    struct rpc_message m;
    const char *wrong = rpc_message_read(bytes, &m);
    if (wrong)
        return end_session(r, RPC_END_MALFORMED, slice_of(wrong), out);
    switch (m.kind) {
    case RPC_KIND_BOOTSTRAP:
        return on_bootstrap(r, &m, out);
    case RPC_KIND_CALL:
        return on_call(r, &m, bytes, out, event);
    case RPC_KIND_FINISH:
        return on_finish(r, &m, out);
    case RPC_KIND_RELEASE:
        return on_release(r, &m, out);
    case RPC_KIND_ABORT:
        return end_session(r, RPC_END_CONNECTOR, m.reason, out);
    case RPC_KIND_UNASKED:
        return breach(r, RPC_END_UNASKED, out);
    case RPC_KIND_UNKNOWN:
        return send_back(r, bytes, out);
    }
    __builtin_unreachable();
}

static void drop_partial(struct rpc *r)
{
    if (r->partial)
        explicit_bzero(r->partial, r->partial_n);
    free(r->partial);
    r->partial = NULL;
    r->partial_n = r->partial_size = 0;
    r->partial_handled = false;
}

/* Twice the room, but never more than the message needs: who announces a large one has to send it first. */
static bool grow_partial(struct rpc *r, size_t needed)
{
    size_t size = r->partial_size ? r->partial_size * 2 : PARTIAL_SIZE_MIN;
    if (size > needed)
        size = needed;
    char *larger = malloc(size);
    if (!larger)
        return false;
    size_t n = r->partial_n;
    if (n)
        memcpy(larger, r->partial, n);
    drop_partial(r);
    r->partial = larger;
    r->partial_n = n;
    r->partial_size = size;
    return true;
}

static enum rpc_end frame_size(const struct rpc *r, const char *data, size_t n, uint64_t *size, struct slice *detail)
{
    bool stranger = r->state != RPC_REGISTERED && r->state != RPC_UNREGISTERED;
    const char *wrong = capnp_frame_size(data, n, size);
    *detail = wrong ? slice_of(wrong) : SLICE("");
    if (wrong)
        return RPC_END_MALFORMED;
    return *size > (stranger ? RPC_STRANGER_MESSAGE_MAX : RPC_MESSAGE_MAX) ? RPC_END_TOO_LARGE : RPC_END_NONE;
}

static bool append_partial(struct rpc *r, struct slice *input, size_t needed)
{
    while (r->partial_n < needed && input->n) {
        if (r->partial_n == r->partial_size && !grow_partial(r, needed))
            return false;
        size_t n = r->partial_size < needed ? r->partial_size : needed;
        n -= r->partial_n;
        if (n > input->n)
            n = input->n;
        memcpy(r->partial + r->partial_n, input->p, n);
        r->partial_n += n;
        *input = (struct slice){ input->p + n, input->n - n };
    }
    return true;
}

/* Puts the message together that came in pieces. message->n is 0 until it is whole. */
static enum rpc_end gather(struct rpc *r, struct slice *input, struct slice *message, struct slice *detail)
{
    for (;;) {
        uint64_t size;
        enum rpc_end wrong = frame_size(r, r->partial, r->partial_n, &size, detail);
        if (wrong)
            return wrong;
        if (size <= r->partial_n) {
            *message = (struct slice){ r->partial, r->partial_n };
            r->partial_handled = true;
            return RPC_END_NONE;
        }
        if (input->n == 0)
            return RPC_END_NONE;
        if (!append_partial(r, input, (size_t)size))
            return RPC_END_MEMORY;
    }
}

/* message->n is 0 when there is none yet. One that is whole in the input stays there. */
static enum rpc_end next_message(struct rpc *r, struct slice *input, struct slice *message, struct slice *detail)
{
    uint64_t size;
    *message = SLICE("");
    if (r->partial_handled)
        drop_partial(r);
    if (r->partial_n == 0) {
        enum rpc_end wrong = frame_size(r, input->p, input->n, &size, detail);
        if (wrong)
            return wrong;
        if (size <= input->n) {
            *message = (struct slice){ input->p, (size_t)size };
            *input = (struct slice){ input->p + size, input->n - (size_t)size };
            return RPC_END_NONE;
        }
    }
    return gather(r, input, message, detail);
}

enum rpc_event_type rpc_read(struct rpc *r, struct slice *input, struct bounded *out, struct rpc_event *event)
{
    enum rpc_event_type result = r->state == RPC_ENDED ? RPC_OVER : RPC_MORE;
    while (result == RPC_MORE) {
        struct slice message, detail;
        enum rpc_end wrong = next_message(r, input, &message, &detail);
        if (wrong)
            result = end_session(r, wrong, detail, out);
        else if (message.n)
            result = handle(r, message, out, event);
        else
            return RPC_MORE;
    }
    if (result == RPC_OVER)
        *input = SLICE("");
    return result;
}

void rpc_read_end(struct rpc *r)
{
    struct bounded nowhere = { .p = NULL };
    bool within = r->partial_n && !r->partial_handled;
    if (r->state != RPC_ENDED)
        breach(r, within ? RPC_END_TRUNCATED : RPC_END_CLOSED, &nowhere);
}

void rpc_clear(struct rpc *r)
{
    drop_partial(r);
    *r = (struct rpc){ .state = RPC_ENDED };
}

/* --- the caller's answers --- */

bool rpc_accept(struct rpc *r, uint32_t question, const struct rpc_connection *connection, struct bounded *out)
{
    if (!is_waiting(r, question, 1 << QUESTION_REGISTER) ||
        !mark_answered(r, question, rpc_write_accepted(out, question, connection)))
        return false;
    set_state(r, RPC_REGISTERED);
    return true;
}

bool rpc_refuse(struct rpc *r, uint32_t question, const struct rpc_refusal *refusal, struct bounded *out)
{
    if (!is_waiting(r, question, 1 << QUESTION_REGISTER) || !mark_answered(r, question, rpc_write_refused(out, question, refusal)))
        return false;
    set_state(r, RPC_REFUSED);
    return true;
}

bool rpc_done(struct rpc *r, uint32_t question, struct bounded *out)
{
    return is_waiting(r, question, 1 << QUESTION_CONFIGURATION | 1 << QUESTION_UNREGISTER) &&
           mark_answered(r, question, rpc_write_empty(out, question));
}

bool rpc_fail(struct rpc *r, uint32_t question, struct slice reason, struct bounded *out)
{
    bool registration = is_waiting(r, question, 1 << QUESTION_REGISTER);
    if (!registration && !is_waiting(r, question, 1 << QUESTION_CONFIGURATION | 1 << QUESTION_UNREGISTER))
        return false;
    if (!mark_answered(r, question, rpc_write_exception(out, question, RPC_EXCEPTION_FAILED, reason)))
        return false;
    if (registration)
        set_state(r, RPC_REFUSED);
    return true;
}

void rpc_abort(struct rpc *r, struct slice reason, struct bounded *out)
{
    if (r->state != RPC_ENDED)
        end_session(r, RPC_END_OURS, reason, out);
}
