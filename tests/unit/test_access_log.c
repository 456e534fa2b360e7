/* The access log's thread: lines arrive whole and in their order, files move, and what a slow reader costs is counted. */
#include "proxy/access_log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/penstock-test-XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof *paths, "%s/%s", folder, name);
    return path;
}

static struct log_sink *sink_new(const char *path)
{
    char error[256] = "";
    struct log_sink *sink = log_sink_new(&(struct access_log_conf){ .path = path, .format = ACCESS_LOG_COMBINED }, error);

    if (!sink)
        fail_msg("%s", error);
    return sink;
}

static void add(struct log_lines *lines, unsigned who, unsigned number)
{
    char target[32];
    struct access_record r = { .method = SLICE("GET"), .minor = 1 };

    snprintf(target, sizeof target, "/%u/%u", who, number);
    r.target = slice_of(target);
    log_lines_add(lines, &r);
}

/* How many lines of `who` stand in the file, which must be in order; `last`: the number of the last one. */
static unsigned count_lines(const char *path, unsigned who, unsigned *last)
{
    FILE *f = fopen(path, "re");
    char line[512];
    unsigned n = 0, w, number;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "unix - - [01/Jan/1970:00:00:00 +0000] \"GET /%u/%u HTTP/1.1\" 0 0 \"-\" \"-\"", &w, &number) != 2)
            fail_msg("%s", line);
        if (w != who)
            continue;
        assert_true(n == 0 || number > *last);
        *last = number;
        n++;
    }
    fclose(f);
    return n;
}

static void test_lines_of_one(void **state)
{
    const char *path = path_of("one");
    struct log_sink *sink = sink_new(path);
    struct log_lines *lines = log_lines_new(sink);
    unsigned last = 0;

    log_lines_set_format(lines, ACCESS_LOG_COMBINED);
    log_lines_flush(lines); /* nothing yet */
    for (unsigned i = 1; i <= 10000; i++) {
        add(lines, 0, i);
        if (i % 1000 == 0)
            log_lines_flush(lines);
    }
    add(lines, 0, 10001); /* not flushed: handed over at the end */
    log_lines_free(lines);
    assert_int_equal(log_sink_lost(sink), 0);
    log_sink_free(sink);
    assert_int_equal(count_lines(path, 0, &last), 10001);
    assert_int_equal(last, 10001);
    (void)state;
}

enum { THREADS = 4, LINES = 5000 };

struct writer {
    struct log_sink *sink;
    unsigned who;
};

static void *write_lines(void *arg)
{
    struct writer *w = arg;
    struct log_lines *lines = log_lines_new(w->sink);

    log_lines_set_format(lines, ACCESS_LOG_COMBINED);
    for (unsigned i = 1; i <= LINES; i++) {
        add(lines, w->who, i);
        if (i % 7 == 0)
            log_lines_flush(lines);
    }
    log_lines_free(lines);
    return NULL;
}

static void test_many_writers_and_reopening(void **state)
{
    const char *path = path_of("many");
    struct log_sink *sink = sink_new(path);
    struct writer writers[THREADS];
    pthread_t threads[THREADS];
    unsigned last = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){ .sink = sink, .who = i };
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++)
        log_sink_reopen(sink); /* the same file again: nothing is lost, nothing written over */
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint64_t lost = log_sink_lost(sink), written = 0;
    log_sink_free(sink);
    for (unsigned i = 0; i < THREADS; i++)
        written += count_lines(path, i, &last);
    assert_int_equal(written + lost, THREADS * LINES);
    (void)state;
}

static void wait_for_line(const char *path, unsigned number)
{
    unsigned last = 0;

    for (int i = 0; i < 1000 && (access(path, R_OK) || !count_lines(path, 0, &last) || last != number); i++)
        poll(NULL, 0, 10);
    assert_int_equal(last, number);
}

