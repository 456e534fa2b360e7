#include "base/base64.h"

#include <stdint.h>

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 64 if it is not in the alphabet. */
static uint32_t value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Padding fills the last group up to four characters, and is there whole or not at all. */
static bool cut_padding(struct slice *text)
{
    size_t n = text->n;
    while (text->n && n - text->n < 2 && text->p[text->n - 1] == '=')
        text->n--;
    return n == text->n || n % 4 == 0;
}

/* One to four characters as the bytes they hold; their number, or 0 if they are not sound. */
static size_t decode_group(const char *p, size_t n, uint8_t out[3])
{
    uint32_t bits = 0;
    if (n == 1)
        return 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i < n ? value_of(p[i]) : 0;
        if (value > 63)
            return 0;
        bits = bits << 6 | value;
    }
    for (size_t i = 0; i < 3; i++)
        out[i] = (uint8_t)(bits >> (16 - 8 * i));
    return n - 1;
}

bool base64_decode(struct slice text, enum base64_padding padding, void *out, size_t size, size_t *n)
{
    uint8_t *to = out, bytes[3];
    *n = 0;
    if (padding == BASE64_PADDING_OPTIONAL && !cut_padding(&text))
        return false;
    for (size_t at = 0; at < text.n; at += 4) {
        size_t count = decode_group(text.p + at, text.n - at < 4 ? text.n - at : 4, bytes);
        if (count == 0 || count > size - *n)
            return false;
        memcpy(to + *n, bytes, count);
        *n += count;
    }
    return true;
}

size_t base64_encode(const void *from, size_t n, enum base64_padding padding, char *out)
{
    const uint8_t *bytes = from;
    char *to = out;
    for (size_t at = 0; at < n; at += 3) {
        uint32_t bits = 0;
        size_t count = n - at < 3 ? n - at : 3;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < count ? bytes[at + i] : 0);
        for (size_t i = 0; i <= count; i++)
            *to++ = alphabet[bits >> (18 - 6 * i) & 63];
        for (size_t i = count; padding == BASE64_PADDING_OPTIONAL && i < 3; i++)
            *to++ = '=';
    }
    return (size_t)(to - out);
}
