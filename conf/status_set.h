/* Sets of HTTP statuses as people write them: "200-299", "2xx", "200,204,301-302". Pure. */
#ifndef PENSTOCK_CONF_STATUS_SET_H
#define PENSTOCK_CONF_STATUS_SET_H

#include <stdbool.h>
#include <stdint.h>

/* Adds to `bits` (one per status 0-599). False, with some of them perhaps added, if it is no set of statuses 100-599. */
bool status_set_parse(const char *text, uint8_t bits[75]);

#endif
