#include "control/explanation.h"

#include "control/explanation_words.h"
#include "control/status.h"
#include "steering/registry.h"

#include <math.h>
#include <string.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(uint32_t n)
{
    return n == NOT_ASKED ? json_null() : json_integer(n);
}

/* As few digits as tell it: what is kept in single precision shows no noise. */
static json_t *figure(float value)
{
    char digits[32];
    if (!isfinite(value))
        return json_null();
    snprintf(digits, sizeof digits, "%.7g", (double)value);
    return json_real(strtod(digits, NULL));
}

static json_t *told_text(const struct told *t, uint32_t position)
{
    return status_text_json(decision_text(t->decision, position));
}

/* --- steps --- */

static json_t *factors_json(const struct note_candidate *c)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "configured", figure(c->configured), "override", figure(c->given), "slow_start", figure(c->slow_start),
                     "connections", figure(c->connections_share));
}

/* Between connectors the policy has another name, and the file knows no places. */
static bool asks_for_places(const struct told *t, const struct note_step *s)
{
    const char *policy = decision_text(t->decision, s->policy);
    return policy && strcmp(policy, "proximity") == 0 && (s->among == AMONG_POOLS || s->among == AMONG_ENDPOINTS);
}

static json_t *candidate_json(const struct told *t, const struct note_step *s, const struct note_candidate *c)
{
    char why[EXPLANATION_WORDS];
    say_ruled_out(t, s, c, why);
    json_t *out = json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "name", told_text(t, c->name), "chosen", c->index == s->chosen, "ruled_out",
                            status_text_json(*why ? why : NULL), "weight", figure(c->weight), "score", figure(c->score), "in_flight", count(c->in_flight),
                            "latency_ms", number((double)c->latency_s * 1000));
    if (c->connections != NOT_ASKED)
        json_object_set_new(out, "connections", count(c->connections));
    json_object_set_new(out, "weight_factors", factors_json(c));
    if (asks_for_places(t, s))
        json_object_set_new(out, "place", json_string(explanation_place((enum placed)c->placed)));
    if (s->among == AMONG_ENDPOINTS) {
        json_object_set_new(out, "slow_start", figure(c->slow_start));
        json_object_set_new(out, "condition", json_string(explanation_condition((enum condition)c->condition)));
    }
    return out;
}

/* A policy's, by name: of a shared object as long as it is loaded. */
static const char *meaning_of_scores(struct control *control, const char *policy)
{
    const struct steering_policy *p = policy ? steering_find(policy) : NULL;
    if (policy && strcmp(policy, "least_busy") == 0)
        return "requests in flight, 8 more for another worker's, 64 more for a body where uploads stand: the lowest wins";
    for (size_t i = 0; !p && policy && i < control->config->n_modules; i++)
        if (strcmp(steering_module_policy(control->config->modules[i])->name, policy) == 0)
            p = steering_module_policy(control->config->modules[i]);
    return p ? p->scores_are : NULL;
}

static bool has_scores(const struct decision *d, const struct note_step *s)
{
    for (uint32_t i = 0; i < s->listed; i++)
        if (!isnan(decision_candidates(d, s)[i].score))
            return true;
    return false;
}

static json_t *step_json(struct control *control, const struct told *t, const struct note_step *s)
{
    static const char *const names[] = { [AMONG_POOLS] = "pools", [AMONG_ENDPOINTS] = "endpoints", [AMONG_CONNECTORS] = "connectors",
                                         [AMONG_LINES] = "connections" };
    static const char *const within[] = { [AMONG_POOLS] = "pool", [AMONG_ENDPOINTS] = "pool", [AMONG_CONNECTORS] = "tunnel", [AMONG_LINES] = "connector" };
    char words[EXPLANATION_WORDS], others[EXPLANATION_WORDS];
    const char *policy = decision_text(t->decision, s->policy);
    json_t *candidates = json_array(), *chosen = json_null();
    say_step(t, s, words);
    say_others(t, s, others);
    for (uint32_t i = 0; i < s->listed; i++) {
        const struct note_candidate *c = &decision_candidates(t->decision, s)[i];
        json_array_append_new(candidates, candidate_json(t, s, c));
        if (c->index == s->chosen) {
            json_decref(chosen);
            chosen = told_text(t, c->name);
        }
    }
    json_t *out = json_pack("{s:s, s:o, s:s, s:o, s:b, s:o, s:o, s:o, s:i, s:o}", "step", names[s->among], "text", status_text_json(words), "level",
                            explanation_level((enum usability)s->level), "policy", status_text_json(policy), "by_session", (int)s->by_session,
                            within[s->among], told_text(t, s->within), "scores",
                            status_text_json(has_scores(t->decision, s) ? meaning_of_scores(control, policy) : NULL), "chosen", chosen, "of", (int)s->n,
                            "candidates", candidates);
    if (*others)
        json_object_set_new(out, "others", status_text_json(others));
    return out;
}

