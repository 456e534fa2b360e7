#define PCRE2_CODE_UNIT_WIDTH 8

#include "conf/parts.h"
#include "conf/status_set.h"
#include "conf/types.h"
#include "conf/words.h"

#include "monitors/monitor.h"

#include <pcre2.h>
#include <string.h>

static const nsec_t turning = 2 * NSEC_PER_SEC, down = 5 * NSEC_PER_SEC, down_max = 30 * NSEC_PER_SEC, timeout = 5 * NSEC_PER_SEC;

static void preset_kind(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    *(const struct monitor_type **)(void *)((char *)object + k->offset) = monitor_type_find(k->fallback);
}

static void read_kind(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *name = require_text(l, k, g->settings[0]);
    const struct monitor_type *type = name ? monitor_type_find(name) : NULL;
    struct words words = { .nearest.word = name };
    if (type)
        *(const struct monitor_type **)(void *)((char *)object + k->offset) = type;
    if (!name || type)
        return;
    for (size_t i = 0; monitor_types[i]; i++)
        words_offer(&words, monitor_types[i]->name);
    words_refuse(l, given_place(g), "type of monitor", &words);
}

const struct conf_type type_monitor_kind = { "a string", "monitor type", .preset = preset_kind, .read = read_kind };

/* --- what is expected --- */

static void preset_codes(struct loader *l, const struct conf_key *k, void *object)
{
    struct monitor *m = object;
    (void)l;
    m->expected_codes_given = true;
    status_set_parse(k->fallback, m->expected_codes);
}

static void add_code(struct loader *l, const struct conf_key *k, const config_setting_t *s, struct monitor *m)
{
    const char *text = config_setting_get_string(s);
    double number;
    if (!text && number_of(s, &number))
        text = arena_printf(&l->scratch, "%g", number);
    if (!text)
        conf_error(l, document_place(s), "`%s` must be %s, not %s", k->name, k->type->name, setting_kind(s));
    else if (!status_set_parse(text, m->expected_codes))
        conf_error(l, document_place(s), "`%s`: \"%s\" is no set of statuses such as \"200-299\", \"2xx\" or \"200,204,301-302\"",
                   k->name, text);
}

static void read_codes(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct monitor *m = object;
    const config_setting_t *s = g->settings[0];
    bool many = config_setting_is_array(s) || config_setting_is_list(s);

    memset(m->expected_codes, 0, sizeof m->expected_codes);
    if (!many)
        add_code(l, k, s, m);
    for (int i = 0; many && i < config_setting_length(s); i++)
        add_code(l, k, config_setting_get_elem((config_setting_t *)s, (unsigned)i), m);
}

const struct conf_type type_expected_codes = { "a set of statuses in quotes", "statuses", .preset = preset_codes,
                                               .read = read_codes };

static void compile_pattern(struct loader *l, struct source at, struct monitor *m)
{
    int error;
    size_t offset;
    PCRE2_UCHAR words[256];
    m->expected_pattern = pcre2_compile((PCRE2_SPTR)m->expected_body + 1, PCRE2_ZERO_TERMINATED, 0, &error, &offset, NULL);
    if (m->expected_pattern)
        return;
    pcre2_get_error_message(error, words, sizeof words);
    conf_error(l, at, "`expected_body`: the regular expression is wrong at its character %zu: %s", offset + 1, (const char *)words);
}

static void read_body(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct monitor *m = object;
    const char *text = config_setting_get_string(g->settings[0]);
    if (!text) {
        conf_error(l, given_place(g), "`%s` must be %s, not %s", k->name, k->type->name, setting_kind(g->settings[0]));
        return;
    }
    m->expected_body = arena_copy_text(&l->config->arena, text);
    if (*text == '~')
        compile_pattern(l, given_place(g), m);
}

const struct conf_type type_expected_body = { "a string", "text or ~pattern", .read = read_body };

/* --- the whole --- */

