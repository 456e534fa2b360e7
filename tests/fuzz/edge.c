/* A connection to the edge as a connector may use it once it has registered: frames and header blocks of any kind and size, calls in
 * any order, while requests begin, are read slowly and end, and control gives its orders. The input is a script of acts.
 *
 * Whatever the connector does: who has a request under way hears of its end, once, and of nothing afterwards (AddressSanitizer sees
 * to that); a response's body is as long as its head said; control is told once of each turn of the line; what is kept for the
 * connector is bounded, and nothing is left over. The clock stands still but for the act that moves it. */
#include "base/log.h"
#include "edge/connection.h"
#include "edge/stream.h"
#include "http/trailers.h"
#include "tests/fuzz/edge_wire.h"

#include <sys/syscall.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096, USERS_MAX = 12, WORKERS = 2, TURNS = 3, BODY_MAX = 1 << 20, QUEUE_MAX = 2048 };
enum {
    OPTION_STRANGER = 1, /* nothing is said but what the script says */
    OPTION_REFUSE = 2,
    OPTION_MOVE = 4,     /* to the other worker */
    OPTION_DEAF = 8,     /* the connector does not read */
    OPTION_CUT = 16,     /* what it says comes in pieces */
};
enum act {
    ACT_FRAME, ACT_RAW, ACT_HEAD, ACT_CALL, ACT_DATA, ACT_REQUEST, ACT_READER, ACT_ABORT, ACT_ORDER, ACT_TIME, ACT_LISTEN, ACT_LEAVE,
    ACTS
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* --- the script --- */

struct script {
    const uint8_t *p, *end;
};

static unsigned byte(struct script *s)
{
    return s->p < s->end ? *s->p++ : 0;
}

static struct slice piece(struct script *s, size_t n)
{
    struct slice taken = { (const char *)s->p, n < (size_t)(s->end - s->p) ? n : (size_t)(s->end - s->p) };
    s->p += taken.n;
    return taken;
}

/* Small mostly, up to 510 KiB. */
static size_t large(struct script *s)
{
    unsigned base = byte(s);
    return (size_t)base << byte(s) % 12;
}

/* --- the world around the connection --- */

static nsec_t now = 1000 * NSEC_PER_SEC;

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (id != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, id, t);
    *t = (struct timespec){ .tv_sec = now / NSEC_PER_SEC, .tv_nsec = now % NSEC_PER_SEC };
    return 0;
}

struct world {
    struct ev_loop *loop;
    struct mailbox control;
    struct edge_worker_options options[WORKERS];
    struct edge_worker *workers[WORKERS];
    struct balance_epoch epoch;
    struct tunnel *tunnel;
    struct tunnel_line *line;       /* the registry's references; NULL: nobody registered */
    struct tunnel_connector *connector;
    struct list users;
    unsigned n_users;
    bool in_operation;              /* of a stream: its user must not hear anything meanwhile */
    bool told_draining, told_closed;
    bool stopping;
    unsigned stopped;               /* workers that said so */
    int fd;                         /* the connector's end; -1: it has left */
    unsigned script_options;
};

static char filler[64 * 1024];

static struct edge_connection *find_connection(struct world *w)
{
    struct edge_connection *c = NULL;
    for (unsigned i = 0; i < WORKERS && w->line && !c; i++)
        HASH_FIND(by_line, w->workers[i]->by_line, &w->line->id, sizeof w->line->id, c);
    return c;
}

/* --- who has a request under way --- */

struct user {
    struct world *world;
    struct list link;
    struct edge_stream *stream;
    size_t patience;                /* bytes it takes before it has to be asked again */
    uint64_t to_send;
    uint64_t length, got;
    bool has_length, responded, moves;
};

static void user_free(struct user *u)
{
    list_remove(&u->link);
    u->world->n_users--;
    free(u);
}

static enum exchange_hold on_body(struct user *u, struct slice body, bool end, size_t *taken)
{
    *taken = body.n < u->patience ? body.n : u->patience;
    u->patience -= *taken;
    u->got += *taken;
    if (u->has_length)
        require(u->got <= u->length);
    if (!end || *taken < body.n)
        return EXCHANGE_HOLDS;
    require(!u->has_length || u->got == u->length);
    user_free(u);
    return EXCHANGE_LET_GO;
}

static size_t next_piece(const struct user *u)
{
    return u->to_send < sizeof filler ? (size_t)u->to_send : sizeof filler;
}

