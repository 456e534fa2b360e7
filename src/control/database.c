#include "control/database.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    APPLICATION_ID = 0x50656e73, /* "Pens" */
    SCHEMA_VERSION = 1,
    LOCK_WAIT_MS = 5000, /* a predecessor that is just ending */
};

/* Exclusive: a second process in the same state directory is told so at its start, and no shared memory file is needed. */
static const char pragmas[] = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
                              "PRAGMA journal_size_limit=16777216; PRAGMA trusted_schema=OFF;";
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,"
    " subject TEXT NOT NULL, severity TEXT NOT NULL, recovery INTEGER NOT NULL, wall INTEGER NOT NULL, data TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS events_by_wall ON events (wall);"
    "CREATE TABLE IF NOT EXISTS outbox (sequence INTEGER NOT NULL, channel TEXT NOT NULL, PRIMARY KEY (sequence, channel)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS overrides (endpoint TEXT PRIMARY KEY, admin TEXT NOT NULL, weight REAL) WITHOUT ROWID;";

enum statement {
    BEGIN, COMMIT, ROLLBACK, ADD_EVENT, ADD_DELIVERY, FORGET_DELIVERY, SET_OVERRIDE, LIFT_OVERRIDE, PRUNE_OLD, PRUNE_MANY, COUNT_EVENTS,
    LAST_SEQUENCE, OVERRIDES, UNDELIVERED, LAST_OF_SUBJECTS, SEQUENCE_OF, READ_FIRST, READ_LAST,
    STATEMENTS
};
#define EVENT_COLUMNS "events.sequence, id, type, subject, severity, recovery, wall, data"
#define READ_WHERE "SELECT " EVENT_COLUMNS " FROM events WHERE sequence > ?1 AND wall >= ?2 AND (?3 IS NULL OR subject = ?3) ORDER BY sequence"
#define NOT_WAITING "NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.sequence = events.sequence)"
static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [ADD_EVENT] = "INSERT INTO events (sequence, id, type, subject, severity, recovery, wall, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [ADD_DELIVERY] = "INSERT OR IGNORE INTO outbox (sequence, channel) VALUES (?1, ?2)",
    [FORGET_DELIVERY] = "DELETE FROM outbox WHERE sequence = ?1 AND channel = ?2",
    [SET_OVERRIDE] = "INSERT OR REPLACE INTO overrides (endpoint, admin, weight) VALUES (?1, ?2, ?3)",
    [LIFT_OVERRIDE] = "DELETE FROM overrides WHERE endpoint = ?1",
    [PRUNE_OLD] = "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE wall < ?1 AND " NOT_WAITING " LIMIT ?2)",
    [PRUNE_MANY] = "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE " NOT_WAITING " ORDER BY sequence LIMIT ?1)",
    [COUNT_EVENTS] = "SELECT count(*) FROM events",
    [LAST_SEQUENCE] = "SELECT seq FROM sqlite_sequence WHERE name = 'events'",
    [OVERRIDES] = "SELECT endpoint, admin, weight FROM overrides ORDER BY endpoint",
    [UNDELIVERED] = "SELECT " EVENT_COLUMNS ", channel FROM outbox JOIN events ON events.sequence = outbox.sequence ORDER BY outbox.sequence",
    [LAST_OF_SUBJECTS] = "SELECT " EVENT_COLUMNS " FROM events WHERE sequence IN"
                         " (SELECT max(sequence) FROM events GROUP BY subject, substr(type, 1, instr(type, '.'))) ORDER BY sequence",
    [SEQUENCE_OF] = "SELECT sequence FROM events WHERE id = ?1",
    [READ_FIRST] = READ_WHERE,
    [READ_LAST] = READ_WHERE " DESC",
};

struct database {
    sqlite3 *handle;
    sqlite3_stmt *statements[STATEMENTS];
    uint64_t events; /* kept: counting them takes a walk through an index */
    char error[STORE_ERROR_SIZE];
};

static enum database_result classify(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return DATABASE_DONE;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
    case SQLITE_MISUSE: return DATABASE_REFUSED;
    default: return DATABASE_RETRY;
    }
}

static uint64_t one_number(struct database *, enum statement);

/* Opening */

