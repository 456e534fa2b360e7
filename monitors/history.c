#include "monitors/history.h"

#include <string.h>

static unsigned at_least_one(unsigned threshold)
{
    return threshold ? threshold : 1;
}

static bool says_nothing(const struct monitor_evidence *h)
{
    return h->diagnosis == DIAGNOSIS_PROBE_BLOCKED;
}

static void add_pass(struct monitor_evidence *h, const struct monitor *monitor)
{
    h->failures = 0;
    h->passes++;
    if (h->health == HEALTH_UNKNOWN || h->passes >= at_least_one(monitor->consecutive_up))
        h->health = HEALTH_UP;
}

static void add_failure(struct monitor_evidence *h, const struct monitor *monitor)
{
    h->passes = 0;
    h->failures++;
    if (h->failures >= at_least_one(monitor->consecutive_down))
        h->health = HEALTH_DOWN;
}

void history_add(struct monitor_evidence *h, const struct monitor *monitor, const struct judgement *judgement, nsec_t now)
{
    h->at = now;
    h->diagnosis = judgement->diagnosis;
    memcpy(h->detail, judgement->detail, sizeof h->detail);
    if (judgement->pass)
        add_pass(h, monitor);
    else if (!says_nothing(h))
        add_failure(h, monitor);
}

void history_forget(struct monitor_evidence *h)
{
    *h = (struct monitor_evidence){ .name = h->name, .health = HEALTH_UNKNOWN };
}

static nsec_t jitter(nsec_t pause, double draw)
{
    return (nsec_t)((double)pause * (0.9 + 0.2 * draw));
}

static nsec_t pause_when_down(const struct monitor_evidence *h, const struct monitor *monitor)
{
    unsigned threshold = at_least_one(monitor->consecutive_down);
    nsec_t pause = monitor->interval_down;

    for (unsigned n = threshold; n < h->failures && pause < monitor->interval_down_max; n++)
        pause *= 2;
    return pause < monitor->interval_down_max ? pause : monitor->interval_down_max;
}

static bool is_turning(const struct monitor_evidence *h)
{
    return h->health == HEALTH_DOWN ? h->passes > 0 : h->failures > 0;
}

nsec_t history_pause(const struct monitor_evidence *h, const struct monitor *monitor, double draw)
{
    nsec_t pause = monitor->interval;

    if (says_nothing(h))
        ;
    else if (is_turning(h))
        pause = monitor->interval_turning;
    else if (h->health == HEALTH_DOWN)
        pause = pause_when_down(h, monitor);
    return jitter(pause, draw);
}

nsec_t history_pause_turning(const struct monitor *monitor, double draw)
{
    return jitter(monitor->interval_turning, draw);
}

nsec_t history_first_pause(const struct monitor *monitor, double draw)
{
    return (nsec_t)((double)monitor->interval_turning * draw);
}

nsec_t history_hurry(const struct monitor_evidence *h, const struct monitor *monitor, nsec_t now, double draw)
{
    nsec_t soon = now + (nsec_t)((double)monitor->interval_turning * 0.1 * draw);
    nsec_t allowed = h->at ? h->at + jitter(monitor->interval_turning, draw) : 0;
    return soon > allowed ? soon : allowed;
}
