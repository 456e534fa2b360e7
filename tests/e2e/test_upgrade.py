"""Websockets: an upgrade has a connection of its own, nothing is copied before the 101, and a refused one goes on as plain HTTP."""

import random
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from client import WEBSOCKET, Cut, chunked, request_bytes, wait_until
from daemon import IN_ORDER, is_sanitized
from origin import CLOSE, SWITCH, Gate


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
        connection.send(request_bytes("GET", "/no", WEBSOCKET) + request_bytes("GET", "/second", host="unknown.test",
                                                                               headers=[("X-Real-IP", "6.6.6.6")]))
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


def test_survives_a_reload_and_a_drain(serve, origin, make_origin):
    daemon = serve(origin, make_origin("other"), pool=IN_ORDER)
    connection, _ = open_websocket(daemon)
    assert daemon.cli("endpoint", "drain", "pool/origin").returncode == 0
    daemon.write(pools=[{"name": "pool", "monitors": [], "endpoints": [{"name": "other", "address": "http://127.0.0.1:1"}]}])
    assert daemon.reload().returncode == 0
    connection.send(b"still here")
    assert connection.read_exactly(10) == b"still here"
    connection.close()


def test_counted_and_logged(serve, origin):
    daemon = serve(origin)
    connection, _ = open_websocket(daemon)
    connection.send(b"ping")
    assert connection.read_exactly(4) == b"ping"
    connection.close()
    line = wait_until(lambda: next((line for line in daemon.access_log() if line["status"] == 101), None),
                      what="the log line, once it is over")
    assert line["endpoint"] == "pool/origin"


def switch(peer, connection, target="/ws"):
    """The upgrade as both ends see it; the peer's connection."""
    connection.send(request_bytes("GET", target, WEBSOCKET))
    upstream, _ = peer.accept_request()
    upstream.send(SWITCH)
    assert connection.read_response().status == 101
    return upstream


def test_client_that_has_finished_still_hears(serve, peer):
    daemon = serve(peer)
    with daemon.connect() as connection:
        upstream = switch(peer, connection)
        connection.send(b"last words").finish_sending()
        assert upstream.read_to_end() == b"last words"
        for _ in range(5):
            time.sleep(0.05)
            upstream.send(b"still here ")
        upstream.close()
        assert connection.read_to_end() == b"still here " * 5


def test_client_that_had_finished_before_the_101_still_hears(serve, peer):
    daemon = serve(peer)
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/ws", WEBSOCKET) + b"all of it").finish_sending()
        upstream, _ = peer.accept_request()
        time.sleep(0.1)
        upstream.send(SWITCH)
        assert upstream.read_to_end() == b"all of it"
        upstream.send(b"thanks")
        upstream.close()
        assert connection.read_response().status == 101
        assert connection.read_to_end() == b"thanks"


def test_raw_bytes_are_not_framed_after_a_chunked_request(serve, peer):
    """The request's own coding ends with the request; what was read behind it comes first."""
    daemon = serve(peer)
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/ws", [*WEBSOCKET, ("Transfer-Encoding", "chunked")]))
        upstream, head = peer.accept_request()
        assert b"chunked" in head
        connection.send(chunked(b"body") + b"early ")
        assert upstream.read_until(b"0\r\n\r\n").endswith(chunked(b"body"))
        time.sleep(0.1)
        connection.send(b"held ")
        upstream.send(SWITCH)
        assert connection.read_response().status == 101
        connection.send(b"raw").finish_sending()
        assert upstream.read_to_end() == b"early held raw"
        upstream.close()


def test_both_directions_at_once_with_little_room(serve, peer):
    """Neither direction stops for good because the other one moves."""
    size = 8 * 1024 * 1024
    daemon = serve(peer)
    for _ in range(3):
        with daemon.connect() as connection:
            upstream = switch(peer, connection)
            with ThreadPoolExecutor(4) as threads:
                sent = [threads.submit(end.send, b"x" * size) for end in (connection, upstream)]
                got = [threads.submit(read_in_bursts, end, size) for end in (upstream, connection)]
                assert [future.result(60) for future in got] == [size, size]
                assert all(future.result(60) for future in sent)
            upstream.close()


def read_in_bursts(connection, size):
    """Now and then everything stands still, so that buffers fill."""
    chance = random.Random(size)
    have = 0
    while have < size:
        have += len(connection.socket.recv(chance.choice((1000, 70_000, 300_000))))
        if chance.random() < 0.05:
            time.sleep(0.02)
    return have


def test_idle_websockets_hold_no_buffers(serve, origin):
    """Neither of 64k for bytes nor of 4k for a head: whether they have said something or nothing yet."""
    daemon = serve(origin, workers=1)
    held = []

    def hold(count):
        for _ in range(count):
            held.append(open_websocket(daemon)[0])
            held.append(open_websocket(daemon)[0])
            held[-1].send(b"hello")
            assert held[-1].read_exactly(5) == b"hello"
    hold(50)
    before = data_size(daemon)
    hold(100)
    after = data_size(daemon)
    for connection in held:
        connection.close()
    assert is_sanitized() or (after - before) / 200 < 8 * 1024, "a sanitizer's memory says nothing of ours"


def data_size(daemon):
    return int(re.search(r"VmData:\s+(\d+) kB", Path(f"/proc/{daemon.pid}/status").read_text())[1]) * 1024


def test_stop_waits_for_websockets_for_longer_than_for_the_rest(serve, peer, origin):
    daemon = serve(peer, timeouts={"shutdown": "400ms", "upgrade_shutdown": "20s"})
    slow = daemon.connect()
    slow.send(b"GET / HTTP/1.1\r\nHost: app.te")
    with daemon.connect() as connection:
        upstream = switch(peer, connection)
        daemon.signal(signal.SIGTERM)
        assert slow.ended(), "the head that never came is not waited for"
        assert daemon.ended(0.5) is None
        connection.send(b"ping")
        assert upstream.read_exactly(4) == b"ping"
        upstream.send(b"pong")
        assert connection.read_exactly(4) == b"pong"
        upstream.close()
        assert connection.ended()
    assert daemon.ended() == 0


def test_stop_cuts_websockets_in_the_end(serve, peer):
    daemon = serve(peer, timeouts={"shutdown": "200ms", "upgrade_shutdown": "600ms"})
    with daemon.connect() as connection:
        switch(peer, connection)
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0
        assert connection.ended()


def test_reload_leaves_a_websocket_alone(serve, peer, origin):
    """The configuration it began with, and its endpoint, are gone while it lives on; its line is written all the same."""
    daemon = serve(peer)
    with daemon.connect() as connection:
        upstream = switch(peer, connection, "/ws?token=1")
        for name in ("one", "two"):
            daemon.write(pools=[{"name": name, "monitors": [], "endpoints": [{"name": "o", "address": origin.url}]}],
                         load_balancers=[{"hostnames": ["*"], "default_pools": [name]}])
            assert daemon.reload().returncode == 0
            assert daemon.get().status == 200
        connection.send(b"ping")
        assert upstream.read_exactly(4) == b"ping"
        upstream.send(b"pong")
        assert connection.read_exactly(4) == b"pong"
        upstream.close()
        assert connection.ended()
    line = wait_until(lambda: next((line for line in daemon.access_log() if line["status"] == 101), None))
    assert line["endpoint"] == "pool/peer" and line["target"] == "/ws?token=1" and line["bytes_in"] == 4 and line["bytes_out"] == 4
