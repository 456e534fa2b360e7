"""Session affinity: who was answered by an endpoint goes there again, whatever steering would say."""

import collections
import re
import ssl

import pytest
from client import WEBSOCKET, Browser, wait_until
from daemon import IN_TURN, endpoint, monitor, wait_for_state
from origin import CLOSE, SWITCH, answer


@pytest.fixture
def three(make_origin):
    return [make_origin(name) for name in ("a", "b", "c")]


def sticky(serve, origins, pool=None, lb=None, endpoints=None, affinity=None, **more):
    """The endpoints in turn, so that nothing but affinity keeps a client at one of them."""
    return serve(*(endpoints or origins), pool={**IN_TURN, **(pool or {})},
                 lb={"session_affinity": {"type": "cookie", **(affinity or {})}, **(lb or {})}, **more)


def test_a_session_stays(serve, three):
    daemon = sticky(serve, three)
    browsers = [Browser(daemon) for _ in range(6)]
    first = [b.who() for b in browsers]
    assert set(first) == {"a", "b", "c"}
    for browser, name in zip(browsers, first):
        assert re.fullmatch(r"penstock=[A-Za-z0-9+/]{44}; Path=/; Max-Age=82800; HttpOnly; SameSite=Lax", browser.set)
        assert browser.several() == {name: 12}
        assert browser.set is None


def test_without_its_cookie_there_is_no_session(serve, three):
    daemon = sticky(serve, three, workers=1)
    assert collections.Counter(daemon.get("/").body.decode().strip() for _ in range(30)) == {"a": 10, "b": 10, "c": 10}


@pytest.mark.parametrize("change", [lambda c: c[:-1] + ("A" if c[-1] != "A" else "B"), lambda c: c[:-4], lambda c: "x", lambda c: "",
                                    lambda c: c + "A", lambda c: "%00" * 15, lambda c: "A" * 44, lambda c: "é" * 22])
def test_a_forged_cookie_is_ignored(serve, three, change):
    daemon = sticky(serve, three, workers=1)
    browser = Browser(daemon)
    browser.who()
    forged = change(browser.cookie)
    answers = [daemon.get("/", headers=[("Cookie", f"penstock={forged}")]) for _ in range(6)]
    assert all(a.status == 200 and a.all("Set-Cookie") for a in answers)
    assert collections.Counter(a.body.decode().strip() for a in answers) == {"a": 2, "b": 2, "c": 2}


def test_a_forged_cookie_hides_no_good_one(serve, three):
    daemon = sticky(serve, three)
    browser = Browser(daemon)
    name = browser.who()
    for strange in ("x", "A" * 44, browser.cookie[:-1] + ("A" if browser.cookie[-1] != "A" else "B")):
        for fields in ([f"penstock={strange}; a=b; penstock={browser.cookie}"], [f"penstock={strange}", f"penstock={browser.cookie}"],
                       ["; ".join([f"penstock={strange}"] * 3 + [f"penstock={browser.cookie}"])]):
            answers = [daemon.get("/", headers=[("Cookie", field) for field in fields]) for _ in range(3)]
            assert {(a.body.decode().strip(), a.get("Set-Cookie")) for a in answers} == {(name, None)}


def test_endpoints_see_the_cookie(serve, three):
    daemon = sticky(serve, three)
    browser = Browser(daemon)
    name = browser.who()
    browser.get("/seen")
    seen, = [o for o in three if o.name == name][0].seen("/seen")
    assert f"penstock={browser.cookie}" in seen.get("Cookie")


def test_another_load_balancers_cookie_is_foreign(serve, three):
    pools = [{"name": "pool", "monitors": [], "endpoints": [endpoint(o) for o in three], **IN_TURN}]
    lbs = [{"hostnames": [host], "default_pools": ["pool"], "session_affinity": {"type": "cookie"}} for host in ("one.test", "two.test")]
    daemon = serve(settings={"pools": pools, "load_balancers": lbs}, workers=1)
    browser = Browser(daemon, host="one.test")
    browser.who()
    foreign = Browser(daemon, host="two.test")
    foreign.cookie = browser.cookie
    foreign.who()
    assert foreign.set
    browser.who()
    assert not browser.set


def test_the_cookies_attributes(serve, three):
    daemon = sticky(serve, three, affinity={"name": "__Host-at", "ttl": "1h", "idle": "10m", "samesite": "strict", "secure": "always"})
    browser = Browser(daemon, name="__Host-at")
    browser.who()
    assert browser.set.split("; ")[1:] == ["Path=/", "Max-Age=600", "HttpOnly", "Secure", "SameSite=Strict"]


