/* The model: one loaded configuration. Filled by conf/ (TLS contexts made), completed by the control thread (live state attached),
 * immutable once published. All of it, strings included, lives in its arena; unset strings are NULL. */
#ifndef PENSTOCK_BALANCE_CONFIG_H
#define PENSTOCK_BALANCE_CONFIG_H

#include "balance/request_key.h"
#include "balance/session_key.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/slice.h"
#include "http/cookies.h"
#include "net/address.h"
#include "steering/module.h"
#include "steering/policy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct conf_text;
struct tls_server;
struct tls_client;
struct endpoint_live;
struct tally;
struct geoip;

struct texts { /* a list of strings */
    const char *const *items;
    size_t n;
};

struct source { /* where a thing stands in the configuration, for messages */
    const char *file;
    unsigned line;
};

struct header_pair {
    const char *name, *value;
};

struct timeouts {
    nsec_t client_header, client_body, client_idle, client_handshake, connect, handshake, response_header, response_idle, upgrade_idle, queue,
        shutdown, upgrade_shutdown;
    nsec_t client_abort; /* how long a request goes on after its client has closed its sending side */
    nsec_t total;        /* of a whole exchange; 0: off */
};

struct limits {
    uint64_t header_size;  /* bytes; <= BUFFER_LARGE */
    unsigned header_count; /* <= HTTP_FIELDS_MAX */
    uint64_t body_size;    /* 0: none of ours */
    unsigned connections, connections_per_client; /* 0: none of ours */
    unsigned requests_per_connection; /* keep-alive; 0: no limit */
    nsec_t connection_age;            /* keep-alive; 0: no limit */
    bool allow_bare_lf;
};

struct tls_certificate_conf {
    const char *cert, *key;
    struct source at;
};

struct listener {
    const char *address;
    bool tls;
    const struct tls_certificate_conf *certificates;
    size_t n_certificates;
    int min_version; /* TLS1_2_VERSION … */
    bool http2;
    struct tls_server *tls_server; /* freed with the configuration */
    struct source at;
};

struct admin_conf {
    const char *socket; /* path */
    unsigned mode;
    const char *group;
    const char *address; /* NULL: none */
    const char *token;   /* secret; NULL: loopback and GET only */
};

enum access_log_format { ACCESS_LOG_JSON, ACCESS_LOG_COMBINED };
struct access_log_conf {
    const char *path; /* NULL: off; "stdout" */
    enum access_log_format format;
    struct source at;
};

enum monitor_follow { MONITOR_NO_REDIRECT, MONITOR_FOLLOW };
struct monitor_type;
struct monitor {
    const char *name; /* "default" for the one that stands in where none is given */
    const struct monitor_type *type;
    const char *path, *method;
    const struct header_pair *headers;
    size_t n_headers;
    bool expected_codes_given;
    uint8_t expected_codes[75]; /* a bit per status 0-599 */
    const char *expected_body;  /* NULL or "": any; a substring, or a regular expression when written ~…; see monitors/http.c */
    void *expected_pattern;     /* pcre2_code, or NULL; freed with the configuration */
    bool follow_redirects;
    nsec_t interval, timeout;
    nsec_t interval_turning, interval_down, interval_down_max;
    unsigned retries, consecutive_up, consecutive_down;
    struct source at;
};

struct passive {
    unsigned consecutive, min_requests;
    double ratio;
    nsec_t window, ejection, ejection_max;
};

enum endpoint_kind {
    ENDPOINT_ADDRESS,      /* a plain origin */
    ENDPOINT_HOSTNAME,     /* through Cloudflare's public edge, by a name of its own */
    ENDPOINT_TUNNEL_NAME,  /* UUID.cfargotunnel.com: can be dialled only inside Cloudflare */
    ENDPOINT_EDGE,         /* a tunnel of our own edge: nothing is dialled */
};

/* Where a pool's or an endpoint's coordinates come from. */
enum placed {
    PLACED_NOWHERE,    /* they are not known */
    PLACED_BY_FILE,    /* its own */
    PLACED_BY_POOL,    /* an endpoint's: its pool's */
    PLACED_BY_EDGE,    /* an endpoint's: its tunnel ends at our edge, and is where that is */
    PLACED_BY_ENDPOINT /* a pool's: those of its first endpoint that has any */
};

