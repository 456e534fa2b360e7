"""The admin API: over the socket everything, over TCP what is allowed; problems as problem+json."""

import json
import os
import re

import pytest
from client import Connection, request_bytes, wait_until
from daemon import cli, free_port
from peer import reset


@pytest.fixture
def daemon(serve, make_origin):
    return serve(make_origin("one"), make_origin("two"))


def test_status(daemon):
    status = daemon.status()
    lb, = status["load_balancers"]
    assert lb["hostnames"] == ["*"] and lb["pool"] == "pool" and lb["state"] == "healthy"
    pool, = status["pools"]
    assert pool["name"] == "pool" and pool["state"] == "healthy" and "reason" in pool
    one = pool["endpoints"][0]
    assert one["name"] == "one" and one["id"] == "pool/one" and one["state"] == "healthy" and one["weight"] == 1 and one["in_flight"] == 0
    assert {"reason", "latency_ms", "tunnel"} <= set(one)
    assert isinstance(status["tunnels"], list)


def test_parts_of_the_status(daemon):
    assert json.dumps(daemon.admin("GET", "/v1/pools").json()).count("pool/one") >= 1
    assert "*" in json.dumps(daemon.admin("GET", "/v1/load_balancers").json())
    assert daemon.admin("GET", "/v1/endpoints/pool/one").json()["id"] == "pool/one"


def test_latency_and_in_flight_are_measured(daemon):
    for _ in range(10):
        daemon.get()
    wait_until(lambda: daemon.endpoint("pool/one")["latency_ms"] is not None and daemon.endpoint("pool/one")["latency_ms"] > 0)


@pytest.mark.parametrize("change,state", [({"state": "drained"}, "drained"), ({"state": "disabled"}, "disabled"),
                                          ({"state": "enabled"}, "healthy")])
def test_patch_state(daemon, change, state):
    response = daemon.admin("PATCH", "/v1/endpoints/pool/one", change)
    assert response.status == 200, response
    assert daemon.endpoint("pool/one")["state"] == state


def test_patch_weight(daemon):
    assert daemon.admin("PATCH", "/v1/endpoints/pool/one", {"weight": 0.25}).status == 200
    assert daemon.endpoint("pool/one")["weight"] == 0.25


@pytest.mark.parametrize("method,target,body,status", [
    ("GET", "/v1/nonsense", None, 404), ("GET", "/v1/endpoints/pool/none", None, 404),
    ("PATCH", "/v1/endpoints/pool/none", {"state": "drained"}, 404),
    ("PATCH", "/v1/endpoints/pool/one", {"state": "asleep"}, 400), ("PATCH", "/v1/endpoints/pool/one", {"weight": -1}, 400),
    ("PATCH", "/v1/endpoints/pool/one", {"wieght": 1}, 400), ("PATCH", "/v1/endpoints/pool/one", [1], 400),
    ("DELETE", "/v1/endpoints/pool/one", None, 405), ("POST", "/v1/status", None, 405), ("POST", "/v1/alerts/none/test", None, 404),
    ("POST", "/v1/monitors/none/test", None, 404),
])
def test_problems(daemon, method, target, body, status):
    response = daemon.admin(method, target, body)
    assert response.status == status, response
    assert response.get("Content-Type") == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status and problem["title"]
    if status == 405:
        assert response.get("Allow")


def test_body_that_is_no_json(daemon):
    with Connection(f"unix:{daemon.admin_socket}") as connection:
        response = connection.request("PATCH", "/v1/endpoints/pool/one", [("Content-Type", "application/json")], b"{nonsense")
        assert response.status == 400
        assert connection.request("GET", "/livez").status == 200


def test_body_that_is_too_large(daemon):
    with Connection(f"unix:{daemon.admin_socket}") as connection:
        connection.send(request_bytes("PATCH", "/v1/endpoints/pool/one", [("Content-Length", "2000000")]))
        assert connection.read_response().status == 413


