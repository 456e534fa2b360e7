#include "net/resolver.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MSEC NSEC_PER_MSEC

/* --- a DNS server on a thread, which answers as it is told --- */

enum rcode { NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5, SILENCE = 100 };

struct script {
    char name[64];
    enum rcode rcode;
    unsigned ttl;
    bool truncate;             /* UDP answers are cut: ask again over TCP */
    const char *addresses[24]; /* of both families */
};

static struct {
    pthread_mutex_t lock;
    pthread_t thread;
    int udp, tcp, stop[2];
    uint16_t port;
    struct script script; /* under `lock`, like the rest */
    unsigned queries, queries_a, queries_tcp;
    char last_name[256];
} dns = { .lock = PTHREAD_MUTEX_INITIALIZER };

enum { TYPE_A = 1, TYPE_AAAA = 28, HEADER = 12 };

/* The name of the question in dots; returns where it ends, or 0. */
static size_t read_name(const uint8_t *q, size_t n, char out[256])
{
    size_t at = HEADER, used = 0;
    while (at < n && q[at]) {
        size_t length = q[at++];
        if (length > 63 || at + length >= n || used + length + 1 > 254)
            return 0;
        memcpy(out + used, q + at, length);
        used += length;
        out[used++] = '.';
        at += length;
    }
    out[used ? used - 1 : 0] = '\0';
    return at + 1;
}

static uint8_t *put16(uint8_t *p, unsigned value)
{
    *p++ = (uint8_t)(value >> 8);
    *p++ = (uint8_t)value;
    return p;
}

static uint8_t *put_address(uint8_t *p, const char *text, unsigned type, unsigned ttl)
{
    uint8_t bytes[16];
    size_t length = type == TYPE_A ? 4 : 16;
    if (inet_pton(type == TYPE_A ? AF_INET : AF_INET6, text, bytes) != 1)
        return p;
    p = put16(p, 0xc000 | HEADER); /* the question's name */
    p = put16(p, type);
    p = put16(p, 1);
    p = put16(p, ttl >> 16);
    p = put16(p, ttl & 0xffff);
    p = put16(p, (unsigned)length);
    memcpy(p, bytes, length);
    return p + length;
}

/* Returns the answer's length; 0: none. Under the lock. */
static size_t answer(const uint8_t *q, size_t n, bool udp, uint8_t out[2048])
{
    char name[256] = "";
    size_t end = n > HEADER ? read_name(q, n, name) : 0;
    if (!end || end + 4 > n)
        return 0;
    unsigned type = (unsigned)(q[end] << 8 | q[end + 1]), count = 0;
    dns.queries++;
    dns.queries_a += type == TYPE_A;
    dns.queries_tcp += !udp;
    snprintf(dns.last_name, sizeof dns.last_name, "%s", name);
    const struct script *s = &dns.script;
    bool known = strcasecmp(name, s->name) == 0;
    enum rcode rcode = known ? s->rcode : NXDOMAIN;
    if (rcode == SILENCE)
        return 0;

    memcpy(out, q, end + 4);
    uint8_t *p = out + end + 4;
    bool cut = known && udp && s->truncate;
    for (int i = 0; rcode == NOERROR && !cut && i < 24 && s->addresses[i]; i++) {
        uint8_t *after = put_address(p, s->addresses[i], type, s->ttl);
        count += after != p;
        p = after;
    }
    put16(out + 2, 0x8180u | (cut ? 0x0200u : 0) | rcode);
    put16(out + 6, count);
    memset(out + 8, 0, 4);
    return (size_t)(p - out);
}

static void serve_udp(void)
{
    uint8_t q[512], out[2048];
    struct sockaddr_in from;
    socklen_t from_size = sizeof from;
    ssize_t n = recvfrom(dns.udp, q, sizeof q, 0, (struct sockaddr *)&from, &from_size);
    pthread_mutex_lock(&dns.lock);
    size_t length = n > 0 ? answer(q, (size_t)n, true, out) : 0;
    pthread_mutex_unlock(&dns.lock);
    if (length)
        sendto(dns.udp, out, length, 0, (struct sockaddr *)&from, from_size);
}

