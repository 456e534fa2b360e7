"""`penstock simulate`: what would become of the traffic, compared with what then becomes of it."""

import json
from collections import Counter

import pytest
from client import Connection, request_bytes, wait_until
from daemon import IN_ORDER, IN_TURN, cli, endpoint, monitor, wait_for_state
from origin import Pause
from test_geo import MAPS, make_database
from wire import answer

CLIENTS = [f"192.0.2.{n}" for n in range(1, 251)]
TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}


def simulate(daemon, *arguments, status=0):
    told = daemon.cli("simulate", "--json", "--window", "0", *arguments)
    assert told.returncode == status, told.stderr
    return json.loads(told.stdout)


def shares(told, when="then", balancer=0):
    return {e["endpoint"]: e[when] for e in told["load_balancers"][balancer]["endpoints"] if e[when]}


def real_shares(daemon, clients):
    """By the endpoint's name: each origin is called like its endpoint."""
    seen = Counter()
    with daemon.connect() as connection:
        for client in clients:
            got = connection.request("GET", "/", [("X-Forwarded-For", client)])
            assert got.status == 200
            seen[got.get("X-Origin")] += 1
    return {name: n / len(clients) for name, n in seen.items()}


def assert_alike(told, real, tolerance):
    by_name = {identity.split("/")[1]: share for identity, share in told.items()}
    for name in by_name.keys() | real.keys():
        assert abs(by_name.get(name, 0) - real.get(name, 0)) <= tolerance, (told, real)


@pytest.fixture
def sample(folder):
    """A file of these lines."""
    def write(*lines):
        path = folder / "sample"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path
    return write


# Those that leave nothing to chance are as foretold to the last request.
@pytest.mark.parametrize("steering,tolerance", [
    ({"policy": "off"}, 0), ({"policy": "hash", "key": "client_ip"}, 0), ({"policy": "round_robin"}, 0.02), ({"policy": "random"}, 0.15),
    ({"policy": "least_outstanding_requests"}, 0.15)], ids=lambda value: value["policy"] if isinstance(value, dict) else "")
def test_what_was_foretold_happens(serve, make_origin, sample, steering, tolerance):
    origins = [make_origin(name) for name in "abc"]
    daemon = serve(endpoint(origins[0], weight=2.0), *origins[1:], pool={"monitors": ["app"], "endpoint_steering": steering}, monitors=[monitor()],
                   workers=1, **TRUSTED)
    for name in "abc":
        wait_for_state(daemon, f"pool/{name}", "healthy")
    told = simulate(daemon, "--down", "pool/a", "--requests", 40 * len(CLIENTS), "--clients", sample(*CLIENTS))
    assert_alike(shares(told, "now"), real_shares(daemon, CLIENTS), tolerance)
    origins[0].kill()
    wait_for_state(daemon, "pool/a", "down")
    assert_alike(shares(told), real_shares(daemon, CLIENTS), tolerance)
    assert "pool/a" not in shares(told) and told["unanswered"]["then"] == 0


def test_places_and_pools(serve, make_origin, folder, sample):
    """Maps, and the load balancer's failover to the next pool of a map's list."""
    origins = {name: make_origin(name) for name in ("world", "west", "germany", "europe", "east", "office")}
    daemon = serve(monitors=[monitor()], workers=1, settings={
        **TRUSTED, "geoip": {"database": make_database(folder / "places.mmdb")},
        "pools": [{"name": name, "monitors": ["app"], "endpoints": [endpoint(o)]} for name, o in origins.items()],
        "load_balancers": [{"hostnames": ["*"], "default_pools": ["world"], **MAPS, "country_pools": {"DE": ["germany", "europe"]},
                            "steering": {"policy": "geo"}}]})
    for name in origins:
        wait_for_state(daemon, f"{name}/{name}", "healthy")
    clients = ["192.0.2.1"] * 5 + ["192.0.2.200", "192.0.3.1", "192.0.3.2", "198.51.100.1", "203.0.113.1"]
    told = simulate(daemon, "--down", "germany", "--requests", len(clients), "--clients", sample(*clients))
    assert shares(told, "now")["germany/germany"] == 0.5 and shares(told)["europe/europe"] == pytest.approx(0.7)
    assert_alike(shares(told, "now"), real_shares(daemon, clients), 0)
    origins["germany"].kill()
    wait_for_state(daemon, "germany/germany", "down")
    assert_alike(shares(told), real_shares(daemon, clients), 0)


