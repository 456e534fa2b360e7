/* A text that grows while it is written. For the control thread and the commands; zero-initialised is empty. */
#ifndef PENSTOCK_BASE_TEXT_H
#define PENSTOCK_BASE_TEXT_H

#include <stdarg.h>
#include <stddef.h>

struct text {
    char *p; /* NUL-terminated once anything was added */
    size_t n, size;
};

void text_add(struct text *, const char *);
void text_add_bytes(struct text *, const void *, size_t);
void text_addf(struct text *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vaddf(struct text *, const char *format, va_list) __attribute__((format(printf, 2, 0)));
void text_clear(struct text *); /* frees */
/* Hands the string to the caller, who frees it; never NULL. The text is empty afterwards. */
char *text_take(struct text *) __attribute__((warn_unused_result));

#endif
