"""Drain and stop: new requests go elsewhere, those under way end in peace."""

import signal
import subprocess

import pytest
from client import WEBSOCKET, Cut, Load, request_bytes, wait_until
from daemon import IN_ORDER, PENSTOCK
from origin import Gate, answer


@pytest.fixture
def pair(make_origin):
    return make_origin("one"), make_origin("two")


def test_drained_endpoint_gets_nothing_new(serve, pair):
    daemon = serve(*pair)
    with Load(daemon.connect, rate=200) as load:
        load.wait_for_more(50)
        assert daemon.cli("endpoint", "drain", "pool/one").returncode == 0
        load.wait_for_more(20)
        before = load.bodies.get(b"one\n", 0)
        load.wait_for_more(100)
        assert load.bodies.get(b"one\n", 0) == before
    assert not load.failures


def test_wait_returns_once_nothing_is_in_flight(serve, pair):
    one, _ = pair
    daemon = serve(*pair, pool=IN_ORDER)
    gate = Gate()
    one.script("/wait", gate, answer(200, b"done"))
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        command = subprocess.Popen([PENSTOCK, "endpoint", "drain", "pool/one", "--wait", "1m", "--admin", daemon.admin_socket])
        wait_until(lambda: daemon.endpoint("pool/one")["state"] == "drained")
        assert daemon.get().body == b"two\n"
        assert command.poll() is None
        gate.open()
        assert connection.read_response().body == b"done"
        assert command.wait(20) == 0


def test_wait_gives_up_in_the_end(serve, pair):
    one, _ = pair
    daemon = serve(*pair, pool=IN_ORDER)
    gate = Gate()
    one.script("/wait", gate, answer(200, b"done"))
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        assert daemon.cli("endpoint", "drain", "pool/one", "--wait", "500ms").returncode == 1
        gate.open()
        assert connection.read_response().body == b"done"


def test_drain_survives_a_reload_and_enable_lifts_it(serve, pair):
    daemon = serve(*pair, pool={"endpoint_steering": {"policy": "off", "failback_delay": "0s"}})
    assert daemon.cli("endpoint", "drain", "pool/one").returncode == 0
    assert daemon.reload().returncode == 0
    assert daemon.get().body == b"two\n"
    assert daemon.cli("endpoint", "enable", "pool/one").returncode == 0
    wait_until(lambda: daemon.get().body == b"one\n")


def test_requests_under_way_end_when_the_daemon_stops(serve, origin):
    daemon = serve(origin, timeouts={"shutdown": "20s"})
    gate = Gate()
    origin.script("/wait", gate, answer(200, b"done"))
    connection = daemon.connect().send(request_bytes("GET", "/wait"))
    wait_until(lambda: gate.waiting)
    daemon.signal(signal.SIGTERM)
    wait_until(daemon.refuses, what="no new connections")
    assert daemon.process.poll() is None
    gate.open()
    response = connection.read_response()
    assert response.body == b"done"
    assert daemon.ended() == 0


def test_upload_under_way_ends_when_the_daemon_stops(serve, origin):
    daemon = serve(origin, timeouts={"shutdown": "20s"})
    connection = daemon.connect().send(request_bytes("POST", "/echo", [("Content-Length", 10)]) + b"half ")
    wait_until(lambda: origin.requests)
    daemon.signal(signal.SIGTERM)
    wait_until(daemon.refuses)
    connection.send(b"whole")
    assert connection.read_response().json()["body_length"] == 10
    assert daemon.ended() == 0


def test_second_signal_ends_it_at_once(serve, origin):
    daemon = serve(origin, timeouts={"shutdown": "60s"})
    gate = Gate()
    origin.script("/wait", gate)
    connection = daemon.connect().send(request_bytes("GET", "/wait"))
    wait_until(lambda: gate.waiting)
    daemon.signal(signal.SIGTERM)
    wait_until(daemon.refuses)
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    with pytest.raises(Cut):
        connection.read_response()


def test_websockets_have_their_own_time(serve, origin):
    daemon = serve(origin, timeouts={"shutdown": "200ms", "upgrade_shutdown": "30s"})
    connection = daemon.connect()
    assert connection.request("GET", "/ws", WEBSOCKET).status == 101
    daemon.signal(signal.SIGTERM)
    wait_until(daemon.refuses)
    with pytest.raises(subprocess.TimeoutExpired):
        daemon.process.wait(1)
    connection.send(b"still here")
    assert connection.read_exactly(10) == b"still here"
    connection.close()
    assert daemon.ended() == 0
