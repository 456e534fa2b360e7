#include "net/tls_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* OpenSSL's buffers for reading and writing a record: 16 KiB and what is around it, 16.2 to 16.6 KiB. All are made of one size, so
 * that each serves for any. */
enum { RECORD_BUFFER_FROM = 16 * 1024, RECORD_BUFFER = 17 * 1024, RECORD_BUFFER_SLACK = 64, KEPT_MAX = 8 };

/* The memory of a kept buffer itself. */
struct kept_buffer {
    struct kept_buffer *next;
};

static _Thread_local struct {
    struct kept_buffer *first;
    unsigned count;
    bool has_exit;
} kept;

static pthread_key_t exit_key;

static void free_kept(void *arg)
{
    (void)arg;
    while (kept.first) {
        struct kept_buffer *b = kept.first;
        kept.first = b->next;
        free(b);
    }
    kept.count = 0;
    kept.has_exit = false;
}

static void *take_memory(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    if (size <= RECORD_BUFFER_FROM || size > RECORD_BUFFER)
        return size ? malloc(size) : NULL;
    struct kept_buffer *b = kept.first;
    if (!b)
        return malloc(RECORD_BUFFER);
    kept.first = b->next;
    kept.count--;
    return b;
}

static void give_memory(void *memory, const char *file, int line)
{
    size_t size = memory ? malloc_usable_size(memory) : 0;
    (void)file, (void)line;
    if (size < RECORD_BUFFER || size > RECORD_BUFFER + RECORD_BUFFER_SLACK || kept.count >= KEPT_MAX) {
        free(memory);
        return;
    }
    if (!kept.has_exit) /* what this thread has kept is freed when it ends */
        kept.has_exit = pthread_setspecific(exit_key, &kept) == 0;
    struct kept_buffer *b = memory;
    b->next = kept.first;
    kept.first = b;
    kept.count++;
}

static void *resize_memory(void *memory, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    if (!size) {
        free(memory);
        return NULL;
    }
    return realloc(memory, size);
}

void tls_memory_keep_buffers(void)
{
    if (pthread_key_create(&exit_key, free_kept) == 0)
        CRYPTO_set_mem_functions(take_memory, resize_memory, give_memory);
}
