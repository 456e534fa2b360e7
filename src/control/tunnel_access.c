#include "control/tunnel_access.h"

#include "base/log.h"
#include "base/mem.h"
#include "control/state_file.h"
#include "control/status.h"

enum { CA_FILE_MAX = 256 * 1024 };

/* NULL: there is no edge, and none of its files. */
static char *ca_path(const struct control *c)
{
    const struct edge_conf *edge = &c->config->edge;

    if (edge->ca)
        return mem_copy_text(edge->ca);
    return edge->addresses.n && c->state_dir ? mem_printf("%s/edge-ca.pem", c->state_dir) : NULL;
}

static json_t *ca_text(const char *path)
{
    char error[STATE_FILE_ERROR_SIZE];
    bool missing;
    size_t n;
    char *pem = path ? state_file_read(path, CA_FILE_MAX, &n, &missing, error) : NULL;

    if (!pem && path)
        log_warning("edge", "what connectors are to trust can't be read: %s", missing ? path : error);
    json_t *text = pem ? status_text_json(pem) : json_null();
    free(pem);
    return text;
}

static json_t *advertised(const struct control *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->config->edge.advertise.n; i++)
        json_array_append_new(list, json_string(c->config->edge.advertise.items[i]));
    return list;
}

json_t *tunnel_access_json(const struct control *c, const char *name, const struct credentials *credentials, const char *path)
{
    char *ca = ca_path(c), *token = token_write(credentials);
    bool pushed = config_find_ingress(c->config, credentials->tunnel, name) != NULL;
    json_t *out = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:b}", "id", credentials->tunnel, "name", name, "account",
                            credentials->account, "token", token, "credentials_file", status_text_json(*path ? path : NULL),
                            "ca_file", status_text_json(ca), "ca", ca_text(ca), "edge", advertised(c), "pushed", (int)pushed);
    json_object_set_new(out, "connections", json_integer(c->config->edge.expected_connections));
    mem_free_secret(token);
    free(ca);
    return out;
}
