"""`penstock explain`: which endpoint a request would get, and why."""

import json

import pytest
from daemon import IN_ORDER, cli

if "explain" not in cli("--help").stdout:
    pytest.skip("this version has no explain", allow_module_level=True)


@pytest.fixture
def daemon(serve, make_origin):
    return serve(*(make_origin(name) for name in ("a", "b", "c")), pool=IN_ORDER)


def test_says_what_happens(daemon):
    assert daemon.cli("endpoint", "drain", "pool/a").returncode == 0
    result = daemon.cli("explain", "--host", "app.test", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["load_balancer"], told["pool"], told["endpoint"]) == ("*", "pool", "pool/b") and told["reason"]
    assert any("drained" in json.dumps(step) for step in told["steps"])
    assert daemon.get().body == b"b\n"


def test_for_people(daemon):
    result = daemon.cli("explain", "--host", "app.test", "--client", "192.0.2.1", "--path", "/x")
    assert result.returncode == 0 and "pool/a" in result.stdout


def test_api(daemon):
    told = daemon.admin("GET", "/v1/explain?host=app.test&client=192.0.2.1").json()
    assert told["endpoint"] == "pool/a" and told["steps"]
    assert daemon.admin("GET", "/v1/explain").status == 400


def test_host_that_nobody_serves(serve, make_origin):
    origin = make_origin("o")
    daemon = serve(settings={"pools": [{"name": "p", "monitors": [], "endpoints": [{"name": "o", "address": origin.url}]}],
                             "load_balancers": [{"hostnames": ["app.test"], "default_pools": ["p"]}]})
    assert daemon.cli("explain", "--host", "other.test").returncode == 1
