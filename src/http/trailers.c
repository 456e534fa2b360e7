#include "http/trailers.h"

#include "http/head.h"

#include <string.h>

/* Beside those that the parser knows: what says how a message is framed, kept, selected or presented. '_' is read as '-', for applications do. */
static const struct {
    const char *name;
    bool begins; /* names that begin so */
} forbidden[] = {
    { "age", false }, { "cache-control", false }, { "cf-", true }, { "content-", true }, { "expires", false }, { "if-", true },
    { "max-forwards", false }, { "pragma", false }, { "proxy-", true }, { "range", false }, { "sec-", true }, { "vary", false },
    { "www-authenticate", false }, { "x-forwarded-", true },
};

static bool is_forbidden(struct slice name)
{
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        struct slice f = slice_of(forbidden[i].name);
        if (forbidden[i].begins ? slice_starts_nocase(name, f) : slice_eq_nocase(name, f))
            return true;
    }
    return false;
}

bool trailer_may_pass(struct slice name)
{
    char text[64]; /* longer than any name that is looked for */
    struct slice plain = { text, name.n < sizeof text ? name.n : sizeof text };
    for (size_t i = 0; i < plain.n; i++)
        text[i] = name.p[i] == '_' ? '-' : name.p[i];
    return name.n && http_field_id_of(plain) == FIELD_OTHER && !is_forbidden(plain);
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t';
}

bool trailers_next(struct slice *lines, struct slice *name, struct slice *value)
{
    const char *end = lines->n ? memmem(lines->p, lines->n, "\r\n", 2) : NULL;
    const char *colon = end ? memchr(lines->p, ':', (size_t)(end - lines->p)) : NULL;
    if (!colon)
        return false;
    *name = (struct slice){ lines->p, (size_t)(colon - lines->p) };
    const char *from = colon + 1, *to = end;
    while (from < to && is_white(*from))
        from++;
    while (from < to && is_white(to[-1]))
        to--;
    *value = (struct slice){ from, (size_t)(to - from) };
    lines->n -= (size_t)(end + 2 - lines->p);
    lines->p = end + 2;
    return true;
}

size_t trailers_clean(char *lines, size_t n)
{
    struct slice rest = { lines, n }, name, value;
    size_t kept = 0;
    while (trailers_next(&rest, &name, &value)) {
        size_t length = (size_t)(rest.p - name.p);
        if (!trailer_may_pass(name))
            continue;
        memmove(lines + kept, name.p, length);
        kept += length;
    }
    return kept;
}

void trailers_keep(struct buffer_pool *pool, struct trailers *t, struct slice lines)
{
    if (!lines.n || t->lost)
        return;
    if (!t->lines)
        t->lines = buffer_take(pool, TRAILERS_MAX);
    if (!t->lines || t->lines->end + lines.n > TRAILERS_MAX) {
        trailers_clear(pool, t);
        t->lost = true;
        return;
    }
    memcpy(t->lines->data + t->lines->end, lines.p, lines.n);
    t->lines->end += (uint32_t)lines.n;
}

struct slice trailers_kept(const struct trailers *t)
{
    return t->lines ? (struct slice){ t->lines->data, t->lines->end } : (struct slice){ NULL, 0 };
}

void trailers_clear(struct buffer_pool *pool, struct trailers *t)
{
    buffer_give(pool, t->lines);
    *t = (struct trailers){ 0 };
}
