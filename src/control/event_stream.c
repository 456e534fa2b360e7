#include "control/event_stream.h"

#include "base/list.h"
#include "base/mem.h"
#include "control/answer.h"

#include <string.h>

/* One call about events: a list under way, or a stream. */
enum follower_state {
    LISTING,   /* reads the history once, answers, ends */
    CATCHING_UP, /* streams the history; what happens meanwhile waits */
    LIVE
};

struct follower {
    struct list link;
    struct event_streams *streams;
    struct local_call *call; /* NULL: the client went */
    enum follower_state state;
    struct event_filter filter;
    struct store_read *read;
    struct event **waiting;
    size_t n_waiting;
    uint64_t last_sequence;  /* of the last event sent */
    bool writing;            /* inside local_stream_write: who goes now is freed afterwards */
};

struct event_streams {
    struct ev_loop *loop;
    struct bus *bus;
    struct bus_subscription *subscription;
    struct list followers;
    unsigned n_followers;
    ev_timer keep_alive;
};

/* --- a follower's life --- */

static void follower_free(struct follower *f)
{
    if (f->read)
        store_cancel_read(f->read);
    for (size_t i = 0; i < f->n_waiting; i++)
        event_unref(f->waiting[i]);
    free(f->waiting);
    list_remove(&f->link);
    f->streams->n_followers--;
    free(f);
}

static void client_gone(void *arg)
{
    struct follower *f = arg;
    f->call = NULL;
    if (!f->writing)
        follower_free(f);
}

/* NULL after an answer, when there are too many already. */
static struct follower *follower_new(struct event_streams *s, struct local_call *call, const struct event_filter *filter,
                                     enum follower_state state)
{
    if (s->n_followers >= EVENT_STREAMS_MAX) {
        answer_problem(call, 503, "%d clients follow the events already", EVENT_STREAMS_MAX);
        return NULL;
    }
    struct follower *f = mem_zero(sizeof *f);
    *f = (struct follower){ .streams = s, .call = call, .filter = *filter, .state = state };
    list_push_back(&s->followers, &f->link);
    s->n_followers++;
    local_call_on_gone(call, client_gone, f);
    return f;
}

static void end_stream(struct follower *f)
{
    if (f->call)
        local_stream_end(f->call);
    follower_free(f);
}

/* False, and the follower is gone, when the client is or doesn't keep up. */
static bool stream_write(struct follower *f, const char *bytes, size_t n)
{
    f->writing = true;
    bool taken = local_stream_write(f->call, bytes, n);
    f->writing = false;
    if (f->call && taken)
        return true;
    end_stream(f);
    return false;
}

static bool stream_comment(struct follower *f, const char *comment)
{
    struct text text = { 0 };
    text_addf(&text, ": %s\n\n", comment);
    bool alive = stream_write(f, text.p, text.n);
    text_clear(&text);
    return alive;
}

static bool wants(const struct event_filter *filter, const struct event *e)
{
    return (!*filter->type || event_type_matches(filter->type, e->type)) &&
           (!*filter->subject || strcmp(filter->subject, e->subject) == 0) && e->wall >= filter->since;
}

/* False when the follower is gone. */
static bool stream_event(struct follower *f, const struct event *e)
{
    struct text text = { 0 };

    if (e->sequence <= f->last_sequence || !wants(&f->filter, e))
        return true;
    f->last_sequence = e->sequence;
    text_addf(&text, "id: %s\nevent: %s\ndata: ", e->id, e->type);
    event_write_json(e, &text);
    text_add(&text, "\n\n");
    bool alive = stream_write(f, text.p, text.n);
    text_clear(&text);
    return alive;
}

/* --- the history --- */

static struct event_query query_of(const struct event_filter *filter)
{
    return (struct event_query){
        .after = *filter->after ? filter->after : NULL,
        .since = filter->since,
        .type = *filter->type ? filter->type : NULL,
        .subject = *filter->subject ? filter->subject : NULL,
        .limit = filter->limit,
        .newest = !*filter->after && !filter->since,
    };
}

static void answer_list(struct follower *f, struct event *const *events, size_t n)
{
    struct text body = { 0 };
    struct local_call *call = f->call;

    text_add(&body, "[");
    for (size_t i = 0; i < n; i++) {
        text_add(&body, i ? ",\n" : "\n");
        event_write_json(events[i], &body);
    }
    text_add(&body, "\n]\n");
    follower_free(f);
    answer_text(call, 200, "application/json", &body);
}

