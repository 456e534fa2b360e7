"""The edge over time: penstock stops and reloads under load, connectors are drained and weighted, and monitors find the connections that carry
nothing."""

import signal

import pytest
from client import Load, chunked, request_bytes, wait_until
from daemon import monitor
from origin import Gate
from tunnels import CONNECTIONS, KINDS, PROMPT_HEAD, WORKERS

BY_LINES = {"monitors": ["app"]}


@WORKERS
@KINDS
def test_stop_finishes_what_runs(make_edge, origin, workers, kind):
    edge = make_edge(workers=workers, timeouts={"shutdown": "10s"})
    one = edge.connect(kind=kind, connections=2, url=origin.url)
    gate = Gate()
    origin.script("/slow", PROMPT_HEAD, chunked(b"before", end=b""), gate, chunked(b"after"))
    running = [edge.daemon.connect() for _ in range(8)]
    for connection in running:
        connection.send(request_bytes("GET", "/slow"))
        connection.read_until(b"before\r\n")
    waiting = [edge.daemon.connect() for _ in range(4)]
    for connection in waiting:
        connection.send(request_bytes("POST", "/delay/1", body=b"x"))
    wait_until(lambda: len(origin.seen("/delay/1")) == 4)
    edge.daemon.signal(signal.SIGTERM)
    wait_until(edge.daemon.refuses)
    for connection in waiting:
        assert connection.read_response().status == 200
    gate.open()
    for connection in running:
        assert connection.read_until(b"0\r\n\r\n").endswith(b"after\r\n0\r\n\r\n")
    assert edge.daemon.ended() == 0
    assert one.process.poll() is None


@WORKERS
def test_stop_under_load(make_edge, origin, workers):
    """Whatever began is finished; whoever came too late was refused, not cut."""
    edge = make_edge(workers=workers)
    edge.connect(url=origin.url)
    with Load(edge.daemon.connect, request=lambda c: c.request("GET", "/bytes/20000", [("Connection", "close")])) as load:
        load.wait_for_more(200)
        edge.daemon.signal(signal.SIGTERM)
        assert edge.daemon.ended() == 0
    too_late = ("Connection refused", "Connection reset")  # not accepted yet
    assert [failure for failure in load.failures if not any(words in failure for words in too_late)] == []


@WORKERS
@KINDS
def test_connectors_come_back_after_a_restart(make_edge, origin, workers, kind):
    edge = make_edge(workers=workers)
    one = edge.connect(kind=kind, connections=2, url=origin.url)
    edge.daemon.stop()
    edge.daemon.start()
    wait_until(lambda: edge.tunnel()["connections"] == 2, 60)
    assert edge.daemon.get().status == 200 and one.process.poll() is None


@WORKERS
@KINDS
def test_reloads_under_load(make_edge, origin, workers, kind):
    """The connections stay, through new settings of the edge, and nothing is lost."""
    edge = make_edge(workers=workers)
    edge.connect(kind=kind, connections=2, url=origin.url)
    before = {line["id"] for line in edge.lines()}
    with Load(edge.daemon.connect) as load:
        for n in range(6):
            load.wait_for_more(30)
            edge.daemon.write(edge={"location": f"test{n}", "replica_steering": ["random", "round_robin"][n % 2]})
            assert edge.daemon.reload().returncode == 0
    assert load.failures == []
    assert {line["id"] for line in edge.lines()} == before


@WORKERS
def test_tunnels_leave_the_configuration_and_come_back(make_edge, origin, workers):
    """A tunnel that leaves the configuration takes its connections with it, and gets them back."""
    edge = make_edge("ams", "fra", workers=workers)
    edge.connect("ams", url=origin.url)
    edge.connect("fra", url=origin.url)
    tunnels = edge.daemon.settings["edge"]["tunnels"]
    pools = edge.daemon.settings["pools"]
    with Load(edge.daemon.connect) as load:
        load.wait_for_more(50)
        edge.daemon.write(edge={"tunnels": tunnels[:1]}, pools=[{**pools[0], "endpoints": pools[0]["endpoints"][:1]}])
        assert edge.daemon.reload().returncode == 0
        wait_until(lambda: edge.daemon.admin("GET", "/v1/tunnels/fra").status == 404)
        load.wait_for_more(50)
        edge.daemon.write(edge={"tunnels": tunnels}, pools=pools)
        assert edge.daemon.reload().returncode == 0
        wait_until(lambda: edge.tunnel("fra")["connections"] == CONNECTIONS)
        load.wait_for_more(50)
    assert load.failures == []


def requests_of(connector):
    return connector.status()["requests"]


@WORKERS
def test_a_drained_connector_gets_nothing_new(make_edge, origin, workers):
    edge = make_edge(workers=workers)
    drained, other = (edge.connect(url=origin.url) for _ in range(2))
    with Load(edge.daemon.connect) as before:
        before.wait_for_more(50)
        assert edge.daemon.cli("tunnel", "drain", "ams", "--connector", drained.id).returncode == 0
        before.wait_for_more(20)
    seen, others = requests_of(drained), requests_of(other)  # between loads nothing is under way
    with Load(edge.daemon.connect) as during:
        during.wait_for_more(100)
    assert requests_of(drained) == seen and requests_of(other) >= others + 100
    assert edge.daemon.cli("tunnel", "undrain", "ams", "--connector", drained.id).returncode == 0
    with Load(edge.daemon.connect) as after:
        after.wait_for_more(100)
    assert requests_of(drained) > seen + 10
    assert before.failures + during.failures + after.failures == []


