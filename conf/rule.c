#define PCRE2_CODE_UNIT_WIDTH 8

#include "conf/parts.h"

#include "http/scan.h"

#include <pcre2.h>
#include <string.h>
#include <strings.h>

/* --- what must hold --- */

static void compile_pattern(struct loader *l, const struct members *m, struct rule_match *match)
{
    int error;
    PCRE2_SIZE offset;
    PCRE2_UCHAR words[128];
    if (!match->path_regex)
        return;
    match->pattern = pcre2_compile((PCRE2_SPTR)match->path_regex, PCRE2_ZERO_TERMINATED, 0, &error, &offset, NULL);
    if (match->pattern)
        return;
    pcre2_get_error_message(error, words, sizeof words);
    conf_error(l, member_place(m, "path_regex"), "`path_regex` is no regular expression: %s at character %zu", words, (size_t)offset + 1);
}

static void check_prefixes(struct loader *l, const struct members *m, const struct texts *prefixes)
{
    for (size_t i = 0; i < prefixes->n; i++)
        if (prefixes->items[i] && prefixes->items[i][0] != '/')
            conf_error(l, member_place(m, "path_prefixes"), "\"%s\" is no beginning of a path: it must begin with /", prefixes->items[i]);
        else if (prefixes->items[i] && strpbrk(prefixes->items[i], "?# "))
            conf_error(l, member_place(m, "path_prefixes"),
                       "\"%s\" is no beginning of a path: none has `?`, `#` or a space as it is sent; arguments are matched by `query`", prefixes->items[i]);
}

static bool is_listener(const struct loader *l, const char *address)
{
    for (size_t i = 0; i < l->config->n_listeners; i++)
        if (l->config->listeners[i].address && strcmp(l->config->listeners[i].address, address) == 0)
            return true;
    return false;
}

static void check_listeners(struct loader *l, const struct members *m, const struct texts *listeners)
{
    for (size_t i = 0; i < listeners->n; i++)
        if (listeners->items[i] && !is_listener(l, listeners->items[i]))
            conf_error(l, member_place(m, "listeners"), "no listener has the address \"%s\"", listeners->items[i]);
}

static bool is_token(const char *text)
{
    return scan_token(text, text + strlen(text)) == text + strlen(text);
}

/* Methods are compared as they are sent, so that one in small letters would never be seen. */
static void check_methods(struct loader *l, const struct members *m, const struct texts *methods)
{
    static const char *const usual[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };
    for (size_t i = 0; i < methods->n; i++)
        for (size_t j = 0; methods->items[i] && j < sizeof usual / sizeof *usual; j++)
            if (strcasecmp(methods->items[i], usual[j]) == 0 && strcmp(methods->items[i], usual[j]) != 0)
                conf_error(l, member_place(m, "methods"), "no request has the method \"%s\": did you mean \"%s\"?", methods->items[i], usual[j]);
    for (size_t i = 0; i < methods->n; i++)
        if (methods->items[i] && !is_token(methods->items[i]))
            conf_error(l, member_place(m, "methods"), "no request has the method \"%s\": write one method an element, [ \"GET\", \"HEAD\" ]", methods->items[i]);
}

/* An empty condition is none, which is rarely what it was written for. */
static void warn_of_empty(struct loader *l, const struct members *m)
{
    for (size_t i = 0; m->group->keys[i].name; i++) {
        const char *name = m->group->keys[i].name;
        const struct given *g = &m->given[i];
        if (is_given(g) && !config_setting_is_scalar(g->settings[0]) && !config_setting_length(g->settings[0]))
            conf_warning(l, member_place(m, name), "`%s` is empty, so it rules no request out: say what is to match, or leave it out", name);
    }
}

void finish_rule_match(struct loader *l, const struct members *m, void *object)
{
    struct rule *rule = object;
    rule->match.hosts = rule->balancer.hostnames;
    warn_of_empty(l, m);
    compile_pattern(l, m, &rule->match);
    check_prefixes(l, m, &rule->match.path_prefixes);
    check_methods(l, m, &rule->match.methods);
    check_listeners(l, m, &rule->match.listeners);
}

/* --- what comes of it --- */

