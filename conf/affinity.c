#include "conf/files.h"
#include "conf/parts.h"
#include "conf/secret.h"
#include "conf/types.h"

#include "base/mem.h"
#include "http/scan.h"

#include <errno.h>
#include <string.h>

enum { KEY_FILE_MAX = 64 * 1024 };

/* --- keys --- */

static void read_session_keys(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct source at = given_place(g);
    const char *text = require_text(l, k, g->settings[0]), *path = text ? name_file(l, text, at) : NULL, *wrong;
    size_t n;
    char *content = path ? read_regular_file(path, KEY_FILE_MAX, &n) : NULL;
    if (path && !content && errno == EFBIG)
        conf_error(l, at, "%s is too large to be a file of keys", path);
    if (!content)
        return;
    warn_of_readable_secret(l, path, at);
    if (!session_keys_parse((struct slice){ content, n }, (struct session_keys *)(void *)((char *)object + k->offset), &wrong))
        conf_error(l, at, "%s %s", path, wrong);
    mem_free_secret(content);
}

const struct conf_type type_session_keys = { "a string", "file", .read = read_session_keys };

/* --- the group --- */

static bool is_token(const char *name)
{
    return *name && scan_token(name, name + strlen(name)) == name + strlen(name);
}

static void require_token(struct loader *l, const struct members *m, const char *key)
{
    const char *name = member_text(m, key);
    if (name && !is_token(name))
        conf_error(l, member_place(m, key), "`%s`: \"%s\" has characters that names have not", key, name);
}

static void refuse_members(struct loader *l, const struct members *m, const char *const *keys, const char *why)
{
    for (; *keys; keys++)
        if (has_member(m, *keys))
            conf_error(l, member_place(m, *keys), "`%s` %s", *keys, why);
}

static void finish_header(struct loader *l, const struct members *m, struct affinity_conf *a)
{
    static const char *const of_cookies[] = { "name", "ttl", "idle", "samesite", "secure", "drain_duration", NULL };
    refuse_members(l, m, of_cookies, "means nothing to sessions by a header: there is no cookie, and no memory of them");
    a->name = NULL;
    if (!a->header)
        conf_error(l, m->at, "session affinity of type header needs a `header`");
    if (!has_member(m, "failover"))
        a->failover = AFFINITY_TEMPORARY;
    else if (a->failover == AFFINITY_STICKY)
        conf_error(l, member_place(m, "failover"), "`failover` can't be sticky with type header: nothing says that a session moved");
    a->key = (struct request_key){ REQUEST_KEY_HEADER, a->header };
}

static void finish_cookie(struct loader *l, const struct members *m, struct affinity_conf *a)
{
    static const char *const of_headers[] = { "header", NULL };
    refuse_members(l, m, of_headers, "means something with type header only");
    if (a->idle >= a->ttl)
        conf_error(l, member_place(m, "idle"), "`idle` must be less than `ttl`");
    if (a->idle && a->idle < NSEC_PER_SEC)
        conf_error(l, member_place(m, "idle"), "`idle` must be \"0s\" or at least \"1s\"");
    if (a->same_site == SAME_SITE_NONE && a->secure == AFFINITY_SECURE_NEVER)
        conf_error(l, member_place(m, "secure"), "browsers refuse a cookie with `samesite = \"none\"` that is not secure");
    if (a->secure == AFFINITY_SECURE_NEVER && a->name && (strncmp(a->name, "__Host-", 7) == 0 || strncmp(a->name, "__Secure-", 9) == 0))
        conf_error(l, member_place(m, "secure"), "browsers refuse a cookie with the name \"%s\" that is not secure", a->name);
    if (a->type == AFFINITY_IP_COOKIE)
        a->key.kind = REQUEST_KEY_CLIENT_IP;
}

/* What says how sessions are kept wants some: that there are none is said by name. */
static void require_type(struct loader *l, const struct members *m)
{
    for (const struct conf_key *k = m->group->keys; k->name; k++)
        if (has_member(m, k->name) && !has_member(m, "type")) {
            conf_error(l, member_place(m, k->name),
                       "`session_affinity` has `%s` but no `type`, so there would be no sessions: add one, such as type = \"cookie\"", k->name);
            return;
        }
}

void finish_affinity(struct loader *l, const struct members *m, void *object)
{
    struct affinity_conf *a = object;
    require_type(l, m);
    require_token(l, m, "name");
    require_token(l, m, "header");
    switch (a->type) {
    case AFFINITY_NONE: a->name = NULL; break;
    case AFFINITY_HEADER: finish_header(l, m, a); break;
    case AFFINITY_COOKIE:
    case AFFINITY_IP_COOKIE: finish_cookie(l, m, a); break;
    }
}

/* --- the cookies of rules --- */

/* Pools that requests of one session may be sent to, one after the other, by different rules: those that stand in a list together, and whoever
 * shares a pool with them. */
struct circles {
    const struct pool *pools; /* of the configuration */
    size_t n;
    const struct pool **firsts; /* by pool: the first of its circle; NULL: of none so far */
};

static const struct pool **first_of(const struct circles *c, const struct pool *p)
{
    return &c->firsts[p - c->pools];
}

static void unite(const struct circles *c, const struct pool *first, const struct pool *other)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->firsts[i] == other)
            c->firsts[i] = first;
}

/* `first`: the list belongs to that circle; NULL: to the one of its pools that was there before, or its own. */
static void add_list(const struct circles *c, const struct pool_list *list, const struct pool *first)
{
    for (size_t i = 0; i < list->n && !first; i++)
        first = *first_of(c, list->pools[i]);
    for (size_t i = 0; i < list->n; i++) {
        const struct pool **its = first_of(c, list->pools[i]);
        if (!first)
            first = list->pools[i];
        if (*its && *its != first)
            unite(c, first, *its);
        *its = first;
    }
}

/* A browser that goes to the load balancer's pools and to a rule's in turn has a session in both, which one cookie can't say. */
void name_cookies_of_rules(struct loader *l, struct load_balancer *lb)
{
    struct circles c = { .pools = l->config->pools, .n = l->config->n_pools };
    if (!lb->n_default_pools) /* which was refused */
        return;
    c.firsts = arena_array(&l->scratch, c.n, sizeof *c.firsts);
    const struct pool *own = lb->default_pools[0];
    for (size_t i = 0; i < lb->n_lists; i++)
        add_list(&c, &lb->lists[i], own);
    for (size_t i = 0; i < lb->n_rules; i++)
        add_list(&c, &lb->rules[i].balancer.lists[0], NULL);
    for (size_t i = 0; i < lb->n_rules; i++) {
        struct load_balancer *of_rule = &lb->rules[i].balancer;
        const struct pool *first = *first_of(&c, of_rule->default_pools[0]);
        if (first != *first_of(&c, own))
            of_rule->affinity.name = arena_printf(&l->config->arena, "%s-%s", lb->affinity.name, first->name);
    }
}
