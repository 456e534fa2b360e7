/* The nearest by the great circle. Equally near ones, as the endpoints of one site are, share by weight. Whoever's place is not
 * known counts as being as far away as anything can be; so does everybody when the client's place is not known. */
#include "base/random.h"
#include "steering/draw.h"

#include <math.h>
#include <stdlib.h>

static const double EARTH_RADIUS_KM = 6371.0088; /* the mean one (IUGG) */

/* On the unit sphere. Where a place is not known, all 0. */
struct direction {
    double x, y, z;
};

struct site {
    struct direction direction;
    double known;  /* 0; -1 if the place is not known */
    double weight; /* > 0 */
    size_t index;  /* of the candidate */
};

struct group {
    size_t n, n_sites;
    struct site *sites;
};

static bool is_known(float latitude, float longitude)
{
    return !isnan(latitude) && !isnan(longitude);
}

static struct direction direction_of(float latitude, float longitude)
{
    double phi = (double)latitude * M_PI / 180, lambda = (double)longitude * M_PI / 180;

    if (!is_known(latitude, longitude))
        return (struct direction){ 0 };
    return (struct direction){ cos(phi) * cos(lambda), cos(phi) * sin(lambda), sin(phi) };
}

static void *worker_new(void *config)
{
    (void)config;
    return calloc(1, sizeof(struct group));
}

static bool update(void *w, const struct steering_candidate *candidates, size_t n)
{
    struct group *g = w, fresh = { .n = n };

    fresh.sites = calloc(n + 1, sizeof *fresh.sites);
    if (!fresh.sites)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct steering_candidate *c = &candidates[i];
        double known = is_known(c->latitude, c->longitude) ? 0 : -1;
        if (c->weight > 0)
            fresh.sites[fresh.n_sites++] = (struct site){ direction_of(c->latitude, c->longitude), known, c->weight, i };
    }
    free(g->sites);
    *g = fresh;
    return true;
}

/* The cosine of the angle between the two: the greater, the nearer. The client's place is known. */
static double nearness(const struct direction *client, const struct site *s)
{
    return client->x * s->direction.x + client->y * s->direction.y + client->z * s->direction.z + s->known;
}

static void write_scores(const struct group *g, const struct direction *client, bool known, const struct steering_view *view,
                         double *scores)
{
    for (size_t i = 0; i < g->n; i++)
        scores[i] = (double)NAN;
    for (size_t i = 0; i < g->n_sites; i++)
        if (!steering_is_struck_out(view, g->sites[i].index))
            scores[g->sites[i].index] = acos(fmin(fmax(known ? nearness(client, &g->sites[i]) : -1, -1), 1)) * EARTH_RADIUS_KM;
}

static size_t choose(const void *w, const struct steering_request *request, const struct steering_view *view, double *scores)
{
    const struct group *g = w;
    struct direction client = direction_of(request->latitude, request->longitude);
    bool known = is_known(request->latitude, request->longitude);
    struct random random = { request->random };
    size_t chosen = STEERING_NONE;
    double best = -2, weight = 0; /* of the nearest so far, and of all that are as near */

    for (size_t i = 0; i < g->n_sites; i++) {
        const struct site *s = &g->sites[i];
        double its_nearness = known ? nearness(&client, s) : -1;
        if (its_nearness < best || steering_is_struck_out(view, s->index))
            continue;
        weight = its_nearness > best ? s->weight : weight + s->weight;
        if (its_nearness > best || random_unit(&random) * weight < s->weight)
            chosen = s->index;
        best = its_nearness;
    }
    if (scores)
        write_scores(g, &client, known, view, scores);
    return chosen;
}

static void worker_free(void *w)
{
    struct group *g = w;

    free(g->sites);
    free(g);
}

const struct steering_policy steering_proximity = {
    .name = "proximity",
    .abi = STEERING_ABI,
    .steadiness = STEERING_STEADY_BETWEEN_POOLS, /* endpoints of one site are equally near, and share */
    .scores_are = "kilometres from the client: the lowest wins",
    .worker_new = worker_new,
    .update = update,
    .choose = choose,
    .worker_free = worker_free,
};
