"""`penstock explain`: which endpoint a request would get, and why."""

import collections
import json
from urllib.parse import quote, urlencode

import pytest
from client import request_bytes, wait_until
from daemon import IN_ORDER, IN_TURN, endpoint, free_port, monitor
from origin import Gate, answer


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
    assert told["endpoint"] is None and "403" in told["reason"] and told["rule_answers"] == 403
    printed = daemon.cli("explain", "app.test/no")
    assert printed.returncode == 0 and "its rule answers 403" in printed.stdout
    assert daemon.cli("endpoint", "disable", "up/up").returncode == 0
    told = explain(daemon)
    assert told["pool"] == "reserve" and "reserve" in step(told, "last_resort")["text"]
    assert daemon.cli("endpoint", "disable", "reserve/reserve").returncode == 0
    told = explain(daemon)
    assert told["endpoint"] is None and "503" in told["reason"]
    assert daemon.cli("explain", "--host", "app.test").returncode == 1
    assert daemon.metric("penstock_fallback_choices_total") == 0


def test_rules_by_method_field_and_listener(serve, make_origin):
    origins = [make_origin(name) for name in ("all", "posts", "beta", "inner")]
    outer, inner = (f"127.0.0.1:{free_port()}" for _ in range(2))
    daemon = serve(settings={
        "listeners": [{"address": outer}, {"address": inner}],
        "pools": [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in origins],
        "load_balancers": [{"hostnames": ["app.test"], "default_pools": ["all"],
                            "rules": [{"match": {"methods": ["POST"]}, "pools": ["posts"]},
                                      {"match": {"headers": {"X-Beta": "1"}}, "pools": ["beta"]},
                                      {"match": {"listeners": [inner]}, "pools": ["inner"]}]}]})
    assert [explain(daemon, **asked)["pool"] for asked in ({}, {"method": "POST"}, {"header": "X-Beta: 1"}, {"listener": inner})] == \
        ["all", "posts", "beta", "inner"]
    result = daemon.cli("explain", "--host", "app.test", "--header", "X-Other: 2", "--header", "X-Beta: 1")
    assert result.returncode == 0 and "beta/beta" in result.stdout
    for query in ("header=x", "header=Host:%20b", "header=a:%0d%0ab:c", "method=G%20T", "listener=127.0.0.9:1"):
        assert daemon.admin("GET", "/v1/explain?host=app.test&" + query).status == 400


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


# --- requests that were served ---

NEVER_EJECT = {"consecutive": 1000, "min_requests": 100_000}


def remembered(daemon, request):
    answer = daemon.admin("GET", "/v1/explain?" + urlencode({"request": request}, quote_via=quote))
    assert answer.status == 200, answer.body
    return answer.json()


def send(daemon, request, target="/", headers=()):
    return daemon.get(target, headers=[("X-Request-Id", request), *headers])


def steps(told, kind):
    return [s for s in told["steps"] if s["step"] == kind]


def test_a_request_that_was_sent_again(serve, make_origin):
    first, second = make_origin("first"), make_origin("second")
    daemon = serve(first, second, pool={**IN_ORDER, "passive": NEVER_EJECT})
    first.script("/x", answer(502))
    assert send(daemon, "one", "/x?y=1").body == b"second\n"
    told = remembered(daemon, "one")
    assert (told["request"], told["method"], told["host"], told["target"]) == ("one", "GET", "app.test", "/x?y=1")
    assert told["endpoint"] == "pool/second" and told["pool"] == "pool" and told["load_balancer"] == "*"
    assert told["status"] == 200 and told["ended"] == "ok" and not told["under_way"] and told["took_ms"] > 0
    assert [t["endpoint"] for t in steps(told, "try")] == ["pool/first", "pool/second"]
    failed, = steps(told, "failed")
    assert (failed["status"], failed["reason"], failed["then"], failed["refused"]) == (502, "bad_status", "again", None)
    rounds = steps(told, "endpoints")
    assert [s["chosen"] for s in rounds] == ["pool/first", "pool/second"]
    assert "failed" in next(c for c in rounds[1]["candidates"] if c["name"] == "pool/first")["ruled_out"]
    printed = daemon.cli("explain", "--request", "one")
    assert printed.returncode == 0 and "answered 502" in printed.stdout and "pool/second" in printed.stdout


