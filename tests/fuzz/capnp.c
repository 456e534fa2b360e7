/* Cap'n Proto: a message is read along a path, and as one of RPC; whatever is found lies within it, and no path leads over more
 * bytes than there are. The first byte is the length of the path, each of its bytes a step; the message follows. */
#include "edge/capnp.h"
#include "edge/rpc_message.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP_STRUCT, STEP_TEXT, STEP_LIST, STEP_DATA, INPUT_MAX = 4096 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void require_within(struct slice whole, struct slice part)
{
    require(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

/* The more has come, the more is known; once the message is whole its size is what it was. */
static void check_framing(struct slice bytes, uint64_t *size)
{
    uint64_t before = 0;
    for (size_t n = 0; n <= bytes.n && n <= 80; n++) {
        char *copy = malloc(n ? n : 1);
        require(copy != NULL);
        memcpy(copy, bytes.p, n);
        bool sound = capnp_frame_size(copy, n, size) == NULL;
        free(copy);
        if (!sound)
            return;
        require(*size >= before && *size >= CAPNP_WORD && *size % CAPNP_WORD == 0 && (before <= n || *size == before));
        before = *size;
    }
}

static void require_fields_within(struct slice whole, const struct capnp_struct *s)
{
    require_within(whole, (struct slice){ s->data, s->data_size });
    require_within(whole, (struct slice){ s->pointers, (size_t)s->n_pointers * CAPNP_WORD });
    capnp_u64(s, 0);
    capnp_bit(s, 77);
}

static void walk(struct slice whole, const uint8_t *path, size_t steps)
{
    struct capnp_message m;
    struct capnp_struct s = capnp_open(&m, whole);
    const uint64_t words = whole.n / CAPNP_WORD;
    uint64_t left = m.words_left;
    require(left < words);
    for (size_t i = 0; i < steps; i++) {
        unsigned index = path[i] >> 2 & 7, element = path[i] >> 5;
        require_fields_within(whole, &s);
        switch (path[i] & 3) {
        case STEP_STRUCT:
            s = capnp_struct_at(&s, index);
            break;
        case STEP_TEXT:
            require_within(whole, capnp_text_at(&s, index, 64));
            break;
        case STEP_DATA:
            require_within(whole, capnp_data_at(&s, index, INPUT_MAX));
            break;
        case STEP_LIST: {
            struct capnp_list list = capnp_list_at(&s, index, 1 << 20);
            require((uint64_t)list.n * list.stride <= whole.n && list.n <= words);
            if (list.n)
                s = capnp_element(&list, element % list.n);
            break;
        }
        }
        require(m.words_left <= left);
        left = m.words_left;
    }
}

static void check_rpc(struct slice whole)
{
    struct rpc_message m;
    if (rpc_message_read(whole, &m))
        return;
    require_within(whole, m.reason);
    require_within(whole, m.configuration);
    require_within(whole, m.registration.account);
    require_within(whole, m.registration.secret);
    require_within(whole, m.registration.version);
    require_within(whole, m.registration.arch);
    require_within(whole, m.registration.origin_ip);
    require(m.registration.n_features <= RPC_FEATURES_MAX);
    for (unsigned i = 0; i < m.registration.n_features; i++)
        require_within(whole, m.registration.features[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t message_size;
    if (size < 1 || size > INPUT_MAX || data[0] >= size)
        return 0;
    const uint8_t *path = data + 1, *message = path + data[0];
    struct slice bytes = { (const char *)message, size - 1 - data[0] };
    check_framing(bytes, &message_size);
    if (capnp_frame_size(bytes.p, bytes.n, &message_size) || message_size > bytes.n)
        return 0;
    char *exact = malloc((size_t)message_size);
    require(exact != NULL);
    memcpy(exact, bytes.p, (size_t)message_size);
    walk((struct slice){ exact, (size_t)message_size }, path, data[0]);
    check_rpc((struct slice){ exact, (size_t)message_size });
    free(exact);
    return 0;
}
