/* Puts what changed into words: one log line and one event per announcement, with data a person and a program can both read. */
#ifndef PENSTOCK_CONTROL_TELL_H
#define PENSTOCK_CONTROL_TELL_H

#include "control/standing.h"
#include "control/tunnel_status.h"

/* `from`: the state told last. */
void tell_endpoint(struct control *, const struct endpoint_record *, enum verdict_state from, const struct announcement *);
void tell_pool(struct control *, const struct pool_record *, enum pool_state from, const struct announcement *);
struct way;
void tell_load_balancer(struct control *, const struct load_balancer_record *, const struct way *, enum load_balancer_state from,
                        const struct announcement *);
void tell_tunnel(struct control *, const struct tunnel_record *, enum tunnel_status from, const struct announcement *);
/* Of a tunnel of our own edge. */
void tell_edge_tunnel(struct control *, const struct tunnel *, const struct tunnel_standing *, const struct tunnel_count *, enum tunnel_status from,
                      const struct announcement *);
/* Rules that differ from `other`'s, a tunnel's or a connector's, in words. `subject`: POOL/ENDPOINT, or the tunnel's id. `over`: they don't any
 * more. */
void tell_drift(struct control *, const struct tunnel *, const char *subject, const char *other, const char *words, bool over);
/* A connector did not take what was pushed, or (NULL) all of the tunnel's left with it; `halted`: and so no other tunnel gets it. */
void tell_push_refused(struct control *, const struct tunnel *, const char *connector, int version, const char *answer, bool halted);
/* The name of an endpoint can't be refreshed and its last addresses serve on (`problem`), or it can again (NULL). */
void tell_name(struct control *, const struct endpoint_record *, const char *problem);
void tell_certificate(struct control *, const char *listener, nsec_t not_after, enum certificate_standing, const struct announcement *);
/* The databases of clients' places can't be read (`problem`; `kept`: and the former ones stay in use), or can again (NULL). */
void tell_places(struct control *, const char *problem, bool kept);
void tell_reloaded(struct control *, const struct conf_messages *);
void tell_rejected(struct control *, const struct conf_messages *);

#endif
