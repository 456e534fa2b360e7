/* Reads text/event-stream (WHATWG HTML, 9.2.6) from pieces of any size. Fields that commands have no use for are skipped. */
#ifndef PENSTOCK_CLI_SSE_H
#define PENSTOCK_CLI_SSE_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

enum { SSE_LINE_MAX = 1024 * 1024 };

/* Zero-initialised but for the callback; sse_clear frees. */
struct sse {
    /* One whole event; false ends the reading. `id` is "" before the first. */
    bool (*event)(void *arg, const char *id, const char *data, size_t n);
    void *arg;
    struct text line, data, id;
};

/* False once the callback said so, or a line or event is longer than SSE_LINE_MAX. */
bool sse_feed(struct sse *, const char *bytes, size_t n);
void sse_clear(struct sse *);

#endif
