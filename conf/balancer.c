#include "conf/parts.h"
#include "conf/status_set.h"
#include "conf/types.h"
#include "conf/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void start_load_balancer(struct loader *l, void *object)
{
    struct load_balancer *lb = object;
    lb->timeouts = l->config->timeouts;
    lb->limits = l->config->limits;
}

/* --- hostnames --- */

static const char *hostname_of(struct loader *l, const char *text)
{
    if (strcmp(text, "*") == 0)
        return "*";
    bool wild = strncmp(text, "*.", 2) == 0;
    const char *name = host_name_of(&l->config->arena, wild ? text + 2 : text);
    return name && wild ? arena_printf(&l->config->arena, "*.%s", name) : name;
}

static void refuse_hostname(struct loader *l, const char *text, struct source at)
{
    const char *cure = strstr(text, "://")     ? ": without http:// or https://"
                       : strchr(text, ':')     ? ": without a port"
                       : strchr(text, '/')     ? ": without a path"
                       : strchr(text + 1, '*') ? ": `*` can stand for whole labels at the beginning only"
                       : strchr(text, '.') && text[strlen(text) - 1] == '.' ? ": without the final dot"
                                                                            : " (names in other alphabets are written xn--…)";
    conf_error(l, at, "\"%s\" is no hostname such as app.example.com, *.example.com or *%s", text, cure);
}

static void read_hostnames(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct load_balancer *lb = object;
    size_t n = 0;
    if (!require_list(l, k, g))
        return;
    const char **names = arena_array(&l->config->arena, count_elements(g), sizeof *names);
    for (size_t i = 0; i < count_elements(g); i++) {
        struct element e = element_at(g, i);
        names[n] = e.text ? hostname_of(l, e.text) : NULL;
        if (names[n])
            n++;
        else if (e.text)
            refuse_hostname(l, e.text, e.at);
    }
    lb->hostnames = (struct texts){ names, n };
    lb->name = n ? names[0] : NULL;
}

const struct conf_type type_hostnames = { "a list of hostnames [ \"…\" ]", "list of hostnames", .read = read_hostnames };

/* --- pools --- */

static struct pool *require_pool(struct loader *l, const char *name, struct source at)
{
    struct pool *pool = config_find_pool(l->config, name);
    struct words words = { .nearest.word = name };
    if (pool)
        return pool;
    for (size_t i = 0; i < l->config->n_pools; i++)
        if (l->config->pools[i].name)
            words_offer(&words, l->config->pools[i].name);
    words_refuse(l, at, "pool", &words);
    return NULL;
}

static size_t index_of_pool(struct pool *const *pools, size_t n, const struct pool *pool)
{
    size_t i = 0;
    while (i < n && pools[i] != pool)
        i++;
    return i;
}

void read_pool_list(struct loader *l, const struct conf_key *k, const struct given *g, struct pool_list *out)
{
    if (!require_list(l, k, g))
        return;
    struct pool **pools = arena_array(&l->config->arena, count_elements(g), sizeof *pools);
    double *weights = arena_array(&l->config->arena, count_elements(g), sizeof *weights);
    out->pools = pools;
    out->weights = weights;
    for (size_t i = 0; i < count_elements(g); i++) {
        struct element e = element_at(g, i);
        struct pool *pool = e.text ? require_pool(l, e.text, e.at) : NULL;
        if (pool && index_of_pool(pools, out->n, pool) < out->n)
            conf_error(l, e.at, "`%s` names \"%s\" twice", k->name, e.text);
        else if (pool) {
            weights[out->n] = 1;
            pools[out->n++] = pool;
        }
    }
}

static void read_default_pools(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct load_balancer *lb = object;
    struct pool_list list = { 0 };
    read_pool_list(l, k, g, &list);
    lb->default_pools = list.pools;
    lb->pool_weights = list.weights;
    lb->n_default_pools = list.n;
}

const struct conf_type type_default_pools = { "a list of pools' names [ \"…\" ]", "list of names", .read = read_default_pools };

static void read_fallback_pool(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *name = require_text(l, k, g->settings[0]);
    if (name)
        ((struct load_balancer *)object)->fallback_pool = require_pool(l, name, given_place(g));
}

const struct conf_type type_fallback_pool = { "a pool's name", "name", .read = read_fallback_pool };

static bool set_weight_in(struct pool *const *pools, const double *weights, size_t n, const struct pool *pool, const double *weight)
{
    size_t i = index_of_pool(pools, n, pool);
    if (i < n && weight)
        ((double *)weights)[i] = *weight;
    return i < n;
}

/* In the default pools and in the maps' lists. False: it is in none. */
static bool set_weight_in_lists(const struct load_balancer *lb, const struct pool *pool, const double *weight)
{
    bool found = set_weight_in(lb->default_pools, lb->pool_weights, lb->n_default_pools, pool, weight);
    for (size_t i = 1; i < lb->n_lists; i++)
        found |= set_weight_in(lb->lists[i].pools, lb->lists[i].weights, lb->lists[i].n, pool, weight);
    return found;
}

