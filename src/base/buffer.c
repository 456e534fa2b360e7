#include "base/buffer.h"

#include <stdlib.h>

void buffer_pool_init(struct buffer_pool *pool, unsigned keep)
{
    *pool = (struct buffer_pool){ .keep = keep };
}

static void free_chain(struct buffer *b)
{
    while (b) {
        struct buffer *next = b->next;
        free(b);
        b = next;
    }
}

void buffer_pool_clear(struct buffer_pool *pool)
{
    free_chain(pool->small);
    free_chain(pool->large);
    *pool = (struct buffer_pool){ .keep = pool->keep };
}

static struct buffer *buffer_pop(struct buffer **chain, unsigned *count)
{
    struct buffer *b = *chain;
    *chain = b->next;
    (*count)--;
    b->start = b->end = 0;
    return b;
}

struct buffer *buffer_take(struct buffer_pool *pool, size_t size)
{
    if (size <= BUFFER_SMALL && pool->small)
        return buffer_pop(&pool->small, &pool->small_count);
    if (size > BUFFER_SMALL && size <= BUFFER_LARGE && pool->large)
        return buffer_pop(&pool->large, &pool->large_count);

    size = size <= BUFFER_SMALL ? BUFFER_SMALL : size <= BUFFER_LARGE ? BUFFER_LARGE : size;
    struct buffer *b = size <= UINT32_MAX ? malloc(sizeof *b + size) : NULL;
    if (b)
        *b = (struct buffer){ .size = (uint32_t)size };
    return b;
}

void buffer_give(struct buffer_pool *pool, struct buffer *b)
{
    if (!b)
        return;
    if (b->size == BUFFER_SMALL && pool->small_count < pool->keep) {
        b->next = pool->small;
        pool->small = b;
        pool->small_count++;
    } else if (b->size == BUFFER_LARGE && pool->large_count < pool->keep) {
        b->next = pool->large;
        pool->large = b;
        pool->large_count++;
    } else {
        free(b);
    }
}
