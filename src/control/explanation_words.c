#include "control/explanation_words.h"

#include "base/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WORDS = EXPLANATION_WORDS };

struct term {
    const char *code, *words;
};

/* Whom a step considers. */
static const struct term levels[] = {
    [USABLE_HEALTHY] = { "healthy", "the healthy ones" },
    [USABLE_EJECTED] = { "ejected", "the healthy ones and those that traffic ejected" },
    [USABLE_UNKNOWN] = { "unknown", "those that are not down" },
    [USABLE_LAST_RESORT] = { "last_resort", "all of them, whatever their health" },
};

static const struct term conditions[] = {
    [CONDITION_DISABLED_BY_FILE] = { "disabled_by_file", "disabled by the configuration" },
    [CONDITION_DISABLED] = { "disabled", "disabled by the operator" },
    [CONDITION_DRAINED] = { "drained", "drained by the operator" },
    [CONDITION_NO_CONNECTOR] = { "no_connector", "no connector of its tunnel takes requests" },
    [CONDITION_KEPT_OUT] = { "kept_out", "kept out by \"identical\": its rules differ from the pool's" },
    [CONDITION_NO_ADDRESS] = { "no_address", "its name has no address that can be reached" },
    [CONDITION_DOWN] = { "down", "down: its monitors fail" },
    [CONDITION_UNKNOWN_EJECTED] = { "unknown_ejected", "no monitor has had a verdict yet, and traffic ejected it" },
    [CONDITION_UNKNOWN] = { "unknown", "no monitor has had a verdict yet" },
    [CONDITION_EJECTED] = { "ejected", "ejected by traffic" },
    [CONDITION_GOOD] = { "good", "good" },
};

const char *explanation_level(enum usability level)
{
    return levels[level].code;
}

const char *explanation_condition(enum condition condition)
{
    return conditions[condition].code;
}

const char *explanation_place(enum placed placed)
{
    static const char *const words[] = { [PLACED_NOWHERE] = "at a place that is not known", [PLACED_BY_FILE] = "where the configuration says",
                                         [PLACED_BY_POOL] = "where its pool is", [PLACED_BY_EDGE] = "where our edge is",
                                         [PLACED_BY_ENDPOINT] = "where the first of its endpoints is that has a place" };
    return words[placed];
}

const char *explanation_then(enum failed_then then)
{
    static const char *const codes[] = { [THEN_ANSWERED] = "answered", [THEN_AGAIN] = "again", [THEN_NOBODY] = "nobody", [THEN_FULL] = "full",
                                         [THEN_NO_BUDGET] = "no_budget", [THEN_WAITS] = "waits" };
    return codes[then];
}

static const char *text(const struct told *t, uint32_t position)
{
    const char *found = decision_text(t->decision, position);
    return found ? found : "?";
}

/* --- why one is out --- */

static void say_unusable_endpoint(const struct told *t, const struct note_candidate *c, char *out)
{
    const struct endpoint_record *record = t->control ? control_find_endpoint(t->control, text(t, c->name)) : NULL;
    bool ejected = c->condition == CONDITION_EJECTED || c->condition == CONDITION_UNKNOWN_EJECTED;
    if (record && *record->verdict.reason)
        snprintf(out, WORDS, "%s", record->verdict.reason);
    else
        snprintf(out, WORDS, "%s%s%s", conditions[c->condition].words, ejected && c->ejected_for ? ": " : "",
                 ejected && c->ejected_for ? reason_sentence((enum reason)c->ejected_for) : "");
}

static void say_unusable_pool(const struct told *t, const struct note_candidate *c, char *out)
{
    struct pool_record *record = NULL;
    const char *name = text(t, c->name);
    if (t->control)
        HASH_FIND_STR(t->control->pools, name, record);
    int n = snprintf(out, WORDS, "it lacks its minimum of such endpoints");
    if (record && *record->reason)
        snprintf(out + n, (size_t)(WORDS - n), ": it is %s, %s", pool_state_name(record->state), record->reason);
}

