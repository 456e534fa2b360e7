#include "proxy/request_hash.h"

#include "http/cookies.h"
#include "http/target.h"
#include "proxy/exchange.h"
#include "proxy/forward.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* An IPv4 address is the same however it came: alone, or as ::ffff:a.b.c.d. */
static struct slice address_bytes(const struct address *a)
{
    const struct in6_addr *v6 = &a->v6.sin6_addr;
    if (a->sa.sa_family != AF_INET6)
        return (struct slice){ (const char *)&a->v4.sin_addr, sizeof a->v4.sin_addr };
    if (IN6_IS_ADDR_V4MAPPED(v6))
        return (struct slice){ (const char *)v6 + 12, 4 };
    return (struct slice){ (const char *)v6, sizeof *v6 };
}

static struct slice path_of(const struct exchange *ex)
{
    struct slice path, query;
    target_split((struct slice){ ex->base + ex->head->path, ex->head->path_len }, &path, &query);
    return path.n ? path : slice_of(http_path_prefix(ex->head, ex->base));
}

static struct slice argument_of(const struct exchange *ex, struct slice name)
{
    struct slice path, query;
    target_split((struct slice){ ex->base + ex->head->path, ex->head->path_len }, &path, &query);
    return target_argument(query, name);
}

static struct slice field_of(const struct exchange *ex, struct slice name)
{
    const struct http_field *f = http_head_find_name(ex->head, ex->base, name);
    return f ? http_field_value(ex->base, f) : (struct slice){ NULL, 0 };
}

/* .p is NULL where the request has none. */
static struct slice part_of(const struct exchange *ex, const struct request_key *key, struct address *room)
{
    const struct address *client;
    switch (key->kind) {
    case REQUEST_KEY_NONE: break;
    case REQUEST_KEY_CLIENT_IP:
        client = forward_client(ex, room);
        return client ? address_bytes(client) : (struct slice){ NULL, 0 };
    case REQUEST_KEY_HEADER: return field_of(ex, slice_of(key->name));
    case REQUEST_KEY_COOKIE: return cookie_find(ex->head, ex->base, slice_of(key->name));
    case REQUEST_KEY_PATH: return path_of(ex);
    case REQUEST_KEY_QUERY: return argument_of(ex, slice_of(key->name));
    }
    return (struct slice){ NULL, 0 };
}

uint64_t request_hash(const struct exchange *ex, const struct request_key *key)
{
    struct address room;
    struct slice part = part_of(ex, key, &room);
    if (!part.p)
        return 0;
    uint64_t hash = XXH3_64bits(part.p, part.n);
    return hash ? hash : 1;
}
