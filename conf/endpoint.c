/* How an endpoint is reached, from what is given of tunnel, hostname, address and connect_to. */
#include "conf/parts.h"

#include "balance/tunnel.h"
#include "base/uuid.h"
#include "conf/files.h"
#include "net/address.h"

#include <string.h>

enum { HTTP_PORT = 80, HTTPS_PORT = 443, UNIX_PATH_MAX = sizeof((struct sockaddr_un *)0)->sun_path - 1 };
#define TUNNEL_DOMAIN ".cfargotunnel.com"

/* An address taken apart. */
struct target {
    bool tls;
    bool has_scheme;
    bool is_unix;
    char host[256]; /* or the path of a unix socket's file */
    uint16_t port;
};

/* The UUID of "UUID.cfargotunnel.com", or NULL. */
static const char *tunnel_of_host(struct arena *arena, const char *host)
{
    char uuid[UUID_TEXT_SIZE];
    size_t n = strlen(host);
    if (n != UUID_TEXT_SIZE - 1 + strlen(TUNNEL_DOMAIN) || strcasecmp(host + UUID_TEXT_SIZE - 1, TUNNEL_DOMAIN) != 0)
        return NULL;
    char *head = arena_printf(arena, "%.*s", UUID_TEXT_SIZE - 1, host);
    return uuid_parse(head, uuid) ? arena_copy_text(arena, uuid) : NULL;
}

static bool is_numeric(const char *host)
{
    struct address a;
    return *host && address_parse(host, 1, &a);
}

/* "host", "host:port", "[v6]", "[v6]:port"; an absent port leaves target->port. */
static bool split_authority(struct target *t, const char *authority)
{
    size_t n = strlen(authority);
    bool bracketed = *authority == '[';
    if (address_split(authority, t->host, sizeof t->host, &t->port))
        return *t->host;
    if (n >= sizeof t->host || n == 0 || (bracketed ? authority[n - 1] != ']' : strchr(authority, ':') != NULL))
        return false;
    memcpy(t->host, authority + bracketed, n - 2 * (size_t)bracketed);
    t->host[n - 2 * (size_t)bracketed] = '\0';
    return *t->host;
}

static const char *cut_scheme(struct target *t, const char *address)
{
    t->tls = strncasecmp(address, "https://", 8) == 0;
    t->has_scheme = t->tls || strncasecmp(address, "http://", 7) == 0;
    t->port = t->tls ? HTTPS_PORT : HTTP_PORT;
    return t->has_scheme ? strchr(address, '/') + 2 : address;
}

/* NULL if it is fine, else what is wrong. */
static const char *parse_address(struct arena *arena, const char *address, struct target *t)
{
    *t = (struct target){ 0 };
    if (strncmp(address, "unix:", 5) == 0) {
        t->is_unix = true;
        if (!address[5] || strlen(address + 5) > UNIX_PATH_MAX)
            return "a unix socket needs a path of at most 107 characters";
        strcpy(t->host, address + 5);
        return NULL;
    }
    const char *rest = cut_scheme(t, address);
    if (!t->has_scheme && strstr(address, "://"))
        return "only http:// and https:// are spoken";
    char *authority = arena_copy_text(arena, rest);
    size_t n = strcspn(authority, "/?#");
    if (authority[n] == '/' && authority[n + 1] == '\0')
        authority[n] = '\0'; /* "http://host/" */
    if (authority[n])
        return "a path can't be given: requests keep their own";
    if (strchr(authority, '@'))
        return "a user and password can't be given: use `headers`";
    if (!split_authority(t, authority) || (!is_numeric(t->host) && !host_name_of(arena, t->host)))
        return "it must be http[s]://HOST[:PORT], HOST:PORT or unix:/PATH";
    if (!t->has_scheme && !strchr(rest, ':') && !tunnel_of_host(arena, t->host))
        return "it needs a scheme or a port: http://HOST, https://HOST or HOST:PORT";
    return NULL;
}

static void reach_target(struct loader *l, struct endpoint *e, const struct target *t)
{
    struct arena *arena = &l->config->arena;
    e->kind = ENDPOINT_ADDRESS;
    e->tls = t->tls;
    if (t->is_unix) {
        e->unix_path = socket_path(l, "address", t->host, e->at);
        return;
    }
    e->dial_host = is_numeric(t->host) ? arena_copy_text(arena, t->host) : host_name_of(arena, t->host);
    e->dial_port = t->port;
    if (t->tls && !e->sni)
        e->sni = e->dial_host;
}

static const char *default_name(const struct target *t)
{
    const char *slash = strrchr(t->host, '/');
    return t->is_unix && slash && slash[1] ? slash + 1 : t->host;
}

static void read_address(struct loader *l, const struct members *m, struct endpoint *e)
{
    const char *address = member_text(m, "address");
    struct source at = member_place(m, "address");
    struct target t;
    const char *wrong = parse_address(&l->scratch, address, &t);
    if (wrong) {
        conf_error(l, at, "`address` \"%s\": %s", address, wrong);
        return;
    }
    e->tunnel = tunnel_of_host(&l->config->arena, t.host);
    if (e->tunnel)
        return;
    if (!t.has_scheme && t.port == HTTPS_PORT && !t.is_unix)
        conf_warning(l, at, "plain HTTP to port 443: write https://%s for TLS", t.host);
    if (!e->name)
        e->name = arena_copy_text(&l->config->arena, default_name(&t));
    reach_target(l, e, &t);
}

