#include "conf/document.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_kind(int fd, size_t most, size_t *size)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    if ((uint64_t)st.st_size > most)
        return EFBIG;
    *size = (size_t)st.st_size;
    return 0;
}

/* What is appended meanwhile isn't read: the size is the one at the beginning. */
static int read_all(int fd, char *p, size_t size, size_t *n)
{
    *n = 0;
    while (*n < size) {
        ssize_t got = read(fd, p + *n, size - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            break;
        *n += (size_t)got;
    }
    p[*n] = '\0';
    return 0;
}

char *read_regular_file(const char *path, size_t most, size_t *n)
{
    size_t size = 0;
    char *p = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    int error = check_kind(fd, most, &size);
    if (error == 0) {
        p = mem_alloc(size + 1);
        error = read_all(fd, p, size, n);
    }
    close(fd);
    if (error) {
        free(p);
        errno = error;
        return NULL;
    }
    return p;
}

char *path_beside(struct arena *arena, const char *file, const char *path)
{
    const char *slash = strrchr(file, '/');
    if (*path == '/' || !slash)
        return arena_copy_text(arena, path);
    return arena_printf(arena, "%.*s%s", (int)(slash + 1 - file), file, path);
}
