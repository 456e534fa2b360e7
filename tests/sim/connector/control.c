/* The conversation on a control stream: bootstrap, registration, the connector's own rules, and leave-taking. */
#include "tests/sim/connector/rpc.h"

#include "base/log.h"
#include "tests/sim/connector/connector.h"

#include <netinet/in.h>
#include <stdio.h>

/* Question ids are used again once they are finished, as cloudflared does. */
enum { QUESTION_BOOTSTRAP, QUESTION_CALL };

static const double RPC_TIMEOUT = 5; /* seconds */
static const char *const features[] = { "serialized_headers", "support_datagram_v2", "support_quic_eof", "management_logs",
                                        "allow_remote_config", NULL };

static struct rpc_target target(const struct control *c)
{
    return (struct rpc_target){ .imported = c->bootstrapped, .capability = c->capability };
}

static void say(struct session *s)
{
    if (s->control.deferred)
        nghttp2_session_resume_data(s->h2, s->control.stream);
    s->control.deferred = false;
    session_touch(s);
}

static ssize_t read_out(nghttp2_session *h2, int32_t stream, uint8_t *out, size_t size, uint32_t *flags,
                        nghttp2_data_source *source, void *user)
{
    (void)h2;
    (void)stream;
    (void)user;
    struct control *c = source->ptr;
    size_t n = bytes_length(&c->out);
    if (n == 0 && !c->out_ended) {
        c->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    n = n < size ? n : size;
    if (n)
        memcpy(out, c->out.p + c->out.start, n);
    bytes_drop(&c->out, n);
    if (c->out_ended && !bytes_length(&c->out))
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* The TCP connection stays: to close it is the edge's business. */
static void leave(struct session *s)
{
    struct control *c = &s->control;
    if (c->bootstrapped)
        rpc_add_release(&c->out, c->capability);
    rpc_add_abort(&c->out, "rpc: shutdown");
    c->state = CONTROL_OVER;
    c->out_ended = true;
    say(s);
}

static void on_rpc_timeout(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct session *s = w->data;
    log_warning("connector", "connection %u: the registration is not answered", s->connection->index);
    rpc_add_finish(&s->control.out, QUESTION_CALL, true);
    leave(s);
}

static void local_address(int fd, uint8_t out[static 16])
{
    struct sockaddr_storage a = { 0 };
    getsockname(fd, (struct sockaddr *)&a, &(socklen_t){ sizeof a });
    if (a.ss_family == AF_INET6) {
        memcpy(out, &((struct sockaddr_in6 *)&a)->sin6_addr, 16);
        return;
    }
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    memcpy(out + 12, &((struct sockaddr_in *)&a)->sin_addr, 4);
}

static void id_bytes(const char *uuid, uint8_t out[static RPC_ID])
{
    unsigned byte;
    for (size_t i = 0; i < RPC_ID; i++) {
        uuid += *uuid == '-';
        sscanf(uuid, "%2x", &byte);
        out[i] = (uint8_t)byte;
        uuid += 2;
    }
}

static void add_registration(struct session *s, struct bytes *out)
{
    struct connection *c = s->connection;
    const struct credentials *known = &c->connector->credentials;
    unsigned char secret[TUNNEL_SECRET_MAX];
    unsigned attempts = c->attempts < s->sim->retries ? c->attempts : s->sim->retries;
    struct rpc_hello hello = { .account = slice_of(known->account), .secret = { (char *)secret, known->secret_size },
                               .version = slice_of(s->sim->version), .arch = SLICE("linux_amd64"), .features = features,
                               .index = (uint8_t)c->index, .attempts = (uint8_t)attempts };
    memcpy(secret, known->secret, known->secret_size);
    secret[0] ^= s->sim->faults.wrong_secret;
    id_bytes(known->tunnel, hello.tunnel);
    id_bytes(c->connector->id, hello.connector);
    local_address(s->fd, hello.origin_ip);
    rpc_add_register(out, QUESTION_CALL, target(&s->control), &hello);
}

void control_add_opening(struct session *s, struct bytes *out)
{
    rpc_add_bootstrap(out, QUESTION_BOOTSTRAP);
    add_registration(s, out);
}

void control_begin(struct session *s, int32_t stream)
{
    static const char *const fields[][2] = { { ":status", "200" }, { "content-type", "application/octet-stream" } };
    nghttp2_nv nv[2];
    for (size_t i = 0; i < 2; i++)
        nv[i] = h2_field(slice_of(fields[i][0]), slice_of(fields[i][1]));
    struct control *c = &s->control;
    c->state = CONTROL_REGISTERING;
    c->stream = stream;
    if (!s->sim->faults.never_register) {
        control_add_opening(s, &c->out);
        ev_timer_stop(s->sim->loop, &s->patience);
        ev_set_cb(&s->patience, on_rpc_timeout);
        ev_timer_set(&s->patience, RPC_TIMEOUT, 0);
        ev_timer_start(s->sim->loop, &s->patience);
    }
    nghttp2_data_provider provider = { .source.ptr = c, .read_callback = read_out };
    nghttp2_submit_response(s->h2, stream, nv, 2, &provider);
    session_touch(s);
}

/* What it says of itself, unless the edge has said that it manages the rules. */
static void add_local_configuration(struct session *s)
{
    char *json = connector_local_configuration(s->connection->connector);
    rpc_add_local_configuration(&s->control.out, QUESTION_CALL, target(&s->control), slice_of(json));
    s->control.configuration_asked = true;
    free(json);
}

static enum loss loss_for(struct slice cause)
{
    if (memmem(cause.p, cause.n, "Unauthorized", 12))
        return LOSS_UNAUTHORIZED;
    return slice_eq(cause, SLICE("EDUPCONN")) ? LOSS_DUPLICATE : LOSS_REFUSED;
}

/* The reason counts when the edge has closed the connection. */
static void on_refused(struct session *s, enum loss loss, struct slice cause)
{
    log_warning("connector", "connection %u: not registered: %.*s", s->connection->index, SLICE_ARG(cause));
    s->connection->location[0] = '\0';
    connection_refused(s->connection, loss);
    leave(s);
}

static void on_registered(struct session *s, const struct rpc_answer *a)
{
    s->control.state = CONTROL_REGISTERED;
    connection_registered(s->connection, a->location);
    if (!a->remotely_managed && s->connection->index == 0)
        add_local_configuration(s);
}

static void on_call_answered(struct session *s, const struct rpc_answer *a)
{
    struct control *c = &s->control;
    bool registering = c->state == CONTROL_REGISTERING, asked = c->configuration_asked;
    ev_timer_stop(s->sim->loop, &s->patience);
    rpc_add_finish(&c->out, QUESTION_CALL, a->kind == RPC_EXCEPTION);
    c->configuration_asked = false;
    if (registering && a->kind == RPC_EXCEPTION)
        on_refused(s, LOSS_REFUSED, a->reason);
    else if (registering && a->refused)
        on_refused(s, loss_for(a->cause), a->cause);
    else if (registering)
        on_registered(s, a);
    else if (c->state == CONTROL_LEAVING && asked)
        rpc_add_unregister(&c->out, QUESTION_CALL, target(c));
    else if (c->state == CONTROL_LEAVING)
        leave(s);
    say(s);
}

static void on_answer(struct session *s, const struct rpc_answer *a)
{
    struct control *c = &s->control;
    if (a->kind == RPC_ABORT) {
        log_warning("connector", "connection %u: the edge aborts: %.*s", s->connection->index, SLICE_ARG(a->reason));
        if (c->state == CONTROL_REGISTERING)
            connection_refused(s->connection, LOSS_REFUSED);
        c->state = CONTROL_OVER;
    } else if (a->kind != RPC_OTHER && a->question == QUESTION_BOOTSTRAP) {
        c->bootstrapped = a->has_capability;
        c->capability = a->capability;
        rpc_add_finish(&c->out, QUESTION_BOOTSTRAP, !c->bootstrapped);
        say(s);
    } else if (a->kind != RPC_OTHER && a->question == QUESTION_CALL) {
        on_call_answered(s, a);
    }
}

static uint32_t registration_question(const struct control *c)
{
    return c->state == CONTROL_REGISTERING ? QUESTION_CALL : UINT32_MAX;
}

void control_on_data(struct session *s, struct slice data)
{
    struct control *c = &s->control;
    struct rpc_answer answer;
    const char *wrong = NULL;
    bytes_add(&c->in, data);
    while (c->state != CONTROL_OVER && rpc_take(&c->in, registration_question(c), &answer, &wrong))
        on_answer(s, &answer);
    if (wrong)
        session_fail(s, LOSS_REFUSED, "RPC: %s", wrong);
}

/* It goes on serving, and does not come back before the TCP connection ends. */
void control_on_close(struct session *s)
{
    if (s->control.state == CONTROL_REGISTERED)
        connection_unready(s->connection);
    s->control.state = CONTROL_OVER;
}

void control_unregister(struct session *s)
{
    struct control *c = &s->control;
    if (c->state != CONTROL_REGISTERED)
        return;
    c->state = CONTROL_LEAVING;
    if (!c->configuration_asked)
        rpc_add_unregister(&c->out, QUESTION_CALL, target(c));
    say(s);
}

void control_clear(struct control *c)
{
    bytes_clear(&c->in);
    bytes_clear(&c->out);
}
