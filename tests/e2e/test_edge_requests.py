"""Requests as streams of a connector's connection: whatever HTTP/1 can ask for arrives at the origin, and its answer at the client."""

import gzip
import hashlib

import pytest
from client import WEBSOCKET, Cut, chunked, request_bytes, wait_until
from origin import CLOSE, Gate, answer, content
from tunnels import KINDS, PROMPT_HEAD, WORKERS

pytestmark = [WORKERS, KINDS]


@pytest.fixture
def daemon(edge):
    return edge.daemon


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def several(daemon, *arguments, **more):
    """The same on connections of several workers; the answers."""
    return [daemon.request(*arguments, **more) for _ in range(8)]


def test_get(daemon):
    with daemon.connect() as connection:
        for n in range(20):
            assert connection.request("GET", f"/echo?{n}&a=%20b//c").json()["target"] == f"/echo?{n}&a=%20b//c"


def test_what_the_origin_is_told(daemon):
    headers = [("X-Many", "one"), ("X-Many", "two"), ("Cookie", "a=b"), ("Connection", "X-Hop"), ("X-Hop", "1")]
    for answered in several(daemon, "GET", "/echo", headers):
        fields = {}
        for name, value in answered.json()["fields"]:
            fields.setdefault(name.lower(), []).append(value)
        assert fields["host"] == ["app.test"]
        assert fields["x-many"] == ["one", "two"]
        assert fields["cookie"] == ["a=b"]
        assert "x-hop" not in fields
        assert fields["x-forwarded-for"] == fields["cf-connecting-ip"] == ["127.0.0.1"]
        assert fields["x-forwarded-proto"] == ["http"]
        assert fields["accept-encoding"] == ["identity"], "else the connector asks for gzip, and unpacks what comes"


def test_head(daemon):
    for answered in several(daemon, "HEAD", "/bytes/1000"):
        assert answered.status == 200 and answered.get("Content-Length") == "1000" and answered.body == b""


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body(daemon, status):
    with daemon.connect() as connection:
        for _ in range(3):
            assert connection.request("GET", f"/status/{status}").status == status
        assert connection.request("GET", "/").body == b"origin\n"


@pytest.mark.parametrize("status", [200, 201, 404, 500, 502, 503, 504])
def test_statuses_of_the_origin_are_its_own(daemon, status):
    for answered in several(daemon, "GET", f"/status/{status}"):
        assert answered.status == status and answered.body == f"{status} from origin\n".encode()
        assert answered.get("X-Origin") == "origin"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods(daemon, origin, method):
    for answered in several(daemon, method, "/echo", body=b"hello"):
        assert answered.json()["method"] == method
        assert answered.json()["body_length"] == 5


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 300_000, 3_000_000])
def test_request_bodies_arrive_whole(daemon, size):
    body = content(size)
    with daemon.connect() as connection:
        for _ in range(3):
            seen = connection.request("POST", "/echo", [("Content-Length", size)], body).json()
            assert (seen["body_length"], seen["body_sha256"]) == (size, sha256(body))
        connection.send(b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.send(chunked(*[body[i:i + 7000] for i in range(0, size, 7000)]))
        seen = connection.read_response().json()
        assert (seen["body_length"], seen["body_sha256"]) == (size, sha256(body))


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 300_000, 3_000_000])
def test_response_bodies_arrive_whole(daemon, size):
    with daemon.connect() as connection:
        for path, framing in ((f"/bytes/{size}", "length"), (f"/chunked/{size}", "chunked"), (f"/until-close/{size}", "chunked")):
            answered = connection.request("GET", path)
            assert answered.sha256 == sha256(content(size))
            assert answered.framing == framing or size <= 1  # an old cloudflared knows the length of what is that short


def test_old_clients_get_no_chunks(daemon):
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/chunked/5000", version="HTTP/1.0"))
        assert connection.read_to_end().partition(b"\r\n\r\n")[2] == content(5000)


def test_events_are_not_held_back(daemon, origin):
    gate = Gate()
    origin.script("/events", PROMPT_HEAD, chunked(b"data: 1\n\n", end=b""), gate, chunked(b"data: 2\n\n"))
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/events"))
        assert connection.read_head().get("Content-Type") == "text/event-stream"
        assert connection.read_until(b"data: 1\n\n")
        wait_until(lambda: gate.waiting)
        gate.open()
        assert connection.read_until(b"data: 2\n\n")
        assert connection.read_until(b"0\r\n\r\n")


