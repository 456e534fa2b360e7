/* Session affinity: who was answered by an endpoint goes there again. With cookies all that is known of a session is in its cookie, which
 * we sign; with a header it is in the header, whose value leads to the same endpoint by its hash in every worker and every process.
 * Worker's thread. */
#ifndef PENSTOCK_PROXY_AFFINITY_H
#define PENSTOCK_PROXY_AFFINITY_H

#include "balance/config.h"
#include "balance/session_key.h"
#include "balance/tunnel.h"
#include "base/slice.h"

struct exchange;

/* --- pure --- */

enum { SESSION_TEXT_MAX = 56 };

/* What a cookie says. Seconds since 1970. */
struct session_claim {
    uint64_t endpoint;  /* its hash */
    uint64_t connector; /* of the endpoint's tunnel, the hash of its id; 0: it says none */
    uint32_t issued;
    uint32_t seen;      /* by us; at most a sixteenth of the idle time ago, or a second */
};
/* The text's length; it is of base64's characters. `load_balancer`: its hash; the claim is worth nothing to any other. */
size_t session_claim_write(const struct session_keys *, uint64_t load_balancer, const struct session_claim *, char out[static SESSION_TEXT_MAX]);
/* False: none of ours, or forged. */
bool session_claim_read(const struct session_keys *, uint64_t load_balancer, struct slice text, struct session_claim *out);
/* Neither expired nor of the future. */
bool session_claim_holds(const struct affinity_conf *, const struct session_claim *, uint32_t now);
/* May the endpoint have requests of sessions that it has? Its weight doesn't matter, nor for a while that it drains; `held`: nor that its
 * tunnel takes no others, for the session's connector takes them. `now`: monotonic. */
bool session_may_stay(const struct affinity_conf *, const struct endpoint *, bool held, nsec_t now);

/* Where a request was answered, as its session sees it. */
enum session_place {
    SESSION_NEW,        /* it has no session */
    SESSION_ELSEWHERE,
    SESSION_FIRST_HERE, /* by its endpoint, of which it has no connector so far */
    SESSION_HERE
};
enum session_cookie_need { SESSION_COOKIE_NONE, SESSION_COOKIE_SEEN /* the same session, seen now */, SESSION_COOKIE_NEW };
/* `seen`: as the session's claim says. */
enum session_cookie_need session_cookie_need(const struct affinity_conf *, enum session_place, uint32_t seen, uint32_t now);

/* --- of an exchange --- */

/* Once its load balancer is known, if that has affinity: looks for its session. */
void affinity_begin(struct exchange *);
/* Must the request not be sent to another endpoint than the present one, which failed it? */
bool affinity_forbids_another(const struct exchange *);
/* Which connector of a tunnel a request wants for its session's sake, when it goes to that endpoint. */
struct tunnel_session affinity_within(const struct exchange *, const struct endpoint *);
/* Has the endpoint's tunnel a connection for the session's requests alone? */
bool affinity_is_held(const struct exchange *, const struct endpoint *);
/* The connector that the session has of its endpoint's tunnel. False: it has none. */
bool affinity_home(const struct exchange *, struct tunnel_home *out);
/* The value of a Set-Cookie field for an endpoint's answer with that status. 0: the session has what it needs. */
size_t affinity_write_cookie(const struct exchange *, unsigned status, char *out, size_t size);

#endif
