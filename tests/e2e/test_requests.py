"""Requests and responses as they should be: framing, interim responses, bodies both ways, back-pressure, and the fields we add."""

import hashlib
import re
import time

import pytest
from client import Cut, chunked, request_bytes, wait_until
from origin import RESET, Gate, content
from peer import reset

MEGA = 1024 * 1024


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_keep_alive(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        for n in range(20):
            assert connection.request("GET", f"/echo?{n}").json()["target"] == f"/echo?{n}"
    assert len({request.connection for request in origin.requests}) < 20, "connections to the origin are kept too"


def test_connection_close_is_heeded(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        response = connection.request("GET", "/", [("Connection", "close")])
        assert response.body == b"origin\n" and response.get("Connection") == "close"
        assert connection.ended()


def test_pipelined_requests_are_answered_in_order(serve, origin):
    daemon = serve(origin)
    wanted = ["/delay/0.2", *(f"/echo?{n}" for n in range(10)), "/status/404", "/chunked/5000", "/"]
    with daemon.connect() as connection:
        connection.send(b"".join(request_bytes("GET", target) for target in wanted))
        responses = [connection.read_response() for _ in wanted]
    assert [r.json()["target"] for r in responses[1:11]] == wanted[1:11]
    assert [r.status for r in responses] == [200] * 11 + [404, 200, 200]
    assert responses[12].body == content(5000)


def test_pipelined_requests_with_bodies(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/echo", body=b"a" * 3000)
                        + b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + chunked(b"b" * 2000, b"b" * 2000)
                        + request_bytes("GET", "/echo"))
        assert [connection.read_response().json()["body_length"] for _ in range(3)] == [3000, 4000, 0]


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 3 * MEGA])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_request_bodies_arrive_whole(serve, origin, framing, size):
    daemon = serve(origin)
    body = content(size)
    if framing == "length":
        raw = request_bytes("POST", "/echo", [("Content-Length", size)], body)
    else:
        pieces = [body[i:i + 7000] for i in range(0, size, 7000)]
        raw = b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*pieces)
    seen = daemon.exchange(raw).json()
    assert seen["body_length"] == size
    assert seen["body_sha256"] == sha256(body)


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 3 * MEGA])
@pytest.mark.parametrize("kind,framing", [("bytes", "length"), ("chunked", "chunked"), ("until-close", "chunked")])
def test_response_bodies_arrive_whole(serve, origin, kind, framing, size):
    daemon = serve(origin)
    with daemon.connect() as connection:
        response = connection.request("GET", f"/{kind}/{size}")
        assert response.framing == framing
        assert response.sha256 == sha256(content(size))
        assert connection.request("GET", "/").status == 200, "the client's connection goes on"


def test_big_bodies_both_ways(serve, origin):
    daemon = serve(origin)
    body = content(32 * MEGA)
    assert daemon.request("POST", "/echo", body=body).json()["body_sha256"] == sha256(body)
    assert daemon.get(f"/bytes/{len(body)}").sha256 == sha256(body)


def test_body_that_comes_byte_by_byte(serve, origin):
    daemon = serve(origin)
    raw = b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello", b"world" * 10)
    with daemon.connect() as connection:
        for byte in raw:
            connection.send(bytes([byte]))
        assert connection.read_response().json()["body_sha256"] == sha256(b"hello" + b"world" * 10)


def test_response_that_comes_byte_by_byte(serve, origin):
    daemon = serve(origin)
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello", b"world" * 3)
    origin.script("/x", *[bytes([byte]) for byte in raw])
    assert daemon.get("/x").body == b"hello" + b"world" * 3


