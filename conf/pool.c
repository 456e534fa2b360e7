#include "conf/parts.h"
#include "conf/types.h"
#include "conf/words.h"

#include "balance/verdict.h"

#include <stdlib.h>
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

/* Of a pool, while its endpoints are put together. */
struct assembly {
    struct pool *pool;
    const struct endpoint_in_file *given; /* by the order of the file */
    size_t n_given;
};

/* Whether the file has the tunnel itself, or an endpoint of its name. */
static bool is_written(const struct assembly *a, const struct conf_joined *j)
{
    for (size_t i = 0; i < a->n_given; i++) {
        const struct endpoint *e = &a->given[i].endpoint;
        if (e->name && strcmp(e->name, j->name) == 0)
            return true;
        if (e->kind == ENDPOINT_EDGE && e->tunnel && (strcmp(e->tunnel, j->tunnel) == 0 || strcmp(e->tunnel, j->name) == 0))
            return true;
    }
    return false;
}

static bool joins_by(const struct assembly *a, const struct edge_pattern *pattern, const struct conf_joined *j)
{
    return a->pool->name && strcmp(j->pool, a->pool->name) == 0 && config_find_pattern(a->pool, j->name) == pattern && !is_written(a, j);
}

static void add_joined(struct loader *l, const struct assembly *a, const struct edge_pattern *pattern, const struct endpoint *as)
{
    for (size_t i = 0; i < l->n_joined; i++) {
        const struct conf_joined *j = &l->joined[i];
        if (!joins_by(a, pattern, j))
            continue;
        struct endpoint *e = &a->pool->endpoints[a->pool->n_endpoints++];
        *e = *as;
        e->name = arena_copy_text(&l->config->arena, j->name);
        e->tunnel = arena_copy_text(&l->config->arena, j->tunnel);
        e->joined = true;
    }
}

static void collect_patterns(struct loader *l, const struct assembly *a)
{
    struct edge_pattern *all = arena_array(&l->config->arena, a->n_given, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < a->n_given; i++) {
        const struct endpoint_in_file *f = &a->given[i];
        if (f->tunnels)
            all[n++] = (struct edge_pattern){ f->tunnels, f->identical, f->endpoint.weight, f->endpoint.at };
    }
    a->pool->patterns = all;
    a->pool->n_patterns = n;
}

static void assemble(struct loader *l, const struct assembly *a)
{
    const struct edge_pattern *pattern = a->pool->patterns;
    a->pool->endpoints = arena_array(&l->config->arena, a->n_given + l->n_joined, sizeof *a->pool->endpoints);
    for (size_t i = 0; i < a->n_given; i++) {
        if (a->given[i].tunnels)
            add_joined(l, a, pattern++, &a->given[i].endpoint);
        else
            a->pool->endpoints[a->pool->n_endpoints++] = a->given[i].endpoint;
    }
}

static void read_endpoints(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct pool *pool = object;
    if (!require_groups(l, k, g))
        return;
    size_t n = count_elements(g);
    struct endpoint_in_file *given = arena_array(&l->scratch, n, sizeof *given);
    struct assembly a = { pool, given, n };
    for (size_t i = 0; i < n; i++)
        read_item(l, k, element_at(g, i).setting, &given[i]);
    collect_patterns(l, &a);
    assemble(l, &a);
    if (pool->n_endpoints > strtoul(k->most, NULL, 10))
        conf_error(l, given_place(g), "`endpoints` would be %zu with the tunnels that join; %s is the most", pool->n_endpoints, k->most);
}

const struct conf_type type_pool_endpoints = { "a list of groups ( { … }, { … } )", "list of groups", .is_list = true, .is_group = true,
                                               .read = read_endpoints };

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

static void check_minimum(struct loader *l, const struct members *m, const struct pool *p)
{
    if (p->minimum_endpoints > p->n_endpoints && p->n_endpoints && !p->n_patterns)
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
    check_coordinates(l, m, p->latitude, p->longitude);
    check_minimum(l, m, p);
    watch_by_default(l, m, p);
    if (!has_member(m, "endpoint_steering"))
        configure_default_steering(l, &p->steering, m->at);
    if (!is_good(l, m))
        return;
    p->hash = config_hash(p->name);
    number_endpoints(l, p);
}
