/* The connector's half of the conversation on its control stream, message by message: Cap'n Proto RPC as cloudflared writes it,
 * byte for byte, in code of its own, so that the edge's reader is not tested with its own builder. Pure. */
#ifndef PENSTOCK_SIM_RPC_H
#define PENSTOCK_SIM_RPC_H

#include "tests/sim/connector/bytes.h"

#include <stdint.h>

enum { RPC_ID = 16 };

/* Whom a call is for: what the bootstrap question will answer, or the capability that it answered. */
struct rpc_target {
    bool imported;
    uint32_t capability;
};

struct rpc_hello {
    uint8_t tunnel[RPC_ID], connector[RPC_ID], origin_ip[16];
    struct slice account, secret, version, arch;
    const char *const *features; /* NULL-terminated */
    uint8_t index, attempts;
};

/* Each appends one message. */
void rpc_add_bootstrap(struct bytes *, uint32_t question);
void rpc_add_register(struct bytes *, uint32_t question, struct rpc_target, const struct rpc_hello *);
void rpc_add_unregister(struct bytes *, uint32_t question, struct rpc_target);
void rpc_add_local_configuration(struct bytes *, uint32_t question, struct rpc_target, struct slice json);
void rpc_add_finish(struct bytes *, uint32_t question, bool release_capabilities);
void rpc_add_release(struct bytes *, uint32_t capability);
void rpc_add_abort(struct bytes *, const char *reason);

enum rpc_kind { RPC_OTHER, RPC_RESULTS, RPC_EXCEPTION, RPC_ABORT };

struct rpc_answer {
    enum rpc_kind kind;
    uint32_t question;
    struct slice reason;       /* of an exception or an abort */
    bool has_capability;       /* results of a bootstrap */
    uint32_t capability;
    bool refused;              /* results of a registration … */
    struct slice cause;
    bool remotely_managed;
    struct slice location, id;
};

/* Takes one message off, if it is whole; `registration` is the question whose results are those of a registration. False: not whole
 * yet, or *wrong says why it can't be read. Slices are valid until something is added. */
bool rpc_take(struct bytes *, uint32_t registration, struct rpc_answer *, const char **wrong);

#endif
