"""Tunnels of our own edge by way of the commands and of the admin API, from their making to their end; also by cloudflared's own
commands, when the environment variable CLOUDFLARED names one."""

import base64
import json
import os
import re
import shlex
import stat
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from client import Connection, wait_until
from cloudflared import CLOUDFLARED, STAND_IN, Credentials, Process
from daemon import cli, free_port, wait_for_state

CFD = "/client/v4/accounts/acme/cfd_tunnel"
TOKEN = "an-admin-token-of-some-length"

needs_cloudflared = pytest.mark.skipif(not CLOUDFLARED, reason="CLOUDFLARED names no cloudflared")


@pytest.fixture
def daemon(serve, folder):
    """An edge, a pool with the tunnel "ams", which does not exist yet, and the API over TCP with a token."""
    token_file = folder / "token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o600)
    port = free_port()
    made = serve({"name": "ams", "tunnel": "ams"}, edge={"addresses": [f"127.0.0.1:{free_port()}"], "location": "ams01"},
                 admin={"address": f"127.0.0.1:{port}", "token_file": token_file})
    made.api = f"127.0.0.1:{port}"
    made.edge = made.settings["edge"]["addresses"][0]
    return made


@pytest.fixture
def tunnel(daemon):
    return json.loads(daemon.cli("tunnel", "create", "ams", "--json").stdout)


@pytest.fixture
def connect(daemon, tunnel, make_connector, origin):
    """connect(…): one more connector of the tunnel, with all its connections."""
    def start(**more):
        return make_connector([daemon.edge] * 4, tunnel["ca_file"], tunnel["token"], url=origin.url, **more).wait_ready()
    return start


def info(daemon, name="ams"):
    return json.loads(daemon.cli("tunnel", "info", name, "--json").stdout)


def connected(daemon):
    return [one["id"] for one in info(daemon)["connectors"]]


def over_tcp(daemon, method, target, body=None, token=TOKEN):
    headers = [("Authorization", f"Bearer {token}")] if token else []
    data = b"" if body is None else json.dumps(body).encode()
    with Connection(daemon.api) as connection:
        return connection.request(method, target, headers, data, host=daemon.api)


# --- making ---

def test_create(daemon, tunnel):
    assert {"id", "name", "account", "token", "credentials_file", "ca_file", "edge"} <= set(tunnel)
    assert uuid.UUID(tunnel["id"]) and tunnel["name"] == "ams" and tunnel["edge"] == [daemon.edge]
    path = Path(tunnel["credentials_file"])
    assert path == daemon.state_dir / "tunnels" / f"{tunnel['id']}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept, token = json.loads(path.read_text()), json.loads(base64.b64decode(tunnel["token"]))
    assert token == {"a": tunnel["account"], "s": kept["TunnelSecret"], "t": tunnel["id"]}
    assert kept["AccountTag"] == tunnel["account"] and kept["TunnelID"] == tunnel["id"]
    assert len(base64.b64decode(kept["TunnelSecret"])) == 32
    assert "BEGIN CERTIFICATE" in Path(tunnel["ca_file"]).read_text()


def test_create_for_people(daemon):
    result = daemon.cli("tunnel", "create", "fra")
    assert result.returncode == 0 and "run-command fra" in result.stdout
    identity = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", result.stdout)[0]
    assert f"{identity}.json" in result.stdout
    assert json.loads(daemon.cli("tunnel", "token", "fra", "--json").stdout)["token"] not in result.stdout
    again = daemon.cli("tunnel", "create", "fra")
    assert again.returncode == 1 and "already" in again.stderr
    wrong = daemon.cli("tunnel", "create", "a b")
    assert wrong.returncode == 1 and "letters" in wrong.stderr


def test_create_without_an_edge(serve, origin):
    daemon = serve(origin)
    result = daemon.cli("tunnel", "create", "ams")
    assert result.returncode == 1 and "edge" in result.stderr
    assert daemon.cli("tunnel", "list").returncode == 0


def test_token_is_what_create_printed(daemon, tunnel):
    assert daemon.cli("tunnel", "token", "ams").stdout == tunnel["token"] + "\n"
    assert daemon.cli("tunnel", "token", tunnel["id"]).stdout == tunnel["token"] + "\n"
    unknown = daemon.cli("tunnel", "token", "none")
    assert unknown.returncode == 1 and "none" in unknown.stderr


