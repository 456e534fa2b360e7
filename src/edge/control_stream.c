#include "edge/control_stream.h"

#include "base/log.h"
#include "edge/connection.h"
#include "edge/stranger.h"

#include <stdio.h>
#include <string.h>

#define REFUSED_FOR (2 * NSEC_PER_SEC) /* how long the connector has to read why */

/* --- sending --- */

static ssize_t read_rpc_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct edge_connection *c = arg;
    (void)session;
    (void)id;
    (void)flags;
    (void)source;
    size_t n = c->control.out_n < room ? c->control.out_n : room;
    if (!n)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(to, c->control.out, n);
    memmove(c->control.out, c->control.out + n, c->control.out_n - n);
    c->control.out_n -= n;
    return (ssize_t)n;
}

static struct bounded rpc_out(struct edge_connection *c)
{
    return (struct bounded){ .p = c->control.out, .size = sizeof c->control.out, .n = c->control.out_n };
}

static void rpc_written(struct edge_connection *c, const struct bounded *out)
{
    if (out->n == c->control.out_n)
        return;
    c->control.out_n = out->n;
    nghttp2_session_resume_data(c->session, c->control.stream);
    edge_connection_wants_flush(c);
}

bool control_stream_open(struct edge_connection *c)
{
    c->control.stream = edge_connection_command(c, "GET", "control-stream", NULL, read_rpc_out);
    return c->control.stream > 0;
}

/* --- what the connector says --- */

struct registration_message {
    struct message message;
    const struct edge_worker_options *options;
    struct edge_registration registration;
};

static void handle_registration(struct message *m, void *owner)
{
    (void)owner;
    struct registration_message *r = CONTAINER_OF(m, struct registration_message, message);
    r->options->registered(r->options->arg, &r->registration);
    credentials_clear(&r->registration.credentials);
    free(r);
}

static void copy_word(struct slice s, char *out, size_t size)
{
    size_t n = s.n < size - 1 ? s.n : size - 1;
    memcpy(out, s.p, n);
    out[n] = 0;
}

static void id_text(const uint8_t id[16], char out[static UUID_TEXT_SIZE])
{
    snprintf(out, UUID_TEXT_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2], id[3], id[4], id[5],
             id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
}

static void fill_registration(struct edge_registration *out, const struct rpc_registration *in)
{
    copy_word(in->account, out->credentials.account, sizeof out->credentials.account);
    id_text(in->tunnel, out->credentials.tunnel);
    out->credentials.secret_size = in->secret.n <= TUNNEL_SECRET_MAX ? in->secret.n : 0; /* none matches an empty one */
    memcpy(out->credentials.secret, in->secret.p, out->credentials.secret_size);
    out->index = in->connection;
    id_text(in->connector, out->connector);
    copy_word(in->version, out->version, sizeof out->version);
    copy_word(in->arch, out->arch, sizeof out->arch);
    out->attempts = in->attempts;
    for (unsigned i = 0; i < in->n_features && out->n_features < sizeof out->features / sizeof *out->features; i++)
        copy_word(in->features[i], out->features[out->n_features++], sizeof *out->features);
}

static void ask_control(struct edge_connection *c, const struct rpc_event *event)
{
    struct edge_worker *w = c->worker;
    struct registration_message *r = calloc(1, sizeof *r);
    if (!r) {
        edge_connection_close(c, REASON_INTERNAL, "out of memory");
        return;
    }
    r->message.handle = handle_registration;
    list_init(&r->message.link);
    r->options = w->given;
    fill_registration(&r->registration, &event->registration);
    r->registration.worker = w->options.index;
    r->registration.peer = c->peer;
    r->registration.ticket = c->ticket = ++w->next_ticket;
    HASH_ADD(by_ticket, w->by_ticket, ticket, sizeof c->ticket, c);
    c->control.register_question = event->question;
    edge_connection_set_phase(c, CONNECTION_ASKED);
    mailbox_post(w->options.control, &r->message);
}

struct local_configuration_message {
    struct message message;
    const struct edge_worker_options *options;
    char tunnel[UUID_TEXT_SIZE], connector[UUID_TEXT_SIZE];
    size_t n;
    char json[];
};

