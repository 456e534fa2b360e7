#include "conf/syntax.h"

#include "base/mem.h"
#include "base/slice.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 32, SHOWN_MAX = 40 };

enum token_kind {
    TOKEN_END, TOKEN_NAME, TOKEN_EQUALS, TOKEN_STRING, TOKEN_INTEGER, TOKEN_FLOAT, TOKEN_FLAG, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_COMMA,
    TOKEN_SEMICOLON, TOKEN_BARE /* 10s, 10.0.0.1: should be in quotes */, TOKEN_UNCLOSED, TOKEN_RANGE, TOKEN_STRAY
};
struct token {
    enum token_kind kind;
    struct slice text;
    unsigned line;
};

enum expecting { EXPECT_NAME, EXPECT_EQUALS, EXPECT_VALUE, EXPECT_FIRST_ELEMENT, EXPECT_ELEMENT, AFTER_ELEMENT, AFTER_SETTING };

struct frame {
    char opened; /* '{', '(' or '[' */
    unsigned line;
    size_t names;                /* where the names of this group begin */
    enum token_kind element;     /* of an array: what it holds; TOKEN_END while it is empty */
};

struct name {
    struct slice text;
    unsigned line;
};

struct checker {
    struct slice rest;
    unsigned line;
    struct frame frames[DEPTH_MAX];
    unsigned depth;
    enum expecting expecting;
    struct name *names;
    size_t n_names, names_size;
    struct syntax_error *error;
};

/* --- tokens --- */

static void skip(struct checker *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        c->line += c->rest.p[i] == '\n';
    c->rest.p += n;
    c->rest.n -= n;
}

static bool at(const struct checker *c, const char *text)
{
    size_t n = strlen(text);
    return c->rest.n >= n && memcmp(c->rest.p, text, n) == 0;
}

static size_t length_until(struct slice s, const char *end)
{
    const char *found = memmem(s.p, s.n, end, strlen(end));
    return found ? (size_t)(found - s.p) : s.n;
}

static void skip_blanks_and_comments(struct checker *c)
{
    while (c->rest.n) {
        if (isspace((unsigned char)*c->rest.p))
            skip(c, 1);
        else if (at(c, "#") || at(c, "//"))
            skip(c, length_until(c->rest, "\n"));
        else if (at(c, "/*")) {
            size_t n = length_until(c->rest, "*/");
            skip(c, n + 2 < c->rest.n ? n + 2 : c->rest.n);
        } else
            return;
    }
}

static bool is_name_start(char ch)
{
    return isalpha((unsigned char)ch) || ch == '*';
}

static bool is_name_part(char ch)
{
    return isalnum((unsigned char)ch) || ch == '*' || ch == '-' || ch == '_';
}

