"""Websockets: an upgrade has a connection of its own, nothing is copied before the 101, and a refused one goes on as plain HTTP."""

import pytest
from client import WEBSOCKET, Cut, request_bytes, wait_until
from origin import CLOSE, Gate

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"


def open_websocket(daemon, target="/ws"):
    connection = daemon.connect()
    response = connection.request("GET", target, WEBSOCKET)
    assert response.status == 101
    return connection, response


def test_bytes_pass_both_ways(serve, origin):
    daemon = serve(origin)
    connection, response = open_websocket(daemon)
    assert response.get("Upgrade").lower() == "websocket" and response.get("Connection").lower() == "upgrade"
    assert response.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for size in (1, 1000, 300_000):
        connection.send(b"w" * size)
        assert connection.read_exactly(size) == b"w" * size
    connection.finish_sending()
    assert connection.ended()


def test_origin_that_ends_ends_the_client(serve, origin):
    daemon = serve(origin)
    origin.script("/bye", SWITCH, b"bye", CLOSE)
    connection, _ = open_websocket(daemon, "/bye")
    assert connection.read_exactly(3) == b"bye"
    assert connection.ended()


def test_bytes_right_behind_the_101_are_not_lost(serve, origin):
    daemon = serve(origin)
    origin.script("/hello", SWITCH + b"first frame", CLOSE)
    connection, _ = open_websocket(daemon, "/hello")
    assert connection.read_exactly(11) == b"first frame"


def test_connection_of_its_own_never_pooled_before_or_after(serve, origin):
    daemon = serve(origin, workers=1)
    for _ in range(3):
        assert daemon.get().status == 200
    pooled = {request.connection for request in origin.requests}
    connection, _ = open_websocket(daemon)
    own = origin.seen("/ws")[-1].connection
    assert own not in pooled
    connection.close()
    assert daemon.get().status == 200
    assert origin.requests[-1].connection != own


def test_refused_upgrade_goes_on_as_plain_http(serve, origin):
    daemon = serve(origin)
    origin.script("/no", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    with daemon.connect() as connection:
        assert connection.request("GET", "/no", WEBSOCKET).body == b"no"
        used = origin.requests[-1].connection
        assert connection.request("GET", "/").body == b"origin\n"
    assert origin.requests[-1].connection != used, "the upgrade's connection is not used again"


def test_bytes_before_the_101_are_held(serve, origin):
    """CVE-2026-2833: what follows the request must not reach the upstream before it has switched."""
    daemon = serve(origin)
    gate = Gate()
    origin.script("/wait", gate, SWITCH)
    connection = daemon.connect()
    connection.send(request_bytes("GET", "/wait", WEBSOCKET) + b"early frame")
    wait_until(lambda: gate.waiting)
    assert len(origin.requests) == 1
    gate.open()
    assert connection.read_response().status == 101
    # After the script the origin reads its connection as HTTP: the frame arrives there as the beginning of a head.
    connection.send(b" HTTP/1.1\r\n\r\n")
    wait_until(lambda: len(origin.requests) == 2)
    assert origin.requests[1].head.raw.startswith(b"early frame HTTP/1.1")


def test_smuggled_request_behind_a_refused_upgrade_is_an_ordinary_request(serve, origin):
    daemon = serve(origin)
    gate = Gate()
    origin.script("/no", gate, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/no", WEBSOCKET) + request_bytes("GET", "/second", host="unknown.test", headers=[("X-Real-IP", "6.6.6.6")]))
        wait_until(lambda: gate.waiting)
        assert not origin.seen("/second")
        gate.open()
        assert connection.read_response().status == 403
        assert connection.read_response().status == 200
    assert origin.seen("/second")[0].get("X-Real-IP") == "127.0.0.1", "it went through all the rules"


def test_body_of_an_upgrade_request_is_an_ordinary_body(serve, origin):
    """CVE-2026-58055: a length with an upgrade must not move the frame."""
    daemon = serve(origin)
    with daemon.connect() as connection:
        response = connection.request("POST", "/echo", WEBSOCKET, b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n")
        assert response.status == 200 and response.json()["body_length"] == 32
        assert connection.request("GET", "/").status == 200
    assert not origin.seen("/admin")


def test_too_many_early_bytes_are_not_hoarded(serve, origin):
    daemon = serve(origin)
    gate = Gate()
    origin.script("/wait", gate)
    daemon.get()
    before = daemon.memory()
    connection = daemon.connect()
    connection.socket.settimeout(1)
    try:
        connection.send(request_bytes("GET", "/wait", WEBSOCKET) + b"x" * 32 * 1024 * 1024)
    except OSError:
        pass  # held back, or refused
    assert daemon.memory() - before < 16 * 1024 * 1024
    connection.close()
    gate.open()
    assert daemon.get().status == 200


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
], ids=["other protocol", "without Connection", "bare"])
def test_101_against_the_rules_is_a_502(serve, origin, answer):
    daemon = serve(origin)
    origin.script("/ws", answer, CLOSE)
    assert daemon.request("GET", "/ws", WEBSOCKET).status == 502


def test_both_upgrade_and_body_framing_survive_many_requests(serve, origin):
    daemon = serve(origin, workers=1)
    origin.script("/no", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
    with daemon.connect() as connection:
        for n in range(10):
            assert connection.request("GET", "/no", WEBSOCKET).body == b"no"
            assert connection.request("GET", f"/echo?{n}").json()["target"] == f"/echo?{n}"


def test_origin_dies_under_a_websocket(serve, origin):
    daemon = serve(origin)
    connection, _ = open_websocket(daemon)
    origin.kill()
    with pytest.raises(Cut):
        connection.read_exactly(1)


def test_counted_and_logged(serve, origin):
    daemon = serve(origin)
    connection, _ = open_websocket(daemon)
    connection.send(b"ping")
    assert connection.read_exactly(4) == b"ping"
    connection.close()
    line = wait_until(lambda: next((line for line in daemon.access_log() if line["status"] == 101), None), what="the log line, once it is over")
    assert line["endpoint"] == "pool/origin"
