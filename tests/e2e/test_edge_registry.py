"""What penstock knows of its own tunnels: their status over time and over restarts, what is pushed to connectors and compared, who joins a
pool, which connection is sick."""

import base64
import json
from pathlib import Path

from client import Load, wait_until
from cloudflared import Credentials
from daemon import monitor
from tunnels import KINDS, STAND_IN

RULES = [{"hostname": "app.test", "service": "http_status:200"}, {"service": "http_status:404"}]
OTHER_RULES = [{"hostname": "app.test", "service": "http_status:202"}, {"service": "http_status:404"}]
QUICK = monitor(interval="1s", interval_turning="100ms", timeout="500ms")


def events(edge, kind, name="ams"):
    """Of one tunnel, the oldest first."""
    found = edge.daemon.events("?type=tunnel.*")
    return [event for event in found if event["type"] == kind and event["data"]["tunnel"]["name"] == name]


def told(edge, name="ams"):
    return [event["type"] for event in edge.daemon.events("?type=tunnel.*") if event["data"]["tunnel"]["name"] == name]


def wait_for_status(edge, status, name="ams", timeout=15):
    return wait_until(lambda: (row := edge.tunnel(name))["status"] == status and row, timeout, f"{name} is {status}")


# --- status ---


@KINDS
def test_events_of_a_tunnel(make_edge, kind):
    edge = make_edge(edge={"expected_connections": 2})
    assert edge.tunnel()["status"] == "inactive"
    first = edge.connect(kind=kind, connections=2)
    wait_for_status(edge, "healthy")
    first.kill()
    row = wait_for_status(edge, "down")
    assert row["connectors"] == [] and row["conns_inactive_at"] and not row["conns_active_at"]
    event = wait_until(lambda: events(edge, "tunnel.inactive"))[0]
    assert event["severity"] == "critical" and event["data"]["status"] == "down" and event["data"]["endpoints"] == ["pool/ams"]
    edge.connect(kind=kind, connections=2)
    wait_for_status(edge, "healthy")
    wait_until(lambda: told(edge) == ["tunnel.healthy", "tunnel.inactive", "tunnel.healthy"])


def test_fewer_connections_than_expected(make_edge):
    edge = make_edge(edge={"expected_connections": 4})
    edge.connect(connections=2)
    assert "2 of 4 connections" in wait_for_status(edge, "degraded")["reason"]
    wait_until(lambda: told(edge) == ["tunnel.degraded"])


def test_a_restart_keeps_what_was_known(make_edge):
    edge = make_edge("ams", "fra", "nobody", edge={"expected_connections": 4})
    edge.connect("ams")
    lost = edge.connect("fra")
    wait_for_status(edge, "healthy")
    wait_for_status(edge, "healthy", "fra")
    lost.kill()
    wait_for_status(edge, "down", "fra")
    wait_until(lambda: events(edge, "tunnel.inactive", "fra"))  # it is on disk before it is shown
    before = len(edge.daemon.events("?type=tunnel.*"))
    edge.daemon.stop()
    edge.daemon.start()
    assert edge.tunnel("nobody")["status"] == "inactive"
    assert edge.tunnel("fra")["status"] == "down"
    assert edge.tunnel("ams")["status"] in ("down", "degraded", "healthy")
    wait_for_status(edge, "healthy")
    assert len(edge.daemon.events("?type=tunnel.*")) == before


def test_the_twenty_sixth_connector(make_edge):
    edge = make_edge(workers=1)
    herd = edge.dial(connections=2, connectors=25)
    herd.wait_ready(50)
    late = edge.dial(connections=2)
    wait_until(lambda: "has 25 connectors already" in late.log.read_text())
    wait_until(lambda: "it has 25 connectors, the most" in edge.daemon.log)
    assert len(edge.connectors()) == 25


def test_strangers(make_edge):
    edge = make_edge()
    other = make_edge().credentials["ams"]
    connector = edge.dial(credentials=other)
    wait_until(lambda: "nauthorized" in connector.log.read_text())
    wait_until(lambda: f"for tunnel {other.tunnel}: there is no such tunnel here" in edge.daemon.log)
    assert other.encoded_secret not in edge.daemon.log


def test_addresses_come_and_go(make_edge):
    edge = make_edge()
    edge.connect()
    edge.daemon.write(edge={"addresses": edge.addresses[:1]})
    assert edge.daemon.reload().returncode == 0
    assert len(edge.lines()) == 4  # those that stand are not concerned
    edge.dial().wait_ready(2)  # on the address that is left, though it knows both
    edge.daemon.write(edge={"addresses": edge.addresses})
    assert edge.daemon.reload().returncode == 0
    wait_until(lambda: len(edge.lines()) == 8)


# --- rules ---


def pushing(rules):
    return {"expected_connections": 2, "ingress": [{"tunnels": ["ams", "fra"], "rules": rules}]}


def versions(edge):
    return [connector["configuration"]["version"] for name in ("ams", "fra") for connector in edge.connectors(name)]


def either(connection):
    """200 and 202 are the same to a Load."""
    response = connection.request("GET", "/")
    response.status = 200 if response.status == 202 else response.status
    return response


