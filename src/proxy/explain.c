#include "proxy/explain.h"

#include "base/mem.h"
#include "proxy/affinity.h"
#include "proxy/exchange.h"
#include "proxy/forward.h"
#include "proxy/remembered.h"

#include <math.h>

_Static_assert(DECISION_ID_SIZE == EXCHANGE_ID_MAX + 1, "an id fits");

enum { HOST_MAX = 80, REQUEST_LINE_MAX = 176, DETAIL_MAX = 120 };

static nsec_t since_start(const struct exchange *ex)
{
    return ex->times.start ? worker_now(ex->worker) - ex->times.start : 0;
}

/* --- beginning and end --- */

static void note_request(struct decision *d, const struct exchange *ex)
{
    struct address room;
    const struct address *client = forward_client(ex, &room);
    d->started_wall = ex->started_wall;
    size_t line = ex->head->target + ex->head->target_len - ex->head->start;
    d->request_line = decision_add_text(d, (struct slice){ ex->base + ex->head->start, line }, REQUEST_LINE_MAX);
    d->host = decision_add_text(d, ex->message.host_port, HOST_MAX);
    if (!client)
        return;
    d->client_family = client->sa.sa_family;
    d->client = *client;
}

void explain_begin(struct exchange *ex)
{
    if (!ex->only && remembered_begin(ex->worker->remembered, ex->request_id, EXPLAIN_LISTED, &ex->decision))
        note_request(ex->decision, ex);
}

void explain_end(struct exchange *ex, enum reason reason)
{
    struct decision *d = ex->decision;
    if (!d)
        return;
    d->over = true;
    d->reason = (uint8_t)reason;
    d->status = ex->status;
    d->took = since_start(ex);
    d->first_byte = ex->times.first_byte ? ex->times.first_byte - ex->times.start : 0;
    d->bytes = ex->response_bytes;
}

void explain_let_go(struct exchange *ex)
{
    if (ex->decision && !ex->explanation)
        remembered_end(ex->worker->remembered, ex->decision);
    ex->decision = NULL;
}

/* --- what is told --- */

void explain_directed(const struct exchange *ex, enum direction direction, const struct rule *rule)
{
    struct decision *d = ex->decision;
    if (!d)
        return;
    d->direction = (uint8_t)direction;
    if (!ex->load_balancer)
        return;
    const struct down_page *page = &ex->load_balancer->down_page;
    d->load_balancer = decision_add_text(d, slice_of(ex->load_balancer->name), DECISION_TEXT_MAX);
    d->down_page = page->file != NULL;
    d->down_status = page->file ? (uint16_t)page->status : 503;
    if (!rule)
        return;
    d->rule_line = rule->at.line;
    d->rule_has_pools = rule->own_pools;
    d->status = (uint16_t)rule->response.status;
    d->rule = rule->name ? decision_add_text(d, slice_of(rule->name), DECISION_TEXT_MAX) : 0;
}

void explain_located(const struct exchange *ex)
{
    if (!ex->decision)
        return;
    ex->decision->located = true;
    ex->decision->place = ex->place;
}

void explain_list(const struct exchange *ex, enum pool_map_kind by)
{
    bool only_list = ex->load_balancer->n_lists == 1; /* nothing was chosen */
    struct note_list *note = only_list && !ex->explanation ? NULL : DECISION_ADD(ex->decision, NOTE_LIST, note_list);
    if (!note)
        return;
    note->by = (uint8_t)by;
    note->maps = ex->load_balancer->n_lists > 1;
}

void explain_session(const struct exchange *ex, enum ruled_out why_not)
{
    struct note_session *note = DECISION_ADD(ex->decision, NOTE_SESSION, note_session);
    if (ex->decision)
        ex->decision->choice = 0;
    if (!note)
        return;
    note->stays = why_not == RULED_IN;
    note->why_not = (uint8_t)why_not;
    note->condition = (uint8_t)endpoint_condition(ex->session.endpoint, worker_now(ex->worker));
    note->endpoint = decision_add_name(ex->decision, ex->session.endpoint->id);
    struct tunnel_home home;
    if (!ex->session.connector || !affinity_home(ex, &home))
        return;
    note->of_connector = true;
    note->connector_takes_it = home.takes_it;
    if (*home.id)
        note->connector = decision_add_text(ex->decision, slice_of(home.id), sizeof home.id);
}

