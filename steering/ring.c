#include "steering/ring.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A candidate has so many at the least, twice as many at the most: its share is then within some 8 % of its weight's. */
enum { POINTS_MIN = 128 };
enum { POINTS_PER_CELL = 4 }; /* on average at the most; half as many at the least */

struct place {
    int octave;
    uint32_t n_points; /* 0: of weight 0 */
};

static struct place place_of(double weight, int highest)
{
    struct place place = { 0 };
    double mantissa;

    if (!(weight > 0))
        return place;
    mantissa = frexp(weight, &place.octave) * 2; /* [1, 2) */
    place.octave--;
    place.n_points = (uint32_t)lround(POINTS_MIN * mantissa);
    if (place.octave <= highest - RING_OCTAVES_MAX)
        place = (struct place){ highest - RING_OCTAVES_MAX + 1, POINTS_MIN };
    return place;
}

static int highest_octave(const struct steering_candidate *candidates, size_t n)
{
    double most = 0;
    int octave;

    for (size_t i = 0; i < n; i++)
        if (candidates[i].weight > most)
            most = candidates[i].weight;
    frexp(most, &octave);
    return octave - 1;
}

static void ring_clear(struct ring *r)
{
    free(r->points);
    free(r->cells);
    *r = (struct ring){ 0 };
}

void rings_clear(struct rings *r)
{
    for (size_t i = 0; i < r->n; i++)
        ring_clear(&r->items[i]);
    r->n = 0;
}

static struct ring *ring_of_octave(struct rings *r, int octave)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].octave == octave)
            return &r->items[i];
    r->items[r->n] = (struct ring){ .octave = octave };
    return &r->items[r->n++];
}

static uint64_t mix(uint64_t seed, uint64_t value)
{
    struct random r = { seed ^ value };
    return random_u64(&r);
}

/* Which circles there are, and who stands on each how often. */
static void take_census(struct rings *r, const struct steering_candidate *candidates, size_t n, int highest)
{
    r->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct place place = place_of(candidates[i].weight, highest);
        if (!place.n_points)
            continue;
        struct ring *ring = ring_of_octave(r, place.octave);
        ring->n += place.n_points;
        ring->signature = mix(mix(mix(ring->signature, i), candidates[i].id), place.n_points);
    }
}

static bool allocate(struct ring *r)
{
    unsigned bits = 1;

    while (bits < 31 && (UINT32_C(1) << bits) < r->n / POINTS_PER_CELL)
        bits++;
    r->shift = 32 - bits;
    r->points = calloc(r->n, sizeof *r->points);
    r->cells = aligned_alloc(_Alignof(struct ring_cell), sizeof *r->cells << bits);
    if (r->cells)
        memset(r->cells, 0, sizeof *r->cells << bits);
    return r->points && r->cells;
}

static bool stands_before(const struct ring_point *a, const struct ring_point *b, const struct steering_candidate *candidates)
{
    return a->at < b->at || (a->at == b->at && candidates[a->index].id < candidates[b->index].id);
}

/* Positions are spread evenly: sorted by cell, little is left to do within one. */
static void sort_within_cells(struct ring *r, const struct steering_candidate *candidates)
{
    for (uint32_t i = 1; i < r->n; i++) {
        struct ring_point point = r->points[i];
        uint32_t at = i;
        for (; at > 0 && stands_before(&point, &r->points[at - 1], candidates); at--)
            r->points[at] = r->points[at - 1];
        r->points[at] = point;
    }
}

typedef void visit_point(struct ring *r, struct ring_point point);

static void each_point(struct ring *r, const struct steering_candidate *candidates, size_t n, int highest, visit_point *visit)
{
    for (size_t i = 0; i < n; i++) {
        struct place place = place_of(candidates[i].weight, highest);
        struct random positions = { candidates[i].id };
        if (!place.n_points || place.octave != r->octave)
            continue;
        for (uint32_t k = 0; k < place.n_points; k++)
            visit(r, (struct ring_point){ (uint32_t)(random_u64(&positions) >> 32), (uint32_t)i });
    }
}

static void count_point(struct ring *r, struct ring_point point)
{
    r->cells[point.at >> r->shift].first++;
}

static void set_point(struct ring *r, struct ring_point point)
{
    r->points[--r->cells[point.at >> r->shift].first] = point;
}

