#include "base/ulid.h"

#include "base/random.h"

/* Crockford's alphabet, which sorts as ASCII does. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* False when all bytes were 255. */
static bool increment(uint8_t random[10])
{
    for (unsigned i = 10; i-- > 0;)
        if (++random[i])
            return true;
    return false;
}

static void step(struct ulid_source *s, uint64_t milliseconds)
{
    if (milliseconds <= s->milliseconds && increment(s->random))
        return;
    s->milliseconds = milliseconds > s->milliseconds ? milliseconds : s->milliseconds + 1;
    random_bytes(s->random, sizeof s->random);
}

char *ulid_make(struct ulid_source *s, nsec_t wall, char out[static ULID_TEXT_SIZE])
{
    step(s, wall > 0 ? (uint64_t)(wall / NSEC_PER_MSEC) : 0);
    for (unsigned i = 0; i < 10; i++)
        out[i] = alphabet[s->milliseconds >> (45 - 5 * i) & 31];
    for (unsigned i = 0; i < 2; i++) {
        uint64_t bits = 0;
        for (unsigned j = 0; j < 5; j++)
            bits = bits << 8 | s->random[5 * i + j];
        for (unsigned j = 0; j < 8; j++)
            out[10 + 8 * i + j] = alphabet[bits >> (35 - 5 * j) & 31];
    }
    out[26] = '\0';
    return out;
}
