#include "http/forwarded.h"

#include "base/bounded.h"
#include "http/rules.h"
#include "http/scan.h"

#include <endian.h>

/* The fields of one id as one list, from its end (RFC 9110 5.2). */
struct chain {
    const struct http_head *head;
    const char *base;
    enum http_field_id id;
    unsigned field;    /* those before it are still to come */
    struct slice rest; /* of the one under way; .p NULL: none */
};

static struct chain chain_start(const struct http_head *head, const char *base, enum http_field_id id)
{
    return (struct chain){ .head = head, .base = base, .id = id, .field = head->n_fields };
}

static bool chain_previous_field(struct chain *c)
{
    while (c->field > 0) {
        const struct http_field *f = &c->head->fields[--c->field];
        if (f->id != c->id)
            continue;
        c->rest = http_field_value(c->base, f);
        return true;
    }
    return false;
}

static bool chain_previous_element(struct chain *c, struct slice *element)
{
    do {
        while (c->rest.p) {
            const char *comma = memrchr(c->rest.p, ',', c->rest.n), *begin = comma ? comma + 1 : c->rest.p;
            *element = slice_trim((struct slice){ begin, (size_t)(c->rest.p + c->rest.n - begin) });
            c->rest = comma ? (struct slice){ c->rest.p, (size_t)(comma - c->rest.p) } : (struct slice){ NULL, 0 };
            if (element->n)
                return true;
        }
    } while (chain_previous_field(c));
    return false;
}

static bool all_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http_char_is(s.p[i], CHAR_DIGIT))
            return false;
    return true;
}

/* Some proxies add the port: "192.0.2.1:80", "[2001:db8::1]:80". Cuts it off, and brackets; false if there is no such form. */
static bool cut_port(struct slice *s)
{
    const char *colon = memchr(s->p, ':', s->n), *last = memrchr(s->p, ':', s->n), *end = s->p + s->n;
    if (*s->p == '[') {
        const char *bracket = memchr(s->p, ']', s->n);
        if (!bracket || (bracket + 1 < end && bracket[1] != ':'))
            return false;
        struct slice port = { bracket + 1, (size_t)(end - bracket - 1) };
        *s = (struct slice){ s->p + 1, (size_t)(bracket - s->p - 1) };
        return port.n == 0 || all_digits((struct slice){ port.p + 1, port.n - 1 });
    }
    if (!colon || colon != last)
        return true;
    *s = (struct slice){ s->p, (size_t)(colon - s->p) };
    return all_digits((struct slice){ colon + 1, (size_t)(end - colon - 1) });
}

static bool read_address(struct slice text, struct address *out)
{
    char host[ADDRESS_TEXT_SIZE];
    if (text.n == 0 || !cut_port(&text) || text.n == 0 || text.n >= sizeof host)
        return false;
    memcpy(host, text.p, text.n);
    host[text.n] = '\0';
    return strlen(host) == text.n && address_parse(host, 0, out);
}

/* NULL if there is none, or more than one: then nobody knows who wrote which. */
static const struct http_field *only_field(const struct http_head *head, enum http_field_id id)
{
    const struct http_field *found = http_head_find(head, id);
    for (const struct http_field *f = found ? found + 1 : NULL; f && f < head->fields + head->n_fields; f++)
        if (f->id == id)
            return NULL;
    return found;
}

static bool client_by_cloudflare(const struct http_head *head, const char *base, struct address *out)
{
    const struct http_field *f = only_field(head, FIELD_CF_CONNECTING_IP);
    return f && read_address(http_field_value(base, f), out);
}

struct address forwarded_client(const struct http_head *head, const char *base, const struct address *peer, const struct cidr_set *trusted)
{
    struct address client = *peer, before;
    struct slice element;
    if (!cidr_set_contains(trusted, peer))
        return client;
    if (client_by_cloudflare(head, base, &client))
        return client;
    struct chain chain = chain_start(head, base, FIELD_X_FORWARDED_FOR);
    for (unsigned hops = 0; hops < FORWARDED_HOPS_MAX && cidr_set_contains(trusted, &client); hops++) {
        if (!chain_previous_element(&chain, &element) || !read_address(element, &before))
            break;
        client = before;
    }
    return client;
}

/* A text that grows towards its begin. */
struct backwards {
    char *out;
    size_t size, at;
};

static void prepend(struct backwards *b, struct slice s)
{
    b->at -= s.n;
    memcpy(b->out + b->at, s.p, s.n);
}

/* The first comma outside quotes, or NULL; *sound is false if a quote stays open. */
static const char *element_end(struct slice s, bool quotes, bool *sound)
{
    bool quoted = false;
    *sound = true;
    for (const char *p = s.p; p < s.p + s.n; p++) {
        if (quoted && *p == '\\')
            p++;
        else if (quotes && *p == '"')
            quoted = !quoted;
        else if (*p == ',' && !quoted)
            return p;
    }
    *sound = !quoted;
    return NULL;
}

static bool is_sound(struct slice s, bool quotes)
{
    bool sound;
    const char *comma;
    while ((comma = element_end(s, quotes, &sound)))
        s = (struct slice){ comma + 1, (size_t)(s.p + s.n - comma - 1) };
    return sound;
}

/* As many of the last elements as there is room for. */
static struct slice last_elements(struct slice s, size_t room, bool quotes)
{
    bool sound;
    while (s.n > room) {
        const char *comma = element_end(s, quotes, &sound);
        if (!comma)
            return (struct slice){ NULL, 0 };
        s = slice_trim((struct slice){ comma + 1, (size_t)(s.p + s.n - comma - 1) });
    }
    return s;
}