struct pool;
struct endpoint {
    /* what a request touches, together */
    struct endpoint_live *live; /* attached before publishing; one reference */
    struct pool *pool;
    unsigned index;          /* among all endpoints of the configuration */
    unsigned order;          /* within its pool */
    unsigned max_in_flight;  /* 0: no limit */
    enum endpoint_kind kind;
    const char *host_header; /* NULL: the request's host */
    const struct header_pair *headers; /* added to each request */
    size_t n_headers;
    bool rewrite_host;       /* Location and cookie Domain naming `hostname` become the request's host */
    bool behind_cloudflare;  /* the way leads into Cloudflare's network: its rules apply to what we send */

    bool enabled;
    bool tls;
    bool tls_verify;
    bool joined;             /* made from the pool's `tunnels` pattern, not written in the file */
    uint16_t dial_port;
    const char *name;
    const char *id;          /* "pool/endpoint" */
    uint64_t hash;           /* of the id */
    double weight;

    const char *tunnel;      /* UUID, lower case; of our edge: UUID or name, as the file has it; joined: its UUID */
    struct tunnel *edge_tunnel; /* ENDPOINT_EDGE: attached before publishing, one reference; NULL: no such tunnel yet */
    const char *hostname;
    const char *dial_host;   /* a name or numeric address; NULL with unix_path */
    const char *unix_path;
    const char *sni;         /* NULL: the request's host */
    const char *ca_file, *client_cert, *client_key;
    float latitude, longitude; /* NaN if unknown; where they come from: */
    enum placed placed;
    uint64_t dial_hash;      /* changes when a kept connection must not be used for it any more */
    struct tls_client *tls_client; /* one of the configuration's tls_clients; NULL without tls */
    struct source at;
};

struct steering_conf {
    const struct steering_policy *policy;
    void *config;             /* the policy's own; released with the configuration */
    struct request_key key;   /* what its option of that kind says */
    nsec_t latency_decay;     /* 0: it doesn't say */
    struct source at;
};

enum shed_policy { SHED_RANDOM, SHED_HASH };
struct load_shedding {
    double percent, session_percent; /* of requests without and with a session in the pool */
    enum shed_policy policy, session_policy;
};

struct pool {
    const char *name;
    uint64_t hash;
    unsigned index;
    bool enabled;
    unsigned minimum_endpoints;
    struct endpoint *endpoints;
    size_t n_endpoints;
    const struct edge_pattern *patterns; /* tunnels that join when they first connect */
    size_t n_patterns;
    struct monitor *const *monitors;
    size_t n_monitors;        /* 0: healthy from the start, judged by traffic alone */
    struct steering_conf steering;
    struct passive passive;
    struct load_shedding shedding;
    struct tally *shed;       /* requests; attached before publishing, one reference; NULL: not counted */
    nsec_t slow_start;
    unsigned connection_scaling; /* connections with which a tunnel of our edge has its endpoint's weight; 0: weights don't follow those */
    double panic;             /* share of the pool, 0-1, that passive signals alone can't take below; see balance/outlier.h */
    float latitude, longitude; /* likewise */
    enum placed placed;
    struct source at;
};

enum failover_on { FAILOVER_CONNECT_ERROR = 1, FAILOVER_RESET = 2, FAILOVER_TUNNEL_INACTIVE = 4, FAILOVER_TIMEOUT = 8 };
struct failover {
    unsigned retries;          /* other endpoints tried at the most */
    bool across_pools;         /* else only those of the pool that failed */
    uint64_t buffer;           /* bytes of request body kept for sending again */
    unsigned on;               /* enum failover_on */
    uint8_t on_status[75];     /* a bit per status */
    bool retry_post_undelivered; /* 521, 523, 525, 526, 530: the edge never delivered the request */
    bool idempotency_key;      /* a request with Idempotency-Key counts as idempotent */
};

enum affinity_type { AFFINITY_NONE, AFFINITY_COOKIE, AFFINITY_IP_COOKIE, AFFINITY_HEADER };
/* A session whose endpoint can't have its request: it moves; goes elsewhere until that can; sees the failure of the request. */
enum affinity_failover { AFFINITY_STICKY, AFFINITY_TEMPORARY, AFFINITY_NO_FAILOVER };
/* What a session stays at: a connector only where the endpoint is a tunnel of our edge. */
enum affinity_level { AFFINITY_ENDPOINT, AFFINITY_CONNECTOR };
enum affinity_secure { AFFINITY_SECURE_AUTO, AFFINITY_SECURE_ALWAYS, AFFINITY_SECURE_NEVER };
struct affinity_conf {
    enum affinity_type type;
    const char *name;           /* of the cookie; NULL: there is none */
    const char *header;
    struct request_key key;     /* what the first choice, or each, is a hash of; none with "cookie" */
    nsec_t ttl;                 /* since the session began */
    nsec_t idle;                /* since it was last seen; 0: no limit */
    enum affinity_level level;
    enum affinity_failover failover;
    enum cookie_same_site same_site;
    enum affinity_secure secure;
    nsec_t drain_duration;      /* how long an endpoint or connector that is drained keeps its sessions */
};

