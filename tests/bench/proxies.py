"""What the measurements share: proxies that run on a CPU of their own, the origin, the load."""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_TIMEOUT = 15
COMMANDS = {"penstock": ["{penstock}", "serve", "-c", "{config}", "--state-dir", "{folder}/state"],
            "haproxy": ["haproxy", "-db", "-f", "{config}"],
            "nginx": ["nginx", "-c", "{config}"]}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def request(method, path, fields="", body=b""):
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: app.example.com\r\n{fields}{length}\r\n".encode() + body


def build(folder):
    for name, libraries in (("load", ["-lssl", "-lcrypto"]), ("origin", [])):
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", folder / name, HERE / f"{name}.c", *libraries], check=True)


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--penstock", default=os.environ.get("PENSTOCK", str(HERE.parents[1] / "build/penstock")), metavar="PATH")
    parser.add_argument("--json", metavar="FILE", help="write everything there too")
    return parser


def write_json(options, data):
    if options.json:
        Path(options.json).write_text(json.dumps(data, indent=2) + "\n")


def demand(parser, penstock, names):
    """Ends the program where one of the proxies is not there."""
    os.environ["PATH"] += ":/usr/sbin"
    missing = [name for name in names if not shutil.which(penstock if name == "penstock" else name)]
    if missing:
        parser.error(f"not found: {', '.join(missing)} (Debian: apt-get install haproxy nginx-light; penstock: ./quickstart --build-only)")


def raise_file_limit(needed):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < needed:
        raise SystemExit(f"the limit of open files is {hard}; this needs {needed} (ulimit -Hn)")


def print_table(rows, left):
    """The first `left` columns are words."""
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(rows[0]))]
    for cells in rows:
        sides = [str.ljust] * left + [str.rjust] * len(cells)
        print("  ".join(side(cell, width) for side, cell, width in zip(sides, cells, widths)).rstrip())


class Proxy:
    """One of COMMANDS, by the text of its configuration; `names` fill both. `under`: the words of a program that runs it."""

    def __init__(self, name, template, folder, cpu, under=(), **names):
        self.name = name
        self.penstock = names.get("penstock")
        self.ports = {"plain": free_port(), "tls": free_port()}
        self.folder = folder / f"{name}-{self.ports['plain']}"
        (self.folder / "state").mkdir(parents=True)
        names = {**self.ports, **names, "folder": self.folder, "config": self.folder / "config"}
        (self.folder / "config").write_text(template.format(**names))
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*under, *(part.format(**names) for part in COMMANDS[name])], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))

    def wait_until_ready(self, asking):
        """Until it answers that request with 200."""
        end = time.monotonic() + START_TIMEOUT
        while True:
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{self.name} does not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.ports["plain"]), timeout=2) as probe:
                    probe.sendall(asking)
                    if probe.recv(12) == b"HTTP/1.1 200":
                        return self
            except OSError:
                pass
            time.sleep(0.05)

    def processes(self):
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found

    def cpu_ns(self):
        return sum(int((task / "schedstat").read_text().split()[0])
                   for pid in self.processes() for task in Path(f"/proc/{pid}/task").iterdir())

    def descriptors(self):
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.processes())

    def memory(self):
        """Proportional set size, in bytes."""
        return sum(int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) * 1024
                   for pid in self.processes())

    def status(self):
        """What penstock says of itself."""
        return json.loads(subprocess.run([self.penstock, "status", "--json", "--admin", self.folder / "admin.sock"], capture_output=True,
                                         check=True).stdout)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Load:
    """Requests to proxies from the other CPU, where the origin runs too. Use as a context."""

    def __init__(self, folder):
        build(folder)
        self.folder = folder
        cpus = sorted(os.sched_getaffinity(0))
        self.proxy_cpu, self.load_cpu = cpus[0], cpus[-1]
        self.origin_port = free_port()
        self.origin = subprocess.Popen([folder / "origin", str(self.origin_port)], preexec_fn=self.pin)
        self.errors = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.origin.kill()
        self.origin.wait()

    def pin(self):
        os.sched_setaffinity(0, {self.load_cpu})

    def command(self, port, request_bytes, length, connections, how_long, words=()):
        path = self.folder / "request"
        path.write_bytes(request_bytes)
        return [self.folder / "load", str(port), str(connections), str(how_long), path, str(length), *words]

    def note_errors(self, what, errors):
        if errors:
            self.errors += 1
            print(f"{what}: {errors:.0f} ERRORS", file=sys.stderr)

    def run(self, what, port, request_bytes, length, connections, seconds, words=()):
        """Answers, and how long that took."""
        said = subprocess.run(self.command(port, request_bytes, length, connections, seconds, words), preexec_fn=self.pin,
                              capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
        answers, errors, took = map(float, said.split())
        self.note_errors(what, errors)
        return answers, took
