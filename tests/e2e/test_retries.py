"""The retry table: what may be sent again, where to, by what the upstream can have seen. Of two endpoints the first is tried first."""

import threading

import pytest
from client import Cut, request_bytes, wait_until
from daemon import endpoint, monitor, wait_for_state
from origin import CLOSE, CLOSE_IF_REUSED, HANG, RESET, RESET_IF_REUSED, Gate, answer, content

NEVER_EJECT = {"consecutive": 1000, "min_requests": 100_000}
ORDERED = {"endpoint_steering": {"policy": "off"}, "passive": NEVER_EJECT}
SAFE, IDEMPOTENT, OTHER = ["GET", "HEAD", "OPTIONS"], ["PUT", "DELETE"], ["POST", "PATCH", "BREW"]
BODY = content(1000)
BIG = content(200_000)  # more than the replay buffer


@pytest.fixture
def pair(make_origin):
    return make_origin("first"), make_origin("second")


def send(daemon, method, target, body=None, headers=()):
    """Who answered, or the status of an error."""
    if body is None:
        body = b"" if method in SAFE else BODY
    response = daemon.request(method, target, headers, body)
    return response.get("X-Origin") if response.status == 200 else response.status


def ok(name):
    return answer(200, b"", [("X-Origin", name)])


# --- not connected, or TLS not finished ---

@pytest.mark.parametrize("method", SAFE + IDEMPOTENT + OTHER)
def test_not_connected_moves_on(serve, pair, method):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].kill()
    assert send(daemon, method, "/x") == "second"


@pytest.mark.parametrize("method", SAFE + IDEMPOTENT + OTHER)
def test_tls_not_finished_moves_on(serve, pair, method):
    """The first is asked for TLS but speaks plain HTTP: it waits for the end of a head."""
    daemon = serve({"name": "first", "address": f"https://{pair[0].address}"}, pair[1], pool=ORDERED,
                   timeouts={"handshake": "300ms"})
    assert send(daemon, method, "/x") == "second"


def test_not_connected_moves_even_with_a_streamed_body(serve, pair):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].kill()
    assert send(daemon, "POST", "/x", BIG) == "second"


# --- a reused connection that turns out closed ---

@pytest.mark.parametrize("ending", [CLOSE_IF_REUSED, RESET_IF_REUSED])
@pytest.mark.parametrize("method,expected", [*((m, "first") for m in SAFE + IDEMPOTENT), *((m, 502) for m in OTHER)])
def test_reuse_race(serve, pair, method, expected, ending):
    """Sent once more on a fresh connection to the same endpoint, which is not blamed; POST is not."""
    daemon = serve(*pair, pool=ORDERED, workers=1)
    pair[0].script("/race", ending, ok("first"))
    assert send(daemon, "GET", "/warm") == "first"
    assert send(daemon, method, "/race") == expected
    assert not pair[1].requests
    assert daemon.endpoint("pool/first")["state"] == "healthy"


def test_reuse_race_with_a_body_no_longer_buffered(serve, pair):
    daemon = serve(*pair, pool=ORDERED, workers=1)
    pair[0].script("/race", CLOSE_IF_REUSED, ok("first"))
    assert send(daemon, "GET", "/warm") == "first"
    assert send(daemon, "PUT", "/race", BIG) == 502


@pytest.mark.parametrize("method", IDEMPOTENT + OTHER)
def test_connection_found_closed_before_a_byte_was_written(serve, pair, method):
    daemon = serve(*pair, pool=ORDERED, workers=1)
    for _ in range(20):
        assert send(daemon, "GET", "/warm") == "first"
        pair[0].close_idle()
        assert send(daemon, method, "/x") == "first"
    assert not pair[1].requests


def test_idempotency_key_counts_where_configured(serve, pair):
    daemon = serve(*pair, pool=ORDERED, workers=1, lb={"failover": {"idempotency_key": True}})
    pair[0].script("/race", CLOSE_IF_REUSED, ok("first"))
    assert send(daemon, "GET", "/warm") == "first"
    assert send(daemon, "POST", "/race", headers=[("Idempotency-Key", '"k1"')]) == "first"
    assert send(daemon, "POST", "/race") == 502


# --- a fresh connection, the request sent, no response byte ---

