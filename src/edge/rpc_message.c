#include "edge/rpc_message.h"

#include "edge/capnp.h"
#include "edge/token.h"

/* Offsets below are those of the schema: of bytes, or of bits where a bit is meant. A field whose default isn't zero is stored
 * inverted. */

enum message_tag { TAG_UNIMPLEMENTED, TAG_ABORT, TAG_CALL, TAG_RETURN, TAG_FINISH, TAG_RELEASE = 6, TAG_BOOTSTRAP = 8 };
enum return_tag { RETURN_RESULTS, RETURN_EXCEPTION, RETURN_CANCELED };

#define REGISTRATION_SERVER UINT64_C(0xf71695ec7fe85497)

enum { TRANSFORMS_MAX = 64, SENDER_HOSTED = 1, CONNECTION_DETAILS = 1 };

/* --- reading --- */

/* Notes what is wrong with a value, as the reader does with its encoding. */
static void require(const struct capnp_struct *s, bool condition, const char *wrong)
{
    if (!condition && !s->message->wrong)
        s->message->wrong = wrong;
}

static struct slice read_word(const struct capnp_struct *s, unsigned index)
{
    struct slice word = capnp_text_at(s, index, RPC_WORD_MAX);
    for (size_t i = 0; i < word.n; i++)
        require(s, word.p[i] >= ' ' && word.p[i] <= '~', "a text that is not printable ASCII");
    return word;
}

static void read_id(const struct capnp_struct *s, unsigned index, uint8_t out[UUID_SIZE])
{
    struct slice id = capnp_data_at(s, index, UUID_SIZE);
    require(s, id.n == UUID_SIZE, "an id that is not 16 bytes long");
    if (id.n == UUID_SIZE)
        memcpy(out, id.p, UUID_SIZE);
}

static void read_client(const struct capnp_struct *client, struct rpc_registration *out)
{
    read_id(client, 0, out->connector);
    struct capnp_list features = capnp_list_at(client, 1, RPC_FEATURES_MAX);
    out->n_features = features.n;
    for (unsigned i = 0; i < features.n; i++) {
        struct capnp_struct feature = capnp_element(&features, i);
        out->features[i] = read_word(&feature, 0);
    }
    out->version = read_word(client, 2);
    out->arch = read_word(client, 3);
}

static void read_registration(const struct capnp_struct *params, struct rpc_registration *out)
{
    struct capnp_struct auth = capnp_struct_at(params, 0), options = capnp_struct_at(params, 2);
    struct capnp_struct client = capnp_struct_at(&options, 0);
    out->connection = capnp_u8(params, 0);
    out->account = read_word(&auth, 0);
    out->secret = capnp_data_at(&auth, 1, TUNNEL_SECRET_MAX);
    read_id(params, 1, out->tunnel);
    out->replace_existing = capnp_bit(&options, 0);
    out->attempts = capnp_u8(&options, 2);
    read_client(&client, out);
    out->origin_ip = capnp_data_at(&options, 1, 16);
    require(params, out->origin_ip.n == 0 || out->origin_ip.n == 4 || out->origin_ip.n == 16,
            "an IP address that is not 4 or 16 bytes long");
}

static enum rpc_method method_of(const struct capnp_struct *call)
{
    static const enum rpc_method methods[] = { RPC_METHOD_REGISTER, RPC_METHOD_UNREGISTER, RPC_METHOD_CONFIGURATION };
    unsigned number = capnp_u16(call, 4);
    bool known = capnp_u64(call, 8) == REGISTRATION_SERVER && number < sizeof methods / sizeof *methods;
    return known ? methods[number] : RPC_METHOD_UNKNOWN;
}

static void read_target(const struct capnp_struct *target, struct rpc_message *out)
{
    switch (capnp_u16(target, 4)) {
    case 0:
        out->target = RPC_TARGET_CAPABILITY;
        out->target_id = capnp_u32(target, 0);
        break;
    case 1: {
        struct capnp_struct answer = capnp_struct_at(target, 0);
        out->target = RPC_TARGET_ANSWER;
        out->target_id = capnp_u32(&answer, 0);
        out->target_transformed = capnp_list_at(&answer, 0, TRANSFORMS_MAX).n > 0;
        break;
    }
    default:
        out->target = RPC_TARGET_UNKNOWN;
    }
}

