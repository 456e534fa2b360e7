/* The shortest wait to be expected: time to first byte, times the requests in line with this one, over weight (peak EWMA, as
 * Finagle balances by it). The one in use is kept until another is clearly better, so that near-equals don't take turns. Of many,
 * two are drawn by weight.
 *
 * - One without history is tried by one request at a time, the first of them as soon as there is one.
 * - What nobody was sent to for a while is forgotten toward the median of all, not toward nothing: else a far endpoint that is
 *   idle would get a burst. The monitors' probes tell when it is slower than that.
 * - Once nothing is left of its figure, the probes speak for it as for one without history: so the fastest is found again after it
 *   was slow, even where the median is slower than the one in use. */
#include "steering/draw.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double BETTER_BY_SECONDS = 0.005;
static const double UNTRIED_SECONDS = 1e6; /* what one costs that is being tried: more than any that is known */

static const double FADES_FROM = 0.01;      /* of `decay`: what has been idle for less is as it was */

static const double FORGOTTEN_FROM = 5;     /* decays: e^-5, less than a hundredth is left */

enum { MEDIAN_OF_MANY = 7 };

struct settings {
    double decay; /* seconds */
    double hysteresis;
};

struct group {
    const struct settings *settings;
    struct draw_table table;
    uint64_t *ids;
    double heaviest;
    size_t current; /* the last one used, or STEERING_NONE */
};

static bool configure(const struct steering_options *options, struct steering_error *error, void **config)
{
    struct settings *s = malloc(sizeof *s);

    if (!s) {
        *error = (struct steering_error){ .message = "out of memory" };
        return false;
    }
    *s = (struct settings){ .decay = 10, .hysteresis = 0.1 };
    for (size_t i = 0; i < options->n; i++) {
        const struct steering_option *o = &options->items[i];
        if (strcmp(o->name, "decay") == 0)
            s->decay = o->number;
        else if (strcmp(o->name, "hysteresis") == 0)
            s->hysteresis = o->number;
    }
    *config = s;
    return true;
}

static double latency_decay(const void *config)
{
    return ((const struct settings *)config)->decay;
}

static void *worker_new(void *config)
{
    struct group *g = calloc(1, sizeof *g);

    if (g) {
        g->settings = config;
        g->current = STEERING_NONE;
    }
    return g;
}

static size_t find_id(const uint64_t *ids, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return i;
    return STEERING_NONE;
}

static bool update(void *w, const struct steering_candidate *candidates, size_t n)
{
    struct group *g = w;
    uint64_t *ids = calloc(n + 1, sizeof *ids);

    if (!ids || !draw_table_build(&g->table, candidates, n)) {
        free(ids);
        return false;
    }
    g->heaviest = 0;
    for (size_t i = 0; i < n; i++) {
        ids[i] = candidates[i].id;
        g->heaviest = fmax(g->heaviest, candidates[i].weight);
    }
    if (g->current != STEERING_NONE)
        g->current = find_id(ids, n, g->ids[g->current]);
    free(g->ids);
    g->ids = ids;
    return true;
}

/* --- what each costs --- */

/* NaN where none is known. */
static double median(double *figures, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        double figure = figures[i];
        size_t at = i;
        for (; at > 0 && figure < figures[at - 1]; at--)
            figures[at] = figures[at - 1];
        figures[at] = figure;
    }
    return n ? (figures[(n - 1) / 2] + figures[n / 2]) / 2 : (double)NAN;
}

/* In units of `decay`. */
static double idle_for(const struct settings *s, const struct steering_latency *l, int64_t now)
{
    return now > l->at ? (double)(now - l->at) / (double)NSEC_PER_SEC / s->decay : 0;
}

static double cost_of_known(const struct settings *s, const struct steering_latency *l, double typical, int64_t now)
{
    double idle = idle_for(s, l, now);
    double target = fmax(typical, l->probe_seconds); /* of a NaN and a number, the number */

    return idle < FADES_FROM ? l->seconds : target + (l->seconds - target) * exp(-idle);
}

/* Seconds until an answer may be expected, for a candidate of the greatest weight. */
static double wait_at(const struct group *g, const struct steering_latency *l, double in_flight, size_t i, double typical,
                      int64_t now)
{
    double weight = g->table.weights[i] / g->heaviest;
    bool forgotten = idle_for(g->settings, l, now) >= FORGOTTEN_FROM && !isnan(l->probe_seconds);

    if (!isnan(l->seconds) && (in_flight > 0 || !forgotten))
        return cost_of_known(g->settings, l, typical, now) * (in_flight + 1) / weight;
    if (in_flight > 0)
        return UNTRIED_SECONDS * (in_flight + 1) / weight;
    return isnan(l->probe_seconds) ? 0 : l->probe_seconds / weight;
}

/* --- few: all are looked at --- */

