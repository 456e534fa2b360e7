"""Match blocks: the first rule whose every condition holds decides about a request."""

import pytest
from client import Connection
from daemon import endpoint, free_port


@pytest.fixture
def origins(make_origin):
    return {name: make_origin(name) for name in ("a", "b", "c")}


@pytest.fixture
def ruled(serve, origins):
    """All to pool "a" but for these rules; pools "b" and "c" are for them."""
    def start(*rules, lb=None, pool=None, **more):
        pools = [{"name": name, "monitors": [], "endpoints": [endpoint(o)], **(pool or {})} for name, o in origins.items()]
        balancer = {"hostnames": ["*"], "default_pools": ["a"], "rules": list(rules), **(lb or {})}
        return serve(settings={"pools": pools, "load_balancers": [balancer]}, **more)
    return start


def who(daemon, target="/", method="GET", **more):
    answered = daemon.request(method, target, **more)
    assert answered.status == 200
    return answered.body.decode().strip()


CASES = [
    ({"hosts": ["x.test", "*.y.test"]},
     [{"host": "x.test"}, {"host": "X.Test:80"}, {"host": "x.test."}, {"host": "a.y.test"}, {"host": "a.b.y.test"}],
     [{"host": "y.test"}, {"host": "ax.test"}, {"host": "x.test.org"}]),
    ({"path_prefixes": ["/api/", "/v2"]}, [{"target": "/api/"}, {"target": "/api/x?y"}, {"target": "/v2"}, {"target": "/v22"}],
     [{"target": "/api"}, {"target": "/"}, {"target": "/x/api/"}, {"target": "/?/api/"}, {"target": "/API/"}]),
    ({"path_regex": "^/(users|orders)/[0-9]+$"}, [{"target": "/users/1"}, {"target": "/orders/22?x=/"}],
     [{"target": "/users/x"}, {"target": "/users/"}, {"target": "/?/users/1"}]),
    ({"methods": ["POST", "PUT"]}, [{"method": "POST"}, {"method": "PUT"}], [{"method": "GET"}, {"method": "DELETE"}]),
    ({"headers": {"X-Beta": "yes", "X-Any": "*"}},
     [{"headers": [("x-beta", "yes"), ("X-ANY", "1")]}, {"headers": [("X-Beta", "no"), ("X-Beta", "yes"), ("X-Any", "")]}],
     [{}, {"headers": [("X-Beta", "yes")]}, {"headers": [("X-Beta", "Yes"), ("X-Any", "1")]}, {"headers": [("X-Any", "1")]}]),
    ({"cookies": {"beta": "1"}}, [{"headers": [("Cookie", "a=b; beta=1")]}],
     [{}, {"headers": [("Cookie", "beta=2")]}, {"headers": [("Cookie", "Beta=1")]}, {"headers": [("Cookie", "xbeta=1")]}]),
    ({"query": {"v": "2", "debug": "*"}}, [{"target": "/?v=2&debug"}, {"target": "/?debug=0&v=2"}],
     [{"target": "/"}, {"target": "/?v=2"}, {"target": "/?v=3&debug"}]),
    ({"query": {"upload_file": "1", "A": "1", "a": "2"}}, [{"target": "/?a=2&A=1&upload_file=1"}], [{"target": "/?a=1&A=2&upload_file=1"}]),
    ({"query": [{"name": "tags[]", "value": "b%20c"}]}, [{"target": "/?tags[]=b%20c"}], [{"target": "/?tags[]=b+c"}, {"target": "/?tags%5B%5D=b%20c"}]),
    ({"cookies": {"user_env": "1", "TE": "2"}}, [{"headers": [("Cookie", "TE=2; user_env=1")]}], [{"headers": [("Cookie", "te=2; user_env=1")]}]),
    ({"headers": {"Upgrade": "*"}}, [{"headers": [("Upgrade", "h2c")]}], [{}]),
    ({"clients": ["192.0.2.0/24", "2001:db8::/32"]},
     [{"headers": [("X-Forwarded-For", "192.0.2.7")]}, {"headers": [("X-Forwarded-For", "2001:db8::1")]}],
     [{}, {"headers": [("X-Forwarded-For", "198.51.100.1")]}]),
    ({"methods": ["GET"], "path_prefixes": ["/x"], "headers": {"X-Beta": "*"}}, [{"target": "/x", "headers": [("X-Beta", "1")]}],
     [{"target": "/x"}, {"target": "/y", "headers": [("X-Beta", "1")]}, {"method": "POST", "target": "/x", "headers": [("X-Beta", "1")]}]),
    ({}, [{}, {"target": "/anything", "method": "POST"}], []),
]


@pytest.mark.parametrize("match,hit,missed", CASES, ids=lambda case: ",".join(case) if isinstance(case, dict) else "")
def test_conditions(ruled, match, hit, missed):
    daemon = ruled({"match": match, "pools": ["b"]}, trusted_proxies=["127.0.0.1"])
    assert [who(daemon, **request) for request in hit] == ["b"] * len(hit)
    assert [who(daemon, **request) for request in missed] == ["a"] * len(missed)


def test_listeners(ruled, folder):
    one, other = f"127.0.0.1:{free_port()}", f"unix:{folder}/web.sock"
    daemon = ruled({"match": {"listeners": [other]}, "pools": ["b"]}, listeners=[{"address": one}, {"address": other}])
    for address, name in ((one, b"a\n"), (other, b"b\n")):
        with Connection(address) as connection:
            assert connection.request("GET", "/").body == name
    assert daemon.process.poll() is None


