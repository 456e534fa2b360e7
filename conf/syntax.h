/* Says what is wrong with a text that libconfig would only call a "syntax error", and refuses what libconfig takes silently
 * (numbers that overflow, strings over several lines). Pure. */
#ifndef PENSTOCK_CONF_SYNTAX_H
#define PENSTOCK_CONF_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

struct syntax_error {
    unsigned line;
    char text[256];
    unsigned other_line; /* 0: none; where what `text` speaks of began */
};

/* The first error, if there is one. `n` bytes without a NUL. */
bool syntax_check(const char *text, size_t n, struct syntax_error *);

#endif