@pytest.mark.parametrize("ending", [CLOSE, RESET])
@pytest.mark.parametrize("method,expected", [*((m, "second") for m in SAFE + IDEMPOTENT), *((m, 502) for m in OTHER)])
def test_ended_without_an_answer(serve, pair, method, expected, ending):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].script("*", ending)
    assert send(daemon, method, "/x") == expected


def test_ended_without_an_answer_to_a_streamed_body(serve, pair):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].script("*", CLOSE)
    assert send(daemon, "PUT", "/x", BIG) == 502


def test_body_is_sent_again_whole(serve, pair):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].script("*", CLOSE)
    response = daemon.request("PUT", "/echo", body=content(60_000))
    assert response.json()["body_length"] == 60_000
    assert response.json()["body_sha256"] == pair[0].requests[-1].body_sha256.hexdigest()


# --- a response timeout ---

@pytest.mark.parametrize("method,expected", [*((m, "second") for m in SAFE), *((m, 504) for m in IDEMPOTENT + OTHER)])
def test_response_timeout(serve, pair, method, expected):
    daemon = serve(*pair, pool=ORDERED, timeouts={"response_header": "300ms"})
    pair[0].script("*", HANG)
    assert send(daemon, method, "/x") == expected


def test_response_timeout_is_retried_once(serve, make_origin):
    origins = [make_origin(name) for name in ("first", "second", "third")]
    daemon = serve(*origins, pool=ORDERED, timeouts={"response_header": "300ms"})
    origins[0].script("*", HANG)
    origins[1].script("*", HANG)
    assert send(daemon, "GET", "/x") == 504
    assert not origins[2].requests


# --- a response that says the service is not there ---

@pytest.mark.parametrize("status", [502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 530])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_bad_status(serve, pair, method, status):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].script("/x", answer(status, b"no"))
    assert send(daemon, method, "/x") == ("second" if method == "GET" else status)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 501, 505])
def test_other_statuses_are_the_answer(serve, pair, status):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].script("/x", answer(status, b"no"))
    assert send(daemon, "GET", "/x") == status
    assert not pair[1].requests


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("status,moves", [(521, True), (523, True), (525, True), (526, True), (530, True), (520, False),
                                          (522, False),
                                          (524, False), (502, False), (503, False)])
def test_undelivered_requests_move_where_configured(serve, pair, method, status, moves):
    daemon = serve(*pair, pool=ORDERED, lb={"failover": {"retry_post_undelivered": True}})
    pair[0].script("/x", answer(status, b"no"))
    assert send(daemon, method, "/x") == ("second" if moves else status)


def test_the_list_of_statuses_is_configurable(serve, pair):
    daemon = serve(*pair, pool=ORDERED, lb={"failover": {"on": ["500"]}})
    pair[0].script("/500", answer(500, b"no"))
    pair[0].script("/503", answer(503, b"no"))
    assert send(daemon, "GET", "/500") == "second"
    assert send(daemon, "GET", "/503") == 503


def test_the_last_answer_is_passed_on(serve, pair):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].script("/x", answer(503, b"from first"))
    pair[1].script("/x", answer(502, b"from second"))
    response = daemon.get("/x")
    assert (response.status, response.body) == (502, b"from second")


# --- something of the response went out already ---

