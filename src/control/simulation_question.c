/* What is asked of a simulation: who is lost, and whose requests come. */
#include "control/simulation.h"

#include "balance/live.h"
#include "balance/tunnel.h"
#include "base/mem.h"
#include "base/random.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const simulation_members[] = { "down", "drain", "requests", "rate", "window", "clients", NULL };

static bool fail(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, SIMULATION_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

enum { SEED = 1 }; /* the same question, the same answer */

/* Load balancers without traffic are asked for as well: together so much more than all traffic at the most. */
static const double IDLE_SHARE = 0.5;

/* --- live states --- */

static void attach_tunnel(struct endpoint *e, const struct endpoint *before)
{
    bool exists = !before || before->edge_tunnel;
    if (e->kind != ENDPOINT_EDGE || !exists)
        return;
    unsigned connections_supposed = e->pool->connection_scaling ? e->pool->connection_scaling : 1;
    e->edge_tunnel = tunnel_new(before ? before->edge_tunnel->id : e->tunnel, before ? before->edge_tunnel->name : e->tunnel);
    atomic_store(&e->edge_tunnel->usable, before ? atomic_load(&before->edge_tunnel->usable) : connections_supposed);
    atomic_store(&e->edge_tunnel->status, before ? atomic_load(&before->edge_tunnel->status) : TUNNEL_HEALTHY);
}

/* Cookies are made and read, but nobody ever sees one. */
static void make_session_key(struct session_keys *out)
{
    const char *wrong;
    session_keys_parse(SLICE("any key will do for sessions that nobody has"), out, &wrong);
}

void simulation_attach(struct config *config, const struct config *in_force)
{
    if (in_force)
        config->session_keys = in_force->session_keys;
    else if (!config->session_keys.n)
        make_session_key(&config->session_keys);
    for (size_t i = 0; i < config->n_endpoints; i++) {
        struct endpoint *e = config->endpoints[i];
        const struct endpoint *before = in_force ? config_find_endpoint(in_force, e->id) : NULL;
        e->live = before ? endpoint_live_copy(before->live) : endpoint_live_new(e->id, 1);
        if (!in_force)
            endpoint_set_health(e->live, HEALTH_UP, 0);
        if (before || !in_force)
            attach_tunnel(e, before);
    }
}

/* --- who is lost --- */

static bool is_of_tunnel(const struct endpoint *e, const char *tunnel)
{
    if (e->edge_tunnel && (strcmp(e->edge_tunnel->id, tunnel) == 0 || strcmp(e->edge_tunnel->name, tunnel) == 0))
        return true;
    return e->tunnel && strcasecmp(e->tunnel, tunnel) == 0;
}

static bool is_meant(const struct endpoint *e, const char *name)
{
    static const char prefix[] = "tunnel:";
    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        return is_of_tunnel(e, name + sizeof prefix - 1);
    return config_pattern_matches(name, strchr(name, '/') ? e->id : e->pool->name);
}

static bool mark(struct simulation *x, const char *name, bool drain, char *error)
{
    bool found = false;
    for (size_t i = 0; i < x->config->n_endpoints; i++) {
        if (!is_meant(x->config->endpoints[i], name))
            continue;
        found = true;
        *(drain ? &x->endpoints[i].drained : &x->endpoints[i].down) = true;
    }
    return found || fail(error, "\"%s\" is no endpoint: say POOL/ENDPOINT, POOL for all of its endpoints, or tunnel:NAME", name);
}

static bool read_names(struct simulation *x, const json_t *question, const char *member, bool drain, char *error)
{
    const json_t *names = json_object_get(question, member), *name;
    size_t i;
    if (names && !json_is_array(names))
        return fail(error, "\"%s\" must be a list of names", member);
    json_array_foreach (names, i, name)
        if (!json_is_string(name))
            return fail(error, "%s[%zu] must be a string", member, i);
        else if (!mark(x, json_string_value(name), drain, error))
            return false;
    return true;
}

static bool read_marks(struct simulation *x, const json_t *question, char *error)
{
    if (!read_names(x, question, "down", false, error) || !read_names(x, question, "drain", true, error))
        return false;
    return json_array_size(json_object_get(question, "down")) || json_array_size(json_object_get(question, "drain")) ||
           fail(error, "say who is lost or drained: {\"down\": [\"POOL/ENDPOINT\"]}, or \"drain\"");
}

/* --- numbers --- */

/* `out` is left as it is where there is none. */
static bool read_number(const json_t *object, const char *member, double min, double max, double *out, char *error)
{
    const json_t *value = json_object_get(object, member);
    if (!value || json_is_null(value))
        return true;
    if (!json_is_number(value) || !(json_number_value(value) >= min) || !(json_number_value(value) <= max))
        return fail(error, "\"%s\" must be a number from %g to %.0f", member, min, max);
    *out = json_number_value(value);
    return true;
}

static bool read_numbers(struct simulation *x, const json_t *question, struct simulation_terms *terms, char *error)
{
    double n = fmin(fmax(SIMULATE_REQUESTS, 1000.0 * (double)x->config->n_load_balancers), 10.0 * SIMULATE_REQUESTS);
    terms->rate = NAN;
    terms->window_s = SIMULATION_WINDOW_S;
    if (!read_number(question, "requests", 1, SIMULATE_REQUESTS_MAX, &n, error) || !read_number(question, "rate", 0.001, 1e7, &terms->rate, error) ||
        !read_number(question, "window", 0, SIMULATION_WINDOW_MAX_S, &terms->window_s, error))
        return false;
    x->n = (unsigned)n;
    if (!isnan(terms->rate))
        terms->window_s = 0;
    return true;
}

/* --- whose requests come --- */

/* A name that the load balancer serves, by the first of its patterns. */
static const char *host_of(const struct load_balancer *lb)
{
    const char *name = lb->hostnames.n ? lb->hostnames.items[0] : "*";
    return strcmp(name, "*") == 0 ? "any.invalid" : name;
}

static void add(struct simulation *x, struct simulation_terms *terms, const struct load_balancer *shared, const char *method, const char *host,
                const char *path, const char *cookie, const struct address *client, double weight)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s", *host == '*' ? "any" : "", *host == '*' ? host + 1 : host);
    if ((x->n_requests & (x->n_requests - 1)) == 0)
        terms->shared = mem_resize(terms->shared, x->n_requests ? 2 * x->n_requests : 1, sizeof(struct load_balancer *));
    terms->shared[x->n_requests] = shared;
    simulation_add_request(x, method, name, path, cookie, client, weight);
}

