#include "balance/config.h"

#include "balance/geoip.h"
#include "balance/live.h"
#include "balance/tally.h"
#include "balance/tunnel.h"
#include "base/mem.h"
#include "net/tls.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#define XXH_INLINE_ALL
#include <pcre2.h>
#include <string.h>
#include <xxhash.h>

struct config *config_new(void)
{
    struct config *c = mem_zero(sizeof *c);
    atomic_init(&c->refs, 1);
    return c;
}

static void steering_release(struct steering_conf *s)
{
    if (s->policy && s->policy->release && s->config)
        s->policy->release(s->config);
}

static void pool_release(struct pool *p)
{
    steering_release(&p->steering);
    tally_unref(p->shed);
    for (size_t i = 0; i < p->n_endpoints; i++) {
        endpoint_live_unref(p->endpoints[i].live);
        tunnel_unref(p->endpoints[i].edge_tunnel);
    }
}

static void load_balancer_release(struct load_balancer *lb)
{
    steering_release(&lb->steering);
    for (size_t i = 0; i < lb->n_rules; i++) {
        pcre2_code_free(lb->rules[i].match.pattern);
        tally_unref(lb->rules[i].requests);
        if (lb->rules[i].balancer.steering.config != lb->steering.config)
            steering_release(&lb->rules[i].balancer.steering);
    }
}

/* A configuration that was refused half-way is freed like any other. */
static void config_free(struct config *c)
{
    for (size_t i = 0; i < c->n_listeners; i++)
        tls_server_free(c->listeners[i].tls_server);
    for (size_t i = 0; i < c->n_tls_clients; i++)
        tls_client_free(c->tls_clients[i]);
    for (size_t i = 0; i < c->n_monitors; i++)
        pcre2_code_free(c->monitors[i].expected_pattern);
    for (size_t i = 0; i < c->n_pools; i++)
        pool_release(&c->pools[i]);
    for (size_t i = 0; i < c->n_load_balancers; i++)
        load_balancer_release(&c->load_balancers[i]);
    steering_release(&c->edge.replica_steering);
    geoip_unref(c->geoip.opened);
    for (size_t i = 0; i < c->n_modules; i++)
        steering_module_unref(c->modules[i]);
    free(c->modules);
    arena_clear(&c->arena);
    free(c);
}

void config_unref(struct config *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        config_free(c);
}

bool config_is_name(const char *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return *s && strchr(letters, *s) && s[strspn(s, others)] == '\0';
}

uint64_t config_hash(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

/* Names are unset in a configuration that is still being read and was found wrong. */
struct pool *config_find_pool(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_pools; i++)
        if (c->pools[i].name && strcmp(c->pools[i].name, name) == 0)
            return &c->pools[i];
    return NULL;
}

struct endpoint *config_find_endpoint(const struct config *c, const char *id)
{
    uint64_t hash = config_hash(id);

    for (size_t i = 0; i < c->n_endpoints; i++)
        if (c->endpoints[i]->hash == hash && strcmp(c->endpoints[i]->id, id) == 0)
            return c->endpoints[i];
    return NULL;
}

/* Where what follows a "*" does not match, the last "*" takes one more character: that is enough, since an earlier one could only leave less. */
bool config_pattern_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *taken = NULL;

    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            taken = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++taken;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

const struct edge_pattern *config_find_pattern(const struct pool *p, const char *tunnel_name)
{
    for (size_t i = 0; i < p->n_patterns; i++)
        if (config_pattern_matches(p->patterns[i].pattern, tunnel_name))
            return &p->patterns[i];
    return NULL;
}

static bool names_tunnel(const struct edge_ingress *ingress, const char *id, const char *name)
{
    for (size_t i = 0; i < ingress->tunnels.n; i++)
        if (strcmp(ingress->tunnels.items[i], id) == 0 || strcmp(ingress->tunnels.items[i], name) == 0)
            return true;
    return false;
}

static bool matches_tunnel(const struct edge_ingress *ingress, const char *name)
{
    for (size_t i = 0; i < ingress->tunnels.n; i++)
        if (config_pattern_matches(ingress->tunnels.items[i], name))
            return true;
    return false;
}

const struct edge_ingress *config_find_ingress(const struct config *c, const char *tunnel_id, const char *tunnel_name)
{
    for (size_t i = 0; i < c->edge.n_ingress; i++)
        if (names_tunnel(&c->edge.ingress[i], tunnel_id, tunnel_name))
            return &c->edge.ingress[i];
    for (size_t i = 0; i < c->edge.n_ingress; i++)
        if (matches_tunnel(&c->edge.ingress[i], tunnel_name))
            return &c->edge.ingress[i];
    return NULL;
}

const struct edge_tunnel_conf *config_find_edge_tunnel(const struct config *c, const char *id_or_name)
{
    for (size_t i = 0; i < c->edge.n_tunnels; i++) {
        const struct edge_tunnel_conf *t = &c->edge.tunnels[i];
        if ((t->id && strcmp(t->id, id_or_name) == 0) || (t->name && strcmp(t->name, id_or_name) == 0))
            return t;
    }
    return NULL;
}
