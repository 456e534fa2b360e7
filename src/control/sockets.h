/* What we listen on. A socket is opened once, for all workers, and stays open over reloads as long as a configuration names its address; one
 * that none names any more is closed once every worker has let go of it. */
#ifndef PENSTOCK_CONTROL_SOCKETS_H
#define PENSTOCK_CONTROL_SOCKETS_H

#include "conf/conf.h"

enum { SOCKETS_ADMIN_MAX = 2 /* a unix socket, an address */ };

struct sockets;
/* `watchers`: how many adopt what is posted; the workers, which come first, and who else watches sockets. */
struct sockets *sockets_new(unsigned workers, unsigned watchers) __attribute__((returns_nonnull));
/* Closes everything and removes the unix sockets' files. */
void sockets_free(struct sockets *);

/* Opens what the configuration names and isn't open yet. False: nothing was opened, and `messages` says why. */
bool sockets_prepare(struct sockets *, const struct config *, struct conf_messages *messages);
/* The configuration that was prepared comes to nothing: closes what was opened for it. */
void sockets_abandon(struct sockets *);
/* That configuration was posted to all workers, and is in force: what it does not name is given up. `listening`: false gives up all but
 * the admin API's: we stop. */
void sockets_commit(struct sockets *, const struct config *, bool listening);

/* The socket of one worker for each listener of a configuration that was prepared. */
void sockets_of_worker(const struct sockets *, const struct config *, unsigned worker, int *fds);
/* The same for the edge's addresses. */
void sockets_of_edge(const struct sockets *, const struct config *, unsigned worker, int *fds);
/* Those of the admin API; returns how many. */
size_t sockets_of_admin(const struct sockets *, const struct config *, int fds[static SOCKETS_ADMIN_MAX]);

/* Each time something was posted to all watchers, and each time one of them has adopted what was posted. */
void sockets_posted(struct sockets *);
void sockets_adopted(struct sockets *, unsigned watcher);
/* That watcher has ended: it watches nothing, and will adopt nothing. */
void sockets_let_go(struct sockets *, unsigned watcher);
/* Has every watcher adopted the last that was posted? */
bool sockets_are_settled(const struct sockets *);

#endif
