/* Maps from where a client is to a list of pools, and the databases that tell where that is. */
#include "conf/parts.h"
#include "conf/types.h"
#include "conf/words.h"

#include "balance/geoip.h"
#include "balance/pool_map.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* --- databases --- */

static void read_databases(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct geoip_conf *out = object;
    size_t n = 0;
    if (!require_list(l, k, g))
        return;
    const char **paths = arena_array(&l->config->arena, count_elements(g), sizeof *paths);
    for (size_t i = 0; i < count_elements(g); i++) {
        struct element e = element_at(g, i);
        if (e.text)
            paths[n++] = name_optional_file(l, e.text, e.at);
    }
    out->databases = (struct texts){ paths, n };
}

const struct conf_type type_databases = { "a path or a list of paths [ \"…\" ]", "list of files", .read = read_databases };

/* One that is missing or broken refuses no configuration: traffic goes on by the default pools. */
void finish_geoip(struct loader *l, const struct members *m, void *object)
{
    struct geoip_conf *g = object;
    char error[GEOIP_ERROR_SIZE];
    if (l->rejoining || !g->databases.n || !is_good(l, m))
        return;
    g->opened = geoip_open(g->databases.items, g->databases.n, error);
    if (g->opened)
        return;
    g->problem = arena_copy_text(&l->config->arena, error);
    conf_warning(l, member_place(m, "database"), "%s; where no former one is in use, clients' places are not known", error);
}

/* --- maps --- */

static struct load_balancer *balancer_of(void *object)
{
    return object;
}

/* A new list of the load balancer, of the pools that `g` names. */
static unsigned add_list(struct loader *l, const struct conf_key *k, struct load_balancer *lb, const struct given *g)
{
    struct pool_list *lists = arena_array(&l->config->arena, lb->n_lists + 2, sizeof *lists);
    if (!lb->n_lists) /* the first is for the default pools */
        lb->n_lists = 1;
    else
        memcpy(lists, lb->lists, lb->n_lists * sizeof *lists);
    read_pool_list(l, k, g, &lists[lb->n_lists]);
    lb->lists = lists;
    return (unsigned)lb->n_lists++;
}

static unsigned add_list_of(struct loader *l, const struct conf_key *k, struct load_balancer *lb, const config_setting_t *pools)
{
    struct given g = { .settings = &pools, .n = 1 };
    struct conf_key named = *k;
    named.type = &type_default_pools;
    named.least = "1";
    named.most = "256";
    return add_list(l, &named, lb, &g);
}

typedef bool is_code(struct loader *, const char *code);

static bool is_country(struct loader *l, const char *code)
{
    (void)l;
    return country_exists(code);
}

static bool is_region(struct loader *l, const char *code)
{
    (void)l;
    return region_parse(code) != REGION_UNKNOWN;
}

static bool is_subdivision(struct loader *l, const char *code)
{
    size_t n = strlen(code);
    if (n < 4 || n > 6 || code[2] != '-' || !country_exists(arena_printf(&l->scratch, "%.2s", code)))
        return false;
    for (size_t i = 3; i < n; i++)
        if (!isupper((unsigned char)code[i]) && !isdigit((unsigned char)code[i]))
            return false;
    return true;
}

static const struct map_kind {
    const char *key, *what, *example;
    is_code *is_code;
} kinds[] = {
    { "subdivision_pools", "ISO 3166-2 code", "\"US-CA\"", is_subdivision },
    { "country_pools", "ISO 3166-1 code of a country", "\"DE\"", is_country },
    { "region_pools", "region", "\"WEU\"", is_region },
    { "countries", "ISO 3166-1 code of a country", "\"DE\"", is_country },
    { "regions", "region", "\"WEU\"", is_region },
};

static const struct map_kind *kind_of(const struct conf_key *k)
{
    size_t i = 0;
    while (strcmp(kinds[i].key, k->name) != 0)
        i++;
    return &kinds[i];
}

static void refuse_code(struct loader *l, const struct map_kind *kind, const char *code, struct source at)
{
    if (kind->is_code != is_region) {
        conf_error(l, at, "`%s`: \"%s\" is no %s, such as %s", kind->key, code, kind->what, kind->example);
        return;
    }
    struct words words = { .nearest.word = code };
    for (enum region r = REGION_UNKNOWN + 1; r < REGIONS; r++)
        words_offer(&words, region_name(r));
    words_refuse(l, at, kind->what, &words);
}

struct map_under_way {
    struct place_map *maps;
    size_t n;
};

static void add_place(struct loader *l, const struct conf_key *k, struct load_balancer *lb, struct map_under_way *map, const char *code,
                      const config_setting_t *pools)
{
    const struct map_kind *kind = kind_of(k);
    struct place_map *m = &map->maps[map->n];
    if (!kind->is_code(l, code)) {
        refuse_code(l, kind, code, document_place(pools));
        return;
    }
    for (size_t i = 0; i < map->n; i++)
        if (strcmp(map->maps[i].code, code) == 0)
            conf_error(l, document_place(pools), "`%s` has \"%s\" twice", k->name, code);
    strncpy(m->code, code, sizeof m->code - 1);
    m->list = add_list_of(l, k, lb, pools);
    map->n++;
}

