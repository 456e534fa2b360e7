/* The messages of Cap'n Proto RPC (rpc.capnp, level 1) and of cloudflared's RegistrationServer (0xf71695ec7fe85497), as structs.
 * Pure. */
#ifndef PENSTOCK_EDGE_RPC_MESSAGE_H
#define PENSTOCK_EDGE_RPC_MESSAGE_H

#include "base/bounded.h"
#include "base/slice.h"
#include "base/uuid.h"

#include <stdint.h>

enum {
    RPC_FEATURES_MAX = 32,
    RPC_WORD_MAX = 64,     /* characters of an account tag, a feature, a version, an architecture, a location */
    RPC_REASON_MAX = 256,  /* characters of a reason; longer ones are cut */
    RPC_WRITTEN_MAX = 512, /* bytes: none that is written here is longer */
};

/* --- received --- */

enum rpc_kind {
    RPC_KIND_ABORT, RPC_KIND_CALL, RPC_KIND_FINISH, RPC_KIND_RELEASE, RPC_KIND_BOOTSTRAP,
    RPC_KIND_UNASKED, /* an answer, but we never ask */
    RPC_KIND_UNKNOWN
};

enum rpc_method { RPC_METHOD_UNKNOWN, RPC_METHOD_REGISTER, RPC_METHOD_UNREGISTER, RPC_METHOD_CONFIGURATION };

enum rpc_target { RPC_TARGET_CAPABILITY, RPC_TARGET_ANSWER, RPC_TARGET_UNKNOWN };

/* Texts are printable ASCII. Nothing here is known to be true before the secret has been compared. */
struct rpc_registration {
    struct slice account, secret;
    uint8_t tunnel[UUID_SIZE], connector[UUID_SIZE];
    struct slice version, arch; /* "2026.8.2", "linux_amd64" */
    struct slice features[RPC_FEATURES_MAX];
    unsigned n_features;
    struct slice origin_ip;     /* 4 or 16 bytes, IPv4 may be mapped; or none */
    uint8_t connection;         /* its number within the connector, from 0 */
    uint8_t attempts;           /* that failed before this one */
    bool replace_existing;
};

struct rpc_message {
    enum rpc_kind kind;
    uint32_t question;             /* call, finish, bootstrap */
    bool release_results;          /* finish: and the capabilities in its results */
    uint32_t capability, count;    /* release */
    struct slice reason;           /* abort; any bytes */
    enum rpc_method method;        /* call … */
    enum rpc_target target;
    uint32_t target_id;            /* of the capability or of the question */
    bool target_transformed;       /* not the answer itself but something in it */
    bool results_elsewhere;        /* not to the caller */
    struct rpc_registration registration; /* RPC_METHOD_REGISTER */
    struct slice configuration;    /* RPC_METHOD_CONFIGURATION: JSON */
};

/* `bytes` is one whole message by capnp_frame_size(); slices point into it. NULL, or what is wrong with it, in words for the
 * log. */
const char *rpc_message_read(struct slice bytes, struct rpc_message *out);

/* --- sent: each appends one message to `out`; false, with nothing appended, if there is no room --- */

enum rpc_exception { RPC_EXCEPTION_FAILED, RPC_EXCEPTION_UNIMPLEMENTED = 3 };

struct rpc_connection {
    uint8_t id[UUID_SIZE]; /* chosen by us */
    struct slice location;   /* shown in the connector's log and in `tunnel info` */
    bool remotely_managed;   /* then it doesn't tell its own configuration */
};

struct rpc_refusal {
    /* cloudflared goes on trying only if it says "Unauthorized" or is "EDUPCONN"; with anything else at its start it exits */
    struct slice cause;
    bool should_retry;
    int64_t retry_after; /* ns */
};

bool rpc_write_bootstrap(struct bounded *, uint32_t question, uint32_t capability);
bool rpc_write_accepted(struct bounded *, uint32_t question, const struct rpc_connection *);
bool rpc_write_refused(struct bounded *, uint32_t question, const struct rpc_refusal *);
bool rpc_write_empty(struct bounded *, uint32_t question);
bool rpc_write_exception(struct bounded *, uint32_t question, enum rpc_exception, struct slice reason);
bool rpc_write_canceled(struct bounded *, uint32_t question);
bool rpc_write_abort(struct bounded *, struct slice reason);
/* The message sent back in an "unimplemented"; false also if it is too large for that, or of a form that can't be wrapped. */
bool rpc_write_unimplemented(struct bounded *, struct slice message);

#endif
