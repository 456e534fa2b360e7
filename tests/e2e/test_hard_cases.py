"""The hard cases of HTTP/1: what is refused, repaired or removed, a row each. Requests are sent as raw bytes; responses come from a
scripted upstream."""

import shutil
import tempfile
from pathlib import Path

import pytest
from client import Cut, chunked, wait_until
from daemon import Daemon, endpoint
from origin import CLOSE, HANG, Gate, Origin

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: app.test\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def shared(background):
    """One daemon and one origin for all rows."""
    origin = Origin(background)
    folder = Path(tempfile.mkdtemp(prefix="penstock-"))
    daemon = Daemon(folder / "d", {
        "pools": [{"name": "pool", "monitors": [], "endpoints": [endpoint(origin)],
                   "passive": {"consecutive": 1000, "min_requests": 100000}}],
        "load_balancers": [{"hostnames": ["*"], "default_pools": ["pool"]}]}).start()
    yield daemon, origin
    origin.kill()
    daemon.stop()
    shutil.rmtree(folder)


@pytest.fixture
def case(shared):
    daemon, origin = shared
    origin.scripts.clear()
    origin.requests.clear()
    yield daemon, origin
    assert daemon.process.poll() is None, daemon.log[-4000:]


REFUSED = [
    ("CL and TE chunked", 400, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("TE chunked and CL", 400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    ("TE gzip", 501, POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    ("TE gzip, chunked", 501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("TE xchunked", 501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("TE in HTTP/1.0", 400, b"POST /echo HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("TE repeated", 400, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("TE chunked, chunked", 400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("CL repeated", 400, POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
    ("CL list", 400, POST + b"Content-Length: 2, 2\r\n\r\nhi"),
    ("CL +2", 400, POST + b"Content-Length: +2\r\n\r\nhi"),
    ("CL 0x2", 400, POST + b"Content-Length: 0x2\r\n\r\nhi"),
    ("CL empty", 400, POST + b"Content-Length:\r\n\r\nhi"),
    ("CL with NUL", 400, POST + b"Content-Length: 2\x00\r\n\r\nhi"),
    ("CL -2", 400, POST + b"Content-Length: -2\r\n\r\nhi"),
    ("CL 2^63", 400, POST + b"Content-Length: 9223372036854775808\r\n\r\nhi"),
    ("CL 2^64 + 2", 400, POST + b"Content-Length: 18446744073709551618\r\n\r\nhi"),
    ("bare LF as line end", 400, b"GET / HTTP/1.1\nHost: app.test\n\n"),
    ("bare LF in one field", 400, b"GET / HTTP/1.1\r\nHost: app.test\nX: y\r\n\r\n"),
    ("bare LF after the chunk size", 400, CHUNKED + b"2\nhi\r\n0\r\n\r\n"),
    ("bare LF after the chunk", 400, CHUNKED + b"2\r\nhi\n0\r\n\r\n"),
    ("bare CR in the request line", 400, b"GET /\r HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("bare CR in a field", 400, GET + b"X: a\rb\r\n\r\n"),
    ("obs-fold", 400, GET + b"X: a\r\n b\r\n\r\n"),
    ("space before the colon", 400, GET + b"X : a\r\n\r\n"),
    ("line without colon", 400, GET + b"garbage\r\n\r\n"),
    ("empty name", 400, GET + b": a\r\n\r\n"),
    ("NUL in a value", 400, GET + b"X: a\x00b\r\n\r\n"),
    ("0x01 in a value", 400, GET + b"X: a\x01b\r\n\r\n"),
    ("DEL in a value", 400, GET + b"X: a\x7fb\r\n\r\n"),
    ("parenthesis in a name", 400, GET + b"X(y): a\r\n\r\n"),
    ("8-bit in a name", 400, GET + b"X\xe9: a\r\n\r\n"),
    ("no Host", 400, b"GET / HTTP/1.1\r\n\r\n"),
    ("two equal Hosts", 400, GET + b"Host: app.test\r\n\r\n"),
    ("two different Hosts", 400, GET + b"Host: other.test\r\n\r\n"),
    ("invalid Host", 400, b"GET / HTTP/1.1\r\nHost: app/test\r\n\r\n"),
    ("absolute-form differs from Host", 400, b"GET http://other.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("userinfo in the target", 400, b"GET http://user@app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("HTTP/0.9", 400, b"GET /\r\n\r\n"),
    ("HTTP/1.10", 400, b"GET / HTTP/1.10\r\nHost: app.test\r\n\r\n"),
    ("HTTP/2.0", 505, b"GET / HTTP/2.0\r\nHost: app.test\r\n\r\n"),
    ("http/1.1", 400, b"GET / http/1.1\r\nHost: app.test\r\n\r\n"),
    ("HTTP/1.2 with a sign", 400, b"GET / HTTP/+1.1\r\nHost: app.test\r\n\r\n"),
    ("CONNECT", 405, b"CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("TRACE", 405, b"TRACE / HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("fragment", 400, b"GET /#top HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("8-bit in the target", 400, b"GET /\xc3\xa9 HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("leading space in the request line", 400, b" GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("two spaces in the request line", 400, b"GET  / HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("tab in the request line", 400, b"GET\t/ HTTP/1.1\r\nHost: app.test\r\n\r\n"),
    ("space at the end of the request line", 400, b"GET / HTTP/1.1 \r\nHost: app.test\r\n\r\n"),
    ("chunk extension of 100 kB", 400, CHUNKED + b"2;" + b"x" * 100_000 + b"\r\nhi\r\n0\r\n\r\n"),
    ("chunk extension of 300 bytes", 400, CHUNKED + b"2;" + b"x" * 300 + b"\r\nhi\r\n0\r\n\r\n"),
    ("chunk extensions of 5 kB together", 400, CHUNKED + (b"1;" + b"x" * 200 + b"\r\na\r\n") * 25 + b"0\r\n\r\n"),
    ("chunk size that is none", 400, CHUNKED + b"zz\r\nhi\r\n0\r\n\r\n"),
    ("chunk size 2^64", 400, CHUNKED + b"10000000000000002\r\nhi\r\n0\r\n\r\n"),
    ("chunk longer than its size", 400, CHUNKED + b"2\r\nhiho\r\n0\r\n\r\n"),
    ("head of 64 kB", 431, GET + b"X: " + b"x" * 65536 + b"\r\n\r\n"),
    ("101 fields", 431, GET + b"".join(b"X-%d: y\r\n" % i for i in range(101)) + b"\r\n"),
    ("unknown expectation", 417, POST + b"Expect: the-unexpected\r\nContent-Length: 2\r\n\r\nhi"),
]


@pytest.mark.parametrize("status,raw", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_and_closed(case, status, raw):
    daemon, origin = case
    with daemon.connect() as connection:
        try:
            connection.send(raw)
        except ConnectionError:
            pass  # refused before all was sent: the answer is there all the same
        response = connection.read_response()
        assert response.status == status, response
        assert response.get("Connection") == "close"
        assert connection.ended()
    assert not any(request.body_whole for request in origin.requests), "the request reached the origin"


def echo(daemon, raw):
    response = daemon.exchange(raw)
    assert response.status == 200, response
    seen = response.json()
    seen["names"] = [name.lower() for name, _ in seen["fields"]]
    seen["get"] = {name.lower(): value for name, value in seen["fields"]}
    return seen


ACCEPTED = [
    ("CL 0002 goes on as decimal", POST + b"Content-Length: 0002\r\n\r\nhi", {"get": ("content-length", "2")}),
    ("absolute-form that equals Host", b"GET http://app.test/echo?a=b HTTP/1.1\r\nHost: app.test\r\n\r\n", {"target": "/echo?a=b"}),
    ("absolute-form, other case", b"GET HTTP://APP.test/echo HTTP/1.1\r\nHost: app.TEST\r\n\r\n", {"target": "/echo"}),
    ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n", None),
    ("blank line before the request", b"\r\n" + GET.replace(b" / ", b" /echo ") + b"\r\n", {"method": "GET"}),
    ("chunk extension within bounds", CHUNKED + b"2;a=b\r\nhi\r\n0\r\n\r\n", {"body_length": 2}),
    ("8-bit in a value", b"GET /echo HTTP/1.1\r\nHost: app.test\r\nX-Name: J\xf6rg\r\n\r\n", {"get": ("x-name", "J\xf6rg")}),
    ("spaces around a value go", b"GET /echo HTTP/1.1\r\nHost: app.test\r\nX-Name: \t a b \t \r\n\r\n", {"get": ("x-name", "a b")}),
    ("empty value", b"GET /echo HTTP/1.1\r\nHost: app.test\r\nX-Name:\r\n\r\n", {"get": ("x-name", "")}),
    ("upper-case hex and leading zeros in a chunk size",
     CHUNKED + b"000A\r\n0123456789\r\n0\r\n\r\n", {"body_length": 10}),
]


@pytest.mark.parametrize("raw,expected", [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_accepted_and_normalised(case, raw, expected):
    daemon, origin = case
    if expected is None:
        assert daemon.exchange(raw).status == 200
        assert origin.requests[-1].target == "*"
        return
    seen = echo(daemon, raw)
    for key, value in expected.items():
        if key == "get":
            assert seen["get"].get(value[0]) == value[1], seen["fields"]
        else:
            assert seen[key] == value, seen


# (fields sent, names that must not arrive, names that must)
REMOVED = [
    ("named in Connection", b"Connection: X-Hop, keep-alive\r\nX-Hop: secret\r\nX-End: kept\r\n", ["x-hop", "connection"],
     ["x-end"]),
    ("Keep-Alive", b"Keep-Alive: timeout=5\r\n", ["keep-alive"], []),
    ("Proxy-Connection", b"Proxy-Connection: keep-alive\r\n", ["proxy-connection"], []),
    ("Proxy-Authorization", b"Proxy-Authorization: Basic eDp5\r\n", ["proxy-authorization"], []),
    ("TE", b"TE: trailers\r\n", ["te"], []),
    ("Trailer", b"Trailer: X-Late\r\n", ["trailer"], []),
    ("Upgrade without Connection: upgrade", b"Upgrade: websocket\r\n", ["upgrade"], []),
    ("Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
     ["upgrade", "http2-settings"], []),
    ("Host cannot be named", b"Connection: Host\r\n", ["connection"], ["host"]),
    ("our own fields cannot be named", b"Connection: X-Forwarded-For, X-Forwarded-Proto\r\n", ["connection"],
     ["x-forwarded-for", "x-forwarded-proto"]),
]


@pytest.mark.parametrize("fields,gone,kept", [row[1:] for row in REMOVED], ids=[row[0] for row in REMOVED])
def test_hop_by_hop_fields_of_a_request_end_here(case, fields, gone, kept):
    seen = echo(case[0], b"GET /echo HTTP/1.1\r\nHost: app.test\r\n" + fields + b"\r\n")
    # An own "Connection: keep-alive" towards the upstream would be harmless.
    present = [name for name in gone if name in seen["names"]
               and (name != "connection" or seen["get"][name].lower() != "keep-alive")]
    assert not present, seen["fields"]
    assert all(name in seen["names"] for name in kept), seen["fields"]


def test_naming_content_length_does_not_unframe_the_body(case):
    seen = echo(case[0], POST + b"Connection: Content-Length\r\nContent-Length: 2\r\n\r\nhi")
    assert seen["body_length"] == 2


def test_upgrade_in_http_1_0_is_ignored(case):
    daemon, origin = case
    response = daemon.exchange(b"GET /ws HTTP/1.0\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                               b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    assert response.status == 426
    assert origin.requests[-1].get("Upgrade") is None


MALFORMED = [
    ("not HTTP", [b"\x00\x01\x02 garbage\r\n\r\n", CLOSE]),
    ("SSH banner", [b"SSH-2.0-OpenSSH_9.2\r\n", CLOSE]),
    ("HTTP/0.9 body", [b"<html>hello</html>", CLOSE]),
    ("status 20", [b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"]),
    ("status 2000", [b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"]),
    ("status 000", [b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"]),
    ("status 2x0", [b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n"]),
    ("HTTP/2.0", [b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"]),
    ("CL and TE", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]),
    ("CL repeated, different", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456"]),
    ("CL +5", [b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n12345"]),
    ("TE unknown", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", CLOSE]),
    ("TE chunked, chunked", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"]),
    ("101 without Upgrade asked for", [b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                                       HANG]),
    ("33 interim responses", [b"HTTP/1.1 103 Early Hints\r\n\r\n" * 33 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]),
    ("obs-fold", [b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"]),
    ("bare LF", [b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"]),
    ("space before the colon", [b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"]),
    ("line without colon", [b"HTTP/1.1 200 OK\r\ngarbage\r\nContent-Length: 0\r\n\r\n"]),
    ("NUL in a value", [b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n"]),
    ("head without end", [b"HTTP/1.1 200 OK\r\nX: y\r\n", CLOSE]),
    ("head of 300 kB", [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n"]),
    ("nothing", [CLOSE]),
]


@pytest.mark.parametrize("script", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed_response_becomes_502(case, script):
    daemon, origin = case
    origin.script("/x", *script)
    with daemon.connect() as connection:
        response = connection.request("POST", "/x", body=b"hi")
        assert response.status == 502, response
        assert connection.request("GET", "/").status == 200, "the client's connection lives on"


def test_bare_lf_in_a_chunked_response_is_refused(case):
    """Found before anything went on to the client: a 502 takes its place."""
    daemon, origin = case
    origin.script("/x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n2\nho\r\n0\r\n\r\n")
    assert daemon.get("/x").status == 502


def test_bare_lf_in_a_chunked_response_cuts_it(case):
    """Found too late for a 502."""
    daemon, origin = case
    gate = Gate()
    origin.script("/x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", gate, b"2\nho\r\n0\r\n\r\n")
    with daemon.connect() as connection:
        connection.send(GET.replace(b" / ", b" /x ") + b"\r\n")
        assert connection.read_head().status == 200
        gate.open()
        with pytest.raises(Cut):
            connection.read_until(b"0\r\n\r\n")


def test_connection_named_fields_of_a_response_end_here(case):
    daemon, origin = case
    origin.script("/x", b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n"
                  b"Upgrade: h2c\r\nX-End: kept\r\nContent-Length: 2\r\n\r\nok")
    response = daemon.get("/x")
    assert response.body == b"ok" and response.get("X-End") == "kept"
    for name in ("X-Hop", "Keep-Alive", "Proxy-Authenticate", "Upgrade"):
        assert response.get(name) is None, response


def test_100_that_nobody_asked_for_is_not_the_answer(case):
    daemon, origin = case
    origin.script("/x", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert daemon.get("/x").body == b"ok"


def test_up_to_32_interim_responses_pass(case):
    daemon, origin = case
    origin.script("/x", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 32 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert daemon.get("/x").body == b"ok"


def test_no_interim_response_to_an_http_1_0_client(case):
    daemon, _ = case
    response = daemon.exchange(b"GET /interim/103/1 HTTP/1.0\r\nHost: app.test\r\n\r\n")
    assert response.status == 200 and not response.interim


def test_no_chunked_response_to_an_http_1_0_client(case):
    daemon, _ = case
    response = daemon.exchange(b"GET /chunked/1000 HTTP/1.0\r\nHost: app.test\r\n\r\n")
    assert response.framing == "close"
    assert len(response.body) == 1000


def test_second_response_is_discarded_with_its_connection_and_counted(case):
    daemon, origin = case
    before = daemon.metric(r"penstock_\w*extra_response")
    origin.script("/x", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    with daemon.connect() as connection:
        assert connection.request("GET", "/x").body == b"ok"
        first = origin.requests[-1].connection
        assert connection.request("GET", "/").body == b"origin\n"
    assert origin.requests[-1].connection != first
    wait_until(lambda: daemon.metric(r"penstock_\w*extra_response") > before)


def test_bytes_on_an_idle_connection_end_it(case):
    """What HAProxy takes for a late 408."""
    daemon, origin = case
    assert daemon.get("/").status == 200
    origin.background.call(lambda: [c.writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n") for c in list(origin.open)])
    wait_until(lambda: not origin.open, what="the idle connection is closed")
    assert daemon.get("/").body == b"origin\n"


def test_bare_lf_can_be_allowed(serve, origin):
    daemon = serve(origin, limits={"allow_bare_lf": True})
    assert daemon.exchange(b"GET / HTTP/1.1\nHost: app.test\n\n").status == 200
    assert daemon.exchange(b"POST /echo HTTP/1.1\nHost: app.test\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n").status == 400


def test_smuggled_request_never_reaches_the_origin(case):
    """Whatever a front would make of these, one request at the most arrives, and never the inner one."""
    daemon, origin = case
    inner = b"GET /admin HTTP/1.1\r\nHost: app.test\r\n\r\n"
    for outer in (POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(inner)),
                  POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
                  POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
                  POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner)):
        with daemon.connect() as connection:
            assert connection.send(outer + inner).read_response().status in (400, 501)
    assert not origin.seen("/admin")
    assert daemon.exchange(CHUNKED + chunked(inner)).json()["body_length"] == len(inner)
    assert not origin.seen("/admin")
