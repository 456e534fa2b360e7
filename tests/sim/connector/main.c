/* A stand-in for cloudflared, for tests, measurements and the demo: dials an edge and speaks what cloudflared 2026.8 speaks over
 * HTTP/2.
 *
 * main.c reads the options · connector.c opens connections, again and again · session.c is one of them: TLS and HTTP/2 ·
 * control.c is the conversation on its control stream, rpc.c its messages · request.c is a stream that is a request, ingress.c
 * the service it is for, origin.c the connection to that · observe.c and command.c let a test look and break things. */
#include "tests/sim/connector/observe.h"
#include "tests/sim/connector/origin.h"

#include "base/log.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

static const char usage[] =
    "usage: connector_h2 --edge HOST:PORT... --cacert FILE (--cred-file FILE | --token TOKEN | --herd FILE) [OPTION]...\n"
    "  --edge HOST:PORT      one slot; the same address may be given several times\n"
    "  --herd FILE           a tunnel for each of the credentials in a JSON list\n"
    "  --connectors N        so many of them for each tunnel, each with an id of its own (1)\n"
    "  --ha-connections N    connections of a connector, at most one per slot (4)\n"
    "  --url SERVICE         http://HOST:PORT, unix:PATH, http_status:NNN, bytes:N: for all requests (bytes:100)\n"
    "  --config FILE         ingress rules, in the JSON of a pushed configuration\n"
    "  --retries N           2^N is the most that a back-off grows by (5)\n"
    "  --pace SECONDS        how long one second of waiting between connections takes (1)\n"
    "  --grace-period SECONDS  (30)\n"
    "  --metrics HOST:PORT   /ready, /config, /healthcheck, /metrics\n"
    "  --control PATH        unix socket for commands; `help` lists them\n"
    "  --fault COMMAND       one of them at the start\n"
    "  --version-string TEXT what it says it is (2026.8.2)\n"
    "  --quiet               only warnings\n";

struct options {
    const char *cacert, *cred_file, *token, *herd, *url, *config, *metrics, *control;
    const char **faults;
    unsigned n_faults, connectors;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "connector_h2: %s: %s\n", what, why);
    exit(2);
}

/* --- options --- */

enum option_id {
    OPTION_CACERT = 256, OPTION_CONFIG, OPTION_CONNECTORS, OPTION_CONTROL, OPTION_CRED_FILE, OPTION_EDGE, OPTION_FAULT,
    OPTION_GRACE, OPTION_HA_CONNECTIONS, OPTION_HELP, OPTION_HERD, OPTION_METRICS, OPTION_PACE, OPTION_QUIET, OPTION_RETRIES,
    OPTION_TOKEN, OPTION_URL, OPTION_VERSION
};

static const struct option long_options[] = {
    { "cacert", required_argument, NULL, OPTION_CACERT },
    { "config", required_argument, NULL, OPTION_CONFIG },
    { "connectors", required_argument, NULL, OPTION_CONNECTORS },
    { "control", required_argument, NULL, OPTION_CONTROL },
    { "cred-file", required_argument, NULL, OPTION_CRED_FILE },
    { "edge", required_argument, NULL, OPTION_EDGE },
    { "fault", required_argument, NULL, OPTION_FAULT },
    { "grace-period", required_argument, NULL, OPTION_GRACE },
    { "ha-connections", required_argument, NULL, OPTION_HA_CONNECTIONS },
    { "help", no_argument, NULL, OPTION_HELP },
    { "herd", required_argument, NULL, OPTION_HERD },
    { "metrics", required_argument, NULL, OPTION_METRICS },
    { "pace", required_argument, NULL, OPTION_PACE },
    { "quiet", no_argument, NULL, OPTION_QUIET },
    { "retries", required_argument, NULL, OPTION_RETRIES },
    { "token", required_argument, NULL, OPTION_TOKEN },
    { "url", required_argument, NULL, OPTION_URL },
    { "version-string", required_argument, NULL, OPTION_VERSION },
    { 0 },
};

static unsigned number(const char *name, const char *text, unsigned least, unsigned most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || end == text || n < least || n > most)
        die(name, "not a number in its range");
    return (unsigned)n;
}

