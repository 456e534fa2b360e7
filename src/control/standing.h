/* What the verdicts of endpoints make of pools, load balancers and tunnels, and which change somebody should be told. All of it pure:
 * functions of before and after. */
#ifndef PENSTOCK_CONTROL_STANDING_H
#define PENSTOCK_CONTROL_STANDING_H

#include "balance/event.h"
#include "control/control.h"

/* `settled`: no verdict that is still missing could make it better. Until then it is shown but not told: at the start verdicts come one after
 * the other, and an alert for each step would be a storm about nothing. */
struct pool_standing {
    enum pool_state state;
    bool settled;
    char reason[VERDICT_TEXT_SIZE];
};
void pool_stand(const struct pool *, const struct pool_census *, struct pool_standing *out);

struct load_balancer_standing {
    enum load_balancer_state state;
    const struct pool *pool; /* where requests go by order; NULL: nowhere */
    bool settled;
    char reason[VERDICT_TEXT_SIZE];
};
/* With the pools of one list, whose `censuses` are in its order; `fallback`: of its fallback pool, NULL if it has none. */
void load_balancer_stand(const struct load_balancer *, const struct pool_list *, const struct pool_census *censuses,
                         const struct pool_census *fallback, struct load_balancer_standing *out);
/* Of two lists. */
enum load_balancer_state load_balancer_worse(enum load_balancer_state, enum load_balancer_state);
/* Do requests get to a pool in its right order of health? */
bool load_balancer_is_ready(enum load_balancer_state);

/* What one endpoint says about the tunnel it names. */
enum tunnel_opinion { OPINION_NONE, OPINION_ALIVE, OPINION_INACTIVE };
/* `traffic_failed`: passing traffic met an inactive tunnel and nothing good came through since; `traffic_passed`: some request was answered
 * since the endpoint was last ejected, or ever. */
enum tunnel_opinion tunnel_opinion_of(const struct evidence *, bool traffic_failed, bool traffic_passed);
struct tunnel_tally {
    unsigned alive, inactive;
};
/* Nobody has an opinion: as before. */
enum tunnel_status tunnel_stand(enum tunnel_status before, struct tunnel_tally);

/* When a certificate ends. */
enum certificate_standing { CERTIFICATE_FINE, CERTIFICATE_SOON, CERTIFICATE_VERY_SOON, CERTIFICATE_EXPIRED };
#define CERTIFICATE_SOON_DAYS 14
#define CERTIFICATE_VERY_SOON_DAYS 3
enum certificate_standing certificate_stand(nsec_t not_after, nsec_t wall);

/* What is to be told of a change from what was told last to what holds now. False: nothing. */
struct announcement {
    const char *type;
    enum severity severity;
    bool recovery;
};
bool announce_endpoint(enum verdict_state told, enum verdict_state now, struct announcement *out);
bool announce_pool(enum pool_state told, const struct pool_standing *now, struct announcement *out);
bool announce_load_balancer(enum load_balancer_state told, const struct load_balancer_standing *now, struct announcement *out);
bool announce_tunnel(enum tunnel_status told, enum tunnel_status now, struct announcement *out);
bool announce_certificate(enum certificate_standing told, enum certificate_standing now, struct announcement *out);

#endif
