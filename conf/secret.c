#include "conf/secret.h"

#include "base/mem.h"
#include "conf/types.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { SECRET_MAX = 64 * 1024 };

static bool has_control(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
            return true;
    return false;
}

void warn_of_readable_secret(struct loader *l, const char *path, struct source at)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & S_IROTH))
        conf_warning(l, at, "everybody on this machine can read the secret in %s: chmod o-r", path);
}

/* The line's end isn't part of the secret. */
static void trim_line_end(char *s, size_t *n)
{
    if (*n && s[*n - 1] == '\n')
        s[--*n] = '\0';
    if (*n && s[*n - 1] == '\r')
        s[--*n] = '\0';
}

static const char *from_file(struct loader *l, const struct conf_key *k, const config_setting_t *s)
{
    struct source at = document_place(s);
    const char *text = require_text(l, k, s), *path = text ? name_file(l, text, at) : NULL, *secret = NULL;
    size_t n;
    char *content = path ? read_regular_file(path, SECRET_MAX, &n) : NULL;

    if (path && !content && errno == EFBIG)
        conf_error(l, at, "%s is too large to be a secret", path);
    if (!content)
        return NULL;
    warn_of_readable_secret(l, path, at);
    trim_line_end(content, &n);
    if (n == 0)
        conf_error(l, at, "%s is empty: it should hold `%s`", path, k->name);
    else if (strlen(content) != n || has_control(content))
        conf_error(l, at, "%s must hold `%s` as one line of text", path, k->name);
    else
        secret = arena_copy_text(&l->config->arena, content);
    mem_free_secret(content);
    return secret;
}

static const char *from_environment(struct loader *l, const struct conf_key *k, const config_setting_t *s)
{
    const char *name = require_text(l, k, s), *value = name ? getenv(name) : NULL;
    if (!name)
        return NULL;
    if (!value || !*value)
        conf_error(l, document_place(s), "`%s_env`: the environment has no %s", k->name, name);
    else if (has_control(value))
        conf_error(l, document_place(s), "`%s_env`: %s in the environment has a control character", k->name, name);
    else
        return arena_copy_text(&l->config->arena, value);
    return NULL;
}

const char *secret_read(struct loader *l, const struct conf_key *k, const struct given *g)
{
    if ((g->n != 0) + (g->file != NULL) + (g->env != NULL) > 1) {
        conf_error(l, given_place(g), "only one of `%s`, `%s_file` and `%s_env` can be given", k->name, k->name, k->name);
        return NULL;
    }
    if (g->file)
        return from_file(l, k, g->file);
    if (g->env)
        return from_environment(l, k, g->env);
    const char *text = require_text(l, k, g->settings[0]);
    return text ? arena_copy_text(&l->config->arena, text) : NULL;
}

static void read_secret(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *secret = secret_read(l, k, g);
    if (secret)
        *(const char **)((char *)object + k->offset) = secret;
}

const struct conf_type type_secret = { "a string", "secret", .is_secret = true, .read = read_secret };
