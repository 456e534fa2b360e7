#define PCRE2_CODE_UNIT_WIDTH 8

#include "proxy/rules.h"

#include "http/cookies.h"
#include "http/target.h"
#include "proxy/core.h"
#include "proxy/exchange.h"
#include "proxy/forward.h"
#include "proxy/locate.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* An expression that goes wild costs a request a few milliseconds and does not match. */
enum { PATTERN_STEPS_MAX = 100000, PATTERN_HEAP_MAX_KIB = 1024 };

struct rules_room {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

struct rules_room *rules_room_new(void)
{
    struct rules_room *room = calloc(1, sizeof *room);
    if (!room)
        return NULL;
    room->data = pcre2_match_data_create(1, NULL);
    room->context = pcre2_match_context_create(NULL);
    if (!room->data || !room->context) {
        rules_room_free(room);
        return NULL;
    }
    pcre2_set_match_limit(room->context, PATTERN_STEPS_MAX);
    pcre2_set_heap_limit(room->context, PATTERN_HEAP_MAX_KIB);
    return room;
}

void rules_room_free(struct rules_room *room)
{
    if (!room)
        return;
    pcre2_match_data_free(room->data);
    pcre2_match_context_free(room->context);
    free(room);
}

/* --- what is looked at --- */

struct request_view {
    struct exchange *ex;
    struct slice path, query;
};

static struct request_view view_of(struct exchange *ex)
{
    struct request_view v = { .ex = ex };
    target_split((struct slice){ ex->base + ex->head->path, ex->head->path_len }, &v.path, &v.query);
    if (!v.path.n)
        v.path = slice_of(http_path_prefix(ex->head, ex->base));
    return v;
}

static struct slice method_of(const struct exchange *ex)
{
    return (struct slice){ ex->base + ex->head->start, ex->head->method_len };
}

/* --- conditions; one that isn't given holds --- */

static bool host_is(struct slice host, const char *wanted)
{
    struct slice name = slice_of(wanted);
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    if (name.n == 1 && name.p[0] == '*')
        return true;
    if (name.n < 2 || name.p[0] != '*')
        return slice_eq_nocase(host, name);
    struct slice suffix = { name.p + 1, name.n - 1 }; /* with its dot */
    return host.n > suffix.n && slice_eq_nocase((struct slice){ host.p + host.n - suffix.n, suffix.n }, suffix);
}

static bool hosts_hold(const struct texts *hosts, struct slice host)
{
    for (size_t i = 0; i < hosts->n; i++)
        if (host_is(host, hosts->items[i]))
            return true;
    return !hosts->n;
}

static bool prefixes_hold(const struct texts *prefixes, struct slice path)
{
    for (size_t i = 0; i < prefixes->n; i++) {
        struct slice prefix = slice_of(prefixes->items[i]);
        if (path.n >= prefix.n && memcmp(path.p, prefix.p, prefix.n) == 0)
            return true;
    }
    return !prefixes->n;
}

static bool is_one_of(const struct texts *all, struct slice text)
{
    for (size_t i = 0; i < all->n; i++)
        if (slice_eq(slice_of(all->items[i]), text))
            return true;
    return !all->n;
}

static bool pattern_holds(const struct rules_room *room, const pcre2_code *pattern, struct slice path)
{
    return !pattern || pcre2_match(pattern, (PCRE2_SPTR)path.p, path.n, 0, 0, room->data, room->context) >= 0;
}

static bool value_is(struct slice value, const char *wanted)
{
    return value.p && (strcmp(wanted, "*") == 0 || slice_eq(value, slice_of(wanted)));
}

static bool header_is(const struct exchange *ex, const struct header_pair *wanted)
{
    for (const struct http_field *f = ex->head->fields; f < ex->head->fields + ex->head->n_fields; f++)
        if (slice_eq_nocase(http_field_name(ex->base, f), slice_of(wanted->name)) && value_is(http_field_value(ex->base, f), wanted->value))
            return true;
    return false;
}

static bool headers_hold(const struct rule_match *m, const struct exchange *ex)
{
    for (size_t i = 0; i < m->n_headers; i++)
        if (!header_is(ex, &m->headers[i]))
            return false;
    return true;
}

static bool cookies_hold(const struct rule_match *m, const struct exchange *ex)
{
    for (size_t i = 0; i < m->n_cookies; i++)
        if (!value_is(cookie_find(ex->head, ex->base, slice_of(m->cookies[i].name)), m->cookies[i].value))
            return false;
    return true;
}

static bool query_holds(const struct rule_match *m, struct slice query)
{
    for (size_t i = 0; i < m->n_query; i++)
        if (!value_is(target_argument(query, slice_of(m->query[i].name)), m->query[i].value))
            return false;
    return true;
}

static bool clients_hold(const struct cidr_set *clients, const struct exchange *ex)
{
    struct address room;
    const struct address *client = clients->n ? forward_client(ex, &room) : NULL;
    return !clients->n || (client && cidr_set_contains(clients, client));
}

static bool listeners_hold(const struct texts *listeners, const char *listener)
{
    return !listeners->n || (listener && is_one_of(listeners, slice_of(listener)));
}

/* Who is nowhere known is of no country. */
static bool place_holds(const struct rule_match *m, struct exchange *ex)
{
    if (!m->countries.n && !m->regions.n)
        return true;
    const struct place *place = locate(ex);
    return is_one_of(&m->countries, slice_of(place->country)) && is_one_of(&m->regions, slice_of(region_name((enum region)place->region)));
}

static bool holds(const struct rule_match *m, const struct request_view *v)
{
    struct exchange *ex = v->ex;
    return hosts_hold(&m->hosts, ex->host) && prefixes_hold(&m->path_prefixes, v->path) && is_one_of(&m->methods, method_of(ex))
        && headers_hold(m, ex) && cookies_hold(m, ex) && query_holds(m, v->query) && listeners_hold(&m->listeners, ex->listener)
        && clients_hold(&m->clients, ex) && place_holds(m, ex) && pattern_holds(ex->snapshot->rules_room, m->pattern, v->path);
}

const struct rule *rules_find(struct exchange *ex, const struct load_balancer *lb)
{
    struct request_view v = view_of(ex);
    for (size_t i = 0; i < lb->n_rules; i++)
        if (holds(&lb->rules[i].match, &v))
            return &lb->rules[i];
    return NULL;
}