/* All that came of the client's body, until the stream takes no more. */
static void send_on(struct user *u)
{
    size_t n, sent;
    do {
        n = next_piece(u);
        ssize_t taken = edge_stream_ops.send_body(u->stream, (struct slice){ filler, n }, n == u->to_send);
        require(taken >= 0 && (size_t)taken <= n);
        sent = (size_t)taken;
        u->to_send -= sent;
    } while (u->to_send && sent == n);
}

static enum exchange_hold user_writable(void *arg)
{
    struct user *u = arg;
    require(!u->world->in_operation && u->to_send);
    u->world->in_operation = true;
    send_on(u);
    u->world->in_operation = false;
    return EXCHANGE_HOLDS;
}

static void user_failed(void *arg, enum upstream_stage stage, enum reason reason, const char *detail)
{
    struct user *u = arg;
    (void)detail;
    require(!u->world->in_operation && reason != REASON_NONE);
    require(!u->responded || stage == STAGE_RESPONSE);
    user_free(u);
}

static enum exchange_hold user_response(void *arg, struct http_head *head, const char *base, const struct http_message *message,
                                        struct slice body, bool end, size_t *taken)
{
    struct user *u = arg;
    require(!u->world->in_operation && !u->responded && (head->status == 101 || (head->status >= 200 && head->status <= 999)));
    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];
        require(f->name + f->name_len <= head->length && f->value + f->value_len <= head->length);
        require(!memchr(base + f->value, '\n', f->value_len));
    }
    u->responded = true;
    u->has_length = message->body == BODY_LENGTH;
    u->length = message->length;
    require(message->body != BODY_NONE || message->upgrade_websocket || (end && !body.n));
    return on_body(u, body, end, taken);
}

static enum exchange_hold user_body(void *arg, struct slice body, bool end, size_t *taken)
{
    struct user *u = arg;
    require(!u->world->in_operation && u->responded);
    return on_body(u, body, end, taken);
}

static enum exchange_hold user_suspect(void *arg)
{
    struct user *u = arg;
    require(!u->world->in_operation && !u->responded);
    if (!u->moves)
        return EXCHANGE_HOLDS;
    user_free(u);
    return EXCHANGE_LET_GO;
}

static struct slice user_request_trailers(void *arg)
{
    const struct user *u = arg;
    return u->moves ? SLICE("X-Late: yes\r\n") : (struct slice){ NULL, 0 };
}

static void user_response_trailers(void *arg, struct slice lines)
{
    struct user *u = arg;
    struct slice name, value;
    require(!u->world->in_operation && lines.n && lines.n <= TRAILERS_MAX);
    while (trailers_next(&lines, &name, &value))
        require(trailer_may_pass(name));
    require(!lines.n);
}

static const struct stream_user_ops user_ops = {
    .writable = user_writable,
    .failed = user_failed,
    .response = user_response,
    .response_body = user_body,
    .request_trailers = user_request_trailers,
    .response_trailers = user_response_trailers,
    .suspect = user_suspect,
};

static void ask(struct world *w, struct script *s)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "GET" };
    static const struct http_head head;
    struct edge_connection *c = find_connection(w);
    enum reason why;
    unsigned kind = byte(s);
    struct user *u = w->n_users < USERS_MAX && c ? calloc(1, sizeof *u) : NULL;
    if (!u)
        return;
    *u = (struct user){ .world = w, .patience = large(s), .moves = kind & 16 };
    u->stream = edge_stream_new(c, &user_ops, u, &why);
    if (!u->stream) {
        free(u);
        return;
    }
    list_push_back(&w->users, &u->link);
    w->n_users++;
    bool upgrade = kind % 4 == 3;
    if (kind % 4 == 2)
        u->to_send = large(s) % BODY_MAX;
    struct message_out out = { .base = "", .head = &head, .method = slice_of(methods[kind % 4]), .path = SLICE("/"),
                               .host = SLICE("h"), .upgrade = upgrade, .body = u->to_send ? BODY_LENGTH : BODY_NONE,
                               .length = u->to_send, .has_length = u->to_send };
    size_t n = next_piece(u);
    w->in_operation = true;
    ssize_t sent = edge_stream_ops.send_head(u->stream, &out, (struct slice){ filler, n }, n == u->to_send);
    require(sent >= 0 && (size_t)sent <= n);
    u->to_send -= (uint64_t)sent;
    if (u->to_send && (size_t)sent == n)
        send_on(u);
    w->in_operation = false;
}

