#include "conf/words.h"

enum { SHOWN_MAX = 12 };

void words_offer(struct words *w, const char *known)
{
    nearest_offer(&w->nearest, known);
    if (w->n++ < SHOWN_MAX)
        text_addf(&w->known, "%s\"%s\"", w->n > 1 ? ", " : "", known);
}

void words_refuse(struct loader *l, struct source at, const char *what, struct words *w)
{
    struct text message = { 0 };
    text_addf(&message, "unknown %s \"%s\"", what, w->nearest.word);
    if (w->nearest.best)
        text_addf(&message, ": did you mean \"%s\"?", w->nearest.best);
    if (w->n && w->n <= SHOWN_MAX)
        text_addf(&message, " (known: %s)", w->known.p);
    conf_error(l, at, "%s", message.p);
    text_clear(&message);
    text_clear(&w->known);
}