static void test_rotation_and_move(void **state)
{
    char error[256] = "";
    const char *path = path_of("log"), *rotated = path_of("log.1"), *other = path_of("other");
    struct log_sink *sink = sink_new(path);
    struct log_lines *lines = log_lines_new(sink);
    unsigned last = 0;

    log_lines_set_format(lines, ACCESS_LOG_COMBINED);
    add(lines, 0, 1);
    log_lines_flush(lines);
    wait_for_line(path, 1);

    assert_int_equal(rename(path, rotated), 0);
    log_sink_reopen(sink);
    add(lines, 0, 2);
    log_lines_flush(lines);
    wait_for_line(path, 2);
    assert_int_equal(count_lines(rotated, 0, &last), 1);

    assert_false(log_sink_move(sink, &(struct access_log_conf){ .path = path_of("missing/log") }, error));
    assert_non_null(strstr(error, "missing/log"));
    add(lines, 0, 3);
    log_lines_flush(lines);
    wait_for_line(path, 3);

    assert_true(log_sink_move(sink, &(struct access_log_conf){ .path = other }, error));
    add(lines, 0, 4);
    log_lines_flush(lines);
    wait_for_line(other, 4);

    assert_true(log_sink_move(sink, &(struct access_log_conf){ .path = NULL }, error)); /* off */
    add(lines, 0, 5);
    log_lines_free(lines);
    assert_int_equal(log_sink_lost(sink), 0);
    log_sink_free(sink);
    assert_int_equal(count_lines(other, 0, &last), 1);
    (void)state;
}

/* Nobody reads the pipe: what does not fit into memory is dropped and counted, the rest arrives once somebody does. */
static void *end_sink(void *sink)
{
    log_sink_free(sink);
    return NULL;
}

static void test_slow_reader_costs_counted_lines(void **state)
{
    const char *path = path_of("pipe"), *copy = path_of("copy");
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct log_sink *sink = sink_new(path);
    struct log_lines *lines = log_lines_new(sink);
    unsigned added = 0, last = 0;

    log_lines_set_format(lines, ACCESS_LOG_COMBINED);
    while (!log_sink_lost(sink) && added < 1000000)
        add(lines, 0, ++added);
    assert_int_equal(log_sink_lost(sink), 1);
    add(lines, 0, ++added);
    assert_int_equal(log_sink_lost(sink), 2);

    int out = open(copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char bytes[65536];
    log_lines_free(lines);
    /* The end of a sink waits until all that was taken is written. */
    pthread_t ending;
    assert_int_equal(pthread_create(&ending, NULL, end_sink, sink), 0);
    for (ssize_t n; (n = read(reader, bytes, sizeof bytes)) != 0;) {
        if (n > 0)
            assert_int_equal(write(out, bytes, (size_t)n), n);
        else
            poll(&(struct pollfd){ .fd = reader, .events = POLLIN }, 1, 1000);
    }
    pthread_join(ending, NULL);
    close(reader);
    close(out);
    assert_int_equal(count_lines(copy, 0, &last) + 2, added);
    (void)state;
}

static void test_what_cannot_be_written_is_counted(void **state)
{
    struct log_sink *sink = sink_new("/dev/full");
    struct log_lines *lines = log_lines_new(sink);

    for (unsigned i = 0; i < 10; i++) {
        add(lines, 0, i);
        log_lines_flush(lines);
    }
    for (int i = 0; i < 1000 && log_sink_lost(sink) < 10; i++)
        poll(NULL, 0, 10);
    assert_int_equal(log_sink_lost(sink), 10);
    log_lines_free(lines);
    log_sink_free(sink);
    (void)state;
}

static void test_file_that_cannot_be_opened(void **state)
{
    char error[256] = "";

    assert_null(log_sink_new(&(struct access_log_conf){ .path = path_of("missing/log") }, error));
    assert_non_null(strstr(error, "No such file"));
    (void)state;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "one", "many", "log", "log.1", "other", "pipe", "copy" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_one),
        cmocka_unit_test(test_many_writers_and_reopening),
        cmocka_unit_test(test_rotation_and_move),
        cmocka_unit_test(test_slow_reader_costs_counted_lines),
        cmocka_unit_test(test_what_cannot_be_written_is_counted),
        cmocka_unit_test(test_file_that_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
