#include "http/target.h"

void target_split(struct slice target, struct slice *path, struct slice *query)
{
    const char *mark = target.n ? memchr(target.p, '?', target.n) : NULL;
    size_t n = mark ? (size_t)(mark - target.p) : target.n;

    *path = (struct slice){ target.p, n };
    *query = mark ? (struct slice){ mark + 1, target.n - n - 1 } : (struct slice){ NULL, 0 };
}

struct slice target_argument(struct slice query, struct slice name)
{
    while (query.n) {
        const char *end = memchr(query.p, '&', query.n);
        struct slice argument = { query.p, end ? (size_t)(end - query.p) : query.n };
        const char *equals = argument.n ? memchr(argument.p, '=', argument.n) : NULL;
        struct slice its_name = { argument.p, equals ? (size_t)(equals - argument.p) : argument.n };
        if (slice_eq(its_name, name))
            return (struct slice){ argument.p + its_name.n + (equals ? 1 : 0), argument.n - its_name.n - (equals ? 1 : 0) };
        query.n -= argument.n;
        query.p += argument.n;
        if (query.n) {
            query.p++;
            query.n--;
        }
    }
    return (struct slice){ NULL, 0 };
}
