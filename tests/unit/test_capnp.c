/* Cap'n Proto: what the builder makes is read again; pointers across segments; and what leads astray. */
#include "edge/capnp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Words of pointers, by the encoding's own terms. */
#define STRUCT(offset, data, pointers) \
    ((uint64_t)((uint32_t)(offset) << 2) | (uint64_t)(data) << 32 | (uint64_t)(pointers) << 48)
#define LIST(offset, size, count) ((uint64_t)((uint32_t)(offset) << 2 | 1) | (uint64_t)(size) << 32 | (uint64_t)(count) << 35)
#define FAR(segment, offset) (UINT64_C(2) | (uint64_t)(offset) << 3 | (uint64_t)(segment) << 32)
#define DOUBLE_FAR(segment, offset) (FAR(segment, offset) | 4)
#define CAPABILITY UINT64_C(3)
enum { BYTES = 2, POINTERS = 6, STRUCTS = 7, WORDS_MAX = 16 };

/* Of up to four segments; the first without words ends them. */
struct source {
    const char *name;
    struct {
        unsigned n;
        uint64_t words[WORDS_MAX];
    } segments[4];
};

static struct slice message_of(const struct source *source)
{
    uint32_t table[6] = { 0 };
    unsigned n_segments = 0, words = 0;
    while (n_segments < 4 && source->segments[n_segments].n)
        n_segments++;
    if (n_segments == 0)
        n_segments = 1;
    table[0] = n_segments - 1;
    for (unsigned i = 0; i < n_segments; i++) {
        table[i + 1] = source->segments[i].n;
        words += source->segments[i].n;
    }
    size_t at = (n_segments / 2 + 1) * 8, n = at + words * 8;
    char *bytes = malloc(n);
    memcpy(bytes, table, at);
    for (unsigned i = 0; i < n_segments; i++) {
        memcpy(bytes + at, source->segments[i].words, source->segments[i].n * 8);
        at += source->segments[i].n * 8;
    }
    return (struct slice){ bytes, n };
}

static struct capnp_message m;

static struct capnp_struct open_source(const struct source *source, struct slice *bytes)
{
    uint64_t size;
    *bytes = message_of(source);
    assert_null(capnp_frame_size(bytes->p, bytes->n, &size));
    assert_int_equal(size, bytes->n);
    return capnp_open(&m, *bytes);
}

static void framing_tells_the_size(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        uint64_t size;
    } rows[] = {
        { "", 0, 8 },
        { "\0\0\0\0\5\0\0", 7, 8 },
        { "\0\0\0\0\5\0\0\0", 8, 48 },
        { "\0\0\0\0\0\0\0\0", 8, 8 },
        { "\0\0\0\0\xff\xff\xff\xff", 8, 8 + UINT64_C(0xffffffff) * 8 },
        { "\1\0\0\0\5\0\0\0", 8, 16 },
        { "\1\0\0\0\5\0\0\0\2\0\0\0\0\0\0\0", 16, 16 + 56 },
        { "\2\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0", 16, 16 + 48 },
        { "\x0f\0\0\0\1\0\0\0", 8, 72 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t size;
        char *copy = malloc(rows[i].n + 1);
        memcpy(copy, rows[i].bytes, rows[i].n);
        assert_null(capnp_frame_size(copy, rows[i].n, &size));
        assert_int_equal(size, rows[i].size);
        free(copy);
    }
    uint64_t size;
    assert_non_null(capnp_frame_size("\x10\0\0\0\1\0\0\0", 8, &size));
    assert_non_null(capnp_frame_size("\xff\xff\xff\xff\1\0\0\0", 8, &size));
}

