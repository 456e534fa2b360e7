"""The commands: what they print, for people and for programs, and their exit status: 0 yes, 1 no, 2 wrong usage or no daemon."""

import json
import re
import subprocess

import pytest
from client import wait_until
from daemon import PENSTOCK, cli

COMMANDS = ["serve", "check", "status", "endpoint", "tunnel", "edge", "monitor", "alerts", "events", "reload", "trace"]


@pytest.fixture
def daemon(serve, make_origin):
    return serve(make_origin("one"), make_origin("two"))


def test_help_and_version():
    listed = cli("--help")
    assert listed.returncode == 0 and cli("-h").stdout == listed.stdout
    assert all(re.search(rf"^ +{command}\b", listed.stdout, re.M) for command in COMMANDS), listed.stdout
    version = cli("--version")
    assert version.returncode == 0 and re.match(r"penstock \d+\.\d+", version.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command):
    result = cli(command, "--help")
    assert result.returncode == 0 and command in result.stdout and "usage" in result.stdout.lower()


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["status", "--nonsense"], ["endpoint"], ["endpoint", "drain"], ["serve"],
                                       ["serve", "-c", "none.conf", "--trace", "nonsense"], ["events", "--since", "yesterday"]])
def test_wrong_usage(arguments):
    result = cli(*arguments)
    assert result.returncode == 2
    assert result.stderr and not result.stdout


def test_nearly_right_command_gets_a_suggestion():
    assert "status" in cli("statsu").stderr


def test_no_daemon(folder):
    result = cli("status", "--admin", folder / "none.sock")
    assert result.returncode == 2
    assert "none.sock" in result.stderr


def test_admin_from_the_environment(daemon):
    result = cli("status", "--json", env={"PENSTOCK_ADMIN": str(daemon.admin_socket)})
    assert result.returncode == 0 and json.loads(result.stdout)["pools"]


def test_status_table_and_json(daemon):
    table = daemon.cli("status")
    assert table.returncode == 0
    assert all(word in table.stdout for word in ("pool", "one", "two", "healthy"))
    assert "\x1b" not in table.stdout, "no colours where there is no terminal"
    assert json.loads(daemon.cli("status", "--json").stdout)["pools"][0]["endpoints"][0]["id"] == "pool/one"


def test_status_watch_goes_on_until_it_is_told_to_stop(daemon):
    process = subprocess.Popen([PENSTOCK, "status", "--watch", "--admin", daemon.admin_socket], stdout=subprocess.PIPE,
                               stdin=subprocess.DEVNULL)
    try:
        seen = b""
        while seen.count(b"two") < 2:
            piece = process.stdout.read1(65536)
            assert piece, "it ended"
            seen += piece
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_endpoint_drain_disable_enable(daemon):
    for word, state in (("drain", "drained"), ("disable", "disabled"), ("enable", "healthy")):
        result = daemon.cli("endpoint", word, "pool/one")
        assert result.returncode == 0, result.stderr
        assert daemon.endpoint("pool/one")["state"] == state


@pytest.mark.parametrize("arguments", [["drain", "pool/none"], ["weight", "pool/none", "1"]])
def test_endpoint_that_is_not_there(daemon, arguments):
    result = daemon.cli("endpoint", *arguments)
    assert result.returncode == 1 and "pool/none" in result.stderr


@pytest.mark.parametrize("weight", ["-1", "heavy", ""])
def test_weight_that_is_none(daemon, weight):
    assert daemon.cli("endpoint", "weight", "pool/one", weight).returncode in (1, 2)
    assert daemon.endpoint("pool/one")["weight"] == 1


def test_events(daemon):
    daemon.cli("endpoint", "drain", "pool/one")
    result = wait_until(lambda: "endpoint.drained" in (found := daemon.cli("events")).stdout and found)
    assert result.returncode == 0 and "pool/one" in result.stdout
    assert "endpoint.drained" in daemon.cli("events", "--since", "1h").stdout
    assert any(event["type"] == "endpoint.drained" for event in events_of(daemon.cli("events", "--json").stdout))


def events_of(text):
    """A JSON array or object, or one object a line."""
    try:
        read = json.loads(text)
        return read["events"] if isinstance(read, dict) and "events" in read else read if isinstance(read, list) else [read]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def test_events_follow(daemon):
    process = subprocess.Popen([PENSTOCK, "events", "--follow", "--admin", daemon.admin_socket], stdout=subprocess.PIPE,
                               stdin=subprocess.DEVNULL)
    try:
        seen = b""
        for word in ("drain", "enable") * 20:
            daemon.cli("endpoint", word, "pool/two")
            if b"endpoint.drained" in seen:
                break
            seen += process.stdout.read1(65536)
        assert b"endpoint.drained" in seen
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_trace_is_switched_at_run_time(daemon):
    assert daemon.cli("trace", "exchange", "on").returncode == 0
    before = len(daemon.log)
    daemon.get("/traced-path")
    wait_until(lambda: len(daemon.log) > before)
    assert daemon.cli("trace", "exchange", "off").returncode == 0
    assert daemon.cli("trace", "nonsense", "on").returncode in (1, 2)


def test_trace_from_the_start(serve, origin):
    daemon = serve(origin, arguments=["--trace", "exchange,health"])
    before = len(daemon.log)
    daemon.get()
    wait_until(lambda: len(daemon.log) > before)


def test_alerts_without_channels(daemon):
    result = daemon.cli("alerts", "list", "--json")
    assert result.returncode == 0 and json.loads(result.stdout) == []


def test_output_that_cannot_be_written(daemon):
    with open("/dev/full", "w") as full:
        result = subprocess.run([PENSTOCK, "status", "--json", "--admin", daemon.admin_socket], stdout=full, stderr=subprocess.PIPE,
                                timeout=20)
    assert result.returncode != 0
