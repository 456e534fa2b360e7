#include "balance/tunnel.h"

#include "balance/config.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *tunnel_status_name(enum tunnel_status status)
{
    static const char *const names[] = { "unknown", "healthy", "degraded", "down", "inactive" };
    return names[status];
}

bool tunnel_name_is_valid(const char *name)
{
    char uuid[UUID_TEXT_SIZE];
    return config_is_name(name) && strlen(name) < TUNNEL_NAME_SIZE && !uuid_parse(name, uuid);
}

struct tunnel_line *tunnel_line_ref(struct tunnel_line *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void tunnel_line_unref(struct tunnel_line *l)
{
    if (l && atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1)
        free(l);
}

struct tunnel_connector *tunnel_connector_ref(struct tunnel_connector *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void tunnel_connector_unref(struct tunnel_connector *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        free(c);
}

void tunnel_view_unref(struct tunnel_view *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < v->n_connectors; i++)
        tunnel_connector_unref(v->connectors[i].connector);
    for (size_t i = 0; i < v->n_lines; i++)
        tunnel_line_unref(v->lines[i]);
    free(v->connectors);
    free(v->lines);
    free(v);
}

struct tunnel *tunnel_new(const char *id, const char *name)
{
    struct tunnel *t = mem_zero(sizeof *t);
    atomic_init(&t->refs, 1);
    snprintf(t->id, sizeof t->id, "%s", id);
    snprintf(t->name, sizeof t->name, "%s", name);
    pthread_mutex_init(&t->lock, NULL);
    t->view = mem_zero(sizeof *t->view);
    atomic_init(&t->view->refs, 1);
    return t;
}

struct tunnel *tunnel_ref(struct tunnel *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tunnel_unref(struct tunnel *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    tunnel_view_unref(t->view);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

struct tunnel_view *tunnel_get_view(struct tunnel *t)
{
    pthread_mutex_lock(&t->lock);
    struct tunnel_view *v = t->view;
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&t->lock);
    return v;
}

static bool takes_streams(const struct tunnel_connector *c)
{
    return !atomic_load_explicit(&c->drained_at, memory_order_relaxed) && atomic_load_explicit(&c->weight, memory_order_relaxed) > 0;
}

/* Adds up the lines that could have a stream. */
static void count_usable(const struct tunnel_view *v, uint32_t *usable, uint32_t *held_back)
{
    for (size_t c = 0; c < v->n_connectors; c++) {
        const struct tunnel_view_connector *vc = &v->connectors[c];
        uint32_t *n = takes_streams(vc->connector) ? usable : held_back;
        for (size_t i = 0; i < vc->n_lines; i++)
            *n += tunnel_line_is_usable(v->lines[vc->first_line + i]);
    }
}

/* With the lock held. */
static bool recount(struct tunnel *t)
{
    uint32_t now = 0, held_back = 0;
    count_usable(t->view, &now, &held_back);
    atomic_store_explicit(&t->held_back, held_back, memory_order_relaxed);
    uint32_t before = atomic_exchange_explicit(&t->usable, now, memory_order_acq_rel);
    bool weighs_otherwise = now != before && atomic_load_explicit(&t->scales, memory_order_relaxed);
    return weighs_otherwise || (now > 0) != (before > 0);
}

bool tunnel_set_view(struct tunnel *t, struct tunnel_view *v)
{
    pthread_mutex_lock(&t->lock);
    struct tunnel_view *old = t->view;
    t->view = v;
    bool turned = recount(t);
    atomic_fetch_add_explicit(&t->version, 1, memory_order_release);
    pthread_mutex_unlock(&t->lock);
    tunnel_view_unref(old);
    return turned;
}

bool tunnel_set_line_state(struct tunnel *t, struct tunnel_line *l, enum line_state state)
{
    pthread_mutex_lock(&t->lock);
    atomic_store_explicit(&l->state, (uint8_t)state, memory_order_release);
    bool turned = recount(t);
    pthread_mutex_unlock(&t->lock);
    return turned;
}

bool tunnel_recount(struct tunnel *t)
{
    pthread_mutex_lock(&t->lock);
    bool turned = recount(t);
    atomic_fetch_add_explicit(&t->version, 1, memory_order_release);
    pthread_mutex_unlock(&t->lock);
    return turned;
}
