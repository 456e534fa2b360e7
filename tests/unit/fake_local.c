#include "fake_local.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

void fake_call_init(struct local_call *c, enum http_method method, const char *target, const char *body)
{
    const char *question = strchr(target, '?');

    *c = (struct local_call){ 0 };
    c->request.method = method;
    c->request.path = question ? (struct slice){ target, (size_t)(question - target) } : slice_of(target);
    c->request.query = question ? slice_of(question + 1) : (struct slice){ NULL, 0 };
    c->request.body = slice_of(body);
    c->request.over_unix_socket = true;
}

void fake_call_init_tcp(struct local_call *c, enum http_method method, const char *target, const char *authorization)
{
    fake_call_init(c, method, target, "");
    c->request.over_unix_socket = false;
    c->request.host = SLICE("localhost:9090");
    c->request.authorization = slice_of(authorization);
    if (!address_parse("127.0.0.1", 40000, &c->request.client))
        abort();
}

void fake_call_clear(struct local_call *c)
{
    free(c->content_type);
    free(c->extra);
    text_clear(&c->body);
}

void fake_call_leave(struct local_call *c)
{
    assert_false(c->answered);
    c->answered = true;
    if (c->gone)
        c->gone(c->gone_arg);
}

const struct local_request *local_call_request(const struct local_call *c)
{
    return &c->request;
}

void local_answer(struct local_call *c, unsigned status, const char *content_type, const char *extra, struct text *body)
{
    assert_false(c->answered);
    c->answered = true;
    c->status = status;
    c->content_type = mem_copy_text(content_type);
    c->extra = mem_copy_text(extra ? extra : "");
    c->body = *body;
    *body = (struct text){ 0 };
}

void local_stream_begin(struct local_call *c, unsigned status, const char *content_type)
{
    assert_false(c->answered || c->streaming);
    c->streaming = true;
    c->status = status;
    c->content_type = mem_copy_text(content_type);
}

bool local_stream_write(struct local_call *c, const void *bytes, size_t n)
{
    assert_true(c->streaming && !c->answered);
    text_add_bytes(&c->body, bytes, n);
    return !c->stalled;
}

void local_stream_end(struct local_call *c)
{
    assert_true(c->streaming && !c->answered);
    c->answered = true;
}

void local_call_on_gone(struct local_call *c, void (*gone)(void *arg), void *arg)
{
    c->gone = gone;
    c->gone_arg = arg;
}
