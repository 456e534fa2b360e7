"""Evidence and verdict: monitors, passing traffic, the operator; fallback, panic, and reasons a person can read."""

import pytest
from client import wait_until
from daemon import IN_TURN, endpoint, monitor, wait_for_state
from edge import Tunnel
from origin import CLOSE, HANG, answer


def serve_monitored(serve, *origins, settings=None, pool=None, **more):
    return serve(*origins, pool={"monitors": ["app"], **(pool or {})}, monitors=[monitor(**(settings or {}))], **more)


def bodies(daemon, count=12):
    return {daemon.get().body for _ in range(count)}


def test_monitor_takes_out_and_brings_back(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve_monitored(serve, one, two, pool={"slow_start": "0s"})
    wait_for_state(daemon, "pool/one", "healthy")
    wait_for_state(daemon, "pool/two", "healthy")
    one.mode("unhealthy", "/healthz")
    row = wait_for_state(daemon, "pool/one", "down")
    assert "503" in row["reason"]
    assert bodies(daemon) == {b"two\n"}
    assert daemon.pool("pool")["state"] == "degraded"
    one.mode("healthy", "/healthz")
    wait_for_state(daemon, "pool/one", "healthy", timeout=40)
    wait_until(lambda: b"one\n" in bodies(daemon, 30), timeout=40)


def test_slow_start(serve, make_origin):
    """Who comes back gets a small share at first; who is there from the start a whole one."""
    one, two = make_origin("one"), make_origin("two")
    daemon = serve_monitored(serve, one, two, pool={"slow_start": "60s", **IN_TURN})
    for name in ("pool/one", "pool/two"):
        assert not wait_for_state(daemon, name, "healthy")["slow_start"]
    one.mode("unhealthy", "/healthz")
    wait_for_state(daemon, "pool/one", "down")
    one.mode("healthy", "/healthz")
    assert wait_for_state(daemon, "pool/one", "healthy")["slow_start"]
    got = [daemon.get().body for _ in range(60)]
    assert 1 <= got.count(b"one\n") <= 25


def test_thresholds(serve, origin):
    """One failure out of many does not count."""
    daemon = serve_monitored(serve, origin, settings={"consecutive_down": 3, "retries": 0})
    wait_for_state(daemon, "pool/origin", "healthy")
    origin.script("/healthz", answer(503, b"no"))
    seen = len(origin.seen("/healthz"))
    wait_until(lambda: len(origin.seen("/healthz")) > seen)
    origin.mode("healthy", "/healthz")
    after = len(origin.seen("/healthz"))
    wait_until(lambda: len(origin.seen("/healthz")) > after + 1)
    assert daemon.endpoint("pool/origin")["state"] == "healthy"
    assert not [event for event in daemon.events() if event["type"] == "endpoint.unhealthy"]


# (monitor settings, what the origin says, whether it is up)
JUDGED = [
    ("200", {}, answer(200, b"fine"), True),
    ("204", {}, b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ("404", {}, answer(404, b"no"), False),
    ("redirect", {}, answer(302, b"", [("Location", "/login")]), False),
    ("expected 404", {"expected_codes": "404"}, answer(404, b"no"), True),
    ("list and range", {"expected_codes": "200,301-303"}, answer(302, b""), True),
    ("2xx", {"expected_codes": "2xx"}, answer(299, b""), True),
    ("body there", {"expected_body": "fine"}, answer(200, b"all is fine here"), True),
    ("pattern there", {"expected_body": "~^all .* fine"}, answer(200, b"all is fine here"), True),
    ("pattern missing", {"expected_body": "~^fine"}, answer(200, b"all is fine here"), False),
    ("body missing", {"expected_body": "fine"}, answer(200, b"all is lost"), False),
    ("hang", {}, HANG, False),
    ("closed", {}, CLOSE, False),
    ("not HTTP", {}, b"garbage\r\n\r\n", False),
]


@pytest.mark.parametrize("settings,said,up", [row[1:] for row in JUDGED], ids=[row[0] for row in JUDGED])
def test_what_passes(serve, origin, settings, said, up):
    origin.script("/healthz", said)
    daemon = serve_monitored(serve, origin, settings={"retries": 0, **settings})
    wait_for_state(daemon, "pool/origin", "healthy" if up else "down", timeout=30)


def test_probe_asks_as_traffic_does(serve, origin):
    daemon = serve_monitored(serve, {**endpoint(origin), "headers": {"X-Token": "secret"}},
                             settings={"method": "HEAD", "headers": {"Accept": "text/plain"}},
                             lb={"hostnames": ["*.app.test", "app.test"]})
    request = wait_until(lambda: origin.seen("/healthz") and origin.seen("/healthz")[0])
    assert request.method == "HEAD" and request.version == "HTTP/1.1"
    assert request.get("Host") == "app.test", "the first hostname without a star"
    assert request.get("Accept") == "text/plain" and request.get("X-Token") == "secret"
    assert daemon.process.poll() is None


def test_follow_redirects(serve, origin):
    origin.script("/healthz", answer(302, b"", [("Location", "/really")]))
    daemon = serve_monitored(serve, origin, settings={"follow_redirects": True})
    wait_for_state(daemon, "pool/origin", "healthy")
    assert origin.seen("/really")


def test_tcp_monitor(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two, pool={"monitors": ["port"]},
                   monitors=[{"name": "port", "type": "tcp", "interval": "500ms", "timeout": "400ms", "consecutive_down": 2}])
    wait_for_state(daemon, "pool/one", "healthy")
    assert not one.requests
    one.kill()
    wait_for_state(daemon, "pool/one", "down")
    one.accept()
    wait_for_state(daemon, "pool/one", "healthy", timeout=40)


def test_several_monitors_must_all_pass(serve, origin):
    daemon = serve(origin, pool={"monitors": ["a", "b"]}, monitors=[monitor(name="a", path="/a"), monitor(name="b", path="/b")])
    wait_for_state(daemon, "pool/origin", "healthy")
    origin.script("/b", answer(500, b"no"))
    wait_for_state(daemon, "pool/origin", "down")


def test_default_monitor(serve, origin):
    """Not given: GET /, up unless the way itself is broken."""
    origin.script("/", answer(404, b"no"))
    daemon = serve(settings={"pools": [{"name": "pool", "endpoints": [endpoint(origin)]}],
                             "load_balancers": [{"hostnames": ["*"], "default_pools": ["pool"]}]})
    wait_for_state(daemon, "pool/origin", "healthy")
    assert origin.seen("/")


def test_without_monitors_traffic_alone_judges(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two, pool={"passive": {"consecutive": 5, "ejection": "30s"}, **IN_TURN})
    assert daemon.endpoint("pool/one")["state"] == "healthy"
    one.script("*", CLOSE)
    for _ in range(20):
        assert daemon.get().body == b"two\n"
    row = wait_for_state(daemon, "pool/one", "ejected")
    assert row["reason"]
    assert len(one.requests) <= 10


def test_ejection_ends(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two, pool={"passive": {"consecutive": 3, "ejection": "1s"}, **IN_TURN, "slow_start": "0s"})
    one.script("*", CLOSE)
    for _ in range(12):
        daemon.get()
    wait_for_state(daemon, "pool/one", "ejected")
    one.mode("healthy")
    wait_for_state(daemon, "pool/one", "healthy")
    assert b"one\n" in bodies(daemon)


@pytest.mark.parametrize("status", [500, 501, 404, 429])
def test_the_application_s_own_errors_do_not_eject(serve, make_origin, status):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two, pool={"passive": {"consecutive": 3, "min_requests": 5}, **IN_TURN})
    one.script("*", answer(status, b"no"))
    for _ in range(30):
        daemon.get()
    assert daemon.endpoint("pool/one")["state"] == "healthy"


def test_the_last_endpoint_is_never_ejected(serve, origin):
    daemon = serve(origin, pool={"passive": {"consecutive": 3}})
    origin.script("/x", CLOSE)
    for _ in range(10):
        assert daemon.get("/x").status == 502
    assert daemon.get().status == 200


def test_failure_ratio_ejects(serve, make_origin):
    """Half of the requests fail, never five in a row."""
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two, pool={"passive": {"consecutive": 50, "ratio": 0.4, "min_requests": 10, "window": "10s",
                                               "ejection": "30s"},
                                   "endpoint_steering": {"policy": "round_robin"}})
    one.script("/x", CLOSE)
    for n in range(80):
        daemon.get("/x" if n % 4 < 2 else "/")
        if daemon.endpoint("pool/one")["state"] == "ejected":
            break
    wait_for_state(daemon, "pool/one", "ejected")


