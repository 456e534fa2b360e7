/* What the output can show: colours, its width; and text made safe for it. */
#ifndef PENSTOCK_CLI_TERMINAL_H
#define PENSTOCK_CLI_TERMINAL_H

#include "base/slice.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>

enum tone { TONE_PLAIN, TONE_GOOD, TONE_WARNING, TONE_BAD, TONE_FAINT, TONE_HEADING };

struct terminal {
    bool colours;   /* a terminal, not a dumb one, and NO_COLOR not set (no-color.org) */
    unsigned width; /* in columns; 0: no limit, for it is no terminal */
    unsigned height;
};
void terminal_look(struct terminal *, FILE *);

/* How a state's word is coloured: healthy, degraded, down … */
enum tone tone_of_state(const char *word);

/* `text` with control characters masked (what came over the network must not steer the terminal), cut with "…" to `columns`
 * (0: not cut). Returns the columns it takes. */
unsigned terminal_add_text(struct text *out, struct slice text, unsigned columns);
/* Columns it takes on a screen. */
unsigned terminal_columns(struct slice text);

/* The escape sequences around a tone; empty without colours. */
const char *terminal_tone_begin(const struct terminal *, enum tone);
const char *terminal_tone_end(const struct terminal *, enum tone);

#endif
