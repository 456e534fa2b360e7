/* The chunked transfer coding, decoded in place and resumable at any byte (RFC 9112 7.1). Strict: CRLF only, extensions bounded,
 * trailers bounded and left to the caller. */
#ifndef PENSTOCK_HTTP_CHUNKED_H
#define PENSTOCK_HTTP_CHUNKED_H

#include "http/parse.h"
#include "http/trailers.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CHUNK_LINE_MAX = 256,       /* bytes of extension on one chunk line */
    CHUNK_EXTENSIONS_MAX = 4096, /* bytes of extensions in one message */
    CHUNK_TRAILERS_MAX = TRAILERS_MAX,
};

/* Zero-initialised before the body's first byte. */
struct chunk_decoder {
    uint64_t left;      /* of the chunk under way */
    uint32_t extension_bytes, line_bytes, trailer_bytes;
    uint32_t trailers;  /* bytes of trailers that the last call found */
    uint8_t state;      /* private */
    uint8_t error;      /* enum http_parse_error */
    uint8_t digits;
};

/* Reads data[0..n) and leaves the payload, moved together, in data[0..*payload). *consumed <= n bytes were read; fewer only when
 * the body ended (what follows belongs to the next message) or is wrong. HTTP_PARSE_DONE at the body's end, HTTP_PARSE_MORE,
 * HTTP_PARSE_ERROR. What there was of trailers stands behind the payload, `trailers` bytes: lines as in http/trailers.h. */
enum http_parse_result chunk_decode(struct chunk_decoder *, char *data, size_t n, size_t *payload, size_t *consumed);

#define CHUNK_HEAD_MAX 20
/* Writes "1a2b\r\n" and returns its length. */
size_t chunk_write_head(char out[static CHUNK_HEAD_MAX], uint64_t size);

#endif
