/* A tunnel as everybody sees it: who is connected, how many of the connections take new streams, and who holds what. */
#include "balance/tunnel.h"
#include "base/mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID "c1744f8b-faa1-48a4-9e5c-02ac921467fa"

/* --- views by hand --- */

static struct tunnel_connector *connector_new(void)
{
    struct tunnel_connector *c = mem_zero(sizeof *c);
    atomic_init(&c->refs, 1);
    atomic_init(&c->weight, 1.0);
    return c;
}

static struct tunnel_line *line_new(uint64_t id)
{
    struct tunnel_line *l = mem_zero(sizeof *l);
    atomic_init(&l->refs, 1);
    l->id = id;
    return l;
}

enum { CONNECTORS_MAX = 3, LINES_MAX = 4 };
struct connected { /* holds a reference to each, beside the view's */
    struct tunnel_connector *connectors[CONNECTORS_MAX];
    struct tunnel_line *lines[CONNECTORS_MAX][LINES_MAX];
    size_t n_connectors, n_lines;
};

static void connect_all(struct connected *w, size_t n_connectors, size_t n_lines)
{
    *w = (struct connected){ .n_connectors = n_connectors, .n_lines = n_lines };
    for (size_t c = 0; c < n_connectors; c++) {
        w->connectors[c] = connector_new();
        for (size_t i = 0; i < n_lines; i++)
            w->lines[c][i] = line_new(1 + c * LINES_MAX + i);
    }
}

static void let_go(struct connected *w)
{
    for (size_t c = 0; c < w->n_connectors; c++) {
        tunnel_connector_unref(w->connectors[c]);
        for (size_t i = 0; i < w->n_lines; i++)
            tunnel_line_unref(w->lines[c][i]);
    }
}

static struct tunnel_view *view_of(const struct connected *w)
{
    struct tunnel_view *v = mem_zero(sizeof *v);
    atomic_init(&v->refs, 1);
    v->n_connectors = w->n_connectors;
    v->connectors = mem_array(w->n_connectors + 1, sizeof *v->connectors);
    v->lines = mem_array(w->n_connectors * w->n_lines + 1, sizeof(struct tunnel_line *));
    for (size_t c = 0; c < w->n_connectors; c++) {
        v->connectors[c] = (struct tunnel_view_connector){ tunnel_connector_ref(w->connectors[c]), v->n_lines, w->n_lines };
        for (size_t i = 0; i < w->n_lines; i++)
            v->lines[v->n_lines++] = tunnel_line_ref(w->lines[c][i]);
    }
    return v;
}

/* --- names --- */

