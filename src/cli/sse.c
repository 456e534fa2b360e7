#include "cli/sse.h"

#include "base/slice.h"

#include <string.h>

static void empty(struct text *t)
{
    t->n = 0;
    if (t->p)
        t->p[0] = '\0';
}

void sse_clear(struct sse *s)
{
    text_clear(&s->line);
    text_clear(&s->data);
    text_clear(&s->id);
}

static bool dispatch(struct sse *s)
{
    if (!s->data.n)
        return true;
    bool more = s->event(s->arg, s->id.p ? s->id.p : "", s->data.p, s->data.n - 1 /* the last line's LF */);
    empty(&s->data);
    return more;
}

static bool take_field(struct sse *s, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE("id"))) {
        empty(&s->id);
        text_add_bytes(&s->id, value.p, value.n);
    } else if (slice_eq(name, SLICE("data"))) {
        if (s->data.n + value.n > SSE_LINE_MAX)
            return false;
        text_add_bytes(&s->data, value.p, value.n);
        text_add(&s->data, "\n");
    }
    return true;
}

static bool take_line(struct sse *s)
{
    struct slice line = { s->line.p, s->line.n };

    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    if (!line.n)
        return dispatch(s);
    const char *colon = memchr(line.p, ':', line.n);
    size_t name = colon ? (size_t)(colon - line.p) : line.n;
    size_t skip = colon ? name + 1 : name;
    if (skip < line.n && line.p[skip] == ' ')
        skip++;
    return take_field(s, (struct slice){ line.p, name }, (struct slice){ line.p + skip, line.n - skip });
}

bool sse_feed(struct sse *s, const char *bytes, size_t n)
{
    while (n) {
        const char *end = memchr(bytes, '\n', n);
        size_t part = end ? (size_t)(end - bytes) : n;
        if (s->line.n + part > SSE_LINE_MAX)
            return false;
        text_add_bytes(&s->line, bytes, part);
        if (!end)
            return true;
        if (!take_line(s))
            return false;
        empty(&s->line);
        bytes = end + 1;
        n -= part + 1;
    }
    return true;
}
