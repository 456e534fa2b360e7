/* `edge`: where connectors dial us, and who they are. */
#include "conf/parts.h"
#include "conf/types.h"

#include "balance/colo.h"
#include "balance/tunnel.h"
#include "base/base64.h"
#include "base/mem.h"
#include "net/address.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- addresses --- */

static void check_addresses(struct loader *l, const struct members *m, const struct edge_conf *edge)
{
    char host[256];
    for (size_t i = 0; i < edge->addresses.n; i++) {
        struct source at = element_at(member(m, "addresses"), i).at;
        const char *address = edge->addresses.items[i], *wrong = what_is_wrong_with_address(address, host);
        if (*address && wrong)
            conf_error(l, at, "`addresses`: \"%s\": %s", address, strncmp(address, "unix:", 5) == 0 ? "connectors dial TCP only" : wrong);
        for (size_t j = 0; j < i; j++)
            if (strcmp(edge->addresses.items[j], address) == 0)
                conf_error(l, at, "`addresses` has \"%s\" twice: connectors may dial one address as often as they like", address);
    }
}

/* Not "all addresses". */
static bool names_host(const char *listen_address)
{
    char host[256];
    uint16_t port;
    struct address a;
    if (!address_split(listen_address, host, sizeof host, &port) || !*host)
        return false;
    if (!address_parse(host, port, &a))
        return true;
    return a.sa.sa_family == AF_INET ? a.v4.sin_addr.s_addr != htonl(INADDR_ANY) : !IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr);
}

static void advertise_addresses(struct loader *l, const struct members *m, struct edge_conf *edge)
{
    const char **items = arena_array(&l->config->arena, edge->addresses.n, sizeof *items);
    size_t n = 0;
    for (size_t i = 0; i < edge->addresses.n; i++)
        if (names_host(edge->addresses.items[i]))
            items[n++] = edge->addresses.items[i];
    edge->advertise = (struct texts){ items, n };
    if (n == 0 && is_good(l, m))
        conf_error(l, member_place(m, "addresses"),
                   "`edge` needs `advertise`: none of its addresses names a host that connectors could dial, such as [ \"edge.example.com:7844\" ]");
}

static void check_advertised(struct loader *l, const struct members *m, const struct edge_conf *edge)
{
    char host[256];
    uint16_t port;
    for (size_t i = 0; i < edge->advertise.n; i++) {
        const char *address = edge->advertise.items[i];
        bool good = address_split(address, host, sizeof host, &port) && *host && is_authority(l, address);
        if (*address && !good)
            conf_error(l, element_at(member(m, "advertise"), i).at, "`advertise`: \"%s\" must be HOST:PORT as connectors can dial it", address);
    }
}

/* The machine's own name, without its domain. */
static const char *default_location(struct arena *arena)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) < 0 || !*name)
        return "edge";
    return arena_printf(arena, "%.*s", (int)strcspn(name, ".") < EDGE_LOCATION_SIZE ? (int)strcspn(name, ".") : EDGE_LOCATION_SIZE - 1, name);
}

static void settle_location(struct loader *l, const struct members *m, struct edge_conf *edge)
{
    if (!edge->location)
        edge->location = default_location(&l->config->arena);
    if (strlen(edge->location) >= EDGE_LOCATION_SIZE)
        conf_error(l, member_place(m, "location"), "`location` must have at most %d bytes", EDGE_LOCATION_SIZE - 1);
}

/* A machine's name may read like a data centre's by chance: it says nothing. */
static void settle_coordinates(struct loader *l, const struct members *m, struct edge_conf *edge)
{
    const struct colo *colo = has_member(m, "location") ? colo_find(edge->location) : NULL;
    check_coordinates(l, m, edge->latitude, edge->longitude);
    if (colo && isnan(edge->latitude) && isnan(edge->longitude)) {
        edge->latitude = colo->latitude;
        edge->longitude = colo->longitude;
    }
}

/* --- tunnels --- */

