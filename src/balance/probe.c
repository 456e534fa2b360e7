#include "balance/probe.h"

#include "base/mem.h"

struct probe *probe_new(struct config *config, const struct endpoint *endpoint)
{
    struct probe *probe = mem_zero(sizeof *probe);

    list_init(&probe->message.link);
    probe->config = config_ref(config);
    probe->endpoint = endpoint;
    return probe;
}

void probe_free(struct probe *probe)
{
    if (!probe)
        return;
    free(probe->path);
    free(probe->result.body);
    free(probe->result.location);
    free(probe->result.server);
    free(probe->result.cf_ray);
    config_unref(probe->config);
    free(probe);
}
