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
void start_load_balancer(struct loader *, void *load_balancer);
void finish_load_balancer(struct loader *, const struct members *, void *load_balancer);
void finish_channel(struct loader *, const struct members *, void *channel);
void finish_root(struct loader *, const struct members *, void *config);

/* How an endpoint is reached: what its keys add up to (the table in penstock.conf(5)). */
void resolve_reach(struct loader *, const struct members *, struct endpoint *);
/* TLS context and dial_hash; after resolve_reach. */
void make_endpoint_tls(struct loader *, const struct members *, struct endpoint *);

/* The policy that stands where the file names none, with its options' defaults. */
void configure_default_steering(struct loader *, struct steering_conf *, struct source at);

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

/* In lower case; NULL if it isn't labels of letters, digits, "-" and "_", joined by dots (an IPv4 address is; a port is not). */
const char *host_name_of(struct arena *, const char *text);

#endif
