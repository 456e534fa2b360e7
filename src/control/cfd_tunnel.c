#include "control/cfd_tunnel.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A null stays one, and so does what is not there. */
static json_t *copy(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? json_incref(value) : json_null();
}

/* --- connections --- */

static json_t *connection(const json_t *ours, const json_t *connector)
{
    json_t *out =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "id", copy(ours, "id"), "uuid", copy(ours, "id"), "client_id",
                  copy(connector, "id"), "client_version", copy(connector, "version"), "colo_name", copy(ours, "location"),
                  "origin_ip", copy(ours, "origin_ip"), "opened_at", copy(ours, "opened_at"), "is_pending_reconnect", 0);
    return out;
}

static void append_connections(json_t *list, const json_t *connector)
{
    size_t i;
    json_t *c;
    json_array_foreach (json_object_get(connector, "connections"), i, c)
        json_array_append_new(list, connection(c, connector));
}

static json_t *client(const json_t *connector)
{
    json_t *conns = json_array();
    json_t *version = json_object_get(json_object_get(connector, "configuration"), "version");
    append_connections(conns, connector);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "id", copy(connector, "id"), "version", copy(connector, "version"),
                     "arch", copy(connector, "arch"), "features", copy(connector, "features"), "run_at", copy(connector, "run_at"),
                     "config_version", json_integer_value(version), "conns", conns);
}

json_t *cfd_clients(const json_t *ours)
{
    json_t *list = json_array(), *c;
    size_t i;
    json_array_foreach (json_object_get(ours, "connectors"), i, c)
        json_array_append_new(list, client(c));
    return list;
}

json_t *cfd_client(const json_t *ours, const char *connector)
{
    json_t *c;
    size_t i;
    json_array_foreach (json_object_get(ours, "connectors"), i, c)
        if (strcasecmp(text_of(c, "id"), connector) == 0)
            return client(c);
    return NULL;
}

/* --- tunnels --- */

static bool is_pushed(const json_t *ours)
{
    return strcmp(text_of(ours, "config_source"), "pushed") == 0;
}

/* cloudflared parses it as a time: where it was lost, it is the epoch. */
static json_t *created_at(const json_t *ours)
{
    json_t *time = json_object_get(ours, "created_at");
    return json_is_string(time) ? json_incref(time) : json_string("1970-01-01T00:00:00Z");
}

/* Cloudflare has no word for one whose connectors may yet come back. */
static const char *status_of(const json_t *ours)
{
    const char *status = text_of(ours, "status");
    return strcmp(status, "unknown") == 0 ? "down" : status;
}

json_t *cfd_tunnel(const json_t *ours)
{
    json_t *connections = json_array(), *connector;
    size_t i;

    json_array_foreach (json_object_get(ours, "connectors"), i, connector)
        append_connections(connections, connector);
    json_t *out = json_pack("{s:o, s:o, s:o, s:s, s:s, s:s, s:b}", "id", copy(ours, "id"), "account_tag", copy(ours, "account"),
                            "name", copy(ours, "name"), "status", status_of(ours), "tun_type", "cfd_tunnel", "config_src",
                            is_pushed(ours) ? "cloudflare" : "local", "remote_config", (int)is_pushed(ours));
    json_object_set_new(out, "created_at", created_at(ours));
    json_object_set_new(out, "deleted_at", json_null());
    json_object_set_new(out, "conns_active_at", copy(ours, "conns_active_at"));
    json_object_set_new(out, "conns_inactive_at", copy(ours, "conns_inactive_at"));
    json_object_set_new(out, "connections", connections);
    json_object_set_new(out, "metadata", json_object());
    return out;
}

json_t *cfd_configuration(const json_t *ours)
{
    return json_pack("{s:o, s:o, s:I, s:o, s:s, s:o}", "account_id", copy(ours, "account"), "tunnel_id", copy(ours, "id"),
                     "version", json_integer_value(json_object_get(ours, "config_version")), "config", copy(ours, "config"),
                     "source", is_pushed(ours) ? "cloudflare" : "local", "created_at", created_at(ours));
}

/* --- lists --- */

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static nsec_t time_of(const char *rfc3339)
{
    struct tm t = { 0 };
    return strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &t) ? (nsec_t)timegm(&t) * NSEC_PER_SEC : 0;
}

/* Only the last change is kept: of what was before it nothing is said. */
static bool is_so_since(const json_t *ours, const char *key, nsec_t at)
{
    const char *since = json_string_value(json_object_get(ours, key));
    return since && time_of(since) <= at;
}

static bool was_inactive(const json_t *ours, nsec_t at)
{
    bool never_active = strcmp(text_of(ours, "status"), "inactive") == 0;
    return is_so_since(ours, "conns_inactive_at", at) || (never_active && is_so_since(ours, "created_at", at));
}

static bool matches(const json_t *ours, const struct cfd_filter *f)
{
    const char *name = text_of(ours, "name");

    if (f->deleted || (*f->name && strcmp(name, f->name) != 0) || (*f->id && strcasecmp(text_of(ours, "id"), f->id) != 0))
        return false;
    if (!starts(name, f->prefix) || (*f->not_prefix && starts(name, f->not_prefix)))
        return false;
    if (*f->status && strcmp(status_of(ours), f->status) != 0)
        return false;
    if (f->was_active_at && !is_so_since(ours, "conns_active_at", f->was_active_at))
        return false;
    if (f->was_inactive_at && !was_inactive(ours, f->was_inactive_at))
        return false;
    return f->existed_at == 0 || time_of(text_of(ours, "created_at")) <= f->existed_at;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(text_of(*(json_t *const *)a, "name"), text_of(*(json_t *const *)b, "name"));
}

json_t *cfd_list(const json_t *all, const struct cfd_filter *f, size_t *total)
{
    const json_t **found = mem_array(json_array_size(all) + 1, sizeof *found);
    size_t first = (size_t)(f->page - 1) * f->per_page, n = 0, i;
    json_t *list = json_array(), *t;

    json_array_foreach (all, i, t)
        if (matches(t, f))
            found[n++] = t;
    qsort(found, n, sizeof *found, by_name);
    for (i = first; i < n && i < first + f->per_page; i++)
        json_array_append_new(list, cfd_tunnel(found[i]));
    free(found);
    *total = n;
    return list;
}
