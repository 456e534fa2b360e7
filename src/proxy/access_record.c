/* The lines of the access log. */
#include "proxy/access_log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* Room is kept for what closes a line, so that a line with too long fields is cut inside a field and stays well-formed. */
enum { FIELD_MAX = 2048 };

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
static void add_json_escaped(struct line *l, struct slice s)
{
    for (size_t i = 0; i < s.n && i < FIELD_MAX; i++) {
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
static void add_hex_escaped(struct line *l, struct slice s)
{
    if (!s.n)
        add_text(l, "-");
    for (size_t i = 0; i < s.n && i < FIELD_MAX; i++) {
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

static void add_member(struct line *l, const char *name, struct slice value)
{
    if (!value.n)
        return;
    addf(l, ",\"%s\":\"", name);
    add_json_escaped(l, value);
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
    add_member(l, "method", r->method);
    add_member(l, "host", r->host);
    add_member(l, "target", r->target);
    addf(l, ",\"protocol\":\"HTTP/1.%u\",\"tls\":%s,\"status\":%u,\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64, r->minor,
         r->tls ? "true" : "false", r->status, r->bytes_in, r->bytes_out);
    add_member(l, "load_balancer", slice_of(r->load_balancer));
    add_member(l, "endpoint", slice_of(r->endpoint));
    add_member(l, "upstream", slice_of(r->upstream_address));
    addf(l, ",\"reused\":%s,\"retries\":%u,\"reason\":\"%s\"", r->upstream_reused ? "true" : "false", r->retries, reason_code(r->reason));
    add_duration(l, "choose_ms", r->choose);
    add_duration(l, "connect_ms", r->connect);
    add_duration(l, "send_ms", r->send);
    add_duration(l, "first_byte_ms", r->first_byte);
    add_duration(l, "total_ms", r->total);
    add_member(l, "request_id", r->request_id);
    add_member(l, "referer", r->referer);
    add_member(l, "user_agent", r->user_agent);
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
    add_hex_escaped(l, r->method);
    add_text(l, " ");
    add_hex_escaped(l, r->target);
    addf(l, " HTTP/1.%u\" %u %" PRIu64 " \"", r->minor, r->status, r->bytes_out);
    add_hex_escaped(l, r->referer);
    add_text(l, "\" \"");
    add_hex_escaped(l, r->user_agent);
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
