/* Keeps header blocks that are too large from nghttp2, which answers a value of more than 64 KiB with the end of the connection: one origin
 * with a huge cookie would take a tunnel's other requests with it. Since we allow no dynamic table (SETTINGS_HEADER_TABLE_SIZE 0), a block
 * changes nothing for the next, and can be left out. Pure; one per connection. */
#ifndef PENSTOCK_EDGE_HEAD_FILTER_H
#define PENSTOCK_EDGE_HEAD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct head_filter { /* zero-initialised at the connection's begin */
    uint8_t frame[9];      /* the head of the frame under way, as far as it has come */
    uint8_t frame_n;
    uint8_t mode;          /* private */
    uint32_t payload_left; /* of that frame */
    uint32_t stream;       /* of the block that is held or dropped */
    uint8_t *held;         /* a block that came in several frames, until it is whole */
    size_t held_n;
};

/* Passes on what nghttp2 is to see, in order, by `feed`; `oversize` is told the stream of a block that was left out. False as soon as `feed` says
 * so, or when memory is out. */
bool head_filter_run(struct head_filter *, const uint8_t *, size_t, bool (*feed)(void *, const uint8_t *, size_t),
                     void (*oversize)(void *, int32_t stream), void *arg);
void head_filter_clear(struct head_filter *);

#endif
