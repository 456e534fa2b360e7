#include "proxy/exchange_answer.h"

#include "proxy/exchange_inside.h"
#include "proxy/exchange_try.h"
#include "proxy/reply.h"

void exchange_give_rest_of_reply(struct exchange *ex)
{
    ssize_t taken = ex->client_ops->send_body(ex->client, ex->rest, true);
    if (taken == SEND_FAILED) {
        exchange_finish(ex, REASON_CLIENT_GONE);
        return;
    }
    ex->rest = slice_from(ex->rest, (size_t)taken);
    if (!ex->rest.n)
        exchange_end(ex, REASON_NONE, (enum reason)ex->reason);
}

static void begin_answer(struct exchange *ex, unsigned status, enum reason reason)
{
    exchange_abort_upstream(ex);
    exchange_release_endpoint(ex);
    list_remove(&ex->queue);
    ex->queue_until = ex->upstream_until = 0;
    exchange_set_state(ex, EXCHANGE_RESPONDING);
    ex->local_reply = true;
    ex->status = (uint16_t)status;
    ex->reason = (uint8_t)reason;
    reply_count_status(ex->worker, status);
}

/* What the client doesn't take at once is kept, unless it is the configuration's, which lasts. */
static void give_reply(struct exchange *ex, struct reply *reply)
{
    enum reason reason = (enum reason)ex->reason;
    if (ex->head->method == METHOD_HEAD) {
        reply->message.body = BODY_NONE;
        reply->body.n = 0;
    }
    ex->response_bytes = reply->body.n;
    ssize_t taken = ex->client_ops->send_head(ex->client, &reply->message, reply->body, true);
    if (taken == SEND_FAILED) {
        exchange_finish(ex, REASON_CLIENT_GONE);
        return;
    }
    if ((size_t)taken == reply->body.n) {
        exchange_end(ex, REASON_NONE, reason);
        return;
    }
    ex->rest = slice_from(reply->body, (size_t)taken);
    if (reply->body.p != reply->text)
        return;
    memcpy(ex->reply_text, ex->rest.p, ex->rest.n);
    ex->rest.p = ex->reply_text;
}

static void answer(struct exchange *ex, unsigned status, enum reason reason, const char *why, nsec_t retry_after)
{
    struct reply reply;
    reply_compose(&reply, status, why, retry_after);
    reply_add_request_id(&reply, ex->request_id);
    begin_answer(ex, status, reason);
    give_reply(ex, &reply);
}

void exchange_answer_by_rule(struct exchange *ex, const struct rule_response *response)
{
    struct reply reply;
    reply_compose_given(&reply, response);
    begin_answer(ex, response->status, REASON_NONE);
    give_reply(ex, &reply);
}

static nsec_t retry_after_of(const struct exchange *ex)
{
    return ex->load_balancer && ex->load_balancer->retry_after ? ex->load_balancer->retry_after : 10 * NSEC_PER_SEC;
}

void exchange_answer_by_page_or(struct exchange *ex, const char *why)
{
    const struct load_balancer *lb = ex->load_balancer;
    struct reply reply;
    if (!lb || !lb->down_page.file) {
        answer(ex, 503, REASON_NO_ENDPOINT, why, retry_after_of(ex));
        return;
    }
    reply_compose_page(&reply, &lb->down_page, retry_after_of(ex));
    reply_add_request_id(&reply, ex->request_id);
    begin_answer(ex, lb->down_page.status, REASON_NO_ENDPOINT);
    give_reply(ex, &reply);
}

void exchange_refuse(struct exchange *ex, unsigned status, enum reason reason)
{
    answer(ex, status, reason, reason_sentence(reason), status == 503 ? retry_after_of(ex) : 0);
}

void exchange_give_up(struct exchange *ex, enum reason reason)
{
    unsigned status = 502;
    if (ex->only) { /* a probe wants the reason, not an answer of ours */
        exchange_abort_upstream(ex);
        exchange_end(ex, reason, reason);
        return;
    }
    switch (reason) {
    case REASON_NO_ENDPOINT: exchange_answer_by_page_or(ex, reason_sentence(reason)); return;
    case REASON_QUEUE_TIMEOUT:
    case REASON_SHUTDOWN: status = 503; break;
    case REASON_RESPONSE_TIMEOUT:
    case REASON_CONNECT_TIMEOUT:
    case REASON_TOTAL_TIMEOUT: status = 504; break;
    default: break;
    }
    exchange_refuse(ex, status, reason);
}