void say_ruled_out(const struct told *t, const struct note_step *s, const struct note_candidate *c, char *out)
{
    *out = '\0';
    switch ((enum ruled_out)c->ruled_out) {
    case RULED_IN:
    case RULED_OUTS: break;
    case RULED_USABILITY:
        if (s->among == AMONG_POOLS)
            say_unusable_pool(t, c, out);
        else
            say_unusable_endpoint(t, c, out);
        break;
    case RULED_DISABLED: snprintf(out, WORDS, "the pool is disabled"); break;
    case RULED_WEIGHT: snprintf(out, WORDS, "its weight is 0"); break;
    case RULED_TRIED: snprintf(out, WORDS, "the request failed there"); break;
    case RULED_FULL: snprintf(out, WORDS, "it has as many requests as its max_in_flight lets it, %u", c->in_flight); break;
    case RULED_SHED: snprintf(out, WORDS, "it sheds this request (load_shedding)"); break;
    case RULED_EMPTY: snprintf(out, WORDS, s->among == AMONG_POOLS ? "none of its endpoints can be used" : "none of its connections can be used"); break;
    case RULED_DRAINED: snprintf(out, WORDS, "drained by the operator"); break;
    case RULED_DOUBTFUL: snprintf(out, WORDS, "one of its connections failed the request, or does not answer"); break;
    case RULED_SUSPECT: snprintf(out, WORDS, "it does not answer"); break;
    case RULED_GOING: snprintf(out, WORDS, "it ends: no new request"); break;
    case RULED_SICK: snprintf(out, WORDS, "monitors found that it carries no requests"); break;
    }
}

/* --- steps --- */

static const char *chooser(const struct told *t, const struct note_step *s)
{
    return s->by_session ? "the session's key" : text(t, s->policy);
}

static const char *name_of_chosen(const struct told *t, const struct note_step *s)
{
    const struct note_candidate *c = s->chosen == NOT_ASKED ? NULL : decision_candidate(t->decision, s, s->chosen);
    return c && c->name ? text(t, c->name) : "one";
}

static void say_where(const struct told *t, const struct note_step *s, char *out)
{
    switch ((enum step_among)s->among) {
    case AMONG_POOLS: snprintf(out, WORDS / 2, "of the pools, %s", levels[s->level].words); break;
    case AMONG_ENDPOINTS: snprintf(out, WORDS / 2, "in pool %s, of its endpoints, %s", text(t, s->within), levels[s->level].words); break;
    case AMONG_CONNECTORS: snprintf(out, WORDS / 2, "in tunnel %s, of its connectors", text(t, s->within)); break;
    case AMONG_LINES: snprintf(out, WORDS / 2, "of connector %.8s's connections", text(t, s->within)); break;
    }
}

void say_step(const struct told *t, const struct note_step *s, char *out)
{
    char where[WORDS / 2];
    say_where(t, s, where);
    if (!s->asked)
        snprintf(out, WORDS, "%s: there are none", where);
    else if (s->chosen == NOT_ASKED)
        snprintf(out, WORDS, "%s: none is left", where);
    else
        snprintf(out, WORDS, "%s: %s chooses %s", where, chooser(t, s), name_of_chosen(t, s));
}

void say_others(const struct told *t, const struct note_step *s, char *out)
{
    static const char *const words[] = { [RULED_IN] = "could have been chosen", [RULED_USABILITY] = "not usable", [RULED_DISABLED] = "disabled",
                                         [RULED_WEIGHT] = "of weight 0" };
    uint32_t left[RULED_WEIGHT + 1];
    size_t n = 0;
    *out = '\0';
    if (s->listed >= s->n)
        return;
    memcpy(left, s->out, sizeof left);
    for (uint32_t i = 0; i < s->listed; i++) {
        unsigned why = decision_candidates(t->decision, s)[i].ruled_out;
        unsigned from = why <= RULED_WEIGHT ? why : RULED_IN; /* who was in from the start, and out later */
        left[from] -= left[from] > 0;
    }
    n = (size_t)snprintf(out, WORDS, "of %u, %u not listed", s->n, s->n - s->listed);
    for (unsigned i = 0, k = 0; i <= RULED_WEIGHT; i++)
        if (left[i])
            n += (size_t)snprintf(out + n, WORDS - n, "%s%u %s", k++ ? ", " : ": ", left[i], words[i]);
}