/* What clients get where there is nobody to send to, in place of our own words. */
struct down_page {
    const char *file;          /* NULL: none */
    struct slice body;         /* what it had when the configuration was loaded */
    const char *content_type;
    unsigned status;
    struct source at;
};

enum when_all_down { WHEN_ALL_DOWN_FALLBACK_POOL, WHEN_ALL_DOWN_LEAST_BAD, WHEN_ALL_DOWN_503 };

struct rule;
/* Pools that are chosen from, and their weights by the same index. */
struct pool_list {
    unsigned index;            /* among all lists of the configuration */
    struct pool *const *pools;
    const double *weights;
    size_t n;
};
struct client_map {
    struct cidr_set clients;
    unsigned list;             /* in `lists` */
};
enum { PLACE_CODE_SIZE = 8 };
struct place_map {
    char code[PLACE_CODE_SIZE]; /* "US-CA", "DE", "WEU" */
    unsigned list;
};

struct load_balancer {
    const char *name;          /* its first hostname */
    uint64_t hash;
    bool enabled;
    struct texts hostnames;    /* lower case, without port; "*.x", "*" */
    struct pool *const *default_pools;
    const double *pool_weights; /* by the same index; 1.0 by default */
    size_t n_default_pools;
    bool sheds;                /* one of them does */
    const struct pool_list *lists; /* the default pools, then those of the maps: see balance/pool_map.h */
    size_t n_lists;
    const struct client_map *client_maps;
    size_t n_client_maps;
    const struct place_map *subdivision_maps, *country_maps, *region_maps; /* sorted by code */
    size_t n_subdivision_maps, n_country_maps, n_region_maps;
    struct pool *fallback_pool; /* NULL: none */
    enum when_all_down when_all_down;
    nsec_t retry_after;
    struct down_page down_page;
    struct steering_conf steering;
    struct affinity_conf affinity;
    struct failover failover;
    struct timeouts timeouts;   /* the global ones, but for those given here */
    struct limits limits;
    struct rule *rules;         /* the first that matches a request stands in; their load balancers have none */
    size_t n_rules;
    struct source at;
};

/* Conditions: what is given must hold, by one of its values. */
struct rule_match {
    struct texts hosts;         /* as a load balancer's hostnames */
    struct texts path_prefixes, methods, listeners;
    const char *path_regex;
    void *pattern;              /* pcre2_code of that, or NULL; freed with the configuration */
    const struct header_pair *headers, *cookies, *query; /* all must be there; the value "*": any */
    size_t n_headers, n_cookies, n_query;
    struct cidr_set clients;
    struct texts countries, regions; /* of the client: ISO 3166-1, and Cloudflare's */
};

struct rule_response {
    unsigned status;            /* 0: there is none */
    const char *location, *body, *content_type; /* NULL: none */
};

struct rule {
    struct load_balancer balancer; /* begins with it: the one it is in, but for what the rule has otherwise */
    const char *name;           /* NULL: none */
    const char *label;          /* its name, else "#3": its place among the rules */
    struct tally *requests;     /* that it decided about; attached before publishing, one reference; NULL: not counted */
    struct rule_match match;
    struct rule_response response;
    bool own_pools, own_steering; /* else they are the load balancer's */
    struct source at;
};

enum channel_body { CHANNEL_BODY_STANDARD };
struct channel_type;
struct channel_conf {
    const char *name;
    const struct channel_type *type;
    const char *url;
    const char *secret;        /* NULL: unsigned */
    struct texts events;       /* patterns, "tunnel.*"; n == 0: severity warning and up, and recoveries */
    nsec_t timeout;
    bool tls_verify;
    const char *ca_file;
    struct source at;
};

/* A tunnel that stands in the file; more are made at run time. */
struct edge_tunnel_conf {
    const char *id, *name;
    const char *secret;         /* base64 of 32 to 128 bytes, as in a credentials file */
    struct source at;
};

/* Rules pushed to every connector of the tunnels named. */
struct edge_ingress {
    struct texts tunnels;       /* names, UUIDs, or patterns with "*" */
    const char *json;           /* {"ingress":[…],"originRequest":{…}}: the "config" of a push */
    uint64_t hash;              /* of it */
    struct source at;
};

