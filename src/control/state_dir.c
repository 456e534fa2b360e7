#include "control/state_dir.h"

#include "base/log.h"
#include "base/mem.h"
#include "control/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_MODE = 0700, LOCK_MODE = 0600 };
static const char lock_name[] = "penstock.lock";

/* systemd separates several by colons; the first is ours. NULL: not set. */
static char *folder_of_service(void)
{
    const char *given = getenv("STATE_DIRECTORY");
    return given && *given ? mem_copy(given, strcspn(given, ":")) : NULL;
}

char *state_dir_choose(const char *option, const struct config *config, bool *asked)
{
    *asked = true;
    if (option)
        return mem_copy_text(option);
    char *of_service = folder_of_service();
    if (of_service)
        return of_service;
    if (config->state_dir)
        return mem_copy_text(config->state_dir);
    *asked = false;
    return mem_copy_text(STATE_DIR_DEFAULT);
}

static bool have_folder(const char *path, const char *user)
{
    struct stat found;
    if (stat(path, &found) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(found.st_mode);
    }
    if (mkdir(path, FOLDER_MODE) != 0)
        return false;
    privileges_give(path, user);
    return true;
}

/* The number that the holder wrote; 0: unknown. */
static long holder(int fd)
{
    char text[32] = "";
    return pread(fd, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
}

static void write_own_number(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
        log_warning("start", "can't write to %s: %s", lock_name, strerror(errno));
}

static int take_lock(const char *folder, const char *user, char *error)
{
    char *path = mem_printf("%s/%s", folder, lock_name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
    if (fd < 0) {
        snprintf(error, STATE_DIR_ERROR_SIZE, "can't write to the state directory: %s: %s", path, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(error, STATE_DIR_ERROR_SIZE, "another penstock (process %ld) uses the state directory %s: stop it, or give this one another (--state-dir)",
                 holder(fd), folder);
        close(fd);
        fd = -1;
    } else {
        write_own_number(fd);
        privileges_give(path, user);
    }
    free(path);
    return fd;
}

static bool do_without(struct state_dir *dir)
{
    log_warning("start", "no state directory (%s can't be used): events, alerts and the operator's overrides are kept in memory only", dir->path);
    free(dir->path);
    dir->path = NULL;
    return true;
}

bool state_dir_open(struct state_dir *dir, const char *option, const struct config *config, char error[static STATE_DIR_ERROR_SIZE])
{
    bool asked;
    *dir = (struct state_dir){ .path = state_dir_choose(option, config, &asked), .lock = -1 };
    bool usable = have_folder(dir->path, config->user) && access(dir->path, W_OK) == 0;
    if (!usable && !asked)
        return do_without(dir);
    if (!usable) {
        snprintf(error, STATE_DIR_ERROR_SIZE, "can't use the state directory %s: %s", dir->path, strerror(errno));
        return false;
    }
    dir->lock = take_lock(dir->path, config->user, error);
    return dir->lock >= 0;
}

void state_dir_close(struct state_dir *dir)
{
    if (dir->lock >= 0)
        close(dir->lock);
    free(dir->path);
    *dir = (struct state_dir){ .lock = -1 };
}
