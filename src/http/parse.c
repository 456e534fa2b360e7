/* How it resumes: between calls parser->state names the token that was cut, parser->mark where it began and parser->at the next
 * byte. The states below stand in the order of the message and fall through into one another, so that a whole message passes them
 * without going through the switch; a scan that meets the end of the bytes suspends in its own state. */
#include "http/parse.h"

#include "http/scan.h"

enum parse_state {
    STATE_START,
    /* request line */
    STATE_BLANK_LF,
    STATE_METHOD_START,
    STATE_METHOD,
    STATE_TARGET,
    STATE_SIMPLE_LF,
    STATE_REQUEST_VERSION,
    /* status line */
    STATE_RESPONSE_VERSION,
    STATE_STATUS,
    STATE_STATUS_END,
    STATE_REASON,
    /* both */
    STATE_START_LINE_LF,
    STATE_FIELD_LINE,
    STATE_NAME,
    STATE_VALUE_START,
    STATE_VALUE,
    STATE_VALUE_LF,
    STATE_HEAD_LF,
    STATE_DONE,
    STATE_FAILED,
};

/* One call's view of the bytes; no further than the limit, so that where a message is cut can't change its fate. */
struct input {
    struct http_parser *parser;
    struct http_head *head;
    const struct http_limits *limits;
    const char *data, *end;
};

void http_parser_start(struct http_parser *parser, struct http_head *head)
{
    *parser = (struct http_parser){ 0 };
    memset(head, 0, offsetof(struct http_head, fields));
}

static uint32_t offset_of(const struct input *in, const char *p)
{
    return (uint32_t)(p - in->data);
}

static enum http_parse_result fail(const struct input *in, const char *p, enum http_parse_error error)
{
    in->parser->at = offset_of(in, p);
    in->parser->state = STATE_FAILED;
    in->parser->error = (uint8_t)error;
    return HTTP_PARSE_ERROR;
}

/* All bytes were looked at, in the midst of `state`. */
static enum http_parse_result suspend(const struct input *in, enum parse_state state)
{
    if (offset_of(in, in->end) >= in->limits->size)
        return fail(in, in->end, state == STATE_TARGET ? HTTP_ERROR_TARGET_TOO_LONG : HTTP_ERROR_TOO_LARGE);
    in->parser->at = offset_of(in, in->end);
    in->parser->state = (uint8_t)state;
    return HTTP_PARSE_MORE;
}

/* May the line end at this byte? The states named ..._LF then expect the LF, which is this byte itself if bare LFs are allowed. */
static bool ends_line(const struct input *in, char c)
{
    return c == '\r' || (c == '\n' && in->limits->allow_bare_lf);
}

static enum http_parse_error error_for_byte(char c, enum http_parse_error otherwise)
{
    return c == '\n' ? HTTP_ERROR_BARE_LF : otherwise;
}

/* Checks "HTTP/d.d" as far as it is there; returns where it stopped, with *ok telling whether by the end of the bytes or of the
 * version (true), or by a wrong byte. */
static const char *scan_version(const char *version, const char *p, const char *end, bool *ok)
{
    static const char form[8] = "HTTP/0.0";
    for (; p < end && p - version < 8; p++) {
        char expected = form[p - version];
        *ok = expected == '0' ? http_char_is(*p, CHAR_DIGIT) : *p == expected;
        if (!*ok)
            return p;
    }
    *ok = true;
    return p;
}

/* A higher minor version than ours is to be treated as ours (RFC 9110 2.5). */
static bool set_version(struct http_head *head, const char *version)
{
    head->minor = version[7] != '0';
    return version[5] == '1';
}

