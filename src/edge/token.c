#include "edge/token.h"

#include "base/base64.h"
#include "base/mem.h"
#include "http/scan.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

/* The same three members in both forms. */
struct member_names {
    const char *account, *secret, *tunnel;
};

static const struct member_names in_file = { "AccountTag", "TunnelSecret", "TunnelID" }, in_token = { "a", "s", "t" };

bool account_tag_is_valid(struct slice tag)
{
    if (tag.n == 0 || tag.n >= TUNNEL_ACCOUNT_SIZE)
        return false;
    for (size_t i = 0; i < tag.n; i++) {
        char c = tag.p[i];
        if (!http_char_is(c, CHAR_DIGIT) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '-' && c != '_')
            return false;
    }
    return true;
}

void credentials_clear(struct credentials *c)
{
    explicit_bzero(c, sizeof *c);
}

static const char *read_secret(const char *text, struct credentials *out)
{
    struct slice s = text ? slice_of(text) : SLICE("");
    if (s.n == 0)
        return "the tunnel's secret is missing or empty";
    if (!base64_decode(s, BASE64_PADDING_OPTIONAL, out->secret, sizeof out->secret, &out->secret_size))
        return "the tunnel's secret is not base64 of 32 to 128 bytes";
    return out->secret_size < TUNNEL_SECRET_MIN ? "the tunnel's secret is shorter than 32 bytes" : NULL;
}

static const char *read_members(json_t *object, const struct member_names *names, struct credentials *out)
{
    const char *account = json_string_value(json_object_get(object, names->account));
    const char *tunnel = json_string_value(json_object_get(object, names->tunnel));
    if (!account || !account_tag_is_valid(slice_of(account)))
        return "the account tag is missing or not 1 to 64 letters, digits, - and _";
    memcpy(out->account, account, strlen(account) + 1);
    if (!tunnel || !uuid_parse(tunnel, out->tunnel))
        return "the tunnel's id is missing or not a UUID";
    return read_secret(json_string_value(json_object_get(object, names->secret)), out);
}

static const char *read_object(struct slice json, const struct member_names *names, struct credentials *out)
{
    json_t *object = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    const char *wrong = json_is_object(object) ? read_members(object, names, out) : "not a JSON object";
    json_t *secret = json_object_get(object, names->secret);
    if (json_is_string(secret))
        explicit_bzero((char *)json_string_value(secret), json_string_length(secret));
    json_decref(object);
    return wrong;
}

const char *credentials_read(struct slice json, struct credentials *out)
{
    credentials_clear(out);
    const char *wrong = json.n > TUNNEL_TOKEN_MAX ? "longer than 4096 characters" : read_object(json, &in_file, out);
    if (wrong)
        credentials_clear(out);
    return wrong;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice trim_lines(struct slice s)
{
    while (s.n && is_space(*s.p))
        s = (struct slice){ s.p + 1, s.n - 1 };
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

const char *token_read(struct slice token, struct credentials *out)
{
    char json[TUNNEL_TOKEN_MAX];
    size_t n;
    token = trim_lines(token);
    credentials_clear(out);
    bool decodes = base64_decode(token, BASE64_PADDING_OPTIONAL, json, sizeof json, &n) && n > 0;
    const char *wrong = decodes ? read_object((struct slice){ json, n }, &in_token, out) : "not a token: base64 of a JSON object";
    explicit_bzero(json, sizeof json);
    if (wrong)
        credentials_clear(out);
    return wrong;
}

/* Account and id need no escapes, nor does base64. */
static char *write_object(const struct credentials *c, const struct member_names *names)
{
    char secret[BASE64_SIZE(TUNNEL_SECRET_MAX)];
    size_t n = base64_encode(c->secret, c->secret_size, BASE64_PADDING_OPTIONAL, secret);
    char *json = mem_printf("{\"%s\":\"%s\",\"%s\":\"%.*s\",\"%s\":\"%s\"}", names->account, c->account, names->secret, (int)n,
                            secret, names->tunnel, c->tunnel);
    explicit_bzero(secret, sizeof secret);
    return json;
}

char *credentials_write(const struct credentials *c)
{
    return write_object(c, &in_file);
}

char *token_write(const struct credentials *c)
{
    char *json = write_object(c, &in_token);
    size_t n = strlen(json);
    char *token = mem_zero(BASE64_SIZE(n) + 1);
    base64_encode(json, n, BASE64_PADDING_OPTIONAL, token);
    mem_free_secret(json);
    return token;
}

bool secret_matches(struct slice ours, struct slice given)
{
    unsigned char a[SHA256_DIGEST_LENGTH], b[SHA256_DIGEST_LENGTH];
    if (ours.n < TUNNEL_SECRET_MIN || ours.n > TUNNEL_SECRET_MAX || given.n < TUNNEL_SECRET_MIN || given.n > TUNNEL_SECRET_MAX)
        return false;
    SHA256((const unsigned char *)ours.p, ours.n, a);
    SHA256((const unsigned char *)given.p, given.n, b);
    bool same = CRYPTO_memcmp(a, b, sizeof a) == 0;
    OPENSSL_cleanse(a, sizeof a);
    OPENSSL_cleanse(b, sizeof b);
    return same;
}
