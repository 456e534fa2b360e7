#include "balance/request_key.h"

#include "http/scan.h"

#include <string.h>

static const struct {
    const char *word; /* what ends in ":" is followed by a name */
    enum request_key_kind kind;
} words[] = {
    { "client_ip", REQUEST_KEY_CLIENT_IP }, { "header:", REQUEST_KEY_HEADER }, { "cookie:", REQUEST_KEY_COOKIE },
    { "path", REQUEST_KEY_PATH },           { "query:", REQUEST_KEY_QUERY },
};

static bool is_name(enum request_key_kind kind, const char *name)
{
    const char *end = name + strlen(name);

    if (kind != REQUEST_KEY_QUERY)
        return *name && scan_token(name, end) == end;
    return *name && scan_target(name, end) == end && !strpbrk(name, "&=");
}

bool request_key_parse(const char *text, struct request_key *out)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].word);
        bool named = words[i].word[n - 1] == ':';
        if (strncmp(text, words[i].word, n) != 0)
            continue;
        *out = (struct request_key){ words[i].kind, named ? text + n : NULL };
        return named ? is_name(out->kind, out->name) : text[n] == '\0';
    }
    return false;
}
