#include "conf/parts.h"
#include "conf/types.h"
#include "conf/words.h"

#include "balance/verdict.h"

#include <math.h>
#include <string.h>

void finish_passive(struct loader *l, const struct members *m, void *object)
{
    const struct passive *p = object;
    if (p->ejection_max < p->ejection)
        conf_error(l, member_place(m, has_member(m, "ejection_max") ? "ejection_max" : "ejection"),
                   "`ejection_max` must not be less than `ejection`");
}

static void refuse_unknown_monitor(struct loader *l, const char *name, struct source at)
{
    struct words words = { .nearest.word = name };
    for (size_t i = 0; i < l->config->n_monitors; i++)
        if (l->config->monitors[i].name)
            words_offer(&words, l->config->monitors[i].name);
    words_refuse(l, at, "monitor", &words);
}

static void read_monitors(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct pool *pool = object;
    size_t n = 0;
    if (!require_list(l, k, g))
        return;
    struct monitor **all = arena_array(&l->config->arena, count_elements(g), sizeof *all);
    for (size_t i = 0; i < count_elements(g); i++) {
        struct element e = element_at(g, i);
        struct monitor *monitor = e.text ? find_monitor(l, e.text) : NULL;
        if (e.text && !monitor)
            refuse_unknown_monitor(l, e.text, e.at);
        for (size_t j = 0; monitor && j < n; j++)
            if (all[j] == monitor)
                conf_error(l, e.at, "`%s` names \"%s\" twice", k->name, e.text);
        if (monitor)
            all[n++] = monitor;
    }
    pool->monitors = all;
    pool->n_monitors = n;
}

_Static_assert(EVIDENCE_MONITORS_MAX == 8, "the range of pools[].monitors in schema.c");
const struct conf_type type_pool_monitors = { "a list of monitors' names [ \"…\" ]", "list of names", .read = read_monitors };

/* --- endpoints within their pool --- */

static void number_endpoints(struct loader *l, struct pool *p)
{
    for (size_t i = 0; i < p->n_endpoints; i++) {
        struct endpoint *e = &p->endpoints[i];
        e->pool = p;
        e->order = (unsigned)i;
        e->id = arena_printf(&l->config->arena, "%s/%s", p->name, e->name);
        e->hash = config_hash(e->id);
    }
}

static void check_coordinates(struct loader *l, const struct members *m, const struct pool *p)
{
    if (isnan(p->latitude) != isnan(p->longitude))
        conf_error(l, m->at, "`latitude` and `longitude` go together");
}

static void check_minimum(struct loader *l, const struct members *m, const struct pool *p)
{
    if (p->minimum_endpoints > p->n_endpoints && p->n_endpoints)
        conf_error(l, member_place(m, "minimum_endpoints"),
                   "`minimum_endpoints` is %u, but the pool has %zu endpoints: it could never be used", p->minimum_endpoints,
                   p->n_endpoints);
}

static void watch_by_default(struct loader *l, const struct members *m, struct pool *p)
{
    if (has_member(m, "monitors"))
        return;
    struct monitor **one = arena_alloc(&l->config->arena, sizeof *one);
    *one = default_monitor(l);
    p->monitors = one;
    p->n_monitors = 1;
}

void finish_pool(struct loader *l, const struct members *m, void *object)
{
    struct pool *p = object;
    check_unique_names(l, "endpoint", p->endpoints, p->n_endpoints, sizeof *p->endpoints, offsetof(struct endpoint, name),
                       offsetof(struct endpoint, at));
    check_coordinates(l, m, p);
    check_minimum(l, m, p);
    watch_by_default(l, m, p);
    if (!has_member(m, "endpoint_steering"))
        configure_default_steering(l, &p->steering, m->at);
    if (!is_good(l, m))
        return;
    p->hash = config_hash(p->name);
    number_endpoints(l, p);
}
