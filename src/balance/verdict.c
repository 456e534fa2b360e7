#include "balance/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct diagnosis_row {
    const char *code;
    const char *explanation; /* NULL: the detail says it all */
    unsigned rank;           /* of two failing monitors the one of lower rank explains the other */
};

static const struct diagnosis_row rows[] = {
    [DIAGNOSIS_OK] = { "ok", NULL, 11 },
    [DIAGNOSIS_UNREACHABLE] = { "unreachable", "the endpoint can't be reached", 2 },
    [DIAGNOSIS_NAME] = { "name", "the name leads to no address that can be reached from here", 0 },
    [DIAGNOSIS_TUNNEL_INACTIVE] = { "tunnel_inactive", "no connector of the tunnel is connected", 1 },
    [DIAGNOSIS_ORIGIN_DOWN] = { "origin_down", "the way there works, but the service at its end does not answer", 5 },
    [DIAGNOSIS_NO_INGRESS_RULE] = { "no_ingress_rule", "the tunnel's ingress has no rule for this host, its catch-all answered", 4 },
    [DIAGNOSIS_PROBE_BLOCKED] = { "probe_blocked", "the probe is blocked, which says nothing about traffic; let it pass, or give it a service token", 10 },
    [DIAGNOSIS_FORBIDDEN_HEADERS] = { "forbidden_headers",
        "the edge refuses our headers or sees a loop (error 1000); the balancer's own name must be DNS-only", 3 },
    [DIAGNOSIS_WRONG_STATUS] = { "wrong_status", NULL, 7 },
    [DIAGNOSIS_WRONG_BODY] = { "wrong_body", NULL, 8 },
    [DIAGNOSIS_MALFORMED] = { "malformed", "the answer is not valid HTTP", 6 },
    [DIAGNOSIS_CONFIG_DRIFT] = { "config_drift", "the tunnel's rules differ from those of its pool", 9 },
};

_Static_assert(sizeof rows / sizeof *rows == DIAGNOSES, "a row for each diagnosis");

const char *diagnosis_code(enum diagnosis diagnosis)
{
    return rows[diagnosis].code;
}

const char *verdict_state_name(enum verdict_state state)
{
    static const char *const names[] = {
        [VERDICT_HEALTHY] = "healthy", [VERDICT_EJECTED] = "ejected", [VERDICT_UNKNOWN] = "unknown",
        [VERDICT_DOWN] = "down", [VERDICT_DRAINED] = "drained", [VERDICT_DISABLED] = "disabled",
    };
    return names[state];
}

/* Continuation bytes that a UTF-8 lead byte announces; 0 for ASCII and for what is none. */
static size_t utf8_following(unsigned char lead)
{
    return lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
}

