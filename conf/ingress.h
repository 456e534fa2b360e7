/* `edge.ingress`: the rules that are pushed to connectors, in the file's words and as cloudflared's JSON. */
#ifndef PENSTOCK_CONF_INGRESS_H
#define PENSTOCK_CONF_INGRESS_H

#include "conf/loader.h"

#include <jansson.h>

/* How a connector speaks to the services behind it. The keys are cloudflared's own; what is not given is not pushed. */
struct origin_request {
    nsec_t connect_timeout, tls_timeout, tcp_keep_alive, keep_alive_timeout; /* whole seconds */
    unsigned keep_alive_connections;
    const char *http_host_header, *origin_server_name, *ca_pool;
    bool no_tls_verify, no_happy_eyeballs, disable_chunked_encoding, http2_origin, match_sni_to_host;
    const char *json; /* of all that is given, in the scratch arena; NULL: nothing is */
};

struct ingress_rule {
    const char *hostname, *path, *service; /* the first two NULL: any */
    struct origin_request origin;
    struct source at;
};

/* One group of rules while it is read. */
struct ingress_in_file {
    struct edge_ingress ingress;
    struct ingress_rule *rules;
    size_t n_rules;
    struct origin_request origin; /* of all its rules */
};

void finish_origin_request(struct loader *, const struct members *, void *origin);
void finish_ingress_rule(struct loader *, const struct members *, void *rule);
void finish_ingress(struct loader *, const struct members *, void *ingress_in_file);

#endif
