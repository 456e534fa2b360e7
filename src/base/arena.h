/* Memory that is freed all at once: what one configuration is made of. One thread while it is filled, any afterwards. */
#ifndef PENSTOCK_BASE_ARENA_H
#define PENSTOCK_BASE_ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *blocks;
};

/* Zeroed, aligned for any type; ends the process when memory is out. */
void *arena_alloc(struct arena *, size_t size) __attribute__((returns_nonnull, warn_unused_result));
void *arena_array(struct arena *, size_t count, size_t size) __attribute__((returns_nonnull, warn_unused_result));
char *arena_copy_text(struct arena *, const char *) __attribute__((returns_nonnull, warn_unused_result));
char *arena_printf(struct arena *, const char *format, ...) __attribute__((format(printf, 2, 3), returns_nonnull));
/* Overwrites before freeing: a configuration holds secrets. */
void arena_clear(struct arena *);

#endif
