#include "net/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SENDERS = 4, PER_SENDER = 2000 };

struct receiver {
    struct mailbox box;
    unsigned next[SENDERS]; /* what is expected of each */
    unsigned received, out_of_order;
    unsigned stop_after;
};

struct note {
    struct message message;
    unsigned sender, number;
};

static void handle_note(struct message *m, void *owner)
{
    struct receiver *r = owner;
    struct note *n = CONTAINER_OF(m, struct note, message);
    if (n->number != r->next[n->sender]++)
        r->out_of_order++;
    free(n);
    if (++r->received == r->stop_after)
        ev_break(r->box.loop, EVBREAK_ALL);
}

static void post_note(struct receiver *r, unsigned sender, unsigned number)
{
    struct note *n = malloc(sizeof *n);
    if (!n)
        abort();
    *n = (struct note){ { .handle = handle_note }, sender, number };
    mailbox_post(&r->box, &n->message);
}

struct sender {
    struct receiver *to;
    unsigned number;
};

static void *send_notes(void *arg)
{
    struct sender *s = arg;
    for (unsigned i = 0; i < PER_SENDER; i++)
        post_note(s->to, s->number, i);
    return NULL;
}

static void receiver_init(struct receiver *r, unsigned stop_after)
{
    *r = (struct receiver){ .stop_after = stop_after };
    struct ev_loop *loop = ev_loop_new(0);
    assert_non_null(loop);
    mailbox_init(&r->box, loop, r);
}

static void receiver_clear(struct receiver *r)
{
    struct ev_loop *loop = r->box.loop;
    mailbox_clear(&r->box);
    ev_loop_destroy(loop);
}

static void test_many_senders_each_in_order(void **state)
{
    struct receiver r;
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    (void)state;
    receiver_init(&r, SENDERS * PER_SENDER);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ &r, i };
        assert_int_equal(pthread_create(&threads[i], NULL, send_notes, &senders[i]), 0);
    }
    ev_run(r.box.loop, 0);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(r.received, SENDERS * PER_SENDER);
    assert_int_equal(r.out_of_order, 0);
    receiver_clear(&r);
}

static void test_clear_handles_what_is_left(void **state)
{
    struct receiver r;
    (void)state;
    receiver_init(&r, 0);
    for (unsigned i = 0; i < 3; i++)
        post_note(&r, 0, i);
    assert_int_equal(r.received, 0);
    receiver_clear(&r);
    assert_int_equal(r.received, 3);
    assert_int_equal(r.out_of_order, 0);
}

struct echo {
    struct message message;
    unsigned left;
};

static void handle_echo(struct message *m, void *owner)
{
    struct receiver *r = owner;
    struct echo *e = CONTAINER_OF(m, struct echo, message);
    r->received++;
    if (e->left-- > 0)
        mailbox_post(&r->box, m);
    else
        ev_break(r->box.loop, EVBREAK_ALL);
}

static void test_a_handler_may_post_to_its_own_loop(void **state)
{
    struct receiver r;
    struct echo e = { { .handle = handle_echo }, 5 };
    (void)state;
    receiver_init(&r, 0);
    mailbox_post(&r.box, &e.message);
    ev_run(r.box.loop, 0);
    assert_int_equal(r.received, 6);
    receiver_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_senders_each_in_order),
        cmocka_unit_test(test_clear_handles_what_is_left),
        cmocka_unit_test(test_a_handler_may_post_to_its_own_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