static bool is_damage(int code)
{
    return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

static int read_number(sqlite3 *handle, const char *query, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(handle, query, -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        *out = sqlite3_column_int64(statement, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return code;
}

static int check_integrity(sqlite3 *handle)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(handle, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        code = strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    sqlite3_finalize(statement);
    return code;
}

static int make_schema(sqlite3 *handle)
{
    char mark[80];
    int code = sqlite3_exec(handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    snprintf(mark, sizeof mark, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT", APPLICATION_ID, SCHEMA_VERSION);
    if (code == SQLITE_OK)
        code = sqlite3_exec(handle, schema, NULL, NULL, NULL);
    return code == SQLITE_OK ? sqlite3_exec(handle, mark, NULL, NULL, NULL) : code;
}

static int prepare_all(struct database *db)
{
    int code = SQLITE_OK;
    for (unsigned i = 0; i < STATEMENTS && code == SQLITE_OK; i++)
        code = sqlite3_prepare_v3(db->handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL);
    return code;
}

enum opening { OPENED, DAMAGED, FAILED };

static enum opening explain_failure(struct database *db, int code)
{
    if ((code & 0xff) == SQLITE_BUSY)
        snprintf(db->error, sizeof db->error, "another process uses it");
    else
        snprintf(db->error, sizeof db->error, "%s", sqlite3_errcode(db->handle) ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
    return is_damage(code) ? DAMAGED : FAILED;
}

/* A database that is another program's, or of a later penstock, is not ours to touch. */
static enum opening check_kind(struct database *db, int64_t *version)
{
    int64_t application = 0;
    int code = read_number(db->handle, "PRAGMA application_id", &application);
    if (code == SQLITE_OK)
        code = read_number(db->handle, "PRAGMA user_version", version);
    if (code != SQLITE_OK)
        return explain_failure(db, code);
    if (application != 0 && application != APPLICATION_ID)
        snprintf(db->error, sizeof db->error, "it belongs to another program");
    else if (*version > SCHEMA_VERSION)
        snprintf(db->error, sizeof db->error, "it was made by a newer penstock (format %d, this one knows %d)", (int)*version, SCHEMA_VERSION);
    else
        return OPENED;
    return FAILED;
}

static enum opening open_file(struct database *db, const char *path)
{
    int code = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) {
        sqlite3_busy_timeout(db->handle, LOCK_WAIT_MS);
        code = sqlite3_exec(db->handle, pragmas, NULL, NULL, NULL);
    }
    if (code != SQLITE_OK)
        return explain_failure(db, code);
    int64_t version = 0;
    enum opening kind = check_kind(db, &version);
    if (kind != OPENED)
        return kind;
    code = version == 0 ? make_schema(db->handle) : SQLITE_OK; /* nothing is written where a disk may be full */
    if (code == SQLITE_OK)
        code = check_integrity(db->handle);
    if (code == SQLITE_OK)
        code = prepare_all(db);
    return code == SQLITE_OK ? OPENED : explain_failure(db, code);
}

static void close_file(struct database *db)
{
    for (unsigned i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }
    sqlite3_close(db->handle);
    db->handle = NULL;
}

/* Kept for whoever wants to look into it; the log beside it belongs to it. */
static bool set_aside(struct database *db, const char *path)
{
    char time[CLOCK_RFC3339_SIZE];
    char *aside = mem_printf("%s.corrupt-%s", path, clock_rfc3339(clock_wall(), time));
    char *wal = mem_printf("%s-wal", path), *wal_aside = mem_printf("%s-wal", aside);
    bool renamed = rename(path, aside) == 0;

    if (!renamed) {
        int code = errno;
        snprintf(db->error, sizeof db->error, "damaged, and can't be renamed: %s", strerror(code));
    } else {
        if (rename(wal, wal_aside) != 0 && errno != ENOENT)
            unlink(wal);
        log_warning("store",
                    "%s is damaged (%s): kept as %s, a new one begins; the history, undelivered alerts and operator's overrides in it are lost",
                    path, db->error, aside);
    }
    free(wal_aside);
    free(wal);
    free(aside);
    return renamed;
}

/* SQLite makes its files with the mode of the first. */
static void create_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static bool open_or_replace(struct database *db, const char *path)
{
    create_private(path);
    enum opening opening = open_file(db, path);
    if (opening == OPENED)
        return true;
    close_file(db);
    if (opening != DAMAGED || !set_aside(db, path))
        return false;
    create_private(path);
    return open_file(db, path) == OPENED;
}

struct database *database_open(const char *directory, char error[static STORE_ERROR_SIZE])
{
    struct database *db = mem_zero(sizeof *db);
    char *path = directory ? mem_printf("%s/penstock.db", directory) : NULL;
    bool opened = path ? open_or_replace(db, path) : open_file(db, ":memory:") == OPENED;

    if (!opened) {
        snprintf(error, STORE_ERROR_SIZE, "%.100s: %.140s", path ? path : "database in memory", db->error);
        database_close(db);
        db = NULL;
    } else {
        db->events = one_number(db, COUNT_EVENTS);
    }
    free(path);
    return db;
}

void database_close(struct database *db)
{
    close_file(db);
    free(db);
}

const char *database_error(const struct database *db)
{
    return db->error;
}

/* Writing */

static enum database_result finish(struct database *db, enum statement which, int code)
{
    if (classify(code) != DATABASE_DONE)
        snprintf(db->error, sizeof db->error, "%s", sqlite3_errmsg(db->handle));
    sqlite3_reset(db->statements[which]);
    sqlite3_clear_bindings(db->statements[which]);
    return classify(code);
}

static enum database_result run(struct database *db, enum statement which)
{
    return finish(db, which, sqlite3_step(db->statements[which]));
}

static uint64_t one_number(struct database *db, enum statement which)
{
    int code = sqlite3_step(db->statements[which]);
    uint64_t number = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(db->statements[which], 0) : 0;
    finish(db, which, code);
    return number;
}

static void bind_text(sqlite3_stmt *statement, int column, const char *text)
{
    sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

enum database_result database_begin(struct database *db)
{
    return run(db, BEGIN) == DATABASE_DONE ? DATABASE_DONE : DATABASE_RETRY;
}

enum database_result database_commit(struct database *db)
{
    return run(db, COMMIT) == DATABASE_DONE ? DATABASE_DONE : DATABASE_RETRY;
}

void database_rollback(struct database *db)
{
    if (!sqlite3_get_autocommit(db->handle)) /* some errors have rolled back already */
        sqlite3_step(db->statements[ROLLBACK]);
    sqlite3_reset(db->statements[ROLLBACK]);
    db->events = one_number(db, COUNT_EVENTS);
}

static enum database_result add_delivery(struct database *db, uint64_t sequence, const char *channel)
{
    sqlite3_stmt *statement = db->statements[ADD_DELIVERY];
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)sequence);
    bind_text(statement, 2, channel);
    return run(db, ADD_DELIVERY);
}

enum database_result database_add_event(struct database *db, const struct event *event, char *const *channels, size_t n_channels)
{
    sqlite3_stmt *statement = db->statements[ADD_EVENT];

    sqlite3_bind_int64(statement, 1, (sqlite3_int64)event->sequence);
    bind_text(statement, 2, event->id);
    bind_text(statement, 3, event->type);
    bind_text(statement, 4, event->subject);
    bind_text(statement, 5, severity_name(event->severity));
    sqlite3_bind_int(statement, 6, event->recovery);
    sqlite3_bind_int64(statement, 7, event->wall);
    bind_text(statement, 8, event->data);
    enum database_result result = run(db, ADD_EVENT);
    db->events += result == DATABASE_DONE;
    for (size_t i = 0; i < n_channels && result == DATABASE_DONE; i++)
        result = add_delivery(db, event->sequence, channels[i]);
    return result;
}

enum database_result database_forget_delivery(struct database *db, uint64_t sequence, const char *channel)
{
    sqlite3_stmt *statement = db->statements[FORGET_DELIVERY];
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)sequence);
    bind_text(statement, 2, channel);
    return run(db, FORGET_DELIVERY);
}

static const char *const admin_names[] = { [ADMIN_ENABLED] = "enabled", [ADMIN_DRAINED] = "drained", [ADMIN_DISABLED] = "disabled" };

static enum admin_state admin_parse(const char *name)
{
    for (unsigned i = 0; i < sizeof admin_names / sizeof *admin_names; i++)
        if (strcmp(admin_names[i], name) == 0)
            return (enum admin_state)i;
    return ADMIN_ENABLED;
}

enum database_result database_set_override(struct database *db, const char *endpoint, enum admin_state admin, double weight)
{
    bool lifted = admin == ADMIN_ENABLED && isnan(weight);
    enum statement which = lifted ? LIFT_OVERRIDE : SET_OVERRIDE;
    sqlite3_stmt *statement = db->statements[which];

    bind_text(statement, 1, endpoint);
    if (!lifted) {
        bind_text(statement, 2, admin_names[admin]);
        sqlite3_bind_double(statement, 3, weight); /* NaN becomes NULL */
    }
    return run(db, which);
}

static enum database_result remove_events(struct database *db, enum statement which, uint64_t *removed)
{
    enum database_result result = run(db, which);
    *removed = result == DATABASE_DONE ? (uint64_t)sqlite3_changes64(db->handle) : 0;
    db->events -= *removed;
    return result;
}

enum database_result database_prune(struct database *db, nsec_t oldest, uint64_t keep, uint64_t *removed)
{
    sqlite3_bind_int64(db->statements[PRUNE_OLD], 1, oldest);
    sqlite3_bind_int(db->statements[PRUNE_OLD], 2, DATABASE_PRUNE_MAX);
    enum database_result result = remove_events(db, PRUNE_OLD, removed);
    if (result != DATABASE_DONE || db->events <= keep)
        return result;
    uint64_t excess = db->events - keep, removed_too = 0;
    sqlite3_bind_int64(db->statements[PRUNE_MANY], 1, excess < DATABASE_PRUNE_MAX ? (sqlite3_int64)excess : DATABASE_PRUNE_MAX);
    result = remove_events(db, PRUNE_MANY, &removed_too);
    *removed += removed_too;
    return result;
}

/* Reading */

uint64_t database_count_events(const struct database *db)
{
    return db->events;
}

uint64_t database_last_sequence(struct database *db)
{
    return one_number(db, LAST_SEQUENCE);
}

static const char *column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}

static struct event *read_event(sqlite3_stmt *statement)
{
    struct event event = {
        .sequence = (uint64_t)sqlite3_column_int64(statement, 0),
        .type = column_text(statement, 2),
        .subject = column_text(statement, 3),
        .recovery = sqlite3_column_int(statement, 5),
        .wall = sqlite3_column_int64(statement, 6),
        .data = column_text(statement, 7),
    };
    snprintf(event.id, sizeof event.id, "%s", column_text(statement, 1));
    if (!severity_parse(column_text(statement, 4), &event.severity))
        event.severity = SEVERITY_INFO;
    return event_new(&event);
}

void database_each_override(struct database *db, void (*each)(void *arg, const char *endpoint, enum admin_state, double weight), void *arg)
{
    sqlite3_stmt *statement = db->statements[OVERRIDES];
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        double weight = sqlite3_column_type(statement, 2) == SQLITE_NULL ? NAN : sqlite3_column_double(statement, 2);
        each(arg, column_text(statement, 0), admin_parse(column_text(statement, 1)), weight);
    }
    finish(db, OVERRIDES, code);
}

