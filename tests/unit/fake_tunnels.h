/* Stands in for the registry where only its callers are tested: tunnels in memory, with connectors that the test names. Its JSON has
 * those members of the real one's that are read elsewhere. */
#ifndef PENSTOCK_UNIT_FAKE_TUNNELS_H
#define PENSTOCK_UNIT_FAKE_TUNNELS_H

#include "control/tunnels.h"

struct tunnels *fake_tunnels_new(void);
void fake_tunnels_free(struct tunnels *);
/* A tunnel of the configuration file. */
void fake_tunnels_add_of_file(struct tunnels *, const char *id, const char *name);
/* A connector of it, with two connections at "ams01", one request under way on each. */
void fake_tunnels_connect(struct tunnels *, const char *name, const char *connector);

#endif