def test_secrets_are_nowhere_else(daemon, tunnel, connect):
    secret = json.loads(Path(tunnel["credentials_file"]).read_text())["TunnelSecret"]
    connect()
    daemon.cli("tunnel", "run-command", "ams")
    shown = daemon.log + daemon.admin("GET", "/v1/status").body.decode() + daemon.admin("GET", "/v1/tunnels").body.decode()
    shown += daemon.admin("GET", "/metrics").body.decode() + json.dumps(daemon.events()) + daemon.admin("GET", "/").body.decode()
    assert secret not in shown and tunnel["token"] not in shown and TOKEN not in shown


# --- who is connected ---

def test_info_of_a_connected_tunnel(daemon, tunnel, connect):
    connector = connect()
    text = daemon.cli("tunnel", "info", "ams").stdout
    assert re.search(rf"^NAME: +ams$\n^ID: +{tunnel['id']}$\n^CREATED: +20", text, re.M)
    assert re.search(r"^CONNECTOR ID +CREATED +ARCHITECTURE +VERSION +ORIGIN IP +EDGE$", text, re.M)
    assert re.search(rf"^{connector.id} +20\S+ +linux_amd64 +2026\.8\.2 +127\.0\.0\.1 +4xams01$", text, re.M)
    wide = daemon.cli("tunnel", "info", "ams", "--wide").stdout
    assert len(re.findall(rf"^{connector.id} +[0-3] +\S+ +ams01 +20\S+ +usable\b", wide, re.M)) == 4


def test_info_of_one_that_nobody_is_connected_to(daemon, tunnel):
    result = daemon.cli("tunnel", "info", tunnel["id"])
    assert result.returncode == 0 and "no active connectors" in result.stdout
    assert daemon.cli("tunnel", "info", "none").returncode == 1


def test_list_and_status(daemon, tunnel, connect):
    connector = connect()
    listed = daemon.cli("tunnel", "list").stdout
    assert re.search(rf"^{tunnel['id']} +ams +healthy .* 1 +4xams01 +pool/ams\b", listed, re.M), listed
    status = daemon.status()["tunnels"]
    assert [one["id"] for one in status] == [tunnel["id"]]
    assert {"id", "name", "status", "since", "connectors"} <= set(status[0]) and status[0]["status"] == "healthy"
    one, = status[0]["connectors"]
    assert {"id", "version", "arch", "origin_ip", "run_at", "connections"} <= set(one) and one["id"] == connector.id
    assert sorted(each["index"] for each in one["connections"]) == [0, 1, 2, 3]
    assert all({"index", "location", "opened_at"} <= set(each) for each in one["connections"])
    table = daemon.cli("status").stdout
    assert re.search(rf"^ams +healthy +{tunnel['id']} ", table, re.M)
    assert re.search(rf"^{connector.id} +ams +connected +4xams01 ", table, re.M)
    assert connector.id in daemon.admin("GET", "/").body.decode()


def test_metrics(daemon, tunnel, connect):
    connect()
    assert daemon.metric(rf'penstock_tunnel_state{{tunnel="{tunnel["id"]}",name="ams",state="healthy"}}') == 1
    assert daemon.metric('penstock_tunnel_connectors{.*name="ams",state="used"}') == 1
    assert daemon.metric('penstock_tunnel_connections{.*name="ams",state="usable"}') == 4
    assert daemon.metric('penstock_tunnel_streams{.*name="ams"}') == 0


# --- the operator's word ---

def test_drain_one_connector_of_two(daemon, connect, origin):
    first, second = connect(), connect()
    result = daemon.cli("tunnel", "drain", "ams", "--connector", first.id, "--wait", "10s")
    assert result.returncode == 0 and re.search(rf"{first.id} of ams: drained", result.stdout) and second.id not in result.stdout
    for _ in range(20):
        assert daemon.get().status == 200
    assert [one.status()["requests"] for one in (first, second)] == [0, 20]
    assert {one["id"]: one["drained"] for one in info(daemon)["connectors"]} == {first.id: True, second.id: False}
    assert daemon.cli("tunnel", "undrain", "ams", "--connector", first.id).returncode == 0
    assert not any(one["drained"] for one in info(daemon)["connectors"])