def test_the_fastest_of_those_that_are_left(serve, make_origin):
    origins = [make_origin(name) for name in "abc"]
    for one, seconds in zip(origins, (0, 0.06, 0.3)):  # probes are as slow as traffic
        one.script("*", Pause(seconds), answer(200, b"", [("X-Origin", one.name)]))
    daemon = serve(*origins, pool={"monitors": ["app"], "endpoint_steering": {"policy": "dynamic_latency"}}, monitors=[monitor()], workers=1)
    for one in origins:
        wait_for_state(daemon, f"pool/{one.name}", "healthy")
    real_shares(daemon, ["192.0.2.1"] * 20)
    told = simulate(daemon, "--down", "pool/a")
    origins[0].kill()
    wait_for_state(daemon, "pool/a", "down")
    assert_alike(shares(told), real_shares(daemon, ["192.0.2.1"] * 20), 0.15)
    assert shares(told)["pool/b"] > 0.8


def test_sessions_stay_where_they_can(serve, make_origin, sample):
    daemon = serve(*(make_origin(name) for name in "abc"), pool=IN_TURN, workers=1,
                   lb={"session_affinity": {"type": "cookie", "name": "s", "drain_duration": "1h"}})
    clients = sample(*(f"192.0.2.{n} app.test" for n in range(1, 241)))
    told = simulate(daemon, "--down", "pool/a", "--requests", 2400, "--clients", clients)
    now, then = shares(told, "now"), shares(told)
    assert "pool/a" not in then and all(then[e] > now[e] for e in ("pool/b", "pool/c"))
    told = simulate(daemon, "--drain", "pool/a", "--requests", 2400, "--clients", clients)
    assert shares(told)["pool/a"] == pytest.approx(shares(told, "now")["pool/a"])


def test_without_a_trace(serve, make_origin):
    daemon = serve(*(make_origin(name) for name in "abc"), pool=IN_TURN, workers=1)
    first = [daemon.get().body for _ in range(3)]

    def known():
        return [(e["id"], e["state"], e["in_flight"], e["requests"]) for pool in daemon.status()["pools"] for e in pool["endpoints"]]
    wait_until(lambda: all((in_flight, requests) == (0, 1) for _, _, in_flight, requests in known()))
    before = known()
    simulate(daemon, "--down", "pool", "--rate", "50", status=1)
    assert known() == before and daemon.pool("pool")["state"] == "healthy"
    assert not any(event["type"] in ("endpoint.down", "pool.critical") for event in daemon.events())
    assert [daemon.get().body for _ in range(3)] == first
    wait_until(lambda: daemon.metric("penstock_requests_total") == 6)


def two_pools(origins, **lb):
    return {"pools": [{"name": "first", "monitors": [], "minimum_endpoints": 2, "endpoints": [endpoint(o) for o in origins[:2]]},
                      {"name": "second", "monitors": [], "endpoints": [endpoint(o) for o in origins[2:]]}],
            "load_balancers": [{"hostnames": ["app.test"], "default_pools": ["first", "second"], **lb}]}


def test_failover_minimum_and_nobody(serve, make_origin):
    daemon = serve(settings=two_pools([make_origin(name) for name in "abc"], when_all_down="503"))
    told = simulate(daemon, "--down", "first/a")
    assert shares(told) == {"second/c": 1} and shares(told, "now").keys() == {"first/a", "first/b"}
    assert told["pools"][0]["falls_below_minimum"] and told["pools"][0]["state_then"] == "critical"
    lb = told["load_balancers"][0]
    assert (lb["state_now"], lb["state_then"]) == ("healthy", "failover") and "second" in lb["reason_then"]
    told = simulate(daemon, "--down", "first/*", "second/c", status=1)
    assert told["outcomes"]["nobody"] == {"now": 0, "then": 1} == told["unanswered"]
    assert told["load_balancers"][0]["state_then"] == "down" and told["down"] == ["first/a", "first/b", "second/c"]
    people = daemon.cli("simulate", "--down", "first,second", "--window", "0")
    assert people.returncode == 1 and "nobody: 503" in people.stdout and "below its minimum of 2" in people.stdout