static struct user *find_user(struct world *w, unsigned which)
{
    LIST_FOR_EACH(node, &w->users)
        if (which-- == 0)
            return CONTAINER_OF(node, struct user, link);
    return NULL;
}

static void read_on(struct user *u, size_t more)
{
    u->patience += more;
    u->world->in_operation = true;
    edge_stream_ops.want_body(u->stream);
    u->world->in_operation = false;
}

static void give_up(struct user *u)
{
    u->world->in_operation = true;
    edge_stream_ops.abort(u->stream);
    u->world->in_operation = false;
    user_free(u);
}

/* --- control --- */

static void make_line(struct world *w)
{
    struct tunnel_view *v = calloc(1, sizeof *v);
    w->line = calloc(1, sizeof *w->line);
    w->connector = calloc(1, sizeof *w->connector);
    require(v && w->line && w->connector);
    v->connectors = calloc(1, sizeof *v->connectors);
    v->lines = calloc(1, sizeof *v->lines);
    require(v->connectors && v->lines);
    atomic_init(&w->line->refs, 1);
    w->line->id = 1;
    atomic_init(&w->line->worker, w->script_options & OPTION_MOVE ? 1 : 0);
    atomic_init(&w->connector->refs, 1);
    atomic_init(&w->connector->weight, 1);
    atomic_init(&v->refs, 1);
    v->n_connectors = v->n_lines = 1;
    v->connectors[0] = (struct tunnel_view_connector){ .connector = tunnel_connector_ref(w->connector), .n_lines = 1 };
    v->lines[0] = tunnel_line_ref(w->line);
    tunnel_set_view(w->tunnel, v);
}

static void on_registered(void *arg, struct edge_registration *r)
{
    struct world *w = arg;
    struct edge_answer a = { .accepted = false, .cause = "Unauthorized", .location = "here" };
    if (!(w->script_options & OPTION_REFUSE)) {
        require(!w->line);
        make_line(w);
        a.accepted = true;
        a.tunnel = tunnel_ref(w->tunnel);
        a.connector = tunnel_connector_ref(w->connector);
        a.line = tunnel_line_ref(w->line);
    }
    edge_worker_post_answer(w->workers[r->worker], r->ticket, &a);
}

static void on_line_changed(void *arg, const char *tunnel, uint64_t line, enum line_state state, enum reason reason, const char *detail)
{
    struct world *w = arg;
    (void)reason;
    require(w->line && line == w->line->id && strcmp(tunnel, w->tunnel->id) == 0 && detail && !w->told_closed);
    require(state == LINE_CLOSED || (state == LINE_DRAINING && !w->told_draining));
    w->told_draining |= state == LINE_DRAINING;
    w->told_closed |= state == LINE_CLOSED;
}

static void on_local_configuration(void *arg, const char *tunnel, const char *connector, const char *json, size_t n)
{
    (void)arg, (void)tunnel, (void)connector;
    require(strnlen(json, n + 1) <= n);
}

static void on_pushed(void *arg, const char *tunnel, const char *connector, int version, bool applied, const char *answer)
{
    (void)arg, (void)tunnel, (void)connector, (void)applied;
    require(version == 1 && strlen(answer) < 512);
}

static void on_stopped(void *arg, unsigned index)
{
    struct world *w = arg;
    require(w->stopping && index < WORKERS && ++w->stopped <= WORKERS);
}

static void stop_all(struct world *w, nsec_t grace)
{
    for (unsigned i = 0; i < WORKERS && !w->stopping; i++)
        edge_worker_post_stop(w->workers[i], grace, on_stopped);
    w->stopping = true;
}

static void order(struct world *w, struct script *s)
{
    uint64_t line = w->line ? w->line->id : 1;
    struct edge_worker *worker = w->workers[w->script_options & OPTION_MOVE ? 1 : 0];
    switch (byte(s) % 5) {
    case 0: edge_worker_post_check(worker, line); break;
    case 1: edge_worker_post_drain(worker, line, (nsec_t)byte(s) * 100 * NSEC_PER_MSEC); break;
    case 2: edge_worker_post_push(worker, line, 1, filler, large(s) % sizeof filler); break;
    case 3: edge_worker_post_close(worker, line, REASON_NONE, "evicted"); break;
    case 4: stop_all(w, (nsec_t)byte(s) * 100 * NSEC_PER_MSEC); break;
    }
}

/* --- the connector --- */