static size_t span(struct slice s, size_t from, bool (*part)(char))
{
    while (from < s.n && part(s.p[from]))
        from++;
    return from;
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static bool is_hex(char ch)
{
    return isxdigit((unsigned char)ch);
}

/* What people write without quotes: durations, sizes, addresses, dates. */
static bool is_word_part(char ch)
{
    return isalnum((unsigned char)ch) || ch == '.' || ch == '_' || ch == '-' || ch == '%' || ch == ':';
}

static size_t span_exponent(struct slice s, size_t n)
{
    if (n >= s.n || (s.p[n] | 0x20) != 'e')
        return n;
    size_t sign = n + 1 < s.n && (s.p[n + 1] == '+' || s.p[n + 1] == '-');
    size_t end = span(s, n + 1 + sign, is_digit);
    return end > n + 1 + sign ? end : n;
}

static size_t span_long_suffix(struct slice s, size_t n)
{
    for (unsigned i = 0; i < 2 && n < s.n && s.p[n] == 'L'; i++)
        n++;
    return n;
}

static size_t span_number(struct slice s, enum token_kind *kind)
{
    size_t sign = *s.p == '+' || *s.p == '-';
    *kind = TOKEN_INTEGER;
    if (s.n > 2 && s.p[0] == '0' && (s.p[1] | 0x20) == 'x' && is_hex(s.p[2]))
        return span_long_suffix(s, span(s, 2, is_hex));
    size_t n = span(s, sign, is_digit), digits = n - sign;
    if (n < s.n && s.p[n] == '.') {
        size_t end = span(s, n + 1, is_digit);
        digits += end - n - 1;
        n = end;
        *kind = TOKEN_FLOAT;
    }
    if (digits == 0) {
        *kind = TOKEN_STRAY;
        return 1;
    }
    size_t end = span_exponent(s, n);
    if (end > n)
        *kind = TOKEN_FLOAT;
    return *kind == TOKEN_FLOAT ? end : span_long_suffix(s, end);
}

static bool integer_overflows(struct slice text)
{
    char copy[32];
    if (text.n >= sizeof copy)
        return true;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    errno = 0;
    (void)strtoll(copy, NULL, 0);
    return errno == ERANGE;
}

static size_t read_number(struct checker *c, struct token *t)
{
    size_t n = span_number(c->rest, &t->kind);
    size_t word = t->kind == TOKEN_STRAY ? n : span(c->rest, n, is_word_part);
    if (word > n) {
        t->kind = TOKEN_BARE;
        return word;
    }
    if (t->kind == TOKEN_INTEGER && integer_overflows((struct slice){ c->rest.p, n }))
        t->kind = TOKEN_RANGE;
    return n;
}

static size_t read_name(const struct checker *c, struct token *t)
{
    size_t n = span(c->rest, 0, is_name_part);
    struct slice name = { c->rest.p, n };
    bool flag = slice_eq_nocase(name, SLICE("true")) || slice_eq_nocase(name, SLICE("false"));
    t->kind = flag ? TOKEN_FLAG : TOKEN_NAME;
    return n;
}

/* A string that ends on another line is nearly always one whose quote was forgotten. */
static size_t read_string(const struct checker *c, struct token *t)
{
    size_t n = 1;
    while (n < c->rest.n && c->rest.p[n] != '"' && c->rest.p[n] != '\n')
        n += c->rest.p[n] == '\\' && n + 1 < c->rest.n && c->rest.p[n + 1] != '\n' ? 2 : 1;
    bool closed = n < c->rest.n && c->rest.p[n] == '"';
    t->kind = closed ? TOKEN_STRING : TOKEN_UNCLOSED;
    return n + closed;
}

static enum token_kind punctuation(char ch)
{
    switch (ch) {
    case '=':
    case ':':
        return TOKEN_EQUALS;
    case '{':
    case '(':
    case '[':
        return TOKEN_OPEN;
    case '}':
    case ')':
    case ']':
        return TOKEN_CLOSE;
    case ',':
        return TOKEN_COMMA;
    case ';':
        return TOKEN_SEMICOLON;
    default:
        return TOKEN_STRAY;
    }
}

static struct token read_token(struct checker *c)
{
    size_t n = 1;

    skip_blanks_and_comments(c);
    struct token t = { .kind = TOKEN_END, .text = { c->rest.p, 0 }, .line = c->line };
    if (c->rest.n == 0)
        return t;
    char ch = *c->rest.p;
    if (ch == '"')
        n = read_string(c, &t);
    else if (is_digit(ch) || ch == '+' || ch == '-' || ch == '.')
        n = read_number(c, &t);
    else if (is_name_start(ch))
        n = read_name(c, &t);
    else
        t.kind = punctuation(ch);
    t.text.n = n;
    skip(c, n);
    return t;
}

/* "a" "b" is one string. */
static struct token next_token(struct checker *c)
{
    struct token t = read_token(c);
    while (t.kind == TOKEN_STRING) {
        skip_blanks_and_comments(c);
        if (!at(c, "\""))
            break;
        struct token more = read_token(c);
        t.kind = more.kind;
        if (more.kind != TOKEN_STRING)
            t = more;
    }
    return t;
}

/* --- words for errors --- */

static bool __attribute__((format(printf, 3, 4))) fail(struct checker *c, unsigned line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->error->text, sizeof c->error->text, format, arguments);
    va_end(arguments);
    c->error->line = line;
    return false;
}

struct shown {
    char text[SHOWN_MAX + 8];
};

static struct shown show(const struct token *t)
{
    struct shown s;
    bool cut = t->text.n > SHOWN_MAX;
    if (t->kind == TOKEN_END)
        snprintf(s.text, sizeof s.text, "the end");
    else
        snprintf(s.text, sizeof s.text, "`%.*s%s`", (int)(cut ? SHOWN_MAX : t->text.n), t->text.p, cut ? "…" : "");
    return s;
}

