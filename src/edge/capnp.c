#include "edge/capnp.h"

#include <endian.h>

/* The low two bits of a pointer. */
enum pointer_kind { POINTER_STRUCT, POINTER_LIST, POINTER_FAR, POINTER_OTHER };

/* Of a list pointer: how large an element is. */
enum element_size { ELEMENT_BYTE = 2, ELEMENT_POINTER = 6, ELEMENT_COMPOSITE = 7 };

static uint64_t load_u64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static uint32_t load_u32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static enum pointer_kind kind_of(uint64_t pointer)
{
    return (enum pointer_kind)(pointer & 3);
}

/* --- framing --- */

const char *capnp_frame_size(const void *data, size_t n, uint64_t *size)
{
    const char *p = data;
    *size = CAPNP_WORD;
    if (n < CAPNP_WORD)
        return NULL;
    uint32_t segments = load_u32(p);
    if (segments >= CAPNP_SEGMENTS_MAX)
        return "a message of more than 16 segments";
    segments++;
    *size = (segments / 2 + 1) * CAPNP_WORD;
    if (n < *size)
        return NULL;
    for (uint32_t i = 0; i < segments; i++)
        *size += (uint64_t)load_u32(p + 4 + 4 * i) * CAPNP_WORD;
    return NULL;
}

/* --- reading --- */

/* Where an object is: the pointer or tag that describes it, and its first word's number in its segment. */
struct target {
    uint64_t pointer;
    int64_t at;
    uint8_t segment;
};

static bool violate(struct capnp_message *m, const char *wrong)
{
    if (!m->wrong)
        m->wrong = wrong;
    return false;
}

static bool visit(struct capnp_message *m, uint64_t words)
{
    if (words > m->words_left)
        return violate(m, "the same part of a message is visited again");
    m->words_left -= words;
    return true;
}

/* The object's bytes, or NULL. */
static const char *enter(struct capnp_message *m, const struct target *t, uint64_t words)
{
    struct slice segment = m->segments[t->segment];
    uint64_t length = segment.n / CAPNP_WORD;
    if (t->at < 0 || (uint64_t)t->at > length || words > length - (uint64_t)t->at) {
        violate(m, "a pointer leads out of its segment");
        return NULL;
    }
    return visit(m, words) ? segment.p + t->at * CAPNP_WORD : NULL;
}

/* Relative to the word after the pointer. */
static struct target near_target(uint64_t pointer, int64_t at, uint8_t segment)
{
    return (struct target){ pointer, at + 1 + ((int32_t)(uint32_t)pointer >> 2), segment };
}

/* Of a far pointer: the landing pad it means, or with the pad of a double-far the object itself. */
static bool far_target(struct capnp_message *m, uint64_t pointer, struct target *out)
{
    uint64_t segment = pointer >> 32;
    if (segment >= m->n_segments)
        return violate(m, "a far pointer into a segment that does not exist");
    *out = (struct target){ 0, (int64_t)((pointer & UINT32_MAX) >> 3), (uint8_t)segment };
    return true;
}

static bool is_double_far(uint64_t pointer)
{
    return pointer & 4;
}

static bool follow_far(struct capnp_message *m, uint64_t pointer, struct target *out)
{
    struct target pad;
    if (!far_target(m, pointer, &pad))
        return false;
    const char *p = enter(m, &pad, is_double_far(pointer) ? 2 : 1);
    if (!p)
        return false;
    uint64_t landing = load_u64(p);
    if (!is_double_far(pointer)) {
        *out = near_target(landing, pad.at, pad.segment);
        return kind_of(landing) != POINTER_FAR || violate(m, "a far pointer to a far pointer");
    }
    if (kind_of(landing) != POINTER_FAR || is_double_far(landing))
        return violate(m, "an invalid landing pad");
    if (!far_target(m, landing, out))
        return false;
    out->pointer = load_u64(p + CAPNP_WORD);
    return kind_of(out->pointer) != POINTER_FAR || violate(m, "an invalid landing pad");
}

/* False where there is nothing, also if something is wrong. */
static bool follow(const struct capnp_struct *s, unsigned index, enum pointer_kind expected, struct target *out)
{
    struct capnp_message *m = s->message;
    if (m->wrong || index >= s->n_pointers)
        return false;
    const char *p = s->pointers + index * CAPNP_WORD;
    uint64_t pointer = load_u64(p);
    if (pointer == 0)
        return false;
    if (s->depth_left == 0)
        return violate(m, "a message nested too deeply");
    *out = near_target(pointer, (p - m->segments[s->segment].p) / CAPNP_WORD, s->segment);
    if (kind_of(pointer) == POINTER_FAR && !follow_far(m, pointer, out))
        return false;
    return kind_of(out->pointer) == expected || violate(m, "a pointer of another kind than expected");
}

