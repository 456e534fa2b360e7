/* The edge's own CA and certificate (ECDSA P-256, SAN *.cftunnel.com), made on first start in the state directory and renewed before they
 * end: edge-ca.pem, edge-ca.key, edge.pem, edge.key, the keys 0600. Control thread. */
#ifndef PENSTOCK_CONTROL_EDGE_CERTIFICATE_H
#define PENSTOCK_CONTROL_EDGE_CERTIFICATE_H

#include <stdbool.h>
#include <time.h>

struct edge_certificate {
    char ca[4096], cert[4096], key[4096]; /* paths */
    time_t not_after;
};
/* Makes what is missing and renews what ends within 30 days. False with a message that names the file and the cure. */
bool edge_certificate_ready(const char *state_dir, time_t now, struct edge_certificate *, char error[256]);

#endif
