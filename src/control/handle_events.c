#include "control/handlers.h"

#include "base/units.h"
#include "control/admin.h"
#include "control/answer.h"
#include "control/event_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Sorts as the times do; NULL: malformed. RFC 3339 with any offset, or a duration back from now. */
static bool parse_since(const char *text, nsec_t *out)
{
    struct tm t = { 0 };
    nsec_t back;

    if (duration_parse(text, &back)) {
        *out = clock_wall() - back;
        return *out > 0;
    }
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &t);
    if (!rest)
        return false;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    long offset_s = 0;
    char sign;
    unsigned hours, minutes;
    int length = 0;
    if (sscanf(rest, "%c%2u:%2u%n", &sign, &hours, &minutes, &length) == 3 && (sign == '+' || sign == '-') && !rest[length])
        offset_s = (long)(hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    else if (strcasecmp(rest, "Z") != 0)
        return false;
    *out = (nsec_t)(timegm(&t) - offset_s) * NSEC_PER_SEC;
    return *out > 0;
}

static bool parse_limit(const char *text, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '1' || *text > '9' || *end || n > STORE_READ_MAX)
        return false;
    *out = (unsigned)n;
    return true;
}

/* False after a 400. */
static bool take_filter(const struct request *r, struct event_filter *out)
{
    char since[64], limit[16];

    *out = (struct event_filter){ 0 };
    if (!request_parameter(r, "after", out->after, sizeof out->after) ||
        !request_parameter(r, "type", out->type, sizeof out->type) ||
        !request_parameter(r, "subject", out->subject, sizeof out->subject) ||
        !request_parameter(r, "since", since, sizeof since) || !request_parameter(r, "limit", limit, sizeof limit))
        return false;
    if (*since && !parse_since(since, &out->since))
        answer_problem(r->call, 400, "since must be a time (2026-11-24T16:00:00Z) or a duration back from now (1h)");
    else if (*limit && !parse_limit(limit, &out->limit))
        answer_problem(r->call, 400, "limit must be a number from 1 to %d", STORE_READ_MAX);
    else
        return true;
    return false;
}

static bool wants_stream(struct slice accept)
{
    struct slice element;
    while (slice_next_element(&accept, &element))
        if (slice_starts_nocase(element, SLICE("text/event-stream")))
            return true;
    return false;
}

void handle_get_events(const struct request *r)
{
    struct event_filter filter;
    struct slice last = r->http->last_event_id;
    struct event_streams *streams = admin_streams(r->control);

    if (!take_filter(r, &filter))
        return;
    if (!streams) {
        answer_problem(r->call, 503, "penstock is stopping");
        return;
    }
    if (!wants_stream(r->http->accept)) {
        event_streams_list(streams, r->call, &filter);
        return;
    }
    if (last.n && last.n < sizeof filter.after)
        snprintf(filter.after, sizeof filter.after, "%.*s", SLICE_ARG(last));
    event_streams_follow(streams, r->call, &filter);
}
