#include "cli/arguments.h"

#include "base/nearest.h"
#include "base/text.h"
#include "cli/terminal.h"

#include <ctype.h>
#include <getopt.h>
#include <string.h>

enum { HELP_LETTER = 'h', FIRST_LONG_ONLY = 256 };

static const struct option_row common_options[] = {
    { "help", HELP_LETTER, NULL, 0, "prints this", false },
    { "version", '\0', NULL, 0, "prints the version", false },
};
enum { HELP_ROW, VERSION_ROW, COMMON_ROWS };

static size_t count_options(const struct command *c)
{
    size_t n = 0;
    while (c->options && c->options[n].name)
        n++;
    return n;
}

/* The common options come after the command's own. */
static const struct option_row *option_at(const struct command *c, size_t n_own, size_t i)
{
    return i < n_own ? &c->options[i] : &common_options[i - n_own];
}

/* What getopt works on: a value per option that tells its row, and the letters. */
struct getopt_tables {
    struct option long_options[OPTION_ROWS_MAX + COMMON_ROWS + 1];
    char letters[2 * (OPTION_ROWS_MAX + COMMON_ROWS) + 2];
};

static void fill_tables(struct getopt_tables *t, const struct command *c, size_t n_own)
{
    char *p = t->letters;

    memset(t, 0, sizeof *t);
    *p++ = ':'; /* a missing argument is reported as such */
    for (size_t i = 0; i < n_own + COMMON_ROWS; i++) {
        const struct option_row *row = option_at(c, n_own, i);
        t->long_options[i] =
            (struct option){ row->name, row->argument ? required_argument : no_argument, NULL, FIRST_LONG_ONLY + (int)i };
        if (row->letter) {
            *p++ = row->letter;
            if (row->argument)
                *p++ = ':';
        }
    }
}

static size_t row_of(const struct command *c, size_t n_own, int value)
{
    if (value >= FIRST_LONG_ONLY)
        return (size_t)(value - FIRST_LONG_ONLY);
    size_t i = 0;
    while (option_at(c, n_own, i)->letter != (char)value)
        i++;
    return i;
}

static void store_value(struct option_values *values, const char *value)
{
    if (values->n < OPTION_VALUES_MAX)
        values->items[values->n] = value;
    values->n++;
}

static void store_option(const struct option_row *row, void *options)
{
    char *member = (char *)options + row->offset;
    if (row->need == OPTION_MANY)
        store_value((struct option_values *)(void *)member, optarg);
    else if (row->argument)
        *(const char **)(void *)member = optarg;
    else
        *(bool *)(void *)member = true;
}

static enum arguments_result complain(const char *full_name, const char *what, const char *word, const char *hint)
{
    cli_usage_error("%s%s%s; see %s --help", what, word, hint, full_name);
    return ARGUMENTS_WRONG;
}

static enum arguments_result complain_of_unknown(const struct command *c, const char *full_name, const char *word)
{
    size_t n_own = count_options(c);
    struct nearest s = { .word = word + strspn(word, "-") };
    char hint[128] = "";

    if (word[1] == '-')
        for (size_t i = 0; i < n_own + COMMON_ROWS; i++)
            nearest_offer(&s, option_at(c, n_own, i)->name);
    if (s.best)
        snprintf(hint, sizeof hint, " (did you mean --%s?)", s.best);
    return complain(full_name, "unknown option ", word, hint);
}

/* The word getopt stumbled over: a whole one for a long option, a letter else. */
static const char *stumbling_block(char **argv, char letter[static 3])
{
    if (optopt == 0 || optopt >= FIRST_LONG_ONLY)
        return argv[optind - 1];
    letter[0] = '-';
    letter[1] = (char)optopt;
    letter[2] = '\0';
    return letter;
}

static enum arguments_result check_operands(const struct command *c, const char *full_name, int argc, char **argv)
{
    size_t n = (size_t)(argc - optind);
    if (n < c->operands_min)
        return complain(full_name, "missing argument: ", c->operands, "");
    if (n > c->operands_max)
        return complain(full_name, "unexpected argument: ", argv[(size_t)optind + c->operands_max], "");
    return ARGUMENTS_RUN;
}

static enum arguments_result check_options(const struct command *c, const char *full_name, const void *options)
{
    for (const struct option_row *row = c->options; row && row->name; row++) {
        const void *member = (const char *)options + row->offset;
        if (row->need == OPTION_MANY && ((const struct option_values *)member)->n > OPTION_VALUES_MAX)
            return complain(full_name, "given too often: --", row->name, "");
        if (row->need != OPTION_REQUIRED || *(const char *const *)member)
            continue;
        return complain(full_name, "missing option: --", row->name, "");
    }
    return ARGUMENTS_RUN;
}

