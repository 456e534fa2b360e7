#include "monitors/monitor.h"

#include <stdio.h>
#include <string.h>

extern const struct monitor_type monitor_http;
extern const struct monitor_type monitor_tcp;

const struct monitor_type *const monitor_types[] = { &monitor_http, &monitor_tcp, NULL };

const struct monitor_type *monitor_type_find(const char *name)
{
    for (const struct monitor_type *const *type = monitor_types; *type; type++)
        if (strcmp((*type)->name, name) == 0)
            return *type;
    return NULL;
}

static enum diagnosis diagnose_transport(enum reason reason)
{
    switch (reason) {
    case REASON_NONE: return DIAGNOSIS_OK;
    case REASON_NO_ADDRESS: return DIAGNOSIS_NAME;
    case REASON_MALFORMED: return DIAGNOSIS_MALFORMED;
    default: return DIAGNOSIS_UNREACHABLE;
    }
}

bool judge_transport(const struct probe_result *result, struct judgement *out)
{
    if (result->reason == REASON_NONE)
        return false;
    out->pass = false;
    out->diagnosis = diagnose_transport(result->reason);
    const char *what = result->detail[0] ? result->detail : reason_sentence(result->reason);
    const char *where = result->address[0] ? result->address : NULL;
    snprintf(out->detail, sizeof out->detail, where ? "%s (%s)" : "%s", what, where);
    return true;
}
