#include "balance/config.h"

#include "balance/live.h"
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
    for (size_t i = 0; i < p->n_endpoints; i++)
        if (p->endpoints[i].live)
            endpoint_live_unref(p->endpoints[i].live);
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
        steering_release(&c->load_balancers[i].steering);
    arena_clear(&c->arena);
    free(c);
}

void config_unref(struct config *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        config_free(c);
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
