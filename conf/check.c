/* What only the configuration as a whole can show. */
#include "conf/files.h"
#include "conf/parts.h"

#include "balance/pool_map.h"
#include "base/mem.h"

#include <pwd.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* --- duplicates --- */

struct named {
    const char *name;
    struct source at;
    size_t order;
};

static int compare_names(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);
    return by_name ? by_name : (x->order > y->order) - (x->order < y->order);
}

static void tell_duplicate(struct loader *l, const char *what, const struct named *again, const struct named *first)
{
    bool same_file = strcmp(again->at.file, first->at.file) == 0;
    conf_error(l, again->at, "the %s \"%s\" is there already, in %s%s%u", what, again->name, same_file ? "line " : first->at.file,
               same_file ? "" : ":", first->at.line);
}

static void check_unique(struct loader *l, const char *what, struct named *all, size_t n)
{
    size_t first = 0;
    if (n < 2)
        return;
    qsort(all, n, sizeof *all, compare_names);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(all[i].name, all[first].name) == 0)
            tell_duplicate(l, what, &all[i], &all[first]);
        else
            first = i;
    }
}

void check_unique_names(struct loader *l, const char *what, const void *objects, size_t n, size_t size, size_t name, size_t at)
{
    struct named *all = mem_array(n ? n : 1, sizeof *all);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        const char *object = (const char *)objects + i * size;
        memcpy(&all[m].name, object + name, sizeof all[m].name);
        memcpy(&all[m].at, object + at, sizeof all[m].at);
        all[m].order = i;
        m += all[m].name != NULL;
    }
    check_unique(l, what, all, m);
    free(all);
}

static void check_hostnames(struct loader *l)
{
    const struct config *c = l->config;
    size_t n = 0, m = 0;
    for (size_t i = 0; i < c->n_load_balancers; i++)
        n += c->load_balancers[i].hostnames.n;
    struct named *all = mem_array(n ? n : 1, sizeof *all);
    for (size_t i = 0; i < c->n_load_balancers; i++)
        for (size_t j = 0; j < c->load_balancers[i].hostnames.n; j++, m++)
            all[m] = (struct named){ c->load_balancers[i].hostnames.items[j], c->load_balancers[i].at, m };
    check_unique(l, "hostname", all, n);
    free(all);
}

static void check_addresses_of_edge(struct loader *l)
{
    const struct config *c = l->config;
    for (size_t i = 0; i < c->edge.addresses.n; i++) {
        const char *address = c->edge.addresses.items[i];
        for (size_t j = 0; j < c->n_listeners; j++)
            if (c->listeners[j].address && strcmp(c->listeners[j].address, address) == 0)
                conf_error(l, c->listeners[j].at, "`edge` has the address %s already", address);
        if (c->admin.address && strcmp(c->admin.address, address) == 0)
            conf_error(l, (struct source){ c->file, 0 }, "`edge` and `admin` both have the address %s", address);
    }
}

static void check_duplicates(struct loader *l)
{
    const struct config *c = l->config;
    check_unique_names(l, "listener", c->listeners, c->n_listeners, sizeof *c->listeners, offsetof(struct listener, address),
                       offsetof(struct listener, at));
    check_unique_names(l, "monitor", c->monitors, c->n_monitors, sizeof *c->monitors, offsetof(struct monitor, name),
                       offsetof(struct monitor, at));
    check_unique_names(l, "pool", c->pools, c->n_pools, sizeof *c->pools, offsetof(struct pool, name), offsetof(struct pool, at));
    check_unique_names(l, "channel", c->channels, c->n_channels, sizeof *c->channels, offsetof(struct channel_conf, name),
                       offsetof(struct channel_conf, at));
    check_hostnames(l);
    check_addresses_of_edge(l);
    for (size_t i = 0; i < c->n_listeners; i++)
        if (c->admin.address && c->listeners[i].address && strcmp(c->admin.address, c->listeners[i].address) == 0)
            conf_error(l, c->listeners[i].at, "`admin` has the address %s already", c->admin.address);
}

/* --- what nobody uses --- */

static bool is_pool_used(const struct config *c, const struct pool *pool)
{
    for (size_t i = 0; i < c->n_load_balancers; i++)
        if (load_balancer_uses_pool(&c->load_balancers[i], pool))
            return true;
    return false;
}

static bool is_monitor_used(const struct config *c, const struct monitor *monitor)
{
    for (size_t i = 0; i < c->n_pools; i++)
        for (size_t j = 0; j < c->pools[i].n_monitors; j++)
            if (c->pools[i].monitors[j] == monitor)
                return true;
    return false;
}

static bool has_weight(const struct pool *pool)
{
    for (size_t i = 0; i < pool->n_endpoints; i++)
        if (pool->endpoints[i].weight > 0)
            return true;
    for (size_t i = 0; i < pool->n_patterns; i++)
        if (pool->patterns[i].weight > 0)
            return true;
    return false;
}