static void add(json_t *steps, const char *step, const char *words)
{
    if (*words)
        json_array_append_new(steps, json_pack("{s:s, s:o}", "step", step, "text", status_text_json(words)));
}

static json_t *milliseconds(nsec_t t)
{
    return json_real((double)(t / NSEC_PER_USEC) / 1000);
}

static void add_try(json_t *steps, const struct told *t, const struct note_try *note, const char *words)
{
    json_array_append_new(steps, json_pack("{s:s, s:o, s:o, s:o}", "step", "try", "text", status_text_json(words), "endpoint", told_text(t, note->endpoint),
                                           "after_ms", milliseconds(note->after)));
}

static void add_failed(json_t *steps, const struct note_failed *note, const char *words)
{
    json_array_append_new(steps, json_pack("{s:s, s:o, s:s, s:o, s:s, s:o, s:o}", "step", "failed", "text", status_text_json(words), "reason",
                                           reason_code((enum reason)note->reason), "status", note->status ? json_integer(note->status) : json_null(), "then",
                                           explanation_then((enum failed_then)note->then), "refused", status_text_json(explanation_refused(note)), "after_ms",
                                           milliseconds(note->after)));
}

static void add_note(struct control *control, json_t *steps, const struct told *t, const struct note *note)
{
    char words[EXPLANATION_WORDS];
    const void *it = note;
    say_note(t, note, words);
    switch ((enum note_kind)note->kind) {
    case NOTE_ON_SHEET: break; /* it is unfolded */
    case NOTE_STEP: json_array_append_new(steps, step_json(control, t, it)); break;
    case NOTE_SESSION: add(steps, "session", words); break;
    case NOTE_LIST: add(steps, "list", words); break;
    case NOTE_LAST_RESORT: add(steps, "last_resort", words); break;
    case NOTE_QUEUED: add(steps, "queue", words); break;
    case NOTE_TRY: add_try(steps, t, it, words); break;
    case NOTE_FAILED: add_failed(steps, it, words); break;
    case NOTE_FAILOVER: add(steps, "failover", words); break;
    }
}

static const struct note_step *as_step(const struct note *note)
{
    return note->kind == NOTE_STEP ? (const void *)note : NULL;
}

/* Nobody was found, and nobody is by the same question at a lower level, before anything happens: that one says it all. */
static bool is_repeated(const struct told *t, const struct note *note)
{
    const struct note_step *s = as_step(note), *later;
    if (!s || s->chosen != NOT_ASKED)
        return false;
    for (const struct note *n = decision_next(t->decision, note); n; n = decision_next(t->decision, n)) {
        if (!(later = as_step(n)))
            return false;
        const char *within = decision_text(t->decision, s->within), *its_within = decision_text(t->decision, later->within);
        bool same = later->among == s->among && (!within || !its_within ? within == its_within : strcmp(within, its_within) == 0);
        if (same)
            return later->chosen == NOT_ASKED;
    }
    return false;
}

static void add_end(json_t *steps, const struct told *t)
{
    const struct decision *d = t->decision;
    char words[EXPLANATION_WORDS];
    say_end(t, words);
    json_array_append_new(steps, json_pack("{s:s, s:o, s:o, s:o, s:I, s:b}", "step", "end", "text", status_text_json(words), "after_ms", milliseconds(d->took),
                                           "first_byte_ms", d->first_byte ? milliseconds(d->first_byte) : json_null(), "bytes", (json_int_t)d->bytes,
                                           "session_cookie", (int)d->gives_cookie));
}

static json_t *steps_json(struct control *control, const struct told *t)
{
    const struct decision *d = t->decision;
    json_t *steps = json_array();
    char words[EXPLANATION_WORDS];
    if (d->load_balancer) {
        say_load_balancer(t, words);
        add(steps, "load_balancer", words);
    }
    if (d->rule_line) {
        say_rule(t, words);
        add(steps, "rule", words);
    }
    say_place(t, words);
    add(steps, "place", words);
    for (const struct note *n = decision_first(d); n; n = decision_next(d, n))
        if (!is_repeated(t, n))
            add_note(control, steps, t, n);
    if (d->cut)
        add(steps, "cut", "there was more, for which there is no room");
    if (d->over)
        add_end(steps, t);
    return steps;
}

