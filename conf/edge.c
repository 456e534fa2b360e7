/* `edge`: where connectors dial us, and who they are. */
#include "conf/parts.h"

void conf_warn_of_tunnels(const struct config *c, bool (*exists)(void *arg, const char *id_or_name), void *arg, struct conf_messages *messages)
{
    for (size_t i = 0; i < c->n_endpoints; i++) {
        const struct endpoint *e = c->endpoints[i];
        if (e->kind == ENDPOINT_EDGE && !exists(arg, e->tunnel))
            conf_messages_add(messages, CONF_WARNING, &e->at,
                              "there is no tunnel \"%s\" yet, so %s is down: `penstock tunnel create %s` makes it, or `edge.tunnels`", e->tunnel, e->id,
                              e->tunnel);
    }
}
