/* The part of Cloudflare's API by which `cloudflared tunnel create|list|info|token|cleanup|delete` works against our edge. There is
 * one account here, by whatever tag it is called: a tunnel keeps the tag that it was made with. */
#include "control/handlers.h"

#include "base/base64.h"
#include "base/mem.h"
#include "control/cfd_tunnel.h"
#include "control/envelope.h"
#include "control/tunnels.h"

#include <string.h>
#include <time.h>

enum { ACCOUNT_SEGMENT, TUNNEL_SEGMENT, CONNECTOR_SEGMENT, TUNNEL_ERROR_SIZE = 256, PATH_SIZE = 4096 };

static void refuse(const struct request *r, enum tunnels_result result, const char *name, const char *error)
{
    switch (result) {
    case TUNNELS_NOT_FOUND:
        envelope_refuse(r->call, 404, ENVELOPE_NO_TUNNEL, "", "there is no tunnel \"%s\"", name);
        break;
    case TUNNELS_EXISTS:
        envelope_refuse(r->call, 409, ENVELOPE_NAME_TAKEN, "", "there is a tunnel \"%s\" already", name);
        break;
    case TUNNELS_CONNECTED:
        envelope_refuse(r->call, 400, ENVELOPE_CONNECTED, "",
                        "tunnel \"%s\" has connections: cleanup, or delete with cascade (cloudflared: -f)", name);
        break;
    case TUNNELS_IN_FILE:
        envelope_refuse(r->call, 409, ENVELOPE_NOT_OURS, "",
                        "tunnel \"%s\" stands in penstock's configuration file: change it there", name);
        break;
    case TUNNELS_BAD_NAME:
        envelope_refuse(r->call, 400, ENVELOPE_INVALID, "",
                        "\"%s\" can't be a tunnel's name: letters, digits, \"-\" and \"_\", a letter first, at most %d, no UUID",
                        name, TUNNEL_NAME_SIZE - 1);
        break;
    case TUNNELS_FAILED:
        envelope_refuse(r->call, 500, ENVELOPE_FAILED, "", "%s", error);
        break;
    case TUNNELS_DONE:
        break;
    }
}

/* By id alone, as Cloudflare does. NULL after a 404. */
static json_t *find(const struct request *r)
{
    const char *id = r->segments[TUNNEL_SEGMENT];
    json_t *tunnel = uuid_parse(id, NULL) ? tunnels_one_json(r->control->registry, id) : NULL;

    if (!tunnel)
        refuse(r, TUNNELS_NOT_FOUND, id, "");
    return tunnel;
}

/* --- lists --- */

static bool take_time(const struct request *r, const char *name, nsec_t *out)
{
    char text[64];
    struct tm t = { 0 };

    if (!request_parameter(r, name, text, sizeof text))
        return false;
    if (!*text)
        return true;
    if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &t)) {
        request_refuse(r, 400, "%s must be a time such as 2026-11-24T16:00:00Z", name);
        return false;
    }
    *out = (nsec_t)timegm(&t) * NSEC_PER_SEC;
    return true;
}

/* False after a 400. */
static bool take_filter(const struct request *r, struct cfd_filter *f)
{
    char included[CFD_TEXT_SIZE];

    *f = (struct cfd_filter){ .page = 1, .per_page = CFD_PER_PAGE };
    if (!request_parameter(r, "name", f->name, sizeof f->name) ||
        !request_parameter(r, "name_prefix", f->prefix, sizeof f->prefix) ||
        !request_parameter(r, "include_prefix", included, sizeof included) ||
        !request_parameter(r, "exclude_prefix", f->not_prefix, sizeof f->not_prefix) ||
        !request_parameter(r, "uuid", f->id, sizeof f->id) || !request_parameter(r, "status", f->status, sizeof f->status) ||
        !request_flag(r, "is_deleted", &f->deleted) || !take_time(r, "existed_at", &f->existed_at) ||
        !take_time(r, "was_active_at", &f->was_active_at) || !take_time(r, "was_inactive_at", &f->was_inactive_at) ||
        !request_number(r, "page", 1, 1000000, &f->page) || !request_number(r, "per_page", 1, CFD_PER_PAGE_MAX, &f->per_page))
        return false;
    if (!*f->prefix)
        memcpy(f->prefix, included, sizeof included);
    return true;
}

void handle_get_cfd_tunnels(const struct request *r)
{
    struct cfd_filter filter;
    struct envelope_page page;

    if (!take_filter(r, &filter))
        return;
    json_t *all = tunnels_json(r->control->registry);
    json_t *list = cfd_list(all, &filter, &page.total);
    page.page = filter.page;
    page.per_page = filter.per_page;
    envelope_answer_page(r->call, list, &page);
    json_decref(all);
}

/* --- one --- */

void handle_get_cfd_tunnel(const struct request *r)
{
    json_t *tunnel = find(r);
    if (tunnel)
        envelope_answer(r->call, cfd_tunnel(tunnel));
    json_decref(tunnel);
}

void handle_get_cfd_token(const struct request *r)
{
    struct credentials credentials;
    char path[PATH_SIZE];
    json_t *tunnel = find(r);

    if (tunnel && tunnels_credentials(r->control->registry, r->segments[TUNNEL_SEGMENT], &credentials, path) == TUNNELS_DONE) {
        char *token = token_write(&credentials);
        envelope_answer(r->call, json_string(token));
        mem_free_secret(token);
        credentials_clear(&credentials);
    }
    json_decref(tunnel);
}

/* --- making and deleting --- */

struct secret {
    unsigned char bytes[TUNNEL_SECRET_MAX];
    size_t n; /* 0: a new one */
};

