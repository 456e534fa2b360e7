/* What a connector puts on the wire, well made unless a fuzzer says otherwise: HTTP/2 frames (RFC 9113 4.1), header blocks without
 * compression (RFC 7541 6.2.2), and the messages of its control stream. */
#ifndef PENSTOCK_FUZZ_EDGE_WIRE_H
#define PENSTOCK_FUZZ_EDGE_WIRE_H

#include "tests/sim/connector/bytes.h"

#include <stdint.h>

enum { WIRE_DATA, WIRE_HEADERS, WIRE_SETTINGS = 4, WIRE_CONTINUATION = 9 };
enum { WIRE_END_STREAM = 1, WIRE_END_HEADERS = 4 };
enum { WIRE_PIECE = 16 * 1024 }; /* SETTINGS_MAX_FRAME_SIZE, which we leave as it is */

enum wire_call { WIRE_BOOTSTRAP, WIRE_REGISTER, WIRE_UNREGISTER, WIRE_CONFIGURATION, WIRE_FINISH, WIRE_RELEASE, WIRE_ABORT, WIRE_CALLS };

void wire_frame(struct bytes *, uint8_t type, uint8_t flags, uint32_t stream, struct slice payload);
/* As many DATA frames as it takes; the last has `flags`. */
void wire_data(struct bytes *, uint8_t flags, uint32_t stream, struct slice payload);
/* One field of a block. */
void wire_field(struct bytes *block, struct slice name, struct slice value);
/* HEADERS, and CONTINUATION where the block is longer than `piece`. */
void wire_block(struct bytes *, uint8_t flags, uint32_t stream, struct slice block, size_t piece);
/* One message; `text` is a configuration, or a reason. */
void wire_call(struct bytes *, enum wire_call, uint32_t question, bool by_capability, struct slice text);

#endif
