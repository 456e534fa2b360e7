/* The registry of our edge's tunnels: who is let in, what the operator says, rules pushed and compared, and what a restart
 * leaves. Workers are stood in for by what is posted to them, time is scripted. */
#include "control/registry.h"

#include "conf_under_test.h"

#include "balance/live.h"
#include "base/list.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "live_control.h"

static const struct slice none_given; /* of secrets: one is made */

enum { WORKERS = 3, POSTS_MAX = 256, EVENTS_MAX = 64, PATIENCE_S = 20 };

#define AMS "c1744f8b-faa1-48a4-9e5c-02ac921467fa"
#define FRA "7d1f2c0a-3b1e-4c55-9d6e-0a1b2c3d4e5f"
#define SECRET "U1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1M="       /* 32 times S */
#define OTHER_SECRET "VFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFQ=" /* 32 times T */

#define EDGE_BEGIN \
    "edge = { addresses = [ \"127.0.0.1:17844\" ]; location = \"ams01\"; expected_connections = 2; advertise = [ " \
    "\"edge.test:7844\" ];\n"
#define TUNNELS \
    "tunnels = ( { id = \"" AMS "\"; name = \"ams\"; secret = \"" SECRET "\"; }, { id = \"" FRA \
    "\"; name = \"fra\"; secret = \"" SECRET "\"; } );\n"
#define REST \
    "listeners = ( { address = \"127.0.0.1:8080\"; } );\n" \
    "monitors = ( { name = \"app\"; type = \"http\"; interval = \"1h\"; interval_turning = \"1h\"; timeout = \"1s\"; } );\n" \
    "pools = ( { name = \"europe\"; monitors = [ ]; endpoints = ( { name = \"ams\"; tunnel = \"ams\"; }, { tunnel = \"fra\"; }, " \
    "{ tunnels = \"app-*\"; identical = true; } ); } );\n" \
    "load_balancers = ( { hostnames = [ \"app.test\" ]; default_pools = [ \"europe\" ]; } );\n"
static const char configuration[] = EDGE_BEGIN TUNNELS "};\n" REST;
#define PUSHING(service) \
    EDGE_BEGIN TUNNELS "ingress = ( { tunnels = [ \"ams\", \"fra\" ]; rules = ( { service = \"" service "\"; } ); } ); };\n" REST

struct posted {
    char what; /* "a"nswer, "c"lose, "p"ush, "d"rain */
    unsigned worker;
    uint64_t line;
    struct edge_answer answer;
    int version;
    char text[512];
};

struct edge_worker {
    unsigned index;
};

struct fixture {
    struct control control;
    struct edge_worker workers[WORKERS], *by_index[WORKERS];
    struct posted posts[POSTS_MAX];
    unsigned n_posts;
    char *events[EVENTS_MAX];
    unsigned n_events;
    unsigned rejoined;
};

static nsec_t scripted;
static struct fixture *current;

static nsec_t script_monotonic(void)
{
    return scripted;
}

static nsec_t script_wall(void)
{
    return 1795600000 * NSEC_PER_SEC + scripted;
}

/* --- doubles --- */

static struct posted *post(const struct edge_worker *w, char what)
{
    assert_true(current->n_posts < POSTS_MAX);
    struct posted *p = &current->posts[current->n_posts++];
    *p = (struct posted){ .what = what, .worker = w->index };
    return p;
}

void edge_worker_post_answer(struct edge_worker *w, uint64_t ticket, const struct edge_answer *answer)
{
    struct posted *p = post(w, 'a');
    p->answer = *answer;
    p->line = ticket;
}

void edge_worker_post_close(struct edge_worker *w, uint64_t line, enum reason reason, const char *detail)
{
    struct posted *p = post(w, 'c');
    assert_true(reason != REASON_NONE);
    p->line = line;
    snprintf(p->text, sizeof p->text, "%s", detail);
}

void edge_worker_post_push(struct edge_worker *w, uint64_t line, int version, const char *json, size_t n)
{
    struct posted *p = post(w, 'p');
    p->line = line;
    p->version = version;
    snprintf(p->text, sizeof p->text, "%.*s", (int)n, json);
}

bool control_rejoin(struct control *control, struct conf_messages *messages)
{
    (void)control, (void)messages;
    current->rejoined++;
    return true;
}

/* --- the fixture --- */

static void on_event(void *arg, struct event *event)
{
    struct fixture *f = arg;
    assert_true(f->n_events < EVENTS_MAX);
    f->events[f->n_events++] = mem_printf("%s %s%s", event->type, event->subject, event->recovery ? " recovery" : "");
}

static void put_in_force(struct fixture *f, struct config *config)
{
    tunnels_set_config(f->control.registry, config);
    tunnels_attach(f->control.registry, config);
    live_control_put_in_force(&f->control, config);
}

static void open_registry(struct fixture *f)
{
    struct control *c = &f->control;
    char error[256] = "";
    c->registry = tunnels_new(c);
    c->registry->monotonic = script_monotonic;
    c->registry->wall = script_wall;
    if (!tunnels_load(c->registry, error))
        fail_msg("%s", error);
}

static void start(struct fixture *f, const char *text)
{
    struct control *c = &f->control;
    c->n_workers = WORKERS;
    c->edge_workers = f->by_index;
    c->state_dir = test_folder;
    live_control_start(c, on_event, f);
    open_registry(f);
    put_in_force(f, load_text(text));
}

static void forget_posts(struct fixture *f)
{
    for (unsigned i = 0; i < f->n_posts; i++) {
        if (f->posts[i].what != 'a')
            continue;
        tunnel_unref(f->posts[i].answer.tunnel);
        tunnel_connector_unref(f->posts[i].answer.connector);
        tunnel_line_unref(f->posts[i].answer.line);
    }
    f->n_posts = 0;
}

static void stop(struct fixture *f)
{
    forget_posts(f);
    f->control.stopping = true;
    live_control_stop(&f->control);
    for (unsigned i = 0; i < f->n_events; i++)
        free(f->events[i]);
    free(f);
}

static struct fixture *fixture_new(const char *text)
{
    struct fixture *f = current = mem_zero(sizeof *f);
    for (unsigned i = 0; i < WORKERS; i++) {
        f->workers[i].index = i;
        f->by_index[i] = &f->workers[i];
    }
    start(f, text);
    return f;
}

static int setup(void **state)
{
    scripted = 1000 * NSEC_PER_SEC;
    strcpy(test_folder, "/tmp/penstock-test-XXXXXX");
    make_test_folder(state);
    *state = fixture_new(configuration);
    return 0;
}