void explain_no_session(const struct exchange *ex, enum session_told told)
{
    const struct affinity_conf *a = &ex->load_balancer->affinity;
    struct note_session *note = DECISION_ADD(ex->decision, NOTE_SESSION, note_session);
    if (!note)
        return;
    note->told = (uint8_t)told;
    note->type = (uint8_t)a->type;
    note->name = decision_add_name(ex->decision, a->name ? a->name : a->header);
}

void explain_gives_cookie(const struct exchange *ex)
{
    if (ex->decision)
        ex->decision->gives_cookie = true;
}

void explain_last_resort(const struct exchange *ex, const struct pool *fallback)
{
    struct note_last_resort *note = DECISION_ADD(ex->decision, NOTE_LAST_RESORT, note_last_resort);
    if (note)
        note->fallback_pool = fallback ? decision_add_name(ex->decision, fallback->name) : 0;
}

void explain_queued(const struct exchange *ex)
{
    decision_add_queued(ex->decision, since_start(ex));
}

void explain_try(const struct exchange *ex, enum try_how how)
{
    if (ex->decision)
        decision_add_try(ex->decision, how, ex->decision->choice ? NULL : ex->endpoint->id, since_start(ex));
}

void explain_failed(const struct exchange *ex, enum reason reason, unsigned status, const char *detail)
{
    struct decision *d = ex->decision;
    struct note_failed *note = DECISION_ADD(d, NOTE_FAILED, note_failed);
    if (d)
        d->failed = note ? d->last : 0;
    if (!note)
        return;
    note->reason = (uint8_t)reason;
    note->status = (uint16_t)status;
    note->after = since_start(ex);
    note->detail = detail ? decision_add_text(d, slice_of(detail), DETAIL_MAX) : 0;
}

static struct note_failed *last_failure(const struct decision *d)
{
    return d && d->failed ? decision_at(d, d->failed) : NULL;
}

void explain_then(const struct exchange *ex, enum failed_then then)
{
    struct note_failed *last = last_failure(ex->decision);
    if (last)
        last->then = (uint8_t)then;
}

void explain_retry(const struct exchange *ex)
{
    struct note_failed *last = last_failure(ex->decision);
    if (!last)
        return;
    last->then = THEN_AGAIN;
    last->retry = ex->retries;
    last->retries = (uint8_t)ex->load_balancer->failover.retries;
}

void explain_refused(const struct exchange *ex, enum retry_refused refused)
{
    struct note_failed *last = last_failure(ex->decision);
    if (last)
        last->refused = (uint8_t)refused;
}

static void note_failover(const struct exchange *ex)
{
    const struct failover *f = &ex->load_balancer->failover;
    struct note_failover *note = f->retries ? DECISION_ADD(ex->decision, NOTE_FAILOVER, note_failover) : NULL;
    if (!note)
        return;
    note->retries = f->retries;
    note->across_pools = f->across_pools;
}

/* --- steps --- */

static const char *name_of(const struct explain_step *s, size_t i)
{
    return s->pool ? s->pool->endpoints[i].id : s->list->pools[i]->name;
}

static void describe(struct note_candidate *c, const struct explain_step *s, uint32_t name)
{
    const struct candidacy *standing = &s->standings[c->index];
    c->name = name;
    c->ruled_out = standing->ruled_out;
    c->condition = standing->condition;
    c->ejected_for = standing->ejected_for;
    c->placed = standing->placed;
    c->weight = (float)s->candidates[c->index].weight;
    c->configured = (float)standing->weight.configured;
    c->given = (float)standing->weight.given;
    c->slow_start = (float)standing->weight.slow_start;
    c->connections_share = (float)standing->weight.connections;
}

static void write_sheet(const struct explain_step *s, struct decision *d, enum usability level, const char *policy, size_t n,
                        const uint32_t out[RULED_WEIGHT + 1])
{
    struct note_step *note = decision_add_step(d, s->pool ? AMONG_ENDPOINTS : AMONG_POOLS, s->pool ? s->pool->name : NULL, policy, n);
    note->level = (uint8_t)level;
    memcpy(note->out, out, sizeof note->out);
    for (size_t i = 0; i < note->room; i++) {
        bool fresh;
        describe(decision_list(d, note, i, &fresh), s, decision_add_name(d, name_of(s, i)));
    }
}

