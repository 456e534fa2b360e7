/* One connection to the edge: TCP, TLS, then HTTP/2 with the roles reversed (we dialled, and are the server). It never ends within
 * a call: session_fail() marks it, and what is marked ends before the loop waits again, with connection_lost(). */
#ifndef PENSTOCK_SIM_SESSION_H
#define PENSTOCK_SIM_SESSION_H

#include "tests/sim/connector/bytes.h"
#include "tests/sim/connector/sim.h"

#include <nghttp2/nghttp2.h>

enum {
    WINDOW = 1024 * 1024,    /* bytes: of a stream, and of the whole connection */
    WINDOW_STEP = 4096,      /* window is given back in steps of that many bytes at least */
    HEADER_LIST_MAX = 1048896,
};

enum session_state { SESSION_CONNECTING, SESSION_HANDSHAKE, SESSION_OPEN };

/* Why it ended, as far as it matters for what follows. */
enum loss { LOSS_NONE, LOSS_DIAL, LOSS_UNAUTHORIZED, LOSS_DUPLICATE, LOSS_REFUSED, LOSS_CLOSED, LOSS_LEFT };

enum control_state {
    CONTROL_NONE,
    CONTROL_REGISTERING,
    CONTROL_REGISTERED,
    CONTROL_LEAVING, /* asked to unregister, not answered yet */
    CONTROL_OVER,
};

struct control {
    enum control_state state;
    int32_t stream;
    struct bytes in, out;
    bool out_ended, deferred;
    bool bootstrapped;      /* the capability is here */
    uint32_t capability;
    bool configuration_asked;
};

struct session {
    struct list touched;
    struct sim *sim;
    struct connection *connection;
    enum session_state state;
    enum loss loss;
    char why[256];
    int fd;
    SSL *ssl;
    ev_io io;
    ev_timer patience;    /* for the step under way: connect, handshake, preface */
    nghttp2_session *h2;
    struct bytes out;     /* what TLS did not take yet */
    bool heard;           /* the preface has come */
    bool cut;             /* end with a reset instead of a close */
    bool abandoned;       /* forgotten without a word, as behind a router that was switched off */
    uint32_t unreturned;  /* bytes of the connection's window to give back */
    struct list requests;
    struct control control;
};

static inline nghttp2_nv h2_field(struct slice name, struct slice value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n, NGHTTP2_NV_FLAG_NONE };
}

/* Dials. NULL if that fails at once. */
struct session *session_new(struct connection *, const struct peer *);
void session_touch(struct session *);
void session_fail(struct session *, enum loss, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Without a word to the connection. */
void session_free(struct session *);
/* Window for `n` bytes that were read; a stream gets its own by its request. */
void session_return_window(struct session *, size_t n);
/* Sends what is there, ends what is marked. */
void session_settle_all(struct sim *);

/* --- its control stream (control.c) --- */

void control_begin(struct session *, int32_t stream); /* the first that is opened */
/* What a control stream begins with, the tunnel's secret in it. */
void control_add_opening(struct session *, struct bytes *out);
void control_on_data(struct session *, struct slice);
void control_on_close(struct session *);
void control_unregister(struct session *);
void control_clear(struct control *);

#endif
