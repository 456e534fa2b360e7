/* A steering policy of one's own: the first in the order of the file gets requests until it has `most` of them in flight, then the next
 * one, and so on; for a machine that is paid for anyway and others that cost by use. When all are full, the one with the most weight
 * per request gets the next.
 *
 *     cc -std=c11 -O2 -Wall -shared -fPIC -o spill_over.so spill_over.c
 *
 *     endpoint_steering = { policy = "spill_over"; module = "/usr/local/lib/penstock/spill_over.so"; most = 100; };
 */
#include <penstock/policy.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    double most;
};

struct worker {
    const struct settings *settings;
    const struct steering_candidate *candidates; /* the balancer's, valid until the next update */
    size_t n;
};

static bool refuse(struct steering_error *error, const char *option, const char *message)
{
    error->option = option;
    strncpy(error->message, message, sizeof error->message - 1);
    return false;
}

static bool configure(const struct steering_options *options, struct steering_error *error, void **config)
{
    double most = 0;
    for (size_t i = 0; i < options->n; i++) {
        const struct steering_option *o = &options->items[i];
        if (strcmp(o->name, "most") != 0)
            return refuse(error, NULL, "the policy \"spill_over\" has the option `most` only");
        if (o->type != STEERING_NUMBER || o->number < 1)
            return refuse(error, "most", "must be a number of requests, 1 at least");
        most = o->number;
    }
    if (most == 0)
        return refuse(error, NULL, "the policy \"spill_over\" needs `most`: how many requests in flight are enough for one");

    struct settings *s = malloc(sizeof *s);
    if (!s)
        return refuse(error, NULL, "out of memory");
    s->most = most;
    *config = s;
    return true;
}

static void *worker_new(void *config)
{
    struct worker *w = calloc(1, sizeof *w);
    if (w)
        w->settings = config;
    return w;
}

static bool update(void *worker, const struct steering_candidate *candidates, size_t n)
{
    struct worker *w = worker;
    w->candidates = candidates;
    w->n = n;
    return true;
}

/* The index is the place in the order of the file. */
static size_t choose(const void *worker, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct worker *w = worker;
    size_t first_with_room = STEERING_NONE, emptiest = STEERING_NONE;
    double best = 0;
    (void)request;
    for (size_t i = 0; i < w->n; i++) {
        double weight = w->candidates[i].weight;
        bool considered = weight > 0 && !steering_is_struck_out(view, i);
        if (scores)
            scores[i] = NAN;
        if (!considered)
            continue;
        double in_flight = view->in_flight(view, i), ease = weight / (in_flight + 1);
        if (scores)
            scores[i] = w->settings->most - in_flight;
        if (first_with_room == STEERING_NONE && in_flight < w->settings->most)
            first_with_room = i;
        if (ease > best) {
            best = ease;
            emptiest = i;
        }
        if (first_with_room != STEERING_NONE && !scores)
            break;
    }
    return first_with_room != STEERING_NONE ? first_with_room : emptiest;
}

const struct steering_policy penstock_steering_policy = {
    .name = "spill_over",
    .abi = STEERING_ABI,
    .scores_are = "how many more requests each has room for",
    .configure = configure,
    .worker_new = worker_new,
    .update = update,
    .choose = choose,
    .worker_free = free,
    .release = free,
};
