/* Objects of one size that are taken and given back often: the last given is the next taken, still warm in the cache. Those whose size is
 * a multiple of FREELIST_LINE begin at one. One thread. */
#ifndef PENSTOCK_BASE_FREELIST_H
#define PENSTOCK_BASE_FREELIST_H

#include <stddef.h>
#include <stdlib.h>

enum { FREELIST_LINE = 64 };

struct freelist {
    void *first; /* each free object begins with a pointer to the next */
    size_t size;
    unsigned count, keep; /* how many are kept at the most; the rest goes back to the system */
};

static inline void freelist_init(struct freelist *f, size_t size, unsigned keep)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    keep = 0; /* a recycled object would hide its use after its end */
#endif
    *f = (struct freelist){ .size = size, .keep = keep };
}

/* Not zeroed. NULL when memory is out. */
static inline void *freelist_take(struct freelist *f)
{
    void *object = f->first;
    if (!object)
        return f->size % FREELIST_LINE ? malloc(f->size) : aligned_alloc(FREELIST_LINE, f->size);
    f->first = *(void **)object;
    f->count--;
    return object;
}

/* NULL is fine. */
static inline void freelist_give(struct freelist *f, void *object)
{
    if (!object)
        return;
    if (f->count >= f->keep) {
        free(object);
        return;
    }
    *(void **)object = f->first;
    f->first = object;
    f->count++;
}

static inline void freelist_clear(struct freelist *f)
{
    while (f->first) {
        void *object = f->first;
        f->first = *(void **)object;
        free(object);
    }
    f->count = 0;
}

#endif
