/* The admin API from the side that asks: over the daemon's socket, or a URL with a token. One call at a time. */
#ifndef PENSTOCK_CLI_CLIENT_H
#define PENSTOCK_CLI_CLIENT_H

#include "base/slice.h"
#include "cli/cli.h"

#include <jansson.h>

#define CLIENT_DEFAULT_SOCKET "/run/penstock/admin.sock"

/* What every command that asks the daemon takes. */
struct client_options {
    const char *admin; /* NULL: $PENSTOCK_ADMIN, else CLIENT_DEFAULT_SOCKET */
    const char *token_file; /* NULL: $PENSTOCK_TOKEN, else none; URLs only */
};
#define CLIENT_OPTION_ROWS(type) \
    { "admin", '\0', "PATH-or-URL", offsetof(type, client.admin), \
      "where the daemon listens (default: $PENSTOCK_ADMIN, else " CLIENT_DEFAULT_SOCKET ")", false }, \
    { "token-file", '\0', "FILE", offsetof(type, client.token_file), \
      "the admin token, for a URL (default: $PENSTOCK_TOKEN)", false }
#define JSON_OPTION_ROW(type) { "json", '\0', NULL, offsetof(type, json), "prints the API's JSON, for programs", false }

struct client;
/* NULL after saying on stderr what is wrong with the options. */
struct client *client_new(const struct client_options *) __attribute__((warn_unused_result));
void client_close(struct client *);

/* "/v1/endpoints/" and `segment`s, percent-encoded: ends with NULL. The caller frees it. */
char *client_path(const char *prefix, ...) __attribute__((sentinel, warn_unused_result));

/* How a call went: EXIT_YES with *answer (the caller's), or after saying why on stderr EXIT_NO (the daemon refused) or EXIT_USAGE
 * (unreachable, no access, broken). `body` may be NULL; it is not taken over. `answer` may be NULL. */
int client_get(struct client *, const char *path, json_t **answer);
int client_send(struct client *, const char *method, const char *path, const json_t *body, json_t **answer);

/* As above, but what was refused (status 400-499) is returned in *answer (a problem document) and not printed. */
int client_try(struct client *, const char *method, const char *path, const json_t *body, json_t **answer);

/* Whether the daemon answers within that time; says nothing. */
bool client_wait(struct client *, unsigned seconds);

/* Follows an event stream until `event` returns false, the daemon ends it, or the connection breaks. Each event's data is one JSON
 * text; `id` stays valid during the call. */
enum client_stream_end { STREAM_STOPPED, STREAM_ENDED, STREAM_REFUSED };
enum client_stream_end client_stream(struct client *, const char *path, const char *last_event_id,
                                     bool (*event)(void *arg, const char *id, const json_t *data), void *arg);

/* Gets what stands at that path and prints it: as it is for programs, by `print` for people. The exit status. */
int client_show(const struct client_options *, const char *path, bool json, void (*print)(const json_t *));

#endif
