#include "tests/sim/connector/observe.h"

#include "tests/sim/connector/request.h"

#include <stddef.h>
#include <stdio.h>

enum { LISTED_MAX = 100 }; /* connectors that `status` lists; of a herd it tells the sums */

/* --- status --- */

static const char *const state_names[] = { "off", "waiting", "queued", "connecting", "registered", "done" };

static json_t *connection_status(const struct connection *c)
{
    json_int_t streams = 0;
    if (c->session)
        LIST_FOR_EACH (node, &c->session->requests)
            streams++;
    const char *edge = c->slot < 0 ? "" : c->connector->sim->edges[c->slot].text;
    return json_pack("{s:i, s:s, s:s, s:s, s:I, s:I}", "index", (int)c->index, "state", state_names[c->state], "edge", edge,
                     "location", c->location, "requests", (json_int_t)c->requests, "streams", streams);
}

static json_t *connector_status(const struct connector *k)
{
    json_t *connections = json_array();
    for (unsigned i = 0; i < k->n_connections; i++)
        json_array_append_new(connections, connection_status(&k->connections[i]));
    return json_pack("{s:s, s:s, s:i, s:i, s:o}", "id", k->id, "tunnel", k->credentials.tunnel, "version", k->version, "ready",
                     (int)connector_ready(k), "connections", connections);
}

static json_t *run_status(struct sim *sim)
{
    json_t *connectors = json_array();
    json_int_t ready = 0, connections = 0;
    for (unsigned i = 0; i < sim->n_connectors; i++) {
        ready += connector_ready(sim->connectors[i]);
        connections += sim->connectors[i]->n_connections;
        if (i < LISTED_MAX)
            json_array_append_new(connectors, connector_status(sim->connectors[i]));
    }
    return json_pack("{s:b, s:I, s:I, s:I, s:o}", "ok", 1, "ready", ready, "connections", connections, "requests",
                     (json_int_t)sim->requests, "connectors", connectors);
}

/* --- what is done to connections --- */

static void do_goaway(struct session *s)
{
    nghttp2_submit_goaway(s->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->h2), NGHTTP2_NO_ERROR, NULL, 0);
}

static void do_reset_control(struct session *s)
{
    if (s->control.state != CONTROL_NONE)
        nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, s->control.stream, NGHTTP2_INTERNAL_ERROR);
}

static void do_end_control(struct session *s)
{
    s->control.out_ended = true;
    if (s->control.deferred)
        nghttp2_session_resume_data(s->h2, s->control.stream);
    s->control.deferred = false;
}

static void do_junk(struct session *s)
{
    bytes_add(&s->control.out, SLICE("\xff\xff\xff\xff\xff\xff\xff\xff"));
    if (s->control.deferred)
        nghttp2_session_resume_data(s->h2, s->control.stream);
    s->control.deferred = false;
}

static void do_close(struct session *s)
{
    session_fail(s, LOSS_CLOSED, "closed on demand");
}

static void do_cut(struct session *s)
{
    s->cut = true;
    session_fail(s, LOSS_CLOSED, "cut on demand");
}

static void do_abandon(struct session *s)
{
    s->abandoned = true;
    session_fail(s, LOSS_CLOSED, "abandoned on demand");
}

static const struct {
    const char *name;
    void (*run)(struct session *);
} actions[] = {
    { "abandon", do_abandon },
    { "close", do_close },   { "cut", do_cut }, { "end-control", do_end_control },
    { "goaway", do_goaway }, { "junk", do_junk }, { "reset-control", do_reset_control },
};

/* `index` < 0: all. */
static void for_connections(struct sim *sim, int index, void (*run)(struct session *))
{
    for (unsigned i = 0; i < sim->n_connectors; i++) {
        struct connector *k = sim->connectors[i];
        for (unsigned j = 0; j < k->n_connections; j++) {
            struct session *s = k->connections[j].session;
            if ((index < 0 || index == (int)j) && s && s->state == SESSION_OPEN) {
                run(s);
                session_touch(s);
            }
        }
    }
}

/* --- faults --- */

static const struct {
    const char *name;
    size_t offset; /* of a bool in struct faults */
} switches[] = {
    { "broken-headers", offsetof(struct faults, broken_headers) }, { "mute-ping", offsetof(struct faults, mute_ping) },
    { "never-register", offsetof(struct faults, never_register) }, { "no-meta", offsetof(struct faults, no_meta) },
    { "silent", offsetof(struct faults, silent) },                 { "wrong-secret", offsetof(struct faults, wrong_secret) },
};

static void wake(struct session *s)
{
    LIST_FOR_EACH (node, &s->requests)
        request_wake(CONTAINER_OF(node, struct request, node));
}

static bool set_switch(struct sim *sim, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        if (strcmp(name, switches[i].name) != 0)
            continue;
        *(bool *)((char *)&sim->faults + switches[i].offset) = strcmp(value, "on") == 0;
        if (!sim->faults.silent)
            for_connections(sim, -1, wake);
        return strcmp(value, "on") == 0 || strcmp(value, "off") == 0;
    }
    return false;
}

static bool run_action(struct sim *sim, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(name, actions[i].name) == 0) {
            for_connections(sim, *value ? atoi(value) : -1, actions[i].run);
            return true;
        }
    }
    return false;
}

static bool set_number(struct sim *sim, const char *name, const char *value)
{
    size_t n;
    char end;
    if (sscanf(value, "%zu%c", &n, &end) != 1)
        return false;
    if (strcmp(name, "refuse") == 0)
        sim->faults.refuse = (unsigned)n;
    else if (strcmp(name, "huge-header") == 0)
        sim->faults.huge_header = n;
    else
        return false;
    return true;
}

char *command_run(struct sim *sim, const char *line)
{
    char name[32] = "", value[32] = "";
    sscanf(line, "%31s %31s", name, value);
    json_t *answer;
    if (strcmp(name, "status") == 0)
        answer = run_status(sim);
    else if (run_action(sim, name, value) || set_switch(sim, name, value) || set_number(sim, name, value))
        answer = json_pack("{s:b}", "ok", 1);
    else
        answer = json_pack("{s:s}", "error",
                           "the commands are status; goaway, junk, reset-control, end-control, close, cut, abandon [INDEX]; mute-ping, silent, "
                           "never-register, wrong-secret, broken-headers, no-meta on|off; refuse N; huge-header BYTES");
    char *text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    return text;
}
