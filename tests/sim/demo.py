#!/usr/bin/env python3
"""The demo that ./quickstart runs: three tunnels behind a stand-in for Cloudflare's edge, one penstock before them, and a receiver that
prints its alerts. With --smoke it uses them itself, kills a tunnel under load and exits 0 only if no request failed and the alert came."""

import argparse
import base64
import ctypes
import http.client
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import certs
import wire
from edge import Edge, Tunnel
from hook import Hook
from origin import tls_context

HERE = Path(__file__).resolve().parent
HOST = "app.example.com"
NAMES = ["ams", "fra", "lon"]
FIRST_PORT, PORTS = 8080, 100
END_TIMEOUT = 10
CONFIGURATION = """# Made by tests/sim/demo.py.
listeners = ( {{ address = "127.0.0.1:{port}"; }} );
admin = {{ socket = "{folder}/admin.sock"; mode = "0600"; }};
access_log = {{ path = "{folder}/access.log"; format = "json"; }};
timeouts = {{ shutdown = "2s"; }};

monitors = ( {{ name = "app"; type = "http"; path = "/"; interval = "2s"; timeout = "1s"; consecutive_down = 2; }} );

pools = (
  {{ name = "europe"; monitors = [ "app" ];
    endpoint_steering = {{ policy = "round_robin"; }};
    endpoints = (
{endpoints}
    ); }}
);

load_balancers = ( {{ hostnames = [ "{host}" ]; default_pools = [ "europe" ]; }} );

alerts = ( {{ name = "demo"; type = "webhook"; url = "{hook}"; secret_file = "hook.secret"; }} );
"""
ENDPOINT = """      {{ name = "{name}"; tunnel = "{id}"; hostname = "{name}.example.com"; connect_to = "{edge}";
        tls = {{ ca_file = "ca.pem"; }}; }}"""


def say(*words):
    print(*words, flush=True)


def free_port():
    """8080, or the next that nobody listens on."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port != FIRST_PORT:
                say(f"Port {FIRST_PORT} is taken: using {port} instead.")
            return port
    raise SystemExit(f"no free port from {FIRST_PORT} to {FIRST_PORT + PORTS}")


def end_with_parent():
    """PR_SET_PDEATHSIG: nothing stays behind even if this process is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Demo:
    def __init__(self, penstock, folder):
        self.penstock = str(Path(penstock).resolve())
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes = {}  # name -> Popen
        self.alerts = []

    # --- start and stop ---

    def start(self):
        authority = certs.Authority(self.folder)
        background = wire.Background()
        self.edge = Edge(background, tls_context(*authority.issue("*.example.com")))
        self.tunnels = {name: self.edge.add(Tunnel(name, [(f"{name}.example.com", 404)]), f"{name}.example.com", connected=False)
                        for name in NAMES}
        for name in NAMES:
            self.start_process(name, self.connector_command(name))
        self.wait_for(lambda: all(tunnel.connectors for tunnel in self.tunnels.values()), "the tunnels")
        self.start_hook(background)
        self.port = free_port()
        config = self.folder / "penstock.conf"
        config.write_text(CONFIGURATION.format(port=self.port, folder=self.folder, host=HOST, hook=self.hook.url,
                                               endpoints=",\n".join(
            ENDPOINT.format(name=name, id=tunnel.id, edge=self.edge.address) for name, tunnel in self.tunnels.items())))
        self.start_process("penstock", [self.penstock, "serve", "-c", str(config), "--state-dir", str(self.folder / "state")],
                           log=self.folder / "penstock.log")
        self.wait_for(lambda: self.get() in NAMES, "penstock")

    def start_hook(self, background):
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        path = self.folder / "hook.secret"
        path.touch(mode=0o600)
        path.write_text(secret + "\n")
        self.hook = Hook(background, secret, self.print_alert)

    def start_process(self, name, command, log=None):
        (self.folder / "state").mkdir(exist_ok=True)
        with open(log or os.devnull, "wb") as output:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
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

    def connector_command(self, name):
        return [sys.executable, "-B", str(HERE / "connector.py"), "--edge", self.edge.registry, "--tunnel", self.tunnels[name].id,
                "--name", name]

    # --- what is said ---

    def introduce(self):
        command = [os.path.relpath(self.penstock), "status", "--admin", os.path.relpath(self.folder / "admin.sock")]
        first = NAMES[0]
        say(f"""
Three tunnels behind a stand-in for Cloudflare's edge, all with the same configuration:""")
        for name in NAMES:
            say(f"    {name}   pid {self.processes[name].pid}   tunnel {self.tunnels[name].id}")
        say(f"""penstock (pid {self.processes['penstock'].pid}) serves http://{HOST}/ from them at 127.0.0.1:{self.port}; its configuration and log are in
{os.path.relpath(self.folder)}/. Try in another terminal:

    curl -H 'Host: {HOST}' http://127.0.0.1:{self.port}/       one of the three answers with its name
    {shlex.join(command)}
    kill {self.processes[first].pid}                  takes the tunnel {first} down: requests go on, and a signed alert shows here
    {shlex.join([os.path.relpath(part) if part.startswith(str(HERE)) else part for part in self.connector_command(first)])}
                                brings it back (Ctrl-C there takes it down again)

Alerts show below. Ctrl-C ends the demo and all its processes.
""")

    def print_alert(self, delivery):
        self.alerts.append(delivery)
        data = delivery.data
        subject = data.get("endpoint") or (data.get("tunnel") or {}).get("name") or data.get("pool") or json.dumps(data)
        signature = f"REFUSED, {delivery.problem}" if delivery.problem else "signature verified"
        say(f"{time.strftime('%H:%M:%S')} webhook ({signature}): {delivery.type} [{delivery.event.get('severity')}] {subject}: {data.get('reason')}")

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
        self.wait_for(lambda: len({self.get() for _ in NAMES}) == len(NAMES), "all three tunnels answer in turn")

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
            self.processes[victim].kill()
            self.wait_for(lambda: any("healthy" not in a.type.split(".") and victim in json.dumps(a.event) for a in self.alerts),
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
        demo.introduce()
        demo.watch(stop)
        say("\nStopping.")
        return 0
    finally:
        demo.stop()


if __name__ == "__main__":
    sys.exit(main())