static int teardown(void **state)
{
    stop(*state);
    return remove_test_folder(state);
}

/* The process ends and another begins. */
static struct fixture *restart(void **state, struct fixture *f, const char *text)
{
    stop(f);
    return *state = fixture_new(text);
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    *(bool *)timer->data = true;
    ev_break(loop, EVBREAK_ALL);
}

/* The store's thread brings events back to the loop. */
static void turn_until_events(struct fixture *f, unsigned n)
{
    bool late = false;
    ev_timer timer;
    ev_timer_init(&timer, on_late, PATIENCE_S, 0.);
    timer.data = &late;
    ev_timer_start(f->control.loop, &timer);
    ev_timer_stop(f->control.loop, &f->control.registry->tick);
    while (f->n_events < n && !late)
        ev_run(f->control.loop, EVRUN_ONCE);
    ev_timer_stop(f->control.loop, &timer);
    assert_false(late);
}

static unsigned count_events(const struct fixture *f, const char *what)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->n_events; i++)
        n += strcmp(f->events[i], what) == 0;
    return n;
}

/* A marker behind what was published, so that what is not there has not been. */
static void gather_events(struct fixture *f)
{
    static const char marker[] = "alert.test marker";
    unsigned before = count_events(f, marker);
    bus_publish(f->control.bus, "alert.test", "marker", SEVERITY_INFO, false, NULL);
    while (count_events(f, marker) == before)
        turn_until_events(f, f->n_events + 1);
}

static void pass(struct fixture *f, double seconds)
{
    for (double left = seconds; left > 0.05; left -= 0.1) {
        scripted += NSEC_PER_SEC / 10;
        registry_tick(f->control.registry);
    }
}

/* --- connectors --- */

static const char *connector_id(unsigned n)
{
    static char ids[4][UUID_TEXT_SIZE];
    static unsigned next;
    char *id = ids[next++ % 4];
    snprintf(id, UUID_TEXT_SIZE, "00000000-0000-4000-8000-%012u", n);
    return id;
}

struct caller {
    const char *tunnel, *account;
    char secret; /* 32 times */
    unsigned connector, index, worker;
};

static const struct posted *call(struct fixture *f, const struct caller *c)
{
    struct edge_registration r = { .ticket = 77,
                                   .worker = c->worker,
                                   .index = c->index,
                                   .version = "2026.8.2",
                                   .arch = "linux_amd64",
                                   .n_features = 1,
                                   .features = { "serialized_headers" } };
    unsigned before = f->n_posts;
    snprintf(r.connector, sizeof r.connector, "%s", connector_id(c->connector));
    snprintf(r.credentials.tunnel, sizeof r.credentials.tunnel, "%s", c->tunnel);
    snprintf(r.credentials.account, sizeof r.credentials.account, "%s", c->account);
    memset(r.credentials.secret, c->secret, 32);
    r.credentials.secret_size = 32;
    assert_true(address_parse("192.0.2.7", 4711, &r.peer));
    tunnels_on_registered(&f->control, &r);
    assert_int_equal(r.credentials.secret_size, 0); /* cleared */
    for (unsigned i = before; i < f->n_posts; i++)
        if (f->posts[i].what == 'a')
            return &f->posts[i];
    fail_msg("no answer");
    return NULL;
}

/* Its owner has it. */
static uint64_t own(const struct posted *p)
{
    assert_true(p->answer.accepted);
    tunnel_set_line_state(p->answer.tunnel, p->answer.line, LINE_USABLE);
    return p->answer.line->id;
}

static uint64_t dial(struct fixture *f, const char *tunnel, unsigned connector, unsigned index)
{
    return own(call(f, &(struct caller){ tunnel, "any", 'S', connector, index, 0 }));
}

static void lose(struct fixture *f, const char *tunnel, uint64_t line)
{
    struct tunnel_entry *e = registry_by_id(f->control.registry, tunnel);
    if (e && registry_line(e, line))
        tunnel_set_line_state(e->tunnel, registry_line(e, line)->line, LINE_CLOSED);
    tunnels_on_line_changed(&f->control, tunnel, line, LINE_CLOSED, REASON_CONNECTION_LOST, "closed by the connector");
}

static const struct tunnel_standing *standing(struct fixture *f, const char *name)
{
    return &registry_find(f->control.registry, name)->memory.standing;
}

static const struct endpoint_record *endpoint(struct fixture *f, const char *id)
{
    return control_find_endpoint(&f->control, id);
}

/* --- admission --- */

static void strangers_are_all_told_the_same(void **state)
{
    static const struct caller callers[] = {
        { "11111111-1111-4111-8111-111111111111", "any", 'S', 1, 0, 1 }, /* no such tunnel */
        { AMS, "any", 'X', 1, 0, 1 },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof callers / sizeof *callers; i++) {
        const struct posted *p = call(f, &callers[i]);
        assert_false(p->answer.accepted);
        assert_string_equal(p->answer.cause, "Unauthorized: invalid tunnel secret");
        assert_int_equal(p->worker, 1);
        assert_int_equal(p->line, 77);
    }
    assert_int_equal(standing(f, "ams")->status, TUNNEL_INACTIVE);
}

static void account_of_a_tunnel_made_at_run_time(void **state)
{
    struct fixture *f = *state;
    struct credentials c;
    char error[256];
    assert_int_equal(tunnels_create(f->control.registry, "lone", "acc", none_given, &c, error), TUNNELS_DONE);
    struct tunnel_entry *e = registry_find(f->control.registry, "lone");
    memset(e->credentials.secret, 'S', 32);
    assert_false(call(f, &(struct caller){ c.tunnel, "other", 'S', 1, 0, 0 })->answer.accepted);
    assert_true(call(f, &(struct caller){ c.tunnel, "acc", 'S', 1, 0, 0 })->answer.accepted);
}

static void let_in(void **state)
{
    struct fixture *f = *state;
    const struct posted *p = call(f, &(struct caller){ AMS, "any", 'S', 1, 3, 2 });
    assert_true(p->answer.accepted);
    assert_string_equal(p->answer.location, "ams01");
    assert_false(p->answer.remotely_managed);
    assert_int_equal(p->answer.line->index, 3);
    assert_int_equal(atomic_load(&p->answer.line->worker), 2); /* it stays where it is */
    assert_false(tunnel_is_usable(p->answer.tunnel));          /* until its owner has it */
    own(p);
    assert_true(tunnel_is_usable(p->answer.tunnel));
    assert_int_equal(p->answer.tunnel->view->n_lines, 1);
    assert_int_equal(standing(f, "ams")->status, TUNNEL_DEGRADED);
}