/* Splits "http://authority/path?query"; the characters have been looked at. */
static enum http_parse_error split_absolute(struct http_head *head, const char *data, struct slice target)
{
    size_t scheme = slice_starts_nocase(target, SLICE("http://")) ? 7 : slice_starts_nocase(target, SLICE("https://")) ? 8 : 0;
    if (!scheme)
        return HTTP_ERROR_TARGET;
    const char *authority = target.p + scheme, *end = target.p + target.n, *p = authority;
    while (p < end && *p != '/' && *p != '?')
        p++;
    if (memchr(authority, '@', (size_t)(p - authority)))
        return HTTP_ERROR_USERINFO;
    if (p == authority)
        return HTTP_ERROR_TARGET;
    head->authority = (uint32_t)(authority - data);
    head->authority_len = (uint32_t)(p - authority);
    head->path = (uint32_t)(p - data);
    head->path_len = (uint32_t)(end - p);
    return HTTP_ERROR_NONE;
}

/* The four forms of a target (RFC 9112 3.2). That of CONNECT goes unexamined: the rules refuse the method. */
static enum http_parse_error split_target(struct http_head *head, const char *data)
{
    struct slice target = { data + head->target, head->target_len };
    head->path = head->target;
    if (*target.p == '/')
        head->path_len = head->target_len;
    else if (head->method == METHOD_CONNECT)
        head->path_len = 0;
    else if (!slice_eq(target, SLICE("*")))
        return split_absolute(head, data, target);
    else if (head->method != METHOD_OPTIONS)
        return HTTP_ERROR_TARGET;
    return HTTP_ERROR_NONE;
}

static enum http_parse_error error_in_target(char c)
{
    return c == '#' ? HTTP_ERROR_FRAGMENT : c == '\n' ? HTTP_ERROR_SIMPLE_REQUEST : HTTP_ERROR_TARGET;
}

/* Up to the CR of the request line; HTTP_PARSE_DONE with *next after it. */
static enum http_parse_result request_line(const struct input *in, const char **next)
{
    struct http_parser *parser = in->parser;
    struct http_head *head = in->head;
    const char *p = in->data + parser->at, *end = in->end;
    bool ok;
    enum http_parse_error error;

    switch ((enum parse_state)parser->state) {
    default: /* STATE_START */
        if (p == end)
            return suspend(in, STATE_START);
        /* One blank line before a request is forgiven (RFC 9112 2.2): old clients sent one after a body. */
        if (!ends_line(in, *p))
            goto method_start;
        p += *p == '\r';
        /* fall through */
    case STATE_BLANK_LF:
        if (p == end)
            return suspend(in, STATE_BLANK_LF);
        if (*p != '\n')
            return fail(in, p, HTTP_ERROR_BARE_CR);
        p++;
        /* fall through */
    case STATE_METHOD_START:
    method_start:
        if (p == end)
            return suspend(in, STATE_METHOD_START);
        parser->mark = head->start = offset_of(in, p);
        /* fall through */
    case STATE_METHOD:
        p = scan_token(p, end);
        if (p == end)
            return suspend(in, STATE_METHOD);
        head->method_len = offset_of(in, p) - head->start;
        if (*p != ' ' || head->method_len == 0)
            return fail(in, p, http_char_is_control(*p) || *p == ' ' ? HTTP_ERROR_START_LINE : HTTP_ERROR_METHOD);
        head->method = (uint8_t)http_method_of((struct slice){ in->data + head->start, head->method_len });
        p++;
        parser->mark = head->target = offset_of(in, p);
        /* fall through */
    case STATE_TARGET:
        p = scan_target(p, end);
        if (p == end)
            return suspend(in, STATE_TARGET);
        head->target_len = offset_of(in, p) - head->target;
        if (*p == '\r')
            goto simple;
        if (*p != ' ')
            return fail(in, p, error_in_target(*p));
        if (head->target_len == 0)
            return fail(in, p, HTTP_ERROR_START_LINE);
        error = split_target(head, in->data);
        if (error)
            return fail(in, p, error);
        p++;
        parser->mark = offset_of(in, p);
        /* fall through */
    case STATE_REQUEST_VERSION:
        p = scan_version(in->data + parser->mark, p, end, &ok);
        if (!ok)
            return fail(in, p, HTTP_ERROR_VERSION_SYNTAX);
        if (p == end)
            return suspend(in, STATE_REQUEST_VERSION);
        if (!ends_line(in, *p))
            return fail(in, p, error_for_byte(*p, HTTP_ERROR_VERSION_SYNTAX));
        if (!set_version(head, in->data + parser->mark))
            return fail(in, p, HTTP_ERROR_VERSION);
        *next = p + (*p == '\r');
        return HTTP_PARSE_DONE;

    simple:
        p++;
        /* fall through */
    case STATE_SIMPLE_LF:
        if (p == end)
            return suspend(in, STATE_SIMPLE_LF);
        return fail(in, p, *p == '\n' ? HTTP_ERROR_SIMPLE_REQUEST : HTTP_ERROR_BARE_CR);
    }
}