def test_what_is_sent_to_the_dead_is_lost(serve, make_origin):
    daemon = serve(settings=two_pools([make_origin(name) for name in "abc"]))
    told = simulate(daemon, "--down", "first", "--down", "second/c", status=1)
    assert told["outcomes"]["lost"]["then"] == 1 and told["load_balancers"][0]["state_then"] == "fallback"
    told = simulate(daemon, "--down", "first/a", "--drain", "second/c")
    assert shares(told) == {"first/b": 1}, "the least bad of those that live"
    assert told["load_balancers"][0]["endpoints"][1]["last_resort"]["then"] == 1


def test_rules_and_their_pools(serve, make_origin, sample):
    origins = [make_origin(name) for name in "abc"]
    daemon = serve(settings=two_pools(origins, rules=[{"name": "api", "match": {"path_prefixes": ["/api"]}, "pools": ["second"]},
                                                      {"match": {"path_prefixes": ["/no"]}, "response": {"status": 403}}]))
    told = simulate(daemon, "--down", "second/c", "--clients", sample("192.0.2.1 app.test / 2", "192.0.2.1 app.test /api 6", "192.0.2.1 app.test /no",
                                                                      "# nobody", "192.0.2.1 other.test / 1"), status=1)
    rows = {lb["rule"] or lb["rule_line"]: lb for lb in told["load_balancers"]}
    assert rows[None]["share"]["now"] == pytest.approx(0.2) and rows["api"]["outcomes"]["lost"]["then"] == 1
    assert told["outcomes"]["rule_response"]["now"] == told["outcomes"]["no_load_balancer"]["then"] == pytest.approx(0.1)


def test_load_that_the_others_get(serve, make_origin):
    origins = [make_origin(name) for name in "abc"]
    daemon = serve(*(endpoint(o, max_in_flight=1) for o in origins), pool=IN_TURN, timeouts={"queue": "500ms"})
    told = simulate(daemon, "--down", "pool/a", "--rate", "10")
    load = {e["endpoint"]: e for e in told["endpoints"]}
    assert load["pool/b"]["requests_per_second"]["then"] == pytest.approx(5, rel=0.2) and load["pool/a"]["assumed"] == "down"
    told = simulate(daemon, "--down", "pool/a", "--down", "pool/b", "--rate", "100000", status=1)
    assert told["outcomes"]["waited_in_vain"]["then"] > 0.5
    assert next(e for e in told["endpoints"] if e["endpoint"] == "pool/c")["full_then"]


def test_a_load_balancer_without_traffic_has_its_shares_too(serve, make_origin):
    """It is asked what it would do, but is no load."""
    origins = [make_origin(name) for name in "abcd"]
    daemon = serve(settings={"pools": [{"name": name, "monitors": [], **IN_TURN, "endpoints": [endpoint(o) for o in two]}
                                       for name, two in (("busy", origins[:2]), ("idle", origins[2:]))],
                             "load_balancers": [{"hostnames": [f"{name}.test"], "default_pools": [name]} for name in ("busy", "idle")]})
    for _ in range(10):
        daemon.get(host="busy.test")
    told = simulate(daemon, "--down", "busy/a,idle/c", "--rate", "20")
    assert shares(told) == {"busy/b": 1} and shares(told, balancer=1) == {"idle/d": 1}
    assert [lb["share"]["then"] for lb in told["load_balancers"]] == [1, 0]
    load = {e["endpoint"]: e["requests_per_second"]["then"] for e in told["endpoints"]}
    assert load["busy/b"] == pytest.approx(20) and load["idle/c"] == 0 and "idle/d" not in load


def test_the_rate_is_measured(serve, make_origin):
    daemon = serve(make_origin("a"), make_origin("b"), pool=IN_TURN)
    for _ in range(10):
        daemon.get()
    told = json.loads(daemon.cli("simulate", "--json", "--window", "0.1", "--down", "pool/a").stdout)
    assert told["rate"] == {"requests_per_second": None, "measured_over_s": 0.1} and shares(told) == {"pool/b": 1}


