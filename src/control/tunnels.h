/* The registry: the tunnels of our edge, who may connect as them, who is connected, and since when. Made from the configuration
 * and the state directory (`tunnels/UUID.json`, a credentials file with our own members beside cloudflared's). Control thread.
 *
 * It answers the registrations that workers ask about, keeps the views of balance/tunnel.h up to date, decides which worker gets
 * a connection (the one with the fewest of that tunnel), tells the bus tunnel.healthy|degraded|inactive, pushes configurations
 * and compares what connectors say of theirs. */
#ifndef PENSTOCK_CONTROL_TUNNELS_H
#define PENSTOCK_CONTROL_TUNNELS_H

#include "control/control.h"
#include "edge/edge.h"

/* The account of tunnels that were made without one. Connectors never interpret it; a tunnel of the configuration file, which
 * names none, takes connectors of any. */
#define TUNNELS_ACCOUNT "penstock"

struct tunnels;

struct tunnels *tunnels_new(struct control *) __attribute__((returns_nonnull));
void tunnels_free(struct tunnels *);
/* Reads the state directory's tunnels. False with a message that names the file. At start. */
bool tunnels_load(struct tunnels *, char error[256]);
/* The configuration that comes into force: its tunnels, limits, replica steering, ingress. Called before it is published. */
void tunnels_set_config(struct tunnels *, const struct config *);
/* Rules that a connector refused, or that a change which went no further did not bring to it, are pushed again: the operator reloaded. */
void tunnels_push_again(struct tunnels *);
/* By UUID or name; NULL: none. The reference stays the registry's. */
struct tunnel *tunnels_find(struct tunnels *, const char *id_or_name);
/* Gives the endpoints of our edge their tunnels: of a configuration that is about to be published. */
void tunnels_attach(struct tunnels *, struct config *);
/* The same configuration with the tunnels that join its pools: those that match a pattern and were connected at least once.
 * Takes the reference over. NULL with errors. */
struct config *tunnels_join(struct tunnels *, struct config *, struct conf_messages *);
/* Does `identical` keep this endpoint's tunnel out of use? `why` says so in words. */
enum tunnels_refusal { TUNNELS_USE, TUNNELS_WAIT /* its rules are not known yet */, TUNNELS_REFUSE };
enum tunnels_refusal tunnels_refuse(struct tunnels *, const struct endpoint *, char why[VERDICT_TEXT_SIZE]);

/* The callbacks of edge_worker_options; `arg` is the struct control. */
void tunnels_on_registered(void *control, struct edge_registration *);
void tunnels_on_line_changed(void *control, const char *tunnel, uint64_t line, enum line_state, enum reason, const char *detail);
void tunnels_on_local_configuration(void *control, const char *tunnel, const char *connector, const char *json, size_t n);
void tunnels_on_pushed(void *control, const char *tunnel, const char *connector, int version, bool applied, const char *answer);

enum tunnels_result {
    TUNNELS_DONE,
    TUNNELS_NOT_FOUND,
    TUNNELS_EXISTS,
    TUNNELS_CONNECTED /* deleting needs force */,
    TUNNELS_IN_FILE /* of the configuration file: change it there */,
    TUNNELS_BAD_NAME,
    TUNNELS_FAILED /* see the message */
};
/* Makes UUID and secret and writes the credentials file (0600). `account` NULL: TUNNELS_ACCOUNT; `secret`: cloudflared makes it
 * itself; n 0: it is made here. */
enum tunnels_result tunnels_create(struct tunnels *, const char *name, const char *account, struct slice secret,
                                   struct credentials *out, char error[256]);
enum tunnels_result tunnels_delete(struct tunnels *, const char *id_or_name, bool force, char error[256]);
/* Drops the connections of all its connectors, or of one (NULL: all); they come back unless drained. */
enum tunnels_result tunnels_cleanup(struct tunnels *, const char *id_or_name, const char *connector);
enum tunnels_result tunnels_credentials(struct tunnels *, const char *id_or_name, struct credentials *out, char path[4096]);
/* The operator's word on a tunnel's connectors (NULL: all), remembered by id over reconnections until undone. */
enum tunnels_result tunnels_drain(struct tunnels *, const char *id_or_name, const char *connector, bool drained);
enum tunnels_result tunnels_weigh(struct tunnels *, const char *id_or_name, const char *connector, double weight);
/* One more monitor found that a connection carries no requests while others of the tunnel do, or (each that said so) does again. */
void tunnels_set_sick(struct tunnels *, const char *id, uint64_t line, bool sick, const char *detail);
/* The result of a probe over that connection, for show. */
void tunnels_note_probe(struct tunnels *, const char *id, uint64_t line, const char *monitor, bool pass, const char *detail);

/* For status, `tunnel list` and `tunnel info`: an array; one tunnel with its connectors (NULL: none). */
json_t *tunnels_json(struct tunnels *);
json_t *tunnels_one_json(struct tunnels *, const char *id_or_name);

#endif
