#include "control/handlers.h"

#include "base/mem.h"
#include "control/answer.h"
#include "control/explanation.h"
#include "proxy/worker.h"

enum { LAST_MOST = 1000, LAST_DEFAULT = 20 };

/* All workers are asked, one after the other. */
struct gathering {
    struct pending *pending;
    unsigned next; /* worker */
    unsigned last;
    bool only_failed;
    struct decision **found;
    size_t n;
};

static int newest_first(const void *a, const void *b)
{
    const struct decision *x = *(struct decision *const *)a, *y = *(struct decision *const *)b;
    return (x->started_wall < y->started_wall) - (x->started_wall > y->started_wall);
}

static void answer_gathered(struct gathering *g)
{
    json_t *rows = json_array();
    qsort(g->found, g->n, sizeof *g->found, newest_first);
    for (size_t i = 0; i < g->n && i < g->last; i++)
        json_array_append_new(rows, explanation_row_json(g->found[i]));
    answer_json(g->pending->call, 200, json_pack("{s:o, s:i}", "requests", rows, "remembered_by_each_worker", (int)g->pending->control->config->explain_requests));
}

static void ask_next(struct gathering *g);

static void add_found(struct explanation *x, void *arg)
{
    struct gathering *g = arg;
    g->found = mem_resize(g->found, g->n + x->n_found, sizeof(struct decision *));
    for (size_t i = 0; i < x->n_found; i++)
        g->found[g->n++] = x->found[i];
    x->n_found = 0; /* they are ours now */
    explanation_free(x);
    ask_next(g);
}

static void ask_next(struct gathering *g)
{
    struct control *c = g->pending->control;
    if (g->next < c->n_workers && !c->stopping) {
        struct explanation *x = explanation_new();
        x->last = g->last;
        x->only_failed = g->only_failed;
        x->done = add_found;
        x->arg = g;
        worker_post_explanation(c->workers[g->next++], x);
        return;
    }
    if (g->pending->call)
        answer_gathered(g);
    for (size_t i = 0; i < g->n; i++)
        free(g->found[i]);
    free(g->found);
    free(g->pending);
    free(g);
}

void handle_get_requests(const struct request *r)
{
    unsigned last = LAST_DEFAULT;
    bool only_failed = false;
    if (!request_number(r, "limit", 1, LAST_MOST, &last) || !request_flag(r, "failed", &only_failed))
        return;
    struct gathering *g = mem_zero(sizeof *g);
    g->pending = pending_new(r, "");
    g->last = last;
    g->only_failed = only_failed;
    ask_next(g);
}
