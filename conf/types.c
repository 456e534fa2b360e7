#include "conf/types.h"

#include "base/slice.h"
#include "base/units.h"
#include "conf/loader.h"
#include "conf/words.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *field(const struct conf_key *k, void *object)
{
    return (char *)object + k->offset;
}

static void refuse_kind(struct loader *l, const struct conf_key *k, const config_setting_t *s)
{
    conf_error(l, document_place(s), "`%s` must be %s, not %s", k->name, k->type->name, setting_kind(s));
}

static void refuse_range(struct loader *l, const struct conf_key *k, struct source at)
{
    if (!k->least)
        conf_error(l, at, "`%s` must be at most %s", k->name, k->most);
    else if (!k->most)
        conf_error(l, at, "`%s` must be at least %s", k->name, k->least);
    else
        conf_error(l, at, "`%s` must be between %s and %s", k->name, k->least, k->most);
}

bool number_of(const config_setting_t *s, double *out)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        *out = (double)config_setting_get_int64(s);
        return true;
    case CONFIG_TYPE_FLOAT:
        *out = config_setting_get_float(s);
        return isfinite(*out);
    default:
        return false;
    }
}

void store_array(const struct conf_key *k, void *object, const void *items, size_t n)
{
    memcpy(field(k, object), &items, sizeof items);
    memcpy((char *)object + k->count_offset, &n, sizeof n);
}

/* --- flags and numbers --- */

static void preset_flag(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    if (k->offset != CONF_NOWHERE)
        *(bool *)field(k, object) = k->fallback && strcmp(k->fallback, "true") == 0;
}

static void read_flag(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    if (config_setting_type(g->settings[0]) != CONFIG_TYPE_BOOL)
        refuse_kind(l, k, g->settings[0]);
    else if (k->offset != CONF_NOWHERE)
        *(bool *)field(k, object) = config_setting_get_bool(g->settings[0]) != 0;
}

const struct conf_type type_flag = { "true or false", "flag", .preset = preset_flag, .read = read_flag };

static bool in_number_range(const struct conf_key *k, double value)
{
    return (!k->least || value >= strtod(k->least, NULL)) && (!k->most || value <= strtod(k->most, NULL));
}

static bool read_number(struct loader *l, const struct conf_key *k, const struct given *g, double *out)
{
    const config_setting_t *s = g->settings[0];
    if (!number_of(s, out)) {
        refuse_kind(l, k, s);
        return false;
    }
    if (!in_number_range(k, *out)) {
        refuse_range(l, k, document_place(s));
        return false;
    }
    return true;
}

static void preset_count(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    if (k->fallback)
        *(unsigned *)field(k, object) = (unsigned)strtoul(k->fallback, NULL, 10);
}

static void read_count(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    double value;
    if (!read_number(l, k, g, &value))
        return;
    if (value != floor(value) || value < 0 || value > UINT_MAX)
        conf_error(l, given_place(g), "`%s` must be %s", k->name, k->type->name);
    else
        *(unsigned *)field(k, object) = (unsigned)value;
}

const struct conf_type type_count = { "a whole number", "count", .preset = preset_count, .read = read_count };

static void preset_double(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    if (k->fallback)
        *(double *)field(k, object) = strtod(k->fallback, NULL);
}

static void read_double(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    double value;
    if (read_number(l, k, g, &value))
        *(double *)field(k, object) = value;
}

const struct conf_type type_number = { "a number", "number", .preset = preset_double, .read = read_double };

static void preset_coordinate(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    *(float *)field(k, object) = NAN;
}

static void read_coordinate(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    double value;
    if (read_number(l, k, g, &value))
        *(float *)field(k, object) = (float)value;
}

const struct conf_type type_coordinate = { "a number of degrees", "degrees", .preset = preset_coordinate, .read = read_coordinate };

/* --- units --- */

static void preset_duration(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    if (k->fallback)
        duration_parse(k->fallback, field(k, object));
}

static void read_duration(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const config_setting_t *s = g->settings[0];
    const char *text = config_setting_get_string(s);
    double number;
    nsec_t value, bound;

    if (!text && number_of(s, &number) && number == 0)
        text = "0";
    if (!text && number_of(s, &number))
        conf_error(l, document_place(s), "`%s` needs a unit and quotes: \"%gs\"", k->name, number);
    else if (!text)
        refuse_kind(l, k, s);
    else if (!duration_parse(text, &value))
        conf_error(l, document_place(s), "`%s` must be %s, not \"%s\" (units: ms s m h d)", k->name, k->type->name, text);
    else if ((k->least && duration_parse(k->least, &bound) && value < bound) ||
             (k->most && duration_parse(k->most, &bound) && value > bound))
        refuse_range(l, k, document_place(s));
    else
        *(nsec_t *)field(k, object) = value;
}

const struct conf_type type_duration = { "a duration such as \"15s\"", "duration", .preset = preset_duration,
                                         .read = read_duration };

static void preset_size(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    if (k->fallback)
        size_parse(k->fallback, field(k, object));
}

