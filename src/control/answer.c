#include "control/answer.h"

#include <stdarg.h>
#include <stdlib.h>

/* State changes from call to call, and some of it is nobody else's business. */
#define COMMON_HEADERS "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"

void answer_text_with(struct local_call *call, unsigned status, const char *content_type, const char *extra, struct text *body)
{
    struct text headers = { 0 };

    text_add(&headers, COMMON_HEADERS);
    text_add(&headers, extra);
    local_answer(call, status, content_type, headers.p, body);
    text_clear(&headers);
}

void answer_text(struct local_call *call, unsigned status, const char *content_type, struct text *body)
{
    answer_text_with(call, status, content_type, "", body);
}

static void answer_document(struct local_call *call, unsigned status, const char *content_type, const char *extra, json_t *document)
{
    struct text body = { 0 };
    char *dump = json_dumps(document, ANSWER_JSON_FLAGS);

    text_add(&body, dump ? dump : "null");
    text_add(&body, "\n");
    free(dump);
    json_decref(document);
    answer_text_with(call, status, content_type, extra, &body);
}

void answer_json_with(struct local_call *call, unsigned status, const char *extra, json_t *document)
{
    answer_document(call, status, "application/json", extra, document);
}

void answer_json(struct local_call *call, unsigned status, json_t *document)
{
    answer_json_with(call, status, "", document);
}

static void answer_problem_va(struct local_call *call, unsigned status, const char *extra, json_t *members, const char *format,
                              va_list arguments)
{
    json_t *problem =
        json_pack("{s:s, s:s, s:i}", "type", "about:blank", "title", http_status_phrase(status), "status", (int)status);
    json_t *detail = json_vsprintf(format, arguments);

    if (!detail) /* a name in it that isn't UTF-8 */
        detail = json_string("what was asked for is not valid UTF-8");
    json_object_set_new(problem, "detail", detail);
    json_object_update(problem, members);
    json_decref(members);
    answer_document(call, status, "application/problem+json", extra, problem);
}

void answer_problem(struct local_call *call, unsigned status, const char *detail, ...)
{
    va_list arguments;
    va_start(arguments, detail);
    answer_problem_va(call, status, "", NULL, detail, arguments);
    va_end(arguments);
}

void answer_problem_with(struct local_call *call, unsigned status, const char *extra, json_t *members, const char *detail, ...)
{
    va_list arguments;
    va_start(arguments, detail);
    answer_problem_va(call, status, extra, members, detail, arguments);
    va_end(arguments);
}
