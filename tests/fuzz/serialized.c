/* A response's fields as a connector packs them: what is taken would be taken from an HTTP/1 origin too, and means the same; packed
 * again it reads the same. The first byte is the limit of fields. The same bytes also stand for the field that says who answered. */
#include "edge/serialized.h"
#include "tests/unit/http_feed.h"
#include "tests/unit/serialize.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 8192 };
#define STATUS_LINE "HTTP/1.1 200 OK\r\n"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool read_fields(struct slice packed, struct bounded *out, struct http_head *head, unsigned fields_max)
{
    out->n = 0;
    out->overflow = false;
    bounded_add(out, SLICE(STATUS_LINE));
    head->n_fields = 0;
    const char *wrong = serialized_read(packed, out, head, fields_max);
    require(head->n_fields <= fields_max && out->n <= out->size);
    require(wrong || !out->overflow);
    return wrong == NULL;
}

static void check_as_head(const struct bounded *lines, const struct http_head *head)
{
    static char text[INPUT_MAX * 4];
    static struct http_fed fed;
    static const struct http_limits roomy = { .size = sizeof text, .count = HTTP_FIELDS_MAX };
    struct bounded whole = { .p = text, .size = sizeof text };
    bounded_add(&whole, (struct slice){ lines->p, lines->n });
    bounded_add(&whole, SLICE("\r\n"));
    http_feed(&fed, http_parse_response, text, whole.n, whole.n, whole.n, &roomy);
    require(fed.result == HTTP_PARSE_DONE && fed.head.length == whole.n && fed.head.n_fields == head->n_fields);
    require(memcmp(fed.head.fields, head->fields, head->n_fields * sizeof *head->fields) == 0);
}

static void check_packed_again(const struct bounded *lines, const struct http_head *head)
{
    static char packed_room[INPUT_MAX * 4], again_room[INPUT_MAX * 4];
    static struct http_head again;
    struct bounded packed = { .p = packed_room, .size = sizeof packed_room }, out = { .p = again_room, .size = sizeof again_room };
    for (unsigned i = 0; i < head->n_fields; i++)
        serialize_field(&packed, http_field_name(lines->p, &head->fields[i]), http_field_value(lines->p, &head->fields[i]));
    require(read_fields((struct slice){ packed.p, packed.n }, &out, &again, HTTP_FIELDS_MAX) && again.n_fields == head->n_fields);
    for (unsigned i = 0; i < head->n_fields; i++) {
        require(slice_eq(http_field_name(out.p, &again.fields[i]), http_field_name(lines->p, &head->fields[i])));
        require(slice_eq(http_field_value(out.p, &again.fields[i]), http_field_value(lines->p, &head->fields[i])));
    }
}

/* In exactly the room that is needed, and in one byte less. */
static void check_room(struct slice packed, const struct bounded *lines, unsigned fields_max)
{
    static struct http_head head;
    for (size_t less = 0; less <= 1 && lines->n > sizeof STATUS_LINE; less++) {
        char *room = malloc(lines->n);
        require(room != NULL);
        struct bounded exact = { .p = room, .size = lines->n - less };
        require(read_fields(packed, &exact, &head, fields_max) == (less == 0));
        require(less || memcmp(room, lines->p, lines->n) == 0);
        free(room);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char room[INPUT_MAX * 3];
    static struct http_head head;
    struct response_meta meta;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct slice packed = { (const char *)data + 1, size - 1 };
    struct bounded lines = { .p = room, .size = sizeof room };
    if (read_fields(packed, &lines, &head, data[0])) {
        check_as_head(&lines, &head);
        check_packed_again(&lines, &head);
        check_room(packed, &lines, data[0]);
    }
    if (response_meta_read(packed, &meta))
        require(size > sizeof "{\"src\":\"origin\"}" - 1);
    return 0;
}
