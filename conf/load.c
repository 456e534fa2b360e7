#include "conf/parts.h"

#include "balance/geoip.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void read_documents(struct loader *l)
{
    size_t n = l->documents.n;
    const config_setting_t **roots = arena_array(&l->scratch, n, sizeof *roots);
    for (size_t i = 0; i < n; i++)
        roots[i] = document_root(&l->documents, i);
    preset_group(l, &conf_root, l->config);
    read_group(l, &conf_root, roots, n, l->config);
}

static void start(struct loader *l, const char *path)
{
    l->config->file = arena_copy_text(&l->config->arena, path);
    l->documents.arena = &l->config->arena;
    l->documents.messages = l->messages;
}

static void keep_texts(struct loader *l)
{
    l->config->texts = documents_texts(&l->documents);
    l->config->n_texts = l->documents.n;
}

/* A tree that couldn't be read would only make the others look wrong: names it has would be missing. */
static struct config *finish(struct loader *l, size_t errors)
{
    if (l->messages->errors == errors)
        read_documents(l);
    keep_texts(l);
    documents_clear(&l->documents);
    arena_clear(&l->scratch);
    free(l->files);
    if (l->messages->errors == errors)
        return l->config;
    config_unref(l->config);
    return NULL;
}

struct config *conf_load(const char *path, struct conf_messages *messages)
{
    struct loader l = { .config = config_new(), .messages = messages };
    size_t errors = messages->errors;

    start(&l, path);
    documents_read(&l.documents, path);
    return finish(&l, errors);
}

/* --- again, with more endpoints --- */

static int compare_joined(const void *a, const void *b)
{
    const struct conf_joined *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);
    return by_name ? by_name : strcmp(x->pool, y->pool);
}

static const struct conf_joined *sort_joined(struct arena *arena, const struct conf_joined *joined, size_t n)
{
    struct conf_joined *sorted = arena_array(arena, n, sizeof *sorted);
    if (n)
        memcpy(sorted, joined, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_joined);
    return sorted;
}

static void pass_errors_on(const struct conf_messages *from, struct conf_messages *to)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct conf_message *m = &from->items[i];
        if (m->severity == CONF_ERROR)
            conf_messages_add(to, CONF_ERROR, &(struct source){ m->file, m->line }, "%s", m->text);
    }
}

/* Unless it was taken already: its files are not read again. */
static void keep_geoip(struct config *config, const struct config *in_force)
{
    const struct geoip_conf *kept = &in_force->geoip;
    config->geoip.opened = kept->opened ? geoip_ref(kept->opened) : NULL;
    config->geoip.problem = kept->problem ? arena_copy_text(&config->arena, kept->problem) : NULL;
}

struct config *conf_join(const struct config *in_force, const struct conf_joined *joined, size_t n, struct conf_messages *messages)
{
    struct conf_messages told = { 0 };
    struct loader l = { .config = config_new(), .messages = &told, .in_force = in_force, .n_joined = n, .rejoining = true };

    l.joined = sort_joined(&l.scratch, joined, n);
    start(&l, in_force->file);
    documents_read_kept(&l.documents, in_force->texts, in_force->n_texts);
    struct config *config = finish(&l, 0);
    if (config)
        keep_geoip(config, in_force);
    pass_errors_on(&told, messages);
    conf_messages_clear(&told);
    return config;
}