def test_secure_by_what_a_trusted_proxy_says(serve, three):
    daemon = sticky(serve, three, affinity={"samesite": "none"}, trusted_proxies=["127.0.0.1"])
    plain, secure = Browser(daemon), Browser(daemon)
    plain.get()
    secure.get(headers=[("X-Forwarded-Proto", "https")])
    assert "Secure" not in plain.set and "SameSite" not in plain.set
    assert secure.set.endswith("; Secure; SameSite=None")


@pytest.mark.parametrize("affinity, attributes", [
    ({}, ["Secure", "SameSite=Lax"]),
    ({"samesite": "none"}, ["Secure", "SameSite=None"]),
    ({"secure": "never", "samesite": "strict"}, ["SameSite=Strict"]),
])
def test_secure_by_the_listener(serve, three, authority, affinity, attributes):
    daemon = sticky(serve, three, affinity=affinity)
    certificate, key = authority.issue("app.example.com")
    daemon.write(listeners=[{"address": daemon.address, "tls": {"certificates": [{"cert": certificate, "key": key}]}}])
    daemon.stop()
    daemon.start()
    made = ssl.create_default_context(cafile=str(authority.ca))
    with daemon.connect(tls=made, server_name="app.example.com") as connection:
        cookie, = connection.request().all("Set-Cookie")
    assert cookie.split("; ")[3:] == ["HttpOnly", *attributes]


def test_a_websocket_begins_a_session_and_stays_in_one(serve, three):
    daemon = sticky(serve, three)
    for origin in three:
        origin.script("/ws", SWITCH, b"its name: " + origin.name.encode(), CLOSE)
    with daemon.connect() as connection:
        cookie, = connection.request("GET", "/ws", WEBSOCKET).all("Set-Cookie")
        name = connection.read_exactly(11)[-1:].decode()
    browser = Browser(daemon)
    browser.cookie = cookie.split(";")[0].split("=", 1)[1]
    assert browser.several() == {name: 12}
    for _ in range(4):
        with daemon.connect() as connection:
            again = connection.request("GET", "/ws", [*WEBSOCKET, ("Cookie", f"penstock={browser.cookie}")])
            assert again.status == 101 and not again.all("Set-Cookie")
            assert connection.read_exactly(11) == b"its name: " + name.encode()


def test_a_session_ends(serve, three):
    daemon = sticky(serve, three, affinity={"ttl": "2s"}, workers=1)
    browser = Browser(daemon)
    browser.who()
    first = browser.cookie
    wait_until(lambda: browser.get().status == 200 and browser.cookie != first)


def test_a_session_that_is_used_lives_on(serve, three):
    daemon = sticky(serve, three, affinity={"ttl": "1h", "idle": "3s"}, workers=1)
    browser = Browser(daemon)
    name, first, seen = browser.who(), browser.cookie, set()
    def several_were_set():
        assert browser.who() == name
        seen.add(browser.cookie)
        return len(seen) > 5
    wait_until(several_were_set, 30)
    stale = Browser(daemon)
    stale.cookie = first
    stale.get()
    assert stale.set and stale.cookie not in seen


def test_sessions_outlive_a_reload_and_a_restart(serve, three):
    daemon = sticky(serve, three)
    browser = Browser(daemon)
    name = browser.who()
    assert daemon.reload().returncode == 0
    assert browser.several() == {name: 12}
    keys = daemon.state_dir / "session-keys"
    assert keys.stat().st_mode & 0o777 == 0o600
    daemon.stop()
    daemon.start()
    assert browser.several() == {name: 12}


def test_keys_are_rotated(serve, three, folder):
    keys = folder / "keys"
    keys.write_text("1" * 32 + "\n")
    keys.chmod(0o600)
    daemon = sticky(serve, three, affinity_key_file=str(keys), workers=1)
    assert not (daemon.state_dir / "session-keys").exists()
    old = Browser(daemon)
    name = old.who()
    keys.write_text("2" * 32 + "\n" + "1" * 32 + "\n")
    assert daemon.reload().returncode == 0
    assert old.several() == {name: 12}
    new = Browser(daemon)
    new.who()
    keys.write_text("2" * 32 + "\n")
    assert daemon.reload().returncode == 0
    new.who()
    assert not new.set
    old.who()
    assert old.set


