#define PCRE2_CODE_UNIT_WIDTH 8

#include "conf/ingress.h"

#include "base/mem.h"
#include "base/uuid.h"
#include "conf/parts.h"
#include "conf/types.h"

#include <ctype.h>
#include <pcre2.h>
#include <string.h>

/* --- JSON --- */

/* NULL after telling that JSON can't carry it. */
static json_t *json_text(struct loader *l, const char *text, struct source at)
{
    json_t *string = json_string(text);
    if (!string)
        conf_error(l, at, "\"%s\" is not UTF-8", text);
    return string;
}

static const char *dump(struct arena *arena, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    const char *kept = arena_copy_text(arena, text ? text : "");
    free(text);
    json_decref(value);
    return kept;
}

/* --- originRequest --- */

static json_t *option_json(struct loader *l, const struct conf_key *k, const char *object, struct source at)
{
    const void *field = object + k->offset;
    if (k->type == &type_flag)
        return json_boolean(*(const bool *)field);
    if (k->type == &type_count)
        return json_integer(*(const unsigned *)field);
    if (k->type == &type_duration)
        return json_integer(*(const nsec_t *)field / NSEC_PER_SEC);
    return json_text(l, *(const char *const *)field, at);
}

static void check_whole_seconds(struct loader *l, const struct conf_key *k, const char *object, struct source at)
{
    if (k->type == &type_duration && *(const nsec_t *)(const void *)(object + k->offset) % NSEC_PER_SEC)
        conf_error(l, at, "`%s` must be whole seconds: cloudflared is told no parts of them", k->name);
}

void finish_origin_request(struct loader *l, const struct members *m, void *object)
{
    struct origin_request *origin = object;
    json_t *json = json_object();
    for (const struct conf_key *k = m->group->keys; k->name && is_good(l, m); k++) {
        if (!has_member(m, k->name))
            continue;
        struct source at = member_place(m, k->name);
        check_whole_seconds(l, k, object, at);
        json_object_set_new(json, k->name, option_json(l, k, object, at));
    }
    origin->json = dump(&l->scratch, json);
}

/* --- one rule --- */

static const char *const schemes[] = { "http", "https", "ws", "wss", "tcp", "ssh", "rdp", "smb" };

static bool is_url_of_service(struct loader *l, const char *service)
{
    size_t n = strcspn(service, ":");
    if (strncmp(service + n, "://", 3) != 0)
        return false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strlen(schemes[i]) == n && strncmp(service, schemes[i], n) == 0)
            return is_authority(l, service + n + 3);
    return false;
}

static bool is_status(const char *text)
{
    return strlen(text) == 3 && text[0] >= '2' && text[0] <= '5' && isdigit((unsigned char)text[1]) && isdigit((unsigned char)text[2]);
}

static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* NULL if cloudflared takes it, else what is wrong. */
static const char *what_is_wrong_with(struct loader *l, const char *service)
{
    const char *status = after(service, "http_status:"), *path = after(service, "unix:");
    const char *authority = strstr(service, "://");
    if (!path)
        path = after(service, "unix+tls:");
    if (status)
        return is_status(status) ? NULL : "the status must be a number from 200 to 599";
    if (path)
        return *path ? NULL : "a unix socket needs a path, on the connector's machine";
    if (strcmp(service, "hello_world") == 0 || strcmp(service, "hello-world") == 0)
        return NULL;
    if (strcmp(service, "bastion") == 0 || strcmp(service, "socks-proxy") == 0)
        return "it opens all that the connector can reach to every client, so it is not pushed: if it is meant, run that cloudflared with rules of "
               "its own";
    if (authority && strpbrk(authority + 3, "/?#"))
        return "a path can't be given, not even /: requests keep their own";
    if (authority && strchr(authority + 3, '@'))
        return "a user and password can't be given";
    return is_url_of_service(l, service)
               ? NULL
               : "it must be http://HOST:PORT, https://, ws://, wss://, tcp://, ssh://, rdp:// or smb:// likewise, unix:/PATH, unix+tls:/PATH, "
                 "http_status:404 or hello_world";
}

static void check_service(struct loader *l, const struct members *m, const char *service)
{
    const char *wrong = service ? what_is_wrong_with(l, service) : NULL;
    if (wrong)
        conf_error(l, member_place(m, "service"), "`service` \"%s\": %s", service, wrong);
}

static void check_hostname(struct loader *l, const struct members *m, struct ingress_rule *rule)
{
    const char *given = rule->hostname;
    if (!given || strcmp(given, "*") == 0) {
        rule->hostname = NULL;
        return;
    }
    bool wild = strncmp(given, "*.", 2) == 0;
    const char *host = host_name_of(&l->scratch, given + 2 * wild);
    if (host)
        rule->hostname = wild ? arena_printf(&l->scratch, "*.%s", host) : host;
    else
        conf_error(l, member_place(m, "hostname"), "`hostname` must be a host's name alone, \"*.\" and one, or \"*\", not \"%s\"", given);
}

