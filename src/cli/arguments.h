/* What follows a command's name on the line: options by its table, operands by its bounds; and the help made from the same. */
#ifndef PENSTOCK_CLI_ARGUMENTS_H
#define PENSTOCK_CLI_ARGUMENTS_H

#include "cli/cli.h"

#include <stdio.h>

enum { OPTION_ROWS_MAX = 16 };

enum arguments_result {
    ARGUMENTS_RUN,     /* *first_operand is the index of the first operand in argv, which getopt has sorted */
    ARGUMENTS_HELP,    /* asked for */
    ARGUMENTS_VERSION, /* asked for */
    ARGUMENTS_WRONG    /* and said what on stderr */
};

/* `full_name`: "penstock endpoint drain". `options` has options_size bytes, zeroed. */
enum arguments_result arguments_parse(const struct command *, const char *full_name, int argc, char **argv, void *options,
                                      int *first_operand);

void arguments_print_help(const struct command *, const char *full_name, FILE *);

#endif
