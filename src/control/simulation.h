/* A simulation from the question in JSON to the answer in JSON; what it does stands in proxy/simulate.h.
 *
 * The question: {"down": [NAME…], "drain": [NAME…], "requests": N, "rate": PER_SECOND, "window": SECONDS, "clients": [{"client": IP,
 * "host": NAME, "path": TEXT, "method": TEXT, "cookie": TEXT, "count": N}…]}. A NAME is a pool, POOL/ENDPOINT with "*" for any run of characters,
 * or tunnel:NAME-or-UUID. */
#ifndef PENSTOCK_CONTROL_SIMULATION_H
#define PENSTOCK_CONTROL_SIMULATION_H

#include "balance/config.h"
#include "proxy/simulate.h"

#include <jansson.h>

enum { SIMULATION_CLIENTS_MAX = 5000, SIMULATION_KINDS_MAX = 50000, SIMULATION_ERROR_SIZE = 512 };
#define SIMULATION_WINDOW_S 2.0
#define SIMULATION_WINDOW_MAX_S 60.0

/* What is known of the question beside the simulation's own. */
struct simulation_terms {
    bool sample_given;        /* else clients are made up */
    size_t n_clients;
    double rate;              /* NaN: to be measured */
    double window_s;          /* over that time; 0: it isn't */
    const struct load_balancer **shared; /* by request: its weight is to be multiplied by the load balancer's; NULL: not */
    double *traffic;          /* requests/s by the endpoint's index, as measured; NULL: not */
};

/* Live states of its own for a configuration that has none: copies of those in force, or (`in_force` NULL) all healthy, with every tunnel
 * connected. Takes nothing over. */
void simulation_attach(struct config *, const struct config *in_force);

/* Members that the question may have, NULL-terminated. */
extern const char *const simulation_members[];
/* Takes the configuration over, its live states attached. NULL with the error: a sentence that names the place. */
struct simulation *simulation_ask(struct config *, const json_t *question, struct simulation_terms *, char error[static SIMULATION_ERROR_SIZE]);
/* How much traffic the endpoints have now, by index, in requests/s or any other unit (`measured` false: only their proportions count). Then it
 * can run. Copied. */
void simulation_set_traffic(struct simulation *, struct simulation_terms *, const double *traffic, bool measured);
void simulation_terms_clear(struct simulation_terms *);

/* A new reference. */
json_t *simulation_json(const struct simulation *, const struct simulation_terms *);

#endif
