#include "cli/client.h"

#include <string.h>

struct options {
    struct client_options client;
};

static const struct option_row rows[] = {
    CLIENT_OPTION_ROWS(struct options),
    { 0 },
};

static int run(const struct command *self, const void *arg, char *const *operands)
{
    const struct options *o = arg;
    bool on = strcmp(operands[1], "on") == 0;

    (void)self;
    if (!on && strcmp(operands[1], "off") != 0)
        return cli_usage_error("%s is neither on nor off", operands[1]);
    struct client *client = client_new(&o->client);
    if (!client)
        return EXIT_USAGE;
    json_t *body = json_pack("{s:s, s:b}", "subject", operands[0], "on", (int)on);
    int result = client_send(client, "POST", "/v1/trace", body, NULL);
    json_decref(body);
    client_close(client);
    return result;
}

const struct command trace_command = {
    .name = "trace",
    .operands = "SUBJECT on|off",
    .help = "lets the daemon log every step of exchange, edge, health, dns or alerts",
    .options = rows,
    .options_size = sizeof(struct options),
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