def test_a_request_that_nobody_could_serve(serve, make_origin):
    origin = make_origin("o")
    daemon = serve(origin, pool={"passive": NEVER_EJECT})
    origin.kill()
    answered = send(daemon, "one")
    assert answered.status == 502 and answered.get("X-Request-Id") == "one"
    told = remembered(daemon, "one")
    failed, = steps(told, "failed")
    assert (told["status"], failed["reason"], failed["then"]) == (502, "connect_failed", "nobody")
    assert daemon.cli("explain", "--request", "one").returncode == 0


def test_why_a_request_is_not_sent_again(serve, make_origin):
    first, second = make_origin("first"), make_origin("second")
    never = [{"hostnames": [name], "default_pools": ["pool"], **lb} for name, lb in
             {"app.test": {}, "none.test": {"failover": {"retries": 0}}, "connect.test": {"failover": {"on": ["connect_error"]}}}.items()]
    daemon = serve(settings={"pools": [{"name": "pool", "monitors": [], "passive": NEVER_EJECT, **IN_ORDER,
                                        "endpoints": [endpoint(first), endpoint(second)]}], "load_balancers": never})
    first.script("/bad", answer(503))
    first.mode("reset", "/reset")
    for number, (host, method, target, refused, words) in enumerate([
            ("app.test", "POST", "/bad", "method", "acted on it"), ("app.test", "POST", "/reset", "method", "acted on it"),
            ("none.test", "GET", "/bad", "retries", "failover.retries"), ("connect.test", "GET", "/reset", "kind", "failover.on")]):
        daemon.request(method, target, [("X-Request-Id", f"id{number}")], host=host)
        told = remembered(daemon, f"id{number}")
        failed = steps(told, "failed")[-1]
        assert (failed["then"], failed["refused"]) == ("answered", refused) and words in failed["text"] and words in told["reason"], told
        assert told["endpoint"] == "pool/first"


@pytest.mark.parametrize("name_length", [8, 40])
def test_each_try_is_named_whatever_room_there_is(serve, name_length):
    """A pool of many, whose names stand with each choice; the longer the target, the less room is left for them."""
    daemon = serve(*({"name": f"{n}".rjust(name_length, "e"), "address": f"127.0.0.1:{free_port()}"} for n in range(9)), lb={"failover": {"retries": 10}},
                   pool={"passive": NEVER_EJECT}, explain={"requests": 100}, workers=1)
    for n in range(20):
        assert send(daemon, f"id{n}", "/" + "x" * 8 * n).status == 502
        told = remembered(daemon, f"id{n}")
        tries, failed = [t["endpoint"] for t in steps(told, "try")], [f["then"] for f in steps(told, "failed")]
        assert failed == ["again"] * min(len(failed), 8) + ["nobody"] * (len(failed) == 9)
        assert len(tries) > 3 and all(tries) and len(set(tries)) == len(tries), tries
        if len(tries) == 9:
            assert told["endpoint"] == tries[-1] and (len(failed) < 9 or "failed" in told["reason"])
        else:
            assert told["endpoint"] is None and "no room" in told["reason"] and steps(told, "cut")


def test_the_id_in_the_access_log(daemon):
    daemon.get()
    wait_until(daemon.access_log)
    assert remembered(daemon, daemon.access_log()[-1]["request_id"])["status"] == 200


def test_a_session_that_was_followed(serve, make_origin):
    daemon = serve(*(make_origin(name) for name in "abc"), lb={"session_affinity": {"type": "cookie", "name": "s"}})
    cookie = send(daemon, "one").get("Set-Cookie").partition(";")[0]
    send(daemon, "two", headers=[("Cookie", cookie)])
    first, then = remembered(daemon, "one"), remembered(daemon, "two")
    assert "no session so far" in step(first, "session")["text"] and first["endpoint"] == then["endpoint"]
    assert step(first, "end")["session_cookie"] and not step(then, "end")["session_cookie"]
    assert then["endpoint"] in step(then, "session")["text"] and "session" in then["reason"] and not steps(then, "endpoints")
    assert daemon.cli("endpoint", "drain", first["endpoint"]).returncode == 0
    send(daemon, "three", headers=[("Cookie", cookie)])
    told = remembered(daemon, "three")
    assert told["endpoint"] != first["endpoint"] and "can't have it now (drained by the operator)" in step(told, "session")["text"]
    out = next(c for c in step(told, "endpoints", "pool")["candidates"] if c["name"] == first["endpoint"])
    assert "drained" in out["ruled_out"] and out["condition"] == "drained"


