/* Answers of the admin API. Each ends the call. */
#ifndef PENSTOCK_CONTROL_ANSWER_H
#define PENSTOCK_CONTROL_ANSWER_H

#include "proxy/local.h"

#include <jansson.h>

/* Takes the reference over. */
void answer_json(struct local_call *, unsigned status, json_t *);
/* With further header lines, "Name: value\r\n"… */
void answer_json_with(struct local_call *, unsigned status, const char *extra, json_t *);
/* Takes the text over and empties it. */
void answer_text(struct local_call *, unsigned status, const char *content_type, struct text *);
/* Further header lines, "Name: value\r\n"…, besides those that all answers have. */
void answer_text_with(struct local_call *, unsigned status, const char *content_type, const char *extra, struct text *);

/* A problem document (RFC 9457) of type about:blank; `detail` says in a sentence what is wrong and what to do. */
void answer_problem(struct local_call *, unsigned status, const char *detail, ...) __attribute__((format(printf, 3, 4)));
/* With further header lines, and further members (NULL: none; the reference is taken over). */
void answer_problem_with(struct local_call *, unsigned status, const char *extra, json_t *members, const char *detail, ...)
    __attribute__((format(printf, 5, 6)));

/* What JSON texts of the API are written with: compact, doubles as people expect them. */
#define ANSWER_JSON_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(12))

#endif
