/* The fields that may follow a body (RFC 9110 6.5). As text they are lines "Name: value CRLF", as the chunked coding has them. Nobody who reads a
 * message looks for its framing, its credentials or what we say of the client behind its body: what is known here by name stays out. */
#ifndef PENSTOCK_HTTP_TRAILERS_H
#define PENSTOCK_HTTP_TRAILERS_H

#include "base/buffer.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum { TRAILERS_MAX = 8192 }; /* bytes */

/* Those of one message, kept until its body has gone. All zero at first. */
struct trailers {
    struct buffer *lines; /* NULL: none so far, or lost */
    bool lost;
};
/* Adds lines, or a part of them. Where that would make more than TRAILERS_MAX in all, or memory is out, those of the whole message are lost: with a
 * piece missing, the end of one line would go on as a line. */
void trailers_keep(struct buffer_pool *, struct trailers *, struct slice lines);
struct slice trailers_kept(const struct trailers *);
/* As at first. */
void trailers_clear(struct buffer_pool *, struct trailers *);
bool trailer_may_pass(struct slice name);
/* The next of the lines, white space around its value left out. False: none is left, or it is no field. */
bool trailers_next(struct slice *lines, struct slice *name, struct slice *value);
/* Leaves those of the lines that may pass, moved together; returns their length. */
size_t trailers_clean(char *lines, size_t n);

#endif