/* `listed`: as many candidates at the most, or none of them. */
static struct step_sheet *make_sheet(const struct explain_step *s, enum usability level, const char *policy, size_t n,
                                     const uint32_t out[RULED_WEIGHT + 1], unsigned listed)
{
    enum { TEXT = DECISION_TEXT_MAX + 1 + DECISION_ALIGNMENT };
    unsigned names = n <= listed ? (unsigned)n : 0;
    size_t room = sizeof(struct decision) + sizeof(struct note_step) + 2 * TEXT + names * (sizeof(struct note_candidate) + TEXT) + DECISION_KEPT_FOR_TRIES;
    struct decision *scratch = malloc(room + 2 * DECISION_ALIGNMENT);
    if (!scratch)
        return NULL;
    decision_begin(scratch, room + 2 * DECISION_ALIGNMENT, names);
    write_sheet(s, scratch, level, policy, n, out);
    struct step_sheet *sheet = step_sheet_new(scratch, decision_at(scratch, scratch->last));
    free(scratch);
    return sheet;
}

void explain_step(struct explain_step *s, const struct exchange *ex, enum usability level, const char *policy, size_t n,
                  const uint32_t out[RULED_WEIGHT + 1])
{
    bool remembered = !ex->explanation;
    struct step_sheet *sheet = remembered ? *s->sheet : NULL;
    if (!sheet)
        sheet = make_sheet(s, level, policy, n, out, s->decision->listed);
    s->note = sheet ? decision_add_on_sheet(s->decision, sheet) : NULL;
    if (s->pool)
        s->decision->choice = 0;
    if (remembered)
        *s->sheet = sheet;
    else
        step_sheet_unref(sheet);
    for (unsigned k = 0; s->pool && k < ex->n_tried; k++)
        if (ex->tried[k]->pool == s->pool)
            explain_ruled_out(s, ex->tried[k]->order, RULED_TRIED);
}

/* NULL: there is no room for it. */
static struct seen *see(struct explain_step *s, size_t i)
{
    bool fresh = false;
    struct seen *seen = s->note ? note_see(s->note, i, &fresh) : NULL;
    if (!fresh)
        return seen;
    struct note_candidate *facts = decision_add_facts(s->decision, seen);
    if (facts)
        describe(facts, s, decision_add_name(s->decision, name_of(s, i)));
    return seen;
}

double *explain_scores(const struct explain_step *s, const struct exchange *ex, double few[EXPLAIN_LISTED])
{
    if (!s->note || !(ex->explanation || s->note->by_index))
        return NULL;
    double *scores = ex->explanation ? ex->explanation->scores : few;
    for (size_t i = 0; i < s->note->room; i++)
        scores[i] = (double)NAN; /* a policy of somebody's may say nothing */
    return scores;
}

void explain_in_flight(struct explain_step *s, size_t index, uint32_t n)
{
    struct seen *seen = see(s, index);
    if (seen)
        seen->in_flight = n;
}

void explain_connections(struct explain_step *s, size_t index, uint32_t n)
{
    struct seen *seen = see(s, index);
    if (seen)
        seen->connections = n;
}

void explain_latency(struct explain_step *s, size_t index, const struct steering_latency *latency)
{
    struct seen *seen = see(s, index);
    if (seen)
        seen->latency_s = (float)(isnan(latency->seconds) ? latency->probe_seconds : latency->seconds);
}

/* A step of many keeps a place for the one that is chosen. */
static bool is_named(struct explain_step *s, size_t chosen)
{
    if (s->note->by_index)
        return true;
    const struct seen *seen = see(s, chosen);
    if (!seen && s->note->room) {
        s->note->listed--;
        seen = see(s, chosen);
    }
    return seen && seen->facts && ((const struct note_candidate *)decision_at(s->decision, seen->facts))->name;
}

static void note_chosen(struct explain_step *s, size_t chosen)
{
    bool named = chosen != STEERING_NONE && is_named(s, chosen);
    s->note->chosen = chosen == STEERING_NONE ? NOT_ASKED : (uint32_t)chosen;
    if (s->pool)
        s->decision->choice = named ? (uint32_t)((char *)s->note - (char *)s->decision) : 0;
}

