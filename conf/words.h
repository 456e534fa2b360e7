/* A word of the file that should be one of several known ones, and isn't. */
#ifndef PENSTOCK_CONF_WORDS_H
#define PENSTOCK_CONF_WORDS_H

#include "base/nearest.h"
#include "conf/loader.h"

struct words {
    struct nearest nearest; /* begin with its word */
    struct text known;
    unsigned n;
};

void words_offer(struct words *, const char *known);
/* "unknown WHAT "word": did you mean "nearest"? (known: …)"; the list only where it is short. Clears. */
void words_refuse(struct loader *, struct source at, const char *what, struct words *);

#endif
