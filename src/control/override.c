#include "control/override.h"

#include "balance/live.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/health.h"
#include "control/store.h"

#include <math.h>

static struct override_record *find(const struct control *control, const char *id)
{
    struct override_record *record;
    HASH_FIND_STR(control->overrides, id, record);
    return record;
}

static struct override_record *find_or_make(struct control *control, const char *id)
{
    struct override_record *record = find(control, id);
    if (record)
        return record;
    record = mem_zero(sizeof *record);
    record->id = mem_copy_text(id);
    record->admin = ADMIN_ENABLED;
    record->weight = NAN;
    HASH_ADD_KEYPTR(hh, control->overrides, record->id, strlen(record->id), record);
    return record;
}

static void drop(struct control *control, struct override_record *record)
{
    HASH_DEL(control->overrides, record);
    free(record->id);
    free(record);
}

static void keep(struct control *control, struct override_record *record)
{
    store_set_override(control->store, record->id, record->admin, record->weight);
    if (record->admin == ADMIN_ENABLED && isnan(record->weight))
        drop(control, record);
}

static void take_kept(void *arg, const char *endpoint, enum admin_state admin, double weight)
{
    struct override_record *record = find_or_make(arg, endpoint);
    record->admin = admin;
    record->weight = weight;
}

void override_load(struct control *control)
{
    store_each_override(control->store, take_kept, control);
}

void override_clear(struct control *control)
{
    struct override_record *record, *next;
    HASH_ITER(hh, control->overrides, record, next)
        drop(control, record);
}

void override_apply(const struct control *control, struct endpoint_record *endpoint)
{
    const struct override_record *record = find(control, endpoint->id);
    endpoint_set_admin(endpoint->live, record ? record->admin : ADMIN_ENABLED, clock_monotonic());
    atomic_store_explicit(&endpoint->live->weight_override, record ? record->weight : NAN, memory_order_relaxed);
}

static void apply_now(struct control *control, struct endpoint_record *endpoint)
{
    override_apply(control, endpoint);
    balance_epoch_move(&control->epoch);
    health_judge_one(control, endpoint);
}

bool control_set_admin(struct control *control, const char *id, enum admin_state admin)
{
    static const char *const words[] = { "enabled", "drained", "disabled" };
    struct endpoint_record *endpoint = control_find_endpoint(control, id);
    if (!endpoint)
        return false;
    log_notice("operator", "endpoint %s is %s", id, words[admin]);
    struct override_record *record = find_or_make(control, id);
    record->admin = admin;
    keep(control, record);
    apply_now(control, endpoint);
    return true;
}

bool control_set_weight(struct control *control, const char *id, double weight)
{
    struct endpoint_record *endpoint = control_find_endpoint(control, id);
    if (!endpoint)
        return false;
    if (isnan(weight))
        log_notice("operator", "endpoint %s has the weight of the configuration again, %g", id, endpoint->endpoint->weight);
    else
        log_notice("operator", "endpoint %s has weight %g", id, weight);
    struct override_record *record = find_or_make(control, id);
    record->weight = weight;
    keep(control, record);
    apply_now(control, endpoint);
    return true;
}