/* Queries are small and come at once: what a single read has is whole. */
static void serve_tcp(void)
{
    uint8_t q[1024], out[2 + 2048];
    int fd = accept(dns.tcp, NULL, NULL);
    ssize_t n;
    while (fd >= 0 && poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 5000) == 1 && (n = read(fd, q, sizeof q)) > 2) {
        for (size_t at = 0; at + 2 < (size_t)n; at += 2 + (size_t)(q[at] << 8 | q[at + 1])) {
            pthread_mutex_lock(&dns.lock);
            size_t length = answer(q + at + 2, (size_t)n - at - 2, false, out + 2);
            pthread_mutex_unlock(&dns.lock);
            put16(out, (unsigned)length);
            if (length && write(fd, out, 2 + length) < 0)
                break;
        }
    }
    if (fd >= 0)
        close(fd);
}

static void *serve(void *arg)
{
    struct pollfd fds[] = { { dns.stop[0], POLLIN, 0 }, { dns.udp, POLLIN, 0 }, { dns.tcp, POLLIN, 0 } };
    (void)arg;
    while (poll(fds, 3, -1) > 0 && !fds[0].revents) {
        if (fds[1].revents)
            serve_udp();
        if (fds[2].revents)
            serve_tcp();
    }
    return NULL;
}

/* False where the port is free for UDP only. */
static bool bind_both(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof a;
    dns.udp = socket(AF_INET, SOCK_DGRAM, 0);
    dns.tcp = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(dns.udp, (struct sockaddr *)&a, n) == 0 && getsockname(dns.udp, (struct sockaddr *)&a, &n) == 0 &&
        bind(dns.tcp, (struct sockaddr *)&a, n) == 0 && listen(dns.tcp, 8) == 0) {
        dns.port = ntohs(a.sin_port);
        return true;
    }
    close(dns.udp);
    close(dns.tcp);
    return false;
}

static int start_dns(void **state)
{
    int tries = 0;
    (void)state;
    while (!bind_both()) {
        if (++tries == 50)
            return -1;
    }
    if (pipe(dns.stop) < 0)
        return -1;
    return pthread_create(&dns.thread, NULL, serve, NULL);
}

static int stop_dns(void **state)
{
    (void)state;
    if (write(dns.stop[1], "x", 1) != 1)
        return -1;
    pthread_join(dns.thread, NULL);
    close(dns.stop[0]);
    close(dns.stop[1]);
    close(dns.udp);
    close(dns.tcp);
    return 0;
}

static void tell_dns(const struct script *s)
{
    pthread_mutex_lock(&dns.lock);
    dns.script = *s;
    dns.queries = dns.queries_a = dns.queries_tcp = 0;
    pthread_mutex_unlock(&dns.lock);
}

static unsigned read_count(const unsigned *count)
{
    pthread_mutex_lock(&dns.lock);
    unsigned n = *count;
    pthread_mutex_unlock(&dns.lock);
    return n;
}

/* --- one watch and what it was told --- */

static struct {
    struct ev_loop *loop;
    struct resolver *resolver;
    struct resolver_watch *watch;
    unsigned changed, failed;
    struct address_set set;
    char reason[128];
    unsigned kept;
    bool ends_itself;
} t;

static void on_changed(void *arg, const struct address_set *set)
{
    assert_ptr_equal(arg, &t);
    t.changed++;
    t.set = *set;
    if (t.ends_itself) {
        resolver_unwatch(t.watch);
        t.watch = NULL;
    }
}

static void on_failed(void *arg, const char *reason, unsigned kept)
{
    assert_ptr_equal(arg, &t);
    t.failed++;
    t.kept = kept;
    snprintf(t.reason, sizeof t.reason, "%s", reason);
    if (t.ends_itself) {
        resolver_unwatch(t.watch);
        t.watch = NULL;
    }
}

