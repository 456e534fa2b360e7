#include "balance/event.h"

#include "base/mem.h"

#include <string.h>

static const char *const severity_names[] = { [SEVERITY_INFO] = "info", [SEVERITY_WARNING] = "warning", [SEVERITY_CRITICAL] = "critical" };
enum { SEVERITIES = sizeof severity_names / sizeof *severity_names };

const char *severity_name(enum severity severity)
{
    return severity_names[severity];
}

bool severity_parse(const char *name, enum severity *out)
{
    for (unsigned i = 0; i < SEVERITIES; i++)
        if (strcmp(severity_names[i], name) == 0) {
            *out = (enum severity)i;
            return true;
        }
    return false;
}

struct event *event_new(const struct event *given)
{
    size_t type = strlen(given->type) + 1, subject = strlen(given->subject) + 1, data = strlen(given->data) + 1;
    struct event *e = mem_alloc(sizeof *e + type + subject + data);
    char *strings = (char *)(e + 1);

    atomic_init(&e->refs, 1);
    e->sequence = given->sequence;
    memcpy(e->id, given->id, sizeof e->id);
    e->severity = given->severity;
    e->recovery = given->recovery;
    e->wall = given->wall;
    e->type = memcpy(strings, given->type, type);
    e->subject = memcpy(strings + type, given->subject, subject);
    e->data = memcpy(strings + type + subject, given->data, data);
    return e;
}

struct event *event_ref(struct event *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void event_unref(struct event *e)
{
    if (e && atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        free(e);
}

/* Linear: on a mismatch only the last star takes one character more. */
bool event_type_matches(const char *pattern, const char *type)
{
    const char *star = NULL, *resume = NULL;

    while (*type) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = type;
        } else if (*pattern == *type) {
            pattern++;
            type++;
        } else if (star) {
            pattern = star;
            type = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

void event_write_json(const struct event *e, struct text *out)
{
    char time[CLOCK_RFC3339_SIZE];

    /* Id, type and severity are made of characters that JSON does not escape. */
    text_addf(out, "{\"id\":\"%s\",\"type\":\"%s\",\"timestamp\":\"%s\",\"severity\":\"%s\",\"data\":%s}", e->id, e->type,
              clock_rfc3339(e->wall, time), severity_name(e->severity), e->data);
}