static bool leads_elsewhere(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

void finish_rule_response(struct loader *l, const struct members *m, void *object)
{
    const struct rule_response *r = &((struct rule *)object)->response;
    bool redirects = r->status >= 300 && r->status < 400 && r->status != 304;
    if (r->location && r->status && !redirects)
        conf_error(l, member_place(m, "location"), "`location` needs a `status` of a redirect, such as 302");
    if (!has_member(m, "location") && leads_elsewhere((unsigned)r->status))
        conf_error(l, member_place(m, "status"), "a redirect needs a `location`");
    if (r->status == 304)
        conf_error(l, member_place(m, "status"), "304 is for whoever knows what the client has: give another status, such as 200 or 302");
    if ((r->body || r->content_type) && r->status == 204)
        conf_error(l, member_place(m, r->body ? "body" : "content_type"), "an answer with status 204 has no body");
}

void finish_rule(struct loader *l, const struct members *m, void *object)
{
    static const char *const ways[] = { "pools", "fallback_pool", "steering", "pool_weights" };
    struct rule *rule = object;
    unsigned given = 0;
    rule->own_pools = has_member(m, "pools");
    rule->own_steering = has_member(m, "steering");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        given += has_member(m, ways[i]);
        if (has_member(m, ways[i]) && has_member(m, "response"))
            conf_error(l, member_place(m, ways[i]), "`%s` means nothing beside a `response`", ways[i]);
    }
    if (!given && !has_member(m, "response"))
        conf_error(l, m->at, "a rule needs `pools`, `steering`, `fallback_pool` or a `response`: this one changes nothing");
    double sum = 0;
    for (size_t i = 0; i < rule->balancer.n_default_pools; i++)
        sum += rule->balancer.pool_weights[i];
    if (rule->balancer.n_default_pools && sum <= 0)
        conf_error(l, member_place(m, "pool_weights"), "all `pool_weights` are 0: no pool would get traffic");
}

static bool holds_always(const struct rule_match *m)
{
    return !m->hosts.n && !m->path_prefixes.n && !m->path_regex && !m->methods.n && !m->listeners.n && !m->n_headers && !m->n_cookies && !m->n_query &&
           !m->clients.n && !m->countries.n && !m->regions.n;
}

/* Does whatever the pattern `one` is of have `suffix`? Both without their "*". */
static bool ends_with(const char *one, const char *suffix)
{
    size_t n = strlen(one), m = strlen(suffix);
    return n >= m && strcmp(one + n - m, suffix) == 0;
}

/* Is there a host that both are of? */
static bool hosts_meet(const char *a, const char *b)
{
    bool any_a = a[0] == '*', any_b = b[0] == '*';
    a += any_a, b += any_b;
    if (any_a && any_b)
        return ends_with(a, b) || ends_with(b, a);
    if (any_a || any_b)
        return any_a ? strlen(b) > strlen(a) && ends_with(b, a) : strlen(a) > strlen(b) && ends_with(a, b);
    return strcmp(a, b) == 0;
}

static bool is_for_hosts_of(const struct rule_match *m, const struct load_balancer *lb)
{
    for (size_t i = 0; i < m->hosts.n; i++)
        for (size_t k = 0; k < lb->hostnames.n; k++)
            if (hosts_meet(m->hosts.items[i], lb->hostnames.items[k]))
                return true;
    return !m->hosts.n;
}

void warn_of_unreached_rules(struct loader *l, const struct load_balancer *lb)
{
    const struct rule *last = NULL;
    for (size_t i = 0; i < lb->n_rules; i++) {
        const struct rule *rule = &lb->rules[i];
        if (last)
            conf_warning(l, rule->at, "this rule is never reached: the one of line %u has no condition in `match`, and holds for every request", last->at.line);
        else if (holds_always(&rule->match))
            last = rule;
        else if (!is_for_hosts_of(&rule->match, lb))
            conf_warning(l, rule->at, "this rule is never reached: its `hosts` are none of the load balancer's `hostnames`");
    }
}

/* A rule's own pools are for all its clients: the maps are the load balancer's. */
static void forget_maps(struct load_balancer *lb)
{
    lb->lists = NULL;
    lb->n_lists = lb->n_client_maps = lb->n_subdivision_maps = lb->n_country_maps = lb->n_region_maps = 0;
}

void inherit_by_rule(struct loader *l, const struct load_balancer *lb, struct rule *rule)
{
    struct load_balancer own = rule->balancer;
    rule->balancer = *lb;
    rule->balancer.rules = NULL;
    rule->balancer.n_rules = 0;
    if (own.n_default_pools) {
        rule->balancer.default_pools = own.default_pools;
        rule->balancer.pool_weights = own.pool_weights;
        rule->balancer.n_default_pools = own.n_default_pools;
        forget_maps(&rule->balancer);
    }
    if (rule->own_steering)
        rule->balancer.steering = own.steering;
    if (own.fallback_pool) {
        rule->balancer.fallback_pool = own.fallback_pool;
        rule->balancer.when_all_down = WHEN_ALL_DOWN_FALLBACK_POOL;
    }
    settle_lists(l, &rule->balancer);
    if (rule->own_pools)
        warn_of_idle_weights(l, rule->at, &rule->balancer);
    note_shedding(&rule->balancer);
}
