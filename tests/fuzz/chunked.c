/* Chunked bodies: where the bytes are cut must not matter, and what is decoded, written as chunks again, decodes to the same. The first
 * input byte is the size of the second feeding's pieces. */
#include "http/chunked.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16384 };

struct decoded {
    enum http_parse_result result;
    uint8_t error;
    size_t consumed, payload, trailers;
    char data[INPUT_MAX], lines[CHUNK_TRAILERS_MAX];
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void decode(struct decoded *out, const void *input, size_t n, size_t step)
{
    struct chunk_decoder decoder = { 0 };
    out->result = HTTP_PARSE_MORE;
    out->consumed = out->payload = out->trailers = 0;
    while (out->result == HTTP_PARSE_MORE && out->consumed < n) {
        size_t piece = n - out->consumed < step ? n - out->consumed : step, payload, consumed;
        char *copy = malloc(piece);
        require(copy != NULL);
        memcpy(copy, (const char *)input + out->consumed, piece);
        out->result = chunk_decode(&decoder, copy, piece, &payload, &consumed);
        require(payload + decoder.trailers <= consumed && out->trailers + decoder.trailers <= sizeof out->lines);
        require(consumed <= piece && (consumed == piece || out->result != HTTP_PARSE_MORE));
        require((decoder.error != HTTP_ERROR_NONE) == (out->result == HTTP_PARSE_ERROR));
        memcpy(out->data + out->payload, copy, payload);
        memcpy(out->lines + out->trailers, copy + payload, decoder.trailers);
        free(copy);
        out->payload += payload;
        out->trailers += decoder.trailers;
        out->consumed += consumed;
    }
    out->error = decoder.error;
}

static void require_same_payload(const struct decoded *a, const struct decoded *b)
{
    require(a->payload == b->payload && memcmp(a->data, b->data, a->payload) == 0);
}

static void check_written(const struct decoded *first)
{
    static char out[INPUT_MAX + 2 * CHUNK_HEAD_MAX + 8];
    static struct decoded again;
    size_t n = 0;
    if (first->payload) {
        n = chunk_write_head(out, first->payload);
        memcpy(out + n, first->data, first->payload);
        n += first->payload;
        memcpy(out + n, "\r\n", 2);
        n += 2;
    }
    n += chunk_write_head(out + n, 0);
    memcpy(out + n, "\r\n", 2);
    decode(&again, out, n + 2, n + 2);
    require(again.result == HTTP_PARSE_DONE && again.consumed == n + 2);
    require_same_payload(first, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoded whole, pieces;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    decode(&whole, data + 1, size - 1, size);
    decode(&pieces, data + 1, size - 1, data[0] % 16 + 1u);
    require(whole.result == pieces.result && whole.error == pieces.error && whole.consumed == pieces.consumed);
    require_same_payload(&whole, &pieces);
    require(whole.trailers == pieces.trailers && memcmp(whole.lines, pieces.lines, whole.trailers) == 0);
    if (whole.result == HTTP_PARSE_DONE)
        check_written(&whole);
    return 0;
}