def test_drained_connectors_are_no_missing_ones(make_edge, origin):
    """What is said of a tunnel all of whose connectors the operator drained, or gave no weight, and of one that lost them."""
    edge = make_edge("ams", "fra")
    first, _ = edge.connect("ams", url=origin.url), edge.connect("fra", url=origin.url)

    def wait_for(of_pool, of_endpoint):
        wait_until(lambda: of_pool in edge.daemon.pool("pool")["reason"] and of_endpoint in edge.daemon.endpoint("pool/ams")["reason"])

    warnings = len(edge.daemon.events("?type=endpoint.unhealthy"))  # of the start
    assert edge.daemon.cli("tunnel", "drain", "ams").returncode == 0
    wait_for("1 of 2 endpoints usable, 1 whose connectors are drained or of weight 0", "the operator drained them")
    wait_until(lambda: [e["severity"] for e in edge.daemon.events("?type=endpoint.drained")] == ["info"])  # nobody is woken for it
    assert len(edge.daemon.events("?type=endpoint.unhealthy")) == warnings
    assert edge.daemon.cli("tunnel", "undrain", "ams").returncode == 0
    wait_for("2 of 2 endpoints usable", "healthy")
    assert edge.daemon.cli("tunnel", "weight", "ams", "--connector", first.id, "0").returncode == 0
    wait_for("1 whose connectors are drained or of weight 0", "or gave them weight 0")
    first.kill()
    wait_for("1 of 2 endpoints usable, 1 without a connector", "no connector is connected")


@WORKERS
def test_a_drained_tunnel_gets_nothing_new(make_edge, origin, workers):
    edge = make_edge("ams", "fra", workers=workers)
    drained, other = (edge.connect(name, url=origin.url) for name in ("ams", "fra"))
    with Load(edge.daemon.connect) as before:
        before.wait_for_more(50)
        assert edge.daemon.cli("endpoint", "drain", "pool/ams").returncode == 0
        before.wait_for_more(20)
    seen, others = requests_of(drained), requests_of(other)  # between loads nothing is under way
    with Load(edge.daemon.connect) as during:
        during.wait_for_more(100)
    assert requests_of(drained) == seen and requests_of(other) >= others + 100
    assert before.failures + during.failures == []
    assert edge.tunnel("ams")["connections"] == CONNECTIONS, "its connections stay"


def test_weights_of_connectors(make_edge, origin):
    edge = make_edge(workers=1, edge={"replica_steering": "random"})
    light, heavy = (edge.connect(url=origin.url) for _ in range(2))
    assert edge.daemon.cli("tunnel", "weight", "ams", "3", "--connector", heavy.id).returncode == 0
    before = requests_of(light), requests_of(heavy)
    with edge.daemon.connect() as connection:
        for _ in range(400):
            assert connection.request().status == 200
    share = (requests_of(heavy) - before[1]) / 400
    assert requests_of(light) - before[0] + requests_of(heavy) - before[1] == 400
    assert 0.65 < share < 0.85


@WORKERS
def test_eviction(make_edge, origin, workers):
    edge = make_edge(workers=workers)
    gone, other = (edge.connect(url=origin.url) for _ in range(2))
    with Load(edge.daemon.connect) as load:
        load.wait_for_more(50)
        assert edge.daemon.cli("tunnel", "evict", "ams", "--connector", gone.id).returncode in (0, 1)  # 1: it cut requests
        load.wait_for_more(50)
    assert load.failures == []
    assert other.status()["ready"] == CONNECTIONS


@WORKERS
def test_spread_over_all_connections(make_edge, origin, workers):
    edge = make_edge(workers=workers)
    two = [edge.connect(url=origin.url) for _ in range(2)]
    with Load(edge.daemon.connect, threads=16, target="/delay/0.05"):
        wait_until(lambda: all(c["requests"] > 5 for one in two for c in one.connections()))


@WORKERS
def test_monitors_take_out_connections_that_carry_nothing(make_edge, origin, workers):
    """The control stream and the PINGs of a silent connector live, its data does not."""
    edge = make_edge(workers=workers, pool=BY_LINES, monitors=[monitor(path="/healthz")])
    dead, other = (edge.connect(url=origin.url) for _ in range(2))
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["state"] == "healthy")
    dead.command("silent on")
    wait_until(lambda: [line["status"] for line in edge.lines()].count("sick") == CONNECTIONS, 60, edge.lines())
    seen = requests_of(other)
    with Load(edge.daemon.connect) as load:
        load.wait_for_more(100)
    assert load.failures == [] and requests_of(other) >= seen + 100
    dead.command("silent off")
    wait_until(lambda: [line["status"] for line in edge.lines()].count("usable") == 2 * CONNECTIONS, 60)
