#include "http/cookies.h"

#include "base/bounded.h"

#include <stdio.h>

bool cookie_next(struct slice *rest, struct slice *name, struct slice *value)
{
    while (rest->n) {
        const char *semicolon = memchr(rest->p, ';', rest->n);
        struct slice pair = { rest->p, semicolon ? (size_t)(semicolon - rest->p) : rest->n };
        size_t taken = pair.n + (semicolon != NULL);
        *rest = (struct slice){ rest->p + taken, rest->n - taken };
        const char *equals = memchr(pair.p, '=', pair.n);
        if (!equals)
            continue;
        size_t before = (size_t)(equals - pair.p);
        *name = slice_trim((struct slice){ pair.p, before });
        *value = slice_trim((struct slice){ equals + 1, pair.n - before - 1 });
        if (name->n)
            return true;
    }
    return false;
}

struct slice cookie_find(const struct http_head *head, const char *base, struct slice wanted)
{
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++) {
        struct slice rest = http_field_value(base, f), name, value;
        while (f->id == FIELD_COOKIE && cookie_next(&rest, &name, &value))
            if (slice_eq(name, wanted))
                return value;
    }
    return (struct slice){ NULL, 0 };
}

size_t cookie_write(const struct cookie *c, char *out, size_t size)
{
    static const struct slice same_site[] = {
        [SAME_SITE_NOT_GIVEN] = SLICE(""),
        [SAME_SITE_LAX] = SLICE("; SameSite=Lax"),
        [SAME_SITE_STRICT] = SLICE("; SameSite=Strict"),
        [SAME_SITE_NONE] = SLICE("; SameSite=None"),
    };
    char max_age[sizeof "; Max-Age=9223372036"] = "";
    struct bounded b = { .p = out, .size = size };
    if (c->max_age >= 0)
        snprintf(max_age, sizeof max_age, "; Max-Age=%lld", (long long)(c->max_age / NSEC_PER_SEC));
    bounded_add(&b, c->name);
    bounded_add(&b, SLICE("="));
    bounded_add(&b, c->value);
    bounded_add(&b, SLICE("; Path=/"));
    bounded_add(&b, slice_of(max_age));
    bounded_add(&b, SLICE("; HttpOnly"));
    if (c->secure)
        bounded_add(&b, SLICE("; Secure"));
    bounded_add(&b, same_site[c->same_site]);
    return bounded_length(&b);
}
