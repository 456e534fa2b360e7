#include "cli/origin_cert.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/text.h"

#include <jansson.h>
#include <string.h>

enum { PEM_COLUMNS = 64 };

static char *pem_of(const char *bytes, size_t n)
{
    struct text out = { 0 };
    char *encoded = mem_zero(BASE64_SIZE(n) + 1);
    size_t length = base64_encode(bytes, n, BASE64_PADDING_OPTIONAL, encoded);

    text_add(&out, "-----BEGIN ARGO TUNNEL TOKEN-----\n");
    for (size_t i = 0; i < length; i += PEM_COLUMNS)
        text_addf(&out, "%.*s\n", PEM_COLUMNS, encoded + i);
    text_add(&out, "-----END ARGO TUNNEL TOKEN-----\n");
    mem_free_secret(encoded);
    return text_take(&out);
}

char *origin_cert_write(const char *zone, const char *account, const char *api_token)
{
    json_t *object = json_pack("{s:s, s:s, s:s}", "zoneID", zone, "accountID", account, "apiToken", api_token);
    char *json = object ? json_dumps(object, JSON_COMPACT) : NULL;
    char *pem = json ? pem_of(json, strlen(json)) : NULL;

    mem_free_secret(json);
    json_decref(object);
    return pem;
}
