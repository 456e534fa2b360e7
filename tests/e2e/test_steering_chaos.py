"""Whatever steers, all at once: policies between pools and endpoints, tunnels, sessions, rules, maps, shedding, a queue, weights at run time, while origins
fall ill, connectors come and go, configurations change, and somebody asks for explanations and simulations all the time. Every client gets a whole answer
from where it may come, whoever asks why gets an answer, and in the end nothing is left in flight."""

import collections
import json
import os
import random
import threading

import pytest
from client import keep_asking, wait_until
from daemon import endpoint
from origin import CLOSE, RESET, answer

CLIENTS = 8
TURNS = int(os.environ.get("PENSTOCK_CHAOS_TURNS", 60))  # requests of each
POLICIES = ["off", "random", "round_robin", "hash", "least_outstanding_requests", "least_connections", "dynamic_latency", "proximity", "geo"]
SESSIONS = [None, {"type": "cookie"}, {"type": "cookie", "level": "connector", "failover": "temporary"}, {"type": "ip_cookie", "drain_duration": "1s"},
            {"type": "header", "header": "X-User"}, {"type": "cookie", "failover": "none", "idle": "10s"}]
RULES = [{"match": {"path_prefixes": ["/fixed"]}, "response": {"status": 418, "body": "teapot"}},
         {"match": {"headers": {"X-Canary": "*"}}, "pools": ["plain", "tunnels"], "pool_weights": {"plain": 0.9, "tunnels": 0.1}, "steering": {"policy": "random"}},
         {"match": {"clients": ["203.0.113.0/24"], "methods": ["GET", "POST"]}, "pools": ["reserve"], "fallback_pool": "plain"}]
ILLS = [[CLOSE], [RESET], [answer(503, b"no")], [answer(530, b"no")]]


def steering(draw):
    policy = draw.choice(POLICIES)
    return {"policy": policy, **({"key": draw.choice(["client_ip", "path", "header:X-User", "query:n"]), "bounded_load": draw.choice([0.0, 1.25])}
                                 if policy == "hash" else {})}


def endpoints_steering(draw):
    while (chosen := steering(draw))["policy"] == "geo":
        pass
    return chosen


def configuration(origins, draw):
    plain = [endpoint(o, max_in_flight=draw.choice([0, 2]), weight=draw.choice([0.5, 1.0, 2.0])) for o in origins[:3]]
    session = draw.choice(SESSIONS)
    return {
        "explain": {"requests": draw.choice([1, 2, 1000])},
        "trusted_proxies": ["127.0.0.1"],
        "pools": [
            {"name": "tunnels", "monitors": [], "endpoint_steering": endpoints_steering(draw), "passive": {"ejection": "200ms"}, "slow_start": "100ms",
             "connection_scaling": draw.choice([0, 2]), "endpoints": [{"name": name, "tunnel": name} for name in ("ams", "fra")]},
            {"name": "plain", "monitors": [], "endpoint_steering": endpoints_steering(draw), "passive": {"ejection": "200ms"},
             "load_shedding": {"percent": draw.choice([0, 30]), "session_percent": draw.choice([0, 10])}, "endpoints": plain},
            {"name": "reserve", "monitors": [], "latitude": 1.0, "longitude": 1.0, "endpoints": [endpoint(origins[3])]}],
        "load_balancers": [{"hostnames": ["*"], "default_pools": ["tunnels", "plain"], "fallback_pool": "reserve", "steering": steering(draw),
                            "failover": {"retries": 3, "across_pools": draw.choice([True, False])}, "rules": RULES,
                            "client_pools": [{"clients": ["198.51.100.0/24"], "pools": ["plain"]}],
                            **({"session_affinity": session} if session else {})}],
    }


