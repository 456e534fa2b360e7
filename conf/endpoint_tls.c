/* TLS towards endpoints: one context for all of the same settings, and the hash that says when kept connections are of no more use.
 * */
#define XXH_INLINE_ALL
#include "conf/files.h"
#include "conf/parts.h"

#include "base/mem.h"
#include "net/tls.h"

#include <string.h>
#include <xxhash.h>

enum { PEM_MAX = 4 * 1024 * 1024 };

struct client_slot {
    const char *settings; /* what the context was made of */
    struct tls_client *client;
    struct client_slot *next;
};

void finish_endpoint_tls(struct loader *l, const struct members *m, void *object)
{
    const struct endpoint *e = object;
    if (has_member(m, "client_cert") != has_member(m, "client_key"))
        conf_error(l, m->at, "`client_cert` and `client_key` go together");
    if (!e->tls_verify)
        conf_warning(l, member_place(m, "verify"),
                     "the endpoint's certificate is not verified: anybody on the way can read and change its traffic");
    if (!e->tls_verify && e->ca_file)
        conf_warning(l, member_place(m, "ca_file"), "`ca_file` means nothing with `verify = false`");
    if (e->client_key)
        warn_of_readable_key(l, e->client_key, member_place(m, "client_key"));
}

static uint64_t hash_file(const char *path)
{
    size_t n;
    char *content = path ? read_regular_file(path, PEM_MAX, &n) : NULL;
    uint64_t hash = content ? XXH3_64bits(content, n) : 0;
    mem_free_secret(content);
    return hash;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* Contents too: a file that was replaced makes another context. */
static const char *describe_settings(struct loader *l, const struct endpoint *e)
{
    return arena_printf(&l->scratch, "%d\n%s\n%016llx\n%s\n%016llx\n%s\n%016llx", e->tls_verify, or_empty(e->ca_file),
                        (unsigned long long)hash_file(e->ca_file), or_empty(e->client_cert),
                        (unsigned long long)hash_file(e->client_cert), or_empty(e->client_key),
                        (unsigned long long)hash_file(e->client_key));
}

static struct client_slot *find_slot(struct loader *l, const char *settings)
{
    for (struct client_slot *s = l->clients; s; s = s->next)
        if (strcmp(s->settings, settings) == 0)
            return s;
    return NULL;
}

static void own_client(struct loader *l, struct tls_client *client)
{
    struct config *c = l->config;
    struct tls_client **all = arena_array(&c->arena, c->n_tls_clients + 1, sizeof *all);
    if (c->n_tls_clients)
        memcpy(all, c->tls_clients, c->n_tls_clients * sizeof *all);
    all[c->n_tls_clients++] = client;
    c->tls_clients = all;
}

/* A context that can't be made is told once, at the first endpoint that wants it. */
static struct client_slot *make_slot(struct loader *l, const struct members *m, const struct endpoint *e, const char *settings)
{
    char error[TLS_ERROR_SIZE] = "";
    struct tls_client_options options = { e->tls_verify, e->ca_file, e->client_cert, e->client_key };
    struct client_slot *s = arena_alloc(&l->scratch, sizeof *s);

    *s = (struct client_slot){ settings, tls_client_new(&options, error), l->clients };
    l->clients = s;
    if (s->client)
        own_client(l, s->client);
    else
        conf_error(l, member_place(m, "tls"), "%s", error);
    if (s->client && *error)
        conf_warning(l, member_place(m, "tls"), "%s", error);
    return s;
}

static uint64_t hash_dialling(struct loader *l, const struct endpoint *e, const char *tls_settings)
{
    return config_hash(arena_printf(&l->scratch, "%s\n%u\n%s\n%d\n%s\n%s", or_empty(e->dial_host), e->dial_port,
                                    or_empty(e->unix_path), e->tls, or_empty(e->sni), tls_settings));
}

void make_endpoint_tls(struct loader *l, const struct members *m, struct endpoint *e)
{
    const char *settings = e->tls ? describe_settings(l, e) : "";
    if (e->tls) {
        struct client_slot *slot = find_slot(l, settings);
        if (!slot)
            slot = make_slot(l, m, e, settings);
        e->tls_client = slot->client;
    }
    e->dial_hash = hash_dialling(l, e, settings);
}
