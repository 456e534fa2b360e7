#include "conf/ingress.h"
#include "conf/parts.h"
#include "conf/types.h"

#include "balance/tunnel.h"
#include "http/head.h"

#include <openssl/ssl.h>

/* A row's field must have the C type that its conf_type writes. */
#define FIELD(object, field, type) \
    (offsetof(object, field) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((object *)0)->field), type) ? 1 : -1]))
#define NO_FIELD .offset = CONF_NOWHERE, .count_offset = CONF_NOWHERE

#define FLAG(o, f) .type = &type_flag, .offset = FIELD(o, f, bool)
#define COUNT(o, f) .type = &type_count, .offset = FIELD(o, f, unsigned)
#define NUMBER(o, f) .type = &type_number, .offset = FIELD(o, f, double)
#define COORDINATE(o, f) .type = &type_coordinate, .offset = FIELD(o, f, float)
#define DURATION(o, f) .type = &type_duration, .offset = FIELD(o, f, nsec_t)
#define SIZE(o, f) .type = &type_size, .offset = FIELD(o, f, uint64_t)
#define TEXT(o, f) .type = &type_text, .offset = FIELD(o, f, const char *)
#define NAME(o, f) .type = &type_name, .offset = FIELD(o, f, const char *)
#define PATH(o, f) .type = &type_path, .offset = FIELD(o, f, const char *)
#define READ_FILE(o, f) .type = &type_file, .offset = FIELD(o, f, const char *)
#define SECRET(o, f) .type = &type_secret, .offset = FIELD(o, f, const char *)
#define CHOICE(o, f, all) .type = &type_choice, .choices = (all), .offset = offsetof(o, f)
#define TEXTS(o, f) .type = &type_texts, .offset = offsetof(o, f.items), .count_offset = offsetof(o, f.n)
#define PAIRS(t, o, f, n) .type = &(t), .offset = FIELD(o, f, const struct header_pair *), .count_offset = FIELD(o, n, size_t)
#define HEADERS(o, f, n) PAIRS(type_headers, o, f, n)
#define GROUP(group, at) .type = &type_group, .members = &(group), .offset = (at)
#define LIST(group, o, f, n) .type = &type_list, .members = &(group), .offset = offsetof(o, f), .count_offset = FIELD(o, n, size_t)
#define PLACES(f) .type = &type_place_map, .offset = FIELD(struct load_balancer, f, const struct place_map *), \
    .count_offset = FIELD(struct load_balancer, n_##f, size_t)
#define PLACE_CODES(o, f) .type = &type_place_codes, .offset = offsetof(o, f.items), .count_offset = offsetof(o, f.n)
/* A type of one object only, which it gets whole or by the offset. */
#define OWN(kind, at) .type = &(kind), .offset = (at)

/* --- listeners --- */

static const struct conf_choice tls_versions[] = { { "1.2", TLS1_2_VERSION }, { "1.3", TLS1_3_VERSION }, { 0 } };

static const struct conf_key certificate_keys[] = {
    { "cert", READ_FILE(struct tls_certificate_conf, cert), .required = true, .help = "Certificate in PEM, its chain after it." },
    { "key", READ_FILE(struct tls_certificate_conf, key), .required = true, .help = "Its private key in PEM." },
    { 0 },
};
static const struct conf_group certificate_group = {
    .keys = certificate_keys, .size = sizeof(struct tls_certificate_conf), .at = offsetof(struct tls_certificate_conf, at),
    .what = "a certificate"
};

static const struct conf_key listener_tls_keys[] = {
    { "certificates", LIST(certificate_group, struct listener, certificates, n_certificates), .required = true, .least = "1",
      .most = "1000",
      .help = "Chosen by the name the client asks for: exact, then wildcard, else the first." },
    { "min_version", CHOICE(struct listener, min_version, tls_versions), .fallback = "1.2", .help = "Lowest TLS version spoken." },
    { 0 },
};
static const struct conf_group listener_tls_group = { .keys = listener_tls_keys, .at = CONF_NOWHERE, .what = "`tls`" };

static const struct conf_key listener_keys[] = {
    { "address", TEXT(struct listener, address), .required = true,
      .help = "Where to listen: \":8080\", \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/path\", which is for everybody who gets to its folder." },
    { "tls", GROUP(listener_tls_group, 0), .help = "Serve HTTPS here." },
    { "http2", FLAG(struct listener, http2), .fallback = "false",
      .help = "Accepted for later versions; this one offers HTTP/1.1 only and warns." },
    { 0 },
};
static const struct conf_group listener_group = { .keys = listener_keys, .size = sizeof(struct listener),
                                                  .at = offsetof(struct listener, at),
                                                  .what = "a listener", .finish = finish_listener };

/* --- process --- */

static const struct conf_key admin_keys[] = {
    { "socket", PATH(struct admin_conf, socket), .fallback = "/run/penstock/admin.sock", .help = "Unix socket of the admin API." },
    { "mode", .type = &type_mode, .offset = FIELD(struct admin_conf, mode, unsigned), .fallback = "0660",
      .help = "Permissions of the socket." },
    { "group", TEXT(struct admin_conf, group), .default_text = "the process's", .help = "Group of the socket." },
    { "address", TEXT(struct admin_conf, address), .default_text = "none",
      .help = "HOST:PORT that serves the API, metrics and dashboard over TCP as well. Without a token: loopback and GET only." },
    { "token", SECRET(struct admin_conf, token), .help = "Bearer token that requests to `address` must carry." },
    { 0 },
};
static const struct conf_group admin_group = { .keys = admin_keys, .at = CONF_NOWHERE, .what = "`admin`", .finish = finish_admin };

static const struct conf_key resolver_keys[] = {
    { "servers", OWN(type_resolver_servers, FIELD(struct config, resolver_servers, const char *)), .default_text = "the system's",
      .least = "1", .most = "16",
      .help = "DNS servers to ask for endpoints' names." },
    { 0 },
};
static const struct conf_group resolver_group = { .keys = resolver_keys, .at = CONF_NOWHERE, .what = "`resolver`" };

static const struct conf_choice access_log_formats[] = { { "json", ACCESS_LOG_JSON }, { "combined", ACCESS_LOG_COMBINED }, { 0 } };
static const struct conf_key access_log_keys[] = {
    { "path", TEXT(struct access_log_conf, path), .default_text = "off", .help = "A file, \"stdout\" or \"off\"." },
    { "format", CHOICE(struct access_log_conf, format, access_log_formats), .fallback = "json", .help = "One line per request." },
    { 0 },
};
static const struct conf_group access_log_group = { .keys = access_log_keys, .at = offsetof(struct access_log_conf, at),
                                                    .what = "`access_log`", .finish = finish_access_log };

static const struct conf_key explain_keys[] = {
    { "requests", COUNT(struct config, explain_requests), .fallback = "1000", .most = "100000",
      .help = "Each worker remembers how its last so many requests were decided, for `penstock explain --request`, in 3 KiB each. 0: none." },
    { 0 },
};
static const struct conf_group explain_group = { .keys = explain_keys, .at = CONF_NOWHERE, .what = "`explain`" };

static const struct conf_key geoip_keys[] = {
    { "database", OWN(type_databases, 0), .required = true, .least = "1", .most = "8",
      .help = "MMDB file that tells the country or city of an address; of several, the first that knows it. Read anew when it changes." },
    { 0 },
};
static const struct conf_group geoip_group = { .keys = geoip_keys, .at = offsetof(struct geoip_conf, at), .what = "`geoip`",
                                               .finish = finish_geoip };

/* --- timeouts and limits, of all and of one load balancer --- */

#define TIMEOUT(f, least_, most_, default_, help_) \
    { #f, DURATION(struct timeouts, f), .fallback = default_, .least = least_, .most = most_, .help = help_ }
#define TIMEOUT_BEFORE_ROUTE(f, least_, most_, default_, help_) \
    { #f, DURATION(struct timeouts, f), .fallback = default_, .least = least_, .most = most_, .before_route = true, .help = help_ }
static const struct conf_key timeouts_keys[] = {
    TIMEOUT_BEFORE_ROUTE(client_header, "100ms", "1h", "10s", "For a request's whole head; then 408."),
    TIMEOUT_BEFORE_ROUTE(client_body, "100ms", "1h", "30s", "Between two reads of a request's body."),
    TIMEOUT_BEFORE_ROUTE(client_idle, "100ms", "1d", "60s", "A client's connection without a request."),
    TIMEOUT_BEFORE_ROUTE(client_handshake, "100ms", "10m", "10s", "A client's TLS handshake."),
    TIMEOUT(client_abort, "0s", "1h", "1s", "How long a request goes on without a byte sent once its client has finished sending."),
    TIMEOUT(connect, "10ms", "10m", "3s", "TCP connection to an endpoint; then the next one."),
    TIMEOUT(handshake, "10ms", "10m", "6s", "TCP and TLS together, to an endpoint."),
    TIMEOUT(response_header, "10ms", "1d", "120s", "For the head of an endpoint's response; then 504."),
    TIMEOUT(response_idle, "10ms", "1d", "120s", "Between two reads of a response's body."),
    TIMEOUT(upgrade_idle, "1s", "30d", "1h", "A WebSocket on which nothing moves."),
    TIMEOUT(queue, "0s", "10m", "5s", "Waiting while all endpoints have `max_in_flight` requests; then 503."),
    TIMEOUT(total, "0s", "30d", "0s", "A request and its response in all; \"0s\": no limit."),
    TIMEOUT_BEFORE_ROUTE(shutdown, "0s", "1d", "30s", "For requests under way when the daemon stops."),
    TIMEOUT_BEFORE_ROUTE(upgrade_shutdown, "0s", "1d", "5m", "For WebSockets when the daemon stops."),
    { 0 },
};
static const struct conf_group timeouts_group = { .keys = timeouts_keys, .at = CONF_NOWHERE, .what = "`timeouts`" };

_Static_assert(HTTP_FIELDS_MAX == 256, "the range of limits.header_count");
static const struct conf_key limits_keys[] = {
    { "header_size", SIZE(struct limits, header_size), .before_route = true, .fallback = "32k", .least = "1k", .most = "64k",
      .help = "A message's head; then 431." },
    { "header_count", COUNT(struct limits, header_count), .before_route = true, .fallback = "100", .least = "1", .most = "256",
      .help = "Fields of a message's head; then 431." },
    { "body_size", SIZE(struct limits, body_size), .fallback = "0", .help = "A request's body; then 413. 0: no limit of ours." },
    { "connections", COUNT(struct limits, connections), .before_route = true, .fallback = "0", .most = "10000000",
      .help = "Clients' connections at a time. 0: no limit of ours." },
    { "connections_per_client", COUNT(struct limits, connections_per_client), .before_route = true, .fallback = "0",
      .most = "10000000",
      .help = "The same from one address. 0: no limit of ours." },
    { "requests_per_connection", COUNT(struct limits, requests_per_connection), .before_route = true, .fallback = "1000",
      .most = "1000000000",
      .help = "Then a client's connection is closed. 0: no limit." },
    { "connection_age", DURATION(struct limits, connection_age), .before_route = true, .fallback = "1h", .most = "30d",
      .help = "Age at which a client's connection is closed after a response. \"0s\": no limit." },
    { "allow_bare_lf", FLAG(struct limits, allow_bare_lf), .before_route = true, .fallback = "false",
      .help = "Take LF alone for the end of a line in a message's head." },
    { 0 },
};
static const struct conf_group limits_group = { .keys = limits_keys, .at = CONF_NOWHERE, .what = "`limits`" };

/* --- the edge --- */

#define ORIGIN_SECONDS(name, f, default_, help_) \
    { name, DURATION(struct origin_request, f), .default_text = default_, .least = "1s", .most = "1d", .help = help_ }
static const struct conf_key origin_request_keys[] = {
    ORIGIN_SECONDS("connectTimeout", connect_timeout, "30s", "TCP connection to the service; whole seconds, as below."),
    ORIGIN_SECONDS("tlsTimeout", tls_timeout, "10s", "TLS handshake with the service."),
    ORIGIN_SECONDS("tcpKeepAlive", tcp_keep_alive, "30s", "Between TCP keep-alives to the service."),
    ORIGIN_SECONDS("keepAliveTimeout", keep_alive_timeout, "90s", "How long an idle connection to the service is kept."),
    { "keepAliveConnections", COUNT(struct origin_request, keep_alive_connections), .default_text = "100", .most = "1000000",
      .help = "How many of them are." },
    { "httpHostHeader", TEXT(struct origin_request, http_host_header), .default_text = "the request's", .help = "Host that the service is sent." },
    { "originServerName", TEXT(struct origin_request, origin_server_name), .default_text = "the service's host",
      .help = "Name that its certificate must be valid for." },
    { "matchSNItoHost", FLAG(struct origin_request, match_sni_to_host), .default_text = "false", .help = "Ask for the request's host in TLS." },
    { "caPool", TEXT(struct origin_request, ca_pool), .default_text = "the system's",
      .help = "Authorities to believe: a path on the connector's machine." },
    { "noTLSVerify", FLAG(struct origin_request, no_tls_verify), .default_text = "false", .help = "Take any certificate of the service." },
    { "noHappyEyeballs", FLAG(struct origin_request, no_happy_eyeballs), .default_text = "false", .help = "Don't try IPv4 and IPv6 side by side." },
    { "disableChunkedEncoding", FLAG(struct origin_request, disable_chunked_encoding), .default_text = "false",
      .help = "Send no chunked bodies, for WSGI." },
    { "http2Origin", FLAG(struct origin_request, http2_origin), .default_text = "false", .help = "Speak HTTP/2 to the service." },
    { 0 },
};
static const struct conf_group origin_request_group = { .keys = origin_request_keys, .at = CONF_NOWHERE, .what = "`originRequest`",
                                                        .finish = finish_origin_request };

static const struct conf_key ingress_rule_keys[] = {
    { "hostname", TEXT(struct ingress_rule, hostname), .default_text = "any", .help = "Of the request; \"*.example.com\" for all below it." },
    { "path", TEXT(struct ingress_rule, path), .default_text = "any", .help = "Regular expression (RE2) that the request's path must match." },
    { "service", TEXT(struct ingress_rule, service), .required = true,
      .help = "Who answers, as the connector sees it: \"http://localhost:8000\", \"unix:/path\", \"http_status:404\", \"hello_world\"." },
    { "originRequest", GROUP(origin_request_group, FIELD(struct ingress_rule, origin, struct origin_request)),
      .help = "How it is spoken to, in cloudflared's words." },
    { 0 },
};
static const struct conf_group ingress_rule_group = { .keys = ingress_rule_keys, .size = sizeof(struct ingress_rule),
                                                      .at = offsetof(struct ingress_rule, at), .what = "a rule of `ingress`",
                                                      .finish = finish_ingress_rule };

static const struct conf_key ingress_keys[] = {
    { "tunnels", TEXTS(struct ingress_in_file, ingress.tunnels), .required = true, .least = "1", .most = "10000",
      .help = "Whose connectors get these rules: names, UUIDs, or names with \"*\" for any characters. A name beats a pattern." },
    { "rules", LIST(ingress_rule_group, struct ingress_in_file, rules, n_rules), .required = true, .least = "1", .most = "1000",
      .help = "The first whose hostname and path match decides; the last has neither." },
    { "originRequest", GROUP(origin_request_group, FIELD(struct ingress_in_file, origin, struct origin_request)), .inherits = true,
      .default_text = "cloudflared's", .help = "The same for all these rules." },
    { 0 },
};
static const struct conf_group ingress_group = { .keys = ingress_keys, .size = sizeof(struct ingress_in_file), .at = CONF_NOWHERE,
                                                 .what = "a group of `ingress`", .finish = finish_ingress };

static const struct conf_key edge_tunnel_keys[] = {
    { "id", TEXT(struct edge_tunnel_conf, id), .required = true, .help = "Its UUID." },
    { "name", NAME(struct edge_tunnel_conf, name), .required = true, .help = "What endpoints and commands call it." },
    { "secret", SECRET(struct edge_tunnel_conf, secret), .required = true,
      .help = "Base64 of 32 to 128 bytes: `TunnelSecret` of the credentials file." },
    { 0 },
};
static const struct conf_group edge_tunnel_group = { .keys = edge_tunnel_keys, .size = sizeof(struct edge_tunnel_conf),
                                                     .at = offsetof(struct edge_tunnel_conf, at), .what = "a tunnel", .finish = finish_edge_tunnel };

_Static_assert(TUNNEL_CONNECTORS_MAX == 25 && TUNNEL_CONNECTIONS_MAX == 100, "the ranges of edge.connectors_max and connections_max");
static const struct conf_key edge_keys[] = {
    { "addresses", TEXTS(struct edge_conf, addresses), .required = true, .least = "1", .most = "16",
      .help = "Where cloudflared dials in: \":7844\", \"192.0.2.1:7844\"." },
    { "advertise", TEXTS(struct edge_conf, advertise), .least = "1", .most = "16", .default_text = "those of `addresses` that name a host",
      .help = "HOST:PORT that connectors are told to dial." },
    { "location", TEXT(struct edge_conf, location), .default_text = "the machine's name",
      .help = "What connectors and `penstock tunnel info` are told of where this is. One like Cloudflare's, \"ams01\", says it to policies, too." },
    { "latitude", COORDINATE(struct edge_conf, latitude), .least = "-90", .most = "90", .default_text = "by `location`",
      .help = "Where it is, for policies that ask: its tunnels are there." },
    { "longitude", COORDINATE(struct edge_conf, longitude), .least = "-180", .most = "180", .default_text = "by `location`", .help = "Where it is." },
    { "expected_connections", COUNT(struct edge_conf, expected_connections), .fallback = "4", .least = "1", .most = "100",
      .help = "Of each connector; with fewer its tunnel is degraded." },
    { "cert", READ_FILE(struct edge_conf, cert), .default_text = "made and kept in the state directory",
      .help = "Certificate for *.cftunnel.com that connectors are shown, in PEM, its chain after it." },
    { "key", READ_FILE(struct edge_conf, key), .default_text = "made with it", .help = "Its private key, in PEM." },
    { "ca_file", READ_FILE(struct edge_conf, ca), .default_text = "made with it", .help = "What connectors are given to believe it (--cacert), in PEM." },
    { "connectors_max", COUNT(struct edge_conf, connectors_max), .fallback = "25", .least = "1", .most = "25", .help = "Connectors of one tunnel at a time." },
    { "connections_max", COUNT(struct edge_conf, connections_max), .fallback = "100", .least = "1", .most = "100",
      .help = "Their connections together." },
    { "tunnels", LIST(edge_tunnel_group, struct edge_conf, tunnels, n_tunnels), .most = "10000",
      .help = "Tunnels that stand in the file; more are made by `penstock tunnel create`." },
    { "replica_steering", OWN(type_replica_steering, FIELD(struct edge_conf, replica_steering, struct steering_conf)),
      .fallback = "least_outstanding_requests",
      .help = "Between the connectors of a tunnel; a group { policy; … } where its options are given." },
    { "ingress", OWN(type_ingress, offsetof(struct edge_conf, ingress)), .count_offset = FIELD(struct edge_conf, n_ingress, size_t),
      .members = &ingress_group, .most = "1000",
      .help = "Rules that are pushed to every connector of the tunnels named, in place of its own." },
    { 0 },
};
static const struct conf_group edge_group = { .keys = edge_keys, .at = CONF_NOWHERE, .what = "`edge`", .finish = finish_edge };

/* --- monitors --- */

static const struct conf_key monitor_keys[] = {
    { "name", NAME(struct monitor, name), .required = true,
      .help = "What pools call it. One named \"default\" stands in where a pool names none." },
    { "type", OWN(type_monitor_kind, offsetof(struct monitor, type)), .fallback = "http",
      .help = "http sends a request and judges the answer; tcp only connects, with TLS where traffic uses it." },
    { "path", TEXT(struct monitor, path), .fallback = "/", .help = "What is asked for." },
    { "method", TEXT(struct monitor, method), .fallback = "GET", .help = "How it is asked for." },
    { "headers", HEADERS(struct monitor, headers, n_headers), .help = "Added to the request." },
    { "expected_codes", OWN(type_expected_codes, 0), .fallback = "200-299",
      .help = "Statuses that are healthy: \"200-299\", \"2xx\", \"200,204,301-302\"." },
    { "expected_body", OWN(type_expected_body, 0),
      .help = "A text that the first 64 KiB of the answer must contain; after \"~\" a regular expression (PCRE2)." },
    { "follow_redirects", FLAG(struct monitor, follow_redirects), .fallback = "false",
      .help = "Follow redirects that stay within the endpoint." },
    { "interval", DURATION(struct monitor, interval), .fallback = "10s", .least = "10ms", .most = "1d",
      .help = "Between checks of a healthy endpoint; each 10 % more or less." },
    { "timeout", DURATION(struct monitor, timeout), .default_text = "5s, at most half of interval", .least = "1ms", .most = "1h",
      .help = "Of one check; less than `interval`." },
    { "interval_turning", DURATION(struct monitor, interval_turning), .default_text = "2s, at most interval", .least = "1ms",
      .most = "1d",
      .help = "Between checks while the result is changing." },
    { "interval_down", DURATION(struct monitor, interval_down), .default_text = "5s, at most interval", .least = "1ms",
      .most = "1d",
      .help = "Between checks of an endpoint that is down, at first." },
    { "interval_down_max", DURATION(struct monitor, interval_down_max), .default_text = "30s, at most 3 times interval",
      .least = "1ms", .most = "7d",
      .help = "What that grows to." },
    { "retries", COUNT(struct monitor, retries), .fallback = "1", .most = "10",
      .help = "Tries at once before a check counts as failed." },
    { "consecutive_up", COUNT(struct monitor, consecutive_up), .fallback = "2", .least = "1", .most = "100",
      .help = "Good checks in a row that make it healthy (one after the start)." },
    { "consecutive_down", COUNT(struct monitor, consecutive_down), .fallback = "3", .least = "1", .most = "100",
      .help = "Failed checks in a row that make it down." },
    { 0 },
};
static const struct conf_group monitor_group = { .keys = monitor_keys, .size = sizeof(struct monitor),
                                                 .at = offsetof(struct monitor, at),
                                                 .what = "a monitor", .finish = finish_monitor };

/* --- pools --- */

static const struct conf_key passive_keys[] = {
    { "consecutive", COUNT(struct passive, consecutive), .fallback = "5", .most = "1000000",
      .help = "Failures in a row that take an endpoint out. 0: off." },
    { "ratio", NUMBER(struct passive, ratio), .fallback = "0.5", .least = "0", .most = "1",
      .help = "Share of failures within `window` that does. 0: off." },
    { "min_requests", COUNT(struct passive, min_requests), .fallback = "20", .least = "1", .most = "1000000",
      .help = "Fewer requests than this say nothing about the share." },
    { "window", DURATION(struct passive, window), .fallback = "10s", .least = "100ms", .most = "1h",
      .help = "What the share is taken of." },
    { "ejection", DURATION(struct passive, ejection), .fallback = "10s", .least = "100ms", .most = "1h",
      .help = "How long it stays out, times the number of times in a row." },
    { "ejection_max", DURATION(struct passive, ejection_max), .fallback = "300s", .least = "100ms", .most = "1d",
      .help = "And at most." },
    { 0 },
};
static const struct conf_group passive_group = { .keys = passive_keys, .at = CONF_NOWHERE, .what = "`passive`",
                                                 .finish = finish_passive };

static const struct conf_choice shed_policies[] = { { "random", SHED_RANDOM }, { "hash", SHED_HASH }, { 0 } };
static const struct conf_choice session_shed_policies[] = { { "hash", SHED_HASH }, { 0 } };
static const struct conf_key shedding_keys[] = {
    { "percent", NUMBER(struct load_shedding, percent), .fallback = "0", .least = "0", .most = "100",
      .help = "Of requests without a session in the pool that go elsewhere." },
    { "policy", CHOICE(struct load_shedding, policy, shed_policies), .fallback = "random", .help = "hash: always the same clients' requests." },
    { "session_percent", NUMBER(struct load_shedding, session_percent), .fallback = "0", .least = "0", .most = "100",
      .help = "Of those with one." },
    { "session_policy", CHOICE(struct load_shedding, session_policy, session_shed_policies), .fallback = "hash",
      .help = "By chance each of their requests would leave some day." },
    { 0 },
};
static const struct conf_group shedding_group = { .keys = shedding_keys, .at = CONF_NOWHERE, .what = "`load_shedding`" };

static const struct conf_key endpoint_tls_keys[] = {
    { "verify", FLAG(struct endpoint, tls_verify), .fallback = "true",
      .help = "Refuse a certificate that isn't valid for the name." },
    { "ca_file", READ_FILE(struct endpoint, ca_file), .default_text = "the system's", .help = "Authorities to believe, in PEM." },
    { "client_cert", READ_FILE(struct endpoint, client_cert), .help = "Certificate to show, in PEM." },
    { "client_key", READ_FILE(struct endpoint, client_key), .help = "Its private key, in PEM." },
    { 0 },
};
static const struct conf_group endpoint_tls_group = { .keys = endpoint_tls_keys, .at = CONF_NOWHERE, .what = "`tls`",
                                                      .finish = finish_endpoint_tls };

static const struct conf_key endpoint_keys[] = {
    { "name", NAME(struct endpoint, name), .default_text = "the host's or tunnel's",
      .help = "Unique in its pool; \"POOL/NAME\" everywhere else." },
    { "hostname", .type = &type_text, NO_FIELD,
      .help = "Public name that Cloudflare routes to the tunnel: dialled at port 443, sent as Host and TLS name." },
    { "tunnel", .type = &type_text, NO_FIELD,
      .help = "The tunnel behind it: one of `edge`, by name or UUID, or beside `hostname` the UUID of one at Cloudflare." },
    { "tunnels", TEXT(struct endpoint_in_file, tunnels),
      .help = "Instead: all tunnels of `edge` of this name, with \"*\" for any characters; each an endpoint POOL/NAME once it connects." },
    { "identical", FLAG(struct endpoint_in_file, identical), .fallback = "false",
      .help = "Of `tunnels`: leave out one whose ingress differs from the others' of the pool." },
    { "address", .type = &type_text, NO_FIELD,
      .help = "Instead: an origin as \"http://HOST:PORT\", \"https://HOST\", \"HOST:PORT\" or \"unix:/path\"." },
    { "connect_to", .type = &type_text, NO_FIELD, .default_text = "hostname:443",
      .help = "HOST:PORT to dial instead of the hostname." },
    { "host_header", TEXT(struct endpoint, host_header), .default_text = "hostname, else the request's",
      .help = "Host that is sent." },
    { "sni", TEXT(struct endpoint, sni), .default_text = "hostname or address's host, else the request's",
      .help = "Name asked for and verified in TLS." },
    { "rewrite_host", FLAG(struct endpoint, rewrite_host), .fallback = "true",
      .help = "Location and cookies' Domain that name `hostname` become the request's host." },
    { "tls", GROUP(endpoint_tls_group, 0), .help = "TLS towards the endpoint." },
    { "headers", HEADERS(struct endpoint, headers, n_headers),
      .help = "Added to each request; NAME_file and NAME_env for secrets such as service tokens." },
    { "weight", NUMBER(struct endpoint, weight), .fallback = "1.0", .least = "0", .most = "1000",
      .help = "Share of traffic among its neighbours. 0: none." },
    { "max_in_flight", COUNT(struct endpoint, max_in_flight), .fallback = "0", .most = "10000000",
      .help = "Requests at a time; more go elsewhere or wait. 0: no limit." },
    { "enabled", FLAG(struct endpoint, enabled), .fallback = "true", .help = "Take part at all." },
    { "latitude", COORDINATE(struct endpoint, latitude), .least = "-90", .most = "90",
      .help = "Where it is, for policies that ask." },
    { "longitude", COORDINATE(struct endpoint, longitude), .least = "-180", .most = "180", .help = "Where it is." },
    { 0 },
};
static const struct conf_group endpoint_group = { .keys = endpoint_keys, .size = sizeof(struct endpoint_in_file),
                                                  .at = offsetof(struct endpoint, at),
                                                  .what = "an endpoint", .finish = finish_endpoint };

static const struct conf_key pool_keys[] = {
    { "name", NAME(struct pool, name), .required = true, .help = "What load balancers call it." },
    { "endpoints", OWN(type_pool_endpoints, 0), .members = &endpoint_group, .required = true, .least = "1", .most = "4096",
      .help = "Who answers." },
    { "monitors", OWN(type_pool_monitors, 0), .most = "8", .default_text = "GET /, any answer but 502-504, 520-527, 530",
      .help = "Names of monitors; an endpoint must pass all. [ ]: none, healthy from the start." },
    { "minimum_endpoints", COUNT(struct pool, minimum_endpoints), .fallback = "1", .most = "4096",
      .help = "Healthy endpoints below which the pool isn't used." },
    { "enabled", FLAG(struct pool, enabled), .fallback = "true", .help = "Take part at all." },
    { "endpoint_steering", OWN(type_steering, FIELD(struct pool, steering, struct steering_conf)),
      .fallback = "least_outstanding_requests",
      .help = "Between the pool's endpoints." },
    { "passive", GROUP(passive_group, FIELD(struct pool, passive, struct passive)),
      .help = "What traffic itself tells about an endpoint's health." },
    { "load_shedding", GROUP(shedding_group, FIELD(struct pool, shedding, struct load_shedding)),
      .help = "What goes to other pools, for as long as the pool is overloaded." },
    { "slow_start", DURATION(struct pool, slow_start), .fallback = "30s", .most = "1h",
      .help = "In which a recovered endpoint's share grows from 10 %. \"0s\": off." },
    { "connection_scaling", COUNT(struct pool, connection_scaling), .fallback = "0", .most = "100",
      .help = "Connections with which a tunnel of our edge counts as its endpoint's weight says: with twice as many it weighs twice as much, with half of them half. "
              "0: weights do not depend on connections." },
    { "panic", NUMBER(struct pool, panic), .fallback = "0.3", .least = "0", .most = "1",
      .help = "Share of the pool that `passive` never takes out; at least one endpoint." },
    { "latitude", COORDINATE(struct pool, latitude), .least = "-90", .most = "90", .help = "Where it is, for policies that ask." },
    { "longitude", COORDINATE(struct pool, longitude), .least = "-180", .most = "180", .help = "Where it is." },
    { 0 },
};
static const struct conf_group pool_group = { .keys = pool_keys, .size = sizeof(struct pool), .at = offsetof(struct pool, at),
                                              .what = "a pool",
                                              .finish = finish_pool };

/* --- load balancers --- */

static const struct conf_choice conditions[] = { { "connect_error", FAILOVER_CONNECT_ERROR },
                                                 { "reset", FAILOVER_RESET },
                                                 { "tunnel_inactive", FAILOVER_TUNNEL_INACTIVE },
                                                 { "timeout", FAILOVER_TIMEOUT },
                                                 { 0 } };
static const struct conf_key failover_keys[] = {
    { "retries", COUNT(struct failover, retries), .fallback = "2", .most = "10",
      .help = "Other endpoints that are tried for one request." },
    { "across_pools", FLAG(struct failover, across_pools), .fallback = "true",
      .help = "Also those of other pools, by the same steering; else only the pool's own." },
    { "buffer", SIZE(struct failover, buffer), .fallback = "64k", .most = "1m",
      .help = "Of a request's body, kept for sending again." },
    { "on", OWN(type_failover_on, 0), .choices = conditions,
      .fallback = "connect_error, reset, timeout, tunnel_inactive, 502, 503, 504, 520-527, 530",
      .help = "What makes a request go elsewhere, as far as its method and body allow; statuses 400-599." },
    { "retry_post_undelivered", FLAG(struct failover, retry_post_undelivered), .fallback = "false",
      .help = "POST and PATCH too after 521, 523, 525, 526, 530, with which the edge says it delivered nothing." },
    { "idempotency_key", FLAG(struct failover, idempotency_key), .fallback = "false",
      .help = "A request with Idempotency-Key may be sent again whatever its method." },
    { 0 },
};
static const struct conf_group failover_group = { .keys = failover_keys, .at = CONF_NOWHERE, .what = "`failover`" };

static const struct conf_choice affinity_types[] = { { "none", AFFINITY_NONE },
                                                     { "cookie", AFFINITY_COOKIE },
                                                     { "ip_cookie", AFFINITY_IP_COOKIE },
                                                     { "header", AFFINITY_HEADER },
                                                     { 0 } };
static const struct conf_choice affinity_levels[] = { { "endpoint", AFFINITY_ENDPOINT }, { "connector", AFFINITY_CONNECTOR }, { NULL, 0 } };
static const struct conf_choice affinity_failovers[] = { { "sticky", AFFINITY_STICKY },
                                                         { "temporary", AFFINITY_TEMPORARY },
                                                         { "none", AFFINITY_NO_FAILOVER },
                                                         { 0 } };
static const struct conf_choice same_sites[] = { { "lax", SAME_SITE_LAX }, { "strict", SAME_SITE_STRICT }, { "none", SAME_SITE_NONE }, { 0 } };
static const struct conf_choice secures[] = { { "auto", AFFINITY_SECURE_AUTO },
                                              { "always", AFFINITY_SECURE_ALWAYS },
                                              { "never", AFFINITY_SECURE_NEVER },
                                              { 0 } };
static const struct conf_key affinity_keys[] = {
    { "type", CHOICE(struct affinity_conf, type, affinity_types), .fallback = "none",
      .help = "cookie: who was answered by an endpoint goes there again; ip_cookie: the first time by a hash of the address; "
              "header: by a hash of a header, without a cookie. Required beside other keys." },
    { "name", TEXT(struct affinity_conf, name), .fallback = "penstock", .help = "Of the cookie; rules with other pools add one's name." },
    { "header", TEXT(struct affinity_conf, header), .help = "Of type header: whose value is the session; without it there is none." },
    { "ttl", DURATION(struct affinity_conf, ttl), .fallback = "23h", .least = "1s", .most = "365d",
      .help = "A session's life since it began at its endpoint." },
    { "idle", DURATION(struct affinity_conf, idle), .fallback = "0s", .most = "365d",
      .help = "And since its last request; up to a sixteenth shorter. \"0s\": no limit." },
    { "level", CHOICE(struct affinity_conf, level, affinity_levels), .fallback = "endpoint",
      .help = "What a session stays at; connector: of a tunnel of our edge, one of its cloudflared processes." },
    { "failover", CHOICE(struct affinity_conf, failover, affinity_failovers), .default_text = "sticky; temporary with header",
      .help = "sticky: a session whose endpoint fails moves; temporary: it comes back; none: as sticky, but no request of it is tried elsewhere." },
    { "samesite", CHOICE(struct affinity_conf, same_site, same_sites), .fallback = "lax", .help = "Of the cookie; none only where it is secure." },
    { "secure", CHOICE(struct affinity_conf, secure, secures), .fallback = "auto", .help = "Of the cookie; auto: where the client uses https." },
    { "drain_duration", DURATION(struct affinity_conf, drain_duration), .fallback = "0s", .most = "30d",
      .help = "How long an endpoint or connector that is drained keeps its sessions." },
    { 0 },
};
static const struct conf_group affinity_group = { .keys = affinity_keys, .at = CONF_NOWHERE, .what = "`session_affinity`",
                                                  .finish = finish_affinity };

static const struct conf_choice when_all_down[] = { { "fallback_pool", WHEN_ALL_DOWN_FALLBACK_POOL },
                                                    { "least_bad", WHEN_ALL_DOWN_LEAST_BAD },
                                                    { "503", WHEN_ALL_DOWN_503 },
                                                    { "page", WHEN_ALL_DOWN_503 },
                                                    { 0 } };
static const struct conf_key down_page_keys[] = {
    { "file", READ_FILE(struct down_page, file), .required = true, .help = "The page, at most 256 KiB; read with the configuration." },
    { "content_type", TEXT(struct down_page, content_type), .fallback = "text/html; charset=utf-8", .help = "What it is." },
    { "status", COUNT(struct down_page, status), .fallback = "503", .least = "400", .most = "599", .help = "That it is sent with." },
    { 0 },
};
static const struct conf_group down_page_group = { .keys = down_page_keys, .at = offsetof(struct down_page, at), .what = "`down_page`",
                                                   .finish = finish_down_page };
static const struct conf_key rule_match_keys[] = {
    { "hosts", OWN(type_hostnames, 0), .most = "1000", .default_text = "any", .help = "Hosts, written as `hostnames`." },
    { "path_prefixes", TEXTS(struct rule, match.path_prefixes), .most = "1000", .default_text = "any",
      .help = "What the path begins with, as it is sent." },
    { "path_regex", TEXT(struct rule, match.path_regex), .default_text = "any",
      .help = "Regular expression (PCRE2) that is found in the path, as it is sent." },
    { "methods", TEXTS(struct rule, match.methods), .most = "100", .default_text = "any", .help = "Methods." },
    { "headers", PAIRS(type_headers_to_match, struct rule, match.headers, match.n_headers), .default_text = "any",
      .help = "Each must be there with this value; \"*\": any." },
    { "cookies", PAIRS(type_cookies, struct rule, match.cookies, match.n_cookies), .default_text = "any", .help = "The same of cookies." },
    { "query", PAIRS(type_arguments, struct rule, match.query, match.n_query), .default_text = "any",
      .help = "The same of the query's arguments, as they are sent." },
    { "clients", OWN(type_networks, FIELD(struct rule, match.clients, struct cidr_set)), .most = "10000", .default_text = "any",
      .help = "Networks that the client is of, as `trusted_proxies` say." },
    { "countries", PLACE_CODES(struct rule, match.countries), .most = "1000", .default_text = "any",
      .help = "Countries that the client is in, by ISO 3166-1: \"DE\"; they need `geoip`." },
    { "regions", PLACE_CODES(struct rule, match.regions), .most = "13", .default_text = "any",
      .help = "Regions that the client is in: EEU, ENAM, ME, NAF, NEAS, NSAM, OC, SAF, SAS, SEAS, SSAM, WEU, WNAM." },
    { "listeners", TEXTS(struct rule, match.listeners), .most = "256", .default_text = "any",
      .help = "The `address` of listeners that the request comes by." },
    { 0 },
};
static const struct conf_group rule_match_group = { .keys = rule_match_keys, .at = CONF_NOWHERE, .what = "`match`", .finish = finish_rule_match };

static const struct conf_key rule_response_keys[] = {
    { "status", COUNT(struct rule, response.status), .required = true, .least = "200", .most = "599", .help = "Of the answer." },
    { "location", TEXT(struct rule, response.location), .default_text = "none", .help = "Where a redirect leads." },
    { "body", .type = &type_lines, .offset = FIELD(struct rule, response.body, const char *), .default_text = "empty", .help = "The answer's text." },
    { "content_type", TEXT(struct rule, response.content_type), .default_text = "text/plain; charset=utf-8", .help = "What it is." },
    { 0 },
};
static const struct conf_group rule_response_group = { .keys = rule_response_keys, .at = CONF_NOWHERE, .what = "`response`",
                                                       .finish = finish_rule_response };

static const struct conf_key rule_keys[] = {
    { "name", NAME(struct rule, name), .default_text = "none", .help = "For whoever reads the file." },
    { "match", GROUP(rule_match_group, 0), .default_text = "any request", .help = "What must hold, all of it; of one condition's values one." },
    { "pools", OWN(type_default_pools, 0), .least = "1", .most = "256", .default_text = "`default_pools`",
      .help = "Names of pools in order of preference." },
    { "pool_weights", OWN(type_rule_weights, 0), .least = "0", .most = "1000", .default_text = "1 each", .help = "Their shares of traffic." },
    { "fallback_pool", OWN(type_fallback_pool, 0), .default_text = "the load balancer's", .help = "Used when none of them can be." },
    { "steering", OWN(type_steering, FIELD(struct load_balancer, steering, struct steering_conf)), .fallback = "off",
      .default_text = "the load balancer's", .help = "Between them." },
    { "response", GROUP(rule_response_group, 0), .default_text = "none", .help = "Instead: what is answered at once." },
    { 0 },
};
static const struct conf_group rule_group = { .keys = rule_keys, .size = sizeof(struct rule), .at = offsetof(struct rule, at), .what = "a rule",
                                              .finish = finish_rule };

static const struct conf_key load_balancer_keys[] = {
    { "hostnames", OWN(type_hostnames, 0), .required = true, .least = "1", .most = "10000",
      .help = "Hosts it serves: \"app.example.com\", \"*.example.com\" at any depth, \"*\". The most specific wins." },
    { "default_pools", OWN(type_default_pools, 0), .required = true, .least = "1", .most = "256",
      .help = "Names of pools in order of preference." },
    { "fallback_pool", OWN(type_fallback_pool, 0), .help = "Used, whatever its health, when no default pool can be." },
    { "client_pools", .type = &type_client_map, .offset = FIELD(struct load_balancer, client_maps, const struct client_map *),
      .count_offset = FIELD(struct load_balancer, n_client_maps, size_t), .least = "1", .most = "1000",
      .help = "( { clients = [ \"10.0.0.0/8\" ]; pools = [ \"POOL\" ]; } ): pools for clients of these networks; the narrowest network wins." },
    { "subdivision_pools", PLACES(subdivision_maps),
      .help = "{ US-CA = [ \"POOL\" ]; }: for clients of a state or province, by ISO 3166-2." },
    { "country_pools", PLACES(country_maps), .help = "{ DE = [ \"POOL\" ]; }: for clients of a country, by ISO 3166-1." },
    { "region_pools", PLACES(region_maps),
      .help = "{ WEU = [ \"POOL\" ]; }: for clients of a region: EEU, ENAM, ME, NAF, NEAS, NSAM, OC, SAF, SAS, SEAS, SSAM, WEU, WNAM." },
    { "pool_weights", OWN(type_pool_weights, 0), .least = "0", .most = "1000", .default_text = "1 each",
      .help = "POOL = NUMBER: shares of traffic among the pools of a list." },
    { "steering", OWN(type_steering, FIELD(struct load_balancer, steering, struct steering_conf)), .fallback = "off",
      .help = "Between the pools of a list." },
    { "rules", LIST(rule_group, struct load_balancer, rules, n_rules), .most = "1000",
      .help = "The first that matches a request stands in for what is said here." },
    { "session_affinity", GROUP(affinity_group, FIELD(struct load_balancer, affinity, struct affinity_conf)),
      .help = "Sessions that stay at their endpoint; before steering." },
    { "failover", GROUP(failover_group, FIELD(struct load_balancer, failover, struct failover)), .help = "Trying elsewhere." },
    { "when_all_down", CHOICE(struct load_balancer, when_all_down, when_all_down),
      .default_text = "fallback_pool if there is one, else page if there is one, else least_bad",
      .help = "Where requests go when nothing is healthy; 503 and page: nowhere." },
    { "down_page", GROUP(down_page_group, FIELD(struct load_balancer, down_page, struct down_page)), .default_text = "a line of text",
      .help = "What clients get when there is nobody to send to." },
    { "retry_after", DURATION(struct load_balancer, retry_after), .fallback = "10s", .least = "1s", .most = "1d",
      .help = "Told to clients with a 503 or `down_page`." },
    { "timeouts", GROUP(timeouts_group, FIELD(struct load_balancer, timeouts, struct timeouts)), .inherits = true,
      .default_text = "the global ones",
      .help = "Its own client_abort, connect, handshake, response_header, response_idle, upgrade_idle, queue, total." },
    { "limits", GROUP(limits_group, FIELD(struct load_balancer, limits, struct limits)), .inherits = true,
      .default_text = "the global ones",
      .help = "Its own body_size." },
    { "enabled", FLAG(struct load_balancer, enabled), .fallback = "true", .help = "Take part at all; else its hosts are answered 503, or with `down_page`." },
    { 0 },
};
static const struct conf_group load_balancer_group = { .keys = load_balancer_keys, .size = sizeof(struct load_balancer),
                                                       .at = offsetof(struct load_balancer, at),
                                                       .what = "a load balancer", .start = start_load_balancer,
                                                           .finish = finish_load_balancer };

/* --- alerts --- */

static const struct conf_key channel_keys[] = {
    { "name", NAME(struct channel_conf, name), .required = true, .help = "What commands and logs call it." },
    { "type", OWN(type_channel_kind, offsetof(struct channel_conf, type)), .fallback = "webhook",
      .help = "webhook: POSTs each event as JSON." },
    { "url", SECRET(struct channel_conf, url), .required = true, .help = "Where to; a secret with many receivers." },
    { "secret", SECRET(struct channel_conf, secret), .help = "Signs each request (Standard Webhooks)." },
    { "events", TEXTS(struct channel_conf, events), .most = "256", .default_text = "warnings and worse, and their recovery",
      .help = "Patterns of types of events: \"tunnel.*\"." },
    { "timeout", DURATION(struct channel_conf, timeout), .fallback = "10s", .least = "100ms", .most = "5m",
      .help = "Of one attempt." },
    { "tls_verify", FLAG(struct channel_conf, tls_verify), .fallback = "true",
      .help = "Refuse a certificate that isn't valid for the host." },
    { "ca_file", READ_FILE(struct channel_conf, ca_file), .default_text = "the system's",
      .help = "Authorities to believe, in PEM." },
    { 0 },
};
static const struct conf_group channel_group = { .keys = channel_keys, .size = sizeof(struct channel_conf),
                                                 .at = offsetof(struct channel_conf, at),
                                                 .what = "an alert channel", .finish = finish_channel };

/* --- the whole: in this order it is read, so that what is named stands before who names it --- */

static const struct conf_key root_keys[] = {
    { "include", .type = &type_texts, NO_FIELD, .help = "Other files, as patterns: their lists are appended to the lists here." },
    { "user", TEXT(struct config, user), .default_text = "the starting one",
      .help = "Whom to run as once sockets are bound; must be able to read every file named here." },
    { "state_dir", PATH(struct config, state_dir), .default_text = "$STATE_DIRECTORY, else /var/lib/penstock",
      .help = "Where events, alerts under way and overrides are kept; --state-dir wins." },
    { "workers", COUNT(struct config, workers), .fallback = "0", .most = "256",
      .help = "Threads that move traffic. 0: one per CPU." },
    { "listeners", LIST(listener_group, struct config, listeners, n_listeners), .most = "256", .help = "Where clients connect." },
    { "admin", GROUP(admin_group, FIELD(struct config, admin, struct admin_conf)), .help = "Where commands and programs connect." },
    { "trusted_proxies", OWN(type_networks, FIELD(struct config, trusted_proxies, struct cidr_set)), .most = "10000",
      .default_text = "none",
      .help = "Networks whose X-Forwarded-For and CF-Connecting-IP are believed." },
    { "affinity_key_file", OWN(type_session_keys, FIELD(struct config, session_keys, struct session_keys)),
      .default_text = "made and kept in the state directory",
      .help = "Keys that session cookies are signed with, one a line of 32 characters or more: the first signs, all are accepted." },
    { "resolver", GROUP(resolver_group, 0), .help = "Names to addresses." },
    { "access_log", GROUP(access_log_group, FIELD(struct config, access_log, struct access_log_conf)),
      .help = "A line per request." },
    { "explain", GROUP(explain_group, 0), .help = "What can be asked later of requests that were served." },
    { "geoip", GROUP(geoip_group, FIELD(struct config, geoip, struct geoip_conf)), .help = "Where clients are, for maps and policies." },
    { "timeouts", GROUP(timeouts_group, FIELD(struct config, timeouts, struct timeouts)), .help = "How long anything may take." },
    { "limits", GROUP(limits_group, FIELD(struct config, limits, struct limits)), .help = "How large or many anything may be." },
    { "edge", GROUP(edge_group, FIELD(struct config, edge, struct edge_conf)),
      .help = "Where unmodified cloudflared connectors dial in, each a way to its tunnel." },
    { "monitors", LIST(monitor_group, struct config, monitors, n_monitors), .most = "1000", .help = "How endpoints are checked." },
    { "pools", LIST(pool_group, struct config, pools, n_pools), .most = "4096",
      .help = "Groups of endpoints that can stand in for each other." },
    { "load_balancers", LIST(load_balancer_group, struct config, load_balancers, n_load_balancers), .most = "10000",
      .help = "Which hosts go to which pools, and how." },
    { "alerts", LIST(channel_group, struct config, channels, n_channels), .most = "256", .help = "Whom to tell of events." },
    { 0 },
};
const struct conf_group conf_root = { .keys = root_keys, .size = sizeof(struct config), .at = CONF_NOWHERE,
                                      .what = "the configuration",
                                      .finish = finish_root };