@pytest.mark.parametrize("question,word", [
    ({}, "who is lost"), ({"down": ["pool/x"]}, "pool/x"), ({"down": "pool/a"}, "list"), ({"down": [1]}, "down[0]"), ({"down": ["pool"], "x": 1}, "unknown"),
    ({"down": ["tunnel:none"]}, "tunnel:none"), ({"drain": ["pool"], "requests": 0}, "requests"), ({"down": ["pool"], "requests": 2e6}, "requests"),
    ({"down": ["pool"], "rate": "1"}, "rate"), ({"down": ["pool"], "window": 100}, "window"), ({"down": ["pool"], "clients": []}, "clients"),
    ({"down": ["pool"], "clients": [{"client": "x"}]}, "clients[0].client"), ({"down": ["pool"], "clients": [{}, {"path": "x"}]}, "clients[1].path"),
    ({"down": ["pool"], "clients": [{"host": "a\r\nb"}]}, "control"), ({"down": ["pool"], "clients": [{"port": 1}]}, "port"),
    ({"down": ["pool"], "clients": [{"count": 0}]}, "count"), ({"down": ["pool"], "clients": [{}] * 5001}, "5000")])
def test_questions_that_make_no_sense(serve, origin, question, word):
    refusal = serve({"name": "a", "address": origin.url}).admin("POST", "/v1/simulate", question)
    assert refusal.status == 400 and word in refusal.json()["detail"]


def ask_and_wait(daemon, **question):
    """A connection with a question that is being answered."""
    body = json.dumps({"down": ["pool/a"], **question}).encode()
    connection = Connection(f"unix:{daemon.admin_socket}")
    return connection.send(request_bytes("POST", "/v1/simulate", [("Content-Type", "application/json")], body, host="localhost"))


def status_of_another(daemon):
    return daemon.admin("POST", "/v1/simulate", {"down": ["pool/a"], "window": 0, "requests": 10}).status


def test_one_at_a_time_and_none_for_nobody(serve, make_origin):
    daemon = serve(make_origin("a"), make_origin("b"))
    with ask_and_wait(daemon, window=60):
        wait_until(lambda: status_of_another(daemon) == 503)
    wait_until(lambda: status_of_another(daemon) == 200)


@pytest.mark.parametrize("question", [{"window": 60}, {"window": 0, "requests": 1000000, "rate": 1000}], ids=["while measuring", "while running"])
def test_a_stop_does_not_wait_for_it(serve, make_origin, question):
    daemon = serve(make_origin("a"), make_origin("b"))
    with ask_and_wait(daemon, **question):
        wait_until(lambda: status_of_another(daemon) == 503)
        daemon.stop()


