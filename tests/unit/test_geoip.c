/* Databases of places: what is read from them, what is wrong with broken ones, and how they are replaced. */
#include "balance/geoip.h"

#include "test_folder.h"
#include "tests/sim/mmdb.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const double N = 48.85, E = 2.35;
static const struct mmdb_row rows[] = {
    { "192.0.2.0/24", "DE", NULL, &N, &E },
    { "192.0.2.128/25", "FR", "IDF", &N, &E },
    { "198.51.100.0/24", "US", "CA", NULL, NULL },
    { "198.51.101.0/24", "US", "NY", NULL, NULL },
    { "198.51.102.0/24", "US", NULL, NULL, NULL },
    { "203.0.113.0/24", NULL, NULL, &N, &E },
    { "2001:db8::/32", "JP", NULL, NULL, NULL },
};
static const struct mmdb_row flat_rows[] = {
    { "192.0.2.0/24", "US", "California", &N, &E },
    { "198.51.100.0/24", "CA", "british columbia", NULL, NULL },
    { "198.51.101.0/24", "GB", "England", NULL, NULL },
};

static const char *write_rows(const char *name, const struct mmdb_row *r, size_t n, bool flat)
{
    const char *path = in_folder(name);
    assert_true(mmdb_write(path, r, n, flat));
    return path;
}

static struct geoip *open_paths(const char *first, const char *second)
{
    char error[GEOIP_ERROR_SIZE];
    const char *paths[] = { first, second };
    struct geoip *g = geoip_open(paths, second ? 2 : 1, error);
    if (!g)
        fail_msg("%s", error);
    return g;
}

static struct place find(const struct geoip *g, const char *address)
{
    struct address a;
    struct place place;
    assert_true(address_parse(address, 0, &a));
    geoip_find(g, &a, &place);
    return place;
}

static void assert_place(const struct geoip *g, const char *address, const char *country, const char *subdivision, const char *region, bool located)
{
    struct place p = find(g, address);
    if (strcmp(p.country, country) != 0 || strcmp(p.subdivision, subdivision) != 0 || strcmp(region_name((enum region)p.region), region) != 0)
        fail_msg("%s: %s %s %s", address, p.country, p.subdivision, region_name((enum region)p.region));
    assert_int_equal(isnan(p.latitude), !located);
    if (located)
        assert_true(fabs((double)p.latitude - N) < 0.001 && fabs((double)p.longitude - E) < 0.001);
}

static void places_are_found(void **state)
{
    (void)state;
    const char *path = write_rows("grouped.mmdb", rows, sizeof rows / sizeof *rows, false);
    struct geoip *g = open_paths(path, NULL);
    assert_place(g, "192.0.2.1", "DE", "", "WEU", true);
    assert_place(g, "::ffff:192.0.2.1", "DE", "", "WEU", true);
    assert_place(g, "192.0.2.200", "FR", "IDF", "WEU", true);
    assert_place(g, "198.51.100.7", "US", "CA", "WNAM", false);
    assert_place(g, "198.51.101.7", "US", "NY", "ENAM", false);
    assert_place(g, "198.51.102.7", "US", "", "ENAM", false);
    assert_place(g, "203.0.113.7", "", "", "", true);
    assert_place(g, "2001:db8:1::1", "JP", "", "NEAS", false);
    assert_place(g, "127.0.0.1", "", "", "", false);
    assert_place(g, "2001:db9::1", "", "", "", false);
    struct geoip_contents has = geoip_contents(g);
    assert_true(has.countries && has.subdivisions && has.coordinates);
    geoip_unref(g);
}

static void flat_fields_are_understood(void **state)
{
    (void)state;
    const char *path = write_rows("flat.mmdb", flat_rows, sizeof flat_rows / sizeof *flat_rows, true);
    struct geoip *g = open_paths(path, NULL);
    assert_place(g, "192.0.2.1", "US", "CA", "WNAM", true);
    assert_place(g, "198.51.100.1", "CA", "BC", "WNAM", false);
    assert_place(g, "198.51.101.1", "GB", "", "WEU", false);
    geoip_unref(g);
}

static void the_first_that_knows_it_tells(void **state)
{
    (void)state;
    static const struct mmdb_row others[] = { { "192.0.2.0/23", "PL", NULL, NULL, NULL } };
    const char *first = write_rows("first.mmdb", rows, 1, false), *second = write_rows("second.mmdb", others, 1, false);
    struct geoip *g = open_paths(first, second);
    assert_place(g, "192.0.2.1", "DE", "", "WEU", true);
    assert_place(g, "192.0.3.1", "PL", "", "EEU", false);
    geoip_unref(g);
}

static void what_it_holds_is_known(void **state)
{
    (void)state;
    static const struct mmdb_row countries[] = { { "192.0.2.0/24", "PL", NULL, NULL, NULL }, { "2001:db8::/32", "DE", NULL, NULL, NULL } };
    const char *path = write_rows("countries.mmdb", countries, 2, false);
    struct geoip *g = open_paths(path, NULL);
    struct geoip_contents has = geoip_contents(g);
    assert_true(has.countries && !has.subdivisions && !has.coordinates);
    geoip_unref(g);
}

static void assert_refused(const char *path, const char *words)
{
    char error[GEOIP_ERROR_SIZE] = "";
    assert_null(geoip_open(&path, 1, error));
    if (!strstr(error, path) || !strstr(error, words))
        fail_msg("%s", error);
}

