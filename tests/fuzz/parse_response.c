/* Responses: where the bytes are cut must not matter, what is accepted is within bounds and clean, and written out as we would forward
 * it, it means the same again. The first input byte is the options. */
#include "http/rules.h"
#include "tests/unit/http_feed.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_BARE_LF = 1, OPTION_SMALL = 2, OPTION_HEAD = 4, OPTION_UPGRADE = 8, INPUT_MAX = 4096 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct slice clean_part(const struct http_head *head, const char *base, uint32_t at, uint32_t n)
{
    require(at <= head->length && n <= head->length - at);
    for (uint32_t i = at; i < at + n; i++)
        require((unsigned char)base[i] != 0x7f && ((unsigned char)base[i] >= 0x20 || base[i] == '\t'));
    return (struct slice){ base + at, n };
}

static void check_head(const struct http_head *head, const char *base, size_t n)
{
    require(head->length <= n && head->minor <= 1 && head->status >= 100 && head->status <= 599);
    clean_part(head, base, head->reason, head->reason_len);
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++) {
        struct slice name = clean_part(head, base, f->name, f->name_len), value = clean_part(head, base, f->value, f->value_len);
        require(f->name_len && f->name >= head->fields_start && f->id < FIELD_IDS && !memchr(name.p, ' ', name.n));
        require(slice_eq(value, slice_trim(value)));
    }
}

static size_t write_out(char *out, size_t size, const struct http_head *head, const char *base, const struct http_message *m)
{
    size_t n = (size_t)snprintf(out, size, "HTTP/1.%u %u %.*s\r\n", head->minor, head->status, (int)head->reason_len, base + head->reason);
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++)
        if (!(f->flags & FIELD_DROP))
            n += (size_t)snprintf(out + n, size - n, "%.*s: %.*s\r\n", SLICE_ARG(http_field_name(base, f)), SLICE_ARG(http_field_value(base, f)));
    if (m->body == BODY_CHUNKED)
        n += (size_t)snprintf(out + n, size - n, "Transfer-Encoding: chunked\r\n");
    else if (m->body == BODY_LENGTH)
        n += (size_t)snprintf(out + n, size - n, "Content-Length: %llu\r\n", (unsigned long long)m->length);
    if (m->upgrade_websocket)
        n += (size_t)snprintf(out + n, size - n, "Connection: upgrade\r\nUpgrade: websocket\r\n");
    n += (size_t)snprintf(out + n, size - n, "\r\n");
    require(n < size);
    return n;
}

static void check_written(const struct http_head *head, const char *base, enum http_method method, const struct http_message *first)
{
    static char out[INPUT_MAX * 2 + 256];
    static struct http_fed fed;
    static const struct http_limits roomy = { .size = sizeof out, .count = HTTP_FIELDS_MAX };
    struct http_message again;
    size_t n = write_out(out, sizeof out, head, base, first);
    http_feed(&fed, http_parse_response, out, n, n, n, &roomy);
    require(fed.result == HTTP_PARSE_DONE && fed.head.length == n && fed.head.status == head->status);
    require(http_response_rules(&fed.head, out, method, first->upgrade_websocket, &again) == HTTP_ERROR_NONE);
    require(again.body == first->body && again.length == first->length && again.has_length == first->has_length);
    require(again.upgrade_websocket == first->upgrade_websocket);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_fed fed;
    struct http_message message;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    const struct http_limits limits = { .size = data[0] & OPTION_SMALL ? 64 : INPUT_MAX, .count = data[0] & OPTION_SMALL ? 3 : 100,
                                        .allow_bare_lf = data[0] & OPTION_BARE_LF };
    enum http_method method = data[0] & OPTION_HEAD ? METHOD_HEAD : METHOD_GET;
    const char *input = (const char *)data + 1;
    require(http_feed_every_way(&fed, http_parse_response, input, size - 1, &limits));
    if (fed.result != HTTP_PARSE_DONE)
        return 0;
    check_head(&fed.head, input, size - 1);
    if (http_response_rules(&fed.head, input, method, data[0] & OPTION_UPGRADE, &message) == HTTP_ERROR_NONE)
        check_written(&fed.head, input, method, &message);
    return 0;
}