def test_a_drained_tunnel_gets_nothing(daemon, connect, origin):
    connect()
    assert daemon.get().status == 200
    assert daemon.cli("tunnel", "drain", "ams").returncode == 0
    assert wait_until(lambda: daemon.get().status == 503)
    assert len(connected(daemon)) == 1, "it stays connected"
    assert daemon.cli("tunnel", "undrain", "ams").returncode == 0
    assert wait_until(lambda: daemon.get().status == 200)


def test_drain_waits_for_what_is_under_way(daemon, connect, origin):
    connect()
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(daemon.get, "/slow/4/0.5")
        wait_until(lambda: any(each["in_flight"] for one in info(daemon)["connectors"] for each in one["connections"]))
        early = daemon.cli("tunnel", "drain", "ams", "--wait", "100ms")
        assert early.returncode == 1 and "in flight" in early.stderr
        late = daemon.cli("tunnel", "drain", "ams", "--wait", "20s")
        assert late.returncode == 0, late.stderr
        assert slow.result().status == 200


def test_evicted_connectors_stay_drained_when_they_come_back(daemon, connect):
    def connections():
        return {each["id"] for one in info(daemon)["connectors"] for each in one["connections"]}

    connector = connect()
    before = connections()
    assert daemon.cli("tunnel", "evict", "ams", "--connector", connector.id, "--wait", "10s").returncode == 0
    wait_until(lambda: connected(daemon) == [connector.id] and not before & connections())
    assert info(daemon)["connectors"][0]["drained"]
    assert daemon.get().status == 503


def test_weight(daemon, connect):
    connector = connect()
    assert daemon.cli("tunnel", "weight", "ams", "0.25", "--connector", connector.id).returncode == 0
    assert info(daemon)["connectors"][0]["weight"] == 0.25
    assert daemon.cli("tunnel", "weight", "ams", "default", "--connector", connector.id).returncode == 0
    assert info(daemon)["connectors"][0]["weight"] == 1
    assert daemon.cli("tunnel", "weight", "ams", "heavy").returncode == 2
    assert daemon.cli("tunnel", "weight", "ams", "1", "--connector", str(uuid.uuid4())).returncode == 1


def test_endpoint_drain_of_a_tunnel(daemon, connect):
    connect()
    assert daemon.get().status == 200
    result = daemon.cli("endpoint", "drain", "pool/ams", "--wait", "10s")
    assert result.returncode == 0 and "drained" in result.stdout
    assert daemon.get().status == 503
    assert daemon.cli("endpoint", "enable", "pool/ams", "--wait", "10s").returncode == 0
    assert daemon.get().status == 200


def test_cleanup_and_delete(daemon, tunnel, connect):
    connector = connect()
    refused = daemon.cli("tunnel", "delete", "ams")
    assert refused.returncode == 1 and "--force" in refused.stderr
    assert daemon.cli("tunnel", "cleanup", "ams").returncode == 0
    wait_until(lambda: "dropped by the operator" in daemon.log)
    wait_until(lambda: connected(daemon) == [connector.id], what="it comes back")
    gone = daemon.cli("tunnel", "delete", "ams", "--force")
    assert gone.returncode == 0 and tunnel["id"] in gone.stdout
    assert not Path(tunnel["credentials_file"]).exists()
    assert json.loads(daemon.cli("tunnel", "list", "--json").stdout) == []
    assert daemon.cli("tunnel", "info", "ams").returncode == 1
    wait_for_state(daemon, "pool/ams", "down")


# --- how to connect ---

def parts(daemon, *more):
    return json.loads(daemon.cli("tunnel", "run-command", "ams", "--json", *more).stdout)


