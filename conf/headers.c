#include "conf/secret.h"
#include "conf/types.h"
#include "http/head.h"

#include <string.h>

/* Names and their values: a group { NAME = "value"; }, or a list of { name; value; } for names that libconfig can't spell. Keys of headers
 * may end in _file or _env. */

/* What the names are of, and what a message can have. */
struct pair_kind {
    const char *what;
    bool (*is_good)(struct loader *, const struct header_pair *, struct source);
    bool has_secrets, ignores_case;
};

static const struct conf_key pair_keys[] = {
    { .name = "name",
      .type = &type_text,
      .required = true,
      .offset = offsetof(struct header_pair, name),
      .count_offset = CONF_NOWHERE },
    { .name = "value",
      .type = &type_secret,
      .required = true,
      .offset = offsetof(struct header_pair, value),
      .count_offset = CONF_NOWHERE },
    { 0 },
};
static const struct conf_group pair_group = {
    .keys = pair_keys, .size = sizeof(struct header_pair), .at = CONF_NOWHERE, .what = "a header"
};

struct header_list {
    struct header_pair *items;
    struct source *places;
    size_t n;
};

static bool is_token(const char *s)
{
    static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    return *s && s[strspn(s, token)] == '\0';
}

/* What the proxy writes itself for each message. */
static bool is_ours(enum http_field_id id)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_CONTENT_LENGTH:
    case FIELD_EXPECT:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TE:
    case FIELD_TRAILER:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
        return true;
    default:
        return false;
    }
}

static bool is_header(struct loader *l, const struct header_pair *pair, struct source at)
{
    if (is_token(pair->name))
        return true;
    conf_error(l, at, "\"%s\" is no header name", pair->name);
    return false;
}

static bool is_header_to_send(struct loader *l, const struct header_pair *pair, struct source at)
{
    if (!is_header(l, pair, at))
        return false;
    if (!is_ours(http_field_id_of(slice_of(pair->name))))
        return true;
    conf_error(l, at, "the header %s belongs to the connection and can't be set", pair->name);
    return false;
}

static bool is_cookie(struct loader *l, const struct header_pair *pair, struct source at)
{
    bool good = !strpbrk(pair->name, "=;, ") && !(pair->value && strchr(pair->value, ';'));
    if (!good)
        conf_error(l, at, "no cookie is %s=%s: names end at \"=\", values at \";\"", pair->name, pair->value ? pair->value : "");
    return good;
}

static bool is_argument(struct loader *l, const struct header_pair *pair, struct source at)
{
    bool good = !strpbrk(pair->name, "=&# ") && !(pair->value && strpbrk(pair->value, "&# "));
    if (!good)
        conf_error(l, at, "no argument is %s=%s: write it as it is sent, with %%20 for a space and %%26 for &", pair->name, pair->value ? pair->value : "");
    return good;
}

static const struct pair_kind headers_to_send = { "header", is_header_to_send, true, true };
static const struct pair_kind headers_to_match = { "header", is_header, true, true };
static const struct pair_kind cookies_to_match = { "cookie", is_cookie, false, false };
static const struct pair_kind arguments_to_match = { "argument", is_argument, false, false };

static bool same_name(const struct pair_kind *kind, const char *a, const char *b)
{
    return a && b && (kind->ignores_case ? strcasecmp(a, b) : strcmp(a, b)) == 0;
}

static void check_repeats(struct loader *l, const struct pair_kind *kind, const struct header_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        for (size_t j = 0; j < i; j++)
            if (same_name(kind, list->items[i].name, list->items[j].name)) {
                conf_error(l, list->places[i], "the %s %s is given twice, first in line %u", kind->what, list->items[i].name,
                           list->places[j].line);
                break;
            }
}

static struct header_list new_list(struct loader *l, const config_setting_t *s)
{
    size_t n = (size_t)config_setting_length(s);
    return (struct header_list){ arena_array(&l->config->arena, n, sizeof(struct header_pair)),
                                 arena_array(&l->scratch, n, sizeof(struct source)), n };
}

static bool cut_suffix(char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    if (n <= m || strcmp(name + n - m, suffix) != 0)
        return false;
    name[n - m] = '\0';
    return true;
}

static void read_pair(struct loader *l, const struct pair_kind *kind, const config_setting_t *s, struct header_pair *out)
{
    char *name = arena_copy_text(&l->config->arena, config_setting_name(s));
    struct given g = { 0 };
    if (kind->has_secrets && cut_suffix(name, "_file"))
        g.file = s;
    else if (kind->has_secrets && cut_suffix(name, "_env"))
        g.env = s;
    else
        g = (struct given){ &s, 1, NULL, NULL };
    out->name = name;
    out->value = secret_read(l, &(struct conf_key){ .name = name, .type = &type_secret }, &g);
}

static struct header_list read_map(struct loader *l, const struct pair_kind *kind, const config_setting_t *group)
{
    struct header_list list = new_list(l, group);
    for (size_t i = 0; i < list.n; i++) {
        const config_setting_t *s = config_setting_get_elem((config_setting_t *)group, (unsigned)i);
        list.places[i] = document_place(s);
        read_pair(l, kind, s, &list.items[i]);
    }
    return list;
}

static struct header_list read_pairs(struct loader *l, const struct pair_kind *kind, const config_setting_t *pairs)
{
    struct header_list list = new_list(l, pairs);
    for (size_t i = 0; i < list.n; i++) {
        const config_setting_t *s = config_setting_get_elem((config_setting_t *)pairs, (unsigned)i);
        list.places[i] = document_place(s);
        if (config_setting_is_group(s))
            read_group(l, &pair_group, &s, 1, &list.items[i]);
        else
            conf_error(l, list.places[i], "each %s must be a group { name; value; }, not %s", kind->what, setting_kind(s));
    }
    return list;
}

static void read_list(struct loader *l, const struct conf_key *k, const struct pair_kind *kind, const struct given *g, void *object)
{
    const config_setting_t *s = g->settings[0];
    struct header_list list = { 0 };

    if (config_setting_is_group(s))
        list = read_map(l, kind, s);
    else if (config_setting_is_list(s))
        list = read_pairs(l, kind, s);
    else
        conf_error(l, document_place(s), "`%s` must be %s, not %s", k->name, k->type->name, setting_kind(s));
    for (size_t i = 0; i < list.n; i++)
        if (list.items[i].name && !kind->is_good(l, &list.items[i], list.places[i]))
            list.items[i].name = NULL;
    check_repeats(l, kind, &list);
    store_array(k, object, list.items, list.n);
}

static void read_headers(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    read_list(l, k, &headers_to_send, g, object);
}

static void read_headers_to_match(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    read_list(l, k, &headers_to_match, g, object);
}

static void read_cookies(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    read_list(l, k, &cookies_to_match, g, object);
}

static void read_arguments(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    read_list(l, k, &arguments_to_match, g, object);
}

#define PAIRS "a group { NAME = \"value\"; } or a list of { name; value; }"
const struct conf_type type_headers = { PAIRS, "headers", .read = read_headers };
const struct conf_type type_headers_to_match = { PAIRS, "headers", .read = read_headers_to_match };
const struct conf_type type_cookies = { PAIRS, "cookies", .read = read_cookies };
const struct conf_type type_arguments = { PAIRS, "arguments", .read = read_arguments };
