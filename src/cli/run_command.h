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
};

/* Letters, digits and what an URL needs, nothing that a shell or YAML takes for its own. */
bool run_command_url_is_plain(const char *url);

/* Each of them names files of the folder that it is run in: penstock-ca.pem and UUID.json. */
void run_command_line(const struct run_command *, struct text *);
void run_command_yaml(const struct run_command *, struct text *);
void run_command_environment(const struct run_command *, struct text *);
/* All of it as a shell script, which writes those files and runs the command. */
void run_command_script(const struct run_command *, struct text *);

#endif
