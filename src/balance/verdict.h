/* Evidence, then verdict: one pure function that fuses what is known of an endpoint into a state with a reason a person can read. */
#ifndef PENSTOCK_BALANCE_VERDICT_H
#define PENSTOCK_BALANCE_VERDICT_H

#include "balance/live.h"
#include "balance/reason.h"
#include "balance/tunnel.h"
#include "base/clock.h"

enum { VERDICT_TEXT_SIZE = 256, EVIDENCE_MONITORS_MAX = 8 };

/* What the last answer of a probe says about where the fault lies. */
enum diagnosis {
    DIAGNOSIS_OK,
    DIAGNOSIS_UNREACHABLE,       /* connect, TLS, timeout */
    DIAGNOSIS_NAME,              /* does not resolve, or only to an address that can't be reached from here */
    DIAGNOSIS_TUNNEL_INACTIVE,   /* 530 with 1033 or 1016 */
    DIAGNOSIS_ORIGIN_DOWN,       /* 502 from a living tunnel, or 521-526 */
    DIAGNOSIS_NO_INGRESS_RULE,   /* 404 of the catch-all: the host is missing in the tunnel's ingress */
    DIAGNOSIS_PROBE_BLOCKED,     /* Access, WAF challenge, rate limit: says nothing about traffic */
    DIAGNOSIS_FORBIDDEN_HEADERS, /* error 1000: our own headers, or a loop */
    DIAGNOSIS_WRONG_STATUS, DIAGNOSIS_WRONG_BODY, DIAGNOSIS_MALFORMED,
    DIAGNOSIS_CONFIG_DRIFT,      /* the tunnel's rules differ from those of its pool, which asks for identical ones */
    DIAGNOSES
};
const char *diagnosis_code(enum diagnosis);

/* The history of one monitor on one endpoint. */
struct monitor_evidence {
    const char *name;
    enum health health;          /* after the thresholds; UNKNOWN until the first results */
    unsigned passes, failures;   /* in a row */
    enum diagnosis diagnosis;    /* of the last result */
    char detail[VERDICT_TEXT_SIZE]; /* "530/1033 from the edge", "expected 200-299, got 404" */
    nsec_t at;                   /* of the last result; 0: none */
};

/* What is known of the tunnel behind an endpoint, where it is one of our own edge. */
struct tunnel_evidence {
    bool of_edge;                /* it is; else the rest means nothing */
    bool exists;
    bool usable;                 /* some connection takes new requests */
    bool held_back;              /* some would, but for what the operator said of its connector */
    enum tunnel_status status;
    char refused[VERDICT_TEXT_SIZE]; /* it is not to be used: why; "": it may be */
    bool for_a_moment;           /* until more is known */
};

struct evidence {
    struct monitor_evidence monitors[EVIDENCE_MONITORS_MAX];
    unsigned n_monitors;         /* 0: nothing active watches it */
    bool ejected;                /* by traffic */
    enum reason ejected_for;
    nsec_t ejected_until;
    unsigned consecutive_failures;
    bool dialable;
    char name_detail[VERDICT_TEXT_SIZE]; /* what is wrong with the name, when not dialable */
    struct tunnel_evidence tunnel;
    enum admin_state admin;
    bool enabled;                /* by the file */
};

enum verdict_state { VERDICT_HEALTHY, VERDICT_EJECTED, VERDICT_UNKNOWN, VERDICT_DOWN, VERDICT_DRAINED, VERDICT_DISABLED };
const char *verdict_state_name(enum verdict_state); /* "healthy", "ejected", "unknown", "down", "drained", "disabled" */

struct verdict {
    enum verdict_state state;
    enum health health;           /* what workers see of the monitors */
    enum diagnosis diagnosis;
    char reason[VERDICT_TEXT_SIZE]; /* "down: 530/1033 from the edge 3 times: no connector of the tunnel is connected" */
};

/* All monitors must pass. In order: what the file and the operator say, a name that can't be dialled, a tunnel that nobody is connected to,
 * monitors that fail, traffic that fails, monitors without a result. A blocked probe is no evidence: its endpoint is unknown,
 * not down. Of several failures the one that explains the others leads. */
void verdict_reach(const struct evidence *, nsec_t now, struct verdict *out);

#endif
