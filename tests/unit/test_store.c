#include "control/store.h"

#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "turn_until.h"

enum { PATIENCE_S = 30 };

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/penstock-store-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    char path[512];
    DIR *d = opendir(directory);

    (void)state;
    for (struct dirent *entry; d && (entry = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        unlink(path);
    }
    closedir(d);
    return rmdir(directory);
}

/* A loop that turns until something has happened, or fails the test. */

struct fixture {
    struct ev_loop *loop;
    struct store *store;
    unsigned answered;
    unsigned durable;
    uint64_t answers[64]; /* the first sequences that came back */
};

static void fixture_open(struct fixture *f, const char *where)
{
    char error[STORE_ERROR_SIZE];
    struct store_options options = { .directory = where };

    *f = (struct fixture){ .loop = ev_loop_new(0) };
    f->store = store_open(f->loop, &options, error);
    assert_non_null(f->store);
}

static void fixture_close(struct fixture *f)
{
    store_close(f->store);
    ev_loop_destroy(f->loop);
}

static struct event *make_event(uint64_t sequence, const char *type, const char *subject)
{
    struct event event = { .sequence = sequence, .type = type, .subject = subject, .severity = SEVERITY_WARNING, .recovery = sequence % 2,
                           .wall = clock_wall(), .data = "{\"a\":\"ä\"}" };
    snprintf(event.id, sizeof event.id, "evt_%026u", (unsigned)sequence);
    return event_new(&event);
}

static void on_added(void *arg, struct event *event, bool durable)
{
    struct fixture *f = arg;
    if (f->answered < 64)
        f->answers[f->answered] = event->sequence;
    f->answered++;
    f->durable += durable;
}

static void add_event(struct fixture *f, uint64_t sequence, const char *type, const char *channel)
{
    const char *channels[] = { channel, "second" };
    struct event *event = make_event(sequence, type, "europe/ams");
    store_add_event(f->store, event, channels, channel ? 2 : 0, on_added, f);
    event_unref(event);
}

struct reading {
    unsigned done;
    bool found;
    size_t n;
    uint64_t sequences[STORE_READ_MAX];
    struct event *first;
};

static void on_read(void *arg, struct event *const *events, size_t n, bool found_after)
{
    struct reading *r = arg;
    r->done++;
    r->found = found_after;
    r->n = n;
    for (size_t i = 0; i < n; i++)
        r->sequences[i] = events[i]->sequence;
    r->first = n ? event_ref(events[0]) : NULL;
}

static void read_events(struct fixture *f, const struct event_query *query, struct reading *r)
{
    *r = (struct reading){ 0 };
    store_read_events(f->store, query, on_read, r);
    turn_until(f->loop, &r->done, 1, PATIENCE_S);
}

/* What is kept, as one line of text. */

static void write_delivery(void *arg, const char *channel, struct event *event)
{
    text_addf(arg, "%s%s:%u", ((struct text *)arg)->n ? " " : "", channel, (unsigned)event->sequence);
}

static void assert_undelivered(const struct store *store, const char *expected)
{
    struct text found = { 0 };
    store_each_undelivered(store, write_delivery, &found);
    assert_string_equal(found.p ? found.p : "", expected);
    text_clear(&found);
}

static void write_override(void *arg, const char *endpoint, enum admin_state admin, double weight)
{
    text_addf(arg, "%s%s:%d", ((struct text *)arg)->n ? " " : "", endpoint, admin);
    if (!isnan(weight))
        text_addf(arg, ":%g", weight);
}

static void assert_overrides(const struct store *store, const char *expected)
{
    struct text found = { 0 };
    store_each_override(store, write_override, &found);
    assert_string_equal(found.p ? found.p : "", expected);
    text_clear(&found);
}

/* Tests */

static void events_come_back_in_order_once_committed(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, directory);
    for (uint64_t i = 1; i <= 40; i++)
        add_event(&f, i, "tunnel.inactive", i % 2 ? "ops" : NULL);
    turn_until(f.loop, &f.answered, 40, PATIENCE_S);
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(f.answers[i], i + 1);
    assert_int_equal(f.durable, 40);
    struct store_status status;
    store_get_status(f.store, &status);
    assert_int_equal(status.events, 40);
    assert_int_equal(status.queued, 0);
    assert_true(status.durable);
    assert_false(status.failing);
    fixture_close(&f);
}