/* --- what else is noted --- */

void say_load_balancer(const struct told *t, char *out)
{
    snprintf(out, WORDS, "the host %s is served by the load balancer %s", text(t, t->decision->host), text(t, t->decision->load_balancer));
}

void say_rule(const struct told *t, char *out)
{
    const char *name = decision_text(t->decision, t->decision->rule);
    snprintf(out, WORDS, "its rule %s%sof line %u holds", name ? name : "", name ? " " : "", t->decision->rule_line);
}

void say_place(const struct told *t, char *out)
{
    const struct place *p = &t->decision->place;
    *out = '\0';
    if (!t->decision->located || (!*p->country && isnan(p->latitude)))
        return;
    snprintf(out, WORDS, "the client is in %s%s%s, region %s", *p->country ? p->country : "an unknown country", *p->subdivision ? "-" : "", p->subdivision,
             p->region ? region_name((enum region)p->region) : "unknown");
}

static void say_list(const struct told *t, const struct note_list *note, char *out)
{
    const struct place *p = &t->decision->place;
    const char *key = pool_map_key((enum pool_map_kind)note->by);
    if (t->decision->rule_has_pools) {
        snprintf(out, WORDS, "it may go to the `pools` of the rule");
        return;
    }
    switch ((enum pool_map_kind)note->by) {
    case MAP_NONE: snprintf(out, WORDS, "it may go to the pools of `%s`%s", key, note->maps ? ", for no map has the client" : ""); return;
    case MAP_CLIENT: snprintf(out, WORDS, "it may go to the pools that `%s` has for its address", key); return;
    case MAP_SUBDIVISION: snprintf(out, WORDS, "it may go to the pools that `%s` has for %s-%s", key, p->country, p->subdivision); return;
    case MAP_COUNTRY: snprintf(out, WORDS, "it may go to the pools that `%s` has for %s", key, p->country); return;
    case MAP_REGION: snprintf(out, WORDS, "it may go to the pools that `%s` has for %s", key, region_name((enum region)p->region)); return;
    }
}

static const char *why_no_session(const struct note_session *note)
{
    switch ((enum ruled_out)note->why_not) {
    case RULED_SHED: return "the pool sheds this request";
    case RULED_TRIED: return "the request failed there";
    default: break;
    }
    switch ((enum condition)note->condition) {
    case CONDITION_GOOD:
    case CONDITION_UNKNOWN: return "the pool is disabled";
    default: return conditions[note->condition].words;
    }
}

static void say_no_session(const struct told *t, const struct note_session *note, char *out)
{
    const char *name = text(t, note->name), *found = note->type == AFFINITY_IP_COOKIE ? ", by its address" : "";
    switch ((enum session_told)note->told) {
    case SESSION_KNOWN: break;
    case SESSION_KEYED: snprintf(out, WORDS, "its session is what its header %s says, whose hash leads it", name); break;
    case SESSION_ABSENT:
        if (note->type == AFFINITY_HEADER)
            snprintf(out, WORDS, "it has no session, for it has no header %s", name);
        else
            snprintf(out, WORDS, "it has no session so far (no cookie %s): one begins where it is answered%s", name, found);
        break;
    case SESSION_REFUSED:
        snprintf(out, WORDS, "its cookie %s is forged, damaged, or another load balancer's: ignored, a session begins anew%s", name, found);
        break;
    case SESSION_OVER: snprintf(out, WORDS, "its session (cookie %s) is over, by ttl or idle: another begins%s", name, found); break;
    case SESSION_GONE:
        snprintf(out, WORDS, "the endpoint of its session (cookie %s) is none of this load balancer any more: another session begins%s", name, found);
        break;
    }
}