void finish_edge_tunnel(struct loader *l, const struct members *m, void *object)
{
    struct edge_tunnel_conf *t = object;
    char uuid[UUID_TEXT_SIZE];
    unsigned char secret[TUNNEL_SECRET_MAX];
    size_t n = 0;

    if (t->id && uuid_parse(t->id, uuid))
        t->id = arena_copy_text(&l->config->arena, uuid);
    else if (t->id)
        conf_error(l, member_place(m, "id"), "`id` must be a UUID such as \"c1744f8b-faa1-48a4-9e5c-02ac921467fa\", not \"%s\"", t->id);
    if (t->name && !tunnel_name_is_valid(t->name))
        conf_error(l, member_place(m, "name"), "\"%s\" can't be a tunnel's name: %s", t->name,
                   uuid_parse(t->name, uuid) ? "it is a UUID" : "it is longer than 63 characters");
    if (t->secret && (!base64_decode(slice_of(t->secret), BASE64_PADDING_OPTIONAL, secret, sizeof secret, &n) || n < TUNNEL_SECRET_MIN))
        conf_error(l, member_place(m, "secret"), "`secret` must be base64 of %d to %d bytes, as `TunnelSecret` is in a credentials file",
                   TUNNEL_SECRET_MIN, TUNNEL_SECRET_MAX);
    explicit_bzero(secret, sizeof secret);
}

static void check_tunnels(struct loader *l, const struct edge_conf *edge)
{
    check_unique_names(l, "tunnel", edge->tunnels, edge->n_tunnels, sizeof *edge->tunnels, offsetof(struct edge_tunnel_conf, name),
                       offsetof(struct edge_tunnel_conf, at));
    check_unique_names(l, "tunnel", edge->tunnels, edge->n_tunnels, sizeof *edge->tunnels, offsetof(struct edge_tunnel_conf, id),
                       offsetof(struct edge_tunnel_conf, at));
}

bool is_tunnel_pattern(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*0123456789_-";
    return *text && strchr(letters, *text) && text[strspn(text, others)] == '\0' && strlen(text) < TUNNEL_NAME_SIZE;
}

void refuse_tunnel_pattern(struct loader *l, struct source at, const char *text)
{
    conf_error(l, at, "\"%s\" is no name of tunnels such as \"ams\" or \"app-*\": letters, digits, `-`, `_` and `*`, at most 63", text);
}

/* --- ingress --- */

static void check_named_once(struct loader *l, const struct edge_conf *edge, size_t group, const char *tunnel)
{
    for (size_t i = 0; i < group; i++)
        for (size_t j = 0; j < edge->ingress[i].tunnels.n; j++)
            if (strcmp(edge->ingress[i].tunnels.items[j], tunnel) == 0) {
                conf_error(l, edge->ingress[group].at, "\"%s\" has rules already, in %s:%u", tunnel, edge->ingress[i].at.file, edge->ingress[i].at.line);
                return;
            }
}

static void check_ingress(struct loader *l, const struct edge_conf *edge)
{
    for (size_t i = 0; i < edge->n_ingress; i++)
        for (size_t j = 0; j < edge->ingress[i].tunnels.n; j++)
            check_named_once(l, edge, i, edge->ingress[i].tunnels.items[j]);
}

/* --- the whole --- */

void finish_edge(struct loader *l, const struct members *m, void *object)
{
    struct edge_conf *edge = object;
    l->has_edge = true;
    check_addresses(l, m, edge);
    if (has_member(m, "advertise"))
        check_advertised(l, m, edge);
    else
        advertise_addresses(l, m, edge);
    settle_location(l, m, edge);
    settle_coordinates(l, m, edge);
    check_edge_certificate(l, m, edge);
    check_tunnels(l, edge);
    check_ingress(l, edge);
    if (!has_member(m, "replica_steering"))
        configure_default_steering(l, &edge->replica_steering, m->at);
}

void conf_warn_of_tunnels(const struct config *c, bool (*exists)(void *arg, const char *id_or_name), void *arg, struct conf_messages *messages)
{
    for (size_t i = 0; i < c->n_endpoints; i++) {
        const struct endpoint *e = c->endpoints[i];
        if (e->kind == ENDPOINT_EDGE && !exists(arg, e->tunnel))
            conf_messages_add(messages, CONF_WARNING, &e->at, "there is no tunnel \"%s\" yet, so %s is down: `penstock tunnel create` makes one", e->tunnel,
                              e->id);
    }
}
