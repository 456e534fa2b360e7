/* Tunnels of our own edge: made and deleted, their connectors drained, weighed and dropped. */
#include "control/handlers.h"

#include "base/base64.h"
#include "control/admin.h"
#include "control/answer.h"
#include "control/tunnel_access.h"
#include "control/tunnels.h"

#include <string.h>

enum { TUNNEL_ERROR_SIZE = 256, PATH_SIZE = 4096 };

static void refuse(const struct request *r, enum tunnels_result result, const char *name, const char *error)
{
    switch (result) {
    case TUNNELS_NOT_FOUND:
        request_refuse(r, 404, "there is no tunnel \"%s\" of our edge", name);
        break;
    case TUNNELS_EXISTS:
        request_refuse(r, 409, "there is a tunnel \"%s\" already", name);
        break;
    case TUNNELS_CONNECTED:
        request_refuse(r, 409, "tunnel \"%s\" has connections: stop its connectors first, or delete it with --force (in the API force=true)", name);
        break;
    case TUNNELS_IN_FILE:
        request_refuse(r, 409, "tunnel \"%s\" stands in the configuration file: change it there and reload", name);
        break;
    case TUNNELS_BAD_NAME:
        request_refuse(r, 400,
                       "\"%s\" can't be a tunnel's name: letters, digits, \"-\" and \"_\", a letter first, at most %d, no UUID",
                       name, TUNNEL_NAME_SIZE - 1);
        break;
    case TUNNELS_FAILED:
        request_refuse(r, 500, "%s", error);
        break;
    case TUNNELS_DONE:
        break;
    }
}

static void answer_tunnel(const struct request *r, const char *id_or_name)
{
    json_t *tunnel = tunnels_one_json(r->control->registry, id_or_name);

    if (tunnel)
        answer_json(r->call, 200, tunnel);
    else
        refuse(r, TUNNELS_NOT_FOUND, id_or_name, "");
}

/* --- making --- */

struct new_tunnel {
    const char *name, *account;
    unsigned char secret[TUNNEL_SECRET_MAX];
    size_t secret_size; /* 0: a new one */
};

static bool take_secret(const json_t *given, struct new_tunnel *out)
{
    const char *text = json_string_value(given);
    return !given ||
           (text && base64_decode(slice_of(text), BASE64_PADDING_OPTIONAL, out->secret, sizeof out->secret, &out->secret_size) &&
            out->secret_size >= TUNNEL_SECRET_MIN);
}

/* False after a refusal. */
static bool take_new(const struct request *r, const json_t *body, struct new_tunnel *out)
{
    const json_t *account = json_object_get(body, "account");

    *out = (struct new_tunnel){ .name = json_string_value(json_object_get(body, "name")), .account = json_string_value(account) };
    if (!out->name)
        request_refuse(r, 400, "give \"name\", a string");
    else if (account && !out->account)
        request_refuse(r, 400, "\"account\" must be a string");
    else if (!take_secret(json_object_get(body, "secret"), out))
        request_refuse(r, 400, "\"secret\" must be base64 of %d to %d bytes", TUNNEL_SECRET_MIN, TUNNEL_SECRET_MAX);
    else if (!r->control->config->edge.addresses.n)
        request_refuse(
            r, 409,
            "there is no edge that connectors could dial: give `edge` in the configuration, such as edge = { addresses = [ "
            "\":7844\" ]; advertise = [ \"edge.example.com:7844\" ]; };");
    else
        return true;
    return false;
}

static void make(const struct request *r, const struct new_tunnel *new)
{
    struct credentials credentials;
    char error[TUNNEL_ERROR_SIZE], path[PATH_SIZE];
    struct slice secret = { (const char *)new->secret, new->secret_size };
    enum tunnels_result result = tunnels_create(r->control->registry, new->name, new->account, secret, &credentials, error);

    if (result == TUNNELS_DONE)
        result = tunnels_credentials(r->control->registry, credentials.tunnel, &credentials, path);
    if (result == TUNNELS_DONE)
        answer_json(r->call, 201, tunnel_access_json(r->control, new->name, &credentials, path));
    else
        refuse(r, result, new->name, error);
    credentials_clear(&credentials);
}

void handle_post_tunnel(const struct request *r)
{
    static const char *const members[] = { "name", "account", "secret", NULL };
    json_t *body = request_body(r, members);
    struct new_tunnel new;

    if (body && take_new(r, body, &new))
        make(r, &new);
    explicit_bzero(&new, sizeof new);
    json_decref(body);
}

void handle_get_credentials(const struct request *r)
{
    struct credentials credentials;
    char path[PATH_SIZE];
    const struct tunnel *tunnel = tunnels_find(r->control->registry, r->segments[0]);

    if (tunnel && tunnels_credentials(r->control->registry, tunnel->id, &credentials, path) == TUNNELS_DONE)
        answer_json(r->call, 200, tunnel_access_json(r->control, tunnel->name, &credentials, path));
    else
        refuse(r, TUNNELS_NOT_FOUND, r->segments[0], "");
    credentials_clear(&credentials);
}

/* --- deleting --- */

