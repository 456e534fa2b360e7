#include "net/resolver.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { TRIES = 3 };
#define REFRESH_PAUSE NSEC_PER_SEC

/* A socket of c-ares's. */
struct lookup_socket {
    ev_io io;
    struct resolver *resolver;
    struct list link;
};

/* Which version of a file was read. */
struct file_version {
    struct timespec modified;
    off_t size;
    ino_t inode;
};

struct resolver {
    struct ev_loop *loop;
    struct resolver_options options; /* completed; strings are our own copies */
    ares_channel channel;
    struct file_version conf; /* what the channel was made from */
    struct list sockets;
    ev_timer timeout; /* c-ares's next one */
    unsigned under_way;
    struct random random;
};

/* Outlives its watch when that ends first: c-ares can't cancel a single query. */
struct query {
    struct resolver *resolver;
    struct resolver_watch *watch; /* NULL: nobody wants the answer any more */
};

struct resolver_watch {
    struct resolver *resolver;
    char *host;
    uint16_t port;
    struct resolver_callbacks callbacks;
    void *arg;
    ev_timer next; /* when to ask */
    struct query *query;
    nsec_t ended;  /* monotonic: when the last query was; 0: none was */
    bool failed;   /* the last one */
    struct address_set set; /* the last good answer */
};

/* --- c-ares on libev --- */

static void update_timeout(struct resolver *r)
{
    struct timeval t;
    ev_timer_stop(r->loop, &r->timeout);
    if (!ares_timeout(r->channel, NULL, &t))
        return;
    ev_timer_set(&r->timeout, (double)t.tv_sec + (double)t.tv_usec * 1e-6, 0.);
    ev_timer_start(r->loop, &r->timeout);
}

static void on_timeout(struct ev_loop *loop, ev_timer *w, int events)
{
    struct resolver *r = CONTAINER_OF(w, struct resolver, timeout);
    (void)loop, (void)events;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    update_timeout(r);
}

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
    struct resolver *r = CONTAINER_OF(io, struct lookup_socket, io)->resolver; /* processing may free the socket */
    int fd = io->fd;
    (void)loop;
    ares_process_fd(r->channel, events & EV_READ ? fd : ARES_SOCKET_BAD, events & EV_WRITE ? fd : ARES_SOCKET_BAD);
    update_timeout(r);
}

static struct lookup_socket *find_socket(struct resolver *r, int fd)
{
    LIST_FOR_EACH(link, &r->sockets) {
        struct lookup_socket *s = CONTAINER_OF(link, struct lookup_socket, link);
        if (s->io.fd == fd)
            return s;
    }
    return NULL;
}

static struct lookup_socket *add_socket(struct resolver *r, int fd)
{
    struct lookup_socket *s = mem_zero(sizeof *s);
    s->resolver = r;
    ev_io_init(&s->io, on_socket, fd, 0);
    list_push_back(&r->sockets, &s->link);
    return s;
}

/* c-ares says what it waits for, and with neither that it is about to close the socket. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    struct lookup_socket *s = find_socket(r, fd);
    if (s)
        ev_io_stop(r->loop, &s->io);
    if (readable || writable) {
        if (!s)
            s = add_socket(r, fd);
        ev_io_set(&s->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
        ev_io_start(r->loop, &s->io);
    } else if (s) {
        list_remove(&s->link);
        free(s);
    }
}

/* --- the channel --- */

static struct file_version version_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return (struct file_version){ .size = -1 };
    return (struct file_version){ st.st_mtim, st.st_size, st.st_ino };
}

static bool same_version(const struct file_version *a, const struct file_version *b)
{
    return a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec && a->size == b->size &&
           a->inode == b->inode;
}

static bool open_channel(struct resolver *r, char *error)
{
    struct ares_options options = {
        .timeout = (int)(r->options.timeout / NSEC_PER_MSEC),
        .tries = TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = r,
        .resolvconf_path = (char *)r->options.resolv_conf,
    };
    r->conf = version_of(r->options.resolv_conf);
    int status = ares_init_options(&r->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF);
    if (status != ARES_SUCCESS) {
        snprintf(error, RESOLVER_ERROR_SIZE, "DNS: %s", ares_strerror(status));
        return false;
    }
    if (r->options.servers && (status = ares_set_servers_ports_csv(r->channel, r->options.servers)) != ARES_SUCCESS) {
        ares_destroy(r->channel);
        snprintf(error, RESOLVER_ERROR_SIZE, "DNS servers \"%.40s\": %s: write address:port, separated by commas", r->options.servers,
                 ares_strerror(status));
        return false;
    }
    return true;
}