def test_head_204_and_304_have_no_body(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        head = connection.request("HEAD", "/bytes/1234")
        assert head.all("Content-Length") == ["1234"]
        for status in (204, 304):
            response = connection.request("GET", f"/status/{status}")
            assert response.status == status and response.get("Transfer-Encoding") is None
        assert connection.request("GET", "/").body == b"origin\n"


def test_304_keeps_its_content_length(serve, origin):
    daemon = serve(origin)
    origin.script("/x", b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 777\r\n\r\n")
    with daemon.connect() as connection:
        response = connection.request("GET", "/x")
        assert response.get("ETag") == '"a"' and response.all("Content-Length") == ["777"]
        assert connection.request("GET", "/").body == b"origin\n"


def test_expect_continue(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/echo", [("Expect", "100-continue"), ("Content-Length", 5)]))
        interim = connection.read_head()
        assert interim.status == 100
        connection.send(b"hello")
        assert connection.read_response().json()["body_length"] == 5


def test_expect_continue_with_a_body_that_does_not_wait(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/echo", [("Expect", "100-continue")], b"hello"))
        assert connection.read_response().json()["body_length"] == 5
        assert connection.request("GET", "/").status == 200


def test_early_answer_to_an_upload(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/early/413", [("Content-Length", 100 * MEGA)]) + content(MEGA))
        assert connection.read_response().status == 413


def test_early_hints_are_relayed(serve, origin):
    daemon = serve(origin)
    response = daemon.get("/interim/103/2")
    assert [i.status for i in response.interim] == [103, 103]
    assert response.interim[0].get("Link") == "</style.css>; rel=preload"
    assert response.body == b"origin\n"


def test_trailers_follow_bodies(serve, origin):
    daemon = serve(origin)
    response = daemon.get("/trailers")
    assert response.body == b"body" and response.trailers == [b"X-Late: trailer\r\n"] and response.get("Trailer") is None
    assert daemon.get("/trailers", version="HTTP/1.0").body == b"body"
    late = b"0\r\nX-Late: trailer\r\nContent-Length: 3\r\nHost: a\r\ntransfer_encoding: b\r\nX-Forwarded-For: c\r\nX-Later:\r\n\r\n"
    head = b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    with daemon.connect() as connection:
        for piece in [b"body", b"", b"x" * 100_000]:
            whole = head + (chunked(piece, end=late) if piece else late)
            for cut in range(len(whole) - len(late) - 3, len(whole), 7):
                connection.send(whole[:cut]).send(whole[cut:])
                seen = connection.read_response().json()
                assert seen["body_length"] == len(piece)
                assert seen["trailers"].split("\r\n") == ["X-Late: trailer", "X-Later:", "", ""][:len(seen["trailers"].split("\r\n"))]
                assert "X-Later:" in seen["trailers"]


def test_trailers_of_a_request_that_is_sent_again(serve, make_origin):
    first, second = make_origin("first"), make_origin("second")
    first.script("/echo", RESET)
    daemon = serve(first, second, pool={"endpoint_steering": {"policy": "off"}})
    seen = daemon.exchange(b"PUT /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                           + chunked(b"body", end=b"0\r\nX-Late: trailer\r\n\r\n")).json()
    assert seen["body_length"] == 4 and seen["trailers"].startswith("X-Late: trailer\r\n") and seen["origin"] == "second"


def test_http_1_0(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        response = connection.request("GET", "/", version="HTTP/1.0", host=None)
        assert response.status == 200 and response.body == b"origin\n"
        assert connection.ended()
    with daemon.connect() as connection:
        for _ in range(2):
            assert connection.request("GET", "/", [("Connection", "keep-alive")], version="HTTP/1.0").body == b"origin\n"
    assert origin.requests[-1].version == "HTTP/1.1"


def test_response_of_an_http_1_0_origin(serve, origin):
    daemon = serve(origin)
    origin.script("/x", b"HTTP/1.0 200 OK\r\n\r\nold", "close")
    with daemon.connect() as connection:
        response = connection.request("GET", "/x")
        assert response.version == "HTTP/1.1" and response.body == b"old"
        assert connection.request("GET", "/").status == 200


def test_connection_that_the_origin_announces_to_close_is_not_used_again(serve, origin):
    daemon = serve(origin, workers=1)
    origin.script("/x", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    with daemon.connect() as connection:
        for _ in range(3):
            response = connection.request("GET", "/x")
            assert response.body == b"ok" and response.get("Connection") is None, "it says nothing about the client's connection"
    assert len({request.connection for request in origin.requests}) == 3


def test_pipelined_before_a_half_close(serve, origin):
    """Answered in order as far as they are; where they aren't, the last answer said so (RFC 9112 9.6)."""
    daemon = serve(origin)
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/delay/0.1") * 3)
        connection.finish_sending()
        for _ in range(3):
            response = connection.read_response()
            assert response.body == b"origin\n"
            if response.get("Connection") == "close":
                break
        assert connection.ended()


def test_ipv6_listener(serve, origin):
    daemon = serve(origin)
    daemon.write(listeners=[{"address": f"[::1]:{daemon.port}"}])
    assert daemon.reload().returncode == 0
    daemon.address = f"[::1]:{daemon.port}"
    seen = dict(daemon.get("/echo").json()["fields"])
    assert seen["X-Forwarded-For"] == "::1" and 'for="[::1]"' in seen["Forwarded"]


def test_truncated_response_cuts_the_client(serve, origin):
    daemon = serve(origin)
    for target in ("/truncated/1000",):
        with daemon.connect() as connection, pytest.raises(Cut):
            connection.request("GET", target)
    origin.script("/x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close")
    with daemon.connect() as connection, pytest.raises(Cut):
        connection.request("GET", "/x")
    assert daemon.get().status == 200


def test_slow_reader_holds_the_origin_back(serve, origin):
    """With bounded memory, and nothing lost once it reads on."""
    size = 64 * MEGA
    daemon = serve(origin)
    daemon.get()
    before = daemon.memory()
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", f"/bytes/{size}"))
        stalled_at = wait_until(lambda: settled(lambda: origin.sent), what="the origin is held back")
        assert 0 < stalled_at < size // 2
        assert daemon.memory() - before < 16 * MEGA
        assert connection.read_response().sha256 == sha256(content(size))


def test_slow_origin_holds_the_client_back(serve, origin):
    size = 64 * MEGA
    daemon = serve(origin)
    daemon.get()
    before = daemon.memory()
    body = content(size)
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/stall-upload", [("Content-Length", size)]))
        connection.socket.setblocking(False)
        sent = 0
        quiet = time.monotonic()
        while time.monotonic() - quiet < 0.5:
            try:
                sent += connection.socket.send(body[sent:sent + MEGA])
                quiet = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            assert sent < size
        assert daemon.memory() - before < 16 * MEGA
        origin.upload_gate.open()
        connection.socket.settimeout(30)
        connection.send(body[sent:])
        assert connection.read_response().json()["body_sha256"] == sha256(body)


def settled(value, still_for=0.5):
    """The value once it has stopped growing; the start does not count."""
    first = value()
    time.sleep(still_for)
    return first if first and value() == first else None


def test_many_slow_readers_cost_bounded_memory(serve, origin):
    daemon = serve(origin)
    daemon.get()
    before = daemon.memory()
    connections = [daemon.connect().send(request_bytes("GET", "/endless")) for _ in range(50)]
    wait_until(lambda: settled(lambda: origin.sent), what="the origins are held back")
    assert daemon.memory() - before < 64 * MEGA
    for connection in connections:
        connection.close()
    wait_until(lambda: daemon.get().status == 200)


def test_client_that_goes_away_frees_the_origin(serve, origin):
    daemon = serve(origin)
    gate = Gate()
    origin.script("/wait", gate)
    connection = daemon.connect().send(request_bytes("GET", "/wait"))
    wait_until(lambda: gate.waiting)
    wait_until(lambda: daemon.endpoint("pool/origin")["in_flight"] == 1)
    connection.close()
    wait_until(lambda: daemon.endpoint("pool/origin")["in_flight"] == 0, what="the request is given up")


# --- fields ---

def echo(daemon, *headers, target="/echo", **more):
    seen = daemon.request("GET", target, list(headers), **more).json()
    return {name.lower(): value for name, value in seen["fields"]}, seen


def test_fields_keep_their_order_and_case(serve, origin):
    daemon = serve(origin)
    _, seen = echo(daemon, ("X-First", "1"), ("x-second", "2"), ("X-FIRST", "3"))
    ours = [(name, value) for name, value in seen["fields"] if name.lower() in ("x-first", "x-second")]
    assert ours == [("X-First", "1"), ("x-second", "2"), ("X-FIRST", "3")]


def test_response_fields_pass_unchanged(serve, origin):
    daemon = serve(origin)
    origin.script("/x", b"HTTP/1.1 299 Fine by me\r\nServer: own/1\r\nset-cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nX-Odd:\r\nContent-Length: 0\r\n\r\n")
    response = daemon.get("/x")
    assert (response.status, response.reason) == (299, "Fine by me")
    assert response.get("Server") == "own/1" and response.get("X-Odd") == ""
    assert response.all("Set-Cookie") == ["a=1", "b=2; Path=/"]


def test_fields_that_are_added(serve, origin):
    daemon = serve(origin)
    fields, _ = echo(daemon, ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    assert fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["x-real-ip"] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == "http"
    assert fields["x-forwarded-host"] == "app.test"
    assert "for=127.0.0.1" in fields["forwarded"] and "proto=http" in fields["forwarded"]
    assert fields["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert fields["x-request-id"]
    assert fields["host"] == "app.test"
    assert fields["x-request-id"] != echo(daemon)[0]["x-request-id"]


@pytest.mark.parametrize("length", [100, 16_000, 16_340, 16_380, 20_000])
def test_a_long_target_without_a_path_hides_nobody(serve, origin, length):
    daemon = serve(origin, workers=1)
    query = "?" + "a" * length
    assert daemon.get(f"http://app.test{query}").status == 200
    request = origin.requests[-1]
    fields = {name.lower(): value for name, value in request.fields}
    assert request.target == "/" + query
    assert fields["x-forwarded-for"] == fields["x-real-ip"] == "127.0.0.1" and "for=127.0.0.1" in fields["forwarded"]


FORGED = [("X-Forwarded-For", "10.9.8.7"), ("X-Real-IP", "10.9.8.7"), ("Forwarded", "for=10.9.8.7"), ("X-Forwarded-Proto", "https"),
          ("X-Forwarded-Host", "evil.test"), ("CF-Connecting-IP", "10.9.8.7"), ("True-Client-IP", "10.9.8.7")]


def test_untrusted_clients_cannot_forge_them(serve, origin):
    daemon = serve(origin)
    fields, seen = echo(daemon, *FORGED)
    assert fields["x-forwarded-for"] == "127.0.0.1" and fields["x-real-ip"] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == "http" and fields["x-forwarded-host"] == "app.test"
    assert "10.9.8.7" not in str(seen["fields"])


def test_trusted_proxies_are_believed(serve, origin):
    daemon = serve(origin, trusted_proxies=["127.0.0.0/8", "10.1.0.0/16"])
    fields, _ = echo(daemon, ("X-Forwarded-For", "192.0.2.1, 10.9.8.7, 10.1.2.3"))
    assert fields["x-real-ip"] == "10.9.8.7", "the last that no trusted proxy vouches for"
    assert re.fullmatch(r"192\.0\.2\.1, ?10\.9\.8\.7, ?10\.1\.2\.3, ?127\.0\.0\.1", fields["x-forwarded-for"])
    assert fields["forwarded"].startswith("for=10.9.8.7, for=127.0.0.1;")
    fields, _ = echo(daemon, ("X-Forwarded-For", "10.9.8.7"), ("Forwarded", "for=192.0.2.9"))
    assert fields["forwarded"].startswith("for=192.0.2.9, for=127.0.0.1;")
    wait_until(lambda: daemon.access_log()[-1]["client"].startswith("10.9.8.7"))


def test_trusted_cf_connecting_ip(serve, origin):
    daemon = serve(origin, trusted_proxies=["127.0.0.0/8"])
    fields, _ = echo(daemon, ("CF-Connecting-IP", "203.0.113.9"), ("X-Forwarded-For", "203.0.113.9"))
    assert fields["x-real-ip"] == "203.0.113.9"


def test_hosts_are_routed(serve, make_origin):
    named = {name: make_origin(name) for name in ("exact", "wild", "deep", "all")}
    pools = [{"name": name, "monitors": [], "endpoints": [{"name": name, "address": origin.url}]} for name, origin in named.items()]
    daemon = serve(settings={"pools": pools, "load_balancers": [
        {"hostnames": ["app.example.com"], "default_pools": ["exact"]}, {"hostnames": ["*.example.com"], "default_pools": ["wild"]},
        {"hostnames": ["*.deep.example.com"], "default_pools": ["deep"]}, {"hostnames": ["*.test"], "default_pools": ["all"]}]})
    for host, expected in [("app.example.com", "exact"), ("APP.Example.COM", "exact"), ("app.example.com:8080", "exact"),
                           ("app.example.com.", "exact"),
                           ("b.example.com", "wild"), ("a.b.example.com", "wild"), ("x.deep.example.com", "deep"),
                           ("x.y.deep.example.com", "deep"),
                           ("deep.example.com", "wild"), ("a.test", "all")]:
        assert daemon.get(host=host).body == expected.encode() + b"\n", host
    for host in ("example.com", "other.org", "test"):
        assert daemon.get(host=host).status == 404, host


def test_disabled_load_balancer_keeps_its_name(serve, make_origin):
    origin = make_origin("o")
    daemon = serve(settings={"pools": [{"name": "p", "monitors": [], "endpoints": [{"name": "o", "address": origin.url}]}],
                             "load_balancers": [{"hostnames": ["off.test"], "enabled": False, "default_pools": ["p"]},
                                                {"hostnames": ["*"], "default_pools": ["p"]}]})
    assert daemon.get(host="off.test").status in (404, 503)
    assert daemon.get(host="on.test").status == 200


def test_a_client_that_leaves_while_its_upload_stalls(serve, origin):
    """Nothing of it is read then: a reset is noticed all the same. (An orderly end waits behind the bytes that find no room.)"""
    daemon = serve(origin)
    connection = daemon.connect()
    connection.send(b"POST /stall-upload HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000000\r\n\r\n")
    connection.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:
            connection.socket.send(content(64 * 1024))
    reset(connection)
    wait_until(lambda: daemon.endpoint("pool/origin")["in_flight"] == 0)
