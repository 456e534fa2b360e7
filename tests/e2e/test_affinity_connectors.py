"""Session affinity within a tunnel: who was answered by a connector goes there again, over whichever of its connections and whatever the replica
steering would say."""

import collections
import re

import pytest
from client import Browser, Load, wait_until
from daemon import monitor
from test_explain import explain, step
from tunnels import CONNECTIONS, KINDS, QUICK, STAND_IN, WORKERS

NAMES = ("a", "b", "c")


@pytest.fixture
def sticky(make_edge, make_origin):
    """A tunnel whose requests go to the connectors in turn, each with an origin of its name."""
    def make(workers=1, names=NAMES, kind=STAND_IN, tunnels=("ams",), affinity=None, lb=None, **more):
        edge = make_edge(*tunnels, workers=workers, edge={"replica_steering": "round_robin"},
                         lb={"session_affinity": {"type": "cookie", "level": "connector", **(affinity or {})}, **(lb or {})}, **more)
        edge.origins = {name: make_origin(name) for name in names}
        edge.by_name = {name: edge.connect(tunnels[i % len(tunnels)], kind=kind, connections=QUICK[kind], url=edge.origins[name].url)
                        for i, name in enumerate(names)}
        return edge
    return make


def at(edge, name, tries=60, **request):
    """A browser whose session is at that connector."""
    browser = Browser(edge.daemon, **request)
    for _ in range(tries):
        browser.cookie = None
        if browser.who() == name:
            return browser
    raise AssertionError(f"{name} was never chosen")


def connectors_of(edge, tunnel="ams"):
    return {connector["id"]: connector for connector in edge.connectors(tunnel)}


def goes(edge, name, tunnel="ams"):
    one = edge.by_name[name]
    identity = one.id
    one.kill()
    wait_until(lambda: identity not in connectors_of(edge, tunnel) or not connectors_of(edge, tunnel)[identity]["connections"])


def loses_its_connections(edge, name, command="cut"):
    one = edge.by_name[name]
    before = {line["id"] for line in edge.lines()}
    one.command(command)
    wait_until(lambda: len({line["id"] for line in edge.lines()} - before) >= CONNECTIONS)


@WORKERS
@KINDS
def test_a_session_stays(sticky, workers, kind):
    edge = sticky(workers, names=NAMES[:2], kind=kind)
    browsers = [at(edge, name) for name in NAMES[:2] for _ in range(2)]
    for browser, name in zip(browsers, "aabb"):
        assert re.fullmatch(r"penstock=[A-Za-z0-9+/]{56}; Path=/; Max-Age=82800; HttpOnly; SameSite=Lax", browser.set)
        assert browser.several(20) == {name: 20}
        assert browser.set is None


def test_without_the_level_connectors_take_turns(sticky):
    edge = sticky(affinity={"level": "endpoint"})
    browser = at(edge, "a")
    assert len(browser.cookie) == 44
    assert browser.several(30) == {"a": 10, "b": 10, "c": 10}
    assert browser.set is None


def test_a_cookie_of_before_is_a_session_of_its_endpoint(sticky):
    """The level changes with a reload: the session is the same, and gets the connector that answers it next."""
    edge = sticky(affinity={"level": "endpoint", "ttl": "1h"})
    browser = Browser(edge.daemon)
    browser.who()
    browser.set = None
    lb = edge.daemon.settings["load_balancers"][0]
    edge.daemon.write(load_balancers=[{**lb, "session_affinity": {"type": "cookie", "level": "connector", "ttl": "1h"}}])
    assert edge.daemon.reload().returncode == 0
    name = browser.who()
    assert browser.set and len(browser.cookie) == 56
    assert browser.several() == {name: 12}
    edge.daemon.write(load_balancers=[{**lb, "session_affinity": {"type": "cookie", "level": "endpoint", "ttl": "1h"}}])
    assert edge.daemon.reload().returncode == 0
    assert set(browser.several()) == set(NAMES)
    assert browser.set is None


@WORKERS
def test_a_session_outlives_a_reload_and_reconnecting(sticky, workers):
    edge = sticky(workers)
    browser = at(edge, "a")
    cookie = browser.cookie
    for command in ("cut", "goaway"):
        loses_its_connections(edge, "a", command)
        assert browser.several() == {"a": 12}
    edge.daemon.write(edge={"location": "test02"})
    assert edge.daemon.reload().returncode == 0
    assert browser.several() == {"a": 12}
    assert browser.cookie == cookie


@WORKERS
def test_one_lost_connection_moves_no_session(sticky, workers):
    edge = sticky(workers)
    browser = at(edge, "a")
    for index in range(CONNECTIONS - 1):
        edge.by_name["a"].command(f"cut {index}")
        assert browser.several(6) == {"a": 6}


@WORKERS
def test_sticky_moves(sticky, workers):
    edge = sticky(workers)
    browser = at(edge, "a")
    edge.by_name["a"].kill()
    moved_to = browser.who()
    assert moved_to != "a" and browser.set
    assert browser.several() == {moved_to: 12}