/* `list`: the key that names the pools. */
static void set_pool_weight(struct loader *l, const struct conf_key *k, const char *list, struct load_balancer *lb, const char *name,
                            const config_setting_t *value)
{
    struct source at = document_place(value);
    struct pool *pool = require_pool(l, name, at);
    double weight;

    if (pool && !set_weight_in_lists(lb, pool, NULL))
        conf_error(l, at, "`%s`: \"%s\" is none of the `%s`%s", k->name, name, list, lb->n_lists ? ", and no map names it" : "");
    else if (!number_of(value, &weight) || weight < strtod(k->least, NULL) || weight > strtod(k->most, NULL))
        conf_error(l, at, "`%s`: a weight must be a number between %s and %s", k->name, k->least, k->most);
    else if (pool)
        set_weight_in_lists(lb, pool, &weight);
}

static void read_weight_pair(struct loader *l, const struct conf_key *k, const char *list, struct load_balancer *lb, const config_setting_t *pair)
{
    const config_setting_t *name = NULL, *value = NULL;
    if (config_setting_is_group(pair)) {
        name = config_setting_get_member((config_setting_t *)pair, "name");
        value = config_setting_get_member((config_setting_t *)pair, "value");
    }
    if (!name || !value || !config_setting_get_string(name) || config_setting_length(pair) != 2)
        conf_error(l, document_place(pair), "`%s`: an element must be a group { name = \"POOL\"; value = WEIGHT; }", k->name);
    else
        set_pool_weight(l, k, list, lb, config_setting_get_string(name), value);
}

static void read_weights(struct loader *l, const struct conf_key *k, const char *list, const struct given *g, void *object)
{
    const config_setting_t *s = g->settings[0];
    bool map = config_setting_is_group(s);
    if (!map && !config_setting_is_list(s)) {
        conf_error(l, document_place(s), "`%s` must be %s, not %s", k->name, k->type->name, setting_kind(s));
        return;
    }
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *item = config_setting_get_elem((config_setting_t *)s, (unsigned)i);
        if (map)
            set_pool_weight(l, k, list, object, config_setting_name(item), item);
        else
            read_weight_pair(l, k, list, object, item);
    }
}

static void read_pool_weights(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    read_weights(l, k, "default_pools", g, object);
}

const struct conf_type type_pool_weights = { "a group { POOL = WEIGHT; }", "weights", .read = read_pool_weights };

static void read_rule_weights(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    read_weights(l, k, "pools", g, object);
}

const struct conf_type type_rule_weights = { "a group { POOL = WEIGHT; }", "weights", .read = read_rule_weights };

/* --- failover --- */

static bool add_statuses(const char *text, uint8_t bits[75])
{
    uint8_t added[75] = { 0 };
    if (!status_set_parse(text, added))
        return false;
    for (unsigned status = 100; status < 400; status++)
        if (status_bit(added, status))
            return false;
    for (size_t i = 0; i < sizeof added; i++)
        bits[i] |= added[i];
    return true;
}

static bool add_condition(const struct conf_key *k, const char *text, struct failover *f)
{
    int condition;
    if (!choose_word(k, text, &condition))
        return add_statuses(text, f->on_status);
    f->on |= (unsigned)condition;
    return true;
}

static void preset_failover_on(struct loader *l, const struct conf_key *k, void *object)
{
    char *list = arena_copy_text(&l->scratch, k->fallback), *rest;
    for (char *word = strtok_r(list, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest))
        add_condition(k, word, object);
}

static void refuse_condition(struct loader *l, const struct conf_key *k, const struct element *e)
{
    struct words words = { .nearest.word = e->text };
    for (const struct conf_choice *c = k->choices; c->name; c++)
        words_offer(&words, c->name);
    words_offer(&words, "400-599");
    words_refuse(l, e->at, arena_printf(&l->scratch, "condition in `%s`", k->name), &words);
}

static void read_failover_on(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct failover *f = object;
    if (!require_list(l, k, g))
        return;
    f->on = 0;
    memset(f->on_status, 0, sizeof f->on_status);
    for (size_t i = 0; i < count_elements(g); i++) {
        struct element e = element_at(g, i);
        if (e.text && !add_condition(k, e.text, f))
            refuse_condition(l, k, &e);
    }
}

const struct conf_type type_failover_on = { "a list of conditions and statuses [ \"reset\", \"502\" ]", "list of text",
                                            .preset = preset_failover_on, .read = read_failover_on };

/* --- when all is down --- */

enum { DOWN_PAGE_MAX = 256 * 1024 };

