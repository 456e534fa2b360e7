"""Load shedding: what a pool sends elsewhere. Shares have wide margins: what is tested is the rule, not the generator."""

import collections

import pytest
from client import wait_until
from daemon import endpoint, monitor
from origin import answer


@pytest.fixture
def shed(serve, make_origin):
    """Pools "a", which sheds, and "b"; by order. Pool "c" is for the fallback."""
    def start(shedding, pools=("a", "b"), lb=None, **more):
        made = {name: make_origin(name) for name in ("a", "b", "c")}
        groups = [{"name": name, "monitors": [], "endpoints": [endpoint(o)], **({"load_shedding": shedding} if name == "a" else {})}
                  for name, o in made.items()]
        return serve(settings={"pools": groups, "load_balancers": [{"hostnames": ["*"], "default_pools": list(pools), **(lb or {})}]}, **more)
    return start


def shares(daemon, count=400, headers=lambda i: []):
    with daemon.connect() as connection:
        return collections.Counter(connection.request("GET", "/", headers=headers(i)).body.decode().strip() for i in range(count))


def client(i):
    return [("X-Forwarded-For", f"192.0.2.{i % 256}")]


def test_random(shed):
    counts = shares(shed({"percent": 25}))
    assert 240 < counts["a"] < 360 and counts["a"] + counts["b"] == 400


@pytest.mark.parametrize("percent,name", [(0, "a"), (100, "b")])
def test_nothing_and_all(shed, percent, name):
    assert shares(shed({"percent": percent}), 50) == {name: 50}


def test_hash_keeps_a_client_together(shed):
    daemon = shed({"percent": 50, "policy": "hash"}, trusted_proxies=["127.0.0.1"])
    where = [shares(daemon, 6, lambda _, i=i: client(i)) for i in range(60)]
    assert all(len(counts) == 1 for counts in where)
    assert 10 < sum("b" in counts for counts in where) < 50


def test_the_rest_goes_to_the_fallback_pool(shed):
    counts = shares(shed({"percent": 50}, pools=("a",), lb={"fallback_pool": "c"}))
    assert 120 < counts["c"] < 280 and counts["a"] + counts["c"] == 400


def test_without_another_pool_it_is_refused(shed):
    daemon = shed({"percent": 100}, pools=("a",), lb={"retry_after": "7s"})
    answered = daemon.get("/")
    assert answered.status == 503 and answered.get("Retry-After") == "7"


def test_sessions_stay(shed):
    daemon = shed({"percent": 100}, lb={"session_affinity": {"type": "cookie"}})
    assert shares(daemon, 20) == {"b": 20}
    pools = [{**p, "load_shedding": {"percent": 0}} if p["name"] == "a" else p for p in daemon.settings["pools"]]
    daemon.write(pools=pools)
    assert daemon.reload().returncode == 0
    cookie = [("Cookie", daemon.get("/").all("Set-Cookie")[0].split(";")[0])]
    for shedding, name in (({"percent": 100}, "a"), ({"session_percent": 100}, "b")):
        daemon.write(pools=[{**p, "load_shedding": shedding} if p["name"] == "a" else p for p in pools])
        assert daemon.reload().returncode == 0
        assert shares(daemon, 10, lambda _: cookie) == {name: 10}


def test_what_is_shed_is_counted(shed):
    """Once for each request that the pool would have had, whatever becomes of it."""
    daemon = shed({"percent": 50}, pools=("a", "b"))
    counts = shares(daemon, 200)
    assert daemon.metric('penstock_pool_shed_requests_total{pool="a"}') == counts["b"] > 0
    assert daemon.metric('penstock_pool_shed_requests_total{pool="b"}') == 0
    daemon.admin("GET", "/v1/explain?host=app.test")
    assert daemon.reload().returncode == 0
    assert daemon.metric('penstock_pool_shed_requests_total{pool="a"}') == counts["b"]


def test_a_second_choice_sheds_nothing(shed):
    daemon = shed({"percent": 100}, pools=("b", "a"))
    assert shares(daemon, 20) == {"b": 20}
    assert daemon.metric('penstock_pool_shed_requests_total{pool="a"}') == 0


def test_what_is_refused_is_counted(shed):
    daemon = shed({"percent": 100}, pools=("a",))
    assert [daemon.get("/").status for _ in range(5)] == [503] * 5
    assert daemon.metric('penstock_pool_shed_requests_total{pool="a"}') == 5


@pytest.mark.parametrize("enabled, status", [(True, 503), (False, 200)])
def test_a_pool_that_is_disabled_sheds_nothing(serve, make_origin, enabled, status):
    """What the overloaded one sheds is not sent to whom health would rule out; but of one that is out of use there is nothing to shed."""
    shedding, down = make_origin("a"), make_origin("b")
    down.script("/healthz", *[answer(503)] * 1000)
    daemon = serve(settings={
        "monitors": [monitor()],
        "pools": [{"name": "a", "enabled": enabled, "monitors": [], "load_shedding": {"percent": 100}, "endpoints": [endpoint(shedding)]},
                  {"name": "b", "monitors": ["app"], "endpoints": [endpoint(down)]}],
        "load_balancers": [{"hostnames": ["*"], "default_pools": ["a", "b"], "when_all_down": "least_bad"}]})
    wait_until(lambda: daemon.endpoint("b/b")["state"] == "down")
    assert daemon.get().status == status
