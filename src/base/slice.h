/* A view of bytes somebody else owns. Not NUL-terminated. */
#ifndef PENSTOCK_BASE_SLICE_H
#define PENSTOCK_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })
/* For printf: "%.*s" */
#define SLICE_ARG(s) (int)(s).n, (s).p

static inline struct slice slice_of(const char *text)
{
    return (struct slice){ text, text ? strlen(text) : 0 };
}

/* Without its first n bytes; n <= s.n. An empty one may have no address to add to. */
static inline struct slice slice_from(struct slice s, size_t n)
{
    return n ? (struct slice){ s.p + n, s.n - n } : s;
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII only: what HTTP field names, hosts and tokens are compared by. */
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_starts_nocase(struct slice a, struct slice prefix)
{
    return a.n >= prefix.n && strncasecmp(a.p, prefix.p, prefix.n) == 0;
}

/* Optional white space of HTTP: SP and HTAB (RFC 9110 5.6.3). */
static inline struct slice slice_trim(struct slice s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Takes the next element of a comma-separated list off `rest`, trimmed; false at its end. Empty elements are returned as such. */
static inline bool slice_next_element(struct slice *rest, struct slice *element)
{
    if (!rest->p)
        return false;
    const char *comma = memchr(rest->p, ',', rest->n);
    size_t n = comma ? (size_t)(comma - rest->p) : rest->n;
    *element = slice_trim((struct slice){ rest->p, n });
    *rest = comma ? (struct slice){ comma + 1, rest->n - n - 1 } : (struct slice){ NULL, 0 };
    return true;
}

#endif
