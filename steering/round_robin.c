/* In turn, by weight and evenly spread: each candidate is due once per period, which is the shorter the greater its weight, and
 * whoever is due first is next. A heap keeps them in that order, so a choice looks at one candidate, and at two more for each one
 * struck out. */
#include "base/random.h"
#include "steering/policy.h"

#include <math.h>
#include <stdlib.h>

/* The heaviest candidate's period is 1. Lighter ones are not told apart beyond this: the sums must keep their precision. */
static const double PERIOD_MAX = 1e9;

struct turn {
    uint64_t id;
    double due;     /* in the group's time */
    double period;  /* 0: of weight 0, on no heap */
    size_t position; /* on the heap */
};

struct group {
    uint64_t seed;  /* workers must not all begin with the same candidate */
    double now;     /* when the last choice was due */
    size_t n, n_heap;
    struct turn *turns;
    size_t *heap;   /* indices of turns, the first due on top */
};

static void *worker_new(void *config)
{
    struct group *g = calloc(1, sizeof *g);

    (void)config;
    if (g)
        random_bytes(&g->seed, sizeof g->seed);
    return g;
}

/* --- the heap --- */

static bool is_due_before(const struct group *g, size_t a, size_t b)
{
    double due_a = g->turns[a].due, due_b = g->turns[b].due;

    return due_a < due_b || (due_a == due_b && a < b);
}

static void place(struct group *g, size_t position, size_t index)
{
    g->heap[position] = index;
    g->turns[index].position = position;
}

static void sift_up(struct group *g, size_t index)
{
    size_t at = g->turns[index].position;

    while (at > 0 && is_due_before(g, index, g->heap[(at - 1) / 2])) {
        place(g, at, g->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(g, at, index);
}

static void sift_down(struct group *g, size_t index)
{
    size_t at = g->turns[index].position;

    for (size_t child; (child = 2 * at + 1) < g->n_heap; at = child) {
        if (child + 1 < g->n_heap && is_due_before(g, g->heap[child + 1], g->heap[child]))
            child++;
        if (!is_due_before(g, g->heap[child], index))
            break;
        place(g, at, g->heap[child]);
    }
    place(g, at, index);
}

static void push(struct group *g, size_t index)
{
    g->turns[index].position = g->n_heap++;
    sift_up(g, index);
}

/* --- tables --- */

static double heaviest(const struct steering_candidate *candidates, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
        if (candidates[i].weight > most)
            most = candidates[i].weight;
    return most;
}

/* Where it most likely is: at its former place. */
static const struct turn *find_turn(const struct group *g, uint64_t id, size_t hint)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct turn *t = &g->turns[(hint + i) % g->n];
        if (t->id == id)
            return t;
    }
    return NULL;
}

/* How much of its period is left until its turn: as much as before the tables changed, anything for a new one. */
static double share_left(const struct group *g, uint64_t id, size_t hint)
{
    const struct turn *former = find_turn(g, id, hint);

    if (former && former->period > 0)
        return fmax(0, (former->due - g->now) / former->period);
    struct random random = { g->seed ^ id };
    return random_unit(&random);
}

static bool update(void *w, const struct steering_candidate *candidates, size_t n)
{
    struct group *g = w;
    struct group fresh = { .seed = g->seed, .n = n };
    double most = heaviest(candidates, n);

    fresh.turns = calloc(n + 1, sizeof *fresh.turns);
    fresh.heap = calloc(n + 1, sizeof *fresh.heap);
    if (!fresh.turns || !fresh.heap) {
        free(fresh.turns);
        free(fresh.heap);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct turn *t = &fresh.turns[i];
        t->id = candidates[i].id;
        if (!(candidates[i].weight > 0))
            continue;
        t->period = fmin(most / candidates[i].weight, PERIOD_MAX);
        t->due = share_left(g, t->id, i) * t->period;
        push(&fresh, i);
    }
    free(g->turns);
    free(g->heap);
    *g = fresh;
    return true;
}

/* --- a choice --- */

/* Below one that is open nobody is due earlier. The recursion is as deep as the heap. */
static void search(const struct group *g, const struct steering_view *view, size_t at, size_t *best)
{
    if (at >= g->n_heap || (*best != STEERING_NONE && !is_due_before(g, g->heap[at], *best)))
        return;
    if (!steering_is_struck_out(view, g->heap[at])) {
        *best = g->heap[at];
        return;
    }
    search(g, view, 2 * at + 1, best);
    search(g, view, 2 * at + 2, best);
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct group *g = w;
    size_t best = STEERING_NONE;

    (void)request;
    for (size_t i = 0; scores && i < g->n; i++)
        scores[i] = g->turns[i].period > 0 && !steering_is_struck_out(view, i) ? g->turns[i].due - g->now : (double)NAN;
    search(g, view, 0, &best);
    return best;
}

/* Who was passed over while struck out does not catch up on what it missed: it is next once, and then due in its period. */
static void commit(void *w, size_t index)
{
    struct group *g = w;
    struct turn *t = &g->turns[index];

    if (!(t->period > 0))
        return;
    if (t->due > g->now)
        g->now = t->due;
    t->due = g->now + t->period;
    sift_down(g, index);
}

static void worker_free(void *w)
{
    struct group *g = w;

    free(g->turns);
    free(g->heap);
    free(g);
}

const struct steering_policy steering_round_robin = {
    .name = "round_robin",
    .abi = STEERING_ABI,
    .scores_are = "how far off its turn is: the lowest wins",
    .worker_new = worker_new,
    .update = update,
    .choose = choose,
    .commit = commit,
    .worker_free = worker_free,
};
