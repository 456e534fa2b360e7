#include "control/tunnel_status.h"

#include <stdio.h>

void tunnel_standing_init(struct tunnel_standing *s, nsec_t wall)
{
    *s = (struct tunnel_standing){ .status = TUNNEL_INACTIVE, .since = wall, .told = TUNNEL_INACTIVE };
    snprintf(s->reason, sizeof s->reason, "no connector has ever connected");
}

static bool is_connected(enum tunnel_status status)
{
    return status == TUNNEL_HEALTHY || status == TUNNEL_DEGRADED;
}

void tunnel_standing_resume(struct tunnel_standing *s, nsec_t now, nsec_t wall)
{
    struct tunnel_standing known = *s;
    tunnel_standing_init(s, known.since);
    if (!known.ever)
        return;
    bool was_connected = is_connected(known.status);
    s->ever = true;
    s->status = TUNNEL_DOWN;
    s->told = known.told;
    s->since = s->lost_at = was_connected ? wall : known.since;
    snprintf(s->reason, sizeof s->reason, "no connector has come back since penstock started");
    if (!was_connected && known.told == TUNNEL_DOWN)
        return; /* and everybody knows */
    s->grace_until = s->complete_at = now + TUNNEL_GRACE;
    if (s->told != TUNNEL_DOWN)
        s->tell_at = s->grace_until;
}

static enum tunnel_status status_of(const struct tunnel_standing *s, const struct tunnel_count *n)
{
    if (n->connections == 0)
        return s->ever ? TUNNEL_DOWN : TUNNEL_INACTIVE;
    bool complete = n->connections >= n->connectors * n->expected && n->sick == 0;
    return complete ? TUNNEL_HEALTHY : TUNNEL_DEGRADED;
}

static const char *plural(unsigned n)
{
    return n == 1 ? "" : "s";
}

static void say_connections(struct tunnel_standing *s, const struct tunnel_count *n)
{
    unsigned expected = n->connectors * n->expected;
    int m;
    if (n->connections < expected)
        m = snprintf(s->reason, sizeof s->reason, "%u of %u connections that %u connector%s should have", n->connections, expected,
                     n->connectors, plural(n->connectors));
    else
        m = snprintf(s->reason, sizeof s->reason, "%u connection%s of %u connector%s", n->connections, plural(n->connections),
                     n->connectors, plural(n->connectors));
    if (n->sick)
        snprintf(s->reason + m, sizeof s->reason - (size_t)m, ", %u of them carr%s no requests", n->sick,
                 n->sick == 1 ? "ies" : "y");
}

static void say(struct tunnel_standing *s, const struct tunnel_count *n)
{
    if (n->connections)
        say_connections(s, n);
    else if (s->ever && n->last_end)
        snprintf(s->reason, sizeof s->reason, "no connector is connected; the last connection ended: %.*s", VERDICT_TEXT_SIZE / 2,
                 n->last_end);
    else if (s->ever && !s->grace_until)
        snprintf(s->reason, sizeof s->reason, "no connector is connected");
}

static nsec_t earlier(nsec_t a, nsec_t b)
{
    return a < b ? a : b;
}

static nsec_t later(nsec_t a, nsec_t b)
{
    return a > b ? a : b;
}

static void wait_to_tell(struct tunnel_standing *s, bool more, nsec_t now)
{
    if (s->status == s->told) {
        s->tell_at = 0;
        return;
    }
    if (s->status != TUNNEL_DEGRADED) {
        s->tell_at = s->status == TUNNEL_DOWN && now < s->grace_until ? s->grace_until : now;
        return;
    }
    if (!s->tell_at || more)
        s->tell_at = later(earlier(now + TUNNEL_SETTLING, s->degraded_at + TUNNEL_SETTLING_MAX), s->complete_at);
}

static void set_status(struct tunnel_standing *s, enum tunnel_status status, nsec_t now, nsec_t wall)
{
    if (is_connected(status) != is_connected(s->status)) {
        s->connected_at = is_connected(status) ? wall : 0;
        s->lost_at = is_connected(status) ? 0 : wall;
    }
    s->status = status;
    s->since = wall;
    s->tell_at = 0;
    s->degraded_at = status == TUNNEL_DEGRADED ? now : 0;
}

bool tunnel_standing_count(struct tunnel_standing *s, const struct tunnel_count *n, nsec_t now, nsec_t wall)
{
    bool more = n->connections > s->connections;
    s->connections = n->connections;
    if (n->connections) {
        s->ever = true;
        s->grace_until = 0;
    }
    enum tunnel_status status = status_of(s, n);
    bool changed = status != s->status;
    if (changed)
        set_status(s, status, now, wall);
    say(s, n);
    wait_to_tell(s, more, now);
    return changed;
}

static void describe(enum tunnel_status from, enum tunnel_status to, struct announcement *out)
{
    switch (to) {
    case TUNNEL_HEALTHY:
        *out = (struct announcement){ "tunnel.healthy", SEVERITY_INFO, from == TUNNEL_DEGRADED || from == TUNNEL_DOWN };
        return;
    case TUNNEL_DEGRADED:
        *out = (struct announcement){ "tunnel.degraded", SEVERITY_WARNING, false };
        return;
    case TUNNEL_DOWN:
    case TUNNEL_INACTIVE:
    case TUNNEL_UNKNOWN:
        *out = (struct announcement){ "tunnel.inactive", SEVERITY_CRITICAL, false };
        return;
    }
}

bool tunnel_standing_tell(struct tunnel_standing *s, nsec_t now, enum tunnel_status *from, struct announcement *out)
{
    if (!s->tell_at || now < s->tell_at)
        return false;
    *from = s->told;
    s->told = s->status;
    s->tell_at = 0;
    s->grace_until = 0;
    describe(*from, s->told, out);
    return true;
}

bool tunnel_standing_is_expected(const struct tunnel_standing *s, nsec_t now)
{
    return s->grace_until && now < s->grace_until;
}
