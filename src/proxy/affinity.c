#include "proxy/affinity.h"

#include "balance/candidate.h"
#include "balance/pool_map.h"
#include "balance/reason.h"
#include "base/base64.h"
#include "http/forwarded.h"
#include "proxy/core.h"
#include "proxy/exchange.h"
#include "proxy/forward.h"
#include "proxy/request_hash.h"

#include <openssl/crypto.h>
#include <string.h>

/* --- what a cookie says: version, endpoint, issued, seen, and 16 bytes of the signature, all of it in 33 bytes --- */

enum { CLAIM_VERSION = 1, CLAIM_BYTES = 17, CLAIM_MAC_BYTES = 16, SIGNED_BYTES = 8 + CLAIM_BYTES };
_Static_assert(BASE64_SIZE(CLAIM_BYTES + CLAIM_MAC_BYTES) == SESSION_TEXT_SIZE && (CLAIM_BYTES + CLAIM_MAC_BYTES) % 3 == 0,
               "no padding, no spare bits");

static void put(uint8_t *out, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        out[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

static uint64_t get(const uint8_t *in, unsigned n)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++)
        value = value << 8 | in[i];
    return value;
}

static void sign(const struct session_key *key, uint64_t load_balancer, const uint8_t claim[static CLAIM_BYTES], uint8_t mac[static SESSION_MAC_SIZE])
{
    uint8_t all[SIGNED_BYTES];
    put(all, load_balancer, 8);
    memcpy(all + 8, claim, CLAIM_BYTES);
    session_key_sign(key, all, sizeof all, mac);
}

void session_claim_write(const struct session_keys *keys, uint64_t load_balancer, const struct session_claim *claim, char out[static SESSION_TEXT_SIZE])
{
    uint8_t bytes[CLAIM_BYTES + SESSION_MAC_SIZE] = { CLAIM_VERSION };
    put(bytes + 1, claim->endpoint, 8);
    put(bytes + 9, claim->issued, 4);
    put(bytes + 13, claim->seen, 4);
    sign(&keys->keys[0], load_balancer, bytes, bytes + CLAIM_BYTES);
    base64_encode(bytes, CLAIM_BYTES + CLAIM_MAC_BYTES, BASE64_UNPADDED, out);
}

static bool is_signed(const struct session_keys *keys, uint64_t load_balancer, const uint8_t bytes[static CLAIM_BYTES + CLAIM_MAC_BYTES])
{
    for (size_t i = 0; i < keys->n; i++) {
        uint8_t mac[SESSION_MAC_SIZE];
        sign(&keys->keys[i], load_balancer, bytes, mac);
        if (CRYPTO_memcmp(mac, bytes + CLAIM_BYTES, CLAIM_MAC_BYTES) == 0)
            return true;
    }
    return false;
}

bool session_claim_read(const struct session_keys *keys, uint64_t load_balancer, struct slice text, struct session_claim *out)
{
    uint8_t bytes[CLAIM_BYTES + CLAIM_MAC_BYTES];
    size_t n;
    if (text.n != SESSION_TEXT_SIZE || !base64_decode(text, BASE64_UNPADDED, bytes, sizeof bytes, &n) || n != sizeof bytes)
        return false;
    if (bytes[0] != CLAIM_VERSION || !is_signed(keys, load_balancer, bytes))
        return false;
    *out = (struct session_claim){ get(bytes + 1, 8), (uint32_t)get(bytes + 9, 4), (uint32_t)get(bytes + 13, 4) };
    return true;
}

/* --- rules --- */

enum { CLOCKS_DIFFER = 60 }; /* seconds: another node may have issued it */

static uint32_t seconds(nsec_t t)
{
    return (uint32_t)(t / NSEC_PER_SEC);
}

bool session_claim_holds(const struct affinity_conf *a, const struct session_claim *claim, uint32_t now)
{
    int64_t age = (int64_t)now - claim->issued, idle = (int64_t)now - claim->seen;
    if (age < -CLOCKS_DIFFER || idle < -CLOCKS_DIFFER || age >= seconds(a->ttl))
        return false;
    return !a->idle || idle < seconds(a->idle);
}

static bool drains_for_now(const struct affinity_conf *a, const struct endpoint *e, nsec_t now)
{
    if (!e->enabled || atomic_load_explicit(&e->live->admin, memory_order_relaxed) != ADMIN_DRAINED)
        return false;
    return now - atomic_load_explicit(&e->live->admin_since, memory_order_relaxed) < a->drain_duration;
}

bool session_may_stay(const struct affinity_conf *a, const struct endpoint *e, nsec_t now)
{
    enum usability usability = drains_for_now(a, e, now) ? endpoint_usability_if_enabled(e, now) : endpoint_usability(e, now);
    return e->pool->enabled && (usability == USABLE_HEALTHY || usability == USABLE_UNKNOWN);
}

