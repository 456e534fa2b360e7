#include "control/sockets.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/privileges.h"
#include "net/listener.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char unix_scheme[] = "unix:";
enum { UNIX_SCHEME_LENGTH = sizeof unix_scheme - 1, DIRECTORY_MODE = 0755 };

/* One address and its sockets. */
struct binding {
    struct list link;
    char *address;
    int *fds;
    size_t n;
    bool inherited;      /* from systemd: its file isn't ours to remove */
    bool prepared;       /* opened for a configuration that is not in force yet */
    bool named;          /* while marking */
    uint64_t given_up_at; /* how many posts the workers must have adopted before it may close; 0: it is in force, or was never posted */
};

struct sockets {
    unsigned workers, watchers;
    struct list bindings, given_up;
    uint64_t posts;
    uint64_t *adopted; /* by watcher */
};

struct sockets *sockets_new(unsigned workers, unsigned watchers)
{
    struct sockets *s = mem_zero(sizeof *s);
    s->workers = workers;
    s->watchers = watchers;
    s->adopted = mem_array(watchers, sizeof *s->adopted);
    list_init(&s->bindings);
    list_init(&s->given_up);
    return s;
}

static struct binding *find_on(const struct list *list, const char *address)
{
    LIST_FOR_EACH(node, list) {
        struct binding *b = CONTAINER_OF(node, struct binding, link);
        if (strcmp(b->address, address) == 0)
            return b;
    }
    return NULL;
}

static struct binding *find(const struct sockets *s, const char *address)
{
    return find_on(&s->bindings, address);
}

static void move_to(struct list *list, struct binding *b)
{
    list_remove(&b->link);
    list_push_back(list, &b->link);
}

static bool is_unix(const struct binding *b)
{
    return strncmp(b->address, unix_scheme, UNIX_SCHEME_LENGTH) == 0;
}

/* Places may share one descriptor. */
static void close_all(const struct binding *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (i == 0 || b->fds[i] != b->fds[0])
            close(b->fds[i]);
}

static void binding_close(struct binding *b)
{
    list_remove(&b->link);
    close_all(b);
    if (is_unix(b) && !b->inherited)
        unlink(b->address + UNIX_SCHEME_LENGTH);
    free(b->address);
    free(b->fds);
    free(b);
}

void sockets_free(struct sockets *s)
{
    if (!s)
        return;
    list_append_all(&s->bindings, &s->given_up);
    LIST_FOR_EACH(node, &s->bindings)
        binding_close(CONTAINER_OF(node, struct binding, link));
    free(s->adopted);
    free(s);
}

/* --- opening --- */

static bool inherit(struct binding *b)
{
    int fd = listener_inherited(b->address);
    if (fd < 0)
        return false;
    for (size_t i = 0; i < b->n; i++)
        b->fds[i] = fd;
    b->inherited = true;
    return true;
}

/* /run/penstock and the like: the last folder is made, one above it is not. It is the user's, who removes the socket in the end. */
static void make_folder_of(const char *path, const char *user)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return;
    char *folder = mem_copy(path, (size_t)(slash - path));
    if (mkdir(folder, DIRECTORY_MODE) == 0)
        privileges_give(folder, user);
    free(folder);
}

static bool open_binding(struct binding *b, const struct listen_spec *spec, const char *user, char *error)
{
    if (inherit(b))
        return true;
    if (is_unix(b))
        make_folder_of(b->address + UNIX_SCHEME_LENGTH, user);
    return listener_open(spec, b->fds, b->n, error);
}

struct wanted {
    struct listen_spec spec;
    const struct source *at;
    size_t n; /* sockets */
    const char *what;
};

/* A unix socket for clients is as open as a port: who gets there is up to its folder. With what the umask leaves, only the user who made
 * it could connect, and that is root where `user` is given. */
static const mode_t clients_mode = 0666;

/* What a configuration listens on; `each` stops it by returning false. */
static bool each_listener(const struct sockets *s, const struct config *config, bool (*each)(void *arg, const struct wanted *), void *arg)
{
    for (size_t i = 0; i < config->n_listeners; i++) {
        const struct listener *l = &config->listeners[i];
        struct listen_spec spec = { .address = l->address, .mode = clients_mode };
        if (!each(arg, &(struct wanted){ spec, &l->at, s->workers, l->tls ? "clients, TLS" : "clients" }))
            return false;
    }
    return true;
}

static bool each_of_edge(const struct sockets *s, const struct config *config, bool (*each)(void *arg, const struct wanted *), void *arg)
{
    const struct source at = { config->file, 0 };
    for (size_t i = 0; i < config->edge.addresses.n; i++)
        if (!each(arg, &(struct wanted){ { .address = config->edge.addresses.items[i] }, &at, s->workers, "connectors" }))
            return false;
    return true;
}

static bool each_of_admin(const struct config *config, bool (*each)(void *arg, const struct wanted *), void *arg)
{
    const struct admin_conf *admin = &config->admin;
    struct source at = { config->file, 0 };
    bool go_on = true;
    if (admin->socket) {
        char *address = mem_printf("%s%s", unix_scheme, admin->socket);
        go_on = each(arg, &(struct wanted){ { address, (mode_t)admin->mode, admin->group }, &at, 1, "the admin API" });
        free(address);
    }
    if (go_on && admin->address)
        go_on = each(arg, &(struct wanted){ { .address = admin->address }, &at, 1, "the admin API" });
    return go_on;
}

