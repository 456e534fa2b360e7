#include "cli/terminal.h"

#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

static const char ELLIPSIS[] = "…";
enum { REPLACEMENT = 0xfffd };

void terminal_look(struct terminal *t, FILE *f)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    struct winsize size;
    bool is_terminal = isatty(fileno(f));

    *t = (struct terminal){ .colours = is_terminal && term && strcmp(term, "dumb") != 0 && !(no_color && *no_color) };
    if (is_terminal && ioctl(fileno(f), TIOCGWINSZ, &size) == 0) {
        t->width = size.ws_col;
        t->height = size.ws_row;
    }
}

enum tone tone_of_state(const char *word)
{
    static const struct {
        const char *word;
        enum tone tone;
    } tones[] = {
        { "healthy", TONE_GOOD },   { "up", TONE_GOOD },          { "pass", TONE_GOOD },       { "enabled", TONE_GOOD },
        { "degraded", TONE_WARNING }, { "failover", TONE_WARNING }, { "ejected", TONE_WARNING }, { "drained", TONE_WARNING },
        { "warning", TONE_WARNING }, { "down", TONE_BAD },          { "critical", TONE_BAD },    { "fallback", TONE_BAD },
        { "inactive", TONE_BAD },   { "fail", TONE_BAD },         { "unknown", TONE_WARNING },   { "disabled", TONE_FAINT },
        { "info", TONE_FAINT },     { "connected", TONE_GOOD },   { "usable", TONE_GOOD },     { "suspect", TONE_WARNING },
        { "draining", TONE_WARNING }, { "closing", TONE_FAINT },  { "sick", TONE_BAD },
    };
    for (size_t i = 0; i < sizeof tones / sizeof *tones; i++)
        if (strcmp(tones[i].word, word) == 0)
            return tones[i].tone;
    return TONE_PLAIN;
}

static const char *tone_sequence(enum tone tone)
{
    switch (tone) {
    case TONE_GOOD:
        return "\033[32m";
    case TONE_WARNING:
        return "\033[33m";
    case TONE_BAD:
        return "\033[31m";
    case TONE_FAINT:
        return "\033[2m";
    case TONE_HEADING:
        return "\033[1m";
    case TONE_PLAIN:
        break;
    }
    return "";
}

const char *terminal_tone_begin(const struct terminal *t, enum tone tone)
{
    return t->colours ? tone_sequence(tone) : "";
}

const char *terminal_tone_end(const struct terminal *t, enum tone tone)
{
    return t->colours && tone != TONE_PLAIN ? "\033[0m" : "";
}

/* Of UTF-8, by its first byte; 0: no character begins with it. */
static unsigned sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Takes one character off; malformed bytes and control characters (C0, DEL, C1) become U+FFFD. */
static uint32_t next_character(struct slice *rest)
{
    const unsigned char *p = (const unsigned char *)rest->p;
    unsigned n = sequence_length(p[0]);
    uint32_t c = n == 1 ? p[0] : n ? p[0] & (0x7fU >> n) : REPLACEMENT;
    unsigned used = 1;

    for (; n > 1 && used < n; used++) {
        if (used >= rest->n || (p[used] & 0xc0) != 0x80) {
            c = REPLACEMENT;
            break;
        }
        c = c << 6 | (p[used] & 0x3fU);
    }
    rest->p += used;
    rest->n -= used;
    return c < ' ' || (c >= 0x7f && c < 0xa0) ? REPLACEMENT : c;
}

/* wcwidth goes by the thread's locale; the process's own stays as it is, since parsers elsewhere rely on "C". */
static unsigned columns_of(uint32_t c)
{
    static locale_t utf8; /* made once, kept until exit: commands run on one thread */

    if (c < 0x80)
        return 1;
    if (!utf8)
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    if (!utf8)
        return 1;
    locale_t former = uselocale(utf8);
    int width = wcwidth((wchar_t)c);
    uselocale(former);
    return width < 0 ? 1 : (unsigned)width;
}

unsigned terminal_columns(struct slice text)
{
    unsigned columns = 0;
    while (text.n)
        columns += columns_of(next_character(&text));
    return columns;
}

unsigned terminal_add_text(struct text *out, struct slice text, unsigned columns)
{
    bool cut = columns && terminal_columns(text) > columns;
    unsigned used = 0;

    while (text.n) {
        const char *from = text.p;
        uint32_t c = next_character(&text);
        unsigned width = columns_of(c);
        if (cut && used + width > columns - 1)
            break;
        if (c == REPLACEMENT)
            text_add(out, "\xef\xbf\xbd");
        else
            text_add_bytes(out, from, (size_t)(text.p - from));
        used += width;
    }
    if (!cut)
        return used;
    text_add(out, ELLIPSIS);
    return used + 1;
}
