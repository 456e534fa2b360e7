#include "http/chunked.h"

#include "http/scan.h"

enum chunk_state {
    STATE_SIZE,
    STATE_SIZE_SPACE,   /* white space between size and extension, which the grammar allows as "bad" */
    STATE_EXTENSION,
    STATE_SIZE_LF,
    STATE_DATA,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_TRAILER_LINE,
    STATE_TRAILER_NAME,
    STATE_TRAILER_VALUE,
    STATE_TRAILER_LF,
    STATE_END_LF,
    STATE_DONE,
    STATE_FAILED,
};

enum { SIZE_DIGITS_MAX = 16 };

static enum http_parse_error set_state(struct chunk_decoder *d, enum chunk_state state)
{
    d->state = (uint8_t)state;
    return HTTP_ERROR_NONE;
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : ((unsigned)c | 0x20u) - 'a' + 10;
}

static enum http_parse_error size_digit(struct chunk_decoder *d, char c)
{
    if (++d->digits > SIZE_DIGITS_MAX || d->left > (INT64_MAX >> 4))
        return HTTP_ERROR_CHUNK_SIZE;
    d->left = d->left << 4 | hex_value(c);
    return HTTP_ERROR_NONE;
}

/* Counts one byte of an extension, its white space and semicolon included. */
static enum http_parse_error extension_byte(struct chunk_decoder *d, enum chunk_state next)
{
    if (++d->line_bytes > CHUNK_LINE_MAX || ++d->extension_bytes > CHUNK_EXTENSIONS_MAX)
        return HTTP_ERROR_CHUNK_EXTENSION;
    return set_state(d, next);
}

static enum http_parse_error size_byte(struct chunk_decoder *d, char c)
{
    if (http_char_is(c, CHAR_HEX))
        return size_digit(d, c);
    if (d->digits == 0)
        return HTTP_ERROR_CHUNK_SIZE;
    if (c == '\r')
        return set_state(d, STATE_SIZE_LF);
    if (c == ';')
        return extension_byte(d, STATE_EXTENSION);
    if (c == ' ' || c == '\t')
        return extension_byte(d, STATE_SIZE_SPACE);
    return c == '\n' ? HTTP_ERROR_BARE_LF : HTTP_ERROR_CHUNK_SIZE;
}

static enum http_parse_error space_byte(struct chunk_decoder *d, char c)
{
    if (c == ';')
        return extension_byte(d, STATE_EXTENSION);
    return c == ' ' || c == '\t' ? extension_byte(d, STATE_SIZE_SPACE) : HTTP_ERROR_CHUNK_SIZE;
}

static enum http_parse_error extension_text(struct chunk_decoder *d, char c)
{
    if (c == '\r')
        return set_state(d, STATE_SIZE_LF);
    if (c == '\n')
        return HTTP_ERROR_BARE_LF;
    return http_char_is_control(c) && c != '\t' ? HTTP_ERROR_CHUNK_EXTENSION : extension_byte(d, STATE_EXTENSION);
}

static enum http_parse_error trailer_line(struct chunk_decoder *d, char c)
{
    if (c == '\r')
        return set_state(d, STATE_END_LF);
    if (c == '\n')
        return HTTP_ERROR_BARE_LF;
    return http_char_is(c, CHAR_TOKEN) ? set_state(d, STATE_TRAILER_NAME) : HTTP_ERROR_TRAILER;
}

static enum http_parse_error trailer_name(struct chunk_decoder *d, char c)
{
    if (c == ':')
        return set_state(d, STATE_TRAILER_VALUE);
    return http_char_is(c, CHAR_TOKEN) ? HTTP_ERROR_NONE : HTTP_ERROR_TRAILER;
}

static enum http_parse_error trailer_value(struct chunk_decoder *d, char c)
{
    if (c == '\r')
        return set_state(d, STATE_TRAILER_LF);
    if (c == '\n')
        return HTTP_ERROR_BARE_LF;
    return http_char_is_control(c) && c != '\t' ? HTTP_ERROR_TRAILER : HTTP_ERROR_NONE;
}

