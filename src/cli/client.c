#include "cli/client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/format.h"
#include "cli/sse.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 64 * 1024 * 1024,
    TOKEN_MAX = 4096,
    CONNECT_TIMEOUT_MS = 5000,
    READ_TIMEOUT_S = 20,
    CHANGE_TIMEOUT_S = 300,  /* a reload or a test of many endpoints takes its time */
    STREAM_SILENCE_S = 60,   /* four keep-alive comments missing */
};

struct client {
    CURL *curl;
    char *where;             /* as the user named it */
    char *base;              /* scheme and authority of the URLs */
    struct curl_slist *headers; /* of every call */
    bool over_unix_socket;
};

static bool looks_like_url(const char *where)
{
    return strstr(where, "://") != NULL;
}

/* The first line of the file; the caller frees it as a secret. NULL after an error message. */
static char *read_token(const char *path)
{
    char token[TOKEN_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, token, sizeof token - 1);

    if (n < 0)
        cli_usage_error("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return NULL;
    token[n] = '\0';
    token[strcspn(token, "\r\n")] = '\0';
    char *copy = token[0] ? mem_copy_text(token) : NULL;
    explicit_bzero(token, sizeof token);
    if (!copy)
        cli_usage_error("%s: holds no token", path);
    return copy;
}

/* False after an error message. */
static bool add_token(struct client *c, const char *token_file)
{
    const char *given = getenv("PENSTOCK_TOKEN");
    char *token = token_file ? read_token(token_file) : given && *given ? mem_copy_text(given) : NULL;

    if (!token)
        return !token_file;
    char *header = mem_printf("Authorization: Bearer %s", token);
    c->headers = curl_slist_append(c->headers, header);
    mem_free_secret(header);
    mem_free_secret(token);
    return true;
}

static void set_destination(struct client *c, const char *where)
{
    c->over_unix_socket = !looks_like_url(where);
    c->where = mem_copy_text(where);
    if (c->over_unix_socket) {
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, where);
        c->base = mem_copy_text("http://localhost");
        return;
    }
    c->base = mem_copy_text(where);
    for (size_t n = strlen(c->base); n && c->base[n - 1] == '/'; n--)
        c->base[n - 1] = '\0';
}

struct client *client_new(const struct client_options *o)
{
    const char *environment = getenv("PENSTOCK_ADMIN");
    const char *where = o->admin ? o->admin : environment && *environment ? environment : CLIENT_DEFAULT_SOCKET;
    struct client *c = mem_zero(sizeof *c);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    c->curl = curl_easy_init();
    if (!c->curl)
        abort(); /* out of memory */
    set_destination(c, where);
    if (!c->over_unix_socket && !add_token(c, o->token_file)) {
        client_close(c);
        return NULL;
    }
    c->headers = curl_slist_append(c->headers, "Expect:");
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_PROXY, ""); /* the token is for the daemon alone */
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "penstock/" PENSTOCK_VERSION);
    return c;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    curl_slist_free_all(c->headers);
    curl_easy_cleanup(c->curl);
    free(c->base);
    free(c->where);
    free(c);
}

char *client_path(const char *prefix, ...)
{
    struct text path = { 0 };
    va_list segments;

    text_add(&path, prefix);
    va_start(segments, prefix);
    for (const char *segment; (segment = va_arg(segments, const char *));) {
        char *escaped = curl_easy_escape(NULL, segment, 0);
        if (path.n && path.p[path.n - 1] != '/' && path.p[path.n - 1] != '=')
            text_add(&path, "/");
        text_add(&path, escaped ? escaped : "");
        curl_free(escaped);
    }
    va_end(segments);
    return text_take(&path);
}

static const char *advice(const struct client *c, CURLcode code)
{
    if (code == CURLE_OPERATION_TIMEDOUT)
        return "it does not answer: is it overloaded or stopped?";
    if (!c->over_unix_socket)
        return "is it running, and does admin.address of its configuration say so?";
    if (access(c->where, F_OK) != 0)
        return "there is no such socket: is penstock running, and does admin.socket of its configuration name this path? (--admin, "
               "PENSTOCK_ADMIN)";
    if (access(c->where, W_OK) != 0)
        return "no permission: join the group that admin.group of its configuration names, or use sudo";
    return "nobody listens there any more: is penstock running?";
}

