/* A request to the admin API on its way through a handler. */
#ifndef PENSTOCK_CONTROL_REQUEST_H
#define PENSTOCK_CONTROL_REQUEST_H

#include "control/control.h"
#include "proxy/local.h"

enum { SEGMENTS_MAX = 3, SEGMENT_SIZE = 256 };

/* How a refusal is worded: as a problem document, or in Cloudflare's envelope (everything below /client/v4/). */
enum answer_shape { ANSWER_PROBLEM, ANSWER_ENVELOPE };

struct request {
    struct control *control;
    struct local_call *call;
    const struct local_request *http;
    enum answer_shape shape;
    char segments[SEGMENTS_MAX][SEGMENT_SIZE]; /* what the route's pattern caught, decoded */
};

/* Answers with what is wrong, in the request's shape. */
void request_refuse(const struct request *, unsigned status, const char *detail, ...) __attribute__((format(printf, 3, 4)));
/* With further header lines. */
void request_refuse_with(const struct request *, unsigned status, const char *extra, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* A parameter of the query, "" if absent. False after a 400. */
bool request_parameter(const struct request *, const char *name, char *out, size_t size);
/* Likewise, a whole number within the bounds; `out` is left as it is where it is absent. */
bool request_number(const struct request *, const char *name, unsigned min, unsigned max, unsigned *out);
/* "true" or "false"; likewise. */
bool request_flag(const struct request *, const char *name, bool *out);
/* The body as an object with no members but these (NULL-terminated; NULL: any); an empty body is an empty object. NULL after a
 * 400. */
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