void database_each_undelivered(struct database *db, void (*each)(void *arg, const char *channel, struct event *), void *arg)
{
    sqlite3_stmt *statement = db->statements[UNDELIVERED];
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct event *event = read_event(statement);
        each(arg, column_text(statement, 8), event);
        event_unref(event);
    }
    finish(db, UNDELIVERED, code);
}

void database_each_last(struct database *db, void (*each)(void *arg, struct event *), void *arg)
{
    sqlite3_stmt *statement = db->statements[LAST_OF_SUBJECTS];
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct event *event = read_event(statement);
        each(arg, event);
        event_unref(event);
    }
    finish(db, LAST_OF_SUBJECTS, code);
}

static bool find_sequence(struct database *db, const char *id, uint64_t *out)
{
    sqlite3_stmt *statement = db->statements[SEQUENCE_OF];

    bind_text(statement, 1, id);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(statement, 0);
    finish(db, SEQUENCE_OF, code);
    return code == SQLITE_ROW;
}

static void reverse(struct event **events, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        struct event *e = events[i];
        events[i] = events[n - 1 - i];
        events[n - 1 - i] = e;
    }
}

size_t database_read_events(struct database *db, const struct event_query *query, struct event **out, bool *found_after)
{
    enum statement which = query->newest ? READ_LAST : READ_FIRST;
    sqlite3_stmt *statement = db->statements[which];
    size_t limit = query->limit && query->limit < STORE_READ_MAX ? query->limit : STORE_READ_MAX, n = 0;
    uint64_t after = 0;
    int code = SQLITE_DONE;

    *found_after = !query->after || find_sequence(db, query->after, &after);
    if (!*found_after)
        return 0;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
    sqlite3_bind_int64(statement, 2, query->since ? query->since : INT64_MIN);
    if (query->subject)
        bind_text(statement, 3, query->subject);
    while (n < limit && (code = sqlite3_step(statement)) == SQLITE_ROW)
        if (!query->type || event_type_matches(query->type, column_text(statement, 2)))
            out[n++] = read_event(statement);
    finish(db, which, code);
    if (query->newest)
        reverse(out, n);
    return n;
}