static const struct resolver_callbacks callbacks = { on_changed, on_failed };

static void begin_with(struct resolver_options options, const char *host)
{
    char servers[32], error[RESOLVER_ERROR_SIZE];
    memset(&t, 0, sizeof t);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", dns.port);
    options.servers = servers;
    t.loop = ev_loop_new(0);
    t.resolver = resolver_new(t.loop, &options, error);
    if (!t.resolver)
        fail_msg("%s", error);
    t.watch = resolver_watch(t.resolver, host, 443, &callbacks, &t);
    assert_int_equal(t.changed + t.failed, 0);
}

/* Everything happens soon. */
static void begin(const char *host)
{
    begin_with((struct resolver_options){ .min_ttl = 20 * MSEC, .max_ttl = 20 * MSEC, .retry = 20 * MSEC, .timeout = 100 * MSEC }, host);
}

static void end(void)
{
    if (t.watch)
        resolver_unwatch(t.watch);
    resolver_free(t.resolver);
    ev_loop_destroy(t.loop);
}

static void on_bound(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)w, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

/* Runs the loop until the counter has reached the value, or for a bound far beyond any retry. */
static void wait_for(const unsigned *counter, unsigned value)
{
    ev_timer bound;
    ev_timer_init(&bound, on_bound, 30., 0.);
    ev_timer_start(t.loop, &bound);
    while (read_count(counter) < value && ev_is_active(&bound))
        ev_run(t.loop, EVRUN_ONCE);
    ev_timer_stop(t.loop, &bound);
    if (read_count(counter) < value)
        fail_msg("waited for %u, got %u; last reason \"%s\"", value, read_count(counter), t.reason);
}

static void assert_set(const char *const *expected, unsigned n)
{
    char text[ADDRESS_TEXT_SIZE];
    assert_int_equal(t.set.n, n);
    for (unsigned i = 0; i < n; i++) {
        address_format_host(&t.set.items[i], text);
        assert_string_equal(text, expected[i]);
        assert_int_equal(address_port(&t.set.items[i]), 443);
    }
}

static void test_numeric_hosts_ask_nobody(void **state)
{
    static const char *const hosts[] = { "192.0.2.7", "2001:db8::7" };
    (void)state;
    tell_dns(&(struct script){ .name = "none" });
    for (int i = 0; i < 2; i++) {
        begin(hosts[i]);
        wait_for(&t.changed, 1);
        assert_set(&hosts[i], 1);
        resolver_refresh(t.watch);
        ev_run(t.loop, 0); /* ends, since nothing is awaited */
        assert_int_equal(t.changed, 1);
        assert_int_equal(t.failed, 0);
        end();
    }
    assert_int_equal(read_count(&dns.queries), 0);
}

