/* What a tunnel's connections make of its status, and when that is told: a state machine on a clock that is handed in. Pure.
 *
 * healthy: as many connections as each of its connectors should have; degraded: some, but fewer; down: none, but there were;
 * inactive: never connected. Shown at once; told at once too, but for these:
 * - degraded is told once it has lasted, for a connector opens its connections one after the other, a second apart;
 * - that connections which a former process of ours had are gone, all or some, is told only after TUNNEL_GRACE: each takes its
 *   time to come back. */
#ifndef PENSTOCK_CONTROL_TUNNEL_STATUS_H
#define PENSTOCK_CONTROL_TUNNEL_STATUS_H

#include "control/standing.h"

#define TUNNEL_SETTLING (5 * NSEC_PER_SEC)      /* since the last connection came */
#define TUNNEL_SETTLING_MAX (20 * NSEC_PER_SEC) /* since it is degraded */
/* cloudflared comes back after 0 to 20 s, and later with each try that failed meanwhile. */
#define TUNNEL_GRACE (60 * NSEC_PER_SEC)

/* Connections that are going (draining) are not counted any more, nor is a connector without another. */
struct tunnel_count {
    unsigned connectors, connections;
    unsigned sick;      /* of the connections: they carry no requests */
    unsigned expected;  /* connections per connector */
    const char *last_end; /* why the last connection ended; NULL: nothing known */
};

struct tunnel_standing {
    enum tunnel_status status;  /* by tunnel_standing_count() */
    nsec_t since;               /* wall */
    char reason[VERDICT_TEXT_SIZE];
    bool ever;                  /* it was connected once */
    enum tunnel_status told;    /* by the last event; INACTIVE: there was none */
    nsec_t connected_at, lost_at; /* wall: since when it has connections, or has none; 0: it isn't so */

    unsigned connections;       /* at the last count */
    nsec_t degraded_at, tell_at; /* monotonic; 0: not so, nothing waits */
    nsec_t grace_until;         /* monotonic: connectors of before our start may still come back; 0: some have, or nobody waits */
    nsec_t complete_at;         /* monotonic: by then all their connections should be back; 0: no matter */
};

/* Of a tunnel that was just made. */
void tunnel_standing_init(struct tunnel_standing *, nsec_t wall);
/* Of one that a former process knew: `ever`, `told`, `status` and `since` are as that left them. */
void tunnel_standing_resume(struct tunnel_standing *, nsec_t now, nsec_t wall);
/* True if the status changed. */
bool tunnel_standing_count(struct tunnel_standing *, const struct tunnel_count *, nsec_t now, nsec_t wall);
/* Is something to be told now? *from: what was told before. It counts as told from then on. */
bool tunnel_standing_tell(struct tunnel_standing *, nsec_t now, enum tunnel_status *from, struct announcement *);
/* Its connectors may still come back after our start. */
bool tunnel_standing_is_expected(const struct tunnel_standing *, nsec_t now);

#endif