def test_events_after_and_by_type(daemon):
    for state in ("drained", "enabled", "drained"):
        assert daemon.admin("PATCH", "/v1/endpoints/pool/one", {"state": state}).status == 200
    drained = wait_until(lambda: len(found := daemon.events("?type=endpoint.drained")) >= 2 and found)
    assert {event["type"] for event in drained} == {"endpoint.drained"}
    assert all(re.fullmatch(r"evt_\w+", event["id"]) and event["timestamp"] and event["severity"] and event["data"]
               for event in drained)
    after = daemon.events(f"?after={drained[0]['id']}&type=endpoint.*")
    assert drained[0]["id"] not in [event["id"] for event in after] and drained[1]["id"] in [event["id"] for event in after]
    ids = [event["id"] for event in daemon.events()]
    assert len(set(ids)) == len(ids)


def test_event_stream(daemon):
    with Connection(f"unix:{daemon.admin_socket}") as connection:
        connection.send(request_bytes("GET", "/v1/events", [("Accept", "text/event-stream")]))
        head = connection.read_head()
        assert head.status == 200 and head.get("Content-Type").startswith("text/event-stream")
        assert daemon.admin("PATCH", "/v1/endpoints/pool/one", {"state": "drained"}).status == 200
        seen = b""
        while b"endpoint.drained" not in seen:
            seen += connection.read_until(b"\n")


def test_metrics(daemon):
    for _ in range(7):
        daemon.get()
    response = daemon.admin("GET", "/metrics")
    assert response.status == 200 and response.get("Content-Type").startswith("text/plain")
    assert wait_until(lambda: daemon.metric(r"penstock_\w*requests_total") >= 7)
    lines = response.body.decode().splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r'[a-zA-Z_:][\w:]*(\{[^}]*\})? [-+0-9.eEinfINFNa]+', line), line
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert typed and all(line.startswith("#") or any(line.startswith(name) for name in typed) for line in lines)
    openmetrics = daemon.admin("GET", "/metrics", headers=[("Accept", "application/openmetrics-text; version=1.0.0")])
    assert openmetrics.get("Content-Type").startswith("application/openmetrics-text") and openmetrics.body.endswith(b"# EOF\n")


def test_bytes_are_counted_with_their_heads_in_all_four_directions(daemon):
    with daemon.connect() as connection:
        connection.send(sent := request_bytes("GET", "/"))
        connection.read_response()
    for direction in ("client_received", "client_sent", "upstream_received", "upstream_sent"):
        assert wait_until(lambda: daemon.metric(f"penstock_{direction}_bytes_total")) >= len(sent), direction
    assert daemon.metric("penstock_client_received_bytes_total") == len(sent)
    assert daemon.metric("penstock_endpoint_sent_bytes_total") >= len(sent), "with the fields that are added"


def test_health_paths(daemon):
    assert daemon.admin("GET", "/livez").status == 200
    assert daemon.admin("GET", "/readyz?host=app.test").status == 200
    assert daemon.admin("GET", "/readyz?pool=pool").status == 200
    assert daemon.admin("GET", "/readyz?pool=none").status in (404, 503)
    for name in ("one", "two"):
        daemon.admin("PATCH", f"/v1/endpoints/pool/{name}", {"state": "drained"})
    assert daemon.admin("GET", "/readyz?pool=pool").status == 503
    assert daemon.admin("GET", "/readyz").status == 200


def test_page_for_people(daemon):
    page = daemon.admin("GET", "/")
    assert page.status == 200 and page.get("Content-Type").startswith("text/html") and b"penstock" in page.body
    assert "default-src 'none'" in page.get("Content-Security-Policy")


@pytest.mark.parametrize("target", ["/livez", "/readyz", "/metrics", "/v1/status", "/v1/pools", "/v1/nothing", "/", "/v1/events"])
def test_head_is_the_head_of_get(daemon, target):
    """And its connection serves the next request: not a byte of a body came."""
    accept = [("Accept", "text/event-stream")] if target == "/v1/events" else []
    with Connection(f"unix:{daemon.admin_socket}") as connection:
        head = connection.request("HEAD", target, accept, host="localhost")
        assert connection.request("GET", "/livez", host="localhost").status == 200
        if accept:
            assert head.status == 200 and head.get("Content-Type").startswith("text/event-stream")
            return
        got = connection.request("GET", target, host="localhost")
        assert (head.status, head.get("Content-Type")) == (got.status, got.get("Content-Type"))
        if target not in ("/metrics", "/v1/status"):
            assert head.get("Content-Length") == got.get("Content-Length")


