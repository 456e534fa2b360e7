#include "cli/client.h"
#include "cli/format.h"
#include "cli/tunnel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    struct client_options client;
    const char *connector;
    bool force, json;
};

/* --- create --- */

static const struct option_row create_rows[] = {
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

static void print_created(const json_t *t)
{
    const char *file = format_string(t, "credentials_file");

    printf("tunnel %s is made: %s\n", format_string(t, "name"), format_string(t, "id"));
    if (file)
        printf("its credentials are in %s; keep them secret\n", file);
    printf("how to connect to it: penstock tunnel run-command %s\n", format_string(t, "name"));
}

static int create(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = client_new(&o->client);
    json_t *body = json_pack("{s:s}", "name", operands[0]), *made = NULL;
    int result = EXIT_USAGE;

    (void)self;
    if (!body)
        result = cli_usage_error("a tunnel's name is letters, digits, - and _");
    else if (client)
        result = client_send(client, "POST", "/v1/tunnels", body, &made);
    if (result == EXIT_YES && o->json)
        format_print_json(json_incref(made));
    else if (result == EXIT_YES)
        print_created(made);
    json_decref(made);
    json_decref(body);
    client_close(client);
    return result;
}

const struct command tunnel_create_command = {
    .name = "create",
    .operands = "NAME",
    .help = "makes a tunnel of our edge: its UUID, its secret, its credentials file",
    .notes = "With --json the token is printed too, which holds the secret.",
    .options = create_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = create,
};

/* --- delete, cleanup --- */

static const struct option_row delete_rows[] = {
    { "force", 'f', NULL, offsetof(struct options, force), "also while connectors are connected, which lose their requests",
      false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

static const struct option_row cleanup_rows[] = {
    { "connector", '\0', "ID", offsetof(struct options, connector), "only those of this connector", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* Takes the path over. `done`: what is said of the tunnel by its name. */
static int send_delete(const struct options *o, char *path, const char *done)
{
    struct client *client = client_new(&o->client);
    json_t *tunnel = NULL;
    int result = client ? client_send(client, "DELETE", path, NULL, &tunnel) : EXIT_USAGE;

    if (result == EXIT_YES && o->json)
        format_print_json(json_incref(tunnel));
    else if (result == EXIT_YES)
        printf("tunnel %s (%s)%s\n", format_string(tunnel, "name"), format_string(tunnel, "id"), done);
    json_decref(tunnel);
    client_close(client);
    free(path);
    return result;
}

/* Takes the path over. */
static char *with_query(char *path, const char *query)
{
    struct text out = { 0 };

    text_addf(&out, "%s?%s", path, query);
    free(path);
    return text_take(&out);
}

static int delete(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    char *path = client_path("/v1/tunnels/", operands[0], NULL);

    (void)self;
    return send_delete(o, o->force ? with_query(path, "force=true") : path, " is deleted");
}

static int cleanup(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    char *path = client_path("/v1/tunnels/", operands[0], "connections", NULL);

    (void)self;
    if (o->connector) {
        char *query = client_path("connector=", o->connector, NULL);
        path = with_query(path, query);
        free(query);
    }
    return send_delete(o, path, ": its connections are dropped; connectors that run come back");
}

const struct command tunnel_delete_command = {
    .name = "delete",
    .operands = "UUID|NAME",
    .help = "deletes a tunnel of our edge and its credentials file",
    .notes = "It is refused while connectors are connected, but with --force. A tunnel of the configuration file is deleted there.",
    .options = delete_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = delete,
};

const struct command tunnel_cleanup_command = {
    .name = "cleanup",
    .operands = "UUID|NAME",
    .help = "drops the connections of a tunnel's connectors",
    .notes = "Requests under way on them are lost or sent again by the rules of failover; `evict --wait` loses none.",
    .options = cleanup_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = cleanup,
};
