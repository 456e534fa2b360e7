#include "tests/fuzz/edge_wire.h"

#include "tests/sim/connector/rpc.h"

void wire_frame(struct bytes *out, uint8_t type, uint8_t flags, uint32_t stream, struct slice payload)
{
    const char head[9] = { (char)(payload.n >> 16), (char)(payload.n >> 8), (char)payload.n,       (char)type,  (char)flags,
                           (char)(stream >> 24),    (char)(stream >> 16),   (char)(stream >> 8), (char)stream };
    bytes_add(out, (struct slice){ head, sizeof head });
    bytes_add(out, payload);
}

void wire_data(struct bytes *out, uint8_t flags, uint32_t stream, struct slice payload)
{
    for (; payload.n > WIRE_PIECE; payload.p += WIRE_PIECE, payload.n -= WIRE_PIECE)
        wire_frame(out, WIRE_DATA, 0, stream, (struct slice){ payload.p, WIRE_PIECE });
    wire_frame(out, WIRE_DATA, flags, stream, payload);
}

/* A length in seven bits, and what is over in bytes of seven (RFC 7541 5.1). */
static void add_string(struct bytes *block, struct slice s)
{
    char *p = bytes_room(block, 8);
    size_t n = 0, left = s.n;
    p[n++] = (char)(left < 127 ? left : 127);
    if (left >= 127) {
        for (left -= 127; left >= 128; left >>= 7)
            p[n++] = (char)(left | 128);
        p[n++] = (char)left;
    }
    bytes_added(block, n);
    bytes_add(block, s);
}

void wire_field(struct bytes *block, struct slice name, struct slice value)
{
    bytes_add(block, (struct slice){ "", 1 });
    add_string(block, name);
    add_string(block, value);
}

void wire_block(struct bytes *out, uint8_t flags, uint32_t stream, struct slice block, size_t piece)
{
    uint8_t type = WIRE_HEADERS;
    for (; block.n > piece; block.p += piece, block.n -= piece, type = WIRE_CONTINUATION, flags = 0)
        wire_frame(out, type, flags, stream, (struct slice){ block.p, piece });
    wire_frame(out, type, flags | WIRE_END_HEADERS, stream, block);
}

void wire_call(struct bytes *out, enum wire_call call, uint32_t question, bool by_capability, struct slice text)
{
    static const char *const features[] = { "serialized_headers", "allow_remote_config", NULL };
    static const struct rpc_hello hello = { .account = SLICE("account"), .secret = SLICE("0123456789abcdef0123456789abcdef"),
                                            .version = SLICE("2026.8.2"), .arch = SLICE("linux_amd64"), .features = features };
    char reason[128];
    struct rpc_target target = { .imported = by_capability };
    size_t n = text.n < sizeof reason - 1 ? text.n : sizeof reason - 1;
    switch (call) {
    case WIRE_BOOTSTRAP: rpc_add_bootstrap(out, question); break;
    case WIRE_REGISTER: rpc_add_register(out, question, target, &hello); break;
    case WIRE_UNREGISTER: rpc_add_unregister(out, question, target); break;
    case WIRE_CONFIGURATION: rpc_add_local_configuration(out, question, target, text); break;
    case WIRE_FINISH: rpc_add_finish(out, question, by_capability); break;
    case WIRE_RELEASE: rpc_add_release(out, question); break;
    case WIRE_ABORT:
        memcpy(reason, text.p ? text.p : "", n);
        reason[n] = '\0';
        rpc_add_abort(out, reason);
        break;
    case WIRE_CALLS: break;
    }
}
