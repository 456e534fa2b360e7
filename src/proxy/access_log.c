#include "proxy/access_log.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct log_block {
    struct log_block *next;
    size_t n;
    unsigned lines;
    char data[LOG_LINES_SIZE];
};

struct log_sink {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct log_block *first, **last; /* to be written, oldest first */
    struct log_block *spare;
    unsigned blocks;                 /* that exist: waiting, spare or being filled */
    _Atomic uint64_t lost;           /* lines */
    bool reopen, stop;
    int next_fd;                     /* to be written to from now on; -1: none */
    int fd;                          /* the writing thread's own, as is the path */
    char *path;                      /* NULL: standard output, or nothing */
    char *next_path;                 /* belongs to next_fd */
};

struct log_lines {
    struct log_sink *sink;
    struct log_block *block;         /* being filled; NULL: none yet */
    enum access_log_format format;
};

/* --- the writing thread --- */

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

/* The log of a configuration; *path gets a copy of what can be opened anew, or NULL. -1 with errno. */
static int open_log(const struct access_log_conf *conf, char **path)
{
    *path = NULL;
    if (!conf->path)
        return open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (strcmp(conf->path, "stdout") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    int fd = open_path(conf->path);
    if (fd >= 0)
        *path = mem_copy_text(conf->path);
    return fd;
}

static void count_lost(struct log_sink *sink, unsigned lines)
{
    atomic_fetch_add_explicit(&sink->lost, lines, memory_order_relaxed);
}

uint64_t log_sink_lost(const struct log_sink *sink)
{
    return atomic_load_explicit(&sink->lost, memory_order_relaxed);
}

/* Of a block that is written in part all lines count as lost: nobody knows which are whole. */
static void write_block(struct log_sink *sink, const struct log_block *block, bool *failing)
{
    for (size_t done = 0; done < block->n;) {
        ssize_t n = write(sink->fd, block->data + done, block->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (!*failing)
                log_error("access log", "can't write: %s; lines are lost until this ends", strerror(errno));
            *failing = true;
            count_lost(sink, block->lines);
            return;
        }
        done += (size_t)n;
    }
    *failing = false;
}

static void reopen(struct log_sink *sink)
{
    if (!sink->path)
        return;
    int fd = open_path(sink->path);
    if (fd < 0) {
        log_warning("access log", "%s can't be opened anew: %s; the former file is written on", sink->path, strerror(errno));
        return;
    }
    close(sink->fd);
    sink->fd = fd;
}

/* Under the lock. */
static void use_next(struct log_sink *sink)
{
    if (sink->next_fd < 0)
        return;
    close(sink->fd);
    free(sink->path);
    sink->fd = sink->next_fd;
    sink->path = sink->next_path;
    sink->next_fd = -1;
    sink->next_path = NULL;
}

static struct log_block *take_first(struct log_sink *sink)
{
    struct log_block *block = sink->first;
    if (block && !(sink->first = block->next))
        sink->last = &sink->first;
    return block;
}

static void *write_blocks(void *arg)
{
    struct log_sink *sink = arg;
    bool failing = false;
    pthread_mutex_lock(&sink->lock);
    for (;;) {
        while (!sink->first && !sink->reopen && sink->next_fd < 0 && !sink->stop)
            pthread_cond_wait(&sink->wake, &sink->lock);
        bool again = sink->reopen;
        sink->reopen = false;
        use_next(sink);
        struct log_block *block = take_first(sink);
        if (!block && !again && sink->stop)
            break;
        pthread_mutex_unlock(&sink->lock);
        if (again)
            reopen(sink);
        if (block)
            write_block(sink, block, &failing);
        pthread_mutex_lock(&sink->lock);
        if (block) {
            block->next = sink->spare;
            sink->spare = block;
        }
    }
    pthread_mutex_unlock(&sink->lock);
    return NULL;
}

static void say_unopened(const struct access_log_conf *conf, char *error)
{
    snprintf(error, 256, "the access log %s can't be opened: %s", conf->path ? conf->path : "/dev/null", strerror(errno));
}

struct log_sink *log_sink_new(const struct access_log_conf *conf, char *error)
{
    struct log_sink *sink = mem_zero(sizeof *sink);
    sink->last = &sink->first;
    sink->next_fd = -1;
    sink->fd = open_log(conf, &sink->path);
    if (sink->fd < 0) {
        say_unopened(conf, error);
        free(sink);
        return NULL;
    }
    pthread_mutex_init(&sink->lock, NULL);
    pthread_cond_init(&sink->wake, NULL);
    int failed = pthread_create(&sink->thread, NULL, write_blocks, sink);
    if (failed) {
        snprintf(error, 256, "the access log's thread can't be started: %s", strerror(failed));
        sink->stop = true;
        close(sink->fd);
        free(sink->path);
        free(sink);
        return NULL;
    }
    return sink;
}

bool log_sink_move(struct log_sink *sink, const struct access_log_conf *conf, char *error)
{
    char *path;
    int fd = open_log(conf, &path);
    if (fd < 0) {
        say_unopened(conf, error);
        return false;
    }
    pthread_mutex_lock(&sink->lock);
    if (sink->next_fd >= 0)
        close(sink->next_fd);
    free(sink->next_path);
    sink->next_fd = fd;
    sink->next_path = path;
    pthread_cond_signal(&sink->wake);
    pthread_mutex_unlock(&sink->lock);
    return true;
}

void log_sink_reopen(struct log_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    sink->reopen = true;
    pthread_cond_signal(&sink->wake);
    pthread_mutex_unlock(&sink->lock);
}

void log_sink_free(struct log_sink *sink)
{
    if (!sink)
        return;
    pthread_mutex_lock(&sink->lock);
    sink->stop = true;
    pthread_cond_signal(&sink->wake);
    pthread_mutex_unlock(&sink->lock);
    pthread_join(sink->thread, NULL);
    use_next(sink);
    while (sink->spare) {
        struct log_block *block = sink->spare;
        sink->spare = block->next;
        free(block);
    }
    pthread_mutex_destroy(&sink->lock);
    pthread_cond_destroy(&sink->wake);
    close(sink->fd);
    free(sink->path);
    free(sink);
}

/* --- a worker's lines --- */

struct log_lines *log_lines_new(struct log_sink *sink)
{
    struct log_lines *lines = mem_zero(sizeof *lines);
    lines->sink = sink;
    return lines;
}

void log_lines_set_format(struct log_lines *lines, enum access_log_format format)
{
    lines->format = format;
}

/* While the writing thread is behind, lines are collected in the last block that waits: else a few dozen turns of the loop with a line
 * each would use up all blocks. Under the lock. */
static bool append_to_last(struct log_sink *sink, const struct log_block *block)
{
    if (!sink->first)
        return false;
    struct log_block *last = CONTAINER_OF(sink->last, struct log_block, next);
    if (sizeof last->data - last->n < block->n)
        return false;
    memcpy(last->data + last->n, block->data, block->n);
    last->n += block->n;
    last->lines += block->lines;
    return true;
}

void log_lines_flush(struct log_lines *lines)
{
    struct log_block *block = lines->block;
    struct log_sink *sink = lines->sink;
    if (!block || !block->n)
        return;
    pthread_mutex_lock(&sink->lock);
    if (append_to_last(sink, block)) {
        block->n = block->lines = 0;
    } else {
        lines->block = NULL;
        block->next = NULL;
        *sink->last = block;
        sink->last = &block->next;
    }
    pthread_cond_signal(&sink->wake);
    pthread_mutex_unlock(&sink->lock);
}

void log_lines_free(struct log_lines *lines)
{
    if (!lines)
        return;
    log_lines_flush(lines);
    free(lines->block);
    free(lines);
}

/* An empty block; NULL when all that may exist wait to be written. */
static struct log_block *take_block(struct log_sink *sink)
{
    struct log_block *block = NULL;
    pthread_mutex_lock(&sink->lock);
    if (sink->spare) {
        block = sink->spare;
        sink->spare = block->next;
    } else if (sink->blocks < LOG_SINK_BUFFERS && (block = malloc(sizeof *block))) {
        sink->blocks++;
    }
    pthread_mutex_unlock(&sink->lock);
    if (block)
        block->n = block->lines = 0;
    return block;
}

void log_lines_add(struct log_lines *lines, const struct access_record *record)
{
    if (lines->block && lines->block->n + LOG_LINE_MAX > LOG_LINES_SIZE)
        log_lines_flush(lines);
    if (!lines->block && !(lines->block = take_block(lines->sink))) {
        count_lost(lines->sink, 1);
        return;
    }
    struct log_block *block = lines->block;
    block->n += access_record_format(record, lines->format, block->data + block->n);
    block->lines++;
}