bool monitor_sends_request(const struct monitor *m)
{
    const struct endpoint any = { 0 };
    struct probe probe = { .endpoint = &any };
    m->type->prepare(m, &probe);
    free(probe.path);
    return probe.kind == PROBE_REQUEST;
}

static void check_request_keys(struct loader *l, const struct members *m, const struct monitor *monitor)
{
    static const char *const keys[] = { "path", "method", "headers", "expected_codes", "expected_body", "follow_redirects" };
    if (monitor_sends_request(monitor))
        return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (has_member(m, keys[i]))
            conf_error(l, member_place(m, keys[i]), "`%s` means nothing to a monitor of type \"%s\": it sends no request", keys[i],
                       monitor->type->name);
}

static bool is_method(const char *s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";
    return *s && s[strspn(s, letters)] == '\0' && strlen(s) < sizeof((struct probe *)0)->method && strcmp(s, "CONNECT") != 0;
}

static void check_request(struct loader *l, const struct members *m, const struct monitor *monitor)
{
    if (*monitor->path != '/' || monitor->path[strcspn(monitor->path, " #")])
        conf_error(l, member_place(m, "path"), "`path` must begin with / and have neither spaces nor #, not \"%s\"", monitor->path);
    if (!is_method(monitor->method))
        conf_error(l, member_place(m, "method"), "`method` must be a method in capitals such as GET or HEAD, not \"%s\"",
                   monitor->method);
    if (strcmp(monitor->method, "HEAD") == 0 && monitor->expected_body && *monitor->expected_body)
        conf_error(l, member_place(m, "expected_body"), "an answer to HEAD has no body to expect anything of");
}

static nsec_t lesser(nsec_t a, nsec_t b)
{
    return a < b ? a : b;
}

/* Where an interval is shorter than usual, what is not given shrinks with it. */
static void set_times(struct monitor *m)
{
    if (!m->timeout)
        m->timeout = lesser(timeout, m->interval / 2);
    if (!m->interval_turning)
        m->interval_turning = lesser(turning, m->interval);
    if (!m->interval_down)
        m->interval_down = lesser(down, m->interval);
    if (!m->interval_down_max)
        m->interval_down_max =
            lesser(down_max, 3 * m->interval) > m->interval_down ? lesser(down_max, 3 * m->interval) : m->interval_down;
}

static void check_times(struct loader *l, const struct members *m, const struct monitor *monitor)
{
    if (monitor->timeout >= monitor->interval)
        conf_error(l, member_place(m, has_member(m, "timeout") ? "timeout" : "interval"), "`timeout` must be less than `interval`");
    if (monitor->interval_down_max < monitor->interval_down)
        conf_error(l, member_place(m, has_member(m, "interval_down_max") ? "interval_down_max" : "interval_down"),
                   "`interval_down_max` must not be less than `interval_down`");
}

void finish_monitor(struct loader *l, const struct members *m, void *object)
{
    struct monitor *monitor = object;
    check_request_keys(l, m, monitor);
    check_request(l, m, monitor);
    set_times(monitor);
    check_times(l, m, monitor);
}

struct monitor *find_monitor(const struct loader *l, const char *name)
{
    for (size_t i = 0; i < l->config->n_monitors; i++)
        if (l->config->monitors[i].name && strcmp(l->config->monitors[i].name, name) == 0)
            return &l->config->monitors[i];
    return NULL;
}

static void expect_no_gateway_failure(struct monitor *m)
{
    m->expected_codes_given = false;
    status_set_parse("100-501,505-519,528-529,531-599", m->expected_codes);
}

struct monitor *default_monitor(struct loader *l)
{
    const struct conf_key *k = conf_root.keys;
    struct monitor *m = find_monitor(l, "default");
    if (m)
        return m;
    while (strcmp(k->name, "monitors") != 0)
        k++;
    m = arena_alloc(&l->config->arena, sizeof *m);
    preset_group(l, k->members, m);
    m->name = "default";
    m->at = (struct source){ l->config->file, 0 };
    memset(m->expected_codes, 0, sizeof m->expected_codes);
    expect_no_gateway_failure(m);
    set_times(m);
    return m;
}
