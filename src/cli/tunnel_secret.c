#include "base/mem.h"
#include "cli/client.h"
#include "cli/format.h"
#include "cli/run_command.h"
#include "cli/tunnel.h"
#include "edge/token.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_URL "http://localhost:8080"

struct options {
    struct client_options client;
    const char *url, *folder;
    bool line, yaml, environment, json;
};

static int get_access(const struct client_options *o, const char *name, json_t **access)
{
    struct client *client = client_new(o);
    char *path = client_path("/v1/tunnels/", name, "credentials", NULL);
    int result = client ? client_get(client, path, access) : EXIT_USAGE;

    free(path);
    client_close(client);
    return result;
}

/* --- token --- */

static const struct option_row token_rows[] = {
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

static int token(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    json_t *access = NULL;
    int result = get_access(&o->client, operands[0], &access);

    (void)self;
    if (result == EXIT_YES && o->json)
        format_print_json(json_incref(access));
    else if (result == EXIT_YES)
        puts(format_string(access, "token"));
    json_decref(access);
    return result;
}

const struct command tunnel_token_command = {
    .name = "token",
    .operands = "UUID|NAME",
    .help = "prints the token by which a cloudflared becomes a connector of the tunnel",
    .notes = "It holds the tunnel's secret.",
    .options = token_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = token,
};

/* --- run-command --- */

static const struct option_row run_rows[] = {
    { "url", '\0', "URL", offsetof(struct options, url), "the service that the connector offers; " DEFAULT_URL " otherwise",
      false },
    { "folder", '\0', "DIR", offsetof(struct options, folder),
      "where the connector's files are to be, an absolute path; else the folder that it is run in", false },
    { "line", '\0', NULL, offsetof(struct options, line), "only the command line", false },
    { "yaml", '\0', NULL, offsetof(struct options, yaml), "only the configuration file", false },
    { "environment", '\0', NULL, offsetof(struct options, environment), "only the environment", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

enum { EDGE_ADDRESSES_MAX = 16 };

/* False after an error message. */
static bool take_access(const json_t *access, const char *url, const char *edge[static EDGE_ADDRESSES_MAX], struct run_command *out)
{
    const json_t *addresses = json_object_get(access, "edge");
    struct credentials credentials;

    *out = (struct run_command){ .id = format_string(access, "id"), .name = format_string(access, "name"), .edge = edge,
                                 .token = format_string(access, "token"), .ca = format_string(access, "ca"),
                                 .folder = out->folder, .here = out->here };
    for (size_t i = 0; i < json_array_size(addresses) && i < EDGE_ADDRESSES_MAX; i++)
        edge[out->n_edge++] = json_string_value(json_array_get(addresses, i));
    out->connections = (unsigned)json_integer_value(json_object_get(access, "connections"));
    out->url = url ? url : json_is_true(json_object_get(access, "pushed")) ? NULL : DEFAULT_URL;
    const char *wrong = token_read(slice_of(out->token ? out->token : ""), &credentials);
    if (!wrong)
        out->credentials = credentials_write(&credentials);
    credentials_clear(&credentials);
    if (wrong)
        cli_refuse("the daemon's answer is not understood: %s", wrong);
    else if (!out->n_edge)
        cli_refuse("the daemon has no edge: give `edge` in its configuration");
    else if (!out->ca)
        cli_refuse("the daemon can't read what connectors are to trust (%s): its log says why", format_string(access, "ca_file"));
    else
        return true;
    return false;
}

static json_t *part(const struct run_command *r, void (*write)(const struct run_command *, struct text *))
{
    struct text out = { 0 };

    write(r, &out);
    json_t *text = json_string(out.p);
    text_clear(&out);
    return text;
}

static void print_parts(const struct run_command *r)
{
    format_print_json(json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:s}", "id", r->id, "name", r->name, "command",
                                part(r, run_command_line), "yaml", part(r, run_command_yaml), "environment",
                                part(r, run_command_environment), "ca", r->ca, "credentials", r->credentials));
}

static void print_run_command(const struct options *o, const struct run_command *r)
{
    struct text out = { 0 };

    if (o->json) {
        print_parts(r);
        return;
    }
    if (o->line)
        run_command_line(r, &out);
    else if (o->yaml)
        run_command_yaml(r, &out);
    else if (o->environment)
        run_command_environment(r, &out);
    else
        run_command_script(r, &out);
    format_print(&out);
}

/* Where the files of the single forms are. False after an error message. */
static bool take_folder(const struct options *o, char here[static PATH_MAX], struct run_command *out)
{
    bool single = o->yaml || o->environment || o->json;

    out->folder = o->folder;
    out->here = here;
    if (o->folder && (*o->folder != '/' || !run_command_is_plain(o->folder))) {
        cli_usage_error("--folder: %s is no absolute path that a shell takes as it is, such as /etc/cloudflared", o->folder);
        return false;
    }
    if (o->folder || !single)
        return true;
    if (getcwd(here, PATH_MAX) && run_command_is_plain(here))
        return true;
    cli_usage_error("a shell would not take the name of this folder as it is: say by --folder where the connector's files are to be");
    return false;
}

static int run_command(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    const char *edge[EDGE_ADDRESSES_MAX];
    char here[PATH_MAX];
    struct run_command r = { 0 };
    json_t *access = NULL;

    (void)self;
    if (o->line + o->yaml + o->environment + o->json > 1)
        return cli_usage_error("--line, --yaml, --environment and --json exclude each other");
    if (o->url && !run_command_is_plain(o->url))
        return cli_usage_error("--url: %s is no URL of a service such as " DEFAULT_URL, o->url);
    if (!take_folder(o, here, &r))
        return EXIT_USAGE;
    int result = get_access(&o->client, operands[0], &access);
    if (result == EXIT_YES && !take_access(access, o->url, edge, &r))
        result = EXIT_NO;
    if (result == EXIT_YES)
        print_run_command(o, &r);
    mem_free_secret((char *)r.credentials);
    json_decref(access);
    return result;
}

const struct command tunnel_run_command = {
    .name = "run-command",
    .operands = "UUID|NAME",
    .help = "prints how to start a cloudflared that connects to the tunnel: command, YAML, environment",
    .notes = "All together it is a shell script, with the edge's CA in it, to be pasted or piped to sh where the connector\n"
             "is to run. It holds the tunnel's secret.",
    .options = run_rows,
    .options_size = sizeof(struct options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_command,
};
