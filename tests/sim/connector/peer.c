#include "tests/sim/connector/peer.h"

#include "base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static bool init_unix(struct peer *p, const char *path)
{
    struct sockaddr_un *to = (struct sockaddr_un *)&p->address;
    if (!*path || strlen(path) >= sizeof to->sun_path)
        return false;
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, strlen(path));
    p->length = sizeof *to;
    return true;
}

bool peer_init(struct peer *p, const char *text)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
    *p = (struct peer){ .text = mem_copy_text(text) };
    if (strncmp(text, PEER_UNIX, strlen(PEER_UNIX)) == 0)
        return init_unix(p, text + strlen(PEER_UNIX));
    char *copy = mem_copy_text(text), *host = copy, *port = strrchr(copy, ':');
    if (port)
        *port++ = '\0';
    size_t n = strlen(host);
    if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        host++;
    }
    if (getaddrinfo(host, port ? port : "80", &hints, &found) == 0) {
        memcpy(&p->address, found->ai_addr, found->ai_addrlen);
        p->length = found->ai_addrlen;
        freeaddrinfo(found);
    }
    free(copy);
    return p->length != 0;
}

void peer_clear(struct peer *p)
{
    free(p->text);
    *p = (struct peer){ 0 };
}

bool peer_equal(const struct peer *a, const struct peer *b)
{
    return a->length == b->length && memcmp(&a->address, &b->address, a->length) == 0;
}

int peer_dial(const struct peer *p)
{
    int fd = p->length ? socket(p->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    if (connect(fd, (const struct sockaddr *)&p->address, p->length) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}