static void test_answers(void **state)
{
    static const struct {
        struct script script;
        const char *expected[ADDRESS_SET_MAX];
        unsigned n;
    } cases[] = {
        { { .addresses = { "192.0.2.1" } }, { "192.0.2.1" }, 1 },
        { { .addresses = { "2001:db8::1" } }, { "2001:db8::1" }, 1 },
        { { .addresses = { "192.0.2.9", "192.0.2.1", "2001:db8::2", "192.0.2.5", "2001:db8::1" } },
          { "2001:db8::2", "192.0.2.9", "2001:db8::1", "192.0.2.1", "192.0.2.5" }, 5 },
        { { .addresses = { "192.0.2.1", "192.0.2.1", "192.0.2.2" } }, { "192.0.2.1", "192.0.2.2" }, 2 },
        { { .truncate = true, .addresses = { "192.0.2.1", "2001:db8::1" } }, { "2001:db8::1", "192.0.2.1" }, 2 },
        { { .addresses = { "10.0.0.20", "10.0.0.19", "10.0.0.18", "10.0.0.17", "10.0.0.16", "10.0.0.15", "10.0.0.14", "10.0.0.13", "10.0.0.12",
                           "10.0.0.11", "10.0.0.10", "10.0.0.9", "10.0.0.8", "10.0.0.7", "10.0.0.6", "10.0.0.5", "10.0.0.4", "10.0.0.3" } },
          { "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13",
            "10.0.0.14", "10.0.0.15", "10.0.0.16", "10.0.0.17", "10.0.0.18" }, 16 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct script s = cases[i].script;
        snprintf(s.name, sizeof s.name, "a.example");
        s.ttl = 60;
        tell_dns(&s);
        begin("a.example");
        wait_for(&t.changed, 1);
        assert_set(cases[i].expected, cases[i].n);
        assert_int_equal(t.failed, 0);
        assert_int_equal(read_count(&dns.queries_tcp) > 0, s.truncate);
        end();
    }
}

static void test_refreshes_and_tells_only_changes(void **state)
{
    (void)state;
    tell_dns(&(struct script){ "a.example", NOERROR, 60, false, { "192.0.2.1", "192.0.2.2" } });
    begin("a.example");
    wait_for(&t.changed, 1);
    tell_dns(&(struct script){ "a.example", NOERROR, 60, false, { "192.0.2.2", "192.0.2.1" } }); /* in another order */
    wait_for(&dns.queries_a, 3);
    assert_int_equal(t.changed, 1);
    tell_dns(&(struct script){ "a.example", NOERROR, 60, false, { "192.0.2.2", "2001:db8::1" } });
    unsigned changed = 2;
    do
        wait_for(&t.changed, changed++);
    while (t.set.n != 2); /* one query may have come before the change, the other after it */
    assert_set((const char *[]){ "2001:db8::1", "192.0.2.2" }, 2);
    assert_int_equal(t.failed, 0);
    end();
}

static void test_failures_keep_the_last_answer(void **state)
{
    static const struct {
        enum rcode rcode;
        const char *words;
    } cases[] = {
        { NXDOMAIN, "NXDOMAIN" }, { SERVFAIL, "SERVFAIL" }, { REFUSED, "REFUSED" }, { NOERROR, "no address" }, { SILENCE, "in time" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tell_dns(&(struct script){ "a.example", cases[i].rcode, 60, false, { NULL } });
        begin("a.example");
        wait_for(&t.failed, 1);
        assert_int_equal(t.kept, 0);
        if (!strstr(t.reason, cases[i].words))
            fail_msg("\"%s\" lacks \"%s\"", t.reason, cases[i].words);
        tell_dns(&(struct script){ "a.example", NOERROR, 60, false, { "192.0.2.1", "192.0.2.2" } });
        wait_for(&t.changed, 1);
        unsigned failed = t.failed;
        tell_dns(&(struct script){ "a.example", cases[i].rcode, 60, false, { NULL } });
        wait_for(&t.failed, failed + 2);
        assert_int_equal(t.kept, 2);
        assert_int_equal(t.changed, 1);
        /* The same answer after a failure is told: the failure is over. */
        tell_dns(&(struct script){ "a.example", NOERROR, 60, false, { "192.0.2.1", "192.0.2.2" } });
        wait_for(&t.changed, 2);
        assert_int_equal(t.set.n, 2);
        end();
    }
}

static void test_localhost_without_dns(void **state)
{
    (void)state;
    tell_dns(&(struct script){ .name = "none" });
    begin("localhost");
    wait_for(&t.changed, 1);
    assert_true(t.set.n >= 1);
    for (unsigned i = 0; i < t.set.n; i++)
        assert_true(address_is_unique_local(&t.set.items[i]));
    assert_int_equal(read_count(&dns.queries), 0);
    end();
}

static void test_ttl_is_clamped_from_below(void **state)
{
    (void)state;
    tell_dns(&(struct script){ "a.example", NOERROR, 0, false, { "192.0.2.1" } });
    begin_with((struct resolver_options){ .min_ttl = 3600 * NSEC_PER_SEC, .max_ttl = 7200 * NSEC_PER_SEC, .retry = MSEC }, "a.example");
    wait_for(&t.changed, 1);
    assert_int_equal(read_count(&dns.queries_a), 1);

    /* Not again within a second, but then. */
    resolver_refresh(t.watch);
    ev_run(t.loop, EVRUN_NOWAIT);
    ev_run(t.loop, EVRUN_NOWAIT);
    assert_int_equal(read_count(&dns.queries_a), 1);
    for (int i = 0; i < 1000 && read_count(&dns.queries_a) < 2; i++) {
        resolver_refresh(t.watch);
        ev_run(t.loop, EVRUN_NOWAIT);
        usleep(10000);
    }
    assert_int_equal(read_count(&dns.queries_a), 2);
    assert_int_equal(t.changed, 1);
    end();
}

static void test_a_watch_may_end_at_any_time(void **state)
{
    (void)state;
    tell_dns(&(struct script){ "a.example", NOERROR, 60, false, { "192.0.2.1" } });
    begin("a.example"); /* before it has asked */
    end();

    begin("a.example"); /* by its callback */
    t.ends_itself = true;
    wait_for(&t.changed, 1);
    assert_null(t.watch);
    end();

    begin("b.example");
    t.ends_itself = true;
    wait_for(&t.failed, 1);
    end();

    tell_dns(&(struct script){ "a.example", SILENCE, 60, false, { NULL } });
    begin("a.example"); /* with a query under way */
    wait_for(&dns.queries_a, 1);
    resolver_unwatch(t.watch);
    t.watch = NULL;
    tell_dns(&(struct script){ "c.example", NOERROR, 60, false, { "192.0.2.1" } });
    t.watch = resolver_watch(t.resolver, "c.example", 443, &callbacks, &t);
    wait_for(&t.changed, 1);
    assert_int_equal(t.failed, 0);
    end(); /* the former query may still be under way */
}

static void write_conf(const char *path, const char *search)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "nameserver 127.0.0.1\nsearch %s\n", search);
    fclose(file);
}