static double seconds(const char *name, const char *text)
{
    char *end;
    double n = strtod(text, &end);
    if (*end || end == text || !(n >= 0 && n <= 3600))
        die(name, "not a number of seconds");
    return n;
}

static void add_edge(struct sim *sim, const char *text)
{
    sim->edges = mem_resize(sim->edges, sim->n_edges + 1, sizeof *sim->edges);
    if (!peer_init(&sim->edges[sim->n_edges++], text))
        die(text, "can't be resolved");
}

static void add_fault(struct options *o, const char *text)
{
    o->faults = mem_resize(o->faults, o->n_faults + 1, sizeof *o->faults);
    o->faults[o->n_faults++] = text;
}

static void read_options(struct sim *sim, struct options *o, int argc, char **argv)
{
    int id;
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (id) {
        case OPTION_CACERT: o->cacert = optarg; break;
        case OPTION_CONFIG: o->config = optarg; break;
        case OPTION_CONNECTORS: o->connectors = number("--connectors", optarg, 1, 10000); break;
        case OPTION_CONTROL: o->control = optarg; break;
        case OPTION_CRED_FILE: o->cred_file = optarg; break;
        case OPTION_EDGE: add_edge(sim, optarg); break;
        case OPTION_FAULT: add_fault(o, optarg); break;
        case OPTION_GRACE: sim->grace = seconds("--grace-period", optarg); break;
        case OPTION_HA_CONNECTIONS: sim->ha_connections = number("--ha-connections", optarg, 1, 255); break;
        case OPTION_HELP: fputs(usage, stdout); exit(0);
        case OPTION_HERD: o->herd = optarg; break;
        case OPTION_METRICS: o->metrics = optarg; break;
        case OPTION_PACE: sim->pace = seconds("--pace", optarg); break;
        case OPTION_QUIET: log_set_level(LOG_LEVEL_WARNING); break;
        case OPTION_RETRIES: sim->retries = number("--retries", optarg, 0, 16); break;
        case OPTION_TOKEN: o->token = optarg; break;
        case OPTION_URL: o->url = optarg; break;
        case OPTION_VERSION: sim->version = optarg; break;
        default: fputs(usage, stderr); exit(2);
        }
    }
    if (optind != argc || !sim->n_edges || !o->cacert || !o->cred_file + !o->token + !o->herd != 2) {
        fputs(usage, stderr);
        exit(2);
    }
}

/* --- what the connectors are made of --- */

static json_t *read_json(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    if (!json)
        die(path, error.text);
    return json;
}

static struct ingress *make_ingress(const struct options *o)
{
    char error[256];
    const char *url = o->url ? o->url : "bytes:100";
    json_t *json = o->config ? read_json(o->config) : json_pack("{s:[{s:s}]}", "ingress", "service", url);
    struct ingress *ingress = ingress_new(json, error);
    if (!ingress)
        die(o->config ? o->config : "--url", error);
    json_decref(json);
    return ingress;
}

static void add_connectors(struct sim *sim, const struct options *o, const struct credentials *credentials, struct ingress *ingress)
{
    sim->connectors = mem_resize(sim->connectors, sim->n_connectors + o->connectors, sizeof *sim->connectors);
    for (unsigned i = 0; i < o->connectors; i++)
        sim->connectors[sim->n_connectors++] = connector_new(sim, credentials, ingress);
}

static void add_tunnel(struct sim *sim, const struct options *o, json_t *json, const char *path, struct ingress *ingress)
{
    struct credentials credentials;
    char *text = json_dumps(json, JSON_COMPACT);
    const char *wrong = text ? credentials_read(slice_of(text), &credentials) : "not an object";
    if (wrong)
        die(path, wrong);
    add_connectors(sim, o, &credentials, ingress);
    credentials_clear(&credentials);
    mem_free_secret(text);
}

