#include "cli/cli.h"

#include "base/nearest.h"
#include "base/version.h"
#include "cli/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FULL_NAME_MAX = 64 };

const struct command *const commands[] = {
    &serve_command,   &check_command,  &status_command, &explain_command, &simulate_command, &events_command, &endpoint_command, &tunnel_command,
    &edge_command, &monitor_command, &alerts_command, &reload_command, &trace_command,  NULL,
};

static const struct command penstock_command = {
    .name = "penstock",
    .help = "a tunnel-aware load balancer",
    .notes = "Each command has a --help of its own; penstock(1) and penstock.conf(5) are the manual.",
    .subcommands = commands,
};

static int print_version(void)
{
    puts("penstock " PENSTOCK_VERSION);
    return EXIT_YES;
}

static int print_help(const struct command *c, const char *full_name)
{
    arguments_print_help(c, full_name, stdout);
    return EXIT_YES;
}

static const struct command *find_command(const struct command *const *list, const char *name)
{
    while (*list && strcmp((*list)->name, name) != 0)
        list++;
    return *list;
}

static int complain_of_unknown(const struct command *c, const char *full_name, const char *word)
{
    struct nearest s = { .word = word };
    for (const struct command *const *k = c->subcommands; *k; k++)
        nearest_offer(&s, (*k)->name);
    if (s.best)
        return cli_usage_error("unknown command: %s (did you mean %s %s?)", word, full_name, s.best);
    return cli_usage_error("unknown command: %s; see %s --help", word, full_name);
}

static int run_leaf(const struct command *c, const char *full_name, int argc, char **argv)
{
    void *options = calloc(1, c->options_size + 1);
    int first_operand = 0, status = EXIT_USAGE;

    if (!options)
        abort();
    switch (arguments_parse(c, full_name, argc, argv, options, &first_operand)) {
    case ARGUMENTS_RUN:
        status = c->run(c, options, argv + first_operand);
        break;
    case ARGUMENTS_HELP:
        status = print_help(c, full_name);
        break;
    case ARGUMENTS_VERSION:
        status = print_version();
        break;
    case ARGUMENTS_WRONG:
        break;
    }
    free(options);
    return status;
}

/* `help WORD…` is the same as `WORD… --help`. */
static int run_command(const struct command *c, const char *prefix, bool help, int argc, char **argv)
{
    char full_name[FULL_NAME_MAX];
    snprintf(full_name, sizeof full_name, "%s%s%s", prefix, *prefix ? " " : "", c->name);

    if (!c->subcommands)
        return help ? print_help(c, full_name) : run_leaf(c, full_name, argc, argv);
    const char *word = argc > 1 ? argv[1] : NULL;
    if (word && strcmp(word, "--version") == 0)
        return print_version();
    if (word && (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0))
        return print_help(c, full_name);
    if (word && strcmp(word, "help") == 0)
        return run_command(c, prefix, true, argc - 1, argv + 1);
    if (!word) {
        arguments_print_help(c, full_name, help ? stdout : stderr);
        return help ? EXIT_YES : EXIT_USAGE;
    }
    const struct command *sub = find_command(c->subcommands, word);
    return sub ? run_command(sub, full_name, help, argc - 1, argv + 1) : complain_of_unknown(c, full_name, word);
}

int cli_main(int argc, char **argv)
{
    int status = run_command(&penstock_command, "", false, argc, argv);
    /* A full disk or a closed pipe is no success. */
    if (fflush(stdout) != 0 || ferror(stdout))
        return status == EXIT_YES ? EXIT_NO : status;
    return status;
}
