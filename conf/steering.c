/* `steering` and `endpoint_steering`: a policy and its own options, which the policies' registry describes; those of a policy from a
 * shared object are its own matter. */
#include "conf/parts.h"
#include "conf/types.h"
#include "conf/words.h"

#include "base/mem.h"
#include "base/units.h"
#include "steering/module.h"
#include "steering/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MODULE_MAX = 64 * 1024 * 1024 };

static void preset_steering(struct loader *l, const struct conf_key *k, void *object)
{
    (void)l;
    ((struct steering_conf *)(void *)((char *)object + k->offset))->policy = steering_find(k->fallback);
}

/* Between connectors some policies make no sense, and one has a name of its own. */
static const struct replica_policy {
    const char *name, *policy;
} replica_policies[] = {
    { "hash", "hash" }, { "least_outstanding_requests", "least_outstanding_requests" }, { "nearest", "proximity" },
    { "random", "random" }, { "round_robin", "round_robin" },
};

const char *replica_policy_name(size_t i)
{
    for (size_t j = 0; j < sizeof replica_policies / sizeof *replica_policies; j++)
        if (steering_find(replica_policies[j].policy) && i-- == 0)
            return replica_policies[j].name;
    return NULL;
}

static const struct steering_policy *find_replica_policy(const char *name)
{
    for (size_t i = 0; i < sizeof replica_policies / sizeof *replica_policies; i++)
        if (strcmp(replica_policies[i].name, name) == 0)
            return steering_find(replica_policies[i].policy);
    return NULL;
}

static void refuse_policy(struct loader *l, const struct conf_key *k, const char *name, struct source at)
{
    struct words words = { .nearest.word = name };
    const char *known;
    for (size_t i = 0; k->type == &type_replica_steering && (known = replica_policy_name(i)); i++)
        words_offer(&words, known);
    for (size_t i = 0; k->type == &type_steering && steering_policies[i]; i++)
        words_offer(&words, steering_policies[i]->name);
    words_refuse(l, at, "policy", &words);
}

/* `s`: what `policy` says, or what stands for it. */
static const struct steering_policy *find_policy(struct loader *l, const config_setting_t *s, const struct conf_key *k)
{
    const char *name = config_setting_get_string(s);
    const struct steering_policy *policy = NULL;
    if (name)
        policy = k->type == &type_replica_steering ? find_replica_policy(name) : steering_find(name);
    if (!name)
        conf_error(l, document_place(s), "`policy` must be a string, not %s", setting_kind(s));
    else if (!policy)
        refuse_policy(l, k, name, document_place(s));
    return policy;
}

/* --- options --- */

static bool value_of_text(struct steering_option *o, const char *text)
{
    nsec_t duration;
    char *end;
    switch (o->type) {
    case STEERING_NUMBER:
        o->number = strtod(text, &end);
        return end != text && *end == '\0';
    case STEERING_FLAG:
        o->flag = strcmp(text, "true") == 0;
        return o->flag || strcmp(text, "false") == 0;
    case STEERING_TEXT:
        o->text = text;
        return true;
    case STEERING_KEY:
        o->text = text;
        return request_key_parse(text, &(struct request_key){ 0 });
    case STEERING_DURATION:
        if (!duration_parse(text, &duration))
            return false;
        o->number = nsec_to_seconds(duration);
        return true;
    }
    return false;
}

static bool value_of_setting(struct loader *l, struct steering_option *o, const config_setting_t *s)
{
    double zero;
    const char *text = config_setting_get_string(s);
    switch (o->type) {
    case STEERING_NUMBER:
        return number_of(s, &o->number);
    case STEERING_FLAG:
        o->flag = config_setting_get_bool(s) != 0;
        return config_setting_type(s) == CONFIG_TYPE_BOOL;
    case STEERING_TEXT:
        o->text = text ? arena_copy_text(&l->config->arena, text) : NULL;
        return text && *text;
    case STEERING_KEY:
        return text && value_of_text(o, arena_copy_text(&l->config->arena, text));
    case STEERING_DURATION:
        return text ? value_of_text(o, text) : number_of(s, &zero) && zero == 0;
    }
    return false;
}

static const char *kind_of_option(int type)
{
    switch (type) {
    case STEERING_NUMBER:
        return "a number";
    case STEERING_FLAG:
        return "true or false";
    case STEERING_DURATION:
        return "a duration such as \"15s\"";
    case STEERING_KEY:
        return "\"client_ip\", \"header:NAME\", \"cookie:NAME\", \"path\" or \"query:NAME\"";
    default:
        return "a string";
    }
}

static void read_option(struct loader *l, const struct steering_option_row *row, struct steering_option *o,
                        const config_setting_t *s)
{
    bool bounded = row->type == STEERING_NUMBER || row->type == STEERING_DURATION;
    if (!value_of_setting(l, o, s))
        conf_error(l, document_place(s), "`%s` must be %s", row->name, kind_of_option(row->type));
    else if (bounded && (o->number < row->min || o->number > row->max))
        conf_error(l, document_place(s), "`%s` must be between %g and %g%s", row->name, row->min, row->max,
                   row->type == STEERING_DURATION ? " seconds" : "");
}

