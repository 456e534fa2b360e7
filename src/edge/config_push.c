#include "edge/config_push.h"

#include "edge/connection.h"

#include <stdio.h>
#include <string.h>

static ssize_t read_push(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct config_push *p = &((struct edge_connection *)arg)->push;
    (void)session;
    (void)id;
    (void)source;
    size_t n = p->n - p->sent < room ? p->n - p->sent : room;
    memcpy(to, p->json + p->sent, n);
    p->sent += n;
    if (p->sent == p->n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

struct pushed_message {
    struct message message;
    const struct edge_worker_options *options;
    char tunnel[UUID_TEXT_SIZE], connector[UUID_TEXT_SIZE];
    int version;
    bool applied;
    char answer[512];
};

static void handle_pushed(struct message *m, void *owner)
{
    (void)owner;
    struct pushed_message *p = CONTAINER_OF(m, struct pushed_message, message);
    p->options->pushed(p->options->arg, p->tunnel, p->connector, p->version, p->applied, p->answer);
    free(p);
}

/* {"lastAppliedVersion":N,"err":null}: applied if it is the version that was sent. */
static bool push_was_applied(const struct config_push *p)
{
    const char *at = strstr(p->answer, "\"lastAppliedVersion\":");
    return at && atoi(at + strlen("\"lastAppliedVersion\":")) == p->version;
}

void config_push_end(struct edge_connection *c)
{
    struct config_push *p = &c->push;
    struct pushed_message *m = calloc(1, sizeof *m);
    p->stream = 0;
    free(p->json);
    p->json = NULL;
    if (!m)
        return;
    m->message.handle = handle_pushed;
    list_init(&m->message.link);
    m->options = c->worker->given;
    snprintf(m->tunnel, sizeof m->tunnel, "%s", c->tunnel->id);
    snprintf(m->connector, sizeof m->connector, "%s", c->connector->id);
    m->version = p->version;
    m->applied = push_was_applied(p);
    snprintf(m->answer, sizeof m->answer, "%s", p->answer);
    mailbox_post(c->worker->options.control, &m->message);
}

void config_push_begin(struct edge_connection *c, int version, const char *json, size_t n)
{
    struct config_push *p = &c->push;
    if (c->phase != CONNECTION_SERVING || p->stream)
        return;
    *p = (struct config_push){ .version = version, .n = n, .json = malloc(n + 1) };
    if (!p->json)
        return;
    memcpy(p->json, json, n);
    p->stream = edge_connection_command(c, "POST", "update-configuration", "application/json", read_push);
    if (p->stream < 0) {
        p->stream = 0;
        free(p->json);
        p->json = NULL;
    }
    edge_connection_wants_flush(c);
}

void config_push_read(struct edge_connection *c, const uint8_t *bytes, size_t n)
{
    struct config_push *p = &c->push;
    size_t room = sizeof p->answer - 1 - p->answer_n;
    if (n > room)
        n = room;
    memcpy(p->answer + p->answer_n, bytes, n);
    p->answer_n += n;
    p->answer[p->answer_n] = 0;
}