def test_the_first_that_matches_decides(ruled):
    daemon = ruled({"match": {"path_prefixes": ["/x/y"]}, "pools": ["c"]}, {"name": "x", "match": {"path_prefixes": ["/x"]}, "pools": ["b"]},
                   {"match": {"path_prefixes": ["/x/y/z"]}, "pools": ["a"]})
    assert [who(daemon, target) for target in ("/x/y/z", "/x/z", "/z")] == ["c", "b", "a"]


def test_an_expression_gone_wild_does_not_match(ruled):
    daemon = ruled({"match": {"path_regex": "^/(a+)+$"}, "pools": ["b"]})
    assert who(daemon, "/" + "a" * 30) == "b"
    assert who(daemon, "/" + "a" * 60 + "!") == "a"


def test_weights_and_steering_of_its_own(ruled):
    daemon = ruled({"match": {"path_prefixes": ["/x"]}, "pools": ["b", "c"], "pool_weights": {"b": 0.75, "c": 0.25}, "steering": {"policy": "round_robin"}},
                   workers=1)
    names = [who(daemon, "/x") for _ in range(40)]
    assert names.count("b") == 30 and names.count("c") == 10
    assert {who(daemon) for _ in range(10)} == {"a"}


def test_a_fallback_of_its_own(ruled, origins):
    daemon = ruled({"match": {"path_prefixes": ["/x"]}, "pools": ["b"], "fallback_pool": "c"}, lb={"fallback_pool": "a"})
    assert who(daemon, "/x") == "b"
    origins["b"].kill()
    assert {who(daemon, "/x") for _ in range(6)} == {"c"}


def test_the_load_balancers_own_where_a_rule_says_nothing(ruled, origins):
    daemon = ruled({"match": {"path_prefixes": ["/x"]}, "pools": ["b"]}, lb={"fallback_pool": "c", "session_affinity": {"type": "cookie"}})
    answered = daemon.get("/x")
    assert answered.body == b"b\n" and answered.all("Set-Cookie")
    origins["b"].kill()
    assert who(daemon, "/x") == "c"


def test_another_pools_session_is_no_session_here(ruled):
    """Rules come before affinity."""
    daemon = ruled({"match": {"path_prefixes": ["/x"]}, "pools": ["b"]}, lb={"session_affinity": {"type": "cookie"}})
    cookie = daemon.get("/").all("Set-Cookie")[0].split(";")[0]
    assert who(daemon, "/x", headers=[("Cookie", cookie)]) == "b"


def test_responses(ruled, origins):
    page = "<h1>later</h1>\n\t" * 400
    daemon = ruled({"match": {"path_prefixes": ["/old"]}, "response": {"status": 301, "location": "https://new.test/"}},
                   {"match": {"path_prefixes": ["/page"]}, "response": {"status": 503, "body": page, "content_type": "text/html"}},
                   {"match": {"path_prefixes": ["/none"]}, "response": {"status": 204}},
                   {"match": {"path_prefixes": ["/gone"]}, "response": {"status": 410, "body": "gone"}})
    with daemon.connect() as connection:
        redirect = connection.request("GET", "/old/x")
        assert redirect.status == 301 and redirect.get("Location") == "https://new.test/" and redirect.body == b""
        answered = connection.request("GET", "/page")
        assert answered.status == 503 and answered.body == page.encode() and answered.get("Content-Type") == "text/html"
        assert connection.request("GET", "/none").status == 204
        head = connection.request("HEAD", "/gone")
        assert head.status == 410 and head.get("Content-Length") == "4" and head.body == b""
        assert connection.request("POST", "/gone", body=b"x" * 1000).body == b"gone"
        assert connection.request("GET", "/").body == b"a\n"
    assert not any(origins[name].requests for name in ("b", "c"))


def test_a_status_without_a_name_has_no_phrase(ruled):
    daemon = ruled({"match": {"path_prefixes": ["/tea"]}, "response": {"status": 418, "body": "short and stout"}},
                   {"match": {"path_prefixes": ["/busy"]}, "response": {"status": 429}})
    tea, busy = daemon.get("/tea"), daemon.get("/busy")
    assert (tea.status, tea.reason, tea.body) == (418, "", b"short and stout")
    assert (busy.status, busy.reason) == (429, "Too Many Requests")


def test_a_reload_changes_rules(ruled):
    daemon = ruled({"match": {"path_prefixes": ["/x"]}, "pools": ["b"]})
    assert who(daemon, "/x") == "b"
    lbs = [{**daemon.settings["load_balancers"][0], "rules": [{"match": {"path_prefixes": ["/x"]}, "pools": ["c"]}]}]
    daemon.write(load_balancers=lbs)
    assert daemon.reload().returncode == 0
    assert who(daemon, "/x") == "c"


def test_requests_are_counted_by_rule(ruled):
    daemon = ruled({"name": "x", "match": {"path_prefixes": ["/x"]}, "pools": ["b"]}, {"match": {"path_prefixes": ["/y"]}, "response": {"status": 404}})
    for target in ("/x", "/x", "/x", "/y", "/"):
        daemon.get(target)
    daemon.admin("GET", "/v1/explain?host=app.test&path=/x")

    def counts():
        return [daemon.metric('penstock_rule_requests_total.*rule="%s"' % rule) for rule in ("x", "#2")]
    assert counts() == [3, 1]
    assert daemon.reload().returncode == 0
    daemon.get("/x")
    assert counts() == [4, 1]
