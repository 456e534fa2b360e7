#include "control/store.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/database.h"
#include "net/mailbox.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { BATCH_MAX = 256 };
#define RETRY_PAUSE (1 * NSEC_PER_SEC)
#define PRUNE_PAUSE (3600 * NSEC_PER_SEC)
#define DAY (24 * 3600 * NSEC_PER_SEC)

enum write_kind { WRITE_EVENT, WRITE_FORGET, WRITE_OVERRIDE, WRITE_MARK /* nothing: somebody waits for those before it */ };

struct write {
    struct list link;
    enum write_kind kind;
    void (*done)(void *arg, struct event *, bool durable); /* NULL: nobody waits, or was answered already */
    void *arg;
    struct event *event;
    char **channels;
    size_t n_channels;
    char *name; /* of the channel, or the endpoint */
    uint64_t sequence;
    enum admin_state admin;
    double weight;
};

/* One event on its way back to the control thread. */
struct answer {
    struct message message;
    void (*done)(void *arg, struct event *, bool durable);
    void *arg;
    struct event *event;
    bool durable;
};

struct store_read {
    struct message message;
    struct list link;
    struct event_query query; /* its strings are ours */
    void (*done)(void *arg, struct event *const *, size_t n, bool found_after);
    void *arg;
    bool cancelled; /* control thread */
    bool found_after;
    size_t n;
    struct event *events[STORE_READ_MAX];
};

struct kept_override {
    char *endpoint;
    enum admin_state admin;
    double weight;
};
struct kept_delivery {
    char *channel;
    struct event *event;
};

struct store {
    struct mailbox mailbox; /* the control loop's */
    pthread_t thread;
    nsec_t keep_age;
    uint64_t keep_events;
    nsec_t patience;
    bool closed; /* control thread: the other one has ended */

    /* what was found at the start */
    struct kept_override *overrides;
    struct kept_delivery *deliveries;
    struct event **last; /* of each subject and kind */
    size_t n_overrides, n_deliveries, n_last;
    uint64_t last_sequence;

    pthread_mutex_t lock; /* guards the next five */
    pthread_cond_t work;  /* on the monotonic clock */
    struct list writes, reads;
    bool stopping;
    struct store_status status;

    /* the store's thread only */
    struct database *database;
    struct list batch;       /* taken from `writes`, not committed yet */
    nsec_t failing_since;    /* monotonic; 0: the last write succeeded */
    nsec_t retry_at;
    bool warned;             /* of what follows from it */
    nsec_t pruned_at;
    nsec_t give_up_at;       /* when stopping */
};

static void write_free(struct write *w)
{
    event_unref(w->event);
    for (size_t i = 0; i < w->n_channels; i++)
        free(w->channels[i]);
    free(w->channels);
    free(w->name);
    free(w);
}

static void write_free_all(struct list *writes)
{
    struct list *node;
    while ((node = list_pop_front(writes)))
        write_free(CONTAINER_OF(node, struct write, link));
}

/* The store's thread: answers */

static void on_answer(struct message *message, void *owner)
{
    struct answer *answer = CONTAINER_OF(message, struct answer, message);

    (void)owner;
    answer->done(answer->arg, answer->event, answer->durable);
    event_unref(answer->event);
    free(answer);
}

static void answer_write(struct store *s, struct write *w, bool durable)
{
    if (!w->done)
        return;
    struct answer *answer = mem_alloc(sizeof *answer);
    *answer = (struct answer){ .message.handle = on_answer, .done = w->done, .arg = w->arg, .event = w->event ? event_ref(w->event) : NULL, .durable = durable };
    w->done = NULL;
    mailbox_post(&s->mailbox, &answer->message);
}

static void answer_all(struct store *s, struct list *writes, bool durable)
{
    LIST_FOR_EACH(node, writes)
        answer_write(s, CONTAINER_OF(node, struct write, link), durable);
}

/* The store's thread: writes */

static enum database_result apply(struct database *db, const struct write *w)
{
    switch (w->kind) {
    case WRITE_EVENT: return database_add_event(db, w->event, w->channels, w->n_channels);
    case WRITE_FORGET: return database_forget_delivery(db, w->sequence, w->name);
    case WRITE_OVERRIDE: return database_set_override(db, w->name, w->admin, w->weight);
    case WRITE_MARK: return DATABASE_DONE;
    }
    return DATABASE_REFUSED;
}

static void count_lost(struct store *s, const char *why)
{
    pthread_mutex_lock(&s->lock);
    s->status.lost++;
    pthread_mutex_unlock(&s->lock);
    log_error("store", "a write was lost: %s", why);
}