struct preparing {
    struct sockets *sockets;
    const char *user;
    struct conf_messages *messages;
};

/* Given up a moment ago, and still open because some worker has not let go: it is taken back. */
static bool take_back(struct sockets *s, const char *address)
{
    struct binding *b = find_on(&s->given_up, address);
    if (!b)
        return false;
    b->prepared = true;
    move_to(&s->bindings, b);
    return true;
}

static bool prepare_one(void *arg, const struct wanted *wanted)
{
    struct preparing *p = arg;
    if (find(p->sockets, wanted->spec.address) || take_back(p->sockets, wanted->spec.address))
        return true;
    struct binding *b = mem_zero(sizeof *b);
    b->address = mem_copy_text(wanted->spec.address);
    b->n = wanted->n;
    b->fds = mem_array(wanted->n, sizeof *b->fds);
    b->prepared = true;
    list_init(&b->link);
    char error[256] = "";
    if (open_binding(b, &wanted->spec, p->user, error)) {
        list_push_back(&p->sockets->bindings, &b->link);
        log_notice("listener", "listening on %s for %s%s", b->address, wanted->what, b->inherited ? " (inherited)" : "");
        return true;
    }
    conf_messages_add(p->messages, CONF_ERROR, wanted->at, "%s", error);
    free(b->address);
    free(b->fds);
    free(b);
    return false;
}

bool sockets_prepare(struct sockets *s, const struct config *config, struct conf_messages *messages)
{
    struct preparing p = { s, config->user, messages };
    if (each_listener(s, config, prepare_one, &p) && each_of_edge(s, config, prepare_one, &p) && each_of_admin(config, prepare_one, &p))
        return true;
    sockets_abandon(s);
    return false;
}

void sockets_abandon(struct sockets *s)
{
    LIST_FOR_EACH(node, &s->bindings) {
        struct binding *b = CONTAINER_OF(node, struct binding, link);
        if (b->prepared && b->given_up_at)
            move_to(&s->given_up, b);
        else if (b->prepared)
            binding_close(b);
    }
}

/* --- in force --- */

static bool mark_one(void *arg, const struct wanted *wanted)
{
    struct binding *b = find(arg, wanted->spec.address);
    if (b)
        b->named = true;
    return true;
}

void sockets_commit(struct sockets *s, const struct config *config, bool listening)
{
    LIST_FOR_EACH(node, &s->bindings)
        CONTAINER_OF(node, struct binding, link)->named = false;
    each_of_admin(config, mark_one, s);
    if (listening) {
        each_listener(s, config, mark_one, s);
        each_of_edge(s, config, mark_one, s);
    }
    LIST_FOR_EACH(open, &s->bindings) {
        struct binding *b = CONTAINER_OF(open, struct binding, link);
        b->prepared = false;
        b->given_up_at = b->named ? 0 : s->posts;
        if (b->named)
            continue;
        log_notice("listener", "%s is given up", b->address);
        move_to(&s->given_up, b);
    }
}

void sockets_of_worker(const struct sockets *s, const struct config *config, unsigned worker, int *fds)
{
    for (size_t i = 0; i < config->n_listeners; i++)
        fds[i] = find(s, config->listeners[i].address)->fds[worker];
}

void sockets_of_edge(const struct sockets *s, const struct config *config, unsigned worker, int *fds)
{
    for (size_t i = 0; i < config->edge.addresses.n; i++)
        fds[i] = find(s, config->edge.addresses.items[i])->fds[worker];
}

size_t sockets_of_admin(const struct sockets *s, const struct config *config, int fds[static SOCKETS_ADMIN_MAX])
{
    size_t n = 0;
    if (config->admin.socket) {
        char *address = mem_printf("%s%s", unix_scheme, config->admin.socket);
        fds[n++] = find(s, address)->fds[0];
        free(address);
    }
    if (config->admin.address)
        fds[n++] = find(s, config->admin.address)->fds[0];
    return n;
}

/* --- letting go --- */

static uint64_t adopted_by_all(const struct sockets *s)
{
    uint64_t least = s->posts;
    for (unsigned i = 0; i < s->watchers; i++)
        least = s->adopted[i] < least ? s->adopted[i] : least;
    return least;
}

void sockets_posted(struct sockets *s)
{
    s->posts++;
}

static void close_what_all_let_go(struct sockets *s)
{
    uint64_t least = adopted_by_all(s);
    LIST_FOR_EACH(node, &s->given_up) {
        struct binding *b = CONTAINER_OF(node, struct binding, link);
        if (least >= b->given_up_at)
            binding_close(b);
    }
}

void sockets_adopted(struct sockets *s, unsigned watcher)
{
    if (s->adopted[watcher] != UINT64_MAX)
        s->adopted[watcher]++;
    close_what_all_let_go(s);
}

void sockets_let_go(struct sockets *s, unsigned watcher)
{
    s->adopted[watcher] = UINT64_MAX;
    close_what_all_let_go(s);
}

bool sockets_are_settled(const struct sockets *s)
{
    return adopted_by_all(s) == s->posts;
}
