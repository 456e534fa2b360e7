#include "control/handlers.h"

#include "base/log.h"
#include "control/answer.h"
#include "control/bus.h"
#include "control/status.h"

#include <string.h>

/* --- tests --- */

static void monitors_tested(void *arg, json_t *results)
{
    struct pending *p = arg;

    if (p->call)
        answer_json(p->call, 200, json_incref(results));
    free(p);
}

void handle_post_monitor_test(const struct request *r)
{
    static const char *const members[] = { "endpoint", NULL };
    char endpoint[SEGMENT_SIZE];
    json_t *body = request_body(r, members);

    if (!body || !request_parameter(r, "endpoint", endpoint, sizeof endpoint)) {
        json_decref(body);
        return;
    }
    const json_t *member = json_object_get(body, "endpoint");
    const char *name = member ? json_string_value(member) : *endpoint ? endpoint : NULL;
    if (member && !name) {
        answer_problem(r->call, 400, "\"endpoint\" must be a string");
    } else {
        struct pending *p = pending_new(r, r->segments[0]);
        if (!control_monitor_test(r->control, r->segments[0], name, monitors_tested, p)) {
            answer_problem(r->call, 404, name ? "there is no endpoint \"%s/%s\"" : "there is no pool \"%s\"", r->segments[0], name);
            free(p);
        }
    }
    json_decref(body);
}

static void channel_tested(void *arg, bool delivered, const char *detail)
{
    struct pending *p = arg;

    if (p->call)
        answer_json(p->call, 200, json_pack("{s:s, s:b, s:o}", "channel", p->name, "delivered", (int)delivered, "detail",
                                            status_text_json(detail)));
    free(p);
}

void handle_post_alert_test(const struct request *r)
{
    struct pending *p = pending_new(r, r->segments[0]);

    if (bus_test_channel(r->control->bus, r->segments[0], channel_tested, p))
        return;
    answer_problem(r->call, 404, "there is no alert channel \"%s\"", r->segments[0]);
    free(p);
}

/* --- the process --- */

static json_t *messages_json(const struct conf_messages *messages)
{
    json_t *list = json_array();
    for (size_t i = 0; i < messages->n; i++) {
        const struct conf_message *m = &messages->items[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:i, s:o}", "severity", m->severity == CONF_ERROR ? "error" : "warning", "file",
                                        status_text_json(m->file), "line", (int)m->line, "text", status_text_json(m->text)));
    }
    return list;
}

void handle_post_reload(const struct request *r)
{
    struct conf_messages messages = { 0 };

    if (control_reload(r->control, &messages))
        answer_json(r->call, 200, json_pack("{s:I, s:o}", "generation", (json_int_t)r->control->config->generation, "messages",
                                            messages_json(&messages)));
    else
        answer_problem_with(r->call, 422, "", json_pack("{s:o}", "messages", messages_json(&messages)),
                            "the configuration was refused: %zu error%s; the one before serves on", messages.errors,
                            messages.errors == 1 ? "" : "s");
    conf_messages_clear(&messages);
}

void handle_get_trace(const struct request *r)
{
    json_t *list = json_array();
    for (enum trace_subject s = 0; s < TRACE_SUBJECTS; s++)
        json_array_append_new(list, json_pack("{s:s, s:b}", "subject", trace_subject_name(s), "on", (int)trace_is_on(s)));
    answer_json(r->call, 200, list);
}

static void answer_unknown_subject(const struct request *r, const char *subject)
{
    struct text known = { 0 };
    for (enum trace_subject s = 0; s < TRACE_SUBJECTS; s++)
        text_addf(&known, "%s%s", s ? ", " : "", trace_subject_name(s));
    answer_problem(r->call, 404, "nothing is traced by the name \"%s\"; there is %s", subject, known.p);
    text_clear(&known);
}

void handle_post_trace(const struct request *r)
{
    static const char *const members[] = { "subject", "on", NULL };
    json_t *body = request_body(r, members);

    if (!body)
        return;
    const char *subject = json_string_value(json_object_get(body, "subject"));
    const json_t *on = json_object_get(body, "on");
    if (!subject || !json_is_boolean(on))
        answer_problem(r->call, 400, "give \"subject\", a string, and \"on\", true or false");
    else if (!trace_switch(subject, json_is_true(on)))
        answer_unknown_subject(r, subject);
    else
        answer_json(r->call, 200, json_incref(body));
    json_decref(body);
}