/* One for each load balancer, where the host isn't said. */
static void add_for_all(struct simulation *x, struct simulation_terms *terms, const char *method, const char *path, const char *cookie,
                        const struct address *client, double weight)
{
    for (size_t i = 0; i < x->config->n_load_balancers; i++) {
        const struct load_balancer *lb = &x->config->load_balancers[i];
        if (lb->enabled)
            add(x, terms, lb, method, host_of(lb), path, cookie, client, weight);
    }
}

/* Any unicast address of the Internet (IPv4). */
static void make_up_client(struct random *random, struct address *out)
{
    static const char *const reserved[] = { "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
                                            "224.0.0.0/3" };
    struct cidr items[sizeof reserved / sizeof *reserved];
    const struct cidr_set set = { items, sizeof reserved / sizeof *reserved };
    for (size_t i = 0; i < set.n; i++)
        cidr_parse(reserved[i], &items[i]);
    do
        *out = (struct address){ .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = (in_addr_t)random_u64(random) } };
    while (cidr_set_contains(&set, out));
}

static void make_up_clients(struct simulation *x, struct simulation_terms *terms)
{
    struct random random = { x->seed ^ 1 };
    size_t balancers = x->config->n_load_balancers ? x->config->n_load_balancers : 1;
    terms->n_clients = (x->n < SIMULATION_KINDS_MAX ? x->n : SIMULATION_KINDS_MAX) / balancers;
    if (!terms->n_clients)
        terms->n_clients = 1;
    for (size_t i = 0; i < terms->n_clients; i++) {
        struct address client;
        make_up_client(&random, &client);
        add_for_all(x, terms, "GET", "/", NULL, &client, 1);
    }
}

