#include "control/state_file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OWNER_ONLY = 0600 };

static bool write_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        n -= (size_t)written;
    }
    return true;
}

static bool fill(const char *path, const char *bytes, size_t n, bool durable)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, OWNER_ONLY);
    if (fd < 0)
        return false;
    bool filled = fchmod(fd, OWNER_ONLY) == 0 && write_all(fd, bytes, n) && (!durable || fsync(fd) == 0);
    int why = errno;
    filled = close(fd) == 0 && filled;
    if (!filled)
        errno = why;
    return filled;
}

/* The new name is on disk only once its folder is. */
static void sync_folder_of(const char *path)
{
    char *copy = mem_copy_text(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

bool state_file_write(const char *path, const char *bytes, size_t n, bool durable, char error[static STATE_FILE_ERROR_SIZE])
{
    char *beside = mem_printf("%s.new", path);
    bool done = fill(beside, bytes, n, durable) && rename(beside, path) == 0;
    if (!done) {
        snprintf(error, STATE_FILE_ERROR_SIZE, "can't write %s: %s", path, strerror(errno));
        unlink(beside);
    } else if (durable) {
        sync_folder_of(path);
    }
    free(beside);
    return done;
}

static char *read_all(int fd, size_t max, size_t *n)
{
    char *bytes = mem_alloc(max + 2);
    ssize_t got = 1;
    *n = 0;
    while (*n <= max && got) {
        got = read(fd, bytes + *n, max + 1 - *n);
        if (got < 0 && errno != EINTR) {
            free(bytes);
            return NULL;
        }
        *n += got > 0 ? (size_t)got : 0;
    }
    bytes[*n] = '\0';
    if (*n <= max)
        return bytes;
    mem_free_secret(bytes);
    errno = EFBIG;
    return NULL;
}

char *state_file_read(const char *path, size_t max, size_t *n, bool *missing, char error[static STATE_FILE_ERROR_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *bytes = fd < 0 ? NULL : read_all(fd, max, n);
    *missing = fd < 0 && errno == ENOENT;
    if (!bytes)
        snprintf(error, STATE_FILE_ERROR_SIZE, "can't read %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return bytes;
}
