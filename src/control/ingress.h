/* What a connector does with requests, as it reports it or is told: compared in a form that is the same for the same rules.
 * Pure. */
#ifndef PENSTOCK_CONTROL_INGRESS_H
#define PENSTOCK_CONTROL_INGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INGRESS_DIFFERENCE_SIZE = 256 };

/* {"ingress":[…],"originRequest":{…}} of a configuration, also of one that a connector reports: what is empty or null is left
 * out, members that don't decide about requests (flags, warp-routing) too. A new reference; NULL: no JSON object with a list of
 * rules. */
json_t *ingress_read(const char *json, size_t n);
/* The same for the same rules. */
uint64_t ingress_hash(const json_t *canonical);
/* The first difference, in words that name the rule: "rule 2 (app.example.com): service is http://a here, http://b there".
 * False: none. */
bool ingress_difference(const json_t *here, const json_t *there, char out[static INGRESS_DIFFERENCE_SIZE]);

#endif
