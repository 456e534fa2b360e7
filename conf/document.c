#include "conf/document.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/slice.h"
#include "conf/syntax.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <string.h>

enum { INCLUDE_DEPTH_MAX = 10, FILES_MAX = 1000, BYTES_MAX = 16 * 1024 * 1024 };

struct document {
    config_t parsed;
    struct conf_text kept;
};

/* --- one tree's text --- */

struct expansion {
    struct documents *all;
    struct text text;
    struct source *lines; /* of the text */
    size_t n_lines, lines_size;
};

static const char *why(int error)
{
    return error == EFBIG ? "too large" : error == EINVAL ? "not a regular file" : strerror(error);
}

static void add_line(struct expansion *x, struct slice line, const char *file, unsigned number)
{
    if (x->n_lines == x->lines_size) {
        x->lines_size = x->lines_size ? 2 * x->lines_size : 256;
        x->lines = mem_resize(x->lines, x->lines_size, sizeof *x->lines);
    }
    x->lines[x->n_lines++] = (struct source){ file, number };
    text_add_bytes(&x->text, line.p, line.n);
    text_add_bytes(&x->text, "\n", 1);
}

/* Whether the next line begins inside of a comment. Strings end on their line (see syntax.h). */
static bool leaves_comment_open(struct slice line, bool in_comment)
{
    bool in_string = false;
    for (size_t i = 0; i < line.n; i++) {
        char ch = line.p[i], next = i + 1 < line.n ? line.p[i + 1] : '\0';
        if (in_comment) {
            in_comment = !(ch == '*' && next == '/');
            i += !in_comment;
        } else if (in_string) {
            in_string = ch != '"';
            i += ch == '\\';
        } else if (ch == '"') {
            in_string = true;
        } else if (ch == '/' && next == '*') {
            in_comment = true;
            i++;
        } else if (ch == '#' || (ch == '/' && next == '/')) {
            break;
        }
    }
    return in_comment;
}

/* `@include "PATH"` alone on its line. */
static bool is_include(struct slice line, struct slice *path)
{
    static const struct slice word = { "@include", 8 };
    struct slice s = slice_trim(line);
    if (s.n < word.n || memcmp(s.p, word.p, word.n) != 0)
        return false;
    s = slice_trim((struct slice){ s.p + word.n, s.n - word.n });
    const char *end = s.n > 1 && *s.p == '"' ? memchr(s.p + 1, '"', s.n - 1) : NULL;
    if (!end)
        return false;
    struct slice rest = slice_trim((struct slice){ end + 1, s.n - (size_t)(end + 1 - s.p) });
    *path = (struct slice){ s.p + 1, (size_t)(end - s.p - 1) };
    return path->n && path->n < FILE_NAME_MAX && (rest.n == 0 || *rest.p == '#' || (rest.n > 1 && memcmp(rest.p, "//", 2) == 0));
}

static bool expand_file(struct expansion *, const char *file, const struct source *named_at, unsigned depth);

static bool expand_include(struct expansion *x, struct slice path, const struct source *at, unsigned depth)
{
    char name[FILE_NAME_MAX];
    if (depth == INCLUDE_DEPTH_MAX) {
        conf_messages_add(x->all->messages, CONF_ERROR, at, "`@include` nested more than %d deep: does a file include itself?",
                          (int)INCLUDE_DEPTH_MAX);
        return false;
    }
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(path));
    return expand_file(x, path_beside(x->all->arena, at->file, name), at, depth + 1);
}

static bool expand_lines(struct expansion *x, const char *file, struct slice rest, unsigned depth)
{
    bool in_comment = false;
    unsigned comment_from = 0;
    struct slice path;
    for (unsigned number = 1; rest.n; number++) {
        const char *newline = memchr(rest.p, '\n', rest.n);
        struct slice line = { rest.p, newline ? (size_t)(newline - rest.p) : rest.n };
        size_t taken = line.n + (newline != NULL);
        rest = (struct slice){ rest.p + taken, rest.n - taken };
        if (!in_comment && is_include(line, &path)) {
            if (!expand_include(x, path, &(struct source){ file, number }, depth))
                return false;
            continue;
        }
        bool open = leaves_comment_open(line, in_comment);
        if (open && !in_comment)
            comment_from = number;
        in_comment = open;
        add_line(x, line, file, number);
    }
    if (in_comment)
        conf_messages_add(x->all->messages, CONF_ERROR, &(struct source){ file, comment_from },
                          "syntax error: the comment `/*` is never closed");
    return !in_comment;
}

