#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 2048 };

static const char *const level_names[] = { "error", "warning", "notice", "info" };
static const char *const subject_names[TRACE_SUBJECTS] = { "exchange", "edge", "health", "dns", "alerts" };

static _Atomic int least_important = LOG_LEVEL_INFO;
static _Atomic unsigned traced; /* one bit per subject */

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&least_important, (int)level, memory_order_relaxed);
}

/* A control character in a logged name must not forge a second line. */
static void mask_control_characters(char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
}

static void write_line(const char *kind, const char *area, const char *format, va_list arguments)
{
    char line[LINE_SIZE], time[CLOCK_RFC3339_SIZE];
    int n = snprintf(line, sizeof line - 1, "%s %s %s: ", clock_rfc3339(clock_wall(), time), kind, area);
    int m = vsnprintf(line + n, sizeof line - 1 - (size_t)n, format, arguments);
    size_t end = m < 0 ? (size_t)n : (size_t)n + (size_t)m;
    if (end > sizeof line - 2)
        end = sizeof line - 2;
    mask_control_characters(line, end);
    line[end++] = '\n';
    /* One write, so lines of several threads never mix; a line that can't be written is lost. */
    ssize_t ignored = write(STDERR_FILENO, line, end);
    (void)ignored;
}

void log_write(enum log_level level, const char *area, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&least_important, memory_order_relaxed))
        return;
    va_list arguments;
    va_start(arguments, format);
    write_line(level_names[level], area, format, arguments);
    va_end(arguments);
}

const char *trace_subject_name(enum trace_subject subject)
{
    return subject_names[subject];
}

bool trace_switch(const char *subject, bool on)
{
    for (unsigned i = 0; i < TRACE_SUBJECTS; i++) {
        if (strcmp(subject_names[i], subject) != 0)
            continue;
        if (on)
            atomic_fetch_or_explicit(&traced, 1U << i, memory_order_relaxed);
        else
            atomic_fetch_and_explicit(&traced, ~(1U << i), memory_order_relaxed);
        return true;
    }
    return false;
}

bool trace_is_on(enum trace_subject subject)
{
    return atomic_load_explicit(&traced, memory_order_relaxed) >> subject & 1U;
}

void trace_write(enum trace_subject subject, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line("trace", subject_names[subject], format, arguments);
    va_end(arguments);
}
