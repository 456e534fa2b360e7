/* Bytes that are added at one end and taken off at the other. */
#ifndef PENSTOCK_SIM_BYTES_H
#define PENSTOCK_SIM_BYTES_H

#include "base/mem.h"
#include "base/slice.h"

struct bytes {
    char *p;
    size_t start, end, size;
};

static inline size_t bytes_length(const struct bytes *b)
{
    return b->end - b->start;
}

static inline struct slice bytes_slice(const struct bytes *b)
{
    return (struct slice){ b->p ? b->p + b->start : NULL, bytes_length(b) };
}

/* Room for `n` bytes more; bytes_added says how many came. */
static inline char *bytes_room(struct bytes *b, size_t n)
{
    if (b->size - b->end < n && b->start) {
        memmove(b->p, b->p + b->start, bytes_length(b));
        b->end -= b->start;
        b->start = 0;
    }
    if (b->size - b->end < n) {
        b->size = (b->end + n) * 3 / 2 + 64;
        b->p = mem_resize(b->p, b->size, 1);
    }
    return b->p + b->end;
}

static inline void bytes_added(struct bytes *b, size_t n)
{
    b->end += n;
}

static inline void bytes_add(struct bytes *b, struct slice s)
{
    if (!s.n)
        return;
    memcpy(bytes_room(b, s.n), s.p, s.n);
    bytes_added(b, s.n);
}

static inline void bytes_add_text(struct bytes *b, const char *text)
{
    bytes_add(b, slice_of(text));
}

static inline void bytes_drop(struct bytes *b, size_t n)
{
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

static inline void bytes_clear(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){ 0 };
}

#endif
