/* The registry's tunnels (tunnels_json) in the words of Cloudflare's API: `cfd_tunnel` objects, clients, connections. Pure. */
#ifndef PENSTOCK_CONTROL_CFD_TUNNEL_H
#define PENSTOCK_CONTROL_CFD_TUNNEL_H

#include "base/clock.h"
#include "base/uuid.h"

#include <jansson.h>
#include <stdbool.h>

enum { CFD_TEXT_SIZE = 256, CFD_PER_PAGE = 1000, CFD_PER_PAGE_MAX = 10000 };

struct cfd_filter { /* "": any */
    char name[CFD_TEXT_SIZE];
    char prefix[CFD_TEXT_SIZE], not_prefix[CFD_TEXT_SIZE]; /* of the name */
    char id[UUID_TEXT_SIZE];
    char status[16];
    bool deleted;              /* only deleted ones, of which nothing is kept */
    nsec_t existed_at;         /* wall; 0: any time */
    nsec_t was_active_at, was_inactive_at; /* likewise: with connections then, or without, as far back as its present state is known to reach */
    unsigned page, per_page;   /* from 1 */
};

json_t *cfd_tunnel(const json_t *ours);
/* An array of clients: the connectors, with their connections as `conns`. */
json_t *cfd_clients(const json_t *ours);
/* NULL: no such connector. */
json_t *cfd_client(const json_t *ours, const char *connector);
json_t *cfd_configuration(const json_t *ours);
/* One page of those that match, by name; *total: of all pages. */
json_t *cfd_list(const json_t *all, const struct cfd_filter *, size_t *total);

#endif
