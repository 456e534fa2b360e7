#include "proxy/simulate.h"

#include "base/mem.h"

struct simulation *simulation_new(struct config *config)
{
    struct simulation *x = mem_zero(sizeof *x);
    x->config = config;
    x->endpoints = mem_array(config->n_endpoints + 1, sizeof *x->endpoints);
    for (unsigned phase = 0; phase < SIMULATED_PHASES; phase++)
        x->censuses[phase] = mem_array(config->n_pools + 1, sizeof **x->censuses);
    return x;
}

void simulation_free(struct simulation *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n_requests; i++) {
        free(x->requests[i].head);
        free(x->requests[i].cookie);
        free(x->requests[i].session);
    }
    free(x->requests);
    free(x->endpoints);
    for (unsigned phase = 0; phase < SIMULATED_PHASES; phase++)
        free(x->censuses[phase]);
    free(x->counts);
    config_unref(x->config);
    free(x);
}

void simulation_add_request(struct simulation *x, const char *method, const char *host, const char *path, const char *cookie, const struct address *client,
                            double weight)
{
    char address[ADDRESS_TEXT_SIZE] = "";
    size_t n = x->n_requests;
    if ((n & (n - 1)) == 0) /* 0 and the powers of two: it doubles */
        x->requests = mem_resize(x->requests, n ? 2 * n : 1, sizeof *x->requests);
    if (client->sa.sa_family)
        address_format_host(client, address);
    x->requests[x->n_requests++] = (struct simulated_request){
        .head = mem_printf("%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host),
        .cookie = cookie && *cookie ? mem_copy_text(cookie) : NULL,
        .client = *client,
        .weight = weight,
        .session = mem_printf("%s %s", address, host),
    };
}