@WORKERS
def test_temporary_comes_back(sticky, workers):
    edge = sticky(workers, affinity={"failover": "temporary"})
    browser = at(edge, "a")
    cookie = browser.cookie
    one = edge.by_name["a"]
    assert edge.daemon.cli("tunnel", "drain", "ams", "--connector", one.id).returncode == 0
    wait_until(lambda: "a" not in browser.several(6))
    assert browser.cookie == cookie
    assert edge.daemon.cli("tunnel", "undrain", "ams", "--connector", one.id).returncode == 0
    wait_until(lambda: browser.who() == "a")
    assert browser.several() == {"a": 12} and browser.cookie == cookie


def test_temporary_comes_back_to_a_connector_that_was_away(sticky):
    edge = sticky(affinity={"failover": "temporary"}, names=NAMES[:2])
    browser = at(edge, "a")
    edge.by_name["a"].command("never-register on")
    edge.by_name["a"].command("cut")
    wait_until(lambda: len(edge.lines()) == CONNECTIONS)
    assert browser.several(6) == {"b": 6}
    edge.by_name["a"].command("never-register off")
    wait_until(lambda: browser.who() == "a", 60)


@WORKERS
@pytest.mark.parametrize("failover", ["sticky", "temporary"])
@pytest.mark.parametrize("end", ["kill", "begin_stop", "cut"])
def test_sessions_lose_nothing_with_their_connector(sticky, workers, failover, end):
    edge = sticky(workers, affinity={"failover": failover})
    cookie = f"penstock={at(edge, 'a').cookie}"
    with Load(edge.daemon.connect, request=lambda c: c.request("GET", "/", [("Cookie", cookie)])) as load:
        load.wait_for_more(100)
        assert set(load.bodies) == {b"a\n"}
        if end == "cut":
            loses_its_connections(edge, "a")
        else:
            getattr(edge.by_name["a"], end)()
            wait_until(lambda: len(edge.lines()) == 2 * CONNECTIONS)
        load.wait_for_more(200)
    assert load.failures == []


@WORKERS
def test_sessions_leave_what_is_silent(sticky, workers):
    edge = sticky(workers)
    browser = at(edge, "a")
    edge.by_name["a"].freeze()
    moved_to = browser.who()
    assert moved_to != "a" and browser.set
    assert browser.several() == {moved_to: 12}


@WORKERS
def test_without_failover_the_client_sees_the_failure(sticky, workers):
    edge = sticky(workers, affinity={"failover": "none"})
    browser = at(edge, "a")
    edge.origins["a"].kill()
    for _ in range(4):
        answered = browser.get()
        assert answered.status == 502 and not browser.set
    assert at(edge, "b").several() == {"b": 12}
    edge.origins["a"].accept()
    assert browser.several() == {"a": 12}
    goes(edge, "a")
    moved_to = browser.who()
    assert moved_to != "a" and browser.set
    assert browser.several() == {moved_to: 12}


def test_with_failover_another_connector_answers_for_a_service_that_is_gone(sticky):
    edge = sticky()
    browser = at(edge, "a")
    edge.origins["a"].kill()
    assert browser.who() != "a" and browser.set


@WORKERS
def test_a_drained_connector_keeps_its_sessions(sticky, workers):
    edge = sticky(workers, affinity={"drain_duration": "1h"}, names=NAMES[:2])
    browser = at(edge, "a")
    assert edge.daemon.cli("tunnel", "drain", "ams", "--connector", edge.by_name["a"].id).returncode == 0
    assert browser.several() == {"a": 12}
    assert Browser(edge.daemon).who() == "b"
    other = at(edge, "b")
    assert edge.daemon.cli("tunnel", "drain", "ams").returncode == 0
    wait_until(lambda: Browser(edge.daemon).get().status == 503)
    assert browser.several() == {"a": 12} and other.several() == {"b": 12}


def test_a_drained_connector_whose_endpoint_is_watched(sticky):
    """That no connector takes new requests makes the endpoint a drained one, but not for those that stay."""
    edge = sticky(affinity={"drain_duration": "1h"}, names=NAMES[:1], pool={"monitors": ["app"]}, monitors=[monitor(path="/healthz")])
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["state"] == "healthy")
    browser = at(edge, "a")
    assert edge.daemon.cli("tunnel", "drain", "ams").returncode == 0
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["state"] == "drained")
    assert browser.several() == {"a": 12}


def test_a_drained_connector_gives_its_sessions_up_in_time(sticky):
    edge = sticky(affinity={"drain_duration": "1s"})
    browser = at(edge, "a")
    assert edge.daemon.cli("tunnel", "drain", "ams", "--connector", edge.by_name["a"].id).returncode == 0
    wait_until(lambda: browser.who() != "a")
    assert "a" not in browser.several()


def test_weight_zero_keeps_its_sessions(sticky):
    edge = sticky()
    browser = at(edge, "a")
    assert edge.daemon.cli("tunnel", "weight", "ams", "0", "--connector", edge.by_name["a"].id).returncode == 0
    assert browser.several() == {"a": 12}
    assert "a" not in {Browser(edge.daemon).who() for _ in range(12)}


