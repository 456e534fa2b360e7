#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    nsec_t nsec;
} duration_units[] = {
    { "d", 86400 * NSEC_PER_SEC }, { "h", 3600 * NSEC_PER_SEC }, { "m", 60 * NSEC_PER_SEC }, { "s", NSEC_PER_SEC },
    { "ms", NSEC_PER_MSEC },       { "us", NSEC_PER_USEC },      { "ns", 1 },
};

static const struct {
    char letter;
    uint64_t bytes;
} size_units[] = { { 'g', 1U << 30 }, { 'm', 1U << 20 }, { 'k', 1U << 10 } };

/* Digits, optionally with a fraction; strtod alone would take signs, hex, "inf" and white space. */
static bool number_parse(const char *text, double *value, const char **end)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0)
        return false;
    const char *rest = text + digits;
    if (*rest == '.') {
        size_t fraction = strspn(rest + 1, "0123456789");
        if (fraction == 0)
            return false;
        rest += 1 + fraction;
    }
    *value = strtod(text, NULL);
    *end = rest;
    return true;
}

bool duration_parse(const char *text, nsec_t *out)
{
    double value;
    const char *unit;

    if (strcmp(text, "0") == 0) {
        *out = 0;
        return true;
    }
    if (!number_parse(text, &value, &unit))
        return false;
    for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++) {
        if (strcmp(unit, duration_units[i].name) != 0)
            continue;
        double nsec = value * (double)duration_units[i].nsec;
        if (!(nsec < 0x1p62))
            return false;
        *out = (nsec_t)llround(nsec);
        return true;
    }
    return false;
}

bool size_parse(const char *text, uint64_t *out)
{
    double value;
    const char *unit;
    uint64_t factor = 1;

    if (!number_parse(text, &value, &unit))
        return false;
    if (*unit) {
        factor = 0;
        for (size_t i = 0; i < sizeof size_units / sizeof *size_units; i++)
            if ((unit[0] | 0x20) == size_units[i].letter && unit[1] == '\0')
                factor = size_units[i].bytes;
    }
    double bytes = value * (double)factor;
    if (factor == 0 || bytes != floor(bytes) || !(bytes < 0x1p53))
        return false;
    *out = (uint64_t)bytes;
    return true;
}

char *duration_format(nsec_t d, char out[static DURATION_TEXT_SIZE])
{
    if (d == 0)
        return strcpy(out, "0s");
    for (size_t i = 0; i < sizeof duration_units / sizeof *duration_units; i++) {
        if (d % duration_units[i].nsec != 0)
            continue;
        snprintf(out, DURATION_TEXT_SIZE, "%lld%s", (long long)(d / duration_units[i].nsec), duration_units[i].name);
        break;
    }
    return out;
}

char *size_format(uint64_t bytes, char out[static SIZE_TEXT_SIZE])
{
    for (size_t i = 0; i < sizeof size_units / sizeof *size_units; i++) {
        if (bytes == 0 || bytes % size_units[i].bytes != 0)
            continue;
        snprintf(out, SIZE_TEXT_SIZE, "%llu%c", (unsigned long long)(bytes / size_units[i].bytes), size_units[i].letter);
        return out;
    }
    snprintf(out, SIZE_TEXT_SIZE, "%llu", (unsigned long long)bytes);
    return out;
}
