#include "alerts/dispatcher.h"

#include "alerts/transfer.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "turn_until.h"

enum { PATIENCE_S = 60, REQUESTS_MAX = 64, REPLIES_MAX = 16, GATHER_MAX = 8 };

/* A receiver of webhooks on a thread: reads a request, notes it, answers from a script. With `gather` it first reads that many requests, each over
 * a connection of its own, and answers them afterwards. */
struct receiver {
    int listener, wake[2];
    uint16_t port;
    pthread_t thread;
    unsigned gather;
    const char *replies[REPLIES_MAX]; /* by the number of the request; NULL: 204 */
    pthread_mutex_t lock; /* guards the rest */
    unsigned n;
    char *requests[REQUESTS_MAX];
};

static char *read_request(int fd)
{
    struct text request = { 0 };
    char bytes[4096];
    const char *end;

    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            break;
        text_add_bytes(&request, bytes, (size_t)n);
        end = strstr(request.p, "\r\n\r\n");
        const char *length = strcasestr(request.p, "\r\ncontent-length:");
        if (end && (!length || request.n >= (size_t)(end + 4 - request.p) + strtoul(length + 17, NULL, 10)))
            break;
    }
    return text_take(&request);
}

static const char *note_request(struct receiver *r, int fd)
{
    static const char no_content[] = "HTTP/1.1 204 No Content\r\n";
    char *request = read_request(fd);

    pthread_mutex_lock(&r->lock);
    unsigned number = r->n;
    if (number < REQUESTS_MAX)
        r->requests[r->n++] = request;
    else
        free(request);
    pthread_mutex_unlock(&r->lock);
    return number < REPLIES_MAX && r->replies[number] ? r->replies[number] : no_content;
}

static void answer(int fd, const char *reply)
{
    static const char rest[] = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    if (send(fd, reply, strlen(reply), MSG_NOSIGNAL) > 0)
        send(fd, rest, strlen(rest), MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    close(fd);
}

static bool accept_one(struct receiver *r, int *fd)
{
    static const struct timeval patience = { .tv_sec = PATIENCE_S };
    struct pollfd ready[2] = { { .fd = r->listener, .events = POLLIN }, { .fd = r->wake[0], .events = POLLIN } };

    if (poll(ready, 2, -1) < 0 || ready[1].revents)
        return false;
    *fd = accept(r->listener, NULL, NULL);
    setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return *fd >= 0;
}

static void *receive(void *arg)
{
    struct receiver *r = arg;
    int fds[GATHER_MAX];
    const char *replies[GATHER_MAX];
    unsigned held = 0;

    while (accept_one(r, &fds[held])) {
        replies[held] = note_request(r, fds[held]);
        if (++held < r->gather)
            continue;
        while (held > 0) {
            held--;
            answer(fds[held], replies[held]);
        }
        r->gather = 0;
    }
    while (held > 0)
        close(fds[--held]);
    return NULL;
}

static void receiver_start(struct receiver *r)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;

    r->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(r->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(r->listener, 64), 0);
    assert_int_equal(getsockname(r->listener, (struct sockaddr *)&address, &size), 0);
    r->port = ntohs(address.sin_port);
    assert_int_equal(pipe(r->wake), 0);
    pthread_mutex_init(&r->lock, NULL);
    assert_int_equal(pthread_create(&r->thread, NULL, receive, r), 0);
}

static void receiver_stop(struct receiver *r)
{
    assert_int_equal(write(r->wake[1], "x", 1), 1);
    pthread_join(r->thread, NULL);
    close(r->listener);
    close(r->wake[0]);
    close(r->wake[1]);
    for (unsigned i = 0; i < r->n; i++)
        free(r->requests[i]);
    pthread_mutex_destroy(&r->lock);
}

/* "a1 a1 a2 ": the ids of the requests so far, in their order */
static void received_ids(struct receiver *r, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < r->n; i++) {
        const char *id = strstr(r->requests[i], "webhook-id: ") + 12;
        n += (size_t)snprintf(out + n, size - n, "%.*s ", (int)strcspn(id, "\r"), id);
    }
    pthread_mutex_unlock(&r->lock);
}

/* The dispatcher under test, and the rows it let go */

