#include "control/privileges.h"

#include "base/log.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void refuse_core_dumps(void)
{
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
        log_warning("start", "can't switch core dumps off: %s", strerror(errno));
}

void privileges_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0)
            log_warning("start", "can't raise the number of descriptors to %llu: %s", (unsigned long long)files.rlim_max, strerror(errno));
    }
    refuse_core_dumps();
}

static bool fail(char *error, const char *user, const char *step)
{
    snprintf(error, PRIVILEGES_ERROR_SIZE, "can't become user \"%s\": %s: %s", user, step, strerror(errno));
    return false;
}

static bool keep_only_low_ports(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
    data[CAP_TO_INDEX(CAP_NET_BIND_SERVICE)].effective = CAP_TO_MASK(CAP_NET_BIND_SERVICE);
    data[CAP_TO_INDEX(CAP_NET_BIND_SERVICE)].permitted = CAP_TO_MASK(CAP_NET_BIND_SERVICE);
    return syscall(SYS_capset, &header, data) == 0;
}

static bool become(const struct passwd *user, char *error)
{
    if (prctl(PR_SET_KEEPCAPS, 1) != 0)
        return fail(error, user->pw_name, "keeping capabilities");
    if (initgroups(user->pw_name, user->pw_gid) != 0)
        return fail(error, user->pw_name, "setting its groups");
    if (setgid(user->pw_gid) != 0)
        return fail(error, user->pw_name, "setting its group");
    if (setuid(user->pw_uid) != 0)
        return fail(error, user->pw_name, "setting its id");
    if (!keep_only_low_ports())
        return fail(error, user->pw_name, "giving up capabilities");
    prctl(PR_SET_KEEPCAPS, 0);
    return true;
}

bool privileges_drop(const char *name, char error[static PRIVILEGES_ERROR_SIZE])
{
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (!user) {
        snprintf(error, PRIVILEGES_ERROR_SIZE, "there is no user \"%s\": make it, or change `user`", name);
        return false;
    }
    if (geteuid() == user->pw_uid)
        return true;
    if (geteuid() != 0) {
        snprintf(error, PRIVILEGES_ERROR_SIZE, "can't become user \"%s\": only root can; start as root or as that user", name);
        return false;
    }
    if (!become(user, error))
        return false;
    refuse_core_dumps(); /* the change of user made us dumpable as the system likes it */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return true;
}

void privileges_give(const char *path, const char *name)
{
    if (!name || geteuid() != 0)
        return;
    const struct passwd *user = getpwnam(name);
    if (user && chown(path, user->pw_uid, user->pw_gid) != 0)
        log_warning("start", "can't give %s to user \"%s\": %s", path, name, strerror(errno));
}
