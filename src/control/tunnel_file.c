#include "control/tunnel_file.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_MODE = 0700, STATE_MAX = 64 * 1024, PATH_SIZE = 4096 };
static const char json_suffix[] = ".json", state_suffix[] = ".state";

static bool path_of(const char *state_dir, const char *id, const char *suffix, char path[PATH_SIZE])
{
    return snprintf(path, PATH_SIZE, "%s/tunnels/%s%s", state_dir, id, suffix) < PATH_SIZE;
}

bool tunnel_file_path(const char *state_dir, const char *id, char path[4096])
{
    return path_of(state_dir, id, json_suffix, path);
}

static bool have_folder(const char *state_dir, char error[static STATE_FILE_ERROR_SIZE])
{
    char *folder = mem_printf("%s/tunnels", state_dir);
    bool have = mkdir(folder, FOLDER_MODE) == 0 || errno == EEXIST;
    if (!have)
        snprintf(error, STATE_FILE_ERROR_SIZE, "can't make %s: %s", folder, strerror(errno));
    free(folder);
    return have;
}

static bool write_at(const char *state_dir, const char *id, const char *suffix, const char *bytes, bool durable,
                     char error[static STATE_FILE_ERROR_SIZE])
{
    char path[PATH_SIZE];
    if (!path_of(state_dir, id, suffix, path)) {
        snprintf(error, STATE_FILE_ERROR_SIZE, "the state directory's path is too long");
        return false;
    }
    return have_folder(state_dir, error) && state_file_write(path, bytes, strlen(bytes), durable, error);
}

/* --- credentials --- */

bool tunnel_file_write(const char *state_dir, const struct tunnel_file *t, char error[static STATE_FILE_ERROR_SIZE])
{
    char *credentials = credentials_write(&t->credentials); /* ends with a brace */
    char *json = mem_printf("%.*s,\"penstock\":{\"name\":\"%s\",\"created\":%lld.%03lld}}\n", (int)strlen(credentials) - 1, credentials,
                            t->name, (long long)(t->created / NSEC_PER_SEC), (long long)(t->created % NSEC_PER_SEC / NSEC_PER_MSEC));
    bool written = write_at(state_dir, t->credentials.tunnel, json_suffix, json, true, error);
    mem_free_secret(credentials);
    mem_free_secret(json);
    return written;
}

static bool remove_at(const char *state_dir, const char *id, const char *suffix, char error[static STATE_FILE_ERROR_SIZE])
{
    char path[PATH_SIZE];
    if (!path_of(state_dir, id, suffix, path) || unlink(path) == 0 || errno == ENOENT)
        return true;
    snprintf(error, STATE_FILE_ERROR_SIZE, "can't remove %.160s: %s", path, strerror(errno));
    return false;
}

bool tunnel_file_remove(const char *state_dir, const char *id, char error[static STATE_FILE_ERROR_SIZE])
{
    return remove_at(state_dir, id, json_suffix, error) && remove_at(state_dir, id, state_suffix, error);
}

/* jansson frees without overwriting: the secret is overwritten first. */
static void forget_json(json_t *object)
{
    json_t *secret = json_object_get(object, "TunnelSecret");
    if (json_is_string(secret))
        explicit_bzero((char *)json_string_value(secret), json_string_length(secret));
    json_decref(object);
}

static const char *read_own_members(const char *json, size_t n, struct tunnel_file *out)
{
    json_t *object = json_loadb(json, n, 0, NULL), *own = json_object_get(object, "penstock");
    const char *name = json_string_value(json_object_get(own, "name")), *wrong = NULL;
    out->created = llround(json_number_value(json_object_get(own, "created")) * 1e3) * NSEC_PER_MSEC; /* seconds */
    if (!own) /* put there by hand, as cloudflared made it */
        snprintf(out->name, sizeof out->name, "tunnel-%.8s", out->credentials.tunnel);
    else if (!name || !tunnel_name_is_valid(name))
        wrong = "its name in \"penstock\" is missing, or not letters, digits, _ and -";
    else
        snprintf(out->name, sizeof out->name, "%s", name);
    forget_json(object);
    return wrong;
}

static const char *read_file(const char *json, size_t n, const char *id, struct tunnel_file *out)
{
    const char *wrong = credentials_read((struct slice){ json, n }, &out->credentials);
    if (!wrong && strcmp(out->credentials.tunnel, id) != 0)
        wrong = "it is named for another tunnel than it is of";
    return wrong ? wrong : read_own_members(json, n, out);
}

static bool read_at(const char *path, const char *id, struct tunnel_file *out, char error[static STATE_FILE_ERROR_SIZE])
{
    size_t n;
    bool missing;
    char *json = state_file_read(path, TUNNEL_TOKEN_MAX, &n, &missing, error);
    if (!json)
        return false;
    const char *wrong = read_file(json, n, id, out);
    mem_free_secret(json);
    if (wrong)
        snprintf(error, STATE_FILE_ERROR_SIZE, "%.120s: %s", path, wrong);
    return !wrong;
}

/* "UUID.json" */
static bool is_of_tunnel(const char *file, char id[UUID_TEXT_SIZE])
{
    char stem[UUID_TEXT_SIZE];
    size_t n = strlen(file);
    if (n != UUID_TEXT_SIZE - 1 + sizeof json_suffix - 1 || strcmp(file + UUID_TEXT_SIZE - 1, json_suffix) != 0)
        return false;
    memcpy(stem, file, UUID_TEXT_SIZE - 1);
    stem[UUID_TEXT_SIZE - 1] = '\0';
    return uuid_parse(stem, id);
}

