#include "cli/cli.h"
#include "conf/conf.h"
#include "control/state_dir.h"
#include "control/tunnel_file.h"

#include <stdlib.h>
#include <string.h>

struct options {
    const char *config, *state_dir;
    bool keys;
};

static const struct option_row rows[] = {
    { "config", 'c', "FILE", offsetof(struct options, config), "the configuration to check", false },
    { "state-dir", '\0', "DIR", offsetof(struct options, state_dir),
      "where tunnels made at run time are kept (default: $STATE_DIRECTORY, else state_dir)", false },
    { "keys", '\0', NULL, offsetof(struct options, keys), "prints every key that a configuration can have, instead", false },
    { 0 },
};

/* --- which tunnels there are --- */

struct known_tunnels {
    const struct config *config;
    struct text kept; /* in the state directory: a line for each id and name */
    bool unreadable;
};

static void add_kept(void *arg, const struct tunnel_file *file)
{
    struct known_tunnels *known = arg;
    text_addf(&known->kept, "%s\n%s\n", file->credentials.tunnel, file->name);
}

static bool is_kept(const struct known_tunnels *known, const char *id_or_name)
{
    size_t n = strlen(id_or_name);
    for (const char *line = known->kept.p; line && *line; line = strchr(line, '\n') + 1)
        if (strncmp(line, id_or_name, n) == 0 && line[n] == '\n')
            return true;
    return false;
}

static bool exists(void *arg, const char *id_or_name)
{
    const struct known_tunnels *known = arg;
    return known->unreadable || config_find_edge_tunnel(known->config, id_or_name) || is_kept(known, id_or_name);
}

/* Who checks may not be allowed to read the daemon's state: then nothing is said of them, unless the folder was named here. */
static void warn_of_tunnels(const struct config *config, const char *state_dir, struct conf_messages *messages)
{
    struct known_tunnels known = { .config = config };
    char error[STATE_FILE_ERROR_SIZE];
    bool asked;
    if (!config->edge.addresses.n)
        return;
    char *folder = state_dir_choose(state_dir, config, &asked);
    known.unreadable = !tunnel_file_each(folder, add_kept, &known, error);
    if (known.unreadable && state_dir)
        cli_refuse("--state-dir: %s: which tunnels there are is not known", error);
    conf_warn_of_tunnels(config, exists, &known, messages);
    text_clear(&known.kept);
    free(folder);
}

/* --- */

static int check_file(const char *path, const char *state_dir)
{
    struct conf_messages messages = { 0 };
    struct text text = { 0 };
    struct config *config = conf_load(path, &messages);
    if (config)
        warn_of_tunnels(config, state_dir, &messages);
    size_t warnings = messages.n - messages.errors;

    conf_messages_print(&messages, &text);
    if (text.n)
        fwrite(text.p, 1, text.n, stdout);
    if (config && warnings)
        printf("%s is valid, with %zu warning%s\n", path, warnings, warnings == 1 ? "" : "s");
    else if (config)
        printf("%s is valid\n", path);
    else
        cli_refuse("%s is not valid: %zu error%s", path, messages.errors, messages.errors == 1 ? "" : "s");
    text_clear(&text);
    conf_messages_clear(&messages);
    int status = config ? EXIT_YES : EXIT_NO;
    if (config)
        config_unref(config);
    return status;
}

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;

    (void)self;
    (void)operands;
    if (o->keys) {
        conf_print_keys(stdout);
        return EXIT_YES;
    }
    if (!o->config)
        return cli_usage_error("missing option: --config; see penstock check --help");
    return check_file(o->config, o->state_dir);
}

const struct command check_command = {
    .name = "check",
    .help = "checks a configuration without serving: every error, with file and line",
    .notes = "Give -c FILE, or --keys. Exit status 0 if the file is valid (warnings allowed), 1 if not.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
