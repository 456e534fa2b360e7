#include "http/parse.h"

struct error_row {
    unsigned status;
    const char *text;
};

static const struct error_row error_rows[] = {
    [HTTP_ERROR_NONE] = { 200, "no error" },
    [HTTP_ERROR_METHOD] = { 400, "the method is not a token" },
    [HTTP_ERROR_TARGET] = { 400, "invalid request target" },
    [HTTP_ERROR_FRAGMENT] = { 400, "fragment in the request target" },
    [HTTP_ERROR_USERINFO] = { 400, "user name in the request target" },
    [HTTP_ERROR_VERSION_SYNTAX] = { 400, "invalid protocol version" },
    [HTTP_ERROR_VERSION] = { 505, "unsupported protocol version" },
    [HTTP_ERROR_SIMPLE_REQUEST] = { 400, "HTTP/0.9 request" },
    [HTTP_ERROR_START_LINE] = { 400, "invalid start line" },
    [HTTP_ERROR_STATUS] = { 400, "invalid status code" },
    [HTTP_ERROR_FIELD_NAME] = { 400, "invalid character in a field name" },
    [HTTP_ERROR_FIELD_COLON] = { 400, "field name not followed by a colon" },
    [HTTP_ERROR_FIELD_VALUE] = { 400, "control character in a field value" },
    [HTTP_ERROR_FOLD] = { 400, "line begins with white space" },
    [HTTP_ERROR_BARE_LF] = { 400, "LF without CR" },
    [HTTP_ERROR_BARE_CR] = { 400, "CR without LF" },
    [HTTP_ERROR_TOO_LARGE] = { 431, "head too large" },
    [HTTP_ERROR_TOO_MANY] = { 431, "too many fields or connection options" },
    [HTTP_ERROR_TARGET_TOO_LONG] = { 414, "request target too long" },
    [HTTP_ERROR_HOST_MISSING] = { 400, "no Host" },
    [HTTP_ERROR_HOST_REPEATED] = { 400, "more than one Host" },
    [HTTP_ERROR_HOST_SYNTAX] = { 400, "invalid host" },
    [HTTP_ERROR_HOST_MISMATCH] = { 400, "Host differs from the request target" },
    [HTTP_ERROR_LENGTH_SYNTAX] = { 400, "invalid Content-Length" },
    [HTTP_ERROR_LENGTH_REPEATED] = { 400, "more than one Content-Length" },
    [HTTP_ERROR_LENGTH_AND_CODING] = { 400, "both Content-Length and Transfer-Encoding" },
    [HTTP_ERROR_CODING_UNKNOWN] = { 501, "unknown transfer coding" },
    [HTTP_ERROR_CODING_REPEATED] = { 400, "more than one Transfer-Encoding" },
    [HTTP_ERROR_CODING_HTTP10] = { 400, "Transfer-Encoding in HTTP/1.0" },
    [HTTP_ERROR_METHOD_REFUSED] = { 405, "method not allowed" },
    [HTTP_ERROR_EXPECT] = { 417, "unknown expectation" },
    [HTTP_ERROR_UNEXPECTED_UPGRADE] = { 400, "switched protocols unasked" },
    [HTTP_ERROR_CHUNK_SIZE] = { 400, "invalid chunk size" },
    [HTTP_ERROR_CHUNK_EXTENSION] = { 400, "chunk extension invalid or too long" },
    [HTTP_ERROR_CHUNK_END] = { 400, "chunk not followed by CRLF" },
    [HTTP_ERROR_TRAILER] = { 400, "trailer invalid or too long" },
};

_Static_assert(sizeof error_rows / sizeof *error_rows == HTTP_ERRORS, "a row for each error");

unsigned http_error_status(enum http_parse_error error)
{
    return error_rows[error].status;
}

const char *http_error_text(enum http_parse_error error)
{
    return error_rows[error].text;
}