static void list_read(void *arg, struct event *const *events, size_t n, bool found_after)
{
    struct follower *f = arg;

    f->read = NULL;
    if (found_after) {
        answer_list(f, events, n);
        return;
    }
    struct local_call *call = f->call;
    char after[sizeof f->filter.after];
    memcpy(after, f->filter.after, sizeof after);
    follower_free(f);
    answer_problem(call, 404, "the event %s is not kept (any more)", after);
}

void event_streams_list(struct event_streams *s, struct local_call *call, const struct event_filter *filter)
{
    struct follower *f = follower_new(s, call, filter, LISTING);
    if (!f)
        return;
    struct event_query query = query_of(&f->filter);
    f->read = bus_query(s->bus, &query, list_read, f);
}

/* --- streams --- */

static void go_live(struct follower *f)
{
    f->state = LIVE;
    size_t n = f->n_waiting;
    struct event **waiting = f->waiting;
    bool alive = true;

    f->n_waiting = 0;
    f->waiting = NULL;
    for (size_t i = 0; i < n; i++) {
        alive = alive && stream_event(f, waiting[i]);
        event_unref(waiting[i]);
    }
    free(waiting);
}

static void read_page(struct follower *f, bool newest);

static void page_read(void *arg, struct event *const *events, size_t n, bool found_after)
{
    struct follower *f = arg;

    f->read = NULL;
    if (!found_after) {
        if (!stream_comment(f, "events between are not kept any more"))
            return;
        f->filter.after[0] = '\0';
        read_page(f, true);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (!stream_event(f, events[i]))
            return;
    if (n < STORE_READ_MAX) {
        go_live(f);
        return;
    }
    snprintf(f->filter.after, sizeof f->filter.after, "%s", events[n - 1]->id);
    read_page(f, false);
}

static void read_page(struct follower *f, bool newest)
{
    struct event_query query = query_of(&f->filter);
    query.limit = STORE_READ_MAX;
    query.newest = newest;
    f->read = bus_query(f->streams->bus, &query, page_read, f);
}

void event_streams_follow(struct event_streams *s, struct local_call *call, const struct event_filter *filter)
{
    bool from_history = *filter->after || filter->since;
    struct follower *f = follower_new(s, call, filter, from_history ? CATCHING_UP : LIVE);

    if (!f)
        return;
    local_stream_begin(call, 200, "text/event-stream");
    if (stream_comment(f, "events as they happen") && from_history)
        read_page(f, false);
}

/* False when the follower is gone. */
static void keep_waiting(struct follower *f, struct event *e)
{
    if (f->n_waiting == EVENT_STREAM_WAITING_MAX) {
        end_stream(f); /* it comes back with Last-Event-ID */
        return;
    }
    if (!f->waiting)
        f->waiting = mem_array(EVENT_STREAM_WAITING_MAX, sizeof *f->waiting);
    f->waiting[f->n_waiting++] = event_ref(e);
}

static void event_seen(void *arg, struct event *e)
{
    struct event_streams *s = arg;

    LIST_FOR_EACH (node, &s->followers) {
        struct follower *f = CONTAINER_OF(node, struct follower, link);
        switch (f->state) {
        case LISTING:
            break;
        case CATCHING_UP:
            keep_waiting(f, e);
            break;
        case LIVE:
            stream_event(f, e);
            break;
        }
    }
}

/* Proxies and clients give up on a connection that stays silent. */
static void keep_alive_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct event_streams *s = timer->data;

    (void)loop;
    (void)revents;
    LIST_FOR_EACH (node, &s->followers) {
        struct follower *f = CONTAINER_OF(node, struct follower, link);
        if (f->state != LISTING)
            stream_comment(f, "keep-alive");
    }
}

struct event_streams *event_streams_new(struct ev_loop *loop, struct bus *bus)
{
    struct event_streams *s = mem_zero(sizeof *s);

    s->loop = loop;
    s->bus = bus;
    list_init(&s->followers);
    s->subscription = bus_subscribe(bus, event_seen, s);
    ev_timer_init(&s->keep_alive, keep_alive_due, EVENT_STREAM_KEEP_ALIVE_S, EVENT_STREAM_KEEP_ALIVE_S);
    s->keep_alive.data = s;
    ev_timer_start(loop, &s->keep_alive);
    return s;
}

static void dismiss(struct follower *f)
{
    if (f->state != LISTING) {
        end_stream(f);
        return;
    }
    struct local_call *call = f->call;
    follower_free(f);
    answer_problem(call, 503, "penstock is stopping");
}

void event_streams_free(struct event_streams *s)
{
    if (!s)
        return;
    LIST_FOR_EACH (node, &s->followers)
        dismiss(CONTAINER_OF(node, struct follower, link));
    bus_unsubscribe(s->subscription);
    ev_timer_stop(s->loop, &s->keep_alive);
    free(s);
}
