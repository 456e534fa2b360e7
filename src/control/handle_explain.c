#include "control/handlers.h"

#include "base/text.h"
#include "control/answer.h"
#include "control/explanation.h"
#include "proxy/worker.h"

#include <string.h>

enum { PART_SIZE = 8192 };

static void answer(const struct pending *p, const struct explanation *x)
{
    if (!x->config)
        answer_problem(p->call, 503, "no worker serves at the moment");
    else if (x->malformed)
        answer_problem(p->call, 400, "no client can send such a request: look at host, path and cookie");
    else if (x->direction == DIRECT_NO_LOAD_BALANCER)
        answer_problem(p->call, 404, "no load balancer serves the host \"%s\"", p->name);
    else
        answer_json(p->call, 200, explanation_json(p->control, x, p->name));
}

static void explained(struct explanation *x, void *arg)
{
    struct pending *p = arg;
    if (p->call)
        answer(p, x);
    explanation_free(x);
    free(p);
}

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

static void write_head(struct explanation *x, const char *host, const char *path, const char *cookie)
{
    struct text head = { 0 };
    text_addf(&head, "GET %s HTTP/1.1\r\nHost: %s\r\n", *path ? path : "/", host);
    if (*cookie)
        text_addf(&head, "Cookie: %s\r\n", cookie);
    text_add(&head, "\r\n");
    x->head_length = head.n;
    x->head = text_take(&head);
}

void handle_get_explain(const struct request *r)
{
    char host[PART_SIZE], path[PART_SIZE], cookie[PART_SIZE];
    struct address client = { .sa.sa_family = AF_UNSPEC };

    if (!read_part(r, "host", host) || !read_part(r, "path", path) || !read_part(r, "cookie", cookie) || !read_client(r, &client))
        return;
    if (!*host) {
        answer_problem(r->call, 400, "say which host the request is for: ?host=app.example.com");
        return;
    }
    if (!r->control->n_workers || r->control->stopping) {
        answer_problem(r->call, 503, "no worker serves at the moment");
        return;
    }
    struct explanation *x = explanation_new();
    write_head(x, host, path, cookie);
    x->client = client;
    x->done = explained;
    x->arg = pending_new(r, host);
    worker_post_explanation(r->control->workers[0], x);
}
