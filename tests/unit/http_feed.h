/* Feeds one message to the parser in any cut, each time from a copy of exactly the bytes that have "arrived", so that
 * AddressSanitizer sees a look past them and a pointer kept from an earlier copy. Shared by unit tests and fuzzers. */
#ifndef PENSTOCK_UNIT_HTTP_FEED_H
#define PENSTOCK_UNIT_HTTP_FEED_H

#include "http/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum http_parse_result http_feed_fn(struct http_parser *, struct http_head *, const char *, size_t, const struct http_limits *);

struct http_fed {
    enum http_parse_result result;
    struct http_parser parser;
    struct http_head head;
};

/* The first `first` bytes, and from then on `step` more at each call, until the parser is done or the bytes are out. */
static inline void http_feed(struct http_fed *out, http_feed_fn *parse, const char *data, size_t n, size_t first, size_t step,
                             const struct http_limits *limits)
{
    http_parser_start(&out->parser, &out->head);
    for (size_t there = first < n ? first : n;; there = n - there < step ? n : there + step) {
        char *copy = malloc(there ? there : 1);
        if (!copy)
            abort();
        memcpy(copy, data, there);
        out->result = parse(&out->parser, &out->head, copy, there, limits);
        free(copy);
        if (out->result != HTTP_PARSE_MORE || there == n)
            return;
    }
}

/* The same outcome, to the last offset? Of an unfinished head only the parser's own state counts. */
static inline bool http_fed_same(const struct http_fed *a, const struct http_fed *b)
{
    if (a->result != b->result || a->parser.at != b->parser.at || a->parser.error != b->parser.error)
        return false;
    if (a->result != HTTP_PARSE_DONE)
        return true;
    return memcmp(&a->head, &b->head, offsetof(struct http_head, fields)) == 0 &&
           memcmp(a->head.fields, b->head.fields, a->head.n_fields * sizeof *a->head.fields) == 0;
}

/* Feeds the message whole, byte by byte, and cut in two at every position; false when these don't agree. *out is the outcome. */
static inline bool http_feed_every_way(struct http_fed *out, http_feed_fn *parse, const char *data, size_t n,
                                       const struct http_limits *limits)
{
    struct http_fed *again = malloc(sizeof *again);
    if (!again)
        abort();
    http_feed(out, parse, data, n, n, n, limits);
    http_feed(again, parse, data, n, 0, 1, limits);
    bool same = http_fed_same(out, again);
    for (size_t cut = 0; same && cut <= n; cut++) {
        http_feed(again, parse, data, n, cut, n, limits);
        same = http_fed_same(out, again);
    }
    free(again);
    return same;
}

#endif
