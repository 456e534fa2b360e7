"""Tunnels as subjects of their own: status, commands, events, whichever endpoints lead through them."""

import json

import pytest
from client import wait_until
from daemon import monitor
from edge import Tunnel


@pytest.fixture
def tunnels(make_origin, public_edge):
    made = {}
    for name in ("ams", "fra"):
        host = f"{name}.example.com"
        made[name] = public_edge.add(Tunnel(name, [(host, make_origin(name).address)]), host)
    return made


@pytest.fixture
def daemon(serve, tunnels, public_edge, authority):
    endpoints = [{"name": name, "tunnel": tunnel.id.upper() if name == "ams" else tunnel.id, "hostname": f"{name}.example.com",
                  "connect_to": public_edge.address, "tls": {"ca_file": authority.ca}} for name, tunnel in tunnels.items()]
    return serve(*endpoints, pool={"monitors": ["app"]}, monitors=[monitor()])


def tunnel_row(daemon, name):
    return next(row for row in daemon.status()["tunnels"] if row["name"] == name)


def wait_for_status(daemon, name, status):
    return wait_until(lambda: (row := tunnel_row(daemon, name))["status"] == status and row, what=f"{name} is {status}")


def test_status_follows_the_tunnel(daemon, tunnels, public_edge):
    row = wait_for_status(daemon, "ams", "healthy")
    assert row["id"] == tunnels["ams"].id and row["since"] and isinstance(row["connectors"], list)
    public_edge.disconnect(tunnels["ams"])
    wait_for_status(daemon, "ams", "down")
    assert tunnel_row(daemon, "fra")["status"] == "healthy"
    public_edge.connect(tunnels["ams"])
    wait_for_status(daemon, "ams", "healthy")


def test_dead_service_is_not_the_tunnel_s_fault(daemon, tunnels):
    """502 from a living tunnel: the endpoint is down, the tunnel is not."""
    wait_for_status(daemon, "ams", "healthy")
    tunnels["ams"].ingress = [("*", "127.0.0.1:1")]
    wait_until(lambda: daemon.endpoint("pool/ams")["state"] == "down")
    assert tunnel_row(daemon, "ams")["status"] == "healthy"


def test_events(daemon, tunnels, public_edge):
    wait_for_status(daemon, "ams", "healthy")
    public_edge.disconnect(tunnels["ams"])
    wait_for_status(daemon, "ams", "down")
    public_edge.connect(tunnels["ams"])
    wait_for_status(daemon, "ams", "healthy")

    def story():
        return [e for e in daemon.events("?type=tunnel.*") if e["data"]["tunnel"]["id"] == tunnels["ams"].id]
    told = wait_until(lambda: (found := story())[-1]["type"] == "tunnel.healthy" and len(found) >= 2 and found)
    inactive = [e for e in told if e["type"] == "tunnel.inactive"]
    assert len(inactive) == 1
    assert inactive[0]["severity"] == "critical" and inactive[0]["data"]["status"] in ("down", "inactive")
    assert "1033" in inactive[0]["data"]["reason"]


def test_commands(daemon, tunnels):
    wait_for_status(daemon, "ams", "healthy")
    listed = daemon.cli("tunnel", "list")
    assert listed.returncode == 0 and tunnels["ams"].id in listed.stdout and "fra" in listed.stdout
    assert {row["id"] for row in json.loads(daemon.cli("tunnel", "list", "--json").stdout)} == {t.id for t in tunnels.values()}
    for name in ("ams", tunnels["ams"].id):
        info = daemon.cli("tunnel", "info", name)
        assert info.returncode == 0 and tunnels["ams"].id in info.stdout, info.stderr
    assert daemon.cli("tunnel", "info", "none").returncode == 1


def test_api(daemon, tunnels):
    assert len(daemon.admin("GET", "/v1/tunnels").json()) >= 1
    assert daemon.admin("GET", f"/v1/tunnels/{tunnels['fra'].id}").json()["name"] == "fra"
    assert daemon.admin("GET", "/v1/tunnels/none").status == 404