static void spread_over_workers(void **state)
{
    struct fixture *f = *state;
    unsigned of_worker[WORKERS] = { 0 };
    for (unsigned i = 0; i < 6; i++) {
        const struct posted *p = call(f, &(struct caller){ AMS, "any", 'S', 1, i, 1 });
        of_worker[atomic_load(&p->answer.line->worker)]++;
    }
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(of_worker[i], 2);
}

static void limits(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 25; i++)
        dial(f, AMS, i, 0);
    const struct posted *p = call(f, &(struct caller){ AMS, "any", 'S', 25, 0, 0 });
    assert_false(p->answer.accepted);
    assert_string_equal(p->answer.cause, "Unauthorized: tunnel ams has 25 connectors already, the most it may have");
    forget_posts(f);
    for (unsigned i = 0; i < 25; i++)
        for (unsigned j = 1; j < 4; j++)
            dial(f, AMS, i, j);
    p = call(f, &(struct caller){ AMS, "any", 'S', 3, 4, 0 });
    assert_string_equal(p->answer.cause, "Unauthorized: tunnel ams has 100 connections already, the most it may have");
    assert_true(call(f, &(struct caller){ AMS, "any", 'S', 3, 2, 0 })->answer.accepted); /* in place of its predecessor */
    assert_true(call(f, &(struct caller){ FRA, "any", 'S', 25, 0, 0 })->answer.accepted);
}

static void one_that_leaves_makes_room(void **state)
{
    struct fixture *f = *state;
    uint64_t first = dial(f, AMS, 0, 0);
    for (unsigned i = 1; i < 25; i++)
        dial(f, AMS, i, 0);
    tunnels_on_line_changed(&f->control, AMS, first, LINE_DRAINING, REASON_NONE, "it said so");
    assert_true(call(f, &(struct caller){ AMS, "any", 'S', 25, 0, 0 })->answer.accepted);
}

static void replaces_its_dead_predecessor(void **state)
{
    struct fixture *f = *state;
    uint64_t dead = dial(f, AMS, 1, 0), other = dial(f, AMS, 1, 1);
    forget_posts(f);
    uint64_t line = dial(f, AMS, 1, 0);
    assert_int_equal(f->posts[0].what, 'c');
    assert_true(f->posts[0].line == dead);
    struct tunnel_entry *e = registry_find(f->control.registry, "ams");
    assert_int_equal(e->tunnel->view->n_lines, 2);
    assert_true(e->tunnel->view->lines[0]->id == other && e->tunnel->view->lines[1]->id == line);
    assert_int_equal(registry_count_lines(e, NULL), 2);
    forget_posts(f);
    pass(f, 1.2); /* the order may have missed it */
    assert_true(f->n_posts == 1 && f->posts[0].what == 'c' && f->posts[0].line == dead);
    lose(f, AMS, dead);
    pass(f, 3);
    assert_int_equal(f->n_posts, 1);
    assert_int_equal(standing(f, "ams")->status, TUNNEL_HEALTHY);
}

static void nobody_is_let_in_when_we_stop(void **state)
{
    struct fixture *f = *state;
    f->control.stopping = true;
    assert_string_equal(call(f, &(struct caller){ AMS, "any", 'S', 1, 0, 0 })->answer.cause, "Unauthorized: the edge is stopping");
}

/* --- status --- */

static void events_follow_the_connections(void **state)
{
    struct fixture *f = *state;
    uint64_t a = dial(f, AMS, 1, 0), b = dial(f, AMS, 1, 1);
    pass(f, 0.1);
    assert_int_equal(endpoint(f, "europe/ams")->verdict.state, VERDICT_HEALTHY);
    lose(f, AMS, a);
    pass(f, 1);
    assert_int_equal(endpoint(f, "europe/ams")->verdict.state, VERDICT_HEALTHY);
    lose(f, AMS, b);
    assert_int_equal(endpoint(f, "europe/ams")->verdict.state, VERDICT_DOWN); /* in the same turn */
    assert_int_equal(endpoint(f, "europe/ams")->verdict.diagnosis, DIAGNOSIS_TUNNEL_INACTIVE);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.healthy " AMS), 1);
    assert_int_equal(count_events(f, "tunnel.inactive " AMS), 1);
    assert_int_equal(count_events(f, "tunnel.degraded " AMS), 0);
    dial(f, AMS, 1, 0);
    dial(f, AMS, 1, 1);
    pass(f, 0.1);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.healthy " AMS " recovery"), 1);
}

/* Workers see that nothing is usable before we hear of the last connection's end. */
static void an_end_told_by_several_workers_is_one_end(void **state)
{
    struct fixture *f = *state;
    uint64_t a = dial(f, AMS, 1, 0), b = dial(f, AMS, 1, 1);
    struct tunnel_entry *e = registry_find(f->control.registry, "ams");
    pass(f, 0.1);
    tunnel_set_line_state(e->tunnel, registry_line(e, a)->line, LINE_CLOSED);
    tunnel_set_line_state(e->tunnel, registry_line(e, b)->line, LINE_CLOSED);
    lose(f, AMS, a);
    assert_int_equal(endpoint(f, "europe/ams")->verdict.state, VERDICT_HEALTHY);
    lose(f, AMS, b);
    assert_string_equal(endpoint(f, "europe/ams")->verdict.reason, "down: no connector is connected");
}

/* The first connection is on its way to the worker that will own it: that is no failure to tell of. */
static void an_arrival_is_awaited(void **state)
{
    struct fixture *f = *state;
    struct tunnel_entry *e = registry_find(f->control.registry, "ams");
    call(f, &(struct caller){ AMS, "any", 'S', 1, 0, 0 });
    assert_int_equal(atomic_load(&e->tunnel->status), TUNNEL_UNKNOWN);
    assert_int_equal(endpoint(f, "europe/ams")->verdict.state, VERDICT_UNKNOWN);
    pass(f, 1.2);
    assert_int_equal(atomic_load(&e->tunnel->status), TUNNEL_DEGRADED);
    assert_int_equal(endpoint(f, "europe/ams")->verdict.state, VERDICT_DOWN);
}

