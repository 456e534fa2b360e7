/* The parts of a configuration: what is checked and completed once the keys of a group are read. Named in schema.c. */
#ifndef PENSTOCK_CONF_PARTS_H
#define PENSTOCK_CONF_PARTS_H

#include "conf/loader.h"

void finish_listener(struct loader *, const struct members *, void *listener);
void finish_admin(struct loader *, const struct members *, void *admin);
void finish_access_log(struct loader *, const struct members *, void *access_log);
void finish_monitor(struct loader *, const struct members *, void *monitor);
void finish_passive(struct loader *, const struct members *, void *passive);
void finish_endpoint(struct loader *, const struct members *, void *endpoint);
void finish_endpoint_tls(struct loader *, const struct members *, void *endpoint);
void finish_pool(struct loader *, const struct members *, void *pool);
void finish_affinity(struct loader *, const struct members *, void *affinity);
void start_load_balancer(struct loader *, void *load_balancer);
/* Whether one of its pools sheds load. */
void note_shedding(struct load_balancer *);
void finish_rule(struct loader *, const struct members *, void *rule);
void finish_rule_match(struct loader *, const struct members *, void *rule);
void finish_rule_response(struct loader *, const struct members *, void *rule);
/* What the rule doesn't say is as in the load balancer that it is in, which is complete. */
void inherit_by_rule(struct loader *, const struct load_balancer *, struct rule *);
/* Behind one that holds for every request, or for hosts that the load balancer has not. */
void warn_of_unreached_rules(struct loader *, const struct load_balancer *);
void finish_down_page(struct loader *, const struct members *, void *down_page);
/* Names the cookies of those of its rules whose pools can't have its own sessions; once all rules are complete. */
void name_cookies_of_rules(struct loader *, struct load_balancer *);
void finish_load_balancer(struct loader *, const struct members *, void *load_balancer);
void finish_edge_tunnel(struct loader *, const struct members *, void *edge_tunnel);
void finish_edge(struct loader *, const struct members *, void *edge);
void finish_channel(struct loader *, const struct members *, void *channel);
void finish_root(struct loader *, const struct members *, void *config);

/* An element of `endpoints`: an endpoint, or what each tunnel that joins becomes. */
struct endpoint_in_file {
    struct endpoint endpoint; /* begins with it */
    const char *tunnels;      /* their pattern; NULL: one endpoint */
    bool identical;
};

/* Names of pools, each once. */
void read_pool_list(struct loader *, const struct conf_key *, const struct given *, struct pool_list *out);
/* Of shares that its policy, which goes by order, makes nothing of. */
void warn_of_idle_weights(struct loader *, struct source at, const struct load_balancer *);
/* Once default pools, weights and maps are read. */
void settle_lists(struct loader *, struct load_balancer *);
void finish_geoip(struct loader *, const struct members *, void *geoip);
/* Warns where maps and policies ask for more than the databases tell. */
void check_maps(struct loader *);
void check_coordinates(struct loader *, const struct members *, float latitude, float longitude);
void settle_places(struct config *);

/* How an endpoint is reached: what its keys add up to (the table in penstock.conf(5)). */
void resolve_reach(struct loader *, const struct members *, struct endpoint *);
/* TLS context and dial_hash; after resolve_reach. */
void make_endpoint_tls(struct loader *, const struct members *, struct endpoint *);

/* `edge`'s own certificate, where it is given: what connectors would say to it. */
void check_edge_certificate(struct loader *, const struct members *, const struct edge_conf *);

/* The policy that stands where the file names none, with its options' defaults. */
void configure_default_steering(struct loader *, struct steering_conf *, struct source at);
/* Those that `replica_steering` may name, by their names there; NULL after the last. */
const char *replica_policy_name(size_t i);

/* GET / with no expectation but that something answers: for pools that name no monitors. A monitor of the file that is
 * named "default" takes its place. */
struct monitor *default_monitor(struct loader *);
struct monitor *find_monitor(const struct loader *, const char *name);
/* Whether the kind of monitor sends requests: else path, method, headers and expectations mean nothing to it. */
bool monitor_sends_request(const struct monitor *);

/* Across groups: duplicates, what nobody uses, what Cloudflare's rules forbid. */
void check_whole(struct loader *);

/* --- words shared by the parts --- */

/* Names of groups that must differ. `name` at `offset` in each of `n` objects, its place at `at`. */
void check_unique_names(struct loader *, const char *what, const void *objects, size_t n, size_t size, size_t name, size_t at);

/* NULL if sockets can be opened there (see net/listener.h), else what is wrong. `host`: what it names of it. */
const char *what_is_wrong_with_address(const char *address, char host[256]);

/* Names of tunnels: letters, digits, "-", "_", and "*" for any run of characters; a letter or "*" first. */
bool is_tunnel_pattern(const char *);
void refuse_tunnel_pattern(struct loader *, struct source at, const char *);

/* HOST or HOST:PORT, the host a name or an address. */
bool is_authority(struct loader *, const char *);

/* In lower case; NULL if it isn't labels of letters, digits, "-" and "_", joined by dots (an IPv4 address is; a port is not). */
const char *host_name_of(struct arena *, const char *text);

#endif
