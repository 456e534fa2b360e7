#include "balance/place.h"

#include <math.h>
#include <string.h>
#include <strings.h>

const struct place place_unknown = { .latitude = NAN, .longitude = NAN };

static const char *const region_names[REGIONS] = {
    [REGION_UNKNOWN] = "",   [REGION_EEU] = "EEU",   [REGION_ENAM] = "ENAM", [REGION_ME] = "ME",   [REGION_NAF] = "NAF",
    [REGION_NEAS] = "NEAS",  [REGION_NSAM] = "NSAM", [REGION_OC] = "OC",     [REGION_SAF] = "SAF", [REGION_SAS] = "SAS",
    [REGION_SEAS] = "SEAS",  [REGION_SSAM] = "SSAM", [REGION_WEU] = "WEU",   [REGION_WNAM] = "WNAM",
};

/* Cloudflare publishes the names of its regions, and of their countries examples only (in the documentation of its Regions API): those are
 * followed, as are the United Nations' regions (M49) elsewhere. The Caucasus and Iran are of the Middle East, central Asia, whose
 * networks lead north, of Eastern Europe; Africa is divided south of the Gulf of Guinea and the Horn. The United States and Canada
 * have their east here, see the next table. */
static const char *const countries[REGIONS] = {
    [REGION_EEU] = "AL BA BG BY CY CZ EE GR HR HU KG KZ LT LV MD ME MK PL RO RS RU SI SK TJ TM UA UZ XK",
    [REGION_ENAM] = "BM CA GL PM US",
    [REGION_ME] = "AE AM AZ BH GE IL IQ IR JO KW LB OM PS QA SA SY TR YE",
    [REGION_NAF] = "BF BJ CF CI CM CV DJ DZ EG EH ER ET GH GM GN GW LR LY MA ML MR NE NG SD SL SN SO SS TD TG TN",
    [REGION_NEAS] = "CN HK JP KP KR MN MO TW",
    [REGION_NSAM] = "AG AI AW BB BL BQ BS BZ CO CR CU CW DM DO EC GD GF GP GT GY HN JM KN KY LC MF MQ MS NI PA PR SR SV SX TC TT VC VE VG VI",
    [REGION_OC] = "AS AU CC CK CX FJ FM GU HM KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS",
    [REGION_SAF] = "AO BI BV BW CD CG GA GQ KE KM LS MG MU MW MZ NA RE RW SC SH ST SZ TF TZ UG YT ZA ZM ZW",
    [REGION_SAS] = "AF BD BT IN IO LK MV NP PK",
    [REGION_SEAS] = "BN ID KH LA MM MY PH SG TH TL VN",
    [REGION_SSAM] = "AR BO BR CL FK GS PE PY UY",
    [REGION_WEU] = "AD AT AX BE CH DE DK ES FI FO FR GB GG GI IE IM IS IT JE LI LU MC MT NL NO PT SE SJ SM VA",
    [REGION_WNAM] = "HT MX",
};
static const char without_region[] = "AQ";

