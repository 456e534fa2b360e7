/* The load of the comparison: sends one request over and over on several connections and checks every answer, status and each byte.
 *
 *   load PORT CONNECTIONS SECONDS REQUEST-FILE BODY-LENGTH [tls] [close]     prints "answers errors seconds"
 *   load PORT CONNECTIONS hold REQUEST-FILE BODY-LENGTH [tls]                one request each; prints "holding", ends with its input
 *
 * `close`: a new connection, and with tls a full handshake, per request. The answer's body is BODY-LENGTH times "x". A run of "#" in the
 * request is another number each time. */
#include "wire.h"

#include <openssl/ssl.h>

enum { CROWD = 32 };
static const double PATIENCE = 5; /* seconds for what is under way at the end */

enum state { CONNECTING, HANDSHAKE, SENDING, READING_HEAD, READING_BODY, READING_END, RESTING };

struct user {
    int fd;
    SSL *ssl;
    enum state state;
    uint32_t watching;
    size_t sent, filled;
    uint64_t body_left;
    char *request;
    char head[HEAD_MAX];
};

struct load {
    int epoll;
    struct sockaddr_in to;
    SSL_CTX *tls;
    bool close_each, hold;
    const char *request;
    size_t request_length;
    size_t number_at, number_length; /* of what is another number each time; length 0: nothing is */
    unsigned long number;
    uint64_t body_length;
    unsigned long answers, errors;
    struct user *users;
    unsigned n_users, started;
    unsigned busy; /* users that have not come to rest */
    double end;    /* no new request from then on */
};

static char piece[PIECE], xs[PIECE];

static void want(struct load *l, struct user *u, uint32_t events)
{
    if (u->watching != events)
        watch(l->epoll, u->fd, u->watching ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, events, u);
    u->watching = events;
}

/* As recv and send: -1 with EAGAIN when it has to wait, and then watches for what it waits for. */
static ssize_t transfer(struct load *l, struct user *u, void *p, size_t n, bool out)
{
    ssize_t done;
    if (!u->ssl) {
        done = out ? send(u->fd, p, n, MSG_NOSIGNAL) : recv(u->fd, p, n, 0);
    } else {
        done = out ? SSL_write(u->ssl, p, (int)n) : SSL_read(u->ssl, p, (int)n);
        if (done <= 0) {
            int why = SSL_get_error(u->ssl, (int)done);
            errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
            done = why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
        }
    }
    if (done < 0 && errno == EAGAIN)
        want(l, u, out ? EPOLLOUT : EPOLLIN);
    return done;
}

static void hang_up(struct user *u)
{
    if (u->ssl) {
        SSL_set_quiet_shutdown(u->ssl, 1);
        SSL_shutdown(u->ssl);
        SSL_free(u->ssl);
    }
    if (u->fd >= 0)
        close(u->fd);
    u->ssl = NULL;
    u->fd = -1;
    u->watching = 0;
}

static void rest(struct load *l, struct user *u)
{
    u->state = RESTING;
    l->busy--;
}

static void dial(struct load *l, struct user *u)
{
    u->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (u->fd < 0)
        die("socket");
    no_delay(u->fd);
    if (connect(u->fd, (struct sockaddr *)&l->to, sizeof l->to) < 0 && errno != EINPROGRESS)
        die("connect");
    u->state = CONNECTING;
    want(l, u, EPOLLOUT);
}

/* Scattered over their range, as keys are. */
static void number_request(struct load *l, struct user *u)
{
    unsigned long n = ++l->number * 2654435761UL;
    for (size_t i = l->number_length; i > 0; i--, n /= 10)
        u->request[l->number_at + i - 1] = (char)('0' + n % 10);
}

static void begin_request(struct load *l, struct user *u)
{
    if (now_s() >= l->end) {
        rest(l, u);
        return;
    }
    u->sent = u->filled = 0;
    number_request(l, u);
    if (u->fd < 0)
        dial(l, u);
    else
        u->state = SENDING;
}

static void start_next(struct load *l)
{
    if (l->started == l->n_users)
        return;
    struct user *u = &l->users[l->started++];
    u->fd = -1;
    u->request = l->number_length ? memcpy(malloc(l->request_length), l->request, l->request_length) : (char *)(uintptr_t)l->request;
    l->busy++;
    begin_request(l, u);
}

static void answered(struct load *l, struct user *u)
{
    l->answers++;
    if (l->hold) {
        rest(l, u);
        start_next(l);
    } else {
        begin_request(l, u);
    }
}

static void failed(struct load *l, struct user *u)
{
    l->errors++;
    hang_up(u);
    begin_request(l, u);
}

enum step { GO_ON, WAIT, FAIL };

static enum step on_connected(struct load *l, struct user *u)
{
    int error = 0;
    if (getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error }) < 0 || error)
        return FAIL;
    u->state = SENDING;
    if (l->tls) {
        u->ssl = SSL_new(l->tls);
        SSL_set_fd(u->ssl, u->fd);
        SSL_set_connect_state(u->ssl);
        u->state = HANDSHAKE;
    }
    return GO_ON;
}

