/* What Node's old http_parser makes of a message's head: in a file of its own, since the names in its header are ours too. */
#ifndef PENSTOCK_UNIT_ORACLE_H
#define PENSTOCK_UNIT_ORACLE_H

#include "base/slice.h"

#include <stdint.h>

enum { ORACLE_FIELDS_MAX = 256 };

struct oracle_head {
    const char *error; /* NULL: accepted as a whole head */
    char method[32];
    struct slice target;
    unsigned status, minor;
    bool has_length, chunked, keep_alive, upgrade;
    uint64_t length;
    size_t n_fields;
    struct {
        struct slice name, value;
    } fields[ORACLE_FIELDS_MAX];
};

/* `answers_head`: a response to HEAD. */
void oracle_read(struct oracle_head *, bool request, bool answers_head, struct slice head);

#endif