static void say_session(const struct told *t, const struct note_session *note, char *out)
{
    if (note->told != SESSION_KNOWN)
        say_no_session(t, note, out);
    else if (note->stays && note->of_connector && note->connector_takes_it)
        snprintf(out, WORDS, "its session is at %s, connector %s, and stays there", text(t, note->endpoint), text(t, note->connector));
    else if (note->stays && note->of_connector && note->connector)
        snprintf(out, WORDS, "its session is at %s, and stays there, but not at its connector %s, which can't have it now", text(t, note->endpoint),
                 text(t, note->connector));
    else if (note->stays && note->of_connector)
        snprintf(out, WORDS, "its session is at %s, and stays there, but its connector is not connected", text(t, note->endpoint));
    else if (note->stays)
        snprintf(out, WORDS, "its session is at %s, and stays there", text(t, note->endpoint));
    else
        snprintf(out, WORDS, "its session is at %s, which can't have it now (%s): the request is steered like any other", text(t, note->endpoint),
                 why_no_session(note));
}

static void say_last_resort(const struct told *t, const struct note_last_resort *note, char *out)
{
    if (note->fallback_pool)
        snprintf(out, WORDS, "no pool can be used: the fallback pool %s serves, whatever its health", text(t, note->fallback_pool));
    else
        snprintf(out, WORDS, "no pool can be used: the least bad endpoint serves");
}

static void say_milliseconds(nsec_t t, char out[static 32])
{
    double ms = (double)t / (double)NSEC_PER_MSEC;
    if (ms >= 1000)
        snprintf(out, 32, "%.2f s", ms / 1000);
    else
        snprintf(out, 32, "%.*f ms", ms < 10 ? 2 : ms < 100 ? 1 : 0, ms);
}

static void say_queued(const struct note_queued *note, char *out)
{
    char after[32];
    say_milliseconds(note->after, after);
    snprintf(out, WORDS, "after %s: those that could be used have all the requests they may have, so it waits; it looked %u time%s", after, note->times,
             note->times == 1 ? "" : "s");
}

static void say_try(const struct told *t, const struct note_try *note, char *out)
{
    static const char *const words[] = { [TRY_FIRST] = "it goes to", [TRY_OTHER] = "it is sent again, to",
                                         [TRY_SAME_FRESH] = "it is sent again, over a fresh connection, to",
                                         [TRY_OTHER_LINE] = "it is sent again, over another connection of its tunnel, to" };
    char after[32];
    say_milliseconds(note->after, after);
    snprintf(out, WORDS, "after %s: %s %s", after, words[note->how], text(t, note->endpoint));
}

static const struct term refusals[] = {
    [REFUSED_NOT] = { NULL, NULL },
    [REFUSED_NO_FAILURE] = { "no_failure", "no endpoint is to blame" },
    [REFUSED_BEGUN] = { "begun", "the client has a part of the response" },
    [REFUSED_BODY] = { "body", "its body was not kept whole (failover.buffer)" },
    [REFUSED_KIND] = { "kind", "such failures are not among failover.on" },
    [REFUSED_METHOD] = { "method", "its method is not one that may be sent twice, and the endpoint may have acted on it" },
    [REFUSED_TIMED_OUT] = { "timed_out", "it timed out for the second time" },
    [REFUSED_RETRIES] = { "retries", "as many others as may be were tried (failover.retries)" },
    [REFUSED_SESSION] = { "session", "its session may not leave (session_affinity.failover)" },
};

const char *explanation_refused(const struct note_failed *note)
{
    return note->then == THEN_ANSWERED ? refusals[note->refused].code : NULL;
}

