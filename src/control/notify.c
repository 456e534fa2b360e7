#include "control/notify.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or "@" and the name of an abstract socket (unix(7)). 0: none, or one that doesn't fit. */
static socklen_t manager_address(struct sockaddr_un *out)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof out->sun_path || (path[0] != '/' && path[0] != '@'))
        return 0;
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path, path, n);
    if (path[0] == '@')
        out->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static void notify(const char *text)
{
    struct sockaddr_un to = { 0 };
    socklen_t length = manager_address(&to);
    int fd = length ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, length) < 0)
        log_warning("start", "can't tell the service manager: %s", strerror(errno));
    close(fd);
}

void notify_ready(const char *status)
{
    char text[512];
    snprintf(text, sizeof text, "READY=1\nSTATUS=%s", status);
    notify(text);
}

void notify_reloading(void)
{
    char text[128];
    /* Type=notify-reload pairs RELOADING with the READY that follows by this clock. */
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_monotonic() / NSEC_PER_USEC);
    notify(text);
}

void notify_stopping(void)
{
    notify("STOPPING=1");
}
