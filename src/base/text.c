#include "base/text.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static void text_reserve(struct text *t, size_t more)
{
    if (t->n + more + 1 <= t->size)
        return;
    size_t size = t->size ? t->size * 2 : 256;
    while (size < t->n + more + 1)
        size *= 2;
    t->p = mem_resize(t->p, size, 1);
    t->size = size;
}

void text_add_bytes(struct text *t, const void *bytes, size_t n)
{
    text_reserve(t, n);
    if (n)
        memcpy(t->p + t->n, bytes, n);
    t->n += n;
    t->p[t->n] = '\0';
}

void text_add(struct text *t, const char *s)
{
    text_add_bytes(t, s, strlen(s));
}

void text_vaddf(struct text *t, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0)
        return;
    text_reserve(t, (size_t)n);
    vsnprintf(t->p + t->n, (size_t)n + 1, format, arguments);
    t->n += (size_t)n;
}

void text_addf(struct text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_vaddf(t, format, arguments);
    va_end(arguments);
}

void text_clear(struct text *t)
{
    free(t->p);
    *t = (struct text){ 0 };
}

char *text_take(struct text *t)
{
    char *s = t->p ? t->p : mem_copy_text("");
    *t = (struct text){ 0 };
    return s;
}
