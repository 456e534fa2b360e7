#include "proxy/affinity.h"

#include "balance/candidate.h"
#include "balance/pool_map.h"
#include "balance/reason.h"
#include "base/base64.h"
#include "http/forwarded.h"
#include "proxy/core.h"
#include "proxy/exchange.h"
#include "proxy/explain.h"
#include "proxy/forward.h"
#include "proxy/request_hash.h"

#include <openssl/crypto.h>
#include <string.h>

/* --- what a cookie says: version, endpoint, issued, seen, with the second version also the connector, then the signature's first bytes --- */

enum { CLAIM_BYTES_MAX = 25, TEXT_BYTES_MAX = 42, SIGNED_BYTES_MAX = 8 + CLAIM_BYTES_MAX };

/* Together a multiple of three: no padding, and no spare bits, of which a text could have other values. */
struct claim_format {
    uint8_t claim, mac;
};
enum { OF_ENDPOINT = 1, OF_CONNECTOR = 2, FORMATS };
static const struct claim_format formats[FORMATS] = { [OF_ENDPOINT] = { 17, 16 }, [OF_CONNECTOR] = { CLAIM_BYTES_MAX, TEXT_BYTES_MAX - CLAIM_BYTES_MAX } };
_Static_assert(BASE64_SIZE(TEXT_BYTES_MAX) == SESSION_TEXT_MAX && TEXT_BYTES_MAX - CLAIM_BYTES_MAX <= SESSION_MAC_SIZE, "the longer one fits");

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

static void sign(const struct session_key *key, uint64_t load_balancer, const uint8_t *claim, size_t n, uint8_t mac[static SESSION_MAC_SIZE])
{
    uint8_t all[SIGNED_BYTES_MAX];
    put(all, load_balancer, 8);
    memcpy(all + 8, claim, n);
    session_key_sign(key, all, 8 + n, mac);
}

size_t session_claim_write(const struct session_keys *keys, uint64_t load_balancer, const struct session_claim *claim, char out[static SESSION_TEXT_MAX])
{
    uint8_t version = claim->connector ? OF_CONNECTOR : OF_ENDPOINT, bytes[CLAIM_BYTES_MAX + SESSION_MAC_SIZE] = { version };
    const struct claim_format *f = &formats[version];
    put(bytes + 1, claim->endpoint, 8);
    put(bytes + 9, claim->issued, 4);
    put(bytes + 13, claim->seen, 4);
    if (version == OF_CONNECTOR)
        put(bytes + 17, claim->connector, 8);
    sign(&keys->keys[0], load_balancer, bytes, f->claim, bytes + f->claim);
    return base64_encode(bytes, (size_t)f->claim + f->mac, BASE64_UNPADDED, out);
}

static bool is_signed(const struct session_keys *keys, uint64_t load_balancer, const struct claim_format *f, const uint8_t *bytes)
{
    for (size_t i = 0; i < keys->n; i++) {
        uint8_t mac[SESSION_MAC_SIZE];
        sign(&keys->keys[i], load_balancer, bytes, f->claim, mac);
        if (CRYPTO_memcmp(mac, bytes + f->claim, f->mac) == 0)
            return true;
    }
    return false;
}

bool session_claim_read(const struct session_keys *keys, uint64_t load_balancer, struct slice text, struct session_claim *out)
{
    uint8_t bytes[TEXT_BYTES_MAX];
    size_t n;
    if (text.n > SESSION_TEXT_MAX || !base64_decode(text, BASE64_UNPADDED, bytes, sizeof bytes, &n) || !n || bytes[0] >= FORMATS)
        return false;
    const struct claim_format *f = &formats[bytes[0]];
    if (!f->claim || n != (size_t)f->claim + f->mac || !is_signed(keys, load_balancer, f, bytes))
        return false;
    *out = (struct session_claim){ .endpoint = get(bytes + 1, 8), .issued = (uint32_t)get(bytes + 9, 4), .seen = (uint32_t)get(bytes + 13, 4) };
    if (bytes[0] == OF_CONNECTOR)
        out->connector = get(bytes + 17, 8);
    return true;
}

