/* Where the daemon keeps its state, the lock on it, and what it tells the service manager. */
#include "control/notify.h"
#include "control/state_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    unsetenv("STATE_DIRECTORY");
    snprintf(folder, sizeof folder, "/tmp/penstock-state-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const left[] = { "a/penstock.lock", "b/penstock.lock", "a", "b", "file", "notify" };
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, left[i]);
        remove(path);
    }
    return rmdir(folder);
}

#define PATH_SIZE 128
static char *inside(const char *name, char out[static PATH_SIZE])
{
    snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    return out;
}

static void option_then_environment_then_configuration(void **state)
{
    (void)state;
    char a[PATH_SIZE], b[PATH_SIZE], error[STATE_DIR_ERROR_SIZE], both[300];
    inside("a", a);
    struct config config = { .state_dir = inside("b", b) };
    struct state_dir dir;
    struct stat found;

    snprintf(both, sizeof both, "%s:/nowhere", a);
    setenv("STATE_DIRECTORY", both, 1);
    assert_true(state_dir_open(&dir, b, &config, error));
    assert_string_equal(dir.path, b);
    state_dir_close(&dir);
    assert_true(state_dir_open(&dir, NULL, &config, error));
    assert_string_equal(dir.path, a);
    assert_int_equal(stat(dir.path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    state_dir_close(&dir);
    unsetenv("STATE_DIRECTORY");
    assert_true(state_dir_open(&dir, NULL, &config, error));
    assert_string_equal(dir.path, b);
    state_dir_close(&dir);
}

static void two_daemons_do_not_share_it(void **state)
{
    (void)state;
    struct config config = { 0 };
    struct state_dir first, second;
    char a[PATH_SIZE], error[STATE_DIR_ERROR_SIZE], number[32];

    inside("a", a);
    assert_true(state_dir_open(&first, a, &config, error));
    assert_false(state_dir_open(&second, a, &config, error));
    snprintf(number, sizeof number, "process %ld", (long)getpid());
    assert_non_null(strstr(error, number));
    assert_non_null(strstr(error, a));
    state_dir_close(&second);
    state_dir_close(&first);
    assert_true(state_dir_open(&second, a, &config, error));
    state_dir_close(&second);
}

static void what_is_no_folder_is_named(void **state)
{
    (void)state;
    struct config config = { 0 };
    struct state_dir dir;
    char path[PATH_SIZE], deeper[PATH_SIZE], error[STATE_DIR_ERROR_SIZE] = "";
    FILE *file = fopen(inside("file", path), "w");

    assert_non_null(file);
    fclose(file);
    assert_false(state_dir_open(&dir, path, &config, error));
    assert_non_null(strstr(error, path));
    state_dir_close(&dir);
    assert_false(state_dir_open(&dir, inside("file/deeper", deeper), &config, error));
    state_dir_close(&dir);
}

static void receive(int fd, const char *expected)
{
    char text[512];
    ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, expected));
}

static void service_manager_is_told(void **state)
{
    (void)state;
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    char path[PATH_SIZE];
    snprintf(a.sun_path, sizeof a.sun_path, "%.100s", inside("notify", path));
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);

    unsetenv("NOTIFY_SOCKET");
    notify_ready("serving"); /* to nobody */
    setenv("NOTIFY_SOCKET", a.sun_path, 1);
    notify_ready("serving");
    receive(fd, "READY=1\nSTATUS=serving");
    notify_reloading();
    receive(fd, "RELOADING=1\nMONOTONIC_USEC=");
    notify_stopping();
    receive(fd, "STOPPING=1");
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_stopping();
    assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
    unsetenv("NOTIFY_SOCKET");
    close(fd);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(option_then_environment_then_configuration),
        IN_FOLDER(two_daemons_do_not_share_it),
        IN_FOLDER(what_is_no_folder_is_named),
        IN_FOLDER(service_manager_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
