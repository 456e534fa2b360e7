/* Location and Set-Cookie rewritten: in place of the endpoint's name stands the request's host, and nothing else has changed. The first
 * byte is the options; then a value. */
#include "http/rewrite.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_SECURE = 1, OPTION_V6 = 2, INPUT_MAX = 4096 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool ends_with(struct slice s, struct slice end)
{
    return s.n >= end.n && slice_eq((struct slice){ s.p + s.n - end.n, end.n }, end);
}

/* Scheme, slashes and authority are replaced; from path, query or fragment on it is the same. */
static void check_location(const struct rewrite *r, struct slice value, struct slice result)
{
    struct slice start = slice_starts_nocase(value, SLICE("//")) ? SLICE("//") : r->secure ? SLICE("https://") : SLICE("http://");
    require(slice_starts_nocase(result, start));
    struct slice rest = { result.p + start.n, result.n - start.n };
    require(slice_starts_nocase(rest, r->host_port));
    rest = (struct slice){ rest.p + r->host_port.n, rest.n - r->host_port.n };
    require(rest.n == 0 || *rest.p == '/' || *rest.p == '?' || *rest.p == '#');
    require(ends_with(value, rest));
}

/* The cookie itself is the same, and no attribute was added. */
static void check_cookie(struct slice value, struct slice result)
{
    const char *semicolon = memchr(value.p, ';', value.n);
    size_t cookie = semicolon ? (size_t)(semicolon - value.p) : value.n, before = 0, after = 0;
    require(result.n >= cookie && memcmp(value.p, result.p, cookie) == 0);
    for (size_t i = 0; i < value.n; i++)
        before += value.p[i] == ';';
    for (size_t i = 0; i < result.n; i++)
        after += result.p[i] == ';';
    require(after <= before);
}

typedef size_t rewrite_fn(const struct rewrite *, struct slice, char *, size_t);

/* Rewrites into memory of exactly the size needed; what was rewritten has nothing left to rewrite. */
static struct slice rewrite_exactly(rewrite_fn *rewrite, const struct rewrite *r, struct slice value)
{
    static char out[INPUT_MAX * 8], again[INPUT_MAX * 8];
    size_t n = rewrite(r, value, out, sizeof out);
    char *exact = malloc(n ? n : 1);
    require(exact != NULL && rewrite(r, value, exact, n) == n && memcmp(exact, out, n) == 0);
    free(exact);
    require(n == 0 || (rewrite(r, value, again, n - 1) == 0 && rewrite(r, (struct slice){ out, n }, again, sizeof again) == 0));
    return (struct slice){ out, n };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct rewrite r = { .from = SLICE("fra.example"), .from_port = 8443, .host = SLICE("b"), .host_port = SLICE("b:80"),
                         .secure = data[0] & OPTION_SECURE };
    if (data[0] & OPTION_V6) {
        r.host = SLICE("[::1]");
        r.host_port = SLICE("[::1]:80");
    }
    struct slice value = { (const char *)data + 1, size - 1 };
    struct slice result = rewrite_exactly(rewrite_location, &r, value);
    if (result.n)
        check_location(&r, value, result);
    result = rewrite_exactly(rewrite_set_cookie, &r, value);
    if (result.n)
        check_cookie(value, result);
    return 0;
}