static void add_pair(struct loader *l, const struct conf_key *k, struct load_balancer *lb, struct map_under_way *map, const config_setting_t *pair)
{
    const config_setting_t *name = NULL, *value = NULL;
    if (config_setting_is_group(pair)) {
        name = config_setting_get_member((config_setting_t *)pair, "name");
        value = config_setting_get_member((config_setting_t *)pair, "value");
    }
    if (!name || !value || !config_setting_get_string(name) || config_setting_length(pair) != 2)
        conf_error(l, document_place(pair), "`%s`: an element must be a group { name = %s; value = [ \"POOL\" ]; }", k->name,
                   kind_of(k)->example);
    else
        add_place(l, k, lb, map, config_setting_get_string(name), value);
}

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place_map *)a)->code, ((const struct place_map *)b)->code);
}

static void read_place_map(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct load_balancer *lb = balancer_of(object);
    const config_setting_t *s = g->settings[0];
    bool is_map = config_setting_is_group(s);
    if (!is_map && !config_setting_is_list(s)) {
        conf_error(l, document_place(s), "`%s` must be %s, not %s", k->name, k->type->name, setting_kind(s));
        return;
    }
    struct map_under_way map = { arena_array(&l->config->arena, (size_t)config_setting_length(s) + 1, sizeof *map.maps), 0 };
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *item = config_setting_get_elem((config_setting_t *)s, (unsigned)i);
        if (is_map)
            add_place(l, k, lb, &map, config_setting_name(item), item);
        else
            add_pair(l, k, lb, &map, item);
    }
    qsort(map.maps, map.n, sizeof *map.maps, compare_places);
    store_array(k, object, map.maps, map.n);
}

const struct conf_type type_place_map = { "a group { CODE = [ \"POOL\" ]; }", "lists of names by code", .read = read_place_map };

/* --- where a rule's clients are --- */

static void read_place_codes(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const struct map_kind *kind = kind_of(k);
    size_t n = 0;
    if (!require_list(l, k, g))
        return;
    const char **codes = arena_array(&l->config->arena, count_elements(g), sizeof *codes);
    for (size_t i = 0; i < count_elements(g); i++) {
        struct element e = element_at(g, i);
        if (e.text && kind->is_code(l, e.text))
            codes[n++] = arena_copy_text(&l->config->arena, e.text);
        else if (e.text)
            refuse_code(l, kind, e.text, e.at);
    }
    store_array(k, object, codes, n);
}

const struct conf_type type_place_codes = { "a list of codes [ \"…\" ]", "list of codes", .read = read_place_codes };

/* --- by network --- */

static const config_setting_t *member_of(const config_setting_t *group, const char *name)
{
    return config_setting_get_member((config_setting_t *)group, name);
}

static void read_clients(struct loader *l, const struct conf_key *k, const config_setting_t *clients, struct client_map *out)
{
    struct given g = { .settings = &clients, .n = 1 };
    struct conf_key named = *k;
    named.name = "clients";
    named.type = &type_networks;
    named.least = "1";
    named.most = "10000";
    named.offset = offsetof(struct client_map, clients);
    type_networks.read(l, &named, &g, out);
}

struct placed_network {
    struct cidr network;
    struct source at; /* of its map */
};

static int by_network(const void *a, const void *b)
{
    const struct placed_network *x = a, *y = b;
    int order = memcmp(&x->network, &y->network, sizeof x->network);
    return order ? order : (x->at.line > y->at.line) - (x->at.line < y->at.line);
}

/* Of equal networks only the first map would count. */
static void refuse_networks_twice(struct loader *l, const struct conf_key *k, const struct client_map *maps, const struct source *places, size_t n)
{
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += maps[i].clients.n;
    struct placed_network *networks = arena_array(&l->scratch, all + 1, sizeof *networks);
    all = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < maps[i].clients.n; j++)
            networks[all++] = (struct placed_network){ maps[i].clients.items[j], places[i] };
    qsort(networks, all, sizeof *networks, by_network);
    for (size_t i = 1; i < all; i++) {
        char text[CIDR_TEXT_SIZE];
        if (memcmp(&networks[i].network, &networks[i - 1].network, sizeof networks->network) != 0)
            continue;
        cidr_format(&networks[i].network, text);
        conf_error(l, networks[i].at, "`%s` has %s twice, first in line %u", k->name, text, networks[i - 1].at.line);
    }
}