/* --- tunnel, hostname, connect_to --- */

static void read_tunnel(struct loader *l, const struct members *m, struct endpoint *e)
{
    const char *tunnel = member_text(m, "tunnel");
    char uuid[UUID_TEXT_SIZE];
    const char *of_host = tunnel_of_host(&l->config->arena, tunnel);
    if (of_host)
        e->tunnel = of_host;
    else if (uuid_parse(tunnel, uuid))
        e->tunnel = arena_copy_text(&l->config->arena, uuid);
    else if (!l->has_edge || has_member(m, "hostname") || has_member(m, "connect_to"))
        conf_error(l, member_place(m, "tunnel"),
                   "`tunnel` must be the tunnel's UUID, 36 characters as `cloudflared tunnel list` prints it, not \"%s\"%s", tunnel,
                   l->has_edge ? "" : ": names are for tunnels of an `edge` of our own");
    else if (tunnel_name_is_valid(tunnel))
        e->tunnel = arena_copy_text(&l->config->arena, tunnel);
    else
        conf_error(l, member_place(m, "tunnel"),
                   "`tunnel` must be a tunnel's name or UUID, not \"%s\": letters, digits, `-` and `_`, beginning with a letter, at most 63", tunnel);
}

static void read_hostname(struct loader *l, const struct members *m, struct endpoint *e)
{
    const char *given = member_text(m, "hostname");
    struct source at = member_place(m, "hostname");
    e->hostname = is_numeric(given) ? NULL : host_name_of(&l->config->arena, given);
    if (e->hostname && tunnel_of_host(&l->scratch, e->hostname))
        conf_error(
            l, at,
            "%s can't be dialled from outside of Cloudflare: `hostname` is a public name that Cloudflare routes to the tunnel",
            given);
    else if (!e->hostname)
        conf_error(l, at, "`hostname` must be a host's name alone, not \"%s\": for a port use `connect_to`, for a URL `address`",
                   given);
}

static void dial_connect_to(struct loader *l, const struct members *m, struct endpoint *e)
{
    const char *given = member_text(m, "connect_to");
    struct target t = { 0 };
    bool good = address_split(given, t.host, sizeof t.host, &t.port) && *t.host;
    if (good && is_numeric(t.host))
        e->dial_host = arena_copy_text(&l->config->arena, t.host);
    else if (good)
        e->dial_host = host_name_of(&l->config->arena, t.host);
    e->dial_port = t.port;
    if (!e->dial_host)
        conf_error(l, member_place(m, "connect_to"), "`connect_to` must be HOST:PORT, not \"%s\"", given);
    else if (tunnel_of_host(&l->scratch, t.host))
        conf_error(l, member_place(m, "connect_to"), "%s can't be dialled from outside of Cloudflare", t.host);
}

static void dial_tunnel_name(struct loader *l, const struct members *m, struct endpoint *e)
{
    e->kind = ENDPOINT_TUNNEL_NAME;
    e->dial_host = arena_printf(&l->config->arena, "%s" TUNNEL_DOMAIN, e->tunnel);
    e->dial_port = HTTPS_PORT;
    conf_warning(l, has_member(m, "tunnel") ? member_place(m, "tunnel") : member_place(m, "address"),
                 "%s has an address inside of Cloudflare only: give the endpoint a `hostname` that Cloudflare routes to the "
                 "tunnel, or `connect_to`",
                 e->dial_host);
}

static void reach_through_cloudflare(struct loader *l, const struct members *m, struct endpoint *e)
{
    e->kind = ENDPOINT_HOSTNAME;
    e->tls = true;
    e->behind_cloudflare = true;
    if (!e->name && (e->hostname || e->tunnel))
        e->name = e->hostname ? e->hostname : e->tunnel;
    if (!e->sni)
        e->sni = e->hostname;
    if (!e->host_header)
        e->host_header = e->hostname;
    if (has_member(m, "connect_to")) {
        dial_connect_to(l, m, e);
    } else if (e->hostname) {
        e->dial_host = e->hostname;
        e->dial_port = HTTPS_PORT;
    } else if (e->tunnel) {
        dial_tunnel_name(l, m, e);
    }
}

/* Nothing is dialled: connectors have dialled us. */
static void reach_through_edge(struct endpoint *e)
{
    e->kind = ENDPOINT_EDGE;
    if (!e->name)
        e->name = e->tunnel;
}

static bool check_combination(struct loader *l, const struct members *m)
{
    bool address = has_member(m, "address"), tunnel = has_member(m, "tunnel"), hostname = has_member(m, "hostname");
    if (!address && !tunnel && !hostname) {
        conf_error(l, m->at, "an endpoint needs one of `hostname`, `tunnel` and `address`%s", l->has_edge ? ", or `tunnels`" : "");
        return false;
    }
    if (address && (tunnel || hostname)) {
        conf_error(l, member_place(m, "address"),
                   "`address` can't stand beside `tunnel` or `hostname`: to choose what is dialled use `connect_to`");
        return false;
    }
    return true;
}

