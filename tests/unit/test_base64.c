/* base64: RFC 4648's own vectors, both ways, and what is not base64. */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *bytes, *padded, *unpadded;
} rows[] = {
    { "", "", "" },
    { "f", "Zg==", "Zg" },
    { "fo", "Zm8=", "Zm8" },
    { "foo", "Zm9v", "Zm9v" },
    { "foob", "Zm9vYg==", "Zm9vYg" },
    { "fooba", "Zm9vYmE=", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
    { "\xfb\xff\xbf", "+/+/", "+/+/" },
};

static void assert_decodes(const char *text, enum base64_padding padding, const char *bytes)
{
    char out[16];
    size_t n, size = strlen(bytes);
    assert_true(base64_decode(slice_of(text), padding, out, size, &n));
    assert_int_equal(n, size);
    assert_memory_equal(out, bytes, n);
    if (size)
        assert_false(base64_decode(slice_of(text), padding, out, size - 1, &n));
}

static void assert_encodes(const char *bytes, enum base64_padding padding, const char *text)
{
    char out[16];
    size_t n = base64_encode(bytes, strlen(bytes), padding, out);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(out, text, n);
}

static void vectors_decode_and_encode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_decodes(rows[i].unpadded, BASE64_UNPADDED, rows[i].bytes);
        assert_decodes(rows[i].unpadded, BASE64_PADDING_OPTIONAL, rows[i].bytes);
        assert_decodes(rows[i].padded, BASE64_PADDING_OPTIONAL, rows[i].bytes);
        assert_encodes(rows[i].bytes, BASE64_UNPADDED, rows[i].unpadded);
        assert_encodes(rows[i].bytes, BASE64_PADDING_OPTIONAL, rows[i].padded);
    }
}

static void what_is_no_base64_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum base64_padding padding;
    } refused[] = {
        { "Z", BASE64_UNPADDED },         { "Zm9vY", BASE64_UNPADDED },         { "Zg==", BASE64_UNPADDED },
        { "Zm9v=", BASE64_UNPADDED },     { "Zm 9v", BASE64_UNPADDED },         { "Zm9v\n", BASE64_UNPADDED },
        { "Zm-v", BASE64_UNPADDED },      { "Zm_v", BASE64_UNPADDED },          { "Zm9\xc3", BASE64_UNPADDED },
        { "Z===", BASE64_PADDING_OPTIONAL }, { "Zg=", BASE64_PADDING_OPTIONAL }, { "Zm8==", BASE64_PADDING_OPTIONAL },
        { "Zm9v=", BASE64_PADDING_OPTIONAL }, { "=", BASE64_PADDING_OPTIONAL }, { "==", BASE64_PADDING_OPTIONAL },
        { "====", BASE64_PADDING_OPTIONAL }, { "Zg==Zg==", BASE64_PADDING_OPTIONAL }, { "Zm9v====", BASE64_PADDING_OPTIONAL },
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char out[16];
        size_t n;
        if (base64_decode(slice_of(refused[i].text), refused[i].padding, out, sizeof out, &n))
            fail_msg("'%s' was taken", refused[i].text);
    }
}

static void every_byte_survives(void **state)
{
    (void)state;
    uint8_t bytes[256], back[256];
    char text[BASE64_SIZE(sizeof bytes)];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t size = 0; size <= sizeof bytes; size++) {
        size_t n, length = base64_encode(bytes, size, BASE64_PADDING_OPTIONAL, text);
        assert_int_equal(length, BASE64_SIZE(size));
        assert_true(base64_decode((struct slice){ text, length }, BASE64_PADDING_OPTIONAL, back, size, &n));
        assert_int_equal(n, size);
        assert_memory_equal(bytes, back, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_decode_and_encode),
        cmocka_unit_test(what_is_no_base64_is_refused),
        cmocka_unit_test(every_byte_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