static struct capnp_struct empty_struct(const struct capnp_struct *parent)
{
    return (struct capnp_struct){ .message = parent->message };
}

/* Of a struct pointer, or the tag of a composite list, which has the form of one. */
static struct capnp_struct struct_of(uint64_t pointer, const char *p, const struct capnp_struct *parent, uint8_t segment)
{
    uint32_t data_size = (uint32_t)(pointer >> 32 & UINT16_MAX) * CAPNP_WORD;
    return (struct capnp_struct){ .message = parent->message, .data = p, .pointers = p + data_size, .data_size = data_size,
                                  .n_pointers = (uint16_t)(pointer >> 48), .segment = segment,
                                  .depth_left = (uint8_t)(parent->depth_left - 1) };
}

static uint64_t struct_words(uint64_t pointer)
{
    return (pointer >> 32 & UINT16_MAX) + (pointer >> 48);
}

struct capnp_struct capnp_struct_at(const struct capnp_struct *s, unsigned index)
{
    struct target t;
    if (!follow(s, index, POINTER_STRUCT, &t))
        return empty_struct(s);
    const char *p = enter(s->message, &t, struct_words(t.pointer));
    return p ? struct_of(t.pointer, p, s, t.segment) : empty_struct(s);
}

static enum element_size element_size_of(uint64_t pointer)
{
    return (enum element_size)(pointer >> 32 & 7);
}

/* Elements, or the words of all of them if they are composite. */
static uint32_t list_count(uint64_t pointer)
{
    return (uint32_t)(pointer >> 35);
}

static struct slice bytes_at(const struct capnp_struct *s, unsigned index, size_t max)
{
    struct target t;
    if (!follow(s, index, POINTER_LIST, &t))
        return (struct slice){ NULL, 0 };
    uint32_t n = list_count(t.pointer);
    if (element_size_of(t.pointer) != ELEMENT_BYTE || n > max) {
        violate(s->message, n > max ? "a text or data too long" : "a list of other elements than bytes");
        return (struct slice){ NULL, 0 };
    }
    const char *p = enter(s->message, &t, ((uint64_t)n + CAPNP_WORD - 1) / CAPNP_WORD);
    return (struct slice){ p, p ? n : 0 };
}

struct slice capnp_data_at(const struct capnp_struct *s, unsigned index, size_t max)
{
    struct slice data = bytes_at(s, index, max);
    return data.p ? data : SLICE("");
}

struct slice capnp_text_at(const struct capnp_struct *s, unsigned index, size_t max)
{
    struct slice text = bytes_at(s, index, max + 1);
    if (!text.p)
        return SLICE("");
    if (text.n == 0 || memchr(text.p, '\0', text.n) != text.p + text.n - 1) {
        violate(s->message, "a text not ended by its only NUL");
        return SLICE("");
    }
    return (struct slice){ text.p, text.n - 1 };
}

static struct capnp_list empty_list(const struct capnp_struct *parent)
{
    return (struct capnp_list){ .first = empty_struct(parent) };
}

/* Elements without any size still cost a visit each. */
static struct capnp_list composite_list(const struct capnp_struct *parent, const struct target *t, uint32_t max)
{
    struct capnp_message *m = parent->message;
    uint64_t words = list_count(t->pointer);
    const char *p = enter(m, t, words + 1);
    if (!p)
        return empty_list(parent);
    uint64_t tag = load_u64(p), size = struct_words(tag);
    uint32_t n = (uint32_t)tag >> 2;
    if (kind_of(tag) != POINTER_STRUCT || n > max || n * size > words)
        violate(m, n > max ? "a list too long" : "an invalid list of structs");
    else if (size || visit(m, n))
        return (struct capnp_list){ struct_of(tag, p + CAPNP_WORD, parent, t->segment), n, (uint32_t)size * CAPNP_WORD };
    return empty_list(parent);
}

static struct capnp_list pointer_list(const struct capnp_struct *parent, const struct target *t, uint32_t max)
{
    const uint64_t one_pointer = UINT64_C(1) << 48;
    uint32_t n = list_count(t->pointer);
    if (n > max)
        violate(parent->message, "a list too long");
    const char *p = n > max ? NULL : enter(parent->message, t, n);
    return p ? (struct capnp_list){ struct_of(one_pointer, p, parent, t->segment), n, CAPNP_WORD } : empty_list(parent);
}

