"""Between the connectors of a tunnel: every policy, with weights, drains and evictions of single connectors."""

import collections
import socket
import threading

import pytest
from client import request_bytes, wait_until
from origin import Gate, answer
from test_geo import make_database
from tunnels import CONNECTIONS, WORKERS

NAMES = ("a", "b", "c")


@pytest.fixture
def steered(make_edge, make_origin):
    """A tunnel with three connectors, each with an origin of its name."""
    def make(policy, workers=1, **more):
        edge = make_edge(workers=workers, edge={"replica_steering": policy}, trusted_proxies=["127.0.0.0/8"], **more)
        edge.origins = {name: make_origin(name) for name in NAMES}
        edge.by_name = {name: edge.connect(url=edge.origins[name].url) for name in NAMES}
        return edge
    return make


def who(edge, client="192.0.2.1", **headers):
    answered = edge.daemon.get("/", headers=[("X-Forwarded-For", client), *((n.replace("_", "-"), v) for n, v in headers.items())])
    assert answered.status == 200
    return answered.body.decode().strip()


def shares(edge, count):
    """Of that many clients', each on a connection of its own so that all workers have some."""
    return collections.Counter(who(edge, f"192.0.2.{i % 250}", X_Session=str(i)) for i in range(count))


def of_connector(edge, name, *command):
    result = edge.daemon.cli("tunnel", command[0], "ams", *command[1:], "--connector", edge.by_name[name].id)
    assert result.returncode in (0, 1) if command[0] == "evict" else result.returncode == 0, result.stderr  # 1: it cut requests
    # What is said takes effect on all workers with the next request of each.


POLICIES = ["least_outstanding_requests", "random", "round_robin", "nearest", {"policy": "hash", "key": "header:X-Session"}]
ALL = pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p if isinstance(p, str) else p["policy"])


@WORKERS
@ALL
def test_weight(steered, workers, policy):
    """By weight where the policy has nothing else to go by; nothing at weight 0."""
    edge = steered(policy, workers)
    of_connector(edge, "a", "weight", "4")
    of_connector(edge, "c", "weight", "0")
    counts = shares(edge, 200)
    assert counts["c"] == 0
    if policy == "nearest":  # nobody's place is known: all are as near, and weights part them
        assert counts["a"] > counts["b"]
    else:
        assert 130 <= counts["a"] <= 185
    of_connector(edge, "c", "weight", "4")
    assert shares(edge, 60)["c"] > 10


@WORKERS
@ALL
def test_drain(steered, workers, policy):
    edge = steered(policy, workers)
    counts = shares(edge, 150)
    assert all(20 <= counts[name] <= 80 for name in NAMES), counts
    of_connector(edge, "b", "drain")
    counts = shares(edge, 60)
    assert counts["b"] == 0 and counts["a"] and counts["c"]
    of_connector(edge, "a", "drain")
    assert shares(edge, 20) == {"c": 20}
    of_connector(edge, "b", "undrain")
    assert set(shares(edge, 60)) == {"b", "c"}
    of_connector(edge, "a", "undrain")
    assert set(shares(edge, 60)) == set(NAMES)


@WORKERS
@ALL
def test_evict(steered, workers, policy):
    """Its connections end, the others have what it had; it dials in again, and gets nothing until it is let back in."""
    edge = steered(policy, workers)
    before = {line["id"] for line in edge.lines()}
    of_connector(edge, "b", "evict")
    assert shares(edge, 30)["b"] == 0
    wait_until(lambda: len({line["id"] for line in edge.lines()} - before) == CONNECTIONS)
    assert edge.tunnel()["connections"] == len(NAMES) * CONNECTIONS
    assert shares(edge, 30)["b"] == 0, "it is remembered by its id"
    of_connector(edge, "b", "undrain")
    assert set(shares(edge, 60)) == set(NAMES)


def test_round_robin_in_turn(steered):
    edge = steered("round_robin")
    assert shares(edge, 30) == {"a": 10, "b": 10, "c": 10}
    of_connector(edge, "a", "weight", "2")
    assert shares(edge, 40) == {"a": 20, "b": 10, "c": 10}


