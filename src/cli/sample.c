#include "cli/sample.h"

#include "base/mem.h"
#include "base/random.h"
#include "base/slice.h"
#include "net/address.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE_MAX = 256 * 1024 };

struct reader {
    const char *name;
    unsigned long long line;
    struct random random; /* the same file, the same sample */
    size_t max;
    char *error;
};

static json_t *fail(const struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static json_t *fail(const struct reader *r, const char *format, ...)
{
    char words[SAMPLE_ERROR_SIZE / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    for (char *p = words; *p; p++) /* they are shown on a terminal */
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    if (r->line)
        snprintf(r->error, SAMPLE_ERROR_SIZE, "%.200s:%llu: %s", r->name, r->line, words);
    else
        snprintf(r->error, SAMPLE_ERROR_SIZE, "%.200s: %s", r->name, words);
    return NULL;
}

/* --- what a line says; NULL after an error, null: no request --- */

static bool is_given(const char *text)
{
    return text && *text && strcmp(text, "-") != 0;
}

static bool set_text(const struct reader *r, json_t *out, const char *member, const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return fail(r, "the %s has a %s", member, *p == ' ' ? "blank" : "control character");
    return json_object_set_new(out, member, json_string(text)) == 0 || fail(r, "the %s is no UTF-8", member);
}

/* Targets that are no path ("*", "http://…") stand for the root. */
static bool set_texts(const struct reader *r, json_t *out, const char *client, const char *host, const char *target, const char *method)
{
    return (!is_given(client) || strcmp(client, "unix") == 0 || set_text(r, out, "client", client)) && (!is_given(host) || set_text(r, out, "host", host)) &&
           (!is_given(target) || *target != '/' || set_text(r, out, "path", target)) && (!is_given(method) || set_text(r, out, "method", method));
}

static json_t *make(const struct reader *r, const char *client, const char *host, const char *target, const char *method, double count)
{
    struct address address;
    if (is_given(client) && strcmp(client, "unix") != 0 && !address_parse(client, 0, &address))
        return fail(r, "\"%.100s\" is no IP address: expected CLIENT [HOST [PATH [COUNT]]], or a line of an access log", client);
    if (!(count >= 0 && count <= 1e9))
        return fail(r, "a count is a number from 0 to 1000000000");
    json_t *out = json_object();
    if (!set_texts(r, out, client, host, target, method)) {
        json_decref(out);
        return NULL;
    }
    if (count < 1 || count > 1)
        json_object_set_new(out, "count", json_real(count));
    return out;
}

static bool is_method(const char *text)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+.^_`|~-");
    return is_given(text) && !text[n];
}

/* Of an access log: null where there was no request. */
static json_t *make_logged(const struct reader *r, const char *client, const char *host, const char *target, const char *method)
{
    return method && target && is_method(method) && *target ? make(r, client, host, target, method, 1) : json_null();
}

static json_t *read_json(const struct reader *r, const char *line, size_t n)
{
    json_error_t error;
    json_t *record = json_loadb(line, n, 0, &error);
    if (!record)
        return fail(r, "no JSON: %s", error.text);
    const char *client = json_string_value(json_object_get(record, "client"));
    json_t *out = client ? make_logged(r, client, json_string_value(json_object_get(record, "host")), json_string_value(json_object_get(record, "target")),
                                       json_string_value(json_object_get(record, "method")))
                         : fail(r, "\"client\" is missing: it is no line of our access log");
    json_decref(record);
    return out;
}

/* The quote that ends it; NULL: none does. */
static char *end_of_quoted(char *text)
{
    for (; *text && *text != '"'; text++)
        if (*text == '\\' && text[1])
            text++;
    return *text ? text : NULL;
}

/* CLIENT - - [DATE] "METHOD TARGET HTTP/1.1" … `at`: after "] \"". */
static json_t *read_combined(const struct reader *r, char *line, char *at)
{
    char *save, *client = strtok_r(line, " ", &save), *end = end_of_quoted(at);
    if (!end)
        return fail(r, "no request after the date: expected \"METHOD TARGET HTTP/1.1\"");
    *end = '\0';
    char *method = strtok_r(at, " ", &save), *target = strtok_r(NULL, " ", &save);
    return make_logged(r, client, NULL, target, method);
}

static json_t *read_words(const struct reader *r, char *line)
{
    enum { CLIENT, HOST, PATH, COUNT, WORDS };
    char *words[WORDS + 1] = { NULL }, *save, *end;
    size_t n = 0;
    for (char *word = strtok_r(line, " \t", &save); word && n <= WORDS; word = strtok_r(NULL, " \t", &save))
        words[n++] = word;
    if (n > WORDS)
        return fail(r, "too many words: expected CLIENT [HOST [PATH [COUNT]]], or a line of an access log");
    if (is_given(words[PATH]) && *words[PATH] != '/')
        return fail(r, "a path begins with \"/\"");
    double count = words[COUNT] ? strtod(words[COUNT], &end) : 1;
    if (words[COUNT] && (end == words[COUNT] || *end))
        return fail(r, "\"%.100s\" is no number", words[COUNT]);
    return make(r, words[CLIENT], words[HOST], words[PATH], NULL, count);
}

static json_t *read_line(const struct reader *r, char *line, size_t n)
{
    char *request = strstr(line, "] \"");
    if (*line == '{')
        return read_json(r, line, n);
    return request && strstr(line, " [") ? read_combined(r, line, request + 3) : read_words(r, line);
}

/* --- the file --- */

/* Each of the lines is as likely as any other to be among those kept (Vitter's algorithm R). */
static void keep(struct reader *r, struct sample *s, json_t *client)
{
    s->lines++;
    if (json_array_size(s->clients) < r->max) {
        json_array_append_new(s->clients, client);
        return;
    }
    size_t place = (size_t)(random_u64(&r->random) % s->lines);
    if (place < r->max)
        json_array_set_new(s->clients, place, client);
    else
        json_decref(client);
}

enum line { LINE_READ, LINE_TOO_LONG, LINE_WITH_NUL, LINE_NONE };

/* Without the end, and the blanks before it. */
static enum line next_line(FILE *f, char line[static LINE_SIZE_MAX + 1], size_t *n)
{
    bool nul = false;
    int c;
    *n = 0;
    while ((c = getc_unlocked(f)) != EOF && c != '\n') {
        if (*n == LINE_SIZE_MAX)
            return LINE_TOO_LONG;
        nul |= c == '\0';
        line[(*n)++] = (char)c;
    }
    if (c == EOF && (!*n || ferror(f)))
        return LINE_NONE;
    while (*n && strchr("\r \t", line[*n - 1]))
        --*n;
    line[*n] = '\0';
    return nul ? LINE_WITH_NUL : LINE_READ;
}

/* An editor's mark that the file is UTF-8. */
static size_t mark_length(const struct reader *r, const char *line)
{
    static const char mark[] = "\xef\xbb\xbf";
    return r->line == 1 && strncmp(line, mark, sizeof mark - 1) == 0 ? sizeof mark - 1 : 0;
}

static bool read_one(struct reader *r, char *line, size_t n, struct sample *s)
{
    size_t mark = mark_length(r, line);
    line += mark;
    n -= mark;
    if (!n || *line == '#')
        return true;
    json_t *client = read_line(r, line, n);
    if (json_is_null(client))
        s->without++;
    else if (client)
        keep(r, s, client);
    return client;
}

static bool read_lines(struct reader *r, FILE *f, struct sample *s)
{
    char *line = mem_alloc(LINE_SIZE_MAX + 1);
    bool good = true;
    enum line what;
    size_t n;
    while (good && (what = next_line(f, line, &n)) != LINE_NONE) {
        r->line++;
        if (what == LINE_READ)
            good = read_one(r, line, n, s);
        else
            good = fail(r, what == LINE_TOO_LONG ? "the line is too long" : "the line holds a NUL: it is no text");
    }
    free(line);
    if (good && ferror(f))
        good = fail(r, "%s", strerror(errno));
    return good;
}

static size_t bytes_of(const json_t *client)
{
    return json_dumpb(client, NULL, 0, JSON_COMPACT) + 1;
}

/* Which of them go is left to chance. */
static void fit(struct reader *r, struct sample *s, size_t size)
{
    size_t bytes = 0;
    for (size_t i = 0; i < json_array_size(s->clients); i++)
        bytes += bytes_of(json_array_get(s->clients, i));
    while (bytes > size && json_array_size(s->clients) > 1) {
        size_t i = (size_t)(random_u64(&r->random) % json_array_size(s->clients));
        bytes -= bytes_of(json_array_get(s->clients, i));
        json_array_remove(s->clients, i);
    }
}

bool sample_read(FILE *f, const char *name, size_t max, size_t size, struct sample *s, char error[static SAMPLE_ERROR_SIZE])
{
    struct reader r = { .name = name, .max = max, .error = error };
    *s = (struct sample){ .clients = json_array() };
    bool good = read_lines(&r, f, s);
    if (good && !s->lines) {
        snprintf(error, SAMPLE_ERROR_SIZE, "%.200s: it has no line that says a request", name);
        good = false;
    }
    if (good) {
        fit(&r, s, size);
        return true;
    }
    json_decref(s->clients);
    s->clients = NULL;
    return false;
}
