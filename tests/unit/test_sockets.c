/* Listening sockets over reloads: kept, opened, closed once every worker has let go. */
#include "control/sockets.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2, MAX = 4 };

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/penstock-sockets-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* A configuration that listens on these; NULL-terminated. `admin`: the path of the admin socket, or NULL. */
static struct config *config_of(const char *const *addresses, const char *admin)
{
    struct config *c = config_new();
    c->file = "test.conf";
    c->listeners = arena_array(&c->arena, MAX, sizeof *c->listeners);
    for (; addresses[c->n_listeners]; c->n_listeners++) {
        c->listeners[c->n_listeners].address = addresses[c->n_listeners];
        c->listeners[c->n_listeners].at = (struct source){ "test.conf", (unsigned)c->n_listeners + 1 };
    }
    c->admin.socket = admin;
    c->admin.mode = 0600;
    return c;
}

/* Loopback addresses with ports that were free a moment ago. */
static void free_addresses(char out[][32], unsigned n)
{
    int fds[MAX];
    for (unsigned i = 0; i < n; i++) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof a;
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fds[i], (struct sockaddr *)&a, length), 0);
        assert_int_equal(getsockname(fds[i], (struct sockaddr *)&a, &length), 0);
        snprintf(out[i], 32, "127.0.0.1:%u", ntohs(a.sin_port));
    }
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool exists(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0;
}

static bool prepare(struct sockets *s, const struct config *c)
{
    struct conf_messages messages = { 0 };
    bool ok = sockets_prepare(s, c, &messages);
    assert_int_equal(messages.errors > 0, !ok);
    conf_messages_clear(&messages);
    return ok;
}

static void post(struct sockets *s, const struct config *c)
{
    sockets_posted(s);
    sockets_commit(s, c, true);
}

static void adopt_all(struct sockets *s)
{
    for (unsigned i = 0; i < WORKERS; i++)
        sockets_adopted(s, i);
}

static void sockets_are_kept_and_given_up(void **state)
{
    (void)state;
    char a[2][32];
    free_addresses(a, 2);
    struct config *both = config_of((const char *const[]){ a[0], a[1], NULL }, NULL), *one = config_of((const char *const[]){ a[1], NULL }, NULL);
    struct sockets *s = sockets_new(WORKERS, WORKERS);
    int first[WORKERS][2], again[WORKERS][2];

    assert_true(prepare(s, both));
    post(s, both);
    for (unsigned i = 0; i < WORKERS; i++)
        sockets_of_worker(s, both, i, first[i]);
    assert_int_not_equal(first[0][0], first[1][0]); /* one each */
    assert_false(sockets_are_settled(s));
    adopt_all(s);
    assert_true(sockets_are_settled(s));

    assert_true(prepare(s, one));
    post(s, one);
    for (unsigned i = 0; i < WORKERS; i++) {
        sockets_of_worker(s, one, i, again[i]);
        assert_int_equal(again[i][0], first[i][1]); /* the same descriptor */
    }
    sockets_adopted(s, 0);
    assert_true(is_open(first[0][0]) && is_open(first[1][0])); /* worker 1 still watches */
    sockets_adopted(s, 1);
    assert_false(is_open(first[0][0]) || is_open(first[1][0]));
    assert_true(is_open(first[0][1]));

    sockets_free(s);
    config_unref(both);
    config_unref(one);
}

static void given_up_and_wanted_again(void **state)
{
    (void)state;
    char a[1][32], path[96], unix_address[96 + 8];
    free_addresses(a, 1);
    snprintf(path, sizeof path, "%s/front.sock", folder);
    snprintf(unix_address, sizeof unix_address, "unix:%s", path);
    struct config *both = config_of((const char *const[]){ a[0], unix_address, NULL }, NULL), *one = config_of((const char *const[]){ a[0], NULL }, NULL);
    struct sockets *s = sockets_new(WORKERS, WORKERS);
    int before[2], after[2];

    assert_true(prepare(s, both));
    post(s, both);
    sockets_of_worker(s, both, 0, before);
    adopt_all(s);
    assert_true(prepare(s, one));
    post(s, one);
    assert_true(prepare(s, both)); /* before any worker has let go */
    post(s, both);
    sockets_of_worker(s, both, 0, after);
    assert_int_equal(after[1], before[1]);
    adopt_all(s);
    adopt_all(s);
    assert_true(is_open(before[1]) && exists(path));
    sockets_free(s);
    assert_false(exists(path));
    config_unref(both);
    config_unref(one);
}

