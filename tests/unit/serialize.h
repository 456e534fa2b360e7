/* Packs response fields as a connector does. Shared by unit test and fuzzer. */
#ifndef PENSTOCK_UNIT_SERIALIZE_H
#define PENSTOCK_UNIT_SERIALIZE_H

#include "base/base64.h"
#include "base/bounded.h"

#include <stdlib.h>

static inline void serialize_base64(struct bounded *out, struct slice s)
{
    char *text = malloc(BASE64_SIZE(s.n) + 1);
    if (!text)
        abort();
    bounded_add(out, (struct slice){ text, base64_encode(s.p, s.n, BASE64_UNPADDED, text) });
    free(text);
}

static inline void serialize_field(struct bounded *out, struct slice name, struct slice value)
{
    if (out->n)
        bounded_add(out, SLICE(";"));
    serialize_base64(out, name);
    bounded_add(out, SLICE(":"));
    serialize_base64(out, value);
}

#endif
