/* The subcommands: one file each, which says once what the command takes; parsing, --help and the usage line come from that. */
#ifndef PENSTOCK_CLI_CLI_H
#define PENSTOCK_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

enum cli_exit { EXIT_YES = 0, EXIT_NO = 1, EXIT_USAGE = 2 };

enum { OPTION_VALUES_MAX = 64 };
struct option_values {
    const char *items[OPTION_VALUES_MAX];
    size_t n;
};

/* The member of the command's struct of options is a bool without an argument, else a const char *, or a struct option_values. */
struct option_row {
    const char *name;     /* without the dashes; NULL ends the table */
    char letter;          /* '\0': long only */
    const char *argument; /* its name in the help; NULL: none */
    size_t offset;
    const char *help;
    enum { OPTION_OPTIONAL = false, OPTION_REQUIRED = true, OPTION_MANY /* it may be given again, and all are kept */ } need;
};

struct command {
    const char *name;
    const char *operands;                     /* as the usage line shows them; NULL: none */
    const char *help;                         /* one line */
    const char *notes;                        /* more lines for its --help, or NULL */
    const struct command *const *subcommands; /* NULL-terminated; then nothing below is used */
    const struct option_row *options;         /* NULL: only --help and --version */
    size_t options_size;                      /* of the struct; it begins zeroed */
    size_t operands_min, operands_max;
    /* `operands` ends with NULL. Returns an enum cli_exit. */
    int (*run)(const struct command *, const void *options, char *const *operands);
};

/* All of them, in the order `penstock --help` prints them; NULL-terminated. */
extern const struct command *const commands[];

/* One per file. */
extern const struct command alerts_command, check_command, edge_command, endpoint_command, events_command, explain_command, monitor_command,
    reload_command, serve_command, simulate_command, status_command, trace_command, tunnel_command;

/* Finds and runs what argv[1] and further name. Prints help, the version, or what is wrong with the usage. */
int cli_main(int argc, char **argv);

/* "penstock: …" on stderr. Returns EXIT_USAGE or EXIT_NO. */
int cli_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
