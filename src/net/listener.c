#include "net/listener.h"

#include "net/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 4096, /* the kernel caps it at net.core.somaxconn */
    FIRST_INHERITED = 3, /* sd_listen_fds(3) */
    INHERITED_MAX = 1024,
};

static bool refuse(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, LISTENER_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* The path of "unix:/path", or NULL. */
static const char *unix_path(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

/* --- TCP --- */

static bool parse_tcp(const char *text, struct address *out, bool *any)
{
    char host[256];
    uint16_t port;
    if (!address_split(text, host, sizeof host, &port))
        return false;
    *any = !*host;
    return address_parse(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, port, out);
}

static bool refuse_tcp(char *error, const char *address, int why)
{
    switch (why) {
    case EADDRINUSE:
        return refuse(error, "%s: in use already: stop what listens there (`ss -ltnp` shows it) or choose another port", address);
    case EACCES:
        return refuse(error, "%s: not permitted: ports below 1024 take CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=, else start as "
                             "root, with `user` set) or a port of 1024 and above", address);
    case EADDRNOTAVAIL:
        return refuse(error, "%s: no interface of this machine has that address (`ip address` shows those it has)", address);
    case EAFNOSUPPORT:
        return refuse(error, "%s: this machine has no IPv6: write an IPv4 address, 0.0.0.0 for any", address);
    case EMFILE:
    case ENFILE:
        return refuse(error, "%s: too many open files: raise the limit (systemd: LimitNOFILE=, else `ulimit -n`)", address);
    default:
        return refuse(error, "%s: %s", address, strerror(why));
    }
}

/* A descriptor, or a negated errno. */
static int bind_tcp(const struct address *a, bool reuse_port)
{
    static const int on = 1, off = 0;
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* connections of a former process in TIME_WAIT don't matter */
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (a->sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, &a->sa, address_length(a)) < 0) {
        int why = errno;
        close(fd);
        return -why;
    }
    return fd;
}

static int listen_tcp(const struct address *a)
{
    int fd = bind_tcp(a, true);
    if (fd < 0)
        return fd;
    tcp_set_options(fd);
    if (listen(fd, BACKLOG) < 0) {
        int why = errno;
        close(fd);
        return -why;
    }
    return fd;
}

/* SO_REUSEPORT would share the port with another process of the same user, silently: without it the conflict shows. */
static int find_conflict(const struct address *a)
{
    int fd = bind_tcp(a, false);
    if (fd < 0)
        return -fd;
    close(fd);
    return 0;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

static bool open_tcp(const char *text, int *fds, size_t n, char *error)
{
    struct address a;
    bool any;

    if (!parse_tcp(text, &a, &any))
        return refuse(error, "%s: not an address to listen on: write host:port, [v6]:port, :port or unix:/path, the host numeric or localhost", text);
    int why = find_conflict(&a);
    if (any && (why == EAFNOSUPPORT || why == EADDRNOTAVAIL)) { /* a machine without IPv6 */
        address_parse("0.0.0.0", address_port(&a), &a);
        why = find_conflict(&a);
    }
    if (why)
        return refuse_tcp(error, text, why);
    for (size_t i = 0; i < n; i++) {
        fds[i] = listen_tcp(&a);
        if (fds[i] < 0) {
            why = -fds[i];
            close_all(fds, i);
            return refuse_tcp(error, text, why);
        }
    }
    return true;
}

/* --- unix sockets --- */

static bool set_unix_address(const char *path, struct sockaddr_un *un)
{
    *un = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (*path != '/' || strlen(path) >= sizeof un->sun_path)
        return false;
    strcpy(un->sun_path, path);
    return true;
}

/* Does anybody answer? A full backlog is an answer. */
static bool is_alive(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && (connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return alive;
}

static bool remove_stale(const struct sockaddr_un *un, char *error)
{
    struct stat st;
    if (lstat(un->sun_path, &st) < 0)
        return true; /* bind will say what is wrong with the path, if anything is */
    if (!S_ISSOCK(st.st_mode))
        return refuse(error, "unix:%s: a file that is no socket has that name: remove it or choose another path", un->sun_path);
    if (is_alive(un))
        return refuse(error, "unix:%s: in use already: stop the process that listens there or choose another path", un->sun_path);
    if (unlink(un->sun_path) < 0)
        return refuse(error, "unix:%s: can't replace the socket that a former process left: %s", un->sun_path, strerror(errno));
    return true;
}

static bool find_group(const char *name, gid_t *gid)
{
    char buffer[16384];
    struct group group, *found = NULL;
    if (getgrnam_r(name, &group, buffer, sizeof buffer, &found) != 0 || !found)
        return false;
    *gid = found->gr_gid;
    return true;
}

/* Before listen: until then nobody can connect, so nobody slips in with the wrong permissions. */
static bool set_access(const struct listen_spec *spec, const char *path, char *error)
{
    gid_t gid;
    if (spec->group && !find_group(spec->group, &gid))
        return refuse(error, "unix:%s: there is no group \"%s\" on this machine", path, spec->group);
    if (spec->group && chown(path, (uid_t)-1, gid) < 0)
        return refuse(error, "unix:%s: can't give it to group \"%s\": %s (only root, or a member of the group, can)", path, spec->group,
                      strerror(errno));
    if (spec->mode && chmod(path, spec->mode) < 0)
        return refuse(error, "unix:%s: can't set its mode: %s", path, strerror(errno));
    return true;
}

static bool refuse_unix(char *error, const char *path, int why)
{
    switch (why) {
    case ENOENT:
        return refuse(error, "unix:%s: its folder doesn't exist: create it (systemd: RuntimeDirectory=)", path);
    case EACCES:
    case EROFS:
        return refuse(error, "unix:%s: %s: its folder must be writable for the user that penstock is started as", path, strerror(why));
    default:
        return refuse(error, "unix:%s: %s", path, strerror(why));
    }
}

static bool open_unix(const struct listen_spec *spec, const char *path, int *out, char *error)
{
    struct sockaddr_un un;
    if (!set_unix_address(path, &un))
        return refuse(error, "%s: a socket's path begins with / and has at most %zu bytes", spec->address, sizeof un.sun_path - 1);
    if (!remove_stale(&un, error))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return refuse_unix(error, path, errno);
    if (bind(fd, (const struct sockaddr *)&un, sizeof un) < 0) {
        refuse_unix(error, path, errno);
        close(fd);
        return false;
    }
    if (!set_access(spec, path, error) || (listen(fd, BACKLOG) < 0 && !refuse_unix(error, path, errno))) {
        close(fd);
        unlink(path);
        return false;
    }
    *out = fd;
    return true;
}

bool listener_open(const struct listen_spec *spec, int *fds, size_t n, char *error)
{
    const char *path = unix_path(spec->address);
    if (!path)
        return open_tcp(spec->address, fds, n, error);
    int fd;
    if (!open_unix(spec, path, &fd, error))
        return false;
    for (size_t i = 0; i < n; i++)
        fds[i] = fd;
    return true;
}

/* --- inherited --- */

static unsigned inherited_count(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    unsigned long n = strtoul(count, NULL, 10);
    return n < INHERITED_MAX ? (unsigned)n : INHERITED_MAX;
}

static bool is_any(const struct address *a)
{
    static const struct in6_addr zero;
    return a->sa.sa_family == AF_INET6 ? memcmp(&a->v6.sin6_addr, &zero, sizeof zero) == 0 : a->v4.sin_addr.s_addr == 0;
}

static bool is_bound_to(int fd, const char *text)
{
    union {
        struct address address;
        struct sockaddr_un un;
    } own = { .un = { 0 } };
    socklen_t length = sizeof own;
    int listening = 0;
    const char *path = unix_path(text);
    struct address wanted;
    bool any;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &(socklen_t){ sizeof listening }) < 0 || !listening)
        return false;
    if (getsockname(fd, &own.address.sa, &length) < 0)
        return false;
    if (own.un.sun_family == AF_UNIX)
        return path && strncmp(own.un.sun_path, path, sizeof own.un.sun_path) == 0;
    if (own.un.sun_family != AF_INET && own.un.sun_family != AF_INET6)
        return false;
    if (path || !parse_tcp(text, &wanted, &any))
        return false;
    if (any && is_any(&own.address))
        return address_port(&own.address) == address_port(&wanted);
    return address_equal(&own.address, &wanted);
}

int listener_inherited(const char *address)
{
    unsigned n = inherited_count();
    for (int fd = FIRST_INHERITED; fd < FIRST_INHERITED + (int)n; fd++) {
        if (!is_bound_to(fd, address))
            continue;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        if (!unix_path(address))
            tcp_set_options(fd);
        return fd;
    }
    return -1;
}
