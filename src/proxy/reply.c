#include "proxy/reply.h"

#include <stdio.h>

static void add_field(struct reply *r, struct slice name, struct slice value)
{
    r->fields[r->message.n_added++] = (struct added_field){ name, value };
}

static void begin(struct reply *r, unsigned status, bool has_body)
{
    r->message = (struct message_out){
        .status = status,
        .reason = slice_of(http_status_phrase(status)),
        .added = r->fields,
        .body = has_body ? BODY_LENGTH : BODY_NONE,
        .length = r->body.n,
        .has_length = has_body,
    };
}

static void add_retry_after(struct reply *r, nsec_t retry_after)
{
    if (retry_after <= 0)
        return;
    snprintf(r->retry_after, sizeof r->retry_after, "%lld", (long long)((retry_after + NSEC_PER_SEC - 1) / NSEC_PER_SEC));
    add_field(r, SLICE("Retry-After"), slice_of(r->retry_after));
}

void reply_compose(struct reply *r, unsigned status, const char *why, nsec_t retry_after)
{
    const char *phrase = http_status_phrase(status);
    int n = snprintf(r->text, sizeof r->text, "%u %s: %s\n", status, phrase, why);
    r->body = (struct slice){ r->text, (size_t)n < sizeof r->text ? (size_t)n : sizeof r->text - 1 };
    r->text[r->body.n - 1] = '\n'; /* also where it was cut */

    begin(r, status, true);
    add_field(r, SLICE("Content-Type"), SLICE("text/plain; charset=utf-8"));
    add_field(r, SLICE("Cache-Control"), SLICE("no-store"));
    if (status == 405)
        add_field(r, SLICE("Allow"), SLICE("GET, HEAD, OPTIONS, PUT, DELETE, POST, PATCH"));
    add_retry_after(r, retry_after);
}

void reply_compose_page(struct reply *r, const struct down_page *page, nsec_t retry_after)
{
    r->body = page->body;
    begin(r, page->status, true);
    add_field(r, SLICE("Content-Type"), slice_of(page->content_type));
    add_field(r, SLICE("Cache-Control"), SLICE("no-store"));
    add_retry_after(r, retry_after);
}

void reply_add_request_id(struct reply *r, const char *id)
{
    if (*id)
        add_field(r, SLICE("X-Request-Id"), slice_of(id));
}

void reply_compose_given(struct reply *r, const struct rule_response *given)
{
    r->body = given->body ? slice_of(given->body) : (struct slice){ "", 0 };
    begin(r, given->status, given->status != 204);
    if (r->body.n)
        add_field(r, SLICE("Content-Type"), given->content_type ? slice_of(given->content_type) : SLICE("text/plain; charset=utf-8"));
    if (given->location)
        add_field(r, SLICE("Location"), slice_of(given->location));
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
