#include "control/gathering.h"

#include "base/mem.h"
#include "proxy/worker.h"

struct search {
    struct gathering gathering;
    struct pending *pending;
    char *id;      /* the question's own copy */
    unsigned next; /* worker */
};

static int newest_first(const void *a, const void *b)
{
    const struct decision *x = *(struct decision *const *)a, *y = *(struct decision *const *)b;
    return (x->started_wall < y->started_wall) - (x->started_wall > y->started_wall);
}

static void finish(struct search *s)
{
    struct gathering *g = &s->gathering;
    qsort(g->found, g->n, sizeof(struct decision *), newest_first);
    if (s->pending->call)
        g->answer(g, s->pending->call);
    for (size_t i = 0; i < g->n; i++)
        free(g->found[i]);
    free(g->found);
    free(s->pending);
    free(s->id);
    free(s);
}

static void ask_next(struct search *s);

static void add_found(struct explanation *x, void *arg)
{
    struct search *s = arg;
    struct gathering *g = &s->gathering;
    g->found = mem_resize(g->found, g->n + x->n_found, sizeof(struct decision *));
    for (size_t i = 0; i < x->n_found; i++)
        g->found[g->n++] = x->found[i];
    x->n_found = 0; /* they are ours now */
    g->same_id += x->same_id;
    explanation_free(x);
    ask_next(s);
}

static void ask_next(struct search *s)
{
    struct control *c = s->gathering.control;
    if (s->next == c->n_workers || c->stopping) {
        finish(s);
        return;
    }
    struct explanation *x = explanation_new();
    x->request_id = s->id;
    x->last = s->gathering.last;
    x->only_failed = s->gathering.only_failed;
    x->done = add_found;
    x->arg = s;
    worker_post_explanation(c->workers[s->next++], x);
}

void gathering_start(const struct request *r, const struct gathering *question)
{
    struct search *s = mem_zero(sizeof *s);
    s->gathering = *question;
    s->gathering.control = r->control;
    s->gathering.found = mem_array(1, sizeof(struct decision *));
    s->id = question->id ? mem_copy_text(question->id) : NULL;
    s->gathering.id = s->id;
    s->pending = pending_new(r, "");
    ask_next(s);
}
