#include "conf/files.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *what_is_wrong_with(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return strerror(errno);
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    close(fd);
    return regular ? NULL : "not a regular file";
}

const char *name_optional_file(struct loader *l, const char *path, struct source at)
{
    const char *whole = path_beside(&l->config->arena, at.file, path);
    l->files = mem_resize(l->files, l->n_files + 1, sizeof *l->files);
    l->files[l->n_files++] = (struct named_file){ whole, at };
    return whole;
}

const char *name_file(struct loader *l, const char *path, struct source at)
{
    const char *whole = name_optional_file(l, path, at), *wrong = what_is_wrong_with(whole);
    if (wrong)
        conf_error(l, at, "can't read %s: %s", whole, wrong);
    return whole;
}

const char *socket_path(struct loader *l, const char *key, const char *given, struct source at)
{
    struct arena *arena = &l->config->arena;
    const char *path = strncmp(given, "unix:", 5) == 0 ? given + 5 : given, *whole = path_beside(arena, at.file, path);
    char here[PATH_MAX];
    if (*whole != '/' && getcwd(here, sizeof here))
        whole = arena_printf(arena, "%s/%s", here, whole);
    if (!*path || strlen(whole) >= sizeof((struct sockaddr_un *)0)->sun_path)
        conf_error(l, at, "`%s` \"%s\": a unix socket needs a path of at most 107 characters", key, given);
    return whole;
}

void warn_of_readable_key(struct loader *l, const char *path, struct source at)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & S_IROTH))
        conf_warning(l, at, "everybody on this machine can read the private key %s: chmod o-r", path);
}

/* --- another user's rights --- */

struct account {
    uid_t uid;
    gid_t groups[NGROUPS_MAX];
    int n_groups;
};

static bool find_account(const char *name, struct account *a)
{
    char buffer[16 * 1024];
    struct passwd entry, *found = NULL;
    if (getpwnam_r(name, &entry, buffer, sizeof buffer, &found) != 0 || !found)
        return false;
    a->uid = entry.pw_uid;
    a->n_groups = NGROUPS_MAX;
    return getgrouplist(name, entry.pw_gid, a->groups, &a->n_groups) >= 0;
}

static bool in_group(const struct account *a, gid_t group)
{
    for (int i = 0; i < a->n_groups; i++)
        if (a->groups[i] == group)
            return true;
    return false;
}

/* With an access control list the mode bits say too little: then nothing is claimed. */
static bool may(const struct account *a, const char *path, mode_t bit)
{
    struct stat st;
    if (a->uid == 0 || stat(path, &st) < 0 || getxattr(path, "system.posix_acl_access", NULL, 0) > 0)
        return true;
    if (st.st_uid == a->uid)
        return st.st_mode & (bit << 6);
    return st.st_mode & (in_group(a, st.st_gid) ? bit << 3 : bit);
}

/* The first thing on the way that keeps the account from what `bit` says, cut off in `path` (absolute, no links); false: none does. */
static bool find_obstacle(const struct account *a, char *path, mode_t bit)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (!may(a, path, S_IXOTH))
            return true;
        *slash = '/';
    }
    return !may(a, path, bit);
}

static void check_file(struct loader *l, const struct account *a, const struct named_file *f)
{
    char *path = realpath(f->path, NULL);
    if (path && find_obstacle(a, path, S_IROTH))
        conf_error(l, f->at, "user %s can't read %s: %s keeps it out, and a reload would fail", l->config->user, f->path, path);
    free(path);
}

/* It is opened, and opened anew on SIGUSR1, as that user; a folder that isn't there yet is no matter of rights. */
static void check_access_log(struct loader *l, const struct account *a)
{
    const char *path = l->config->access_log.path, *slash = path ? strrchr(path, '/') : NULL;
    if (!path || strcmp(path, "stdout") == 0)
        return;
    char *file = realpath(path, NULL);
    char *folder = realpath(slash ? arena_printf(&l->scratch, "%.*s", (int)(slash - path + (slash == path)), path) : ".", NULL);
    if (file ? find_obstacle(a, file, S_IWOTH) : folder && (find_obstacle(a, folder, S_IWOTH) || find_obstacle(a, folder, S_IXOTH)))
        conf_error(l, l->config->access_log.at, "user %s can't write %s: %s keeps it out", l->config->user, path, file ? file : folder);
    free(folder);
    free(file);
}

void check_files_of_user(struct loader *l)
{
    struct account *a = mem_zero(sizeof *a);
    if (find_account(l->config->user, a)) {
        for (size_t i = 0; i < l->documents.n_read; i++)
            check_file(l, a, &l->documents.read[i]);
        for (size_t i = 0; i < l->n_files; i++)
            check_file(l, a, &l->files[i]);
        check_access_log(l, a);
    }
    free(a);
}