class Visitor:
    """Keeps the cookie that it was given, mostly."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.cookie = None

    def ask(self, connection):
        draw = self.draw
        fields = [("X-Request-Id", f"id{draw.randrange(500)}"), ("X-User", f"u{draw.randrange(20)}"),
                  ("X-Forwarded-For", draw.choice(["203.0.113.9", "198.51.100.9", "192.0.2.9"]))]
        fields += [("X-Canary", "1")] if draw.random() < 0.1 else []
        fields += [("Cookie", self.cookie)] if self.cookie else []
        if draw.random() < 0.2:
            response = connection.request("POST", "/echo", fields, body=b"x" * draw.choice([10, 20_000]))
        else:
            response = connection.request("GET", draw.choice(["/", "/?n=5", "/fixed", "/bytes/30000", "/delay/0.01"]), fields)
        if (given := response.get("Set-Cookie")) and draw.random() < 0.8:
            self.cookie = given.partition(";")[0]
        return response


def client(daemon, seed, answered, problems):
    keep_asking(daemon, TURNS, Visitor(seed).ask, (200, 418, 502, 503, 530), answered, problems)


def disturb(edge, origins, draw):
    """The first plain origin and the reserve stay well."""
    daemon, what = edge.daemon, draw.randrange(7)
    if what == 0:
        draw.choice(origins[1:3]).script("*", *draw.choice(ILLS))
    elif what == 1:
        origins[1].scripts.clear(), origins[2].scripts.clear()
    elif what == 2:
        daemon.admin("PATCH", f"/v1/endpoints/plain/{draw.choice(origins[:3]).name}", {"weight": draw.choice([0, 0.1, 3, None])})
    elif what == 3:
        daemon.admin("PATCH", f"/v1/endpoints/{draw.choice(['plain/b', 'tunnels/ams', 'tunnels/fra'])}", {"state": draw.choice(["drained", "enabled"])})
    elif what == 4:
        draw.choice(edge.by_name).command(draw.choice(["cut", "cut 0"]))
    elif what == 5:
        daemon.write(**configuration(origins, draw))
        reloaded = daemon.admin("POST", "/v1/reload")
        assert reloaded.status == 200, reloaded.body
    else:
        lost = daemon.admin("POST", "/v1/simulate", {"down": ["plain/b", "tunnels/ams"], "requests": 200, "window": 0})
        assert lost.status in (200, 409, 429), lost.body


def explain(daemon, draw):
    questions = [f"request=id{draw.randrange(500)}", "host=app.test&client=192.0.2.9", "host=app.test&client=198.51.100.9&header=X-Canary:1",
                 "host=app.test&path=/fixed&header=X-User:u3"]
    told = daemon.admin("GET", "/v1/explain?" + draw.choice(questions))
    assert told.status in (200, 404, 503), told.body
    if told.status == 200:
        json.loads(told.body)


@pytest.mark.parametrize("workers", [1, 4])
def test_steering_chaos(make_edge, make_origin, workers):
    draw = random.Random(f"steering {workers}")
    origins = [make_origin(name) for name in "abcd"]
    edge = make_edge("ams", "fra", workers=workers, timeouts={"queue": "1s", "response_header": "10s"})
    edge.by_name = [edge.connect(tunnel, connections=2, url=origins[0].url) for tunnel in ("ams", "fra", "ams")]
    daemon = edge.daemon
    daemon.write(**configuration(origins, draw))
    assert daemon.admin("POST", "/v1/reload").status == 200
    problems, answered = [], collections.Counter()
    threads = [threading.Thread(target=client, args=(daemon, seed, answered, problems), daemon=True) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        disturb(edge, origins, draw)
        for _ in range(5):
            explain(daemon, draw)
        threads[draw.randrange(CLIENTS)].join(0.01)
    assert not problems, problems[:5]
    assert answered.total() == CLIENTS * TURNS and answered[200] > CLIENTS * TURNS / 4 and answered[418], answered
    wait_until(lambda: all(row["in_flight"] == 0 for pool in daemon.status()["pools"] for row in pool["endpoints"]), what="nothing is in flight")