static void read_size(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const config_setting_t *s = g->settings[0];
    const char *text = config_setting_get_string(s);
    char digits[32];
    double number;
    uint64_t value, bound;

    if (!text && number_of(s, &number)) {
        snprintf(digits, sizeof digits, "%.0f", number);
        text = digits;
    }
    if (!text)
        refuse_kind(l, k, s);
    else if (!size_parse(text, &value))
        conf_error(l, document_place(s), "`%s` must be %s, not \"%s\" (units: none for bytes, k, m, g)", k->name, k->type->name,
                   text);
    else if ((k->least && size_parse(k->least, &bound) && value < bound) ||
             (k->most && size_parse(k->most, &bound) && value > bound))
        refuse_range(l, k, document_place(s));
    else
        *(uint64_t *)field(k, object) = value;
}

const struct conf_type type_size = { "a size such as \"64k\"", "size", .preset = preset_size, .read = read_size };

static void preset_mode(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    *(unsigned *)field(k, object) = (unsigned)strtoul(k->fallback, NULL, 8);
}

static void read_mode(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *text = config_setting_get_string(g->settings[0]);
    size_t n = text ? strspn(text, "01234567") : 0;
    if (n < 3 || n > 4 || text[n] || (n == 4 && *text != '0'))
        conf_error(l, given_place(g), "`%s` must be %s", k->name, k->type->name);
    else
        *(unsigned *)field(k, object) = (unsigned)strtoul(text, NULL, 8);
}

const struct conf_type type_mode = { "permissions in octal and in quotes, such as \"0660\"", "mode", .preset = preset_mode,
                                     .read = read_mode };

/* --- words --- */

bool choose_word(const struct conf_key *k, const char *word, int *value)
{
    for (const struct conf_choice *c = k->choices; c->name; c++)
        if (strcmp(c->name, word) == 0) {
            *value = c->value;
            return true;
        }
    return false;
}

static void refuse_choice(struct loader *l, const struct conf_key *k, const char *word, struct source at)
{
    struct words words = { .nearest.word = word };
    for (const struct conf_choice *c = k->choices; c->name; c++)
        words_offer(&words, c->name);
    words_refuse(l, at, arena_printf(&l->scratch, "`%s`", k->name), &words);
}

static void preset_choice(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    if (k->fallback)
        choose_word(k, k->fallback, field(k, object));
}

static void read_choice(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const config_setting_t *s = g->settings[0];
    const char *bare = config_setting_type(s) == CONFIG_TYPE_INT ? arena_printf(&l->scratch, "%d", config_setting_get_int(s)) : NULL;
    if (bare && choose_word(k, bare, field(k, object))) {
        conf_error(l, document_place(s), "`%s` needs quotes: \"%s\"", k->name, bare);
        return;
    }
    const char *text = require_text(l, k, g->settings[0]);
    if (text && !choose_word(k, text, field(k, object)))
        refuse_choice(l, k, text, given_place(g));
}

const struct conf_type type_choice = { "a string", "choice", .preset = preset_choice, .read = read_choice };

static const char *require_text_but_for(struct loader *l, const struct conf_key *k, const config_setting_t *s, const char *allowed)
{
    const char *text = config_setting_get_string(s);
    if (!text) {
        refuse_kind(l, k, s);
        return NULL;
    }
    if (!*text)
        conf_error(l, document_place(s), "`%s` is empty", k->name);
    for (const char *p = text; *p; p++)
        if (((unsigned char)*p < ' ' && !strchr(allowed, *p)) || *p == 0x7f) {
            conf_error(l, document_place(s), "`%s` has a control character, such as a line break: take it out", k->name);
            return NULL;
        }
    return *text ? text : NULL;
}

const char *require_text(struct loader *l, const struct conf_key *k, const config_setting_t *s)
{
    return require_text_but_for(l, k, s, "");
}

static void store_text(struct loader *l, const struct conf_key *k, const char *text, void *object)
{
    if (k->offset != CONF_NOWHERE)
        *(const char **)field(k, object) = arena_copy_text(&l->config->arena, text);
}

static void preset_text(struct loader *l, const struct conf_key *k, void *object)
{
    if (k->fallback)
        store_text(l, k, k->fallback, object);
}

static void read_text(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *text = require_text(l, k, g->settings[0]);
    if (text)
        store_text(l, k, text, object);
}

const struct conf_type type_text = { "a string", "text", .preset = preset_text, .read = read_text };

static void read_lines(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *text = require_text_but_for(l, k, g->settings[0], "\t\r\n");
    if (text)
        store_text(l, k, text, object);
}

const struct conf_type type_lines = { "a string", "text", .preset = preset_text, .read = read_lines };

static void read_name(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *text = require_text(l, k, g->settings[0]);
    if (text && !config_is_name(text))
        conf_error(l, given_place(g), "\"%s\" is no name: letters, digits, `-` and `_`, beginning with a letter", text);
    else if (text)
        store_text(l, k, text, object);
}

const struct conf_type type_name = { "a name in quotes", "name", .preset = preset_text, .read = read_name };

