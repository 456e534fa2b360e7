#!/usr/bin/env python3
"""The demo that ./quickstart runs: one penstock with its own edge, three tunnels that dial it (by a cloudflared on the PATH, else by our
stand-in for it), and a receiver that prints the alerts. With --smoke it uses them itself, kills a tunnel under load and exits 0 only if no
request failed and the alert came."""

import argparse
import base64
import ctypes
import http.client
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import wire
from cloudflared import Credentials
from hook import Hook

HOST = "app.example.com"
NAMES = ["ams", "fra", "lon"]
RULES = [{"service": "unix:app.sock"}]  # the same for all three; each runs in a folder of its own, as if it were on a machine of its own
PORT, EDGE_PORT, PORTS = 8080, 7844, 100
END_TIMEOUT = 10
CONFIGURATION = """# Made by tests/sim/demo.py.
listeners = ( {{ address = "127.0.0.1:{port}"; }} );
admin = {{ socket = "{folder}/admin.sock"; mode = "0600"; }};
access_log = {{ path = "{folder}/access.log"; format = "json"; }};
timeouts = {{ shutdown = "2s"; }};

edge = {{ addresses = [ "127.0.0.1:{edge}" ]; location = "demo";
  tunnels = (
{tunnels}
  ); }};

pools = (
  {{ name = "europe"; monitors = [ ];
    endpoint_steering = {{ policy = "round_robin"; }};
    endpoints = ( {endpoints} ); }}
);

load_balancers = ( {{ hostnames = [ "{host}" ]; default_pools = [ "europe" ]; }} );

alerts = ( {{ name = "demo"; type = "webhook"; url = "{hook}"; secret_file = "hook.secret"; }} );
"""
TUNNEL = """    {{ name = "{name}"; id = "{id}"; secret_file = "{name}.secret"; }}"""


def say(*words):
    print(*words, flush=True)


