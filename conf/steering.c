/* `steering` and `endpoint_steering`: a policy and its own options, which the policies' registry describes. */
#include "conf/parts.h"
#include "conf/types.h"
#include "conf/words.h"

#include "base/units.h"
#include "steering/registry.h"

#include <stdlib.h>
#include <string.h>

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
    struct steering_error error = { 0 };
    if (!out->policy->configure || out->policy->configure(options, &error, &out->config)) {
        note_wishes(out, options);
        return;
    }
    const config_setting_t *s = group && error.option ? config_setting_get_member((config_setting_t *)group, error.option) : NULL;
    struct source at = s ? document_place(s) : out->at;
    if (error.option)
        conf_error(l, at, "`%s`: %s", error.option, error.message);
    else
        conf_error(l, at, "%s", error.message);
}

static void read_group_of_policy(struct loader *l, const struct conf_key *k, const config_setting_t *group, struct steering_conf *out)
{
    size_t errors = l->messages->errors;
    const config_setting_t *s = config_setting_get_member((config_setting_t *)group, "policy");
    const struct steering_policy *policy = s ? find_policy(l, s, k) : NULL;
    out->at = document_place(group);
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
