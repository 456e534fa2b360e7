#include "conf/files.h"
#include "conf/parts.h"
#include "conf/secret.h"
#include "conf/types.h"

#include "base/mem.h"
#include "http/scan.h"

#include <errno.h>
#include <string.h>

enum { KEY_FILE_MAX = 64 * 1024 };

/* --- keys --- */

static void read_session_keys(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct source at = given_place(g);
    const char *text = require_text(l, k, g->settings[0]), *path = text ? name_file(l, text, at) : NULL, *wrong;
    size_t n;
    char *content = path ? read_regular_file(path, KEY_FILE_MAX, &n) : NULL;
    if (path && !content && errno == EFBIG)
        conf_error(l, at, "%s is too large to be a file of keys", path);
    if (!content)
        return;
    warn_of_readable_secret(l, path, at);
    if (!session_keys_parse((struct slice){ content, n }, (struct session_keys *)(void *)((char *)object + k->offset), &wrong))
        conf_error(l, at, "%s %s", path, wrong);
    mem_free_secret(content);
}

const struct conf_type type_session_keys = { "a string", "file", .read = read_session_keys };

/* --- the group --- */

static bool is_token(const char *name)
{
    return *name && scan_token(name, name + strlen(name)) == name + strlen(name);
}

static void require_token(struct loader *l, const struct members *m, const char *key)
{
    const char *name = member_text(m, key);
    if (name && !is_token(name))
        conf_error(l, member_place(m, key), "`%s`: \"%s\" has characters that names have not", key, name);
}

static void refuse_members(struct loader *l, const struct members *m, const char *const *keys, const char *why)
{
    for (; *keys; keys++)
        if (has_member(m, *keys))
            conf_error(l, member_place(m, *keys), "`%s` %s", *keys, why);
}

static void finish_header(struct loader *l, const struct members *m, struct affinity_conf *a)
{
    static const char *const of_cookies[] = { "name", "ttl", "idle", "samesite", "secure", "drain_duration", NULL };
    refuse_members(l, m, of_cookies, "means nothing to sessions by a header: there is no cookie, and no memory of them");
    a->name = NULL;
    if (!a->header)
        conf_error(l, m->at, "session affinity of type header needs a `header`");
    if (!has_member(m, "failover"))
        a->failover = AFFINITY_TEMPORARY;
    else if (a->failover == AFFINITY_STICKY)
        conf_error(l, member_place(m, "failover"), "`failover` can't be sticky with type header: nothing says that a session moved");
    a->key = (struct request_key){ REQUEST_KEY_HEADER, a->header };
}

static void finish_cookie(struct loader *l, const struct members *m, struct affinity_conf *a)
{
    static const char *const of_headers[] = { "header", NULL };
    refuse_members(l, m, of_headers, "means something with type header only");
    if (a->idle >= a->ttl)
        conf_error(l, member_place(m, "idle"), "`idle` must be less than `ttl`");
    if (a->idle && a->idle < NSEC_PER_SEC)
        conf_error(l, member_place(m, "idle"), "`idle` must be \"0s\" or at least \"1s\"");
    if (a->same_site == SAME_SITE_NONE && a->secure == AFFINITY_SECURE_NEVER)
        conf_error(l, member_place(m, "secure"), "browsers refuse a cookie with `samesite = \"none\"` that is not secure");
    if (a->type == AFFINITY_IP_COOKIE)
        a->key.kind = REQUEST_KEY_CLIENT_IP;
}

void finish_affinity(struct loader *l, const struct members *m, void *object)
{
    struct affinity_conf *a = object;
    require_token(l, m, "name");
    require_token(l, m, "header");
    switch (a->type) {
    case AFFINITY_NONE: a->name = NULL; break;
    case AFFINITY_HEADER: finish_header(l, m, a); break;
    case AFFINITY_COOKIE:
    case AFFINITY_IP_COOKIE: finish_cookie(l, m, a); break;
    }
}