struct subdivision {
    char country[3], code[3];
    bool west; /* of the Mississippi; of Ontario */
    const char *name;
};
static const struct subdivision subdivisions[] = {
    { "CA", "AB", true, "Alberta" },
    { "CA", "BC", true, "British Columbia" },
    { "CA", "MB", true, "Manitoba" },
    { "CA", "NB", false, "New Brunswick" },
    { "CA", "NL", false, "Newfoundland and Labrador" },
    { "CA", "NS", false, "Nova Scotia" },
    { "CA", "NT", true, "Northwest Territories" },
    { "CA", "NU", false, "Nunavut" },
    { "CA", "ON", false, "Ontario" },
    { "CA", "PE", false, "Prince Edward Island" },
    { "CA", "QC", false, "Quebec" },
    { "CA", "SK", true, "Saskatchewan" },
    { "CA", "YT", true, "Yukon" },
    { "US", "AK", true, "Alaska" },
    { "US", "AL", false, "Alabama" },
    { "US", "AR", true, "Arkansas" },
    { "US", "AZ", true, "Arizona" },
    { "US", "CA", true, "California" },
    { "US", "CO", true, "Colorado" },
    { "US", "CT", false, "Connecticut" },
    { "US", "DC", false, "District of Columbia" },
    { "US", "DE", false, "Delaware" },
    { "US", "FL", false, "Florida" },
    { "US", "GA", false, "Georgia" },
    { "US", "HI", true, "Hawaii" },
    { "US", "IA", true, "Iowa" },
    { "US", "ID", true, "Idaho" },
    { "US", "IL", false, "Illinois" },
    { "US", "IN", false, "Indiana" },
    { "US", "KS", true, "Kansas" },
    { "US", "KY", false, "Kentucky" },
    { "US", "LA", true, "Louisiana" },
    { "US", "MA", false, "Massachusetts" },
    { "US", "MD", false, "Maryland" },
    { "US", "ME", false, "Maine" },
    { "US", "MI", false, "Michigan" },
    { "US", "MN", true, "Minnesota" },
    { "US", "MO", true, "Missouri" },
    { "US", "MS", false, "Mississippi" },
    { "US", "MT", true, "Montana" },
    { "US", "NC", false, "North Carolina" },
    { "US", "ND", true, "North Dakota" },
    { "US", "NE", true, "Nebraska" },
    { "US", "NH", false, "New Hampshire" },
    { "US", "NJ", false, "New Jersey" },
    { "US", "NM", true, "New Mexico" },
    { "US", "NV", true, "Nevada" },
    { "US", "NY", false, "New York" },
    { "US", "OH", false, "Ohio" },
    { "US", "OK", true, "Oklahoma" },
    { "US", "OR", true, "Oregon" },
    { "US", "PA", false, "Pennsylvania" },
    { "US", "RI", false, "Rhode Island" },
    { "US", "SC", false, "South Carolina" },
    { "US", "SD", true, "South Dakota" },
    { "US", "TN", false, "Tennessee" },
    { "US", "TX", true, "Texas" },
    { "US", "UT", true, "Utah" },
    { "US", "VA", false, "Virginia" },
    { "US", "VT", false, "Vermont" },
    { "US", "WA", true, "Washington" },
    { "US", "WI", false, "Wisconsin" },
    { "US", "WV", false, "West Virginia" },
    { "US", "WY", true, "Wyoming" },
};

const char *region_name(enum region region)
{
    return region_names[region];
}

enum region region_parse(const char *name)
{
    for (enum region r = REGION_UNKNOWN + 1; r < REGIONS; r++)
        if (strcmp(region_names[r], name) == 0)
            return r;
    return REGION_UNKNOWN;
}

/* Both in upper case. */
static bool lists(const char *codes, const char *code)
{
    for (; strlen(codes) >= 2; codes += 3)
        if (strncmp(codes, code, 2) == 0)
            return true;
        else if (codes[2] == '\0')
            break;
    return false;
}

static enum region region_of_country(const char *code)
{
    for (enum region r = REGION_UNKNOWN + 1; strlen(code) == 2 && r < REGIONS; r++)
        if (lists(countries[r], code))
            return r;
    return REGION_UNKNOWN;
}

bool country_exists(const char *code)
{
    return region_of_country(code) != REGION_UNKNOWN || strcmp(code, without_region) == 0;
}

enum region region_of(const char *country, const char *subdivision)
{
    for (unsigned i = 0; *subdivision && i < sizeof subdivisions / sizeof *subdivisions; i++)
        if (strcmp(subdivisions[i].country, country) == 0 && strcmp(subdivisions[i].code, subdivision) == 0)
            return subdivisions[i].west ? REGION_WNAM : REGION_ENAM;
    return region_of_country(country);
}

const char *subdivision_code(const char *country, const char *name, unsigned length)
{
    for (unsigned i = 0; i < sizeof subdivisions / sizeof *subdivisions; i++) {
        const struct subdivision *s = &subdivisions[i];
        if (strcmp(s->country, country) != 0)
            continue;
        if ((strlen(s->name) == length && strncasecmp(s->name, name, length) == 0) || (length == 2 && strncmp(s->code, name, 2) == 0))
            return s->code;
    }
    return NULL;
}
