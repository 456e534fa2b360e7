/* Allocation for start-up, reload and the control thread, where running out of memory ends the process with a clear word.
 * What a stranger's traffic makes us allocate uses the plain functions, and copes with NULL. */
#ifndef PENSTOCK_BASE_MEM_H
#define PENSTOCK_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *mem_zero(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* Zeroed array; the product is checked. */
void *mem_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *mem_resize(void *old, size_t count, size_t size) __attribute__((returns_nonnull, warn_unused_result));
char *mem_copy_text(const char *text) __attribute__((malloc, returns_nonnull, warn_unused_result));
char *mem_copy(const void *bytes, size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result)); /* adds a NUL */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull, warn_unused_result));
/* Overwrites a secret before it is freed. NULL is fine. */
void mem_free_secret(char *text);

#endif