def test_unknown_is_used_only_while_nothing_is_up(serve, make_origin):
    """A monitor that has not answered yet: the endpoint serves as long as no other is known to be well."""
    slow = make_origin("slow")
    slow.script("/healthz", HANG)
    daemon = serve_monitored(serve, slow, settings={"consecutive_down": 100})
    wait_until(lambda: len(slow.seen("/healthz")) >= 2)
    assert daemon.endpoint("pool/slow")["state"] == "unknown"
    assert daemon.get().body == b"slow\n"
    fine = make_origin("fine")
    daemon.write(pools=[{"name": "pool", "monitors": ["app"], "endpoints": [endpoint(slow), endpoint(fine)]}])
    assert daemon.reload().returncode == 0
    wait_for_state(daemon, "pool/fine", "healthy")
    assert daemon.endpoint("pool/slow")["state"] == "unknown"
    assert bodies(daemon) == {b"fine\n"}


def down_pools(serve, make_origin, **lb):
    """Two pools whose monitors fail but whose traffic would be answered."""
    origins = {name: make_origin(name) for name in ("a", "b")}
    for origin in origins.values():
        origin.script("/healthz", answer(503, b"no"))
    pools = [{"name": name, "monitors": ["app"], "endpoints": [endpoint(origin)]} for name, origin in origins.items()]
    daemon = serve(settings={"monitors": [monitor()], "pools": pools,
                             "load_balancers": [{"hostnames": ["*"], "default_pools": ["a"], **lb}]})
    for name in origins:
        wait_for_state(daemon, f"{name}/{name}", "down")
    daemon.origins = origins
    return daemon