/* Every option of the policy, with its default where the file doesn't give it. `group` may be NULL. */
static struct steering_options read_options(struct loader *l, const struct steering_policy *policy, const config_setting_t *group)
{
    struct steering_option *items = arena_array(&l->config->arena, steering_option_row_count, sizeof *items);
    size_t n = 0;
    for (size_t i = 0; i < steering_option_row_count; i++) {
        const struct steering_option_row *row = &steering_option_rows[i];
        if (strcmp(row->policy, policy->name) != 0)
            continue;
        const config_setting_t *s = group ? config_setting_get_member((config_setting_t *)group, row->name) : NULL;
        struct steering_option o = { .name = row->name };
        memcpy(&o.type, &row->type, sizeof o.type);
        if (s)
            read_option(l, row, &o, s);
        if (s || (row->fallback && value_of_text(&o, row->fallback)))
            items[n++] = o;
    }
    return (struct steering_options){ items, n };
}

static void refuse_others(struct loader *l, const struct steering_policy *policy, const config_setting_t *group)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem((config_setting_t *)group, (unsigned)i);
        struct nearest nearest = { .word = config_setting_name(s) };
        bool known = strcmp(nearest.word, "policy") == 0;
        for (size_t j = 0; j < steering_option_row_count; j++)
            if (strcmp(steering_option_rows[j].policy, policy->name) == 0) {
                known = known || strcmp(steering_option_rows[j].name, nearest.word) == 0;
                nearest_offer(&nearest, steering_option_rows[j].name);
            }
        if (known)
            continue;
        if (nearest.best)
            conf_error(l, document_place(s), "the policy \"%s\" has no option `%s`: did you mean `%s`?", policy->name, nearest.word,
                       nearest.best);
        else
            conf_error(l, document_place(s), "the policy \"%s\" has no option `%s`", policy->name, nearest.word);
    }
}

/* What the balancer does for it. */
static void note_wishes(struct steering_conf *out, const struct steering_options *options)
{
    for (size_t i = 0; i < options->n; i++)
        if (options->items[i].type == STEERING_KEY)
            request_key_parse(options->items[i].text, &out->key);
    if (out->policy->latency_decay)
        out->latency_decay = (nsec_t)(out->policy->latency_decay(out->config) * (double)NSEC_PER_SEC);
}

static void configure(struct loader *l, struct steering_conf *out, const struct steering_options *options,
                      const config_setting_t *group)
{
    struct steering_error error = { .message = "it can't be configured so, and its policy doesn't say why" };
    if (!out->policy->configure || out->policy->configure(options, &error, &out->config)) {
        note_wishes(out, options);
        return;
    }
    error.message[sizeof error.message - 1] = '\0';
    const config_setting_t *s = group && error.option ? config_setting_get_member((config_setting_t *)group, error.option) : NULL;
    struct source at = s ? document_place(s) : out->at;
    if (error.option)
        conf_error(l, at, "`%s`: %s", error.option, error.message);
    else
        conf_error(l, at, "%s", error.message);
}

/* --- policies in shared objects --- */

static void keep_module(struct config *c, struct steering_module *m)
{
    c->modules = mem_resize(c->modules, c->n_modules + 1, sizeof *c->modules);
    c->modules[c->n_modules++] = m;
}

static struct steering_module *find_module(const struct config *c, const char *path)
{
    for (size_t i = 0; c && i < c->n_modules; i++)
        if (strcmp(steering_module_path(c->modules[i]), path) == 0)
            return c->modules[i];
    return NULL;
}

static struct steering_module *open_module(struct loader *l, const char *path, struct source at)
{
    char error[256];
    size_t n, errors = l->messages->errors;
    const char *whole = name_file(l, path, at);
    if (l->messages->errors > errors)
        return NULL;
    char *image = read_regular_file(whole, MODULE_MAX, &n);
    struct steering_module *m = image ? steering_module_open(whole, image, n, error) : NULL;
    if (!image)
        conf_error(l, at, "can't read %s: %s", whole, strerror(errno));
    else if (!m)
        conf_error(l, at, "can't use the module %s: %s", whole, error);
    free(image);
    return m;
}

/* Loaded once for a configuration, and for those that follow from it without its files being read again. */
static struct steering_module *module_at(struct loader *l, const char *path, struct source at)
{
    const char *whole = path_beside(&l->scratch, at.file, path);
    struct steering_module *m = find_module(l->config, whole);
    if (m)
        return m;
    m = find_module(l->in_force, whole);
    m = m ? steering_module_ref(m) : open_module(l, path, at);
    if (m)
        keep_module(l->config, m);
    return m;
}

