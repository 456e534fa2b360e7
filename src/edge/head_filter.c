#include "edge/head_filter.h"

#include "edge/edge.h"

#include <stdlib.h>
#include <string.h>

enum { FRAME_HEAD = 9, FRAME_HEADERS = 1, FRAME_CONTINUATION = 9, FLAG_END_HEADERS = 4 }; /* RFC 9113 4.1, 6.2, 6.10 */
/* Room for the heads of the frames too: a block may come in as many as it has bytes, but then it is no block of ours. */
enum { HELD_MAX = EDGE_HEAD_BLOCK_MAX + 1024 };

enum filter_mode { FILTER_PASS, FILTER_HOLD, FILTER_DROP };

static uint32_t frame_length(const struct head_filter *f)
{
    return (uint32_t)f->frame[0] << 16 | (uint32_t)f->frame[1] << 8 | f->frame[2];
}

static uint32_t frame_stream(const struct head_filter *f)
{
    return ((uint32_t)f->frame[5] << 24 | (uint32_t)f->frame[6] << 16 | (uint32_t)f->frame[7] << 8 | f->frame[8]) & 0x7fffffff;
}

static bool frame_ends_block(const struct head_filter *f)
{
    return f->frame[4] & FLAG_END_HEADERS;
}

void head_filter_clear(struct head_filter *f)
{
    free(f->held);
    f->held = NULL;
    f->held_n = 0;
}

static void drop_from_now_on(struct head_filter *f)
{
    head_filter_clear(f);
    f->mode = FILTER_DROP;
}

static bool hold(struct head_filter *f, const uint8_t *p, size_t n)
{
    if (f->held_n + n > HELD_MAX) {
        drop_from_now_on(f);
        return true;
    }
    if (!f->held && !(f->held = malloc(HELD_MAX)))
        return false;
    memcpy(f->held + f->held_n, p, n);
    f->held_n += n;
    return true;
}

/* The head of a frame is complete: what becomes of it. */
static void choose_mode(struct head_filter *f)
{
    bool block = f->frame[3] == FRAME_HEADERS || (f->frame[3] == FRAME_CONTINUATION && f->mode != FILTER_PASS);
    f->payload_left = frame_length(f);
    if (!block) {
        f->mode = FILTER_PASS; /* within a block this is an error, which nghttp2 finds */
        return;
    }
    if (f->frame[3] == FRAME_HEADERS) {
        f->stream = frame_stream(f);
        f->mode = frame_ends_block(f) && f->payload_left <= EDGE_HEAD_BLOCK_MAX ? FILTER_PASS : FILTER_HOLD;
    }
}

struct outlet {
    bool (*feed)(void *, const uint8_t *, size_t);
    void (*oversize)(void *, int32_t);
    void *arg;
};

static bool pass(struct head_filter *f, const struct outlet *out, const uint8_t *p, size_t n)
{
    switch ((enum filter_mode)f->mode) {
    case FILTER_PASS: return !n || out->feed(out->arg, p, n);
    case FILTER_HOLD: return hold(f, p, n);
    case FILTER_DROP: return true;
    }
    return false;
}

/* A frame is complete; perhaps its block is too. */
static bool end_frame(struct head_filter *f, const struct outlet *out)
{
    f->frame_n = 0;
    if (f->mode == FILTER_PASS || !frame_ends_block(f))
        return true;
    bool good = true;
    if (f->mode == FILTER_HOLD)
        good = out->feed(out->arg, f->held, f->held_n);
    else
        out->oversize(out->arg, (int32_t)f->stream);
    head_filter_clear(f);
    f->mode = FILTER_PASS;
    return good;
}

bool head_filter_run(struct head_filter *f, const uint8_t *p, size_t n, bool (*feed)(void *, const uint8_t *, size_t),
                     void (*oversize)(void *, int32_t), void *arg)
{
    const struct outlet out = { feed, oversize, arg };
    const uint8_t *end = p + n;
    while (p < end) {
        if (f->frame_n < FRAME_HEAD) {
            size_t want = FRAME_HEAD - (size_t)f->frame_n, have = (size_t)(end - p) < want ? (size_t)(end - p) : want;
            memcpy(f->frame + f->frame_n, p, have);
            f->frame_n = (uint8_t)(f->frame_n + have);
            p += have;
            if (f->frame_n < FRAME_HEAD)
                return true;
            choose_mode(f);
            if (!pass(f, &out, f->frame, FRAME_HEAD))
                return false;
        }
        size_t have = (size_t)(end - p) < f->payload_left ? (size_t)(end - p) : f->payload_left;
        if (!pass(f, &out, p, have))
            return false;
        p += have;
        f->payload_left -= (uint32_t)have;
        if (!f->payload_left && !end_frame(f, &out))
            return false;
    }
    return true;
}
