#include "balance/colo.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* As a search by halves needs it, and on this planet. */
static void test_each_is_there_once_and_somewhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_colos; i++) {
        const struct colo *c = &colos[i];
        for (size_t j = 0; j < 3; j++)
            assert_true(isupper((unsigned char)c->code[j]));
        assert_true(i == 0 || strcmp(colos[i - 1].code, c->code) < 0);
        assert_true(fabsf(c->latitude) < 72 && fabsf(c->longitude) <= 180);
        assert_true(c->latitude != 0 && c->longitude != 0);
        assert_ptr_equal(colo_find(c->code), c);
    }
}

/* A sign or two figures that were exchanged show by the quarter of the world. */
static void test_places(void **state)
{
    static const struct {
        const char *name;
        float latitude, longitude;
    } rows[] = {
        { "dfw08", 33, -97 }, { "fra07", 50, 9 },    { "AMS", 52, 5 },    { "Gru01", -23, -46 }, { "syd123", -34, 151 }, { "jnb01", -26, 28 },
        { "nrt05", 36, 140 }, { "akl01", -37, 175 }, { "EZE", -35, -59 }, { "yvr01", 49, -123 }, { "sin02", 1, 104 },    { "nbo01", -1, 37 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct colo *c = colo_find(rows[i].name);
        assert_non_null(c);
        assert_true(fabsf(c->latitude - rows[i].latitude) < 1 && fabsf(c->longitude - rows[i].longitude) < 1);
    }
}

static void test_what_is_no_name(void **state)
{
    static const char *const names[] = { "", "a", "am", "am1", "am01s", "ams-1", "ams01a", "amsterdam", "zzz01", "1ams", "ams 01", "rack 12" };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_null(colo_find(names[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_there_once_and_somewhere),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_what_is_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
