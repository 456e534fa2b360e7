/* What one monitor found over each connection of a tunnel: connections are looked at in turn, and one that does not carry
 * requests while others do is sick alone. Control thread; time is an argument. */
#ifndef PENSTOCK_MONITORS_LINES_H
#define PENSTOCK_MONITORS_LINES_H

#include "balance/tunnel.h"
#include "monitors/monitor.h"

/* Connections looked at within one interval at the most; of more each has its turn later. */
enum { LINES_PER_INTERVAL = 8 };

struct line_result {
    uint64_t line;
    unsigned passes, failures; /* in a row */
    nsec_t passed_at;          /* the last pass; 0: none */
    nsec_t failing_since;      /* the first of the failures in a row; 0: none */
    bool sick;
};
/* Zero-initialised is empty. */
struct line_results {
    char tunnel[UUID_TEXT_SIZE]; /* whose they are */
    struct line_result *items;
    size_t n;
    uint64_t last;             /* looked at */
};

/* Called for each connection that turned sick, or is so no more. */
typedef void line_turned(void *arg, const char *tunnel, uint64_t line, bool sick, const char *detail);

/* Whose turn it is: one reference; NULL: nobody takes requests. Results of connections that are gone are dropped. */
struct tunnel_line *lines_next(struct line_results *, struct tunnel *, line_turned *, void *arg);
/* Takes a result in. False: it says something of that connection alone, and does not count for the endpoint. Where nobody passes
 * any more the connections are not to blame: none is sick. */
bool lines_add(struct line_results *, uint64_t line, const struct monitor *, const struct judgement *, nsec_t now, line_turned *,
               void *arg);
/* Some connection failed, and it is not decided whether it is alone. */
bool lines_are_turning(const struct line_results *);
/* By how much looks follow each other faster than those at one address. */
unsigned lines_pace(const struct line_results *);
void lines_clear(struct line_results *, line_turned *, void *arg);

#endif
