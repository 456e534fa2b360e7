/* penstock: a tunnel-aware load balancer. This file picks the subcommand; the rest, in reading order:
 *
 *   cli/       one file per subcommand
 *   control/   the control thread: start-up, reload, event bus, store, admin API, metrics
 *   conf/      the configuration language
 *   monitors/  how endpoints are probed
 *   alerts/    how people are told
 *   proxy/     the request's path, one instance per worker
 *   edge/      tunnels that dial us: what connectors say and are told
 *   balance/   the model, live state, the verdict; the functions between a client's side and an upstream's
 *   steering/  the policies
 *   http/      messages, no sockets
 *   net/       bytes and names
 *   base/      no I/O at all
 *
 * A folder includes only what stands below it here (docs/architecture.md). */
#include "cli/cli.h"
#include "net/tls_memory.h"

int main(int argc, char **argv)
{
    tls_memory_keep_buffers();
    return cli_main(argc, argv);
}