def test_ip_cookie_begins_by_the_address(serve, three):
    daemon = sticky(serve, three, affinity={"type": "ip_cookie"}, trusted_proxies=["127.0.0.1"])
    chosen = {}
    for i in range(40):
        client = f"192.0.2.{i}"
        names = {daemon.get("/", headers=[("X-Forwarded-For", client)]).body.decode().strip() for _ in range(4)}
        assert len(names) == 1
        chosen[client] = names.pop()
    assert set(chosen.values()) == {"a", "b", "c"}
    browser = Browser(daemon)
    browser.get(headers=[("X-Forwarded-For", "192.0.2.1")])
    for i in range(10):
        assert browser.get(headers=[("X-Forwarded-For", f"192.0.2.{i}")]).body.decode().strip() == chosen["192.0.2.1"]


def test_header(serve, three):
    daemon = sticky(serve, three, affinity={"type": "header", "header": "X-Session"}, pool={"slow_start": "0s", "passive": {"ejection": "1s"}})
    def who(session):
        answered = daemon.get("/", headers=[("X-Session", session)])
        assert not answered.all("Set-Cookie")
        return answered.body.decode().strip()
    chosen = {f"s{i}": who(f"s{i}") for i in range(40)}
    assert set(chosen.values()) == {"a", "b", "c"}
    assert {session: who(session) for session in chosen} == chosen
    gone = three[0]
    gone.kill()
    after = {session: who(session) for session in chosen}
    assert all(after[s] == name for s, name in chosen.items() if name != gone.name)
    assert gone.name not in after.values()
    gone.accept()
    wait_until(lambda: {session: who(session) for session in chosen} == chosen, 30, "sessions are back")


def test_without_its_header_there_is_no_session(serve, three):
    daemon = sticky(serve, three, affinity={"type": "header", "header": "X-Session"}, workers=1)
    answers = [daemon.get("/", headers=[("X-Other", "s1")]) for _ in range(12)]
    assert collections.Counter(a.body.decode().strip() for a in answers) == {"a": 4, "b": 4, "c": 4}


def test_header_without_failover(serve, three):
    daemon = sticky(serve, three, affinity={"type": "header", "header": "X-Session", "failover": "none"}, pool={"passive": {"consecutive": 0, "ratio": 0.0}})
    sessions = {daemon.get("/", headers=[("X-Session", s)]).body.decode().strip(): s for s in map(str, range(60))}
    three[0].kill()
    for _ in range(3):
        assert daemon.get("/", headers=[("X-Session", sessions["a"])]).status == 502
        assert daemon.get("/", headers=[("X-Session", sessions["b"])]).status == 200


def test_header_between_pools(serve, three):
    pools = [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in three]
    lb = {"hostnames": ["*"], "default_pools": ["a", "b", "c"], "steering": {"policy": "random"},
          "session_affinity": {"type": "header", "header": "X-Session"}}
    daemon = serve(settings={"pools": pools, "load_balancers": [lb]})
    chosen = [{daemon.get("/", headers=[("X-Session", f"s{i}")]).body.decode().strip() for _ in range(4)} for i in range(30)]
    assert all(len(names) == 1 for names in chosen)
    assert set().union(*chosen) == {"a", "b", "c"}


def at(browser, name, tries=60):
    """Begins its session at that endpoint."""
    for _ in range(tries):
        browser.cookie = None
        if browser.who() == name:
            return browser
    raise AssertionError(f"{name} was never chosen")


def test_sticky_moves(serve, three):
    daemon = sticky(serve, three)
    browser = at(Browser(daemon), "a")
    three[0].kill()
    moved_to = browser.who()
    assert moved_to != "a" and browser.set
    three[0].accept()
    assert browser.several() == {moved_to: 12}


def test_temporary_comes_back(serve, three):
    daemon = sticky(serve, three, affinity={"failover": "temporary"})
    browser = at(Browser(daemon), "a")
    cookie = browser.cookie
    three[0].kill()
    assert "a" not in browser.several(6)
    assert browser.cookie == cookie
    three[0].accept()
    wait_until(lambda: browser.who() == "a", 30, "the session is back")
    assert browser.cookie == cookie


def test_without_failover_the_client_sees_the_failure(serve, three):
    daemon = sticky(serve, three, affinity={"failover": "none"}, pool={"passive": {"consecutive": 0, "ratio": 0.0}})
    browser = at(Browser(daemon), "a")
    three[0].kill()
    answered = browser.get()
    assert answered.status == 502 and not browser.set
    assert Browser(daemon).get().status == 200, "who has no session goes elsewhere"
    three[0].accept()
    assert browser.who() == "a"