struct capnp_list capnp_list_at(const struct capnp_struct *s, unsigned index, uint32_t max)
{
    struct target t;
    if (!follow(s, index, POINTER_LIST, &t))
        return empty_list(s);
    switch (element_size_of(t.pointer)) {
    case ELEMENT_COMPOSITE:
        return composite_list(s, &t, max);
    case ELEMENT_POINTER:
        return pointer_list(s, &t, max);
    default:
        violate(s->message, "a list of other elements than structs or pointers");
        return empty_list(s);
    }
}

struct capnp_struct capnp_element(const struct capnp_list *list, uint32_t index)
{
    struct capnp_struct s = list->first;
    if (index >= list->n)
        return empty_struct(&s);
    s.data += (size_t)index * list->stride;
    s.pointers += (size_t)index * list->stride;
    return s;
}

struct capnp_struct capnp_open(struct capnp_message *m, struct slice bytes)
{
    *m = (struct capnp_message){ .n_segments = load_u32(bytes.p) + 1 };
    const char *at = bytes.p + (m->n_segments / 2 + 1) * CAPNP_WORD;
    for (unsigned i = 0; i < m->n_segments; i++) {
        m->segments[i] = (struct slice){ at, (size_t)load_u32(bytes.p + 4 + 4 * i) * CAPNP_WORD };
        at += m->segments[i].n;
        m->words_left += m->segments[i].n / CAPNP_WORD;
    }
    struct capnp_struct above = { .message = m, .pointers = m->segments[0].p, .n_pointers = m->segments[0].n > 0,
                                  .depth_left = CAPNP_DEPTH_MAX };
    if (above.n_pointers == 0)
        violate(m, "a message without a root");
    return capnp_struct_at(&above, 0);
}

/* --- data sections --- */

static uint64_t load(const struct capnp_struct *s, unsigned offset, size_t size)
{
    uint64_t v = 0;
    if (offset + size <= s->data_size)
        memcpy(&v, s->data + offset, size);
    return le64toh(v);
}

uint8_t capnp_u8(const struct capnp_struct *s, unsigned offset)
{
    return (uint8_t)load(s, offset, sizeof(uint8_t));
}

uint16_t capnp_u16(const struct capnp_struct *s, unsigned offset)
{
    return (uint16_t)load(s, offset, sizeof(uint16_t));
}

uint32_t capnp_u32(const struct capnp_struct *s, unsigned offset)
{
    return (uint32_t)load(s, offset, sizeof(uint32_t));
}

uint64_t capnp_u64(const struct capnp_struct *s, unsigned offset)
{
    return load(s, offset, sizeof(uint64_t));
}

bool capnp_bit(const struct capnp_struct *s, unsigned offset)
{
    return capnp_u8(s, offset / 8) >> offset % 8 & 1;
}

/* --- building --- */

/* Zeroed; 0 if there is no room. */
static size_t reserve(struct capnp_builder *b, size_t words)
{
    size_t at = b->n;
    if (b->overflow || words > (b->size - b->n) / CAPNP_WORD) {
        b->overflow = true;
        return 0;
    }
    memset(b->out + at, 0, words * CAPNP_WORD);
    b->n += words * CAPNP_WORD;
    return at;
}

/* Little-endian, the low `size` bytes. */
static void store(struct capnp_builder *b, size_t at, uint64_t value, size_t size)
{
    value = htole64(value);
    if (!b->overflow)
        memcpy(b->out + at, &value, size);
}

static size_t pointer_at(struct capnp_place parent, unsigned index)
{
    return parent.pointers + (size_t)index * CAPNP_WORD;
}

/* From the pointer at `from` to the object at `to`; both lie in one segment, the object behind. */
static uint32_t pointer_offset(size_t from, size_t to)
{
    return (uint32_t)((to - from) / CAPNP_WORD - 1) << 2;
}

static uint64_t struct_sizes(unsigned data_words, unsigned n_pointers)
{
    return (uint64_t)data_words << 32 | (uint64_t)n_pointers << 48;
}

static struct capnp_place new_struct(struct capnp_builder *b, size_t pointer, unsigned data_words, unsigned n_pointers)
{
    size_t at = reserve(b, data_words + n_pointers);
    uint64_t word = struct_sizes(data_words, n_pointers) | pointer_offset(pointer, at);
    /* An empty struct right behind its pointer would make this the null pointer. */
    store(b, pointer, word ? word : pointer_offset(pointer, pointer), CAPNP_WORD);
    return (struct capnp_place){ at, at + (size_t)data_words * CAPNP_WORD };
}

