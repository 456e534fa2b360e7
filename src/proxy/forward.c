#include "proxy/forward.h"

#include "http/forwarded.h"
#include "http/rewrite.h"
#include "proxy/affinity.h"
#include "proxy/exchange.h"
#include "proxy/explain.h"

/* Beside FIELD_DROP, which the rules set for good: not for the endpoint of this try. */
enum { FIELD_SKIP = 2 };

static void add(struct forward_notes *notes, struct slice name, struct slice value)
{
    if (notes->n < FORWARD_FIELDS_MAX)
        notes->fields[notes->n++] = (struct added_field){ name, value };
}

static char *room_for_text(struct forward_notes *notes, size_t *room)
{
    *room = FORWARD_TEXT_MAX - notes->used;
    return notes->text + notes->used;
}

/* The text that was written at room_for_text(); nothing is added for one that did not fit. */
static void add_written(struct forward_notes *notes, struct slice name, size_t n)
{
    if (!n)
        return;
    add(notes, name, (struct slice){ notes->text + notes->used, n });
    notes->used += n;
}

/* --- requests --- */

bool forward_trusts_peer(const struct exchange *ex)
{
    const struct cidr_set *trusted = &ex->snapshot->config->trusted_proxies;
    return trusted->n && ex->peer && cidr_set_contains(trusted, ex->peer);
}

/* What we say ourselves of the client replaces what came. `trusted`: what a trusted proxy said of it is part of what we say. */
static bool is_replaced(const struct http_field *f, bool trusted, const struct endpoint *e)
{
    switch ((enum http_field_id)f->id) {
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_REAL_IP:
    case FIELD_FORWARDED: return true;
    /* A stranger's word for who he is; and Cloudflare answers its own header with error 1000. */
    case FIELD_CF_CONNECTING_IP: return !trusted || e->behind_cloudflare || e->kind == ENDPOINT_EDGE;
    case FIELD_TRUE_CLIENT_IP: return !trusted || e->behind_cloudflare;
    /* But not CDN-Loop: it has to grow on the way, or a loop would never show (RFC 8586 section 2). */
    case FIELD_CF_OTHER:
    case FIELD_CF_RAY: return e->behind_cloudflare;
    default: return false;
    }
}

static void mark_replaced(struct exchange *ex, bool trusted)
{
    for (unsigned i = 0; i < ex->head->n_fields; i++) {
        struct http_field *f = &ex->head->fields[i];
        f->flags &= (uint8_t)~FIELD_SKIP;
        if (f->id != FIELD_OTHER && is_replaced(f, trusted, ex->endpoint))
            f->flags |= FIELD_SKIP;
    }
}

static struct slice host_text(const struct address *a, char room[static ADDRESS_TEXT_SIZE])
{
    return (struct slice){ room, a ? address_format_host(a, room) : 0 };
}

static void add_forwarded(struct exchange *ex, struct forward_notes *notes, bool trusted)
{
    size_t room;
    char *out, *client_text = room_for_text(notes, &room);
    struct address client_room;
    const struct address *address = forward_client(ex, &client_room);
    struct slice client = room >= ADDRESS_TEXT_SIZE ? host_text(address, client_text) : SLICE("");
    notes->used += client.n;
    char peer_text[ADDRESS_TEXT_SIZE];
    struct slice peer = address == ex->peer ? client : host_text(ex->peer, peer_text);
    struct forwarded_hop hop = { .peer = peer, .client = client, .host_port = ex->message.host_port, .secure = ex->secure };

    out = room_for_text(notes, &room);
    if (ex->endpoint->behind_cloudflare) /* one field of at most 100 characters, or error 1000 */
        add_written(notes, SLICE("X-Forwarded-For"), forwarded_for(ex->head, ex->base, false, client, out, room));
    else
        add_written(notes, SLICE("X-Forwarded-For"), forwarded_for(ex->head, ex->base, trusted, peer, out, room));
    add(notes, SLICE("X-Forwarded-Proto"), forwarded_proto(ex->head, ex->base, trusted, ex->secure));
    struct slice host = forwarded_host(ex->head, ex->base, trusted, ex->message.host_port);
    if (host.n)
        add(notes, SLICE("X-Forwarded-Host"), host);
    out = room_for_text(notes, &room);
    add_written(notes, SLICE("Forwarded"), forwarded_write(ex->head, ex->base, trusted, &hop, out, room));
    if (client.n) {
        add(notes, SLICE("X-Real-IP"), client);
        if (ex->endpoint->kind == ENDPOINT_EDGE) /* what an application behind a tunnel looks for */
            add(notes, SLICE("CF-Connecting-IP"), client);
    }
}

static void add_request_id(struct exchange *ex, struct forward_notes *notes)
{
    if (!http_head_find(ex->head, FIELD_X_REQUEST_ID))
        add(notes, SLICE("X-Request-Id"), slice_of(ex->request_id));
}

