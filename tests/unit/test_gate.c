/* Which connection of a tunnel a request goes over: tables of connectors and what happened to the request before. */
#include "base/mem.h"
#include "edge/edge.h"
#include "edge/gate.h"
#include "steering/registry.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CONNECTORS = 3, LINES = 4, DRAWS = 64 };
enum { DOUBTED_AT = 1000, HEARD_SINCE = 2000 };

/* A connection by its letter: u usable, b busier than others, B much busier, q usable, but not heard of since its connector is in doubt, s suspect,
 * d draining, c closed, i monitors found that it carries nothing, w its window is low, O of our own worker and gone at once, - of no list any more.
 * Connections are named by connector and position: "a0" is the first of the first connector. */
struct row {
    const char *name;
    const char *connectors[CONNECTORS];
    const char *tried;     /* names, the last failure last */
    const char *expected;  /* all that may be chosen, and each of them is; "": none */
    const char *drained;   /* letters of connectors */
    char home;             /* of the connector that the session has; 0: there is none */
    bool keeps;            /* its connector, once drained, keeps it for now */
    bool no_other;
    bool other_connector, has_body;
};

static const struct row rows[] = {
    { .name = "nobody", .expected = "" },
    { .name = "one", .connectors = { "u" }, .expected = "a0" },
    { .name = "all alike", .connectors = { "uu", "uu" }, .expected = "a0a1b0b1" },
    { .name = "the connector with the fewest requests", .connectors = { "ub", "uu" }, .expected = "b0b1" },
    { .name = "of a connector the connection with the fewest", .connectors = { "ub" }, .expected = "a0" },
    { .name = "what is not usable", .connectors = { "sdci", "u" }, .expected = "b0" },
    { .name = "nothing is usable", .connectors = { "sdci" }, .expected = "" },
    { .name = "drained", .connectors = { "uu", "u" }, .drained = "a", .expected = "b0" },
    { .name = "our own before another worker's", .connectors = { "bO" }, .expected = "a0" },
    { .name = "another worker's before our own that is much busier", .connectors = { "BuO" }, .tried = "a2", .expected = "a1" },
    { .name = "a body waits at a low window", .connectors = { "wb" }, .has_body = true, .expected = "a1" },
    { .name = "without a body the window says nothing", .connectors = { "wb" }, .expected = "a0" },

    { .name = "one that failed: beside it", .connectors = { "uu", "uu" }, .tried = "a0", .expected = "a1" },
    { .name = "beside it even if it is busier", .connectors = { "uB", "uu" }, .tried = "a0", .expected = "a1" },
    { .name = "two that failed: another connector", .connectors = { "uuu", "uu" }, .tried = "a0a1", .expected = "b0b1" },
    { .name = "three: beside the last", .connectors = { "uuuu", "uu", "u" }, .tried = "a0a1b0", .expected = "b1" },
    { .name = "four: the third connector", .connectors = { "uuuu", "uuuu", "u" }, .tried = "a0a1b0b1", .expected = "c0" },
    { .name = "nothing but connectors that failed twice", .connectors = { "uuu", "uuu" }, .tried = "a0a1b0b1", .expected = "a2b2" },
    { .name = "all were tried", .connectors = { "uu" }, .tried = "a0a1", .expected = "" },
    { .name = "not beside it where that is drained", .connectors = { "uu", "u" }, .tried = "a0", .drained = "a", .expected = "b0" },

    { .name = "one was lost: the others of its process are doubtful", .connectors = { "cqqq", "uu" }, .tried = "a0", .expected = "b0b1" },
    { .name = "also once nobody lists it any more", .connectors = { "-qqq", "uu" }, .tried = "a0", .expected = "b0b1" },
    { .name = "one of them has been heard of since", .connectors = { "cquq", "uu" }, .tried = "a0", .expected = "a2" },
    { .name = "two were lost of one process", .connectors = { "--qq", "uu" }, .tried = "a0a1", .expected = "b0b1" },
    { .name = "doubtful ones where there is nothing else", .connectors = { "cqqq" }, .tried = "a0", .expected = "a1a2a3" },
    { .name = "requests that met nothing yet avoid them too", .connectors = { "cqqq", "bb" }, .expected = "b0b1" },
    { .name = "and take them where there is nothing else", .connectors = { "cqqq", "sss" }, .expected = "a1a2a3" },
    { .name = "two processes are dying", .connectors = { "-qqq", "cqqq", "u" }, .tried = "a0b0", .expected = "c0" },

    { .name = "the service behind it is out of reach", .connectors = { "uu", "uu" }, .tried = "a0", .other_connector = true, .expected = "b0b1" },
    { .name = "a session", .connectors = { "BB", "uu" }, .home = 'a', .expected = "a0a1" },
    { .name = "its connection that is heard of first", .connectors = { "uBqq", "uu" }, .home = 'a', .expected = "a0" },
    { .name = "it waits for no news of its connector", .connectors = { "cqqq", "uu" }, .home = 'a', .expected = "a1a2a3" },
    { .name = "but not where one is silent", .connectors = { "sqqq", "uu" }, .home = 'a', .expected = "b0b1" },
    { .name = "unless another is heard of", .connectors = { "squq", "uu" }, .home = 'a', .expected = "a2" },
    { .name = "its connector has no connection left", .connectors = { "cd", "uu" }, .home = 'a', .expected = "b0b1" },
    { .name = "its connector is gone", .connectors = { "uu", "u" }, .home = 'c', .expected = "a0a1b0" },
    { .name = "a connection was lost: once more at its connector", .connectors = { "-qqq", "uu" }, .tried = "a0", .home = 'a', .expected = "a1a2a3" },
    { .name = "but no third time", .connectors = { "--qq", "uu" }, .tried = "a0a1", .home = 'a', .expected = "b0b1" },
    { .name = "a connection fell silent: elsewhere", .connectors = { "sqqq", "uu" }, .tried = "a0", .home = 'a', .expected = "b0b1" },
    { .name = "the service behind its connector is out of reach", .connectors = { "uu", "uu" }, .tried = "a0", .home = 'a', .other_connector = true,
      .expected = "b0b1" },
    { .name = "its connector is drained", .connectors = { "uu", "uu" }, .home = 'a', .drained = "a", .expected = "b0b1" },
    { .name = "and keeps it", .connectors = { "uu", "uu" }, .home = 'a', .drained = "a", .keeps = true, .expected = "a0a1" },
    { .name = "others it does not take", .connectors = { "uu", "uu" }, .drained = "a", .keeps = true, .expected = "b0b1" },
    { .name = "all are drained, one keeps it", .connectors = { "uu", "uu" }, .home = 'a', .drained = "ab", .keeps = true, .expected = "a0a1" },
    { .name = "no other than its connector", .connectors = { "uuu", "uu" }, .tried = "a0", .home = 'a', .no_other = true, .expected = "a1a2" },
    { .name = "nor if that failed twice", .connectors = { "uuu", "uu" }, .tried = "a0a1", .home = 'a', .no_other = true, .expected = "" },
    { .name = "nor if its service is out of reach", .connectors = { "uuu", "uu" }, .tried = "a0", .home = 'a', .no_other = true, .other_connector = true,
      .expected = "" },
    { .name = "but it moves from one that is gone", .connectors = { "cc", "uu" }, .home = 'a', .no_other = true, .expected = "b0b1" },
    { .name = "that is so for all", .connectors = { "uu", "uu" }, .tried = "a0b1", .other_connector = true, .expected = "" },
};

