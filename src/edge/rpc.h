/* The conversation with a connector on its control stream: Cap'n Proto RPC as far as cloudflared speaks it. A pure state machine:
 * bytes in, in any cut; events out; what is to be sent appended to the caller's buffer. Only a message that came in pieces is
 * copied, to memory that is overwritten and freed as soon as the message was handled.
 *
 * It keeps the order of things (one registration, then what needs one), answers by itself what is nobody else's business
 * (bootstrap, unknown methods, calls out of turn), and ends at the first breach of the protocol, with an abort that says why.
 * One thread. */
#ifndef PENSTOCK_EDGE_RPC_H
#define PENSTOCK_EDGE_RPC_H

#include "edge/rpc_message.h"

enum {
    RPC_MESSAGE_MAX = 1024 * 1024, /* bytes, once registered: a connector's whole ingress */
    RPC_STRANGER_MESSAGE_MAX = 16 * 1024,
    RPC_QUESTIONS_MAX = 16, /* under way at once; cloudflared has two or three */
    RPC_OUT_SIZE = 4096,    /* room for what an honest connector can make us send before it reads on */
};

enum rpc_state {
    RPC_STRANGER,
    RPC_REGISTERING,  /* RPC_REGISTER was told, and waits for rpc_accept or rpc_refuse */
    RPC_REGISTERED,
    RPC_REFUSED,      /* the caller closes the connection, for cloudflared doesn't */
    RPC_UNREGISTERED, /* the connector is leaving */
    RPC_ENDED
};

enum rpc_end {
    RPC_END_NONE,
    RPC_END_CONNECTOR, /* it aborts, which is also how cloudflared takes leave: "rpc: shutdown" */
    RPC_END_CLOSED,    /* the stream ended between two messages … */
    RPC_END_TRUNCATED, /* … or within one */
    RPC_END_OURS,      /* rpc_abort */
    RPC_END_TOO_LARGE, RPC_END_MALFORMED, RPC_END_UNASKED, RPC_END_UNKNOWN, RPC_END_QUESTIONS, RPC_END_QUESTION, RPC_END_TARGET,
    RPC_END_RELEASE,
    RPC_END_BACKLOG,   /* the caller's buffer is full: the connector doesn't take what it is sent */
    RPC_END_MEMORY,
    RPC_ENDS
};
const char *rpc_end_code(enum rpc_end); /* "too_large" */
const char *rpc_end_text(enum rpc_end); /* a sentence for people */

enum rpc_event_type {
    RPC_MORE,          /* the input is used up; nothing for the caller */
    RPC_REGISTER,      /* answer with rpc_accept or rpc_refuse, at any time */
    RPC_CONFIGURATION, /* the connector's own ingress, JSON; answer with rpc_done */
    RPC_UNREGISTER,    /* no new requests for it from now on; answer with rpc_done */
    RPC_OVER,          /* the session has ended, see rpc->end; what still comes is ignored */
};

/* Slices are valid until the next call of rpc_read or rpc_clear, and no longer than the input. */
struct rpc_event {
    uint32_t question; /* for the answer */
    struct rpc_registration registration;
    struct slice configuration;
};

struct rpc_question {
    uint32_t id;
    uint8_t kind;   /* private */
    bool answered;
};

/* Zero-initialised is a new session. */
struct rpc {
    enum rpc_state state;
    enum rpc_end end;                /* in RPC_ENDED */
    char detail[RPC_REASON_MAX + 1]; /* what more there is to say of the end, "" if nothing; printable ASCII */
    struct rpc_question questions[RPC_QUESTIONS_MAX];
    unsigned n_questions;
    uint64_t references;             /* that the connector holds to our one capability */
    char *partial;                   /* a message, or as much of it as has come */
    size_t partial_n, partial_size;
    bool partial_handled;            /* it is whole, and only an event may still point into it */
};

void rpc_clear(struct rpc *);

/* Takes messages off *input until one is for the caller or none is whole; *event belongs to what is returned. What was appended
 * to `out` is to be sent, before the next call if possible. */
enum rpc_event_type rpc_read(struct rpc *, struct slice *input, struct bounded *out, struct rpc_event *event);
/* The connector has ended its stream: the session is over. */
void rpc_read_end(struct rpc *);

/* Each appends an answer to `out`. False, with nothing appended: the question isn't (or no longer) waiting for it, or there is
 * no room. After rpc_accept the connector may send large messages; after rpc_refuse it can't register any more. */
bool rpc_accept(struct rpc *, uint32_t question, const struct rpc_connection *, struct bounded *out);
bool rpc_refuse(struct rpc *, uint32_t question, const struct rpc_refusal *, struct bounded *out);
bool rpc_done(struct rpc *, uint32_t question, struct bounded *out);
/* An exception, where it can't be done; for a registration it is a refusal. */
bool rpc_fail(struct rpc *, uint32_t question, struct slice reason, struct bounded *out);
/* Ends the session from our side. Nothing happens if it is over. */
void rpc_abort(struct rpc *, struct slice reason, struct bounded *out);

#endif
