/* The origin of the comparison: origin PORT. GET /bytes/N and POST /bytes/N answer N times "x" once the request's body has come;
 * /browser/N does so with the dozen fields that a web application's answer has. Kept connections, one thread. */
#include "wire.h"

struct peer {
    int fd;
    char in[HEAD_MAX];
    size_t filled;
    uint64_t body_left;  /* of the request under way */
    uint64_t answer_left; /* bytes of the body still to be sent */
    bool reading_body, writing;
};

static char xs[PIECE];
static char scratch[PIECE];
static const char browser_fields[] =
    "Date: Tue, 24 Nov 2026 10:00:00 GMT\r\nCache-Control: private, max-age=0, must-revalidate\r\nVary: Accept-Encoding, Cookie\r\n"
    "ETag: W/\"5d8c72a5edda8d6a\"\r\nSet-Cookie: session=0123456789abcdef0123456789abcdef; Path=/; HttpOnly; Secure; SameSite=Lax\r\n"
    "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: SAMEORIGIN\r\n"
    "Referrer-Policy: strict-origin-when-cross-origin\r\nContent-Security-Policy: default-src 'self'; img-src 'self' data:\r\n";

/* False: the peer is gone. */
static bool send_answer(struct peer *p, int epoll)
{
    while (p->answer_left) {
        ssize_t sent = send(p->fd, xs, p->answer_left < PIECE ? p->answer_left : PIECE, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            if (!p->writing)
                watch(epoll, p->fd, EPOLL_CTL_MOD, EPOLLOUT, p);
            p->writing = true;
            return true;
        }
        if (sent < 0)
            return false;
        p->answer_left -= (uint64_t)sent;
    }
    if (p->writing)
        watch(epoll, p->fd, EPOLL_CTL_MOD, EPOLLIN, p);
    p->writing = false;
    return true;
}

static bool begin_answer(struct peer *p, int epoll)
{
    char head[HEAD_MAX];
    bool browser = memmem(p->in, 64, "/browser/", 9);
    const char *number = memmem(p->in, 64, browser ? "/browser/" : "/bytes/", browser ? 9 : 7);
    uint64_t size = number ? strtoull(number + (browser ? 9 : 7), NULL, 10) : 0;
    int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%sContent-Length: %llu\r\n\r\n",
                     browser ? browser_fields : "", (unsigned long long)size);
    size_t with_head = size < sizeof head - (size_t)n ? (size_t)size : 0;
    memset(head + n, 'x', with_head);
    p->answer_left = size - with_head;
    /* The head is a small part of an empty socket buffer: it goes in one piece. */
    if (send(p->fd, head, (size_t)n + with_head, MSG_NOSIGNAL | (p->answer_left ? MSG_MORE : 0)) < 0)
        return false;
    return send_answer(p, epoll);
}

/* One read's worth. False: the peer is gone. */
static bool on_readable(struct peer *p, int epoll)
{
    if (!p->reading_body) {
        ssize_t got = recv(p->fd, p->in + p->filled, sizeof p->in - p->filled, 0);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        p->filled += (size_t)got;
        size_t length = head_length(p->in, p->filled);
        if (!length)
            return p->filled < sizeof p->in;
        uint64_t body = content_length(p->in, length), here = p->filled - length;
        p->body_left = body - (here < body ? here : body);
        p->filled = 0;
        p->reading_body = p->body_left;
    } else {
        ssize_t got = recv(p->fd, scratch, sizeof scratch, 0);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        p->body_left -= (uint64_t)got < p->body_left ? (uint64_t)got : p->body_left;
        p->reading_body = p->body_left;
    }
    return p->reading_body || begin_answer(p, epoll);
}

static void accept_peers(int listener, int epoll)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);
        if (!p)
            die("calloc");
        p->fd = fd;
        no_delay(fd);
        watch(epoll, fd, EPOLL_CTL_ADD, EPOLLIN, p);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return fprintf(stderr, "usage: origin PORT\n"), 2;
    memset(xs, 'x', sizeof xs);
    struct sockaddr_in address = loopback(argv[1]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
        die("listen");
    watch(epoll, listener, EPOLL_CTL_ADD, EPOLLIN, NULL);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (!p)
                accept_peers(listener, epoll);
            else if (!(p->writing ? send_answer(p, epoll) : on_readable(p, epoll))) {
                close(p->fd);
                free(p);
            }
        }
    }
}
