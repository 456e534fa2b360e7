#include "tests/sim/connector/connector.h"

#include "base/log.h"

#include <stdio.h>

enum {
    DIALS_MAX = 64,       /* at once: a herd does not have the edge shake all hands in the same second */
    BACKOFF_BASE = 10,    /* seconds, of the supervisor's wait before it starts a lost connection again */
};

static double random_up_to(struct sim *sim, double seconds)
{
    return seconds * sim->pace * random_unit(&sim->random);
}

/* 2^n, with n held by --retries */
static double doubled(const struct sim *sim, unsigned n)
{
    return (double)(1u << (n < sim->retries ? n : sim->retries));
}

/* --- slots: an address may be there several times, and is used once for each --- */

static int free_slot(struct connector *c, int avoid)
{
    int chosen = -1;
    unsigned seen = 0;
    for (int i = 0; i < (int)c->sim->n_edges; i++) {
        if (!c->slot_taken[i] && i != avoid && random_u64(&c->sim->random) % ++seen == 0)
            chosen = i;
    }
    return chosen >= 0 || avoid < 0 || c->slot_taken[avoid] ? chosen : avoid;
}

static void take_slot(struct connection *c)
{
    c->slot = free_slot(c->connector, c->avoid);
    if (c->slot >= 0)
        c->connector->slot_taken[c->slot] = true;
}

static void give_slot(struct connection *c)
{
    if (c->slot >= 0)
        c->connector->slot_taken[c->slot] = false;
    c->slot = -1;
}

/* --- opening --- */

static void wait_for(struct connection *c, double seconds)
{
    c->state = CONNECTION_WAITING;
    ev_timer_stop(c->connector->sim->loop, &c->wait);
    ev_timer_set(&c->wait, seconds, 0);
    ev_timer_start(c->connector->sim->loop, &c->wait);
}

static void dial(struct connection *c)
{
    struct sim *sim = c->connector->sim;
    take_slot(c);
    c->state = CONNECTION_UP;
    c->refusal = LOSS_NONE;
    sim->dialling++;
    c->session = c->slot < 0 ? NULL : session_new(c, &sim->edges[c->slot]);
    if (c->session)
        return;
    sim->dialling--;
    connection_lost(c, LOSS_DIAL, c->slot < 0 ? "there are no free edge addresses left" : "no socket");
}

static void open_connection(struct connection *c)
{
    struct sim *sim = c->connector->sim;
    if (sim->dialling < DIALS_MAX) {
        dial(c);
        return;
    }
    c->state = CONNECTION_QUEUED;
    list_push_back(&sim->dial_queue, &c->queued);
}

void connection_dialled(struct connection *c)
{
    struct sim *sim = c->connector->sim;
    sim->dialling--;
    struct list *node = list_pop_front(&sim->dial_queue);
    if (node)
        wait_for(CONTAINER_OF(node, struct connection, queued), 0);
}

void connection_registered(struct connection *c, struct slice location)
{
    struct connector *k = c->connector;
    snprintf(c->location, sizeof c->location, "%.*s", SLICE_ARG(location));
    log_info("connector", "connection %u of %s registered, location %s, edge %s", c->index, k->id, c->location,
             k->sim->edges[c->slot].text);
    c->state = CONNECTION_REGISTERED;
    c->attempts = 0;
    c->avoid = -1;
    if (k->was_registered)
        return;
    k->was_registered = true;
    for (unsigned i = 1; i < k->n_connections; i++)
        wait_for(&k->connections[i], k->sim->pace * i);
}

void connection_refused(struct connection *c, enum loss loss)
{
    c->refusal = loss;
}

void connection_unready(struct connection *c)
{
    if (c->state == CONNECTION_REGISTERED)
        c->state = CONNECTION_UP;
}

/* --- closing --- */

static bool is_over(const struct connector *c)
{
    if (c->gave_up)
        return true;
    for (unsigned i = 0; i < c->n_connections; i++) {
        if (c->connections[i].state != CONNECTION_DONE)
            return false;
    }
    return true;
}

static void end_if_all_are_over(struct sim *sim)
{
    for (unsigned i = 0; i < sim->n_connectors; i++) {
        if (!is_over(sim->connectors[i]))
            return;
    }
    ev_break(sim->loop, EVBREAK_ALL);
}

static void set_done(struct connection *c)
{
    struct sim *sim = c->connector->sim;
    ev_timer_stop(sim->loop, &c->wait);
    list_remove(&c->queued);
    give_slot(c);
    if (c->session)
        session_free(c->session);
    c->session = NULL;
    c->state = CONNECTION_DONE;
}

/* Before its first registration a connector gives up for most reasons; afterwards for none. */
static bool is_fatal(const struct connection *c, enum loss loss)
{
    return !c->connector->was_registered && (loss == LOSS_REFUSED || loss == LOSS_CLOSED);
}

