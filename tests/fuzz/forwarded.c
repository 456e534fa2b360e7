/* Forwarding fields: whatever a chain looks like, what we add is its last element to everybody who reads it, and fits. Two bytes of
 * options (flags, room for the value), then field lines. */
#include "http/forwarded.h"
#include "http/parse.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_KEEP = 1, OPTION_V6 = 2, OPTION_PORT = 4, INPUT_MAX = 4096 };

#define START "GET / HTTP/1.1\r\n"
static const struct http_limits limits = { .size = INPUT_MAX, .count = HTTP_FIELDS_MAX };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool parse(struct http_head *head, const char *message, size_t n)
{
    struct http_parser parser;
    http_parser_start(&parser, head);
    return http_parse_request(&parser, head, message, n, &limits) == HTTP_PARSE_DONE;
}

/* What stands after the last comma outside quotes; no quote may stay open. */
static struct slice last_element(struct slice s)
{
    size_t begin = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        if (quoted && s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == ',' && !quoted)
            begin = i + 1;
    }
    require(!quoted);
    return slice_trim((struct slice){ s.p + begin, s.n - begin });
}

/* The next proxy, which trusts us but nobody before us, sees our peer in what we wrote. */
static void check_next_proxy(struct slice value, const struct address *peer)
{
    static char message[INPUT_MAX * 2];
    static struct http_head head;
    static const struct cidr us = { .bytes = { 0x20, 1, 0xd, 0xb8, 0xff }, .bits = 128 };
    struct address next;
    size_t n = (size_t)snprintf(message, sizeof message, START "X-Forwarded-For: %.*s\r\n\r\n", SLICE_ARG(value));
    require(address_parse("2001:db8:ff00::", 0, &next) && parse(&head, message, n));
    struct address client = forwarded_client(&head, message, &next, &(struct cidr_set){ &us, 1 });
    address_set_port(&client, address_port(peer));
    require(address_equal(&client, peer));
}

static void check_for(const struct http_head *head, const char *base, bool keep, const struct address *peer, size_t room)
{
    char text[ADDRESS_TEXT_SIZE], *out = malloc(room ? room : 1);
    require(out != NULL);
    struct slice own = { text, address_format_host(peer, text) };
    struct slice value = { out, forwarded_for(head, base, keep, own, out, room) };
    require(value.n <= room && (value.n == 0) == (own.n > room));
    require(keep || value.n == 0 || slice_eq(value, own));
    if (value.n) {
        require(value.n >= own.n && memcmp(out + value.n - own.n, text, own.n) == 0);
        check_next_proxy(value, peer);
    }
    free(out);
}

static void check_forwarded(const struct http_head *head, const char *base, bool keep, const struct forwarded_hop *hop, size_t room)
{
    char own[256], *out = malloc(room ? room : 1);
    require(out != NULL);
    size_t own_n = forwarded_write(head, base, false, hop, own, sizeof own);
    struct slice value = { out, forwarded_write(head, base, keep, hop, out, room) };
    require(value.n <= room && own_n && (value.n == 0) == (own_n > room));
    if (value.n)
        require(slice_eq(last_element(value), (struct slice){ own, own_n }));
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    static char message[INPUT_MAX];
    static const struct cidr everybody = { .bits = 0 };
    const struct cidr_set all = { &everybody, 1 }, none = { &everybody, 0 };
    struct address peer;
    if (size < 2 || size > INPUT_MAX - sizeof START)
        return 0;
    size_t n = (size_t)snprintf(message, sizeof message, START);
    memcpy(message + n, data + 2, size - 2);
    if (!parse(&head, message, n + size - 2))
        return 0;
    require(address_parse(data[0] & OPTION_V6 ? "2001:db8::1" : "192.0.2.1", 4711, &peer));
    struct address client = forwarded_client(&head, message, &peer, &none);
    require(address_equal(&client, &peer));
    client = forwarded_client(&head, message, &peer, &all);
    require(client.sa.sa_family == AF_INET || client.sa.sa_family == AF_INET6);
    check_for(&head, message, data[0] & OPTION_KEEP, &peer, data[1]);
    char texts[2][ADDRESS_TEXT_SIZE];
    struct forwarded_hop hop = { { texts[0], address_format_host(&peer, texts[0]) }, { texts[1], address_format_host(&client, texts[1]) },
                                 data[0] & OPTION_PORT ? SLICE("[::1]:80") : SLICE("a.example"), data[0] & OPTION_V6 };
    check_forwarded(&head, message, data[0] & OPTION_KEEP, &hop, data[1]);
    return 0;
}
