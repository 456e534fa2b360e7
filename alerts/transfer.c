#include "alerts/transfer.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000L

struct transfers {
    struct ev_loop *loop;
    CURLM *multi;
    ev_timer timer; /* libcurl's own */
};

/* One socket of libcurl's. */
struct watch {
    struct transfers *transfers;
    ev_io io;
};

struct transfer {
    struct transfers *transfers;
    CURL *easy; /* NULL: libcurl had no memory for it */
    ev_timer failed; /* tells so from the loop */
    struct curl_slist *headers;
    struct text body; /* libcurl reads it in place */
    char error[CURL_ERROR_SIZE];
    struct transfer_result result;
    void (*done)(void *arg, const struct transfer_result *);
    void *arg;
};

static void transfer_free(struct transfer *t)
{
    ev_timer_stop(t->transfers->loop, &t->failed);
    if (t->easy) {
        curl_multi_remove_handle(t->transfers->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    text_clear(&t->body);
    free(t);
}

static void finish(struct transfer *t)
{
    t->done(t->arg, &t->result);
    transfer_free(t);
}

/* Results */

static void read_result(struct transfer *t, CURLcode code)
{
    struct transfer_result *result = &t->result;
    long status = 0;
    curl_off_t retry_after = 0, duration_us = 0;

    curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &duration_us);
    result->duration = duration_us * NSEC_PER_USEC;
    result->body[result->body_length] = '\0';
    if (code != CURLE_OK) {
        snprintf(result->error, sizeof result->error, "%s", t->error[0] ? t->error : curl_easy_strerror(code));
        return;
    }
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after); /* seconds, also where a date was given */
    result->status = (unsigned)status;
    if (retry_after > 0)
        result->retry_after = (retry_after < 86400 ? retry_after : 86400) * NSEC_PER_SEC;
}

static void take_finished(struct transfers *ts)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(ts->multi, &left))) {
        struct transfer *t = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        read_result(t, code);
        finish(t);
    }
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer_result *result = arg;
    size_t n = size * count, room = TRANSFER_BODY_MAX - result->body_length;

    memcpy(result->body + result->body_length, data, n < room ? n : room);
    result->body_length += n < room ? n : room;
    return n;
}

/* libcurl on libev */

static void on_socket_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct watch *watch = io->data;
    struct transfers *ts = watch->transfers; /* the watch may be gone after the call */
    int running, what = (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0);

    (void)loop;
    curl_multi_socket_action(ts->multi, io->fd, what, &running);
    take_finished(ts);
}

static void watch_free(struct watch *watch)
{
    ev_io_stop(watch->transfers->loop, &watch->io);
    free(watch);
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct transfers *ts = arg;
    struct watch *watch = socket_arg;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            watch_free(watch);
        curl_multi_assign(ts->multi, fd, NULL);
        return 0;
    }
    if (!watch) {
        watch = mem_zero(sizeof *watch);
        watch->transfers = ts;
        ev_init(&watch->io, on_socket_ready);
        watch->io.data = watch;
        curl_multi_assign(ts->multi, fd, watch);
    }
    ev_io_stop(ts->loop, &watch->io);
    ev_io_set(&watch->io, fd, (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    ev_io_start(ts->loop, &watch->io);
    return 0;
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct transfers *ts = timer->data;
    int running;

    (void)events;
    ev_timer_stop(loop, timer);
    curl_multi_socket_action(ts->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_finished(ts);
}

static int on_timer_wanted(CURLM *multi, long ms, void *arg)
{
    struct transfers *ts = arg;

    (void)multi;
    ev_timer_stop(ts->loop, &ts->timer);
    if (ms < 0)
        return 0;
    ev_now_update(ts->loop);
    ev_timer_set(&ts->timer, (double)ms / 1000, 0);
    ev_timer_start(ts->loop, &ts->timer);
    return 0;
}

struct transfers *transfers_new(struct ev_loop *loop)
{
    struct transfers *ts = mem_zero(sizeof *ts);

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(ts->multi = curl_multi_init())) {
        log_error("alerts", "libcurl can't be set up");
        abort();
    }
    ts->loop = loop;
    ev_init(&ts->timer, on_time);
    ts->timer.data = ts;
    curl_multi_setopt(ts->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    curl_multi_setopt(ts->multi, CURLMOPT_SOCKETDATA, ts);
    curl_multi_setopt(ts->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(ts->multi, CURLMOPT_TIMERDATA, ts);
    return ts;
}

void transfers_free(struct transfers *ts)
{
    curl_multi_cleanup(ts->multi);
    ev_timer_stop(ts->loop, &ts->timer);
    curl_global_cleanup();
    free(ts);
}

/* One transfer */

static void add_headers(struct transfer *t, const char *lines)
{
    t->headers = curl_slist_append(NULL, "Expect:"); /* no 100-continue for a kilobyte */
    while (lines && *lines) {
        size_t n = strcspn(lines, "\n");
        char *line = mem_copy(lines, n);
        struct curl_slist *more = curl_slist_append(t->headers, line);
        if (more)
            t->headers = more;
        free(line);
        lines += n + (lines[n] == '\n');
    }
}

static void set_options(struct transfer *t, const char *url, const struct transfer_options *options)
{
    CURL *easy = t->easy;
    long timeout_ms = (long)((options->timeout > 0 ? options->timeout : TRANSFER_TIMEOUT_DEFAULT) / NSEC_PER_MSEC);

    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else a resolver's thread that hangs is waited for */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "penstock/" PENSTOCK_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.n);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->body.p ? t->body.p : "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? timeout_ms : 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, options->tls_verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, options->tls_verify ? 2L : 0L);
    if (options->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &t->result);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
}

static void on_failed_to_start(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct transfer *t = timer->data;
    (void)loop;
    (void)events;
    snprintf(t->result.error, sizeof t->result.error, "out of memory");
    finish(t);
}

struct transfer *transfer_start(struct transfers *ts, struct channel_request *request, const struct transfer_options *options,
                                void (*done)(void *arg, const struct transfer_result *), void *arg)
{
    struct transfer *t = mem_zero(sizeof *t);

    t->transfers = ts;
    t->done = done;
    t->arg = arg;
    ev_timer_init(&t->failed, on_failed_to_start, 0, 0);
    t->failed.data = t;
    t->body = request->body;
    request->body = (struct text){ 0 };
    add_headers(t, request->headers.p);
    t->easy = curl_easy_init();
    if (t->easy)
        set_options(t, request->url.p, options);
    text_clear(&request->headers);
    text_clear(&request->url);
    if (t->easy && curl_multi_add_handle(ts->multi, t->easy) == CURLM_OK)
        return t;
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
    ev_timer_start(ts->loop, &t->failed);
    return t;
}

void transfer_cancel(struct transfer *t)
{
    transfer_free(t);
}
