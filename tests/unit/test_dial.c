#include "net/dial.h"

#include "net/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Who is dialled: each address is a port of loopback where something answers, refuses, or keeps silent (a backlog that is full drops
 * what comes). The unreachable fails before connect returns. */
enum behaviour { ANSWERS, REFUSES, IS_SILENT, IS_UNREACHABLE };

enum { PEERS_MAX = 8 };
struct peer {
    int fd, filler[4];
    struct address address;
};

struct fixture {
    struct ev_loop *loop;
    struct timers timers;
    ev_prepare refresh;
    struct peer peers[PEERS_MAX];
    struct address_set set;
    struct dial dial;
    unsigned done;
};

static struct fixture f;

static void on_refresh(struct ev_loop *loop, ev_prepare *w, int events)
{
    (void)loop, (void)w, (void)events;
    timers_refresh(&f.timers);
}

static void peer_open(struct peer *p, enum behaviour behaviour)
{
    socklen_t n = sizeof p->address;
    memset(p->filler, -1, sizeof p->filler);
    p->fd = -1;
    if (behaviour == IS_UNREACHABLE) {
        assert_true(address_parse("255.255.255.255", 1, &p->address)); /* a broadcast address: TCP can't */
        return;
    }
    assert_true(address_parse("127.0.0.1", 0, &p->address));
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->fd, &p->address.sa, address_length(&p->address)), 0);
    assert_int_equal(getsockname(p->fd, &p->address.sa, &n), 0);
    if (behaviour != REFUSES)
        assert_int_equal(listen(p->fd, behaviour == IS_SILENT ? 0 : 8), 0);
    for (int i = 0; behaviour == IS_SILENT && i < 4; i++)
        p->filler[i] = stream_connect(&p->address.sa, address_length(&p->address));
}

static void peer_close(struct peer *p)
{
    for (int i = 0; i < 4; i++) {
        if (p->filler[i] >= 0)
            close(p->filler[i]);
    }
    if (p->fd >= 0)
        close(p->fd);
}

static void begin(const enum behaviour *behaviours, unsigned n)
{
    memset(&f, 0, sizeof f);
    f.loop = ev_loop_new(0);
    assert_non_null(f.loop);
    timers_init(&f.timers, f.loop);
    ev_prepare_init(&f.refresh, on_refresh);
    ev_prepare_start(f.loop, &f.refresh);
    f.set.n = n;
    for (unsigned i = 0; i < n; i++) {
        peer_open(&f.peers[i], behaviours[i]);
        f.set.items[i] = f.peers[i].address;
    }
}

static void end(void)
{
    for (unsigned i = 0; i < f.set.n; i++)
        peer_close(&f.peers[i]);
    assert_int_equal(f.timers.armed, 0);
    assert_int_equal(f.dial.pending, 0);
    timers_clear(&f.timers);
    ev_loop_destroy(f.loop);
}

static void on_done(struct dial *d)
{
    assert_ptr_equal(d, &f.dial);
    f.done++;
    ev_break(f.loop, EVBREAK_ALL);
}

static void on_too_long(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)w, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

/* Until `done`, and a bound far beyond any stagger. */
static void run(void)
{
    ev_timer bound;
    ev_timer_init(&bound, on_too_long, 30., 0.);
    ev_timer_start(f.loop, &bound);
    ev_run(f.loop, 0);
    ev_timer_stop(f.loop, &bound);
}

