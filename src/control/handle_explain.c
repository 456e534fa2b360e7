#include "control/handlers.h"

#include "base/mem.h"
#include "base/text.h"
#include "control/answer.h"
#include "control/explanation.h"
#include "control/gathering.h"
#include "control/query.h"
#include "http/rules.h"
#include "proxy/worker.h"

#include <string.h>

enum { PART_SIZE = 8192 };

static void answer(const struct pending *p, const struct explanation *x)
{
    if (!x->decision)
        answer_problem(p->call, 503, "no worker serves at the moment");
    else if (x->malformed)
        answer_problem(p->call, 400, "no client can send such a request: look at method, path, cookie and header");
    else if (x->decision->direction == DIRECT_NO_LOAD_BALANCER)
        answer_problem(p->call, 404, "no load balancer serves the host \"%s\"", p->name);
    else
        answer_json(p->call, 200, explanation_json(p->control, x));
}

static void explained(struct explanation *x, void *arg)
{
    struct pending *p = arg;
    if (p->call)
        answer(p, x);
    explanation_free(x);
    free(p);
}

/* --- a request that was sent --- */

static void answer_search(const struct gathering *g, struct local_call *call)
{
    unsigned kept = g->control->config->explain_requests;
    if (g->n)
        answer_json(call, 200, explanation_remembered_json(g->control, g->found[0], g->same_id));
    else if (!kept)
        answer_problem(call, 404, "no requests are remembered: explain.requests is 0");
    else
        answer_problem(call, 404, "no request \"%s\" is remembered, or not any more: each worker keeps its last %u (explain.requests)", g->id, kept);
}

/* --- one that nobody sent --- */

/* Nothing of it may end a line of the head. */
static bool is_one_line(const struct request *r, const char *name, const char *value)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            answer_problem(r->call, 400, "%s has a control character", name);
            return false;
        }
    return true;
}

static bool read_part(const struct request *r, const char *name, char out[static PART_SIZE])
{
    return request_parameter(r, name, out, PART_SIZE) && is_one_line(r, name, out);
}

/* What is nearly right has its cure. */
static bool read_path(const struct request *r, char out[static PART_SIZE])
{
    if (!read_part(r, "path", out))
        return false;
    if (!*out || *out == '/')
        return true;
    answer_problem(r->call, 400, "path must begin with a slash: \"/%s\"", out);
    return false;
}

static bool is_host(const struct request *r, const char *text)
{
    struct slice host, host_port;
    if (http_host_split(slice_of(text), &host, &host_port))
        return true;
    answer_problem(r->call, 400, "host must be a host as in a Host field, \"app.example.com\" or \"app.example.com:8443\", not \"%s\"", text);
    return false;
}

static bool read_client(const struct request *r, struct address *out)
{
    char client[SEGMENT_SIZE];
    if (!request_parameter(r, "client", client, sizeof client))
        return false;
    if (!*client || address_parse(client, 0, out))
        return true;
    answer_problem(r->call, 400, "client must be an IP address");
    return false;
}

/* "Name: value", and again. False after a 400. */
static bool add_headers(const struct request *r, struct text *head)
{
    struct slice query = r->http->query, name, value;
    char line[PART_SIZE];
    while (query_next(&query, &name, &value)) {
        if (!slice_eq(name, SLICE("header")))
            continue;
        if (!percent_decode(value, line, sizeof line) || !strchr(line, ':')) {
            answer_problem(r->call, 400, "header must be \"Name: value\"");
            return false;
        }
        if (!is_one_line(r, "header", line))
            return false;
        text_addf(head, "%s\r\n", line);
    }
    return true;
}

static bool write_head(const struct request *r, const char *host, struct text *head)
{
    char method[SEGMENT_SIZE], path[PART_SIZE], cookie[PART_SIZE];
    if (!is_host(r, host) || !read_path(r, path) || !read_part(r, "cookie", cookie) || !request_parameter(r, "method", method, sizeof method)
        || !is_one_line(r, "method", method))
        return false;
    text_addf(head, "%s %s HTTP/1.1\r\nHost: %s\r\n", *method ? method : "GET", *path ? path : "/", host);
    if (*cookie)
        text_addf(head, "Cookie: %s\r\n", cookie);
    if (!add_headers(r, head))
        return false;
    text_add(head, "\r\n");
    return true;
}

static bool read_listener(const struct request *r, char **out)
{
    const struct config *config = r->control->config;
    char listener[SEGMENT_SIZE];
    if (!request_parameter(r, "listener", listener, sizeof listener))
        return false;
    for (size_t i = 0; i < config->n_listeners; i++)
        if (config->listeners[i].address && strcmp(config->listeners[i].address, listener) == 0)
            *out = mem_copy_text(listener);
    if (!*listener || *out)
        return true;
    answer_problem(r->call, 400, "no listener has the address \"%s\"", listener);
    return false;
}

static bool read_question(const struct request *r, const char *host, struct explanation *x)
{
    struct text head = { 0 };
    bool sound = read_client(r, &x->client) && read_listener(r, &x->listener) && write_head(r, host, &head);
    x->head_length = head.n;
    x->head = text_take(&head);
    return sound;
}

static void explain_new(const struct request *r, const char *host)
{
    struct explanation *x = explanation_new();
    if (!read_question(r, host, x)) {
        explanation_free(x);
        return;
    }
    x->done = explained;
    x->arg = pending_new(r, host);
    worker_post_explanation(r->control->workers[0], x);
}

void handle_get_explain(const struct request *r)
{
    char host[PART_SIZE], id[SEGMENT_SIZE];

    if (!read_part(r, "host", host) || !request_parameter(r, "request", id, sizeof id))
        return;
    if (!*host == !*id)
        answer_problem(r->call, 400, "say which host the request is for, ?host=app.example.com, or which request it was, ?request=ID");
    else if (!r->control->n_workers || r->control->stopping)
        answer_problem(r->call, 503, "no worker serves at the moment");
    else if (*id)
        gathering_start(r, &(struct gathering){ .id = id, .answer = answer_search });
    else
        explain_new(r, host);
}
