/* Any answer of an endpoint is judged, its redirect followed within the endpoint or not at all, and told in printable words. The first byte
 * is the options, the next two are the status; then Location, a NUL, and the body. */
#include "monitors/monitor.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_CLOUDFLARE = 1, OPTION_CODES = 2, OPTION_BODY = 4, OPTION_TLS = 8, INPUT_MAX = 8192 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static char *copy(const uint8_t *bytes, size_t n)
{
    char *text = malloc(n + 1);
    require(text != NULL);
    memcpy(text, bytes, n);
    text[n] = '\0';
    return text;
}

static void check_path(char *path)
{
    require(!path || (path[0] == '/' && !strpbrk(path, " \r\n\t#")));
    free(path);
}

static void check_judgement(const struct judgement *judgement)
{
    require(judgement->pass == (judgement->diagnosis == DIAGNOSIS_OK));
    require(judgement->detail[0] != '\0');
    for (const char *p = judgement->detail; *p; p++)
        require((unsigned char)*p >= ' ' && (unsigned char)*p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > INPUT_MAX)
        return 0;
    struct pool pool = { .name = "p" };
    struct endpoint endpoint = { .id = "p/e", .pool = &pool, .behind_cloudflare = data[0] & OPTION_CLOUDFLARE, .tls = data[0] & OPTION_TLS };
    struct monitor monitor = { .name = "m", .type = monitor_type_find("http"), .follow_redirects = true,
                               .expected_codes_given = data[0] & OPTION_CODES, .expected_body = data[0] & OPTION_BODY ? "ok" : NULL };
    struct probe probe = { .endpoint = &endpoint, .path = copy((const uint8_t *)"/health", 7), .host = "app.example.com" };
    const uint8_t *location = data + 3, *end = memchr(location, '\0', size - 3), *body = end ? end + 1 : data + size;
    struct judgement judgement;

    memset(monitor.expected_codes + 25, 0xff, 12); /* 200-295 */
    probe.result.status = 100 + (data[1] + 256U * data[2]) % 500;
    probe.result.location = copy(location, (size_t)((end ? end : data + size) - location));
    probe.result.body_length = (size_t)(data + size - body);
    probe.result.body = copy(body, probe.result.body_length);
    check_path(monitor.type->follow(&monitor, &probe));
    monitor.type->judge(&monitor, &probe, &judgement);
    check_judgement(&judgement);
    free(probe.result.body);
    free(probe.result.location);
    free(probe.path);
    return 0;
}
