#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <netinet/tcp.h>

#include <cmocka.h>

static char folder[] = "/tmp/penstock-listener-XXXXXX", path[64], unix_address[80];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/s", folder);
    snprintf(unix_address, sizeof unix_address, "unix:%s", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static uint16_t free_port(void)
{
    struct address a;
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address_parse("127.0.0.1", 0, &a);
    assert_int_equal(bind(fd, &a.sa, address_length(&a)), 0);
    assert_int_equal(getsockname(fd, &a.sa, &n), 0);
    close(fd);
    return address_port(&a);
}

static void assert_options(int fd)
{
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static int connect_to(const char *host, uint16_t port)
{
    struct address a;
    assert_true(address_parse(host, port, &a));
    int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);
    if (connect(fd, &a.sa, address_length(&a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void refused(const char *address, const char *why)
{
    char error[LISTENER_ERROR_SIZE] = "";
    int fd = -1;
    if (listener_open(&(struct listen_spec){ address, 0, NULL }, &fd, 1, error))
        fail_msg("%s was opened", address);
    if (!strstr(error, address) || !strstr(error, why))
        fail_msg("\"%s\" names not both \"%s\" and \"%s\"", error, address, why);
}

static void test_tcp_one_socket_per_worker(void **state)
{
    char text[32], error[LISTENER_ERROR_SIZE];
    int fds[3], nodelay = 0;
    uint16_t port = free_port();
    (void)state;
    snprintf(text, sizeof text, "localhost:%u", port);
    assert_true(listener_open(&(struct listen_spec){ text, 0, NULL }, fds, 3, error));
    for (int i = 0; i < 3; i++)
        assert_options(fds[i]);
    assert_int_not_equal(fds[0], fds[1]);

    int client = connect_to("127.0.0.1", port), accepted = -1;
    assert_true(client >= 0);
    for (int i = 0; i < 3 && accepted < 0; i++)
        accepted = accept(fds[i], NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(getsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &nodelay, &(socklen_t){ sizeof nodelay }), 0);
    assert_int_equal(nodelay, 1);

    refused(text, "in use");
    close(accepted);
    close(client);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    assert_true(listener_open(&(struct listen_spec){ text, 0, NULL }, fds, 1, error)); /* whatever is in TIME_WAIT */
    close(fds[0]);
}

static void test_any_takes_both_families(void **state)
{
    char text[32], error[LISTENER_ERROR_SIZE];
    uint16_t port = free_port();
    int fd, client;
    (void)state;
    snprintf(text, sizeof text, ":%u", port);
    assert_true(listener_open(&(struct listen_spec){ text, 0, NULL }, &fd, 1, error));
    client = connect_to("127.0.0.1", port);
    assert_true(client >= 0);
    close(client);
    int v6 = socket(AF_INET6, SOCK_STREAM, 0); /* -1 on a machine without IPv6 */
    if (v6 >= 0 && (client = connect_to("::1", port)) < 0)
        assert_int_equal(errno, EADDRNOTAVAIL);
    else if (v6 >= 0)
        close(client);
    if (v6 >= 0)
        close(v6);
    close(fd);
}

static void test_refusals_name_address_and_cure(void **state)
{
    char long_path[200] = "unix:/";
    (void)state;
    memset(long_path + 6, 'a', sizeof long_path - 7);
    refused("203.0.113.77:8080", "no interface");
    refused("example.com:80", "numeric");
    refused("8080", "host:port");
    refused("127.0.0.1:0", "host:port");
    refused("unix:relative", "begins with /");
    char error[LISTENER_ERROR_SIZE] = "";
    int fd;
    assert_false(listener_open(&(struct listen_spec){ long_path, 0, NULL }, &fd, 1, error));
    assert_non_null(strstr(error, "at most"));
    refused("unix:/nonexistent-folder/s", "folder doesn't exist");
}

static void test_unix_socket_mode_and_sharing(void **state)
{
    char error[LISTENER_ERROR_SIZE];
    struct stat st;
    int fds[2];
    (void)state;
    assert_true(listener_open(&(struct listen_spec){ unix_address, 0660, NULL }, fds, 2, error));
    assert_int_equal(fds[0], fds[1]);
    assert_options(fds[0]);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);

    refused(unix_address, "in use");
    close(fds[0]); /* the file stays: stale */
    assert_true(listener_open(&(struct listen_spec){ unix_address, 0600, NULL }, fds, 1, error));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    close(fds[0]);

    assert_false(listener_open(&(struct listen_spec){ unix_address, 0600, "no-such-group" }, fds, 1, error));
    assert_non_null(strstr(error, "no-such-group"));
    assert_int_equal(access(path, F_OK), -1); /* nothing left behind */
}

static void test_unix_never_replaces_a_file(void **state)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    refused(unix_address, "no socket");
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void set_environment(const char *pid, const char *fds)
{
    if (pid)
        setenv("LISTEN_PID", pid, 1);
    else
        unsetenv("LISTEN_PID");
    setenv("LISTEN_FDS", fds, 1);
}

/* Runs in a child, whose descriptors from 3 on are its own affair. Returns the number of the first check that failed, or 0. */
static int check_inherited(uint16_t port)
{
    char any[32], loopback[32], other[32], pid[16], error[LISTENER_ERROR_SIZE];
    int tcp, un;

    for (int fd = 3; fd < 256; fd++)
        close(fd);
    snprintf(any, sizeof any, ":%u", port);
    snprintf(loopback, sizeof loopback, "127.0.0.1:%u", port);
    snprintf(other, sizeof other, "127.0.0.1:%u", port == 1 ? 2 : port - 1);
    if (!listener_open(&(struct listen_spec){ any, 0, NULL }, &tcp, 1, error) || tcp != 3)
        return 1;
    if (!listener_open(&(struct listen_spec){ unix_address, 0, NULL }, &un, 1, error) || un != 4)
        return 2;
    fcntl(un, F_SETFL, 0);
    fcntl(un, F_SETFD, 0);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());

    set_environment(pid, "2");
    if (listener_inherited(any) != tcp || listener_inherited(unix_address) != un)
        return 3;
    if (!(fcntl(un, F_GETFL) & O_NONBLOCK) || !(fcntl(un, F_GETFD) & FD_CLOEXEC))
        return 4;
    if (listener_inherited(loopback) != -1 || listener_inherited(other) != -1 || listener_inherited("unix:/other") != -1)
        return 5;
    set_environment(pid, "1"); /* the second is none of ours */
    if (listener_inherited(unix_address) != -1)
        return 6;
    set_environment("1", "2"); /* meant for another process */
    if (listener_inherited(any) != -1)
        return 7;
    set_environment(NULL, "2");
    if (listener_inherited(any) != -1)
        return 8;
    return 0;
}

static void test_inherited(void **state)
{
    uint16_t port = free_port();
    int status;
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(check_inherited(port));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_one_socket_per_worker),
        cmocka_unit_test(test_any_takes_both_families),
        cmocka_unit_test(test_refusals_name_address_and_cure),
        cmocka_unit_test(test_unix_socket_mode_and_sharing),
        cmocka_unit_test(test_unix_never_replaces_a_file),
        cmocka_unit_test(test_inherited),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