static uint32_t seen_for(const struct affinity_conf *a)
{
    return seconds(a->idle) / 16 ? seconds(a->idle) / 16 : 1;
}

enum session_cookie_need session_cookie_need(const struct affinity_conf *a, bool pinned, bool there, uint32_t seen, uint32_t now)
{
    if (!pinned)
        return SESSION_COOKIE_NEW;
    if (!there)
        return a->failover == AFFINITY_TEMPORARY ? SESSION_COOKIE_NONE : SESSION_COOKIE_NEW;
    return a->idle && now > seen && now - seen >= seen_for(a) ? SESSION_COOKIE_SEEN : SESSION_COOKIE_NONE;
}

/* --- of an exchange --- */

static const struct affinity_conf *conf_of(const struct exchange *ex)
{
    return &ex->load_balancer->affinity;
}

/* Those of the fallback pool alone are nobody's for longer than the trouble lasts. */
static bool may_have_sessions(const struct load_balancer *lb, const struct endpoint *e)
{
    return load_balancer_steers_to(lb, e->pool);
}

static void take_claim(struct exchange *ex, const struct session_claim *claim)
{
    const struct endpoint *e = snapshot_find_endpoint(ex->snapshot, claim->endpoint);
    if (!e || !may_have_sessions(ex->load_balancer, e) || !session_claim_holds(conf_of(ex), claim, seconds(ex->started_wall)))
        return;
    ex->session.endpoint = e;
    ex->session.issued = claim->issued;
    ex->session.seen = claim->seen;
}

void affinity_begin(struct exchange *ex)
{
    const struct affinity_conf *a = conf_of(ex);
    struct session_claim claim;
    if (a->name) {
        struct slice text = cookie_find(ex->head, ex->base, slice_of(a->name));
        if (text.p && session_claim_read(&ex->snapshot->config->session_keys, ex->load_balancer->hash, text, &claim))
            take_claim(ex, &claim);
    }
    ex->session.key = request_hash(ex, &a->key);
}

bool affinity_forbids_another(const struct exchange *ex)
{
    if (!ex->load_balancer || ex->load_balancer->affinity.type == AFFINITY_NONE || conf_of(ex)->failover != AFFINITY_NO_FAILOVER)
        return false;
    return conf_of(ex)->type == AFFINITY_HEADER ? ex->session.key != 0 : ex->session.endpoint && ex->session.endpoint == ex->endpoint;
}

static nsec_t lasts(const struct affinity_conf *a, const struct session_claim *claim)
{
    nsec_t left = a->ttl - (nsec_t)(claim->seen - claim->issued) * NSEC_PER_SEC;
    return a->idle && a->idle < left ? a->idle : left;
}

static bool client_is_secure(const struct exchange *ex)
{
    switch (conf_of(ex)->secure) {
    case AFFINITY_SECURE_ALWAYS: return true;
    case AFFINITY_SECURE_NEVER: return false;
    case AFFINITY_SECURE_AUTO: break;
    }
    return slice_eq(forwarded_proto(ex->head, ex->base, forward_trusts_peer(ex), ex->secure), SLICE("https"));
}

static size_t write_cookie(const struct exchange *ex, const struct session_claim *claim, char *out, size_t size)
{
    const struct affinity_conf *a = conf_of(ex);
    char text[SESSION_TEXT_SIZE];
    struct cookie cookie = { .name = slice_of(a->name), .value = { text, sizeof text }, .max_age = lasts(a, claim), .same_site = a->same_site,
                             .secure = client_is_secure(ex) };
    if (cookie.same_site == SAME_SITE_NONE && !cookie.secure) /* browsers refuse it */
        cookie.same_site = SAME_SITE_NOT_GIVEN;
    session_claim_write(&ex->snapshot->config->session_keys, ex->load_balancer->hash, claim, text);
    return cookie_write(&cookie, out, size);
}

/* An answer that may have been no endpoint's own begins no session. */
static bool is_answer(unsigned status)
{
    return !((status >= 502 && status <= 504) || (status >= 520 && status <= 530));
}

size_t affinity_write_cookie(const struct exchange *ex, unsigned status, char *out, size_t size)
{
    const struct endpoint *e = ex->endpoint;
    uint32_t now = seconds(ex->started_wall);
    if (!conf_of(ex)->name)
        return 0;
    switch (session_cookie_need(conf_of(ex), ex->session.endpoint, ex->session.endpoint == e, ex->session.seen, now)) {
    case SESSION_COOKIE_NONE: return 0;
    case SESSION_COOKIE_SEEN: return write_cookie(ex, &(struct session_claim){ e->hash, ex->session.issued, now }, out, size);
    case SESSION_COOKIE_NEW: break;
    }
    if (!is_answer(status) || !may_have_sessions(ex->load_balancer, e))
        return 0;
    return write_cookie(ex, &(struct session_claim){ e->hash, now, now }, out, size);
}