@pytest.mark.parametrize("affinity, fields, words", [
    ({"type": "cookie", "name": "s"}, {"cookie": "s=forged"}, "forged"),
    ({"type": "cookie", "name": "s"}, {}, "no cookie s"),
    ({"type": "ip_cookie", "name": "s"}, {}, "by its address"),
    ({"type": "header", "header": "X-Session"}, {}, "no header X-Session"),
    ({"type": "header", "header": "X-Session"}, {"header": "X-Session: 7"}, "what its header X-Session says"),
])
def test_why_there_is_no_session(serve, make_origin, affinity, fields, words):
    daemon = serve(make_origin("a"), lb={"session_affinity": affinity})
    assert words in step(explain(daemon, **fields), "session")["text"]


def test_sessions_that_are_over_or_of_nobody(serve, make_origin):
    a, b = make_origin("a"), make_origin("b")
    daemon = serve(a, lb={"session_affinity": {"type": "cookie", "name": "s", "ttl": "1h"}})
    cookie = daemon.get().get("Set-Cookie").partition(";")[0]
    daemon.write(pools=[{"name": "other", "monitors": [], "endpoints": [endpoint(b)]}],
                 load_balancers=[{"hostnames": ["*"], "default_pools": ["other"], "session_affinity": {"type": "cookie", "name": "s"}}])
    assert daemon.reload().returncode == 0
    assert "none of this load balancer any more" in step(explain(daemon, cookie=cookie), "session")["text"]


def test_the_end_of_a_request(daemon):
    assert send(daemon, "one", "/bytes/1000").status == 200
    end = remembered(daemon, "one")["steps"][-1]
    assert end["step"] == "end" and end["bytes"] == 1000 and end["after_ms"] >= end["first_byte_ms"] > 0 and "answered with 200" in end["text"]


def test_levels_that_find_nobody_are_told_once(serve, make_origin):
    origins = [make_origin(name) for name in "ab"]
    daemon = serve(*origins, pool={"passive": NEVER_EJECT})
    for origin in origins:
        origin.kill()
    assert send(daemon, "one").status == 502
    told = remembered(daemon, "one")
    failed = steps(told, "failed")
    assert [f["then"] for f in failed] == ["again", "nobody"] and "retry 1 of 2" in failed[0]["text"]
    assert len(steps(told, "pools")) == 3 and len(steps(told, "endpoints")) == 3  # to the first, to the second, to nobody


def test_a_url_says_all(daemon):
    for asked in ("app.test", "app.test/x?y=1", "https://app.test/x#part", "http://app.test:8080"):
        result = daemon.cli("explain", asked)
        assert result.returncode == 0 and "pool/a" in result.stdout, result.stderr
    assert daemon.cli("explain", "app.test", "--host", "b.test").returncode == 2
    assert daemon.cli("explain").returncode == 2
    assert daemon.cli("explain", "app.test", "--request", "x").returncode == 2
    assert 'slash: "/nope"' in daemon.cli("explain", "app.test", "--path", "nope").stderr
    assert "host must be" in daemon.cli("explain", "--host", "https://app.test/").stderr


def test_only_the_last_are_remembered(serve, origin):
    daemon = serve(origin, explain={"requests": 3}, workers=1)
    for n in range(5):
        send(daemon, f"id{n}")
    assert [daemon.cli("explain", "--request", f"id{n}").returncode for n in range(5)] == [1, 1, 0, 0, 0]
    gone = daemon.cli("explain", "--request", "id0")
    assert "any more" in gone.stderr and "3" in gone.stderr
    daemon.write(explain={"requests": 2})
    assert daemon.reload().returncode == 0
    assert [daemon.cli("explain", "--request", f"id{n}").returncode for n in range(5)] == [1, 1, 1, 0, 0]
    daemon.write(explain={"requests": 0})
    assert daemon.reload().returncode == 0
    assert "explain.requests is 0" in daemon.cli("explain", "--request", "id4").stderr