/* All of the batch or none; one that the database refuses for good is left out. */
static bool commit_batch(struct store *s)
{
    struct list refused;
    bool committed = database_begin(s->database) == DATABASE_DONE;

    list_init(&refused);
    if (!committed)
        return false;
    LIST_FOR_EACH(node, &s->batch) {
        enum database_result result = apply(s->database, CONTAINER_OF(node, struct write, link));
        committed = result != DATABASE_RETRY;
        if (!committed)
            break;
        if (result == DATABASE_REFUSED) {
            count_lost(s, database_error(s->database));
            answer_write(s, CONTAINER_OF(node, struct write, link), false);
            list_remove(node);
            list_push_back(&refused, node);
        }
    }
    write_free_all(&refused);
    return committed && database_commit(s->database) == DATABASE_DONE;
}

static void note_failure(struct store *s)
{
    nsec_t now = clock_monotonic();
    const char *error = database_error(s->database);

    database_rollback(s->database);
    s->retry_at = now + RETRY_PAUSE;
    if (s->failing_since == 0) {
        s->failing_since = now;
        log_error("store", "a write failed, to be repeated until it succeeds: %s", error);
    }
    pthread_mutex_lock(&s->lock);
    if (!s->status.failing)
        s->status.failing_since = clock_wall();
    s->status.failing = true;
    snprintf(s->status.error, sizeof s->status.error, "%s", error);
    pthread_mutex_unlock(&s->lock);
}

static void note_success(struct store *s, unsigned written)
{
    if (s->failing_since)
        log_notice("store", "writes succeed again");
    s->failing_since = 0;
    s->warned = false;
    uint64_t events = database_count_events(s->database);
    pthread_mutex_lock(&s->lock);
    s->status.failing = false;
    s->status.queued -= written;
    s->status.events = events;
    pthread_mutex_unlock(&s->lock);
}

/* A failure here shows again with the next write. */
static void prune(struct store *s)
{
    uint64_t removed = 0, events = database_count_events(s->database);
    nsec_t now = clock_monotonic();
    bool too_many = events > s->keep_events + s->keep_events / 100;

    if (!too_many && s->pruned_at && now - s->pruned_at < PRUNE_PAUSE)
        return;
    if (database_begin(s->database) != DATABASE_DONE)
        return;
    bool pruned = database_prune(s->database, clock_wall() - s->keep_age, s->keep_events, &removed) == DATABASE_DONE &&
                  database_commit(s->database) == DATABASE_DONE;
    if (!pruned)
        database_rollback(s->database);
    else if (removed < DATABASE_PRUNE_MAX)
        s->pruned_at = now; /* else there may be more: go on with the next write */
}

static unsigned list_length(struct list *l)
{
    unsigned n = 0;
    LIST_FOR_EACH(node, l)
        n++;
    return n;
}

static void take_batch(struct store *s)
{
    unsigned n = list_length(&s->batch);
    struct list *node;

    pthread_mutex_lock(&s->lock);
    for (; n < BATCH_MAX && (node = list_pop_front(&s->writes)); n++)
        list_push_back(&s->batch, node);
    pthread_mutex_unlock(&s->lock);
}

static void write_batch(struct store *s)
{
    take_batch(s);
    unsigned taken = list_length(&s->batch);
    if (taken == 0)
        return;
    if (!commit_batch(s)) {
        unsigned refused = taken - list_length(&s->batch);
        note_failure(s);
        pthread_mutex_lock(&s->lock);
        s->status.queued -= refused;
        pthread_mutex_unlock(&s->lock);
        return;
    }
    /* Counted before it is told: who has heard of an event finds it in the status. */
    note_success(s, taken);
    answer_all(s, &s->batch, true);
    write_free_all(&s->batch);
    prune(s);
}

static bool is_impatient(const struct store *s, nsec_t now)
{
    return s->failing_since && now - s->failing_since >= s->patience;
}

/* Nobody waits longer for a disk that is not to be had. */
static void lose_patience(struct store *s)
{
    if (!is_impatient(s, clock_monotonic()))
        return;
    if (!s->warned)
        log_error("store", "events are shown and alerts sent from now on though they are not on disk: they would be lost with the process");
    s->warned = true;
    answer_all(s, &s->batch, false);
    pthread_mutex_lock(&s->lock);
    answer_all(s, &s->writes, false);
    pthread_mutex_unlock(&s->lock);
}

/* The store's thread: reads */

static void on_read_done(struct message *message, void *owner)
{
    struct store_read *read = CONTAINER_OF(message, struct store_read, message);

    (void)owner;
    if (!read->cancelled)
        read->done(read->arg, read->events, read->n, read->found_after);
    for (size_t i = 0; i < read->n; i++)
        event_unref(read->events[i]);
    free((char *)read->query.after);
    free((char *)read->query.type);
    free((char *)read->query.subject);
    free(read);
}