static void handle_local_configuration(struct message *m, void *owner)
{
    (void)owner;
    struct local_configuration_message *l = CONTAINER_OF(m, struct local_configuration_message, message);
    l->options->local_configuration(l->options->arg, l->tunnel, l->connector, l->json, l->n);
    free(l);
}

static void pass_local_configuration(struct edge_connection *c, struct slice json)
{
    struct local_configuration_message *l = c->connector ? calloc(1, sizeof *l + json.n + 1) : NULL;
    if (!l)
        return;
    l->message.handle = handle_local_configuration;
    list_init(&l->message.link);
    l->options = c->worker->given;
    snprintf(l->tunnel, sizeof l->tunnel, "%s", c->tunnel->id);
    snprintf(l->connector, sizeof l->connector, "%s", c->connector->id);
    l->n = json.n;
    memcpy(l->json, json.p, json.n);
    mailbox_post(c->worker->options.control, &l->message);
}

/* The session is over: at the end of a drain that is as it should be; else the connection is of no more use to it, but its requests end. */
static void rpc_over(struct edge_connection *c)
{
    if (c->phase == CONNECTION_REFUSED)
        return;
    if (c->phase < CONNECTION_SERVING) {
        log_info("edge", "a connector's registration failed: %s", rpc_end_text(c->control.rpc.end));
        edge_connection_close(c, REASON_INTERNAL, rpc_end_text(c->control.rpc.end));
        return;
    }
    if (c->phase == CONNECTION_SERVING)
        edge_connection_drain(c, 0, REASON_NONE, "the control stream ended");
}

void control_stream_read(struct edge_connection *c, const uint8_t *bytes, size_t n)
{
    struct slice input = { (const char *)bytes, n };
    struct rpc_event event = { 0 };
    while (c->phase != CONNECTION_CLOSED) {
        struct bounded out = rpc_out(c);
        enum rpc_event_type type = rpc_read(&c->control.rpc, &input, &out, &event);
        rpc_written(c, &out);
        out = rpc_out(c);
        switch (type) {
        case RPC_MORE:
            return;
        case RPC_REGISTER:
            ask_control(c, &event);
            break;
        case RPC_CONFIGURATION:
            pass_local_configuration(c, event.configuration);
            rpc_done(&c->control.rpc, event.question, &out);
            break;
        case RPC_UNREGISTER:
            edge_connection_drain(c, 0, REASON_NONE, "the connector is leaving");
            rpc_done(&c->control.rpc, event.question, &out);
            break;
        case RPC_OVER:
            rpc_over(c);
            return;
        }
        rpc_written(c, &out);
    }
}

/* --- control's decision --- */

/* The connector does not close the connection itself; but it must have read the answer and ended its control stream before we do, or all it
 * knows is that the edge closed the connection, and cloudflared exits of that where it would have tried again. */
void control_stream_refuse(struct edge_connection *c, const struct edge_answer *a)
{
    struct bounded out = rpc_out(c);
    rpc_refuse(&c->control.rpc, c->control.register_question, &(struct rpc_refusal){ .cause = slice_of(a->cause) }, &out);
    rpc_written(c, &out);
    edge_connection_set_phase(c, CONNECTION_REFUSED);
    stranger_failed(c);
    timer_disarm(&c->worker->timers, &c->timer);
    timer_arm(&c->worker->timers, &c->timer, REFUSED_FOR);
}

bool control_stream_accept(struct edge_connection *c, const struct edge_answer *a)
{
    struct rpc_connection details = { .location = slice_of(a->location), .remotely_managed = a->remotely_managed };
    memcpy(details.id, a->line->uuid, sizeof details.id);
    struct bounded out = rpc_out(c);
    if (!rpc_accept(&c->control.rpc, c->control.register_question, &details, &out))
        return false;
    rpc_written(c, &out);
    return true;
}

/* --- its end --- */

void control_stream_end(struct edge_connection *c, const char *how)
{
    rpc_read_end(&c->control.rpc);
    if (c->phase == CONNECTION_REFUSED)
        edge_connection_close(c, REASON_NONE, "refused");
    else if (c->phase < CONNECTION_SERVING)
        edge_connection_close(c, REASON_MALFORMED, "the control stream ended before the registration");
    else
        edge_connection_drain(c, 0, REASON_NONE, how);
}
