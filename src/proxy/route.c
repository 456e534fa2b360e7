#include "proxy/route.h"

#include "base/mem.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { HOST_MAX = 255 }; /* RFC 1035 2.3.4; anything longer can only match "*" */

/* Exact names and suffixes of "*.x" share a table, told apart by the seed of their hash and by `any_depth`. */
struct route {
    uint64_t hash;
    struct slice name; /* lower case, without "*." */
    bool any_depth;
    const struct load_balancer *load_balancer; /* NULL: a free slot */
};

struct route_table {
    const struct load_balancer *everything; /* "*" */
    size_t mask;
    struct route slots[];
};

static uint64_t hash_name(struct slice name, bool any_depth)
{
    return XXH3_64bits_withSeed(name.p, name.n, any_depth);
}

/* The route, or the free slot where it would stand. */
static const struct route *find_slot(const struct route_table *t, struct slice name, bool any_depth)
{
    uint64_t hash = hash_name(name, any_depth);

    for (size_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        const struct route *r = &t->slots[i];
        if (!r->load_balancer || (r->hash == hash && r->any_depth == any_depth && slice_eq(r->name, name)))
            return r;
    }
}

/* A name given twice is the first one's; the configuration's checks refuse it anyway. */
static void add(struct route_table *t, struct slice name, bool any_depth, const struct load_balancer *lb)
{
    size_t at = (size_t)(find_slot(t, name, any_depth) - t->slots);

    if (!t->slots[at].load_balancer)
        t->slots[at] = (struct route){ hash_name(name, any_depth), name, any_depth, lb };
}

static void add_hostname(struct route_table *t, const char *hostname, const struct load_balancer *lb)
{
    struct slice name = slice_of(hostname);

    if (name.n == 1 && name.p[0] == '*')
        t->everything = t->everything ? t->everything : lb;
    else if (name.n > 2 && name.p[0] == '*' && name.p[1] == '.')
        add(t, (struct slice){ name.p + 2, name.n - 2 }, true, lb);
    else
        add(t, name, false, lb);
}

/* At the most half full, so that a search ends soon. */
static size_t slots_for(const struct config *config)
{
    size_t names = 0, slots = 2;

    for (size_t i = 0; i < config->n_load_balancers; i++)
        names += config->load_balancers[i].hostnames.n;
    while (slots < 2 * names)
        slots *= 2;
    return slots;
}

struct route_table *route_table_new(const struct config *config)
{
    size_t slots = slots_for(config);
    struct route_table *t = mem_zero(sizeof *t + slots * sizeof *t->slots);

    t->mask = slots - 1;
    for (size_t i = 0; i < config->n_load_balancers; i++) {
        const struct load_balancer *lb = &config->load_balancers[i];
        for (size_t j = 0; j < lb->hostnames.n; j++)
            add_hostname(t, lb->hostnames.items[j], lb);
    }
    return t;
}

void route_table_free(struct route_table *t)
{
    free(t);
}

static struct slice to_lower(struct slice host, char out[static HOST_MAX])
{
    for (size_t i = 0; i < host.n; i++)
        out[i] = host.p[i] >= 'A' && host.p[i] <= 'Z' ? (char)(host.p[i] | 0x20) : host.p[i];
    return (struct slice){ out, host.n };
}

/* What follows the next dot; empty at the end. */
static struct slice parent(struct slice name)
{
    const char *dot = memchr(name.p, '.', name.n);

    if (!dot)
        return (struct slice){ name.p + name.n, 0 };
    return (struct slice){ dot + 1, name.n - (size_t)(dot + 1 - name.p) };
}

const struct load_balancer *route_find(const struct route_table *t, struct slice host)
{
    char lower[HOST_MAX];

    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    if (host.n > HOST_MAX)
        return t->everything;
    struct slice name = to_lower(host, lower);
    const struct load_balancer *found = find_slot(t, name, false)->load_balancer;
    for (name = parent(name); !found && name.n; name = parent(name))
        found = find_slot(t, name, true)->load_balancer;
    return found ? found : t->everything;
}
