#include "edge/stranger.h"

#include "base/log.h"
#include "edge/core.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static bool may_tell(struct edge_worker *w)
{
    nsec_t now = edge_now(w);
    unsigned more = log_quota_end(&w->strangers_told, now);
    if (more)
        log_notice("edge", "%u more connections ended before they registered", more);
    return log_quota_take(&w->strangers_told, now);
}

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
    if (is_no_event(c, reason) || !may_tell(c->worker))
        return;
    address_format(&c->peer, peer);
    log_notice("edge", "a connection from %s ended before it registered: %s%s", peer, detail, cure(c));
}

void stranger_tell_refused(struct edge_worker *w, const struct address *peer)
{
    char text[ADDRESS_TEXT_SIZE];
    if (!may_tell(w))
        return;
    address_format(peer, text);
    log_warning("edge", "a connection from %s was closed at once: too many, of that address or of all, have not registered yet", text);
}
