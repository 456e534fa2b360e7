/* Addresses and networks as people write them. What was parsed must survive being written and read again. */
#include "net/address.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

static void parse_again(const struct address *a)
{
    char text[ADDRESS_TEXT_SIZE], host[ADDRESS_TEXT_SIZE];
    struct address again;
    uint16_t port;

    require(address_format(a, text) == strlen(text));
    require(address_split(text, host, sizeof host, &port) && port == address_port(a));
    require(address_parse(host, port, &again) && address_equal(a, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), host[64];
    uint16_t port;
    struct address a;
    struct cidr network;

    require(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (address_split(text, host, sizeof host, &port)) {
        require(port != 0 && strlen(host) < sizeof host);
        if (address_parse(host, port, &a))
            parse_again(&a);
    }
    bool is_network = cidr_parse(text, &network);
    if (*text && address_parse(text, 1, &a)) { /* a single address is a network of its own */
        require(is_network && cidr_set_contains(&(struct cidr_set){ &network, 1 }, &a));
        address_is_unique_local(&a);
        parse_again(&a);
    }
    free(text);
    return 0;
}