/* cloudflared's expressions are RE2's, which have less than ours: nothing that looks around or back. NULL, or what of it is used. */
static const char *beyond_re2(struct arena *arena, const char *path)
{
    static const char *const beyond[] = { "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?|", "(?R", "(?&", "(?(", "(?#", "*+", "++", "?+" };
    bool in_class = false;
    for (const char *p = path; *p; p++) {
        for (size_t i = 0; !in_class && i < sizeof beyond / sizeof *beyond; i++)
            if (after(p, beyond[i]))
                return beyond[i];
        if (*p == '\\' && p[1]) {
            p++;
            if (!in_class && strchr("123456789gkGKRXZ", *p))
                return arena_printf(arena, "\\%c", *p);
        } else if (*p == '[') {
            in_class = true;
        } else if (*p == ']') {
            in_class = false;
        }
    }
    return NULL;
}

static void check_path(struct loader *l, const struct members *m, const struct ingress_rule *rule)
{
    int error;
    size_t offset;
    PCRE2_UCHAR words[256];
    if (!rule->path)
        return;
    struct source at = member_place(m, "path");
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)rule->path, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &offset, NULL);
    const char *beyond = beyond_re2(&l->scratch, rule->path);
    if (!code) {
        pcre2_get_error_message(error, words, sizeof words);
        conf_error(l, at, "`path`: the regular expression is wrong at its character %zu: %s", offset + 1, (const char *)words);
    } else if (beyond) {
        conf_error(l, at, "`path`: cloudflared's regular expressions (RE2) have no %s", beyond);
    }
    pcre2_code_free(code);
}

void finish_ingress_rule(struct loader *l, const struct members *m, void *object)
{
    struct ingress_rule *rule = object;
    check_service(l, m, rule->service);
    check_hostname(l, m, rule);
    check_path(l, m, rule);
}

/* --- a group of rules --- */

static void settle_tunnels(struct loader *l, const struct members *m, struct texts *tunnels)
{
    char uuid[UUID_TEXT_SIZE];
    const char **items = arena_array(&l->config->arena, tunnels->n, sizeof *items);
    for (size_t i = 0; i < tunnels->n; i++) {
        const char *given = tunnels->items[i];
        items[i] = uuid_parse(given, uuid) ? arena_copy_text(&l->config->arena, uuid) : given;
        if (items[i] == given && *given && !is_tunnel_pattern(given))
            refuse_tunnel_pattern(l, element_at(member(m, "tunnels"), i).at, given);
    }
    tunnels->items = items;
}

static void check_order(struct loader *l, const struct ingress_in_file *f)
{
    for (size_t i = 0; i < f->n_rules; i++) {
        const struct ingress_rule *rule = &f->rules[i];
        bool last = i + 1 == f->n_rules, catches_all = !rule->hostname && !rule->path;
        if (last && !catches_all)
            conf_error(l, rule->at, "the last rule must be for all that no other takes, without `hostname` and `path`: { service = \"http_status:404\"; }");
        if (!last && catches_all)
            conf_error(l, rule->at, "this rule takes everything, those after it would never be reached: put it last");
    }
}

static void add_origin(json_t *object, const struct origin_request *origin)
{
    if (origin->json)
        json_object_set_new(object, "originRequest", json_loads(origin->json, 0, NULL));
}

static json_t *rule_json(struct loader *l, const struct ingress_rule *rule)
{
    json_t *json = json_object();
    if (rule->hostname)
        json_object_set_new(json, "hostname", json_text(l, rule->hostname, rule->at));
    if (rule->path)
        json_object_set_new(json, "path", json_text(l, rule->path, rule->at));
    json_object_set_new(json, "service", json_text(l, rule->service, rule->at));
    add_origin(json, &rule->origin);
    return json;
}

static json_t *rules_json(struct loader *l, const struct ingress_in_file *f)
{
    json_t *json = json_object(), *rules = json_array();
    for (size_t i = 0; i < f->n_rules; i++)
        json_array_append_new(rules, rule_json(l, &f->rules[i]));
    json_object_set_new(json, "ingress", rules);
    add_origin(json, &f->origin);
    return json;
}

void finish_ingress(struct loader *l, const struct members *m, void *object)
{
    struct ingress_in_file *f = object;
    f->ingress.at = m->at;
    settle_tunnels(l, m, &f->ingress.tunnels);
    if (!is_good(l, m))
        return;
    check_order(l, f);
    f->ingress.json = dump(&l->config->arena, rules_json(l, f));
    f->ingress.hash = config_hash(f->ingress.json);
}

static void read_ingress(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    if (!require_groups(l, k, g))
        return;
    size_t n = count_elements(g);
    struct edge_ingress *all = arena_array(&l->config->arena, n, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        struct ingress_in_file *f = arena_alloc(&l->scratch, sizeof *f);
        read_item(l, k, element_at(g, i).setting, f);
        all[i] = f->ingress;
    }
    store_array(k, object, all, n);
}

const struct conf_type type_ingress = { "a list of groups ( { tunnels = [ … ]; rules = ( … ); } )", "list of groups", .is_list = true, .is_group = true,
                                        .read = read_ingress };
