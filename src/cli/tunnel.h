/* `penstock tunnel …`: its subcommands, one file for each kind. */
#ifndef PENSTOCK_CLI_TUNNEL_H
#define PENSTOCK_CLI_TUNNEL_H

#include "cli/cli.h"

/* tunnel_make.c */
extern const struct command tunnel_create_command, tunnel_delete_command, tunnel_cleanup_command;
/* tunnel_secret.c */
extern const struct command tunnel_token_command, tunnel_run_command;
/* tunnel_connector.c */
extern const struct command tunnel_drain_command, tunnel_undrain_command, tunnel_evict_command, tunnel_weight_command;

#endif
