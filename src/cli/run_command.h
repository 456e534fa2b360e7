/* How an unmodified cloudflared is started so that it connects to our edge: as a command, as YAML, as environment. No I/O. */
#ifndef PENSTOCK_CLI_RUN_COMMAND_H
#define PENSTOCK_CLI_RUN_COMMAND_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

struct run_command {
    const char *id, *name;
    const char *token;       /* secret */
    const char *credentials; /* the JSON of a credentials file: secret */
    const char *ca;          /* PEM */
    const char *const *edge; /* host:port */
    size_t n_edge;
    unsigned connections; /* that a connector should have: it makes one per address that it is given, so addresses are repeated */
    const char *url;         /* the service that it offers; NULL: it gets its rules from us */
    const char *folder;      /* of its files, an absolute path; NULL: the one that it is run in, which is: */
    const char *here;        /* an absolute path; the script has the shell's word for it instead */
};

/* Letters, digits and what an URL or a path needs, nothing that a shell or YAML takes for its own within quotes. */
bool run_command_is_plain(const char *);

/* Each of them names files: penstock-ca.pem and UUID.json. */
void run_command_line(const struct run_command *, struct text *);
/* What reads these two is a service, say, whose folder is another: they name files by absolute paths. */
void run_command_yaml(const struct run_command *, struct text *);
void run_command_environment(const struct run_command *, struct text *);
/* All of it as a shell script, which writes those files and runs the command. */
void run_command_script(const struct run_command *, struct text *);

#endif