/* A text that was cut must not end within a character: status and events show it as JSON. */
static void drop_partial_character(char *text)
{
    size_t n = strlen(text), lead = n;

    while (lead > 0 && n - lead < 3 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
        lead--;
    if (lead > 0 && utf8_following((unsigned char)text[lead - 1]) > n - lead)
        text[lead - 1] = '\0';
}

/* A verdict in the making. Its words are longer than what is kept of them, so that nothing is put behind a cut. */
struct judging {
    struct verdict verdict;
    char words[2 * VERDICT_TEXT_SIZE];
};

static void __attribute__((format(printf, 2, 3))) say(struct judging *v, const char *format, ...)
{
    size_t n = strlen(v->words);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(v->words + n, sizeof v->words - n, format, arguments);
    va_end(arguments);
}

static void keep_words(struct judging *v)
{
    size_t n = strnlen(v->words, sizeof v->verdict.reason - 1);

    memcpy(v->verdict.reason, v->words, n);
    v->verdict.reason[n] = '\0';
    if (v->words[n])
        drop_partial_character(v->verdict.reason);
}

static void say_state(struct judging *v, enum verdict_state state)
{
    v->verdict.state = state;
    say(v, "%s: ", verdict_state_name(state));
}

/* --- what the monitors say together --- */

static enum health monitor_health(const struct monitor_evidence *m)
{
    return m->health == HEALTH_DOWN && m->diagnosis == DIAGNOSIS_PROBE_BLOCKED ? HEALTH_UNKNOWN : m->health;
}

static unsigned count_monitors(const struct evidence *e, enum health health)
{
    unsigned n = 0;

    for (unsigned i = 0; i < e->n_monitors; i++)
        n += monitor_health(&e->monitors[i]) == health;
    return n;
}

static enum health monitors_health(const struct evidence *e)
{
    if (count_monitors(e, HEALTH_DOWN))
        return HEALTH_DOWN;
    return count_monitors(e, HEALTH_UNKNOWN) ? HEALTH_UNKNOWN : HEALTH_UP;
}

/* Of the monitors of that health the one that explains the others; NULL if there is none. */
static const struct monitor_evidence *leading_monitor(const struct evidence *e, enum health health)
{
    const struct monitor_evidence *leading = NULL;

    for (unsigned i = 0; i < e->n_monitors; i++) {
        const struct monitor_evidence *m = &e->monitors[i];
        if (monitor_health(m) == health && (!leading || rows[m->diagnosis].rank < rows[leading->diagnosis].rank))
            leading = m;
    }
    return leading;
}

/* --- the sentences --- */

static void say_times(struct judging *v, unsigned n)
{
    if (n == 1)
        say(v, " once");
    else if (n > 1)
        say(v, " %u times", n);
}

static void say_failure(struct judging *v, const struct monitor_evidence *m)
{
    const char *explanation = rows[m->diagnosis].explanation;
    bool detailed = m->detail[0] != '\0';

    if (m->diagnosis == DIAGNOSIS_OK) { /* down by what was before */
        say(v, "monitor %s passes again, but not often enough yet", m->name);
        return;
    }
    if (!detailed && !explanation)
        say(v, "monitor %s fails", m->name);
    if (detailed) {
        say(v, "%s", m->detail);
        say_times(v, m->failures);
    }
    if (explanation)
        say(v, "%s%s", detailed ? ": " : "", explanation);
}

static void say_other_failures(struct judging *v, const struct evidence *e, const struct monitor_evidence *leading)
{
    for (unsigned i = 0; i < e->n_monitors; i++) {
        const struct monitor_evidence *m = &e->monitors[i];
        if (m != leading && monitor_health(m) == HEALTH_DOWN)
            say(v, "; %s: %s", m->name, m->detail[0] ? m->detail : diagnosis_code(m->diagnosis));
    }
}

static void say_passing(struct judging *v, const struct evidence *e)
{
    if (e->n_monitors == 0)
        say(v, "no monitor, judged by traffic alone");
    else if (e->n_monitors == 1)
        say(v, "monitor %s passes", e->monitors[0].name);
    else
        say(v, "all %u monitors pass", e->n_monitors);
    if (e->consecutive_failures > 1)
        say(v, "; the last %u requests failed", e->consecutive_failures);
}

static void say_without_result(struct judging *v, const struct evidence *e)
{
    const struct monitor_evidence *m = leading_monitor(e, HEALTH_UNKNOWN);

    if (m->diagnosis == DIAGNOSIS_PROBE_BLOCKED) {
        v->verdict.diagnosis = m->diagnosis;
        say_failure(v, m);
    } else if (m->at) {
        say(v, "monitor %s has not seen enough yet", m->name);
        if (m->diagnosis != DIAGNOSIS_OK && m->detail[0])
            say(v, " (last: %s)", m->detail);
    } else {
        say(v, "monitor %s has no result yet", m->name);
    }
}

static enum diagnosis diagnosis_of_traffic(enum reason reason)
{
    switch (reason) {
    case REASON_NO_ADDRESS:
        return DIAGNOSIS_NAME;
    case REASON_STATUS:
        return DIAGNOSIS_ORIGIN_DOWN;
    case REASON_TUNNEL_INACTIVE:
        return DIAGNOSIS_TUNNEL_INACTIVE;
    case REASON_MALFORMED:
        return DIAGNOSIS_MALFORMED;
    default:
        return DIAGNOSIS_UNREACHABLE;
    }
}

static void say_ejected(struct judging *v, const struct evidence *e, nsec_t now)
{
    nsec_t left = e->ejected_until - now;

    v->verdict.diagnosis = diagnosis_of_traffic(e->ejected_for);
    say(v, "requests failed: %s", reason_sentence(e->ejected_for));
    if (left > 0)
        say(v, "; tried again in %lld s", (long long)((left + NSEC_PER_SEC - 1) / NSEC_PER_SEC));
}

/* --- a tunnel of our own edge --- */

static bool lacks_connector(const struct tunnel_evidence *t)
{
    return t->of_edge && !t->usable;
}

static bool is_held_back(const struct tunnel_evidence *t)
{
    return t->exists && t->held_back && t->status != TUNNEL_INACTIVE && t->status != TUNNEL_DOWN;
}

static const char *why_not_connected(const struct tunnel_evidence *t)
{
    if (!t->exists)
        return "there is no such tunnel; `penstock tunnel create` makes one";
    if (t->status == TUNNEL_INACTIVE)
        return "the tunnel is inactive, no connector has ever connected";
    if (t->status == TUNNEL_DOWN)
        return "no connector is connected";
    return "connectors are connected, but none takes requests: they are going, or do not answer";
}

static void judge_without_connector(const struct tunnel_evidence *t, struct judging *v)
{
    if (t->exists && t->status == TUNNEL_UNKNOWN) {
        say_state(v, VERDICT_UNKNOWN);
        say(v, "connectors have time to come back after the start");
        return;
    }
    if (is_held_back(t)) {
        say_state(v, VERDICT_DRAINED);
        say(v, "connectors are connected, but the operator drained them or gave them weight 0");
        return;
    }
    say_state(v, VERDICT_DOWN);
    v->verdict.diagnosis = DIAGNOSIS_TUNNEL_INACTIVE;
    say(v, "%s", why_not_connected(t));
}

/* --- the verdict --- */

static void judge(const struct evidence *e, nsec_t now, struct judging *v)
{
    if (!e->dialable) {
        say_state(v, VERDICT_DOWN);
        v->verdict.diagnosis = DIAGNOSIS_NAME;
        say(v, "%s", e->name_detail[0] ? e->name_detail : rows[DIAGNOSIS_NAME].explanation);
        return;
    }
    if (e->tunnel.refused[0]) {
        say_state(v, e->tunnel.for_a_moment ? VERDICT_UNKNOWN : VERDICT_DOWN);
        v->verdict.diagnosis = e->tunnel.for_a_moment ? DIAGNOSIS_OK : DIAGNOSIS_CONFIG_DRIFT;
        say(v, "%s", e->tunnel.refused);
        return;
    }
    if (lacks_connector(&e->tunnel)) {
        judge_without_connector(&e->tunnel, v);
        return;
    }
    if (v->verdict.health == HEALTH_DOWN) {
        const struct monitor_evidence *leading = leading_monitor(e, HEALTH_DOWN);
        say_state(v, VERDICT_DOWN);
        v->verdict.diagnosis = leading->diagnosis;
        say_failure(v, leading);
        say_other_failures(v, e, leading);
        return;
    }
    if (e->ejected) {
        say_state(v, VERDICT_EJECTED);
        say_ejected(v, e, now);
        return;
    }
    if (v->verdict.health == HEALTH_UNKNOWN) {
        say_state(v, VERDICT_UNKNOWN);
        say_without_result(v, e);
        return;
    }
    say_state(v, VERDICT_HEALTHY);
    say_passing(v, e);
}

static bool is_withheld(const struct evidence *e)
{
    return !e->enabled || e->admin != ADMIN_ENABLED;
}

/* What would be the verdict otherwise follows in brackets. */
static void withhold(const struct evidence *e, struct judging *v)
{
    char otherwise[sizeof v->words];
    const char *who = e->enabled ? "by the operator" : "in the configuration";

    memcpy(otherwise, v->words, sizeof otherwise);
    v->words[0] = '\0';
    v->verdict.state = e->enabled && e->admin == ADMIN_DRAINED ? VERDICT_DRAINED : VERDICT_DISABLED;
    say(v, "%s %s (%s)", verdict_state_name(v->verdict.state), who, otherwise);
}

void verdict_reach(const struct evidence *e, nsec_t now, struct verdict *out)
{
    struct judging v = { .verdict = { .health = monitors_health(e), .diagnosis = DIAGNOSIS_OK } };

    judge(e, now, &v);
    if (is_withheld(e))
        withhold(e, &v);
    keep_words(&v);
    *out = v.verdict;
}