@pytest.mark.parametrize("way", ["close", "half close", "reset", "silence"])
def test_event_streams_whose_clients_go(daemon, way):
    """Each is let go: no descriptor stays behind, and the next event finds nobody who is gone."""
    def descriptors():
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))
    before = descriptors()
    held = []
    for _ in range(20):
        connection = Connection(f"unix:{daemon.admin_socket}")
        connection.send(request_bytes("GET", "/v1/events", [("Accept", "text/event-stream")], host="localhost"))
        assert connection.read_head().status == 200
        held.append(connection)
    for connection in held:
        if way == "half close":
            connection.finish_sending()
        elif way == "reset":
            reset(connection)
        elif way == "close":
            connection.close()
    for state in ("drained", "enabled"):
        assert daemon.admin("PATCH", "/v1/endpoints/pool/one", {"state": state}).status == 200
    if way == "silence":
        assert all(b"endpoint.drained" in connection.read_until(b"drained") for connection in held)
        for connection in held:
            connection.close()
    wait_until(lambda: descriptors() <= before + 1, what="their descriptors are closed")
    assert daemon.admin("GET", "/v1/status").status == 200


# --- over TCP ---

@pytest.fixture
def over_tcp(serve, make_origin, folder):
    def start(token=None):
        address = f"127.0.0.1:{free_port()}"
        admin = {"address": address}
        if token:
            (folder / "token").write_text(token + "\n")
            admin["token_file"] = folder / "token"
        return serve(make_origin("one"), admin=admin), address
    return start


def ask(address, method, target, headers=(), body=b"", host="localhost"):
    with Connection(address) as connection:
        return connection.request(method, target, headers, body, host=host)


def test_tcp_without_a_token_only_reads(over_tcp):
    daemon, address = over_tcp()
    assert ask(address, "GET", "/v1/status").status == 200
    assert ask(address, "GET", "/metrics").status == 200
    for method, target in (("POST", "/v1/reload"), ("PATCH", "/v1/endpoints/pool/one")):
        assert ask(address, method, target, [("Content-Type", "application/json")], b'{"state":"drained"}').status in (401, 403)
    assert daemon.endpoint("pool/one")["state"] == "healthy"


def test_tcp_with_a_token(over_tcp):
    _, address = over_tcp("s3cret-token")
    assert ask(address, "GET", "/v1/status").status == 401
    assert ask(address, "GET", "/v1/status", [("Authorization", "Bearer wrong")]).status == 401
    good = [("Authorization", "Bearer s3cret-token")]
    assert ask(address, "GET", "/v1/status", good).status == 200
    assert ask(address, "PATCH", "/v1/endpoints/pool/one", [*good, ("Content-Type", "application/json")],
               b'{"state":"drained"}').status == 200
    assert ask(address, "GET", "/livez").status == 200, "a probe needs no token"


def test_names_of_other_sites_are_refused(over_tcp):
    """DNS rebinding: a page of another site must not read the API of a browser's own machine."""
    _, address = over_tcp()
    assert ask(address, "GET", "/v1/status", host="evil.example.com").status in (400, 403, 421)
    for host in ("localhost", address, "127.0.0.1"):
        assert ask(address, "GET", "/v1/status", host=host).status == 200, host


def test_tcp_on_other_addresses_needs_a_token(folder):
    (folder / "c.conf").write_text('listeners = ( { address = ":8080"; } );\nadmin = { address = "0.0.0.0:9090"; };\n'
                                   'pools = ( { name = "p"; endpoints = ( { address = "http://127.0.0.1:1"; } ); } );\n'
                                   'load_balancers = ( { hostnames = [ "*" ]; default_pools = [ "p" ]; } );\n')
    result = cli("check", "-c", folder / "c.conf")
    assert result.returncode == 1 and "c.conf:2: " in result.stdout + result.stderr and "token" in result.stdout + result.stderr
