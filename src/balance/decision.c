#include "balance/decision.h"

#include "balance/sheet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(_Alignof(struct note_step) <= DECISION_ALIGNMENT && _Alignof(struct note_try) <= DECISION_ALIGNMENT
                   && _Alignof(struct decision) <= DECISION_ALIGNMENT && _Alignof(struct note_on_sheet) <= DECISION_ALIGNMENT,
               "all that is added is aligned");

void decision_begin(struct decision *d, size_t size, unsigned listed)
{
    memset(d, 0, offsetof(struct decision, started_wall));
    d->size = (uint32_t)size;
    d->used = decision_aligned(sizeof *d);
    d->listed = listed;
}

uint32_t decision_take(struct decision *d, size_t n, size_t leave)
{
    uint32_t position = d->used;
    if (decision_aligned(n) + leave > d->size - d->used) {
        d->cut = true;
        return 0;
    }
    d->used += decision_aligned(n);
    return position;
}

static uint32_t add_text(struct decision *d, struct slice text, size_t max, size_t leave)
{
    size_t n = text.n < max ? text.n : max;
    uint32_t position = text.p ? decision_take(d, n + 1, leave) : 0;
    if (!position)
        return 0;
    memcpy(decision_at(d, position), text.p, n);
    ((char *)decision_at(d, position))[n] = '\0';
    return position;
}

uint32_t decision_add_text(struct decision *d, struct slice text, size_t max)
{
    return d ? add_text(d, text, max < DECISION_TEXT_MAX ? max : DECISION_TEXT_MAX, 0) : 0;
}

uint32_t decision_add_name(struct decision *d, const char *name)
{
    return d && name ? add_text(d, slice_of(name), DECISION_TEXT_MAX, DECISION_KEPT_FOR_TRIES) : 0;
}

const char *decision_text(const struct decision *d, uint32_t position)
{
    return position ? decision_at(d, position) : NULL;
}

void *decision_add_blank(struct decision *d, enum note_kind kind, size_t size, size_t leave)
{
    uint32_t position = decision_take(d, size, leave);
    if (!position)
        return NULL;
    if (d->last)
        ((struct note *)decision_at(d, d->last))->next = position;
    else
        d->first = position;
    d->last = position;
    struct note *note = decision_at(d, position);
    *note = (struct note){ .kind = (uint8_t)kind };
    return note;
}

static void *append(struct decision *d, enum note_kind kind, size_t size, size_t leave)
{
    struct note *note = decision_add_blank(d, kind, size, leave);
    if (note)
        memset(note + 1, 0, size - sizeof *note);
    return note;
}

void *decision_add(struct decision *d, enum note_kind kind, size_t size)
{
    return d ? append(d, kind, size, 0) : NULL;
}

const struct note *decision_first(const struct decision *d)
{
    return d->first ? decision_at(d, d->first) : NULL;
}

const struct note *decision_next(const struct decision *d, const struct note *note)
{
    return note->next ? decision_at(d, note->next) : NULL;
}

/* --- steps --- */

struct note_step *decision_add_step(struct decision *d, enum step_among among, const char *within, const char *policy, size_t n)
{
    struct note_step *s = d ? append(d, NOTE_STEP, sizeof *s, DECISION_KEPT_FOR_TRIES) : NULL;
    if (!s)
        return NULL;
    s->among = (uint8_t)among;
    s->n = (uint32_t)n;
    s->chosen = NOT_ASKED;
    s->within = decision_add_name(d, within);
    s->policy = decision_add_name(d, policy);
    s->room = n < d->listed ? (uint32_t)n : d->listed;
    s->candidates = decision_take(d, s->room * sizeof(struct note_candidate), DECISION_KEPT_FOR_TRIES);
    if (!s->candidates)
        s->room = 0;
    return s;
}

const struct note_candidate *decision_candidates(const struct decision *d, const struct note_step *s)
{
    return s->room ? decision_at(d, s->candidates) : NULL;
}

const struct note_candidate *decision_candidate(const struct decision *d, const struct note_step *s, size_t index)
{
    const struct note_candidate *all = decision_candidates(d, s);
    if (s->room >= s->n)
        return index < s->listed ? &all[index] : NULL;
    for (uint32_t i = 0; i < s->listed; i++)
        if (all[i].index == index)
            return &all[i];
    return NULL;
}

void note_candidate_init(struct note_candidate *c, size_t index)
{
    *c = (struct note_candidate){ .index = (uint32_t)index, .in_flight = NOT_ASKED, .connections = NOT_ASKED, .given = NAN, .slow_start = 1,
                                  .connections_share = 1, .score = NAN, .latency_s = NAN };
}

struct note_candidate *decision_list(struct decision *d, struct note_step *s, size_t index, bool *fresh)
{
    struct note_candidate *found = (struct note_candidate *)(uintptr_t)decision_candidate(d, s, index);
    *fresh = !found && s->listed < s->room;
    if (!*fresh)
        return found;
    found = (struct note_candidate *)decision_at(d, s->candidates) + s->listed++;
    note_candidate_init(found, index);
    return found;
}

/* --- what happens to the request --- */

void decision_add_queued(struct decision *d, nsec_t after)
{
    struct note_queued *q;
    if (!d)
        return;
    if (d->queued) {
        q = decision_at(d, d->queued);
        q->times++;
        decision_release_sheets(d, decision_next(d, &q->note));
        q->note.next = 0;
        d->last = d->queued;
        d->used = d->queued + decision_aligned(sizeof *q);
        return;
    }
    if (!(q = DECISION_ADD(d, NOTE_QUEUED, note_queued)))
        return;
    q->times = 1;
    q->after = after;
    d->queued = d->last;
}

void decision_add_try(struct decision *d, enum try_how how, const char *endpoint, nsec_t after)
{
    if (!d)
        return;
    uint32_t named = endpoint ? decision_add_text(d, slice_of(endpoint), DECISION_TEXT_MAX) : 0;
    struct note_try *t = endpoint && !named ? NULL : DECISION_ADD(d, NOTE_TRY, note_try);
    d->queued = 0;
    d->lost = !t;
    if (!t)
        return;
    t->how = (uint8_t)how;
    t->after = after;
    t->endpoint = named;
    d->endpoint = named ? named : d->endpoint;
}
