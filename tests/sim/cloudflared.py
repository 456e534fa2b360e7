"""Connectors for tests and the demo: the stand-in tests/sim/connector_h2 (Connector), or a real cloudflared that the environment variable
CLOUDFLARED names (Cloudflared), as processes.

    tunnel = Credentials.new()
    connector = Connector([edge_address] * 4, "ca.pem", tunnel, folder, url="http://127.0.0.1:8080").wait_ready()
    connector.command("refuse 3")
    assert connector.stop() == 0
"""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

STAND_IN = Path(os.environ.get("PENSTOCK", str(Path(__file__).resolve().parents[2] / "build/penstock"))).parent / "tests/sim/connector_h2"
CLOUDFLARED = os.environ.get("CLOUDFLARED")
PACE = 0.05  # what one second of cloudflared's waiting takes in tests
TIMEOUT = 20


class Credentials:
    """What an edge knows of a tunnel, and a connector shows."""

    def __init__(self, tunnel, account, secret):
        self.tunnel, self.account, self.secret = tunnel, account, secret

    @classmethod
    def new(cls):
        return cls(str(uuid.uuid4()), secrets.token_hex(16), secrets.token_bytes(32))

    @property
    def encoded_secret(self):
        return base64.b64encode(self.secret).decode()

    @property
    def json(self):
        return {"AccountTag": self.account, "TunnelSecret": self.encoded_secret, "TunnelID": self.tunnel}

    @property
    def token(self):
        return base64.b64encode(json.dumps({"a": self.account, "s": self.encoded_secret, "t": self.tunnel}).encode()).decode()


def options_of(more):
    """ha_connections=2 is --ha-connections 2, quiet=True is --quiet."""
    for option, value in more.items():
        yield "--" + option.replace("_", "-")
        if value is not True:
            yield str(value)


class Process:
    """A connector that runs. Its files are in `folder`, which the caller removes."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = f"connector-{uuid.uuid4().hex[:8]}"
        self.log = self.folder / f"{self.name}.log"

    def start(self, arguments, **environment):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([str(one) for one in arguments], stdin=subprocess.DEVNULL, stderr=log,
                                            env={**os.environ, **environment})

    def write(self, suffix, data):
        path = self.folder / (self.name + suffix)
        path.write_text(json.dumps(data))
        path.chmod(0o600)
        return path

    @property
    def pid(self):
        return self.process.pid

    def wait_until(self, fact, timeout=TIMEOUT):
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if fact():
                    return self
            except (OSError, ValueError, LookupError):
                pass
            time.sleep(0.02)
        raise AssertionError(f"the connector is not registered; it says:\n{self.log.read_text(errors='replace')[-2000:]}")

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def begin_stop(self):
        """It unregisters, finishes what runs, and ends when the edge has closed its connections."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout=TIMEOUT):
        return self.process.wait(timeout)

    def stop(self, timeout=TIMEOUT):
        if self.process.poll() is None:
            self.thaw()
            self.begin_stop()
        return self.wait(timeout)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Connector(Process):
    """`tunnel`: Credentials, a list of them (a herd), or a token. `ingress`: rules of which the last has only a service, in place of `url`.
    `faults`: commands that it begins with. `more`: further options of the program, which --help lists."""

    def __init__(self, edges, ca, tunnel, folder, url=None, ingress=None, faults=(), pace=PACE, **more):
        super().__init__(folder)
        self.socket = self.folder / f"{self.name}.sock"
        arguments = [STAND_IN, "--cacert", ca, "--control", self.socket, "--pace", pace]
        for edge in edges:
            arguments += ["--edge", edge]
        if isinstance(tunnel, str):
            arguments += ["--token", tunnel]
        elif isinstance(tunnel, list):
            arguments += ["--herd", self.write(".herd.json", [one.json for one in tunnel])]
        else:
            arguments += ["--cred-file", self.write(".json", tunnel.json)]
        if ingress is not None:
            arguments += ["--config", self.write(".rules.json", {"ingress": ingress})]
        elif url is not None:
            arguments += ["--url", url]
        for fault in faults:
            arguments += ["--fault", fault]
        self.start([*arguments, *options_of(more)])

    def command(self, line):
        """tests/sim/connector/observe.h tells what there is."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(str(self.socket))
            client.sendall(line.encode() + b"\n")
            with client.makefile() as answers:
                answer = json.loads(answers.readline())
        assert "error" not in answer, f"{line}: {answer['error']}"
        return answer

    def status(self):
        return self.command("status")

    def connections(self, connector=0):
        return self.status()["connectors"][connector]["connections"]

    @property
    def id(self):
        return self.status()["connectors"][0]["id"]

    def wait_ready(self, connections=None, timeout=TIMEOUT):
        """Until so many are registered; by default all of them."""
        def registered():
            status = self.status()
            return status["ready"] >= (status["connections"] if connections is None else connections)
        return self.wait_until(registered, timeout)


class Cloudflared(Process):
    """The real program, told by flags only. `ingress` and `url` as above."""

    def __init__(self, edges, ca, tunnel, folder, url=None, ingress=None, **more):
        super().__init__(folder)
        self.expected = min(len(edges), int(more.get("ha_connections", 4)))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.metrics = "127.0.0.1:%d" % free.getsockname()[1]
        rules = ingress if ingress is not None else [{"service": url or "http_status:200"}]
        # JSON is YAML
        config = self.write(".yml", {"tunnel": tunnel.tunnel, "credentials-file": str(self.write(".json", tunnel.json)), "ingress": rules})
        arguments = [CLOUDFLARED, "tunnel", "--no-autoupdate", "--protocol", "http2", "--retries", 1, "--cacert", ca,
                     "--metrics", self.metrics, "--config", config, *options_of(more)]
        for edge in edges:
            arguments += ["--edge", edge]
        self.start([*arguments, "run"], TUNNEL_NO_PRECHECKS="true")  # not as an option, which those before 2026.5 refuse

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.metrics}/ready", timeout=TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    @property
    def id(self):
        return self.ready()["connectorId"]

    def wait_ready(self, connections=None, timeout=2 * TIMEOUT):
        return self.wait_until(lambda: self.ready()["readyConnections"] >= (connections or self.expected), timeout)
