#include "control/session_keys.h"

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "control/state_file.h"

#include <openssl/crypto.h>

enum { KEY_BYTES = 32, KEY_TEXT_SIZE = BASE64_SIZE(KEY_BYTES) + 1, FILE_MAX = 64 * 1024 };

static bool are_needed(const struct config *config)
{
    for (size_t i = 0; i < config->n_load_balancers; i++)
        if (config->load_balancers[i].affinity.type != AFFINITY_NONE && config->load_balancers[i].affinity.name)
            return true;
    return false;
}

static void make_key(char text[static KEY_TEXT_SIZE])
{
    uint8_t bytes[KEY_BYTES];
    random_bytes(bytes, sizeof bytes);
    base64_encode(bytes, sizeof bytes, BASE64_PADDING_OPTIONAL, text);
    text[KEY_TEXT_SIZE - 1] = '\n';
    OPENSSL_cleanse(bytes, sizeof bytes);
}

static bool read_keys(const char *path, struct session_keys *out, bool *missing)
{
    char error[STATE_FILE_ERROR_SIZE];
    const char *wrong;
    size_t n;
    char *text = state_file_read(path, FILE_MAX, &n, missing, error);
    bool good = text && session_keys_parse((struct slice){ text, n }, out, &wrong);
    if (text && !good)
        log_warning("sessions", "%s %s: sessions don't outlive this process", path, wrong);
    else if (!text && !*missing)
        log_warning("sessions", "%s: sessions don't outlive this process", error);
    mem_free_secret(text);
    return good;
}

static void make_keys(const char *path, struct session_keys *out)
{
    char text[KEY_TEXT_SIZE], error[STATE_FILE_ERROR_SIZE];
    const char *wrong;
    make_key(text);
    session_keys_parse((struct slice){ text, sizeof text }, out, &wrong);
    if (path && !state_file_write(path, text, sizeof text, true, error))
        log_warning("sessions", "%s: sessions don't outlive this process", error);
    OPENSSL_cleanse(text, sizeof text);
}

static void find_keys(struct control *control)
{
    char *path = control->state_dir ? mem_printf("%s/session-keys", control->state_dir) : NULL;
    bool missing = true;
    if (!path || !read_keys(path, &control->session_keys, &missing))
        make_keys(missing ? path : NULL, &control->session_keys);
    free(path);
}

void session_keys_complete(struct control *control, struct config *config)
{
    if (config->session_keys.n || !are_needed(config))
        return;
    if (!control->session_keys.n)
        find_keys(control);
    config->session_keys = control->session_keys;
}
