/* The edge's certificate over the years: looked at again and again, renewed in time, and shown to connectors. Workers and sockets are real, the clock
 * is not. */
#include "control/edge.h"

#include "base/mem.h"
#include "control/certificates.h"
#include "control/publish.h"
#include "control/sockets.h"
#include "control/threads.h"
#include "conf_under_test.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "live_control.h"

enum { DAY = 24 * 60 * 60, PATIENCE_S = 30 };
static const double every_s = 0.005;

struct fixture {
    struct control control;
    struct worker *workers[1];
    struct edge_worker *edge_workers[1];
    uint16_t edge_port, listener_port;
    bool given_up;
};

/* --- the clock --- */

static nsec_t script_now;
static unsigned looks;

static nsec_t script_wall(void)
{
    looks++;
    return script_now;
}

static void set_day(time_t day)
{
    script_now = (nsec_t)day * NSEC_PER_SEC;
}

/* --- the fixture --- */

static void on_event(void *arg, struct event *event)
{
    (void)arg, (void)event;
}

static void on_notice(void *arg, const struct endpoint_live *live, enum reason reason, bool ejected)
{
    (void)arg, (void)live, (void)reason, (void)ejected;
}

static void on_thread(void *arg, unsigned index, unsigned left)
{
    (void)arg, (void)index, (void)left;
}

static void on_adopted(void *arg, unsigned worker, uint64_t generation)
{
    struct control *c = arg;
    (void)generation;
    sockets_adopted(c->sockets, worker);
}

static void on_listening(void *arg, unsigned worker)
{
    struct control *c = arg;
    edge_adopted(c->edge, worker);
    sockets_adopted(c->sockets, 1 + worker);
}

/* Ports that are free a moment before they are used. */
static uint16_t free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(bind(fd, (struct sockaddr *)&a, length) == 0 && getsockname(fd, (struct sockaddr *)&a, &length) == 0, "a port");
    close(fd);
    return ntohs(a.sin_port);
}

static struct config *load(const struct fixture *f, bool with_listener, const char *of_edge)
{
    FILE *file = fopen(in_folder("penstock.conf"), "we");
    require(file, "the configuration");
    fprintf(file, "workers = 1; edge = { addresses = [ \"127.0.0.1:%u\" ]; %s };\n", f->edge_port, of_edge);
    fprintf(file, "pools = ( { name = \"p\"; monitors = [ ]; endpoints = ( { name = \"e\"; address = \"http://127.0.0.1:1\"; } ); } );\n");
    fprintf(file, "load_balancers = ( { hostnames = [ \"*\" ]; default_pools = [ \"p\" ]; } );\n");
    if (with_listener)
        fprintf(file, "listeners = ( { address = \"127.0.0.1:%u\"; } );\n", f->listener_port);
    fprintf(file, "admin = { socket = \"%s/admin.sock\"; mode = \"0600\"; };\n", test_folder);
    require(fclose(file) == 0, "the configuration");
    return load_file("penstock.conf");
}

static void put_in_force(struct fixture *f, struct config *config)
{
    struct control *c = &f->control;
    struct conf_messages messages = { 0 };
    assert_true(sockets_prepare(c->sockets, config, &messages) && edge_prepare(c->edge, config, &messages));
    conf_messages_clear(&messages);
    config->generation = ++c->generation;
    live_control_put_in_force(c, config);
    publish_listening(c);
    sockets_commit(c->sockets, config, true);
}

static int setup(void **state)
{
    struct fixture *f = mem_zero(sizeof *f);
    struct control *c = &f->control;
    char error[128];
    strcpy(test_folder, "/tmp/penstock-test-XXXXXX");
    require(make_test_folder(NULL) == 0, "the folder");
    set_day(time(NULL));
    looks = 0;
    f->edge_port = free_port();
    f->listener_port = free_port();
    c->state_dir = test_folder;
    c->listening = true;
    c->n_workers = 1;
    c->workers = f->workers;
    c->edge_workers = f->edge_workers;
    live_control_start(c, on_event, f);
    c->certificates = certificates_new(c);
    c->sockets = sockets_new(1, 2);
    c->edge = edge_new(c, 1, on_listening);
    edge_set_time(c->edge, script_wall, every_s);
    c->threads = threads_start(&(struct threads_options){
        .n = 1, .edge = c->edge, .edge_workers = edge_workers(c->edge), .control = &c->mailbox, .drained = on_thread, .ended = on_thread, .arg = c,
        .worker = { .epoch = &c->epoch, .control = &c->mailbox, .notice = on_notice, .adopted = on_adopted, .arg = c } }, error);
    require(c->threads, "the worker");
    f->workers[0] = threads_worker(c->threads, 0);
    f->edge_workers[0] = edge_workers(c->edge)[0];
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct control *c = &f->control;
    c->stopping = true;
    threads_stop(c->threads, 0, 0);
    threads_join(c->threads);
    ev_run(c->loop, EVRUN_NOWAIT);
    threads_free(c->threads);
    edge_free(c->edge);
    certificates_free(c->certificates);
    sockets_free(c->sockets);
    live_control_stop(c);
    free(f);
    return remove_test_folder(NULL);
}

/* --- waiting for facts --- */

static void give_up(struct ev_loop *loop, ev_timer *timer, int events)
{
    bool *given_up = timer->data;
    (void)loop, (void)events;
    *given_up = true;
}

