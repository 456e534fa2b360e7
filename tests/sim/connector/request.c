#include "tests/sim/connector/request.h"

#include "base/base64.h"
#include "tests/sim/connector/origin.h"

#include <stdio.h>
#include <time.h>

enum { NAME_MAX_SIZE = 256, TRAILERS_MAX = 32 };

static bool is_silent(const struct request *r)
{
    return r->session->sim->faults.silent;
}

/* --- names --- */

/* As Go writes them: "x-forwarded-for" is "X-Forwarded-For". */
static struct slice canonical(struct slice name, char out[static NAME_MAX_SIZE])
{
    bool first = true;
    if (name.n > NAME_MAX_SIZE)
        name.n = NAME_MAX_SIZE;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (first && c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if (!first && c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        out[i] = c;
        first = c == '-';
    }
    return (struct slice){ out, name.n };
}

static void add_line(struct bytes *b, struct slice name, struct slice value)
{
    char text[NAME_MAX_SIZE];
    bytes_add(b, canonical(name, text));
    bytes_add(b, SLICE(": "));
    bytes_add(b, value);
    bytes_add(b, SLICE("\r\n"));
}

static char *copy(struct slice s)
{
    return mem_copy(s.p, s.n);
}

static void replace(char **text, struct slice s)
{
    free(*text);
    *text = copy(s);
}

/* --- the request, as it comes --- */

struct request *request_new(struct session *s, int32_t stream)
{
    struct request *r = mem_zero(sizeof *r);
    r->session = s;
    r->stream = stream;
    r->content_length = -1;
    list_push_back(&s->requests, &r->node);
    return r;
}

static void set_kind(struct request *r, enum request_kind kind)
{
    if (kind > r->kind)
        r->kind = kind;
}

static void read_upgrade(struct request *r, struct slice value)
{
    if (slice_eq(value, SLICE("control-stream")))
        set_kind(r, REQUEST_CONTROL);
    else if (slice_eq(value, SLICE("websocket")))
        set_kind(r, REQUEST_WEBSOCKET);
    else if (slice_eq(value, SLICE("update-configuration")))
        set_kind(r, REQUEST_CONFIGURATION);
}

/* False: to be passed on. */
static bool add_pseudo_field(struct request *r, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE(":method")))
        replace(&r->method, value);
    else if (slice_eq(name, SLICE(":path")))
        replace(&r->path, value);
    else if (slice_eq(name, SLICE(":authority")) || (slice_eq(name, SLICE("host")) && !r->authority))
        replace(&r->authority, value);
    else
        return name.n && (name.p[0] == ':' || slice_eq(name, SLICE("host")));
    return true;
}

/* What the connector itself looks at; false: to be passed on. */
static bool add_known_field(struct request *r, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE("cf-cloudflared-proxy-connection-upgrade"))) {
        read_upgrade(r, value);
    } else if (slice_eq(name, SLICE("cf-cloudflared-proxy-src"))) {
        set_kind(r, value.n ? REQUEST_TCP : REQUEST_HTTP);
    } else if (slice_eq(name, SLICE("content-length"))) {
        r->content_length = strtoll(value.p, NULL, 10);
    } else if (slice_eq(name, SLICE("expect"))) {
        r->expects_continue = slice_eq_nocase(value, SLICE("100-continue"));
    } else if (slice_eq(name, SLICE("cookie"))) {
        bytes_add(&r->cookies, bytes_length(&r->cookies) ? SLICE("; ") : SLICE(""));
        bytes_add(&r->cookies, value);
    } else if (slice_eq(name, SLICE("trailer"))) {
        bytes_add(&r->announced, value);
        bytes_add(&r->announced, SLICE(","));
    } else {
        return slice_eq(name, SLICE("sec-websocket-version"));
    }
    return true;
}

static bool is_announced(const struct request *r, struct slice name)
{
    struct slice rest = bytes_slice(&r->announced), announced;
    while (slice_next_element(&rest, &announced))
        if (slice_eq_nocase(announced, name))
            return true;
    return false;
}

/* Go hands on only what was announced. */
void request_add_up_trailer(struct request *r, struct slice name, struct slice value)
{
    if (is_announced(r, name))
        add_line(&r->up_trailers, name, value);
}

