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

void cookie_search_init(struct cookie_search *s, const struct http_head *head, const char *base, struct slice name)
{
    *s = (struct cookie_search){ .head = head, .base = base, .name = name };
}

bool cookie_search_next(struct cookie_search *s, struct slice *value)
{
    for (;;) {
        struct slice name;
        while (cookie_next(&s->rest, &name, value))
            if (slice_eq(name, s->name))
                return true;
        while (s->n_fields < s->head->n_fields && s->head->fields[s->n_fields].id != FIELD_COOKIE)
            s->n_fields++;
        if (s->n_fields == s->head->n_fields)
            return false;
        s->rest = http_field_value(s->base, &s->head->fields[s->n_fields++]);
    }
}

struct slice cookie_find(const struct http_head *head, const char *base, struct slice wanted)
{
    struct cookie_search search;
    struct slice value;
    cookie_search_init(&search, head, base, wanted);
    return cookie_search_next(&search, &value) ? value : (struct slice){ NULL, 0 };
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
