/* In turn, by weight and evenly spread: each candidate is due once per period, which is the shorter the greater its weight, and
 * whoever is due first is next. Those of one weight stand in line: who had its turn goes to the end. A heap keeps the lines in the
 * order of their first, so a choice looks at one candidate, and at one or two more for each one struck out; a thousand equals
 * are one line. */
#include "base/random.h"
#include "steering/policy.h"

#include <math.h>
#include <stdlib.h>

/* The heaviest candidate's period is 1. Lighter ones are not told apart beyond this: the sums must keep their precision. */
static const double PERIOD_MAX = 1e9;

#define NOBODY UINT32_MAX

struct turn {
    double due;               /* in the group's time */
    uint32_t before, behind;  /* in its line; NOBODY at the ends */
    uint32_t line;            /* NOBODY: of weight 0, in none */
};

struct line {
    double period;
    uint32_t first, last;
};

struct group {
    uint64_t seed;  /* workers must not all begin with the same candidate */
    double now;     /* when the last choice was due */
    size_t n, n_lines;
    uint64_t *ids;
    struct turn *turns;
    struct line *lines;
    uint32_t *heap;      /* of lines, the one whose first is due first on top */
    uint32_t *positions; /* of lines on the heap */
};

static void *worker_new(void *config)
{
    struct group *g = calloc(1, sizeof *g);

    (void)config;
    if (g)
        random_bytes(&g->seed, sizeof g->seed);
    return g;
}

/* --- lines --- */

static bool is_due_before(const struct group *g, uint32_t a, uint32_t b)
{
    double due_a = g->turns[a].due, due_b = g->turns[b].due;

    return due_a < due_b || (due_a == due_b && a < b);
}

static void append(struct group *g, uint32_t index)
{
    struct turn *t = &g->turns[index];
    struct line *l = &g->lines[t->line];

    t->before = l->last;
    t->behind = NOBODY;
    *(l->last == NOBODY ? &l->first : &g->turns[l->last].behind) = index;
    l->last = index;
}

static void step_out(struct group *g, uint32_t index)
{
    const struct turn *t = &g->turns[index];
    struct line *l = &g->lines[t->line];

    *(t->before == NOBODY ? &l->first : &g->turns[t->before].behind) = t->behind;
    *(t->behind == NOBODY ? &l->last : &g->turns[t->behind].before) = t->before;
}

/* --- the heap of lines --- */

static bool is_line_before(const struct group *g, uint32_t a, uint32_t b)
{
    return is_due_before(g, g->lines[a].first, g->lines[b].first);
}

static void place(struct group *g, size_t position, uint32_t line)
{
    g->heap[position] = line;
    g->positions[line] = (uint32_t)position;
}

static void sift_up(struct group *g, size_t at)
{
    uint32_t line = g->heap[at];

    for (; at > 0 && is_line_before(g, line, g->heap[(at - 1) / 2]); at = (at - 1) / 2)
        place(g, at, g->heap[(at - 1) / 2]);
    place(g, at, line);
}

static void sift_down(struct group *g, size_t at)
{
    uint32_t line = g->heap[at];

    for (size_t child; (child = 2 * at + 1) < g->n_lines; at = child) {
        if (child + 1 < g->n_lines && is_line_before(g, g->heap[child + 1], g->heap[child]))
            child++;
        if (!is_line_before(g, g->heap[child], line))
            break;
        place(g, at, g->heap[child]);
    }
    place(g, at, line);
}

/* --- tables --- */

struct entrant {
    double period, due;
    uint32_t index;
};

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
        size_t at = (hint + i) % g->n;
        if (g->ids[at] == id)
            return &g->turns[at];
    }
    return NULL;
}

/* How much of its period is left until its turn: as much as before the tables changed, anything for a new one. */
static double share_left(const struct group *g, uint64_t id, size_t hint)
{
    const struct turn *former = find_turn(g, id, hint);

    if (former && former->line != NOBODY)
        return fmin(fmax(0, (former->due - g->now) / g->lines[former->line].period), 1);
    struct random random = { g->seed ^ id };
    return random_unit(&random);
}

