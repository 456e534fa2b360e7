/* Cap'n Proto's unpacked encoding (https://capnproto.org/encoding.html): a reader that takes nothing for granted, and a builder of
 * messages of one segment. Pure; no allocation.
 *
 * The reader follows every kind of pointer within a message of up to 16 segments. Each word may be visited once: enough for what
 * any writer makes, and no pointer can lead around in circles or to the same bytes again and again. The first violation is kept
 * in `wrong`, and everything read from then on is empty or zero; so a decoder reads what it wants in a row and looks at `wrong`
 * once. What lies outside a struct, because its writer knows an older schema, reads as zero or empty as well. */
#ifndef PENSTOCK_EDGE_CAPNP_H
#define PENSTOCK_EDGE_CAPNP_H

#include "base/slice.h"

#include <stdint.h>

enum {
    CAPNP_WORD = 8, /* bytes */
    CAPNP_SEGMENTS_MAX = 16,
    CAPNP_DEPTH_MAX = 16, /* pointers from the root down */
};

/* --- reading --- */

/* How many bytes the message that begins with `data` has, as far as one can tell from `n` of them: it is whole if *size <= n,
 * else *size is not too much. NULL, or what is wrong with its framing. */
const char *capnp_frame_size(const void *data, size_t n, uint64_t *size);

struct capnp_message {
    const char *wrong; /* in words for the log; NULL: nothing so far */
    struct slice segments[CAPNP_SEGMENTS_MAX];
    unsigned n_segments;
    uint64_t words_left; /* that may still be visited */
};

struct capnp_struct {
    struct capnp_message *message;
    const char *data, *pointers;
    uint32_t data_size; /* bytes */
    uint16_t n_pointers;
    uint8_t segment, depth_left;
};

struct capnp_list {
    struct capnp_struct first; /* element; the others follow it */
    uint32_t n, stride;        /* bytes */
};

/* `bytes` is one whole message by capnp_frame_size(), and stays where it is; the root struct. */
struct capnp_struct capnp_open(struct capnp_message *, struct slice bytes);

/* Offsets in bytes, or in bits. */
uint8_t capnp_u8(const struct capnp_struct *, unsigned offset);
uint16_t capnp_u16(const struct capnp_struct *, unsigned offset);
uint32_t capnp_u32(const struct capnp_struct *, unsigned offset);
uint64_t capnp_u64(const struct capnp_struct *, unsigned offset);
bool capnp_bit(const struct capnp_struct *, unsigned offset);

/* What the index-th pointer leads to; a null pointer leads to what is empty. */
struct capnp_struct capnp_struct_at(const struct capnp_struct *, unsigned index);
/* Longer than `max` bytes is wrong. */
struct slice capnp_data_at(const struct capnp_struct *, unsigned index, size_t max);
/* Without its NUL; a NUL within, or none at the end, is wrong. Any other bytes may stand in it. */
struct slice capnp_text_at(const struct capnp_struct *, unsigned index, size_t max);
/* Of structs or of pointers, which are read as structs with that one pointer. More than `max` elements are wrong. */
struct capnp_list capnp_list_at(const struct capnp_struct *, unsigned index, uint32_t max);
struct capnp_struct capnp_element(const struct capnp_list *, uint32_t index);

/* --- building: objects lie in the order in which they are added --- */

struct capnp_builder {
    char *out;
    size_t size, n;
    bool overflow; /* then the message is void */
};

struct capnp_place {
    size_t data, pointers; /* offsets in `out` */
};

/* Starts a message with its root struct. */
struct capnp_place capnp_build(struct capnp_builder *, void *out, size_t size, unsigned data_words, unsigned n_pointers);
struct capnp_place capnp_add_struct(struct capnp_builder *, struct capnp_place parent, unsigned index, unsigned data_words,
                                    unsigned n_pointers);
/* A list with one element, which it returns. */
struct capnp_place capnp_add_list_of_one(struct capnp_builder *, struct capnp_place parent, unsigned index, unsigned data_words,
                                         unsigned n_pointers);
void capnp_add_data(struct capnp_builder *, struct capnp_place parent, unsigned index, struct slice);
void capnp_add_text(struct capnp_builder *, struct capnp_place parent, unsigned index, struct slice);
/* All that the root of another message leads to. False if that message has several segments, which can't be copied as they
 * stand. */
bool capnp_add_root_of(struct capnp_builder *, struct capnp_place parent, unsigned index, struct slice message);
void capnp_add_capability(struct capnp_builder *, struct capnp_place parent, unsigned index, uint32_t table_index);
void capnp_set_u16(struct capnp_builder *, struct capnp_place, unsigned offset, uint16_t);
void capnp_set_u32(struct capnp_builder *, struct capnp_place, unsigned offset, uint32_t);
void capnp_set_u64(struct capnp_builder *, struct capnp_place, unsigned offset, uint64_t);
void capnp_set_bit(struct capnp_builder *, struct capnp_place, unsigned offset);
/* The message's length, 0 if it didn't fit. */
size_t capnp_finish(struct capnp_builder *);

#endif
