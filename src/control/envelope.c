#include "control/envelope.h"

#include "control/answer.h"

#include <stdarg.h>

/* cloudflared reads `messages` as strings, Cloudflare's documents call them objects: there are never any. */
static json_t *envelope(bool success, json_t *errors, json_t *result)
{
    return json_pack("{s:b, s:o, s:[], s:o}", "success", (int)success, "errors", errors, "messages", "result", result);
}

void envelope_answer(struct local_call *call, json_t *result)
{
    answer_json(call, 200, envelope(true, json_array(), result));
}

void envelope_answer_page(struct local_call *call, json_t *list, const struct envelope_page *p)
{
    json_t *out = envelope(true, json_array(), list);
    json_t *info = json_pack("{s:i, s:i, s:I, s:I, s:I}", "page", (int)p->page, "per_page", (int)p->per_page, "count",
                             (json_int_t)json_array_size(list), "total_count", (json_int_t)p->total, "total_pages",
                             (json_int_t)((p->total + p->per_page - 1) / p->per_page));
    json_object_set_new(out, "result_info", info);
    answer_json(call, 200, out);
}

void envelope_refuse(struct local_call *call, unsigned status, enum envelope_code code, const char *extra, const char *message, ...)
{
    va_list arguments;

    va_start(arguments, message);
    json_t *text = json_vsprintf(message, arguments);
    va_end(arguments);
    if (!text) /* a name in it that isn't UTF-8 */
        text = json_string("what was asked for is not valid UTF-8");
    answer_json_with(call, status, extra,
                     envelope(false, json_pack("[{s:i, s:o}]", "code", (int)code, "message", text), json_null()));
}
