/* Connects, with TLS where traffic uses it, and hangs up. */
#include "monitors/monitor.h"

#include <stdio.h>

static void tcp_prepare(const struct monitor *monitor, struct probe *probe)
{
    (void)monitor;
    probe->kind = PROBE_CONNECT;
}

static void tcp_judge(const struct monitor *monitor, const struct probe *probe, struct judgement *out)
{
    const struct probe_result *result = &probe->result;

    (void)monitor;
    if (judge_transport(result, out))
        return;
    out->pass = true;
    out->diagnosis = DIAGNOSIS_OK;
    snprintf(out->detail, sizeof out->detail, "connected in %.0f ms", nsec_to_seconds(result->total) * 1000);
}

const struct monitor_type monitor_tcp = { .name = "tcp", .prepare = tcp_prepare, .judge = tcp_judge };