/* --- the whole --- */

static json_t *pool_json(const struct told *t)
{
    const char *endpoint = decision_text(t->decision, t->decision->endpoint), *slash = endpoint ? strchr(endpoint, '/') : NULL;
    return slash ? json_stringn(endpoint, (size_t)(slash - endpoint)) : json_null();
}

static json_t *last_chosen(const struct told *t, enum step_among among)
{
    const struct note_candidate *last = NULL;
    for (const struct note *n = decision_first(t->decision); n; n = decision_next(t->decision, n)) {
        const void *it = n;
        const struct note_step *s = it;
        if (n->kind == NOTE_STEP && s->among == among)
            last = s->chosen == NOT_ASKED ? NULL : decision_candidate(t->decision, s, s->chosen);
    }
    return last ? told_text(t, last->name) : json_null();
}

/* Its length alone was too much, whoever it is for. */
static bool is_refused(const struct decision *d)
{
    return d->over && d->reason == REASON_BODY_TOO_LARGE && !d->endpoint && !d->queued;
}

static json_t *whole_json(struct control *control, const struct told *t, const char *reason)
{
    const struct decision *d = t->decision;
    json_t *answer = d->direction == DIRECT_RESPONSE && !is_refused(d) ? json_integer(d->status) : json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "load_balancer", told_text(t, d->load_balancer), "rule", told_text(t, d->rule),
                     "rule_answers", answer, "pool", pool_json(t), "endpoint", told_text(t, d->endpoint), "connector",
                     last_chosen(t, AMONG_CONNECTORS), "connection", last_chosen(t, AMONG_LINES), "reason", status_text_json(reason), "steps",
                     steps_json(control, t));
}

json_t *explanation_json(struct control *control, const struct explanation *x)
{
    const struct told told = { control, x->decision };
    char reason[EXPLANATION_WORDS];
    say_reason(&told, x->result, reason);
    return whole_json(control, &told, reason);
}

static json_t *client_json(const struct decision *d)
{
    char text[ADDRESS_TEXT_SIZE];
    return d->client_family ? json_stringn(text, address_format_host(&d->client, text)) : json_null();
}

static json_t *request_json(const struct told *t)
{
    const struct decision *d = t->decision;
    const char *line = decision_text(d, d->request_line), *space = line ? strchr(line, ' ') : NULL;
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "request", status_text_json(d->id), "client", client_json(d), "method",
                     space ? json_stringn(line, (size_t)(space - line)) : json_null(), "host", told_text(t, d->host), "target",
                     status_text_json(space ? space + 1 : NULL));
}

static void say_why(const struct told *t, char *words)
{
    const struct decision *d = t->decision;
    if (is_refused(d))
        say_refused(t, words);
    else if (d->endpoint || d->lost)
        say_reason(t, CHOICE_MADE, words);
    else
        say_reason(t, d->queued || !d->over ? CHOICE_FULL : CHOICE_NONE, words);
}

static json_t *outcome_json(const struct told *t)
{
    const struct decision *d = t->decision;
    char started[CLOCK_RFC3339_SIZE], words[EXPLANATION_WORDS];
    say_outcome(t, words);
    return json_pack("{s:s, s:b, s:o, s:o, s:o, s:o}", "started", clock_rfc3339(d->started_wall, started), "under_way", (int)!d->over, "status",
                     d->over && d->status ? json_integer(d->status) : json_null(), "took_ms", d->over ? milliseconds(d->took) : json_null(), "ended",
                     status_text_json(d->over ? reason_code((enum reason)d->reason) : NULL), "outcome", status_text_json(words));
}

json_t *explanation_remembered_json(struct control *control, const struct decision *d, unsigned same_id)
{
    const struct told told = { NULL, d };
    char words[EXPLANATION_WORDS];
    say_why(&told, words);
    json_t *out = whole_json(control, &told, words);
    json_object_update_new(out, request_json(&told));
    json_object_update_new(out, outcome_json(&told));
    json_object_set_new(out, "same_id", json_integer(same_id));
    return out;
}

json_t *explanation_row_json(const struct decision *d)
{
    const struct told told = { NULL, d };
    json_int_t tries = 0;
    for (const struct note *n = decision_first(d); n; n = decision_next(d, n))
        tries += n->kind == NOTE_TRY;
    json_t *out = request_json(&told);
    json_object_update_new(out, json_pack("{s:o, s:o, s:I}", "load_balancer", told_text(&told, d->load_balancer), "endpoint",
                                          told_text(&told, d->endpoint), "tries", tries));
    json_object_update_new(out, outcome_json(&told));
    return out;
}