/* --- the row's tunnel --- */

static struct tunnel_line *line_of(unsigned connector, unsigned position, char letter)
{
    struct tunnel_line *l = mem_zero(sizeof *l);
    static const char states[] = { [LINE_USABLE] = 'u', [LINE_SUSPECT] = 's', [LINE_DRAINING] = 'd', [LINE_CLOSED] = 'c' };
    atomic_init(&l->refs, 1);
    l->id = 1 + connector * LINES + position;
    for (unsigned i = 0; i < sizeof states; i++)
        if (letter == states[i])
            atomic_init(&l->state, (uint8_t)i);
    atomic_init(&l->sick, letter == 'i');
    atomic_init(&l->worker, letter == 'O' ? 0 : 1);
    atomic_init(&l->in_flight, letter == 'b' ? 1 : letter == 'B' ? 50 : 0);
    atomic_init(&l->window_is_low, letter == 'w');
    atomic_init(&l->heard_at, letter == 'q' ? DOUBTED_AT : HEARD_SINCE);
    return l;
}

static struct tunnel_connector *connector_of(const struct row *row, unsigned i)
{
    struct tunnel_connector *c = mem_zero(sizeof *c);
    atomic_init(&c->refs, 1);
    atomic_init(&c->weight, 1.0);
    atomic_init(&c->drained_at, row->drained && strchr(row->drained, 'a' + (int)i) ? 1 : 0);
    atomic_init(&c->doubted_at, strchr(row->connectors[i], 'q') ? DOUBTED_AT : 0);
    c->hash = 100 + i;
    c->latitude = c->longitude = NAN;
    return c;
}

