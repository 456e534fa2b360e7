/* How the registry's tunnels are kept: `tunnels/UUID.json` is a credentials file as cloudflared reads it, with our own members
 * in it, written once; `tunnels/UUID.state` is what is remembered while it runs. Control thread. */
#ifndef PENSTOCK_CONTROL_TUNNEL_FILE_H
#define PENSTOCK_CONTROL_TUNNEL_FILE_H

#include "control/state_file.h"
#include "control/tunnel_status.h"
#include "edge/token.h"

#include <math.h>

enum { TUNNEL_WORDS_MAX = 100 /* connectors of a tunnel that the operator said something of; the oldest is forgotten first */ };

struct tunnel_file {
    struct credentials credentials;
    char name[TUNNEL_NAME_SIZE];
    nsec_t created; /* wall; kept to the millisecond */
};

/* What the operator said of a connector. */
struct connector_word {
    char id[UUID_TEXT_SIZE];
    bool drained;
    double weight; /* 1: nothing said */
};

struct tunnel_memory {
    struct tunnel_standing standing; /* only what tunnel_standing_resume() takes */
    nsec_t first_seen;               /* wall, in the configuration file; 0: never */
    bool drained;                    /* all connectors, those that come later too */
    struct connector_word words[TUNNEL_WORDS_MAX];
    unsigned n_words;
    int version;                     /* of the last configuration pushed; 0: none yet */
    uint64_t version_hash;           /* of its ingress */
};

/* The path of tunnels/UUID.json. */
bool tunnel_file_path(const char *state_dir, const char *id, char path[4096]);
/* Makes the folder where it is missing. */
bool tunnel_file_write(const char *state_dir, const struct tunnel_file *, char error[static STATE_FILE_ERROR_SIZE]);
/* Both files; what is missing is no error. */
bool tunnel_file_remove(const char *state_dir, const char *id, char error[static STATE_FILE_ERROR_SIZE]);
/* Each that is there. False with a message that names the file that is none. The credentials are cleared after each call. */
bool tunnel_file_each(const char *state_dir, void (*each)(void *arg, const struct tunnel_file *), void *arg,
                      char error[static STATE_FILE_ERROR_SIZE]);

bool tunnel_memory_write(const char *state_dir, const char *id, const struct tunnel_memory *,
                         char error[static STATE_FILE_ERROR_SIZE]);
/* False: nothing is remembered, or nothing that can be read (which is logged): *out is that of a new tunnel. */
bool tunnel_memory_read(const char *state_dir, const char *id, struct tunnel_memory *out);

/* NULL: nothing was said of it. */
struct connector_word *tunnel_memory_find(struct tunnel_memory *, const char *connector);
struct connector_word *tunnel_memory_make(struct tunnel_memory *, const char *connector);

#endif