static void what_is_built_is_read(void **state)
{
    (void)state;
    static char room[512];
    struct capnp_builder b;
    struct capnp_place root = capnp_build(&b, room, sizeof room, 2, 5);
    capnp_set_u16(&b, root, 2, 0xbeef);
    capnp_set_u32(&b, root, 4, 0xdeadbeef);
    capnp_set_u64(&b, root, 8, UINT64_C(0x0123456789abcdef));
    capnp_set_bit(&b, root, 3);
    capnp_set_bit(&b, root, 7);
    capnp_add_text(&b, root, 0, SLICE("a text"));
    capnp_add_data(&b, root, 1, (struct slice){ "\0\1\2", 3 });
    struct capnp_place element = capnp_add_list_of_one(&b, root, 2, 1, 1);
    capnp_set_u16(&b, element, 0, 7);
    capnp_add_text(&b, element, 0, SLICE(""));
    struct capnp_place inner = capnp_add_struct(&b, root, 3, 1, 0);
    capnp_set_u64(&b, inner, 0, 42);
    capnp_add_struct(&b, root, 4, 0, 0);
    size_t n = capnp_finish(&b);
    assert_int_equal(n, 8 + 8 * (1 + 7 + 1 + 1 + 1 + 2 + 1 + 1));

    struct capnp_struct s = capnp_open(&m, (struct slice){ room, n });
    assert_int_equal(capnp_u8(&s, 0), 0x88);
    assert_int_equal(capnp_u16(&s, 2), 0xbeef);
    assert_int_equal(capnp_u32(&s, 4), 0xdeadbeef);
    assert_int_equal(capnp_u64(&s, 8), UINT64_C(0x0123456789abcdef));
    assert_true(capnp_bit(&s, 3) && capnp_bit(&s, 7) && !capnp_bit(&s, 4) && !capnp_bit(&s, 8));
    assert_true(slice_eq(capnp_text_at(&s, 0, 6), SLICE("a text")));
    assert_true(slice_eq(capnp_data_at(&s, 1, 3), (struct slice){ "\0\1\2", 3 }));
    struct capnp_list list = capnp_list_at(&s, 2, 1);
    struct capnp_struct e = capnp_element(&list, 0), i = capnp_struct_at(&s, 3), none = capnp_struct_at(&s, 4);
    assert_int_equal(list.n, 1);
    assert_int_equal(capnp_u16(&e, 0), 7);
    assert_int_equal(capnp_text_at(&e, 0, 0).n, 0);
    assert_int_equal(capnp_u64(&i, 0), 42);
    assert_int_equal(none.data_size, 0);
    assert_null(m.wrong);
}

static void a_builder_without_room_says_so(void **state)
{
    (void)state;
    size_t whole = 8 + 8 * (1 + 3 + 2 + 2 + 2);
    for (size_t size = 0; size <= whole; size++) {
        char *room = malloc(size ? size : 1);
        struct capnp_builder b;
        struct capnp_place root = capnp_build(&b, room, size, 1, 2), inner = capnp_add_struct(&b, root, 0, 1, 1);
        capnp_set_u64(&b, inner, 0, 1);
        capnp_set_bit(&b, inner, 1);
        capnp_add_text(&b, inner, 0, SLICE("fifteen letters"));
        struct capnp_place element = capnp_add_list_of_one(&b, root, 1, 1, 0);
        capnp_set_u32(&b, element, 0, 1);
        assert_int_equal(capnp_finish(&b), size == whole ? whole : 0);
        free(room);
    }
}

/* What an older or newer writer has not, or has more, than we read. */
static void absent_fields_are_empty(void **state)
{
    (void)state;
    static const struct source small = { "small", { { 2, { STRUCT(0, 1, 0), 0x1122334455667788 } } } };
    struct slice bytes;
    struct capnp_struct s = open_source(&small, &bytes);
    assert_int_equal(capnp_u64(&s, 0), 0x1122334455667788);
    assert_int_equal(capnp_u8(&s, 7), 0x11);
    assert_int_equal(capnp_u8(&s, 8), 0);
    assert_int_equal(capnp_u16(&s, 7), 0); /* half outside */
    assert_int_equal(capnp_u64(&s, 8), 0);
    assert_false(capnp_bit(&s, 64));
    struct capnp_struct none = capnp_struct_at(&s, 0), deeper = capnp_struct_at(&none, 3);
    struct capnp_list list = capnp_list_at(&none, 0, 1);
    struct capnp_struct element = capnp_element(&list, 0);
    assert_int_equal(capnp_u32(&deeper, 0), 0);
    assert_int_equal(list.n, 0);
    assert_int_equal(capnp_u8(&element, 0), 0);
    assert_int_equal(capnp_text_at(&element, 0, 9).n, 0);
    assert_int_equal(capnp_data_at(&s, 9, 9).n, 0);
    assert_null(m.wrong);
    free((char *)bytes.p);
}