static void test_follows_a_changed_resolv_conf(void **state)
{
    char path[] = "/tmp/penstock-resolver-XXXXXX";
    (void)state;
    close(mkstemp(path));
    write_conf(path, "one.example");
    tell_dns(&(struct script){ "host.one.example", NOERROR, 60, false, { "192.0.2.1" } });
    begin_with((struct resolver_options){ .min_ttl = 20 * MSEC, .max_ttl = 20 * MSEC, .retry = 20 * MSEC, .resolv_conf = path }, "host");
    wait_for(&t.changed, 1);
    tell_dns(&(struct script){ "host.another.example", NOERROR, 60, false, { "192.0.2.2" } });
    wait_for(&t.failed, 1);
    write_conf(path, "another.example");
    wait_for(&t.changed, 2);
    assert_set((const char *[]){ "192.0.2.2" }, 1);
    end();
    unlink(path);
}

static void test_servers_that_cannot_be_read(void **state)
{
    char error[RESOLVER_ERROR_SIZE] = "";
    struct ev_loop *loop = ev_loop_new(0);
    (void)state;
    assert_null(resolver_new(loop, &(struct resolver_options){ .servers = "nonsense" }, error));
    assert_non_null(strstr(error, "nonsense"));
    ev_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numeric_hosts_ask_nobody),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refreshes_and_tells_only_changes),
        cmocka_unit_test(test_failures_keep_the_last_answer),
        cmocka_unit_test(test_localhost_without_dns),
        cmocka_unit_test(test_ttl_is_clamped_from_below),
        cmocka_unit_test(test_a_watch_may_end_at_any_time),
        cmocka_unit_test(test_follows_a_changed_resolv_conf),
        cmocka_unit_test(test_servers_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, start_dns, stop_dns);
}