static void say_then(const struct note_failed *note, char out[static WORDS / 4])
{
    static const char *const thens[] = { [THEN_ANSWERED] = "the request is not sent again", [THEN_AGAIN] = "the request is sent again",
                                         [THEN_NOBODY] = "there is no other to send it to", [THEN_FULL] = "all others have as many requests as they may have",
                                         [THEN_NO_BUDGET] = "too many are sent again already (the budget of retries)",
                                         [THEN_WAITS] = "it waits on, for it can't be sent to another" };
    const char *refused = explanation_refused(note) ? refusals[note->refused].words : NULL;
    int n = snprintf(out, WORDS / 4, "%s%s%s", thens[note->then], refused ? ": " : "", refused ? refused : "");
    if (note->retry)
        snprintf(out + n, (size_t)(WORDS / 4 - n), " (retry %u of %u)", note->retry, note->retries);
}

static void say_failed(const struct told *t, const struct note_failed *note, char *out)
{
    char after[32], then[WORDS / 4];
    const char *detail = decision_text(t->decision, note->detail);
    say_milliseconds(note->after, after);
    say_then(note, then);
    if (note->status)
        snprintf(out, WORDS, "after %s: that answered %u: %s", after, note->status, then);
    else
        snprintf(out, WORDS, "after %s: that failed, %s%s%s%s: %s", after, reason_sentence((enum reason)note->reason), detail ? " (" : "",
                 detail ? detail : "", detail ? ")" : "", then);
}

static void say_failover(const struct note_failover *note, char *out)
{
    snprintf(out, WORDS, "should it fail there, up to %u other%s of %s may be tried", note->retries, note->retries == 1 ? "" : "s",
             note->across_pools ? "all these pools" : "the same pool");
}

void say_note(const struct told *t, const struct note *note, char *out)
{
    const void *it = note;
    *out = '\0';
    switch ((enum note_kind)note->kind) {
    case NOTE_STEP:
    case NOTE_ON_SHEET: break;
    case NOTE_SESSION: say_session(t, it, out); break;
    case NOTE_LIST: say_list(t, it, out); break;
    case NOTE_LAST_RESORT: say_last_resort(t, it, out); break;
    case NOTE_QUEUED: say_queued(it, out); break;
    case NOTE_TRY: say_try(t, it, out); break;
    case NOTE_FAILED: say_failed(t, it, out); break;
    case NOTE_FAILOVER: say_failover(it, out); break;
    }
}

/* --- the outcome --- */

/* What decided last. */
struct choice {
    const struct note_step *pools, *endpoints;
    const struct note_failed *failed; /* and came to nothing */
    bool last_resort, session_stays;
};

static struct choice last_choice(const struct decision *d)
{
    struct choice c = { 0 };
    for (const struct note *n = decision_first(d); n; n = decision_next(d, n)) {
        const void *it = n;
        const struct note_step *s = it;
        if (n->kind == NOTE_SESSION)
            c = (struct choice){ .session_stays = ((const struct note_session *)it)->stays };
        else if (n->kind == NOTE_LAST_RESORT)
            c.last_resort = true;
        else if (n->kind == NOTE_FAILED && ((const struct note_failed *)it)->then != THEN_WAITS)
            c.failed = it;
        else if (n->kind == NOTE_TRY)
            c.failed = NULL;
        else if (n->kind == NOTE_STEP && s->chosen != NOT_ASKED && s->among == AMONG_POOLS)
            c.pools = s;
        else if (n->kind == NOTE_STEP && s->chosen != NOT_ASKED && s->among == AMONG_ENDPOINTS)
            c.endpoints = s;
    }
    return c;
}

static void say_last_failure(const struct note_failed *failed, char *out)
{
    char then[WORDS / 4];
    say_then(failed, then);
    if (failed->status)
        snprintf(out, WORDS, "the last that was tried answered %u: %s", failed->status, then);
    else
        snprintf(out, WORDS, "it failed at the last that was tried, %s: %s", reason_sentence((enum reason)failed->reason), then);
}

