#include "base/clock.h"

#include <stdio.h>

char *clock_rfc3339(nsec_t wall, char out[static CLOCK_RFC3339_SIZE])
{
    time_t seconds = (time_t)(wall / NSEC_PER_SEC);
    struct tm t;
    unsigned msec = (unsigned)(wall % NSEC_PER_SEC / NSEC_PER_MSEC);

    gmtime_r(&seconds, &t);
    size_t n = strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out + n, CLOCK_RFC3339_SIZE - n, ".%03uZ", msec % 1000);
    return out;
}
