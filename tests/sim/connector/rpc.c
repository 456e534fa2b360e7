#include "tests/sim/connector/rpc.h"

#include "edge/capnp.h"

#include <endian.h>

#define REGISTRATION_SERVER UINT64_C(0xf71695ec7fe85497)

enum { MESSAGE_MAX = 1024 * 1024, WORD = 8, FRAME = 8 };
enum message { MESSAGE_ABORT = 1, MESSAGE_CALL, MESSAGE_RETURN, MESSAGE_FINISH, MESSAGE_RELEASE = 6, MESSAGE_BOOTSTRAP = 8 };
enum method { METHOD_REGISTER, METHOD_UNREGISTER, METHOD_LOCAL_CONFIGURATION };
enum element { ELEMENT_BYTE = 2, ELEMENT_POINTER = 6, ELEMENT_COMPOSITE = 7 };

/* --- writing: objects lie in the order in which they are added, as cloudflared's library lays them --- */

struct writer {
    struct bytes *out;
    size_t begin; /* offset of the first word after the framing */
};

struct object {
    size_t data, pointers; /* offsets in out->p */
};

static size_t add_words(struct writer *w, size_t words)
{
    size_t at = w->out->end;
    memset(bytes_room(w->out, words * WORD), 0, words * WORD);
    bytes_added(w->out, words * WORD);
    return at;
}

static void put_u16(struct writer *w, size_t at, uint16_t v)
{
    v = htole16(v);
    memcpy(w->out->p + at, &v, sizeof v);
}

static void put_u32(struct writer *w, size_t at, uint32_t v)
{
    v = htole32(v);
    memcpy(w->out->p + at, &v, sizeof v);
}

static void put_u64(struct writer *w, size_t at, uint64_t v)
{
    v = htole64(v);
    memcpy(w->out->p + at, &v, sizeof v);
}

static void put_u8(struct writer *w, size_t at, uint8_t v)
{
    w->out->p[at] = (char)v;
}

/* In words, from the word after the pointer. */
static uint32_t distance(size_t pointer, size_t target)
{
    return (uint32_t)(((int64_t)target - (int64_t)pointer - WORD) / WORD);
}

static size_t pointer_of(struct object o, unsigned index)
{
    return o.pointers + index * WORD;
}

static struct object add_struct(struct writer *w, size_t pointer, uint16_t data_words, uint16_t pointers)
{
    size_t at = add_words(w, (size_t)data_words + pointers);
    /* one of no size would look like a null pointer */
    uint32_t offset = data_words + pointers ? distance(pointer, at) : UINT32_MAX;
    put_u32(w, pointer, offset << 2);
    put_u16(w, pointer + 4, data_words);
    put_u16(w, pointer + 6, pointers);
    return (struct object){ at, at + (size_t)data_words * WORD };
}

static void point_to_list(struct writer *w, size_t pointer, size_t at, enum element size, size_t n)
{
    put_u32(w, pointer, distance(pointer, at) << 2 | 1);
    put_u32(w, pointer + 4, (uint32_t)n << 3 | size);
}

static void add_bytes(struct writer *w, size_t pointer, struct slice s, size_t terminator)
{
    size_t n = s.n + terminator, at = add_words(w, (n + WORD - 1) / WORD);
    if (s.n)
        memcpy(w->out->p + at, s.p, s.n);
    point_to_list(w, pointer, at, ELEMENT_BYTE, n);
}

static void add_data(struct writer *w, size_t pointer, const void *p, size_t n)
{
    add_bytes(w, pointer, (struct slice){ p, n }, 0);
}

static void add_text(struct writer *w, size_t pointer, struct slice s)
{
    add_bytes(w, pointer, s, 1);
}

/* A composite list without elements has a tag that tells their form. */
static void add_empty_list(struct writer *w, size_t pointer, uint16_t data_words, uint16_t pointers)
{
    size_t tag = add_words(w, 1);
    put_u16(w, tag + 4, data_words);
    put_u16(w, tag + 6, pointers);
    point_to_list(w, pointer, tag, ELEMENT_COMPOSITE, 0);
}