static enum step shake_hands(struct load *l, struct user *u)
{
    int done = SSL_do_handshake(u->ssl), why = SSL_get_error(u->ssl, done);
    if (done == 1) {
        u->state = SENDING;
        return GO_ON;
    }
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return FAIL;
    want(l, u, why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
    return WAIT;
}

static enum step send_request(struct load *l, struct user *u)
{
    ssize_t sent = transfer(l, u, u->request + u->sent, l->request_length - u->sent, true);
    if (sent <= 0)
        return sent < 0 && errno == EAGAIN ? WAIT : FAIL;
    u->sent += (size_t)sent;
    if (u->sent == l->request_length)
        u->state = READING_HEAD;
    return GO_ON;
}

static enum step take_body(struct load *l, struct user *u, const char *p, size_t n)
{
    if (n > u->body_left || memcmp(p, xs, n) != 0)
        return FAIL;
    u->body_left -= n;
    u->state = u->body_left ? READING_BODY : READING_END;
    if (!u->body_left && !l->close_each)
        answered(l, u);
    return GO_ON;
}

static enum step read_head(struct load *l, struct user *u)
{
    ssize_t got = transfer(l, u, u->head + u->filled, sizeof u->head - u->filled, false);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? WAIT : FAIL;
    u->filled += (size_t)got;
    size_t length = head_length(u->head, u->filled);
    if (!length)
        return u->filled < sizeof u->head ? GO_ON : FAIL;
    if (strncmp(u->head, "HTTP/1.1 200", 12) != 0 || content_length(u->head, length) != l->body_length ||
        (!l->close_each && says_close(u->head, length)))
        return FAIL;
    u->body_left = l->body_length;
    return take_body(l, u, u->head + length, u->filled - length);
}

static enum step read_body(struct load *l, struct user *u)
{
    ssize_t got = transfer(l, u, piece, sizeof piece, false);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? WAIT : FAIL;
    return take_body(l, u, piece, (size_t)got);
}

/* The other side has announced that it closes: the answer counts once it has. */
static enum step read_end(struct load *l, struct user *u)
{
    ssize_t got = transfer(l, u, piece, sizeof piece, false);
    if (got < 0 && errno == EAGAIN)
        return WAIT;
    if (got > 0)
        return FAIL;
    hang_up(u);
    answered(l, u);
    return u->state == RESTING || u->state == CONNECTING ? WAIT : GO_ON;
}

static void advance(struct load *l, struct user *u)
{
    static enum step (*const steps[])(struct load *, struct user *) = {
        [CONNECTING] = on_connected, [HANDSHAKE] = shake_hands, [SENDING] = send_request, [READING_HEAD] = read_head,
        [READING_BODY] = read_body, [READING_END] = read_end,
    };
    while (u->state != RESTING) {
        enum state before = u->state;
        enum step step = steps[before](l, u);
        if (step == FAIL)
            failed(l, u);
        if (step != GO_ON)
            return;
    }
}

static void run(struct load *l)
{
    /* Connections to be held come a few at a time, so that what is measured is idleness and not what a crowd left behind. */
    while (l->started < l->n_users && (!l->hold || l->started < CROWD))
        start_next(l);
    while (l->busy && now_s() < l->end + PATIENCE) {
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(l->epoll, events, EVENTS_MAX, 100);
        for (int i = 0; i < ready; i++)
            advance(l, events[i].data.ptr);
    }
    l->errors += l->busy;
}

static char *read_file(const char *path, size_t *length)
{
    FILE *f = fopen(path, "rb");
    char *p = malloc(1 << 20);
    if (!f || !p)
        die(path);
    *length = fread(p, 1, 1 << 20, f);
    fclose(f);
    return p;
}

static SSL_CTX *tls_context(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) || !SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set1_groups_list(tls, "X25519"))
        die("TLS");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return tls;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS|hold REQUEST-FILE BODY-LENGTH [tls] [close]\n"), 2;
    struct load l = { .epoll = epoll_create1(EPOLL_CLOEXEC), .to = loopback(argv[1]), .hold = strcmp(argv[3], "hold") == 0 };
    l.request = read_file(argv[4], &l.request_length);
    const char *number = memchr(l.request, '#', l.request_length);
    if (number) {
        l.number_at = (size_t)(number - l.request);
        l.number_length = strspn(number, "#");
    }
    l.body_length = strtoull(argv[5], NULL, 10);
    for (int i = 6; i < argc; i++) {
        if (strcmp(argv[i], "tls") == 0)
            l.tls = tls_context();
        l.close_each |= strcmp(argv[i], "close") == 0;
    }
    memset(xs, 'x', sizeof xs);
    l.n_users = (unsigned)atoi(argv[2]);
    l.users = calloc(l.n_users, sizeof *l.users);
    if (!l.users)
        die("calloc");
    double start = now_s();
    l.end = start + (l.hold ? 60 : atof(argv[3]));
    run(&l);
    if (l.hold) {
        printf("holding %lu %lu\n", l.answers, l.errors);
        fflush(stdout);
        (void)!read(0, piece, 1);
    } else {
        printf("%lu %lu %.3f\n", l.answers, l.errors, now_s() - start);
    }
    return 0;
}