static void fill_cell(const struct ring *r, struct ring_cell *c)
{
    c->n = r->n - c->first < RING_CELL_POINTS ? r->n - c->first : RING_CELL_POINTS;
    memcpy(c->points, r->points + c->first, c->n * sizeof *c->points);
}

/* Cells' counts become their ends, and these become their begins while the points are set. */
static void fill(struct ring *r, const struct steering_candidate *candidates, size_t n, int highest)
{
    uint32_t cells = UINT32_C(1) << (32 - r->shift);

    each_point(r, candidates, n, highest, count_point);
    for (uint32_t i = 1; i < cells; i++)
        r->cells[i].first += r->cells[i - 1].first;
    each_point(r, candidates, n, highest, set_point);
    sort_within_cells(r, candidates);
    for (uint32_t i = 0; i < cells; i++)
        fill_cell(r, &r->cells[i]);
}

static struct ring *find_same(struct rings *old, const struct ring *r)
{
    for (size_t i = 0; i < old->n; i++)
        if (old->items[i].octave == r->octave && old->items[i].signature == r->signature && old->items[i].n == r->n)
            return &old->items[i];
    return NULL;
}

bool rings_build(struct rings *rings, const struct steering_candidate *candidates, size_t n)
{
    struct rings fresh;
    bool made = true;
    int highest = highest_octave(candidates, n);

    take_census(&fresh, candidates, n, highest);
    for (size_t i = 0; i < fresh.n && made; i++)
        if (!find_same(rings, &fresh.items[i]) && (made = allocate(&fresh.items[i])))
            fill(&fresh.items[i], candidates, n, highest);
    if (!made) {
        rings_clear(&fresh);
        return false;
    }
    for (size_t i = 0; i < fresh.n; i++) {
        struct ring *same = fresh.items[i].points ? NULL : find_same(rings, &fresh.items[i]);
        if (!same)
            continue;
        fresh.items[i] = *same;
        *same = (struct ring){ 0 };
    }
    rings_clear(rings);
    *rings = fresh;
    return true;
}

/* --- looking up --- */

struct found {
    uint32_t at; /* its index */
    struct ring_point point;
};

static struct found point_at(const struct ring *r, uint32_t i)
{
    i = i < r->n ? i : 0;
    return (struct found){ i, r->points[i] };
}

/* Mostly within the cell; where many stand close together, beyond it. */
static struct found first_after(const struct ring *r, uint32_t key)
{
    const struct ring_cell *c = &r->cells[key >> r->shift];
    uint32_t i = 0;

    while (i < c->n && c->points[i].at < key)
        i++;
    if (i < c->n)
        return (struct found){ c->first + i, c->points[i] };
    for (i += c->first; i < r->n && r->points[i].at < key; i++)
        ;
    return point_at(r, i);
}

static double distance(const struct ring *r, uint32_t key, const struct ring_point *point)
{
    return ldexp((double)(point->at - key), -r->octave);
}

size_t rings_find(const struct rings *rings, uint64_t key, ring_accepts *accepts, const void *arg)
{
    uint32_t from = (uint32_t)(key >> 32);
    size_t best = STEERING_NONE;
    double least = INFINITY;

    for (size_t k = 0; k < rings->n; k++)
        __builtin_prefetch(&rings->items[k].cells[from >> rings->items[k].shift]);
    for (size_t k = 0; k < rings->n; k++) {
        const struct ring *r = &rings->items[k];
        struct found found = first_after(r, from);
        for (uint32_t i = 0; i < r->n; i++, found = point_at(r, found.at + 1)) {
            double its_distance = distance(r, from, &found.point);
            if (its_distance >= least)
                break;
            if (!accepts(arg, found.point.index))
                continue;
            best = found.point.index;
            least = its_distance;
            break;
        }
    }
    return best;
}

void rings_distances(const struct rings *rings, uint64_t key, double *out)
{
    uint32_t from = (uint32_t)(key >> 32);

    for (size_t k = 0; k < rings->n; k++)
        for (uint32_t i = 0; i < rings->items[k].n; i++) {
            const struct ring_point *point = &rings->items[k].points[i];
            double its_distance = distance(&rings->items[k], from, point);
            if (!(out[point->index] <= its_distance))
                out[point->index] = its_distance;
        }
}