@WORKERS
def test_hash_keeps_what_it_can(steered, workers):
    """The same session goes to the same connector on every worker; who is drained loses its own sessions, and nobody else's move."""
    edge = steered({"policy": "hash", "key": "header:X-Session"}, workers)
    def homes():
        return {i: who(edge, X_Session=str(i)) for i in range(60)}
    before = homes()
    assert set(before.values()) == set(NAMES)
    assert homes() == before
    of_connector(edge, "b", "drain")
    during = homes()
    assert "b" not in during.values()
    assert all(during[i] == before[i] for i in before if before[i] != "b")
    of_connector(edge, "b", "undrain")
    assert homes() == before


@WORKERS
def test_hash_by_the_clients_address(steered, workers):
    edge = steered("hash", workers)
    clients = [f"192.0.2.{i}" for i in range(40)]
    before = {client: who(edge, client) for client in clients}
    assert set(before.values()) == set(NAMES)
    assert {client: who(edge, client) for client in clients} == before


@WORKERS
def test_least_outstanding(steered, workers):
    """Requests that wait fill all connectors alike, by weight; new ones go where the fewest do."""
    edge = steered("least_outstanding_requests", workers)
    of_connector(edge, "a", "weight", "2")
    gate = Gate()
    for origin in edge.origins.values():
        origin.script("/wait", gate, answer(200, b""))
    waiting = []
    for n in range(1, 17):
        waiting.append(edge.daemon.connect().send(request_bytes("GET", "/wait")))
        wait_until(lambda: gate.waiting == n)
    counts = {name: len(origin.seen("/wait")) for name, origin in edge.origins.items()}
    assert counts == {"a": 8, "b": 4, "c": 4}
    gate.open()
    for connection in waiting:
        assert connection.read_response().status == 200


class From:
    """Passes connections on from an address of its own."""

    def __init__(self, source, target):
        self.source, self.target = source, target.rsplit(":", 1)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.server.accept()
                far = socket.create_connection((self.target[0], int(self.target[1])), source_address=(self.source, 0))
            except OSError:
                return
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    @staticmethod
    def pass_on(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        other.close()

    def close(self):
        self.server.close()


PLACES = """127.0.21.0/24 DE - 52.5 13.4
127.0.22.0/24 US CA 37.7 -122.4
127.0.23.0/24 AU - -33.9 151.2
192.0.2.0/24 FR - 48.8 2.3
198.51.100.0/24 CA BC 49.2 -123.1
203.0.113.0/24 NZ - -36.8 174.7
"""
NEAREST = {"192.0.2.7": "a", "198.51.100.7": "b", "203.0.113.7": "c"}


@WORKERS
def test_nearest(make_edge, make_origin, folder, workers):
    edge = make_edge(workers=workers, edge={"replica_steering": "nearest"}, trusted_proxies=["127.0.0.0/8"],
                     geoip={"database": make_database(folder / "places.mmdb", PLACES)})
    edge.origins, edge.by_name = {name: make_origin(name) for name in NAMES}, {}
    direct, ways = edge.addresses, []
    for number, name in enumerate(NAMES, 21):
        ways += [From(f"127.0.{number}.1", address) for address in direct]
        edge.addresses = [way.address for way in ways[-2:]]
        edge.by_name[name] = edge.connect(url=edge.origins[name].url)
    for client, name in NEAREST.items():
        assert {who(edge, client) for _ in range(12)} == {name}
    of_connector(edge, "a", "drain")
    assert who(edge, "192.0.2.7") == "b" and who(edge, "203.0.113.7") == "c"
    of_connector(edge, "a", "undrain")
    of_connector(edge, "a", "weight", "0")
    assert who(edge, "192.0.2.7") == "b"
    of_connector(edge, "a", "weight", "1")
    assert who(edge, "192.0.2.7") == "a"
    edge.by_name["a"].kill()
    wait_until(lambda: len(edge.lines()) == 2 * CONNECTIONS)
    assert who(edge, "192.0.2.7") == "b"
    for way in ways:
        way.close()