@pytest.mark.parametrize("ending", [CLOSE, RESET])
def test_never_after_a_forwarded_byte(serve, pair, ending):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].script("/x", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", ending)
    with daemon.connect() as connection, pytest.raises(Cut):
        connection.request("GET", "/x")
    assert not pair[1].requests


# --- bounds ---

def test_two_other_endpoints_at_the_most(serve, make_origin):
    origins = [make_origin(f"o{n}") for n in range(4)]
    daemon = serve(*origins, pool=ORDERED)
    for origin in origins:
        origin.script("*", CLOSE)
    assert send(daemon, "GET", "/x") == 502
    assert [len(origin.requests) for origin in origins] == [1, 1, 1, 0]


def test_no_retries_where_there_shall_be_none(serve, pair):
    daemon = serve(*pair, pool=ORDERED, lb={"failover": {"retries": 0}})
    pair[0].script("*", CLOSE)
    assert send(daemon, "GET", "/x") == 502
    assert not pair[1].requests


def test_retries_cross_pools(serve, make_origin):
    first, second = make_origin("first"), make_origin("second")
    pools = [{"name": o.name, "monitors": [], "passive": NEVER_EJECT, "endpoints": [{"name": o.name, "address": o.url}]}
             for o in (first, second)]
    daemon = serve(settings={"pools": pools, "load_balancers": [{"hostnames": ["*"], "default_pools": ["first", "second"]}]})
    first.script("*", CLOSE)
    assert send(daemon, "GET", "/x") == "second"


def crowd(daemon, count, target="/x"):
    """So many requests at once; their responses, one after the other as they end."""
    responses = []

    def one():
        responses.append(daemon.get(target))
    threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, responses


def test_budget_bounds_retries_after_a_response(serve, pair):
    """A service that fails is not hit twice as hard: of 40 failed requests at the most a fifth or so moves at once."""
    daemon = serve(*pair, pool=ORDERED, workers=1)
    failing, holding = Gate(), Gate()
    pair[0].script("/x", failing, answer(503, b"no"))
    pair[1].script("/x", holding, ok("second"))
    threads, responses = crowd(daemon, 40)
    wait_until(lambda: failing.waiting == 40)
    failing.open()
    wait_until(lambda: holding.waiting + len(responses) == 40)
    assert 3 <= holding.waiting <= 12
    assert {response.status for response in responses} == {503}
    holding.open()
    for thread in threads:
        thread.join(20)
    assert sum(response.status == 200 for response in responses) <= 12


def test_budget_does_not_bind_when_an_endpoint_dies(serve, pair):
    daemon = serve(*pair, pool=ORDERED, workers=1)
    gate = Gate()
    pair[0].script("/x", gate)
    threads, responses = crowd(daemon, 40)
    wait_until(lambda: gate.waiting == 40)
    pair[0].kill()
    for thread in threads:
        thread.join(20)
    assert [response.status for response in responses] == [200] * 40


def test_retries_are_counted_and_logged(serve, pair):
    daemon = serve(*pair, pool=ORDERED)
    pair[0].script("*", CLOSE)
    assert send(daemon, "GET", "/x") == "second"
    wait_until(lambda: daemon.access_log()[-1]["retries"] == 1)
    assert daemon.metric(r"penstock_\w*retries_total") >= 1


def test_client_that_leaves_is_not_retried_for(serve, pair):
    daemon = serve(*pair, pool=ORDERED)
    gate = Gate()
    pair[0].script("/x", gate, CLOSE)
    connection = daemon.connect().send(request_bytes("GET", "/x"))
    wait_until(lambda: gate.waiting)
    connection.close()
    wait_until(lambda: daemon.endpoint("pool/first")["in_flight"] == 0)
    gate.open()
    assert send(daemon, "GET", "/y") == "first"
    assert not pair[1].seen("/x")


# --- across pools ---

@pytest.mark.parametrize("failover,after_first,after_both", [({}, "second", "third"), ({"across_pools": True}, "second", "third"),
                                                             ({"across_pools": False}, "second", 502)])
def test_across_pools(serve, make_origin, failover, after_first, after_both):
    first, second, third = (make_origin(name) for name in ("first", "second", "third"))
    daemon = serve(settings={"pools": [{"name": "near", "monitors": [], "endpoints": [endpoint(first), endpoint(second)], **ORDERED},
                                       {"name": "far", "monitors": [], "endpoints": [endpoint(third)], **ORDERED}],
                             "load_balancers": [{"hostnames": ["*"], "default_pools": ["near", "far"], "failover": failover}]})
    first.kill()
    assert send(daemon, "GET", "/x") == after_first
    second.kill()
    assert send(daemon, "GET", "/x") == after_both
    told = daemon.admin("GET", "/v1/explain?host=app.test").json()
    assert ("the same pool" in told["steps"][-1]["text"]) == (after_both == 502)


def test_a_pool_that_is_down_is_left_all_the_same(serve, make_origin):
    """Confined is the request that failed, not the next one."""
    near, far = make_origin("near"), make_origin("far")
    daemon = serve(settings={"pools": [{"name": o.name, "monitors": ["app"], "endpoints": [endpoint(o)]} for o in (near, far)], "monitors": [monitor(path="/")],
                             "load_balancers": [{"hostnames": ["*"], "default_pools": ["near", "far"], "failover": {"across_pools": False}}]})
    wait_for_state(daemon, "near/near", "healthy")
    assert send(daemon, "GET", "/x") == "near"
    near.kill()
    wait_until(lambda: send(daemon, "GET", "/x") == "far")