void finish_down_page(struct loader *l, const struct members *m, void *object)
{
    struct down_page *page = object;
    struct source at = member_place(m, "file");
    size_t n = 0;
    if (!page->file || !is_good(l, m))
        return;
    char *content = read_regular_file(page->file, DOWN_PAGE_MAX, &n);
    if (!content && errno == EFBIG)
        conf_error(l, at, "%s is too large for a page: at most 256 KiB", page->file);
    else if (!content)
        conf_error(l, at, "can't read %s: %s", page->file, strerror(errno));
    else if (!n)
        conf_error(l, at, "%s is empty: it should hold the page", page->file);
    if (n) {
        char *body = arena_alloc(&l->config->arena, n);
        memcpy(body, content, n);
        page->body = (struct slice){ body, n };
    }
    free(content);
}

/* --- the whole --- */

static void settle_when_all_down(struct loader *l, const struct members *m, struct load_balancer *lb)
{
    const char *given = member_text(m, "when_all_down");
    if (!given)
        lb->when_all_down = lb->fallback_pool ? WHEN_ALL_DOWN_FALLBACK_POOL : lb->down_page.file ? WHEN_ALL_DOWN_503 : WHEN_ALL_DOWN_LEAST_BAD;
    else if (strcmp(given, "page") == 0 && !has_member(m, "down_page"))
        conf_error(l, member_place(m, "when_all_down"), "`when_all_down = \"page\"` needs a `down_page`");
    else if (strcmp(given, "fallback_pool") == 0 && !has_member(m, "fallback_pool"))
        conf_error(l, member_place(m, "when_all_down"), "`when_all_down = \"fallback_pool\"` needs a `fallback_pool`");
    else if (lb->when_all_down != WHEN_ALL_DOWN_FALLBACK_POOL && has_member(m, "fallback_pool"))
        conf_warning(l, member_place(m, "fallback_pool"), "`fallback_pool` is never used with this `when_all_down`");
}

static bool list_fails(const struct members *m, const char *key)
{
    const struct given *g = member(m, key);
    return g->n && count_elements(g) == 0;
}

void note_shedding(struct load_balancer *lb)
{
    lb->sheds = false;
    for (size_t i = 0; i < lb->n_lists; i++)
        for (size_t j = 0; j < lb->lists[i].n; j++) {
            const struct load_shedding *s = &lb->lists[i].pools[j]->shedding;
            lb->sheds = lb->sheds || s->percent > 0 || s->session_percent > 0;
        }
}

static bool has_shares(const struct pool_list *list)
{
    double before = 0;
    for (size_t i = 0; i < list->n; i++) {
        double weight = list->weights[i];
        if (before > 0 && weight > 0 && (weight < before || weight > before))
            return true;
        before = weight > 0 ? weight : before;
    }
    return false;
}

void warn_of_idle_weights(struct loader *l, struct source at, const struct load_balancer *lb)
{
    const char *policy = lb->steering.policy ? lb->steering.policy->name : "";
    bool by_order = strcmp(policy, "off") == 0 || strcmp(policy, "geo") == 0;
    for (size_t i = 0; by_order && i < lb->n_lists; i++)
        if (has_shares(&lb->lists[i])) {
            conf_warning(l, at, "`pool_weights` share nothing under the policy \"%s\", which goes by order: name another in `steering`, such as \"random\"", policy);
            return;
        }
}

void finish_load_balancer(struct loader *l, const struct members *m, void *object)
{
    struct load_balancer *lb = object;
    double sum = 0;
    if (list_fails(m, "hostnames") || list_fails(m, "default_pools"))
        return;
    settle_when_all_down(l, m, lb);
    settle_lists(l, lb);
    for (size_t i = 0; i < lb->n_default_pools; i++)
        sum += lb->pool_weights[i];
    if (lb->n_default_pools && sum <= 0)
        conf_error(l, member_place(m, "pool_weights"), "all `pool_weights` are 0: no pool would get traffic");
    if (!has_member(m, "steering"))
        configure_default_steering(l, &lb->steering, m->at);
    warn_of_idle_weights(l, member_place(m, "pool_weights"), lb);
    lb->hash = lb->name ? config_hash(lb->name) : 0;
    note_shedding(lb);
    for (size_t i = 0; i < lb->n_rules; i++) {
        struct rule *rule = &lb->rules[i];
        rule->label = rule->name ? rule->name : arena_printf(&l->config->arena, "#%zu", i + 1);
        inherit_by_rule(l, lb, rule);
    }
    if (is_good(l, m)) /* a condition with a mistake may look like none */
        warn_of_unreached_rules(l, lb);
    check_unique_names(l, "rule", lb->rules, lb->n_rules, sizeof *lb->rules, offsetof(struct rule, name), offsetof(struct rule, at));
    if (lb->affinity.name)
        name_cookies_of_rules(l, lb);
}