static bool note_read(struct documents *all, const char *file, const struct source *named_at, size_t bytes)
{
    all->bytes += bytes;
    if (all->n_read == FILES_MAX || all->bytes > BYTES_MAX) {
        conf_messages_add(all->messages, CONF_ERROR, named_at, "more than %d files or %d MiB are included", (int)FILES_MAX,
                          BYTES_MAX >> 20);
        return false;
    }
    all->read = mem_resize(all->read, all->n_read + 1, sizeof *all->read);
    all->read[all->n_read++] = (struct named_file){ file, *named_at };
    return true;
}

static bool expand_file(struct expansion *x, const char *file, const struct source *named_at, unsigned depth)
{
    size_t n;
    char *content = read_regular_file(file, BYTES_MAX, &n);
    if (!content) {
        conf_messages_add(x->all->messages, CONF_ERROR, named_at, "can't read %s: %s", file, why(errno));
        return false;
    }
    bool good = note_read(x->all, file, named_at, n);
    if (good && memchr(content, '\0', n)) {
        conf_messages_add(x->all->messages, CONF_ERROR, &(struct source){ file, 0 }, "not a text: it has a NUL byte");
        good = false;
    }
    good = good && expand_lines(x, file, (struct slice){ content, n }, depth);
    mem_free_secret(content);
    return good;
}

/* --- a tree --- */

static struct source place_of_line(const struct conf_text *t, unsigned line)
{
    if (t->n_lines == 0)
        return t->whole;
    return t->lines[line == 0 ? 0 : (line > t->n_lines ? t->n_lines : line) - 1];
}

static void tell_syntax_error(struct documents *all, const struct conf_text *t, const struct syntax_error *error)
{
    struct source at = place_of_line(t, error->line);
    struct source other = place_of_line(t, error->other_line);
    if (error->other_line == 0)
        conf_messages_add(all->messages, CONF_ERROR, &at, "%s", error->text);
    else if (strcmp(other.file, at.file) == 0)
        conf_messages_add(all->messages, CONF_ERROR, &at, "%s (see line %u)", error->text, other.line);
    else
        conf_messages_add(all->messages, CONF_ERROR, &at, "%s (see %s:%u)", error->text, other.file, other.line);
}

static bool parse(struct documents *all, struct document *d)
{
    const struct conf_text *t = &d->kept;
    struct syntax_error error;
    if (!syntax_check(t->text, strlen(t->text), &error)) {
        tell_syntax_error(all, t, &error);
        return false;
    }
    if (config_read_string(&d->parsed, t->text) == CONFIG_FALSE) {
        struct source at = place_of_line(t, (unsigned)config_error_line(&d->parsed));
        conf_messages_add(all->messages, CONF_ERROR, &at, "%s", config_error_text(&d->parsed));
        return false;
    }
    return true;
}

static void document_free(struct document *d)
{
    config_destroy(&d->parsed);
    free(d);
}

static void add_document(struct documents *all, const struct conf_text *text)
{
    struct document *d = mem_zero(sizeof *d);
    config_init(&d->parsed);
    d->kept = *text;
    if (!parse(all, d)) {
        document_free(d);
        return;
    }
    all->items = mem_resize(all->items, all->n + 1, sizeof *all->items);
    all->items[all->n++] = d;
}

/* One name serves for all the lines of a file that follow each other. */
static const struct source *keep_lines(struct arena *arena, const struct source *lines, size_t n)
{
    struct source *kept = arena_array(arena, n, sizeof *kept);
    for (size_t i = 0; i < n; i++) {
        bool same = i > 0 && lines[i].file == lines[i - 1].file;
        kept[i] = (struct source){ same ? kept[i - 1].file : arena_copy_text(arena, lines[i].file), lines[i].line };
    }
    return kept;
}