/* NaN for those that can't be chosen. */
static void wait_at_each(const struct group *g, const struct steering_view *view, int64_t now, double *out)
{
    struct steering_latency latencies[STEERING_FEW];
    double known[STEERING_FEW], typical;
    size_t n_known = 0;

    for (size_t i = 0; i < g->table.n; i++) {
        if (!draw_is_open(&g->table, view, i))
            continue;
        latencies[i] = view->latency(view, i);
        if (!isnan(latencies[i].seconds))
            known[n_known++] = latencies[i].seconds;
    }
    typical = median(known, n_known);
    for (size_t i = 0; i < g->table.n; i++)
        out[i] = draw_is_open(&g->table, view, i) ? wait_at(g, &latencies[i], view->in_flight(view, i), i, typical, now)
                                                  : (double)NAN;
}

static bool is_clearly_better(const struct settings *s, double wait, double than)
{
    return wait == 0 || (wait < than * (1 - s->hysteresis) && than - wait > BETTER_BY_SECONDS);
}

static size_t choose_of_few(const struct group *g, const struct steering_request *request, const struct steering_view *view,
                            double *scores)
{
    double waits[STEERING_FEW];
    size_t n = g->table.n, best = STEERING_NONE, start = n ? (size_t)(request->random % n) : 0;

    wait_at_each(g, view, request->now, waits);
    for (size_t i = 0; i < n; i++) {
        size_t at = start + i < n ? start + i : start + i - n;
        if (!isnan(waits[at]) && (best == STEERING_NONE || waits[at] < waits[best]))
            best = at;
    }
    if (scores)
        memcpy(scores, waits, n * sizeof *scores);
    if (best == STEERING_NONE || g->current == STEERING_NONE || isnan(waits[g->current]))
        return best;
    return is_clearly_better(g->settings, waits[best], waits[g->current]) ? best : g->current;
}

/* --- many: two are drawn, and some more to know what is usual, where one of the two has faded --- */

static double median_of_some(const struct group *g, struct random *random, const struct steering_view *view)
{
    double known[MEDIAN_OF_MANY];
    size_t n = 0;

    for (unsigned k = 0; k < MEDIAN_OF_MANY; k++) {
        size_t i = (size_t)(random_u64(random) % g->table.n);
        double seconds = draw_is_open(&g->table, view, i) ? view->latency(view, i).seconds : (double)NAN;
        if (!isnan(seconds))
            known[n++] = seconds;
    }
    return median(known, n);
}

struct drawn {
    size_t index;
    struct steering_latency latency;
};

static struct drawn draw_one(const struct group *g, struct random *random, const struct steering_view *view)
{
    size_t i = draw_usable(&g->table, random, view);
    return (struct drawn){ i, i == STEERING_NONE ? (struct steering_latency){ .seconds = NAN } : view->latency(view, i) };
}

static bool has_faded(const struct group *g, const struct drawn *d, int64_t now)
{
    return !isnan(d->latency.seconds) && idle_for(g->settings, &d->latency, now) >= FADES_FROM;
}

/* NaN as the usual: it is not known, and each is taken for itself. */
static double wait_at_drawn(const struct group *g, const struct steering_view *view, const struct drawn *d, double typical, int64_t now)
{
    return wait_at(g, &d->latency, view->in_flight(view, d->index), d->index, isnan(typical) ? d->latency.seconds : typical, now);
}

static void write_scores(const struct group *g, const struct steering_view *view, double typical, int64_t now, double *scores)
{
    for (size_t i = 0; i < g->table.n; i++) {
        struct drawn d = { i, view->latency(view, i) };
        scores[i] = draw_is_open(&g->table, view, i) ? wait_at_drawn(g, view, &d, typical, now) : (double)NAN;
    }
}

static size_t choose_of_many(const struct group *g, const struct steering_request *request, const struct steering_view *view,
                             double *scores)
{
    struct random random = { request->random };
    struct drawn first = draw_one(g, &random, view), second = draw_one(g, &random, view);
    bool faded = has_faded(g, &first, request->now) || has_faded(g, &second, request->now);
    double typical = faded || scores ? median_of_some(g, &random, view) : (double)NAN;

    if (scores)
        write_scores(g, view, typical, request->now, scores);
    if (first.index == second.index)
        return first.index;
    bool better = wait_at_drawn(g, view, &second, typical, request->now) < wait_at_drawn(g, view, &first, typical, request->now);
    return better ? second.index : first.index;
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct group *g = w;
    return g->table.n <= STEERING_FEW ? choose_of_few(g, request, view, scores) : choose_of_many(g, request, view, scores);
}

static void commit(void *w, size_t index)
{
    ((struct group *)w)->current = index;
}

static void worker_free(void *w)
{
    struct group *g = w;

    draw_table_clear(&g->table);
    free(g->ids);
    free(g);
}

const struct steering_policy steering_dynamic_latency = {
    .name = "dynamic_latency",
    .abi = STEERING_ABI,
    .scores_are = "seconds until an answer is to be expected, over weight: the lowest wins, if clearly",
    .configure = configure,
    .latency_decay = latency_decay,
    .worker_new = worker_new,
    .update = update,
    .choose = choose,
    .commit = commit,
    .worker_free = worker_free,
    .release = free,
};
