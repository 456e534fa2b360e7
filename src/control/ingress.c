#include "control/ingress.h"

#include "balance/config.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the canonical form --- */

static bool is_empty(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_NULL:
        return true;
    case JSON_STRING:
        return json_string_length(v) == 0;
    case JSON_OBJECT:
        return json_object_size(v) == 0;
    case JSON_ARRAY:
        return json_array_size(v) == 0;
    case JSON_FALSE: /* what is not given is false */
        return true;
    case JSON_TRUE:
    case JSON_INTEGER:
    case JSON_REAL:
        break;
    }
    return false;
}

static json_t *without_empty(const json_t *v);

static json_t *object_without_empty(const json_t *v)
{
    json_t *out = json_object(), *member;
    const char *key;
    json_object_foreach((json_t *)v, key, member) {
        json_t *kept = without_empty(member);
        if (is_empty(kept))
            json_decref(kept);
        else
            json_object_set_new_nocheck(out, key, kept);
    }
    return out;
}

/* Of a list each element counts: its place does. */
static json_t *list_without_empty(const json_t *v)
{
    json_t *out = json_array(), *element;
    size_t i;
    json_array_foreach((json_t *)v, i, element)
        json_array_append_new(out, without_empty(element));
    return out;
}

static json_t *without_empty(const json_t *v)
{
    if (json_is_object(v))
        return object_without_empty(v);
    if (json_is_array(v))
        return list_without_empty(v);
    return json_deep_copy(v);
}

static void keep_member(json_t *out, const json_t *from, const char *key)
{
    const json_t *member = json_object_get(from, key);
    json_t *kept = member ? without_empty(member) : json_null();
    if (is_empty(kept))
        json_decref(kept);
    else
        json_object_set_new(out, key, kept);
}

json_t *ingress_read(const char *json, size_t n)
{
    json_t *given = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL), *out = NULL;
    if (json_is_array(json_object_get(given, "ingress"))) {
        out = json_object();
        keep_member(out, given, "ingress");
        keep_member(out, given, "originRequest");
    }
    json_decref(given);
    return out;
}

static char *written(const json_t *v)
{
    return json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

uint64_t ingress_hash(const json_t *canonical)
{
    char *text = written(canonical);
    uint64_t hash = text ? config_hash(text) : 0;
    free(text);
    return hash;
}

/* --- the difference --- */

static void say_value(struct text *out, const json_t *v)
{
    char *text = v && !json_is_string(v) ? written(v) : NULL;
    text_add(out, !v ? "not set" : text ? text : json_is_string(v) ? json_string_value(v) : "?");
    free(text);
}

static void say_values(struct text *out, const char *what, const json_t *here, const json_t *there)
{
    text_addf(out, "%s is ", what);
    say_value(out, here);
    text_add(out, " here, ");
    say_value(out, there);
    text_add(out, " there");
}

/* The first member, by name, that differs. */
static const char *first_difference(const json_t *here, const json_t *there)
{
    const char *first = NULL, *key;
    json_t *value;
    json_object_foreach((json_t *)here, key, value)
        if (!json_equal(value, json_object_get(there, key)) && (!first || strcmp(key, first) < 0))
            first = key;
    json_object_foreach((json_t *)there, key, value)
        if (!json_object_get(here, key) && (!first || strcmp(key, first) < 0))
            first = key;
    return first;
}

/* `where` is of rules or of the defaults; originRequest is named by its member. */
static void say_member(struct text *out, const char *where, const json_t *here, const json_t *there)
{
    const char *key = first_difference(here, there);
    const json_t *a = json_object_get(here, key), *b = json_object_get(there, key);
    text_addf(out, "%s: ", where);
    const char *inner = json_is_object(a) && json_is_object(b) ? first_difference(a, b) : NULL;
    if (!inner) {
        say_values(out, key, a, b);
        return;
    }
    text_addf(out, "%s.", key);
    say_values(out, inner, json_object_get(a, inner), json_object_get(b, inner));
}

static const char *host_of_rule(const json_t *rule)
{
    const char *host = json_string_value(json_object_get(rule, "hostname"));
    return host ? host : "any host";
}

static void say_rule(struct text *out, size_t i, const json_t *here, const json_t *there)
{
    char where[300];
    if (!here || !there) {
        const json_t *rule = here ? here : there;
        text_addf(out, "rule %zu (%s, ", i + 1, host_of_rule(rule));
        say_value(out, json_object_get(rule, "service"));
        text_addf(out, ") stands %s only", here ? "here" : "there");
        return;
    }
    snprintf(where, sizeof where, "rule %zu (%.253s)", i + 1, host_of_rule(here));
    say_member(out, where, here, there);
}

static bool say_rules(struct text *out, const json_t *here, const json_t *there)
{
    size_t n = json_array_size(here), m = json_array_size(there);
    for (size_t i = 0; i < n || i < m; i++) {
        const json_t *a = i < n ? json_array_get(here, i) : NULL, *b = i < m ? json_array_get(there, i) : NULL;
        if (a && b && json_equal(a, b))
            continue;
        say_rule(out, i, a, b);
        return true;
    }
    return false;
}

/* A cut must not end within a character: events show it as JSON. */
static void copy_cut(char *out, size_t size, const struct text *text)
{
    size_t n = text->n < size - 1 ? text->n : size - 1;
    while (n < text->n && n > 0 && ((unsigned char)text->p[n] & 0xc0) == 0x80)
        n--;
    memcpy(out, text->p, n);
    out[n] = '\0';
}

bool ingress_difference(const json_t *here, const json_t *there, char out[static INGRESS_DIFFERENCE_SIZE])
{
    struct text words = { 0 };
    if (json_equal(here, there))
        return false;
    if (!say_rules(&words, json_object_get(here, "ingress"), json_object_get(there, "ingress")))
        say_member(&words, "all rules", here, there);
    copy_cut(out, INGRESS_DIFFERENCE_SIZE, &words);
    text_clear(&words);
    return true;
}
