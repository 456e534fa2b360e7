#include "alerts/signature.h"

#include "base/base64.h"
#include "base/slice.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static const char white_space[] = " \t\r\n";

struct key {
    unsigned char bytes[SIGNATURE_KEY_MAX];
    size_t n;
};

static bool next_secret(const char **rest, struct slice *secret)
{
    const char *p = *rest + strspn(*rest, white_space);
    *secret = (struct slice){ p, strcspn(p, white_space) };
    *rest = p + secret->n;
    return secret->n > 0;
}

/* Padding may be left out. */
static bool decode_secret(struct slice text, struct key *out)
{
    return base64_decode(text, BASE64_PADDING_OPTIONAL, out->bytes, sizeof out->bytes, &out->n) && out->n > 0;
}

static const char *read_key(struct slice secret, struct key *out)
{
    if (slice_starts_nocase(secret, SLICE("whsk_")) || slice_starts_nocase(secret, SLICE("whpk_")))
        return "an ed25519 key, but only symmetric ones (whsec_…) are supported";
    if (slice_starts_nocase(secret, SLICE("whsec_")))
        return decode_secret((struct slice){ secret.p + 6, secret.n - 6 }, out) ? NULL : "what follows whsec_ is not base64 of 1 to 256 bytes";
    if (secret.n > sizeof out->bytes)
        return "longer than 256 bytes";
    memcpy(out->bytes, secret.p, secret.n);
    out->n = secret.n;
    return NULL;
}

const char *signature_check_secrets(const char *secrets)
{
    struct key key;
    struct slice secret;
    unsigned count = 0;
    const char *wrong = NULL;

    while (!wrong && next_secret(&secrets, &secret)) {
        wrong = read_key(secret, &key);
        if (++count > SIGNATURE_KEYS_MAX)
            wrong = "more than 4 secrets";
    }
    OPENSSL_cleanse(&key, sizeof key);
    return count == 0 ? "empty" : wrong;
}

static void write_one(const struct key *key, const struct text *signed_text, struct text *out)
{
    unsigned char digest[32], encoded[sizeof digest * 4 / 3 + 4];

    HMAC(EVP_sha256(), key->bytes, (int)key->n, (const unsigned char *)signed_text->p, signed_text->n, digest, NULL);
    EVP_EncodeBlock(encoded, digest, sizeof digest);
    text_addf(out, "%sv1,%s", out->n ? " " : "", (const char *)encoded);
}

void signature_write(const char *secrets, const char *id, int64_t unix_seconds, const char *body, size_t n, struct text *out)
{
    struct text signed_text = { 0 }, signatures = { 0 };
    struct key key;
    struct slice secret;

    text_addf(&signed_text, "%s.%" PRId64 ".", id, unix_seconds);
    text_add_bytes(&signed_text, body, n);
    while (next_secret(&secrets, &secret))
        if (!read_key(secret, &key))
            write_one(&key, &signed_text, &signatures);
    OPENSSL_cleanse(&key, sizeof key);
    if (signatures.n)
        text_add_bytes(out, signatures.p, signatures.n);
    text_clear(&signatures);
    text_clear(&signed_text);
}
