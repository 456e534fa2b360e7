/* What the API's JSON says, in words for people; and JSON for programs. */
#ifndef PENSTOCK_CLI_FORMAT_H
#define PENSTOCK_CLI_FORMAT_H

#include "base/clock.h"
#include "cli/table.h"

#include <jansson.h>

/* The string of that key; NULL if it has none. */
const char *format_string(const json_t *object, const char *key);

/* The reason of that object without the state that it begins with, which stands beside it. NULL if it has none. */
const char *format_reason(const json_t *object, const char *state);

/* RFC 3339 UTC, as the API writes it; 0 for anything else. */
nsec_t format_parse_time(const char *rfc3339);

#define FORMAT_AGE_SIZE 16
/* How long ago, in its two largest units: "now", "12 s", "3 min", "4 h 5 min", "2 d 3 h"; "-" if `since` is 0. */
char *format_age(nsec_t since, nsec_t now, char out[static FORMAT_AGE_SIZE]);

/* Milliseconds with as many digits as mean something: "0.43 ms", "12.3 ms", "1.20 s". The cell is "-" if it is no number. */
void format_add_milliseconds(struct table *, const json_t *milliseconds);
/* "~50.0 ms" */
void format_add_guessed_milliseconds(struct table *, const json_t *milliseconds);
void format_add_count(struct table *, const json_t *count);

/* "a, b, c" */
char *format_list(const json_t *strings);

/* How many connections go to each location: "2xams01, 1xfra02", as `cloudflared tunnel info` shows them. */
char *format_locations(const json_t *connections);
/* Of all connectors of a tunnel. */
char *format_tunnel_locations(const json_t *tunnel);
/* Requests under way over a connector's connections. */
json_int_t format_in_flight(const json_t *connector);

/* A table of the objects of an array, a row each by `add`, on stdout; instead, where there are none, what that means. */
void format_print_table(const struct table_column *, size_t n_columns, const json_t *rows, void (*add)(struct table *, const json_t *),
                        const char *none);

/* Indented, on stdout. Takes the reference over. */
void format_print_json(json_t *);
/* Writes it out and empties it. */
void format_print(struct text *);

#endif