@KINDS
def test_rules_are_pushed(make_edge, kind):
    edge = make_edge("ams", "fra", edge=pushing(RULES))
    for name in ("ams", "fra"):
        edge.connect(name, kind, connections=2)
    wait_until(lambda: all(c["configuration"]["state"] == "applied" for n in ("ams", "fra") for c in edge.connectors(n)))
    wait_until(lambda: (edge.tunnel()["config"] or {}).get("ingress") == RULES)
    assert edge.daemon.get().status == 200
    with Load(edge.daemon.connect, request=either) as load:
        edge.daemon.write(edge=pushing(OTHER_RULES))
        assert edge.daemon.reload().returncode == 0
        wait_until(lambda: versions(edge) == [2, 2] and edge.daemon.get().status == 202)
        load.wait_for_more(50)
    assert load.failures == []
    wait_until(lambda: all(edge.tunnel(n)["config"]["ingress"] == OTHER_RULES for n in ("ams", "fra")))
    assert "RULES:     of the edge, version 2: 1 of 1 connectors follow them\n" in edge.daemon.cli("tunnel", "info", "ams").stdout
    assert not events(edge, "tunnel.config_drift", "fra")


@KINDS
def test_drift_is_told(make_edge, kind):
    edge = make_edge("ams", "fra", edge={"expected_connections": 2})
    edge.connect("ams", kind, connections=2, ingress=RULES)
    edge.connect("fra", kind, connections=2, ingress=OTHER_RULES)
    words = "rule 1 (app.test): service is http_status:202 here, http_status:200 there"
    wait_until(lambda: [d["difference"] for d in edge.tunnel("fra")["drift"]] == [words])
    event = wait_until(lambda: events(edge, "tunnel.config_drift", "fra"), 30)[0]
    assert event["data"]["difference"] == words and event["data"]["compared_with"] == "ams"
    shown = edge.daemon.cli("tunnel", "info", "fra").stdout
    assert "RULES:     of its connectors' own: 2\n" in shown
    assert f"DRIFT:     as pool/fra, its rules differ from those of ams: {words}\n" in shown


# --- joining ---


def all_of(identical):
    return {"monitors": [], "endpoints": [{"name": "ams", "tunnel": "ams"}, {"tunnels": "app-*", "identical": identical}]}


def join(edge, name, rules, kind=STAND_IN):
    """A tunnel that is made at run time, and its connector."""
    made = json.loads(edge.daemon.cli("tunnel", "create", name, "--json").stdout)
    kept = json.loads(Path(made["credentials_file"]).read_text())
    credentials = Credentials(kept["TunnelID"], kept["AccountTag"], base64.b64decode(kept["TunnelSecret"]))
    edge.dial(kind=kind, connections=2, credentials=credentials, ingress=rules).wait_ready(2)


def endpoints(edge):
    return {endpoint["name"]: endpoint for endpoint in edge.daemon.pool("pool")["endpoints"]}


@KINDS
def test_tunnels_join_as_they_first_connect(make_edge, kind):
    edge = make_edge(edge={"expected_connections": 2}, pool=all_of(identical=False))
    assert list(endpoints(edge)) == ["ams"]
    join(edge, "other", RULES, kind)
    join(edge, "app-one", RULES, kind)
    wait_until(lambda: endpoints(edge).get("app-one", {}).get("state") == "healthy")
    assert edge.daemon.get().status == 200
    assert "other" not in endpoints(edge)
    edge.daemon.stop()
    edge.daemon.start()
    assert "app-one" in endpoints(edge)
    wait_until(lambda: endpoints(edge)["app-one"]["state"] == "healthy", 45)
    assert edge.daemon.cli("tunnel", "delete", "app-one", "--force").returncode == 0
    wait_until(lambda: "app-one" not in endpoints(edge))


def test_identical_ones_only(make_edge):
    edge = make_edge(edge={"expected_connections": 2}, pool=all_of(identical=True))
    edge.connect("ams", connections=2, ingress=RULES)
    wait_until(lambda: edge.tunnel()["config"])
    join(edge, "app-same", RULES)
    join(edge, "app-other", OTHER_RULES)
    wait_until(lambda: endpoints(edge).get("app-same", {}).get("state") == "healthy")
    row = wait_until(lambda: (row := endpoints(edge).get("app-other", {})).get("state") == "down" and row)
    assert "differ from those of ams: rule 1 (app.test): service is http_status:202 here" in row["reason"]
    assert {edge.daemon.get().status for _ in range(20)} == {200}


# --- connections that carry nothing ---


def test_a_connection_that_carries_nothing_is_taken_out_alone(make_edge):
    edge = make_edge(edge={"expected_connections": 2}, pool={"monitors": ["app"]}, monitors=[QUICK])
    edge.connect(connections=2, url="http_status:200")
    broken = edge.connect(connections=2, url="http_status:200")
    wait_until(lambda: all(line["last_probe"] and line["last_probe"]["pass"] for line in edge.lines()))
    broken.command("broken-headers on")

    def statuses():
        return {c["id"]: [line["status"] for line in c["connections"]] for c in edge.connectors()}
    wait_until(lambda: statuses()[broken.id] == ["sick", "sick"])
    assert [of for connector, of in statuses().items() if connector != broken.id] == [["usable", "usable"]]
    assert edge.daemon.endpoint("pool/ams")["state"] == "healthy"
    with Load(edge.daemon.connect) as load:
        load.wait_for_more(100)
    assert load.failures == []
    broken.command("broken-headers off")
    wait_until(lambda: statuses()[broken.id] == ["usable", "usable"])


def test_a_service_that_is_down_is_nobody_s_sickness(make_edge, origin):
    edge = make_edge(edge={"expected_connections": 2}, pool={"monitors": ["app"]}, monitors=[QUICK])
    edge.connect(connections=2, url=origin.url)
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["state"] == "healthy")
    origin.kill()
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["state"] == "down")
    assert [line["status"] for line in edge.lines()] == ["usable", "usable"]
    assert edge.tunnel()["status"] == "healthy"
