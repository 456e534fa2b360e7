/* The sentences of an explanation. Each writes into `out`, EXPLANATION_WORDS bytes. */
#ifndef PENSTOCK_CONTROL_EXPLANATION_WORDS_H
#define PENSTOCK_CONTROL_EXPLANATION_WORDS_H

#include "control/control.h"
#include "proxy/explain.h"

enum { EXPLANATION_WORDS = 640 };

struct told {
    struct control *control; /* to look up how things are now; NULL: it is of a request that was served before */
    const struct decision *decision;
};

const char *explanation_level(enum usability);        /* "healthy" */
const char *explanation_condition(enum condition);    /* "ejected" */
const char *explanation_place(enum placed); /* "where its pool is" */
const char *explanation_then(enum failed_then);       /* "again" */
/* Why a request that failed is not sent again, as a code; NULL: something else came of it. */
const char *explanation_refused(const struct note_failed *);

/* "" where nothing keeps it out. */
void say_ruled_out(const struct told *, const struct note_step *, const struct note_candidate *, char *out);
void say_step(const struct told *, const struct note_step *, char *out);
/* Those that the step does not list, and why; "" where it lists all. */
void say_others(const struct told *, const struct note_step *, char *out);
/* Of the notes that are no steps. */
void say_note(const struct told *, const struct note *, char *out);
void say_load_balancer(const struct told *, char *out);
void say_rule(const struct told *, char *out);
/* "" where nobody asked. */
void say_place(const struct told *, char *out);
/* How the choice came about in one sentence. `result` where there was none. */
void say_reason(const struct told *, enum choice_result result, char *out);
/* The same of a request that was answered before anybody was asked who could have it. */
void say_refused(const struct told *, char *out);
/* How a request that was sent ended; it is over. */
void say_end(const struct told *, char *out);
/* What became of a request that was sent. */
void say_outcome(const struct told *, char *out);

#endif
