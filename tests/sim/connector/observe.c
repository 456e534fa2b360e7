#include "tests/sim/connector/observe.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

enum { ASKED_MAX = 16 * 1024 };

struct visitor;

struct observer {
    struct sim *sim;
    ev_io io;
    char *path; /* of a unix socket */
    void (*on_input)(struct observer *, struct visitor *);
    struct list visitors;
};

struct visitor {
    struct list node;
    struct observer *observer;
    ev_io io;
    struct bytes in;
};

static void leave(struct visitor *v)
{
    list_remove(&v->node);
    ev_io_stop(v->observer->sim->loop, &v->io);
    close(v->io.fd);
    bytes_clear(&v->in);
    free(v);
}

/* Answers are small, and their reader waits for them. */
static bool say(struct visitor *v, const char *text)
{
    for (size_t left = strlen(text); left;) {
        ssize_t n = send(v->io.fd, text, left, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        text += n;
        left -= (size_t)n;
    }
    return true;
}

/* --- commands --- */

static void on_commands(struct observer *o, struct visitor *v)
{
    const char *end;
    struct slice in;
    while ((in = bytes_slice(&v->in)).n && (end = memchr(in.p, '\n', in.n))) {
        size_t n = (size_t)(end - in.p);
        char *line = mem_copy(in.p, n), *answer = command_run(o->sim, line), *with_end = mem_printf("%s\n", answer);
        bytes_drop(&v->in, n + 1);
        bool said = say(v, with_end);
        free(line);
        free(answer);
        free(with_end);
        if (!said) {
            leave(v);
            return;
        }
    }
}

/* --- metrics --- */

static unsigned ready(const struct sim *sim)
{
    unsigned n = 0;
    for (unsigned i = 0; i < sim->n_connectors; i++)
        n += connector_ready(sim->connectors[i]);
    return n;
}

static unsigned answer_ready(struct sim *sim, struct text *body)
{
    unsigned n = ready(sim), status = n ? 200 : 503;
    text_addf(body, "{\"status\":%u,\"readyConnections\":%u,\"connectorId\":\"%s\"}", status, n, sim->connectors[0]->id);
    return status;
}

static unsigned answer_config(struct sim *sim, struct text *body)
{
    struct connector *k = sim->connectors[0];
    char *rules = json_dumps(k->ingress->json, JSON_COMPACT);
    text_addf(body, "{\"version\":%d,\"config\":%s}", k->version, rules);
    free(rules);
    return 200;
}

static unsigned answer_health(struct sim *sim, struct text *body)
{
    (void)sim;
    text_add(body, "OK\n");
    return 200;
}

static unsigned answer_metrics(struct sim *sim, struct text *body)
{
    text_addf(body, "# TYPE cloudflared_tunnel_ha_connections gauge\ncloudflared_tunnel_ha_connections %u\n", ready(sim));
    text_addf(body, "# TYPE cloudflared_tunnel_total_requests counter\ncloudflared_tunnel_total_requests %llu\n",
              (unsigned long long)sim->requests);
    return 200;
}

static const struct {
    const char *path;
    unsigned (*answer)(struct sim *, struct text *);
} pages[] = {
    { "/config", answer_config },
    { "/healthcheck", answer_health },
    { "/metrics", answer_metrics },
    { "/ready", answer_ready },
};

static void on_http(struct observer *o, struct visitor *v)
{
    struct slice in = bytes_slice(&v->in);
    char path[64] = "";
    unsigned status = 404;
    struct text body = { 0 };
    if (!in.n || !memmem(in.p, in.n, "\r\n\r\n", 4))
        return;
    char *request = mem_copy(in.p, in.n);
    sscanf(request, "GET %63[^ ?]", path);
    free(request);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(path, pages[i].path) == 0)
            status = pages[i].answer(o->sim, &body);
    }
    char *answer = mem_printf("HTTP/1.1 %u Status\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status, body.n,
                              body.p ? body.p : "");
    say(v, answer);
    free(answer);
    text_clear(&body);
    leave(v);
}

/* --- sockets --- */

static void on_visitor(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    (void)events;
    struct visitor *v = w->data;
    ssize_t n = recv(w->fd, bytes_room(&v->in, ASKED_MAX), ASKED_MAX, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0)
        bytes_added(&v->in, (size_t)n);
    if (n <= 0 || bytes_length(&v->in) > ASKED_MAX)
        leave(v);
    else
        v->observer->on_input(v->observer, v);
}

static void on_knock(struct ev_loop *loop, ev_io *w, int events)
{
    (void)events;
    struct observer *o = w->data;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct visitor *v = mem_zero(sizeof *v);
    v->observer = o;
    list_push_back(&o->visitors, &v->node);
    ev_io_init(&v->io, on_visitor, fd, EV_READ);
    v->io.data = v;
    ev_io_start(loop, &v->io);
}

static struct observer *observer_new(struct sim *sim, const struct sockaddr *address, socklen_t n,
                                     void (*on_input)(struct observer *, struct visitor *))
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(fd, address, n) < 0 || listen(fd, 128) < 0) {
        close(fd);
        return NULL;
    }
    struct observer *o = mem_zero(sizeof *o);
    o->sim = sim;
    o->on_input = on_input;
    list_init(&o->visitors);
    ev_io_init(&o->io, on_knock, fd, EV_READ);
    o->io.data = o;
    ev_io_start(sim->loop, &o->io);
    return o;
}

struct observer *observer_metrics(struct sim *sim, const char *address)
{
    struct peer p;
    struct observer *o = NULL;
    errno = EINVAL;
    if (peer_init(&p, address))
        o = observer_new(sim, (struct sockaddr *)&p.address, p.length, on_http);
    peer_clear(&p);
    return o;
}

struct observer *observer_control(struct sim *sim, const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof a.sun_path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    unlink(path);
    struct observer *o = observer_new(sim, (struct sockaddr *)&a, sizeof a, on_commands);
    if (o)
        o->path = mem_copy_text(path);
    return o;
}

void observer_free(struct observer *o)
{
    if (!o)
        return;
    while (!list_empty(&o->visitors))
        leave(CONTAINER_OF(o->visitors.next, struct visitor, node));
    ev_io_stop(o->sim->loop, &o->io);
    close(o->io.fd);
    if (o->path)
        unlink(o->path);
    free(o->path);
    free(o);
}
