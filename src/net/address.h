/* Socket addresses and networks. Plain data. */
#ifndef PENSTOCK_NET_ADDRESS_H
#define PENSTOCK_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A TCP address. Small: one is kept per client connection. */
struct address {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

static inline socklen_t address_length(const struct address *a)
{
    return a->sa.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

/* Host and port of "host:port", "[v6]:port" or ":port" (empty host). False if it is none of these, the port isn't 1-65535, or the
 * host doesn't fit. */
bool address_split(const char *text, char *host, size_t host_size, uint16_t *port);
/* Numeric only; an empty host is "::" (any, both families). */
bool address_parse(const char *host, uint16_t port, struct address *out);
uint16_t address_port(const struct address *);
void address_set_port(struct address *, uint16_t port);
/* Address and port; ::ffff:a.b.c.d is the same as a.b.c.d. */
bool address_equal(const struct address *, const struct address *);
/* The host without port or brackets; ::ffff:a.b.c.d is written a.b.c.d. Returns its length. */
#define ADDRESS_TEXT_SIZE (INET6_ADDRSTRLEN + 8)
size_t address_format_host(const struct address *, char out[static ADDRESS_TEXT_SIZE]);
/* "127.0.0.1:80", "[::1]:80" */
size_t address_format(const struct address *, char out[static ADDRESS_TEXT_SIZE]);

/* A network, or a single address when it has no "/n". IPv4 is kept as ::ffff:0:0/96. */
struct cidr {
    uint8_t bytes[16];
    uint8_t bits; /* 0-128 */
};
struct cidr_set {
    const struct cidr *items;
    size_t n;
};
/* Bits of the address beyond the "/n" are cleared. */
bool cidr_parse(const char *text, struct cidr *out);
/* "10.0.0.0/8", "2001:db8::/32". */
#define CIDR_TEXT_SIZE (ADDRESS_TEXT_SIZE + 4)
void cidr_format(const struct cidr *, char out[static CIDR_TEXT_SIZE]);
bool cidr_set_contains(const struct cidr_set *, const struct address *);
/* Unique-local, private (IPv4), loopback, link-local, unspecified: what a public name must not resolve to to be reachable over the
 * Internet. */
bool address_is_unique_local(const struct address *);

#endif