/* A machine's servers change while we run; c-ares reads them only once. With queries under way it waits for a later one. */
static void follow_conf(struct resolver *r)
{
    char error[RESOLVER_ERROR_SIZE];
    struct file_version now = version_of(r->options.resolv_conf);
    if (r->under_way || same_version(&now, &r->conf))
        return;
    ares_channel former = r->channel;
    if (open_channel(r, error))
        ares_destroy(former);
    else
        r->channel = former;
}

static void complete_options(struct resolver_options *o)
{
    o->servers = o->servers ? mem_copy_text(o->servers) : NULL;
    o->resolv_conf = mem_copy_text(o->resolv_conf ? o->resolv_conf : "/etc/resolv.conf");
    o->min_ttl = o->min_ttl ? o->min_ttl : NSEC_PER_SEC;
    o->max_ttl = o->max_ttl ? o->max_ttl : 300 * NSEC_PER_SEC;
    o->retry = o->retry ? o->retry : 5 * NSEC_PER_SEC;
    o->timeout = o->timeout ? o->timeout : 2 * NSEC_PER_SEC;
}

static void free_memory(struct resolver *r)
{
    free((char *)r->options.servers);
    free((char *)r->options.resolv_conf);
    free(r);
}

struct resolver *resolver_new(struct ev_loop *loop, const struct resolver_options *options, char *error)
{
    struct resolver *r = mem_zero(sizeof *r);
    r->loop = loop;
    r->options = *options;
    complete_options(&r->options);
    list_init(&r->sockets);
    ev_timer_init(&r->timeout, on_timeout, 0., 0.);
    random_seed(&r->random);
    if (!open_channel(r, error)) {
        free_memory(r);
        return NULL;
    }
    return r;
}

void resolver_free(struct resolver *r)
{
    ev_timer_stop(r->loop, &r->timeout);
    ares_destroy(r->channel); /* answers the queries that nobody waits for any more, and closes the sockets */
    free_memory(r);
}

/* --- answers --- */

static bool set_has(const struct address_set *set, const struct address *a)
{
    for (unsigned i = 0; i < set->n; i++) {
        if (address_equal(&set->items[i], a))
            return true;
    }
    return false;
}

static bool same_addresses(const struct address_set *a, const struct address_set *b)
{
    if (a->n != b->n)
        return false;
    for (unsigned i = 0; i < a->n; i++) {
        if (!set_has(b, &a->items[i]))
            return false;
    }
    return true;
}

static int compare_addresses(const void *a, const void *b)
{
    const struct address *x = a, *y = b;
    if (x->sa.sa_family == AF_INET6)
        return memcmp(&x->v6.sin6_addr, &y->v6.sin6_addr, sizeof x->v6.sin6_addr);
    return memcmp(&x->v4.sin_addr, &y->v4.sin_addr, sizeof x->v4.sin_addr);
}

static size_t collect_family(const struct ares_addrinfo *ai, int family, uint16_t port, struct address *out)
{
    size_t n = 0;
    for (const struct ares_addrinfo_node *node = ai->nodes; node; node = node->ai_next) {
        if (node->ai_family != family || node->ai_addrlen > sizeof out[n])
            continue;
        memcpy(&out[n], node->ai_addr, node->ai_addrlen);
        address_set_port(&out[n++], port);
    }
    return n;
}

static void set_add(struct address_set *set, const struct address *a)
{
    if (set->n < ADDRESS_SET_MAX && !set_has(set, a))
        set->items[set->n++] = *a;
}

static void interleave(struct address_set *set, const struct address *v6, size_t n6, const struct address *v4, size_t n4)
{
    set->n = 0;
    for (size_t i = 0; i < n6 || i < n4; i++) {
        if (i < n6)
            set_add(set, &v6[i]);
        if (i < n4)
            set_add(set, &v4[i]);
    }
}

/* In the server's order; but where the answer is too large the smallest are taken, since with a server that rotates its answers the
 * first ones would be others each time. */
static void make_set(const struct ares_addrinfo *ai, uint16_t port, struct address_set *set)
{
    size_t total = 0;
    for (const struct ares_addrinfo_node *node = ai->nodes; node; node = node->ai_next)
        total++;
    struct address *v6 = mem_array(total, sizeof *v6), *v4 = mem_array(total, sizeof *v4);
    size_t n6 = collect_family(ai, AF_INET6, port, v6), n4 = collect_family(ai, AF_INET, port, v4);
    if (n6 + n4 > ADDRESS_SET_MAX) {
        qsort(v6, n6, sizeof *v6, compare_addresses);
        qsort(v4, n4, sizeof *v4, compare_addresses);
    }
    interleave(set, v6, n6, v4, n4);
    free(v6);
    free(v4);
}