static void test_outcomes(void **state)
{
    static const struct {
        enum behaviour behaviours[PEERS_MAX];
        unsigned n, first;
        int index; /* who connected; -1: nobody */
        unsigned started;
        int error; /* of the last failure; 0: none */
    } cases[] = {
        { { ANSWERS }, 1, 0, 0, 1, 0 },
        { { REFUSES }, 1, 0, -1, 1, ECONNREFUSED },
        { { IS_UNREACHABLE }, 1, 0, -1, 1, ENETUNREACH },
        { { ANSWERS, REFUSES }, 2, 0, 0, 1, 0 },
        { { ANSWERS, ANSWERS, ANSWERS }, 3, 2, 2, 1, 0 },
        { { ANSWERS, ANSWERS, ANSWERS }, 3, 7, 1, 1, 0 },
        { { REFUSES, ANSWERS }, 2, 0, 1, 2, ECONNREFUSED },
        { { ANSWERS, REFUSES }, 2, 1, 0, 2, ECONNREFUSED },
        { { IS_UNREACHABLE, IS_UNREACHABLE, ANSWERS }, 3, 0, 2, 3, ENETUNREACH },
        { { IS_UNREACHABLE, REFUSES, IS_UNREACHABLE }, 3, 0, -1, 3, ENETUNREACH },
        { { IS_SILENT, ANSWERS }, 2, 0, 1, 2, 0 },
        { { IS_SILENT, REFUSES, IS_SILENT, ANSWERS }, 4, 0, 3, 4, ECONNREFUSED },
        { { REFUSES, REFUSES, REFUSES, REFUSES, REFUSES, REFUSES, ANSWERS }, 7, 0, 6, 7, ECONNREFUSED }, /* more than at once */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(cases[i].behaviours, cases[i].n);
        dial_start(&f.dial, f.loop, &f.timers, &f.set, cases[i].first, on_done);
        assert_int_equal(f.done, 0);
        run();
        if (f.done != 1 || (cases[i].index >= 0) != (f.dial.fd >= 0) || f.dial.started != cases[i].started || f.dial.error != cases[i].error)
            fail_msg("case %zu: done %u, fd %d, started %u, error %s", i, f.done, f.dial.fd, f.dial.started, strerror(f.dial.error));
        if (f.dial.fd >= 0) {
            struct address peer;
            socklen_t n = sizeof peer;
            assert_int_equal(f.dial.index, cases[i].index);
            assert_int_equal(getpeername(f.dial.fd, &peer.sa, &n), 0);
            assert_true(address_equal(&peer, &f.set.items[f.dial.index]));
            close(f.dial.fd);
        }
        dial_cancel(&f.dial);
        end();
    }
}

/* Each stagger adds one, up to the limit; then nobody new is tried until one fails. */
static void test_no_more_than_four_at_once(void **state)
{
    static const enum behaviour behaviours[] = { IS_SILENT, IS_SILENT, IS_SILENT, IS_SILENT, IS_SILENT, IS_SILENT };
    (void)state;
    begin(behaviours, 6);
    dial_start(&f.dial, f.loop, &f.timers, &f.set, 0, on_done);
    for (unsigned i = 1; i <= 6; i++) {
        assert_int_equal(f.dial.pending, i < DIAL_PARALLEL ? i : DIAL_PARALLEL);
        assert_int_equal(f.dial.started, f.dial.pending);
        timer_disarm(&f.timers, &f.dial.stagger); /* instead of waiting for it */
        f.dial.stagger.fire(&f.dial.stagger);
    }
    dial_cancel(&f.dial);
    assert_int_equal(f.done, 0);
    end();
}

static void test_cancel(void **state)
{
    static const enum behaviour behaviours[] = { ANSWERS, IS_UNREACHABLE };
    (void)state;
    begin(behaviours, 2);
    dial_cancel(&f.dial); /* zeroed */
    dial_start(&f.dial, f.loop, &f.timers, &f.set, 0, on_done);
    dial_cancel(&f.dial);
    f.set.n = 1;
    f.set.items[0] = f.peers[1].address;
    dial_start(&f.dial, f.loop, &f.timers, &f.set, 0, on_done); /* known at once, told later */
    dial_cancel(&f.dial);
    dial_cancel(&f.dial);
    ev_run(f.loop, EVRUN_NOWAIT);
    assert_int_equal(f.done, 0);
    f.set.n = 2;
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_no_more_than_four_at_once),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