static const char *path_from(struct loader *l, const struct conf_key *k, const config_setting_t *s)
{
    const char *text = require_text(l, k, s);
    return text ? path_beside(&l->config->arena, document_place(s).file, text) : NULL;
}

static void read_path(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *path = path_from(l, k, g->settings[0]);
    if (path)
        *(const char **)field(k, object) = path;
}

const struct conf_type type_path = { "a path in quotes", "path", .preset = preset_text, .read = read_path };

static void read_file(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    const char *text = require_text(l, k, g->settings[0]);
    if (text)
        *(const char **)field(k, object) = name_file(l, text, given_place(g));
}

const struct conf_type type_file = { "a path in quotes", "file", .read = read_file };

/* --- lists --- */

static bool in_count_range(struct loader *l, const struct conf_key *k, const struct given *g)
{
    size_t n = count_elements(g);
    if (k->least && n < strtoul(k->least, NULL, 10))
        conf_error(l, given_place(g), "`%s` is empty; it needs at least %s", k->name, k->least);
    else if (k->most && n > strtoul(k->most, NULL, 10))
        conf_error(l, given_place(g), "`%s` has %zu elements; %s is the most", k->name, n, k->most);
    else
        return true;
    return false;
}

bool require_list(struct loader *l, const struct conf_key *k, const struct given *g)
{
    for (size_t i = 0; i < g->n; i++) {
        int type = config_setting_type(g->settings[i]);
        if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_STRING) {
            refuse_kind(l, k, g->settings[i]);
            return false;
        }
    }
    for (size_t i = 0; i < count_elements(g); i++) {
        struct element e = element_at(g, i);
        if (!e.text && config_setting_type(e.setting) == CONFIG_TYPE_STRING)
            conf_error(l, e.at, "`%s` has an empty string", k->name);
        else if (!e.text)
            conf_error(l, e.at, "`%s` must be %s, but has %s", k->name, k->type->name, setting_kind(e.setting));
    }
    return in_count_range(l, k, g);
}

static void read_texts(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    if (!require_list(l, k, g) || k->offset == CONF_NOWHERE)
        return;
    size_t n = count_elements(g);
    const char **items = arena_array(&l->config->arena, n, sizeof *items);
    for (size_t i = 0; i < n; i++)
        items[i] = element_at(g, i).text ? arena_copy_text(&l->config->arena, element_at(g, i).text) : "";
    store_array(k, object, items, n);
}

const struct conf_type type_texts = { "a list of strings [ \"…\" ]", "list of text", .is_list = true, .read = read_texts };

static void preset_inner_group(struct loader *l, const struct conf_key *k, void *object)
{
    if (!k->inherits)
        preset_group(l, k->members, field(k, object));
}

static void refuse_global_keys(struct loader *l, const struct conf_group *group, const config_setting_t *s)
{
    for (const struct conf_key *k = group->keys; k->name; k++) {
        const config_setting_t *given = config_setting_get_member((config_setting_t *)s, k->name);
        if (given && k->before_route)
            conf_error(l, document_place(given), "`%s` applies before a load balancer is chosen: it can be given for all only",
                       k->name);
    }
}

static void read_inner_group(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    if (!config_setting_is_group(g->settings[0])) {
        refuse_kind(l, k, g->settings[0]);
        return;
    }
    read_group(l, k->members, g->settings, 1, field(k, object));
    if (k->inherits)
        refuse_global_keys(l, k->members, g->settings[0]);
}

const struct conf_type type_group = { "a group { … }", "group", .is_group = true, .preset = preset_inner_group,
                                      .read = read_inner_group };

bool require_groups(struct loader *l, const struct conf_key *k, const struct given *g)
{
    for (size_t i = 0; i < g->n; i++) {
        /* An empty [ ] is as good as an empty ( ). */
        bool good = config_setting_is_list(g->settings[i]) ||
                    (config_setting_is_array(g->settings[i]) && config_setting_length(g->settings[i]) == 0);
        if (!good) {
            refuse_kind(l, k, g->settings[i]);
            return false;
        }
    }
    return in_count_range(l, k, g);
}

bool read_item(struct loader *l, const struct conf_key *k, const config_setting_t *element, void *item)
{
    preset_group(l, k->members, item);
    if (!config_setting_is_group(element)) {
        conf_error(l, document_place(element), "`%s` must be %s, but has %s", k->name, k->type->name, setting_kind(element));
        return false;
    }
    read_group(l, k->members, &element, 1, item);
    return true;
}

static void read_list(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    if (!require_groups(l, k, g))
        return;
    size_t n = count_elements(g);
    char *items = arena_array(&l->config->arena, n, k->members->size);
    store_array(k, object, items, n);
    for (size_t i = 0; i < n; i++)
        read_item(l, k, element_at(g, i).setting, items + i * k->members->size);
}

const struct conf_type type_list = { "a list of groups ( { … }, { … } )", "list of groups", .is_list = true, .is_group = true,
                                     .read = read_list };