/* Up to the CR of the status line; HTTP_PARSE_DONE with *next after it. */
static enum http_parse_result status_line(const struct input *in, const char **next)
{
    struct http_parser *parser = in->parser;
    struct http_head *head = in->head;
    const char *p = in->data + parser->at, *end = in->end;
    bool ok;

    switch ((enum parse_state)parser->state) {
    default: /* STATE_START */
    case STATE_RESPONSE_VERSION:
        p = scan_version(in->data, p, end, &ok);
        if (!ok)
            return fail(in, p, HTTP_ERROR_VERSION_SYNTAX);
        if (p == end)
            return suspend(in, STATE_RESPONSE_VERSION);
        if (*p != ' ')
            return fail(in, p, HTTP_ERROR_VERSION_SYNTAX);
        if (!set_version(head, in->data))
            return fail(in, p, HTTP_ERROR_VERSION);
        p++;
        parser->mark = offset_of(in, p);
        /* fall through */
    case STATE_STATUS:
        for (; p < end && offset_of(in, p) < parser->mark + 3; p++) {
            if (!http_char_is(*p, CHAR_DIGIT))
                return fail(in, p, HTTP_ERROR_STATUS);
            head->status = (uint16_t)(head->status * 10 + (*p - '0'));
        }
        if (p == end)
            return suspend(in, STATE_STATUS);
        if (head->status < 100 || head->status > 599)
            return fail(in, p, HTTP_ERROR_STATUS);
        /* The space is required even before an empty reason, and yet often missing there. */
        if (ends_line(in, *p)) {
            head->reason = offset_of(in, p);
            goto line_end;
        }
        if (*p != ' ')
            return fail(in, p, error_for_byte(*p, HTTP_ERROR_STATUS));
        p++;
        parser->mark = head->reason = offset_of(in, p);
        /* fall through */
    case STATE_REASON:
        while ((p = scan_value(p, end)) < end && *p == '\t')
            p++;
        if (p == end)
            return suspend(in, STATE_REASON);
        if (!ends_line(in, *p))
            return fail(in, p, error_for_byte(*p, HTTP_ERROR_START_LINE));
        head->reason_len = offset_of(in, p) - head->reason;
    line_end:
        *next = p + (*p == '\r');
        return HTTP_PARSE_DONE;
    }
}

static enum http_parse_error error_in_name(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' ? HTTP_ERROR_FIELD_COLON : HTTP_ERROR_FIELD_NAME;
}

static uint32_t trimmed_length(const char *value, const char *end)
{
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (uint32_t)(end - value);
}

/* From the LF of the start line to the empty line. */
static enum http_parse_result field_lines(const struct input *in, enum parse_state state, const char *p)
{
    struct http_parser *parser = in->parser;
    struct http_head *head = in->head;
    const char *data = in->data, *end = in->end;
    struct http_field *f = &head->fields[head->n_fields];

