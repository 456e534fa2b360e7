#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Insertions, deletions, substitutions and swaps of neighbours that lead from one word to the other (optimal string alignment). */
static unsigned edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    unsigned rows[3][NEAREST_WORD_MAX + 1];
    unsigned *before_last = rows[0], *last = rows[1], *row = rows[2];

    for (unsigned j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + !same_letter(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
                row[j] = least(row[j], before_last[j - 2] + 1);
        }
        unsigned *free_row = before_last;
        before_last = last;
        last = row;
        row = free_row;
    }
    return last[m];
}

/* A third of the word may be wrong; what shares less is not a slip of the finger. */
static unsigned tolerated(size_t length)
{
    return length < 3 ? 1 : (unsigned)((length + 2) / 3);
}

void nearest_offer(struct nearest *s, const char *known)
{
    size_t n = strnlen(s->word, NEAREST_WORD_MAX), m = strnlen(known, NEAREST_WORD_MAX);
    unsigned distance = edit_distance(s->word, n, known, m);

    if (distance > tolerated(n) || (s->best && distance >= s->distance))
        return;
    s->best = known;
    s->distance = distance;
}
