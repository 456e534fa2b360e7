/* The first that is usable, in the order of the configuration. Whoever comes back waits for failback_delay before it is preferred
 * again, or, without `preempt`, until those that stayed are gone. Who is current follows from since when each has been usable, so
 * all workers agree without telling each other. The same under the name `geo`: there the maps have chosen the list, as they do
 * under any policy. */
#include "base/clock.h"
#include "steering/policy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FAILBACK_DELAY_SECONDS = 30 };

struct settings {
    nsec_t failback_delay;
    bool preempt;
};

struct rank {
    size_t index;
    unsigned order;
    nsec_t usable_since;
};

struct group {
    const struct settings *settings;
    size_t n;            /* candidates */
    size_t n_ranks;      /* those of weight above 0, the best first */
    struct rank *ranks;
};

/* Types and ranges are the schema's. */
static bool configure(const struct steering_options *options, struct steering_error *error, void **config)
{
    struct settings *s = malloc(sizeof *s);

    if (!s) {
        *error = (struct steering_error){ .message = "out of memory" };
        return false;
    }
    *s = (struct settings){ .failback_delay = FAILBACK_DELAY_SECONDS * NSEC_PER_SEC, .preempt = true };
    for (size_t i = 0; i < options->n; i++) {
        const struct steering_option *o = &options->items[i];
        if (strcmp(o->name, "failback_delay") == 0)
            s->failback_delay = (nsec_t)(o->number * (double)NSEC_PER_SEC);
        else if (strcmp(o->name, "preempt") == 0)
            s->preempt = o->flag;
    }
    *config = s;
    return true;
}

static void *worker_new(void *config)
{
    struct group *g = calloc(1, sizeof *g);

    if (g)
        g->settings = config;
    return g;
}

static bool ranks_before(const struct group *g, const struct rank *a, const struct rank *b)
{
    if (!g->settings->preempt && a->usable_since != b->usable_since)
        return a->usable_since < b->usable_since;
    return a->order < b->order;
}

/* Insertion: they come sorted, or nearly so. */
static void insert_rank(struct group *g, struct rank rank)
{
    size_t at = g->n_ranks++;

    for (; at > 0 && ranks_before(g, &rank, &g->ranks[at - 1]); at--)
        g->ranks[at] = g->ranks[at - 1];
    g->ranks[at] = rank;
}

static bool update(void *w, const struct steering_candidate *candidates, size_t n)
{
    struct group *g = w;
    struct rank *fresh = calloc(n + 1, sizeof *fresh);

    if (!fresh)
        return false;
    free(g->ranks);
    g->ranks = fresh;
    g->n = n;
    g->n_ranks = 0;
    for (size_t i = 0; i < n; i++)
        if (candidates[i].weight > 0)
            insert_rank(g, (struct rank){ i, candidates[i].order, candidates[i].usable_since });
    return true;
}

/* None is in the process's first moments; those usable since the start are then the longest, and go by order. */
static bool is_settled(const struct settings *s, const struct rank *rank, nsec_t now)
{
    return !s->preempt || now - rank->usable_since >= s->failback_delay;
}

/* How many have been usable for longer than the one of that rank. */
static size_t earlier_ones(const struct group *g, size_t rank)
{
    const nsec_t since = g->ranks[rank].usable_since;
    size_t n = 0;

    for (size_t i = 0; i < g->n_ranks; i++)
        n += g->ranks[i].usable_since < since || (i < rank && g->ranks[i].usable_since == since);
    return n;
}

/* Their places; those that a return keeps waiting come after all others, by their return. */
static void write_scores(const struct group *g, const struct steering_request *request, const struct steering_view *view,
                         double *scores)
{
    for (size_t i = 0; i < g->n; i++)
        scores[i] = (double)NAN;
    for (size_t i = 0; i < g->n_ranks; i++) {
        const struct rank *rank = &g->ranks[i];
        if (!steering_is_struck_out(view, rank->index))
            scores[rank->index] = (double)(is_settled(g->settings, rank, request->now) ? i : g->n + earlier_ones(g, i));
    }
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct group *g = w;
    const struct rank *longest = NULL;

    if (scores)
        write_scores(g, request, view, scores);
    for (size_t i = 0; i < g->n_ranks; i++) {
        const struct rank *rank = &g->ranks[i];
        if (steering_is_struck_out(view, rank->index))
            continue;
        if (is_settled(g->settings, rank, request->now))
            return rank->index;
        if (!longest || rank->usable_since < longest->usable_since)
            longest = rank;
    }
    return longest ? longest->index : STEERING_NONE;
}

static void worker_free(void *w)
{
    struct group *g = w;

    free(g->ranks);
    free(g);
}

#define IN_ORDER(its_name)                                                                                           \
    {                                                                                                                \
        .name = (its_name), .abi = STEERING_ABI, .steadiness = STEERING_STEADY,                                      \
        .scores_are = "the place in order, for those that came back behind the others while they wait: the lowest wins",  \
        .configure = configure, .worker_new = worker_new, .update = update, .choose = choose,                        \
        .worker_free = worker_free, .release = free,                                                                 \
    }
const struct steering_policy steering_off = IN_ORDER("off");
const struct steering_policy steering_geo = IN_ORDER("geo");
