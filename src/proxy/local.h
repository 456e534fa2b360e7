/* Requests that this process answers itself (the admin API): an upstream that is a function. Used on the loop of the worker it was
 * given to; the HTTP around it is the same as for traffic. */
#ifndef PENSTOCK_PROXY_LOCAL_H
#define PENSTOCK_PROXY_LOCAL_H

#include "base/slice.h"
#include "base/text.h"
#include "http/head.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>

enum { LOCAL_BODY_MAX = 1024 * 1024, LOCAL_STREAM_MAX = 256 * 1024 };

/* One request under way. It ends when it was answered in full, or when the client went away (`gone`). */
struct local_call;

struct local_request {
    enum http_method method;
    struct slice path;           /* without the query, not decoded */
    struct slice query;          /* without the "?" */
    struct slice authorization, accept, content_type, host, last_event_id; /* n 0: not given */
    struct slice body;           /* whole, at most LOCAL_BODY_MAX (more was answered with 413) */
    bool over_unix_socket;
    struct address client;       /* TCP only */
};

/* Called once a request is complete. Answers now or later, on the same thread. */
typedef void local_handler(void *arg, struct local_call *);

const struct local_request *local_call_request(const struct local_call *);
/* `extra`: further header lines, "Name: value\r\n"…, or NULL. Takes the body's text over and empties it. Ends the call. */
void local_answer(struct local_call *, unsigned status, const char *content_type, const char *extra, struct text *body);
/* An answer of unknown length: begin, then any number of writes, then end. A write is false when more than LOCAL_STREAM_MAX wait for the
 * client: the caller ends the stream. */
void local_stream_begin(struct local_call *, unsigned status, const char *content_type);
bool local_stream_write(struct local_call *, const void *, size_t);
void local_stream_end(struct local_call *);
/* Told when the client goes before the end: the call is invalid from then on. */
void local_call_on_gone(struct local_call *, void (*gone)(void *arg), void *arg);

#endif