def test_run_command_has_each_form(daemon, tunnel):
    everything = daemon.cli("tunnel", "run-command", "ams").stdout
    each = parts(daemon)
    assert all(each[name].replace(os.getcwd(), "$PWD") in everything for name in ("command", "yaml", "environment", "ca"))
    assert f'"{os.getcwd()}/penstock-ca.pem"' in each["yaml"] and f"TUNNEL_CACERT={os.getcwd()}/penstock-ca.pem\n" in each["environment"]
    words = shlex.split(each["command"])
    assert words[:4] == ["env", "TUNNEL_NO_PRECHECKS=true", "cloudflared", "tunnel"] and words.count("--edge") == 4 and words.count(daemon.edge) == 4
    assert words[words.index("--protocol") + 1] == "http2" and words[words.index("--retries") + 1] == "1"
    assert words[-1] == tunnel["id"] and words[-2] == "http://localhost:8080"
    assert daemon.cli("tunnel", "run-command", "ams", "--line").stdout == each["command"]
    assert daemon.cli("tunnel", "run-command", "ams", "--yaml").stdout == each["yaml"]
    assert daemon.cli("tunnel", "run-command", "ams", "--environment").stdout == each["environment"]
    environment = dict(line.split("=", 1) for line in each["environment"].splitlines())
    assert environment["TUNNEL_TOKEN"] == tunnel["token"] and environment["TUNNEL_EDGE"] == ",".join([daemon.edge] * 4)
    assert each["ca"] == Path(tunnel["ca_file"]).read_text()
    assert "http://localhost:9" in parts(daemon, "--url", "http://localhost:9")["yaml"]
    assert daemon.cli("tunnel", "run-command", "ams", "--url", "http://a b").returncode == 2
    assert daemon.cli("tunnel", "run-command", "none").returncode == 1
    there = parts(daemon, "--folder", "/etc/cloudflared")
    assert all(there[name].count("/etc/cloudflared/") == n for name, n in (("command", 2), ("yaml", 2), ("environment", 1)))
    for folder in "etc/cloudflared", "/tmp/a b":
        refused = daemon.cli("tunnel", "run-command", "ams", "--folder", folder)
        assert refused.returncode == 2 and folder in refused.stderr


def test_run_command_leaves_the_service_out_where_rules_are_pushed(serve):
    daemon = serve({"name": "ams", "tunnel": "ams"}, edge={
        "addresses": ["127.0.0.1:%d" % free_port()],
        "ingress": [{"tunnels": ["a*"], "rules": [{"service": "http_status:204"}]}]})
    daemon.cli("tunnel", "create", "ams")
    assert "--url" not in parts(daemon)["command"] and "ingress" not in parts(daemon)["yaml"]


def test_a_tunnel_of_the_configuration(serve, make_connector, origin, folder, authority):
    """It has no credentials file, is deleted where it stands, and is run like any other; here with a certificate of our own."""
    cert, key = authority.issue("*.cftunnel.com")
    secret = folder / "secret"
    secret.write_text(base64.b64encode(os.urandom(32)).decode())
    secret.chmod(0o600)
    edge = f"127.0.0.1:{free_port()}"
    daemon = serve({"name": "ams", "tunnel": "ams"}, edge={
        "addresses": [edge], "advertise": [edge, "edge.example.com:7844"], "cert": cert, "key": key, "ca_file": authority.ca,
        "tunnels": [{"id": str(uuid.uuid4()), "name": "ams", "secret_file": secret}]})
    access = json.loads(daemon.cli("tunnel", "token", "ams", "--json").stdout)
    assert access["credentials_file"] is None and access["ca_file"] == str(authority.ca)
    assert parts(daemon)["environment"].startswith(f"TUNNEL_EDGE={edge},edge.example.com:7844,{edge},edge.example.com:7844\n")
    refused = daemon.cli("tunnel", "delete", "ams", "--force")
    assert refused.returncode == 1 and "configuration" in refused.stderr
    make_connector([edge] * 4, authority.ca, access["token"], url=origin.url).wait_ready()
    assert daemon.get().status == 200


# Its words are cloudflared's; of these the stand-in knows some.
WRAPPER = f"""#!/bin/sh
set -e
arguments=
while [ $# -gt 0 ]; do
    case $1 in
    tunnel | run | --no-autoupdate) ;;
    --protocol | --retries) shift ;;
    --edge | --cacert | --cred-file | --url) arguments="$arguments $1 $2"; shift ;;
    *-*-*-*-*) ;;
    *) echo "unexpected: $1" >&2; exit 2 ;;
    esac
    shift
done
exec {STAND_IN} $arguments
"""


