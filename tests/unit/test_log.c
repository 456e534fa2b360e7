/* The daemon's log: what is shown, that a line stays one line, and that tracing is switched by subject. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int kept_stderr, from_log;

static int redirect(void **state)
{
    (void)state;
    int fds[2];
    kept_stderr = dup(STDERR_FILENO);
    if (kept_stderr < 0 || pipe(fds) < 0 || dup2(fds[1], STDERR_FILENO) < 0)
        return -1;
    close(fds[1]);
    from_log = fds[0];
    return 0;
}

static int restore(void **state)
{
    (void)state;
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    close(from_log);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

/* What was written since the last call, without the time at its begin; a mark of our own, so that it works if nothing was. */
static const char *written(char out[static 4096])
{
    if (write(STDERR_FILENO, "\x01", 1) != 1)
        return "write failed";
    ssize_t n = read(from_log, out, 4095);
    if (n < 1 || out[n - 1] != 1)
        return "read failed";
    out[n - 1] = '\0';
    return n > 1 ? strchr(out, ' ') + 1 : "";
}

static void a_line_has_time_level_and_area(void **state)
{
    (void)state;
    char out[4096];
    log_warning("listener", "can't bind %s", "[::]:80");
    assert_string_equal(written(out), "warning listener: can't bind [::]:80\n");
    assert_int_equal(strlen("2026-11-24T16:00:00.000Z"), strcspn(out, " "));
    assert_int_equal(out[10], 'T');
}

static void only_important_lines_are_shown(void **state)
{
    (void)state;
    static const struct {
        enum log_level level;
        const char *shown;
    } rows[] = {
        { LOG_LEVEL_ERROR, "error" },
        { LOG_LEVEL_WARNING, "error warning" },
        { LOG_LEVEL_NOTICE, "error warning notice" },
        { LOG_LEVEL_INFO, "error warning notice info" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[4096], shown[64] = "";
        log_set_level(rows[i].level);
        for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_INFO; level++) {
            log_write((enum log_level)level, "a", "b");
            const char *line = written(out);
            if (*line)
                snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%s%.*s", *shown ? " " : "", (int)strcspn(line, " "), line);
        }
        assert_string_equal(shown, rows[i].shown);
    }
}

static void controls_are_masked(void **state)
{
    (void)state;
    char out[4096];
    log_error("a", "x\ny\r\x1b[0m\x7f\tz \xc3\xa9");
    assert_string_equal(written(out), "error a: x?y??[0m??z \xc3\xa9\n");
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    char out[4096];
    log_error("a", "%03000d", 1);
    const char *line = written(out);
    size_t n = strlen(line);
    assert_in_range(n, 1900, 2048);
    assert_int_equal(line[n - 1], '\n');
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
}

static int evaluated;

static int evaluate(void)
{
    return ++evaluated;
}

static void subjects_are_traced_while_switched_on(void **state)
{
    (void)state;
    char out[4096];
    for (int s = 0; s < TRACE_SUBJECTS; s++) {
        enum trace_subject subject = (enum trace_subject)s;
        const char *name = trace_subject_name(subject);
        char expected[64];
        snprintf(expected, sizeof expected, "trace %s: step 1\n", name);
        evaluated = 0;
        assert_false(trace_is_on(subject));
        trace(subject, "step %d", evaluate());
        assert_int_equal(evaluated, 0);
        assert_true(trace_switch(name, true));
        for (int other = 0; other < TRACE_SUBJECTS; other++)
            assert_int_equal(trace_is_on((enum trace_subject)other), other == s);
        trace(subject, "step %d", evaluate());
        assert_string_equal(written(out), expected);
        assert_true(trace_switch(name, false));
        assert_false(trace_is_on(subject));
    }
}

static void other_subjects_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = { "", "everything", "Edge", "edge " };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_false(trace_switch(rows[i], true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_time_level_and_area, redirect, restore),
        cmocka_unit_test_setup_teardown(only_important_lines_are_shown, redirect, restore),
        cmocka_unit_test_setup_teardown(controls_are_masked, redirect, restore),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, redirect, restore),
        cmocka_unit_test_setup_teardown(subjects_are_traced_while_switched_on, redirect, restore),
        cmocka_unit_test(other_subjects_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
