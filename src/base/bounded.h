/* A text written into memory of a fixed size: what doesn't fit is noted, and the text is void then. */
#ifndef PENSTOCK_BASE_BOUNDED_H
#define PENSTOCK_BASE_BOUNDED_H

#include "base/slice.h"

struct bounded {
    char *p;
    size_t size, n;
    bool overflow;
};

static inline void bounded_add(struct bounded *b, struct slice s)
{
    if (s.n > b->size - b->n) {
        b->overflow = true;
        return;
    }
    if (s.n)
        memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

/* 0 if not all of it fitted. */
static inline size_t bounded_length(const struct bounded *b)
{
    return b->overflow ? 0 : b->n;
}

#endif
