#include "base/log.h"
#include "base/slice.h"
#include "base/text.h"
#include "cli/cli.h"
#include "control/control.h"

#include <stdlib.h>
#include <string.h>

struct options {
    const char *config, *state_dir, *trace, *log_level;
    bool check_first;
};

static const struct option_row rows[] = {
    { "config", 'c', "FILE", offsetof(struct options, config), "the configuration, penstock.conf(5)", true },
    { "state-dir", '\0', "DIR", offsetof(struct options, state_dir),
      "what outlives a restart (default: $STATE_DIRECTORY, else state_dir)", false },
    { "check-first", '\0', NULL, offsetof(struct options, check_first),
      "listens only once every monitor has looked at its endpoints", false },
    { "trace", '\0', "SUBJECT,…", offsetof(struct options, trace), "logs every step of exchange, edge, health, dns, alerts",
      false },
    { "log-level", '\0', "LEVEL", offsetof(struct options, log_level),
      "least important shown: error, warning, notice, info (default)", false },
    { 0 },
};

static bool set_log_level(const char *name)
{
    static const char *const levels[] = { "error", "warning", "notice", "info" };

    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(levels[i], name) != 0)
            continue;
        log_set_level((enum log_level)i);
        return true;
    }
    cli_usage_error("--log-level: %s is none of error, warning, notice, info", name);
    return false;
}

static void complain_of_subject(struct slice subject)
{
    struct text known = { 0 };
    for (enum trace_subject s = 0; s < TRACE_SUBJECTS; s++)
        text_addf(&known, "%s%s", s ? ", " : "", trace_subject_name(s));
    cli_usage_error("--trace: %.*s is none of %s", SLICE_ARG(subject), known.p);
    text_clear(&known);
}

static bool trace_subjects(const char *list)
{
    struct slice rest = slice_of(list), element;

    while (slice_next_element(&rest, &element)) {
        char *subject = strndup(element.p, element.n);
        bool known = subject && trace_switch(subject, true);
        free(subject);
        if (known)
            continue;
        complain_of_subject(element);
        return false;
    }
    return true;
}

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    const struct serve_options serve = { .config_path = o->config, .state_dir = o->state_dir, .check_first = o->check_first };

    (void)self;
    (void)operands;
    if ((o->log_level && !set_log_level(o->log_level)) || (o->trace && !trace_subjects(o->trace)))
        return EXIT_USAGE;
    return control_serve(&serve);
}

const struct command serve_command = {
    .name = "serve",
    .help = "the daemon, in the foreground; logs on stderr",
    .notes = "SIGHUP reloads the configuration, SIGTERM and SIGINT stop after the requests under way.",
    .options = rows,
    .options_size = sizeof(struct options),
    .run = run,
};
