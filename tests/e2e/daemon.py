"""The program under test: its configuration as Python data, its process, its admin socket and its commands."""

import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
from pathlib import Path

from client import TIMEOUT, Connection, wait_until

PENSTOCK = os.environ.get("PENSTOCK", str(Path(__file__).resolve().parents[2] / "build/penstock"))
REPORT = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|: runtime error: |Assertion .* failed")
START_TIMEOUT = 20

# Below the range that the kernel takes for outgoing connections, and a part of its own for each process of one run of tests.
_PORTS = range(10000, 32000)
_SHARE = len(_PORTS) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_FIRST = _PORTS.start + _SHARE * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_turns = itertools.count(random.Random(os.getpid()).randrange(_SHARE))


def is_sanitized():
    """Built with a sanitizer: its memory and its pace are not ours."""
    return re.search(rb"__[at]san_init", Path(PENSTOCK).read_bytes()) is not None


def free_port():
    for turn in _turns:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", _FIRST + turn % _SHARE))
            except OSError:
                continue
            return probe.getsockname()[1]


class Raw(str):
    """Written into the configuration as it stands."""


def render(value, depth=0):
    """Python data in libconfig's syntax: dict: group; list of dicts: list; list of scalars: array."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        pad = "  " * depth
        inside = "".join(f"{pad}  {key} = {render(item, depth + 1)};\n" for key, item in value.items())
        return inside if depth < 0 else f"{{\n{inside}{pad}}}"
    if isinstance(value, list):
        items = ", ".join(render(item, depth) for item in value)
        return f"( {items} )" if value and isinstance(value[0], dict) else f"[ {items} ]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def configuration_text(settings):
    return "".join(f"{key} = {render(value)};\n" for key, value in settings.items())


def monitor(**more):
    """Quick to see a change, patient with a busy machine."""
    return {"name": "app", "type": "http", "path": "/healthz", "interval": "1s", "timeout": "900ms", "interval_turning": "200ms",
            "interval_down": "200ms", "interval_down_max": "500ms", "consecutive_down": 2, "consecutive_up": 2, **more}


IN_ORDER = {"endpoint_steering": {"policy": "off"}}
IN_TURN = {"endpoint_steering": {"policy": "round_robin"}}


def endpoint(origin, **more):
    return {"name": origin.name, "address": origin.url, **more}


def merge(base, extra):
    """Groups are merged, everything else is replaced."""
    result = dict(base)
    for key, value in extra.items():
        result[key] = merge(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


class Daemon:
    """One `penstock serve`. `settings` is merged over a configuration that has a listener, an admin socket and short ends."""

    def __init__(self, folder, settings, arguments=(), workers=2):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.admin_socket = self.folder / "admin.sock"
        self.config_path = self.folder / "penstock.conf"
        self.state_dir = self.folder / "state"
        self.log_path = self.folder / "log"
        self.access_log_path = self.folder / "access.log"
        self.arguments = list(arguments)
        self.expected_exit = 0
        self.process = None
        self.settings = merge({
            "workers": workers,
            "listeners": [{"address": self.address}],
            "admin": {"socket": self.admin_socket, "mode": "0600"},
            "access_log": {"path": self.access_log_path, "format": "json"},
            "timeouts": {"shutdown": "3s", "upgrade_shutdown": "3s"},
        }, settings)
        self.write()

    # --- configuration ---

    def write(self, **changes):
        """Writes the file, with these top-level settings merged in."""
        self.settings = merge(self.settings, changes)
        self.config_path.write_text(configuration_text(self.settings))

    # --- the process ---

    def spawn(self):
        self.state_dir.mkdir(exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([PENSTOCK, "serve", "-c", self.config_path, "--state-dir", self.state_dir,
                                             *self.arguments],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def start(self):
        self.spawn()
        wait_until(lambda: self.process.poll() is not None or self.is_ready(), START_TIMEOUT, "the daemon is ready")
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
        return self

    def is_ready(self):
        return self.admin("GET", "/readyz").status == 200

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number):
        self.process.send_signal(number)

    def ended(self, timeout=20):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        """Without a chance to say anything."""
        self.process.kill()
        self.process.wait(TIMEOUT)
        self.process = None

    def stop(self):
        """Ends it by its pid, and is satisfied only with a clean exit and a log without a sanitizer's report."""
        if self.process:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            status = self.ended(30)
            if status is None:
                self.process.send_signal(signal.SIGABRT)
                self.process.wait(TIMEOUT)
            self.process = None
            assert status == self.expected_exit, f"exit status {status}:\n{self.log[-4000:]}"
        assert not REPORT.search(self.log), self.log[-8000:]

    def memory(self):
        """Resident, in bytes."""
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())[1]) * 1024

    # --- traffic ---

    def connect(self, **more):
        return Connection(self.address, **more)

    def refuses(self):
        """Nobody listens."""
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    def request(self, method="GET", target="/", *arguments, **more):
        with self.connect() as connection:
            return connection.request(method, target, *arguments, **more)

    def get(self, target="/", **more):
        return self.request("GET", target, **more)

    def exchange(self, raw, method="GET"):
        """One response to these very bytes."""
        with self.connect() as connection:
            return connection.send(raw).read_response(method)

    # --- control ---

    def admin(self, method, target, body=None, headers=()):
        data = b"" if body is None else json.dumps(body).encode()
        fields = list(headers) + ([("Content-Type", "application/json")] if data else [])
        with Connection(f"unix:{self.admin_socket}") as connection:
            return connection.request(method, target, fields, data, host="localhost")

    def status(self):
        return self.admin("GET", "/v1/status").json()

    def endpoint(self, identity):
        """The endpoint's row of the status, by "pool/endpoint"."""
        return next(e for pool in self.status()["pools"] for e in pool["endpoints"] if e["id"] == identity)

    def pool(self, name):
        return next(pool for pool in self.status()["pools"] if pool["name"] == name)

    def events(self, query=""):
        answer = self.admin("GET", "/v1/events" + query).json()
        return answer["events"] if isinstance(answer, dict) else answer

    def metric(self, pattern):
        """The sum of the values of all samples whose name and labels match."""
        lines = self.admin("GET", "/metrics").body.decode().splitlines()
        found = [float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#") and re.match(pattern, line)]
        assert found, f"no sample matches {pattern}"
        return sum(found)

    def reload(self):
        return self.cli("reload")

    def cli(self, *arguments, timeout=30):
        return cli(*arguments, "--admin", self.admin_socket, timeout=timeout)

    def access_log(self):
        return [json.loads(line) for line in self.access_log_path.read_text().splitlines()] if self.access_log_path.exists() else []


def cli(*arguments, timeout=30, env=None):
    return subprocess.run([PENSTOCK, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})})


def wait_for_state(daemon, identity, *states, timeout=20):
    return wait_until(lambda: daemon.endpoint(identity)["state"] in states and daemon.endpoint(identity), timeout,
                      f"{identity} is {' or '.join(states)}")


