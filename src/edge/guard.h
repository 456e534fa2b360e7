/* What a client must never get through to a connector: fields by which an edge commands it, and the host of its internal service.
 * A forged control stream makes cloudflared send its tunnel's secret, a forged update-configuration rewrites its routes. Pure. */
#ifndef PENSTOCK_EDGE_GUARD_H
#define PENSTOCK_EDGE_GUARD_H

#include "base/slice.h"

/* Is it one of cf-cloudflared-*, cf-int-*, cf-proxy-*, cf-warp-tag-*, cf-trace-id? In any case, and with "_" for "-", which what
 * stands behind may take for the same. Such a field is dropped; the request goes on. */
bool guard_drops_field(struct slice name);
/* Is it a name of cloudflared's management service, which leaves checking its access token to the edge? With or without port, in
 * any case, percent-encoded or with dots at its end. Such a request is answered here, as one for a host that nobody serves. */
bool guard_refuses_host(struct slice host);

#endif
