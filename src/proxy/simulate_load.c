#include "proxy/simulate_load.h"

#include <stdlib.h>

static void swap(struct departure *a, struct departure *b)
{
    struct departure other = *a;
    *a = *b;
    *b = other;
}

static bool make_room(struct departures *d)
{
    size_t size = d->size ? 2 * d->size : 64;
    if (d->n < d->size)
        return true;
    struct departure *items = realloc(d->items, size * sizeof *items);
    if (!items)
        return false;
    d->items = items;
    d->size = size;
    return true;
}

bool departures_add(struct departures *d, struct departure departure)
{
    if (!make_room(d))
        return false;
    size_t i = d->n++;
    d->items[i] = departure;
    for (; i > 0 && d->items[i].at < d->items[(i - 1) / 2].at; i = (i - 1) / 2)
        swap(&d->items[i], &d->items[(i - 1) / 2]);
    return true;
}

bool departures_take(struct departures *d, nsec_t now, struct departure *out)
{
    if (!d->n || d->items[0].at > now)
        return false;
    *out = d->items[0];
    d->items[0] = d->items[--d->n];
    for (size_t i = 0, child; (child = 2 * i + 1) < d->n; i = child) {
        if (child + 1 < d->n && d->items[child + 1].at < d->items[child].at)
            child++;
        if (d->items[i].at <= d->items[child].at)
            break;
        swap(&d->items[i], &d->items[child]);
    }
    return true;
}

void departures_clear(struct departures *d)
{
    free(d->items);
    *d = (struct departures){ 0 };
}

bool waiters_init(struct waiters *w, size_t size)
{
    *w = (struct waiters){ .items = calloc(size, sizeof *w->items), .size = size };
    return w->items;
}

bool waiters_add(struct waiters *w, struct waiting waiting)
{
    if (w->n == w->size)
        return false;
    w->items[(w->first + w->n++) % w->size] = waiting;
    return true;
}

bool waiters_take(struct waiters *w, struct waiting *out)
{
    if (!w->n)
        return false;
    *out = w->items[w->first];
    w->first = (w->first + 1) % w->size;
    w->n--;
    return true;
}

bool waiters_take_overdue(struct waiters *w, nsec_t now, struct waiting *out)
{
    return w->n && w->items[w->first].until <= now && waiters_take(w, out);
}

void waiters_clear(struct waiters *w)
{
    free(w->items);
    *w = (struct waiters){ 0 };
}
