/* The language as tables: each key once, with its type, default, range and help. Loading, defaults, errors and the manual's list
 * of keys all read these rows. Const data. */
#ifndef PENSTOCK_CONF_SCHEMA_H
#define PENSTOCK_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

struct loader;
struct given;
struct members;
struct conf_key;

struct conf_type {
    const char *name;       /* for errors: "a duration such as \"15s\"" */
    const char *short_name; /* for the list of keys: "duration" */
    bool is_list;         /* several files may each give a part */
    bool is_secret;       /* X may be given as X_file or X_env */
    bool is_group;        /* its key has `members` */
    /* Writes key->fallback into the object; NULL: it stays zero. */
    void (*preset)(struct loader *, const struct conf_key *, void *object);
    /* Reads what the file says into the object; tells what is wrong with it. */
    void (*read)(struct loader *, const struct conf_key *, const struct given *, void *object);
};

struct conf_choice {
    const char *name; /* ends with NULL */
    int value;
};

struct conf_group {
    const struct conf_key *keys; /* ends with a NULL name */
    size_t size;                 /* of the object */
    size_t at;                   /* offset of its struct source, or CONF_NOWHERE */
    const char *what;            /* for errors: "a pool" */
    /* Before the file's keys are read, defaults are set; after. Either may be NULL. */
    void (*start)(struct loader *, void *object);
    void (*finish)(struct loader *, const struct members *, void *object);
};

struct conf_key {
    const char *name;
    const struct conf_type *type;
    const char *fallback;    /* the default, spelled as in a file */
    const char *default_text; /* for the manual, where the default is no fixed value */
    const char *least, *most; /* spelled as in a file; NULL: no bound. Of lists: the number of elements */
    bool required;
    bool before_route;       /* takes effect before a load balancer is chosen, so that none can have it otherwise */
    bool inherits;           /* a group that another of the same kind stands in for: no defaults of its own */
    const struct conf_choice *choices;
    const struct conf_group *members;
    size_t offset, count_offset; /* in the object; CONF_NOWHERE: the group's `finish` reads it from the file itself */
    const char *help;
};

#define CONF_NOWHERE ((size_t)-1)

extern const struct conf_group conf_root;

#endif
