/* Requests: where the bytes are cut must not matter, what is accepted is within bounds and clean, and written out as we would forward
 * it, it means the same again. The first input byte is the options. */
#include "http/rules.h"
#include "tests/unit/http_feed.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_BARE_LF = 1, OPTION_SMALL = 2, INPUT_MAX = 4096 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_bytes(struct slice s, bool spaces)
{
    for (size_t i = 0; i < s.n; i++)
        require((unsigned char)s.p[i] != 0x7f && ((unsigned char)s.p[i] > 0x20 || (spaces && (s.p[i] == ' ' || s.p[i] == '\t'))));
}

static struct slice part(const struct http_head *head, const char *base, uint32_t at, uint32_t n)
{
    require(at <= head->length && n <= head->length - at);
    return (struct slice){ base + at, n };
}

static void check_head(const struct http_head *head, const char *base, size_t n)
{
    require(head->length <= n && head->method_len && head->target_len && head->minor <= 1);
    check_bytes(part(head, base, head->start, head->method_len), false);
    check_bytes(part(head, base, head->target, head->target_len), false);
    part(head, base, head->path, head->path_len);
    part(head, base, head->authority, head->authority_len);
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++) {
        struct slice value = part(head, base, f->value, f->value_len);
        require(f->name_len && f->name >= head->fields_start && f->id < FIELD_IDS);
        check_bytes(part(head, base, f->name, f->name_len), false);
        check_bytes(value, true);
        require(slice_eq(value, slice_trim(value)));
    }
}

/* As it would be forwarded: origin form, one space, CRLF, framing and Host regenerated. */
static size_t write_out(char *out, size_t size, const struct http_head *head, const char *base, const struct http_message *m)
{
    size_t n = (size_t)snprintf(out, size, "%.*s %s%.*s HTTP/1.%u\r\n", (int)head->method_len, base + head->start,
                                http_path_prefix(head, base), (int)head->path_len, base + head->path, head->minor);
    for (const struct http_field *f = head->fields; f < head->fields + head->n_fields; f++)
        if (!(f->flags & FIELD_DROP))
            n += (size_t)snprintf(out + n, size - n, "%.*s: %.*s\r\n", SLICE_ARG(http_field_name(base, f)), SLICE_ARG(http_field_value(base, f)));
    if (m->host_port.n)
        n += (size_t)snprintf(out + n, size - n, "Host: %.*s\r\n", SLICE_ARG(m->host_port));
    if (m->body == BODY_CHUNKED)
        n += (size_t)snprintf(out + n, size - n, "Transfer-Encoding: chunked\r\n");
    else if (m->has_length)
        n += (size_t)snprintf(out + n, size - n, "Content-Length: %llu\r\n", (unsigned long long)m->length);
    n += (size_t)snprintf(out + n, size - n, "\r\n");
    require(n < size);
    return n;
}

static void check_written(const struct http_head *head, const char *base, const struct http_message *first)
{
    static char out[INPUT_MAX * 2 + 256];
    static struct http_fed fed;
    static const struct http_limits roomy = { .size = sizeof out, .count = HTTP_FIELDS_MAX };
    struct http_message again;
    size_t n = write_out(out, sizeof out, head, base, first);
    http_feed(&fed, http_parse_request, out, n, n, n, &roomy);
    require(fed.result == HTTP_PARSE_DONE && fed.head.length == n && fed.head.method == head->method);
    require(http_request_rules(&fed.head, out, &again) == HTTP_ERROR_NONE);
    require(again.body == first->body && again.length == first->length && again.has_length == first->has_length);
    require(slice_eq(again.host, first->host) && slice_eq(again.host_port, first->host_port));
    require(!again.upgrade_websocket && !again.expect_continue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_fed fed;
    struct http_message message;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    const struct http_limits limits = { .size = data[0] & OPTION_SMALL ? 64 : INPUT_MAX, .count = data[0] & OPTION_SMALL ? 3 : 100,
                                        .allow_bare_lf = data[0] & OPTION_BARE_LF };
    const char *input = (const char *)data + 1;
    require(http_feed_every_way(&fed, http_parse_request, input, size - 1, &limits));
    if (fed.result != HTTP_PARSE_DONE)
        return 0;
    check_head(&fed.head, input, size - 1);
    if (http_request_rules(&fed.head, input, &message) == HTTP_ERROR_NONE)
        check_written(&fed.head, input, &message);
    return 0;
}
