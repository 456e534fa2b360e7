#include "steering/module.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SYMBOL "penstock_steering_policy"
#define ERROR_SIZE 256

struct steering_module {
    atomic_uint refs; /* of configurations, by any thread */
    char *path;
    void *handle;
    const struct steering_policy *policy;
};

static bool write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t written = write(fd, p, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        p += written;
        n -= (size_t)written;
    }
    return true;
}

/* An anonymous file with the image; -1 with errno. */
static int copy_image(const char *path, const void *image, size_t n)
{
    const char *slash = strrchr(path, '/');
    char name[64];
    snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || write_all(fd, image, n))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

struct fd_path {
    char text[32];
};

static struct fd_path path_of(int fd)
{
    struct fd_path path;
    snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", fd);
    return path;
}

/* The dynamic linker takes an object that it has under the same name for the same, and never looks at the file: with a number that
 * an earlier module was loaded by, this would be that one again. */
static int make_name_new(int fd)
{
    void *earlier;
    while (fd >= 0 && (earlier = dlopen(path_of(fd).text, RTLD_NOW | RTLD_NOLOAD))) {
        int next = fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
        dlclose(earlier);
        close(fd);
        fd = next;
    }
    return fd;
}

/* "/proc/self/fd/7: file too short" without what says nothing to the reader. */
static void tell_linker_error(int fd, char *error)
{
    const char *text = dlerror();
    struct fd_path path = path_of(fd);
    size_t n = strlen(path.text);
    if (text && strncmp(text, path.text, n) == 0 && strncmp(text + n, ": ", 2) == 0)
        text += n + 2;
    snprintf(error, ERROR_SIZE, "%s", text ? text : "it can't be loaded");
}

static bool load(struct steering_module *m, const void *image, size_t n, char *error)
{
    int fd = make_name_new(copy_image(m->path, image, n));
    if (fd < 0) {
        snprintf(error, ERROR_SIZE, "%s", strerror(errno));
        return false;
    }
    m->handle = dlopen(path_of(fd).text, RTLD_NOW | RTLD_LOCAL);
    if (!m->handle)
        tell_linker_error(fd, error);
    close(fd);
    return m->handle;
}

/* Bytes of the object of that name; 0 if it is a function. */
static size_t size_of(const void *symbol)
{
    Dl_info info;
    const ElfW(Sym) *entry = NULL;
    if (!dladdr1(symbol, &info, (void **)&entry, RTLD_DL_SYMENT) || !entry || ELF64_ST_TYPE(entry->st_info) != STT_OBJECT)
        return 0;
    return entry->st_size;
}

/* Other versions of the interface may have a shorter table; name and version stand first in all. */
static const char *what_is_wrong_with_table(const struct steering_policy *p)
{
    size_t size = size_of(p);
    if (size <= offsetof(struct steering_policy, abi) || (p->abi == STEERING_ABI && size < sizeof *p))
        return "its symbol `" SYMBOL "` is no struct steering_policy";
    return NULL;
}

static const char *what_is_missing(const struct steering_policy *p)
{
    if (!p->name)
        return "name";
    if (!p->worker_new)
        return "worker_new";
    if (!p->update)
        return "update";
    if (!p->choose)
        return "choose";
    return p->worker_free ? NULL : "worker_free";
}

static bool find_policy(struct steering_module *m, char *error)
{
    const struct steering_policy *p = dlsym(m->handle, SYMBOL);
    const char *wrong = p ? what_is_wrong_with_table(p) : "it has no symbol `" SYMBOL "`";
    m->policy = p;
    if (wrong)
        snprintf(error, ERROR_SIZE, "%s", wrong);
    else if (p->abi != STEERING_ABI)
        snprintf(error, ERROR_SIZE, "it was built for version %u of the steering interface, and this penstock has version %u: build it anew "
                 "with the installed penstock/policy.h", p->abi, STEERING_ABI);
    else if ((wrong = what_is_missing(p)))
        snprintf(error, ERROR_SIZE, "its policy lacks `%s`", wrong);
    else
        return true;
    return false;
}

struct steering_module *steering_module_open(const char *path, const void *image, size_t n, char error[256])
{
    struct steering_module *m = mem_zero(sizeof *m);
    atomic_init(&m->refs, 1);
    m->path = mem_copy_text(path);
    if (load(m, image, n, error) && find_policy(m, error))
        return m;
    steering_module_unref(m);
    return NULL;
}

struct steering_module *steering_module_ref(struct steering_module *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void steering_module_unref(struct steering_module *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (m->handle)
        dlclose(m->handle);
    free(m->path);
    free(m);
}

const struct steering_policy *steering_module_policy(const struct steering_module *m)
{
    return m->policy;
}

const char *steering_module_path(const struct steering_module *m)
{
    return m->path;
}