static void sick_connections(void **state)
{
    struct fixture *f = *state;
    uint64_t a = dial(f, AMS, 1, 0);
    dial(f, AMS, 1, 1);
    struct tunnel_entry *e = registry_find(f->control.registry, "ams");
    tunnels_set_sick(f->control.registry, AMS, a, true, "timeout");
    tunnels_set_sick(f->control.registry, AMS, a, true, "timeout too");
    assert_int_equal(atomic_load(&e->tunnel->usable), 1);
    assert_int_equal(standing(f, "ams")->status, TUNNEL_DEGRADED);
    tunnels_set_sick(f->control.registry, AMS, a, false, "");
    assert_int_equal(atomic_load(&e->tunnel->usable), 1); /* the other monitor still says so */
    tunnels_set_sick(f->control.registry, AMS, a, false, "");
    tunnels_set_sick(f->control.registry, AMS, a, false, "");
    assert_int_equal(atomic_load(&e->tunnel->usable), 2);
    assert_int_equal(standing(f, "ams")->status, TUNNEL_HEALTHY);
    tunnels_set_sick(f->control.registry, AMS, 999, true, "gone");
    tunnels_set_sick(f->control.registry, "nobody", a, true, "gone");
}

/* --- the operator --- */

/* cloudflared makes it itself, and keeps it. */
static void create_with_a_secret(void **state)
{
    struct fixture *f = *state;
    struct tunnels *t = f->control.registry;
    struct credentials c;
    char error[256], secret[TUNNEL_SECRET_MAX + 1];
    memset(secret, 'T', sizeof secret);
    assert_int_equal(tunnels_create(t, "lone", "acc", (struct slice){ secret, TUNNEL_SECRET_MIN - 1 }, &c, error), TUNNELS_FAILED);
    assert_int_equal(tunnels_create(t, "lone", "acc", (struct slice){ secret, TUNNEL_SECRET_MAX + 1 }, &c, error), TUNNELS_FAILED);
    assert_null(tunnels_find(t, "lone"));
    assert_int_equal(tunnels_create(t, "lone", "acc", (struct slice){ secret, TUNNEL_SECRET_MIN }, &c, error), TUNNELS_DONE);
    assert_int_equal(c.secret_size, TUNNEL_SECRET_MIN);
    assert_memory_equal(c.secret, secret, TUNNEL_SECRET_MIN);
    assert_true(call(f, &(struct caller){ c.tunnel, "acc", 'T', 1, 0, 0 })->answer.accepted);
    assert_false(call(f, &(struct caller){ c.tunnel, "acc", 'S', 2, 0, 0 })->answer.accepted);
}

static void create_and_delete(void **state)
{
    struct fixture *f = *state;
    struct tunnels *t = f->control.registry;
    struct credentials c, again;
    char error[256], path[4096];
    struct stat found;
    assert_int_equal(tunnels_create(t, "1bad", NULL, none_given, &c, error), TUNNELS_BAD_NAME);
    assert_int_equal(tunnels_create(t, AMS, NULL, none_given, &c, error), TUNNELS_BAD_NAME);
    assert_int_equal(tunnels_create(t, "ams", NULL, none_given, &c, error), TUNNELS_EXISTS);
    assert_int_equal(tunnels_create(t, "lone", "not an account", none_given, &c, error), TUNNELS_FAILED);
    assert_int_equal(tunnels_create(t, "lone", NULL, none_given, &c, error), TUNNELS_DONE);
    assert_int_equal(tunnels_create(t, "lone", NULL, none_given, &again, error), TUNNELS_EXISTS);
    assert_int_equal(tunnels_credentials(t, "lone", &again, path), TUNNELS_DONE);
    assert_string_equal(again.tunnel, c.tunnel);
    assert_string_equal(again.account, TUNNELS_ACCOUNT);
    assert_memory_equal(again.secret, c.secret, 32);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0600);
    assert_int_equal(tunnels_delete(t, "ams", true, error), TUNNELS_IN_FILE);
    assert_int_equal(tunnels_delete(t, "nobody", true, error), TUNNELS_NOT_FOUND);
    assert_int_equal(tunnels_delete(t, c.tunnel, false, error), TUNNELS_DONE);
    assert_null(tunnels_find(t, "lone"));
    assert_int_not_equal(stat(path, &found), 0);
}

static void delete_while_connected(void **state)
{
    struct fixture *f = *state;
    struct tunnels *t = f->control.registry;
    struct credentials c;
    char error[256];
    assert_int_equal(tunnels_create(t, "lone", "acc", none_given, &c, error), TUNNELS_DONE);
    memset(registry_find(t, "lone")->credentials.secret, 'S', 32);
    uint64_t line = own(call(f, &(struct caller){ c.tunnel, "acc", 'S', 1, 0, 0 }));
    assert_int_equal(tunnels_delete(t, "lone", false, error), TUNNELS_CONNECTED);
    assert_non_null(tunnels_find(t, "lone"));
    assert_int_equal(tunnels_delete(t, "lone", true, error), TUNNELS_DONE);
    assert_int_equal(f->posts[f->n_posts - 1].what, 'c');
    assert_null(tunnels_find(t, "lone"));
    assert_false(call(f, &(struct caller){ c.tunnel, "acc", 'S', 2, 0, 0 })->answer.accepted);
    lose(f, c.tunnel, line);
    pass(f, 0.2);
    assert_null(registry_by_id(t, c.tunnel));
}

static void credentials_file_is_what_cloudflared_reads(void **state)
{
    struct fixture *f = *state;
    struct credentials c;
    char error[256], path[4096];
    assert_int_equal(tunnels_create(f->control.registry, "lone", "acc", none_given, &c, error), TUNNELS_DONE);
    assert_true(tunnel_file_path(test_folder, c.tunnel, path));
    json_t *json = json_load_file(path, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "AccountTag")), "acc");
    assert_string_equal(json_string_value(json_object_get(json, "TunnelID")), c.tunnel);
    assert_int_equal(json_string_length(json_object_get(json, "TunnelSecret")), 44);
    json_decref(json);
}

static bool is_drained(struct fixture *f, const char *tunnel, unsigned connector)
{
    return atomic_load(&registry_connector(registry_find(f->control.registry, tunnel), connector_id(connector))->shared->drained_at) != 0;
}