static void test_names(void **state)
{
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {
        { "ams", true }, { "app-1_x", true }, { "", false }, { "1a", false }, { "-a", false }, { "a.b", false }, { "a b", false }, { "app-*", false },
        { ID, false }, { "C1744F8B-FAA1-48A4-9E5C-02AC921467FA", false }, { "c1744f8b-faa1-48a4-9e5c-02ac921467f", true },
        { "a12345678901234567890123456789012345678901234567890123456789012", true },  /* 63 */
        { "a123456789012345678901234567890123456789012345678901234567890123", false }, /* 64 */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (tunnel_name_is_valid(rows[i].name) != rows[i].valid)
            fail_msg("%s", rows[i].name);
}

static void test_names_of_states(void **state)
{
    static const char *const names[] = { "unknown", "healthy", "degraded", "down", "inactive" };
    (void)state;
    for (enum tunnel_status s = TUNNEL_UNKNOWN; s <= TUNNEL_INACTIVE; s++)
        assert_string_equal(tunnel_status_name(s), names[s]);
}

/* --- counting --- */

static void test_a_new_one_has_nobody(void **state)
{
    struct tunnel *t = tunnel_new(ID, "ams");
    struct tunnel_view *v = tunnel_get_view(t);
    (void)state;
    assert_string_equal(t->id, ID);
    assert_string_equal(t->name, "ams");
    assert_int_equal(v->n_connectors + v->n_lines, 0);
    assert_false(tunnel_is_usable(t));
    assert_false(tunnel_recount(t));
    assert_int_equal(atomic_load(&t->status), TUNNEL_UNKNOWN);
    tunnel_view_unref(v);
    tunnel_unref(t);
    tunnel_unref(NULL);
}

/* One step after the other on two connectors of two lines; what is left, and whether the tunnel turned by it. */
static const struct step {
    const char *name;
    enum { SET_STATE, SET_SICK, SET_DRAINED, SET_WEIGHT } what;
    size_t connector, line;
    int to;
    uint32_t usable;
    bool turned;
    uint32_t held_back;
} steps[] = {
    { "one is suspect", SET_STATE, 0, 0, LINE_SUSPECT, 3, false, 0 },
    { "and well again", SET_STATE, 0, 0, LINE_USABLE, 4, false, 0 },
    { "one drains", SET_STATE, 0, 0, LINE_DRAINING, 3, false, 0 },
    { "and closes", SET_STATE, 0, 0, LINE_CLOSED, 3, false, 0 },
    { "one does not carry", SET_SICK, 0, 1, true, 2, false, 0 },
    { "the other connector is drained", SET_DRAINED, 1, 0, true, 0, true, 2 },
    { "and comes back", SET_DRAINED, 1, 0, false, 2, true, 0 },
    { "one of its own is suspect", SET_STATE, 1, 1, LINE_SUSPECT, 1, false, 0 },
    { "both are", SET_STATE, 1, 0, LINE_SUSPECT, 0, true, 0 },
    { "the sick one carries again", SET_SICK, 0, 1, false, 1, true, 0 },
    { "its connector gets no share", SET_WEIGHT, 0, 0, 0, 0, true, 1 },
    { "and one again", SET_WEIGHT, 0, 0, 2, 1, true, 0 },
};

static bool take(struct tunnel *t, struct connected *w, const struct step *s)
{
    struct tunnel_line *line = w->lines[s->connector][s->line];
    switch (s->what) {
    case SET_STATE:
        return tunnel_set_line_state(t, line, (enum line_state)s->to);
    case SET_SICK:
        atomic_store(&line->sick, s->to);
        break;
    case SET_DRAINED:
        atomic_store(&w->connectors[s->connector]->drained_at, s->to);
        break;
    case SET_WEIGHT:
        atomic_store(&w->connectors[s->connector]->weight, (double)s->to);
        break;
    }
    return tunnel_recount(t);
}

static void test_what_counts_as_usable(void **state)
{
    struct tunnel *t = tunnel_new(ID, "ams");
    struct connected w;
    (void)state;
    connect_all(&w, 2, 2);
    assert_true(tunnel_set_view(t, view_of(&w)));
    assert_int_equal(atomic_load(&t->usable), 4);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        bool turned = take(t, &w, &steps[i]);
        if (turned != steps[i].turned || atomic_load(&t->usable) != steps[i].usable || tunnel_is_usable(t) != (steps[i].usable > 0))
            fail_msg("%s: %u usable", steps[i].name, atomic_load(&t->usable));
        if (atomic_load(&t->held_back) != steps[i].held_back || tunnel_is_held_back(t) != (!steps[i].usable && steps[i].held_back))
            fail_msg("%s: %u held back", steps[i].name, atomic_load(&t->held_back));
    }
    tunnel_unref(t);
    let_go(&w);
}

static void test_views_follow_each_other(void **state)
{
    struct tunnel *t = tunnel_new(ID, "ams");
    struct connected one, three, nobody = { .n_connectors = 0 };
    (void)state;
    connect_all(&one, 1, 1);
    connect_all(&three, 3, 4);
    assert_true(tunnel_set_view(t, view_of(&one)));
    assert_false(tunnel_set_view(t, view_of(&three)));
    assert_int_equal(atomic_load(&t->usable), 12);
    assert_int_equal(atomic_load(&t->version), 2);
    assert_false(tunnel_set_line_state(t, one.lines[0][0], LINE_CLOSED)); /* no part of it any more */
    assert_int_equal(atomic_load(&t->usable), 12);
    assert_true(tunnel_set_view(t, view_of(&nobody)));
    assert_false(tunnel_is_usable(t));
    tunnel_unref(t);
    let_go(&one);
    let_go(&three);
}