/* Over a socket curl would speak of the host in the URL, which is none. */
static const char *cause(const struct client *c, CURLcode code, const char *detail)
{
    long number = 0;

    curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &number);
    if (c->over_unix_socket && code == CURLE_COULDNT_CONNECT && number)
        return strerror((int)number);
    return *detail && !c->over_unix_socket ? detail : curl_easy_strerror(code);
}

static int complain_unreachable(const struct client *c, CURLcode code, const char *detail)
{
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return cli_usage_error("--admin: %s is neither a path nor an http:// or https:// URL", c->where);
    return cli_usage_error("the daemon can't be reached at %s (%s): %s", c->where, cause(c, code, detail), advice(c, code));
}

/* The detail of a problem document (RFC 9457), or what there is instead. */
static const char *problem_detail(const json_t *problem)
{
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    return detail ? detail : json_string_value(json_object_get(problem, "title"));
}

static int complain_refused(const struct client *c, long status, const json_t *problem)
{
    const char *detail = problem_detail(problem);

    if (status == 401)
        return cli_usage_error("%s wants a token: give it with --token-file or PENSTOCK_TOKEN (%s)", c->where,
                               detail ? detail : "401");
    if (!detail)
        return cli_usage_error("%s answered %ld with something that isn't penstock's: is it another server?", c->where, status);
    if (status == 403 || status >= 500)
        return cli_usage_error("%s", detail);
    return cli_refuse("%s", detail);
}

static size_t keep_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct text *body = arg;
    if (body->n + n * size > ANSWER_MAX)
        return 0;
    text_add_bytes(body, bytes, n * size);
    return n * size;
}

/* The client's own headers, and those given up to a NULL. */
static struct curl_slist *headers_with(const struct client *c, ...)
{
    struct curl_slist *all = NULL;
    va_list more;

    for (const struct curl_slist *h = c->headers; h; h = h->next)
        all = curl_slist_append(all, h->data);
    va_start(more, c);
    for (const char *header; (header = va_arg(more, const char *));)
        all = curl_slist_append(all, header);
    va_end(more);
    return all;
}

/* Takes the headers over. `detail` gets curl's own words. */
static CURLcode perform(struct client *c, const char *path, struct curl_slist *headers, char detail[static CURL_ERROR_SIZE],
                        long *status)
{
    char *url = mem_printf("%s%s", c->base, path);

    detail[0] = '\0';
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode code = curl_easy_perform(c->curl);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    free(url);
    return code;
}

static void set_method(struct client *c, const char *method, const char *body)
{
    if (strcmp(method, "GET") == 0) {
        curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, NULL);
        return;
    }
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body ? body : "");
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, body ? (long)strlen(body) : 0L);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
}

static void prepare_call(struct client *c, const char *method, const char *body, struct text *answer)
{
    set_method(c, method, body);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, strcmp(method, "GET") == 0 ? (long)READ_TIMEOUT_S : (long)CHANGE_TIMEOUT_S);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, keep_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, answer);
}

/* One exchange. False after an error message. */
static bool exchange(struct client *c, const char *method, const char *path, const json_t *body, long *status, struct text *answer)
{
    char detail[CURL_ERROR_SIZE];
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    prepare_call(c, method, text, answer);
    struct curl_slist *headers = headers_with(c, "Accept: application/json", text ? "Content-Type: application/json" : NULL, NULL);
    CURLcode code = perform(c, path, headers, detail, status);
    if (code != CURLE_OK)
        complain_unreachable(c, code, detail);
    free(text);
    return code == CURLE_OK;
}

static int call(struct client *c, const char *method, const char *path, const json_t *body, json_t **answer, bool print_refusal)
{
    struct text text = { 0 };
    long status = 0;
    int result = EXIT_YES;

    *answer = NULL;
    if (!exchange(c, method, path, body, &status, &text)) {
        text_clear(&text);
        return EXIT_USAGE;
    }
    *answer = text.n ? json_loadb(text.p, text.n, JSON_DECODE_ANY, NULL) : NULL;
    if (status < 200 || status > 299) {
        bool refused = status >= 400 && status < 500 && status != 401 && status != 403 && problem_detail(*answer);
        result = !print_refusal && refused ? EXIT_NO : complain_refused(c, status, *answer);
    } else if (!*answer) {
        result = cli_usage_error("%s answered something that isn't JSON: is it another server?", c->where);
    }
    text_clear(&text);
    return result;
}