/* The shortest of all its records. */
static nsec_t ttl_of(const struct resolver_options *o, const struct ares_addrinfo *ai)
{
    nsec_t ttl = o->max_ttl;
    for (const struct ares_addrinfo_node *node = ai->nodes; node; node = node->ai_next) {
        if (node->ai_ttl * NSEC_PER_SEC < ttl)
            ttl = node->ai_ttl * NSEC_PER_SEC;
    }
    for (const struct ares_addrinfo_cname *name = ai->cnames; name; name = name->next) {
        if (name->ttl * NSEC_PER_SEC < ttl)
            ttl = name->ttl * NSEC_PER_SEC;
    }
    return ttl < o->min_ttl ? o->min_ttl : ttl;
}

static const char *reason_of(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
        return "there is no such name (NXDOMAIN)";
    case ARES_ENODATA:
        return "the name has no address";
    case ARES_ETIMEOUT:
        return "no DNS server answered in time";
    case ARES_ECONNREFUSED: /* what c-ares makes of all these, once it has tried each server */
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
        return "no DNS server could be reached, or each failed (SERVFAIL) or refused (REFUSED)";
    case ARES_EBADNAME:
        return "not a valid name";
    default:
        return ares_strerror(status);
    }
}

/* --- watches --- */

static void schedule(struct resolver_watch *w, nsec_t after)
{
    ev_timer_stop(w->resolver->loop, &w->next);
    ev_timer_set(&w->next, nsec_to_seconds(after), 0.);
    ev_timer_start(w->resolver->loop, &w->next);
}

/* Between the shares `low` and `high` of a time, so that watches don't go on in step. */
static void schedule_between(struct resolver_watch *w, nsec_t time, double low, double high)
{
    schedule(w, (nsec_t)((double)time * (low + (high - low) * random_unit(&w->resolver->random))));
}

/* The last step of its callers: the callback may end the watch. */
static void tell_set(struct resolver_watch *w, const struct address_set *set)
{
    bool changed = w->failed || !same_addresses(&w->set, set);
    w->failed = false;
    if (!changed)
        return;
    w->set = *set;
    struct address_set copy = *set;
    w->callbacks.changed(w->arg, &copy);
}

static void tell_failure(struct resolver_watch *w, const char *reason)
{
    w->failed = true;
    w->callbacks.failed(w->arg, reason, w->set.n);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
    struct query *q = arg;
    struct resolver_watch *w = q->watch;
    struct address_set set = { .n = 0 };
    (void)timeouts;

    q->resolver->under_way--;
    free(q);
    if (!w) {
        ares_freeaddrinfo(ai);
        return;
    }
    w->query = NULL;
    w->ended = clock_monotonic();
    if (status == ARES_SUCCESS)
        make_set(ai, w->port, &set);
    nsec_t ttl = set.n ? ttl_of(&w->resolver->options, ai) : 0;
    ares_freeaddrinfo(ai);
    if (set.n) {
        schedule_between(w, ttl, 0.8, 0.95);
        tell_set(w, &set);
    } else {
        schedule_between(w, w->resolver->options.retry, 0.9, 1.1);
        tell_failure(w, reason_of(status == ARES_SUCCESS ? ARES_ENODATA : status));
    }
}

static void ask(struct resolver_watch *w)
{
    static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT };
    struct resolver *r = w->resolver;
    struct query *q = mem_zero(sizeof *q);

    follow_conf(r);
    *q = (struct query){ r, w };
    w->query = q;
    r->under_way++;
    ares_getaddrinfo(r->channel, w->host, NULL, &hints, on_answer, q); /* may answer at once, and end the watch */
    update_timeout(r);
}

static void on_next(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct resolver_watch *w = CONTAINER_OF(timer, struct resolver_watch, next);
    struct address_set set = { .n = 1 };
    (void)loop, (void)events;
    if (address_parse(w->host, w->port, &set.items[0]))
        tell_set(w, &set);
    else
        ask(w);
}

struct resolver_watch *resolver_watch(struct resolver *r, const char *host, uint16_t port, const struct resolver_callbacks *callbacks, void *arg)
{
    struct resolver_watch *w = mem_zero(sizeof *w);
    w->resolver = r;
    w->host = mem_copy_text(host);
    w->port = port;
    w->callbacks = *callbacks;
    w->arg = arg;
    ev_timer_init(&w->next, on_next, 0., 0.);
    schedule(w, 0);
    return w;
}

void resolver_unwatch(struct resolver_watch *w)
{
    ev_timer_stop(w->resolver->loop, &w->next);
    if (w->query)
        w->query->watch = NULL;
    free(w->host);
    free(w);
}

void resolver_refresh(struct resolver_watch *w)
{
    if (!w->query && clock_monotonic() - w->ended >= REFRESH_PAUSE)
        schedule(w, 0);
}
