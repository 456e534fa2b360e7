#include "edge/guard.h"

#include "http/scan.h"

static const struct slice prefixes[] = { SLICE("cf-cloudflared-"), SLICE("cf-int-"), SLICE("cf-proxy-"), SLICE("cf-warp-tag-") };
static const struct slice names[] = { SLICE("cf-trace-id") };
/* The second is what cloudflared takes with the credentials of a FedRAMP account. */
static const struct slice hosts[] = { SLICE("management.argotunnel.com"), SLICE("management.fed.argotunnel.com") };

enum { HOST_MAX = 64 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool starts_folded(struct slice name, struct slice prefix)
{
    if (name.n < prefix.n)
        return false;
    for (size_t i = 0; i < prefix.n; i++)
        if ((name.p[i] == '_' ? '-' : lower(name.p[i])) != prefix.p[i])
            return false;
    return true;
}

bool guard_drops_field(struct slice name)
{
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (starts_folded(name, prefixes[i]))
            return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name.n == names[i].n && starts_folded(name, names[i]))
            return true;
    return false;
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)lower(c) - 'a' + 10;
}

/* Without percent-encoding (RFC 3986 2.1), port and final dots, in lower case; empty if longer than any name looked for. */
static struct slice plain_host(struct slice host, char out[HOST_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < host.n && host.p[i] != ':'; i++) {
        char c = host.p[i];
        if (c == '%' && host.n - i > 2 && http_char_is(host.p[i + 1], CHAR_HEX) && http_char_is(host.p[i + 2], CHAR_HEX)) {
            c = (char)(hex_value(host.p[i + 1]) << 4 | hex_value(host.p[i + 2]));
            i += 2;
        }
        if (c == '.' && n && out[n - 1] == '.')
            continue;
        if (n == HOST_MAX)
            return SLICE("");
        out[n++] = lower(c);
    }
    if (n && out[n - 1] == '.')
        n--;
    return (struct slice){ out, n };
}

bool guard_refuses_host(struct slice host)
{
    char room[HOST_MAX];
    struct slice plain = plain_host(host, room);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (slice_eq(plain, hosts[i]))
            return true;
    return false;
}
