/* The configuration language: one schema table drives loading, defaults, ranges, errors, `penstock check` and the manual's key
 * list. Control thread and commands only. */
#ifndef PENSTOCK_CONF_CONF_H
#define PENSTOCK_CONF_CONF_H

#include "balance/config.h"
#include "base/text.h"

#include <stdio.h>

enum conf_severity { CONF_ERROR, CONF_WARNING };
struct conf_message {
    enum conf_severity severity;
    const char *file;
    unsigned line; /* 0: the file as a whole */
    const char *text;
};
/* Zero-initialised is empty. Sorted by file and line; at most 1000 are kept. */
struct conf_messages {
    struct conf_message *items;
    size_t n;
    size_t errors; /* all of them, those not kept as well */
};
/* Texts are copied. */
void conf_messages_add(struct conf_messages *, enum conf_severity, const struct source *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void conf_messages_clear(struct conf_messages *);
/* "FILE:LINE: message" a line; warnings say "warning: ". */
void conf_message_print(const struct conf_message *, struct text *out); /* without the end of the line */
void conf_messages_print(const struct conf_messages *, struct text *out);

/* Reads and checks a file whole: syntax, keys, types, ranges, references, then everything that can be known without serving
 * (certificates and keys, secrets, URLs, UUIDs, addresses, the policies' and channels' own options, regular expressions, whether
 * `user` can read every named file). Returns a complete configuration (TLS contexts made, live state not attached, generation 0)
 * or NULL; `messages` gets every error, not the first only, and warnings either way. */
struct config *conf_load(const char *path, struct conf_messages *messages);

/* A tunnel that joins a pool by one of its patterns. */
struct conf_joined {
    const char *pool;
    const char *tunnel; /* its UUID, lower case */
    const char *name;
};
/* A configuration with all that `in_force` was loaded from, and one more endpoint POOL/NAME (`joined`) for each of these tunnels, whatever
 * had joined in `in_force`. The configuration's files are not read again: they may be half edited. The files that they name are
 * (certificates, secrets). In a pool's order those that join stand where their pattern stands, by name. Left out is a tunnel that matches no
 * pattern of its pool, or whose name an endpoint of the file has, or that an endpoint of the file names as its `tunnel`. Returns like
 * conf_load(): NULL with errors leaves `in_force` as it is. Warnings of the file are not told again. */
struct config *conf_join(const struct config *in_force, const struct conf_joined *, size_t n, struct conf_messages *messages);

/* Warns of each endpoint of our edge whose tunnel does not exist (yet). */
void conf_warn_of_tunnels(const struct config *, bool (*exists)(void *arg, const char *id_or_name), void *arg, struct conf_messages *messages);

/* Every key of the language in the order of the manual, from the same table, a line each: path, type, default, range and help,
 * separated by tabs. A path names the groups it stands in: "pools[].endpoints[].weight"; a list of groups has "[]". Unset fields
 * are empty; the default of what must be given is "required". */
void conf_print_keys(FILE *);

#endif
