/* Where a client is, and Cloudflare's regions of the world. */
#ifndef PENSTOCK_BALANCE_PLACE_H
#define PENSTOCK_BALANCE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/* Those that Cloudflare Load Balancing knows. */
enum region {
    REGION_UNKNOWN,
    REGION_EEU, REGION_ENAM, REGION_ME, REGION_NAF, REGION_NEAS, REGION_NSAM, REGION_OC, REGION_SAF, REGION_SAS, REGION_SEAS, REGION_SSAM,
    REGION_WEU, REGION_WNAM,
    REGIONS
};

struct place {
    char country[3];           /* ISO 3166-1 alpha-2; "": not known */
    char subdivision[4];       /* ISO 3166-2 without the country; "": not known */
    uint8_t region;            /* enum region */
    float latitude, longitude; /* degrees; NaN: not known */
};

extern const struct place place_unknown;

const char *region_name(enum region);  /* "WNAM"; "" for REGION_UNKNOWN */
enum region region_parse(const char *); /* REGION_UNKNOWN if there is none of that name */
/* Of the United States and of Canada by the state or province; the east of both where that is not known. */
enum region region_of(const char *country, const char *subdivision);
/* Is it assigned (ISO 3166-1, and XK)? */
bool country_exists(const char *code);
/* The code of a state or province of the United States or Canada by its code or English name; NULL: not known. */
const char *subdivision_code(const char *country, const char *name, unsigned length);

#endif
