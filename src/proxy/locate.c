#include "proxy/locate.h"

#include "proxy/exchange.h"
#include "proxy/explain.h"
#include "proxy/forward.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { KNOWN = 4096 }; /* a power of two; 160 KiB */

struct located {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    bool used;
    struct place place;
};

static void forget_all(struct locator *l)
{
    if (l->known)
        memset(l->known, 0, KNOWN * sizeof *l->known);
}

void locator_clear(struct locator *l)
{
    geoip_unref(l->geoip);
    free(l->known);
    *l = (struct locator){ .slot = l->slot };
}

/* What was known of other databases says nothing. False: there are none. */
static bool look_at_slot(struct locator *l)
{
    if (!l->slot)
        return false;
    if (atomic_load_explicit(&l->slot->version, memory_order_acquire) == l->version)
        return l->geoip != NULL;
    geoip_unref(l->geoip);
    l->geoip = geoip_slot_get(l->slot, &l->version);
    forget_all(l);
    if (l->geoip && !l->known)
        l->known = calloc(KNOWN, sizeof *l->known);
    return l->geoip != NULL;
}

static void address_key(const struct address *a, uint8_t out[static 16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (a->sa.sa_family == AF_INET6) {
        memcpy(out, &a->v6.sin6_addr, 16);
        return;
    }
    memcpy(out, mapped, sizeof mapped);
    memcpy(out + 12, &a->v4.sin_addr, 4);
}

static void look_up(struct worker *w, const struct address *client, struct place *out)
{
    counter_add(&w->counters.geoip_lookups, 1);
    geoip_find(w->locator.geoip, client, out);
}

static void find(struct worker *w, const struct address *client, struct place *out)
{
    struct locator *l = &w->locator;
    uint8_t key[16];
    if (!l->known) {
        look_up(w, client, out);
        return;
    }
    address_key(client, key);
    struct located *known = &l->known[XXH3_64bits(key, sizeof key) % KNOWN];
    if (!known->used || memcmp(known->address, key, sizeof key) != 0) {
        look_up(w, client, &known->place);
        memcpy(known->address, key, sizeof key);
        known->used = true;
    }
    *out = known->place;
}

const struct place *locate(struct exchange *ex)
{
    struct locator *l = &ex->worker->locator;
    struct address room;
    if (ex->located)
        return &ex->place;
    ex->located = true;
    ex->place = place_unknown;
    const struct address *client = look_at_slot(l) ? forward_client(ex, &room) : NULL;
    if (client)
        find(ex->worker, client, &ex->place);
    explain_located(ex);
    return &ex->place;
}