/* In each, the root's first pointer leads to a struct with the word 42 and the text "ab". */
static void pointers_are_followed_anywhere(void **state)
{
    (void)state;
    static const struct source sources[] = {
        { "near", { { 6, { STRUCT(0, 0, 1), STRUCT(0, 1, 1), 42, LIST(0, BYTES, 3), 0x6261 } } } },
        { "backwards", { { 7, { STRUCT(4, 0, 1), 0, 42, LIST(0, BYTES, 3), 0x6261, STRUCT(-4, 1, 1) } } } },
        { "far root", { { 1, { FAR(1, 0) } }, { 6, { STRUCT(0, 0, 1), STRUCT(0, 1, 1), 42, LIST(0, BYTES, 3), 0x6261 } } } },
        { "far struct and text", { { 2, { STRUCT(0, 0, 1), FAR(2, 1) } }, { 3, { LIST(1, BYTES, 3), 0, 0x6261 } },
                                   { 4, { 0, STRUCT(0, 1, 1), 42, FAR(1, 0) } } } },
        { "far within a segment", { { 6, { STRUCT(0, 0, 1), FAR(0, 2), STRUCT(0, 1, 1), 42, LIST(0, BYTES, 3), 0x6261 } } } },
        { "double far", { { 4, { STRUCT(0, 0, 1), DOUBLE_FAR(1, 0) } }, { 3, { FAR(2, 1), STRUCT(0, 1, 1) } },
                          { 4, { 0, 42, LIST(0, BYTES, 3), 0x6261 } } } },
        { "double far list", { { 4, { STRUCT(0, 0, 1), STRUCT(0, 1, 1), 42, DOUBLE_FAR(1, 1) } },
                               { 3, { 0, FAR(2, 0), LIST(0, BYTES, 3) } }, { 1, { 0x6261 } } } },
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct slice bytes;
        struct capnp_struct root = open_source(&sources[i], &bytes), s = capnp_struct_at(&root, 0);
        struct slice text = capnp_text_at(&s, 0, 2);
        if (m.wrong || capnp_u64(&s, 0) != 42 || !slice_eq(text, SLICE("ab")))
            fail_msg("%s: %s", sources[i].name, m.wrong ? m.wrong : "something else was read");
        free((char *)bytes.p);
    }
}

static void lists_are_read(void **state)
{
    (void)state;
    static const struct source sources[] = {
        { "pointers", { { 7, { STRUCT(0, 0, 1), LIST(0, POINTERS, 2), LIST(1, BYTES, 2), LIST(1, BYTES, 3), 'a', 0x6262 } } } },
        { "structs", { { 8, { STRUCT(0, 0, 1), LIST(0, STRUCTS, 2), STRUCT(2, 0, 1), LIST(1, BYTES, 2), LIST(1, BYTES, 3), 'a', 0x6262 } } } },
        { "far structs", { { 3, { STRUCT(0, 0, 1), DOUBLE_FAR(1, 0) } }, { 3, { FAR(2, 0), LIST(0, STRUCTS, 2) } },
                           { 6, { STRUCT(2, 0, 1), LIST(1, BYTES, 2), LIST(1, BYTES, 3), 'a', 0x6262 } } } },
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct slice bytes;
        struct capnp_struct root = open_source(&sources[i], &bytes);
        struct capnp_list list = capnp_list_at(&root, 0, 2);
        struct capnp_struct first = capnp_element(&list, 0), second = capnp_element(&list, 1), third = capnp_element(&list, 2);
        if (list.n != 2 || !slice_eq(capnp_text_at(&first, 0, 2), SLICE("a")) || !slice_eq(capnp_text_at(&second, 0, 2), SLICE("bb")))
            fail_msg("%s: %s", sources[i].name, m.wrong ? m.wrong : "something else was read");
        assert_int_equal(capnp_text_at(&third, 0, 2).n, 0);
        assert_null(m.wrong);
        free((char *)bytes.p);
    }
}

/* Reads the root's first pointer as a struct, its second as a text, its third as a list with a text in each element. */
static void read_all(const struct capnp_struct *root)
{
    capnp_struct_at(root, 0);
    capnp_text_at(root, 1, 16);
    struct capnp_list list = capnp_list_at(root, 2, 1000);
    for (uint32_t i = 0; i < list.n; i++) {
        struct capnp_struct element = capnp_element(&list, i);
        capnp_text_at(&element, 0, 16);
    }
}

#define OUT "a pointer leads out of its segment"
#define KIND "a pointer of another kind than expected"
#define NO_SEGMENT "a far pointer into a segment that does not exist"
#define AGAIN "the same part of a message is visited again"
#define ROOT(first, second, third) STRUCT(0, 0, 3), (first), (second), (third)