/* Which tunnels join a pool by themselves. */
struct edge_pattern {
    const char *pattern;        /* of names, "*" for any run of characters */
    bool identical;             /* one whose ingress differs from the pool's is not used */
    double weight;              /* of each of them */
    struct source at;
};

enum { EDGE_LOCATION_SIZE = 32 };
struct edge_conf {
    struct texts addresses;     /* to listen on; n == 0: there is no edge */
    struct texts advertise;     /* host:port, for run-command; never empty where there is an edge */
    const char *location;       /* shorter than EDGE_LOCATION_SIZE */
    float latitude, longitude;  /* NaN: not known */
    unsigned expected_connections; /* per connector */
    const char *cert, *key, *ca; /* PEM paths, all or none; NULL: made and kept in the state directory */
    const struct edge_tunnel_conf *tunnels;
    size_t n_tunnels;
    struct steering_conf replica_steering;
    const struct edge_ingress *ingress;
    size_t n_ingress;
    unsigned connectors_max, connections_max; /* per tunnel; 25, 100 */
};

/* Where clients are. */
struct geoip_conf {
    struct texts databases;     /* MMDB files; n == 0: none */
    struct geoip *opened;       /* until the control thread takes both; NULL: none, or see below */
    const char *problem;        /* why they could not be opened; NULL: they could, or were not read again, as in conf_join() */
    struct source at;
};

struct config {
    struct arena arena;
    _Atomic unsigned refs;
    uint64_t generation;       /* counts published configurations of this process, from 1 */
    const char *file;
    const struct conf_text *texts; /* what it was read from, for conf_join() in conf/conf.h */
    size_t n_texts;

    const char *user, *state_dir; /* NULL: not given */
    unsigned workers;          /* resolved: >= 1 */
    struct listener *listeners;
    size_t n_listeners;
    struct admin_conf admin;
    struct cidr_set trusted_proxies;
    const char *resolver_servers; /* NULL: the system's */
    struct session_keys session_keys; /* where the file has none, completed before publishing if a load balancer needs any */
    struct access_log_conf access_log;
    unsigned explain_requests; /* that each worker remembers the decisions of; 0: none */
    struct geoip_conf geoip;
    struct edge_conf edge;
    struct timeouts timeouts;
    struct limits limits;
    struct monitor *monitors;
    size_t n_monitors;
    struct pool *pools;
    size_t n_pools;
    size_t n_endpoints;        /* in all pools */
    struct endpoint **endpoints; /* by index */
    struct tls_client **tls_clients; /* one for all endpoints of the same TLS settings: reading the system's store takes milliseconds */
    size_t n_tls_clients;
    struct load_balancer *load_balancers;
    size_t n_load_balancers;
    size_t n_lists;            /* of pools, in all load balancers */
    struct channel_conf *channels;
    size_t n_channels;
    struct steering_module **modules; /* whose policies are named in it; unloaded after all else of it was released */
    size_t n_modules;
};

/* One reference, generation 0, all else zero. */
struct config *config_new(void);
static inline struct config *config_ref(struct config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}
/* The last one frees TLS contexts, policies' state and modules, live-state references and the arena. Any thread. */
void config_unref(struct config *);

/* Letters, digits, "-" and "_", a letter first. */
bool config_is_name(const char *);
/* Stable hash of a name (xxh3). */
uint64_t config_hash(const char *name);
struct pool *config_find_pool(const struct config *, const char *name);
/* By "pool/endpoint". */
struct endpoint *config_find_endpoint(const struct config *, const char *id);
/* "*" stands for any run of characters. */
bool config_pattern_matches(const char *pattern, const char *name);
/* By which of a pool's patterns a tunnel joins it: the first that matches; NULL: by none. */
const struct edge_pattern *config_find_pattern(const struct pool *, const char *tunnel_name);
/* The rules that are pushed to a tunnel's connectors: those that name it by id or name, else the first with a pattern of it; NULL: none. */
const struct edge_ingress *config_find_ingress(const struct config *, const char *tunnel_id, const char *tunnel_name);
/* The tunnel as the file has it; NULL: it does not. */
const struct edge_tunnel_conf *config_find_edge_tunnel(const struct config *, const char *id_or_name);

static inline bool status_bit(const uint8_t bits[75], unsigned status)
{
    return status < 600 && (bits[status / 8] >> (status % 8) & 1);
}

#endif
