#include "conf/loader.h"

#include "base/mem.h"
#include "base/nearest.h"
#include "base/slice.h"

#include <string.h>

enum { LISTED_MAX = 12 }; /* known keys in a message */

static void __attribute__((format(printf, 4, 0)))
tell(struct loader *l, enum conf_severity severity, struct source at, const char *format, va_list arguments)
{
    struct text text = { 0 };
    text_vaddf(&text, format, arguments);
    conf_messages_add(l->messages, severity, &at, "%s", text.p ? text.p : "");
    text_clear(&text);
}

void conf_error(struct loader *l, struct source at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(l, CONF_ERROR, at, format, arguments);
    va_end(arguments);
}

void conf_warning(struct loader *l, struct source at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(l, CONF_WARNING, at, format, arguments);
    va_end(arguments);
}

const char *setting_kind(const config_setting_t *s)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_GROUP:
        return "a group { }";
    case CONFIG_TYPE_LIST:
        return "a list ( )";
    case CONFIG_TYPE_ARRAY:
        return "an array [ ]";
    case CONFIG_TYPE_STRING:
        return "a string";
    case CONFIG_TYPE_BOOL:
        return "true or false";
    default:
        return "a number";
    }
}

/* --- what is given --- */

bool is_given(const struct given *g)
{
    return g->n || g->file || g->env;
}

struct source given_place(const struct given *g)
{
    return document_place(g->n ? g->settings[0] : g->file ? g->file : g->env);
}

const struct given *member(const struct members *m, const char *name)
{
    size_t i = 0;
    while (strcmp(m->group->keys[i].name, name) != 0)
        i++;
    return &m->given[i];
}

bool is_good(const struct loader *l, const struct members *m)
{
    return l->messages->errors == m->errors;
}

bool has_member(const struct members *m, const char *name)
{
    return is_given(member(m, name));
}

struct source member_place(const struct members *m, const char *name)
{
    return has_member(m, name) ? given_place(member(m, name)) : m->at;
}

const char *member_text(const struct members *m, const char *name)
{
    const struct given *g = member(m, name);
    return g->n ? config_setting_get_string(g->settings[0]) : NULL;
}

static size_t length_of(const config_setting_t *s)
{
    return config_setting_type(s) == CONFIG_TYPE_STRING ? 1 : (size_t)config_setting_length(s);
}

size_t count_elements(const struct given *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        n += length_of(g->settings[i]);
    return n;
}

struct element element_at(const struct given *g, size_t i)
{
    size_t which = 0;
    while (i >= length_of(g->settings[which]))
        i -= length_of(g->settings[which++]);
    const config_setting_t *s = g->settings[which];
    if (config_setting_type(s) != CONFIG_TYPE_STRING)
        s = config_setting_get_elem((config_setting_t *)s, (unsigned)i);
    const char *text = config_setting_get_string(s);
    return (struct element){ s, text && *text ? text : NULL, document_place(s) };
}

/* --- groups --- */

static const char *const secret_suffixes[] = { "", "_file", "_env" };

/* The key a name stands for, and which form of it: 0 itself, 1 _file, 2 _env. */
static const struct conf_key *find_key(const struct conf_group *group, const char *name, size_t *form)
{
    for (const struct conf_key *k = group->keys; k->name; k++) {
        size_t n = strlen(k->name);
        if (strncmp(name, k->name, n) != 0)
            continue;
        for (*form = 0; *form < (k->type->is_secret ? 3 : 1); ++*form)
            if (strcmp(name + n, secret_suffixes[*form]) == 0)
                return k;
    }
    return NULL;
}

/* Like none of the known ones: these are told where they are few. */
static void refuse_strange(struct loader *l, const struct conf_group *group, const config_setting_t *s)
{
    struct text known = { 0 };
    unsigned n = 0;
    for (const struct conf_key *k = group->keys; k->name; k++)
        text_addf(&known, "%s`%s`", n++ ? ", " : "", k->name);
    conf_error(l, document_place(s), "unknown key `%s` in %s%s%s%s", config_setting_name(s), group->what, n <= LISTED_MAX ? " (known: " : "",
               n <= LISTED_MAX ? known.p : "", n <= LISTED_MAX ? ")" : "");
    text_clear(&known);
}

static void refuse_unknown(struct loader *l, const struct conf_group *group, const config_setting_t *s)
{
    struct nearest nearest = { .word = config_setting_name(s) };
    for (const struct conf_key *k = group->keys; k->name; k++)
        for (size_t form = 0; form < (k->type->is_secret ? 3 : 1); form++)
            nearest_offer(&nearest, form == 0 ? k->name : arena_printf(&l->scratch, "%s%s", k->name, secret_suffixes[form]));
    if (nearest.best)
        conf_error(l, document_place(s), "unknown key `%s` in %s: did you mean `%s`?", nearest.word, group->what, nearest.best);
    else
        refuse_strange(l, group, s);
}

static void give_list(struct loader *l, struct given *g, const config_setting_t *s)
{
    const config_setting_t **all = arena_array(&l->scratch, g->n + 1, sizeof *all);
    if (g->n)
        memcpy(all, g->settings, g->n * sizeof *all);
    all[g->n] = s;
    g->settings = all;
    g->n++;
}

static void give(struct loader *l, const struct conf_key *k, size_t form, struct given *g, const config_setting_t *s)
{
    if (form == 1) {
        g->file = s;
    } else if (form == 2) {
        g->env = s;
    } else if (g->n && !k->type->is_list) {
        struct source first = document_place(g->settings[0]);
        conf_error(l, document_place(s), "`%s` is given in %s:%u already; only lists may be in several files", k->name, first.file,
                   first.line);
    } else {
        give_list(l, g, s);
    }
}

static void collect(struct loader *l, struct members *m, const config_setting_t *group)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        size_t form;
        const config_setting_t *s = config_setting_get_elem((config_setting_t *)group, (unsigned)i);
        const struct conf_key *k = find_key(m->group, config_setting_name(s), &form);
        if (k)
            give(l, k, form, &m->given[k - m->group->keys], s);
        else
            refuse_unknown(l, m->group, s);
    }
}

static size_t count_keys(const struct conf_group *group)
{
    size_t n = 0;
    while (group->keys[n].name)
        n++;
    return n;
}

void preset_group(struct loader *l, const struct conf_group *group, void *object)
{
    for (const struct conf_key *k = group->keys; k->name; k++)
        if (k->type->preset)
            k->type->preset(l, k, object);
    if (group->start)
        group->start(l, object);
}

static void read_members(struct loader *l, const struct members *m, void *object)
{
    for (const struct conf_key *k = m->group->keys; k->name; k++) {
        const struct given *g = &m->given[k - m->group->keys];
        if (is_given(g))
            k->type->read(l, k, g, object);
        else if (k->required)
            conf_error(l, m->at, "%s needs `%s`", m->group->what, k->name);
    }
    if (m->group->finish)
        m->group->finish(l, m, object);
}

void read_group(struct loader *l, const struct conf_group *group, const config_setting_t *const *settings, size_t n, void *object)
{
    struct members m = { .group = group, .at = document_place(settings[0]), .errors = l->messages->errors };

    m.given = arena_array(&l->scratch, count_keys(group), sizeof *m.given);
    for (size_t i = 0; i < n; i++)
        collect(l, &m, settings[i]);
    if (group->at != CONF_NOWHERE)
        memcpy((char *)object + group->at, &m.at, sizeof m.at);
    read_members(l, &m, object);
}
