#include "net/peer_count.h"

#include "base/mem.h"

#include <pthread.h>
#include <uthash.h>

struct peer_key {
    uint8_t bytes[8]; /* an IPv6 /64, or ::ffff and the IPv4 address */
};

struct peer_entry {
    struct peer_key key;
    unsigned connections;
    UT_hash_handle hh;
};

struct peer_counts {
    pthread_mutex_t lock;
    unsigned connections;
    struct peer_entry *peers; /* only those with connections */
};

struct peer_counts *peer_counts_new(void)
{
    struct peer_counts *counts = mem_zero(sizeof *counts);
    pthread_mutex_init(&counts->lock, NULL);
    return counts;
}

void peer_counts_free(struct peer_counts *counts)
{
    if (!counts)
        return;
    struct peer_entry *entry, *next;
    HASH_ITER(hh, counts->peers, entry, next)
    {
        HASH_DEL(counts->peers, entry);
        free(entry);
    }
    pthread_mutex_destroy(&counts->lock);
    free(counts);
}

static struct peer_key key_of(const struct address *a)
{
    struct peer_key key = { { 0, 0, 0xff, 0xff } };
    if (a->sa.sa_family == AF_INET)
        memcpy(key.bytes + 4, &a->v4.sin_addr, 4);
    else if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        memcpy(key.bytes + 4, a->v6.sin6_addr.s6_addr + 12, 4);
    else
        memcpy(key.bytes, a->v6.sin6_addr.s6_addr, 8);
    return key;
}

static struct peer_entry *find_or_add(struct peer_counts *counts, const struct peer_key *key)
{
    struct peer_entry *entry;
    HASH_FIND(hh, counts->peers, key, sizeof *key, entry);
    if (!entry && (entry = calloc(1, sizeof *entry))) {
        entry->key = *key;
        HASH_ADD(hh, counts->peers, key, sizeof entry->key, entry);
    }
    return entry;
}

static void drop_if_unused(struct peer_counts *counts, struct peer_entry *entry)
{
    if (entry->connections)
        return;
    HASH_DEL(counts->peers, entry);
    free(entry);
}

bool peer_count_enter(struct peer_counts *counts, const struct address *a, unsigned limit, unsigned limit_per_client)
{
    struct peer_key key = key_of(a);
    bool allowed = false;
    pthread_mutex_lock(&counts->lock);
    struct peer_entry *entry = find_or_add(counts, &key);
    if (entry) {
        allowed = (!limit || counts->connections < limit) && (!limit_per_client || entry->connections < limit_per_client);
        if (allowed) {
            counts->connections++;
            entry->connections++;
        }
        drop_if_unused(counts, entry);
    }
    pthread_mutex_unlock(&counts->lock);
    return allowed;
}

void peer_count_leave(struct peer_counts *counts, const struct address *a)
{
    struct peer_key key = key_of(a);
    struct peer_entry *entry;
    pthread_mutex_lock(&counts->lock);
    HASH_FIND(hh, counts->peers, &key, sizeof key, entry);
    if (entry) {
        counts->connections--;
        entry->connections--;
        drop_if_unused(counts, entry);
    }
    pthread_mutex_unlock(&counts->lock);
}
