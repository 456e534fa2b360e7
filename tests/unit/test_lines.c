/* Connections of a tunnel under one monitor: whose turn it is, and who is sick alone. */
#include "monitors/lines.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LINES_MAX = 12 };

struct fixture {
    struct tunnel *tunnel;
    struct tunnel_line *lines[LINES_MAX];
    struct line_results results;
    char turned[256]; /* "+3 -3": sick and well */
};

static void on_turned(void *arg, const char *tunnel, uint64_t line, bool sick, const char *detail)
{
    struct fixture *f = arg;
    size_t n = strlen(f->turned);
    assert_non_null(detail);
    assert_string_equal(tunnel, f->tunnel->id);
    snprintf(f->turned + n, sizeof f->turned - n, "%s%c%llu", n ? " " : "", sick ? '+' : '-', (unsigned long long)line);
}

static void show(struct fixture *f, const char *ids)
{
    struct tunnel_view *v = mem_zero(sizeof *v);
    atomic_init(&v->refs, 1);
    v->connectors = mem_array(1, sizeof *v->connectors);
    v->lines = mem_array(LINES_MAX, sizeof *v->lines);
    for (; *ids; ids++)
        v->lines[v->n_lines++] = tunnel_line_ref(f->lines[*ids - '0']);
    tunnel_set_view(f->tunnel, v);
}

static int setup(void **state)
{
    struct fixture *f = mem_zero(sizeof *f);
    f->tunnel = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");
    for (unsigned i = 0; i < LINES_MAX; i++) {
        f->lines[i] = mem_zero(sizeof *f->lines[i]);
        atomic_init(&f->lines[i]->refs, 1);
        f->lines[i]->id = i;
        atomic_init(&f->lines[i]->state, (uint8_t)LINE_USABLE);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lines_clear(&f->results, on_turned, f);
    tunnel_unref(f->tunnel);
    for (unsigned i = 0; i < LINES_MAX; i++)
        tunnel_line_unref(f->lines[i]);
    free(f);
    return 0;
}

static char next(struct fixture *f)
{
    struct tunnel_line *line = lines_next(&f->results, f->tunnel, on_turned, f);
    char id = line ? (char)('0' + line->id) : '-';
    tunnel_line_unref(line);
    return id;
}

static void expect_turns(struct fixture *f, const char *ids)
{
    for (; *ids; ids++)
        assert_int_equal(next(f), *ids);
}

static void each_in_turn(void **state)
{
    struct fixture *f = *state;
    show(f, "");
    expect_turns(f, "--");
    show(f, "3512"); /* grouped by connector, so in no order */
    expect_turns(f, "1235123");
    show(f, "6351"); /* 2 went, 6 came */
    expect_turns(f, "5613");
    atomic_store(&f->lines[5]->state, (uint8_t)LINE_DRAINING);
    expect_turns(f, "613");
    atomic_store(&f->lines[6]->sick, true); /* looked at all the same */
    expect_turns(f, "613");
}

static void faster_with_more_up_to_eight(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(lines_pace(&f->results), 1);
    show(f, "1234");
    next(f);
    assert_int_equal(lines_pace(&f->results), 4);
    show(f, "123456789");
    next(f);
    assert_int_equal(lines_pace(&f->results), LINES_PER_INTERVAL);
}

/* "3f" is a failure over connection 3, "3p" a pass, "3b" a blocked probe; a second passes between them. Returns which count:
 * "y", "n". */
static const char *feed(struct fixture *f, const char *results)
{
    static const struct monitor monitor = { .name = "app", .consecutive_up = 2, .consecutive_down = 3 };
    static char counts[64];
    nsec_t now = NSEC_PER_SEC;
    size_t n = 0;
    for (const char *p = results; *p; p += 2 + (p[2] == ' '), now += NSEC_PER_SEC) {
        struct judgement j = { .pass = p[1] == 'p', .diagnosis = p[1] == 'b' ? DIAGNOSIS_PROBE_BLOCKED : DIAGNOSIS_UNREACHABLE };
        counts[n++] = lines_add(&f->results, (uint64_t)(p[0] - '0'), &monitor, &j, now, on_turned, f) ? 'y' : 'n';
    }
    counts[n] = '\0';
    return counts;
}

static void sickness(void **state)
{
    static const struct {
        const char *lines, *results, *counts, *turned;
    } cases[] = {
        { "1", "1f 1f 1f 1f", "yyyy", "" },                               /* alone: the endpoint's matter */
        { "12", "1p 2p 1p 2p", "yyyy", "" },
        { "12", "1p 2p 1f 2p 1f 2p 1f 2p", "yynynyny", "+1" },            /* the other one passes all the time */
        { "12", "1p 2p 1f 2p 1f 2p 1f 2p 1p 2p 1p", "yynynynyyyy", "+1 -1" }, /* well after two */
        { "12", "1p 2p 1f 2p 1f 2p 1p 2p 1f 2p", "yynynyyyny", "" },      /* in a row */
        { "12", "1p 2p 1f 2f 1f 2f", "yynyyy", "" },                      /* the service is down, not one connection */
        { "12", "1p 2p 1f 1f 1f 1f 2f 1f", "yynnnnyy", "" },              /* nothing new is known of the other one */
        { "12", "1p 2p 1f 2p 1f 2p 1f 2p 2f 1f", "yynynynyyy", "+1 -1" }, /* then the service fails as well: nobody is sick */
        { "123", "1p 2p 3p 1f 2p 3p 1f 2p 3p 1f 2p 3p 2f 3f", "yyynyynyynyyny", "+1 -1" },
        { "12", "1p 2p 1b 2p 1b 2p 1b 2p", "yyyyyyyy", "" },              /* blocked: says nothing */
        { "12", "9f", "y", "" },                                          /* gone meanwhile */
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lines_clear(&f->results, on_turned, f);
        f->turned[0] = '\0';
        show(f, cases[i].lines);
        next(f);
        const char *counts = feed(f, cases[i].results);
        if (strcmp(counts, cases[i].counts) != 0 || strcmp(f->turned, cases[i].turned) != 0)
            fail_msg("%s: counts %s, turned \"%s\"", cases[i].results, counts, f->turned);
    }
}

/* What was said of a connection is taken back when it goes, or nobody looks any more. */
static void taken_back(void **state)
{
    struct fixture *f = *state;
    show(f, "12");
    next(f);
    feed(f, "1p 2p 1f 2p 1f 2p 1f 2p");
    assert_string_equal(f->turned, "+1");
    assert_false(lines_are_turning(&f->results));
    show(f, "2");
    next(f);
    assert_string_equal(f->turned, "+1 -1");
    show(f, "12");
    next(f);
    feed(f, "1p 2p 1f 2p 1f 2p");
    assert_true(lines_are_turning(&f->results));
    feed(f, "1f 2p");
    lines_clear(&f->results, on_turned, f);
    assert_string_equal(f->turned, "+1 -1 +1 -1");
}

#define WITH_TUNNEL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TUNNEL(each_in_turn),
        WITH_TUNNEL(faster_with_more_up_to_eight),
        WITH_TUNNEL(sickness),
        WITH_TUNNEL(taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