static char closing(char opened)
{
    return opened == '{' ? '}' : opened == '(' ? ')' : ']';
}

/* True after an error that any place could have. */
static bool is_broken_token(struct checker *c, const struct token *t)
{
    struct shown s = show(t);
    switch (t->kind) {
    case TOKEN_UNCLOSED:
        return !fail(c, t->line, "syntax error: the quote that begins here is never closed on this line");
    case TOKEN_RANGE:
        return !fail(c, t->line, "the number %s is too large", s.text);
    case TOKEN_BARE:
        return !fail(c, t->line, "syntax error: %s must be in quotes: \"%.*s\"", s.text,
                     (int)(t->text.n < SHOWN_MAX ? t->text.n : SHOWN_MAX),
                     t->text.p);
    case TOKEN_STRAY:
        if (*t->text.p == '@')
            return !fail(c, t->line, "syntax error: `@include \"FILE\"` must stand on a line of its own");
        if ((unsigned char)*t->text.p < 0x21 || (unsigned char)*t->text.p > 0x7e)
            return !fail(c, t->line, "syntax error: a byte 0x%02x outside of a string", (unsigned)(unsigned char)*t->text.p);
        return !fail(c, t->line, "syntax error: unexpected %s", s.text);
    default:
        return false;
    }
}

static bool fail_value(struct checker *c, const struct token *t, const char *where)
{
    struct shown s = show(t);
    if (t->kind == TOKEN_NAME)
        return fail(c, t->line, "syntax error: expected a value%s, found %s: text must be in quotes, a flag is true or false",
                    where, s.text);
    return fail(c, t->line, "syntax error: expected a value%s, found %s", where, s.text);
}

static bool fail_unclosed(struct checker *c, const struct token *t)
{
    const struct frame *f = &c->frames[c->depth - 1];
    c->error->other_line = f->line;
    return fail(c, t->line, "syntax error: expected `%c`, found %s", closing(f->opened), show(t).text);
}

/* --- the grammar --- */

static bool declare(struct checker *c, const struct token *t)
{
    size_t from = c->depth ? c->frames[c->depth - 1].names : 0;
    for (size_t i = from; i < c->n_names; i++)
        if (slice_eq(c->names[i].text, t->text)) {
            c->error->other_line = c->names[i].line;
            return fail(c, t->line, "%s is given twice in the same group", show(t).text);
        }
    if (c->n_names == c->names_size) {
        c->names_size = c->names_size ? 2 * c->names_size : 64;
        c->names = mem_resize(c->names, c->names_size, sizeof *c->names);
    }
    c->names[c->n_names++] = (struct name){ t->text, t->line };
    c->expecting = EXPECT_EQUALS;
    return true;
}

static bool open_frame(struct checker *c, const struct token *t)
{
    if (c->depth == DEPTH_MAX)
        return fail(c, t->line, "syntax error: nested more than %d deep", (int)DEPTH_MAX);
    c->frames[c->depth++] = (struct frame){ .opened = *t->text.p, .line = t->line, .names = c->n_names };
    c->expecting = *t->text.p == '{' ? EXPECT_NAME : EXPECT_FIRST_ELEMENT;
    return true;
}

static enum expecting after_value(const struct checker *c)
{
    return c->depth == 0 || c->frames[c->depth - 1].opened == '{' ? AFTER_SETTING : AFTER_ELEMENT;
}

static bool close_frame(struct checker *c, const struct token *t)
{
    if (c->depth == 0)
        return fail(c, t->line, "syntax error: %s closes nothing", show(t).text);
    struct frame *f = &c->frames[c->depth - 1];
    if (*t->text.p != closing(f->opened))
        return fail_unclosed(c, t);
    c->n_names = f->names;
    c->depth--;
    c->expecting = after_value(c);
    return true;
}

static bool is_scalar(enum token_kind kind)
{
    return kind == TOKEN_STRING || kind == TOKEN_INTEGER || kind == TOKEN_FLOAT || kind == TOKEN_FLAG;
}