static void read_call(const struct capnp_struct *call, size_t size, struct rpc_message *out)
{
    struct capnp_struct target = capnp_struct_at(call, 0), payload = capnp_struct_at(call, 1);
    out->question = capnp_u32(call, 0);
    out->method = method_of(call);
    out->results_elsewhere = capnp_u16(call, 6) != 0;
    read_target(&target, out);
    if (out->method == RPC_METHOD_UNKNOWN)
        return; /* what its parameters are, nobody knows */
    struct capnp_struct params = capnp_struct_at(&payload, 0);
    if (out->method == RPC_METHOD_REGISTER)
        read_registration(&params, &out->registration);
    else if (out->method == RPC_METHOD_CONFIGURATION)
        out->configuration = capnp_data_at(&params, 0, size);
}

static void read_body(const struct capnp_struct *root, size_t size, struct rpc_message *out)
{
    const unsigned tag = capnp_u16(root, 0);
    struct capnp_struct body;
    switch (tag) {
    case TAG_ABORT:
        out->kind = RPC_KIND_ABORT;
        body = capnp_struct_at(root, 0);
        out->reason = capnp_text_at(&body, 0, size);
        break;
    case TAG_CALL:
        out->kind = RPC_KIND_CALL;
        body = capnp_struct_at(root, 0);
        read_call(&body, size, out);
        break;
    case TAG_FINISH:
        out->kind = RPC_KIND_FINISH;
        body = capnp_struct_at(root, 0);
        out->question = capnp_u32(&body, 0);
        out->release_results = !capnp_bit(&body, 32);
        break;
    case TAG_RELEASE:
        out->kind = RPC_KIND_RELEASE;
        body = capnp_struct_at(root, 0);
        out->capability = capnp_u32(&body, 0);
        out->count = capnp_u32(&body, 4);
        break;
    case TAG_BOOTSTRAP:
        out->kind = RPC_KIND_BOOTSTRAP;
        body = capnp_struct_at(root, 0);
        out->question = capnp_u32(&body, 0);
        break;
    default:
        out->kind = tag == TAG_UNIMPLEMENTED || tag == TAG_RETURN ? RPC_KIND_UNASKED : RPC_KIND_UNKNOWN;
    }
}

const char *rpc_message_read(struct slice bytes, struct rpc_message *out)
{
    struct capnp_message message;
    struct capnp_struct root = capnp_open(&message, bytes);
    *out = (struct rpc_message){ .kind = RPC_KIND_UNKNOWN };
    if (!message.wrong)
        read_body(&root, bytes.n, out);
    return message.wrong;
}

/* --- writing --- */

static struct slice cut(struct slice s, size_t max)
{
    return s.n > max ? (struct slice){ s.p, max } : s;
}

static struct capnp_place begin(struct capnp_builder *b, struct bounded *out, enum message_tag tag, unsigned data_words,
                                unsigned n_pointers)
{
    struct capnp_place root = capnp_build(b, out->p + out->n, out->size - out->n, 1, 1);
    capnp_set_u16(b, root, 0, (uint16_t)tag);
    return capnp_add_struct(b, root, 0, data_words, n_pointers);
}

static bool end(struct capnp_builder *b, struct bounded *out)
{
    size_t n = capnp_finish(b);
    out->n += n;
    return n > 0;
}

/* No capability comes with a call that we take: there is none to release, which the bit says. */
static struct capnp_place begin_return(struct capnp_builder *b, struct bounded *out, uint32_t question, enum return_tag tag)
{
    struct capnp_place answer = begin(b, out, TAG_RETURN, 2, 1);
    capnp_set_u32(b, answer, 0, question);
    capnp_set_bit(b, answer, 32);
    capnp_set_u16(b, answer, 6, (uint16_t)tag);
    return answer;
}