/* "" if it isn't given; NULL after an error. Nothing of it may end a line of the head. */
static const char *read_text(const json_t *client, size_t index, const char *member, char *error)
{
    const json_t *value = json_object_get(client, member);
    const char *text = value && !json_is_null(value) ? json_string_value(value) : "";
    if (!text) {
        fail(error, "clients[%zu].%s must be a string", index, member);
        return NULL;
    }
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || (*p == ' ' && strcmp(member, "cookie") != 0)) {
            fail(error, "clients[%zu].%s has a %s", index, member, *p == ' ' ? "blank" : "control character");
            return NULL;
        }
    return text;
}

static bool check_members(const json_t *client, size_t index, char *error)
{
    static const char *const members[] = { "client", "host", "path", "method", "cookie", "count" };
    const char *name;
    json_t *value;
    if (!json_is_object(client))
        return fail(error, "clients[%zu] must be an object", index);
    json_object_foreach ((json_t *)client, name, value) {
        bool known = false;
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            known |= strcmp(members[i], name) == 0;
        if (!known)
            return fail(error, "clients[%zu] has an unknown member \"%s\"", index, name);
    }
    return true;
}

static bool read_client(struct simulation *x, struct simulation_terms *terms, const json_t *client, size_t index, char *error)
{
    struct address address = { .sa.sa_family = AF_UNSPEC };
    const char *ip, *host, *path, *method, *cookie;
    double count = 1;
    if (!check_members(client, index, error) || !(ip = read_text(client, index, "client", error)) || !(host = read_text(client, index, "host", error)) ||
        !(path = read_text(client, index, "path", error)) || !(method = read_text(client, index, "method", error)) ||
        !(cookie = read_text(client, index, "cookie", error)))
        return false;
    if (!read_number(client, "count", 0, 1e9, &count, error))
        return fail(error, "clients[%zu].count must be a number from 0 to 1000000000", index);
    if (*ip && !address_parse(ip, 0, &address))
        return fail(error, "clients[%zu].client must be an IP address", index);
    if (*path && *path != '/')
        return fail(error, "clients[%zu].path must begin with \"/\"", index);
    if (*host)
        add(x, terms, NULL, *method ? method : "GET", host, *path ? path : "/", cookie, &address, count);
    else
        add_for_all(x, terms, *method ? method : "GET", *path ? path : "/", cookie, &address, count);
    return x->n_requests <= SIMULATION_KINDS_MAX ||
           fail(error, "too many: clients without a host are asked for each load balancer, which makes more than %d kinds of requests", SIMULATION_KINDS_MAX);
}

static bool read_clients(struct simulation *x, const json_t *question, struct simulation_terms *terms, char *error)
{
    const json_t *clients = json_object_get(question, "clients"), *client;
    size_t i;
    double sum = 0;
    terms->sample_given = clients && !json_is_null(clients);
    if (!terms->sample_given) {
        make_up_clients(x, terms);
        return x->n_requests || fail(error, "no load balancer is enabled");
    }
    terms->n_clients = json_array_size(clients);
    if (!json_is_array(clients) || !terms->n_clients || terms->n_clients > SIMULATION_CLIENTS_MAX)
        return fail(error, "\"clients\" must be a list of 1 to %d objects", SIMULATION_CLIENTS_MAX);
    json_array_foreach (clients, i, client)
        if (!read_client(x, terms, client, i, error))
            return false;
    for (size_t k = 0; k < x->n_requests; k++)
        sum += x->requests[k].weight;
    if (!(sum > 0))
        return fail(error, "\"clients\" asks for nothing: no count is above 0, or no load balancer is enabled");
    return true;
}