static void drains(void **state)
{
    struct fixture *f = *state;
    struct tunnels *t = f->control.registry;
    uint64_t one = dial(f, AMS, 1, 0);
    dial(f, AMS, 2, 0);
    struct tunnel *tunnel = tunnels_find(t, "ams");
    assert_int_equal(tunnels_drain(t, "ams", connector_id(9), true), TUNNELS_NOT_FOUND);
    assert_int_equal(tunnels_drain(t, "ams", connector_id(1), true), TUNNELS_DONE);
    assert_int_equal(atomic_load(&tunnel->usable), 1);
    lose(f, AMS, one);
    dial(f, AMS, 1, 0); /* it is remembered */
    assert_true(is_drained(f, "ams", 1));
    assert_int_equal(atomic_load(&tunnel->usable), 1);
    assert_int_equal(tunnels_drain(t, "ams", NULL, true), TUNNELS_DONE);
    assert_int_equal(atomic_load(&tunnel->usable), 0);
    dial(f, AMS, 3, 0);
    assert_true(is_drained(f, "ams", 3)); /* those that come later, too */
    assert_int_equal(tunnels_drain(t, "ams", connector_id(3), false), TUNNELS_DONE); /* but this one */
    assert_false(is_drained(f, "ams", 3));
    assert_true(is_drained(f, "ams", 1) && is_drained(f, "ams", 2));
    assert_int_equal(tunnels_drain(t, "ams", NULL, false), TUNNELS_DONE);
    assert_int_equal(atomic_load(&tunnel->usable), 3);
    assert_int_equal(registry_find(t, "ams")->memory.n_words, 0);
}

static void weighs(void **state)
{
    struct fixture *f = *state;
    struct tunnels *t = f->control.registry;
    uint64_t one = dial(f, AMS, 1, 0);
    assert_int_equal(tunnels_weigh(t, "ams", connector_id(1), 0.25), TUNNELS_DONE);
    assert_int_equal(tunnels_weigh(t, "ams", connector_id(1), -1), TUNNELS_FAILED);
    assert_int_equal(tunnels_weigh(t, "ams", connector_id(1), NAN), TUNNELS_FAILED);
    lose(f, AMS, one);
    const struct posted *p = call(f, &(struct caller){ AMS, "any", 'S', 1, 0, 0 });
    assert_true(atomic_load(&p->answer.connector->weight) == 0.25);
    assert_int_equal(tunnels_weigh(t, "ams", NULL, 1), TUNNELS_DONE);
    assert_int_equal(registry_find(t, "ams")->memory.n_words, 0);
}

static void cleanup(void **state)
{
    struct fixture *f = *state;
    dial(f, AMS, 1, 0);
    uint64_t two = dial(f, AMS, 2, 0);
    forget_posts(f);
    assert_int_equal(tunnels_cleanup(f->control.registry, "ams", connector_id(2)), TUNNELS_DONE);
    assert_true(f->n_posts == 1 && f->posts[0].what == 'c' && f->posts[0].line == two);
    assert_int_equal(tunnels_cleanup(f->control.registry, "ams", NULL), TUNNELS_DONE);
    assert_int_equal(f->n_posts, 2);
    assert_int_equal(standing(f, "ams")->status, TUNNEL_DOWN);
    assert_int_equal(tunnels_cleanup(f->control.registry, "nobody", NULL), TUNNELS_NOT_FOUND);
}

/* --- over a restart --- */

static void a_restart_keeps_status_and_words(void **state)
{
    struct fixture *f = *state;
    struct credentials c;
    char error[256];
    pass(f, 0.257); /* no whole second */
    assert_int_equal(tunnels_create(f->control.registry, "lone", "acc", none_given, &c, error), TUNNELS_DONE);
    nsec_t created = registry_find(f->control.registry, "lone")->created;
    assert_int_not_equal(created % NSEC_PER_SEC / NSEC_PER_MSEC, 0);
    nsec_t first_seen = registry_find(f->control.registry, "fra")->created;
    nsec_t alone_since = standing(f, "lone")->since;
    assert_true(first_seen > 0 && first_seen < created);
    dial(f, AMS, 1, 0);
    dial(f, AMS, 1, 1);
    tunnels_drain(f->control.registry, "ams", connector_id(1), true);
    tunnels_weigh(f->control.registry, "ams", connector_id(1), 0.5);
    pass(f, 1);
    f = restart(state, f, configuration);
    assert_int_equal(standing(f, "ams")->status, TUNNEL_DOWN);
    assert_int_equal(standing(f, "fra")->status, TUNNEL_INACTIVE);
    assert_int_equal(standing(f, "lone")->status, TUNNEL_INACTIVE);
    assert_memory_equal(registry_find(f->control.registry, "lone")->credentials.secret, c.secret, 32);
    assert_int_equal(registry_find(f->control.registry, "lone")->created / NSEC_PER_MSEC, created / NSEC_PER_MSEC);
    assert_int_equal(registry_find(f->control.registry, "fra")->created, first_seen);
    assert_int_equal(standing(f, "lone")->since, alone_since);
    assert_int_equal(endpoint(f, "europe/ams")->verdict.state, VERDICT_UNKNOWN); /* connectors have time to come back */
    assert_int_equal(endpoint(f, "europe/fra")->verdict.state, VERDICT_DOWN);
    dial(f, AMS, 1, 0);
    assert_true(is_drained(f, "ams", 1));
    assert_true(atomic_load(&registry_connector(registry_find(f->control.registry, "ams"), connector_id(1))->shared->weight) ==
                0.5);
    dial(f, AMS, 1, 1);
    pass(f, 100);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.healthy " AMS), 0); /* it was, and is */
    assert_int_equal(count_events(f, "tunnel.inactive " AMS), 0);
}

static void what_does_not_come_back_is_told_after_the_grace(void **state)
{
    struct fixture *f = *state;
    dial(f, AMS, 1, 0);
    dial(f, AMS, 1, 1);
    pass(f, 1);
    f = restart(state, f, configuration);
    pass(f, 55);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.inactive " AMS), 0);
    assert_int_equal(count_events(f, "endpoint.unhealthy europe/ams"), 0);
    pass(f, 10);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.inactive " AMS), 1);
    assert_int_equal(count_events(f, "endpoint.unhealthy europe/ams"), 1);
    pass(f, 1);
    f = restart(state, f, configuration);
    pass(f, 100);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.inactive " AMS), 0); /* known */
}

static void broken_file_is_named(void **state)
{
    struct fixture *f = *state;
    struct credentials c;
    char error[256], path[4096];
    assert_int_equal(tunnels_create(f->control.registry, "lone", "acc", none_given, &c, error), TUNNELS_DONE);
    tunnel_file_path(test_folder, c.tunnel, path);
    assert_int_equal(truncate(path, 40), 0);
    struct tunnels *t = tunnels_new(&f->control);
    assert_false(tunnels_load(t, error));
    assert_non_null(strstr(error, c.tunnel));
    tunnels_free(t);
}

