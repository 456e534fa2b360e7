/* Asks the endpoint over HTTP as traffic would, and tells from the answer where a fault lies.
 *
 * What counts as good: with expected_codes, those; without (the monitor that stands in where none is given) every answer but 502-504,
 * 520-527 and 530, and Cloudflare's error 1000, with which all traffic would be refused. expected_body is a substring, ASCII case ignored,
 * or with a leading "~" a regular expression (PCRE2); both see the first 64 KiB. Redirects are followed only within the endpoint: the
 * same scheme, host and port. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "monitors/monitor.h"

#include "base/mem.h"
#include "base/slice.h"

#include <ctype.h>
#include <curl/curl.h>
#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PATH_MAX_FOLLOWED = 2048, PATTERN_STEPS_MAX = 1000000, PATTERN_HEAP_MAX_KIB = 1024 };

static bool expects_body(const struct monitor *monitor)
{
    return monitor->expected_pattern || (monitor->expected_body && *monitor->expected_body);
}

static void http_prepare(const struct monitor *monitor, struct probe *probe)
{
    probe->kind = PROBE_REQUEST;
    snprintf(probe->method, sizeof probe->method, "%s", monitor->method ? monitor->method : "GET");
    free(probe->path);
    probe->path = mem_copy_text(monitor->path ? monitor->path : "/");
    probe->headers = monitor->headers;
    probe->n_headers = monitor->n_headers;
    probe->want_body = expects_body(monitor) || probe->endpoint->behind_cloudflare;
}

/* Redirects */

static bool is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool url_part_equals(CURLU *a, CURLU *b, CURLUPart part)
{
    char *x = NULL, *y = NULL;
    bool equal = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK && curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                 strcasecmp(x, y) == 0;
    curl_free(x);
    curl_free(y);
    return equal;
}

static char *path_and_query(CURLU *url)
{
    char *path = NULL, *query = NULL, *whole = NULL;

    curl_url_get(url, CURLUPART_QUERY, &query, 0);
    if (curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK)
        whole = mem_printf(query ? "%s?%s" : "%s", path, query);
    curl_free(path);
    curl_free(query);
    if (whole && strlen(whole) <= PATH_MAX_FOLLOWED)
        return whole;
    free(whole);
    return NULL;
}

static const char *host_sent(const struct probe *probe)
{
    const struct endpoint *endpoint = probe->endpoint;
    return endpoint->host_header ? endpoint->host_header : endpoint->hostname ? endpoint->hostname : probe->host;
}

/* The path of the redirect's target when the same endpoint would be asked for it, else NULL. */
static char *path_within_endpoint(const struct probe *probe)
{
    CURLU *asked = curl_url(), *target = NULL;
    char *path = NULL, *base = mem_printf("%s://%s%s", probe->endpoint->tls ? "https" : "http", host_sent(probe), probe->path);

    if (asked && curl_url_set(asked, CURLUPART_URL, base, 0) == CURLUE_OK && (target = curl_url_dup(asked)) &&
        curl_url_set(target, CURLUPART_URL, probe->result.location, 0) == CURLUE_OK && url_part_equals(asked, target, CURLUPART_SCHEME) &&
        url_part_equals(asked, target, CURLUPART_HOST) && url_part_equals(asked, target, CURLUPART_PORT))
        path = path_and_query(target);
    curl_url_cleanup(asked);
    curl_url_cleanup(target);
    free(base);
    return path;
}

static char *http_follow(const struct monitor *monitor, const struct probe *probe)
{
    const struct probe_result *result = &probe->result;
    bool asks = monitor->follow_redirects && result->reason == REASON_NONE && is_redirect(result->status) && result->location;
    return asks ? path_within_endpoint(probe) : NULL;
}

/* The body */

static const char *find_nocase(const char *hay, size_t n, const char *needle)
{
    size_t m = strlen(needle);
    for (size_t i = 0; i + m <= n; i++)
        if (strncasecmp(hay + i, needle, m) == 0)
            return hay + i;
    return NULL;
}