static void what_cannot_be_opened_leaves_nothing_open(void **state)
{
    (void)state;
    char a[2][32];
    free_addresses(a, 2);
    struct config *first = config_of((const char *const[]){ a[0], NULL }, NULL);
    struct config *bad = config_of((const char *const[]){ a[0], a[1], "unix:/nowhere/at/all/x.sock", NULL }, NULL);
    struct sockets *s = sockets_new(WORKERS, WORKERS);
    int fds[1], next = dup(0);

    assert_true(prepare(s, first));
    post(s, first);
    adopt_all(s);
    sockets_of_worker(s, first, 0, fds);
    close(next);
    next = dup(0);
    assert_false(prepare(s, bad));
    close(next);
    assert_int_equal(dup(0), next); /* every descriptor of the attempt is closed again */
    close(next);
    assert_true(is_open(fds[0]));
    sockets_free(s);
    config_unref(first);
    config_unref(bad);
}

static void refused_while_an_address_was_being_taken_back(void **state)
{
    (void)state;
    char a[2][32];
    free_addresses(a, 2);
    struct config *both = config_of((const char *const[]){ a[0], a[1], NULL }, NULL), *one = config_of((const char *const[]){ a[0], NULL }, NULL);
    struct config *bad = config_of((const char *const[]){ a[0], a[1], "unix:/nowhere/at/all/x.sock", NULL }, NULL);
    struct sockets *s = sockets_new(WORKERS, WORKERS);
    int fds[2];

    assert_true(prepare(s, both));
    post(s, both);
    adopt_all(s);
    sockets_of_worker(s, both, 0, fds);
    assert_true(prepare(s, one));
    post(s, one);
    assert_false(prepare(s, bad));
    assert_true(is_open(fds[1])); /* the workers have not let go yet */
    adopt_all(s);
    assert_false(is_open(fds[1]));
    sockets_free(s);
    config_unref(both);
    config_unref(one);
    config_unref(bad);
}

/* Whoever starts us, with whatever umask. */
static void everybody_may_connect_to_a_socket_for_clients(void **state)
{
    (void)state;
    char address[96];
    snprintf(address, sizeof address, "unix:%s/web.sock", folder);
    struct config *c = config_of((const char *const[]){ address, NULL }, NULL);
    struct sockets *s = sockets_new(WORKERS, WORKERS);
    struct stat found;

    mode_t before = umask(077);
    assert_true(prepare(s, c));
    umask(before);
    assert_int_equal(stat(address + strlen("unix:"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0666);
    sockets_free(s);
    config_unref(c);
}

static void admin_socket_has_its_mode_and_outlives_the_listeners(void **state)
{
    (void)state;
    char a[1][32], path[96];
    free_addresses(a, 1);
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    struct config *c = config_of((const char *const[]){ a[0], NULL }, path);
    struct sockets *s = sockets_new(WORKERS, WORKERS);
    int fds[1], admin[SOCKETS_ADMIN_MAX];
    struct stat found;

    assert_true(prepare(s, c));
    post(s, c);
    adopt_all(s);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(sockets_of_admin(s, c, admin), 1);
    sockets_of_worker(s, c, 0, fds);
    sockets_posted(s);
    sockets_commit(s, c, false);
    adopt_all(s);
    assert_false(is_open(fds[0]));
    assert_true(is_open(admin[0]));
    sockets_free(s);
    assert_false(exists(path));
    config_unref(c);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_kept_and_given_up),
        IN_FOLDER(given_up_and_wanted_again),
        cmocka_unit_test(what_cannot_be_opened_leaves_nothing_open),
        cmocka_unit_test(refused_while_an_address_was_being_taken_back),
        IN_FOLDER(everybody_may_connect_to_a_socket_for_clients),
        IN_FOLDER(admin_socket_has_its_mode_and_outlives_the_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