def test_which_requests_are_remembered(serve, make_origin):
    first, second = make_origin("first"), make_origin("second")
    daemon = serve(first, second, pool={**IN_ORDER, "passive": NEVER_EJECT}, workers=3)
    first.script("/again", answer(502))
    for number, target in enumerate(["/", "/again", "/status/500", "/x"]):
        send(daemon, f"id{number}", target)

    def last(query=""):
        return daemon.admin("GET", "/v1/requests" + query).json()["requests"]
    assert [r["request"] for r in last()] == ["id3", "id2", "id1", "id0"]
    assert [r["request"] for r in last("?limit=2")] == ["id3", "id2"]
    failed = last("?failed=true")
    assert [(r["request"], r["status"], r["tries"], r["endpoint"]) for r in failed] == [("id2", 500, 1, "pool/first"), ("id1", 200, 2, "pool/second")]
    assert failed[1]["target"] == "/again" and failed[1]["method"] == "GET"
    printed = daemon.cli("explain", "--last", "--failed").stdout.splitlines()
    assert printed[0].split() == ["STARTED", "REQUEST", "STATUS", "TOOK", "TRIES", "ENDPOINT", "WHAT"] and len(printed) == 3
    assert "id2" in printed[1] and printed[1].endswith("GET app.test/status/500")
    for wrong in (["--last", "app.test"], ["--failed", "app.test"], ["--last", "--cookie", "a=b"], ["--limit", "3", "app.test"]):
        assert daemon.cli("explain", *wrong).returncode == 2
    assert daemon.admin("GET", "/v1/requests?limit=0").status == 400


def test_what_outlives_its_configuration(serve, make_origin):
    a, b = make_origin("a"), make_origin("b")
    daemon = serve(a, workers=1)
    send(daemon, "one")
    daemon.write(pools=[{"name": "other", "monitors": [], "endpoints": [endpoint(b)]}],
                 load_balancers=[{"hostnames": ["*"], "default_pools": ["other"]}])
    assert daemon.reload().returncode == 0
    assert send(daemon, "two").body == b"b\n"
    assert remembered(daemon, "one")["endpoint"] == "pool/a" and remembered(daemon, "two")["endpoint"] == "other/b"


def test_every_worker_is_asked(serve, origin):
    daemon = serve(origin, workers=4)
    for n in range(24):
        send(daemon, f"id{n}")
    assert all(remembered(daemon, f"id{n}")["status"] == 200 for n in range(24))
    send(daemon, "same", "/1"), send(daemon, "same", "/2")
    told = remembered(daemon, "same")
    assert told["target"] == "/2" and told["same_id"] == 2


def test_one_that_is_under_way(serve, origin):
    daemon = serve(origin, explain={"requests": 2}, workers=1)
    gate = Gate()
    origin.script("/wait", gate, answer(200))
    waiting = daemon.connect().send(request_bytes("GET", "/wait", [("X-Request-Id", "slow")]))
    wait_until(lambda: gate.waiting)
    told = remembered(daemon, "slow")
    assert told["under_way"] and told["status"] is None and told["endpoint"] == "pool/origin" and "under way" in told["outcome"]
    send(daemon, "a"), send(daemon, "b")
    gate.open()
    assert waiting.read_response().status == 200
    assert daemon.admin("GET", "/v1/explain?request=slow").status == 404 and remembered(daemon, "b")["status"] == 200


def test_rules_and_hosts_of_nobody_are_remembered(serve, origin):
    daemon = serve(settings={
        "pools": [{"name": "p", "monitors": [], "endpoints": [endpoint(origin)]}],
        "load_balancers": [{"hostnames": ["app.test"], "default_pools": ["p"],
                            "rules": [{"name": "no", "match": {"path_prefixes": ["/no"]}, "response": {"status": 403}}]}]})
    assert send(daemon, "ruled", "/no").status == 403
    told = remembered(daemon, "ruled")
    assert (told["rule"], told["status"], told["endpoint"]) == ("no", 403, None) and "403" in told["reason"]
    assert daemon.request("GET", "/", [("X-Request-Id", "lost")], host="other.test").status == 404
    assert "no load balancer" in remembered(daemon, "lost")["reason"]


