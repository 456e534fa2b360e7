/* Who may connect: the registration of one connection. Every mismatch is answered alike, so that nobody learns which tunnels
 * there are. */
#include "control/registry.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"

#include <stdarg.h>
#include <stdio.h>

/* cloudflared goes on trying only while the word is in the answer; with another it would exit. */
#define UNAUTHORIZED "Unauthorized: "

/* --- refusing --- */

void registry_end_refusals(struct tunnels *t)
{
    unsigned more = log_quota_end(&t->refusals, t->monotonic());
    if (more)
        log_warning("edge", "%u more registrations were refused within %d s", more, (int)(LOG_QUOTA_WINDOW / NSEC_PER_SEC));
}

static void log_refusal(struct tunnels *t, const struct edge_registration *r, const char *why)
{
    char peer[ADDRESS_TEXT_SIZE];
    registry_end_refusals(t);
    if (!log_quota_take(&t->refusals, t->monotonic()))
        return;
    address_format(&r->peer, peer);
    log_warning("edge", "refused a connector from %s for tunnel %s: %s", peer, r->credentials.tunnel, why);
}

static void refuse(struct tunnels *t, const struct edge_registration *r, const char *why, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void refuse(struct tunnels *t, const struct edge_registration *r, const char *why, const char *format, ...)
{
    struct edge_answer answer = { .accepted = false };
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(answer.cause, sizeof answer.cause, format, arguments);
    va_end(arguments);
    log_refusal(t, r, why);
    struct edge_worker *worker = registry_worker(t, r->worker);
    if (worker)
        edge_worker_post_answer(worker, r->ticket, &answer);
}

/* --- may it? --- */

/* Compared with something, also where there is no such tunnel: the time taken tells nothing. */
static bool secret_is_right(const struct tunnel_entry *e, const struct credentials *given)
{
    static const char nobodys[TUNNEL_SECRET_MIN];
    struct slice ours = e ? (struct slice){ (const char *)e->credentials.secret, e->credentials.secret_size }
                          : (struct slice){ nobodys, sizeof nobodys };
    return secret_matches(ours, (struct slice){ (const char *)given->secret, given->secret_size }) && e;
}

static const char *why_not(const struct tunnel_entry *e, const struct credentials *given)
{
    bool right = secret_is_right(e, given);
    if (!e)
        return "there is no such tunnel here";
    if (!e->any_account && strcmp(e->credentials.account, given->account) != 0)
        return "the account is another one";
    return right ? NULL : "the secret is wrong";
}

/* Those that are leaving count only against what can be remembered. */
static bool has_room_for(const struct tunnel_entry *e, const struct connector_entry *known)
{
    unsigned staying = 0, all = 0;
    for (unsigned i = 0; i < e->n_connectors; i++) {
        staying += e->connectors[i] != known && registry_count_lines(e, e->connectors[i]) > 0;
        all += e->connectors[i] != known && e->connectors[i]->n_lines > 0;
    }
    return staying < e->tunnels->connectors_max && all < CONNECTORS_REMEMBERED;
}

/* The connection that it takes the place of: same connector, same index; NULL: none. */
static struct line_entry *predecessor(const struct tunnel_entry *e, const struct edge_registration *r)
{
    for (unsigned i = 0; i < e->n_lines; i++) {
        struct line_entry *l = e->lines[i];
        if (!l->close_at && l->line->index == r->index && strcmp(l->connector->shared->id, r->connector) == 0)
            return l;
    }
    return NULL;
}

static bool is_within_limits(struct tunnel_entry *e, const struct edge_registration *r, const struct line_entry *former)
{
    struct tunnels *t = e->tunnels;
    char why[128];
    if (!has_room_for(e, registry_connector(e, r->connector))) {
        snprintf(why, sizeof why, "it has %u connectors, the most that a tunnel may have", t->connectors_max);
        refuse(t, r, why, UNAUTHORIZED "tunnel %s has %u connectors already, the most it may have", e->tunnel->name,
               t->connectors_max);
        return false;
    }
    unsigned lines = e->n_lines - (former ? 1 : 0);
    if (lines >= t->connections_max) {
        snprintf(why, sizeof why, "it has %u connections, the most that a tunnel may have", lines);
        refuse(t, r, why, UNAUTHORIZED "tunnel %s has %u connections already, the most it may have", e->tunnel->name, lines);
        return false;
    }
    return true;
}

/* --- letting in --- */

/* The one with the fewest connections of that tunnel; of several, the one it is on already. */
static unsigned choose_worker(const struct tunnel_entry *e, unsigned accepting)
{
    unsigned n = (unsigned)e->tunnels->control->n_workers, best = accepting < n ? accepting : 0;
    unsigned *lines = mem_array(n, sizeof *lines);
    for (unsigned i = 0; i < e->n_lines; i++)
        lines[atomic_load_explicit(&e->lines[i]->line->worker, memory_order_relaxed)] += !e->lines[i]->close_at;
    for (unsigned i = 0; i < n; i++)
        if (lines[i] < lines[best])
            best = i;
    free(lines);
    return best;
}

/* Not usable before its owner says so: it may have to move there. */
static struct tunnel_line *make_line(struct tunnel_entry *e, const struct edge_registration *r)
{
    struct tunnel_line *line = mem_zero(sizeof *line);
    atomic_init(&line->refs, 1);
    line->id = ++e->tunnels->last_line;
    random_bytes(line->uuid, sizeof line->uuid);
    line->uuid[6] = (unsigned char)((line->uuid[6] & 0x0f) | 0x40); /* version 4, RFC 9562 section 5.4 */
    line->uuid[8] = (unsigned char)((line->uuid[8] & 0x3f) | 0x80);
    line->index = r->index;
    line->opened_wall = e->tunnels->wall();
    line->peer = r->peer;
    atomic_init(&line->worker, choose_worker(e, r->worker));
    atomic_init(&line->state, (uint8_t)LINE_SUSPECT);
    return line;
}

static void answer_yes(struct tunnel_entry *e, const struct edge_registration *r, struct connector_entry *c,
                       struct tunnel_line *line)
{
    struct tunnels *t = e->tunnels;
    struct edge_answer answer = { .accepted = true, .tunnel = tunnel_ref(e->tunnel), .connector = tunnel_connector_ref(c->shared),
                                  .line = tunnel_line_ref(line), .remotely_managed = e->ingress };
    snprintf(answer.location, sizeof answer.location, "%s", t->location);
    edge_worker_post_answer(registry_worker(t, r->worker), r->ticket, &answer);
}

static void log_arrival(const struct tunnel_entry *e, const struct edge_registration *r, const struct connector_entry *c)
{
    char peer[ADDRESS_TEXT_SIZE];
    address_format(&r->peer, peer);
    if (c->n_lines == 1)
        log_notice("edge", "tunnel %s: connector %s (cloudflared %s, %s) connected from %s", e->tunnel->name, r->connector,
                   r->version, r->arch, peer);
    log_info("edge", "tunnel %s: connection %u of connector %s from %s, try %u", e->tunnel->name, r->index, r->connector, peer,
             r->attempts + 1);
}

static void let_in(struct tunnel_entry *e, const struct edge_registration *r, struct line_entry *former)
{
    bool first_ever = !e->memory.standing.ever, first = registry_count_lines(e, NULL) == 0;
    struct connector_entry *c = registry_connector_make(e, r);
    if (former)
        registry_line_close(e, former, "replaced by a newer connection of the same connector");
    struct tunnel_line *line = make_line(e, r);
    registry_line_add(e, c, line);
    answer_yes(e, r, c, line);
    log_arrival(e, r, c);
    if (first)
        e->first_connected = e->tunnels->monotonic();
    registry_lines_changed(e);
    registry_push_on_registration(e, c);
    if (first_ever)
        registry_came(e);
}

static void admit(struct tunnels *t, const struct edge_registration *r)
{
    struct tunnel_entry *e = registry_find(t, r->credentials.tunnel);
    if (t->control->stopping) {
        refuse(t, r, "we are stopping", UNAUTHORIZED "the edge is stopping");
        return;
    }
    const char *why = why_not(e, &r->credentials);
    if (why) {
        refuse(t, r, why, UNAUTHORIZED "invalid tunnel secret");
        return;
    }
    struct line_entry *former = predecessor(e, r);
    if (is_within_limits(e, r, former))
        let_in(e, r, former);
}

void tunnels_on_registered(void *arg, struct edge_registration *r)
{
    struct control *control = arg;
    admit(control->registry, r);
    credentials_clear(&r->credentials);
}