def test_a_head_comes_before_its_body(daemon, origin):
    gate = Gate()
    origin.script("/late", PROMPT_HEAD, gate, chunked(b"body"))
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/late"))
        assert connection.read_head().status == 200
        gate.open()
        assert connection.read_until(b"0\r\n\r\n").endswith(b"body\r\n0\r\n\r\n")


def test_an_upload_that_trickles(daemon, origin):
    with daemon.connect() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(1, 6):
            connection.send(chunked(content(n), end=b""))
            wait_until(lambda: origin.seen("/echo") and origin.seen("/echo")[-1].body_length >= n * (n + 1) // 2)
        connection.send(b"0\r\n\r\n")
        assert connection.read_response().json()["body_length"] == 15


@pytest.mark.parametrize("size", [4, 300_000, 0])
def test_trailers_of_requests(daemon, size):
    """Those that were announced, as Go wants it; what belongs into heads alone, or commands connectors, stays here."""
    body = content(size)
    with daemon.connect() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n"
                        b"Trailer: X-Late, Content-Length, cf-cloudflared-a\r\nTrailer: X-Later\r\n\r\n")
        connection.send((b"%x\r\n%s\r\n" % (len(body), body) if body else b"")
                        + b"0\r\nX-Late: yes\r\nContent-Length: 7\r\nCf_Cloudflared-A: b\r\nX-Later:  and yes \r\nX-Forwarded-For: 1\r\n\r\n")
        seen = connection.read_response().json()
        assert seen["body_length"] == len(body)
        assert sorted(seen["trailers"].split("\r\n")[:-1]) == ["", "X-Late: yes", "X-Later: and yes"]
        connection.send(b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.send(chunked(b"body", end=b"0\r\nX-Late: yes\r\n\r\n"))
        assert connection.read_response().json()["body_length"] == 4


def test_trailers_of_responses(daemon, origin):
    origin.script("/script", b"HTTP/1.1 200 OK\r\nTrailer: X-Late, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"0\r\nX-Late: alone\r\nSet-Cookie: a=b\r\n\r\n")
    with daemon.connect() as connection:
        for _ in range(2):
            answered = connection.request("GET", "/trailers")
            assert answered.body == b"body" and answered.trailers == [b"x-late: trailer\r\n"]
            answered = connection.request("GET", "/script")
            assert answered.body == b"" and answered.trailers == [b"x-late: alone\r\n"]
        old = connection.request("GET", "/trailers", version="HTTP/1.0")
        assert old.body == b"body" and old.framing in ("close", "length")


def test_expect(daemon):
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/echo", [("Expect", "100-continue"), ("Content-Length", 5)]))
        assert connection.read_head().status == 100
        connection.send(b"hello")
        assert connection.read_response().json()["body_length"] == 5


def test_a_refusal_before_the_body(daemon):
    """The answer to an upload that the origin does not want: it comes, although the body can't go."""
    with daemon.connect() as connection:
        connection.send(b"POST /early/413 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000000\r\n\r\n" + content(1000))
        assert connection.read_response().status in (413, 502)
    assert daemon.get("/").status == 200


def test_websocket(daemon):
    for _ in range(6):
        with daemon.connect() as connection:
            answered = connection.request("GET", "/ws", WEBSOCKET)
            assert answered.status == 101 and answered.get("Upgrade").lower() == "websocket"
            assert answered.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            for size in (1, 10, 1000, 300_000):
                connection.send(content(size))
                assert connection.read_exactly(size) == content(size)


def test_websocket_refused(daemon, origin):
    origin.script("/ws", answer(403, b"no\n"))
    with daemon.connect() as connection:
        answered = connection.request("GET", "/ws", WEBSOCKET)
        assert answered.status == 403 and answered.body == b"no\n"
        assert connection.request("GET", "/").status == 200


def test_the_end_of_a_websocket(daemon, origin):
    before = len(origin.open)
    with daemon.connect() as connection:
        assert connection.request("GET", "/ws", WEBSOCKET).status == 101
        wait_until(lambda: len(origin.open) == before + 1)
    wait_until(lambda: len(origin.open) == before)


def test_the_origin_ends_a_websocket(daemon, origin):
    with daemon.connect() as connection:
        assert connection.request("GET", "/ws", WEBSOCKET).status == 101
        origin.drop()
        assert connection.ended()


def test_interim_answers_are_harmless(daemon):
    for answered in several(daemon, "GET", "/interim/103/3"):
        assert answered.status == 200 and answered.body == b"origin\n"


def test_a_response_that_breaks_off_is_cut(daemon):
    for _ in range(6):
        with daemon.connect() as connection, pytest.raises(Cut):
            connection.request("GET", "/truncated/100000")
    assert daemon.get("/").status == 200


def test_a_client_that_leaves_stops_the_origin(daemon, origin):
    for n in range(1, 7):
        with daemon.connect() as connection:
            connection.send(request_bytes("GET", "/endless"))
            connection.read_head()
            connection.read_exactly(100_000)
        wait_until(lambda: origin.aborted >= n)
    assert daemon.get("/").status == 200
    wait_until(lambda: daemon.endpoint("pool/ams")["in_flight"] == 0)


def test_a_client_that_leaves_its_upload_stops_the_origin(daemon, origin):
    for n in range(1, 5):
        with daemon.connect() as connection:
            connection.send(b"POST /echo HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\n" + content(300_000))
            wait_until(lambda: len(origin.seen("/echo")) == n and origin.seen("/echo")[-1].body_length)
    wait_until(lambda: origin.aborted >= 4)
    wait_until(lambda: daemon.endpoint("pool/ams")["in_flight"] == 0)


def test_gzip_stays_packed(daemon, origin):
    packed = gzip.compress(content(5000))
    origin.script("/gz", answer(200, packed, [("Content-Encoding", "gzip")]))
    for headers in ([], [("Accept-Encoding", "gzip")]):
        for answered in several(daemon, "GET", "/gz", headers):
            assert answered.body == packed and answered.get("Content-Encoding") == "gzip"


def test_repeated_and_odd_fields(daemon, origin):
    eight_bit = "gr\u00fc\u00dfe".encode().decode("latin-1")
    origin.script("/odd", answer(200, b"ok", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Empty", ""), ("X-Utf", eight_bit),
                                             ("Keep-Alive", "timeout=5")]))
    for answered in several(daemon, "GET", "/odd"):
        assert answered.all("Set-Cookie") == ["a=1", "b=2"]
        assert answered.get("X-Empty") == "" and answered.get("X-Utf") == eight_bit
        assert not answered.all("Keep-Alive")


def test_large_request_heads(daemon):
    for answered in several(daemon, "GET", "/echo", [(f"X-Large-{n}", "v" * 3000) for n in range(9)]):
        assert sum(len(value) for name, value in answered.json()["fields"] if name.startswith("X-Large")) == 27000


@pytest.mark.parametrize("pattern", ["v", "0123456789abcdef", "\xff\xbe~"])
def test_response_heads_as_large_as_allowed(daemon, origin, pattern):
    """47 KiB, however well that can be coded."""
    value = (pattern * 47 * 1024)[:47 * 1024 - 300]
    origin.script("/large", answer(200, b"ok", [("X-Large", value)]))
    for answered in several(daemon, "GET", "/large"):
        assert answered.status == 200 and answered.get("X-Large") == value


@pytest.mark.parametrize("size", [49 * 1024, 60_000, 200_000])
def test_a_response_head_that_is_too_large_fails_one_request(edge, daemon, origin, size):
    """502 for that request, with its body right behind; nothing else on the connection is harmed."""
    gate = Gate()
    origin.script("/huge", answer(200, content(100_000), [("X-Huge", "v" * size)]))
    origin.script("/slow", PROMPT_HEAD, chunked(b"before", end=b""), gate, chunked(b"after"))
    before = {line["id"] for line in edge.lines()}
    running = [daemon.connect() for _ in range(8)]
    for connection in running:
        connection.send(request_bytes("GET", "/slow"))
        connection.read_until(b"before\r\n")
    for answered in several(daemon, "GET", "/huge"):
        assert answered.status == 502
    gate.open()
    for connection in running:
        assert connection.read_until(b"0\r\n\r\n") == b"5\r\nafter\r\n0\r\n\r\n"
        connection.close()
    assert {line["id"] for line in edge.lines()} == before
    assert daemon.get("/").status == 200


def test_the_origin_is_down(daemon, origin):
    """The connector's own 502: the client gets ours, and the log says whose fault it is."""
    origin.kill()
    for answered in several(daemon, "GET", "/"):
        assert answered.status == 502 and not answered.all("X-Origin")
    wait_until(lambda: {line["reason"] for line in daemon.access_log()} == {"origin_unreachable"})
    origin.accept()
    assert daemon.get("/").status == 200


def test_the_origin_closes_without_an_answer(daemon, origin):
    origin.script("/closed", CLOSE)
    assert {answered.status for answered in several(daemon, "POST", "/closed", body=b"x")} == {502}
    assert daemon.get("/").status == 200
