"""The demo does what it promises, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from client import wait_until
from daemon import PENSTOCK, cli

pytestmark = pytest.mark.xdist_group("demo")  # both look for a free port from 8080 on

DEMO = [sys.executable, "-B", str(Path(__file__).resolve().parents[1] / "sim/demo.py"), "--penstock", PENSTOCK]
MARK = "PENSTOCK_DEMO_OF_THE_TEST"


def marked(folder):
    """The processes that have our mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            pass  # ended meanwhile
    return found


def test_smoke(folder):
    result = subprocess.run([*DEMO, "--folder", folder / "demo", "--smoke"], capture_output=True, text=True, timeout=120,
                            env={**os.environ, MARK: str(folder)})
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 failed" in result.stdout
    assert not marked(folder)


def test_says_what_to_try_and_ends_on_a_signal(folder):
    process = subprocess.Popen([*DEMO, "--folder", folder / "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, MARK: str(folder)})
    try:
        said = read_until(process, "Ctrl-C ends the demo")
        assert len(marked(folder)) == 5, "the demo, three tunnels, penstock"
        assert "curl -H 'Host: app.example.com'" in said and "export PENSTOCK_ADMIN=" in said
        admin = re.search(r"export (PENSTOCK_ADMIN)=(\S+)", said).groups()
        commands = re.findall(r"penstock ((?:status|explain|simulate).*?)  ", said)
        assert len(commands) == 3
        for command in commands:
            assert cli(*command.split(), env=dict([admin])).returncode == 0, command
        wait_until(lambda: None not in (rules := rules_of_tunnels(folder)) and len(rules) == 3, what="what the connectors say of their rules")
        assert rules_of_tunnels(folder) == [{"ingress": [{"service": "unix:app.sock"}]}] * 3
        pid = int(next(line.split()[1] for line in said.splitlines() if line.strip().startswith("kill ")))
        os.kill(pid, signal.SIGTERM)
        read_until(process, "webhook (signature verified)")
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
    wait_until(lambda: not marked(folder))


def rules_of_tunnels(folder):
    """What each is known to have: the demo says that they are the same."""
    listed = json.loads(cli("tunnel", "list", "--json", "--admin", folder / "demo/admin.sock").stdout)
    return [json.loads(cli("tunnel", "info", one["id"], "--json", "--admin", folder / "demo/admin.sock").stdout)["config"] for one in listed]


def read_until(process, words):
    said = ""
    while words not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return said