static void read_client_map(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct load_balancer *lb = balancer_of(object);
    if (!require_groups(l, k, g))
        return;
    struct client_map *maps = arena_array(&l->config->arena, count_elements(g) + 1, sizeof *maps);
    struct source *places = arena_array(&l->scratch, count_elements(g) + 1, sizeof *places);
    size_t n = 0;
    for (size_t i = 0; i < count_elements(g); i++) {
        const config_setting_t *item = element_at(g, i).setting;
        const config_setting_t *clients = config_setting_is_group(item) ? member_of(item, "clients") : NULL;
        const config_setting_t *pools = config_setting_is_group(item) ? member_of(item, "pools") : NULL;
        if (!clients || !pools || config_setting_length(item) != 2) {
            conf_error(l, document_place(item), "`%s`: an element must be a group { clients = [ \"10.0.0.0/8\" ]; pools = [ \"POOL\" ]; }", k->name);
            continue;
        }
        read_clients(l, k, clients, &maps[n]);
        places[n] = document_place(item);
        maps[n++].list = add_list_of(l, k, lb, pools);
    }
    refuse_networks_twice(l, k, maps, places, n);
    store_array(k, object, maps, n);
}

const struct conf_type type_client_map = { "a list of groups ( { clients = [ \"…\" ]; pools = [ \"…\" ]; } )", "list of networks and names",
                                           .read = read_client_map };

/* --- the default pools are a list like others --- */

void settle_lists(struct loader *l, struct load_balancer *lb)
{
    struct pool_list *lists = arena_array(&l->config->arena, lb->n_lists + 1, sizeof *lists);
    if (lb->n_lists)
        memcpy(lists, lb->lists, lb->n_lists * sizeof *lists);
    lists[0] = (struct pool_list){ .pools = lb->default_pools, .weights = lb->pool_weights, .n = lb->n_default_pools };
    lb->lists = lists;
    lb->n_lists += lb->n_lists == 0;
}

/* --- what the databases must hold for it --- */

/* The first that does; NULL: nobody. */
static const struct source *asks_for_coordinates(const struct config *c)
{
    const char *policy = "proximity";
    for (size_t i = 0; i < c->n_load_balancers; i++) {
        const struct load_balancer *lb = &c->load_balancers[i];
        if (strcmp(lb->steering.policy->name, policy) == 0)
            return &lb->at;
        for (size_t k = 0; k < lb->n_rules; k++)
            if (strcmp(lb->rules[k].balancer.steering.policy->name, policy) == 0)
                return &lb->rules[k].at;
    }
    for (size_t i = 0; i < c->n_pools; i++)
        if (strcmp(c->pools[i].steering.policy->name, policy) == 0)
            return &c->pools[i].at;
    return NULL;
}

static bool is_of_north_america(const char *region)
{
    return strcmp(region, "WNAM") == 0 || strcmp(region, "ENAM") == 0;
}

static bool divides_north_america(const struct load_balancer *lb)
{
    for (size_t i = 0; i < lb->n_region_maps; i++)
        if (is_of_north_america(lb->region_maps[i].code))
            return true;
    return false;
}

static void check_match_of(struct loader *l, const struct rule *rule, const struct geoip_contents *has)
{
    const struct rule_match *m = &rule->match;
    if ((m->countries.n || m->regions.n) && (!has || !has->countries))
        conf_warning(l, rule->at, "`countries` and `regions` %s: this rule never matches",
                     has ? "need countries, of which `geoip` has none" : "need `geoip`");
    for (size_t i = 0; has && has->countries && !has->subdivisions && i < m->regions.n; i++)
        if (is_of_north_america(m->regions.items[i])) {
            conf_warning(l, rule->at, "`regions`: without states and provinces in `geoip`, all of the US and Canada counts as ENAM");
            return;
        }
}

static void check_maps_of(struct loader *l, const struct load_balancer *lb, const struct geoip_contents *has)
{
    for (size_t i = 0; i < lb->n_rules; i++)
        check_match_of(l, &lb->rules[i], has);
    if (load_balancer_asks_for_place(lb) && (!has || !has->countries))
        conf_warning(l, lb->at, "%s: maps by place need %s; without it the default pools are used", lb->name,
                     has ? "countries, of which `geoip` has none" : "`geoip`");
    if (!has || !has->countries)
        return;
    if (lb->n_subdivision_maps && !has->subdivisions)
        conf_warning(l, lb->at, "%s: `subdivision_pools` need a city database; `geoip` has none, and they are never used", lb->name);
    if (divides_north_america(lb) && !has->subdivisions)
        conf_warning(l, lb->at, "%s: `region_pools`: without states and provinces in `geoip`, all of the US and Canada counts as ENAM", lb->name);
}

void check_maps(struct loader *l)
{
    const struct config *c = l->config;
    struct geoip_contents contents = c->geoip.opened ? geoip_contents(c->geoip.opened) : (struct geoip_contents){ 0 };
    if (c->geoip.problem || l->rejoining) /* that was told, or there is nobody to tell */
        return;
    for (size_t i = 0; i < c->n_load_balancers; i++)
        check_maps_of(l, &c->load_balancers[i], c->geoip.databases.n ? &contents : NULL);
    const struct source *asks = contents.coordinates ? NULL : asks_for_coordinates(c);
    if (asks)
        conf_warning(l, *asks, "policy \"proximity\": %s, so no client's place is known and weights decide",
                     c->geoip.databases.n ? "`geoip` has no city database" : "there is no `geoip`");
}
