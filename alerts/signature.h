/* Signatures by the Standard Webhooks convention 1.0.0 (symmetric, "v1"): the receiver can tell that a message is ours and fresh. Pure. */
#ifndef PENSTOCK_ALERTS_SIGNATURE_H
#define PENSTOCK_ALERTS_SIGNATURE_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIGNATURE_KEYS_MAX = 4, SIGNATURE_KEY_MAX = 256 /* bytes */ };

/* `secrets`: one, or several separated by white space while keys are rotated; each "whsec_" and base64, or a text that is used as it is.
 * NULL when they are fine, else what is wrong with them (never a part of them). */
const char *signature_check_secrets(const char *secrets);
/* Appends "v1,BASE64 v1,BASE64…", one per secret, of HMAC-SHA256(secret, "ID.SECONDS.BODY"). The secrets passed the check. */
void signature_write(const char *secrets, const char *id, int64_t unix_seconds, const char *body, size_t n, struct text *out);

#endif
