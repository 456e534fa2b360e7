#include "conf/parts.h"

#include "base/mem.h"

static void read_documents(struct loader *l)
{
    size_t n = l->documents.n;
    const config_setting_t **roots = arena_array(&l->scratch, n, sizeof *roots);
    for (size_t i = 0; i < n; i++)
        roots[i] = document_root(&l->documents, i);
    preset_group(l, &conf_root, l->config);
    read_group(l, &conf_root, roots, n, l->config);
}

/* A tree that couldn't be read would only make the others look wrong: names it has would be missing. */
static void load(struct loader *l, const char *path)
{
    l->config->file = arena_copy_text(&l->config->arena, path);
    l->documents.arena = &l->config->arena;
    l->documents.messages = l->messages;
    size_t errors = l->messages->errors;
    documents_read(&l->documents, path);
    if (l->messages->errors == errors)
        read_documents(l);
}

struct config *conf_load(const char *path, struct conf_messages *messages)
{
    struct loader l = { .config = config_new(), .messages = messages };
    size_t errors = messages->errors;

    load(&l, path);
    documents_clear(&l.documents);
    arena_clear(&l.scratch);
    free(l.files);
    if (messages->errors == errors)
        return l.config;
    config_unref(l.config);
    return NULL;
}
