#include "proxy/core.h"

#include "proxy/choose.h"
#include "proxy/rules.h"
#include "proxy/upstream.h"

static struct upstream_pool *find_kept(const struct snapshot *old, const struct endpoint *e)
{
    if (!old)
        return NULL;
    const struct endpoint *before = config_find_endpoint(old->config, e->id);
    return before ? upstream_pool_ref_for(old->upstreams[before->index], e) : NULL;
}

static bool take_over_upstreams(struct snapshot *s, const struct snapshot *old)
{
    s->upstreams = calloc(s->config->n_endpoints + 1, sizeof *s->upstreams);
    for (size_t i = 0; s->upstreams && i < s->config->n_endpoints; i++) {
        const struct endpoint *e = s->config->endpoints[i];
        if (!(s->upstreams[i] = find_kept(old, e)) && !(s->upstreams[i] = upstream_pool_new(s->worker, e)))
            return false;
    }
    return s->upstreams != NULL;
}

static int compare_hashes(const void *a, const void *b)
{
    const struct endpoint *const *x = a, *const *y = b;
    return ((*x)->hash > (*y)->hash) - ((*x)->hash < (*y)->hash);
}

static bool sort_by_hash(struct snapshot *s)
{
    size_t n = s->config->n_endpoints;
    if (!(s->by_hash = calloc(n + 1, sizeof *s->by_hash)))
        return false;
    for (size_t i = 0; i < n; i++)
        s->by_hash[i] = s->config->endpoints[i];
    qsort(s->by_hash, n, sizeof *s->by_hash, compare_hashes);
    return true;
}

const struct endpoint *snapshot_find_endpoint(const struct snapshot *s, uint64_t hash)
{
    size_t from = 0, to = s->config->n_endpoints;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (s->by_hash[middle]->hash < hash)
            from = middle + 1;
        else
            to = middle;
    }
    return from < s->config->n_endpoints && s->by_hash[from]->hash == hash ? s->by_hash[from] : NULL;
}

static void snapshot_free(struct snapshot *s)
{
    for (size_t i = 0; s->upstreams && i < s->config->n_endpoints; i++)
        if (s->upstreams[i])
            upstream_pool_unref(s->upstreams[i]);
    free(s->upstreams);
    free(s->by_hash);
    rules_room_free(s->rules_room);
    choose_clear(s);
    route_table_free(s->routes);
    config_unref(s->config);
    free(s);
}

struct snapshot *snapshot_new(struct worker *w, struct config *config, const struct snapshot *old)
{
    struct snapshot *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct snapshot){ .config = config_ref(config), .worker = w, .refs = 1, .routes = route_table_new(config) };
    if (!(s->rules_room = rules_room_new()) || !sort_by_hash(s) || !take_over_upstreams(s, old) || !choose_init(s)) {
        snapshot_free(s);
        return NULL;
    }
    config_unref(config); /* the reference that was given, now that nothing can fail */
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (!--s->refs)
        snapshot_free(s);
}
