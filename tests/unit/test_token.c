/* Credentials and tokens as cloudflared writes them, those nobody could use, and the comparison of secrets. */
#include "base/mem.h"
#include "edge/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define ACCOUNT "0123456789abcdef0123456789abcdef"
#define ID "6f1d2c3b-4a59-4867-9786-a5b4c3d2e1f0"
#define SECRET "U1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1M="
#define FILE_OF(account, secret, id) "{\"AccountTag\":\"" account "\",\"TunnelSecret\":\"" secret "\",\"TunnelID\":\"" id "\"}"
#define TOKEN "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCJzIjoiVTFOVFUxTlRVMU5UVTFOVFUxTlRVMU5UVTFOVFUxTlRVMU5UVTFOVFUxTT0iLCJ0" \
              "IjoiNmYxZDJjM2ItNGE1OS00ODY3LTk3ODYtYTViNGMzZDJlMWYwIn0="

static void assert_the_tunnel(const struct credentials *c)
{
    assert_string_equal(c->account, ACCOUNT);
    assert_string_equal(c->tunnel, ID);
    assert_int_equal(c->secret_size, 32);
    for (size_t i = 0; i < c->secret_size; i++)
        assert_int_equal(c->secret[i], 'S');
}

static void credentials_are_read_and_written(void **state)
{
    (void)state;
    static const char *const files[] = {
        FILE_OF(ACCOUNT, SECRET, ID),
        "\n{ \"TunnelID\": \"6F1D2C3B-4A59-4867-9786-A5B4C3D2E1F0\", \"TunnelName\": \"x\", \"Endpoint\": \"\",\n"
        "  \"TunnelSecret\": \"" SECRET "\", \"AccountTag\": \"" ACCOUNT "\" }\n",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct credentials c;
        assert_null(credentials_read(slice_of(files[i]), &c));
        assert_the_tunnel(&c);
        char *written = credentials_write(&c);
        assert_string_equal(written, files[0]);
        mem_free_secret(written);
    }
}

static void tokens_are_read_and_written(void **state)
{
    (void)state;
    static const char *const tokens[] = { TOKEN, " " TOKEN "\r\n", "\t" TOKEN };
    struct credentials c;
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        assert_null(token_read(slice_of(tokens[i]), &c));
        assert_the_tunnel(&c);
    }
    assert_null(token_read((struct slice){ TOKEN, sizeof TOKEN - 2 }, &c)); /* without padding */
    assert_the_tunnel(&c);
    char *written = token_write(&c);
    assert_string_equal(written, TOKEN);
    mem_free_secret(written);
}

static void the_longest_secret_survives(void **state)
{
    (void)state;
    struct credentials c = { .account = "a", .tunnel = ID, .secret_size = TUNNEL_SECRET_MAX }, again;
    for (size_t i = 0; i < sizeof c.secret; i++)
        c.secret[i] = (unsigned char)(i * 3);
    char *token = token_write(&c);
    assert_null(token_read(slice_of(token), &again));
    mem_free_secret(token);
    assert_string_equal(again.account, "a");
    assert_int_equal(again.secret_size, c.secret_size);
    assert_memory_equal(again.secret, c.secret, c.secret_size);
}

#define NO_SECRET "the tunnel's secret is missing or empty"
#define SHORT "the tunnel's secret is shorter than 32 bytes"
#define NO_BASE64 "the tunnel's secret is not base64 of 32 to 128 bytes"
#define NO_ACCOUNT "the account tag is missing or not 1 to 64 letters, digits, - and _"
#define NO_ID "the tunnel's id is missing or not a UUID"
#define NO_OBJECT "not a JSON object"
#define LONG "0123456789012345678901234567890123456789012345678901234567890123"

