/* The access log: workers format lines into a buffer of their own and hand full ones to one writing thread, so that a slow disk never
 * holds up a request. What can't be written in time is counted and dropped. */
#ifndef PENSTOCK_PROXY_ACCESS_LOG_H
#define PENSTOCK_PROXY_ACCESS_LOG_H

#include "balance/config.h"
#include "balance/reason.h"
#include "base/slice.h"
#include "net/address.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    LOG_LINE_MAX = 16 * 1024,      /* longer fields are cut */
    LOG_LINES_SIZE = 64 * 1024,    /* a worker's buffer */
    LOG_SINK_BUFFERS = 64,         /* that may wait to be written, over all workers */
};

/* --- the writing thread; control --- */
struct log_sink;
/* Opens the file for appending, or standard output; without a path nothing is kept. NULL with a message (>= 256 bytes). */
struct log_sink *log_sink_new(const struct access_log_conf *, char *error);
/* A reload names another file: opens it at once, and lines that come from now on go there. False with a message (>= 256 bytes): the former
 * file is written on. Control. */
bool log_sink_move(struct log_sink *, const struct access_log_conf *, char *error);
/* Opens the path anew, from the writing thread; any thread. When that fails the old file is written on, with a warning. */
void log_sink_reopen(struct log_sink *);
/* Lines that were dropped since the start: they came too fast, or could not be written at all. Any thread. */
uint64_t log_sink_lost(const struct log_sink *);
/* After the last worker has let go: writes what is left. */
void log_sink_free(struct log_sink *);

/* --- a worker's lines; its own thread --- */
struct log_lines;
struct log_lines *log_lines_new(struct log_sink *) __attribute__((returns_nonnull, warn_unused_result));
void log_lines_free(struct log_lines *); /* hands over what is left; NULL is fine */
void log_lines_set_format(struct log_lines *, enum access_log_format);
/* Hands over what was added; once per turn of the loop. */
void log_lines_flush(struct log_lines *);

/* What a line tells. Slices may hold any bytes a request can hold: they are escaped. Unknown texts are empty, times 0. */
struct access_record {
    nsec_t wall;                 /* of the request's start */
    const struct address *client; /* as the trusted proxies have it; NULL: a unix socket */
    struct slice method, target, host, referer, user_agent, request_id;
    unsigned minor;              /* HTTP/1.minor */
    bool tls;
    unsigned status;             /* 0: none was sent */
    uint64_t bytes_in, bytes_out; /* payload of the bodies */
    const char *load_balancer, *endpoint; /* endpoint: "pool/endpoint"; NULL: none */
    const char *upstream_address;
    bool upstream_reused;
    unsigned retries;
    enum reason reason;
    /* the breakdown; durations, -1: not reached */
    nsec_t choose, connect, send, first_byte, total;
};
void log_lines_add(struct log_lines *, const struct access_record *);

/* The line itself, with its newline; its length. For the tests. */
size_t access_record_format(const struct access_record *, enum access_log_format, char out[static LOG_LINE_MAX]);

#endif
