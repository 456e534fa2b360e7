#include "conf/status_set.h"

#include "base/slice.h"

enum { STATUS_LEAST = 100, STATUS_MOST = 599, STATUS_DIGITS = 3 };

static bool parse_status(struct slice s, unsigned *status)
{
    *status = 0;
    if (s.n != STATUS_DIGITS)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *status = *status * 10 + (unsigned)(s.p[i] - '0');
    }
    return *status >= STATUS_LEAST && *status <= STATUS_MOST;
}

static bool parse_class(struct slice s, unsigned *from, unsigned *to)
{
    if (s.n != STATUS_DIGITS || s.p[0] < '1' || s.p[0] > '5' || (s.p[1] | 0x20) != 'x' || (s.p[2] | 0x20) != 'x')
        return false;
    *from = (unsigned)(s.p[0] - '0') * 100;
    *to = *from + 99;
    return true;
}

static bool parse_range(struct slice s, unsigned *from, unsigned *to)
{
    const char *dash = memchr(s.p, '-', s.n);
    if (!dash)
        return parse_status(s, from) && parse_status(s, to);
    size_t n = (size_t)(dash - s.p);
    return parse_status(slice_trim((struct slice){ s.p, n }), from) &&
           parse_status(slice_trim((struct slice){ dash + 1, s.n - n - 1 }), to) && *from <= *to;
}

bool status_set_parse(const char *text, uint8_t bits[75])
{
    struct slice rest = slice_of(text), element;
    while (slice_next_element(&rest, &element)) {
        unsigned from, to;
        if (!parse_class(element, &from, &to) && !parse_range(element, &from, &to))
            return false;
        for (unsigned status = from; status <= to; status++)
            bits[status / 8] |= (uint8_t)(1U << (status % 8));
    }
    return true;
}
