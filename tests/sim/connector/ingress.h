/* Which service answers a request: ingress rules as cloudflared reads them, from the JSON of a pushed configuration. Immutable once
 * made, and counted, for a request that runs keeps the rules it began with. */
#ifndef PENSTOCK_SIM_INGRESS_H
#define PENSTOCK_SIM_INGRESS_H

#include "base/slice.h"
#include "tests/sim/connector/peer.h"

#include <jansson.h>
#include <regex.h>

enum service_kind {
    SERVICE_HTTP,   /* "http://host:port", "unix:PATH" */
    SERVICE_STATUS, /* "http_status:404" */
    SERVICE_BYTES,  /* "bytes:100": 200 and that many "x", the stand-in's own */
};

struct service {
    enum service_kind kind;
    unsigned status;
    size_t n_bytes;
    struct peer origin;
};

struct rule {
    char *hostname; /* NULL: any; "*.example" is one that ends so */
    bool has_path;
    regex_t path;
    char *host_header; /* httpHostHeader, or NULL */
    struct service service;
};

struct ingress {
    unsigned references;
    json_t *json; /* {"ingress": [...], ...} */
    struct rule *rules;
    size_t n;
    bool all_local; /* no rule has an origin */
};

/* NULL with a message. */
struct ingress *ingress_new(json_t *configuration, char error[static 256]);
struct ingress *ingress_ref(struct ingress *);
void ingress_unref(struct ingress *);
/* NULL if there is no rule at all: the last one matches everything. */
const struct rule *ingress_match(const struct ingress *, struct slice host, const char *path);

#endif