static void warn_of_unused(struct loader *l)
{
    const struct config *c = l->config;
    struct source whole = { c->file, 0 };
    for (size_t i = 0; i < c->n_pools; i++)
        if (!is_pool_used(c, &c->pools[i]))
            conf_warning(l, c->pools[i].at, "no load balancer uses the pool \"%s\"", c->pools[i].name);
        else if (!has_weight(&c->pools[i]))
            conf_warning(l, c->pools[i].at, "the pool \"%s\" gets no requests: all its endpoints have weight 0", c->pools[i].name);
    for (size_t i = 0; i < c->n_monitors; i++)
        if (!is_monitor_used(c, &c->monitors[i]))
            conf_warning(l, c->monitors[i].at, "no pool uses the monitor \"%s\"", c->monitors[i].name);
    if (c->n_listeners == 0)
        conf_warning(l, whole, "no `listeners`: nobody can connect");
    if (c->n_load_balancers == 0)
        conf_warning(l, whole, "no `load_balancers`: every request gets 404");
}

/* --- Cloudflare's rules --- */

static bool leads_to_cloudflare(const struct pool *pool)
{
    for (size_t i = 0; pool && i < pool->n_endpoints; i++)
        if (pool->endpoints[i].behind_cloudflare)
            return true;
    return false;
}

static bool balancer_leads_to_cloudflare(const struct load_balancer *lb)
{
    bool leads = leads_to_cloudflare(lb->fallback_pool);
    for (size_t i = 0; i < lb->n_lists; i++)
        for (size_t j = 0; j < lb->lists[i].n; j++)
            leads = leads || leads_to_cloudflare(lb->lists[i].pools[j]);
    return leads;
}

static bool has_hostname(const struct load_balancer *lb, const char *hostname)
{
    for (size_t i = 0; i < lb->hostnames.n; i++)
        if (strcmp(lb->hostnames.items[i], hostname) == 0)
            return true;
    return false;
}

/* Where nothing else is dialled, the name leads back here, unless it resolves to something else on this machine. */
static void check_loops(struct loader *l, const struct load_balancer *lb)
{
    for (size_t i = 0; i < l->config->n_endpoints; i++) {
        const struct endpoint *e = l->config->endpoints[i];
        if (load_balancer_uses_pool(lb, e->pool) && e->hostname && strcmp(e->hostname, e->dial_host) == 0 && has_hostname(lb, e->hostname))
            conf_warning(l, e->at, "the load balancer serves %s itself: if the name leads here, requests go round in circles",
                         e->hostname);
    }
}

static void check_cloudflare(struct loader *l)
{
    const struct config *c = l->config;
    for (size_t i = 0; i < c->n_load_balancers; i++) {
        const struct load_balancer *lb = &c->load_balancers[i];
        check_loops(l, lb);
        if (balancer_leads_to_cloudflare(lb))
            conf_warning(l, lb->at,
                         "endpoints lie behind Cloudflare: where %s is in Cloudflare's DNS it must be DNS-only (grey cloud), "
                         "else requests end in error 1000",
                         lb->name);
    }
}

/* --- */

static void check_user(struct loader *l, const struct members *m)
{
    char buffer[16 * 1024];
    struct passwd entry, *found = NULL;
    const char *user = l->config->user;
    if (user && (getpwnam_r(user, &entry, buffer, sizeof buffer, &found) != 0 || !found))
        conf_error(l, member_place(m, "user"), "there is no user \"%s\" on this machine", user);
    else if (user)
        check_files_of_user(l);
}

/* As many as CPUs we may run on, where the file leaves it open. */
static void resolve_workers(struct config *c)
{
    cpu_set_t cpus;
    if (c->workers == 0 && sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        c->workers = (unsigned)CPU_COUNT(&cpus);
    if (c->workers == 0)
        c->workers = 1;
}

static void index_lists(struct config *c, const struct load_balancer *lb)
{
    for (size_t i = 0; i < lb->n_lists; i++)
        ((struct pool_list *)lb->lists)[i].index = (unsigned)c->n_lists++;
}

static void index_all(struct config *c)
{
    unsigned n = 0;
    for (size_t i = 0; i < c->n_pools; i++)
        c->n_endpoints += c->pools[i].n_endpoints;
    c->endpoints = arena_array(&c->arena, c->n_endpoints, sizeof *c->endpoints);
    for (size_t i = 0; i < c->n_pools; i++) {
        c->pools[i].index = (unsigned)i;
        for (size_t j = 0; j < c->pools[i].n_endpoints; j++, n++) {
            c->endpoints[n] = &c->pools[i].endpoints[j];
            c->endpoints[n]->index = n;
        }
    }
    for (size_t i = 0; i < c->n_load_balancers; i++) {
        index_lists(c, &c->load_balancers[i]);
        for (size_t j = 0; j < c->load_balancers[i].n_rules; j++)
            index_lists(c, &c->load_balancers[i].rules[j].balancer);
    }
}

void finish_root(struct loader *l, const struct members *m, void *object)
{
    check_duplicates(l);
    check_user(l, m);
    if (!is_good(l, m))
        return;
    resolve_workers(object);
    index_all(object);
    settle_places(object);
    check_cloudflare(l);
    check_maps(l);
    warn_of_unused(l);
}