static bool pattern_matches(const pcre2_code *pattern, const char *body, size_t n)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    bool matches = false;

    if (data && context) {
        pcre2_set_match_limit(context, PATTERN_STEPS_MAX);
        pcre2_set_heap_limit(context, PATTERN_HEAP_MAX_KIB);
        /* 0: it matches, and there are more groups than we asked for */
        matches = pcre2_match(pattern, (PCRE2_SPTR)body, n, 0, 0, data, context) >= 0;
    }
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    return matches;
}

static bool body_is_expected(const struct monitor *monitor, const struct probe_result *result)
{
    const char *body = result->body ? result->body : "";
    if (monitor->expected_pattern)
        return pattern_matches(monitor->expected_pattern, body, result->body_length);
    return find_nocase(body, result->body_length, monitor->expected_body) != NULL;
}

/* What the edge says */

/* The 1xxx code of an error page of Cloudflare's ("error code: 1033", "Error 1016", `"error_code":1020`), or 0. */
static unsigned edge_error_code(const struct probe_result *result)
{
    enum { BETWEEN_MAX = 48 };
    const char *p = result->body, *end = p ? p + result->body_length : NULL;

    while (p && (p = find_nocase(p, (size_t)(end - p), "error"))) {
        p += 5;
        const char *q = p;
        while (q < end && q - p < BETWEEN_MAX && !isdigit((unsigned char)*q))
            q++;
        unsigned code = 0, digits = 0;
        for (; q < end && digits < 5 && isdigit((unsigned char)*q); q++, digits++)
            code = code * 10 + (unsigned)(*q - '0');
        if (digits == 4 && code >= 1000 && code < 1300)
            return code;
    }
    return 0;
}

static bool body_has_any(const struct probe_result *result, const char *const *words)
{
    for (; *words; words++)
        if (result->body && find_nocase(result->body, result->body_length, *words))
            return true;
    return false;
}

/* The host part of a Location, as far as it matters here. */
static struct slice location_host(const char *location)
{
    const char *host = strstr(location, "//");
    if (!host)
        return SLICE("");
    host += 2;
    return (struct slice){ host, strcspn(host, "/?#:") };
}

static bool leads_to_access(const struct probe_result *result)
{
    static const struct slice domain = { ".cloudflareaccess.com", 21 };
    if (!is_redirect(result->status) || !result->location)
        return false;
    struct slice host = location_host(result->location);
    return host.n > domain.n && slice_eq_nocase((struct slice){ host.p + host.n - domain.n, domain.n }, domain);
}

static bool is_block_code(unsigned code)
{
    return (code >= 1005 && code <= 1015) || code == 1020; /* banned address, country, browser; rate limit; firewall rule */
}

static bool is_block_page(const struct probe_result *result)
{
    static const char *const words[] = { "cloudflareaccess.com", "Cloudflare Access", "challenge-platform", "cf-chl", "cf_chl",
                                         "Attention Required! | Cloudflare", NULL };
    return (result->status == 403 || result->status == 503) && body_has_any(result, words);
}

struct symptom {
    enum diagnosis diagnosis; /* OK: nothing that the edge would be known by */
    char detail[VERDICT_TEXT_SIZE];
};