void explain_asked(struct explain_step *s, const struct steering_policy *policy, bool by_session, const double *scores, size_t chosen)
{
    struct note_on_sheet *note = s->note;
    if (!note)
        return;
    if (by_session)
        note->policy = decision_add_name(s->decision, policy->name);
    note->asked = true;
    note->by_session = by_session;
    for (size_t i = 0, n = scores ? note->listed : 0; i < n; i++)
        note->seen[i].score = (float)scores[i];
    note_chosen(s, chosen);
}

void explain_ruled_out(struct explain_step *s, size_t index, enum ruled_out why)
{
    struct seen *seen = see(s, index);
    if (seen)
        seen->ruled_out = (uint8_t)why;
}

/* --- a request that nobody sent --- */

static size_t largest_group(const struct config *config)
{
    size_t most = 0;
    for (size_t i = 0; i < config->n_pools; i++)
        most = config->pools[i].n_endpoints > most ? config->pools[i].n_endpoints : most;
    return config->n_pools > most ? config->n_pools : most;
}

static void choose_for(struct explanation *x, struct exchange *ex)
{
    direct_to_session(ex);
    x->scores = mem_array(largest_group(ex->snapshot->config) + 1, sizeof *x->scores);
    x->result = choose(ex);
    if (x->result != CHOICE_MADE)
        return;
    ex->decision->endpoint = decision_add_text(ex->decision, slice_of(ex->endpoint->id), DECISION_TEXT_MAX);
    if (ex->endpoint->kind == ENDPOINT_EDGE)
        exchange_explain_tunnel(ex);
    note_failover(ex);
}

static void lead(struct explanation *x, struct exchange *ex)
{
    const struct rule *rule;
    note_request(ex->decision, ex);
    enum direction direction = direct_to_load_balancer(ex, &rule);
    explain_directed(ex, direction, rule);
    if (direction == DIRECT_TO_ENDPOINTS)
        choose_for(x, ex);
}

static void explain_new(struct worker *w, struct explanation *x)
{
    struct exchange *ex = exchange_new(w, NULL, NULL);
    if (!ex)
        return;
    struct decision *d = mem_alloc(EXPLAIN_SIZE_MAX); /* what is not written is not touched either */
    decision_begin(d, EXPLAIN_SIZE_MAX, UINT32_MAX);
    d->id[0] = '\0';
    ex->peer = x->client.sa.sa_family ? &x->client : NULL;
    ex->listener = x->listener;
    ex->started_wall = clock_wall();
    x->malformed = !exchange_read_head(ex, (struct slice){ x->head, x->head_length });
    ex->host = ex->message.host;
    ex->decision = d;
    ex->explanation = x;
    if (!x->malformed)
        lead(x, ex);
    exchange_discard(ex);
    x->decision = decision_unfold(d);
    decision_release_sheets(d, decision_first(d));
    free(d);
}

static bool failed_somewhere(const struct decision *d)
{
    for (const struct note *n = decision_first(d); n; n = decision_next(d, n))
        if (n->kind == NOTE_FAILED)
            return true;
    return d->over && (d->reason != REASON_NONE || d->status >= 500);
}

static void add_found(struct explanation *x, const struct decision *d)
{
    struct decision *told = decision_unfold(d);
    if (told)
        x->found[x->n_found++] = told;
}

static void find_last(struct worker *w, struct explanation *x)
{
    const struct decision *d;
    x->found = mem_array(x->last, sizeof(struct decision *));
    for (unsigned k = 0; x->n_found < x->last && (d = remembered_newest(w->remembered, k)); k++)
        if (!x->only_failed || failed_somewhere(d))
            add_found(x, d);
}

static void find_by_id(struct worker *w, struct explanation *x)
{
    const struct decision *d = remembered_find(w->remembered, x->request_id, &x->same_id);
    x->found = mem_array(1, sizeof(struct decision *));
    if (d)
        add_found(x, d);
}

void explain(struct worker *w, struct explanation *x)
{
    if (x->last)
        find_last(w, x);
    else if (x->request_id)
        find_by_id(w, x);
    else
        explain_new(w, x);
}