static void answer_reads(struct store *s)
{
    struct list reads, *node;

    list_init(&reads);
    pthread_mutex_lock(&s->lock);
    list_append_all(&reads, &s->reads);
    pthread_mutex_unlock(&s->lock);
    while ((node = list_pop_front(&reads))) {
        struct store_read *read = CONTAINER_OF(node, struct store_read, link);
        read->n = database_read_events(s->database, &read->query, read->events, &read->found_after);
        mailbox_post(&s->mailbox, &read->message);
    }
}

/* The store's thread: what to do when */

static bool has_writes(struct store *s)
{
    return !list_empty(&s->batch) || !list_empty(&s->writes);
}

static struct timespec to_timespec(nsec_t t)
{
    return (struct timespec){ .tv_sec = t / NSEC_PER_SEC, .tv_nsec = t % NSEC_PER_SEC };
}

/* False: stopping, and all is done, or the patience is at its end. */
static bool wait_for_work(struct store *s)
{
    bool more = true;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        nsec_t now = clock_monotonic();
        if (s->stopping && !s->give_up_at)
            s->give_up_at = now + s->patience;
        if (s->stopping && list_empty(&s->reads) && (!has_writes(s) || now >= s->give_up_at)) {
            more = false;
            break;
        }
        bool may_write = has_writes(s) && (!s->failing_since || now >= s->retry_at);
        bool impatient = is_impatient(s, now) && !list_empty(&s->writes);
        if (may_write || !list_empty(&s->reads))
            break;
        if (impatient) /* what has come since is answered at once, though it can't be written */
            answer_all(s, &s->writes, false);
        if (has_writes(s)) {
            struct timespec until = to_timespec(s->retry_at);
            pthread_cond_timedwait(&s->work, &s->lock, &until);
        } else {
            pthread_cond_wait(&s->work, &s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return more;
}

static void *run(void *arg)
{
    struct store *s = arg;

    while (wait_for_work(s)) {
        if (!s->failing_since || clock_monotonic() >= s->retry_at)
            write_batch(s);
        lose_patience(s);
        answer_reads(s);
    }
    return NULL;
}

/* The control thread */

static void keep_override(void *arg, const char *endpoint, enum admin_state admin, double weight)
{
    struct store *s = arg;
    s->overrides = mem_resize(s->overrides, s->n_overrides + 1, sizeof *s->overrides);
    s->overrides[s->n_overrides++] = (struct kept_override){ mem_copy_text(endpoint), admin, weight };
}

static void keep_delivery(void *arg, const char *channel, struct event *event)
{
    struct store *s = arg;
    s->deliveries = mem_resize(s->deliveries, s->n_deliveries + 1, sizeof *s->deliveries);
    s->deliveries[s->n_deliveries++] = (struct kept_delivery){ mem_copy_text(channel), event_ref(event) };
}

static void keep_last(void *arg, struct event *event)
{
    struct store *s = arg;
    s->last = mem_resize(s->last, s->n_last + 1, sizeof *s->last);
    s->last[s->n_last++] = event_ref(event);
}

static void load(struct store *s)
{
    database_each_override(s->database, keep_override, s);
    database_each_undelivered(s->database, keep_delivery, s);
    database_each_last(s->database, keep_last, s);
    s->last_sequence = database_last_sequence(s->database);
    s->status.events = database_count_events(s->database);
}

static void start_thread(struct store *s)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&s->thread, NULL, run, s) != 0) {
        log_error("store", "no thread to be had");
        abort();
    }
}

struct store *store_open(struct ev_loop *loop, const struct store_options *options, char error[static STORE_ERROR_SIZE])
{
    struct database *database = database_open(options->directory, error);
    if (!database)
        return NULL;

    struct store *s = mem_zero(sizeof *s);
    s->database = database;
    s->keep_age = options->keep_age ? options->keep_age : STORE_KEEP_DAYS * DAY;
    s->keep_events = options->keep_events ? options->keep_events : STORE_KEEP_EVENTS;
    s->patience = options->patience ? options->patience : STORE_PATIENCE;
    s->status.durable = options->directory != NULL;
    list_init(&s->writes);
    list_init(&s->reads);
    list_init(&s->batch);
    mailbox_init(&s->mailbox, loop, s);
    load(s);
    start_thread(s);
    return s;
}

static void free_kept(struct store *s)
{
    for (size_t i = 0; i < s->n_overrides; i++)
        free(s->overrides[i].endpoint);
    for (size_t i = 0; i < s->n_deliveries; i++) {
        free(s->deliveries[i].channel);
        event_unref(s->deliveries[i].event);
    }
    for (size_t i = 0; i < s->n_last; i++)
        event_unref(s->last[i]);
    free(s->overrides);
    free(s->deliveries);
    free(s->last);
}