void request_add_field(struct request *r, struct slice name, struct slice value)
{
    r->header_list += name.n + value.n + 32;
    r->too_large |= r->header_list > HEADER_LIST_MAX;
    if (r->too_large || add_pseudo_field(r, name, value) || add_known_field(r, name, value))
        return;
    if (r->session->connection->connector->ingress->all_local)
        return;
    r->has_accept_encoding |= slice_eq(name, SLICE("accept-encoding"));
    r->has_range |= slice_eq(name, SLICE("range"));
    /* an empty one stands for none */
    if (value.n || !slice_eq(name, SLICE("user-agent")))
        add_line(&r->fields, name, value);
}

/* --- answering --- */

static const char *date(struct sim *sim)
{
    time_t now = (time_t)ev_now(sim->loop);
    struct tm tm;
    if (now != sim->date_at) {
        sim->date_at = now;
        strftime(sim->date, sizeof sim->date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    }
    return sim->date;
}

static size_t trailer_fields(struct request *r, nghttp2_nv nv[static TRAILERS_MAX])
{
    size_t n = 0;
    struct slice rest = bytes_slice(&r->trailers);
    while (rest.n && n < TRAILERS_MAX) {
        const char *end = memmem(rest.p, rest.n, "\r\n", 2), *colon = memmem(rest.p, rest.n, ": ", 2);
        char *name = r->trailers.p + (rest.p - r->trailers.p);
        for (size_t i = 0; name + i < colon; i++)
            name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
        nv[n++] = h2_field((struct slice){ name, (size_t)(colon - name) }, (struct slice){ colon + 2, (size_t)(end - colon - 2) });
        rest = (struct slice){ end + 2, rest.n - (size_t)(end + 2 - rest.p) };
    }
    return n;
}

/* Bytes that make it worth a frame. */
static size_t enough(const struct request *r)
{
    return r->flush ? 1 : HOLD;
}

static ssize_t read_response(nghttp2_session *h2, int32_t stream, uint8_t *out, size_t size, uint32_t *flags,
                             nghttp2_data_source *source, void *user)
{
    (void)user;
    struct request *r = source->ptr;
    size_t n = bytes_length(&r->down);
    if (is_silent(r) || (!r->down_ended && n < enough(r))) {
        r->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > size)
        n = size;
    if (n)
        memcpy(out, r->down.p + r->down.start, n);
    bytes_drop(&r->down, n);
    if (r->down_ended && !bytes_length(&r->down)) {
        nghttp2_nv trailers[TRAILERS_MAX];
        size_t n_trailers = trailer_fields(r, trailers);
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (n_trailers && nghttp2_submit_trailer(h2, stream, trailers, n_trailers) == 0)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    if (r->origin && bytes_length(&r->down) < BODY_LOW)
        origin_response_left(r->origin);
    return (ssize_t)n;
}

static void submit_head(struct request *r)
{
    struct faults *faults = &r->session->sim->faults;
    char status[16];
    nghttp2_nv nv[6];
    size_t n = 0;
    snprintf(status, sizeof status, "%u", r->status);
    nv[n++] = h2_field(SLICE(":status"), slice_of(status));
    if (!r->of_connector && !r->bare)
        nv[n++] = h2_field(SLICE("cf-cloudflared-response-headers"),
                           faults->broken_headers ? SLICE("Q29va2ll") : bytes_slice(&r->packed));
    if (!r->bare && !faults->no_meta)
        nv[n++] = h2_field(SLICE("cf-cloudflared-response-meta"),
                           r->of_connector ? SLICE("{\"src\":\"cloudflared\"}") : SLICE("{\"src\":\"origin\"}"));
    if (r->length[0])
        nv[n++] = h2_field(SLICE("content-length"), slice_of(r->length));
    /* Go's library makes these two up, and they say nothing of the response */
    if (!r->of_connector)
        nv[n++] = h2_field(SLICE("content-type"), SLICE("text/plain; charset=utf-8"));
    nv[n++] = h2_field(SLICE("date"), slice_of(date(r->session->sim)));
    nghttp2_data_provider body = { .source.ptr = r, .read_callback = read_response };
    /* what is flushed ends with an empty DATA frame, a 204 too */
    bool empty = r->down_ended && !r->flush && !bytes_length(&r->down) && !bytes_length(&r->trailers);
    bool bodiless = empty || strcmp(r->method, "HEAD") == 0;
    nghttp2_submit_response(r->session->h2, r->stream, nv, n, bodiless ? NULL : &body);
    r->response = RESPONSE_SENT;
}

/* Sends what is due. */
static void advance(struct request *r)
{
    bool due = r->down_ended || (r->flush && r->response == RESPONSE_HELD) || bytes_length(&r->down) >= enough(r);
    if (!due || is_silent(r))
        return;
    if (r->response == RESPONSE_HELD) {
        submit_head(r);
    } else if (r->deferred) {
        r->deferred = false;
        nghttp2_session_resume_data(r->session->h2, r->stream);
    } else {
        return;
    }
    session_touch(r->session);
}

static void pack(struct request *r, struct slice name, struct slice value)
{
    char text[NAME_MAX_SIZE];
    name = canonical(name, text);
    if (bytes_length(&r->packed))
        bytes_add(&r->packed, SLICE(";"));
    bytes_added(&r->packed, base64_encode(name.p, name.n, BASE64_UNPADDED, bytes_room(&r->packed, BASE64_SIZE(name.n))));
    bytes_add(&r->packed, SLICE(":"));
    bytes_added(&r->packed, base64_encode(value.p, value.n, BASE64_UNPADDED, bytes_room(&r->packed, BASE64_SIZE(value.n))));
}

static bool is_streamed(struct slice type)
{
    return slice_starts_nocase(type, SLICE("text/event-stream")) || slice_starts_nocase(type, SLICE("application/grpc")) ||
           slice_starts_nocase(type, SLICE("application/x-ndjson"));
}

static bool is_control_field(struct slice name)
{
    return slice_starts_nocase(name, SLICE("cf-int-")) || slice_starts_nocase(name, SLICE("cf-cloudflared-")) ||
           slice_starts_nocase(name, SLICE("cf-proxy-"));
}

void request_pack(struct request *r, struct slice name, struct slice value)
{
    if (is_control_field(name))
        return;
    if (slice_eq_nocase(name, SLICE("content-length")) && value.n < sizeof r->length)
        snprintf(r->length, sizeof r->length, "%.*s", SLICE_ARG(value));
    r->flush |= slice_eq_nocase(name, SLICE("content-type")) && is_streamed(value);
    pack(r, name, value);
}

static void pack_huge_field(struct request *r, size_t n)
{
    char *value = mem_alloc(n);
    memset(value, 'h', n);
    pack(r, SLICE("X-Huge"), (struct slice){ value, n });
    free(value);
}

void request_respond(struct request *r, unsigned status)
{
    size_t huge = r->session->sim->faults.huge_header;
    if (huge && !r->of_connector && !r->bare)
        pack_huge_field(r, huge);
    r->flush |= status == 101;
    r->status = status == 101 ? 200 : status;
    r->response = RESPONSE_HELD;
    advance(r);
}

void request_add_response(struct request *r, struct slice piece)
{
    bytes_add(&r->down, piece);
    advance(r);
}

void request_add_trailer(struct request *r, struct slice name, struct slice value)
{
    add_line(&r->trailers, name, value);
}

void request_response_done(struct request *r)
{
    r->down_ended = true;
    advance(r);
}

void request_fail(struct request *r)
{
    if (r->response != RESPONSE_NONE) {
        nghttp2_submit_rst_stream(r->session->h2, NGHTTP2_FLAG_NONE, r->stream, NGHTTP2_INTERNAL_ERROR);
        session_touch(r->session);
        return;
    }
    r->of_connector = true;
    snprintf(r->length, sizeof r->length, "0");
    r->down_ended = true;
    request_respond(r, 502);
}

/* --- services --- */

/* POST, PUT and PATCH say that there is no body by an empty one. */
static bool is_chunked(const struct request *r)
{
    if (r->kind == REQUEST_WEBSOCKET)
        return false;
    if (!r->up_ended)
        return r->content_length <= 0;
    return strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0 || strcmp(r->method, "PATCH") == 0;
}

static void add_hop_fields(struct request *r, struct bytes *head)
{
    char length[64];
    if (r->kind == REQUEST_WEBSOCKET)
        bytes_add_text(head, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Version: 13\r\n");
    else
        bytes_add_text(head, "Connection: keep-alive\r\n");
    if (!r->has_accept_encoding && !r->has_range && strcmp(r->method, "HEAD") != 0)
        bytes_add_text(head, "Accept-Encoding: gzip\r\n");
    if (is_chunked(r)) {
        bytes_add_text(head, "Transfer-Encoding: chunked\r\n");
    } else if (!r->up_ended && r->kind != REQUEST_WEBSOCKET) {
        snprintf(length, sizeof length, "Content-Length: %lld\r\n", (long long)r->content_length);
        bytes_add_text(head, length);
    }
}

static void serve_http(struct request *r)
{
    struct bytes head = { 0 };
    bytes_add_text(&head, r->method);
    bytes_add(&head, SLICE(" "));
    bytes_add_text(&head, r->path);
    bytes_add(&head, SLICE(" HTTP/1.1\r\n"));
    add_line(&head, SLICE("Host"), slice_of(r->rule->host_header ? r->rule->host_header : r->authority));
    bytes_add(&head, bytes_slice(&r->fields));
    if (bytes_length(&r->cookies))
        add_line(&head, SLICE("Cookie"), bytes_slice(&r->cookies));
    add_line(&head, SLICE("Cf-Warp-Tag-Id"), slice_of(r->session->connection->connector->id));
    add_hop_fields(r, &head);
    bytes_add(&head, SLICE("\r\n"));
    origin_start(r, &r->rule->service.origin, bytes_slice(&head), is_chunked(r));
    bytes_clear(&head);
}

static void serve_bytes(struct request *r, size_t n)
{
    char length[24];
    snprintf(length, sizeof length, "%zu", n);
    request_pack(r, SLICE("Content-Length"), slice_of(length));
    request_pack(r, SLICE("Content-Type"), SLICE("text/plain"));
    memset(bytes_room(&r->down, n), 'x', n);
    bytes_added(&r->down, n);
    r->down_ended = true;
    request_respond(r, 200);
}

static void serve_status(struct request *r, unsigned status)
{
    r->flush = true;
    request_respond(r, status);
    request_response_done(r);
}

static void serve_tcp(struct request *r)
{
    struct peer peer;
    /* an address, not a name */
    bool numeric = r->authority[0] == '[' || (r->authority[0] >= '0' && r->authority[0] <= '9');
    if (peer_init(&peer, r->authority) && numeric)
        origin_start(r, &peer, SLICE(""), false);
    else
        request_fail(r);
    peer_clear(&peer);
}

static void answer_bare(struct request *r, unsigned status, const char *body)
{
    r->bare = true;
    snprintf(r->length, sizeof r->length, "%zu", strlen(body));
    bytes_add_text(&r->down, body);
    r->down_ended = true;
    request_respond(r, status);
}

static void apply_configuration(struct request *r, json_t *pushed)
{
    struct connector *c = r->session->connection->connector;
    json_t *version = json_object_get(pushed, "version"), *configuration = json_object_get(pushed, "config");
    char answer[96];
    bool sound = json_is_integer(version) && connector_configure(c, (int)json_integer_value(version), configuration);
    snprintf(answer, sizeof answer, "{\"lastAppliedVersion\":%d,\"err\":%s}", c->version, sound ? "null" : "{}");
    answer_bare(r, 200, answer);
}

/* As soon as the JSON is whole, whether or not the stream has ended. */
static void serve_configuration(struct request *r)
{
    json_t *pushed = r->response == RESPONSE_NONE && bytes_length(&r->up)
                         ? json_loadb(r->up.p + r->up.start, bytes_length(&r->up), JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    if (pushed) {
        request_took(r, bytes_length(&r->up));
        apply_configuration(r, pushed);
        json_decref(pushed);
    } else if (r->up_ended && r->response == RESPONSE_NONE) {
        request_fail(r);
    }
}

/* Whoever opens another control stream is told the tunnel's secret, as by cloudflared: the edge must let no client do so. */
static void serve_second_control(struct request *r)
{
    r->kind = REQUEST_HTTP;
    r->bare = r->flush = true;
    control_add_opening(r->session, &r->down);
    request_respond(r, 200);
}

static bool is_management(const struct request *r)
{
    return strncasecmp(r->authority, "management.argotunnel.com", 25) == 0;
}

static void serve_by_rule(struct request *r)
{
    if (is_management(r)) {
        answer_bare(r, 200, "management\n");
        return;
    }
    r->ingress = ingress_ref(r->session->connection->connector->ingress);
    r->rule = ingress_match(r->ingress, slice_of(r->authority), r->path);
    if (!r->rule) {
        serve_status(r, 503);
        return;
    }
    switch (r->rule->service.kind) {
    case SERVICE_HTTP:
        serve_http(r);
        break;
    case SERVICE_STATUS:
        serve_status(r, r->rule->service.status);
        break;
    case SERVICE_BYTES:
        serve_bytes(r, r->rule->service.n_bytes);
        break;
    }
}

static void serve(struct request *r)
{
    switch (r->kind) {
    case REQUEST_CONTROL:
        if (r->session->control.state == CONTROL_NONE)
            control_begin(r->session, r->stream);
        else
            serve_second_control(r);
        break;
    case REQUEST_CONFIGURATION:
        serve_configuration(r);
        break;
    case REQUEST_TCP:
        serve_tcp(r);
        break;
    case REQUEST_HTTP:
    case REQUEST_WEBSOCKET:
        serve_by_rule(r);
        break;
    }
}

static void set_default(char **text, const char *value)
{
    if (!*text)
        *text = mem_copy_text(value);
}

static bool is_refused(struct request *r)
{
    unsigned *left = &r->session->sim->faults.refuse;
    if (!*left)
        return false;
    --*left;
    nghttp2_submit_rst_stream(r->session->h2, NGHTTP2_FLAG_NONE, r->stream, NGHTTP2_REFUSED_STREAM);
    session_touch(r->session);
    return true;
}

void request_head_done(struct request *r, bool ended)
{
    r->up_ended = ended;
    set_default(&r->method, "GET");
    set_default(&r->path, "/");
    set_default(&r->authority, "");
    if (r->kind != REQUEST_CONTROL) {
        r->session->sim->requests++;
        r->session->connection->requests++;
        if (is_refused(r))
            return;
    }
    if (r->too_large)
        answer_bare(r, 431, "<h1>HTTP Error 431</h1><p>Request Header Field(s) Too Large</p>");
    else if (is_silent(r) && r->kind != REQUEST_CONTROL)
        r->waits = true;
    else
        serve(r);
}

static void on_body(struct request *r)
{
    if (r->origin)
        origin_body_came(r->origin);
    else if (r->kind == REQUEST_CONFIGURATION && !r->waits)
        serve_configuration(r);
}

/* What nobody reads stays in the window, as with cloudflared: a service that has answered already ends the stream anyway. */
void request_add_body(struct request *r, struct slice piece)
{
    bytes_add(&r->up, piece);
    on_body(r);
}

void request_body_done(struct request *r)
{
    r->up_ended = true;
    on_body(r);
}

void request_took(struct request *r, size_t n)
{
    bytes_drop(&r->up, n);
    session_return_window(r->session, n);
    r->unreturned += (uint32_t)n;
    if (r->up_ended || r->unreturned < WINDOW_STEP)
        return;
    nghttp2_submit_window_update(r->session->h2, NGHTTP2_FLAG_NONE, r->stream, (int32_t)r->unreturned);
    r->unreturned = 0;
}

void request_continue(struct request *r)
{
    nghttp2_nv status = h2_field(SLICE(":status"), SLICE("100"));
    if (!r->expects_continue || r->up_ended || bytes_length(&r->up) || r->response != RESPONSE_NONE)
        return;
    r->expects_continue = false;
    nghttp2_submit_headers(r->session->h2, NGHTTP2_FLAG_NONE, r->stream, NULL, &status, 1, NULL);
    session_touch(r->session);
}

void request_wake(struct request *r)
{
    if (r->waits) {
        r->waits = false;
        serve(r);
    } else {
        advance(r);
    }
}

void request_end(struct request *r)
{
    list_remove(&r->node);
    if (r->origin)
        origin_drop(r->origin);
    session_return_window(r->session, bytes_length(&r->up));
    ingress_unref(r->ingress);
    free(r->method);
    free(r->authority);
    free(r->path);
    bytes_clear(&r->fields);
    bytes_clear(&r->cookies);
    bytes_clear(&r->up);
    bytes_clear(&r->packed);
    bytes_clear(&r->down);
    bytes_clear(&r->trailers);
    bytes_clear(&r->announced);
    bytes_clear(&r->up_trailers);
    free(r);
}