/* The endpoint's own headers win over the client's of the same name: they may be credentials. */
static void add_endpoint_headers(struct exchange *ex, struct forward_notes *notes)
{
    const struct endpoint *e = ex->endpoint;
    for (size_t i = 0; i < e->n_headers; i++) {
        struct slice name = slice_of(e->headers[i].name);
        for (unsigned f = 0; f < ex->head->n_fields; f++)
            if (slice_eq_nocase(http_field_name(ex->base, &ex->head->fields[f]), name))
                ex->head->fields[f].flags |= FIELD_SKIP;
        add(notes, name, slice_of(e->headers[i].value));
    }
}

static struct slice path_of(const struct exchange *ex, struct forward_notes *notes)
{
    const char *prefix = http_path_prefix(ex->head, ex->base);
    struct slice path = { ex->base + ex->head->path, ex->head->path_len };
    if (!*prefix)
        return path;
    if (!path.n)
        return slice_of(prefix);
    notes->path[0] = *prefix;
    memcpy(notes->path + 1, path.p, path.n); /* no head is longer than BUFFER_LARGE */
    return (struct slice){ notes->path, path.n + 1 };
}

static struct slice host_of(const struct exchange *ex)
{
    return ex->endpoint && ex->endpoint->host_header ? slice_of(ex->endpoint->host_header) : ex->message.host_port;
}

void forward_request(struct exchange *ex, struct message_out *out, struct forward_notes *notes)
{
    notes->n = notes->used = 0;
    *out = (struct message_out){
        .base = ex->base,
        .head = ex->head,
        .method = { ex->base + ex->head->start, ex->head->method_len },
        .path = path_of(ex, notes),
        .host = host_of(ex),
        .added = notes->fields,
        .body = ex->message.body,
        .length = ex->message.length,
        .has_length = ex->message.has_length,
        .upgrade = ex->message.upgrade_websocket,
    };
    if (!ex->endpoint) /* answered by ourselves */
        return;
    bool trusted = forward_trusts_peer(ex);
    mark_replaced(ex, trusted);
    if (!ex->only) {
        add_forwarded(ex, notes, trusted);
        add_request_id(ex, notes);
    }
    add_endpoint_headers(ex, notes);
    out->n_added = notes->n;
}

const struct address *forward_client(const struct exchange *ex, struct address *room)
{
    if (!ex->peer || !forward_trusts_peer(ex))
        return ex->peer;
    *room = forwarded_client(ex->head, ex->base, ex->peer, &ex->snapshot->config->trusted_proxies);
    return room;
}

/* --- responses --- */

static void rewrite_fields(const struct exchange *ex, struct http_head *head, const char *base, struct forward_notes *notes)
{
    struct rewrite rewrite = {
        .from = slice_of(ex->endpoint->hostname),
        .from_port = ex->endpoint->dial_port,
        .host = ex->message.host,
        .host_port = ex->message.host_port,
        .secure = ex->secure,
    };
    bool cookies_move = false; /* their order is kept: behind a rewritten one the others follow it to the end */
    for (unsigned i = 0; i < head->n_fields && notes->n < FORWARD_FIELDS_MAX; i++) {
        struct http_field *f = &head->fields[i];
        struct slice name = http_field_name(base, f), value = http_field_value(base, f);
        size_t room, n = 0;
        char *out = room_for_text(notes, &room);
        if (f->id == FIELD_LOCATION)
            n = rewrite_location(&rewrite, value, out, room);
        else if (f->id == FIELD_SET_COOKIE)
            cookies_move |= (n = rewrite_set_cookie(&rewrite, value, out, room)) > 0;
        if (n)
            add_written(notes, name, n);
        else if (f->id == FIELD_SET_COOKIE && cookies_move)
            add(notes, name, value);
        else
            continue;
        f->flags |= FIELD_DROP;
    }
}

static void add_session_cookie(const struct exchange *ex, unsigned status, struct forward_notes *notes)
{
    size_t room;
    char *out = room_for_text(notes, &room);
    size_t n = affinity_write_cookie(ex, status, out, room);
    add_written(notes, SLICE("Set-Cookie"), n);
    if (n)
        explain_gives_cookie(ex);
}

void forward_response(const struct exchange *ex, struct http_head *head, const char *base, const struct http_message *message,
                      struct message_out *out, struct forward_notes *notes)
{
    notes->n = notes->used = 0;
    *out = (struct message_out){
        .base = base,
        .head = head,
        .status = head->status,
        .reason = { base + head->reason, head->reason_len },
        .added = notes->fields,
        .body = message->body,
        .length = message->length,
        .has_length = message->body == BODY_LENGTH, /* to HEAD and of a 304 the field itself is forwarded */
        .upgrade = head->status == 101,
    };
    if (out->upgrade)
        out->body = BODY_UNTIL_CLOSE;
    if (ex->endpoint && ex->load_balancer && ex->load_balancer->affinity.type != AFFINITY_NONE)
        add_session_cookie(ex, head->status, notes);
    if (ex->endpoint && ex->endpoint->rewrite_host && ex->endpoint->hostname)
        rewrite_fields(ex, head, base, notes);
    out->n_added = notes->n;
}
