#include "control/handlers.h"

#include "control/answer.h"
#include "control/explanation.h"
#include "control/gathering.h"

enum { LAST_MOST = 1000, LAST_DEFAULT = 20 };

static void answer_list(const struct gathering *g, struct local_call *call)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < g->n && i < g->last; i++)
        json_array_append_new(rows, explanation_row_json(g->found[i]));
    answer_json(call, 200, json_pack("{s:o, s:i}", "requests", rows, "remembered_by_each_worker", (int)g->control->config->explain_requests));
}

void handle_get_requests(const struct request *r)
{
    struct gathering question = { .last = LAST_DEFAULT, .answer = answer_list };
    if (request_number(r, "limit", 1, LAST_MOST, &question.last) && request_flag(r, "failed", &question.only_failed))
        gathering_start(r, &question);
}
