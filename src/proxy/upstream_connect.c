#include "proxy/upstream_inside.h"

#include "net/dial.h"
#include "net/tls.h"

struct dialling {
    struct dial dial;
    struct upstream *upstream;
};

void upstream_stop_dialling(struct upstream *u)
{
    if (!u->dialling)
        return;
    dial_cancel(&u->dialling->dial);
    free(u->dialling);
    u->dialling = NULL;
}

/* --- once connected --- */

void upstream_shake_hands(struct upstream *u)
{
    switch (stream_handshake(&u->stream)) {
    case HANDSHAKE_AGAIN: break;
    case HANDSHAKE_DONE: upstream_become_ready(u); break;
    case HANDSHAKE_FAILED: upstream_fail(u, REASON_TLS_FAILED, stream_failure()); break;
    }
}

static void on_connected(struct upstream *u, int fd)
{
    struct worker *w = upstream_worker(u);
    u->connected = worker_now(w);
    stream_init(&u->stream, fd, u->ssl, upstream_on_io);
    bool secure = u->ssl != NULL;
    u->ssl = NULL;
    if (!secure) {
        upstream_become_ready(u);
        return;
    }
    upstream_set_state(u, UPSTREAM_HANDSHAKE);
    timer_arm_at(&w->timers, &u->timer, u->born + upstream_timeouts(u)->handshake);
    stream_watch(&u->stream, w->loop, EV_READ);
    upstream_shake_hands(u);
}

static void on_dialled(struct dial *dial)
{
    struct upstream *u = CONTAINER_OF(dial, struct dialling, dial)->upstream;
    int fd = dial->fd, error = dial->error;
    u->address = dial->addresses.items[dial->index];
    upstream_stop_dialling(u);
    if (fd >= 0) {
        on_connected(u, fd);
        return;
    }
    /* The next connection begins with another address. */
    atomic_fetch_add_explicit(&u->pool->live->address_turn, 1, memory_order_relaxed);
    upstream_fail(u, REASON_CONNECT_FAILED, strerror(error));
}

void upstream_on_unix_connected(struct upstream *u)
{
    int fd = u->stream.io.fd, error = stream_connect_result(fd);
    struct worker *w = upstream_worker(u);
    if (error) {
        upstream_fail(u, REASON_CONNECT_FAILED, strerror(error));
        return;
    }
    stream_watch(&u->stream, w->loop, 0);
    on_connected(u, fd);
}

/* --- on the way --- */

static bool dial_unix(struct upstream *u, const char *path)
{
    struct sockaddr_un where = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof where.sun_path)
        return false;
    memcpy(where.sun_path, path, strlen(path) + 1);
    int fd = stream_connect((const struct sockaddr *)&where, sizeof where);
    if (fd < 0)
        return false;
    u->over_unix = true;
    stream_init(&u->stream, fd, NULL, upstream_on_io);
    stream_watch(&u->stream, upstream_worker(u)->loop, EV_WRITE);
    return true;
}

static bool dial_tcp(struct upstream *u)
{
    struct address_set addresses;
    struct worker *w = upstream_worker(u);
    u->addresses_version = atomic_load_explicit(&u->pool->live->addresses_version, memory_order_acquire);
    endpoint_get_addresses(u->pool->live, &addresses);
    if (!addresses.n || !(u->dialling = calloc(1, sizeof *u->dialling)))
        return false;
    u->dialling->upstream = u;
    unsigned first = atomic_load_explicit(&u->pool->live->address_turn, memory_order_relaxed) % addresses.n;
    dial_start(&u->dialling->dial, w->loop, &w->timers, &addresses, first, on_dialled);
    return true;
}

/* The request's host, where the endpoint has no name of its own to be verified by. */
static char *copy_tls_name(const struct exchange *ex)
{
    char *name = ex->host.n ? malloc(ex->host.n + 1) : NULL;
    if (name) {
        memcpy(name, ex->host.p, ex->host.n);
        name[ex->host.n] = 0;
    }
    return name;
}

static bool prepare_tls(struct upstream *u, const struct exchange *ex)
{
    const struct endpoint *e = ex->endpoint;
    if (!e->tls_client)
        return true;
    if (!e->sni && !(u->tls_name = copy_tls_name(ex)))
        return false;
    /* Sessions are kept only where the name is always the same: one made for another name must not be resumed. */
    u->ssl = tls_client_session(e->tls_client, e->sni ? e->sni : u->tls_name, e->sni ? u->pool->session : NULL);
    if (u->ssl && e->sni)
        tls_client_keep_session(u->ssl, &u->pool->session);
    return u->ssl != NULL;
}

bool upstream_connect(struct upstream *u, const struct exchange *ex, enum reason *why_not)
{
    *why_not = REASON_INTERNAL;
    if (!prepare_tls(u, ex))
        return false;
    if (ex->endpoint->unix_path) {
        *why_not = REASON_CONNECT_FAILED;
        return dial_unix(u, ex->endpoint->unix_path);
    }
    *why_not = REASON_NO_ADDRESS;
    return dial_tcp(u);
}