/* False after a 400. */
static bool take_secret(const struct request *r, const json_t *given, struct secret *out)
{
    const char *text = json_string_value(given);

    *out = (struct secret){ 0 };
    if (!given || json_is_null(given))
        return true;
    if (text && base64_decode(slice_of(text), BASE64_PADDING_OPTIONAL, out->bytes, sizeof out->bytes, &out->n) &&
        out->n >= TUNNEL_SECRET_MIN)
        return true;
    request_refuse(r, 400, "tunnel_secret must be base64 of %d to %d bytes", TUNNEL_SECRET_MIN, TUNNEL_SECRET_MAX);
    return false;
}

static void answer_made(const struct request *r, const struct credentials *credentials)
{
    json_t *ours = tunnels_one_json(r->control->registry, credentials->tunnel), *out = cfd_tunnel(ours);
    char *token = token_write(credentials);

    json_object_set_new(out, "token", json_string(token));
    envelope_answer(r->call, out);
    mem_free_secret(token);
    json_decref(ours);
}

static void make(const struct request *r, const char *name, const struct secret *secret)
{
    struct credentials credentials;
    char error[TUNNEL_ERROR_SIZE];
    struct slice bytes = { (const char *)secret->bytes, secret->n };
    enum tunnels_result result =
        tunnels_create(r->control->registry, name, r->segments[ACCOUNT_SEGMENT], bytes, &credentials, error);

    if (result == TUNNELS_DONE)
        answer_made(r, &credentials);
    else
        refuse(r, result, name, error);
    credentials_clear(&credentials);
}

/* Members that we don't know are others' business: what Cloudflare's clients send grows with time. */
void handle_post_cfd_tunnel(const struct request *r)
{
    json_t *body = request_body(r, NULL);
    const char *name = json_string_value(json_object_get(body, "name"));
    struct secret secret = { 0 };

    if (body && !name)
        request_refuse(r, 400, "name must be a string");
    else if (body && !account_tag_is_valid(slice_of(r->segments[ACCOUNT_SEGMENT])))
        request_refuse(r, 400, "an account is 1 to %d letters, digits, - and _", TUNNEL_ACCOUNT_SIZE - 1);
    else if (body && !r->control->config->edge.addresses.n)
        envelope_refuse(r->call, 409, ENVELOPE_NOT_OURS, "", "penstock's configuration has no `edge` that connectors could dial");
    else if (body && take_secret(r, json_object_get(body, "tunnel_secret"), &secret))
        make(r, name, &secret);
    explicit_bzero(&secret, sizeof secret);
    json_decref(body);
}

void handle_delete_cfd_tunnel(const struct request *r)
{
    const char *id = r->segments[TUNNEL_SEGMENT];
    char error[TUNNEL_ERROR_SIZE];
    bool cascade = false;
    json_t *tunnel = request_flag(r, "cascade", &cascade) ? find(r) : NULL;

    if (!tunnel)
        return;
    enum tunnels_result result = tunnels_delete(r->control->registry, id, cascade, error);
    if (result != TUNNELS_DONE) {
        refuse(r, result, json_string_value(json_object_get(tunnel, "name")), error);
    } else {
        char now[CLOCK_RFC3339_SIZE];
        json_t *gone = cfd_tunnel(tunnel);
        json_object_set_new(gone, "deleted_at", json_string(clock_rfc3339(clock_wall(), now)));
        envelope_answer(r->call, gone);
    }
    json_decref(tunnel);
}

/* --- connections --- */

void handle_get_cfd_connections(const struct request *r)
{
    json_t *tunnel = find(r);
    if (tunnel)
        envelope_answer(r->call, cfd_clients(tunnel));
    json_decref(tunnel);
}

static void refuse_connector(const struct request *r, const char *connector)
{
    envelope_refuse(r->call, 404, ENVELOPE_NO_TUNNEL, "", "tunnel %s has no connector \"%s\"", r->segments[TUNNEL_SEGMENT],
                    connector);
}

void handle_get_cfd_connector(const struct request *r)
{
    json_t *tunnel = find(r);
    json_t *client = tunnel ? cfd_client(tunnel, r->segments[CONNECTOR_SEGMENT]) : NULL;

    if (client)
        envelope_answer(r->call, client);
    else if (tunnel)
        refuse_connector(r, r->segments[CONNECTOR_SEGMENT]);
    json_decref(tunnel);
}

void handle_delete_cfd_connections(const struct request *r)
{
    char connector[UUID_TEXT_SIZE];
    json_t *tunnel = request_parameter(r, "client_id", connector, sizeof connector) ? find(r) : NULL;

    if (!tunnel)
        return;
    if (tunnels_cleanup(r->control->registry, r->segments[TUNNEL_SEGMENT], *connector ? connector : NULL) == TUNNELS_DONE)
        envelope_answer(r->call, json_null());
    else
        refuse_connector(r, connector);
    json_decref(tunnel);
}

/* --- configurations --- */

void handle_get_cfd_configurations(const struct request *r)
{
    json_t *tunnel = find(r);
    if (tunnel)
        envelope_answer(r->call, cfd_configuration(tunnel));
    json_decref(tunnel);
}

/* Rules have one place, which is read again at each start. */
void handle_put_cfd_configurations(const struct request *r)
{
    json_t *tunnel = find(r);
    if (tunnel)
        envelope_refuse(r->call, 409, ENVELOPE_NOT_OURS, "",
                        "the rules that are pushed to tunnel \"%s\" stand in penstock's configuration, edge.ingress: change them "
                        "there and reload",
                        json_string_value(json_object_get(tunnel, "name")));
    json_decref(tunnel);
}