def free_port(first):
    """That one, or the next that nobody listens on."""
    for port in range(first, first + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port != first:
                say(f"Port {first} is taken: using {port} instead.")
            return port
    raise SystemExit(f"no free port from {first} to {first + PORTS}")


def end_with_parent():
    """PR_SET_PDEATHSIG: nothing stays behind even if this process is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class LocalServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    request_queue_size = 128
    daemon_threads = True

    def server_bind(self):
        Path(self.server_address).unlink(missing_ok=True)
        socketserver.TCPServer.server_bind(self)


def serve_name(name, path):
    """The application behind a tunnel, on a socket of that path: it says which one it is."""
    class Application(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment

        def do_GET(self):
            body = (name + "\n").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = LocalServer(min(str(path), os.path.relpath(path), key=len), Application)  # such a path has 107 bytes at the most
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Demo:
    def __init__(self, penstock, folder):
        self.penstock = str(Path(penstock).resolve())
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes = {}  # name -> Popen
        self.alerts = []
        self.introduced = False
        self.real = shutil.which("cloudflared")

    # --- start and stop ---

    def start(self):
        self.credentials = {name: Credentials.new() for name in NAMES}
        self.start_hook(wire.Background())
        self.start_penstock()
        for name in NAMES:
            own = self.folder / name
            own.mkdir(exist_ok=True)
            serve_name(name, own / "app.sock")
            self.write_private(f"{name}/credentials.json", json.dumps(self.credentials[name].json))
            (own / "config.yml").write_text(json.dumps({  # JSON is YAML
                "tunnel": self.credentials[name].tunnel, "credentials-file": "credentials.json", "ingress": RULES}, indent=2) + "\n")
            self.start_process(name, self.connector_command(), log=self.folder / f"{name}.log", cwd=own)
        self.wait_for(lambda: {self.get() for _ in range(2 * len(NAMES))} == set(NAMES), "the three tunnels", 60)

    def start_penstock(self):
        self.port, self.edge = free_port(PORT), free_port(EDGE_PORT)
        config = self.folder / "penstock.conf"
        for name, credentials in self.credentials.items():
            self.write_private(f"{name}.secret", credentials.encoded_secret)
        config.write_text(CONFIGURATION.format(
            port=self.port, edge=self.edge, folder=self.folder, host=HOST, hook=self.hook.url,
            tunnels=",\n".join(TUNNEL.format(name=name, id=one.tunnel) for name, one in self.credentials.items()),
            endpoints=", ".join(f'{{ tunnel = "{name}"; }}' for name in NAMES)))
        self.start_process("penstock", [self.penstock, "serve", "-c", str(config), "--state-dir", str(self.folder / "state")],
                           log=self.folder / "penstock.log")
        self.wait_for(lambda: (self.folder / "state/edge-ca.pem").exists() and self.connects(self.edge), "penstock")

    def connects(self, port):
        with socket.create_connection(("127.0.0.1", port), 1):
            return True

    def write_private(self, name, text):
        path = self.folder / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text + "\n")

    def start_hook(self, background):
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.write_private("hook.secret", secret)
        self.hook = Hook(background, secret, self.print_alert)

    def start_process(self, name, command, log=None, cwd=None):
        (self.folder / "state").mkdir(exist_ok=True)
        with open(log or os.devnull, "wb") as output:
            self.processes[name] = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                                                    if log else None,
                                                    start_new_session=True, preexec_fn=end_with_parent)

    def stop(self):
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def connector_command(self):
        """For each tunnel the same, to be run in its folder."""
        edges = [word for _ in range(4) for word in ("--edge", f"127.0.0.1:{self.edge}")]
        known = ["--cacert", "../state/edge-ca.pem", "--config", "config.yml"]
        if self.real:  # a cloudflared before 2026.5 has no option for the first
            return ["env", "TUNNEL_NO_PRECHECKS=true", self.real, "tunnel", "--no-autoupdate", "--protocol", "http2", "--retries", "1",
                    "--metrics", "127.0.0.1:0", *edges, *known, "run"]
        return [str(Path(self.penstock).parent / "tests/sim/connector_h2"), *edges, *known, "--cred-file", "credentials.json"]

    def tunnels_are_whole(self):
        listed = subprocess.run([self.penstock, "tunnel", "list", "--json", "--admin", str(self.folder / "admin.sock")], capture_output=True, text=True)
        return listed.returncode == 0 and all(one["status"] == "healthy" for one in json.loads(listed.stdout))

    # --- what is said ---

    def for_people(self, command, cwd="."):
        return shlex.join(os.path.relpath(part, cwd) if part.startswith(str(self.folder.parent)) else part for part in command)

    def introduce(self):
        first = NAMES[0]
        ask = self.for_people([self.penstock])
        what = f"cloudflared ({self.real})" if self.real else "our stand-in for cloudflared (none is on the PATH)"
        say(f"""
Three tunnels with the same configuration, each dialled in by {what}:""")
        for name in NAMES:
            say(f"    {name}   pid {self.processes[name].pid}   tunnel {self.credentials[name].tunnel}")
        say(f"""penstock (pid {self.processes['penstock'].pid}) is the edge they dial, at 127.0.0.1:{self.edge}, and serves http://{HOST}/ from them at
127.0.0.1:{self.port}; its configuration and log are in {os.path.relpath(self.folder)}/. Try in another terminal:

    curl -H 'Host: {HOST}' http://127.0.0.1:{self.port}/       one of the three answers with its name
    export PENSTOCK_ADMIN={self.for_people([str(self.folder / "admin.sock")])}
    {ask} status             what is known of all
    {ask} explain --host {HOST}      where a request would go now, and why
    {ask} simulate --down europe/{first}           what would become of the traffic
    kill {self.processes[first].pid}                  takes the tunnel {first} down: requests go on, and a signed alert shows here
    (cd {os.path.relpath(self.folder / first)} && {self.for_people(self.connector_command(), self.folder / first)})
                                brings it back (Ctrl-C there takes it down again)

Alerts show below; the {len(self.alerts)} that came until the tunnels had connected are left out. Ctrl-C ends the demo and all its processes.
""")
        self.introduced = True

    def print_alert(self, delivery):
        self.alerts.append(delivery)
        data = delivery.data
        if not self.introduced and not delivery.problem:
            return
        subject = data.get("endpoint") or (data.get("tunnel") or {}).get("name") or data.get("load_balancer") or data.get("pool") or json.dumps(data)
        signature = f"REFUSED, {delivery.problem}" if delivery.problem else "signature verified"
        say(f"{time.strftime('%H:%M:%S')} webhook ({signature}): {delivery.type} [{delivery.event.get('severity')}] {subject}: "
            f"{data.get('reason') or data.get('difference')}")

    # --- facts ---

    def get(self, connection=None):
        """The name of the tunnel that answered; raises what went wrong."""
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        own.request("GET", "/", headers={"Host": HOST})
        response = own.getresponse()
        body = response.read().decode().strip()
        if response.status != 200:
            raise OSError(f"status {response.status}: {body[:200]}")
        if not connection:
            own.close()
        return body

    def wait_for(self, fact, what, timeout=30):
        end = time.monotonic() + timeout
        while True:
            self.check_alive()
            try:
                if fact():
                    return
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > end:
                raise SystemExit(f"{what}: not ready within {timeout} s, see {self.folder}/penstock.log")
            time.sleep(0.05)

    def check_alive(self):
        process = self.processes.get("penstock")
        if process and process.poll() is not None:
            log = (self.folder / "penstock.log").read_text(errors="replace")
            raise SystemExit(f"penstock ended with status {process.returncode}:\n{log[-2000:]}")

    # --- the two ways to run it ---

    def watch(self, stop):
        """Until told to stop; says which tunnel's process ended."""
        known = set(NAMES)
        while not stop.wait(0.2):
            self.check_alive()
            for name in sorted(known):
                if self.processes[name].poll() is not None:
                    known.remove(name)
                    say(f"{time.strftime('%H:%M:%S')} tunnel {name}: its process has ended")

    def smoke(self):
        """Kills a tunnel under load; True if nobody noticed but the webhook."""
        answered, failures, stop = [], [], threading.Event()
        def load():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            while not stop.wait(0.02):
                try:
                    answered.append(self.get(connection))
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                    connection.close()
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            victim = NAMES[1]
            self.wait_for(lambda: answered.count(victim) >= 20, "answers before the loss")
            of_the_start = len(self.alerts)
            self.processes[victim].kill()
            self.wait_for(lambda: any("healthy" not in a.type.split(".") and victim in json.dumps(a.event) for a in self.alerts[of_the_start:]),
                          "an alert about the lost tunnel")
            before = len(answered)
            self.wait_for(lambda: len(answered) >= before + 200, "answers after the loss")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        unsigned = [alert.problem for alert in self.alerts if alert.problem]
        lost = [name for name in answered[before:] if name == victim]
        say(f"smoke: {len(answered)} requests answered, {len(failures)} failed, {len(self.alerts)} webhooks, {len(unsigned)} unsigned; "
            f"{victim} answered {len(lost)} after its loss was known")
        for failure in failures[:5]:
            say("  " + failure)
        return not failures and not unsigned and not lost


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstock", default="build/penstock", metavar="PATH")
    parser.add_argument("--folder", default="build/demo", metavar="DIR", help="for configuration, state and logs")
    parser.add_argument("--smoke", action="store_true", help="use it, kill a tunnel, and exit 0 if all went well")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    demo = Demo(options.penstock, options.folder)
    try:
        demo.start()
        if options.smoke:
            return 0 if demo.smoke() else 1
        demo.wait_for(demo.tunnels_are_whole, "all connections of the three tunnels", 60)
        demo.introduce()
        demo.watch(stop)
        say("\nStopping.")
        return 0
    finally:
        demo.stop()


if __name__ == "__main__":
    sys.exit(main())