static void a_tunnel_goes_with_its_configuration(void **state)
{
    struct fixture *f = *state;
    dial(f, FRA, 1, 0);
    forget_posts(f);
    put_in_force(f,
                 load_text(EDGE_BEGIN "tunnels = ( { id = \"" AMS "\"; name = \"ams\"; secret = \"" OTHER_SECRET "\"; } ); };\n" REST));
    assert_true(f->n_posts == 1 && f->posts[0].what == 'c');
    assert_null(tunnels_find(f->control.registry, "fra"));
    assert_false(call(f, &(struct caller){ AMS, "any", 'S', 1, 0, 0 })->answer.accepted);
    assert_true(call(f, &(struct caller){ AMS, "any", 'T', 1, 0, 0 })->answer.accepted);
}

/* --- rules --- */

static const struct posted *last_push(struct fixture *f)
{
    for (unsigned i = f->n_posts; i-- > 0;)
        if (f->posts[i].what == 'p')
            return &f->posts[i];
    return NULL;
}

static unsigned count_pushes(const struct fixture *f)
{
    unsigned n = 0;
    for (unsigned i = 0; i < f->n_posts; i++)
        n += f->posts[i].what == 'p';
    return n;
}

static void answer(struct fixture *f, const char *tunnel, unsigned connector, int version, bool applied, int has)
{
    char text[64];
    snprintf(text, sizeof text, "{\"lastAppliedVersion\":%d,\"err\":%s}", has, applied ? "null" : "{}");
    tunnels_on_pushed(&f->control, tunnel, connector_id(connector), version, applied, text);
}

static void pushed_once_per_connector(void **state)
{
    struct fixture *f = restart(state, *state, PUSHING("http://a"));
    const struct posted *p = call(f, &(struct caller){ AMS, "any", 'S', 1, 0, 0 });
    assert_true(p->answer.remotely_managed);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 0); /* not before somebody owns the connection */
    uint64_t line = own(p);
    pass(f, 0.2);
    assert_int_equal(count_pushes(f), 1);
    assert_true(last_push(f)->line == line && last_push(f)->version == 1);
    assert_non_null(strstr(last_push(f)->text, "{\"version\":1,\"config\":{\"ingress\":[{\"service\":\"http://a\"}]"));
    answer(f, AMS, 1, 1, true, 1);
    dial(f, AMS, 1, 1);
    lose(f, AMS, line);
    dial(f, AMS, 1, 0);
    pass(f, 30);
    assert_int_equal(count_pushes(f), 1);
    dial(f, AMS, 2, 0);
    pass(f, 0.2);
    assert_int_equal(count_pushes(f), 2);
    assert_int_equal(last_push(f)->version, 1); /* the same rules */
}

static void versions_grow_over_restarts(void **state)
{
    struct fixture *f = restart(state, *state, PUSHING("http://a"));
    dial(f, AMS, 1, 0);
    pass(f, 0.2);
    answer(f, AMS, 1, 1, true, 1);
    f = restart(state, f, PUSHING("http://a"));
    dial(f, AMS, 1, 0);
    pass(f, 0.2);
    assert_int_equal(last_push(f)->version, 1);
    answer(f, AMS, 1, 1, true, 1);
    f = restart(state, f, PUSHING("http://b"));
    dial(f, AMS, 1, 0);
    pass(f, 0.2);
    assert_int_equal(last_push(f)->version, 2);
}

/* Our state was lost, the connector's was not. */
static void overtakes_a_higher_version(void **state)
{
    struct fixture *f = restart(state, *state, PUSHING("http://a"));
    dial(f, AMS, 1, 0);
    pass(f, 0.2);
    answer(f, AMS, 1, 1, false, 41);
    pass(f, 0.2);
    assert_int_equal(last_push(f)->version, 42);
    answer(f, AMS, 1, 42, true, 42);
    assert_int_equal(registry_connector(registry_find(f->control.registry, "ams"), connector_id(1))->push.state, PUSH_APPLIED);
}

static void push_that_is_lost_is_sent_again(void **state)
{
    struct fixture *f = restart(state, *state, PUSHING("http://a"));
    uint64_t line = dial(f, AMS, 1, 0);
    dial(f, AMS, 1, 1);
    pass(f, 0.2);
    assert_int_equal(count_pushes(f), 1);
    lose(f, AMS, line);
    pass(f, 1);
    assert_int_equal(count_pushes(f), 2);
    pass(f, 12); /* nobody answers */
    assert_int_equal(registry_connector(registry_find(f->control.registry, "ams"), connector_id(1))->push.state, PUSH_UNANSWERED);
}

static void a_change_goes_from_tunnel_to_tunnel(void **state)
{
    struct fixture *f = restart(state, *state, PUSHING("http://a"));
    dial(f, AMS, 1, 0);
    dial(f, AMS, 2, 0);
    dial(f, FRA, 3, 0);
    pass(f, 0.2);
    answer(f, AMS, 1, 1, true, 1);
    answer(f, AMS, 2, 1, true, 1);
    answer(f, FRA, 3, 1, true, 1);
    forget_posts(f);
    put_in_force(f, load_text(PUSHING("http://b")));
    pass(f, 1);
    assert_int_equal(count_pushes(f), 2); /* to both connectors of one */
    answer(f, AMS, 1, 2, true, 2);
    pass(f, 1);
    assert_int_equal(count_pushes(f), 2);
    answer(f, AMS, 2, 2, true, 2);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 3);
    answer(f, FRA, 3, 2, true, 2);
    pass(f, 30);
    assert_int_equal(count_pushes(f), 3);
    assert_null(f->control.registry->rolling);
}

/* Both tunnels follow the rules of before. */
static struct fixture *begin_change(void **state)
{
    struct fixture *f = restart(state, *state, PUSHING("http://a"));
    dial(f, AMS, 1, 0);
    dial(f, FRA, 3, 0);
    pass(f, 0.2);
    answer(f, AMS, 1, 1, true, 1);
    answer(f, FRA, 3, 1, true, 1);
    forget_posts(f);
    put_in_force(f, load_text(PUSHING("http://b")));
    return f;
}

static void a_change_that_is_refused_goes_no_further(void **state)
{
    struct fixture *f = begin_change(state);
    pass(f, 0.3);
    answer(f, AMS, 1, 2, false, 1);
    pass(f, 30);
    assert_int_equal(count_pushes(f), 1);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.config_refused push:" AMS), 1);
}

