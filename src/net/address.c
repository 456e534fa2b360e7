#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff }; /* ::ffff:0:0/96 (RFC 4291 section 2.5.5.2) */

/* Decimal digits only, and nothing after them. */
static bool parse_number(const char *text, unsigned max, unsigned *out)
{
    unsigned value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > max)
            return false;
    }
    *out = value;
    return true;
}

bool address_split(const char *text, char *host, size_t host_size, uint16_t *port)
{
    const char *host_end, *colon;
    unsigned number;

    if (*text == '[') {
        text++;
        host_end = strchr(text, ']');
        if (!host_end || host_end == text || !memchr(text, ':', (size_t)(host_end - text)))
            return false;
        colon = host_end + 1;
    } else {
        host_end = colon = strchr(text, ':');
    }
    if (!colon || *colon != ':' || !parse_number(colon + 1, UINT16_MAX, &number) || number == 0)
        return false;
    size_t length = (size_t)(host_end - text);
    if (length >= host_size)
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    *port = (uint16_t)number;
    return true;
}

bool address_parse(const char *host, uint16_t port, struct address *out)
{
    struct address a = { 0 };
    if (inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
    } else {
        memset(&a, 0, sizeof a);
        if (inet_pton(AF_INET6, *host ? host : "::", &a.v6.sin6_addr) != 1)
            return false;
        a.v6.sin6_family = AF_INET6;
    }
    address_set_port(&a, port);
    *out = a;
    return true;
}

uint16_t address_port(const struct address *a)
{
    return ntohs(a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

void address_set_port(struct address *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET6)
        a->v6.sin6_port = htons(port);
    else
        a->v4.sin_port = htons(port);
}

/* The address alone, IPv4 in its mapped form. */
static void address_bytes(const struct address *a, uint8_t out[16])
{
    if (a->sa.sa_family == AF_INET6) {
        memcpy(out, &a->v6.sin6_addr, 16);
        return;
    }
    memcpy(out, mapped_prefix, sizeof mapped_prefix);
    memcpy(out + 12, &a->v4.sin_addr, 4);
}

bool address_equal(const struct address *a, const struct address *b)
{
    uint8_t x[16], y[16];
    address_bytes(a, x);
    address_bytes(b, y);
    return memcmp(x, y, 16) == 0 && address_port(a) == address_port(b);
}

static char *format_decimal(char *out, unsigned value)
{
    char digits[10];
    unsigned n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *out++ = digits[--n];
    return out;
}

static char *format_octet(char *out, unsigned value)
{
    unsigned hundreds = value / 100, tens = value / 10 % 10;
    *out = (char)('0' + hundreds);
    out += value >= 100;
    *out = (char)('0' + tens);
    out += value >= 10;
    *out++ = (char)('0' + value % 10);
    return out;
}

/* By hand because it is done for every client, and inet_ntop goes through printf. */
static size_t format_v4(const uint8_t bytes[4], char *out)
{
    char *p = out;
    for (int i = 0; i < 4; i++) {
        p = format_octet(p, bytes[i]);
        *p++ = '.';
    }
    *--p = '\0';
    return (size_t)(p - out);
}

size_t address_format_host(const struct address *a, char out[static ADDRESS_TEXT_SIZE])
{
    uint8_t bytes[16];
    if (a->sa.sa_family == AF_INET)
        return format_v4((const uint8_t *)&a->v4.sin_addr, out);
    address_bytes(a, bytes);
    if (memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0)
        return format_v4(bytes + 12, out);
    inet_ntop(AF_INET6, bytes, out, ADDRESS_TEXT_SIZE);
    return strlen(out);
}

size_t address_format(const struct address *a, char out[static ADDRESS_TEXT_SIZE])
{
    char host[ADDRESS_TEXT_SIZE];
    size_t n = address_format_host(a, host);
    bool brackets = memchr(host, ':', n);
    char *p = out;

    if (brackets)
        *p++ = '[';
    memcpy(p, host, n);
    p += n;
    if (brackets)
        *p++ = ']';
    *p++ = ':';
    p = format_decimal(p, address_port(a));
    *p = '\0';
    return (size_t)(p - out);
}

static void clear_bits_from(uint8_t bytes[16], unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = bits >= (i + 1) * 8 ? 8 : bits <= i * 8 ? 0 : bits - i * 8;
        bytes[i] &= (uint8_t)(0xff00u >> kept);
    }
}

bool cidr_parse(const char *text, struct cidr *out)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchrnul(text, '/');
    size_t length = (size_t)(slash - text);
    struct address a;

    if (length == 0 || length >= sizeof host)
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    if (!address_parse(host, 0, &a))
        return false;

    unsigned width = a.sa.sa_family == AF_INET6 ? 128 : 32, bits = width;
    if (*slash && !parse_number(slash + 1, width, &bits))
        return false;
    out->bits = (uint8_t)(128 - width + bits);
    address_bytes(&a, out->bytes);
    clear_bits_from(out->bytes, out->bits);
    return true;
}

void cidr_format(const struct cidr *network, char out[static CIDR_TEXT_SIZE])
{
    struct address a = { .v6 = { .sin6_family = AF_INET6 } };
    char host[ADDRESS_TEXT_SIZE];
    memcpy(&a.v6.sin6_addr, network->bytes, sizeof network->bytes);
    bool v4 = network->bits >= 96 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr);
    address_format_host(&a, host);
    snprintf(out, CIDR_TEXT_SIZE, "%s/%d", host, network->bits - (v4 ? 96 : 0));
}

static bool cidr_contains(const struct cidr *network, const uint8_t bytes[16])
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->bytes, bytes, whole) != 0)
        return false;
    return rest == 0 || ((network->bytes[whole] ^ bytes[whole]) & (0xff00u >> rest & 0xff)) == 0;
}

bool cidr_set_contains(const struct cidr_set *set, const struct address *a)
{
    uint8_t bytes[16];
    address_bytes(a, bytes);
    for (size_t i = 0; i < set->n; i++) {
        if (cidr_contains(&set->items[i], bytes))
            return true;
    }
    return false;
}

bool address_is_unique_local(const struct address *a)
{
#define V4(first, second, length) { { [10] = 0xff, 0xff, first, second }, 96 + (length) }
    static const struct cidr networks[] = {
        { { 0xfc }, 7 },            /* unique-local, RFC 4193 */
        { { 0xfe, 0x80 }, 10 },     /* link-local */
        { { [15] = 1 }, 128 },      /* loopback */
        { { 0 }, 128 },             /* unspecified */
        V4(0, 0, 8), V4(127, 0, 8), V4(169, 254, 16),
        V4(10, 0, 8), V4(172, 16, 12), V4(192, 168, 16), /* private, RFC 1918 */
        V4(100, 64, 10),            /* behind a carrier's NAT, RFC 6598 */
    };
#undef V4
    return cidr_set_contains(&(struct cidr_set){ networks, sizeof networks / sizeof *networks }, a);
}
