"""Policies at both levels: who gets the requests. Shares have wide margins: what is tested is the rule, not the generator."""

import collections

import pytest
from client import request_bytes, wait_until
from daemon import IN_TURN, cli, endpoint
from origin import Gate, Pause, answer


@pytest.fixture
def three(make_origin):
    return [make_origin(name) for name in ("a", "b", "c")]


def shares(daemon, count=300, **request):
    with daemon.connect() as connection:
        return collections.Counter(connection.request("GET", "/", **request).body.decode().strip() for _ in range(count))


def with_policy(serve, level, origins, policy, weights=None, **more):
    """The same three at either level: endpoints of a pool, or pools of one endpoint."""
    weights = weights or {}
    if level == "endpoints":
        groups = [{**endpoint(o), **({"weight": weights[o.name]} if weights else {})} for o in origins]
        return serve(*groups, pool={"endpoint_steering": policy}, **more)
    pools = [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in origins]
    lb = {"hostnames": ["*"], "default_pools": [o.name for o in origins], "steering": policy}
    if weights:
        lb["pool_weights"] = weights
    return serve(settings={"pools": pools, "load_balancers": [lb]}, **more)


LEVELS = pytest.mark.parametrize("level", ["endpoints", "pools"])


@LEVELS
def test_off_takes_the_first(serve, three, level):
    daemon = with_policy(serve, level, three, {"policy": "off"})
    assert shares(daemon, 50) == {"a": 50}


def test_pools_are_tried_in_order_by_default(serve, three):
    pools = [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in three]
    daemon = serve(settings={"pools": pools, "load_balancers": [{"hostnames": ["*"], "default_pools": ["c", "a", "b"]}]})
    assert shares(daemon, 20) == {"c": 20}


@LEVELS
def test_round_robin(serve, three, level):
    daemon = with_policy(serve, level, three, {"policy": "round_robin"}, workers=1)
    assert shares(daemon, 300) == {"a": 100, "b": 100, "c": 100}


@LEVELS
def test_round_robin_by_weight(serve, three, level):
    daemon = with_policy(serve, level, three, {"policy": "round_robin"}, {"a": 0.5, "b": 0.25, "c": 0.25}, workers=1)
    assert shares(daemon, 400) == {"a": 200, "b": 100, "c": 100}


@LEVELS
def test_random_by_weight(serve, three, level):
    daemon = with_policy(serve, level, three, {"policy": "random"}, {"a": 0.8, "b": 0.2, "c": 0.0})
    counts = shares(daemon, 1000)
    assert 650 < counts["a"] < 900 and 100 < counts["b"] < 350 and counts["c"] == 0


@LEVELS
def test_least_outstanding_requests(serve, three, level):
    """Whoever is busy is left alone."""
    daemon = with_policy(serve, level, three, {"policy": "least_outstanding_requests"}, workers=1)
    gate = Gate()
    for origin in three:
        origin.script("/wait", gate, answer(200, b""))
    busy = [daemon.connect().send(request_bytes("GET", "/wait")) for _ in range(2)]
    wait_until(lambda: gate.waiting == 2)
    idle, = [o.name for o in three if not o.seen("/wait")]
    assert shares(daemon, 20) == {idle: 20}
    gate.open()
    for connection in busy:
        assert connection.read_response().status == 200
    assert len(shares(daemon, 30)) == 3


@LEVELS
def test_least_connections(serve, three, level):
    """Connections count even when they are idle."""
    daemon = with_policy(serve, level, three, {"policy": "least_connections"}, workers=1)
    gate = Gate()
    for origin in three:
        origin.script("/wait", gate, answer(200, b""))
    busy = [daemon.connect().send(request_bytes("GET", "/wait")) for _ in range(5)]
    wait_until(lambda: gate.waiting == 5)
    fewest, = [o.name for o in three if len(o.seen("/wait")) == 1]
    gate.open()
    for connection in busy:
        assert connection.read_response().status == 200
    assert shares(daemon, 20) == {fewest: 20}


@LEVELS
@pytest.mark.parametrize("key, target, fields, others", [
    ("header:X-Tenant", "/", lambda n: {"X-Tenant": f"t{n}"}, {}),
    ("cookie:id", "/", lambda n: {"Cookie": f"a=b; id={n}"}, {}),
    ("path", "/{n}?x={other}", lambda n: {}, {"other": "y"}),
    ("query:user", "/?a={other}&user={n}", lambda n: {}, {"other": "y"}),
    ("client_ip", "/", lambda n: {"X-Forwarded-For": f"192.0.2.{n}"}, {}),
], ids=["header", "cookie", "path", "query", "client_ip"])
def test_hash_keeps_a_key_where_it_is(serve, three, level, key, target, fields, others):
    for origin in three:
        origin.script("*", answer(200, origin.name.encode()))
    daemon = with_policy(serve, level, three, {"policy": "hash", "key": key}, trusted_proxies=["127.0.0.0/8"])

    def ask(n, other=""):
        return daemon.get(target.format(n=n, other=other), headers=list(fields(n).items())).body.decode()
    chosen = {n: ask(n) for n in range(40)}
    assert set(chosen.values()) == {"a", "b", "c"}
    assert chosen == {n: ask(n, **others) for n in range(40)}
    gone = three[1]
    gone.kill()
    after = {n: ask(n) for n in range(40)}
    assert "b" not in after.values() and all(after[n] == chosen[n] for n in chosen if chosen[n] != "b")


