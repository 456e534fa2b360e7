"""Limits: each has a clear answer and holds for the next request too."""

import resource
import time
from pathlib import Path

from client import Cut, Load, chunked, request_bytes, wait_until
from daemon import IN_ORDER
from origin import Gate, content


def test_header_size(serve, origin):
    daemon = serve(origin, limits={"header_size": "8k"})
    assert daemon.request("GET", "/", [("X", "x" * 7000)]).status == 200
    assert daemon.request("GET", "/", [("X", "x" * 9000)]).status == 431
    assert daemon.request("GET", "/" + "x" * 9000).status in (414, 431)


def test_header_count(serve, origin):
    daemon = serve(origin, limits={"header_count": 10})
    assert daemon.request("GET", "/", [(f"X-{n}", "y") for n in range(9)]).status == 200
    assert daemon.request("GET", "/", [(f"X-{n}", "y") for n in range(10)]).status == 431


def test_default_takes_a_large_head(serve, origin):
    daemon = serve(origin)
    assert daemon.request("GET", "/echo", [("Cookie", "c=" + "x" * 30_000)]).status == 200
    origin.script("/x", b"HTTP/1.1 200 OK\r\nX-Large: " + b"y" * 30_000 + b"\r\nContent-Length: 0\r\n\r\n")
    assert len(daemon.get("/x").get("X-Large")) == 30_000


def test_body_size_by_length(serve, origin):
    daemon = serve(origin, limits={"body_size": "1k"})
    assert daemon.request("POST", "/echo", body=content(1024)).status == 200
    with daemon.connect() as connection:
        assert connection.request("POST", "/echo", [("Content-Length", 1025)]).status == 413
    assert len(origin.requests) == 1


def test_body_size_by_chunks(serve, origin):
    daemon = serve(origin, limits={"body_size": "1k"})
    head = b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert daemon.exchange(head + chunked(content(1000))).status == 200
    assert daemon.exchange(head + chunked(content(1000), content(1000))).status == 413
    assert sum(request.body_whole for request in origin.requests) == 1


def test_connections(serve, origin):
    daemon = serve(origin, limits={"connections": 10})
    held = []
    for _ in range(10):
        held.append(daemon.connect())
        assert held[-1].request().status == 200
    assert refused(daemon)
    held.pop().close()
    wait_until(lambda: daemon.get().status == 200, what="there is room again")
    for connection in held:
        assert connection.request().status == 200
        connection.close()


def test_connections_per_client(serve, origin):
    daemon = serve(origin, limits={"connections_per_client": 3})
    held = [daemon.connect() for _ in range(3)]
    assert all(connection.request().status == 200 for connection in held)
    assert refused(daemon)
    with daemon.connect(source=("127.0.0.2", 0)) as other:
        assert other.request().status == 200
    held.pop().close()
    wait_until(lambda: daemon.get().status == 200, what="there is room again")


def refused(daemon):
    """Closed without an answer, or a 503."""
    try:
        return daemon.get().status in (429, 503)
    except (Cut, OSError):
        return True


def test_out_of_file_descriptors(serve, origin):
    """It waits until there are some again, and says so."""
    daemon = serve(origin)
    assert daemon.get().status == 200
    used = len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used + 10, used + 10))
    crowd = [daemon.connect() for _ in range(30)]
    wait_until(lambda: "open files" in daemon.log)
    for connection in crowd:
        connection.close()
    wait_until(lambda: daemon.get().status == 200)
    assert daemon.admin("GET", "/livez").status == 200


def test_per_load_balancer(serve, make_origin):
    origin = make_origin("o")
    daemon = serve(settings={"pools": [{"name": "p", "monitors": [], "endpoints": [{"name": "o", "address": origin.url}]}],
                             "load_balancers": [{"hostnames": ["small.test"], "limits": {"body_size": "10"}, "default_pools": ["p"]},
                                                {"hostnames": ["*"], "default_pools": ["p"]}]})
    assert daemon.request("POST", "/echo", body=b"x" * 11, host="small.test").status == 413
    assert daemon.request("POST", "/echo", body=b"x" * 11, host="large.test").status == 200


