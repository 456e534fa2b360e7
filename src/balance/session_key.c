/* What OpenSSL has in place of these functions allocates with every signature, and its contexts can't be shared by threads. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "balance/session_key.h"

#include <openssl/crypto.h>
#include <string.h>

static void absorb_block(SHA256_CTX *hash, const uint8_t key[static SHA256_CBLOCK], uint8_t pad)
{
    uint8_t block[SHA256_CBLOCK];

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = key[i] ^ pad;
    SHA256_Init(hash);
    SHA256_Update(hash, block, sizeof block);
    OPENSSL_cleanse(block, sizeof block);
}

static void make_key(struct slice text, struct session_key *out)
{
    uint8_t key[SHA256_CBLOCK] = { 0 };

    if (text.n > sizeof key)
        SHA256((const uint8_t *)text.p, text.n, key);
    else
        memcpy(key, text.p, text.n);
    absorb_block(&out->inner, key, 0x36);
    absorb_block(&out->outer, key, 0x5c);
    OPENSSL_cleanse(key, sizeof key);
}

static struct slice next_line(struct slice *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    struct slice line = { rest->p, end ? (size_t)(end - rest->p) : rest->n };
    size_t taken = line.n + (end != NULL);

    *rest = (struct slice){ rest->p + taken, rest->n - taken };
    return line.n && line.p[line.n - 1] == '\r' ? (struct slice){ line.p, line.n - 1 } : line;
}

bool session_keys_parse(struct slice text, struct session_keys *out, const char **wrong)
{
    *wrong = NULL;
    out->n = 0;
    while (text.n && !*wrong) {
        struct slice line = next_line(&text);
        if (!line.n)
            continue;
        if (line.n < SESSION_KEY_MIN || line.n > SESSION_KEY_MAX)
            *wrong = "has a key that isn't of 32 to 1024 characters: one a line, such as `openssl rand -hex 32` makes";
        else if (out->n == SESSION_KEYS_MAX)
            *wrong = "has more than 16 keys";
        else
            make_key(line, &out->keys[out->n++]);
    }
    if (!*wrong && !out->n)
        *wrong = "has no key: one a line, such as `openssl rand -hex 32` makes";
    return !*wrong;
}

void session_key_sign(const struct session_key *key, const void *bytes, size_t n, uint8_t mac[static SESSION_MAC_SIZE])
{
    SHA256_CTX hash = key->inner;

    SHA256_Update(&hash, bytes, n);
    SHA256_Final(mac, &hash);
    hash = key->outer;
    SHA256_Update(&hash, mac, SESSION_MAC_SIZE);
    SHA256_Final(mac, &hash);
}