static void broken_ones_are_refused(void **state)
{
    (void)state;
    static const struct mmdb_row nothing[] = { { "192.0.2.0/24", NULL, NULL, NULL, NULL } };
    const char *path = write_rows("broken.mmdb", rows, sizeof rows / sizeof *rows, false), *missing = in_folder("missing.mmdb");
    struct stat st;
    assert_refused(missing, "No such file");
    assert_refused(test_folder, "not a regular file");
    assert_int_equal(stat(path, &st), 0);
    for (off_t size = st.st_size - 1; size > 0; size = size * 3 / 4) {
        assert_int_equal(truncate(path, size), 0);
        assert_refused(path, "");
    }
    assert_int_equal(truncate(path, 0), 0);
    assert_refused(path, "");
    path = write_rows("nothing.mmdb", nothing, 1, false);
    assert_refused(path, "no record");
}

/* Bytes that are wrong anywhere in the tree or in the data make places unknown or wrong, and nothing else. */
static void wrong_bytes_do_no_harm(void **state)
{
    (void)state;
    const char *path = write_rows("wrong.mmdb", rows, sizeof rows / sizeof *rows, false), *const paths[] = { path };
    char error[GEOIP_ERROR_SIZE];
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (off_t at = 0; at < st.st_size; at += 37) {
        int fd = open(path, O_RDWR);
        char byte = 0;
        assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
        byte = (char)~byte;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        struct geoip *g = geoip_open(paths, 1, error);
        for (unsigned i = 0; g && i < sizeof rows / sizeof *rows; i++) {
            struct cidr c;
            struct address a = { .v6.sin6_family = AF_INET6 };
            struct place place;
            assert_true(cidr_parse(rows[i].network, &c));
            memcpy(&a.v6.sin6_addr, c.bytes, sizeof c.bytes);
            geoip_find(g, &a, &place);
            assert_true(strlen(place.country) <= 2 && strlen(place.subdivision) <= 3);
        }
        geoip_unref(g);
        byte = (char)~byte;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
}

/* The file may be cut short or written over while it is in use. */
static void what_was_opened_stays(void **state)
{
    (void)state;
    const char *path = write_rows("stays.mmdb", rows, sizeof rows / sizeof *rows, false);
    struct geoip *g = open_paths(path, NULL);
    assert_int_equal(truncate(path, 0), 0);
    assert_place(g, "192.0.2.200", "FR", "IDF", "WEU", true);
    geoip_unref(g);
}

static void a_slot_gives_the_newest(void **state)
{
    (void)state;
    const char *path = write_rows("slot.mmdb", rows, 1, false);
    struct geoip_slot slot;
    uint64_t none, first, second;
    geoip_slot_init(&slot);
    assert_null(geoip_slot_get(&slot, &none));
    assert_int_equal(none, 0);
    geoip_slot_set(&slot, open_paths(path, NULL));
    struct geoip *g = geoip_slot_get(&slot, &first);
    assert_true(g && first != none);
    geoip_slot_set(&slot, NULL);
    assert_null(geoip_slot_get(&slot, &second));
    assert_true(second != first);
    assert_place(g, "192.0.2.1", "DE", "", "WEU", true); /* who has it keeps it */
    geoip_unref(g);
    geoip_slot_clear(&slot);
}

/* --- regions --- */

static void every_country_has_one_region(void **state)
{
    (void)state;
    unsigned countries = 0;
    for (char a = 'A'; a <= 'Z'; a++)
        for (char b = 'A'; b <= 'Z'; b++) {
            char code[] = { a, b, '\0' };
            countries += country_exists(code);
            if (country_exists(code) && strcmp(code, "AQ") != 0)
                assert_true(region_of(code, "") != REGION_UNKNOWN);
        }
    assert_int_equal(countries, 250); /* ISO 3166-1 has 249; and XK */
}

static void regions_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *country, *subdivision, *region;
    } cases[] = {
        { "DE", "", "WEU" },   { "DE", "BE", "WEU" }, { "PL", "", "EEU" },   { "US", "", "ENAM" },  { "US", "WA", "WNAM" }, { "US", "NY", "ENAM" },
        { "CA", "BC", "WNAM" }, { "CA", "QC", "ENAM" }, { "CA", "", "ENAM" }, { "MX", "", "WNAM" },  { "BR", "", "SSAM" },  { "CO", "", "NSAM" },
        { "NG", "", "NAF" },   { "ZA", "", "SAF" },   { "AE", "", "ME" },    { "IN", "", "SAS" },   { "SG", "", "SEAS" },  { "JP", "", "NEAS" },
        { "AU", "", "OC" },    { "AQ", "", "" },      { "ZZ", "", "" },      { "", "", "" },        { "de", "", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(region_name(region_of(cases[i].country, cases[i].subdivision)), cases[i].region) != 0)
            fail_msg("%s-%s", cases[i].country, cases[i].subdivision);
    for (enum region r = REGION_UNKNOWN + 1; r < REGIONS; r++)
        assert_int_equal(region_parse(region_name(r)), r);
    assert_int_equal(region_parse(""), REGION_UNKNOWN);
    assert_int_equal(region_parse("IN"), REGION_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_found),
        cmocka_unit_test(flat_fields_are_understood),
        cmocka_unit_test(the_first_that_knows_it_tells),
        cmocka_unit_test(what_it_holds_is_known),
        cmocka_unit_test(broken_ones_are_refused),
        cmocka_unit_test(wrong_bytes_do_no_harm),
        cmocka_unit_test(what_was_opened_stays),
        cmocka_unit_test(a_slot_gives_the_newest),
        cmocka_unit_test(every_country_has_one_region),
        cmocka_unit_test(regions_are_named),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
