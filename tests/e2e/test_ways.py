"""Status, events and readiness follow all that a load balancer can send to: default pools, the lists of maps, those of rules."""

import pytest
from client import wait_until
from daemon import endpoint, monitor

RULES = [{"name": "beta", "match": {"path_prefixes": ["/beta"]}, "pools": ["beta"]},
         {"match": {"path_prefixes": ["/same"]}, "pools": ["main", "spare"]},
         {"match": {"path_prefixes": ["/none"]}, "response": {"status": 404}}]
MAPS = {"client_pools": [{"clients": ["192.0.2.0/24"], "pools": ["office", "spare"]}, {"clients": ["2001:db8::/32"], "pools": ["office", "spare"]}]}


@pytest.fixture
def origins(make_origin):
    return {name: make_origin(name) for name in ("main", "spare", "beta", "office")}


@pytest.fixture
def spread(serve, origins):
    def start(lb=None):
        pools = [{"name": name, "monitors": ["app"], "endpoints": [endpoint(o)]} for name, o in origins.items()]
        daemon = serve(settings={"trusted_proxies": ["127.0.0.0/8"], "monitors": [monitor()], "pools": pools,
                                 "load_balancers": [{"hostnames": ["app.test"], "default_pools": ["main", "spare"], "rules": RULES, **MAPS, **(lb or {})}]})
        wait_until(lambda: balancer(daemon)["state"] == "healthy")
        return daemon
    return start


def balancer(daemon):
    return daemon.status()["load_balancers"][0]


def states(daemon):
    return {one["for"]: one["state"] for one in balancer(daemon)["lists"]}


def told(daemon):
    """What was told of load balancers, in order."""
    return [(e["type"], e["data"]["for"], e["data"]["pool"]) for e in daemon.events() if e["type"].startswith("load_balancer.")]


def ready(daemon):
    return daemon.admin("GET", "/readyz?host=app.test").status


def test_lists_that_are_alike_are_one(spread):
    lists = {one["for"]: (one["others"], one["pools"]) for one in balancer(spread())["lists"]}
    assert lists == {"default_pools": (1, ["main", "spare"]), "client_pools 192.0.2.0/24": (1, ["office", "spare"]), "rule beta": (0, ["beta"])}


def test_a_rules_pool(spread, origins):
    daemon = spread(lb={"when_all_down": "503"})
    assert ready(daemon) == 200 and told(daemon) == []
    origins["beta"].mode("unhealthy", "/healthz")
    wait_until(lambda: states(daemon) == {"default_pools": "healthy", "client_pools 192.0.2.0/24": "healthy", "rule beta": "down"})
    wait_until(lambda: told(daemon) == [("load_balancer.down", "rule beta", None)])
    now = balancer(daemon)
    assert (now["state"], now["pool"]) == ("down", "main") and now["reason"].startswith("rule beta: ")
    refused = daemon.admin("GET", "/readyz?host=app.test")
    assert refused.status == 503 and "rule beta" in refused.json()["detail"]
    assert "rule beta" in daemon.cli("status").stdout
    page = daemon.admin("GET", "/").body.decode()
    assert "rule beta" in page and "client_pools 192.0.2.0/24" in page
    origins["beta"].mode("healthy", "/healthz")
    wait_until(lambda: told(daemon)[1:] == [("load_balancer.recovered", "rule beta", "beta")])
    assert balancer(daemon)["state"] == "healthy" and ready(daemon) == 200


def test_a_maps_pool(spread, origins):
    daemon = spread()
    origins["office"].mode("unhealthy", "/healthz")
    wait_until(lambda: told(daemon) == [("load_balancer.failover", "client_pools 192.0.2.0/24", "spare")])
    assert balancer(daemon)["state"] == "failover" and ready(daemon) == 200
    assert daemon.get(headers=[("X-Forwarded-For", "192.0.2.1")]).body == b"spare\n"


def test_one_trouble_does_not_hide_another(spread, origins):
    daemon = spread()
    origins["beta"].mode("unhealthy", "/healthz")
    wait_until(lambda: told(daemon) == [("load_balancer.fallback", "rule beta", "beta")])
    origins["main"].mode("unhealthy", "/healthz")
    wait_until(lambda: told(daemon)[1:] == [("load_balancer.failover", "default_pools", "spare")])
    assert balancer(daemon)["state"] == "fallback"


def test_what_was_told_is_remembered(spread, origins):
    """A reload, and a restart, say nothing again; what ended meanwhile is a recovery."""
    daemon = spread()
    origins["beta"].mode("unhealthy", "/healthz")
    wait_until(lambda: len(told(daemon)) == 1)
    assert daemon.reload().returncode == 0
    daemon.stop()
    daemon.start()
    wait_until(lambda: states(daemon).get("rule beta") == "fallback")
    origins["beta"].mode("healthy", "/healthz")
    wait_until(lambda: [kind for kind, _, _ in told(daemon)] == ["load_balancer.fallback", "load_balancer.recovered"])