static void what_was_delivered_is_not_sent_again_after_a_restart(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, directory);
    add_event(&f, 1, "a.b", "ops");
    add_event(&f, 2, "a.b", NULL);
    add_event(&f, 3, "a.b", "ops");
    store_forget_delivery(f.store, 1, "ops");
    store_forget_delivery(f.store, 3, "second");
    fixture_close(&f); /* commits what is queued, and tells */
    assert_int_equal(f.durable, 3);
    fixture_open(&f, directory);
    assert_undelivered(f.store, "second:1 ops:3");
    assert_int_equal(store_last_sequence(f.store), 3);
    fixture_close(&f);
}

static void write_last(void *arg, struct event *event)
{
    struct text *found = arg;
    text_addf(found, "%s %s %llu;", event->subject, event->type, (unsigned long long)event->sequence);
}

static void last_word_of_each_subject_and_kind_is_kept(void **state)
{
    (void)state;
    static const struct { const char *type, *subject; } events[] = {
        { "pool.critical", "app" }, { "load_balancer.fallback", "app" }, { "endpoint.unhealthy", "app/one" }, { "pool.healthy", "app" },
        { "endpoint.healthy", "app/two" }, { "endpoint.healthy", "app/one" },
    };
    struct fixture f;
    struct text found = { 0 };
    fixture_open(&f, directory);
    for (unsigned i = 0; i < sizeof events / sizeof *events; i++) {
        struct event *event = make_event(i + 1, events[i].type, events[i].subject);
        store_add_event(f.store, event, NULL, 0, on_added, &f);
        event_unref(event);
    }
    turn_until(f.loop, &f.answered, sizeof events / sizeof *events, PATIENCE_S);
    fixture_close(&f);
    fixture_open(&f, directory);
    store_each_last(f.store, write_last, &found);
    assert_string_equal(found.p, "app load_balancer.fallback 2;app pool.healthy 4;app/two endpoint.healthy 5;app/one endpoint.healthy 6;");
    text_clear(&found);
    fixture_close(&f);
}

static void overrides_stay_until_lifted(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, directory);
    store_set_override(f.store, "europe/ams", ADMIN_DRAINED, NAN);
    store_set_override(f.store, "europe/fra", ADMIN_ENABLED, 0.25);
    store_set_override(f.store, "europe/lon", ADMIN_DISABLED, 0);
    store_set_override(f.store, "europe/par", ADMIN_DISABLED, 1);
    store_set_override(f.store, "europe/par", ADMIN_ENABLED, NAN);
    fixture_close(&f);
    fixture_open(&f, directory);
    assert_overrides(f.store, "europe/ams:1 europe/fra:0:0.25 europe/lon:2:0");
    fixture_close(&f);
}

static void note_written(void *arg, bool durable)
{
    struct fixture *f = arg;

    f->answered++;
    f->durable += durable;
}

static void mark_tells_when_all_before_it_is_committed(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, directory);
    store_set_override(f.store, "europe/ams", ADMIN_DRAINED, NAN);
    store_when_written(f.store, note_written, &f);
    assert_int_equal(f.answered, 0);
    turn_until(f.loop, &f.answered, 1, PATIENCE_S);
    assert_int_equal(f.durable, 1);
    store_when_written(f.store, note_written, &f);
    fixture_close(&f); /* tells */
    assert_int_equal(f.durable, 2);
    fixture_open(&f, directory);
    assert_overrides(f.store, "europe/ams:1");
    fixture_close(&f);
}

