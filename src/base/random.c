#include "base/random.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static _Thread_local struct {
    bool on;
    uint64_t seed;
} rehearsal;

void random_rehearse(uint64_t seed)
{
    rehearsal.on = true;
    rehearsal.seed = seed;
}

void random_end_rehearsal(void)
{
    rehearsal.on = false;
}

static void rehearse(char *out, size_t n)
{
    struct random r = { rehearsal.seed };
    for (size_t i = 0; i < n; i++)
        out[i] = (char)random_u64(&r);
}

void random_bytes(void *out, size_t n)
{
    char *p = out;
    if (rehearsal.on) {
        rehearse(out, n);
        return;
    }
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            perror("penstock: getrandom");
            abort();
        }
        p += got;
        n -= (size_t)got;
    }
}