static int compare_entrants(const void *a, const void *b)
{
    const struct entrant *x = a, *y = b;

    if (x->period != y->period)
        return x->period < y->period ? -1 : 1;
    if (x->due != y->due)
        return x->due < y->due ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static void clear_tables(struct group *g)
{
    free(g->ids);
    free(g->turns);
    free(g->lines);
    free(g->heap);
    free(g->positions);
}

static bool allocate(struct group *g)
{
    g->ids = calloc(g->n + 1, sizeof *g->ids);
    g->turns = calloc(g->n + 1, sizeof *g->turns);
    g->lines = calloc(g->n + 1, sizeof *g->lines);
    g->heap = calloc(g->n + 1, sizeof *g->heap);
    g->positions = calloc(g->n + 1, sizeof *g->positions);
    return g->ids && g->turns && g->lines && g->heap && g->positions;
}

/* Those of weight 0 stay outside. */
static size_t list_entrants(const struct group *former, struct group *g, const struct steering_candidate *candidates,
                            struct entrant *out)
{
    double most = heaviest(candidates, g->n);
    size_t n = 0;

    for (size_t i = 0; i < g->n; i++) {
        g->ids[i] = candidates[i].id;
        g->turns[i].line = NOBODY;
        if (!(candidates[i].weight > 0))
            continue;
        double period = fmin(most / candidates[i].weight, PERIOD_MAX);
        out[n++] = (struct entrant){ period, share_left(former, candidates[i].id, i) * period, (uint32_t)i };
    }
    return n;
}

/* Sorted: each line's are together, and in their order. */
static void line_up(struct group *g, const struct entrant *entrants, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || entrants[i].period != entrants[i - 1].period)
            g->lines[g->n_lines++] = (struct line){ entrants[i].period, NOBODY, NOBODY };
        g->turns[entrants[i].index].due = entrants[i].due;
        g->turns[entrants[i].index].line = (uint32_t)g->n_lines - 1;
        append(g, entrants[i].index);
    }
    for (size_t i = 0; i < g->n_lines; i++) {
        place(g, i, (uint32_t)i);
        sift_up(g, i);
    }
}

static bool update(void *w, const struct steering_candidate *candidates, size_t n)
{
    struct group *g = w;
    struct group fresh = { .seed = g->seed, .n = n };
    struct entrant *entrants = calloc(n + 1, sizeof *entrants);

    if (!allocate(&fresh) || !entrants) {
        clear_tables(&fresh);
        free(entrants);
        return false;
    }
    size_t entered = list_entrants(g, &fresh, candidates, entrants);
    qsort(entrants, entered, sizeof *entrants, compare_entrants);
    line_up(&fresh, entrants, entered);
    free(entrants);
    clear_tables(g);
    *g = fresh;
    return true;
}

/* --- a choice --- */

static uint32_t first_open(const struct group *g, const struct steering_view *view, uint32_t line)
{
    uint32_t i = g->lines[line].first;

    while (i != NOBODY && steering_is_struck_out(view, i))
        i = g->turns[i].behind;
    return i;
}

/* Below a line nobody is due before its first. The recursion is as deep as the heap. */
static void search(const struct group *g, const struct steering_view *view, size_t at, uint32_t *best)
{
    if (at >= g->n_lines)
        return;
    uint32_t first = g->lines[g->heap[at]].first;
    if (*best != NOBODY && !is_due_before(g, first, *best))
        return;
    uint32_t open = first_open(g, view, g->heap[at]);
    if (open != NOBODY && (*best == NOBODY || is_due_before(g, open, *best)))
        *best = open;
    if (open == first)
        return;
    search(g, view, 2 * at + 1, best);
    search(g, view, 2 * at + 2, best);
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct group *g = w;
    uint32_t best = NOBODY;

    (void)request;
    for (size_t i = 0; scores && i < g->n; i++)
        scores[i] = g->turns[i].line != NOBODY && !steering_is_struck_out(view, i) ? g->turns[i].due - g->now : (double)NAN;
    search(g, view, 0, &best);
    return best == NOBODY ? STEERING_NONE : best;
}

/* Who was passed over while struck out does not catch up on what it missed: it is next once, and then due in its period. */
static void commit(void *w, size_t index)
{
    struct group *g = w;
    struct turn *t = &g->turns[index];

    if (t->line == NOBODY)
        return;
    if (t->due > g->now)
        g->now = t->due;
    step_out(g, (uint32_t)index);
    t->due = g->now + g->lines[t->line].period;
    append(g, (uint32_t)index);
    sift_down(g, g->positions[t->line]);
}

static void worker_free(void *w)
{
    struct group *g = w;

    clear_tables(g);
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