static enum http_parse_error expect_lf(struct chunk_decoder *d, char c, enum chunk_state next)
{
    return c == '\n' ? set_state(d, next) : HTTP_ERROR_BARE_CR;
}

static enum http_parse_error size_lf(struct chunk_decoder *d, char c)
{
    d->digits = 0;
    d->line_bytes = 0;
    return expect_lf(d, c, d->left ? STATE_DATA : STATE_TRAILER_LINE);
}

/* One byte of framing: everything but a chunk's data. */
static enum http_parse_error framing_byte(struct chunk_decoder *d, char c)
{
    if (d->state >= STATE_TRAILER_LINE && ++d->trailer_bytes > CHUNK_TRAILERS_MAX)
        return HTTP_ERROR_TRAILER;
    switch ((enum chunk_state)d->state) {
    case STATE_SIZE:
        return size_byte(d, c);
    case STATE_SIZE_SPACE:
        return space_byte(d, c);
    case STATE_EXTENSION:
        return extension_text(d, c);
    case STATE_SIZE_LF:
        return size_lf(d, c);
    case STATE_DATA_CR:
        return c == '\r' ? set_state(d, STATE_DATA_LF) : HTTP_ERROR_CHUNK_END;
    case STATE_DATA_LF:
        return c == '\n' ? set_state(d, STATE_SIZE) : HTTP_ERROR_CHUNK_END;
    case STATE_TRAILER_LINE:
        return trailer_line(d, c);
    case STATE_TRAILER_NAME:
        return trailer_name(d, c);
    case STATE_TRAILER_VALUE:
        return trailer_value(d, c);
    case STATE_TRAILER_LF:
        return expect_lf(d, c, STATE_TRAILER_LINE);
    case STATE_END_LF:
        return expect_lf(d, c, STATE_DONE);
    case STATE_DATA:
    case STATE_DONE:
    case STATE_FAILED:
        break;
    }
    __builtin_unreachable(); /* chunk_decode doesn't call in these states */
}

/* Moves what is there of the chunk's data to `to`; returns its length. */
static size_t take_data(struct chunk_decoder *d, char *to, const char *from, size_t n)
{
    if (n > d->left)
        n = (size_t)d->left;
    if (to != from)
        memmove(to, from, n);
    d->left -= n;
    if (d->left == 0)
        set_state(d, STATE_DATA_CR);
    return n;
}

static bool is_of_trailer(enum chunk_state before, enum chunk_state after)
{
    return before == STATE_TRAILER_LF || (after >= STATE_TRAILER_NAME && after <= STATE_TRAILER_LF);
}

enum http_parse_result chunk_decode(struct chunk_decoder *d, char *data, size_t n, size_t *payload, size_t *consumed)
{
    size_t at = 0, out = 0, trailers = 0;
    while (at < n && d->state < STATE_DONE) {
        if (d->state == STATE_DATA) {
            size_t taken = take_data(d, data + out, data + at, n - at);
            at += taken;
            out += taken;
            continue;
        }
        enum chunk_state before = (enum chunk_state)d->state;
        enum http_parse_error error = framing_byte(d, data[at]);
        if (error) {
            d->error = (uint8_t)error;
            d->state = STATE_FAILED;
            break;
        }
        if (is_of_trailer(before, (enum chunk_state)d->state)) /* no payload follows that would need the place */
            data[out + trailers++] = data[at];
        at++;
    }
    d->trailers = (uint32_t)trailers;
    *payload = out;
    *consumed = at;
    return d->state == STATE_FAILED ? HTTP_PARSE_ERROR : d->state == STATE_DONE ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
}

size_t chunk_write_head(char out[static CHUNK_HEAD_MAX], uint64_t size)
{
    unsigned digits = 1;
    while (digits < 16 && size >> (4 * digits))
        digits++;
    for (unsigned i = 0; i < digits; i++)
        out[i] = "0123456789abcdef"[size >> (4 * (digits - 1 - i)) & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
