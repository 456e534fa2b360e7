#include "cli/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *format_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

const char *format_reason(const json_t *object, const char *state)
{
    const char *reason = format_string(object, "reason");
    size_t n = state ? strlen(state) : 0;

    return reason && n && strncmp(reason, state, n) == 0 && strncmp(reason + n, ": ", 2) == 0 ? reason + n + 2 : reason;
}

nsec_t format_parse_time(const char *rfc3339)
{
    struct tm t = { 0 };
    const char *rest = rfc3339 ? strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &t) : NULL;

    if (!rest)
        return 0;
    double fraction = *rest == '.' ? strtod(rest, NULL) : 0;
    return (nsec_t)timegm(&t) * NSEC_PER_SEC + (nsec_t)(fraction * 1e9);
}

char *format_age(nsec_t since, nsec_t now, char out[static FORMAT_AGE_SIZE])
{
    int64_t s = (now - since) / NSEC_PER_SEC, minutes = s / 60, hours = s / 3600, days = s / 86400;

    if (since == 0)
        snprintf(out, FORMAT_AGE_SIZE, "-");
    else if (s < 1)
        snprintf(out, FORMAT_AGE_SIZE, "now");
    else if (minutes < 1)
        snprintf(out, FORMAT_AGE_SIZE, "%" PRId64 " s", s);
    else if (hours < 1)
        snprintf(out, FORMAT_AGE_SIZE, "%" PRId64 " min", minutes);
    else if (days < 1)
        snprintf(out, FORMAT_AGE_SIZE, "%" PRId64 " h %" PRId64 " min", hours, minutes % 60);
    else
        snprintf(out, FORMAT_AGE_SIZE, "%" PRId64 " d %" PRId64 " h", days, hours % 24);
    return out;
}

static void add_milliseconds(struct table *t, const char *before, const json_t *milliseconds)
{
    double ms = json_number_value(milliseconds);

    if (!json_is_number(milliseconds))
        table_add(t, TONE_PLAIN, NULL);
    else if (ms >= 1000)
        table_addf(t, TONE_PLAIN, "%s%.2f s", before, ms / 1000);
    else
        table_addf(t, TONE_PLAIN, "%s%.*f ms", before, ms >= 100 ? 0 : ms >= 10 ? 1 : 2, ms);
}

void format_add_milliseconds(struct table *t, const json_t *milliseconds)
{
    add_milliseconds(t, "", milliseconds);
}

void format_add_guessed_milliseconds(struct table *t, const json_t *milliseconds)
{
    add_milliseconds(t, "~", milliseconds);
}

void format_add_count(struct table *t, const json_t *count)
{
    if (json_is_integer(count))
        table_addf(t, TONE_PLAIN, "%" JSON_INTEGER_FORMAT, json_integer_value(count));
    else
        table_add(t, TONE_PLAIN, NULL);
}

char *format_list(const json_t *strings)
{
    struct text text = { 0 };
    size_t i;
    json_t *s;

    json_array_foreach (strings, i, s)
        text_addf(&text, "%s%s", i ? ", " : "", json_string_value(s));
    return text_take(&text);
}

char *format_locations(const json_t *connections)
{
    json_t *counts = json_object(), *connection, *count;
    struct text text = { 0 };
    const char *location;
    size_t i;

    json_array_foreach (connections, i, connection) {
        location = format_string(connection, "location");
        if (location)
            json_object_set_new(counts, location, json_integer(json_integer_value(json_object_get(counts, location)) + 1));
    }
    json_object_foreach (counts, location, count)
        text_addf(&text, "%s%" JSON_INTEGER_FORMAT "x%s", text.n ? ", " : "", json_integer_value(count), location);
    json_decref(counts);
    return text_take(&text);
}

char *format_tunnel_locations(const json_t *tunnel)
{
    json_t *all = json_array(), *connector;
    size_t i;

    json_array_foreach (json_object_get(tunnel, "connectors"), i, connector)
        json_array_extend(all, json_object_get(connector, "connections"));
    char *locations = format_locations(all);
    json_decref(all);
    return locations;
}

json_int_t format_in_flight(const json_t *connector)
{
    const json_t *connection;
    json_int_t n = 0;
    size_t i;

    json_array_foreach (json_object_get(connector, "connections"), i, connection)
        n += json_integer_value(json_object_get(connection, "in_flight"));
    return n;
}

void format_print_table(const struct table_column *columns, size_t n_columns, const json_t *rows, void (*add)(struct table *, const json_t *),
                        const char *none)
{
    struct table table;
    struct terminal terminal;
    struct text out = { 0 };
    size_t i;
    json_t *row;

    if (!json_array_size(rows)) {
        puts(none);
        return;
    }
    table_init(&table, columns, n_columns);
    json_array_foreach (rows, i, row)
        add(&table, row);
    terminal_look(&terminal, stdout);
    table_write(&table, &terminal, false, &out);
    table_clear(&table);
    format_print(&out);
}

void format_print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12) | JSON_ENCODE_ANY);
    fputc('\n', stdout);
    json_decref(value);
}

void format_print(struct text *text)
{
    fwrite(text->p, 1, text->n, stdout);
    text_clear(text);
}