/* Its one pointer leads to what the message is about. */
static struct object begin(struct writer *w, struct bytes *out, enum message which)
{
    *w = (struct writer){ .out = out };
    size_t frame = add_words(w, 1);
    w->begin = frame + FRAME;
    struct object root = add_struct(w, add_words(w, 1), 1, 1);
    put_u16(w, root.data, (uint16_t)which);
    return root;
}

static void end(struct writer *w)
{
    put_u32(w, w->begin - FRAME + 4, (uint32_t)((w->out->end - w->begin) / WORD));
}

void rpc_add_bootstrap(struct bytes *out, uint32_t question)
{
    struct writer w;
    struct object root = begin(&w, out, MESSAGE_BOOTSTRAP);
    put_u32(&w, add_struct(&w, pointer_of(root, 0), 1, 1).data, question);
    end(&w);
}

static void add_target(struct writer *w, size_t pointer, struct rpc_target target)
{
    struct object t = add_struct(w, pointer, 1, 1);
    if (target.imported) {
        put_u32(w, t.data, target.capability);
        return;
    }
    put_u16(w, t.data + 4, 1);
    struct object promise = add_struct(w, pointer_of(t, 0), 1, 1); /* of question 0, the bootstrap */
    add_empty_list(w, pointer_of(promise, 0), 1, 0);
}

/* Returns the payload, whose first pointer leads to the parameters; end_call when they are there. */
static struct object begin_call(struct writer *w, struct bytes *out, uint32_t question, enum method method,
                                struct rpc_target target)
{
    struct object root = begin(w, out, MESSAGE_CALL);
    struct object call = add_struct(w, pointer_of(root, 0), 3, 3);
    put_u32(w, call.data, question);
    put_u16(w, call.data + 4, (uint16_t)method);
    put_u64(w, call.data + 8, REGISTRATION_SERVER);
    add_target(w, pointer_of(call, 0), target);
    return add_struct(w, pointer_of(call, 1), 0, 2);
}

static void end_call(struct writer *w, struct object payload)
{
    add_empty_list(w, pointer_of(payload, 1), 1, 1); /* no capabilities */
    end(w);
}

static void add_features(struct writer *w, size_t pointer, const char *const *features)
{
    size_t n = 0;
    while (features[n])
        n++;
    size_t at = add_words(w, n);
    point_to_list(w, pointer, at, ELEMENT_POINTER, n);
    for (size_t i = 0; i < n; i++)
        add_text(w, at + i * WORD, slice_of(features[i]));
}

static void add_options(struct writer *w, size_t pointer, const struct rpc_hello *h)
{
    struct object options = add_struct(w, pointer, 1, 2);
    put_u8(w, options.data + 2, h->attempts);
    struct object client = add_struct(w, pointer_of(options, 0), 0, 4);
    add_data(w, pointer_of(client, 0), h->connector, RPC_ID);
    add_features(w, pointer_of(client, 1), h->features);
    add_text(w, pointer_of(client, 2), h->version);
    add_text(w, pointer_of(client, 3), h->arch);
    add_data(w, pointer_of(options, 1), h->origin_ip, sizeof h->origin_ip);
}

void rpc_add_register(struct bytes *out, uint32_t question, struct rpc_target target, const struct rpc_hello *h)
{
    struct writer w;
    struct object payload = begin_call(&w, out, question, METHOD_REGISTER, target);
    struct object params = add_struct(&w, pointer_of(payload, 0), 1, 3);
    put_u8(&w, params.data, h->index);
    struct object auth = add_struct(&w, pointer_of(params, 0), 0, 2);
    add_text(&w, pointer_of(auth, 0), h->account);
    add_data(&w, pointer_of(auth, 1), h->secret.p, h->secret.n);
    add_data(&w, pointer_of(params, 1), h->tunnel, RPC_ID);
    add_options(&w, pointer_of(params, 2), h);
    end_call(&w, payload);
}

void rpc_add_unregister(struct bytes *out, uint32_t question, struct rpc_target target)
{
    struct writer w;
    struct object payload = begin_call(&w, out, question, METHOD_UNREGISTER, target);
    add_struct(&w, pointer_of(payload, 0), 0, 0);
    end_call(&w, payload);
}