static void what_leads_astray_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *wrong;
        struct source source;
    } rows[] = {
        { "a message without a root", { "empty", { { 0 } } } },
        { OUT, { "root beyond", { { 1, { STRUCT(0, 1, 0) } } } } },
        { OUT, { "root far beyond", { { 1, { STRUCT(0x1fffffff, 1, 0) } } } } },
        { OUT, { "root before", { { 1, { STRUCT(-2, 0, 0) } } } } },
        { OUT, { "root far before", { { 1, { STRUCT(-0x20000000, 1, 0) } } } } },
        { OUT, { "pointers beyond", { { 2, { STRUCT(0, 1, 0xffff) } } } } },
        { KIND, { "root is a list", { { 2, { LIST(0, BYTES, 1), 0 } } } } },
        { KIND, { "root is a capability", { { 1, { CAPABILITY } } } } },
        { KIND, { "list for a struct", { { 4, { ROOT(LIST(2, BYTES, 0), 0, 0) } } } } },
        { KIND, { "struct for a text", { { 4, { ROOT(0, STRUCT(1, 0, 0), 0) } } } } },
        { KIND, { "capability for a text", { { 4, { ROOT(0, CAPABILITY, 0) } } } } },
        { KIND, { "struct for a list", { { 4, { ROOT(0, 0, STRUCT(0, 0, 0) + 4) } } } } },
        { OUT, { "text beyond", { { 5, { ROOT(0, LIST(1, BYTES, 9), 0), 0 } } } } },
        { "a text or data too long", { "long text", { { 7, { ROOT(0, LIST(1, BYTES, 18), 0), 0x6161616161616161, 0x6161616161616161, 0x61 } } } } },
        { "a text or data too long", { "huge text", { { 4, { ROOT(0, LIST(1, BYTES, 0x1fffffff), 0) } } } } },
        { "a text not ended by its only NUL", { "text without NUL", { { 5, { ROOT(0, LIST(1, BYTES, 2), 0), 0x6161 } } } } },
        { "a text not ended by its only NUL", { "NUL in a text", { { 5, { ROOT(0, LIST(1, BYTES, 3), 0), 0x61 } } } } },
        { "a text not ended by its only NUL", { "text of nothing", { { 5, { ROOT(0, LIST(1, BYTES, 0), 0), 0 } } } } },
        { "a list of other elements than bytes", { "bits for a text", { { 5, { ROOT(0, LIST(1, 1, 8), 0), 0 } } } } },
        { "a list of other elements than bytes", { "voids for a text", { { 4, { ROOT(0, LIST(1, 0, 1), 0) } } } } },
        { "a list of other elements than structs or pointers", { "voids", { { 4, { ROOT(0, 0, LIST(0, 0, 0x1fffffff)) } } } } },
        { "a list of other elements than structs or pointers", { "bytes", { { 5, { ROOT(0, 0, LIST(0, BYTES, 8)), 0 } } } } },
        { OUT, { "list beyond", { { 5, { ROOT(0, 0, LIST(0, POINTERS, 2)), 0 } } } } },
        { "a list too long", { "huge list", { { 4, { ROOT(0, 0, LIST(0, POINTERS, 0x1fffffff)) } } } } },
        { OUT, { "structs without a tag", { { 4, { ROOT(0, 0, LIST(0, STRUCTS, 0)) } } } } },
        { OUT, { "structs beyond", { { 5, { ROOT(0, 0, LIST(0, STRUCTS, 1)), STRUCT(1, 1, 0) } } } } },
        { "an invalid list of structs", { "more structs than words", { { 6, { ROOT(0, 0, LIST(0, STRUCTS, 1)), STRUCT(2, 1, 0), 0 } } } } },
        { "an invalid list of structs", { "tag is a list", { { 5, { ROOT(0, 0, LIST(0, STRUCTS, 0)), LIST(0, BYTES, 0) } } } } },
        { "a list too long", { "countless structs", { { 5, { ROOT(0, 0, LIST(0, STRUCTS, 0)), STRUCT(0x3fffffff, 0, 0) } } } } },
        { AGAIN, { "structs of no size", { { 5, { ROOT(0, 0, LIST(0, STRUCTS, 0)), STRUCT(1000, 0, 0) } } } } },
        { AGAIN, { "elements that share a text", { { 9, { ROOT(0, 0, LIST(0, POINTERS, 3)), LIST(2, BYTES, 9), LIST(1, BYTES, 9), LIST(0, BYTES, 9),
                                                          0x6161616161616161, 0 } } } } },
        { AGAIN, { "struct around itself", { { 4, { ROOT(STRUCT(-1, 0, 3), 0, LIST(-3, POINTERS, 3)) } } } } },
        { NO_SEGMENT, { "far to nowhere", { { 4, { ROOT(FAR(1, 0), 0, 0) } } } } },
        { NO_SEGMENT, { "far to the last segment", { { 4, { ROOT(FAR(0xffffffff, 0), 0, 0) } } } } },
        { OUT, { "far beyond", { { 4, { ROOT(FAR(0, 4), 0, 0) } } } } },
        { OUT, { "double far half beyond", { { 4, { ROOT(DOUBLE_FAR(0, 3), 0, 0) } } } } },
        { "a far pointer to a far pointer", { "far to itself", { { 4, { ROOT(FAR(0, 1), 0, 0) } } } } },
        { "a far pointer to a far pointer", { "far to far", { { 4, { ROOT(FAR(1, 0), 0, 0) } }, { 1, { FAR(0, 2) } } } } },
        { "an invalid landing pad", { "pad is near", { { 6, { ROOT(DOUBLE_FAR(0, 4), 0, 0), STRUCT(0, 0, 0), STRUCT(0, 0, 0) } } } } },
        { "an invalid landing pad", { "pad is double far", { { 6, { ROOT(DOUBLE_FAR(0, 4), 0, 0), DOUBLE_FAR(0, 4), STRUCT(0, 0, 0) } } } } },
        { "an invalid landing pad", { "tag is far", { { 6, { ROOT(DOUBLE_FAR(0, 4), 0, 0), FAR(0, 0), FAR(0, 0) } } } } },
        { NO_SEGMENT, { "pad to nowhere", { { 6, { ROOT(DOUBLE_FAR(0, 4), 0, 0), FAR(9, 0), STRUCT(0, 0, 0) } } } } },
        { OUT, { "pad beyond", { { 6, { ROOT(DOUBLE_FAR(0, 4), 0, 0), FAR(0, 6), STRUCT(0, 1, 0) } } } } },
        { KIND, { "tag of a list for a struct", { { 6, { ROOT(DOUBLE_FAR(0, 4), 0, 0), FAR(0, 0), LIST(0, BYTES, 0) } } } } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice bytes;
        struct capnp_struct root = open_source(&rows[i].source, &bytes);
        read_all(&root);
        if (!m.wrong || strcmp(m.wrong, rows[i].wrong) != 0)
            fail_msg("%s: %s", rows[i].source.name, m.wrong ? m.wrong : "taken");
        /* From then on there is nothing any more. */
        assert_int_equal(capnp_struct_at(&root, 0).data_size, 0);
        assert_int_equal(capnp_data_at(&root, 1, 100).n, 0);
        assert_int_equal(capnp_list_at(&root, 2, 100).n, 0);
        free((char *)bytes.p);
    }
}