enum arguments_result arguments_parse(const struct command *c, const char *full_name, int argc, char **argv, void *options,
                                      int *first_operand)
{
    struct getopt_tables tables;
    size_t n_own = count_options(c);
    int value;

    fill_tables(&tables, c, n_own);
    opterr = 0;
    optind = 0; /* GNU: begin anew */
    while ((value = getopt_long(argc, argv, tables.letters, tables.long_options, NULL)) != -1) {
        char letter[3];
        if (value == '?' && optopt >= FIRST_LONG_ONLY)
            return complain(full_name, "no argument is taken by --", tables.long_options[optopt - FIRST_LONG_ONLY].name, "");
        if (value == '?')
            return complain_of_unknown(c, full_name, stumbling_block(argv, letter));
        if (value == ':')
            return complain(full_name, "missing argument after ", stumbling_block(argv, letter), "");
        size_t row = row_of(c, n_own, value);
        if (row == n_own + HELP_ROW)
            return ARGUMENTS_HELP;
        if (row == n_own + VERSION_ROW)
            return ARGUMENTS_VERSION;
        store_option(option_at(c, n_own, row), options);
    }
    *first_operand = optind;
    enum arguments_result result = check_options(c, full_name, options);
    return result == ARGUMENTS_RUN ? check_operands(c, full_name, argc, argv) : result;
}

static void describe_option(const struct option_row *row, struct text *out)
{
    if (row->letter)
        text_addf(out, "-%c, ", row->letter);
    else
        text_add(out, "    ");
    text_addf(out, "--%s", row->name);
    if (row->argument)
        text_addf(out, " %s", row->argument);
}

/* The left column is as wide as its widest cell, which is found out first. */
struct help_column {
    FILE *file; /* NULL: only measures */
    unsigned width;
};

static void help_row(struct help_column *c, struct text *left, const char *right)
{
    unsigned columns = terminal_columns((struct slice){ left->p, left->n });

    if (c->file)
        fprintf(c->file, "  %s%*s  %s\n", left->p, (int)(c->width - columns), "", right);
    else if (columns > c->width)
        c->width = columns;
    text_clear(left);
}

static void option_rows(const struct command *c, struct help_column *column)
{
    size_t n_own = count_options(c);

    for (size_t i = 0; i < n_own + COMMON_ROWS; i++) {
        const struct option_row *row = option_at(c, n_own, i);
        struct text left = { 0 };
        describe_option(row, &left);
        help_row(column, &left, row->help);
    }
}

static void print_options(const struct command *c, FILE *f)
{
    struct help_column column = { 0 };

    option_rows(c, &column);
    column.file = f;
    option_rows(c, &column);
}

static void describe_command(const struct command *c, struct text *out)
{
    text_add(out, c->name);
    if (c->subcommands)
        text_add(out, " COMMAND");
    if (c->operands)
        text_addf(out, " %s", c->operands);
}

static void command_rows(const struct command *const *list, struct help_column *column)
{
    for (; *list; list++) {
        struct text left = { 0 };
        describe_command(*list, &left);
        help_row(column, &left, (*list)->help);
    }
}

static void print_commands(const struct command *const *list, FILE *f)
{
    struct help_column column = { 0 };

    command_rows(list, &column);
    column.file = f;
    command_rows(list, &column);
}

static void print_usage_line(const struct command *c, const char *full_name, FILE *f)
{
    fprintf(f, "usage: %s", full_name);
    if (c->subcommands)
        fputs(" COMMAND", f);
    for (const struct option_row *row = c->options; row && row->name; row++)
        if (row->need == OPTION_REQUIRED && row->letter)
            fprintf(f, " -%c %s", row->letter, row->argument);
        else if (row->need == OPTION_REQUIRED)
            fprintf(f, " --%s %s", row->name, row->argument);
    fputs(" [OPTION…]", f);
    if (c->operands)
        fprintf(f, " %s", c->operands);
    fputc('\n', f);
}

void arguments_print_help(const struct command *c, const char *full_name, FILE *f)
{
    print_usage_line(c, full_name, f);
    fprintf(f, "%c%s.\n", toupper((unsigned char)c->help[0]), c->help + 1);
    if (c->notes)
        fprintf(f, "\n%s\n", c->notes);
    if (c->subcommands) {
        fputs("\nCommands:\n", f);
        print_commands(c->subcommands, f);
    }
    fputs("\nOptions:\n", f);
    print_options(c, f);
}
