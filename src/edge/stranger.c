#include "edge/stranger.h"

#include "base/log.h"
#include "edge/core.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static bool may_tell(struct edge_worker *w, struct log_quota *quota)
{
    nsec_t now = edge_now(w);
    unsigned more = log_quota_end(quota, now);
    if (more)
        log_notice("edge", "%u more connections ended before they registered", more);
    return log_quota_take(quota, now);
}

/* --- too many failures --- */

static void begin_window(struct edge_worker *w)
{
    nsec_t now = edge_now(w);
    if (now - w->failures_since < EDGE_FAILURES_WINDOW)
        return;
    peer_counts_free(w->failures_by_address);
    w->failures_by_address = peer_counts_new();
    w->failures_since = now;
}

void stranger_failed(const struct edge_connection *c)
{
    begin_window(c->worker);
    peer_count_enter(c->worker->failures_by_address, &c->peer, EDGE_FAILURES, 0);
}

bool stranger_is_barred(struct edge_worker *w, const struct address *peer)
{
    char text[ADDRESS_TEXT_SIZE];
    begin_window(w);
    if (peer_count_enter(w->failures_by_address, peer, 0, EDGE_FAILURES_PER_ADDRESS)) {
        peer_count_leave(w->failures_by_address, peer);
        return false;
    }
    if (may_tell(w, &w->strangers_warned_of)) {
        address_format(peer, text);
        log_warning("edge", "a connection from %s was closed at once: %d of that address failed to register within %d s", text,
                    EDGE_FAILURES_PER_ADDRESS, (int)(EDGE_FAILURES_WINDOW / NSEC_PER_SEC));
    }
    return true;
}

/* --- how they end --- */

/* cloudflared's pre-checks connect, shake hands at most, and leave; who stops while it connects leaves too. */
static bool is_no_event(const struct edge_connection *c, enum reason reason)
{
    switch (reason) {
    case REASON_NONE:
    case REASON_RESET:
    case REASON_SHUTDOWN:
        return true;
    case REASON_TLS_FAILED:
        return !c->stream.tls_error;
    default:
        return false;
    }
}

/* Where thousands come back at once, that may be us. */
static bool is_late(enum reason reason)
{
    return reason == REASON_CLIENT_HANDSHAKE || reason == REASON_CLIENT_HEADER_TIMEOUT;
}

/* An alert of the peer: mostly it believes another CA. */
static const char *cure(const struct edge_connection *c)
{
    unsigned long error = c->stream.tls_error;
    bool alert = ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) > SSL_AD_REASON_OFFSET;
    return alert ? "; cloudflared has to be given this edge's CA (--cacert), see `penstock tunnel run-command`" : "";
}

void stranger_tell_end(const struct edge_connection *c, enum reason reason, const char *detail)
{
    char peer[ADDRESS_TEXT_SIZE];
    if (is_no_event(c, reason))
        return;
    if (!is_late(reason))
        stranger_failed(c);
    if (!may_tell(c->worker, &c->worker->strangers_told))
        return;
    address_format(&c->peer, peer);
    log_notice("edge", "a connection from %s ended before it registered: %s%s", peer, detail, cure(c));
}

void stranger_tell_refused(struct edge_worker *w, const struct address *peer)
{
    char text[ADDRESS_TEXT_SIZE];
    if (!may_tell(w, &w->strangers_warned_of))
        return;
    address_format(peer, text);
    log_warning("edge", "a connection from %s was closed at once: too many, of that address or of all, have not registered yet", text);
}