def test_requests_per_client_connection_end_in_order(serve, origin):
    """Keep-alive ends with an announced close, never with a cut."""
    daemon = serve(origin)
    served = 0
    with daemon.connect() as connection:
        while served < 1200:
            response = connection.request()
            assert response.status == 200
            served += 1
            if response.get("Connection") == "close":
                assert connection.ended()
                break
    assert 900 <= served <= 1001 or served == 1200


def test_connection_age(serve, origin):
    daemon = serve(origin, limits={"connection_age": "300ms"})
    with daemon.connect() as connection:
        for _ in range(1000):
            response = connection.request("GET", "/delay/0.05")
            assert response.status == 200
            if response.get("Connection") == "close":
                break
        assert connection.ended()


def test_requests_per_connection(serve, origin):
    daemon = serve(origin, limits={"requests_per_connection": 3})
    with daemon.connect() as connection:
        assert [connection.request().get("Connection") for _ in range(3)] == [None, None, "close"]
        assert connection.ended()


def test_max_in_flight_spills_to_the_next_endpoint(serve, make_origin):
    first, second = make_origin("first"), make_origin("second")
    daemon = serve({"name": "first", "address": first.url, "max_in_flight": 1}, second, pool=IN_ORDER)
    gate = Gate()
    first.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        assert daemon.get().body == b"second\n"
        gate.open()
        assert connection.read_response().status == 200
    wait_until(lambda: daemon.get().body == b"first\n")


def test_failed_request_waits_for_room_at_the_next_endpoint(serve, make_origin):
    """Nothing of it was sent: that the only other endpoint is full for now is no reason to give up."""
    first, second = make_origin("first"), make_origin("second")
    daemon = serve(first, {"name": "second", "address": second.url, "max_in_flight": 1}, pool={"endpoint_steering": {"policy": "off"}})
    gate = Gate()
    second.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    first.kill()
    with daemon.connect() as holds, daemon.connect() as waits:
        holds.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        waits.send(request_bytes("POST", "/", body=b"x"))
        wait_until(lambda: daemon.endpoint("pool/first")["state"] and daemon.metric("penstock_retries_total") >= 2)
        gate.open()
        assert holds.read_response().status == 200
        assert waits.read_response().body == b"second\n"


def test_refused_connections_are_counted(serve, origin):
    daemon = serve(origin, limits={"connections_per_client": 1})
    with daemon.connect() as held:
        assert held.request().status == 200
        for _ in range(3):
            assert refused(daemon)
        assert daemon.metric("penstock_client_connections_refused_total") == 3
        assert daemon.metric('penstock_failures_total{reason="limit"}') == 3
        assert held.request().status == 200, "the one within the limit is not touched"


def test_limits_hold_over_all_workers_and_after_a_reload(serve, origin):
    daemon = serve(origin, limits={"connections": 4}, workers=4)
    held = [daemon.connect() for _ in range(4)]
    assert all(connection.request().status == 200 for connection in held)
    assert refused(daemon)
    daemon.write(limits={"connections": 5})
    assert daemon.reload().returncode == 0
    wait_until(lambda: daemon.get().status == 200, what="the new limit holds")
    daemon.write(limits={"connections": 2})
    assert daemon.reload().returncode == 0
    wait_until(lambda: refused(daemon))
    for connection in held:
        assert connection.request().status == 200, "who is in stays"
        connection.close()
    wait_until(lambda: daemon.get().status == 200, what="there is room again")


def test_queue_is_served_in_order(serve, origin):
    """Also where requests keep coming meanwhile."""
    daemon = serve({"name": "origin", "address": origin.url, "max_in_flight": 1}, workers=1)
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with daemon.connect() as first:
        first.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        queued = [daemon.connect() for _ in range(20)]
        for n, connection in enumerate(queued):
            connection.send(request_bytes("GET", f"/queued/{n}"))
            wait_until(lambda: daemon.metric("penstock_requests_in_flight") == n + 2)
        with Load(daemon.connect, rate=400, threads=8, target="/later") as load:
            time.sleep(0.2)
            gate.open()
            assert first.read_response().status == 200
            assert all(connection.read_response().status == 200 for connection in queued)
            load.wait_for_more(100)
        assert not load.failures
    served = [request.path for request in origin.requests]
    assert [path for path in served if path.startswith("/queued/")] == [f"/queued/{n}" for n in range(20)]
    assert "/later" not in served[:served.index("/queued/19")]
