"""Clients' connections in the odd moments: much sent ahead, half closed, slow in one direction, cut. Nothing stalls, nothing is lost."""

import signal
import socket
import time

import pytest
from client import Cut, request_bytes, wait_until
from origin import HANG, Gate
from wire import answer

SHORT = "400ms"


def read_statuses(connection, count, method="GET"):
    return [connection.read_response(method).status for _ in range(count)]


# --- requests sent ahead ---

def test_pipelined_requests_before_a_half_close_are_all_answered(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/1") + request_bytes("GET", "/2") + request_bytes("GET", "/3")).finish_sending()
        assert read_statuses(connection, 3) == [200] * 3
        assert connection.read_to_end() == b""
    assert [request.path for request in origin.requests] == ["/1", "/2", "/3"]


def test_half_close_while_the_answer_is_awaited(serve, origin):
    daemon = serve(origin, timeouts={"client_abort": "5s"})
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        connection.send(request_bytes("GET", "/after")).finish_sending()
        time.sleep(0.1)
        gate.open()
        assert read_statuses(connection, 2) == [200] * 2
        assert connection.read_to_end() == b""


def test_half_close_ends_a_request_that_nobody_answers(serve, origin):
    daemon = serve(origin, timeouts={"client_abort": SHORT})
    origin.script("/hang", HANG)
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/hang")).finish_sending()
        assert connection.ended()
    wait_until(lambda: not origin.open, what="its connection to the endpoint is closed too")


def test_half_closed_client_gets_all_of_a_long_answer(serve, origin):
    """As long as something comes it goes on, and a client that takes it slowly is no client that is gone."""
    daemon = serve(origin, timeouts={"client_abort": SHORT})
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/slow/15/0.1")).finish_sending()
        assert connection.read_response().body == b"." * 15
    with daemon.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.send(request_bytes("GET", "/bytes/20000000")).finish_sending()
        time.sleep(1.5)
        assert len(connection.read_response().body) == 20_000_000


def test_half_close_in_the_middle_of_a_request(serve, origin):
    daemon = serve(origin)
    for cut in (b"GET / HTTP/1.1\r\nHost: app", request_bytes("POST", "/", [("Content-Length", 10)]) + b"half"):
        with daemon.connect() as connection:
            connection.send(request_bytes("GET", "/1") + cut).finish_sending()
            assert connection.read_response().status == 200
            assert connection.ended()
    assert daemon.get().status == 200


def test_answers_that_nobody_reads_hold_up_the_requests_behind_them(serve, origin):
    """Thousands sent ahead, then a half close while the socket takes nothing: all are answered once the client reads."""
    count = 6000
    daemon = serve(origin, workers=1, limits={"requests_per_connection": 0})
    with daemon.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = request_bytes("HEAD", "/" + "x" * 200, host="nobody")
        connection.socket.settimeout(0.5)
        whole, sent = request * count, 0
        try:
            while sent < len(whole):
                sent += connection.socket.send(whole[sent:sent + 100_000])
        except TimeoutError:
            pass
        connection.finish_sending()
        connection.socket.settimeout(15)
        time.sleep(0.3)
        whole_requests = sent // len(request)
        assert read_statuses(connection, whole_requests, "HEAD") == [200] * whole_requests
        assert connection.ended()
    assert daemon.get().status == 200


def test_many_small_requests_sent_ahead_and_answered_by_ourselves(serve, origin):
    """Behind one that waits, so that all of them are answered from its end."""
    daemon = serve(settings={"pools": [{"name": "p", "monitors": [], "endpoints": [{"name": "o", "address": origin.url}]}],
                             "load_balancers": [{"hostnames": ["app.test"], "default_pools": ["p"]}]}, workers=1, limits={"header_size": "64k", "requests_per_connection": 0})
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    count = 1700
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait", [("X-Large", "y" * 17_000)]))
        wait_until(lambda: gate.waiting)
        connection.send(b"GET / HTTP/1.1\r\nHost:a\r\n\r\n" * count)
        time.sleep(0.2)
        gate.open()
        assert connection.read_response().status == 200
        assert read_statuses(connection, count) == [404] * count


def test_request_behind_a_full_buffer_goes_on(serve, origin):
    """Reading had stopped; a body that begins in the buffer and ends in the socket is read on."""
    daemon = serve(origin)
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        connection.send(request_bytes("POST", "/echo", body=b"b" * 100_000) + request_bytes("GET", "/last"))
        time.sleep(0.2)
        gate.open()
        assert connection.read_response().status == 200
        assert connection.read_response().json()["body_length"] == 100_000
        assert connection.read_response().status == 200


# --- time that is not the client's fault, and time that is ---

def test_body_at_a_trickle(serve, origin):
    """Something comes all the time, and yet less than 1 kB/s."""
    daemon = serve(origin, timeouts={"client_body": SHORT})
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/echo", [("Content-Length", 10_000)]))
        with pytest.raises((Cut, OSError)):
            for _ in range(100):
                connection.send(b"x" * 10)
                time.sleep(0.05)
            pytest.fail("nobody minded")
    assert origin.requests[0].body_whole is False
    assert wait_until(lambda: daemon.access_log())[0]["reason"] == "client_body_timeout"


def test_body_that_waits_for_its_100_may_wait(serve, origin):
    """For longer than a body may take: the request is in the queue meanwhile."""
    daemon = serve({"name": "origin", "address": origin.url, "max_in_flight": 1}, timeouts={"client_body": SHORT})
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with daemon.connect() as first, daemon.connect() as second:
        first.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        second.send(request_bytes("POST", "/echo", [("Content-Length", 4), ("Expect", "100-continue")]))
        time.sleep(0.8)
        gate.open()
        assert first.read_response().status == 200
        assert second.read_head().status == 100
        second.send(b"body")
        assert second.read_response().json()["body_length"] == 4


def test_response_that_nobody_takes_though_the_body_still_comes(serve, peer):
    """The last byte of the body must not end the watch over the response."""
    daemon = serve(peer, timeouts={"client_body": "1s"})
    with daemon.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(request_bytes("POST", "/", [("Content-Length", 4)]) + b"bo")
        upstream, _ = peer.accept_request()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        upstream.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            upstream.send(b"x" * 50_000_000)
        connection.send(b"dy")
        upstream.socket.settimeout(15)
        with pytest.raises((Cut, OSError)):
            upstream.read_exactly(4)
            upstream.send(b"x" * 50_000_000)
    assert wait_until(lambda: daemon.access_log())[0]["reason"] == "client_write_timeout"


# --- early answers ---

def test_early_answer_outlives_its_endpoints_reset(serve, peer):
    """The endpoint answers, reads no more and closes; the client takes the answer late, and all of it."""
    daemon = serve(peer)
    with daemon.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(request_bytes("POST", "/", [("Content-Length", 1_000_000)]) + b"b" * 1000)
        upstream, _ = peer.accept_request()
        upstream.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 400000\r\n\r\n" + b"e" * 400_000)
        time.sleep(0.2)
        connection.send(b"b" * 1000)
        time.sleep(0.2)
        upstream.close()
        for _ in range(3):
            time.sleep(0.1)
            connection.send(b"b" * 1000)
        time.sleep(1.2)
        response = connection.read_response()
        assert response.status == 413 and len(response.body) == 400_000


def test_answer_before_the_body_ends_the_connection_after_it(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/early/403", [("Content-Length", 1000)]) + b"begin")
        response = connection.read_response()
        assert response.status == 403 and response.get("Connection") == "close"
        connection.send(request_bytes("GET", "/smuggled"))
        assert connection.ended()
    assert not origin.seen("/smuggled")


# --- connections to an endpoint, kept ---

def keep_idle(daemon, origin, order):
    """As many connections as there are names in `order`, the first made the first to have its answer: their numbers, in that order."""
    gates = {name: Gate() for name in order}
    clients = {}
    for name, gate in gates.items():
        origin.script(f"/{name}", gate, answer(200))
        clients[name] = daemon.connect().send(request_bytes("GET", f"/{name}"))
        wait_until(lambda gate=gate: gate.waiting)
    for name in reversed(order):
        gates[name].open()
        assert clients[name].read_response().status == 200
        clients[name].close()
    return [origin.seen(f"/{name}")[0].connection for name in order]


def used_for(daemon, origin, path):
    assert daemon.get(path).status == 200
    return origin.seen(path)[-1].connection


def test_the_kept_connection_used_last_is_used_next(serve, origin):
    daemon = serve(origin, workers=1)
    last, before, first = keep_idle(daemon, origin, ["a", "b", "c"])
    assert len({last, before, first}) == 3
    assert [used_for(daemon, origin, "/again") for _ in range(3)] == [last] * 3
    gate = Gate()
    origin.script("/wait", gate, answer(200))
    with daemon.connect() as busy:
        busy.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        assert used_for(daemon, origin, "/beside") == before
        gate.open()
        assert busy.read_response().status == 200
    assert origin.seen("/wait")[0].connection == last
    origin.script("/end", answer(200, b"", [("Connection", "close")]))
    assert [used_for(daemon, origin, "/end") for _ in range(3)] == [last, before, first]
    assert used_for(daemon, origin, "/again") not in (last, before, first)


def test_kept_connections_close_when_their_endpoint_is_gone(serve, make_origin):
    old, new = make_origin("old"), make_origin("new")
    daemon = serve(old, workers=1)
    keep_idle(daemon, old, ["a", "b", "c"])
    daemon.settings["pools"][0]["endpoints"][0]["address"] = new.url
    daemon.write()
    assert daemon.reload().returncode == 0
    wait_until(lambda: not old.open)
    assert daemon.get().body == b"new\n"


# --- stopping ---

def test_stop_does_not_wait_for_a_probe(serve, peer):
    """One that nobody answers; it would last longer than we wait."""
    monitors = [{"name": "slow", "type": "http", "interval": "90s", "timeout": "60s"}]
    daemon = serve(peer, pool={"monitors": ["slow"]}, monitors=monitors, timeouts={"shutdown": "60s"})
    peer.accept_request()
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0


def test_stop_answers_what_has_begun_and_ends_what_is_idle(serve, origin):
    daemon = serve(origin)
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with daemon.connect() as idle, daemon.connect() as busy:
        assert idle.request().status == 200
        busy.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        daemon.signal(signal.SIGTERM)
        assert idle.ended()
        gate.open()
        response = busy.read_response()
        assert response.body == b"ok" and response.get("Connection") == "close"
        assert busy.ended()
    assert daemon.ended() == 0