struct simulation *simulation_ask(struct config *config, const json_t *question, struct simulation_terms *terms, char error[static SIMULATION_ERROR_SIZE])
{
    struct simulation *x = simulation_new(config);
    *terms = (struct simulation_terms){ 0 };
    x->seed = SEED;
    if (read_marks(x, question, error) && read_numbers(x, question, terms, error) && read_clients(x, question, terms, error))
        return x;
    simulation_free(x);
    simulation_terms_clear(terms);
    return NULL;
}

void simulation_terms_clear(struct simulation_terms *terms)
{
    free(terms->shared);
    free(terms->traffic);
    *terms = (struct simulation_terms){ 0 };
}

/* --- how much of the traffic is whose --- */

static bool lists(const struct load_balancer *lb, const struct pool *pool)
{
    for (size_t i = 0; i < lb->n_lists; i++)
        for (size_t k = 0; k < lb->lists[i].n; k++)
            if (lb->lists[i].pools[k] == pool)
                return true;
    return false;
}

/* By itself, or for one of its rules. */
static bool uses(const struct load_balancer *lb, const struct pool *pool)
{
    for (size_t i = 0; i < lb->n_rules; i++)
        if (lists(&lb->rules[i].balancer, pool))
            return true;
    return lists(lb, pool);
}

static unsigned count_users(const struct config *config, const struct pool *pool)
{
    unsigned n = 0;
    for (size_t i = 0; i < config->n_load_balancers; i++)
        n += config->load_balancers[i].enabled && uses(&config->load_balancers[i], pool);
    return n;
}

/* Nobody counts by load balancer: what a pool has is divided evenly between those that steer to it. 0: it has none, but others have. */
static double *weigh_load_balancers(const struct config *config, const double *traffic)
{
    double *weights = mem_array(config->n_load_balancers + 1, sizeof *weights), sum = 0;
    for (size_t p = 0; p < config->n_pools; p++) {
        const struct pool *pool = &config->pools[p];
        unsigned users = count_users(config, pool);
        double of_pool = 0;
        for (size_t i = 0; i < pool->n_endpoints; i++)
            of_pool += traffic[pool->endpoints[i].index];
        for (size_t i = 0; users && of_pool > 0 && i < config->n_load_balancers; i++)
            if (config->load_balancers[i].enabled && uses(&config->load_balancers[i], pool))
                weights[i] += of_pool / users;
    }
    for (size_t i = 0; i < config->n_load_balancers; i++)
        sum += weights[i];
    for (size_t i = 0; i < config->n_load_balancers; i++)
        weights[i] = sum > 0 ? weights[i] / sum : 1 / (double)config->n_load_balancers;
    return weights;
}

static void share_out(struct simulation *x, const struct simulation_terms *terms, const double *weights)
{
    double idle_weight = IDLE_SHARE / (double)x->config->n_load_balancers;
    for (size_t i = 0; i < x->n_requests; i++) {
        if (!terms->shared[i])
            continue;
        double weight = weights[terms->shared[i] - x->config->load_balancers];
        x->requests[i].idle = !(weight > 0);
        x->requests[i].weight *= weight > 0 ? weight : idle_weight;
    }
}

void simulation_set_traffic(struct simulation *x, struct simulation_terms *terms, const double *traffic, bool measured)
{
    double *weights = weigh_load_balancers(x->config, traffic), sum = 0;
    share_out(x, terms, weights);
    free(weights);
    for (size_t i = 0; i < x->config->n_endpoints; i++)
        sum += traffic[i];
    x->rate = !isnan(terms->rate) ? terms->rate : measured ? sum : 0;
    if (!measured)
        return;
    terms->traffic = mem_array(x->config->n_endpoints + 1, sizeof *terms->traffic);
    memcpy(terms->traffic, traffic, x->config->n_endpoints * sizeof *traffic);
}
