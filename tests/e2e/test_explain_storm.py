"""Requests are remembered while they are sent again, wait, follow their sessions and outlive configurations, in fewer places than there are requests under way:
whoever asks hears of the request he asked for, or that it is forgotten."""

import collections
import random
import threading

import pytest
from client import Cut, wait_until
from daemon import endpoint
from origin import CLOSE, answer

CLIENTS, TURNS = 64, 8
NEVER_EJECT = {"consecutive": 1000, "min_requests": 100_000}
POLICIES = ["off", "random", "round_robin", "hash", "least_outstanding_requests", "dynamic_latency"]
PLACES = [1, 2, 3, 500]  # for requests, of each worker


def configuration(origins, draw, places):
    pools = [{"name": name, "monitors": [], "passive": NEVER_EJECT, "endpoint_steering": {"policy": draw.choice(POLICIES)},
              "load_shedding": {"percent": draw.choice([0, 20])},
              "endpoints": [endpoint(o, max_in_flight=draw.choice([1, 3])) for o in members]} for name, members in (("near", origins[:3]), ("far", origins[3:]))]
    many = {"name": "many", "monitors": [], "passive": NEVER_EJECT, "endpoint_steering": {"policy": draw.choice(POLICIES)},
            "endpoints": [{"name": f"{origins[0].name}{n}", "address": origins[0].url, "max_in_flight": 1} for n in range(20)]}
    return {"explain": {"requests": places}, "timeouts": {"queue": "20s"}, "pools": [*pools, many],
            "load_balancers": [{"hostnames": ["*"], "default_pools": draw.choice([["near", "far"], ["many", "near"]]), "steering": {"policy": draw.choice(POLICIES)},
                                "failover": {"retries": 3, "across_pools": True}, "fallback_pool": "far",
                                "session_affinity": {"type": "cookie", "name": "s", "failover": "temporary"}}]}


def check(told, identity, response):
    """`response` None: it may be under way still."""
    assert told["request"] == identity and told["method"] == "GET" and told["target"] == "/delay/0.005"
    tries = [step["endpoint"] for step in told["steps"] if step["step"] == "try"]
    assert all(tries) and (not tries or told["endpoint"] == tries[-1]), told
    for step in told["steps"]:
        named = [c["name"] for c in step.get("candidates", []) if c["chosen"]]
        assert not step.get("chosen") or named == [step["chosen"]], step
    if response:
        assert told["status"] == response.status and not told["under_way"]
        if origin := response.get("X-Origin"):
            assert told["endpoint"].partition("/")[2].rstrip("0123456789") == origin, (told, response)


class Storm:
    def __init__(self, daemon):
        self.daemon, self.answered, self.told, self.problems = daemon, collections.Counter(), collections.Counter(), []

    def explain(self, identity, response=None):
        answered = self.daemon.admin("GET", f"/v1/explain?request={identity}")
        self.told[answered.status] += 1
        assert answered.status in (200, 404), answered.body
        if answered.status == 200:
            check(answered.json(), identity, response)

    def send(self, connection, identity, draw, cookie):
        response = connection.request("GET", "/delay/0.005", [("X-Request-Id", identity), *([("Cookie", cookie)] if cookie else [])])
        self.answered[response.status] += 1
        if draw.random() < 0.3:
            self.explain(identity, response)
        return response

    def client(self, seed):
        draw, cookie = random.Random(seed), None
        try:
            with self.daemon.connect() as connection:
                for turn in range(TURNS):
                    response = self.send(connection, f"c{seed}t{turn}", draw, cookie)
                    cookie = (response.get("Set-Cookie") or cookie or "").partition(";")[0]
        except (Cut, OSError, AssertionError) as problem:
            self.problems.append(f"{seed}: {problem!r}")

    def disturb(self, origins, draw, places):
        self.explain(f"c{draw.randrange(CLIENTS)}t{draw.randrange(TURNS)}")
        hypothetical = self.daemon.admin("GET", "/v1/explain?host=app.test")
        assert hypothetical.status == 200, hypothetical.body
        if draw.random() < 0.3:
            draw.choice(origins[1:]).script("/delay/0.005", CLOSE, answer(503), answer(502))
        if draw.random() < 0.3:
            self.daemon.write(**configuration(origins, draw, places()))
            assert self.daemon.admin("POST", "/v1/reload").status == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_storm(serve, make_origin, workers):
    draw = random.Random(f"storm {workers}")
    origins = [make_origin(name) for name in "abcde"]
    storm = Storm(serve(settings=configuration(origins, draw, 500), workers=workers))
    threads = [threading.Thread(target=storm.client, args=(seed,), daemon=True) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        storm.disturb(origins, draw, lambda: draw.choice(PLACES))
        threads[draw.randrange(CLIENTS)].join(0.01)
    assert not storm.problems, storm.problems[:5]
    assert storm.answered.total() == CLIENTS * TURNS and storm.answered[200] > CLIENTS * TURNS / 2 and storm.told[200] and storm.told[404], (storm.answered, storm.told)
    wait_until(lambda: all(row["in_flight"] == 0 for pool in storm.daemon.status()["pools"] for row in pool["endpoints"]), what="nothing is in flight")
