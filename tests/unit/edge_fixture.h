/* Messages captured between cloudflared and an edge (tests/unit/edge-fixtures): "rx" came from the connector, "tx" went to it.
 * Shared by unit tests. */
#ifndef PENSTOCK_UNIT_EDGE_FIXTURE_H
#define PENSTOCK_UNIT_EDGE_FIXTURE_H

#include "base/slice.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline _Noreturn void fixture_fail(const char *path)
{
    perror(path);
    exit(2);
}

/* In memory of exactly its size, so that AddressSanitizer sees a read past its end; the caller frees .p. */
static inline struct slice fixture_read(const char *name)
{
    char path[512];
    const char *top = getenv("srcdir"); /* make check sets it */
    snprintf(path, sizeof path, "%s/tests/unit/edge-fixtures/%s.bin", top ? top : "..", name);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        fixture_fail(path);
    size_t n = (size_t)ftell(f);
    char *bytes = malloc(n);
    rewind(f);
    if (!bytes || fread(bytes, 1, n, f) != n)
        fixture_fail(path);
    fclose(f);
    return (struct slice){ bytes, n };
}

static inline void fixture_free(struct slice s)
{
    free((char *)s.p);
}

static inline size_t fixture_big_endian(const char *p, unsigned n)
{
    size_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

/* What the DATA frames of stream 1, the control stream, carry of a captured HTTP/2 session (RFC 9113 4.1), behind a preface of
 * that size. The caller frees. */
static inline struct slice fixture_control_stream(const char *name, size_t preface)
{
    struct slice session = fixture_read(name);
    char *bytes = malloc(session.n);
    size_t n = 0, length;
    for (size_t at = preface; at + 9 <= session.n; at += 9 + length) {
        const char *frame = session.p + at;
        length = fixture_big_endian(frame, 3);
        if (frame[3] != 0 || fixture_big_endian(frame + 5, 4) != 1)
            continue;
        memcpy(bytes + n, frame + 9, length);
        n += length;
    }
    fixture_free(session);
    char *exact = realloc(bytes, n);
    return (struct slice){ exact ? exact : bytes, n };
}

#endif
