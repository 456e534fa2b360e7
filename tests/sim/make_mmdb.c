/* make_mmdb [--flat] FILE: writes a MaxMind DB of the lines on its input, "NETWORK COUNTRY SUBDIVISION LATITUDE LONGITUDE" with "-" for what is not
 * told. */
#include "tests/sim/mmdb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 1000 };

static char texts[ROWS_MAX][3][64];
static double degrees[ROWS_MAX][2];
static struct mmdb_row rows[ROWS_MAX];

static const char *told(const char *text)
{
    return strcmp(text, "-") == 0 ? NULL : text;
}

static bool read_row(const char *line, size_t i)
{
    char latitude[32], longitude[32];
    char (*t)[64] = texts[i];
    if (sscanf(line, "%63s %63s %63s %31s %31s", t[0], t[1], t[2], latitude, longitude) != 5)
        return false;
    rows[i] = (struct mmdb_row){ .network = t[0], .country = told(t[1]), .subdivision = told(t[2]) };
    if (told(latitude)) {
        degrees[i][0] = strtod(latitude, NULL);
        degrees[i][1] = strtod(longitude, NULL);
        rows[i].latitude = &degrees[i][0];
        rows[i].longitude = &degrees[i][1];
    }
    return true;
}

int main(int argc, char **argv)
{
    bool flat = argc == 3 && strcmp(argv[1], "--flat") == 0;
    char line[512];
    size_t n = 0;
    if (argc != 2 && !flat) {
        fputs("make_mmdb [--flat] FILE\n", stderr);
        return 2;
    }
    while (n < ROWS_MAX && fgets(line, sizeof line, stdin))
        if (!read_row(line, n++)) {
            fprintf(stderr, "make_mmdb: not understood: %s", line);
            return 1;
        }
    return mmdb_write(argv[argc - 1], rows, n, flat) ? 0 : 1;
}