static struct conf_text keep(struct arena *arena, const struct conf_text *t)
{
    return (struct conf_text){ arena_copy_text(arena, t->text), { arena_copy_text(arena, t->whole.file), 0 },
                               keep_lines(arena, t->lines, t->n_lines), t->n_lines };
}

static void document_read(struct documents *all, const char *file, const struct source *named_at)
{
    struct expansion x = { .all = all };
    bool good = expand_file(&x, file, named_at, 0);
    char *text = text_take(&x.text);
    struct conf_text kept = keep(all->arena, &(struct conf_text){ text, { file, 0 }, x.lines, x.n_lines });
    mem_free_secret(text);
    free(x.lines);
    if (good)
        add_document(all, &kept);
}

/* --- include = [ "PATTERN" ] --- */

static bool is_read(const struct documents *all, const char *file)
{
    for (size_t i = 0; i < all->n_read; i++)
        if (strcmp(all->read[i].path, file) == 0)
            return true;
    return false;
}

static void include_file(struct documents *all, const char *file, const struct source *at)
{
    if (is_read(all, file))
        conf_messages_add(all->messages, CONF_ERROR, at, "%s is included twice", file);
    else
        document_read(all, arena_copy_text(all->arena, file), at);
}

static void include_pattern(struct documents *all, const char *pattern, const struct source *at)
{
    glob_t found;
    char *path = path_beside(all->arena, at->file, pattern);
    if (!strpbrk(pattern, "*?[")) {
        include_file(all, path, at);
        return;
    }
    int result = glob(path, 0, NULL, &found);
    if (result == GLOB_NOMATCH)
        conf_messages_add(all->messages, CONF_WARNING, at, "no file matches %s", path);
    else if (result != 0)
        conf_messages_add(all->messages, CONF_ERROR, at, "can't look for %s", path);
    for (size_t i = 0; result == 0 && i < found.gl_pathc && all->n_read < FILES_MAX; i++)
        include_file(all, found.gl_pathv[i], at);
    if (result == 0)
        globfree(&found);
}

/* Wrong types are told by whoever reads the tree. */
static void include_all(struct documents *all, const struct document *d)
{
    config_setting_t *list = config_lookup(&d->parsed, "include");
    bool many = list && (config_setting_is_array(list) || config_setting_is_list(list));
    int n = !list ? 0 : many ? config_setting_length(list) : 1;
    for (int i = 0; i < n; i++) {
        config_setting_t *s = many ? config_setting_get_elem(list, (unsigned)i) : list;
        const char *pattern = config_setting_get_string(s);
        struct source at = document_place(s);
        if (pattern && *pattern)
            include_pattern(all, pattern, &at);
    }
}

void documents_read(struct documents *all, const char *path)
{
    char *file = arena_copy_text(all->arena, path);
    document_read(all, file, &(struct source){ file, 0 });
    for (size_t i = 0; i < all->n; i++)
        include_all(all, all->items[i]);
}

void documents_read_kept(struct documents *all, const struct conf_text *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct conf_text kept = keep(all->arena, &texts[i]);
        add_document(all, &kept);
    }
}

struct conf_text *documents_texts(const struct documents *all)
{
    struct conf_text *texts = arena_array(all->arena, all->n, sizeof *texts);
    for (size_t i = 0; i < all->n; i++)
        texts[i] = all->items[i]->kept;
    return texts;
}

void documents_clear(struct documents *all)
{
    for (size_t i = 0; i < all->n; i++)
        document_free(all->items[i]);
    free(all->items);
    free(all->read);
    *all = (struct documents){ 0 };
}

config_setting_t *document_root(const struct documents *all, size_t i)
{
    return config_root_setting(&all->items[i]->parsed);
}

struct source document_place(const config_setting_t *setting)
{
    const struct document *d = CONTAINER_OF(setting->config, struct document, parsed);
    return config_setting_is_root(setting) ? d->kept.whole : place_of_line(&d->kept, config_setting_source_line(setting));
}
