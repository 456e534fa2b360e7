/* What the parts of the loader share: the configuration under construction, what the file says of a group, words for errors. */
#ifndef PENSTOCK_CONF_LOADER_H
#define PENSTOCK_CONF_LOADER_H

#include "conf/document.h"
#include "conf/schema.h"

#include <libconfig.h>

struct loader {
    struct config *config;
    struct conf_messages *messages;
    struct documents documents;
    struct arena scratch;            /* lives as long as the loading */
    struct named_file *files;        /* what the configuration names and reads */
    size_t n_files;
    struct client_slot *clients;     /* TLS contexts made so far, see endpoint_tls.c */
    bool has_edge;                   /* the configuration has an edge of ours, right or wrong; it is read before the pools */
    const struct config *in_force;   /* the same files were read for it, and its modules stay; NULL: these are read anew */
    const struct conf_joined *joined; /* by name; see conf_join() */
    size_t n_joined;
    bool rejoining;                  /* conf_join(): what else the files name is not looked at again */
};

/* What the files say of one key. */
struct given {
    const config_setting_t **settings; /* more than one only of a list */
    size_t n;
    const config_setting_t *file, *env; /* X_file, X_env of a secret */
};

/* What the files say of one group. */
struct members {
    const struct conf_group *group;
    struct given *given; /* by the group's keys */
    struct source at;
    size_t errors;       /* there were before it was read */
};

void conf_error(struct loader *, struct source at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void conf_warning(struct loader *, struct source at, const char *format, ...) __attribute__((format(printf, 3, 4)));

bool is_given(const struct given *);
/* Where it stands: of a secret, whichever form is given. */
struct source given_place(const struct given *);
const struct given *member(const struct members *, const char *name);
/* No error so far in this group. */
bool is_good(const struct loader *, const struct members *);
bool has_member(const struct members *, const char *name);
/* Of the key if it is given, else of the group. */
struct source member_place(const struct members *, const char *name);
/* The string, or NULL if it isn't given or isn't one. */
const char *member_text(const struct members *, const char *name);

/* Defaults, then what the file says. `settings` are groups. */
void read_group(struct loader *, const struct conf_group *, const config_setting_t *const *settings, size_t n, void *object);
void preset_group(struct loader *, const struct conf_group *, void *object);

/* Elements of all settings of a list or array, one after the other; a string alone is a list of one. */
size_t count_elements(const struct given *);
struct element {
    const config_setting_t *setting;
    const char *text; /* NULL: not a string, or an empty one */
    struct source at;
};
struct element element_at(const struct given *, size_t i);

/* The same of one that may be missing, or no such file. */
const char *name_optional_file(struct loader *, const char *path, struct source at);

/* "an integer", "a string", "a group { }" */
const char *setting_kind(const config_setting_t *);

/* Notes a file that is read, by an absolute path or one beside the file it is named in; tells if it isn't a file we can read. */
const char *name_file(struct loader *, const char *path, struct source at);

#endif
