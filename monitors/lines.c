#include "monitors/lines.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct line_result *find(const struct line_results *r, uint64_t line)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].line == line)
            return &r->items[i];
    return NULL;
}

static void set_sick(struct line_results *r, struct line_result *l, bool sick, const char *detail, line_turned *turned, void *arg)
{
    if (l->sick == sick)
        return;
    l->sick = sick;
    turned(arg, r->tunnel, l->line, sick, detail);
}

static void clear_sick(struct line_results *r, line_turned *turned, void *arg)
{
    for (size_t i = 0; i < r->n; i++)
        set_sick(r, &r->items[i], false, "", turned, arg);
}

void lines_clear(struct line_results *r, line_turned *turned, void *arg)
{
    clear_sick(r, turned, arg);
    free(r->items);
    *r = (struct line_results){ .n = 0 };
}

/* --- turns --- */

static bool takes_requests(const struct tunnel_line *l)
{
    return atomic_load_explicit(&l->state, memory_order_acquire) == LINE_USABLE;
}

static bool is_in(const struct tunnel_view *v, uint64_t line)
{
    for (size_t i = 0; i < v->n_lines; i++)
        if (v->lines[i]->id == line)
            return true;
    return false;
}

static void drop_gone(struct line_results *r, const struct tunnel_view *v, line_turned *turned, void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (is_in(v, r->items[i].line))
            r->items[kept++] = r->items[i];
        else
            set_sick(r, &r->items[i], false, "", turned, arg);
    }
    r->n = kept;
}

static void add_new(struct line_results *r, const struct tunnel_view *v)
{
    for (size_t i = 0; i < v->n_lines; i++) {
        if (find(r, v->lines[i]->id))
            continue;
        r->items = mem_resize(r->items, r->n + 1, sizeof *r->items);
        r->items[r->n++] = (struct line_result){ .line = v->lines[i]->id };
    }
}

/* The lowest id above the last one's, else the lowest of all. */
static struct tunnel_line *in_turn(const struct tunnel_view *v, uint64_t last)
{
    struct tunnel_line *next = NULL, *first = NULL;
    for (size_t i = 0; i < v->n_lines; i++) {
        struct tunnel_line *l = v->lines[i];
        if (!takes_requests(l))
            continue;
        if (l->id > last && (!next || l->id < next->id))
            next = l;
        if (!first || l->id < first->id)
            first = l;
    }
    return next ? next : first;
}

struct tunnel_line *lines_next(struct line_results *r, struct tunnel *tunnel, line_turned *turned, void *arg)
{
    if (strcmp(r->tunnel, tunnel->id) != 0)
        lines_clear(r, turned, arg);
    snprintf(r->tunnel, sizeof r->tunnel, "%s", tunnel->id);
    struct tunnel_view *v = tunnel_get_view(tunnel);
    drop_gone(r, v, turned, arg);
    add_new(r, v);
    struct tunnel_line *line = in_turn(v, r->last);
    if (line) {
        r->last = line->id;
        tunnel_line_ref(line);
    }
    tunnel_view_unref(v);
    return line;
}

/* --- results --- */

static bool others_pass(const struct line_results *r, const struct line_result *but)
{
    for (size_t i = 0; i < r->n; i++)
        if (&r->items[i] != but && r->items[i].passes)
            return true;
    return false;
}

static bool others_passed_since(const struct line_results *r, const struct line_result *but, nsec_t since)
{
    for (size_t i = 0; i < r->n; i++)
        if (&r->items[i] != but && r->items[i].passes && r->items[i].passed_at >= since)
            return true;
    return false;
}

static unsigned at_least_one(unsigned threshold)
{
    return threshold ? threshold : 1;
}

static void add_pass(struct line_result *l, nsec_t now)
{
    l->passes++;
    l->failures = 0;
    l->failing_since = 0;
    l->passed_at = now;
}

static void add_failure(struct line_result *l, nsec_t now)
{
    l->passes = 0;
    if (l->failures++ == 0)
        l->failing_since = now;
}

bool lines_add(struct line_results *r, uint64_t line, const struct monitor *monitor, const struct judgement *judgement, nsec_t now,
               line_turned *turned, void *arg)
{
    struct line_result *l = find(r, line);
    if (!l)
        return true;
    if (judgement->pass) {
        add_pass(l, now);
        if (l->passes >= at_least_one(monitor->consecutive_up))
            set_sick(r, l, false, judgement->detail, turned, arg);
        return true;
    }
    if (judgement->diagnosis == DIAGNOSIS_PROBE_BLOCKED)
        return true;
    add_failure(l, now);
    if (!others_pass(r, l)) {
        clear_sick(r, turned, arg);
        return true;
    }
    if (l->failures >= at_least_one(monitor->consecutive_down) && others_passed_since(r, l, l->failing_since))
        set_sick(r, l, true, judgement->detail, turned, arg);
    return false;
}

bool lines_are_turning(const struct line_results *r)
{
    for (size_t i = 0; i < r->n; i++)
        if ((r->items[i].failures && !r->items[i].sick) || (r->items[i].passes && r->items[i].sick))
            return true;
    return false;
}

unsigned lines_pace(const struct line_results *r)
{
    return r->n < 1 ? 1 : r->n < LINES_PER_INTERVAL ? (unsigned)r->n : LINES_PER_INTERVAL;
}