def test_a_large_sample(serve, make_origin, sample):
    daemon = serve(make_origin("a"), make_origin("b"))
    path = sample(*(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} - /{'x' * 300}" for n in range(8000)))
    told = daemon.cli("simulate", "--json", "--window", "0", "--down", "pool/a", "--clients", path)
    assert told.returncode == 0 and "of 8000 requests were drawn" in told.stderr
    assert shares(json.loads(told.stdout)) == {"pool/b": 1}


def test_a_thousand_endpoints(serve, origin):
    daemon = serve(*({"name": f"e{n}", "address": origin.url} for n in range(1000)))
    told = simulate(daemon, "--down", "pool/e1*")
    assert len(told["down"]) == 111 and not shares(told).keys() & set(told["down"]) and told["complete"]


def test_our_own_access_log_as_a_sample(serve, make_origin):
    daemon = serve(*(make_origin(name) for name in "abc"), pool={"endpoint_steering": {"policy": "hash", "key": "path"}})
    seen = Counter("pool/" + daemon.get(f"/{n}").get("X-Origin") for n in range(20))
    wait_until(lambda: len(daemon.access_log()) == 20)
    told = simulate(daemon, "--down", "pool/a", "--requests", "20", "--clients", daemon.access_log_path)
    assert shares(told, "now") == {identity: pytest.approx(n / 20) for identity, n in seen.items()}
    assert told["sample"]["requests"] == {"now": 20, "then": 20} and isinstance(told["sample"]["requests"]["now"], int)


def test_without_a_daemon(make_daemon, make_origin, folder):
    daemon = make_daemon({"pools": [{"name": "pool", "monitors": [], "endpoints": [endpoint(make_origin(name)) for name in "ab"]}],
                          "load_balancers": [{"hostnames": ["*"], "default_pools": ["pool"]}]})
    daemon.write()
    told = cli("simulate", "-c", daemon.config_path, "--down", "pool/a", "--json")
    assert told.returncode == 0, told.stderr
    assert shares(json.loads(told.stdout)) == {"pool/b": 1}
    assert cli("simulate", "-c", folder / "missing", "--down", "pool/a").returncode == 2
    assert cli("simulate", "-c", daemon.config_path, "--down", "pool/x").returncode == 2


def test_a_tunnel_of_the_edge(make_edge, origin):
    edge = make_edge("ams", "fra")
    for name in ("ams", "fra"):
        edge.connect(name, url=origin.url)
    told = simulate(edge.daemon, "--down", "tunnel:ams")
    assert len(told["down"]) == 1 and told["down"][0].endswith("/ams") and list(shares(told)) == [told["down"][0].replace("ams", "fra")]


def test_what_it_prints(serve, make_origin, sample):
    """For people: what is known, what is a guess, what changes nothing."""
    daemon = serve(endpoint(make_origin("a"), enabled=False), *(endpoint(make_origin(name)) for name in "bcdefg"), pool=IN_TURN,
                   lb={"hostnames": ["app.test"]})
    clients = sample("192.0.2.1 app.test / 3", "192.0.2.1 other.test")
    told = daemon.cli("simulate", "--rate", "100", "--clients", clients, "pool/a", "pool/b").stdout
    assert "If pool/a and pool/b are down:\n10000 requests of 2 lines of the sample at 100 per second.\n" in told
    assert "\npool/a is out of service already.\n" in told and "25.0 % of these requests are for hosts of no load balancer (404)." in told
    rows = {row.split()[0]: row for row in told.splitlines() if " ms " in row}
    assert "~50.0 ms" in rows["pool/c"] and "\n~ No request to it was timed" in told
    daemon.get(host="app.test")
    told = daemon.cli("simulate", "--window", "0", "--clients", clients, "pool").stdout
    assert "If pool/a, pool/b, pool/c, pool/d and 3 more are down:\n" in told and "REQ/S" not in told and "without a rate" in told.lower()


def test_a_name_that_does_not_exist_is_no_answer(serve, origin):
    told = serve({"name": "a", "address": origin.url}).cli("simulate", "pool/x")
    assert told.returncode == 2 and "pool/x" in told.stderr


def test_what_traffic_ejected_and_what_is_not_touched(serve, make_origin):
    """An ejection does not end in the time that is made up, and another load balancer's shares are the same to the last request."""
    origins = [make_origin(name) for name in "abcde"]
    daemon = serve(settings={"pools": [{"name": "x", "monitors": [], "endpoints": [endpoint(o) for o in origins[:2]]},
                                       {"name": "y", "monitors": [], "endpoints": [endpoint(o) for o in origins[2:]],
                                        "passive": {"consecutive": 1, "ejection": "60s"}, "endpoint_steering": {"policy": "random"}}],
                             "load_balancers": [{"hostnames": [f"{name}.test"], "default_pools": [name]} for name in "xy"]})
    origins[2].kill()

    def is_ejected():
        daemon.get(host="y.test")
        return any(e["state"] == "ejected" for e in daemon.pool("y")["endpoints"])
    wait_until(is_ejected)
    told = simulate(daemon, "--down", "x/a", "--requests", "3000")
    other = told["load_balancers"][1]
    assert [e["endpoint"] for e in other["endpoints"]] == ["y/d", "y/e"] and all(e["change"] == 0 for e in other["endpoints"])
    assert simulate(daemon, "--down", "x/a", "--requests", "3000")["load_balancers"][1] == other


@pytest.mark.parametrize("line,word", [("nonsense", "no IP address"), ("192.0.2.1 a x", "path"), ("192.0.2.1 a / many", "many"), ('{"a":1}', "client"),
                                       ("{", "JSON"), ("1.2.3.4 a / 1 1", "too many")])
def test_lines_that_say_nothing(sample, line, word):
    told = cli("simulate", "--down", "pool/a", "--clients", sample("192.0.2.1", line))
    assert told.returncode == 2 and "sample:2: " in told.stderr and word in told.stderr
