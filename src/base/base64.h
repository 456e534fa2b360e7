/* base64 (RFC 4648 4), the standard alphabet, no white space. Spare bits of the last character are not looked at: hand-made
 * secrets have them (3.5 leaves it to the decoder). */
#ifndef PENSTOCK_BASE_BASE64_H
#define PENSTOCK_BASE_BASE64_H

#include "base/slice.h"

/* What `n` bytes become, with padding. */
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4)

enum base64_padding { BASE64_UNPADDED, BASE64_PADDING_OPTIONAL };

/* Writes the bytes and their number; false, with both void, if the text isn't sound or `out` is too small. */
bool base64_decode(struct slice text, enum base64_padding, void *out, size_t size, size_t *n);
/* Writes BASE64_SIZE(n) characters at the most, no NUL, and returns how many. BASE64_PADDING_OPTIONAL: padded. */
size_t base64_encode(const void *bytes, size_t n, enum base64_padding, char *out);

#endif