static struct tunnel_view *view_of(const struct row *row)
{
    struct tunnel_view *v = mem_zero(sizeof *v);
    atomic_init(&v->refs, 1);
    v->connectors = mem_array(CONNECTORS, sizeof *v->connectors);
    v->lines = mem_array(CONNECTORS * LINES, sizeof *v->lines);
    for (unsigned i = 0; i < CONNECTORS && row->connectors[i]; i++) {
        struct tunnel_view_connector *vc = &v->connectors[v->n_connectors++];
        *vc = (struct tunnel_view_connector){ .connector = connector_of(row, i), .first_line = v->n_lines };
        for (unsigned k = 0; row->connectors[i][k]; k++)
            if (row->connectors[i][k] != '-')
                v->lines[v->n_lines++] = line_of(i, k, row->connectors[i][k]);
        vc->n_lines = v->n_lines - vc->first_line;
    }
    return v;
}

/* --- two workers: the one that asks, and the one that owns the connections --- */

struct workers {
    struct ev_loop *loop;
    struct balance_epoch epoch;
    struct edge_worker *all[2];
    struct edge_worker_options options[2];
};

static void workers_init(struct workers *w)
{
    *w = (struct workers){ .loop = ev_loop_new(0) };
    for (unsigned i = 0; i < 2; i++) {
        w->options[i] = (struct edge_worker_options){ .index = i, .n_workers = 2, .workers = w->all, .epoch = &w->epoch };
        w->all[i] = edge_worker_new(w->loop, &w->options[i]);
        gate_set_policy(w->all[i], steering_find("least_outstanding_requests"), NULL);
    }
}

static void workers_clear(struct workers *w)
{
    for (unsigned i = 0; i < 2; i++)
        edge_worker_free(w->all[i]);
    ev_loop_destroy(w->loop);
}

static unsigned read_tried(const char *names, struct tunnel_try tried[TUNNEL_TRIES_MAX])
{
    unsigned n = 0;
    for (const char *p = names; p && *p; p += 2) {
        unsigned connector = (unsigned)(p[0] - 'a'), position = (unsigned)(p[1] - '0');
        tried[n++] = (struct tunnel_try){ .line = 1 + connector * LINES + position, .connector = 100 + connector };
    }
    return n;
}

static struct tunnel_session session_of(const struct row *row)
{
    return (struct tunnel_session){ .connector = row->home ? 100U + (unsigned)(row->home - 'a') : 0,
                                    .drain_duration = row->keeps ? INT64_MAX : 0, .no_other = row->no_other };
}

