#include "tests/sim/connector/ingress.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static bool service_parse(struct service *s, const char *text)
{
    char end;
    if (strncmp(text, "http://", 7) == 0) {
        s->kind = SERVICE_HTTP;
        char *authority = mem_printf("%.*s", (int)strcspn(text + 7, "/"), text + 7);
        peer_init(&s->origin, authority);
        free(authority);
        return s->origin.text[0] != '\0';
    }
    if (strncmp(text, PEER_UNIX, strlen(PEER_UNIX)) == 0) {
        s->kind = SERVICE_HTTP;
        return peer_init(&s->origin, text);
    }
    if (sscanf(text, "http_status:%u%c", &s->status, &end) == 1) {
        s->kind = SERVICE_STATUS;
        return s->status >= 100 && s->status <= 999;
    }
    s->kind = SERVICE_BYTES;
    return sscanf(text, "bytes:%zu%c", &s->n_bytes, &end) == 1;
}

static char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? mem_copy_text(text) : NULL;
}

static const char *rule_read(struct rule *r, json_t *json, bool last)
{
    const char *path = json_string_value(json_object_get(json, "path"));
    const char *service = json_string_value(json_object_get(json, "service"));
    r->hostname = text_of(json, "hostname");
    if (r->hostname && strcmp(r->hostname, "*") == 0) {
        free(r->hostname);
        r->hostname = NULL;
    }
    r->host_header = text_of(json_object_get(json, "originRequest"), "httpHostHeader");
    if (path && *path) {
        if (regcomp(&r->path, path, REG_EXTENDED | REG_NOSUB))
            return "a path is no regular expression";
        r->has_path = true;
    }
    if (!service || !service_parse(&r->service, service))
        return "a service is none of http://host:port, unix:PATH, http_status:NNN, bytes:N";
    if (last && (r->hostname || r->has_path))
        return "the last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)";
    return NULL;
}

static const char *rules_read(struct ingress *in)
{
    json_t *rules = json_object_get(in->json, "ingress");
    if (!json_is_array(rules))
        return "no list \"ingress\"";
    size_t n = json_array_size(rules);
    in->rules = mem_array(n ? n : 1, sizeof *in->rules);
    in->all_local = true;
    for (; in->n < n; in->n++) {
        const char *wrong = rule_read(&in->rules[in->n], json_array_get(rules, in->n), in->n + 1 == n);
        if (wrong) {
            in->n++; /* what there is of it is freed with the others */
            return wrong;
        }
        in->all_local &= in->rules[in->n].service.kind != SERVICE_HTTP;
    }
    return NULL;
}

struct ingress *ingress_new(json_t *configuration, char error[static 256])
{
    struct ingress *in = mem_zero(sizeof *in);
    in->references = 1;
    in->json = json_incref(configuration);
    const char *wrong = rules_read(in);
    if (!wrong)
        return in;
    snprintf(error, 256, "%s", wrong);
    ingress_unref(in);
    return NULL;
}

struct ingress *ingress_ref(struct ingress *in)
{
    in->references++;
    return in;
}

static void rule_clear(struct rule *r)
{
    free(r->hostname);
    free(r->host_header);
    peer_clear(&r->service.origin);
    if (r->has_path)
        regfree(&r->path);
}

void ingress_unref(struct ingress *in)
{
    if (!in || --in->references)
        return;
    for (size_t i = 0; i < in->n; i++)
        rule_clear(&in->rules[i]);
    free(in->rules);
    json_decref(in->json);
    free(in);
}

static bool host_matches(const char *pattern, struct slice host)
{
    if (!pattern)
        return true;
    struct slice p = slice_of(pattern);
    if (p.n > 2 && p.p[0] == '*' && p.p[1] == '.') {
        p.p++;
        p.n--;
        return host.n > p.n && slice_eq_nocase((struct slice){ host.p + host.n - p.n, p.n }, p);
    }
    return slice_eq_nocase(host, p);
}

static struct slice without_port(struct slice host)
{
    const char *colon = memrchr(host.p, ':', host.n);
    const char *bracket = memrchr(host.p, ']', host.n);
    if (colon && (!bracket || colon > bracket))
        host.n = (size_t)(colon - host.p);
    return host;
}

/* The path without the query, which is what a rule is about. */
static bool path_matches(const struct rule *r, const char *path)
{
    if (!r->has_path)
        return true;
    char *plain = mem_printf("%.*s", (int)strcspn(path, "?"), path);
    bool matches = regexec(&r->path, plain, 0, NULL, 0) == 0;
    free(plain);
    return matches;
}

const struct rule *ingress_match(const struct ingress *in, struct slice host, const char *path)
{
    if (host.n)
        host = without_port(host);
    for (size_t i = 0; i < in->n; i++) {
        if (host_matches(in->rules[i].hostname, host) && path_matches(&in->rules[i], path))
            return &in->rules[i];
    }
    return NULL;
}