struct fixture {
    struct ev_loop *loop;
    struct dispatcher *dispatcher;
    struct receiver receiver;
    unsigned forgotten;
    char rows[512]; /* "1 ops;3 ops;" */
    struct channel_status status;
};

static void on_forget(void *arg, uint64_t sequence, const char *channel)
{
    struct fixture *f = arg;
    size_t n = strlen(f->rows);
    f->forgotten++;
    snprintf(f->rows + n, sizeof f->rows - n, "%u %s;", (unsigned)sequence, channel);
}

static struct config *one_channel(const char *name, uint16_t port)
{
    struct config *config = config_new();
    struct channel_conf *channel = arena_alloc(&config->arena, sizeof *channel);

    *channel = (struct channel_conf){
        .name = arena_copy_text(&config->arena, name),
        .type = channel_type_find("webhook"),
        .url = arena_printf(&config->arena, "http://127.0.0.1:%u/hook", port),
        .secret = "text",
        .timeout = 30 * NSEC_PER_SEC,
        .tls_verify = true,
    };
    config->channels = channel;
    config->n_channels = 1;
    return config;
}

static void configure(struct fixture *f, const char *name, uint16_t port)
{
    struct config *config = one_channel(name, port);
    dispatcher_set_config(f->dispatcher, config);
    config_unref(config);
}

static int setup(void **state)
{
    struct fixture *f = mem_zero(sizeof *f);
    struct outbox outbox = { on_forget, f };

    signal(SIGPIPE, SIG_IGN);
    f->loop = ev_loop_new(0);
    f->dispatcher = dispatcher_new(f->loop, &outbox);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->dispatcher)
        dispatcher_free(f->dispatcher);
    if (f->receiver.port)
        receiver_stop(&f->receiver);
    ev_loop_destroy(f->loop);
    free(f);
    return 0;
}

static void start(struct fixture *f)
{
    receiver_start(&f->receiver);
    configure(f, "ops", f->receiver.port);
}

static void deliver(struct fixture *f, uint64_t sequence, const char *id, const char *subject)
{
    struct event given = { .sequence = sequence, .type = "tunnel.inactive", .subject = subject, .severity = SEVERITY_CRITICAL, .data = "{}",
                           .wall = clock_wall() };
    snprintf(given.id, sizeof given.id, "%s", id);
    struct event *event = event_new(&given);
    dispatcher_deliver(f->dispatcher, "ops", event);
    event_unref(event);
}

static void copy_status(void *arg, const struct channel_status *status)
{
    *(struct channel_status *)arg = *status;
}

static const struct channel_status *status(struct fixture *f)
{
    memset(&f->status, 0, sizeof f->status);
    dispatcher_each_channel(f->dispatcher, copy_status, &f->status);
    return &f->status;
}

static void turn_until_failures(struct fixture *f, uint64_t wanted)
{
    bool late = false;
    ev_timer timer;

    ev_timer_init(&timer, on_late, PATIENCE_S, 0);
    timer.data = &late;
    ev_timer_start(f->loop, &timer);
    while (status(f)->failures < wanted && !late)
        ev_run(f->loop, EVRUN_ONCE);
    ev_timer_stop(f->loop, &timer);
    assert_false(late);
}

/* Tests */