static const struct steering_policy *find_policy_of_module(struct loader *l, const config_setting_t *name_setting, const config_setting_t *module)
{
    const char *name = config_setting_get_string(name_setting), *path = config_setting_get_string(module);
    struct source at = document_place(module);
    if (!path || !*path)
        conf_error(l, at, "`module` must be a path in quotes");
    else if (!name || !config_is_name(name))
        conf_error(l, document_place(name_setting), "`policy` must be a name in quotes: letters, digits, \"-\" and \"_\", a letter first");
    else if (steering_find(name))
        conf_error(l, document_place(name_setting), "the policy \"%s\" is built in: take `module` out, or give the module's policy another name", name);
    else {
        const struct steering_module *m = module_at(l, path, at);
        const struct steering_policy *policy = m ? steering_module_policy(m) : NULL;
        if (!policy || strcmp(policy->name, name) == 0)
            return policy;
        conf_error(l, at, "the policy of %s is \"%.64s\", not \"%s\"", steering_module_path(m), policy->name, name);
    }
    return NULL;
}

static bool value_as_written(struct loader *l, struct steering_option *o, const config_setting_t *s)
{
    nsec_t duration;
    const char *text = config_setting_get_string(s);
    if (config_setting_type(s) == CONFIG_TYPE_BOOL)
        o->type = STEERING_FLAG;
    else if (!text)
        o->type = STEERING_NUMBER;
    else if (strcmp(o->name, "key") == 0)
        o->type = STEERING_KEY;
    else
        o->type = duration_parse(text, &duration) ? STEERING_DURATION : STEERING_TEXT;
    if (o->type == STEERING_DURATION)
        o->text = arena_copy_text(&l->config->arena, text);
    return value_of_setting(l, o, s);
}

/* What the group has beside `policy` and `module`. */
static struct steering_options read_module_options(struct loader *l, const config_setting_t *group)
{
    int length = config_setting_length(group);
    struct steering_option *items = arena_array(&l->config->arena, (size_t)length, sizeof *items);
    size_t n = 0;
    for (int i = 0; i < length; i++) {
        const config_setting_t *s = config_setting_get_elem((config_setting_t *)group, (unsigned)i);
        struct steering_option o = { .name = arena_copy_text(&l->config->arena, config_setting_name(s)) };
        if (strcmp(o.name, "policy") == 0 || strcmp(o.name, "module") == 0)
            continue;
        if (value_as_written(l, &o, s))
            items[n++] = o;
        else if (o.type == STEERING_KEY)
            conf_error(l, document_place(s), "`key` must be %s", kind_of_option(STEERING_KEY));
        else
            conf_error(l, document_place(s), "`%s` must be a number, true or false, or a string that isn't empty", o.name);
    }
    return (struct steering_options){ items, n };
}

static void read_group_of_module(struct loader *l, const config_setting_t *name, const config_setting_t *module, const config_setting_t *group,
                                 struct steering_conf *out)
{
    size_t errors = l->messages->errors;
    const struct steering_policy *policy = find_policy_of_module(l, name, module);
    struct steering_options options = read_module_options(l, group);
    if (l->messages->errors > errors)
        return;
    out->policy = policy;
    configure(l, out, &options, group);
}

static void read_group_of_policy(struct loader *l, const struct conf_key *k, const config_setting_t *group, struct steering_conf *out)
{
    size_t errors = l->messages->errors;
    const config_setting_t *s = config_setting_get_member((config_setting_t *)group, "policy");
    const config_setting_t *module = k->type == &type_steering ? config_setting_get_member((config_setting_t *)group, "module") : NULL;
    out->at = document_place(group);
    if (s && module) {
        read_group_of_module(l, s, module, group, out);
        return;
    }
    const struct steering_policy *policy = s ? find_policy(l, s, k) : NULL;
    if (!s)
        conf_error(l, out->at, "`%s` needs `policy`", k->name);
    if (!policy)
        return;
    out->policy = policy;
    refuse_others(l, policy, group);
    struct steering_options options = read_options(l, policy, group);
    if (l->messages->errors == errors)
        configure(l, out, &options, group);
}

static void read_steering(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct steering_conf *out = (void *)((char *)object + k->offset);
    const config_setting_t *s = g->settings[0];

    if (config_setting_is_group(s))
        read_group_of_policy(l, k, s, out);
    else
        conf_error(l, document_place(s), "`%s` must be %s, not %s", k->name, k->type->name, setting_kind(s));
}

/* A name alone is a policy with the defaults of its options. */
static void read_replica_steering(struct loader *l, const struct conf_key *k, const struct given *g, void *object)
{
    struct steering_conf *out = (void *)((char *)object + k->offset);
    const config_setting_t *s = g->settings[0];
    const struct steering_policy *policy = NULL;

    if (config_setting_type(s) != CONFIG_TYPE_STRING)
        read_steering(l, k, g, object);
    else
        policy = find_policy(l, s, k);
    if (!policy)
        return;
    out->policy = policy;
    configure_default_steering(l, out, document_place(s));
}

void configure_default_steering(struct loader *l, struct steering_conf *out, struct source at)
{
    struct steering_options options = read_options(l, out->policy, NULL);
    out->at = at;
    configure(l, out, &options, NULL);
}

const struct conf_type type_steering = { "a group { policy = \"…\"; … }", "policy and its options", .preset = preset_steering,
                                         .read = read_steering };
const struct conf_type type_replica_steering = { "the name of a policy, or a group { policy = \"…\"; … }", "policy", .preset = preset_steering,
                                                 .read = read_replica_steering };
