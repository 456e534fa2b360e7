/* What the load and the origin share: sockets, the clock, and as much HTTP/1 as two ends need that trust each other. */
#ifndef PENSTOCK_BENCH_WIRE_H
#define PENSTOCK_BENCH_WIRE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, HEAD_MAX = 16 * 1024, PIECE = 128 * 1024 };

static inline _Noreturn void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}

static inline double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline struct sockaddr_in loopback(const char *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static inline void no_delay(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
}

static inline void watch(int epoll, int fd, int operation, uint32_t events, void *what)
{
    struct epoll_event e = { .events = events, .data.ptr = what };
    if (epoll_ctl(epoll, operation, fd, &e) < 0)
        die("epoll_ctl");
}

/* The length of the head in these bytes, its blank line included; 0: not all of it is there. */
static inline size_t head_length(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    return end ? (size_t)(end - p) + 4 : 0;
}

/* Of a field in a head, or NULL; `name` with its colon, lower case. */
static inline const char *field_value(const char *head, size_t n, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = head, *end = head + n; (line = memchr(line, '\n', (size_t)(end - line))) && ++line + length < end;)
        if (strncasecmp(line, name, length) == 0)
            return line + length + strspn(line + length, " ");
    return NULL;
}

static inline uint64_t content_length(const char *head, size_t n)
{
    const char *value = field_value(head, n, "content-length:");
    return value ? strtoull(value, NULL, 10) : 0;
}

static inline bool says_close(const char *head, size_t n)
{
    const char *value = field_value(head, n, "connection:");
    return value && strncasecmp(value, "close", 5) == 0;
}

#endif
