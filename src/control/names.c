#include "control/names.h"

#include "balance/live.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/health.h"
#include "control/tell.h"
#include "net/resolver.h"

#include <stdio.h>
#include <string.h>

/* Outside Cloudflare UUID.cfargotunnel.com has one unique-local IPv6 address: it is an alias that only their edge can follow. */
const char *names_problem(const struct endpoint *endpoint, const struct address_set *set, char out[static VERDICT_TEXT_SIZE])
{
    static const char zone[] = ".cfargotunnel.com";
    size_t n = strlen(endpoint->dial_host);
    if (n <= sizeof zone - 1 || strcmp(endpoint->dial_host + n - (sizeof zone - 1), zone) != 0)
        return NULL;
    for (unsigned i = 0; i < set->n; i++)
        if (!address_is_unique_local(&set->items[i]))
            return NULL;
    if (set->n == 0)
        return NULL;
    char address[ADDRESS_TEXT_SIZE];
    address_format_host(&set->items[0], address);
    snprintf(out, VERDICT_TEXT_SIZE, "%s resolves only to %s, which can't be reached from outside Cloudflare: give the endpoint a hostname or connect_to",
             endpoint->dial_host, address);
    return out;
}

static void forget_problem(struct endpoint_record *record)
{
    if (!record->name_problem[0])
        return;
    record->name_problem[0] = '\0';
    tell_name(record->control, record, NULL);
}

static void use_addresses(struct endpoint_record *record, const struct address_set *set)
{
    struct evidence *e = &record->evidence;
    char problem[VERDICT_TEXT_SIZE];
    e->dialable = set->n > 0 && !names_problem(record->endpoint, set, problem);
    if (e->dialable)
        e->name_detail[0] = '\0';
    else
        snprintf(e->name_detail, sizeof e->name_detail, "%s", set->n ? problem : "the name has no address");
    endpoint_set_addresses(record->live, e->dialable ? set : &(struct address_set){ .n = 0 });
}

static void on_addresses(void *arg, const struct address_set *set)
{
    struct endpoint_record *record = arg;
    char first[ADDRESS_TEXT_SIZE] = "none";
    if (set->n)
        address_format(&set->items[0], first);
    trace(TRACE_DNS, "%s: %s has %u address%s, the first %s", record->id, record->watched_host, set->n, set->n == 1 ? "" : "es", first);
    record->resolved = true;
    use_addresses(record, set);
    forget_problem(record);
    health_judge_one(record->control, record);
}

static void on_failure(void *arg, const char *reason, unsigned kept)
{
    struct endpoint_record *record = arg;
    trace(TRACE_DNS, "%s: %s: %s, %u address%s kept", record->id, record->watched_host, reason, kept, kept == 1 ? "" : "es");
    if (kept) {
        bool known = record->name_problem[0];
        snprintf(record->name_problem, sizeof record->name_problem, "%s", reason);
        if (!known)
            tell_name(record->control, record, reason);
        return;
    }
    record->evidence.dialable = false;
    snprintf(record->evidence.name_detail, sizeof record->evidence.name_detail, "%s: %s", record->watched_host, reason);
    health_judge_one(record->control, record);
}

void names_unwatch(struct endpoint_record *record)
{
    if (record->watch)
        resolver_unwatch(record->watch);
    record->watch = NULL;
    free(record->watched_host);
    record->watched_host = NULL;
    record->resolved = false;
    record->name_problem[0] = '\0';
}

/* So that a reload which changes a numeric address sends nothing to the former one. */
static void use_numeric_host_at_once(struct endpoint_record *record, const struct endpoint *endpoint)
{
    struct address_set set = { .n = 1 };
    if (!address_parse(endpoint->dial_host, endpoint->dial_port, &set.items[0]))
        return;
    record->resolved = true;
    use_addresses(record, &set);
}

static bool is_watched(const struct endpoint_record *record, const struct endpoint *endpoint)
{
    return record->watch && strcmp(record->watched_host, endpoint->dial_host) == 0 && record->watched_port == endpoint->dial_port;
}

void names_watch(struct control *control, struct endpoint_record *record)
{
    static const struct resolver_callbacks callbacks = { on_addresses, on_failure };
    const struct endpoint *endpoint = record->endpoint;
    if (!endpoint->dial_host) {
        names_unwatch(record);
        record->evidence.dialable = true;
        record->evidence.name_detail[0] = '\0';
        return;
    }
    if (is_watched(record, endpoint))
        return;
    names_unwatch(record);
    record->evidence.dialable = true;
    record->evidence.name_detail[0] = '\0';
    record->watched_host = mem_copy_text(endpoint->dial_host);
    record->watched_port = endpoint->dial_port;
    use_numeric_host_at_once(record, endpoint);
    record->watch = resolver_watch(control->resolver, record->watched_host, record->watched_port, &callbacks, record);
}
