#include "control/query.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (c | 0x20) - 'a' + 10;
    return -1;
}

bool percent_decode(struct slice s, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1, low = s.n - i > 2 ? hex_digit(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || n + 1 >= size)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

bool query_next(struct slice *rest, struct slice *name, struct slice *value)
{
    while (rest->n && *rest->p == '&') {
        rest->p++;
        rest->n--;
    }
    if (!rest->n)
        return false;
    const char *end = memchr(rest->p, '&', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    const char *equals = memchr(rest->p, '=', n);
    size_t name_n = equals ? (size_t)(equals - rest->p) : n;

    *name = (struct slice){ rest->p, name_n };
    *value = equals ? (struct slice){ equals + 1, n - name_n - 1 } : (struct slice){ "", 0 };
    rest->p += n;
    rest->n -= n;
    return true;
}

enum query_result query_find(struct slice query, const char *name, char *out, size_t size)
{
    struct slice key, value;

    while (query_next(&query, &key, &value))
        if (slice_eq(key, slice_of(name)))
            return percent_decode(value, out, size) ? QUERY_FOUND : QUERY_MALFORMED;
    return QUERY_ABSENT;
}