static void symptom_set(struct symptom *s, enum diagnosis diagnosis, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void symptom_set(struct symptom *s, enum diagnosis diagnosis, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s->diagnosis = diagnosis;
    vsnprintf(s->detail, sizeof s->detail, format, arguments);
    va_end(arguments);
}

/* Reads an answer that came by way of Cloudflare's edge. */
static void read_symptom(const struct probe_result *result, struct symptom *s)
{
    unsigned status = result->status, code = status >= 400 ? edge_error_code(result) : 0;

    s->diagnosis = DIAGNOSIS_OK;
    if (status == 530)
        symptom_set(s, DIAGNOSIS_TUNNEL_INACTIVE, code ? "530/%u from the edge" : "530 from the edge", code);
    else if (code == 1000)
        symptom_set(s, DIAGNOSIS_FORBIDDEN_HEADERS, "%u/1000 from the edge", status);
    else if (leads_to_access(result)) {
        struct slice host = location_host(result->location);
        symptom_set(s, DIAGNOSIS_PROBE_BLOCKED, "%u to %.*s", status, (int)(host.n < 100 ? host.n : 100), host.p);
    } else if (is_block_code(code))
        symptom_set(s, DIAGNOSIS_PROBE_BLOCKED, "%u/%u from the edge", status, code);
    else if (status == 429)
        symptom_set(s, DIAGNOSIS_PROBE_BLOCKED, "429 from the edge");
    else if (is_block_page(result))
        symptom_set(s, DIAGNOSIS_PROBE_BLOCKED, "%u from the edge with a page of its own", status);
    else if (status == 502 || status == 504 || (status >= 520 && status <= 527))
        symptom_set(s, DIAGNOSIS_ORIGIN_DOWN, "%u from the edge", status);
    else if (status == 404 && result->body_length == 0)
        symptom_set(s, DIAGNOSIS_NO_INGRESS_RULE, "404 with an empty body");
}

/* The verdict */

static bool is_gateway_failure(unsigned status)
{
    return (status >= 502 && status <= 504) || (status >= 520 && status <= 527) || status == 530;
}

static bool status_is_good(const struct monitor *monitor, unsigned status)
{
    return monitor->expected_codes_given ? status_bit(monitor->expected_codes, status) : !is_gateway_failure(status);
}

/* "200-299,301" */
static void format_codes(const uint8_t bits[75], char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned from = 0; from < 600 && n + 16 < size; from++) {
        if (!status_bit(bits, from))
            continue;
        unsigned to = from;
        while (to < 599 && status_bit(bits, to + 1))
            to++;
        n += (size_t)snprintf(out + n, size - n, to > from ? "%s%u-%u" : "%s%u", n ? "," : "", from, to);
        from = to;
    }
}

static void judgement_fail(struct judgement *out, enum diagnosis diagnosis, const char *detail)
{
    out->pass = false;
    out->diagnosis = diagnosis;
    snprintf(out->detail, sizeof out->detail, "%s", detail);
}

/* Status and events show it as JSON: what an origin sends may be no UTF-8. */
static void keep_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
            *text = '?';
}

static void describe_wrong_status(const struct monitor *monitor, const struct probe_result *result, struct judgement *out)
{
    char codes[64], target[120] = "";

    format_codes(monitor->expected_codes, codes, sizeof codes);
    if (is_redirect(result->status) && result->location)
        snprintf(target, sizeof target, " to %.100s", result->location);
    out->pass = false;
    out->diagnosis = DIAGNOSIS_WRONG_STATUS;
    if (monitor->expected_codes_given)
        snprintf(out->detail, sizeof out->detail, "expected %s, got %u%s", codes, result->status, target);
    else
        snprintf(out->detail, sizeof out->detail, "got %u", result->status);
}

static void judge_body(const struct monitor *monitor, const struct probe_result *result, struct judgement *out)
{
    if (expects_body(monitor) && !body_is_expected(monitor, result)) {
        out->pass = false;
        out->diagnosis = DIAGNOSIS_WRONG_BODY;
        snprintf(out->detail, sizeof out->detail, "%u, but the body (%zu bytes read) lacks what is expected", result->status, result->body_length);
        return;
    }
    out->pass = true;
    out->diagnosis = DIAGNOSIS_OK;
    snprintf(out->detail, sizeof out->detail, "%u in %.0f ms", result->status, nsec_to_seconds(result->first_byte) * 1000);
}

static void http_judge(const struct monitor *monitor, const struct probe *probe, struct judgement *out)
{
    const struct probe_result *result = &probe->result;
    struct symptom symptom = { .diagnosis = DIAGNOSIS_OK };

    if (judge_transport(result, out))
        return;
    if (probe->endpoint->behind_cloudflare)
        read_symptom(result, &symptom);
    /* Without expected codes all traffic may still be fine when one path answers 403 or 404; error 1000 hits every request. */
    bool refused_by_edge = symptom.diagnosis == DIAGNOSIS_FORBIDDEN_HEADERS && !monitor->expected_codes_given;
    if (status_is_good(monitor, result->status) && !refused_by_edge)
        judge_body(monitor, result, out);
    else if (symptom.diagnosis != DIAGNOSIS_OK)
        judgement_fail(out, symptom.diagnosis, symptom.detail);
    else
        describe_wrong_status(monitor, result, out);
    keep_printable(out->detail);
}

const struct monitor_type monitor_http = { .name = "http", .prepare = http_prepare, .follow = http_follow, .judge = http_judge };
