#include "tests/unit/oracle.h"

#include <http_parser.h>

struct reading {
    struct oracle_head *out;
    bool answers_head, complete, value_seen;
};

static struct reading *reading_of(http_parser *p)
{
    return p->data;
}

/* Pieces of one token stand side by side. */
static void extend(struct slice *s, const char *at, size_t n)
{
    if (!s->p)
        s->p = at;
    s->n = (size_t)(at + n - s->p);
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    extend(&reading_of(p)->out->target, at, n);
    return 0;
}

static int on_name(http_parser *p, const char *at, size_t n)
{
    struct reading *r = reading_of(p);
    if (r->out->n_fields == 0 || r->value_seen) {
        if (r->out->n_fields == ORACLE_FIELDS_MAX)
            return 1;
        r->out->n_fields++;
        r->value_seen = false;
    }
    extend(&r->out->fields[r->out->n_fields - 1].name, at, n);
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct reading *r = reading_of(p);
    r->value_seen = true;
    extend(&r->out->fields[r->out->n_fields - 1].value, at, n);
    return 0;
}

static int on_head(http_parser *p)
{
    struct reading *r = reading_of(p);
    struct oracle_head *out = r->out;
    if (r->answers_head)
        p->flags |= F_SKIPBODY;
    r->complete = true;
    out->status = p->status_code;
    out->minor = p->http_minor;
    out->chunked = p->flags & F_CHUNKED;
    out->has_length = p->flags & F_CONTENTLENGTH;
    out->length = out->has_length ? p->content_length : 0;
    out->keep_alive = http_should_keep_alive(p);
    out->upgrade = p->upgrade;
    if (p->type == HTTP_REQUEST)
        strncpy(out->method, http_method_str(p->method), sizeof out->method - 1);
    return r->answers_head;
}

void oracle_read(struct oracle_head *out, bool request, bool answers_head, struct slice head)
{
    static const http_parser_settings settings = {
        .on_url = on_url, .on_header_field = on_name, .on_header_value = on_value, .on_headers_complete = on_head
    };
    http_parser parser;
    struct reading reading = { .out = out, .answers_head = answers_head };
    memset(out, 0, sizeof *out);
    http_parser_init(&parser, request ? HTTP_REQUEST : HTTP_RESPONSE);
    parser.data = &reading;
    http_parser_execute(&parser, &settings, head.p, head.n);
    if (HTTP_PARSER_ERRNO(&parser) != HPE_OK)
        out->error = http_errno_name(HTTP_PARSER_ERRNO(&parser));
    else if (!reading.complete)
        out->error = "incomplete";
}
