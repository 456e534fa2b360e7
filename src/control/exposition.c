#include "control/exposition.h"

#include <inttypes.h>
#include <math.h>

static void add_escaped(struct text *out, const char *s, bool quotes)
{
    for (; *s; s++) {
        if (*s == '\\')
            text_add(out, "\\\\");
        else if (*s == '\n')
            text_add(out, "\\n");
        else if (*s == '"' && quotes)
            text_add(out, "\\\"");
        else
            text_add_bytes(out, s, 1);
    }
}

void exposition_family(struct exposition *e, const char *name, enum metric_type type, const char *help)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    const char *suffix = type == METRIC_COUNTER && !e->openmetrics ? "_total" : "";

    e->family = name;
    e->type = type;
    text_addf(e->out, "# HELP %s%s ", name, suffix);
    add_escaped(e->out, help, e->openmetrics);
    text_addf(e->out, "\n# TYPE %s%s %s\n", name, suffix, types[type]);
}

static void add_labels(struct text *out, const struct label *labels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        text_addf(out, "%c%s=\"", i ? ',' : '{', labels[i].name);
        add_escaped(out, labels[i].value, true);
        text_add(out, "\"");
    }
    if (n)
        text_add(out, "}");
}

static void add_number(struct text *out, double value)
{
    if (isinf(value))
        text_add(out, value > 0 ? "+Inf" : "-Inf");
    else
        text_addf(out, "%.16g", value);
}

void exposition_sample(struct exposition *e, const struct label *labels, size_t n, double value)
{
    if (isnan(value))
        return;
    text_addf(e->out, "%s%s", e->family, e->type == METRIC_COUNTER ? "_total" : "");
    add_labels(e->out, labels, n);
    text_add(e->out, " ");
    add_number(e->out, value);
    text_add(e->out, "\n");
}

void exposition_histogram(struct exposition *e, const uint64_t *buckets, const double *bounds, size_t n_buckets, double sum)
{
    uint64_t cumulated = 0;

    for (size_t i = 0; i < n_buckets; i++) {
        cumulated += buckets[i];
        text_addf(e->out, "%s_bucket{le=\"", e->family);
        add_number(e->out, i + 1 < n_buckets ? bounds[i] : INFINITY);
        text_addf(e->out, "\"} %" PRIu64 "\n", cumulated);
    }
    text_addf(e->out, "%s_sum ", e->family);
    add_number(e->out, sum);
    text_addf(e->out, "\n%s_count %" PRIu64 "\n", e->family, cumulated);
}

void exposition_end(struct exposition *e)
{
    if (e->openmetrics)
        text_add(e->out, "# EOF\n");
}
