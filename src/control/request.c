#include "control/request.h"

#include "base/mem.h"
#include "base/nearest.h"
#include "control/answer.h"
#include "control/query.h"

#include <stdio.h>
#include <string.h>

bool request_parameter(const struct request *r, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    if (query_find(r->http->query, name, out, size) != QUERY_MALFORMED)
        return true;
    answer_problem(r->call, 400, "the parameter %s is malformed or too long", name);
    return false;
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
        answer_problem(r->call, 400, "unknown member \"%s\"%s%s%s", name, meant ? " (did you mean \"" : "", meant ? meant : "",
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
        answer_problem(r->call, 400, "the body is not JSON: line %d, column %d: %s", error.line, error.column, error.text);
        return NULL;
    }
    if (!json_is_object(body))
        answer_problem(r->call, 400, "the body must be a JSON object");
    else if (check_members(r, body, members))
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
