/* What answers each route of the admin API: now, or later by way of what it set going. */
#ifndef PENSTOCK_CONTROL_HANDLERS_H
#define PENSTOCK_CONTROL_HANDLERS_H

#include "control/request.h"

/* handle_state.c */
void handle_get_status(const struct request *);
void handle_get_load_balancers(const struct request *);
void handle_get_pools(const struct request *);
void handle_get_tunnels(const struct request *);
void handle_get_tunnel(const struct request *);
void handle_get_alerts(const struct request *);
void handle_get_metrics(const struct request *);
void handle_get_page(const struct request *);
void handle_get_alive(const struct request *);
void handle_get_ready(const struct request *);

/* handle_endpoint.c */
void handle_get_endpoint(const struct request *);
void handle_patch_endpoint(const struct request *);

/* handle_tunnel.c */
void handle_post_tunnel(const struct request *);
void handle_patch_tunnel(const struct request *);
void handle_delete_tunnel(const struct request *);
void handle_delete_connections(const struct request *);
void handle_patch_connector(const struct request *);
void handle_get_credentials(const struct request *);
void handle_get_edge_login(const struct request *);

/* handle_cfd_tunnel.c: as Cloudflare's API would */
void handle_get_cfd_tunnels(const struct request *);
void handle_post_cfd_tunnel(const struct request *);
void handle_get_cfd_tunnel(const struct request *);
void handle_delete_cfd_tunnel(const struct request *);
void handle_get_cfd_token(const struct request *);
void handle_get_cfd_connections(const struct request *);
void handle_delete_cfd_connections(const struct request *);
void handle_get_cfd_connector(const struct request *);
void handle_get_cfd_configurations(const struct request *);
void handle_put_cfd_configurations(const struct request *);

/* handle_process.c */
void handle_post_monitor_test(const struct request *);
void handle_post_alert_test(const struct request *);
void handle_post_reload(const struct request *);
void handle_get_trace(const struct request *);
void handle_post_trace(const struct request *);

/* handle_explain.c */
void handle_get_explain(const struct request *);

/* handle_requests.c */
void handle_get_requests(const struct request *);

/* handle_events.c */
void handle_get_events(const struct request *);

#endif
