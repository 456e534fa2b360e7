#include "control/access.h"

#include <openssl/crypto.h>

/* IPv4 is kept as ::ffff:0:0/96. */
static const struct cidr loopback_networks[] = {
    { { [10] = 0xff, [11] = 0xff, [12] = 127 }, 104 },
    { { [15] = 1 }, 128 },
};
static const struct cidr_set loopback = { loopback_networks, 2 };

static bool is_loopback(const struct address *a)
{
    return cidr_set_contains(&loopback, a);
}

/* "localhost:9090" → "localhost", "[::1]:9090" → "::1" */
static struct slice host_without_port(struct slice host)
{
    if (host.n && host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.n);
        return end ? (struct slice){ host.p + 1, (size_t)(end - host.p) - 1 } : (struct slice){ host.p, 0 };
    }
    const char *colon = memchr(host.p, ':', host.n);
    return colon ? (struct slice){ host.p, (size_t)(colon - host.p) } : host;
}

static bool names_loopback(struct slice host)
{
    char text[ADDRESS_TEXT_SIZE];
    struct address address;
    struct slice name = host.n ? host_without_port(host) : host;

    if (slice_eq_nocase(name, SLICE("localhost")))
        return true;
    if (!name.n || name.n >= sizeof text)
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    return address_parse(text, 1, &address) && is_loopback(&address);
}

static enum access judge_token(struct slice authorization, struct slice token)
{
    const struct slice scheme = SLICE("Bearer ");

    if (!slice_starts_nocase(authorization, scheme))
        return ACCESS_TOKEN_MISSING;
    struct slice given = slice_trim((struct slice){ authorization.p + scheme.n, authorization.n - scheme.n });
    /* In constant time, so that answers don't tell how much of a guess is right; the length is no secret. */
    bool same = given.n == token.n && CRYPTO_memcmp(given.p, token.p, token.n) == 0;
    return same ? ACCESS_GRANTED : ACCESS_TOKEN_WRONG;
}

static enum access judge_without_token(const struct local_request *r, enum access_need need)
{
    if (!is_loopback(&r->client))
        return ACCESS_NOT_LOOPBACK;
    if (!names_loopback(r->host))
        return ACCESS_FOREIGN_HOST;
    if (r->method != METHOD_GET && r->method != METHOD_HEAD)
        return ACCESS_READ_ONLY;
    return need == ACCESS_TO_SECRETS ? ACCESS_NO_SECRETS : ACCESS_GRANTED;
}

enum access access_judge(const struct local_request *r, const char *token, enum access_need need)
{
    if (r->over_unix_socket)
        return ACCESS_GRANTED;
    if (token)
        return judge_token(r->authorization, slice_of(token));
    return judge_without_token(r, need);
}