static void turn(struct world *w)
{
    char heard[64 * 1024];
    for (int i = 0; i < TURNS; i++) {
        ev_run(w->loop, EVRUN_NOWAIT);
        while (w->fd >= 0 && !(w->script_options & OPTION_DEAF) && recv(w->fd, heard, sizeof heard, MSG_DONTWAIT) > 0)
            ;
    }
}

static void check_bounds(struct world *w)
{
    struct edge_connection *c = find_connection(w);
    if (!c)
        return;
    require(c->n_streams == w->n_users && atomic_load(&w->line->in_flight) == w->n_users);
    require(!c->pending || buffer_length(c->pending) <= EDGE_SCRATCH_SIZE);
    require(c->control.rpc.partial_size <= RPC_MESSAGE_MAX && c->filter.held_n <= EDGE_HEAD_BLOCK_MAX + 1024);
    require(nghttp2_session_get_outbound_queue_size(c->session) <= QUEUE_MAX);
}

static void leave(struct world *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

static void say(struct world *w, struct bytes *what)
{
    size_t most = w->script_options & OPTION_CUT ? 7 : 64 * 1024;
    while (bytes_length(what) && w->fd >= 0) {
        size_t n = bytes_length(what) < most ? bytes_length(what) : most;
        ssize_t sent = send(w->fd, what->p + what->start, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            bytes_drop(what, (size_t)sent);
        turn(w);
        if (sent < 0)
            break; /* closed; or nobody reads, which is the end of this act */
        if (bytes_length(what) < 64 * 1024)
            most = most * 2;
    }
    bytes_clear(what);
}

static uint32_t some_stream(struct script *s)
{
    unsigned n = byte(s);
    return n < 250 ? n % (2 * USERS_MAX + 4) : (n - 250) << 29 | 1;
}

static void add_head(struct script *s, struct bytes *out)
{
    static const struct slice names[] = {
        SLICE(":status"), SLICE("cf-cloudflared-response-headers"), SLICE("cf-cloudflared-response-meta"), SLICE("content-length"),
        SLICE("x"), SLICE("transfer-encoding"),
    };
    static const struct slice values[] = {
        SLICE("200"), SLICE("100"), SLICE("502"), SLICE("204"), SLICE("{\"src\":\"cloudflared\"}"), SLICE("{\"src\":\"origin\"}"),
        SLICE("1024"), SLICE("0"), SLICE("dXBncmFkZQ:d2Vic29ja2V0;Y29ubmVjdGlvbg:VXBncmFkZQ"), SLICE("eA:eQ"),
    };
    uint32_t stream = some_stream(s);
    unsigned how = byte(s), fields = byte(s) % 12;
    struct bytes block = { 0 };
    for (; fields; fields--) {
        struct slice name = names[byte(s) % (sizeof names / sizeof *names)];
        unsigned value = byte(s);
        if (value < sizeof values / sizeof *values)
            wire_field(&block, name, values[value]);
        else if (value & 128)
            wire_field(&block, name, (struct slice){ filler, large(s) % sizeof filler });
        else
            wire_field(&block, name, piece(s, value));
    }
    wire_block(out, how & WIRE_END_STREAM, stream, bytes_slice(&block), how & 128 ? 1 + how % 64 : WIRE_PIECE);
    bytes_clear(&block);
}

static void add_call(struct script *s, struct bytes *out)
{
    struct bytes message = { 0 };
    unsigned call = byte(s), question = byte(s), how = byte(s);
    struct slice text = how & 2 ? (struct slice){ filler, large(s) % sizeof filler } : piece(s, how >> 2);
    wire_call(&message, call % WIRE_CALLS, question % 4, how & 1, text);
    wire_data(out, how & 128 ? WIRE_END_STREAM : 0, 1, bytes_slice(&message));
    bytes_clear(&message);
}

static void move_clock(struct world *w, unsigned steps)
{
    now += (nsec_t)steps * 100 * NSEC_PER_MSEC;
    for (unsigned i = 0; i < WORKERS; i++)
        ev_feed_event(w->loop, &w->workers[i]->timers.tick, EV_TIMER);
}

static void run_act(struct world *w, struct script *s)
{
    struct bytes out = { 0 };
    struct user *u;
    unsigned type;
    switch ((enum act)(byte(s) % ACTS)) {
    case ACT_FRAME: {
        type = byte(s);
        uint8_t flags = (uint8_t)byte(s);
        uint32_t stream = some_stream(s);
        wire_frame(&out, (uint8_t)(type < 240 ? type % 11 : type), flags, stream, piece(s, byte(s)));
        break;
    }
    case ACT_RAW: bytes_add(&out, piece(s, byte(s))); break;
    case ACT_HEAD: add_head(s, &out); break;
    case ACT_CALL: add_call(s, &out); break;
    case ACT_DATA: {
        uint32_t stream = some_stream(s);
        uint8_t end = byte(s) & WIRE_END_STREAM;
        wire_data(&out, end, stream, (struct slice){ filler, large(s) % sizeof filler });
        break;
    }
    case ACT_REQUEST: ask(w, s); break;
    case ACT_READER:
        if ((u = find_user(w, byte(s) % USERS_MAX)))
            read_on(u, large(s));
        break;
    case ACT_ABORT:
        if ((u = find_user(w, byte(s) % USERS_MAX)))
            give_up(u);
        break;
    case ACT_ORDER: order(w, s); break;
    case ACT_TIME: move_clock(w, byte(s)); break;
    case ACT_LISTEN: w->script_options ^= OPTION_DEAF; break;
    case ACT_LEAVE: leave(w); break;
    case ACTS: break;
    }
    say(w, &out);
    turn(w);
    check_bounds(w);
}

static void register_it(struct world *w)
{
    struct bytes head = { 0 }, message = { 0 }, out = { 0 };
    wire_field(&head, SLICE(":status"), SLICE("200"));
    wire_call(&message, WIRE_BOOTSTRAP, 0, false, (struct slice){ NULL, 0 });
    wire_call(&message, WIRE_REGISTER, 1, false, (struct slice){ NULL, 0 });
    wire_frame(&out, WIRE_SETTINGS, 0, 0, (struct slice){ NULL, 0 });
    say(w, &out); /* the control stream is opened now */
    wire_block(&out, 0, 1, bytes_slice(&head), WIRE_PIECE);
    wire_data(&out, 0, 1, bytes_slice(&message));
    bytes_clear(&head);
    bytes_clear(&message);
    say(w, &out);
    turn(w);
}

/* --- begin and end --- */

static void begin(struct world *w, unsigned options)
{
    const int little = 4096; /* so that a connector that does not read is soon noticed */
    int fds[2];
    struct address peer = { .v4.sin_family = AF_INET };
    *w = (struct world){ .loop = ev_default_loop(0), .script_options = options };
    w->tunnel = tunnel_new("0f8fad5b-d9cb-469f-a165-70867728950e", "ams");
    list_init(&w->users);
    mailbox_init(&w->control, w->loop, w);
    for (unsigned i = 0; i < WORKERS; i++) {
        w->options[i] = (struct edge_worker_options){
            .index = i, .n_workers = WORKERS, .workers = w->workers, .epoch = &w->epoch, .control = &w->control, .arg = w,
            .registered = on_registered, .line_changed = on_line_changed, .local_configuration = on_local_configuration,
            .pushed = on_pushed,
        };
        w->workers[i] = edge_worker_new(w->loop, &w->options[i]);
    }
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    require(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
    w->fd = fds[1];
    require(peer_count_enter(w->workers[0]->strangers_by_address, &peer, 0, 0));
    require(edge_connection_begin(w->workers[0], fds[0], NULL, &peer) != NULL);
}

/* The connector has left. Who was slow takes what had come, and nobody waits for ever. */
static void end(struct world *w)
{
    leave(w);
    turn(w);
    for (unsigned i = 0; i < USERS_MAX && w->n_users; i++) {
        read_on(find_user(w, 0), SIZE_MAX / 2);
        turn(w);
    }
    require(w->n_users == 0);
    require(!w->stopping || w->stopped == WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        require(list_empty(&w->workers[i]->connections) && list_empty(&w->workers[i]->dead));
    for (unsigned i = 0; i < WORKERS; i++)
        edge_worker_free(w->workers[i]);
    mailbox_clear(&w->control);
    require(!w->line || (w->told_closed && atomic_load(&w->line->state) == LINE_CLOSED && !tunnel_is_usable(w->tunnel)));
    tunnel_line_unref(w->line);
    tunnel_connector_unref(w->connector);
    tunnel_unref(w->tunnel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    struct script s = { data + 1, data + size };
    if (size < 1 || size > INPUT_MAX)
        return 0;
    log_set_level(LOG_LEVEL_ERROR);
    begin(&w, data[0]);
    if (!(data[0] & OPTION_STRANGER))
        register_it(&w);
    while (s.p < s.end)
        run_act(&w, &s);
    end(&w);
    return 0;
}