static void unusable_credentials_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file, *wrong;
    } rows[] = {
        { "", NO_OBJECT },
        { "{", NO_OBJECT },
        { "[]", NO_OBJECT },
        { "\"x\"", NO_OBJECT },
        { "{}", NO_ACCOUNT },
        { FILE_OF(ACCOUNT, SECRET, ID) "x", NO_OBJECT },
        { "{\"TunnelID\":\"" ID "\",\"TunnelID\":\"" ID "\"}", NO_OBJECT },
        { FILE_OF("", SECRET, ID), NO_ACCOUNT },
        { FILE_OF("a b", SECRET, ID), NO_ACCOUNT },
        { FILE_OF("a\\u0000b", SECRET, ID), NO_OBJECT },
        { FILE_OF("a\\\"", SECRET, ID), NO_ACCOUNT },
        { FILE_OF(LONG "4", SECRET, ID), NO_ACCOUNT },
        { "{\"AccountTag\":1,\"TunnelSecret\":\"" SECRET "\",\"TunnelID\":\"" ID "\"}", NO_ACCOUNT },
        { FILE_OF(ACCOUNT, SECRET, ""), NO_ID },
        { FILE_OF(ACCOUNT, SECRET, "6f1d2c3b"), NO_ID },
        { FILE_OF(ACCOUNT, SECRET, ID "0"), NO_ID },
        { FILE_OF(ACCOUNT, "", ID), NO_SECRET },
        { "{\"AccountTag\":\"a\",\"TunnelID\":\"" ID "\"}", NO_SECRET },
        { "{\"AccountTag\":\"a\",\"TunnelSecret\":7,\"TunnelID\":\"" ID "\"}", NO_SECRET },
        { FILE_OF(ACCOUNT, "====", ID), NO_BASE64 },
        { FILE_OF(ACCOUNT, "not base64!", ID), NO_BASE64 },
        { FILE_OF(ACCOUNT, "U1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTUw==", ID), SHORT },
        { FILE_OF(ACCOUNT, "Uw==", ID), SHORT },
        { FILE_OF(ACCOUNT, LONG LONG LONG "", ID), NO_BASE64 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct credentials c;
        static const struct credentials nothing;
        const char *wrong = credentials_read(slice_of(rows[i].file), &c);
        if (!wrong || strcmp(wrong, rows[i].wrong) != 0)
            fail_msg("'%s': %s", rows[i].file, wrong ? wrong : "taken");
        assert_memory_equal(&c, &nothing, sizeof c);
    }
}

static void unusable_tokens_are_refused(void **state)
{
    (void)state;
    static const char *const tokens[] = { "", " ", "x", "e30=", "bm8=", ID, TOKEN TOKEN, "eyJhIjoiYSJ9", "ey JhIjoiYSJ9" };
    static char huge[TUNNEL_TOKEN_MAX * 2];
    struct credentials c;
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (!token_read(slice_of(tokens[i]), &c))
            fail_msg("'%s' was taken", tokens[i]);
    memset(huge, 'A', sizeof huge);
    assert_non_null(token_read((struct slice){ huge, sizeof huge }, &c));
    memset(huge, ' ', sizeof huge);
    assert_non_null(credentials_read((struct slice){ huge, sizeof huge }, &c));
}

static void secrets_are_compared(void **state)
{
    (void)state;
    static const struct {
        const char *ours, *given;
        bool same;
    } rows[] = {
        { ACCOUNT, ACCOUNT, true },
        { LONG LONG, LONG LONG, true },
        { ACCOUNT, "0123456789abcdef0123456789abcdeg", false },
        { ACCOUNT, "1123456789abcdef0123456789abcdef", false },
        { ACCOUNT, ACCOUNT "x", false },
        { ACCOUNT, "", false },
        { "", "", false },
        { "", ACCOUNT, false },
        { "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcde", false }, /* too short to be one */
        { LONG LONG "x", LONG LONG "x", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (secret_matches(slice_of(rows[i].ours), slice_of(rows[i].given)) != rows[i].same)
            fail_msg("'%s' and '%s'", rows[i].ours, rows[i].given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credentials_are_read_and_written),
        cmocka_unit_test(tokens_are_read_and_written),
        cmocka_unit_test(the_longest_secret_survives),
        cmocka_unit_test(unusable_credentials_are_refused),
        cmocka_unit_test(unusable_tokens_are_refused),
        cmocka_unit_test(secrets_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
