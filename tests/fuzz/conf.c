/* The loader: any text is either refused with messages that stand at a line, or a whole configuration. */
#include "conf/conf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void require(bool fact)
{
    if (!fact)
        abort();
}

static void check_whole(const struct config *config)
{
    for (size_t i = 0; i < config->n_endpoints; i++) {
        const struct endpoint *e = config->endpoints[i];
        require(config_find_endpoint(config, e->id) == e);
        require((e->kind == ENDPOINT_EDGE) == (!e->dial_host && !e->unix_path));
        require(e->kind == ENDPOINT_EDGE ? e->tunnel && config->edge.addresses.n : e->dial_port || e->unix_path);
        require(e->tls == (e->tls_client != NULL));
    }
    for (size_t i = 0; i < config->edge.n_ingress; i++)
        require(*config->edge.ingress[i].json == '{');
}

/* Once it was fine, it is so with a tunnel more in each pool as well. */
static void check_joining(const struct config *config)
{
    struct conf_messages messages = { 0 };
    struct conf_joined *joined = calloc(config->n_pools + 1, sizeof *joined);
    require(joined);
    for (size_t i = 0; i < config->n_pools; i++)
        joined[i] = (struct conf_joined){ config->pools[i].name, "c1744f8b-faa1-48a4-9e5c-02ac921467fa", "app-1" };
    struct config *with = conf_join(config, joined, config->n_pools, &messages);
    require(with && !messages.n);
    check_whole(with);
    require(with->n_endpoints >= config->n_endpoints && with->n_endpoints <= config->n_endpoints + config->n_pools);
    config_unref(with);
    free(joined);
}

static void check(const char *path)
{
    struct conf_messages messages = { 0 };
    struct config *config = conf_load(path, &messages);

    require((config == NULL) == (messages.errors > 0));
    for (size_t i = 0; i < messages.n; i++)
        require(*messages.items[i].file && *messages.items[i].text);
    if (config) {
        check_whole(config);
        check_joining(config);
    }
    config_unref(config);
    conf_messages_clear(&messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    /* Patterns would make it look through the whole machine. */
    if (memmem(data, size, "include", 7) && memchr(data, '*', size))
        return 0;
    int fd = memfd_create("penstock.conf", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check(path);
    close(fd);
    return 0;
}