@pytest.mark.parametrize("target", ["/", "/no"])
def test_one_that_is_refused_before_anybody_is_asked(serve, origin, target):
    daemon = serve(origin, limits={"body_size": "1k"}, lb={"rules": [{"match": {"path_prefixes": ["/no"]}, "response": {"status": 403}}]})
    assert daemon.request("POST", target, [("X-Request-Id", "large")], body=b"x" * 1025).status == 413
    told = remembered(daemon, "large")
    assert (told["status"], told["ended"], told["endpoint"]) == (413, "body_too_large", None) and "503" not in told["reason"]
    assert "larger" in told["reason"] and "rule answers" not in told["reason"] and told["rule_answers"] is None


def test_many_endpoints_are_counted(serve, origin):
    daemon = serve(*({"name": f"e{n}", "address": origin.url, "weight": 0.0 if n < 10 else 1.0} for n in range(100)),
                   pool={"endpoint_steering": {"policy": "least_outstanding_requests"}})
    send(daemon, "one")
    told = step(remembered(daemon, "one"), "endpoints", "pool")
    assert told["of"] == 100 and 1 <= len(told["candidates"]) <= 8 and told["chosen"] in [c["name"] for c in told["candidates"]]
    assert "10 of weight 0" in told["others"]


def test_what_a_weight_is_made_of(serve, make_origin):
    daemon = serve(endpoint(make_origin("a"), weight=3.0), make_origin("b"), workers=1)
    assert daemon.cli("endpoint", "weight", "pool/a", "2").returncode == 0
    send(daemon, "one")
    for told in (explain(daemon), remembered(daemon, "one")):
        a = candidate(told, "pool/a")
        assert a["weight"] == 2 and (a["weight_factors"]["configured"], a["weight_factors"]["override"], a["weight_factors"]["slow_start"]) == (3, 2, 1)
    assert "not 3" in daemon.cli("explain", "--host", "app.test").stdout


@pytest.mark.parametrize("query", ["host=app.test&request=x", "request="])
def test_one_question_at_a_time(daemon, query):
    assert daemon.admin("GET", "/v1/explain?" + query).status == 400


# --- inside a tunnel ---

def test_inside_a_tunnel(make_edge, origin):
    edge = make_edge(workers=1)
    drained, other = (edge.connect(connections=2, url=origin.url).id for _ in range(2))
    daemon = edge.daemon
    assert daemon.cli("tunnel", "drain", "ams", "--connector", drained).returncode == 0
    assert send(daemon, "one").status == 200
    for told in (explain(daemon), remembered(daemon, "one")):
        connectors, connections = steps(told, "connectors")[-1], steps(told, "connections")[-1]
        assert told["connector"] == other and connectors["chosen"] == other and connectors["tunnel"] == "ams"
        assert "drained" in next(c for c in connectors["candidates"] if c["name"] == drained)["ruled_out"]
        assert len(connections["candidates"]) == 2 and told["connection"] == connections["chosen"] is not None
        assert all(c["in_flight"] == 0 for c in connections["candidates"])
    printed = daemon.cli("explain", "--request", "one").stdout
    assert f"chooses {other}" in printed and drained in printed


@pytest.mark.parametrize("workers", [1, 4])
def test_weight_by_connections(make_edge, make_origin, workers):
    """Twice the connectors, twice the share; it follows as they come and go."""
    edge = make_edge("ams", "fra", workers=workers, pool={"connection_scaling": 2, "endpoint_steering": {"policy": "round_robin"}, "slow_start": "0s"})
    origins = {name: make_origin(name) for name in ("ams", "fra")}
    second = [edge.connect(name, connections=2, url=origins[name].url) for name in ("ams", "fra", "ams")][-1]

    def shares(count):
        return collections.Counter(send(edge.daemon, f"r{i}").body.decode().strip() for i in range(count))

    def weights():
        return {c["name"]: (c["weight"], c["weight_factors"]["connections"]) for c in steps(explain(edge.daemon), "endpoints")[-1]["candidates"]}

    wait_until(lambda: weights() == {"pool/ams": (2, 2), "pool/fra": (1, 1)})
    assert "weight: 1 × 2 for its connections" in edge.daemon.cli("explain", "--host", "app.test").stdout
    counts = shares(90)
    assert abs(counts["ams"] - 60) <= workers and counts["ams"] + counts["fra"] == 90
    second.stop()
    wait_until(lambda: weights() == {"pool/ams": (1, 1), "pool/fra": (1, 1)})
    assert abs(shares(60)["ams"] - 30) <= workers
