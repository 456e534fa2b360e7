/* Who may connect as a tunnel: account, id and secret, as cloudflared keeps them in a credentials file and in a token. For the
 * control thread and the commands. */
#ifndef PENSTOCK_EDGE_TOKEN_H
#define PENSTOCK_EDGE_TOKEN_H

#include "balance/tunnel.h"
#include "base/slice.h"
#include "base/uuid.h"

enum {
    TUNNEL_ACCOUNT_SIZE = 65,  /* letters, digits, "-" and "_"; NUL included */
    TUNNEL_TOKEN_MAX = 4096,   /* characters of a token or a credentials file */
};

struct credentials {
    char account[TUNNEL_ACCOUNT_SIZE];
    char tunnel[UUID_TEXT_SIZE]; /* lower case */
    unsigned char secret[TUNNEL_SECRET_MAX];
    size_t secret_size;
};

bool account_tag_is_valid(struct slice);
/* Overwrites the secret. */
void credentials_clear(struct credentials *);
/* Read {"AccountTag", "TunnelSecret", "TunnelID"} and base64 of {"a", "s", "t"}; white space around it and other members are
 * skipped. NULL, or what is wrong, never with a part of the secret; then *out is cleared. */
const char *credentials_read(struct slice json, struct credentials *out) __attribute__((warn_unused_result));
const char *token_read(struct slice token, struct credentials *out) __attribute__((warn_unused_result));
/* Write them in one line; the caller frees with mem_free_secret(). */
char *credentials_write(const struct credentials *) __attribute__((returns_nonnull, warn_unused_result));
char *token_write(const struct credentials *) __attribute__((returns_nonnull, warn_unused_result));

/* Is the secret that a connector gives ours? The time taken tells nothing of ours. False for one outside the bounds above. Any
 * thread. */
bool secret_matches(struct slice ours, struct slice given);

#endif