/* --- rules --- */

enum {
    CLOCKS_DIFFER = 60, /* seconds: another node may have issued it */
    COOKIES_LOOKED_AT = 4 /* of one name: each costs a signature */
};

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

bool session_may_stay(const struct affinity_conf *a, const struct endpoint *e, bool held, nsec_t now)
{
    unsigned assumed = (drains_for_now(a, e, now) ? ASSUME_ENABLED : 0) | (held ? ASSUME_CONNECTED : 0);
    enum usability usability = endpoint_usability_assuming(e, assumed, now);
    return e->pool->enabled && (usability == USABLE_HEALTHY || usability == USABLE_UNKNOWN);
}

static uint32_t seen_for(const struct affinity_conf *a)
{
    return seconds(a->idle) / 16 ? seconds(a->idle) / 16 : 1;
}

enum session_cookie_need session_cookie_need(const struct affinity_conf *a, enum session_place place, uint32_t seen, uint32_t now)
{
    switch (place) {
    case SESSION_NEW: break;
    case SESSION_ELSEWHERE: return a->failover == AFFINITY_TEMPORARY ? SESSION_COOKIE_NONE : SESSION_COOKIE_NEW;
    case SESSION_FIRST_HERE: return SESSION_COOKIE_SEEN;
    case SESSION_HERE: return a->idle && now > seen && now - seen >= seen_for(a) ? SESSION_COOKIE_SEEN : SESSION_COOKIE_NONE;
    }
    return SESSION_COOKIE_NEW;
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

/* Is the session a matter of the endpoint's connectors? */
static bool is_by_connector(const struct exchange *ex, const struct endpoint *e)
{
    return conf_of(ex)->level == AFFINITY_CONNECTOR && e->kind == ENDPOINT_EDGE;
}

static enum session_told take_claim(struct exchange *ex, const struct session_claim *claim)
{
    const struct endpoint *e = snapshot_find_endpoint(ex->snapshot, claim->endpoint);
    if (!e || !may_have_sessions(ex->load_balancer, e))
        return SESSION_GONE;
    if (!session_claim_holds(conf_of(ex), claim, seconds(ex->started_wall)))
        return SESSION_OVER;
    ex->session.endpoint = e;
    ex->session.connector = is_by_connector(ex, e) ? claim->connector : 0;
    ex->session.issued = claim->issued;
    ex->session.seen = claim->seen;
    return SESSION_KNOWN;
}

/* Another site of the same domain, or a former version of this one, may have left one of the same name that stands before ours. */
static enum session_told take_first_good_cookie(struct exchange *ex, const char *name)
{
    enum session_told told = SESSION_ABSENT;
    struct cookie_search search;
    struct session_claim claim;
    struct slice text;
    cookie_search_init(&search, ex->head, ex->base, slice_of(name));
    for (unsigned i = 0; i < COOKIES_LOOKED_AT && told != SESSION_KNOWN && cookie_search_next(&search, &text); i++) {
        bool is_ours = session_claim_read(&ex->snapshot->config->session_keys, ex->load_balancer->hash, text, &claim);
        told = is_ours ? take_claim(ex, &claim) : SESSION_REFUSED;
    }
    return told;
}

static enum session_told take_session(struct exchange *ex, const struct affinity_conf *a)
{
    if (a->name)
        return take_first_good_cookie(ex, a->name);
    return ex->session.key ? SESSION_KEYED : SESSION_ABSENT;
}

void affinity_begin(struct exchange *ex)
{
    const struct affinity_conf *a = conf_of(ex);
    ex->session.key = request_hash(ex, &a->key);
    enum session_told told = take_session(ex, a);
    if (told != SESSION_KNOWN)
        explain_no_session(ex, told);
}

/* The connector that has the present try, where sessions ask for it. */
static uint64_t connector_of(const struct exchange *ex)
{
    return is_by_connector(ex, ex->endpoint) ? ex->over.connector : 0;
}

static enum session_place place_of(const struct exchange *ex)
{
    if (!ex->session.endpoint)
        return SESSION_NEW;
    if (ex->session.endpoint != ex->endpoint)
        return SESSION_ELSEWHERE;
    if (ex->session.connector == connector_of(ex))
        return SESSION_HERE;
    return ex->session.connector ? SESSION_ELSEWHERE : SESSION_FIRST_HERE;
}

bool affinity_forbids_another(const struct exchange *ex)
{
    if (!ex->load_balancer || conf_of(ex)->type == AFFINITY_NONE || conf_of(ex)->failover != AFFINITY_NO_FAILOVER)
        return false;
    return conf_of(ex)->type == AFFINITY_HEADER ? ex->session.key != 0 : place_of(ex) >= SESSION_FIRST_HERE;
}

struct tunnel_session affinity_within(const struct exchange *ex, const struct endpoint *e)
{
    if (!ex->load_balancer || !is_by_connector(ex, e))
        return (struct tunnel_session){ 0 };
    bool no_other = affinity_forbids_another(ex);
    return (struct tunnel_session){
        .connector = no_other && ex->over.connector ? ex->over.connector : ex->session.endpoint == e ? ex->session.connector : 0,
        .key = ex->session.key,
        .drain_duration = conf_of(ex)->drain_duration,
        .no_other = no_other,
    };
}

bool affinity_home(const struct exchange *ex, struct tunnel_home *out)
{
    const struct tunnel_gate *gate = ex->worker->options.gate;
    const struct endpoint *e = ex->session.endpoint;
    struct tunnel_session session = affinity_within(ex, e);
    if (!session.connector || !gate || !e->edge_tunnel)
        return false;
    *out = gate->home(gate->worker, e->edge_tunnel, &session);
    return true;
}

bool affinity_is_held(const struct exchange *ex, const struct endpoint *e)
{
    struct tunnel_home home;
    return e->edge_tunnel && !tunnel_is_usable(e->edge_tunnel) && affinity_home(ex, &home) && home.takes_it;
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
    char text[SESSION_TEXT_MAX];
    struct cookie cookie = { .name = slice_of(a->name), .max_age = lasts(a, claim), .same_site = a->same_site,
                             .secure = client_is_secure(ex) };
    if (cookie.same_site == SAME_SITE_NONE && !cookie.secure) /* browsers refuse it */
        cookie.same_site = SAME_SITE_NOT_GIVEN;
    cookie.value = (struct slice){ text, session_claim_write(&ex->snapshot->config->session_keys, ex->load_balancer->hash, claim, text) };
    return cookie_write(&cookie, out, size);
}

/* An answer that may have been no endpoint's own begins no session. */
static bool is_answer(unsigned status)
{
    return !((status >= 502 && status <= 504) || (status >= 520 && status <= 530));
}

size_t affinity_write_cookie(const struct exchange *ex, unsigned status, char *out, size_t size)
{
    uint32_t now = seconds(ex->started_wall);
    if (!conf_of(ex)->name)
        return 0;
    enum session_place place = place_of(ex);
    struct session_claim claim = { .endpoint = ex->endpoint->hash, .connector = connector_of(ex), .issued = now, .seen = now };
    if (place != SESSION_HERE && (!is_answer(status) || !may_have_sessions(ex->load_balancer, ex->endpoint)))
        return 0;
    switch (session_cookie_need(conf_of(ex), place, ex->session.seen, now)) {
    case SESSION_COOKIE_NONE: return 0;
    case SESSION_COOKIE_SEEN: claim.issued = ex->session.issued; break;
    case SESSION_COOKIE_NEW: break;
    }
    return write_cookie(ex, &claim, out, size);
}