void handle_delete_tunnel(const struct request *r)
{
    const char *name = r->segments[0];
    char error[TUNNEL_ERROR_SIZE];
    bool force = false;

    if (!request_flag(r, "force", &force))
        return;
    json_t *tunnel = tunnels_one_json(r->control->registry, name); /* as it was */
    enum tunnels_result result = tunnels_delete(r->control->registry, name, force, error);
    if (result == TUNNELS_DONE)
        answer_json(r->call, 200, json_incref(tunnel));
    else
        refuse(r, result, name, error);
    json_decref(tunnel);
}

/* --- connectors --- */

static void refuse_connector(const struct request *r, const char *connector)
{
    if (connector && tunnels_find(r->control->registry, r->segments[0]))
        request_refuse(r, 404, "tunnel \"%s\" has no connector \"%s\"", r->segments[0], connector);
    else
        refuse(r, TUNNELS_NOT_FOUND, r->segments[0], "");
}

void handle_delete_connections(const struct request *r)
{
    char connector[SEGMENT_SIZE];

    if (!request_parameter(r, "connector", connector, sizeof connector))
        return;
    const char *which = *connector ? connector : NULL;
    if (tunnels_cleanup(r->control->registry, r->segments[0], which) == TUNNELS_DONE)
        answer_tunnel(r, r->segments[0]);
    else
        refuse_connector(r, which);
}

struct connector_patch {
    bool has_state, has_weight;
    bool drained;
    double weight;
};

static bool take_state(const json_t *value, struct connector_patch *out)
{
    const char *state = json_string_value(value);

    out->has_state = value;
    out->drained = state && strcmp(state, "drained") == 0;
    return !value || out->drained || (state && strcmp(state, "enabled") == 0);
}

/* null: 1, as it is by itself. */
static bool take_weight(const json_t *value, struct connector_patch *out)
{
    out->has_weight = value;
    out->weight = json_is_null(value) ? 1 : json_number_value(value);
    return !value || json_is_null(value) || (json_is_number(value) && out->weight >= 0 && out->weight <= ADMIN_WEIGHT_MAX);
}

/* False after a 400. */
static bool take_patch(const struct request *r, const json_t *body, struct connector_patch *out)
{
    if (!take_state(json_object_get(body, "state"), out))
        request_refuse(r, 400, "\"state\" must be \"enabled\" or \"drained\"");
    else if (!take_weight(json_object_get(body, "weight"), out))
        request_refuse(r, 400, "\"weight\" must be a number from 0 to %d, or null for 1", ADMIN_WEIGHT_MAX);
    else if (!out->has_state && !out->has_weight)
        request_refuse(r, 400, "nothing to change: give \"state\" or \"weight\"");
    else
        return true;
    return false;
}

static void patch_connectors(const struct request *r, const char *connector)
{
    static const char *const members[] = { "state", "weight", NULL };
    json_t *body = request_body(r, members);
    struct connector_patch patch;
    enum tunnels_result result = TUNNELS_DONE;

    if (body && take_patch(r, body, &patch)) {
        if (patch.has_state)
            result = tunnels_drain(r->control->registry, r->segments[0], connector, patch.drained);
        if (result == TUNNELS_DONE && patch.has_weight)
            result = tunnels_weigh(r->control->registry, r->segments[0], connector, patch.weight);
        if (result == TUNNELS_DONE)
            answer_tunnel(r, r->segments[0]);
        else
            refuse_connector(r, connector);
    }
    json_decref(body);
}

void handle_patch_tunnel(const struct request *r)
{
    patch_connectors(r, NULL);
}

void handle_patch_connector(const struct request *r)
{
    patch_connectors(r, r->segments[1]);
}

/* --- for cloudflared's own commands --- */

/* Where the machine itself reaches the admin address. */
static void add_own_authority(struct text *out, const char *address)
{
    const char *port = strrchr(address, ':');
    size_t host = port ? (size_t)(port - address) : 0;
    bool any = host == 0 || strncmp(address, "0.0.0.0:", host + 1) == 0 || strncmp(address, "[::]:", host + 1) == 0 ||
               strncmp(address, "*:", host + 1) == 0;

    text_addf(out, "%s%s", any ? "127.0.0.1" : "", any && port ? port : address);
}

void handle_get_edge_login(const struct request *r)
{
    const struct admin_conf *admin = &r->control->config->admin;
    struct text url = { 0 };

    if (!admin->address || !admin->token) {
        request_refuse(r, 409, "cloudflared asks over TCP, with a token: give admin.%s%s%s in the configuration",
                       admin->address ? "" : "address", admin->address || admin->token ? "" : " and admin.",
                       admin->token ? "" : "token_file");
        return;
    }
    text_add(&url, "http://");
    add_own_authority(&url, admin->address);
    text_add(&url, "/client/v4");
    answer_json(r->call, 200,
                json_pack("{s:s, s:s, s:s, s:s}", "api_url", url.p, "account", TUNNELS_ACCOUNT, "zone", TUNNELS_ACCOUNT, "token",
                          admin->token));
    text_clear(&url);
}