int client_send(struct client *c, const char *method, const char *path, const json_t *body, json_t **answer)
{
    json_t *got;
    int result = call(c, method, path, body, &got, true);

    if (answer && result == EXIT_YES)
        *answer = got;
    else
        json_decref(got);
    return result;
}

int client_get(struct client *c, const char *path, json_t **answer)
{
    return client_send(c, "GET", path, NULL, answer);
}

int client_try(struct client *c, const char *method, const char *path, const json_t *body, json_t **answer)
{
    int result = call(c, method, path, body, answer, false);

    if (result == EXIT_USAGE) {
        json_decref(*answer);
        *answer = NULL;
    }
    return result;
}

bool client_wait(struct client *c, unsigned seconds)
{
    const struct timespec pause = { .tv_sec = 1 };
    bool answered = false;

    for (unsigned i = 0; i < seconds && !answered; i++) {
        struct text text = { 0 };
        char detail[CURL_ERROR_SIZE];
        long status = 0;
        nanosleep(&pause, NULL);
        prepare_call(c, "GET", NULL, &text);
        answered = perform(c, "/livez", headers_with(c, NULL), detail, &status) == CURLE_OK && status == 200;
        text_clear(&text);
    }
    return answered;
}

/* --- streams --- */

struct stream {
    struct client *client;
    struct sse sse;
    bool (*event)(void *arg, const char *id, const json_t *data);
    void *arg;
    bool stopped;
    struct text refusal; /* the body of an answer other than 200 */
};

static bool stream_event(void *arg, const char *id, const char *text, size_t n)
{
    struct stream *s = arg;
    json_t *data = json_loadb(text, n, 0, NULL);
    bool more = data && s->event(s->arg, id, data);

    json_decref(data);
    s->stopped = !more;
    return more;
}

static size_t stream_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct stream *s = arg;
    long status = 0;

    curl_easy_getinfo(s->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return keep_body(bytes, size, n, &s->refusal);
    return sse_feed(&s->sse, bytes, size * n) ? size * n : 0;
}

static enum client_stream_end judge_stream(struct stream *s, CURLcode code, const char *detail, long status)
{
    if (s->stopped)
        return STREAM_STOPPED;
    if (status == 200)
        return STREAM_ENDED;
    if (status == 0) {
        complain_unreachable(s->client, code, detail);
    } else {
        json_t *problem = s->refusal.n ? json_loadb(s->refusal.p, s->refusal.n, 0, NULL) : NULL;
        complain_refused(s->client, status, problem);
        json_decref(problem);
    }
    return STREAM_REFUSED;
}

enum client_stream_end client_stream(struct client *c, const char *path, const char *last_event_id,
                                     bool (*event)(void *arg, const char *id, const json_t *data), void *arg)
{
    struct stream s = { .client = c, .event = event, .arg = arg };
    char detail[CURL_ERROR_SIZE];
    char *resume = last_event_id ? mem_printf("Last-Event-ID: %s", last_event_id) : NULL;
    long status = 0;

    s.sse = (struct sse){ .event = stream_event, .arg = &s };
    set_method(c, "GET", NULL);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, 0L);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, (long)STREAM_SILENCE_S);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, stream_bytes);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &s);
    CURLcode code = perform(c, path, headers_with(c, "Accept: text/event-stream", resume, NULL), detail, &status);
    enum client_stream_end end = judge_stream(&s, code, detail, status);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 0L);
    sse_clear(&s.sse);
    text_clear(&s.refusal);
    free(resume);
    return end;
}

int client_show(const struct client_options *options, const char *path, bool json, void (*print)(const json_t *))
{
    struct client *client = client_new(options);
    json_t *found = NULL;
    int result = client ? client_get(client, path, &found) : EXIT_USAGE;

    client_close(client);
    if (result == EXIT_YES && json)
        format_print_json(json_incref(found));
    else if (result == EXIT_YES)
        print(found);
    json_decref(found);
    return result;
}
