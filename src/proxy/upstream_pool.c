#include "proxy/upstream_inside.h"

#include <errno.h>

enum { IDLE_MAX = 512 }; /* kept per worker and endpoint; the one idle for longest goes first */
#define IDLE_TIME_MAX (60 * NSEC_PER_SEC)
#define IDLE_TIME_MIN NSEC_PER_SEC

_Static_assert(offsetof(struct upstream_pool, refs) + sizeof(unsigned) <= UPSTREAM_LINE, "what a request touches is one cache line");

struct upstream_pool *upstream_pool_new(struct worker *w, const struct endpoint *e)
{
    struct upstream_pool *pool = aligned_alloc(_Alignof(struct upstream_pool), sizeof *pool);
    if (!pool)
        return NULL;
    *pool = (struct upstream_pool){ .worker = w, .live = endpoint_live_ref(e->live), .dial_hash = e->dial_hash, .users = 1, .refs = 1,
                                    .idle_time = IDLE_TIME_MAX };
    list_init(&pool->idle);
    return pool;
}

struct upstream_pool *upstream_pool_ref_for(struct upstream_pool *pool, const struct endpoint *e)
{
    if (!pool || pool->live != e->live || pool->dial_hash != e->dial_hash)
        return NULL;
    pool->users++;
    pool->refs++;
    return pool;
}

void upstream_pool_prefetch(const struct upstream_pool *pool)
{
    __builtin_prefetch(pool, 1);
}

void upstream_prefetch(const struct upstream *u)
{
    for (size_t i = 0; i < offsetof(struct upstream, dialling); i += UPSTREAM_LINE)
        __builtin_prefetch((const char *)u + i, 1);
}

/* Of the list of those that are not the recent one: what follows a link of it, or its head. */
static struct upstream *listed_after(const struct upstream_pool *pool, const struct list *link)
{
    return link->next == &pool->idle ? NULL : CONTAINER_OF(link->next, struct upstream, link);
}

static struct upstream *first_idle(const struct upstream_pool *pool)
{
    return pool->recent ? pool->recent : listed_after(pool, &pool->idle);
}

static struct upstream *next_idle(const struct upstream_pool *pool, const struct upstream *u)
{
    return listed_after(pool, u == pool->recent ? &pool->idle : &u->link);
}

void upstream_pool_prefetch_next(const struct upstream_pool *pool)
{
    const struct upstream *u = first_idle(pool);
    if (u)
        upstream_prefetch(u);
}

void upstream_pool_close_idle(struct upstream_pool *pool)
{
    for (struct upstream *u = first_idle(pool), *next; u; u = next) {
        next = next_idle(pool, u);
        upstream_close(u);
    }
}

void upstream_pool_release(struct upstream_pool *pool)
{
    if (--pool->refs)
        return;
    SSL_SESSION_free(pool->session);
    endpoint_live_unref(pool->live);
    free(pool);
}

void upstream_pool_unref(struct upstream_pool *pool)
{
    if (!--pool->users)
        upstream_pool_close_idle(pool);
    upstream_pool_release(pool);
}

/* --- into it --- */

void upstream_keep_idle(struct upstream *u)
{
    struct upstream_pool *pool = u->pool;
    if (pool->n_idle >= IDLE_MAX)
        upstream_close(upstream_of_link(pool->idle.prev));
    list_remove(&u->link);
    if (pool->recent)
        list_push_front(&pool->idle, &pool->recent->link);
    pool->recent = u;
    upstream_set_state(u, UPSTREAM_IDLE);
    pool->n_idle++;
}

void upstream_leave_idle(struct upstream *u)
{
    struct upstream_pool *pool = u->pool;
    if (u->state == UPSTREAM_IDLE)
        pool->n_idle--;
    if (pool->recent == u)
        pool->recent = NULL;
    list_remove(&u->link);
}

void upstream_note_reuse_race(struct upstream *u)
{
    struct upstream_pool *pool = u->pool;
    pool->idle_time = pool->idle_time / 2 < IDLE_TIME_MIN ? IDLE_TIME_MIN : pool->idle_time / 2;
    counter_add(&upstream_worker(u)->counters.reuse_races, 1);
    counter_add(&upstream_counts(u)->reuse_races, 1);
}

/* --- out of it --- */

/* Whether the kernel knows already that the connection is closed. */
static bool is_still_open(struct upstream *u)
{
    char byte;
    return recv(u->stream.io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static bool serves_name(const struct upstream *u, const struct exchange *ex)
{
    return !u->tls_name || slice_eq(slice_of(u->tls_name), ex->host);
}

/* The name may have moved since it was dialled. */
static bool leads_there_still(struct upstream *u)
{
    struct endpoint_live *live = u->pool->live;
    uint32_t version = atomic_load_explicit(&live->addresses_version, memory_order_acquire);
    if (u->over_unix || u->addresses_version == version)
        return true;
    struct address_set addresses;
    endpoint_get_addresses(live, &addresses);
    for (unsigned i = 0; i < addresses.n; i++) {
        if (!address_equal(&addresses.items[i], &u->address))
            continue;
        u->addresses_version = version;
        return true;
    }
    return false;
}

struct upstream *upstream_take_idle(struct upstream_pool *pool, const struct exchange *ex, enum upstream_want want)
{
    for (struct upstream *u = first_idle(pool), *next; u; u = next) {
        next = next_idle(pool, u);
        if (!serves_name(u, ex))
            continue;
        if (!leads_there_still(u)) {
            upstream_close(u);
            continue;
        }
        if (want == UPSTREAM_ALIVE && !is_still_open(u)) {
            upstream_note_reuse_race(u);
            upstream_close(u);
            continue;
        }
        upstream_leave_idle(u);
        if (pool->idle_time < IDLE_TIME_MAX)
            pool->idle_time += pool->idle_time / 64;
        return u;
    }
    return NULL;
}