static bool take_one(const char *state_dir, const char *file, void (*each)(void *arg, const struct tunnel_file *), void *arg,
                     char error[static STATE_FILE_ERROR_SIZE])
{
    struct tunnel_file t = { .created = 0 };
    char id[UUID_TEXT_SIZE];
    if (!is_of_tunnel(file, id))
        return true;
    char *path = mem_printf("%s/tunnels/%s", state_dir, file);
    bool read = read_at(path, id, &t, error);
    if (read)
        each(arg, &t);
    credentials_clear(&t.credentials);
    free(path);
    return read;
}

bool tunnel_file_each(const char *state_dir, void (*each)(void *arg, const struct tunnel_file *), void *arg,
                      char error[static STATE_FILE_ERROR_SIZE])
{
    char *folder = mem_printf("%s/tunnels", state_dir);
    DIR *dir = opendir(folder);
    bool good = dir || errno == ENOENT;
    if (!good)
        snprintf(error, STATE_FILE_ERROR_SIZE, "can't read %s: %s", folder, strerror(errno));
    free(folder);
    for (struct dirent *entry; dir && good && (entry = readdir(dir));)
        good = take_one(state_dir, entry->d_name, each, arg, error);
    if (dir)
        closedir(dir);
    return good;
}

/* --- what is remembered --- */

struct connector_word *tunnel_memory_find(struct tunnel_memory *m, const char *connector)
{
    for (unsigned i = 0; i < m->n_words; i++)
        if (strcmp(m->words[i].id, connector) == 0)
            return &m->words[i];
    return NULL;
}

struct connector_word *tunnel_memory_make(struct tunnel_memory *m, const char *connector)
{
    struct connector_word *word = tunnel_memory_find(m, connector);
    if (word)
        return word;
    if (m->n_words == TUNNEL_WORDS_MAX)
        memmove(m->words, m->words + 1, --m->n_words * sizeof *m->words);
    word = &m->words[m->n_words++];
    *word = (struct connector_word){ .weight = 1 };
    snprintf(word->id, sizeof word->id, "%s", connector);
    return word;
}

static json_t *words_json(const struct tunnel_memory *m)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < m->n_words; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:b, s:f}", "id", m->words[i].id, "drained", m->words[i].drained, "weight", m->words[i].weight));
    return list;
}

bool tunnel_memory_write(const char *state_dir, const char *id, const struct tunnel_memory *m,
                         char error[static STATE_FILE_ERROR_SIZE])
{
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)m->version_hash);
    json_t *json = json_pack("{s:s, s:I, s:b, s:s, s:I, s:b, s:o, s:i, s:s}", "status", tunnel_status_name(m->standing.status), "since",
                             (json_int_t)m->standing.since, "ever", m->standing.ever, "told", tunnel_status_name(m->standing.told),
                             "first_seen", (json_int_t)m->first_seen, "drained", m->drained, "connectors", words_json(m), "version", m->version, "version_hash", hash);
    char *text = json_dumps(json, JSON_COMPACT);
    bool written = write_at(state_dir, id, state_suffix, text, false, error);
    free(text);
    json_decref(json);
    return written;
}

static enum tunnel_status status_named(const json_t *name)
{
    for (enum tunnel_status s = TUNNEL_HEALTHY; s <= TUNNEL_INACTIVE; s++)
        if (json_is_string(name) && strcmp(json_string_value(name), tunnel_status_name(s)) == 0)
            return s;
    return TUNNEL_INACTIVE;
}

static void read_word(struct tunnel_memory *m, const json_t *json)
{
    const char *id = json_string_value(json_object_get(json, "id"));
    char lower[UUID_TEXT_SIZE];
    double weight = json_number_value(json_object_get(json, "weight"));
    if (!id || !uuid_parse(id, lower))
        return;
    struct connector_word *word = tunnel_memory_make(m, lower);
    word->drained = json_is_true(json_object_get(json, "drained"));
    word->weight = isfinite(weight) && weight >= 0 ? weight : 1;
}

static void read_memory(const json_t *json, struct tunnel_memory *out)
{
    const char *hash = json_string_value(json_object_get(json, "version_hash"));
    json_t *word;
    size_t i;
    out->standing = (struct tunnel_standing){ .status = status_named(json_object_get(json, "status")),
                                              .told = status_named(json_object_get(json, "told")),
                                              .since = (nsec_t)json_integer_value(json_object_get(json, "since")),
                                              .ever = json_is_true(json_object_get(json, "ever")) };
    out->first_seen = (nsec_t)json_integer_value(json_object_get(json, "first_seen"));
    out->drained = json_is_true(json_object_get(json, "drained"));
    json_array_foreach(json_object_get(json, "connectors"), i, word)
        read_word(out, word);
    out->version = (int)json_integer_value(json_object_get(json, "version"));
    out->version_hash = hash ? strtoull(hash, NULL, 16) : 0;
}

bool tunnel_memory_read(const char *state_dir, const char *id, struct tunnel_memory *out)
{
    char path[PATH_SIZE], error[STATE_FILE_ERROR_SIZE];
    size_t n;
    bool missing = false;
    *out = (struct tunnel_memory){ .version = 0 };
    char *text = path_of(state_dir, id, state_suffix, path) ? state_file_read(path, STATE_MAX, &n, &missing, error) : NULL;
    json_t *json = text ? json_loadb(text, n, 0, NULL) : NULL;
    if (text && !json)
        log_warning("edge", "%s can't be read: what was remembered of the tunnel is lost", path);
    else if (!text && !missing)
        log_warning("edge", "%s: what was remembered of the tunnel is lost", error);
    if (json)
        read_memory(json, out);
    bool known = json;
    free(text);
    json_decref(json);
    return known;
}
