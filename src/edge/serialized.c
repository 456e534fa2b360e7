#include "edge/serialized.h"

#include "base/base64.h"
#include "http/scan.h"

/* --- the fields --- */

/* Takes what stands before the next `mark`, or all, off `rest`; with none left .p is NULL. */
static struct slice take_until(struct slice *rest, char mark)
{
    const char *at = memchr(rest->p, mark, rest->n);
    struct slice taken = { rest->p, at ? (size_t)(at - rest->p) : rest->n };
    *rest = at ? (struct slice){ at + 1, rest->n - taken.n - 1 } : (struct slice){ NULL, 0 };
    return taken;
}

/* Behind what is in `out` already; .p NULL: not base64, or no room. */
static struct slice unpack(struct slice text, struct bounded *out)
{
    struct slice s = { out->p + out->n, 0 };
    if (!base64_decode(text, BASE64_UNPADDED, out->p + out->n, out->size - out->n, &s.n)) {
        out->overflow = text.n * 3 / 4 > out->size - out->n;
        return (struct slice){ NULL, 0 };
    }
    out->n += s.n;
    return s;
}

static bool is_field_value(struct slice s)
{
    const char *p = s.p, *end = s.p + s.n;
    while ((p = scan_value(p, end)) < end && *p == '\t')
        p++;
    return p == end;
}

static const char *unpack_failed(const struct bounded *out, const char *otherwise)
{
    return out->overflow ? "the response's fields are too large" : otherwise;
}

static const char *read_pair(struct slice pair, struct bounded *out, struct http_field *f)
{
    struct slice packed_name = take_until(&pair, ':');
    if (!pair.p)
        return "a packed field without a colon";
    struct slice name = unpack(packed_name, out);
    if (!name.p)
        return unpack_failed(out, "the name of a packed field is not base64");
    if (name.n == 0 || name.n > UINT16_MAX || scan_token(name.p, name.p + name.n) < name.p + name.n)
        return "invalid character in the name of a packed field";
    bounded_add(out, SLICE(": "));
    struct slice value = unpack(pair, out);
    if (!value.p)
        return unpack_failed(out, "the value of a packed field is not base64");
    if (!is_field_value(value))
        return "control character in the value of a packed field";
    bounded_add(out, SLICE("\r\n"));
    value = slice_trim(value);
    *f = (struct http_field){ .name = (uint32_t)(name.p - out->p), .name_len = (uint16_t)name.n,
                              .value = (uint32_t)(value.p - out->p), .value_len = (uint32_t)value.n,
                              .id = (uint8_t)http_field_id_of(name) };
    return unpack_failed(out, NULL);
}

const char *serialized_read(struct slice packed, struct bounded *out, struct http_head *head, unsigned fields_max)
{
    struct slice rest = packed.n ? packed : (struct slice){ NULL, 0 };
    while (rest.p) {
        if (head->n_fields == fields_max)
            return "the response has too many fields";
        const char *wrong = read_pair(take_until(&rest, ';'), out, &head->fields[head->n_fields]);
        if (wrong)
            return wrong;
        head->n_fields++;
    }
    return NULL;
}

/* --- who answered --- */

struct scanner {
    const char *p, *end;
};

static void skip_space(struct scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
        s->p++;
}

static bool take(struct scanner *s, char c)
{
    skip_space(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* None of the strings that mean anything needs an escape: in the others it is only stepped over. */
static bool take_string(struct scanner *s, struct slice *out)
{
    if (!take(s, '"'))
        return false;
    const char *begin = s->p;
    for (; s->p < s->end && *s->p != '"'; s->p++) {
        if (http_char_is_control(*s->p))
            return false;
        if (*s->p == '\\' && ++s->p == s->end)
            return false;
    }
    *out = (struct slice){ begin, (size_t)(s->p - begin) };
    return take(s, '"');
}

/* true, false, null, a number. */
static bool take_word(struct scanner *s, struct slice *out)
{
    skip_space(s);
    const char *begin = s->p;
    while (s->p < s->end && (http_char_is(*s->p, CHAR_DIGIT) || (*s->p >= 'a' && *s->p <= 'z') || (*s->p && strchr("+-.E", *s->p))))
        s->p++;
    *out = (struct slice){ begin, (size_t)(s->p - begin) };
    return out->n > 0;
}

static bool read_source(struct scanner *s, struct response_meta *out)
{
    struct slice source;
    if (!take_string(s, &source))
        return false;
    out->source = slice_eq(source, SLICE("origin")) ? RESPONSE_OF_ORIGIN : RESPONSE_OF_CONNECTOR;
    return out->source == RESPONSE_OF_ORIGIN || slice_eq(source, SLICE("cloudflared"));
}

static bool read_member(struct scanner *s, struct response_meta *out, bool *has_source)
{
    struct slice name, value;
    if (!take_string(s, &name) || !take(s, ':'))
        return false;
    if (slice_eq(name, SLICE("src"))) {
        bool repeated = *has_source;
        *has_source = true;
        return !repeated && read_source(s, out);
    }
    bool text = take_string(s, &value);
    if (!text && !take_word(s, &value))
        return false;
    if (!slice_eq(name, SLICE("flow_rate_limited")))
        return true;
    out->flow_rate_limited = !text && slice_eq(value, SLICE("true"));
    return out->flow_rate_limited || (!text && slice_eq(value, SLICE("false")));
}

bool response_meta_read(struct slice json, struct response_meta *out)
{
    struct scanner s = { json.p, json.p + json.n };
    bool has_source = false;
    *out = (struct response_meta){ 0 };
    if (!take(&s, '{'))
        return false;
    do {
        if (!read_member(&s, out, &has_source))
            return false;
    } while (take(&s, ','));
    bool closed = take(&s, '}');
    skip_space(&s);
    return closed && s.p == s.end && has_source;
}