static void alert_is_posted_signed_and_its_row_goes(void **state)
{
    struct fixture *f = *state;
    char ids[64];

    start(f);
    deliver(f, 7, "evt_7", "europe/ams");
    assert_int_equal(f->forgotten, 0);
    turn_until(f->loop, &f->forgotten, 1, PATIENCE_S);
    assert_string_equal(f->rows, "7 ops;");
    received_ids(&f->receiver, ids, sizeof ids);
    assert_string_equal(ids, "evt_7 ");

    const char *request = f->receiver.requests[0];
    assert_memory_equal(request, "POST /hook HTTP/1.1\r\n", 21);
    assert_non_null(strstr(request, "User-Agent: penstock/"));
    assert_non_null(strstr(request, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(request, "webhook-timestamp: "));
    assert_non_null(strstr(request, "webhook-signature: v1,"));
    assert_null(strstr(request, "Expect:"));
    assert_non_null(strstr(request, "\r\n\r\n{\"id\":\"evt_7\",\"type\":\"tunnel.inactive\""));

    assert_int_equal(status(f)->backlog, 0);
    assert_int_equal(f->status.delivered, 1);
    assert_true(f->status.last_success > 0);
    assert_string_equal(f->status.last_error, "");
    assert_string_equal(f->status.name, "ops");
    assert_string_equal(f->status.type, "webhook");
}

static void failure_is_tried_again_with_the_same_id(void **state)
{
    struct fixture *f = *state;
    char ids[64];

    f->receiver.replies[0] = "HTTP/1.1 503 Busy\r\n";
    start(f);
    deliver(f, 1, "evt_1", "s");
    turn_until_failures(f, 1);
    assert_int_equal(f->forgotten, 0); /* the row stays until a 2xx */
    assert_int_equal(f->status.backlog, 1);
    assert_memory_equal(f->status.last_error, "HTTP 503", 8);
    assert_true(f->status.last_error_at > 0);
    turn_until(f->loop, &f->forgotten, 1, PATIENCE_S);
    received_ids(&f->receiver, ids, sizeof ids);
    assert_string_equal(ids, "evt_1 evt_1 ");
    assert_string_equal(status(f)->last_error, "");
    assert_int_equal(f->status.attempts, 2);
}

static void order_is_kept_within_a_subject_only(void **state)
{
    struct fixture *f = *state;
    char ids[128];

    f->receiver.replies[0] = "HTTP/1.1 500 Oops\r\n";
    start(f);
    deliver(f, 1, "a1", "a");
    turn_until_failures(f, 1);
    deliver(f, 2, "a2", "a");
    deliver(f, 3, "b1", "b");
    deliver(f, 4, "b2", "b");
    turn_until(f->loop, &f->forgotten, 4, PATIENCE_S);
    received_ids(&f->receiver, ids, sizeof ids);
    assert_string_equal(ids, "a1 b1 b2 a1 a2 ");
    assert_string_equal(f->rows, "3 ops;4 ops;1 ops;2 ops;");
}

static void subjects_go_side_by_side_up_to_a_bound(void **state)
{
    struct fixture *f = *state;
    char subject[16];

    /* It answers nobody before eight have asked: fewer at a time would hang, and a ninth would not be heard before one was answered. */
    f->receiver.gather = DISPATCHER_PARALLEL;
    start(f);
    for (uint64_t i = 1; i <= 12; i++) {
        snprintf(subject, sizeof subject, "s%u", (unsigned)i);
        deliver(f, i, subject, subject);
    }
    assert_int_equal(status(f)->attempts, DISPATCHER_PARALLEL);
    turn_until(f->loop, &f->forgotten, 12, PATIENCE_S);
    assert_int_equal(status(f)->delivered, 12);
}

static void refusal_is_final_and_the_next_goes_on(void **state)
{
    struct fixture *f = *state;
    char ids[64];

    f->receiver.replies[0] = "HTTP/1.1 422 No\r\n";
    start(f);
    deliver(f, 1, "evt_1", "s");
    deliver(f, 2, "evt_2", "s");
    turn_until(f->loop, &f->forgotten, 2, PATIENCE_S);
    received_ids(&f->receiver, ids, sizeof ids);
    assert_string_equal(ids, "evt_1 evt_2 ");
    assert_int_equal(status(f)->dropped, 1);
    assert_int_equal(f->status.delivered, 1);
}

static void redirect_is_not_followed(void **state)
{
    struct fixture *f = *state;
    char ids[64];

    f->receiver.replies[0] = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n";
    start(f);
    deliver(f, 1, "evt_1", "s");
    turn_until_failures(f, 1);
    assert_memory_equal(f->status.last_error, "HTTP 302", 8);
    received_ids(&f->receiver, ids, sizeof ids);
    assert_string_equal(ids, "evt_1 ");
    assert_int_equal(f->forgotten, 0);
}

static void gone_closes_the_channel_until_a_reload(void **state)
{
    struct fixture *f = *state;

    f->receiver.replies[0] = "HTTP/1.1 410 Gone\r\n";
    start(f);
    deliver(f, 1, "evt_1", "s");
    deliver(f, 2, "evt_2", "s");
    turn_until(f->loop, &f->forgotten, 2, PATIENCE_S);
    assert_true(status(f)->closed);
    assert_int_equal(f->status.backlog, 0);
    assert_int_equal(f->status.dropped, 2);
    deliver(f, 3, "evt_3", "s"); /* dropped at once */
    assert_int_equal(f->forgotten, 3);
    assert_int_equal(status(f)->attempts, 1);

    configure(f, "ops", f->receiver.port);
    assert_false(status(f)->closed);
    deliver(f, 4, "evt_4", "s");
    turn_until(f->loop, &f->forgotten, 4, PATIENCE_S);
    assert_int_equal(status(f)->delivered, 1);
}

static void reload_drops_what_waits_for_a_channel_that_is_gone(void **state)
{
    struct fixture *f = *state;

    configure(f, "ops", 1); /* nobody listens there */
    deliver(f, 1, "evt_1", "s");
    deliver(f, 2, "evt_2", "t");
    turn_until_failures(f, 1);
    configure(f, "other", 1);
    assert_int_equal(f->forgotten, 2);
    assert_string_equal(status(f)->name, "other");
    deliver(f, 3, "evt_3", "s"); /* for a channel that there isn't */
    assert_int_equal(f->forgotten, 3);
}

static void reload_sends_what_waits_to_the_new_url(void **state)
{
    struct fixture *f = *state;
    char ids[64];

    configure(f, "ops", 1);
    deliver(f, 1, "evt_1", "s");
    turn_until_failures(f, 1);
    start(f);
    assert_int_equal(status(f)->backlog, 1);
    turn_until(f->loop, &f->forgotten, 1, PATIENCE_S);
    received_ids(&f->receiver, ids, sizeof ids);
    assert_string_equal(ids, "evt_1 ");
}

static void what_is_under_way_at_the_end_keeps_its_row(void **state)
{
    struct fixture *f = *state;

    configure(f, "ops", 1);
    deliver(f, 1, "evt_1", "s");
    deliver(f, 2, "evt_2", "s");
    dispatcher_free(f->dispatcher);
    f->dispatcher = NULL;
    assert_int_equal(f->forgotten, 0);
}

static void oldest_is_dropped_when_too_many_wait(void **state)
{
    struct fixture *f = *state;

    f->receiver.gather = 2; /* never answers the only connection */
    start(f);
    for (uint64_t i = 1; i <= DISPATCHER_BACKLOG_MAX + 2; i++)
        deliver(f, i, "evt", "s");
    assert_string_equal(f->rows, "2 ops;3 ops;"); /* the first is under way */
    assert_int_equal(status(f)->backlog, DISPATCHER_BACKLOG_MAX);
    assert_int_equal(f->status.dropped, 2);
}

struct tested {
    unsigned done;
    bool delivered;
    char detail[DISPATCHER_ERROR_SIZE];
};

static void on_tested(void *arg, bool delivered, const char *detail)
{
    struct tested *t = arg;
    t->done++;
    t->delivered = delivered;
    snprintf(t->detail, sizeof t->detail, "%s", detail);
}

static void test_is_one_attempt_past_the_queue(void **state)
{
    struct fixture *f = *state;
    struct tested tested = { 0 };
    char ids[64];
    struct event given = { .id = "evt_t", .type = "alert.test", .subject = "ops", .data = "{}" };
    struct event *event = event_new(&given);

    f->receiver.replies[0] = "HTTP/1.1 500 Oops\r\n";
    f->receiver.replies[2] = "HTTP/1.1 410 Gone\r\n";
    start(f);
    assert_false(dispatcher_test(f->dispatcher, "nobody", event, on_tested, &tested));
    assert_true(dispatcher_test(f->dispatcher, "ops", event, on_tested, &tested));
    turn_until(f->loop, &tested.done, 1, PATIENCE_S);
    assert_false(tested.delivered);
    assert_memory_equal(tested.detail, "HTTP 500", 8);
    assert_true(dispatcher_test(f->dispatcher, "ops", event, on_tested, &tested));
    turn_until(f->loop, &tested.done, 2, PATIENCE_S);
    assert_true(tested.delivered);
    assert_memory_equal(tested.detail, "HTTP 204", 8);
    assert_true(dispatcher_test(f->dispatcher, "ops", event, on_tested, &tested));
    turn_until(f->loop, &tested.done, 3, PATIENCE_S);
    assert_false(status(f)->closed); /* a test decides nothing */
    assert_int_equal(f->forgotten, 0);
    received_ids(&f->receiver, ids, sizeof ids);
    assert_string_equal(ids, "evt_t evt_t evt_t ");

    assert_true(dispatcher_test(f->dispatcher, "ops", event, on_tested, &tested));
    dispatcher_free(f->dispatcher); /* cut short, and told so */
    f->dispatcher = NULL;
    assert_int_equal(tested.done, 4);
    assert_false(tested.delivered);
    event_unref(event);
}

/* Transfers */

struct fetched {
    unsigned done;
    struct transfer_result result;
};

static void on_fetched(void *arg, const struct transfer_result *result)
{
    struct fetched *got = arg;
    got->done++;
    got->result = *result;
}

static void fetch(struct fixture *f, struct transfers *transfers, const char *url, struct fetched *got)
{
    struct channel_request request = { 0 };
    struct transfer_options options = { .timeout = 20 * NSEC_PER_SEC, .tls_verify = true };

    *got = (struct fetched){ 0 };
    text_add(&request.url, url);
    transfer_start(transfers, &request, &options, on_fetched, got);
    assert_int_equal(got->done, 0);
    turn_until(f->loop, &got->done, 1, PATIENCE_S);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
    static const struct {
        const char *reply;
        nsec_t retry_after;
    } cases[] = {
        { "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\n", 7 * NSEC_PER_SEC },
        { "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 2099 23:59:59 GMT\r\n", 86400 * NSEC_PER_SEC },
        { "HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", 0 },
        { "HTTP/1.1 503 Busy\r\nRetry-After: soon\r\n", 0 },
        { "HTTP/1.1 503 Busy\r\n", 0 },
    };
    enum { CASES = sizeof cases / sizeof *cases };
    struct fixture *f = *state;
    struct transfers *transfers = transfers_new(f->loop);
    struct fetched got;
    char url[64];

    for (size_t i = 0; i < CASES; i++)
        f->receiver.replies[i] = cases[i].reply;
    receiver_start(&f->receiver);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", f->receiver.port);
    for (size_t i = 0; i < CASES; i++) {
        fetch(f, transfers, url, &got);
        assert_true(got.result.status == 429 || got.result.status == 503);
        assert_true(got.result.retry_after == cases[i].retry_after);
    }
    transfers_free(transfers);
}

static void only_http_is_spoken(void **state)
{
    static const char *const urls[] = { "file:///etc/passwd", "ftp://127.0.0.1:1/", "gopher://127.0.0.1:1/", "http://127.0.0.1:1/" };
    struct fixture *f = *state;
    struct transfers *transfers = transfers_new(f->loop);
    struct fetched got;

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        fetch(f, transfers, urls[i], &got);
        assert_int_equal(got.result.status, 0);
        assert_true(strlen(got.result.error) > 0);
        assert_int_equal(got.result.body_length, 0);
    }
    transfers_free(transfers);
}

#define WITH_DISPATCHER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DISPATCHER(alert_is_posted_signed_and_its_row_goes),
        WITH_DISPATCHER(failure_is_tried_again_with_the_same_id),
        WITH_DISPATCHER(order_is_kept_within_a_subject_only),
        WITH_DISPATCHER(subjects_go_side_by_side_up_to_a_bound),
        WITH_DISPATCHER(refusal_is_final_and_the_next_goes_on),
        WITH_DISPATCHER(redirect_is_not_followed),
        WITH_DISPATCHER(gone_closes_the_channel_until_a_reload),
        WITH_DISPATCHER(reload_drops_what_waits_for_a_channel_that_is_gone),
        WITH_DISPATCHER(reload_sends_what_waits_to_the_new_url),
        WITH_DISPATCHER(what_is_under_way_at_the_end_keeps_its_row),
        WITH_DISPATCHER(oldest_is_dropped_when_too_many_wait),
        WITH_DISPATCHER(test_is_one_attempt_past_the_queue),
        WITH_DISPATCHER(retry_after_is_seconds_or_a_date),
        WITH_DISPATCHER(only_http_is_spoken),
    };
    setenv("no_proxy", "*", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
