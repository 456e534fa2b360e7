/* The status as a plain HTML page: no script, nothing fetched, reloads itself. */
#ifndef PENSTOCK_CONTROL_PAGE_H
#define PENSTOCK_CONTROL_PAGE_H

#include "base/text.h"

#include <jansson.h>

#define PAGE_HEADERS \
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; " \
    "frame-ancestors 'none'\r\n" \
    "Referrer-Policy: no-referrer\r\n"

/* `status` as status_json makes it. */
void page_write(const json_t *status, struct text *out);

#endif