def test_fallback_pool_when_all_are_down(serve, make_origin):
    daemon = down_pools(serve, make_origin, fallback_pool="b")
    assert daemon.get().body == b"b\n"
    assert daemon.status()["load_balancers"][0]["state"] == "fallback"
    wait_until(lambda: any(event["type"] == "load_balancer.fallback" for event in daemon.events()))


def test_least_bad_endpoint_without_a_fallback_pool(serve, make_origin):
    daemon = down_pools(serve, make_origin)
    assert daemon.get().body == b"a\n"


def test_the_other_bad_ones_are_tried_where_the_least_bad_one_fails(serve, make_origin):
    daemon = down_pools(serve, make_origin, default_pools=["a", "b"])
    assert daemon.get().body == b"a\n"
    daemon.origins["a"].kill()
    response = daemon.get(headers=[("X-Request-Id", "beyond")])
    assert (response.status, response.body) == (200, b"b\n")
    assert daemon.admin("GET", "/v1/explain?request=beyond").json()["endpoint"] == "b/b"


def test_503_when_all_are_down_if_so_wished(serve, make_origin):
    daemon = down_pools(serve, make_origin, when_all_down="503", retry_after="7s")
    response = daemon.get()
    assert (response.status, response.get("Retry-After")) == (503, "7")
    assert daemon.admin("GET", "/readyz?host=app.test").status == 503
    assert daemon.admin("GET", "/readyz").status == 200


PAGE = "<h1>Sorry</h1>" * 5000


@pytest.mark.parametrize("lb", [{}, {"when_all_down": "page"}, {"when_all_down": "503"}])
def test_a_page_when_all_are_down(serve, make_origin, folder, lb):
    (folder / "sorry.html").write_text(PAGE)
    daemon = down_pools(serve, make_origin, down_page={"file": folder / "sorry.html"}, retry_after="7s", **lb)
    with daemon.connect() as connection:
        response = connection.request("GET", "/")
        assert (response.status, response.get("Retry-After"), response.get("Content-Type")) == (503, "7", "text/html; charset=utf-8")
        assert response.body == PAGE.encode()
        head = connection.request("HEAD", "/")
        assert (head.status, head.get("Retry-After"), head.get("Content-Length"), head.body) == (503, "7", str(len(PAGE)), b"")
        assert connection.request("POST", "/", body=b"x" * 100_000).body == PAGE.encode()
    told = daemon.status()["load_balancers"][0]
    assert told["state"] == "down" and "the page" in told["reason"]
    assert "the page" in daemon.admin("GET", "/v1/explain?host=app.test").json()["reason"]


def test_a_page_is_read_anew_with_a_reload(serve, make_origin, folder):
    page = folder / "sorry.txt"
    page.write_text("one")
    daemon = down_pools(serve, make_origin, down_page={"file": page, "content_type": "text/plain", "status": 599})
    response = daemon.get()
    assert (response.status, response.get("Content-Type"), response.body) == (599, "text/plain", b"one")
    page.write_text("two")
    assert daemon.get().body == b"one"
    assert daemon.reload().returncode == 0
    assert daemon.get().body == b"two"
    page.write_text("")
    assert daemon.reload().returncode == 1
    assert daemon.get().body == b"two"
    page.write_text("x" * (256 * 1024 + 1))
    assert daemon.reload().returncode == 1