static void test_each_connection_is_news_where_weights_follow(void **state)
{
    struct tunnel *t = tunnel_new(ID, "ams");
    struct connected one, three;
    (void)state;
    connect_all(&one, 1, 1);
    connect_all(&three, 3, 4);
    atomic_store(&t->scales, true);
    assert_true(tunnel_set_view(t, view_of(&one)));
    assert_true(tunnel_set_view(t, view_of(&three)));
    assert_true(tunnel_set_line_state(t, three.lines[1][2], LINE_SUSPECT));
    assert_false(tunnel_set_line_state(t, three.lines[1][2], LINE_CLOSED));
    tunnel_unref(t);
    let_go(&one);
    let_go(&three);
}

/* --- who holds what --- */

static void test_a_view_outlives_what_it_shows(void **state)
{
    struct tunnel *t = tunnel_new(ID, "ams");
    struct connected w, nobody = { .n_connectors = 0 };
    (void)state;
    connect_all(&w, 1, 2);
    tunnel_set_view(t, view_of(&w));
    struct tunnel_view *held = tunnel_get_view(t);
    assert_int_equal(atomic_load(&w.lines[0][1]->refs), 2);
    tunnel_set_view(t, view_of(&nobody));
    tunnel_unref(t);
    assert_int_equal(atomic_load(&w.lines[0][1]->refs), 2);
    assert_ptr_equal(held->lines[1], w.lines[0][1]);
    assert_ptr_equal(held->connectors[0].connector, w.connectors[0]);
    tunnel_view_unref(held);
    assert_int_equal(atomic_load(&w.lines[0][1]->refs), 1);
    assert_int_equal(atomic_load(&w.connectors[0]->refs), 1);
    let_go(&w);
}

enum { TURNS = 2000, READERS = 2, OWNERS = 2 };
struct shared {
    struct tunnel *tunnel;
    struct connected connected;
    size_t next_owner;
    pthread_mutex_t lock;
};

/* What a choice does: looks whether there is anybody, and who. */
static void *read_views(void *arg)
{
    struct shared *s = arg;
    uint64_t seen = 0;
    for (unsigned i = 0; i < TURNS; i++) {
        struct tunnel_view *v = tunnel_get_view(s->tunnel);
        for (size_t j = 0; j < v->n_lines; j++)
            seen += tunnel_line_is_usable(v->lines[j]) + v->lines[j]->id;
        seen += tunnel_is_usable(s->tunnel);
        tunnel_view_unref(v);
    }
    return (void *)(uintptr_t)seen;
}

/* What the worker that owns a connection does. */
static void *turn_lines(void *arg)
{
    struct shared *s = arg;
    pthread_mutex_lock(&s->lock);
    struct tunnel_line *line = tunnel_line_ref(s->connected.lines[0][s->next_owner++]);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < TURNS; i++)
        tunnel_set_line_state(s->tunnel, line, i % 2 ? LINE_USABLE : LINE_SUSPECT);
    tunnel_line_unref(line);
    return NULL;
}

static void test_threads_share_it(void **state)
{
    struct shared s = { .tunnel = tunnel_new(ID, "ams") };
    struct connected nobody = { .n_connectors = 0 };
    pthread_t threads[READERS + OWNERS];
    (void)state;
    pthread_mutex_init(&s.lock, NULL);
    connect_all(&s.connected, 2, OWNERS);
    for (unsigned i = 0; i < READERS + OWNERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < READERS ? read_views : turn_lines, &s), 0);
    for (unsigned i = 0; i < TURNS; i++) /* control */
        tunnel_set_view(s.tunnel, view_of(i % 2 ? &s.connected : &nobody));
    for (unsigned i = 0; i < READERS + OWNERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    /* Whoever came last counted what all the others did. */
    assert_int_equal(atomic_load(&s.tunnel->usable), 2 * OWNERS);
    assert_int_equal(atomic_load(&s.tunnel->version), TURNS);
    tunnel_unref(s.tunnel);
    let_go(&s.connected);
    pthread_mutex_destroy(&s.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_of_states),
        cmocka_unit_test(test_a_new_one_has_nobody),
        cmocka_unit_test(test_what_counts_as_usable),
        cmocka_unit_test(test_views_follow_each_other),
        cmocka_unit_test(test_each_connection_is_news_where_weights_follow),
        cmocka_unit_test(test_a_view_outlives_what_it_shows),
        cmocka_unit_test(test_threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
