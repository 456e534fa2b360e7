#include "conf/parts.h"

#include <ctype.h>
#include <string.h>

/* RFC 1035 section 2.3.4; "_" because names in use have it. */
enum { HOST_MAX = 253, LABEL_MAX = 63 };

static bool is_label(const char *p, size_t n)
{
    if (n == 0 || n > LABEL_MAX || p[0] == '-' || p[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)p[i]) && p[i] != '-' && p[i] != '_')
            return false;
    return true;
}

static bool is_host_name(const char *s)
{
    if (strlen(s) > HOST_MAX)
        return false;
    for (;;) {
        size_t n = strcspn(s, ".");
        if (!is_label(s, n))
            return false;
        if (s[n] == '\0')
            return true;
        s += n + 1;
    }
}

const char *host_name_of(struct arena *arena, const char *text)
{
    if (!is_host_name(text))
        return NULL;
    char *name = arena_copy_text(arena, text);
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return name;
}