def test_the_endpoint_comes_first(sticky):
    """Two tunnels: the connector is one of the session's tunnel; when that is drained as an endpoint its sessions go with it."""
    edge = sticky(names=("a", "b", "c", "d"), tunnels=("ams", "fra"), pool={"endpoint_steering": {"policy": "round_robin"}})
    for name in "abcd":
        browser = at(edge, name)
        assert browser.several() == {name: 12}
    assert edge.daemon.cli("endpoint", "drain", "pool/fra").returncode == 0
    assert browser.who() in ("a", "c") and browser.set


def test_explain_tells_of_the_connector(sticky):
    edge = sticky(names=NAMES[:2])
    cookie, identity = f"penstock={at(edge, 'a').cookie}", edge.by_name["a"].id
    def said():
        told = explain(edge.daemon, cookie=cookie)
        assert told["endpoint"] == "pool/ams"
        return step(told, "session")["text"]
    assert said() == f"its session is at pool/ams, connector {identity}, and stays there"
    assert edge.daemon.cli("tunnel", "drain", "ams", "--connector", identity).returncode == 0
    wait_until(lambda: said() == f"its session is at pool/ams, and stays there, but not at its connector {identity}, which can't have it now")
    goes(edge, "a")
    wait_until(lambda: said() == "its session is at pool/ams, and stays there, but its connector is not connected")


def test_an_endpoint_without_connectors(serve, make_origin):
    """Where nobody dials in the level means nothing."""
    origins = [make_origin(name) for name in NAMES]
    daemon = serve(*origins, pool={"endpoint_steering": {"policy": "round_robin"}}, lb={"session_affinity": {"type": "cookie", "level": "connector"}})
    browser = Browser(daemon)
    name = browser.who()
    assert len(browser.cookie) == 44 and browser.several() == {name: 12}


@WORKERS
@KINDS
def test_header(sticky, workers, kind):
    edge = sticky(workers, names=NAMES[:2], kind=kind, affinity={"type": "header", "header": "X-Session"})
    def who(session):
        answered = edge.daemon.get("/", headers=[("X-Session", session)])
        assert answered.status == 200 and not answered.all("Set-Cookie")
        return answered.body.decode().strip()
    chosen = {f"s{i}": who(f"s{i}") for i in range(30)}
    assert set(chosen.values()) == set(NAMES[:2])
    assert {session: who(session) for session in chosen} == chosen
    edge.daemon.write(edge={"location": "test02"})
    assert edge.daemon.reload().returncode == 0
    assert {session: who(session) for session in chosen} == chosen
    one = edge.by_name["a"].id
    assert edge.daemon.cli("tunnel", "drain", "ams", "--connector", one).returncode == 0
    wait_until(lambda: {who(session) for session in chosen} == {"b"})
    assert edge.daemon.cli("tunnel", "undrain", "ams", "--connector", one).returncode == 0
    wait_until(lambda: {session: who(session) for session in chosen} == chosen)


def test_header_by_weight(sticky):
    edge = sticky(affinity={"type": "header", "header": "X-Session"}, names=NAMES[:2])
    assert edge.daemon.cli("tunnel", "weight", "ams", "4", "--connector", edge.by_name["b"].id).returncode == 0
    with edge.daemon.connect() as connection:
        counts = collections.Counter(connection.request(headers=[("X-Session", f"s{i}")]).body.decode().strip() for i in range(400))
    assert 280 < counts["b"] < 360


def test_header_without_failover(sticky):
    edge = sticky(affinity={"type": "header", "header": "X-Session", "failover": "none"}, names=NAMES[:2])
    sessions = {name: next(s for s in map(str, range(60)) if edge.daemon.get(headers=[("X-Session", s)]).body.decode().strip() == name)
                for name in NAMES[:2]}
    edge.origins["a"].kill()
    for _ in range(3):
        assert edge.daemon.get(headers=[("X-Session", sessions["a"])]).status == 502
        assert edge.daemon.get(headers=[("X-Session", sessions["b"])]).status == 200
    edge.by_name["a"].kill()
    wait_until(lambda: edge.daemon.get(headers=[("X-Session", sessions["a"])]).body.decode().strip() == "b")


def test_ip_cookie_begins_by_the_address(sticky):
    edge = sticky(affinity={"type": "ip_cookie"}, trusted_proxies=["127.0.0.1"])
    chosen = {}
    for i in range(40):
        client = f"192.0.2.{i}"
        names = {edge.daemon.get(headers=[("X-Forwarded-For", client)]).body.decode().strip() for _ in range(4)}
        assert len(names) == 1
        chosen[client] = names.pop()
    assert set(chosen.values()) == set(NAMES)
    browser = Browser(edge.daemon)
    browser.get(headers=[("X-Forwarded-For", "192.0.2.1")])
    for i in range(10):
        assert browser.get(headers=[("X-Forwarded-For", f"192.0.2.{i}")]).body.decode().strip() == chosen["192.0.2.1"]
