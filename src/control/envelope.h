/* Answers in the shape of Cloudflare's API: {"success", "errors", "messages", "result", "result_info"}. Each ends the call. */
#ifndef PENSTOCK_CONTROL_ENVELOPE_H
#define PENSTOCK_CONTROL_ENVELOPE_H

#include "proxy/local.h"

#include <jansson.h>

/* Cloudflare's numbers where one is known to mean this. */
enum envelope_code {
    ENVELOPE_INVALID = 1002,     /* the request can't be understood */
    ENVELOPE_NO_TUNNEL = 1003,
    ENVELOPE_NAME_TAKEN = 1013,
    ENVELOPE_CONNECTED = 1022,   /* deleting needs cascade */
    ENVELOPE_NOT_OURS = 1055,    /* must be changed elsewhere */
    ENVELOPE_FAILED = 1100,      /* on our side */
    ENVELOPE_NO_ROUTE = 7003,
    ENVELOPE_NO_METHOD = 10405,
    ENVELOPE_AUTHENTICATION = 10000
};

struct envelope_page {
    unsigned page, per_page; /* from 1 */
    size_t total;
};

/* Take the reference over. */
void envelope_answer(struct local_call *, json_t *result);
void envelope_answer_page(struct local_call *, json_t *list, const struct envelope_page *);
/* `extra`: further header lines, or "". */
void envelope_refuse(struct local_call *, unsigned status, enum envelope_code, const char *extra, const char *message, ...)
    __attribute__((format(printf, 5, 6)));

#endif