void rpc_add_local_configuration(struct bytes *out, uint32_t question, struct rpc_target target, struct slice json)
{
    struct writer w;
    struct object payload = begin_call(&w, out, question, METHOD_LOCAL_CONFIGURATION, target);
    struct object params = add_struct(&w, pointer_of(payload, 0), 0, 1);
    add_data(&w, pointer_of(params, 0), json.p, json.n);
    end_call(&w, payload);
}

void rpc_add_finish(struct bytes *out, uint32_t question, bool release_capabilities)
{
    struct writer w;
    struct object root = begin(&w, out, MESSAGE_FINISH);
    struct object finish = add_struct(&w, pointer_of(root, 0), 1, 0);
    put_u32(&w, finish.data, question);
    put_u8(&w, finish.data + 4, !release_capabilities); /* true by default, and so stored inverted */
    end(&w);
}

void rpc_add_release(struct bytes *out, uint32_t capability)
{
    struct writer w;
    struct object root = begin(&w, out, MESSAGE_RELEASE);
    struct object release = add_struct(&w, pointer_of(root, 0), 1, 0);
    put_u32(&w, release.data, capability);
    put_u32(&w, release.data + 4, 1);
    end(&w);
}

void rpc_add_abort(struct bytes *out, const char *reason)
{
    struct writer w;
    struct object root = begin(&w, out, MESSAGE_ABORT);
    struct object exception = add_struct(&w, pointer_of(root, 0), 1, 1);
    add_text(&w, pointer_of(exception, 0), slice_of(reason));
    end(&w);
}

/* --- reading --- */

static void read_registered(const struct capnp_struct *payload, struct rpc_answer *a)
{
    struct capnp_struct results = capnp_struct_at(payload, 0), response = capnp_struct_at(&results, 0);
    struct capnp_struct detail = capnp_struct_at(&response, 0);
    a->refused = capnp_u16(&response, 0) == 0;
    if (a->refused) {
        a->cause = capnp_text_at(&detail, 0, MESSAGE_MAX);
        return;
    }
    a->remotely_managed = capnp_bit(&detail, 0);
    a->id = capnp_data_at(&detail, 0, RPC_ID);
    a->location = capnp_text_at(&detail, 1, MESSAGE_MAX);
    if (!payload->message->wrong && a->id.n != RPC_ID)
        payload->message->wrong = "a connection's id that is not 16 bytes long";
}

static void read_return(const struct capnp_struct *r, uint32_t registration, struct rpc_answer *a)
{
    struct capnp_struct content = capnp_struct_at(r, 0);
    a->question = capnp_u32(r, 0);
    switch (capnp_u16(r, 6)) {
    case 0: {
        a->kind = RPC_RESULTS;
        struct capnp_list table = capnp_list_at(&content, 1, 1);
        if (table.n) {
            struct capnp_struct descriptor = capnp_element(&table, 0);
            a->has_capability = capnp_u16(&descriptor, 0) == 1;
            a->capability = capnp_u32(&descriptor, 4);
        }
        if (a->question == registration)
            read_registered(&content, a);
        break;
    }
    case 1:
        a->kind = RPC_EXCEPTION;
        a->reason = capnp_text_at(&content, 0, MESSAGE_MAX);
        break;
    default:
        break;
    }
}

bool rpc_take(struct bytes *in, uint32_t registration, struct rpc_answer *a, const char **wrong)
{
    uint64_t size;
    struct slice rest = bytes_slice(in);
    *a = (struct rpc_answer){ 0 };
    *wrong = capnp_frame_size(rest.p, rest.n, &size);
    if (!*wrong && size > MESSAGE_MAX)
        *wrong = "a message of more than 1 MiB";
    if (*wrong || size > rest.n)
        return false;
    struct capnp_message message;
    struct capnp_struct root = capnp_open(&message, (struct slice){ rest.p, (size_t)size });
    struct capnp_struct about = capnp_struct_at(&root, 0);
    switch (capnp_u16(&root, 0)) {
    case MESSAGE_RETURN:
        read_return(&about, registration, a);
        break;
    case MESSAGE_ABORT:
        a->kind = RPC_ABORT;
        a->reason = capnp_text_at(&about, 0, MESSAGE_MAX);
        break;
    default:
        break;
    }
    *wrong = message.wrong;
    bytes_drop(in, (size_t)size);
    return !*wrong;
}