static bool are_texts(const struct members *m)
{
    static const char *const keys[] = { "address", "tunnel", "hostname", "connect_to" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (has_member(m, keys[i]) && (!member_text(m, keys[i]) || !*member_text(m, keys[i])))
            return false;
    return true;
}

void resolve_reach(struct loader *l, const struct members *m, struct endpoint *e)
{
    if (!check_combination(l, m) || !are_texts(m))
        return;
    if (has_member(m, "tunnel"))
        read_tunnel(l, m, e);
    if (has_member(m, "hostname"))
        read_hostname(l, m, e);
    if (has_member(m, "address"))
        read_address(l, m, e);
    if (e->dial_host || e->unix_path) {
        if (has_member(m, "connect_to"))
            conf_error(l, member_place(m, "connect_to"),
                       "`connect_to` goes with `tunnel` or `hostname`; an `address` is what is dialled");
    } else if (e->tunnel && l->has_edge && !has_member(m, "hostname") && !has_member(m, "connect_to")) {
        reach_through_edge(e);
    } else if (e->hostname || e->tunnel) {
        reach_through_cloudflare(l, m, e);
    }
}

/* What is about dialling. */
static void refuse_for_edge(struct loader *l, const struct members *m, const char *key)
{
    if (has_member(m, key))
        conf_error(l, member_place(m, key), "`%s` means nothing to a tunnel of our edge, where nothing is dialled", key);
}

static void check_options(struct loader *l, const struct members *m, struct endpoint *e)
{
    if (e->kind == ENDPOINT_EDGE) {
        refuse_for_edge(l, m, "sni");
        refuse_for_edge(l, m, "tls");
    }
    if (e->kind != ENDPOINT_EDGE && has_member(m, "sni") && !e->tls)
        conf_error(l, member_place(m, "sni"), "`sni` means nothing without TLS: write https://");
    if (e->kind != ENDPOINT_EDGE && has_member(m, "tls") && !e->tls)
        conf_error(l, member_place(m, "tls"), "`tls` means nothing to an endpoint that is spoken to in plain HTTP: write https://");
    if (has_member(m, "identical"))
        conf_error(l, member_place(m, "identical"), "`identical` goes with `tunnels`");
    if (has_member(m, "rewrite_host") && !e->hostname)
        conf_error(l, member_place(m, "rewrite_host"), "`rewrite_host` needs a `hostname` to rewrite");
    check_coordinates(l, m, e->latitude, e->longitude);
}

bool is_authority(struct loader *l, const char *text)
{
    struct target t = { 0 };
    return split_authority(&t, text) && (is_numeric(t.host) || host_name_of(&l->scratch, t.host));
}

static void check_names(struct loader *l, const struct members *m, const struct endpoint *e)
{
    const char *sni = member_text(m, "sni"), *host = member_text(m, "host_header");
    if (sni && *sni && !host_name_of(&l->scratch, sni))
        conf_error(l, member_place(m, "sni"), "`sni` must be a host's name, not \"%s\"", sni);
    if (host && *host && !is_authority(l, host))
        conf_error(l, member_place(m, "host_header"), "`host_header` must be HOST or HOST:PORT, not \"%s\"", host);
    for (size_t i = 0; i < e->n_headers; i++)
        if (e->headers[i].name && strcasecmp(e->headers[i].name, "Host") == 0)
            conf_error(l, member_place(m, "headers"), "to choose the Host header use `host_header`");
}

/* An endpoint for each tunnel that joins. */
static void reach_joining(struct loader *l, const struct members *m, struct endpoint_in_file *f)
{
    static const char *const other_ways[] = { "name", "hostname", "tunnel", "address", "connect_to", "sni", "tls", "rewrite_host" };
    f->endpoint.kind = ENDPOINT_EDGE;
    if (!l->has_edge)
        conf_error(l, member_place(m, "tunnels"), "`tunnels` are those of an `edge` of our own, which is not configured");
    if (!is_tunnel_pattern(f->tunnels))
        refuse_tunnel_pattern(l, member_place(m, "tunnels"), f->tunnels);
    for (size_t i = 0; i < sizeof other_ways / sizeof *other_ways; i++)
        if (has_member(m, other_ways[i]))
            conf_error(l, member_place(m, other_ways[i]), "`%s` can't stand beside `tunnels`, which makes an endpoint of each of them", other_ways[i]);
}

void finish_endpoint(struct loader *l, const struct members *m, void *object)
{
    struct endpoint_in_file *f = object;
    struct endpoint *e = &f->endpoint;
    if (f->tunnels)
        reach_joining(l, m, f);
    else if (!has_member(m, "tunnels"))
        resolve_reach(l, m, e);
    if (is_good(l, m) && !f->tunnels)
        check_options(l, m, e);
    check_names(l, m, e);
    if (is_good(l, m))
        make_endpoint_tls(l, m, e);
}
