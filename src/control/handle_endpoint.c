#include "control/handlers.h"

#include "base/mem.h"
#include "control/admin.h"
#include "control/answer.h"
#include "control/status.h"
#include "control/store.h"

#include <math.h>
#include <string.h>

/* NULL after a 404. */
static const struct endpoint_record *find_endpoint(const struct request *r)
{
    char *id = mem_printf("%s/%s", r->segments[0], r->segments[1]);
    const struct endpoint_record *record = control_find_endpoint(r->control, id);

    if (!record || !record->endpoint) {
        answer_problem(r->call, 404, "there is no endpoint \"%s\"", id);
        record = NULL;
    }
    free(id);
    return record;
}

void handle_get_endpoint(const struct request *r)
{
    const struct endpoint_record *record = find_endpoint(r);
    if (record)
        answer_json(r->call, 200, status_endpoint_json(r->control, record));
}

struct endpoint_patch {
    bool has_state, has_weight;
    enum admin_state state;
    double weight; /* NaN: the file's */
};

static bool parse_state(const json_t *value, enum admin_state *out)
{
    static const struct {
        const char *name;
        enum admin_state state;
    } states[] = { { "enabled", ADMIN_ENABLED }, { "drained", ADMIN_DRAINED }, { "disabled", ADMIN_DISABLED } };
    const char *name = json_string_value(value);

    for (size_t i = 0; name && i < sizeof states / sizeof *states; i++) {
        if (strcmp(states[i].name, name) != 0)
            continue;
        *out = states[i].state;
        return true;
    }
    return false;
}

static bool parse_weight(const json_t *value, double *out)
{
    *out = json_is_null(value) ? NAN : json_number_value(value);
    return json_is_null(value) || (json_is_number(value) && *out >= 0 && *out <= ADMIN_WEIGHT_MAX);
}

/* False after a 400. */
static bool parse_patch(const struct request *r, const json_t *body, struct endpoint_patch *out)
{
    const json_t *state = json_object_get(body, "state"), *weight = json_object_get(body, "weight");

    *out = (struct endpoint_patch){ .has_state = state, .has_weight = weight };
    if (!state && !weight)
        answer_problem(r->call, 400, "nothing to change: give \"state\" or \"weight\"");
    else if (state && !parse_state(state, &out->state))
        answer_problem(r->call, 400, "\"state\" must be \"enabled\", \"drained\" or \"disabled\"");
    else if (weight && !parse_weight(weight, &out->weight))
        answer_problem(r->call, 400, "\"weight\" must be a number from 0 to %d, or null for the configuration's", ADMIN_WEIGHT_MAX);
    else
        return true;
    return false;
}

/* An operator's word that was confirmed outlives a crash. */
static void patch_written(void *arg, bool durable)
{
    struct pending *p = arg;
    const struct endpoint_record *record = control_find_endpoint(p->control, p->name);

    (void)durable; /* it is in force; that the disk fails, the status says */
    if (p->call && record)
        answer_json(p->call, 200, status_endpoint_json(p->control, record));
    else if (p->call)
        answer_problem(p->call, 404, "endpoint \"%s\" is gone: the configuration was reloaded", p->name);
    free(p);
}

void handle_patch_endpoint(const struct request *r)
{
    static const char *const members[] = { "state", "weight", NULL };
    const struct endpoint_record *record = find_endpoint(r);
    json_t *body = record ? request_body(r, members) : NULL;
    struct endpoint_patch patch;

    if (body && parse_patch(r, body, &patch)) {
        if (patch.has_state)
            control_set_admin(r->control, record->id, patch.state);
        if (patch.has_weight)
            control_set_weight(r->control, record->id, patch.weight);
        store_when_written(r->control->store, patch_written, pending_new(r, record->id));
    }
    json_decref(body);
}