/* Exit status 0 once the events are committed; then the process is killed with everything open. */
static void commit_and_die(int ready)
{
    struct fixture f;
    char error[STORE_ERROR_SIZE];
    struct store_options options = { .directory = directory };

    f = (struct fixture){ .loop = ev_loop_new(0) };
    f.store = store_open(f.loop, &options, error);
    if (!f.store)
        _exit(1);
    for (uint64_t i = 1; i <= 5; i++)
        add_event(&f, i, "tunnel.inactive", "ops");
    store_set_override(f.store, "europe/ams", ADMIN_DRAINED, 0.5);
    add_event(&f, 6, "tunnel.healthy", "ops");
    while (f.answered < 6)
        ev_run(f.loop, EVRUN_ONCE);
    if (write(ready, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void what_was_committed_survives_a_kill(void **state)
{
    struct fixture f;
    int ready[2], status;
    char byte;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0)
        commit_and_die(ready[1]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ready[0]);

    fixture_open(&f, directory);
    assert_undelivered(f.store, "ops:1 second:1 ops:2 second:2 ops:3 second:3 ops:4 second:4 ops:5 second:5 ops:6 second:6");
    assert_overrides(f.store, "europe/ams:1:0.5");
    fixture_close(&f);
}

static void second_process_is_told_that_the_directory_is_in_use(void **state)
{
    struct fixture f;
    char error[STORE_ERROR_SIZE] = "";
    struct store_options options = { .directory = directory };

    (void)state;
    fixture_open(&f, directory);
    int status;
    pid_t child = fork(); /* locks are per process */
    if (child == 0) {
        struct store *second = store_open(ev_loop_new(0), &options, error);
        _exit(second ? 1 : strstr(error, "another process uses it") ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fixture_close(&f);
}

static bool is_there(const char *prefix)
{
    DIR *d = opendir(directory);
    bool found = false;

    for (struct dirent *entry; (entry = readdir(d));)
        found = found || strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(d);
    return found;
}

static void overwrite(off_t offset, size_t n, char byte)
{
    char path[128], *bytes = mem_alloc(n);

    snprintf(path, sizeof path, "%s/penstock.db", directory);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    memset(bytes, byte, n);
    assert_int_equal(pwrite(fd, bytes, n, offset), n);
    close(fd);
    free(bytes);
}

static void assert_begins_anew(void)
{
    struct fixture f;

    fixture_open(&f, directory);
    assert_true(is_there("penstock.db.corrupt-"));
    assert_undelivered(f.store, "");
    add_event(&f, 1, "a.b", "ops");
    turn_until(f.loop, &f.answered, 1, PATIENCE_S);
    assert_int_equal(f.durable, 1);
    fixture_close(&f);
    fixture_open(&f, directory);
    assert_undelivered(f.store, "ops:1 second:1");
    fixture_close(&f);
}

static void file_that_is_no_database_is_set_aside(void **state)
{
    (void)state;
    overwrite(0, 8192, 'x');
    assert_begins_anew();
}

static void damaged_database_is_set_aside(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, directory);
    for (uint64_t i = 1; i <= 200; i++)
        add_event(&f, i, "tunnel.inactive", "ops");
    fixture_close(&f);
    overwrite(4096, 3 * 4096, 'x');
    assert_begins_anew();
}

static void directory_that_cannot_be_used_is_an_error(void **state)
{
    char error[STORE_ERROR_SIZE] = "";
    struct store_options options = { .directory = "/nonexistent/penstock" };
    struct ev_loop *loop = ev_loop_new(0);

    (void)state;
    assert_null(store_open(loop, &options, error));
    assert_non_null(strstr(error, "/nonexistent/penstock"));
    ev_loop_destroy(loop);
}

static void file_is_private(void **state)
{
    struct fixture f;
    struct stat info;
    char path[128];

    (void)state;
    fixture_open(&f, directory);
    snprintf(path, sizeof path, "%s/penstock.db", directory);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    fixture_close(&f);
}

static void history_is_bounded_but_for_undelivered_alerts(void **state)
{
    struct ev_loop *loop = ev_loop_new(0);
    char error[STORE_ERROR_SIZE];
    struct store_options options = { .directory = directory, .keep_events = 10 };
    struct fixture f = { .loop = loop, .store = store_open(loop, &options, error) };
    struct reading r;

    (void)state;
    assert_non_null(f.store);
    for (uint64_t i = 1; i <= 50; i++)
        add_event(&f, i, "a.b", i == 3 ? "ops" : NULL);
    turn_until(loop, &f.answered, 50, PATIENCE_S);
    add_event(&f, 51, "a.b", NULL); /* its batch's pruning comes before the read below */
    turn_until(loop, &f.answered, 51, PATIENCE_S);
    read_events(&f, &(struct event_query){ 0 }, &r);
    assert_int_equal(r.n, 10);
    assert_int_equal(r.sequences[0], 3);
    assert_int_equal(r.sequences[9], 51);
    event_unref(r.first);
    fixture_close(&f);

    options.keep_age = 1; /* all are older than a nanosecond; the sequence goes on all the same */
    f = (struct fixture){ .loop = ev_loop_new(0) };
    f.store = store_open(f.loop, &options, error);
    assert_int_equal(store_last_sequence(f.store), 51);
    add_event(&f, 52, "a.b", NULL);
    turn_until(f.loop, &f.answered, 1, PATIENCE_S);
    read_events(&f, &(struct event_query){ 0 }, &r);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.sequences[0], 3);
    event_unref(r.first);
    fixture_close(&f);
    f = (struct fixture){ .loop = ev_loop_new(0) };
    f.store = store_open(f.loop, &options, error);
    assert_int_equal(store_last_sequence(f.store), 52);
    fixture_close(&f);
}

static void queries_find_what_they_ask_for(void **state)
{
    static const struct {
        struct event_query query;
        size_t n;
        uint64_t first;
        bool found;
    } cases[] = {
        { { 0 }, 20, 1, true },
        { { .limit = 3 }, 3, 1, true },
        { { .limit = 3, .newest = true }, 3, 18, true },
        { { .type = "tunnel.*" }, 10, 1, true },
        { { .type = "*.healthy", .limit = 4 }, 4, 2, true },
        { { .type = "pool.*" }, 0, 0, true },
        { { .after = "evt_00000000000000000000000015" }, 5, 16, true },
        { { .after = "evt_00000000000000000000000015", .newest = true, .limit = 2 }, 2, 19, true },
        { { .after = "evt_00000000000000000000000020" }, 0, 0, true },
        { { .after = "evt_unknown" }, 0, 0, false },
        { { .since = 1 }, 20, 1, true },
        { { .since = INT64_MAX }, 0, 0, true },
        { { .subject = "europe/ams" }, 20, 1, true },
        { { .subject = "europe/fra" }, 0, 0, true },
    };
    struct fixture f;
    struct reading r;

    (void)state;
    fixture_open(&f, NULL);
    for (uint64_t i = 1; i <= 20; i++)
        add_event(&f, i, i % 2 ? "tunnel.inactive" : "pool_of.healthy", NULL);
    turn_until(f.loop, &f.answered, 20, PATIENCE_S); /* a read sees what was committed before it */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_events(&f, &cases[i].query, &r);
        assert_int_equal(r.n, cases[i].n);
        assert_int_equal(r.found, cases[i].found);
        if (r.n)
            assert_int_equal(r.sequences[0], cases[i].first);
        event_unref(r.first);
    }
    fixture_close(&f);
}

static void events_read_back_are_the_same(void **state)
{
    struct fixture f;
    struct reading r;
    struct event *event = make_event(7, "tunnel.inactive", "europe/ams");

    (void)state;
    fixture_open(&f, NULL);
    store_add_event(f.store, event, NULL, 0, on_added, &f);
    read_events(&f, &(struct event_query){ 0 }, &r);
    assert_int_equal(r.n, 1);
    assert_string_equal(r.first->id, event->id);
    assert_string_equal(r.first->type, event->type);
    assert_string_equal(r.first->subject, event->subject);
    assert_string_equal(r.first->data, event->data);
    assert_int_equal(r.first->severity, event->severity);
    assert_int_equal(r.first->recovery, event->recovery);
    assert_true(r.first->wall == event->wall);
    event_unref(r.first);
    event_unref(event);
    fixture_close(&f);
}

static void cancelled_read_says_nothing(void **state)
{
    struct fixture f;
    struct reading cancelled = { 0 }, r;

    (void)state;
    fixture_open(&f, NULL);
    store_cancel_read(store_read_events(f.store, &(struct event_query){ 0 }, on_read, &cancelled));
    read_events(&f, &(struct event_query){ 0 }, &r); /* reads are answered in order */
    assert_int_equal(cancelled.done, 0);
    fixture_close(&f);
}

static void event_that_can_never_be_written_does_not_stop_the_others(void **state)
{
    struct fixture f;
    struct store_status status;

    (void)state;
    fixture_open(&f, directory);
    add_event(&f, 1, "a.b", NULL);
    add_event(&f, 1, "a.b", NULL); /* no sequence twice */
    add_event(&f, 2, "a.b", NULL);
    turn_until(f.loop, &f.answered, 3, PATIENCE_S);
    assert_int_equal(f.durable, 2);
    store_get_status(f.store, &status);
    assert_int_equal(status.lost, 1);
    assert_int_equal(status.queued, 0);
    assert_int_equal(status.events, 2);
    fixture_close(&f);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk is full for as long as files may not grow. */

static void fill_disk(void)
{
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(256 * 1024);
}

static void add_big_event(struct fixture *f, uint64_t sequence)
{
    enum { SIZE = 1 << 20 };
    char *big = mem_alloc(SIZE);
    struct event given = { .sequence = sequence, .type = "a.b", .subject = "s", .data = big, .wall = clock_wall() };

    memset(big, ' ', SIZE - 1);
    big[0] = '{';
    big[SIZE - 2] = '}';
    big[SIZE - 1] = '\0';
    snprintf(given.id, sizeof given.id, "evt_big");
    struct event *event = event_new(&given);
    store_add_event(f->store, event, NULL, 0, on_added, f);
    event_unref(event);
    free(big);
}

static void wait_until_failing(struct fixture *f, struct store_status *status)
{
    *status = (struct store_status){ 0 };
    for (unsigned i = 0; i < 100 * PATIENCE_S && !status->failing; i++) {
        usleep(10000);
        store_get_status(f->store, status);
    }
    assert_true(status->failing);
}

static void failed_writes_show_and_are_repeated(void **state)
{
    struct fixture f;
    struct store_status status;
    struct reading r;

    (void)state;
    fixture_open(&f, directory);
    fill_disk();
    add_big_event(&f, 1);
    add_event(&f, 2, "a.b", "ops");
    wait_until_failing(&f, &status);
    assert_int_equal(status.queued, 2);
    assert_true(status.failing_since > 0);
    assert_true(strlen(status.error) > 0);
    read_events(&f, &(struct event_query){ 0 }, &r); /* reads go on */
    assert_int_equal(r.n, 0);
    assert_int_equal(f.answered, 0);

    limit_file_size(RLIM_INFINITY);
    turn_until(f.loop, &f.answered, 2, PATIENCE_S);
    assert_int_equal(f.durable, 2);
    store_get_status(f.store, &status);
    assert_false(status.failing);
    assert_int_equal(status.queued, 0);
    fixture_close(&f);
    fixture_open(&f, directory);
    assert_undelivered(f.store, "ops:2 second:2");
    fixture_close(&f);
}

static void alerts_do_not_wait_for_a_full_disk_for_ever(void **state)
{
    struct ev_loop *loop = ev_loop_new(0);
    char error[STORE_ERROR_SIZE];
    struct store_options options = { .directory = directory, .patience = 1 };
    struct fixture f = { .loop = loop, .store = store_open(loop, &options, error) };
    struct store_status status;

    (void)state;
    assert_non_null(f.store);
    fill_disk();
    add_big_event(&f, 1);
    turn_until(f.loop, &f.answered, 1, PATIENCE_S);
    add_event(&f, 2, "a.b", "ops"); /* what comes now is told at once */
    turn_until(f.loop, &f.answered, 2, PATIENCE_S);
    assert_int_equal(f.durable, 0);
    assert_int_equal(f.answers[0], 1);
    assert_int_equal(f.answers[1], 2);
    store_get_status(f.store, &status);
    assert_true(status.failing);
    assert_int_equal(status.queued, 2);

    limit_file_size(RLIM_INFINITY); /* and written once it can be, without being told again */
    add_event(&f, 3, "a.b", NULL);
    for (unsigned i = 0; i < 100 * PATIENCE_S && status.failing; i++) {
        usleep(10000);
        store_get_status(f.store, &status);
    }
    turn_until(f.loop, &f.answered, 3, PATIENCE_S);
    store_get_status(f.store, &status);
    assert_int_equal(status.events, 3);
    fixture_close(&f);
    assert_int_equal(f.answered, 3);
    fixture_open(&f, directory);
    assert_undelivered(f.store, "ops:2 second:2");
    fixture_close(&f);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(events_come_back_in_order_once_committed),
        IN_DIRECTORY(what_was_delivered_is_not_sent_again_after_a_restart),
        IN_DIRECTORY(last_word_of_each_subject_and_kind_is_kept),
        IN_DIRECTORY(overrides_stay_until_lifted),
        IN_DIRECTORY(mark_tells_when_all_before_it_is_committed),
        IN_DIRECTORY(what_was_committed_survives_a_kill),
        IN_DIRECTORY(second_process_is_told_that_the_directory_is_in_use),
        IN_DIRECTORY(file_that_is_no_database_is_set_aside),
        IN_DIRECTORY(damaged_database_is_set_aside),
        IN_DIRECTORY(directory_that_cannot_be_used_is_an_error),
        IN_DIRECTORY(file_is_private),
        IN_DIRECTORY(history_is_bounded_but_for_undelivered_alerts),
        IN_DIRECTORY(event_that_can_never_be_written_does_not_stop_the_others),
        IN_DIRECTORY(failed_writes_show_and_are_repeated),
        IN_DIRECTORY(alerts_do_not_wait_for_a_full_disk_for_ever),
        cmocka_unit_test(queries_find_what_they_ask_for),
        cmocka_unit_test(events_read_back_are_the_same),
        cmocka_unit_test(cancelled_read_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
