#include "base/mem.h"
#include "cli/client.h"
#include "cli/format.h"
#include "cli/origin_cert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_FILE "penstock-cert.pem"
enum { OWNER_ONLY = 0600 };

struct options {
    struct client_options client;
    const char *output;
    bool force, json;
};

static const struct option_row rows[] = {
    { "output", 'o', "FILE", offsetof(struct options, output), "where to write it; " DEFAULT_FILE " otherwise", false },
    { "force", '\0', NULL, offsetof(struct options, force), "replaces a file that is there", false },
    CLIENT_OPTION_ROWS(struct options),
    JSON_OPTION_ROW(struct options),
    { 0 },
};

/* False after an error message. */
static bool write_file(const char *path, const char *text, bool replace)
{
    if (replace)
        unlink(path); /* what others may have open stays as it was */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, OWNER_ONLY);
    size_t n = strlen(text);

    if (fd < 0) {
        cli_refuse("%s: %s%s", path, strerror(errno),
                   errno == EEXIST ? "; --force replaces it, --output FILE writes elsewhere" : "");
        return false;
    }
    bool written = write(fd, text, n) == (ssize_t)n;
    if (!written)
        cli_refuse("%s: %s", path, strerror(errno));
    close(fd);
    return written;
}

static void print_login(const struct options *o, const char *path, const json_t *login)
{
    if (o->json) {
        format_print_json(json_pack("{s:s, s:O}", "file", path, "api_url", json_object_get(login, "api_url")));
        return;
    }
    printf("%s is written. It holds the admin token: keep it secret.\n"
           "cloudflared manages the tunnels of this edge with it:\n\n"
           "    cloudflared tunnel --api-url %s --origincert %s list\n",
           path, format_string(login, "api_url"), path);
}

static int save(const struct options *o, const json_t *login)
{
    const char *path = o->output ? o->output : DEFAULT_FILE;
    char *text = origin_cert_write(format_string(login, "zone"), format_string(login, "account"), format_string(login, "token"));
    bool written = text && write_file(path, text, o->force);

    mem_free_secret(text);
    if (!written)
        return EXIT_NO;
    print_login(o, path, login);
    return EXIT_YES;
}

static int login(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    struct client *client = client_new(&o->client);
    json_t *answer = NULL;

    (void)self, (void)operands;
    int result = client ? client_get(client, "/v1/edge/login", &answer) : EXIT_USAGE;
    if (result == EXIT_YES)
        result = save(o, answer);
    json_decref(answer);
    client_close(client);
    return result;
}

static const struct command login_command = {
    .name = "login",
    .help = "writes the certificate file that cloudflared's --origincert wants",
    .notes = "With it `cloudflared tunnel --api-url … create|list|info|token|cleanup|delete` manages the tunnels of this\n"
             "edge. It needs admin.address and admin.token_file in the daemon's configuration.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = login,
};

static const struct command *const subcommands[] = { &login_command, NULL };

const struct command edge_command = {
    .name = "edge",
    .help = "our own edge, as cloudflared's commands see it",
    .subcommands = subcommands,
};
