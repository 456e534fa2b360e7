"""Nobody takes a connector over through us. A connector tells its tunnel's secret to whoever opens a second control stream, and takes routes from
whoever pushes them (the stand-in too): so what a client sends must never be taken for such a command."""

import itertools

from client import WEBSOCKET, Cut, chunked, request_bytes
from tunnels import KINDS, WORKERS

FORBIDDEN = ["Cf-Cloudflared-Proxy-Connection-Upgrade", "Cf-Cloudflared-Proxy-Src", "Cf-Cloudflared-Request-Headers", "Cf-Cloudflared-Response-Meta",
             "Cf-Int-Cloudflared-Tracing", "Cf-Proxy-Anything", "Cf-Warp-Tag-Id", "Cf-Warp-Tag-Other", "Cf-Trace-Id"]
SPELLINGS = [str.title, str.lower, str.upper, str.swapcase, lambda name: name.replace("-", "_"), lambda name: name.lower().replace("-", "_"),
             lambda name: name.replace("-", "_", 1), lambda name: "_".join(name.rsplit("-", 1)),
             lambda name: "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(name))]
UPGRADE = FORBIDDEN[0]


def attempts(daemon, headers, method="GET", body=b""):
    """On several workers; what can't even be read is refused."""
    for _ in range(4):
        with daemon.connect() as connection:
            connection.send(request_bytes(method, "/echo", headers, body))
            try:
                yield connection.read_response(method)
            except Cut:
                pass


@WORKERS
@KINDS
def test_every_spelling_is_stripped(edge):
    secret, account = edge.credentials["ams"].secret, edge.credentials["ams"].account
    for name, spell in itertools.product(FORBIDDEN, SPELLINGS):
        for value in ("control-stream", "update-configuration", "websocket", "127.0.0.1"):
            for answered in attempts(edge.daemon, [(spell(name), value), ("X-Ordinary", "stays")]):
                assert secret not in answered.body and account.encode() not in answered.body
                assert answered.status == 200, (spell(name), value)
                fields = answered.json()["fields"]
                seen = {field.lower().replace("_", "-") for field, _ in fields} - {"cf-warp-tag-id"}
                assert not {field for field in seen if field.startswith(("cf-cloudflared", "cf-int", "cf-proxy", "cf-warp-tag", "cf-trace"))}
                assert "x-ordinary" in seen
                own = [v for field, v in fields if field.lower().replace("_", "-") == "cf-warp-tag-id"]
                assert len(own) == 1 and own[0] != value  # its own: the id it registered with, but for an old cloudflared
            if name != UPGRADE:
                break
    assert edge.daemon.get().status == 200


@WORKERS
@KINDS
def test_smuggled_by_every_way_into_a_head(edge):
    """Repeated, folded, named by Connection, in trailers, in a websocket handshake."""
    secret = edge.credentials["ams"].secret
    tries = [
        [(UPGRADE, "control-stream"), (UPGRADE, "control-stream")],
        [("Connection", UPGRADE), (UPGRADE, "control-stream")],
        [("X-A", f"b\r\n {UPGRADE}: control-stream")],
        [("X-A", f"b\r\n{UPGRADE}: control-stream")],
        [("X-A", f"b\n{UPGRADE}: control-stream")],
        [(f"{UPGRADE} ", "control-stream")],
        [(f" {UPGRADE}", "control-stream")],
        [("Host", "app.test"), (UPGRADE, "control-stream")],
        [*WEBSOCKET, (UPGRADE, "control-stream")],
        [*WEBSOCKET, (UPGRADE, "update-configuration")],
    ]
    for headers in tries:
        for answered in attempts(edge.daemon, headers):
            assert secret not in answered.body
            assert answered.status in (200, 400)
    raw = b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailer = f"0\r\n{UPGRADE}: control-stream\r\n\r\n".encode()
    answered = edge.daemon.exchange(raw + chunked(b"body", end=trailer), "POST")
    assert secret not in answered.body and b"control-stream" not in answered.body


@WORKERS
@KINDS
def test_routes_are_not_pushed_by_clients(edge):
    body = b'{"version":99,"config":{"ingress":[{"service":"http_status:418"}]}}'
    for spell in SPELLINGS:
        for answered in attempts(edge.daemon, [(spell(UPGRADE), "update-configuration"), ("Content-Type", "application/json")], "POST", body):
            assert answered.status == 200 and answered.json()["body_length"] == len(body), "an ordinary request to the origin"
    assert {edge.daemon.get().status for _ in range(4)} == {200}


@WORKERS
@KINDS
def test_no_tcp_streams(edge, make_origin):
    """cloudflared would connect to whatever address stands in the Host."""
    other = make_origin("other")
    for spell in SPELLINGS:
        with edge.daemon.connect() as connection:
            connection.send(request_bytes("POST", "/echo", [(spell("Cf-Cloudflared-Proxy-Src"), "1.2.3.4"), ("Content-Length", 0)], host=other.address))
            assert connection.read_response().json()["origin"] == "origin"
    with edge.daemon.connect() as connection:
        connection.send(f"CONNECT {other.address} HTTP/1.1\r\nHost: {other.address}\r\n\r\n".encode())
        assert connection.read_response().status in (400, 405)
    assert not other.accepted


@WORKERS
def test_no_command_among_the_added_headers(make_edge, origin, workers):
    """Not even the configuration commands a connector: a value may be anybody's text."""
    headers = {"X-Own": "yes", UPGRADE: "control-stream", "Cf-Cloudflared-Proxy-Src": "1.2.3.4", "cf_trace_id": "1"}
    edge = make_edge(workers=workers, pool={"endpoints": [{"name": "ams", "tunnel": "ams", "headers": headers}]})
    edge.connect(connections=2, url=origin.url)
    answered = edge.daemon.get("/echo")
    assert answered.status == 200 and edge.credentials["ams"].secret not in answered.body
    fields = {field.lower().replace("_", "-") for field, _ in answered.json()["fields"]}
    assert "x-own" in fields
    assert not {field for field in fields - {"cf-warp-tag-id"} if field.startswith(("cf-cloudflared", "cf-trace"))}


HOSTS = ["management.argotunnel.com", "MANAGEMENT.ArgoTunnel.com", "management.argotunnel.com.", "management.argotunnel.com:443", "management.argotunnel.com.:80",
         "management.argotunnel.com:"]


@WORKERS
@KINDS
def test_the_management_host_is_refused(edge, origin):
    for host in HOSTS:
        for target, header in (("/ping", host), (f"http://{host}/ping", "app.test"), (f"http://{host}/ping", host)):
            with edge.daemon.connect() as connection:
                connection.send(request_bytes("GET", target, host=header))
                answered = connection.read_response()
                assert answered.status in (400, 404) and b"management" not in answered.body, host
    assert not origin.seen("/ping")


@WORKERS
def test_a_host_header_of_the_endpoint_does_not_hide_it(make_edge, origin, workers):
    edge = make_edge(workers=workers, pool={"endpoints": [{"name": "ams", "tunnel": "ams", "host_header": "inner.test"}]})
    edge.connect(connections=2, url=origin.url)
    assert dict(edge.daemon.get("/echo").json()["fields"])["Host"] == "inner.test"
    assert edge.daemon.get("/echo", host="management.argotunnel.com").status == 404