/* The name of the connection chosen; "": none. */
static void choose_once(struct workers *w, struct tunnel *t, const struct row *row, uint64_t random, char name[3])
{
    struct tunnel_try tried[TUNNEL_TRIES_MAX];
    struct tunnel_wish wish = { .tried = tried, .n_tried = read_tried(row->tried, tried), .other_connector = row->other_connector,
                                .has_body = row->has_body, .host = SLICE("app.test"), .random = random, .latitude = NAN, .longitude = NAN,
                                .session = session_of(row) };
    struct tunnel_opened opened = gate_open(w->all[0], t, NULL, &wish);
    name[0] = 0;
    if (!opened.upstream) {
        assert_int_equal(opened.reason, REASON_TUNNEL_INACTIVE);
        return;
    }
    opened.ops->abort(opened.upstream);
    assert_in_range(opened.over.line, 1, CONNECTORS * LINES);
    assert_int_equal(opened.over.connector, 100 + (opened.over.line - 1) / LINES);
    snprintf(name, 3, "%c%u", 'a' + (char)((opened.over.line - 1) / LINES), (unsigned)((opened.over.line - 1) % LINES));
}

static bool lists(const char *names, const char *name)
{
    for (; *names; names += 2)
        if (memcmp(names, name, 2) == 0)
            return true;
    return false;
}

static void check_row(struct workers *w, const struct row *row)
{
    struct tunnel *t = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");
    char seen[DRAWS * 2 + 1] = "", name[3];
    tunnel_set_view(t, view_of(row));
    for (uint64_t i = 0; i < DRAWS; i++) {
        choose_once(w, t, row, i * UINT64_C(0x9e3779b97f4a7c15), name);
        if (*row->expected ? !lists(row->expected, name) : *name)
            fail_msg("%s: \"%s\" is chosen, expected \"%s\"", row->name, name, row->expected);
        strcat(seen, name);
    }
    for (const char *p = row->expected; *p; p += 2)
        if (!lists(seen, p))
            fail_msg("%s: %.2s is never chosen", row->name, p);
    gate_clear(w->all[0]);
    tunnel_unref(t);
}

static void test_choice(void **state)
{
    struct workers w;
    (void)state;
    workers_init(&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&w, &rows[i]);
    workers_clear(&w);
}

/* That is what a session without tries would get of its own connector. */
static void test_who_is_held(void **state)
{
    static const struct {
        struct row row;
        bool held;
    } cases[] = {
        { { .connectors = { "u", "u" }, .home = 'a' }, true },
        { { .connectors = { "cd", "u" }, .home = 'a' }, false },
        { { .connectors = { "u", "u" }, .home = 'c' }, false },
        { { .connectors = { "u", "u" }, .home = 'a', .drained = "ab" }, false },
        { { .connectors = { "u", "u" }, .home = 'a', .drained = "ab", .keeps = true }, true },
        { { .connectors = { "s", "u" }, .home = 'a' }, false },
    };
    struct workers w;
    (void)state;
    workers_init(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tunnel *t = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");
        struct tunnel_session session = session_of(&cases[i].row);
        tunnel_set_view(t, view_of(&cases[i].row));
        if (gate_home(w.all[0], t, &session).takes_it != cases[i].held)
            fail_msg("case %zu", i);
        gate_clear(w.all[0]);
        tunnel_unref(t);
    }
    workers_clear(&w);
}

/* --- sessions by a key --- */

enum { KEYS = 3000 };

static unsigned connector_by_key(struct workers *w, struct tunnel *t, uint64_t random, uint64_t key)
{
    struct tunnel_wish wish = { .host = SLICE("app.test"), .random = random, .latitude = NAN, .longitude = NAN,
                                .session = { .key = (key + 1) * UINT64_C(0x9e3779b97f4a7c15) } };
    struct tunnel_opened opened = gate_open(w->all[0], t, NULL, &wish);
    assert_non_null(opened.upstream);
    opened.ops->abort(opened.upstream);
    return (unsigned)opened.over.connector - 100;
}