static void say_choice(const struct told *t, char *out)
{
    struct choice c = last_choice(t->decision);
    if (t->decision->lost)
        snprintf(out, WORDS, "there was no room to note where it went last");
    else if (c.failed)
        say_last_failure(c.failed, out);
    else if (c.session_stays)
        snprintf(out, WORDS, "its session is there");
    else if (c.last_resort)
        snprintf(out, WORDS, "no pool can be used, so health is ignored; in pool %s, %s chose it", c.endpoints ? text(t, c.endpoints->within) : "?",
                 c.endpoints ? chooser(t, c.endpoints) : "its policy");
    else if (c.pools && c.endpoints)
        snprintf(out, WORDS, "between the pools, %s chose %s; within it, %s chose this endpoint%s%s", chooser(t, c.pools), text(t, c.endpoints->within),
                 chooser(t, c.endpoints), c.endpoints->level > USABLE_HEALTHY ? ", none being healthy, of " : "",
                 c.endpoints->level > USABLE_HEALTHY ? levels[c.endpoints->level].words : "");
    else if (c.endpoints)
        snprintf(out, WORDS, "within pool %s, %s chose this endpoint", text(t, c.endpoints->within), chooser(t, c.endpoints));
    else
        snprintf(out, WORDS, "there was no room to note who else could have been chosen");
}

static void say_nobody(const struct decision *d, const char *why, char *out)
{
    snprintf(out, WORDS, "%s: %u%s", why, d->down_status, d->down_page ? ", and the page" : "");
}

void say_reason(const struct told *t, enum choice_result result, char *out)
{
    switch ((enum direction)t->decision->direction) {
    case DIRECT_NO_LOAD_BALANCER: snprintf(out, WORDS, "no load balancer serves this host: 404"); return;
    case DIRECT_DISABLED: say_nobody(t->decision, "the load balancer is disabled", out); return;
    case DIRECT_RESPONSE: snprintf(out, WORDS, "the rule answers by itself, with status %u", t->decision->status); return;
    case DIRECT_TO_ENDPOINTS: break;
    }
    switch (result) {
    case CHOICE_MADE: say_choice(t, out); break;
    case CHOICE_FULL:
        snprintf(out, WORDS, "those that could be used have all the requests they may have: it waits in the queue (timeouts.queue), then 503");
        break;
    case CHOICE_NONE: say_nobody(t->decision, "there is nobody to send to", out); break;
    }
}

void say_refused(const struct told *t, char *out)
{
    snprintf(out, WORDS, "%s: %u", reason_sentence((enum reason)t->decision->reason), t->decision->status);
}

void say_end(const struct told *t, char *out)
{
    const struct decision *d = t->decision;
    char took[32], first[32];
    say_milliseconds(d->took, took);
    say_milliseconds(d->first_byte, first);
    int n = d->status ? snprintf(out, WORDS, "after %s: answered with %u, %" PRIu64 " bytes of body", took, d->status, d->bytes)
                      : snprintf(out, WORDS, "after %s: it ended without an answer", took);
    if (d->first_byte)
        n += snprintf(out + n, (size_t)(WORDS - n), "; the endpoint's answer began after %s", first);
    if (d->gives_cookie)
        n += snprintf(out + n, (size_t)(WORDS - n), "; with it went the session's cookie");
    if (d->reason)
        snprintf(out + n, (size_t)(WORDS - n), "; %s", reason_sentence((enum reason)d->reason));
}

void say_outcome(const struct told *t, char *out)
{
    const struct decision *d = t->decision;
    char took[32];
    say_milliseconds(d->over ? d->took : clock_wall() - d->started_wall, took);
    int n;
    if (!d->over)
        n = snprintf(out, WORDS, "it is under way, for %s now", took);
    else if (d->status)
        n = snprintf(out, WORDS, "answered with %u after %s", d->status, took);
    else
        n = snprintf(out, WORDS, "not answered, ended after %s", took);
    if (d->over && d->reason)
        snprintf(out + n, (size_t)(WORDS - n), ": %s", reason_sentence((enum reason)d->reason));
}