static void run_until(struct fixture *f, bool (*fact)(const struct fixture *, time_t), time_t arg, const char *what)
{
    ev_timer patience;
    f->given_up = false;
    ev_timer_init(&patience, give_up, PATIENCE_S, 0.);
    patience.data = &f->given_up;
    ev_timer_start(f->control.loop, &patience);
    while (!fact(f, arg) && !f->given_up)
        ev_run(f->control.loop, EVRUN_ONCE);
    ev_timer_stop(f->control.loop, &patience);
    if (f->given_up)
        fail_msg("not yet: %s", what);
}

static bool is_settled(const struct fixture *f, time_t arg)
{
    (void)arg;
    return sockets_are_settled(f->control.sockets);
}

static bool has_looked(const struct fixture *f, time_t times)
{
    (void)f;
    return looks >= (unsigned)times;
}

static bool ends_later(const struct fixture *f, time_t than)
{
    return edge_certificate_end(f->control.edge) > than;
}

static unsigned days;

static void on_day(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    days++;
}

static bool days_have_passed(const struct fixture *f, time_t n)
{
    (void)f;
    return days >= (unsigned)n;
}

static void let_it_look(struct fixture *f)
{
    run_until(f, has_looked, (time_t)looks + 3, "that the certificate is looked at");
}

static int dial(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    close(fd);
    return -1;
}

/* When the certificate ends that a connector is shown. */
static time_t end_shown(const struct fixture *f)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    struct tm end;
    int fd = dial(f->edge_port);
    assert_true(fd >= 0);
    SSL_set_tlsext_host_name(ssl, "h2.cftunnel.com");
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(SSL_get0_peer_certificate(ssl)), &end), 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return timegm(&end);
}

/* Put in force, and the certificate is shown. When that ends. */
static time_t begin(struct fixture *f, const char *of_edge)
{
    put_in_force(f, load(f, true, of_edge));
    run_until(f, is_settled, 0, "that the worker listens");
    time_t end = edge_certificate_end(f->control.edge);
    assert_int_equal(end_shown(f), end);
    return end;
}

static time_t renew(struct fixture *f, time_t end)
{
    set_day(end - 29 * (time_t)DAY);
    run_until(f, ends_later, end, "that the certificate is renewed");
    run_until(f, is_settled, 0, "that the worker has the new certificate");
    return edge_certificate_end(f->control.edge);
}

/* --- */

static void renewed_once_it_ends_soon(void **state)
{
    struct fixture *f = *state;
    time_t end = begin(f, "");
    let_it_look(f);
    set_day(end - 31 * (time_t)DAY);
    let_it_look(f);
    assert_int_equal(edge_certificate_end(f->control.edge), end);
    time_t second = renew(f, end);
    assert_int_equal(end_shown(f), second);
    let_it_look(f);
    assert_int_equal(edge_certificate_end(f->control.edge), second);
    time_t third = renew(f, second);
    assert_true(third > second);
    assert_int_equal(end_shown(f), third);
}

/* What could not be renewed goes on, and is tried again. */
static void a_renewal_that_fails_leaves_the_former(void **state)
{
    struct fixture *f = *state;
    time_t end = begin(f, "");
    require(rename(in_folder("edge.pem"), in_folder("kept.pem")) == 0, "the certificate is away");
    FILE *file = fopen(in_folder("edge.pem"), "we");
    require(file && fputs("no certificate\n", file) >= 0 && fclose(file) == 0, "another file");
    set_day(end - DAY);
    let_it_look(f);
    assert_int_equal(edge_certificate_end(f->control.edge), end);
    assert_int_equal(end_shown(f), end);
    require(rename(in_folder("kept.pem"), in_folder("edge.pem")) == 0, "the certificate is back");
    assert_int_equal(end_shown(f), end);
    run_until(f, ends_later, end, "that the certificate is renewed");
}

/* Who has adopted what was posted is counted: a renewal must not leave anybody behind. */
static void sockets_are_given_up_after_a_renewal_as_before(void **state)
{
    struct fixture *f = *state;
    renew(f, begin(f, ""));
    int fd = dial(f->listener_port);
    assert_true(fd >= 0);
    close(fd);
    put_in_force(f, load(f, false, ""));
    run_until(f, is_settled, 0, "that the worker has let go of the listener");
    assert_int_equal(dial(f->listener_port), -1);
}

/* The operator's own is the operator's to renew. */
static void one_of_the_operator_is_left_alone(void **state)
{
    struct fixture *f = *state;
    make_certificate(&(struct certificate){ .name = "own", .alternatives = "DNS:*.cftunnel.com", .ends = DAY });
    begin(f, "cert = \"own.pem\"; key = \"own.key\"; ca_file = \"own.pem\";");
    unsigned before = looks;
    ev_timer day; /* it is as long as the edge's */
    ev_timer_init(&day, on_day, every_s, every_s);
    ev_timer_start(f->control.loop, &day);
    run_until(f, days_have_passed, 5, "that days pass");
    ev_timer_stop(f->control.loop, &day);
    assert_int_equal(looks, before);
    assert_int_not_equal(access(in_folder("edge.pem"), F_OK), 0);
}

#define WITH_EDGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EDGE(renewed_once_it_ends_soon),
        WITH_EDGE(a_renewal_that_fails_leaves_the_former),
        WITH_EDGE(sockets_are_given_up_after_a_renewal_as_before),
        WITH_EDGE(one_of_the_operator_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
