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

static void check(const char *path)
{
    struct conf_messages messages = { 0 };
    struct config *config = conf_load(path, &messages);

    require((config == NULL) == (messages.errors > 0));
    for (size_t i = 0; i < messages.n; i++)
        require(*messages.items[i].file && *messages.items[i].text);
    for (size_t i = 0; config && i < config->n_endpoints; i++) {
        const struct endpoint *e = config->endpoints[i];
        require(config_find_endpoint(config, e->id) == e);
        require((e->dial_host && e->dial_port) || e->unix_path);
        require(e->tls == (e->tls_client != NULL));
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