static bool take_value(struct checker *c, const struct token *t)
{
    if (t->kind == TOKEN_OPEN)
        return open_frame(c, t);
    if (!is_scalar(t->kind))
        return fail_value(c, t, c->depth && c->expecting != EXPECT_VALUE ? "" : " after `=`");
    c->expecting = after_value(c);
    return true;
}

static bool take_array_element(struct checker *c, struct frame *array, const struct token *t)
{
    if (t->kind == TOKEN_OPEN)
        return fail(c, t->line, "syntax error: `[ ]` holds plain values only; a list of groups is written ( { … }, { … } )");
    if (!is_scalar(t->kind))
        return fail_value(c, t, "");
    if (array->element != TOKEN_END && array->element != t->kind)
        return fail(c, t->line, "all values of one `[ ]` must be of the same type; %s is not", show(t).text);
    array->element = t->kind;
    c->expecting = AFTER_ELEMENT;
    return true;
}

static bool take_element(struct checker *c, const struct token *t)
{
    struct frame *f = &c->frames[c->depth - 1];
    if (t->kind == TOKEN_CLOSE && *t->text.p == closing(f->opened))
        return c->expecting == EXPECT_FIRST_ELEMENT
                   ? close_frame(c, t)
                   : fail(c, t->line, "syntax error: a trailing comma: nothing follows the last `,` before %s", show(t).text);
    if (t->kind == TOKEN_CLOSE || t->kind == TOKEN_END)
        return fail_unclosed(c, t);
    return f->opened == '[' ? take_array_element(c, f, t) : take_value(c, t);
}

static bool take_after_element(struct checker *c, const struct token *t)
{
    const struct frame *f = &c->frames[c->depth - 1];
    if (t->kind == TOKEN_COMMA) {
        c->expecting = EXPECT_ELEMENT;
        return true;
    }
    if (t->kind == TOKEN_CLOSE)
        return close_frame(c, t);
    if (t->kind == TOKEN_END)
        return fail_unclosed(c, t);
    return fail(c, t->line, "syntax error: expected `,` or `%c` after an element, found %s%s", closing(f->opened), show(t).text,
                t->kind == TOKEN_SEMICOLON ? ": elements are separated by `,`" : "");
}

static bool take_name(struct checker *c, const struct token *t)
{
    if (t->kind == TOKEN_NAME)
        return declare(c, t);
    if (t->kind == TOKEN_CLOSE)
        return close_frame(c, t);
    if (t->kind == TOKEN_END && c->depth)
        return fail_unclosed(c, t);
    if (t->kind == TOKEN_END)
        return true;
    if (t->kind == TOKEN_OPEN && *t->text.p == '{')
        return fail(c, t->line, "syntax error: expected `KEY = `, found `{`: a list of groups is written ( { … }, { … } )");
    return fail(c, t->line, "syntax error: expected `KEY = `, found %s", show(t).text);
}

static bool take_equals(struct checker *c, const struct token *t)
{
    if (t->kind != TOKEN_EQUALS)
        return fail(c, t->line, "syntax error: expected `=` after `%.*s`, found %s", SLICE_ARG(c->names[c->n_names - 1].text),
                    show(t).text);
    c->expecting = EXPECT_VALUE;
    return true;
}

static bool take(struct checker *c, const struct token *t)
{
    if (is_broken_token(c, t))
        return false;
    switch (c->expecting) {
    case EXPECT_NAME:
        return take_name(c, t);
    case EXPECT_EQUALS:
        return take_equals(c, t);
    case EXPECT_VALUE:
        return take_value(c, t);
    case EXPECT_FIRST_ELEMENT:
    case EXPECT_ELEMENT:
        return take_element(c, t);
    case AFTER_ELEMENT:
        return take_after_element(c, t);
    case AFTER_SETTING:
        c->expecting = EXPECT_NAME;
        return t->kind == TOKEN_SEMICOLON || t->kind == TOKEN_COMMA || take_name(c, t);
    }
    __builtin_unreachable();
}

bool syntax_check(const char *text, size_t n, struct syntax_error *error)
{
    struct checker c = { .rest = { text, n }, .line = 1, .expecting = EXPECT_NAME, .error = error };
    struct token t;
    bool good;

    *error = (struct syntax_error){ 0 };
    do {
        t = next_token(&c);
        good = take(&c, &t);
    } while (good && t.kind != TOKEN_END);
    free(c.names);
    return good;
}