void store_close(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->closed = true;

    unsigned unwritten = list_length(&s->batch) + list_length(&s->writes);
    if (unwritten)
        log_error("store", "%u writes were lost at the end: %s", unwritten, s->status.error);
    answer_all(s, &s->batch, false);
    answer_all(s, &s->writes, false);
    mailbox_clear(&s->mailbox);
    write_free_all(&s->batch);
    write_free_all(&s->writes);
    database_close(s->database);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free_kept(s);
    free(s);
}

void store_each_override(const struct store *s, void (*each)(void *arg, const char *endpoint, enum admin_state, double weight), void *arg)
{
    for (size_t i = 0; i < s->n_overrides; i++)
        each(arg, s->overrides[i].endpoint, s->overrides[i].admin, s->overrides[i].weight);
}

void store_each_undelivered(const struct store *s, void (*each)(void *arg, const char *channel, struct event *), void *arg)
{
    for (size_t i = 0; i < s->n_deliveries; i++)
        each(arg, s->deliveries[i].channel, s->deliveries[i].event);
}

void store_each_last(const struct store *s, void (*each)(void *arg, struct event *), void *arg)
{
    for (size_t i = 0; i < s->n_last; i++)
        each(arg, s->last[i]);
}

uint64_t store_last_sequence(const struct store *s)
{
    return s->last_sequence;
}

/* The write is ours afterwards. */
static void queue_write(struct store *s, struct write *w)
{
    pthread_mutex_lock(&s->lock);
    bool taken = !s->closed && s->status.queued < STORE_QUEUE_MAX;
    if (taken) {
        s->status.queued++;
        list_push_back(&s->writes, &w->link);
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    if (taken)
        return;
    count_lost(s, s->closed ? "it came after the end" : "too many are waiting");
    answer_write(s, w, false);
    write_free(w);
}

static struct write *write_new(enum write_kind kind)
{
    struct write *w = mem_zero(sizeof *w);
    list_init(&w->link);
    w->kind = kind;
    return w;
}

void store_add_event(struct store *s, struct event *event, const char *const *channels, size_t n_channels,
                     void (*done)(void *arg, struct event *, bool durable), void *arg)
{
    struct write *w = write_new(WRITE_EVENT);

    w->event = event_ref(event);
    w->done = done;
    w->arg = arg;
    w->channels = mem_array(n_channels, sizeof *w->channels);
    w->n_channels = n_channels;
    for (size_t i = 0; i < n_channels; i++)
        w->channels[i] = mem_copy_text(channels[i]);
    queue_write(s, w);
}

void store_forget_delivery(struct store *s, uint64_t sequence, const char *channel)
{
    struct write *w = write_new(WRITE_FORGET);
    w->sequence = sequence;
    w->name = mem_copy_text(channel);
    queue_write(s, w);
}

void store_set_override(struct store *s, const char *endpoint, enum admin_state admin, double weight)
{
    struct write *w = write_new(WRITE_OVERRIDE);
    w->name = mem_copy_text(endpoint);
    w->admin = admin;
    w->weight = weight;
    queue_write(s, w);
}

struct mark {
    void (*done)(void *arg, bool durable);
    void *arg;
};

static void on_mark(void *arg, struct event *none, bool durable)
{
    struct mark *mark = arg;

    (void)none;
    mark->done(mark->arg, durable);
    free(mark);
}

void store_when_written(struct store *s, void (*done)(void *arg, bool durable), void *arg)
{
    struct write *w = write_new(WRITE_MARK);
    struct mark *mark = mem_alloc(sizeof *mark);

    *mark = (struct mark){ done, arg };
    w->done = on_mark;
    w->arg = mark;
    queue_write(s, w);
}

static const char *copy_or_null(const char *text)
{
    return text ? mem_copy_text(text) : NULL;
}

struct store_read *store_read_events(struct store *s, const struct event_query *query,
                                     void (*done)(void *arg, struct event *const *, size_t n, bool found_after), void *arg)
{
    struct store_read *read = mem_zero(sizeof *read);

    read->message.handle = on_read_done;
    read->query = *query;
    read->query.after = copy_or_null(query->after);
    read->query.type = copy_or_null(query->type);
    read->query.subject = copy_or_null(query->subject);
    read->done = done;
    read->arg = arg;
    if (s->closed) {
        mailbox_post(&s->mailbox, &read->message);
        return read;
    }
    pthread_mutex_lock(&s->lock);
    list_push_back(&s->reads, &read->link);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    return read;
}

void store_cancel_read(struct store_read *read)
{
    read->cancelled = true;
}

void store_get_status(struct store *s, struct store_status *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->status;
    pthread_mutex_unlock(&s->lock);
}
