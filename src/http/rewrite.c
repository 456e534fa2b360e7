#include "http/rewrite.h"

#include "base/bounded.h"
#include "http/rules.h"

struct url {
    struct slice scheme;    /* "http:", "https:", or empty for the one in use */
    struct slice authority;
    struct slice rest;      /* from path, query or fragment on */
};

static bool split_url(struct slice value, struct url *url)
{
    size_t scheme = slice_starts_nocase(value, SLICE("http://"))    ? sizeof "http:" - 1
                    : slice_starts_nocase(value, SLICE("https://")) ? sizeof "https:" - 1
                                                                    : 0;
    if (!slice_starts_nocase((struct slice){ value.p + scheme, value.n - scheme }, SLICE("//")))
        return false;
    const char *authority = value.p + scheme + 2, *end = value.p + value.n, *p = authority;
    while (p < end && *p != '/' && *p != '?' && *p != '#')
        p++;
    url->scheme = (struct slice){ value.p, scheme };
    url->authority = (struct slice){ authority, (size_t)(p - authority) };
    url->rest = (struct slice){ p, (size_t)(end - p) };
    return true;
}

/* The digits have been looked at. */
static unsigned port_number(struct slice digits)
{
    unsigned port = 0;
    for (size_t i = 0; i < digits.n; i++)
        port = port * 10 + (unsigned)(digits.p[i] - '0');
    return port;
}

static bool names_endpoint(const struct rewrite *r, const struct url *url)
{
    struct slice host, host_port;
    if (!http_host_split(url->authority, &host, &host_port) || !slice_eq_nocase(host, r->from))
        return false;
    if (host_port.n == host.n)
        return true;
    unsigned port = port_number((struct slice){ host.p + host.n + 1, host_port.n - host.n - 1 });
    bool http = slice_eq_nocase(url->scheme, SLICE("http:")), https = slice_eq_nocase(url->scheme, SLICE("https:"));
    return port == r->from_port || (http && port == 80) || (https && port == 443);
}

size_t rewrite_location(const struct rewrite *r, struct slice value, char *out, size_t size)
{
    struct bounded b = { .p = out, .size = size };
    struct url url;
    if (r->host.n == 0 || !split_url(value, &url) || !names_endpoint(r, &url))
        return 0;
    if (url.scheme.n)
        bounded_add(&b, r->secure ? SLICE("https:") : SLICE("http:"));
    bounded_add(&b, SLICE("//"));
    bounded_add(&b, r->host_port);
    bounded_add(&b, url.rest);
    return bounded_length(&b);
}

/* Everything up to the next semicolon, which belongs to the attribute after it. */
static struct slice next_attribute(struct slice *rest)
{
    const char *semicolon = rest->n > 1 ? memchr(rest->p + 1, ';', rest->n - 1) : NULL;
    struct slice attribute = { rest->p, semicolon ? (size_t)(semicolon - rest->p) : rest->n };
    *rest = (struct slice){ rest->p + attribute.n, rest->n - attribute.n };
    return attribute;
}

/* "; Domain=from". A leading dot means nothing (RFC 6265 5.2.3). */
static bool is_endpoints_domain(const struct rewrite *r, struct slice attribute)
{
    const char *equals = memchr(attribute.p, '=', attribute.n);
    if (!equals || *attribute.p != ';')
        return false;
    struct slice name = slice_trim((struct slice){ attribute.p + 1, (size_t)(equals - attribute.p) - 1 });
    struct slice domain = slice_trim((struct slice){ equals + 1, attribute.n - (size_t)(equals - attribute.p) - 1 });
    if (domain.n && *domain.p == '.')
        domain = (struct slice){ domain.p + 1, domain.n - 1 };
    return slice_eq_nocase(name, SLICE("Domain")) && slice_eq_nocase(domain, r->from);
}

size_t rewrite_set_cookie(const struct rewrite *r, struct slice value, char *out, size_t size)
{
    struct bounded b = { .p = out, .size = size };
    bool changed = false;
    if (r->host.n == 0)
        return 0;
    while (value.n) {
        struct slice attribute = next_attribute(&value);
        if (!is_endpoints_domain(r, attribute)) {
            bounded_add(&b, attribute);
            continue;
        }
        changed = true;
        if (*r->host.p == '[')
            continue;
        bounded_add(&b, SLICE("; Domain="));
        bounded_add(&b, r->host);
    }
    return changed ? bounded_length(&b) : 0;
}