def test_without_failover_a_session_leaves_what_is_down(serve, three):
    daemon = sticky(serve, three, affinity={"failover": "none"}, pool={"monitors": ["app"]}, monitors=[monitor()])
    for name in "abc":
        wait_for_state(daemon, f"pool/{name}", "healthy")
    browser = at(Browser(daemon), "a")
    three[0].mode("unhealthy")
    wait_for_state(daemon, "pool/a", "down")
    assert browser.who() != "a" and browser.set


def test_drained(serve, three):
    daemon = sticky(serve, three, affinity={"drain_duration": "1h"})
    browser = at(Browser(daemon), "a")
    assert daemon.cli("endpoint", "drain", "pool/a").returncode == 0
    assert browser.several() == {"a": 12}
    assert "a" not in {Browser(daemon).who() for _ in range(12)}


def test_drained_without_a_time_to_drain(serve, three):
    daemon = sticky(serve, three)
    browser = at(Browser(daemon), "a")
    assert daemon.cli("endpoint", "drain", "pool/a").returncode == 0
    assert "a" not in browser.several()


def test_drained_for_long_enough(serve, three):
    daemon = sticky(serve, three, affinity={"drain_duration": "1s"})
    browser = at(Browser(daemon), "a")
    assert daemon.cli("endpoint", "drain", "pool/a").returncode == 0
    wait_until(lambda: browser.who() != "a")
    assert browser.set and "a" not in browser.several()


def test_drained_for_now(serve, three):
    """A session that comes back does so when its endpoint is back from the drain, too."""
    daemon = sticky(serve, three, affinity={"failover": "temporary"})
    browser = at(Browser(daemon), "a")
    assert daemon.cli("endpoint", "drain", "pool/a").returncode == 0
    assert "a" not in browser.several(6)
    assert daemon.cli("endpoint", "enable", "pool/a").returncode == 0
    assert browser.several(6) == {"a": 6}


def test_weight_zero_keeps_its_sessions(serve, three):
    daemon = sticky(serve, three)
    browser = at(Browser(daemon), "a")
    assert daemon.cli("endpoint", "weight", "pool/a", "0").returncode == 0
    assert browser.several() == {"a": 12}
    assert "a" not in {Browser(daemon).who() for _ in range(12)}


def test_an_endpoint_that_is_gone(serve, three):
    daemon = sticky(serve, three)
    browser = at(Browser(daemon), "a")
    pools = [{**daemon.settings["pools"][0], "endpoints": [endpoint(o) for o in three[1:]]}]
    daemon.write(pools=pools)
    assert daemon.reload().returncode == 0
    moved_to = browser.who()
    assert moved_to in ("b", "c") and browser.set
    assert browser.several() == {moved_to: 12}


def test_a_failing_answer_begins_no_session(serve, origin):
    daemon = sticky(serve, [origin])
    origin.script("/bad", answer(503, b"bad"))
    origin.script("/own", answer(500, b"own", [("Set-Cookie", "app=1")]))
    assert not daemon.get("/bad").all("Set-Cookie")
    own = daemon.get("/own").all("Set-Cookie")
    assert own[0] == "app=1" and own[1].startswith("penstock=") and len(own) == 2


def test_a_rules_pools_have_sessions_of_their_own(serve, make_origin):
    """A page and its calls to another service, in turn: each of the two stays where it is."""
    origins = {name: make_origin(name) for name in "abcdef"}
    pools = [{"name": name, "monitors": [], "endpoints": [endpoint(origins[o]) for o in its], **IN_TURN} for name, its in (("web", "abc"), ("api", "def"))]
    daemon = serve(settings={"pools": pools, "load_balancers": [{
        "hostnames": ["*"], "default_pools": ["web"], "session_affinity": {"type": "cookie"},
        "rules": [{"match": {"path_prefixes": ["/api/"]}, "pools": ["api"]}, {"match": {"methods": ["PUT"]}, "pools": ["web"]}]}]})
    answered = daemon.get("/"), daemon.get("/api/")
    (page,), (call,) = (a.all("Set-Cookie") for a in answered)
    assert page.startswith("penstock=") and call.startswith("penstock-api=")
    both = [("Cookie", "; ".join(c.split(";")[0] for c in (page, call)))]
    for _ in range(12):
        for target, first in zip(("/", "/api/"), answered):
            again = daemon.get(target, headers=both)
            assert again.body == first.body and not again.all("Set-Cookie")
    assert not daemon.request("PUT", "/", both, b"x").all("Set-Cookie"), "the same pool, the same session"
