/* The keys that sessions' cookies are signed with: HMAC-SHA256 (RFC 2104), made ready once. Immutable afterwards, any thread; signing
 * allocates nothing. */
#ifndef PENSTOCK_BALANCE_SESSION_KEY_H
#define PENSTOCK_BALANCE_SESSION_KEY_H

#include "base/slice.h"

#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SESSION_KEYS_MAX = 16, SESSION_KEY_MIN = 32, SESSION_KEY_MAX = 1024, SESSION_MAC_SIZE = SHA256_DIGEST_LENGTH };

struct session_key {
    SHA256_CTX inner, outer; /* after the key's own block */
};

struct session_keys {
    size_t n; /* 0: there are none */
    struct session_key keys[SESSION_KEYS_MAX]; /* the first signs, each verifies */
};

/* A key a line, of SESSION_KEY_MIN characters at least; empty lines are none. False: `*wrong` says what, to follow the file's name. */
bool session_keys_parse(struct slice text, struct session_keys *out, const char **wrong);
void session_key_sign(const struct session_key *, const void *bytes, size_t n, uint8_t mac[static SESSION_MAC_SIZE]);

#endif