    switch (state) {
    default: /* STATE_START_LINE_LF */
        if (p == end)
            return suspend(in, STATE_START_LINE_LF);
        if (*p != '\n')
            return fail(in, p, HTTP_ERROR_BARE_CR);
        p++;
        head->fields_start = offset_of(in, p);
        /* fall through */
    case STATE_FIELD_LINE:
    field_line:
        if (p == end)
            return suspend(in, STATE_FIELD_LINE);
        if (!http_char_is(*p, CHAR_TOKEN)) {
            if (ends_line(in, *p))
                goto head_end;
            return fail(in, p, error_for_byte(*p, *p == ' ' || *p == '\t' ? HTTP_ERROR_FOLD : HTTP_ERROR_FIELD_NAME));
        }
        if (head->n_fields >= in->limits->count || head->n_fields >= HTTP_FIELDS_MAX)
            return fail(in, p, HTTP_ERROR_TOO_MANY);
        f = &head->fields[head->n_fields];
        parser->mark = offset_of(in, p);
        /* fall through */
    case STATE_NAME:
        p = scan_token(p, end);
        if (p == end)
            return suspend(in, STATE_NAME);
        if (*p != ':')
            return fail(in, p, error_in_name(*p));
        f->name = parser->mark;
        if (offset_of(in, p) - f->name > UINT16_MAX)
            return fail(in, p, HTTP_ERROR_TOO_LARGE);
        f->name_len = (uint16_t)(offset_of(in, p) - f->name);
        f->id = (uint8_t)http_field_id_of((struct slice){ data + f->name, f->name_len });
        f->flags = 0;
        p++;
        /* fall through */
    case STATE_VALUE_START:
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (p == end)
            return suspend(in, STATE_VALUE_START);
        f->value = offset_of(in, p);
        /* fall through */
    case STATE_VALUE:
        while ((p = scan_value(p, end)) < end && *p == '\t')
            p++;
        if (p == end)
            return suspend(in, STATE_VALUE);
        if (!ends_line(in, *p))
            return fail(in, p, error_for_byte(*p, HTTP_ERROR_FIELD_VALUE));
        f->value_len = trimmed_length(data + f->value, p);
        p += *p == '\r';
        /* fall through */
    case STATE_VALUE_LF:
        if (p == end)
            return suspend(in, STATE_VALUE_LF);
        if (*p != '\n')
            return fail(in, p, HTTP_ERROR_BARE_CR);
        p++;
        head->n_fields++;
        goto field_line;

    head_end:
        p += *p == '\r';
        /* fall through */
    case STATE_HEAD_LF:
        if (p == end)
            return suspend(in, STATE_HEAD_LF);
        if (*p != '\n')
            return fail(in, p, HTTP_ERROR_BARE_CR);
        p++;
        parser->at = head->length = offset_of(in, p);
        parser->state = STATE_DONE;
        return HTTP_PARSE_DONE;
    }
}

typedef enum http_parse_result start_line_fn(const struct input *, const char **next);

static enum http_parse_result parse(const struct input *in, start_line_fn *start_line)
{
    enum parse_state state = in->parser->state;
    if (state == STATE_DONE)
        return HTTP_PARSE_DONE;
    if (state == STATE_FAILED)
        return HTTP_PARSE_ERROR;
    const char *p = in->data + in->parser->at;
    if (state < STATE_START_LINE_LF) {
        enum http_parse_result result = start_line(in, &p);
        if (result != HTTP_PARSE_DONE)
            return result;
        state = STATE_START_LINE_LF;
    }
    return field_lines(in, state, p);
}

static const char *end_of_input(const char *data, size_t n, const struct http_limits *limits)
{
    return data + (n < limits->size ? n : limits->size);
}

enum http_parse_result http_parse_request(struct http_parser *parser, struct http_head *head, const char *data, size_t n,
                                          const struct http_limits *limits)
{
    return parse(&(struct input){ parser, head, limits, data, end_of_input(data, n, limits) }, request_line);
}

enum http_parse_result http_parse_response(struct http_parser *parser, struct http_head *head, const char *data, size_t n,
                                           const struct http_limits *limits)
{
    return parse(&(struct input){ parser, head, limits, data, end_of_input(data, n, limits) }, status_line);
}
