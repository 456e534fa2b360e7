/* The daemon's own log: one line per call on stderr, from any thread. Never given a secret. Set up once, before threads start. */
#ifndef PENSTOCK_BASE_LOG_H
#define PENSTOCK_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO };

/* Subjects whose every step can be traced, switched at run time from any thread. */
enum trace_subject { TRACE_EXCHANGE, TRACE_EDGE, TRACE_HEALTH, TRACE_DNS, TRACE_ALERTS, TRACE_SUBJECTS };

void log_set_level(enum log_level least_important_shown);
/* `area` is the part of the program: "listener", "health", "reload". */
void log_write(enum log_level, const char *area, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* False for a name that is no subject. */
bool trace_switch(const char *subject, bool on);
const char *trace_subject_name(enum trace_subject);
bool trace_is_on(enum trace_subject);
void trace_write(enum trace_subject, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
/* The arguments are not evaluated while the subject is off. */
#define trace(subject, ...) ((void)(trace_is_on(subject) && (trace_write(subject, __VA_ARGS__), true)))

#endif
