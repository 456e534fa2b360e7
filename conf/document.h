/* The files of a configuration as libconfig's trees, with a place for everything in them. A tree's text is a file with its
 * `@include` lines expanded (by us: libconfig resolves them from one folder only); `include = [ "…" ]` adds trees. */
#ifndef PENSTOCK_CONF_DOCUMENT_H
#define PENSTOCK_CONF_DOCUMENT_H

#include "conf/conf.h"

#include <libconfig.h>

struct named_file {
    const char *path;
    struct source at; /* where it is named; line 0: by the command */
};

struct document;
struct documents {
    struct arena *arena;          /* what texts and names of files are kept in */
    struct conf_messages *messages;
    struct document **items;
    size_t n;
    size_t bytes;                 /* read so far, in all */
    struct named_file *read;      /* every file read, in that order */
    size_t n_read;
};

/* One tree's text, with its includes expanded, as it was read; kept in the arena. */
struct conf_text {
    const char *text;
    struct source whole;        /* its own file, line 0 */
    const struct source *lines; /* of the text: where each stands in the files */
    size_t n_lines;
};

/* Zero but for arena and messages before. Reads the file and all it includes. What can't be read or parsed is an error and left
 * out. */
void documents_read(struct documents *, const char *path);
/* The same from texts of other documents, which it copies; no file is read, and `read` stays empty. */
void documents_read_kept(struct documents *, const struct conf_text *, size_t n);
/* The texts of all, by their order; in the arena. */
struct conf_text *documents_texts(const struct documents *);
void documents_clear(struct documents *);

config_setting_t *document_root(const struct documents *, size_t i);
/* Where a setting stands. A root: its file, line 0. */
struct source document_place(const config_setting_t *);

/* `path` as it is meant in `file`: from its folder unless absolute. */
char *path_beside(struct arena *, const char *file, const char *path);

enum { FILE_NAME_MAX = 4096 };
/* A regular file whole, NUL-terminated, freed by the caller; NULL with errno, EFBIG if it is larger than `most`, EISDIR or
 * EINVAL if it isn't a regular file. Never blocks on a pipe or device. */
char *read_regular_file(const char *path, size_t most, size_t *n);

#endif
