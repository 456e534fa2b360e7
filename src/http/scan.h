/* Character classes of HTTP and of its URIs, and the scanners that run over long tokens: inline, as the parser's inner loops. */
#ifndef PENSTOCK_HTTP_SCAN_H
#define PENSTOCK_HTTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum http_char_class {
    CHAR_TOKEN = 1,    /* tchar (RFC 9110 5.6.2) */
    CHAR_REG_NAME = 2, /* unreserved and sub-delims (RFC 3986 2.2, 2.3) */
    CHAR_DIGIT = 4,
    CHAR_HEX = 8,
};

extern const uint8_t http_char_classes[256];

static inline bool http_char_is(char c, enum http_char_class class)
{
    return http_char_classes[(unsigned char)c] & class;
}

/* Anything but HTAB is an error inside a field value. */
static inline bool http_char_is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* What may stand in a request target: visible ASCII, but no fragment. */
static inline bool http_char_is_target(char c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

/* Eight bytes at a time. Each helper sets the high bit of at least the first byte that meets its condition, and of none if no byte
 * does: enough to skip words without any. */
#define SCAN_EACH(byte) (0x0101010101010101ull * (byte))

static inline uint64_t scan_below(uint64_t word, uint8_t limit)
{
    return (word - SCAN_EACH(limit)) & ~word & SCAN_EACH(0x80);
}

static inline uint64_t scan_equal(uint64_t word, uint8_t byte)
{
    return scan_below(word ^ SCAN_EACH(byte), 1);
}

static inline const char *scan_value_words(const char *p, const char *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (scan_below(word, 0x20) | scan_equal(word, 0x7f))
            break;
    }
    while (p < end && !http_char_is_control(*p))
        p++;
    return p;
}

/* The first control character (CR and LF are; so is HTAB) or `end`. */
static inline const char *scan_value(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const void *)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
        int stop = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f))));
        if (stop)
            return p + __builtin_ctz((unsigned)stop);
    }
#endif
    return scan_value_words(p, end);
}

static inline const char *scan_target_words(const char *p, const char *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (scan_below(word, 0x21) | scan_equal(word, 0x7f) | scan_equal(word, '#') | (word & SCAN_EACH(0x80)))
            break;
    }
    while (p < end && http_char_is_target(*p))
        p++;
    return p;
}

/* The first byte that can't be part of a request target, or `end`. */
static inline const char *scan_target(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const void *)p);
        __m128i outside = _mm_cmplt_epi8(v, _mm_set1_epi8(0x21)); /* signed: the upper half of 8 bits is negative */
        __m128i special = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)), _mm_cmpeq_epi8(v, _mm_set1_epi8('#')));
        int stop = _mm_movemask_epi8(_mm_or_si128(outside, special));
        if (stop)
            return p + __builtin_ctz((unsigned)stop);
    }
#endif
    return scan_target_words(p, end);
}

static inline const char *scan_token(const char *p, const char *end)
{
    while (p < end && http_char_is(*p, CHAR_TOKEN))
        p++;
    return p;
}

#endif
