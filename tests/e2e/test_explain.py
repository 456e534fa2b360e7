"""`penstock explain`: which endpoint a request would get, and why."""

import json
from urllib.parse import quote, urlencode

import pytest
from client import request_bytes, wait_until
from daemon import IN_ORDER, IN_TURN, endpoint, monitor
from origin import Gate


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


def explain(daemon, **request):
    answer = daemon.admin("GET", "/v1/explain?" + urlencode({"host": "app.test", **request}, quote_via=quote))
    assert answer.status == 200, answer.body
    return answer.json()


def step(told, kind, pool=None):
    return next(s for s in told["steps"] if s["step"] == kind and s.get("pool") == pool)


def candidate(told, name, pool="pool"):
    return next(c for c in step(told, "endpoints", pool)["candidates"] if c["name"] == name)


def test_who_was_ruled_out_and_why(serve, make_origin):
    origins = [make_origin(name) for name in "abcd"]
    daemon = serve(endpoint(origins[0], enabled=False), endpoint(origins[1], weight=0.0), endpoint(origins[2], max_in_flight=1), origins[3], pool=IN_ORDER)
    gate = Gate()
    origins[2].script("/wait", gate)
    busy = daemon.connect().send(request_bytes("GET", "/wait"))
    wait_until(lambda: gate.waiting)
    told = explain(daemon)
    assert told["endpoint"] == "pool/d"
    assert "disabled" in candidate(told, "pool/a")["ruled_out"] and "weight" in candidate(told, "pool/b")["ruled_out"]
    assert "max_in_flight" in candidate(told, "pool/c")["ruled_out"] and candidate(told, "pool/c")["in_flight"] == 1
    assert candidate(told, "pool/d")["chosen"] and candidate(told, "pool/d")["ruled_out"] is None
    gate.open()
    busy.close()


def test_down_in_the_words_of_its_verdict(serve, make_origin):
    bad, good = make_origin("bad"), make_origin("good")
    bad.mode("unhealthy")
    daemon = serve(bad, good, pool={"monitors": ["app"], **IN_ORDER}, monitors=[monitor()])
    wait_until(lambda: daemon.endpoint("pool/bad")["state"] == "down")
    told = explain(daemon)
    assert told["endpoint"] == "pool/good" and candidate(told, "pool/bad")["ruled_out"] == daemon.endpoint("pool/bad")["reason"]


def test_scores(serve, make_origin):
    daemon = serve(endpoint(make_origin("a"), weight=3.0), make_origin("b"), pool={"endpoint_steering": {"policy": "random"}})
    told = explain(daemon)
    assert [candidate(told, name)["score"] for name in ("pool/a", "pool/b")] == [0.75, 0.25]
    assert "chance" in step(told, "endpoints", "pool")["scores"]


def test_the_same_as_what_happens(serve, make_origin):
    daemon = serve(*(make_origin(name) for name in "abc"), pool={"endpoint_steering": {"policy": "hash", "key": "path"}})
    for n in range(20):
        assert explain(daemon, path=f"/{n}?y")["endpoint"] == "pool/" + daemon.get(f"/{n}").get("X-Origin")


def test_nothing_moves(serve, make_origin):
    """Neither the turns nor what is counted."""
    daemon = serve(*(make_origin(name) for name in "abc"), pool=IN_TURN, workers=1)
    first = [daemon.get().body for _ in range(3)]
    assert len({explain(daemon)["endpoint"] for _ in range(5)}) == 1
    assert [daemon.get().body for _ in range(3)] == first
    assert daemon.metric("penstock_requests_total") == 6


def test_rules_and_fallback(serve, make_origin):
    up, reserve, beta = make_origin("up"), make_origin("reserve"), make_origin("beta")
    daemon = serve(settings={
        "pools": [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in (up, reserve, beta)],
        "load_balancers": [{"hostnames": ["app.test"], "default_pools": ["up"], "fallback_pool": "reserve",
                            "rules": [{"name": "beta", "match": {"cookies": {"beta": "1"}}, "pools": ["beta"]},
                                      {"match": {"path_prefixes": ["/no"]}, "response": {"status": 403}}]}]})
    told = explain(daemon, cookie="a=b; beta=1")
    assert (told["rule"], told["pool"]) == ("beta", "beta") and "beta" in step(told, "rule")["text"]
    assert "of the rule" in step(told, "list")["text"]
    told = explain(daemon, path="/no")
    assert told["endpoint"] is None and "403" in told["reason"]
    assert daemon.cli("endpoint", "disable", "up/up").returncode == 0
    told = explain(daemon)
    assert told["pool"] == "reserve" and "reserve" in step(told, "last_resort")["text"]
    assert daemon.cli("endpoint", "disable", "reserve/reserve").returncode == 0
    told = explain(daemon)
    assert told["endpoint"] is None and "503" in told["reason"]
    assert daemon.cli("explain", "--host", "app.test").returncode == 1
    assert daemon.metric("penstock_fallback_choices_total") == 0


def test_sessions(serve, make_origin):
    daemon = serve(*(make_origin(name) for name in "abc"), lb={"session_affinity": {"type": "cookie", "name": "s"}})
    answer = daemon.get()
    cookie = answer.get("Set-Cookie").partition(";")[0]
    own = "pool/" + answer.body.decode().strip()
    told = explain(daemon, cookie=cookie)
    assert told["endpoint"] == own and "session" in told["reason"] and own in step(told, "session")["text"]
    assert daemon.cli("endpoint", "drain", own).returncode == 0
    told = explain(daemon, cookie=cookie)
    assert told["endpoint"] != own and "drain" in candidate(told, own)["ruled_out"]


@pytest.mark.parametrize("query", ["host=app.test&client=nonsense", "host=app.test&path=nonsense", "host=a%0d%0ab", "host=app.test&cookie=a%00", "host=app.test&x=1"])
def test_what_no_client_can_send(daemon, query):
    assert daemon.admin("GET", "/v1/explain?" + query).status == 400


def test_maps(serve, make_origin):
    origins = [make_origin(name) for name in ("world", "office")]
    daemon = serve(settings={"pools": [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in origins],
                             "load_balancers": [{"hostnames": ["*"], "default_pools": ["world"],
                                                 "client_pools": [{"clients": ["192.0.2.0/24"], "pools": ["office"]}]}]})
    assert explain(daemon, client="192.0.2.9")["pool"] == "office"
    told = explain(daemon, client="192.0.3.9")
    assert told["pool"] == "world" and "default_pools" in step(told, "list")["text"]


def test_a_thousand_endpoints(serve, origin):
    daemon = serve(*({"name": f"e{n}", "address": origin.url} for n in range(1000)))
    told = explain(daemon)
    assert told["endpoint"] and len(step(told, "endpoints", "pool")["candidates"]) == 1000
