"""Each timeout exists and acts; a request within it is not touched."""

import signal
import socket
import time

import pytest
from client import WEBSOCKET, Cut, request_bytes, wait_until
from origin import HANG, Gate, Pause

SHORT = "400ms"


def test_client_header(serve, origin):
    daemon = serve(origin, timeouts={"client_header": SHORT})
    with daemon.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: app.te")
        assert connection.read_response().status == 408
        assert connection.ended()


def test_client_header_is_absolute(serve, origin):
    """A byte now and then does not extend it."""
    daemon = serve(origin, timeouts={"client_header": SHORT})
    with daemon.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\n")
        status = None
        for _ in range(600):
            try:
                connection.send(b"X")
                connection.socket.settimeout(0.05)
                status = connection.read_response().status
                break
            except TimeoutError:
                continue
            except (Cut, OSError):
                break
        else:
            pytest.fail("still waiting for the head")
        assert status in (408, None)


def test_connection_without_a_byte_is_closed(serve, origin):
    daemon = serve(origin, timeouts={"client_header": SHORT, "client_idle": SHORT})
    with daemon.connect() as connection:
        assert connection.ended()


def test_client_body(serve, origin):
    daemon = serve(origin, timeouts={"client_body": SHORT})
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/echo", [("Content-Length", 100)]) + b"half")
        assert connection.read_response().status == 408
        assert connection.ended()


def test_body_that_only_trickles(serve, origin):
    """Each byte comes in time, but 1 kB a second is the least after the first while."""
    daemon = serve(origin, timeouts={"client_body": SHORT})
    with daemon.connect() as connection:
        connection.send(request_bytes("POST", "/echo", [("Content-Length", 100_000)]))
        connection.socket.settimeout(0.05)
        for _ in range(400):
            try:
                connection.send(b"x")
                response = connection.read_response()
                break
            except TimeoutError:
                continue
        assert response.status == 408


def test_client_idle(serve, origin):
    daemon = serve(origin, timeouts={"client_idle": SHORT})
    with daemon.connect() as connection:
        assert connection.request().status == 200
        assert connection.ended()


def test_client_handshake(serve, origin, authority):
    cert, key = authority.issue("app.test")
    daemon = serve(origin, timeouts={"client_handshake": SHORT})
    daemon.write(listeners=[{"address": daemon.address, "tls": {"certificates": [{"cert": cert, "key": key}]}}])
    daemon.stop()
    daemon.start()
    with daemon.connect() as connection:
        connection.send(b"\x16\x03\x01\x02\x00")
        assert connection.ended()


def test_connect(serve, make_origin):
    """An address that takes no part in a handshake: its backlog is full."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        daemon = serve({"name": "deaf", "address": f"http://127.0.0.1:{port}"}, timeouts={"connect": SHORT},
                       lb={"failover": {"retries": 0}})
        assert daemon.get().status in (502, 503, 504)
        other = make_origin("other")
        daemon.write(pools=[{"name": "pool", "monitors": [], "endpoint_steering": {"policy": "off"}, "endpoints": [
            {"name": "deaf", "address": f"http://127.0.0.1:{port}"}, {"name": "other", "address": other.url}]}],
            load_balancers=[{"hostnames": ["*"], "default_pools": ["pool"]}])
        assert daemon.reload().returncode == 0
        assert daemon.get().body == b"other\n"
        for filler in fillers:
            filler.close()


def test_handshake_with_an_endpoint(serve, background):
    """TCP answers, TLS does not."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        daemon = serve({"name": "silent", "address": f"https://127.0.0.1:{silent.getsockname()[1]}"}, timeouts={"handshake": SHORT},
                       lb={"failover": {"retries": 0}})
        assert daemon.get().status in (502, 503, 504)


def test_response_header(serve, origin):
    daemon = serve(origin, timeouts={"response_header": SHORT})
    origin.script("/hang", HANG)
    with daemon.connect() as connection:
        assert connection.request("POST", "/hang", body=b"x").status == 504
        assert connection.request("GET", "/").status == 200


def test_response_header_is_absolute(serve, origin):
    daemon = serve(origin, timeouts={"response_header": SHORT})
    origin.script("/drip", *(step for byte in b"HTTP/1.1 200 OK\r\nX-Long-Enough-To-Outlast-It: y"
                             for step in (bytes([byte]), Pause(0.1))), HANG)
    assert daemon.request("POST", "/drip", body=b"x").status == 504


def test_response_idle(serve, origin):
    daemon = serve(origin, timeouts={"response_idle": SHORT})
    origin.script("/stall", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", HANG)
    with daemon.connect() as connection, pytest.raises(Cut):
        connection.request("GET", "/stall")
    assert daemon.get("/slow/5/0.1").body == b".....", "as long as something comes it goes on"


def test_upgrade_idle(serve, origin):
    daemon = serve(origin, timeouts={"upgrade_idle": "1s"})
    with daemon.connect() as connection:
        assert connection.request("GET", "/ws", WEBSOCKET).status == 101
        connection.send(b"x")
        assert connection.read_exactly(1) == b"x"
        assert connection.ended()


def test_queue(serve, origin):
    daemon = serve({"name": "origin", "address": origin.url, "max_in_flight": 1}, timeouts={"queue": SHORT})
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with daemon.connect() as first:
        first.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        response = daemon.get()
        assert response.status == 503 and response.get("Retry-After")
        gate.open()
        assert first.read_response().status == 200


def test_queued_request_goes_on_when_there_is_room(serve, origin):
    daemon = serve({"name": "origin", "address": origin.url, "max_in_flight": 1})
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with daemon.connect() as first, daemon.connect() as second:
        first.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        second.send(request_bytes("GET", "/"))
        time.sleep(0.1)
        assert not origin.seen("/")
        gate.open()
        assert first.read_response().status == 200
        assert second.read_response().body == b"origin\n"


def test_shutdown(serve, origin):
    """What is still under way after it is cut."""
    daemon = serve(origin, timeouts={"shutdown": SHORT})
    gate = Gate()
    origin.script("/wait", gate)
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0
        with pytest.raises(Cut):
            connection.read_response()


def test_total(serve, origin):
    """A response that always moves on, but never ends."""
    daemon = serve(origin, timeouts={"total": SHORT})
    with daemon.connect() as connection, pytest.raises(Cut):
        connection.request("GET", "/slow/100/0.05")
    origin.script("/hang", HANG)
    assert daemon.request("POST", "/hang", body=b"x").status == 504


def test_client_that_only_stops_sending_is_answered(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/delay/0.3"))
        connection.finish_sending()
        assert connection.read_response().body == b"origin\n"
        assert connection.ended()


def test_client_abort(serve, origin):
    """But not for ever: it may be gone."""
    daemon = serve(origin, timeouts={"client_abort": SHORT})
    gate = Gate()
    origin.script("/wait", gate)
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        connection.finish_sending()
        wait_until(lambda: daemon.endpoint("pool/origin")["in_flight"] == 0)
        with pytest.raises(Cut):
            connection.read_response()


def test_per_load_balancer(serve, origin):
    daemon = serve(origin, lb={"timeouts": {"response_header": SHORT}})
    origin.script("/hang", HANG)
    assert daemon.request("POST", "/hang", body=b"x").status == 504
