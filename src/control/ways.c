#include "control/ways.h"

#include "balance/pool_map.h"
#include "base/mem.h"
#include "control/told.h"

#include <string.h>

/* A list by what a standing depends on. */
struct seen {
    char *key;
    size_t way;
    UT_hash_handle hh;
};

struct collection {
    struct control *control;
    struct load_balancer_record *record;
    struct way *ways;
    size_t n;
    struct seen *seen;
};

static char *key_of(const struct load_balancer *lb, const struct pool_list *list)
{
    struct text key = { 0 };
    text_addf(&key, "%d %s:", (int)lb->when_all_down, lb->fallback_pool ? lb->fallback_pool->name : "");
    for (size_t i = 0; i < list->n; i++)
        text_addf(&key, " %s%s", list->pools[i]->name, pool_list_has(list, i) ? "" : " 0");
    return text_take(&key);
}

static struct way *way_before(const struct load_balancer_record *record, const char *subject)
{
    for (size_t i = 0; i < record->n_ways; i++)
        if (strcmp(record->ways[i].subject, subject) == 0)
            return &record->ways[i];
    return NULL;
}

static void recall(struct collection *c, struct way *way)
{
    const struct way *before = way_before(c->record, way->subject);
    if (!before) {
        way->told = told_take_load_balancer(c->control, way->subject);
        return;
    }
    way->state = before->state;
    way->told = before->told;
    way->since = before->since;
    memcpy(way->reason, before->reason, sizeof way->reason);
}

/* The first is known by the load balancer's name alone. */
static void add_way(struct collection *c, const struct load_balancer *lb, const struct pool_list *list, const char *label)
{
    size_t n = strlen(c->record->name);
    c->ways = mem_resize(c->ways, c->n + 1, sizeof *c->ways);
    struct way *way = &c->ways[c->n];
    *way = (struct way){ .subject = mem_printf("%s %s", c->record->name, label), .balancer = lb, .list = list };
    way->label = way->subject + n + 1;
    if (c->n == 0)
        way->subject[n] = '\0';
    recall(c, way);
    c->n++;
}

static void add_list(struct collection *c, const struct load_balancer *lb, const struct pool_list *list, const char *label)
{
    char *key = key_of(lb, list);
    struct seen *seen;
    HASH_FIND_STR(c->seen, key, seen);
    if (seen) {
        c->ways[seen->way].others++;
        free(key);
        return;
    }
    seen = mem_zero(sizeof *seen);
    seen->key = key;
    seen->way = c->n;
    HASH_ADD_KEYPTR(hh, c->seen, seen->key, strlen(seen->key), seen);
    add_way(c, lb, list, label);
}

static void add_map(struct collection *c, const struct load_balancer *lb, unsigned list, const char *rule, enum pool_map_kind kind, const char *of)
{
    char *label = mem_printf("%s%s%s %s", rule, *rule ? ", " : "", pool_map_key(kind), of);
    add_list(c, lb, &lb->lists[list], label);
    free(label);
}

static void add_places(struct collection *c, const struct load_balancer *lb, const char *rule, enum pool_map_kind kind, const struct place_map *maps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_map(c, lb, maps[i].list, rule, kind, maps[i].code);
}

static void add_clients(struct collection *c, const struct load_balancer *lb, const char *rule)
{
    for (size_t i = 0; i < lb->n_client_maps; i++) {
        char first[CIDR_TEXT_SIZE];
        cidr_format(&lb->client_maps[i].clients.items[0], first);
        add_map(c, lb, lb->client_maps[i].list, rule, MAP_CLIENT, first);
    }
}

/* `rule`: "" for the load balancer itself. */
static void add_balancer(struct collection *c, const struct load_balancer *lb, const char *rule)
{
    add_list(c, lb, &lb->lists[0], *rule ? rule : pool_map_key(MAP_NONE));
    add_clients(c, lb, rule);
    add_places(c, lb, rule, MAP_SUBDIVISION, lb->subdivision_maps, lb->n_subdivision_maps);
    add_places(c, lb, rule, MAP_COUNTRY, lb->country_maps, lb->n_country_maps);
    add_places(c, lb, rule, MAP_REGION, lb->region_maps, lb->n_region_maps);
}

static void add_rules(struct collection *c, const struct load_balancer *lb)
{
    for (size_t i = 0; i < lb->n_rules; i++) {
        if (lb->rules[i].response.status)
            continue;
        char *rule = mem_printf("rule %s", lb->rules[i].label);
        add_balancer(c, &lb->rules[i].balancer, rule);
        free(rule);
    }
}

void ways_clear(struct load_balancer_record *record)
{
    for (size_t i = 0; i < record->n_ways; i++)
        free(record->ways[i].subject);
    free(record->ways);
    record->ways = NULL;
    record->n_ways = 0;
}

void ways_follow(struct control *control, struct load_balancer_record *record, const struct load_balancer *lb)
{
    struct collection c = { .control = control, .record = record };
    struct seen *seen, *next;
    add_balancer(&c, lb, "");
    add_rules(&c, lb);
    HASH_ITER(hh, c.seen, seen, next) {
        HASH_DEL(c.seen, seen);
        free(seen->key);
        free(seen);
    }
    ways_clear(record);
    record->ways = c.ways;
    record->n_ways = c.n;
}
