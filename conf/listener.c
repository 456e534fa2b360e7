#include "conf/files.h"
#include "conf/parts.h"
#include "base/slice.h"
#include "conf/types.h"
#include "net/address.h"
#include "net/tls.h"

#include <grp.h>
#include <string.h>

static bool is_loopback(const char *host)
{
    struct address a;
    if (strcmp(host, "localhost") == 0)
        return true;
    if (!address_parse(host, 1, &a) || !*host)
        return false;
    if (a.sa.sa_family == AF_INET)
        return (ntohl(a.v4.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
}

const char *what_is_wrong_with_address(const char *address, char host[256])
{
    struct address a;
    uint16_t port;
    if (!address_split(address, host, 256, &port))
        return "it must be :PORT, HOST:PORT, [IPv6]:PORT or unix:/PATH, with a port from 1 to 65535";
    if (strcmp(host, "localhost") != 0 && !address_parse(host, port, &a))
        return "the host must be an address of this machine in digits, localhost, or left out for all addresses";
    return NULL;
}

static void make_tls_server(struct loader *l, const struct members *m, struct listener *listener)
{
    static const char *const alpn[] = { "http/1.1", NULL };
    size_t n = listener->n_certificates;
    struct tls_certificate_files *files = arena_array(&l->scratch, n, sizeof *files);
    char error[TLS_ERROR_SIZE] = "";

    for (size_t i = 0; i < n; i++)
        files[i] = (struct tls_certificate_files){ listener->certificates[i].cert, listener->certificates[i].key };
    for (size_t i = 0; i < n; i++) { /* one by one, so that an error stands at its certificate */
        struct tls_server_options one = { &files[i], 1, listener->min_version, alpn };
        struct tls_server *server = tls_server_new(&one, error);
        if (!server)
            conf_error(l, listener->certificates[i].at, "%s", error);
        else if (*error)
            conf_warning(l, listener->certificates[i].at, "%s", error);
        tls_server_free(server);
        *error = '\0';
    }
    struct tls_server_options all = { files, n, listener->min_version, alpn };
    listener->tls_server = tls_server_new(&all, error);
    if (!listener->tls_server && is_good(l, m))
        conf_error(l, listener->at, "%s", error);
}

static void check_certificates(struct loader *l, const struct members *m, const struct listener *listener)
{
    if (listener->n_certificates == 0 && is_good(l, m))
        conf_error(l, member_place(m, "tls"), "`tls` needs `certificates`");
    for (size_t i = 0; i < listener->n_certificates; i++)
        if (listener->certificates[i].key)
            warn_of_readable_key(l, listener->certificates[i].key, listener->certificates[i].at);
}

void finish_listener(struct loader *l, const struct members *m, void *object)
{
    struct listener *listener = object;
    const char *address = listener->address;
    struct source at = member_place(m, "address");
    char host[256];

    if (address && strncmp(address, "unix:", 5) == 0)
        listener->address = arena_printf(&l->config->arena, "unix:%s", socket_path(l, "address", address, at));
    else if (address && what_is_wrong_with_address(address, host))
        conf_error(l, at, "`address` \"%s\": %s", address, what_is_wrong_with_address(address, host));
    if (listener->http2) {
        conf_warning(l, member_place(m, "http2"), "this version offers HTTP/1.1 only: `http2 = true` has no effect");
        listener->http2 = false;
    }
    listener->tls = has_member(m, "tls");
    if (listener->tls)
        check_certificates(l, m, listener);
    if (listener->tls && is_good(l, m))
        make_tls_server(l, m, listener);
}

static void check_group(struct loader *l, const char *name, struct source at)
{
    char buffer[16 * 1024];
    struct group entry, *found = NULL;
    if (getgrnam_r(name, &entry, buffer, sizeof buffer, &found) != 0 || !found)
        conf_error(l, at, "there is no group \"%s\" on this machine", name);
}

void finish_admin(struct loader *l, const struct members *m, void *object)
{
    struct admin_conf *admin = object;
    struct source at = member_place(m, "address");
    char host[256];

    if (member_text(m, "socket"))
        admin->socket = socket_path(l, "socket", member_text(m, "socket"), member_place(m, "socket"));
    if (admin->group)
        check_group(l, admin->group, member_place(m, "group"));
    if (!admin->address)
        return;
    if (what_is_wrong_with_address(admin->address, host))
        conf_error(l, at, "`address` \"%s\": %s", admin->address, what_is_wrong_with_address(admin->address, host));
    else if (!admin->token && !is_loopback(host) && is_good(l, m))
        conf_error(l, at, "`address` \"%s\" can be reached from other machines: give a `token_file`, or listen on 127.0.0.1",
                   admin->address);
}

static void read_networks(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    if (!require_list(l, k, g))
        return;
    size_t n = count_elements(g);
    struct cidr *items = arena_array(&l->config->arena, n, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        struct element e = element_at(g, i);
        if (e.text && !cidr_parse(e.text, &items[i]))
            conf_error(l, e.at, "`%s`: \"%s\" is no network such as \"10.0.0.0/8\" or \"2001:db8::/32\"", k->name, e.text);
    }
    *(struct cidr_set *)(void *)((char *)object + k->offset) = (struct cidr_set){ items, n };
}

const struct conf_type type_networks = { "a list of networks [ \"10.0.0.0/8\" ]", "list of networks", .is_list = true,
                                         .read = read_networks };

static bool is_server(const char *text)
{
    char host[256];
    uint16_t port = 53;
    struct address a;
    return address_parse(text, port, &a) ? *text != '\0'
                                         : address_split(text, host, sizeof host, &port) && *host && address_parse(host, port, &a);
}

static bool are_servers(const char *text)
{
    struct slice rest = slice_of(text), element;
    char one[300];
    bool good = true;
    while (slice_next_element(&rest, &element)) {
        snprintf(one, sizeof one, "%.*s", SLICE_ARG(element));
        good = good && is_server(one);
    }
    return good;
}

static void read_servers(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct text all = { 0 };
    if (!require_list(l, k, g))
        return;
    for (size_t i = 0; i < count_elements(g); i++) {
        struct element e = element_at(g, i);
        if (e.text && !are_servers(e.text))
            conf_error(l, e.at, "`%s`: \"%s\" is no address such as \"127.0.0.1:53\" or \"[::1]:53\"", k->name, e.text);
        if (e.text)
            text_addf(&all, "%s%s", all.n ? "," : "", e.text);
    }
    if (all.n)
        *(const char **)(void *)((char *)object + k->offset) = arena_copy_text(&l->config->arena, all.p);
    text_clear(&all);
}

const struct conf_type type_resolver_servers = { "a list of addresses [ \"127.0.0.1:53\" ]", "list of addresses", .is_list = true,
                                                 .read = read_servers };

void finish_access_log(struct loader *l, const struct members *m, void *object)
{
    struct access_log_conf *log = object;
    const char *path = member_text(m, "path");
    if (path && strcmp(path, "off") == 0)
        log->path = NULL;
    else if (path && *path && strcmp(path, "stdout") != 0)
        log->path = path_beside(&l->config->arena, member_place(m, "path").file, path);
}
