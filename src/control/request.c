#include "control/request.h"

#include "base/mem.h"
#include "base/nearest.h"
#include "control/answer.h"
#include "control/envelope.h"
#include "control/query.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum envelope_code code_of(unsigned status)
{
    switch (status) {
    case 401:
    case 403:
        return ENVELOPE_AUTHENTICATION;
    case 404:
        return ENVELOPE_NO_ROUTE;
    case 405:
        return ENVELOPE_NO_METHOD;
    default:
        return status < 500 ? ENVELOPE_INVALID : ENVELOPE_FAILED;
    }
}

static void refuse(const struct request *r, unsigned status, const char *extra, const char *format, va_list arguments)
{
    struct text detail = { 0 };

    text_vaddf(&detail, format, arguments);
    if (r->shape == ANSWER_ENVELOPE)
        envelope_refuse(r->call, status, code_of(status), extra, "%s", detail.p);
    else
        answer_problem_with(r->call, status, extra, NULL, "%s", detail.p);
    text_clear(&detail);
}

void request_refuse(const struct request *r, unsigned status, const char *detail, ...)
{
    va_list arguments;
    va_start(arguments, detail);
    refuse(r, status, "", detail, arguments);
    va_end(arguments);
}

void request_refuse_with(const struct request *r, unsigned status, const char *extra, const char *detail, ...)
{
    va_list arguments;
    va_start(arguments, detail);
    refuse(r, status, extra, detail, arguments);
    va_end(arguments);
}

bool request_parameter(const struct request *r, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    if (query_find(r->http->query, name, out, size) != QUERY_MALFORMED)
        return true;
    request_refuse(r, 400, "the parameter %s is malformed or too long", name);
    return false;
}

bool request_number(const struct request *r, const char *name, unsigned min, unsigned max, unsigned *out)
{
    char text[16], *end;

    if (!request_parameter(r, name, text, sizeof text))
        return false;
    if (!*text)
        return true;
    unsigned long n = strtoul(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && n >= min && n <= max) {
        *out = (unsigned)n;
        return true;
    }
    request_refuse(r, 400, "%s must be a number from %u to %u", name, min, max);
    return false;
}

bool request_flag(const struct request *r, const char *name, bool *out)
{
    char text[8];

    if (!request_parameter(r, name, text, sizeof text))
        return false;
    if (*text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        request_refuse(r, 400, "%s must be true or false", name);
        return false;
    }
    if (*text)
        *out = strcmp(text, "true") == 0;
    return true;
}

static const char *nearest_member(const char *const *members, const char *name)
{
    struct nearest s = { .word = name };
    for (; *members; members++)
        nearest_offer(&s, *members);
    return s.best;
}

static bool is_member(const char *const *members, const char *name)
{
    while (*members && strcmp(*members, name) != 0)
        members++;
    return *members != NULL;
}

/* False after a 400. */
static bool check_members(const struct request *r, json_t *object, const char *const *members)
{
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value) {
        if (is_member(members, name))
            continue;
        const char *meant = nearest_member(members, name);
        request_refuse(r, 400, "unknown member \"%s\"%s%s%s", name, meant ? " (did you mean \"" : "", meant ? meant : "",
                       meant ? "\"?)" : "");
        return false;
    }
    return true;
}

json_t *request_body(const struct request *r, const char *const *members)
{
    json_error_t error;

    if (!slice_trim(r->http->body).n)
        return json_object();
    json_t *body = json_loadb(r->http->body.p, r->http->body.n, JSON_REJECT_DUPLICATES, &error);
    if (!body) {
        request_refuse(r, 400, "the body is not JSON: line %d, column %d: %s", error.line, error.column, error.text);
        return NULL;
    }
    if (!json_is_object(body))
        request_refuse(r, 400, "the body must be a JSON object");
    else if (!members || check_members(r, body, members))
        return body;
    json_decref(body);
    return NULL;
}

static void pending_gone(void *arg)
{
    struct pending *p = arg;
    p->call = NULL;
}

struct pending *pending_new(const struct request *r, const char *name)
{
    struct pending *p = mem_zero(sizeof *p);
    p->control = r->control;
    p->call = r->call;
    snprintf(p->name, sizeof p->name, "%s", name);
    local_call_on_gone(r->call, pending_gone, p);
    return p;
}
