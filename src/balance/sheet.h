/* Steps on sheets. Who the candidates of a step are, and how each stands, is the same for all requests until something changes: it is told
 * once, on a sheet, and what a request notes is what was its own of it. A decision with such steps holds their sheets; to be read, and by
 * others, it has to be unfolded. Sheets are counted, and of one thread, as are the decisions that hold them. */
#ifndef PENSTOCK_BALANCE_SHEET_H
#define PENSTOCK_BALANCE_SHEET_H

#include "balance/decision.h"

struct step_sheet;
/* Of a step that nobody was asked about, the last note of that decision. NULL when memory is out. */
struct step_sheet *step_sheet_new(const struct decision *, const struct note_step *);
struct step_sheet *step_sheet_ref(struct step_sheet *);
void step_sheet_unref(struct step_sheet *); /* or NULL */

/* What a request saw of a candidate, or made of it. */
struct seen {
    uint32_t index;
    uint32_t in_flight, connections; /* NOT_ASKED */
    float score, latency_s;          /* NaN */
    uint32_t facts;                  /* a struct note_candidate, where the sheet does not list it; 0: there was no room */
    uint8_t ruled_out;               /* enum ruled_out; RULED_IN: as on the sheet */
};

struct note_on_sheet {
    struct note note;
    bool asked, by_session;
    bool by_index;    /* seen[] has all candidates, each at its index */
    uint32_t room, listed;
    uint32_t chosen;  /* index; NOT_ASKED: nobody */
    uint32_t policy;  /* 0: the sheet's */
    struct step_sheet *sheet;
    struct seen seen[];
};

/* Takes a reference of its own. NULL where there is no decision or no room. */
struct note_on_sheet *decision_add_on_sheet(struct decision *, struct step_sheet *);

static inline void seen_init(struct seen *s, size_t index)
{
    *s = (struct seen){ .index = (uint32_t)index, .in_flight = NOT_ASKED, .connections = NOT_ASKED, .score = __builtin_nanf(""),
                        .latency_s = __builtin_nanf("") };
}

/* Of that candidate; `*fresh` is set where it is new and has no facts yet. NULL: there is no room for it. */
static inline struct seen *note_see(struct note_on_sheet *note, size_t index, bool *fresh)
{
    if (note->by_index)
        return &note->seen[index];
    for (uint32_t i = 0; i < note->listed; i++)
        if (note->seen[i].index == index)
            return &note->seen[i];
    if (note->listed == note->room)
        return NULL;
    *fresh = true;
    seen_init(&note->seen[note->listed], index);
    return &note->seen[note->listed++];
}

/* For one that the sheet does not list; not filled in but for its index. NULL: there is no room. */
struct note_candidate *decision_add_facts(struct decision *, struct seen *);

/* Lets go of the sheets of the notes from that one on, which are forgotten. */
void decision_release_sheets(struct decision *, const struct note *from);
/* A copy in which all steps stand by themselves, as do the endpoints of tries; the caller's to free. NULL when memory is out. */
struct decision *decision_unfold(const struct decision *);

#endif
