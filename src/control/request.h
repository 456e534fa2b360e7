/* A request to the admin API on its way through a handler. */
#ifndef PENSTOCK_CONTROL_REQUEST_H
#define PENSTOCK_CONTROL_REQUEST_H

#include "control/control.h"
#include "proxy/local.h"

enum { SEGMENTS_MAX = 2, SEGMENT_SIZE = 256 };

struct request {
    struct control *control;
    struct local_call *call;
    const struct local_request *http;
    char segments[SEGMENTS_MAX][SEGMENT_SIZE]; /* what the route's pattern caught, decoded */
};

/* A parameter of the query, "" if absent. False after a 400. */
bool request_parameter(const struct request *, const char *name, char *out, size_t size);
/* The body as an object with no members but these (NULL-terminated); an empty body is an empty object. NULL after a 400. */
json_t *request_body(const struct request *, const char *const *members);

/* A call that is answered later; knows whether its client is still there. */
struct pending {
    struct control *control;
    struct local_call *call; /* NULL: gone */
    char name[2 * SEGMENT_SIZE];
};

/* Whoever answers frees it. */
struct pending *pending_new(const struct request *, const char *name) __attribute__((returns_nonnull, warn_unused_result));

#endif