def test_hash_without_the_key_spreads(serve, three):
    daemon = with_policy(serve, "endpoints", three, {"policy": "hash", "key": "header:X-Tenant"})
    assert all(count >= 60 for count in shares(daemon, 300).values()) and len(shares(daemon, 300)) == 3


@LEVELS
def test_dynamic_latency_prefers_the_fastest_and_leaves_it_when_it_degrades(serve, three, level):
    def slow_down(**seconds):
        for origin in three:
            origin.script("*", Pause(seconds[origin.name]), answer(200, origin.name.encode()))
    slow_down(a=0.2, b=0.005, c=0.5)
    daemon = with_policy(serve, level, three, {"policy": "dynamic_latency"}, workers=1)
    assert shares(daemon, 60)["b"] >= 50
    slow_down(a=0.2, b=1.0, c=0.5)
    counts = shares(daemon, 15)
    assert counts["b"] <= 3 and counts["a"] >= 10


@LEVELS
def test_geo_without_maps_is_in_order(serve, three, level):
    daemon = with_policy(serve, level, three, {"policy": "geo"})
    assert shares(daemon, 20) == {"a": 20}


def test_default_spreads_over_endpoints(serve, three):
    daemon = serve(*three)
    assert all(count >= 20 for count in shares(daemon, 150).values()) and len(shares(daemon, 150)) == 3


@LEVELS
def test_weight_zero_gets_nothing(serve, three, level):
    daemon = with_policy(serve, level, three, {"policy": "least_outstanding_requests"}, {"a": 1.0, "b": 0.0, "c": 1.0})
    assert set(shares(daemon, 100)) == {"a", "c"}


def test_weight_at_run_time(serve, three):
    daemon = serve(*three, pool=IN_TURN, workers=1)
    assert daemon.cli("endpoint", "weight", "pool/b", "0").returncode == 0
    assert set(shares(daemon, 60)) == {"a", "c"}
    assert daemon.endpoint("pool/b")["weight"] == 0
    assert daemon.cli("endpoint", "weight", "pool/b", "default").returncode == 0
    wait_until(lambda: shares(daemon, 60)["b"] > 0)


def test_unknown_option_of_a_policy_is_an_error(folder, three):
    (folder / "c.conf").write_text('listeners = ( { address = ":8080"; } );\n'
                                   'pools = ( { name = "p"; endpoint_steering = { policy = "random"; luck = 7; }; endpoints = ( { address = "http://127.0.0.1:1"; } ); } );\n'
                                   'load_balancers = ( { hostnames = [ "*" ]; default_pools = [ "p" ]; } );\n')
    result = cli("check", "-c", folder / "c.conf")
    assert result.returncode == 1 and "c.conf:2: " in result.stdout + result.stderr and "luck" in result.stdout + result.stderr


# --- canaries ---

def canary(serve, origins, weights):
    """A rule that sends a share of its requests to a new version, by turns so that shares are exact."""
    old, new = origins
    rule = {"name": "shop", "match": {"path_prefixes": ["/shop"]}, "pools": [old.name, new.name], "pool_weights": weights, "steering": {"policy": "round_robin"}}
    return serve(settings={"pools": [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in origins],
                           "load_balancers": [{"hostnames": ["*"], "default_pools": [old.name], "rules": [rule]}]}, workers=1)


def shop(daemon):
    with daemon.connect() as connection:
        return collections.Counter(connection.request("GET", "/shop").body.decode().strip() for _ in range(100))


def test_a_canary_in_a_rule_grows_with_a_reload(serve, make_origin):
    daemon = canary(serve, (make_origin("old"), make_origin("new")), {"old": 0.9, "new": 0.1})
    assert shop(daemon) == {"old": 90, "new": 10}
    balancer = daemon.settings["load_balancers"][0]
    daemon.write(load_balancers=[{**balancer, "rules": [{**balancer["rules"][0], "pool_weights": {"old": 0.5, "new": 0.5}}]}])
    assert daemon.reload().returncode == 0
    assert shop(daemon) == {"old": 50, "new": 50}


def test_a_canary_among_endpoints_grows_at_run_time(serve, make_origin):
    daemon = serve(endpoint(make_origin("old"), weight=0.9), endpoint(make_origin("new"), weight=0.1), pool=IN_TURN, workers=1)
    assert shop(daemon) == {"old": 90, "new": 10}
    for identity in ("pool/old", "pool/new"):
        assert daemon.cli("endpoint", "weight", identity, "0.5").returncode == 0
    assert shop(daemon) == {"old": 50, "new": 50}
    assert daemon.reload().returncode == 0
    assert shop(daemon) == {"old": 50, "new": 50}
    for identity in ("pool/old", "pool/new"):
        assert daemon.cli("endpoint", "weight", identity, "default").returncode == 0
    assert shop(daemon) == {"old": 90, "new": 10}