static void a_change_does_not_wait_for_ever(void **state)
{
    struct fixture *f = begin_change(state);
    pass(f, 12);
    assert_int_equal(count_pushes(f), 2);
}

static void a_refused_change_is_tried_again_by_a_reload(void **state)
{
    struct fixture *f = begin_change(state);
    pass(f, 0.3);
    answer(f, AMS, 1, 2, false, 1);
    pass(f, 5);
    put_in_force(f, load_text(PUSHING("http://b"))); /* as when a tunnel joins */
    pass(f, 5);
    assert_int_equal(count_pushes(f), 1);
    tunnels_push_again(f->control.registry);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 2); /* to the same tunnel, and no other before that took it */
    answer(f, AMS, 1, 2, true, 2);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 3);
    answer(f, FRA, 3, 2, true, 2);
    tunnels_push_again(f->control.registry);
    pass(f, 5);
    assert_int_equal(count_pushes(f), 3);
}

/* Rules may be what connectors die of. */
static void a_change_leaves_no_two_tunnels_without_connectors(void **state)
{
    struct fixture *f = restart(state, *state, PUSHING("http://a"));
    uint64_t line = dial(f, AMS, 1, 0);
    dial(f, FRA, 3, 0);
    pass(f, 0.2);
    answer(f, AMS, 1, 1, true, 1);
    answer(f, FRA, 3, 1, true, 1);
    forget_posts(f);
    put_in_force(f, load_text(PUSHING("http://b")));
    pass(f, 0.3);
    lose(f, AMS, line);
    pass(f, 30);
    assert_int_equal(count_pushes(f), 1);
    line = dial(f, AMS, 4, 0);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 2);
    lose(f, AMS, line);
    pass(f, 59);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.config_refused push:" AMS), 0);
    pass(f, 2);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.config_refused push:" AMS), 1);
    dial(f, AMS, 5, 0);
    pass(f, 0.3);
    answer(f, AMS, 5, 2, true, 2);
    pass(f, 5);
    assert_int_equal(count_pushes(f), 3); /* it has them, the other none before it is told */
    tunnels_push_again(f->control.registry);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 4);
}

static void who_is_gone_before_its_turn_is_passed_over(void **state)
{
    struct fixture *f = restart(state, *state, PUSHING("http://a"));
    uint64_t line = dial(f, AMS, 1, 0);
    dial(f, FRA, 3, 0);
    pass(f, 0.2);
    answer(f, AMS, 1, 1, true, 1);
    answer(f, FRA, 3, 1, true, 1);
    forget_posts(f);
    put_in_force(f, load_text(PUSHING("http://b")));
    lose(f, AMS, line);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 1);
    answer(f, FRA, 3, 2, true, 2);
    pass(f, 5);
    dial(f, AMS, 1, 0);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 2);
}

/* The second change comes between a connector's answer and the next turn. */
static void a_change_in_the_middle_of_another_is_not_lost(void **state)
{
    struct fixture *f = begin_change(state);
    pass(f, 0.3);
    answer(f, AMS, 1, 2, true, 2);
    put_in_force(f, load_text(PUSHING("http://c")));
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 2);
    assert_non_null(strstr(last_push(f)->text, "http://c"));
    answer(f, AMS, 1, 3, true, 3);
    pass(f, 0.3);
    assert_int_equal(count_pushes(f), 3);
    answer(f, FRA, 3, 3, true, 3);
}

static void report(struct fixture *f, const char *tunnel, unsigned connector, const char *json)
{
    tunnels_on_local_configuration(&f->control, tunnel, connector_id(connector), json, strlen(json));
}

static void drift_within_a_pool(void **state)
{
    struct fixture *f = *state;
    dial(f, AMS, 1, 0);
    dial(f, FRA, 2, 0);
    report(f, AMS, 1, "{\"ingress\":[{\"service\":\"http://a\"}]}");
    report(f, FRA, 2, "{\"ingress\":[{\"service\":\"http://b\"}]}");
    pass(f, 5);
    const struct drift *d = registry_drift(f->control.registry, "europe/fra");
    assert_non_null(d);
    assert_string_equal(d->words, "rule 1 (any host): service is http://b here, http://a there");
    assert_null(registry_drift(f->control.registry, "europe/ams"));
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.config_drift rules:europe/fra"), 0); /* it may pass */
    pass(f, 6);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.config_drift rules:europe/fra"), 1);
    assert_int_equal(endpoint(f, "europe/fra")->verdict.state, VERDICT_HEALTHY); /* flagged, and used */
    report(f, FRA, 2, "{\"ingress\":[{\"service\":\"http://a\"}]}");
    pass(f, 0.2);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.config_identical rules:europe/fra recovery"), 1);
}

static void drift_within_a_tunnel(void **state)
{
    struct fixture *f = *state;
    dial(f, AMS, 1, 0);
    dial(f, AMS, 2, 0);
    report(f, AMS, 1, "{\"ingress\":[{\"service\":\"http://a\"}]}");
    report(f, AMS, 2, "{\"ingress\":[{\"service\":\"http://b\"}]}");
    pass(f, 11);
    gather_events(f);
    assert_int_equal(count_events(f, "tunnel.config_drift rules:" AMS), 1);
    report(f, AMS, 2, "not even JSON");
    pass(f, 1);
    assert_null(registry_drift(f->control.registry, AMS)); /* not known is not different */
}

static void join(struct fixture *f, const char *name)
{
    struct credentials c;
    char error[256];
    struct conf_messages messages = { 0 };
    assert_int_equal(tunnels_create(f->control.registry, name, "acc", none_given, &c, error), TUNNELS_DONE);
    memset(registry_find(f->control.registry, name)->credentials.secret, 'S', 32);
    pass(f, 0.2);
    unsigned before = f->rejoined;
    own(call(f, &(struct caller){ c.tunnel, "acc", 'S', 7, 0, 0 }));
    pass(f, 0.2);
    assert_int_equal(f->rejoined, before + 1);
    struct config *joined = tunnels_join(f->control.registry, config_ref(f->control.config), &messages);
    assert_non_null(joined);
    put_in_force(f, joined);
}