/* Our own part stands at the end already, or nothing does. */
static void prepend_chain(struct backwards *b, struct chain *c, bool quotes)
{
    const struct slice separator = SLICE(", ");
    while (chain_previous_field(c)) {
        struct slice s = c->rest;
        if (s.n == 0)
            continue;
        size_t needed = b->at < b->size ? separator.n : 0;
        if (b->at < needed || !is_sound(s, quotes))
            return;
        struct slice kept = last_elements(s, b->at - needed, quotes);
        if (kept.n == 0)
            return;
        if (needed)
            prepend(b, separator);
        prepend(b, kept);
        if (kept.n < s.n)
            return;
    }
}

static size_t move_to_front(struct backwards *b)
{
    size_t n = b->size - b->at;
    memmove(b->out, b->out + b->at, n);
    return n;
}

size_t forwarded_for(const struct http_head *head, const char *base, bool keep_chain, struct slice peer, char *out, size_t size)
{
    struct backwards b = { out, size, size };
    if (peer.n > size)
        return 0;
    prepend(&b, peer);
    struct chain chain = chain_start(head, base, FIELD_X_FORWARDED_FOR);
    if (keep_chain)
        prepend_chain(&b, &chain, false);
    return move_to_front(&b);
}

/* A token, or a string in quotes (RFC 7239 4); a host contains nothing that would have to be escaped there. */
static void add_parameter(struct bounded *b, struct slice name, struct slice value)
{
    bool token = scan_token(value.p, value.p + value.n) == value.p + value.n;
    if (b->n)
        bounded_add(b, SLICE(";"));
    bounded_add(b, name);
    bounded_add(b, token ? SLICE("=") : SLICE("=\""));
    bounded_add(b, value);
    if (!token)
        bounded_add(b, SLICE("\""));
}

/* Node of an address (RFC 7239 6): IPv6 in brackets. */
static void add_for(struct bounded *b, struct slice host)
{
    if (!memchr(host.p, ':', host.n)) {
        add_parameter(b, SLICE("for"), host);
        return;
    }
    bounded_add(b, SLICE("for=\"["));
    bounded_add(b, host);
    bounded_add(b, SLICE("]\""));
}

static void prepend_client(struct backwards *b, const struct forwarded_hop *hop)
{
    char text[ADDRESS_TEXT_SIZE + sizeof "for=\"[]\", "];
    struct bounded element = { .p = text, .size = sizeof text };
    if (!hop->client.n || slice_eq(hop->client, hop->peer))
        return;
    add_for(&element, hop->client);
    bounded_add(&element, SLICE(", "));
    size_t n = bounded_length(&element);
    if (n <= b->at)
        prepend(b, (struct slice){ text, n });
}

size_t forwarded_write(const struct http_head *head, const char *base, bool keep_chain, const struct forwarded_hop *hop, char *out, size_t size)
{
    struct bounded own = { .p = out, .size = size };
    if (hop->peer.n)
        add_for(&own, hop->peer);
    if (hop->host_port.n)
        add_parameter(&own, SLICE("host"), hop->host_port);
    add_parameter(&own, SLICE("proto"), hop->secure ? SLICE("https") : SLICE("http"));
    size_t n = bounded_length(&own);
    if (n == 0)
        return 0;
    memmove(out + size - n, out, n);
    struct backwards b = { out, size, size - n };
    struct chain chain = chain_start(head, base, FIELD_FORWARDED);
    if (keep_chain)
        prepend_chain(&b, &chain, true);
    if (keep_chain && b.at == size - n)
        prepend_client(&b, hop);
    return move_to_front(&b);
}

struct slice forwarded_proto(const struct http_head *head, const char *base, bool trusted, bool secure)
{
    const struct http_field *f = trusted ? only_field(head, FIELD_X_FORWARDED_PROTO) : NULL;
    struct slice said = f ? http_field_value(base, f) : SLICE("");
    if (slice_eq_nocase(said, SLICE("http")) || slice_eq_nocase(said, SLICE("https")))
        return said;
    return secure ? SLICE("https") : SLICE("http");
}

struct slice forwarded_host(const struct http_head *head, const char *base, bool trusted, struct slice host_port)
{
    const struct http_field *f = trusted ? only_field(head, FIELD_X_FORWARDED_HOST) : NULL;
    struct slice host, said;
    if (f && http_host_split(http_field_value(base, f), &host, &said))
        return said;
    return host_port;
}

/* Eight digits at once, the first in the highest byte: each gets a byte, and those from ten on go further, to 'a'. */
static uint64_t hexadecimal(uint32_t bits)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t d = bits;
    d = (d | d << 16) & UINT64_C(0x0000ffff0000ffff);
    d = (d | d << 8) & UINT64_C(0x00ff00ff00ff00ff);
    d = (d | d << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t is_letter = (d + each * 6) >> 4 & each;
    return d + each * '0' + is_letter * ('a' - '0' - 10);
}

char *request_id_make(struct random *r, char out[static REQUEST_ID_SIZE])
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t bits = random_u64(r), digits[2] = { htobe64(hexadecimal((uint32_t)(bits >> 32))), htobe64(hexadecimal((uint32_t)bits)) };
        memcpy(out + i * sizeof digits, digits, sizeof digits);
    }
    out[REQUEST_ID_SIZE - 1] = '\0';
    return out;
}
