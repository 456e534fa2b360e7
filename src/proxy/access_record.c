/* The lines of the access log. */
#include "proxy/access_log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* Bytes of a field as written, escapes included. What is longer is cut inside the field, so that the line stays well-formed: all of them
 * together fit, with what stands around them. */
enum {
    TARGET_MAX = 4096,
    REFERER_MAX = 4096,
    USER_AGENT_MAX = 2048,
    FIELD_MAX = 512, /* method, host, load balancer, endpoint, upstream, request id */
    AROUND_MAX = 2048
};
_Static_assert(TARGET_MAX + REFERER_MAX + USER_AGENT_MAX + 6 * FIELD_MAX + AROUND_MAX <= LOG_LINE_MAX, "a line of long fields fits");

struct line {
    char *at, *end;
};

static void add_bytes(struct line *l, const char *p, size_t n)
{
    if (n > (size_t)(l->end - l->at))
        return;
    memcpy(l->at, p, n);
    l->at += n;
}

__attribute__((format(printf, 2, 3))) static void addf(struct line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->at, (size_t)(l->end - l->at), format, args);
    va_end(args);
    if (n > 0 && n < l->end - l->at)
        l->at += n;
}

#define add_text(l, literal) add_bytes(l, "" literal, sizeof(literal) - 1)

/* JSON strings (RFC 8259 7): bytes beyond ASCII are written as if they were Latin-1, so that any request gives valid UTF-8. */
static void add_json_escaped(struct line *l, struct slice s, size_t max)
{
    const char *end = l->at + max - strlen("\\u0000");
    for (size_t i = 0; i < s.n && l->at <= end; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            addf(l, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            addf(l, "\\u%04x", c);
        else
            add_bytes(l, s.p + i, 1);
    }
}

/* As Apache and nginx do: what could end the field or the line is written \xHH. */
static void add_hex_escaped(struct line *l, struct slice s, size_t max)
{
    const char *end = l->at + max - strlen("\\x00");
    if (!s.n)
        add_text(l, "-");
    for (size_t i = 0; i < s.n && l->at <= end; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\' || c < 0x20 || c >= 0x7f)
            addf(l, "\\x%02X", c);
        else
            add_bytes(l, s.p + i, 1);
    }
}

static void add_client(struct line *l, const struct access_record *r)
{
    char text[ADDRESS_TEXT_SIZE] = "unix";
    size_t n = r->client ? address_format_host(r->client, text) : 4;
    add_bytes(l, text, n);
}

static void add_member(struct line *l, const char *name, struct slice value, size_t max)
{
    if (!value.n)
        return;
    addf(l, ",\"%s\":\"", name);
    add_json_escaped(l, value, max);
    add_text(l, "\"");
}

static void add_duration(struct line *l, const char *name, nsec_t t)
{
    if (t >= 0)
        addf(l, ",\"%s\":%.3f", name, (double)t / (double)NSEC_PER_MSEC);
}

static void format_json(struct line *l, const struct access_record *r)
{
    char time[CLOCK_RFC3339_SIZE];
    addf(l, "{\"time\":\"%s\",\"client\":\"", clock_rfc3339(r->wall, time));
    add_client(l, r);
    add_text(l, "\"");
    add_member(l, "method", r->method, FIELD_MAX);
    add_member(l, "host", r->host, FIELD_MAX);
    add_member(l, "target", r->target, TARGET_MAX);
    addf(l, ",\"protocol\":\"HTTP/1.%u\",\"tls\":%s,\"status\":%u,\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64, r->minor,
         r->tls ? "true" : "false", r->status, r->bytes_in, r->bytes_out);
    add_member(l, "load_balancer", slice_of(r->load_balancer), FIELD_MAX);
    add_member(l, "endpoint", slice_of(r->endpoint), FIELD_MAX);
    add_member(l, "upstream", slice_of(r->upstream_address), FIELD_MAX);
    addf(l, ",\"reused\":%s,\"retries\":%u,\"reason\":\"%s\"", r->upstream_reused ? "true" : "false", r->retries, reason_code(r->reason));
    add_duration(l, "choose_ms", r->choose);
    add_duration(l, "connect_ms", r->connect);
    add_duration(l, "send_ms", r->send);
    add_duration(l, "first_byte_ms", r->first_byte);
    add_duration(l, "total_ms", r->total);
    add_member(l, "request_id", r->request_id, FIELD_MAX);
    add_member(l, "referer", r->referer, REFERER_MAX);
    add_member(l, "user_agent", r->user_agent, USER_AGENT_MAX);
    add_text(l, "}");
}

static void format_combined(struct line *l, const struct access_record *r)
{
    time_t seconds = (time_t)(r->wall / NSEC_PER_SEC);
    struct tm tm;
    char date[64];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%d/%b/%Y:%H:%M:%S +0000", &tm);
    add_client(l, r);
    addf(l, " - - [%s] \"", date);
    add_hex_escaped(l, r->method, FIELD_MAX);
    add_text(l, " ");
    add_hex_escaped(l, r->target, TARGET_MAX);
    addf(l, " HTTP/1.%u\" %u %" PRIu64 " \"", r->minor, r->status, r->bytes_out);
    add_hex_escaped(l, r->referer, REFERER_MAX);
    add_text(l, "\" \"");
    add_hex_escaped(l, r->user_agent, USER_AGENT_MAX);
    add_text(l, "\"");
}

size_t access_record_format(const struct access_record *r, enum access_log_format format, char out[static LOG_LINE_MAX])
{
    struct line l = { out, out + LOG_LINE_MAX - sizeof "\"}\n" };
    if (format == ACCESS_LOG_COMBINED)
        format_combined(&l, r);
    else
        format_json(&l, r);
    *l.at++ = '\n';
    return (size_t)(l.at - out);
}