static struct capnp_place begin_results(struct capnp_builder *b, struct bounded *out, uint32_t question)
{
    return capnp_add_struct(b, begin_return(b, out, question, RETURN_RESULTS), 0, 0, 2);
}

static struct capnp_place begin_registered(struct capnp_builder *b, struct bounded *out, uint32_t question)
{
    struct capnp_place results = capnp_add_struct(b, begin_results(b, out, question), 0, 0, 1);
    return capnp_add_struct(b, results, 0, 1, 1);
}

static void add_exception(struct capnp_builder *b, struct capnp_place e, enum rpc_exception type, struct slice reason)
{
    capnp_set_u16(b, e, 4, (uint16_t)type);
    capnp_add_text(b, e, 0, cut(reason, RPC_REASON_MAX));
}

bool rpc_write_bootstrap(struct bounded *out, uint32_t question, uint32_t capability)
{
    struct capnp_builder b;
    struct capnp_place payload = begin_results(&b, out, question);
    capnp_add_capability(&b, payload, 0, 0);
    struct capnp_place descriptor = capnp_add_list_of_one(&b, payload, 1, 1, 1);
    capnp_set_u16(&b, descriptor, 0, SENDER_HOSTED);
    capnp_set_u32(&b, descriptor, 4, capability);
    return end(&b, out);
}

bool rpc_write_accepted(struct bounded *out, uint32_t question, const struct rpc_connection *connection)
{
    struct capnp_builder b;
    struct capnp_place response = begin_registered(&b, out, question);
    capnp_set_u16(&b, response, 0, CONNECTION_DETAILS);
    struct capnp_place details = capnp_add_struct(&b, response, 0, 1, 2);
    if (connection->remotely_managed)
        capnp_set_bit(&b, details, 0);
    capnp_add_data(&b, details, 0, (struct slice){ (const char *)connection->id, UUID_SIZE });
    capnp_add_text(&b, details, 1, cut(connection->location, RPC_WORD_MAX));
    return end(&b, out);
}

bool rpc_write_refused(struct bounded *out, uint32_t question, const struct rpc_refusal *refusal)
{
    struct capnp_builder b;
    struct capnp_place error = capnp_add_struct(&b, begin_registered(&b, out, question), 0, 2, 1);
    capnp_set_u64(&b, error, 0, (uint64_t)refusal->retry_after);
    if (refusal->should_retry)
        capnp_set_bit(&b, error, 64);
    capnp_add_text(&b, error, 0, cut(refusal->cause, RPC_REASON_MAX));
    return end(&b, out);
}

bool rpc_write_empty(struct bounded *out, uint32_t question)
{
    struct capnp_builder b;
    capnp_add_struct(&b, begin_results(&b, out, question), 0, 0, 0);
    return end(&b, out);
}

bool rpc_write_exception(struct bounded *out, uint32_t question, enum rpc_exception type, struct slice reason)
{
    struct capnp_builder b;
    add_exception(&b, capnp_add_struct(&b, begin_return(&b, out, question, RETURN_EXCEPTION), 0, 1, 1), type, reason);
    return end(&b, out);
}

bool rpc_write_canceled(struct bounded *out, uint32_t question)
{
    struct capnp_builder b;
    begin_return(&b, out, question, RETURN_CANCELED);
    return end(&b, out);
}

bool rpc_write_abort(struct bounded *out, struct slice reason)
{
    struct capnp_builder b;
    add_exception(&b, begin(&b, out, TAG_ABORT, 1, 1), RPC_EXCEPTION_FAILED, reason);
    return end(&b, out);
}

bool rpc_write_unimplemented(struct bounded *out, struct slice message)
{
    struct capnp_builder b;
    struct capnp_place root = capnp_build(&b, out->p + out->n, out->size - out->n, 1, 1);
    return message.n <= RPC_WRITTEN_MAX - 3 * CAPNP_WORD && capnp_add_root_of(&b, root, 0, message) && end(&b, out);
}
