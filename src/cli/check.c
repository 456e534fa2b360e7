#include "cli/cli.h"
#include "conf/conf.h"

struct options {
    const char *config;
    bool keys;
};

static const struct option_row rows[] = {
    { "config", 'c', "FILE", offsetof(struct options, config), "the configuration to check", false },
    { "keys", '\0', NULL, offsetof(struct options, keys), "prints every key that a configuration can have, instead", false },
    { 0 },
};

static int check_file(const char *path)
{
    struct conf_messages messages = { 0 };
    struct text text = { 0 };
    struct config *config = conf_load(path, &messages);
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
    return check_file(o->config);
}

const struct command check_command = {
    .name = "check",
    .help = "checks a configuration without serving: every error, with file and line",
    .notes = "Give -c FILE, or --keys. Exit status 0 if the file is valid (warnings allowed), 1 if not.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