static void joins_when_it_first_connects(void **state)
{
    struct fixture *f = *state;
    struct conf_messages messages = { 0 };
    struct config *same = tunnels_join(f->control.registry, config_ref(f->control.config), &messages);
    assert_ptr_equal(same, f->control.config); /* nothing to join */
    config_unref(same);
    join(f, "app-one");
    assert_non_null(endpoint(f, "europe/app-one"));
    assert_ptr_equal(endpoint(f, "europe/app-one")->endpoint->edge_tunnel, tunnels_find(f->control.registry, "app-one"));
    struct credentials c;
    char error[256];
    unsigned before = f->rejoined;
    assert_int_equal(tunnels_delete(f->control.registry, "app-one", true, error), TUNNELS_DONE);
    pass(f, 0.2);
    assert_int_equal(f->rejoined, before + 1);
    assert_int_equal(tunnels_create(f->control.registry, "unrelated", NULL, none_given, &c, error), TUNNELS_DONE);
    pass(f, 0.2);
    assert_int_equal(f->rejoined, before + 1);
}

static void identical_ones_only(void **state)
{
    struct fixture *f = *state;
    dial(f, AMS, 1, 0);
    dial(f, FRA, 2, 0);
    report(f, AMS, 1, "{\"ingress\":[{\"service\":\"http://a\"}]}");
    report(f, FRA, 2, "{\"ingress\":[{\"service\":\"http://a\"}]}");
    join(f, "app-one");
    pass(f, 0.3);
    const struct endpoint_record *r = endpoint(f, "europe/app-one");
    const char *id = r->endpoint->edge_tunnel->id;
    assert_int_equal(r->verdict.state, VERDICT_UNKNOWN);
    assert_string_equal(r->verdict.reason, "unknown: its rules are not known yet");
    assert_int_equal(endpoint_usability(r->endpoint, 0), USABLE_ABSENT);
    report(f, id, 7, "{\"ingress\":[{\"service\":\"http://b\"}]}");
    pass(f, 0.2);
    assert_int_equal(r->verdict.state, VERDICT_DOWN);
    assert_int_equal(r->verdict.diagnosis, DIAGNOSIS_CONFIG_DRIFT);
    assert_string_equal(r->verdict.reason,
                        "down: its rules differ from those of ams: rule 1 (any host): service is http://b here, http://a there");
    assert_int_equal(endpoint_usability(r->endpoint, 0), USABLE_ABSENT);
    report(f, id, 7, "{\"ingress\":[{\"service\":\"http://a\"}]}");
    pass(f, 0.2);
    assert_int_equal(r->verdict.state, VERDICT_HEALTHY);
    assert_int_equal(endpoint_usability(r->endpoint, 0), USABLE_HEALTHY);
}

/* --- shown --- */

static void shown(void **state)
{
    struct fixture *f = *state;
    uint64_t line = dial(f, AMS, 1, 0);
    tunnels_note_probe(f->control.registry, AMS, line, "app", false, "timeout");
    json_t *t = tunnels_one_json(f->control.registry, "ams"), *all = tunnels_json(f->control.registry);
    const json_t *c = json_array_get(json_object_get(t, "connectors"), 0),
                 *l = json_array_get(json_object_get(c, "connections"), 0);
    assert_int_equal(json_array_size(all), 2);
    assert_string_equal(json_string_value(json_object_get(t, "status")), "degraded");
    assert_string_equal(json_string_value(json_object_get(t, "reason")), "1 of 2 connections that 1 connector should have");
    assert_string_equal(json_string_value(json_object_get(c, "id")), connector_id(1));
    assert_string_equal(json_string_value(json_object_get(c, "origin_ip")), "192.0.2.7");
    assert_string_equal(json_string_value(json_object_get(c, "version")), "2026.8.2");
    assert_string_equal(json_string_value(json_object_get(l, "location")), "ams01");
    assert_string_equal(json_string_value(json_object_get(json_object_get(l, "last_probe"), "detail")), "timeout");
    assert_null(tunnels_one_json(f->control.registry, "nobody"));
    char *text = json_dumps(t, 0);
    assert_null(strstr(text, "SSSS"));
    assert_null(strstr(text, SECRET));
    free(text);
    json_decref(t);
    json_decref(all);
}

#define WITH_REGISTRY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(strangers_are_all_told_the_same),
        WITH_REGISTRY(account_of_a_tunnel_made_at_run_time),
        WITH_REGISTRY(let_in),
        WITH_REGISTRY(spread_over_workers),
        WITH_REGISTRY(limits),
        WITH_REGISTRY(one_that_leaves_makes_room),
        WITH_REGISTRY(replaces_its_dead_predecessor),
        WITH_REGISTRY(nobody_is_let_in_when_we_stop),
        WITH_REGISTRY(events_follow_the_connections),
        WITH_REGISTRY(an_end_told_by_several_workers_is_one_end),
        WITH_REGISTRY(an_arrival_is_awaited),
        WITH_REGISTRY(sick_connections),
        WITH_REGISTRY(create_and_delete),
        WITH_REGISTRY(create_with_a_secret),
        WITH_REGISTRY(delete_while_connected),
        WITH_REGISTRY(credentials_file_is_what_cloudflared_reads),
        WITH_REGISTRY(drains),
        WITH_REGISTRY(weighs),
        WITH_REGISTRY(cleanup),
        WITH_REGISTRY(a_restart_keeps_status_and_words),
        WITH_REGISTRY(what_does_not_come_back_is_told_after_the_grace),
        WITH_REGISTRY(broken_file_is_named),
        WITH_REGISTRY(a_tunnel_goes_with_its_configuration),
        WITH_REGISTRY(pushed_once_per_connector),
        WITH_REGISTRY(versions_grow_over_restarts),
        WITH_REGISTRY(overtakes_a_higher_version),
        WITH_REGISTRY(push_that_is_lost_is_sent_again),
        WITH_REGISTRY(a_change_goes_from_tunnel_to_tunnel),
        WITH_REGISTRY(a_change_that_is_refused_goes_no_further),
        WITH_REGISTRY(a_change_does_not_wait_for_ever),
        WITH_REGISTRY(a_refused_change_is_tried_again_by_a_reload),
        WITH_REGISTRY(a_change_leaves_no_two_tunnels_without_connectors),
        WITH_REGISTRY(who_is_gone_before_its_turn_is_passed_over),
        WITH_REGISTRY(a_change_in_the_middle_of_another_is_not_lost),
        WITH_REGISTRY(drift_within_a_pool),
        WITH_REGISTRY(drift_within_a_tunnel),
        WITH_REGISTRY(joins_when_it_first_connects),
        WITH_REGISTRY(identical_ones_only),
        WITH_REGISTRY(shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