static void try_again(struct connection *c, enum loss loss)
{
    struct sim *sim = c->connector->sim;
    double delay = random_up_to(sim, doubled(sim, c->attempts));
    if (c->connector->was_registered && loss != LOSS_DUPLICATE)
        delay += random_up_to(sim, BACKOFF_BASE * doubled(sim, c->attempts));
    c->attempts++;
    wait_for(c, delay);
}

void connection_lost(struct connection *c, enum loss loss, const char *why)
{
    struct connector *k = c->connector;
    log_info("connector", "connection %u of %s lost: %s", c->index, k->id, why);
    if (c->session)
        session_free(c->session);
    c->session = NULL;
    c->location[0] = '\0';
    if (loss == LOSS_CLOSED && c->refusal != LOSS_NONE)
        loss = c->refusal;
    c->avoid = loss == LOSS_DIAL || loss == LOSS_DUPLICATE ? c->slot : -1;
    give_slot(c);
    if (k->sim->stopping) {
        set_done(c);
        end_if_all_are_over(k->sim);
        return;
    }
    k->gave_up |= is_fatal(c, loss);
    try_again(c, loss);
}

static void on_wait_over(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct connection *c = w->data;
    struct connector *k = c->connector;
    if (!k->gave_up) {
        open_connection(c);
        return;
    }
    log_error("connector", "%s gives up: it was never registered", k->id);
    k->sim->exit_status = 1;
    set_done(c);
    end_if_all_are_over(k->sim);
}

/* What is registered unregisters, and stays until the edge closes it; there is nothing to wait for in the rest. */
static void stop_connection(struct connection *c)
{
    if (c->state == CONNECTION_REGISTERED)
        control_unregister(c->session);
    else
        set_done(c);
}

static void on_grace_over(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)w;
    (void)events;
    log_warning("connector", "the grace period is over");
    ev_break(loop, EVBREAK_ALL);
}

void sim_stop(struct sim *sim)
{
    sim->stopping = true;
    for (unsigned i = 0; i < sim->n_connectors; i++) {
        for (unsigned j = 0; j < sim->connectors[i]->n_connections; j++)
            stop_connection(&sim->connectors[i]->connections[j]);
    }
    ev_timer_init(&sim->grace_timer, on_grace_over, sim->grace, 0);
    ev_timer_start(sim->loop, &sim->grace_timer);
    end_if_all_are_over(sim);
}

/* --- the whole --- */

struct connector *connector_new(struct sim *sim, const struct credentials *credentials, struct ingress *ingress)
{
    struct connector *k = mem_zero(sizeof *k);
    k->sim = sim;
    uuid_make(k->id);
    k->credentials = *credentials;
    k->ingress = ingress_ref(ingress);
    k->version = -1;
    k->n_connections = sim->ha_connections < sim->n_edges ? sim->ha_connections : sim->n_edges;
    k->slot_taken = mem_array(sim->n_edges, sizeof *k->slot_taken);
    k->connections = mem_array(k->n_connections, sizeof *k->connections);
    for (unsigned i = 0; i < k->n_connections; i++) {
        struct connection *c = &k->connections[i];
        c->connector = k;
        c->index = i;
        c->slot = c->avoid = -1;
        list_init(&c->queued);
        ev_init(&c->wait, on_wait_over);
        c->wait.data = c;
    }
    return k;
}

void connector_start(struct connector *k)
{
    open_connection(&k->connections[0]);
}

void connector_free(struct connector *k)
{
    for (unsigned i = 0; i < k->n_connections; i++)
        set_done(&k->connections[i]);
    ingress_unref(k->ingress);
    credentials_clear(&k->credentials);
    free(k->slot_taken);
    free(k->connections);
    free(k);
}

unsigned connector_ready(const struct connector *k)
{
    unsigned ready = 0;
    for (unsigned i = 0; i < k->n_connections && !k->sim->stopping; i++)
        ready += k->connections[i].state == CONNECTION_REGISTERED;
    return ready;
}

bool connector_configure(struct connector *k, int version, json_t *configuration)
{
    char error[256];
    if (version <= k->version)
        return true;
    struct ingress *ingress = ingress_new(configuration, error);
    if (!ingress) {
        log_warning("connector", "configuration %d is not taken: %s", version, error);
        return false;
    }
    log_info("connector", "configuration %d", version);
    ingress_unref(k->ingress);
    k->ingress = ingress;
    k->version = version;
    return true;
}

char *connector_local_configuration(const struct connector *k)
{
    json_t *told = json_pack("{s:{s:s}, s:O, s:{}}", "__configuration_flags", "protocol", "http2", "ingress",
                             json_object_get(k->ingress->json, "ingress"), "warp-routing");
    char *text = json_dumps(told, JSON_COMPACT);
    json_decref(told);
    return text;
}
