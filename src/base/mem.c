#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void *required(void *memory)
{
    if (memory)
        return memory;
    fputs("penstock: out of memory\n", stderr);
    abort();
}

void *mem_alloc(size_t size)
{
    return required(malloc(size ? size : 1));
}

void *mem_zero(size_t size)
{
    return required(calloc(1, size ? size : 1));
}

void *mem_array(size_t count, size_t size)
{
    return required(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *old, size_t count, size_t size)
{
    return required(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *mem_copy(const void *bytes, size_t size)
{
    char *copy = mem_alloc(size + 1);
    if (size)
        memcpy(copy, bytes, size);
    copy[size] = '\0';
    return copy;
}

char *mem_copy_text(const char *text)
{
    return mem_copy(text, strlen(text));
}

char *mem_printf(const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return required(length < 0 ? NULL : text);
}

void mem_free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}
