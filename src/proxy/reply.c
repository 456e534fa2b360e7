#include "proxy/reply.h"

#include <stdio.h>

void reply_compose(struct reply *r, unsigned status, const char *why, nsec_t retry_after)
{
    const char *phrase = http_status_phrase(status);
    int n = snprintf(r->text, sizeof r->text, "%u %s: %s\n", status, phrase, why);
    r->body = (struct slice){ r->text, (size_t)n < sizeof r->text ? (size_t)n : sizeof r->text - 1 };
    r->text[r->body.n - 1] = '\n'; /* also where it was cut */

    size_t fields = 0;
    r->fields[fields++] = (struct added_field){ SLICE("Content-Type"), SLICE("text/plain; charset=utf-8") };
    r->fields[fields++] = (struct added_field){ SLICE("Cache-Control"), SLICE("no-store") };
    if (status == 405)
        r->fields[fields++] = (struct added_field){ SLICE("Allow"), SLICE("GET, HEAD, OPTIONS, PUT, DELETE, POST, PATCH") };
    if (retry_after > 0) {
        snprintf(r->retry_after, sizeof r->retry_after, "%lld", (long long)((retry_after + NSEC_PER_SEC - 1) / NSEC_PER_SEC));
        r->fields[fields++] = (struct added_field){ SLICE("Retry-After"), slice_of(r->retry_after) };
    }
    r->message = (struct message_out){
        .status = status,
        .reason = slice_of(phrase),
        .added = r->fields,
        .n_added = fields,
        .body = BODY_LENGTH,
        .length = r->body.n,
        .has_length = true,
    };
}

void reply_compose_given(struct reply *r, const struct rule_response *given)
{
    bool has_body = given->status != 204;
    size_t fields = 0;
    r->body = given->body ? slice_of(given->body) : (struct slice){ "", 0 };
    if (r->body.n)
        r->fields[fields++] = (struct added_field){ SLICE("Content-Type"),
                                                    given->content_type ? slice_of(given->content_type) : SLICE("text/plain; charset=utf-8") };
    if (given->location)
        r->fields[fields++] = (struct added_field){ SLICE("Location"), slice_of(given->location) };
    r->message = (struct message_out){
        .status = given->status,
        .reason = slice_of(http_status_phrase(given->status)),
        .added = r->fields,
        .n_added = fields,
        .body = has_body ? BODY_LENGTH : BODY_NONE,
        .length = r->body.n,
        .has_length = has_body,
    };
}

void reply_count_status(struct worker *w, unsigned status)
{
    _Atomic uint64_t *const classes[] = { &w->counters.responses_1xx, &w->counters.responses_2xx, &w->counters.responses_3xx,
                                          &w->counters.responses_4xx, &w->counters.responses_5xx };
    if (status >= 100 && status < 600)
        counter_add(classes[status / 100 - 1], 1);
}

void reply_account_refusal(struct worker *w, const struct address *peer, bool tls, unsigned status, enum reason reason)
{
    counter_add(&w->counters.requests, 1);
    counter_add(&w->counters.failures[reason], 1);
    reply_count_status(w, status);
    if (!w->log)
        return;
    struct access_record record = {
        .wall = clock_wall(),
        .client = peer,
        .minor = 1,
        .tls = tls,
        .status = status,
        .reason = reason,
        .choose = -1, .connect = -1, .send = -1, .first_byte = -1,
    };
    log_lines_add(w->log, &record);
}
