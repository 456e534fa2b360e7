/* Parts of a request's target as text: percent-decoding (RFC 3986 2.1), query parameters. "+" stands for itself. */
#ifndef PENSTOCK_CONTROL_QUERY_H
#define PENSTOCK_CONTROL_QUERY_H

#include "base/slice.h"

/* False for a malformed escape, a NUL, or more than `size`-1 bytes. */
bool percent_decode(struct slice, char *out, size_t size);

enum query_result { QUERY_ABSENT, QUERY_FOUND, QUERY_MALFORMED };
/* The first parameter of that name. */
enum query_result query_find(struct slice query, const char *name, char *out, size_t size);
/* Takes the next "name=value" off; both undecoded. False at the end. */
bool query_next(struct slice *rest, struct slice *name, struct slice *value);

#endif