struct capnp_place capnp_build(struct capnp_builder *b, void *out, size_t size, unsigned data_words, unsigned n_pointers)
{
    *b = (struct capnp_builder){ .out = out, .size = size };
    reserve(b, 1);
    return new_struct(b, reserve(b, 1), data_words, n_pointers);
}

struct capnp_place capnp_add_struct(struct capnp_builder *b, struct capnp_place parent, unsigned index, unsigned data_words,
                                    unsigned n_pointers)
{
    return new_struct(b, pointer_at(parent, index), data_words, n_pointers);
}

static void set_list_pointer(struct capnp_builder *b, size_t pointer, size_t at, enum element_size size, size_t count)
{
    store(b, pointer, (uint64_t)count << 35 | (uint64_t)size << 32 | pointer_offset(pointer, at) | POINTER_LIST, CAPNP_WORD);
}

struct capnp_place capnp_add_list_of_one(struct capnp_builder *b, struct capnp_place parent, unsigned index, unsigned data_words,
                                         unsigned n_pointers)
{
    size_t tag = reserve(b, 1), at = reserve(b, data_words + n_pointers);
    set_list_pointer(b, pointer_at(parent, index), tag, ELEMENT_COMPOSITE, data_words + n_pointers);
    store(b, tag, struct_sizes(data_words, n_pointers) | 1 << 2, CAPNP_WORD);
    return (struct capnp_place){ at, at + (size_t)data_words * CAPNP_WORD };
}

static void add_bytes(struct capnp_builder *b, size_t pointer, struct slice s, size_t n)
{
    size_t at = reserve(b, (n + CAPNP_WORD - 1) / CAPNP_WORD);
    set_list_pointer(b, pointer, at, ELEMENT_BYTE, n);
    if (!b->overflow && s.n)
        memcpy(b->out + at, s.p, s.n);
}

void capnp_add_data(struct capnp_builder *b, struct capnp_place parent, unsigned index, struct slice s)
{
    add_bytes(b, pointer_at(parent, index), s, s.n);
}

void capnp_add_text(struct capnp_builder *b, struct capnp_place parent, unsigned index, struct slice s)
{
    add_bytes(b, pointer_at(parent, index), s, s.n + 1);
}

/* Pointers within a segment are relative, so it is copied as it stands; only the one to its root has moved. */
bool capnp_add_root_of(struct capnp_builder *b, struct capnp_place parent, unsigned index, struct slice message)
{
    struct slice segment = { message.p + CAPNP_WORD, message.n - CAPNP_WORD };
    if (load_u32(message.p) != 0 || segment.n == 0)
        return false;
    uint64_t root = load_u64(segment.p);
    if (kind_of(root) != POINTER_STRUCT)
        return false;
    size_t at = reserve(b, segment.n / CAPNP_WORD), pointer = pointer_at(parent, index);
    uint32_t offset = pointer_offset(pointer, at) + (1 << 2) + (uint32_t)root;
    store(b, pointer, (root & ~(uint64_t)UINT32_MAX) | offset, CAPNP_WORD);
    if (!b->overflow)
        memcpy(b->out + at, segment.p, segment.n);
    return true;
}

void capnp_add_capability(struct capnp_builder *b, struct capnp_place parent, unsigned index, uint32_t table_index)
{
    store(b, pointer_at(parent, index), (uint64_t)table_index << 32 | POINTER_OTHER, CAPNP_WORD);
}

void capnp_set_u16(struct capnp_builder *b, struct capnp_place s, unsigned offset, uint16_t value)
{
    store(b, s.data + offset, value, sizeof value);
}

void capnp_set_u32(struct capnp_builder *b, struct capnp_place s, unsigned offset, uint32_t value)
{
    store(b, s.data + offset, value, sizeof value);
}

void capnp_set_u64(struct capnp_builder *b, struct capnp_place s, unsigned offset, uint64_t value)
{
    store(b, s.data + offset, value, sizeof value);
}

void capnp_set_bit(struct capnp_builder *b, struct capnp_place s, unsigned offset)
{
    if (!b->overflow)
        b->out[s.data + offset / 8] = (char)(b->out[s.data + offset / 8] | 1 << offset % 8);
}

size_t capnp_finish(struct capnp_builder *b)
{
    store(b, 4, b->n / CAPNP_WORD - 1, sizeof(uint32_t));
    return b->overflow ? 0 : b->n;
}