def test_a_page_stands_behind_the_fallback_pool(serve, make_origin, folder):
    (folder / "sorry.html").write_text(PAGE)
    daemon = down_pools(serve, make_origin, fallback_pool="b", down_page={"file": folder / "sorry.html"})
    assert daemon.get().body == b"b\n"
    assert daemon.cli("endpoint", "drain", "b/b").returncode == 0
    assert daemon.get().body == PAGE.encode()


def test_a_load_balancer_that_is_disabled_has_its_page(serve, make_origin, folder):
    (folder / "sorry.html").write_text(PAGE)
    daemon = serve(make_origin(), lb={"enabled": False, "down_page": {"file": folder / "sorry.html"}})
    assert daemon.get().body == PAGE.encode()


def test_status_says_what_requests_get(serve, make_origin):
    """With nobody left in the fallback pool, the least bad endpoint of another pool is not asked."""
    daemon = down_pools(serve, make_origin, fallback_pool="b")
    assert daemon.cli("endpoint", "drain", "b/b").returncode == 0
    assert daemon.get().status == 503
    told = wait_until(lambda: [lb for lb in daemon.status()["load_balancers"] if lb["state"] == "down"])
    assert told[0]["pool"] is None and "503" in told[0]["reason"]


def test_minimum_endpoints(serve, make_origin):
    one, two, other = (make_origin(name) for name in ("one", "two", "other"))
    pools = [{"name": "p", "minimum_endpoints": 2, "monitors": ["app"], "endpoints": [endpoint(one), endpoint(two)]},
             {"name": "q", "monitors": ["app"], "endpoints": [endpoint(other)]}]
    daemon = serve(settings={"monitors": [monitor()], "pools": pools,
                             "load_balancers": [{"hostnames": ["*"], "default_pools": ["p", "q"]}]})
    wait_until(lambda: daemon.pool("p")["state"] == "healthy")
    assert b"other\n" not in bodies(daemon)
    one.mode("unhealthy", "/healthz")
    wait_until(lambda: daemon.pool("p")["state"] == "critical")
    assert bodies(daemon) == {b"other\n"}


def test_operator_s_word_is_never_overridden(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two)
    for name in ("one", "two"):
        assert daemon.cli("endpoint", "drain", f"pool/{name}").returncode == 0
    response = daemon.get()
    assert response.status == 503 and response.get("Retry-After")
    assert daemon.cli("endpoint", "enable", "pool/two").returncode == 0
    assert daemon.get().body == b"two\n"


def test_disabled_in_the_file(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve({**endpoint(one), "enabled": False}, two)
    assert bodies(daemon) == {b"two\n"}
    assert daemon.endpoint("pool/one")["state"] == "disabled"


# (how the way through the edge ends, word of the reason)
DECODED = [("no connector", "1033"), ("no route", "1016"), ("dead service", "502"), ("no ingress rule", "ingress")]


@pytest.mark.parametrize("ending,word", DECODED, ids=[row[0] for row in DECODED])
def test_reason_names_where_the_fault_lies(serve, make_origin, public_edge, authority, ending, word):
    origin = make_origin("ams")
    service = {"dead service": "127.0.0.1:1", "no ingress rule": 404}.get(ending, origin.address)
    tunnel = public_edge.add(Tunnel("ams", [("ams.example.com", service)]), *([] if ending == "no route" else ["ams.example.com"]),
                             connected=ending != "no connector")
    daemon = serve_monitored(serve, {"name": "ams", "tunnel": tunnel.id, "hostname": "ams.example.com",
                                     "connect_to": public_edge.address,
                                     "tls": {"ca_file": authority.ca}})
    reason = wait_for_state(daemon, "pool/ams", "down")["reason"]
    assert word in reason


def test_monitor_test_command(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    two.script("/healthz", answer(503, b"no"))
    daemon = serve_monitored(serve, one, two)
    result = daemon.cli("monitor", "test", "pool/one", "--json")
    assert result.returncode == 0, result.stderr
    result = daemon.cli("monitor", "test", "pool")
    assert result.returncode == 1
    assert "one" in result.stdout and "two" in result.stdout and "503" in result.stdout


def test_events_tell_the_story_in_order(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve_monitored(serve, one, two)
    wait_for_state(daemon, "pool/one", "healthy")
    one.kill()
    wait_for_state(daemon, "pool/one", "down")
    one.accept()
    wait_for_state(daemon, "pool/one", "healthy", timeout=40)
    types = wait_until(lambda: (found := [e["type"] for e in daemon.events() if "pool/one" in str(e["data"])
                                          and e["type"].startswith("endpoint.")])
                       and found[-1] == "endpoint.healthy" and "endpoint.unhealthy" in found and found)
    assert types.index("endpoint.unhealthy") < len(types) - 1