static void add_tunnels(struct sim *sim, const struct options *o, struct ingress *ingress)
{
    const char *path = o->herd ? o->herd : o->cred_file;
    if (o->token) {
        struct credentials credentials;
        const char *wrong = token_read(slice_of(o->token), &credentials);
        if (wrong)
            die("--token", wrong);
        add_connectors(sim, o, &credentials, ingress);
        credentials_clear(&credentials);
        return;
    }
    json_t *json = read_json(path), *one;
    size_t i;
    if (json_is_array(json) != !!o->herd || (o->herd && !json_array_size(json)))
        die(path, o->herd ? "not a list of credentials" : "not one tunnel's credentials");
    json_array_foreach (json, i, one)
        add_tunnel(sim, o, one, path, ingress);
    if (!o->herd)
        add_tunnel(sim, o, json, path, ingress);
    json_decref(json);
}

/* As cloudflared's ClientHello: P-256 only, no ALPN, no tickets. The file replaces all roots, and may hold the edge's certificate
 * itself. */
static SSL_CTX *make_tls(const char *cacert)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls || !SSL_CTX_load_verify_file(tls, cacert))
        die(cacert, "can't be read as certificates");
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set1_groups_list(tls, "P-256");
    SSL_CTX_set_options(tls, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(tls), X509_V_FLAG_PARTIAL_CHAIN);
    return tls;
}

/* --- running --- */

static void on_before_wait(struct ev_loop *loop, ev_prepare *w, int events)
{
    (void)loop;
    (void)events;
    session_settle_all(w->data);
}

/* The first asks it to leave in order; the second ends it at once. */
static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
    (void)events;
    struct sim *sim = w->data;
    if (!sim->stopping) {
        sim_stop(sim);
        return;
    }
    ev_signal_stop(loop, w);
    signal(w->signum, SIG_DFL);
    raise(w->signum);
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static struct observer *observe(const char *address, struct sim *sim, struct observer *(*start)(struct sim *, const char *))
{
    struct observer *o = address ? start(sim, address) : NULL;
    if (address && !o)
        die(address, strerror(errno));
    return o;
}

static void set_up(struct sim *sim, const struct options *o)
{
    struct ingress *ingress = make_ingress(o);
    sim->tls = make_tls(o->cacert);
    add_tunnels(sim, o, ingress);
    ingress_unref(ingress);
    for (unsigned i = 0; i < o->n_faults; i++) {
        char *answer = command_run(sim, o->faults[i]);
        if (strncmp(answer, "{\"ok\"", 5) != 0)
            die(o->faults[i], answer);
        free(answer);
    }
}

static void tear_down(struct sim *sim)
{
    for (unsigned i = 0; i < sim->n_connectors; i++)
        connector_free(sim->connectors[i]);
    origin_close_idle(sim);
    for (unsigned i = 0; i < sim->n_edges; i++)
        peer_clear(&sim->edges[i]);
    free(sim->connectors);
    free(sim->edges);
    SSL_CTX_free(sim->tls);
}

static void run(struct sim *sim)
{
    static ev_signal signals[2];
    ev_prepare_init(&sim->before_wait, on_before_wait);
    sim->before_wait.data = sim;
    ev_prepare_start(sim->loop, &sim->before_wait);
    for (size_t i = 0; i < 2; i++) {
        ev_signal_init(&signals[i], on_signal, i ? SIGINT : SIGTERM);
        signals[i].data = sim;
        ev_signal_start(sim->loop, &signals[i]);
    }
    for (unsigned i = 0; i < sim->n_connectors; i++)
        connector_start(sim->connectors[i]);
    ev_run(sim->loop, 0);
}

int main(int argc, char **argv)
{
    struct sim sim = { .loop = EV_DEFAULT, .ha_connections = 4, .retries = 5, .pace = 1, .grace = 30, .version = "2026.8.2" };
    struct options options = { .connectors = 1 };
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    random_seed(&sim.random);
    list_init(&sim.touched);
    list_init(&sim.idle_origins);
    list_init(&sim.dial_queue);
    read_options(&sim, &options, argc, argv);
    set_up(&sim, &options);
    struct observer *metrics = observe(options.metrics, &sim, observer_metrics);
    struct observer *control = observe(options.control, &sim, observer_control);
    run(&sim);
    observer_free(metrics);
    observer_free(control);
    tear_down(&sim);
    free(options.faults);
    return sim.exit_status;
}
