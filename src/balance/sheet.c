#include "balance/sheet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct step_sheet {
    unsigned references;
    uint32_t n; /* candidates */
    bool lists_all;
    uint32_t size;
    _Alignas(DECISION_ALIGNMENT) char bytes[]; /* a struct note_step and what belongs to it; positions count from its begin */
};

/* --- sheets --- */

static uint32_t moved(uint32_t position, uint32_t from, uint32_t to)
{
    return position ? position - from + to : 0;
}

/* A step that stood at `from`, and was copied with all that belongs to it, stands at `to`. */
static void rebase(struct note_step *s, uint32_t from, uint32_t to)
{
    struct note_candidate *all = (void *)((char *)s + (s->candidates - from));
    for (uint32_t i = 0; i < s->listed; i++)
        all[i].name = moved(all[i].name, from, to);
    s->within = moved(s->within, from, to);
    s->policy = moved(s->policy, from, to);
    s->candidates = moved(s->candidates, from, to);
}

struct step_sheet *step_sheet_new(const struct decision *d, const struct note_step *s)
{
    uint32_t size = d->used - d->last;
    struct step_sheet *sheet = malloc(sizeof *sheet + size);
    if (!sheet)
        return NULL;
    *sheet = (struct step_sheet){ .references = 1, .n = s->n, .lists_all = s->listed == s->n, .size = size };
    memcpy(sheet->bytes, s, size);
    rebase((void *)sheet->bytes, d->last, 0);
    return sheet;
}

struct step_sheet *step_sheet_ref(struct step_sheet *sheet)
{
    sheet->references++;
    return sheet;
}

void step_sheet_unref(struct step_sheet *sheet)
{
    if (sheet && --sheet->references == 0)
        free(sheet);
}

/* --- steps on them --- */

static const struct note_on_sheet *on_sheet(const struct note *note)
{
    return note->kind == NOTE_ON_SHEET ? (const void *)note : NULL;
}

struct note_on_sheet *decision_add_on_sheet(struct decision *d, struct step_sheet *sheet)
{
    uint32_t room = sheet->n < d->listed ? sheet->n : d->listed;
    struct note_on_sheet *note = decision_add_blank(d, NOTE_ON_SHEET, sizeof *note + room * sizeof *note->seen, DECISION_KEPT_FOR_TRIES);
    if (!note)
        return NULL;
    note->asked = note->by_session = false;
    note->by_index = sheet->lists_all && room == sheet->n;
    note->room = room;
    note->listed = note->by_index ? room : 0;
    note->chosen = NOT_ASKED;
    note->policy = 0;
    note->sheet = step_sheet_ref(sheet);
    for (uint32_t i = 0; i < note->listed; i++)
        seen_init(&note->seen[i], i);
    return note;
}

struct note_candidate *decision_add_facts(struct decision *d, struct seen *seen)
{
    seen->facts = decision_take(d, sizeof(struct note_candidate), DECISION_KEPT_FOR_TRIES);
    if (!seen->facts)
        return NULL;
    struct note_candidate *c = decision_at(d, seen->facts);
    note_candidate_init(c, seen->index);
    return c;
}

void decision_release_sheets(struct decision *d, const struct note *from)
{
    for (const struct note *note = from; note; note = decision_next(d, note))
        if (on_sheet(note))
            step_sheet_unref(on_sheet(note)->sheet);
}

/* --- unfolded --- */

static void add_what_was_seen(struct note_candidate *c, const struct seen *seen)
{
    c->in_flight = seen->in_flight;
    c->connections = seen->connections;
    c->score = seen->score;
    c->latency_s = seen->latency_s;
    if (seen->ruled_out)
        c->ruled_out = seen->ruled_out;
}

/* Those that the sheet does not list, whose facts the request has noted. */
static void list_by_facts(struct decision *out, struct note_step *s, const struct note_on_sheet *note)
{
    struct note_candidate *all = decision_at(out, out->used);
    s->candidates = out->used;
    for (uint32_t i = 0; i < note->listed; i++) {
        if (!note->seen[i].facts)
            continue;
        all[s->listed] = *(const struct note_candidate *)decision_at(out, note->seen[i].facts);
        add_what_was_seen(&all[s->listed++], &note->seen[i]);
    }
    s->room = s->listed;
    out->used += decision_aligned(s->listed * sizeof *all);
}

/* In the note's place; there is room. The step's position. */
static uint32_t unfold_step(struct decision *out, const struct note_on_sheet *note)
{
    uint32_t position = out->used;
    struct note_step *s = decision_at(out, position);
    memcpy(s, note->sheet->bytes, note->sheet->size);
    rebase(s, 0, position);
    out->used += decision_aligned(note->sheet->size);
    s->note.next = note->note.next;
    s->asked = note->asked;
    s->by_session = note->by_session;
    s->chosen = note->chosen;
    s->policy = note->policy ? note->policy : s->policy;
    if (!note->sheet->lists_all)
        list_by_facts(out, s, note);
    else
        for (uint32_t i = 0; i < note->listed; i++)
            add_what_was_seen((struct note_candidate *)decision_at(out, s->candidates) + note->seen[i].index, &note->seen[i]);
    return position;
}

static size_t unfolded_size(const struct decision *d)
{
    size_t size = d->used;
    for (const struct note *note = decision_first(d); note; note = decision_next(d, note)) {
        const struct note_on_sheet *it = on_sheet(note);
        size += it ? decision_aligned(it->sheet->size) + decision_aligned(it->listed * sizeof(struct note_candidate)) : 0;
    }
    return size;
}

static uint32_t name_of_chosen(const struct decision *d, const struct note_step *s)
{
    const struct note_candidate *c = s->chosen == NOT_ASKED ? NULL : decision_candidate(d, s, s->chosen);
    return c ? c->name : 0;
}

static void unfold_note(struct decision *out, uint32_t *position, uint32_t *chosen)
{
    void *it = decision_at(out, *position);
    const struct note *note = it;
    if (note->kind == NOTE_ON_SHEET) {
        *position = unfold_step(out, it);
        it = decision_at(out, *position);
    }
    const struct note_step *s = it;
    struct note_try *try = it;
    if (s->note.kind == NOTE_STEP && s->among == AMONG_ENDPOINTS && s->chosen != NOT_ASKED)
        *chosen = name_of_chosen(out, s);
    if (try->note.kind == NOTE_TRY)
        out->endpoint = try->endpoint = try->endpoint ? try->endpoint : *chosen;
}

struct decision *decision_unfold(const struct decision *d)
{
    size_t size = unfolded_size(d);
    struct decision *out = malloc(size);
    if (!out)
        return NULL;
    memcpy(out, d, d->used);
    out->size = (uint32_t)size;
    uint32_t chosen = 0;
    for (uint32_t *link = &out->first; *link; link = &((struct note *)decision_at(out, *link))->next) {
        unfold_note(out, link, &chosen);
        out->last = *link;
    }
    if (out->lost)
        out->endpoint = 0;
    return out;
}
