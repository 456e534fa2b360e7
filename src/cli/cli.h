/* The subcommands: one file each. */
#ifndef PENSTOCK_CLI_CLI_H
#define PENSTOCK_CLI_CLI_H

enum cli_exit { EXIT_YES = 0, EXIT_NO = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *help;      /* one line */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

/* All of them, in the order `penstock --help` prints them; ends with a NULL name. */
extern const struct command commands[];
int cli_main(int argc, char **argv);

#endif