/* By weight, whatever is under way there and whoever asks; who goes takes nobody else's away, and has them back on return. */
static void test_sessions_by_key(void **state)
{
    static const struct row all = { .connectors = { "uu", "BB", "u" } }, without = { .connectors = { "uu", "BB" , "c" } };
    struct tunnel *t = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");
    unsigned count[CONNECTORS] = { 0 };
    uint8_t home[KEYS];
    struct workers w;
    (void)state;
    workers_init(&w);
    tunnel_set_view(t, view_of(&all));
    atomic_store(&t->view->connectors[1].connector->weight, 2.0);
    tunnel_recount(t);
    for (unsigned key = 0; key < KEYS; key++) {
        home[key] = (uint8_t)connector_by_key(&w, t, 0, key);
        count[home[key]]++;
    }
    gate_clear(w.all[0]);
    for (unsigned key = 0; key < KEYS; key++)
        assert_int_equal(connector_by_key(&w, t, key * UINT64_C(0x9e3779b97f4a7c15), key), home[key]);
    assert_in_range(count[0], KEYS / 4 - 120, KEYS / 4 + 120);
    assert_in_range(count[1], KEYS / 2 - 120, KEYS / 2 + 120);
    tunnel_set_view(t, view_of(&without));
    atomic_store(&t->view->connectors[1].connector->weight, 2.0);
    tunnel_recount(t);
    for (unsigned key = 0; key < KEYS; key++) {
        unsigned now = connector_by_key(&w, t, 0, key);
        assert_true(home[key] == 2 ? now < 2 : now == home[key]);
    }
    atomic_store(&t->view->connectors[0].connector->drained_at, 1);
    tunnel_recount(t);
    for (unsigned key = 0; key < KEYS; key += 10)
        assert_int_equal(connector_by_key(&w, t, 0, key), 1);
    workers_clear(&w);
    tunnel_unref(t);
}

/* --- what is not about choosing --- */

static const struct row pair = { .connectors = { "us", "u" } };

static uint64_t open_line(struct workers *w, struct tunnel *t, const struct tunnel_wish *wish, enum reason *reason)
{
    struct tunnel_opened opened = gate_open(w->all[0], t, NULL, wish);
    *reason = opened.reason;
    if (!opened.upstream)
        return 0;
    opened.ops->abort(opened.upstream);
    return opened.over.line;
}

/* A probe names its connection: that one, or none. */
static void test_one_line_only(void **state)
{
    struct workers w;
    struct tunnel *t = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");
    enum reason reason;
    (void)state;
    workers_init(&w);
    tunnel_set_view(t, view_of(&pair));
    for (uint64_t line = 1; line <= CONNECTORS * LINES; line++) {
        bool is_there = line == 1 || line == 1 + LINES;
        assert_int_equal(open_line(&w, t, &(struct tunnel_wish){ .line = line, .host = SLICE("app.test") }, &reason), is_there ? line : 0);
    }
    workers_clear(&w);
    tunnel_unref(t);
}

static void test_hosts_of_cloudflares_are_nobodys(void **state)
{
    struct workers w;
    struct tunnel *t = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");
    enum reason reason;
    (void)state;
    workers_init(&w);
    tunnel_set_view(t, view_of(&pair));
    assert_int_equal(open_line(&w, t, &(struct tunnel_wish){ .host = SLICE("management.argotunnel.com") }, &reason), 0);
    assert_int_equal(reason, REASON_NO_LOAD_BALANCER);
    workers_clear(&w);
    tunnel_unref(t);
}

/* Tables are made anew when who is connected has changed, and only then. */
static void test_views_follow_one_another(void **state)
{
    static const struct row views[] = { { .connectors = { "u" } }, { .connectors = { "c", "u" } }, { .connectors = { NULL } }, { .connectors = { "-", "-", "u" } } };
    static const uint64_t expected[] = { 1, 1 + LINES, 0, 1 + 2 * LINES };
    struct workers w;
    struct tunnel *t = tunnel_new("c1744f8b-faa1-48a4-9e5c-02ac921467fa", "ams");
    enum reason reason;
    (void)state;
    workers_init(&w);
    for (unsigned i = 0; i < 4; i++) {
        tunnel_set_view(t, view_of(&views[i]));
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(open_line(&w, t, &(struct tunnel_wish){ .host = SLICE("app.test"), .random = k }, &reason), expected[i]);
    }
    workers_clear(&w);
    tunnel_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_who_is_held),
        cmocka_unit_test(test_sessions_by_key),
        cmocka_unit_test(test_one_line_only),
        cmocka_unit_test(test_hosts_of_cloudflares_are_nobodys),
        cmocka_unit_test(test_views_follow_one_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
