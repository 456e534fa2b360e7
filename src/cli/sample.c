#include "cli/sample.h"

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
    snprintf(r->error, SAMPLE_ERROR_SIZE, "%.200s:%llu: %s", r->name, r->line, words);
    return NULL;
}

/* --- what a line says; NULL after an error --- */

static bool is_given(const char *text)
{
    return text && *text && strcmp(text, "-") != 0;
}

/* Targets that are no path ("*", "http://…") stand for the root. */
static json_t *make(const struct reader *r, const char *client, const char *host, const char *target, const char *method, double count)
{
    struct address address;
    json_t *out;
    if (is_given(client) && strcmp(client, "unix") != 0 && !address_parse(client, 0, &address))
        return fail(r, "\"%.100s\" is no IP address", client);
    if (!(count >= 0 && count <= 1e9))
        return fail(r, "a count is a number from 0 to 1000000000");
    out = json_object();
    if (is_given(client) && strcmp(client, "unix") != 0)
        json_object_set_new(out, "client", json_string(client));
    if (is_given(host))
        json_object_set_new(out, "host", json_string(host));
    if (is_given(target) && *target == '/')
        json_object_set_new(out, "path", json_string(target));
    if (is_given(method))
        json_object_set_new(out, "method", json_string(method));
    if (count < 1 || count > 1)
        json_object_set_new(out, "count", json_real(count));
    return out;
}

static json_t *read_json(const struct reader *r, const char *line, size_t n)
{
    json_error_t error;
    json_t *record = json_loadb(line, n, 0, &error);
    if (!record)
        return fail(r, "no JSON: %s", error.text);
    const char *client = json_string_value(json_object_get(record, "client"));
    json_t *out = client ? make(r, client, json_string_value(json_object_get(record, "host")), json_string_value(json_object_get(record, "target")),
                                json_string_value(json_object_get(record, "method")), 1)
                         : fail(r, "\"client\" is missing: it is no line of our access log");
    json_decref(record);
    return out;
}

/* CLIENT - - [DATE] "METHOD TARGET HTTP/1.1" … `at`: after "] \"". */
static json_t *read_combined(const struct reader *r, char *line, char *at)
{
    char *save, *client = strtok_r(line, " ", &save);
    char *method = strtok_r(at, " ", &save), *target = strtok_r(NULL, " \"", &save);
    if (!method || !target)
        return fail(r, "no request after the date: expected \"METHOD TARGET HTTP/1.1\"");
    return make(r, client, NULL, target, method, 1);
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

static bool read_lines(struct reader *r, FILE *f, struct sample *s)
{
    char *line = NULL;
    size_t room = 0;
    bool good = true;
    ssize_t n;
    while (good && (n = getline(&line, &room, f)) >= 0) {
        r->line++;
        while (n > 0 && strchr("\r\n \t", line[n - 1]))
            line[--n] = '\0';
        if (n > LINE_SIZE_MAX || strlen(line) != (size_t)n) {
            fail(r, n > LINE_SIZE_MAX ? "the line is too long" : "the line holds a NUL");
            good = false;
        } else if (n > 0 && *line != '#') {
            json_t *client = read_line(r, line, (size_t)n);
            good = client;
            if (client)
                keep(r, s, client);
        }
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