/* Each struct leads to the next; a chain may be as long as the limit says. */
static void depth_is_limited(void **state)
{
    (void)state;
    static const struct source chain = { "chain", { { WORDS_MAX, { [0 ... WORDS_MAX - 1] = STRUCT(0, 0, 1) } }, { 3, { 0 } } } };
    struct source whole = chain;
    whole.segments[0].words[WORDS_MAX - 1] = FAR(1, 0);
    whole.segments[1].words[0] = whole.segments[1].words[1] = STRUCT(0, 0, 1);
    struct slice bytes;
    struct capnp_struct s = open_source(&whole, &bytes);
    for (unsigned depth = 1; depth < CAPNP_DEPTH_MAX; depth++) {
        s = capnp_struct_at(&s, 0);
        assert_null(m.wrong);
        assert_int_equal(s.n_pointers, 1);
    }
    capnp_struct_at(&s, 0);
    assert_string_equal(m.wrong, "a message nested too deeply");
    free((char *)bytes.p);
}

/* Every word of a message may be visited once: nothing that any writer makes is refused for that. */
static void a_message_may_be_read_whole(void **state)
{
    (void)state;
    static const struct source full = { "full", { { 8, { ROOT(STRUCT(2, 1, 0), LIST(2, BYTES, 8), LIST(2, POINTERS, 1)), 1, 0x61616161616161,
                                                         LIST(0, BYTES, 8), 0x61616161616161 } } } };
    struct slice bytes;
    struct capnp_struct root = open_source(&full, &bytes);
    read_all(&root);
    assert_null(m.wrong);
    assert_true(m.words_left <= 1); /* that of the root's own pointer */
    free((char *)bytes.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing_tells_the_size),
        cmocka_unit_test(what_is_built_is_read),
        cmocka_unit_test(a_builder_without_room_says_so),
        cmocka_unit_test(absent_fields_are_empty),
        cmocka_unit_test(pointers_are_followed_anywhere),
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(what_leads_astray_is_refused),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(a_message_may_be_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
