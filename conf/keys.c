#include "conf/parts.h"
#include "conf/types.h"

#include "steering/registry.h"

static const char *default_of(const struct conf_key *k)
{
    if (k->required)
        return "required";
    return k->default_text ? k->default_text : k->fallback ? k->fallback : "";
}

static void print_range(const struct conf_key *k, struct text *out)
{
    const char *policy;
    for (const struct conf_choice *c = k->choices; c && c->name; c++)
        text_addf(out, "%s%s", out->n ? ", " : "", c->name);
    for (size_t i = 0; k->type == &type_replica_steering && (policy = replica_policy_name(i)); i++)
        text_addf(out, "%s%s", out->n ? ", " : "", policy);
    if (k->choices || (!k->least && !k->most))
        return;
    if (!k->most)
        text_addf(out, "at least %s", k->least);
    else if (!k->least)
        text_addf(out, "at most %s", k->most);
    else
        text_addf(out, "%s - %s", k->least, k->most);
}

static void print_key(FILE *out, const char *path, const struct conf_key *k)
{
    struct text range = { 0 };
    print_range(k, &range);
    fprintf(out, "%s%s\t%s\t%s\t%s\t%s\n", path, k->type->is_list && k->members ? "[]" : "", k->type->short_name, default_of(k),
            range.p ? range.p : "", k->help);
    text_clear(&range);
}

static const char *name_of_option_type(int type)
{
    static const char *const names[] = {
        [STEERING_NUMBER] = "number", [STEERING_FLAG] = "flag", [STEERING_TEXT] = "text", [STEERING_DURATION] = "duration", [STEERING_KEY] = "key"
    };
    return names[type];
}

static void print_option(FILE *out, const char *path, const struct steering_option_row *row)
{
    bool bounded = row->type == STEERING_NUMBER || row->type == STEERING_DURATION;
    const char *unit = row->type == STEERING_DURATION ? "s" : "";
    fprintf(out, "%s.%s\t%s\t%s\t", path, row->name, name_of_option_type(row->type), row->fallback ? row->fallback : "");
    if (bounded)
        fprintf(out, "%g%s - %g%s", row->min, unit, row->max, unit);
    fprintf(out, "\tPolicy %s: %s\n", row->policy, row->help);
}

static void print_policies(FILE *out, const char *path)
{
    fprintf(out, "%s.policy\tpolicy\trequired\t", path);
    for (size_t i = 0; steering_policies[i]; i++)
        fprintf(out, "%s%s", i ? ", " : "", steering_policies[i]->name);
    fprintf(out, "\tWho gets the next request; with `module`, the name of its policy.\n"
                 "%s.module\tfile\t\t\tA shared object with a policy of your own, whose options stand beside it.\n", path);
    for (size_t i = 0; i < steering_option_row_count; i++)
        print_option(out, path, &steering_option_rows[i]);
}

static void print_group(FILE *out, const char *prefix, const struct conf_group *group)
{
    for (const struct conf_key *k = group->keys; k->name; k++) {
        struct text path = { 0 };
        text_addf(&path, "%s%s", prefix, k->name);
        print_key(out, path.p, k);
        if (k->members && !k->inherits) {
            text_addf(&path, "%s.", k->type->is_list ? "[]" : "");
            print_group(out, path.p, k->members);
        }
        if (k->type == &type_steering)
            print_policies(out, path.p);
        text_clear(&path);
    }
}

void conf_print_keys(FILE *out)
{
    print_group(out, "", &conf_root);
}
