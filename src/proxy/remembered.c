#include "proxy/remembered.h"

#include "balance/sheet.h"
#include "base/mem.h"

#include <string.h>

enum {
    CACHE_LINE = 64,
    PREFETCHED = 8 * CACHE_LINE,             /* what most take */
    STRIDE = REMEMBERED_SIZE + CACHE_LINE    /* at a power of two, the first lines of all blocks would share a few sets of the cache */
};

struct remembered {
    unsigned n, next;
    bool full;                 /* all of them are in use */
    struct decision ***owners; /* where they are known as under way; NULL: over */
    char *blocks;              /* pages of which come into being when they are first used */
};

static struct decision *block(const struct remembered *r, unsigned i)
{
    return (struct decision *)(void *)(r->blocks + (size_t)i * STRIDE);
}

struct remembered *remembered_new(void)
{
    return mem_zero(sizeof(struct remembered));
}

static void free_blocks(struct remembered *r)
{
    free(r->owners);
    free(r->blocks);
}

static unsigned count(const struct remembered *r)
{
    return r->full ? r->n : r->next;
}

/* Whoever still writes it has it no more. */
static void forget(struct remembered *r, unsigned i)
{
    if (r->owners[i])
        *r->owners[i] = NULL;
    r->owners[i] = NULL;
    decision_release_sheets(block(r, i), decision_first(block(r, i)));
}

void remembered_free(struct remembered *r)
{
    for (unsigned i = 0; i < count(r); i++)
        forget(r, i);
    free_blocks(r);
    free(r);
}

/* In place of the oldest. */
static unsigned take(struct remembered *r)
{
    unsigned i = r->next;
    forget(r, i);
    r->next = i + 1 < r->n ? i + 1 : 0;
    r->full |= r->next == 0;
    return i;
}

static void own(struct remembered *r, unsigned i, struct decision **owner)
{
    r->owners[i] = owner;
    if (owner)
        *owner = block(r, i);
}

/* What a request writes has left the caches since the last time: fetched while others are served, it costs the next one no wait. */
static void prefetch(const struct remembered *r)
{
    char *next = (char *)block(r, r->next);
    for (unsigned at = 0; at < PREFETCHED; at += CACHE_LINE)
        __builtin_prefetch(next + at, 1);
}

static void move_one(struct remembered *to, const struct remembered *from, unsigned k)
{
    unsigned i = take(to);
    memcpy(block(to, i), block(from, k), block(from, k)->used);
    own(to, i, from->owners[k]);
}

void remembered_resize(struct remembered *r, unsigned n)
{
    struct remembered old = *r;
    if (n == old.n)
        return;
    *r = (struct remembered){ .n = n };
    if (n) {
        r->owners = mem_array(n, sizeof *r->owners);
        r->blocks = mem_array(n, STRIDE);
    }
    for (unsigned k = 0; k < count(&old); k++) {
        unsigned i = old.full ? (old.next + k) % old.n : k; /* the oldest first */
        if (n)
            move_one(r, &old, i);
        else
            forget(&old, i);
    }
    free_blocks(&old);
}

struct decision *remembered_begin(struct remembered *r, const char *id, unsigned listed, struct decision **owner)
{
    *owner = NULL;
    if (!r->n)
        return NULL;
    unsigned i = take(r);
    own(r, i, owner);
    struct decision *d = *owner;
    decision_begin(d, REMEMBERED_SIZE, listed);
    memcpy(d->id, id, strlen(id) + 1);
    prefetch(r);
    return d;
}

void remembered_end(struct remembered *r, const struct decision *d)
{
    r->owners[(size_t)((const char *)d - r->blocks) / STRIDE] = NULL;
}

const struct decision *remembered_newest(const struct remembered *r, unsigned k)
{
    return k < count(r) ? block(r, (r->next + r->n - 1 - k) % r->n) : NULL;
}

const struct decision *remembered_find(const struct remembered *r, const char *id, unsigned *same)
{
    const struct decision *newest = NULL, *d;
    *same = 0;
    for (unsigned k = 0; (d = remembered_newest(r, k)); k++) {
        if (strcmp(d->id, id) != 0)
            continue;
        newest = newest ? newest : d;
        ++*same;
    }
    return newest;
}