class Script(Process):
    """What run-command printed, run by a shell in a folder of its own; `cloudflared` is the program of that name in `bin`."""

    def __init__(self, folder, text, program):
        super().__init__(folder)
        (self.folder / "bin").mkdir()
        link = self.folder / "bin" / "cloudflared"
        link.write_text(program)
        link.chmod(0o700)
        environment = {**os.environ, "HOME": str(self.folder), "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["sh", "-c", text], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)

    def kill(self):
        os.killpg(self.process.pid, 9)
        self.process.wait()


@pytest.fixture
def run_script(folder):
    made = []

    def run(text, program=WRAPPER):
        made.append(Script(folder / f"script{len(made)}", text, program))
        return made[-1]
    yield run
    for one in made:
        one.kill()


def test_running_the_run_command_connects(daemon, tunnel, origin, run_script):
    script = run_script(daemon.cli("tunnel", "run-command", "ams", "--url", origin.url).stdout)
    wait_until(lambda: daemon.status()["tunnels"][0]["status"] == "healthy" or script.process.poll() is not None, 30)
    assert script.process.poll() is None, script.log.read_text()
    assert daemon.get().status == 200
    for name in ("penstock-ca.pem", "ams.yml", "ams.env", f"{tunnel['id']}.json"):
        assert stat.S_IMODE((script.folder / name).stat().st_mode) == 0o600, name
    assert json.loads((script.folder / f"{tunnel['id']}.json").read_text())["TunnelID"] == tunnel["id"]
    assert f'cacert: "{script.folder}/penstock-ca.pem"\n' in (script.folder / "ams.yml").read_text()
    assert f"TUNNEL_CACERT={script.folder}/penstock-ca.pem\n" in (script.folder / "ams.env").read_text()


@needs_cloudflared
@pytest.mark.parametrize("command", [None, 'cd / && cloudflared tunnel --config "$OLDPWD/ams.yml" run',
                                     "environment=$(cat ams.env); cd / && env $environment cloudflared tunnel run"])
def test_running_each_form_with_cloudflared_connects(daemon, tunnel, origin, run_script, command):
    text = daemon.cli("tunnel", "run-command", "ams", "--url", origin.url).stdout
    if command:
        text = text[:text.rindex("\nenv ")] + f"\n{command}\n"
    script = run_script(text, f'#!/bin/sh\nexec {CLOUDFLARED} "$@"\n')
    wait_until(lambda: daemon.status()["tunnels"][0]["status"] == "healthy" or script.process.poll() is not None, 60)
    assert script.process.poll() is None, script.log.read_text()
    assert daemon.get().status == 200


# --- the API ---

def test_secrets_take_the_token(daemon, tunnel):
    for target in ("/v1/tunnels/ams/credentials", f"{CFD}/{tunnel['id']}/token", "/v1/edge/login"):
        for token, status in ((None, 401), ("wrong", 401), (TOKEN, 200)):
            response = over_tcp(daemon, "GET", target, token=token)
            assert response.status == status, target
            assert (tunnel["token"] in response.body.decode()) == (status == 200 and "login" not in target)


def test_cloudflare_shape(daemon, tunnel, connect):
    connector = connect()
    listed = over_tcp(daemon, "GET", f"{CFD}?is_deleted=false&name=ams").json()
    assert listed["success"] and listed["errors"] == [] and listed["messages"] == []
    assert listed["result_info"] == {"page": 1, "per_page": 1000, "count": 1, "total_count": 1, "total_pages": 1}
    one, = listed["result"]
    assert one == over_tcp(daemon, "GET", f"{CFD}/{tunnel['id']}").json()["result"]
    assert {"id", "account_tag", "name", "status", "tun_type", "config_src", "created_at", "deleted_at", "conns_active_at",
            "conns_inactive_at", "connections", "metadata"} <= set(one)
    assert one["status"] == "healthy" and one["conns_active_at"] and one["conns_inactive_at"] is None
    assert len(one["connections"]) == 4
    client, = over_tcp(daemon, "GET", f"{CFD}/{tunnel['id']}/connections").json()["result"]
    assert client == over_tcp(daemon, "GET", f"{CFD}/{tunnel['id']}/connectors/{connector.id}").json()["result"]
    assert {"id", "arch", "config_version", "features", "run_at", "version", "conns"} <= set(client)
    assert client["id"] == connector.id
    for connection in client["conns"]:
        assert {"id", "uuid", "client_id", "client_version", "colo_name", "is_pending_reconnect", "opened_at",
                "origin_ip"} <= set(connection)
        assert uuid.UUID(connection["id"]) and connection["colo_name"] == "ams01" and connection["origin_ip"] == "127.0.0.1"
    configuration = over_tcp(daemon, "GET", f"{CFD}/{tunnel['id']}/configurations").json()["result"]
    assert {"account_id", "tunnel_id", "version", "source", "created_at", "config"} <= set(configuration)
    refused = over_tcp(daemon, "DELETE", f"{CFD}/{tunnel['id']}")
    assert refused.status == 400 and refused.json()["errors"][0]["code"] == 1022 and not refused.json()["success"]
    assert over_tcp(daemon, "DELETE", f"{CFD}/{tunnel['id']}/connections?client_id={connector.id}").json()["success"]
    assert over_tcp(daemon, "DELETE", f"{CFD}/{tunnel['id']}?cascade=true").json()["result"]["deleted_at"]
    assert over_tcp(daemon, "GET", f"{CFD}/{tunnel['id']}").status == 404


def test_a_tunnel_made_with_a_secret_takes_that(daemon, make_connector, origin):
    secret = os.urandom(32)
    body = {"name": "ams", "tunnel_secret": base64.b64encode(secret).decode(), "config_src": "local"}
    made = over_tcp(daemon, "POST", CFD, body).json()
    assert made["success"] and made["result"]["account_tag"] == "acme"
    ca = json.loads(daemon.cli("tunnel", "token", "ams", "--json").stdout)["ca_file"]
    credentials = Credentials(made["result"]["id"], "acme", secret)
    make_connector([daemon.edge] * 4, ca, credentials, url=origin.url).wait_ready()
    assert daemon.get().status == 200


def test_login_writes_what_cloudflared_wants(daemon, folder):
    path = folder / "cert.pem"
    result = daemon.cli("edge", "login", "--output", path)
    assert result.returncode == 0 and f"http://{daemon.api}/client/v4" in result.stdout and TOKEN not in result.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text().splitlines()
    assert lines[0] == "-----BEGIN ARGO TUNNEL TOKEN-----" and lines[-1] == "-----END ARGO TUNNEL TOKEN-----"
    inside = json.loads(base64.b64decode("".join(lines[1:-1])))
    assert set(inside) == {"zoneID", "accountID", "apiToken"} and inside["apiToken"] == TOKEN and all(inside.values())
    again = daemon.cli("edge", "login", "--output", path)
    assert again.returncode == 1 and "--force" in again.stderr
    assert daemon.cli("edge", "login", "--output", path, "--force").returncode == 0


def test_login_without_an_address(serve, origin):
    result = serve(origin).cli("edge", "login")
    assert result.returncode == 1 and "admin.address" in result.stderr and "token_file" in result.stderr


@needs_cloudflared
def test_cloudflareds_own_commands(daemon, tunnel, connect, folder):
    connector = connect()
    cert = folder / "cert.pem"
    assert daemon.cli("edge", "login", "--output", cert).returncode == 0

    def run(*arguments, status=0):
        result = subprocess.run([CLOUDFLARED, "tunnel", "--api-url", f"http://{daemon.api}/client/v4", "--origincert", cert,
                                 *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, "HOME": str(folder)})
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout if status == 0 else result.stderr

    assert re.search(rf"^{tunnel['id']} +ams +20\S+ +4xams01", run("list"), re.M)
    run("create", "fra")
    made = json.loads(run("list", "--name", "fra", "-o", "json"))[0]
    kept = json.loads((folder / f"{made['id']}.json").read_text())
    ours = json.loads((daemon.state_dir / "tunnels" / f"{made['id']}.json").read_text())
    assert all(kept[key] == ours[key] for key in ("AccountTag", "TunnelSecret", "TunnelID"))
    token = json.loads(base64.b64decode(run("token", "fra").strip()))
    assert token == {"a": kept["AccountTag"], "s": kept["TunnelSecret"], "t": made["id"]}
    assert "already exists" in run("create", "fra", status=1)
    shown = run("info", "ams")
    assert re.search(rf"^{connector.id} +20\S+ +linux_amd64 +2026\.8\.2 +127\.0\.0\.1 +4xams01", shown, re.M)
    assert "connections" in run("delete", "ams", status=1)
    run("cleanup", "ams")
    wait_until(lambda: "dropped by the operator" in daemon.log)
    run("delete", "-f", "ams")
    run("delete", "fra")
    assert run("list", "-o", "json").strip() in ("[]", "null")
    assert json.loads(daemon.cli("tunnel", "list", "--json").stdout) == []


def test_over_the_admin_address(daemon, tunnel, folder):
    result = cli("tunnel", "token", "ams", "--admin", f"http://{daemon.api}", "--token-file", folder / "token")
    assert result.returncode == 0 and result.stdout.strip() == tunnel["token"]
    assert cli("tunnel", "token", "ams", "--admin", f"http://{daemon.api}").returncode == 2
