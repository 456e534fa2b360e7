/* Receive buffers and the pool each worker keeps of them, so that a warm worker allocates nothing and an idle connection owns
 * none. One thread. Content is data[start..end). */
#ifndef PENSTOCK_BASE_BUFFER_H
#define PENSTOCK_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

enum {
    BUFFER_SMALL = 16 * 1024, /* a message's head, and most messages whole */
    BUFFER_LARGE = 64 * 1024, /* bodies: a quarter of the system calls; also the largest head */
};

struct buffer {
    struct buffer *next; /* while in the pool */
    uint32_t size;
    uint32_t start, end;
    char data[];
};

struct buffer_pool {
    struct buffer *small, *large;
    unsigned small_count, large_count;
    unsigned keep; /* how many of each kind are kept at the most; the rest goes back to the system */
};

void buffer_pool_init(struct buffer_pool *, unsigned keep);
void buffer_pool_clear(struct buffer_pool *);
/* An empty buffer of at least `size` bytes, or NULL when memory is out. */
struct buffer *buffer_take(struct buffer_pool *, size_t size) __attribute__((warn_unused_result));
/* NULL is fine. */
void buffer_give(struct buffer_pool *, struct buffer *);

static inline size_t buffer_length(const struct buffer *b)
{
    return b->end - b->start;
}

static inline size_t buffer_room(const struct buffer *b)
{
    return b->size - b->end;
}

#endif
