"""The access log: a line per request, in both formats, whatever a client puts into it; reopened on SIGUSR1."""

import json
import os
import re
import select
import signal

import pytest
from client import Cut, request_bytes, wait_until
from origin import CLOSE, Gate

COMBINED = re.compile(r'^(\S+) - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(.*)" (\d{3}) (\d+|-) "(.*)" "(.*)".*$')


def last(daemon, count=1):
    return wait_until(lambda: len(lines := daemon.access_log()) >= count and lines)[-1]


def test_json(serve, origin):
    daemon = serve(origin)
    body = b"x" * 100
    daemon.request("POST", "/echo?a=b", [("User-Agent", "agent/1"), ("Referer", "http://from.test/")], body)
    line = last(daemon)
    assert line["method"] == "POST" and line["host"] == "app.test" and line["status"] == 200
    assert "/echo?a=b" in json.dumps(line)
    assert line["user_agent"] == "agent/1" and line["referer"] == "http://from.test/"
    assert line["client"].startswith("127.0.0.1")
    assert line["endpoint"] == "pool/origin" and line["load_balancer"] == "*"
    assert line["bytes_in"] == 100 and line["bytes_out"] > 100
    assert line["retries"] == 0 and line["request_id"]


def test_request_id_is_the_origin_s(serve, origin):
    daemon = serve(origin)
    fields = {n.lower(): v for n, v in daemon.get("/echo").json()["fields"]}
    assert last(daemon)["request_id"] == fields["x-request-id"]


def test_reasons(serve, origin):
    daemon = serve(origin, timeouts={"client_header": "300ms"})
    origin.script("/close", CLOSE)
    assert daemon.request("POST", "/close", body=b"x").status == 502
    assert last(daemon)["reason"] == "reset"
    assert daemon.exchange(b"GET / HTTP/1.1\r\n\r\n").status == 400
    wait_until(lambda: last(daemon)["status"] == 400)
    origin.script("/half", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", CLOSE)
    with daemon.connect() as connection, pytest.raises(Cut):
        connection.request("GET", "/half")
    wait_until(lambda: last(daemon)["reason"] == "truncated")


def test_client_that_went_away(serve, origin):
    daemon = serve(origin)
    gate = Gate()
    origin.script("/wait", gate)
    connection = daemon.connect().send(request_bytes("GET", "/wait"))
    wait_until(lambda: gate.waiting)
    connection.close()
    wait_until(lambda: last(daemon)["reason"] == "client_gone")


def test_combined(serve, origin):
    daemon = serve(origin, access_log={"format": "combined"})
    daemon.request("GET", "/x?y", [("User-Agent", 'quote " and \\'), ("Referer", "http://from.test/")])
    text = wait_until(lambda: daemon.access_log_path.read_text())
    match = COMBINED.match(text.rstrip("\n"))
    assert match, text
    assert match[1] == "127.0.0.1" and match[2] == "GET /x?y HTTP/1.1" and match[3] == "200" and match[5] == "http://from.test/"
    assert '"' not in re.sub(r"\\.", "", match[6]), "a quote inside is escaped"


@pytest.mark.parametrize("format", ["json", "combined"])
def test_nothing_a_client_sends_breaks_a_line(serve, origin, format):
    daemon = serve(origin, access_log={"format": format})
    nasty = ['"', "\\", "\\n", "\xff\xfe", "%0d%0a", "\t", "a" * 20_000]
    for value in nasty:
        assert daemon.request("GET", "/x", [("User-Agent", value)]).status == 200
    lines = wait_until(lambda: len(found := daemon.access_log_path.read_bytes().splitlines()) >= len(nasty) and found)
    assert len(lines) == len(nasty)
    for line in lines:
        line.decode("utf-8")
        assert json.loads(line) if format == "json" else COMBINED.match(line.decode())


def test_reopened_on_sigusr1(serve, origin):
    daemon = serve(origin)
    daemon.get("/before")
    wait_until(lambda: "/before" in daemon.access_log_path.read_text())
    rotated = daemon.access_log_path.with_suffix(".1")
    daemon.access_log_path.rename(rotated)
    daemon.signal(signal.SIGUSR1)
    wait_until(daemon.access_log_path.exists)
    daemon.get("/after")
    wait_until(lambda: "/after" in daemon.access_log_path.read_text())
    assert "/after" not in rotated.read_text()


def test_reader_that_is_slow_costs_no_line(serve, origin, folder):
    """A pipe that nobody reads for a while: what does not fit into it waits, and no request does."""
    path = folder / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR)  # so that opening it for writing does not wait
    daemon = serve(origin, access_log={"path": path})
    try:
        with daemon.connect() as connection:
            for n in range(900):
                assert connection.request("GET", f"/{n:04}").status == 200
        seen = b""
        while seen.count(b"\n") < 900:
            assert select.select([reader], [], [], 15)[0], f"{seen.count(10)} lines"
            seen += os.read(reader, 65536)
    finally:
        os.set_blocking(reader, False)
        daemon.stop()
        os.close(reader)
    assert [json.loads(line)["target"] for line in seen.splitlines()] == [f"/{n:04}" for n in range(900)]


def test_off(serve, origin):
    daemon = serve(origin, access_log={"path": "off"})
    assert daemon.get().status == 200
    daemon.stop()
    assert not daemon.access_log_path.exists()


def test_stdout(serve, origin):
    daemon = serve(origin, access_log={"path": "stdout"})
    daemon.get("/to-stdout")
    wait_until(lambda: "/to-stdout" in daemon.log)


def test_every_request_has_its_line(serve, origin):
    daemon = serve(origin)
    with daemon.connect() as connection:
        for n in range(200):
            connection.request("GET", f"/{n}")
    daemon.stop()
    assert len(daemon.access_log()) == 200
