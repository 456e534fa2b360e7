"""Bodies over tunnels: whole, in bounded memory, and never in each other's way: not the slow clients', not the stalled uploads'."""

import hashlib
import threading
import time

import pytest
from client import Cut, request_bytes, wait_until
from daemon import is_sanitized
from origin import content
from peer import reset
from tunnels import KINDS, WORKERS

MEGA = 1024 * 1024
LARGE = (20 if is_sanitized() else 200) * MEGA
GROWTH = 48 * MEGA  # of memory, whatever passes through: not near LARGE


@pytest.fixture
def daemon(edge):
    return edge.daemon


def grows_little(daemon, before):
    return is_sanitized() or daemon.memory() - before < GROWTH


def pieces_of(total, piece=64 * 1024):
    block = content(piece)
    for offset in range(0, total, piece):
        yield block[:min(piece, total - offset)]


def digest_of(total):
    seen = hashlib.sha256()
    for piece in pieces_of(total):
        seen.update(piece)
    return seen.hexdigest()


def read_body(connection, total):
    seen = hashlib.sha256()
    left = total
    while left:
        piece = connection.read_exactly(min(left, 256 * 1024))
        seen.update(piece)
        left -= len(piece)
    return seen.hexdigest()


@WORKERS
@KINDS
def test_large_downloads(daemon):
    before = daemon.memory()
    with daemon.connect() as connection:
        for path in (f"/bytes/{LARGE}",):
            connection.send(request_bytes("GET", path))
            assert connection.read_head().status == 200
            assert read_body(connection, LARGE) == digest_of(LARGE)
    assert grows_little(daemon, before)


@WORKERS
@KINDS
def test_large_uploads(daemon, origin):
    before = daemon.memory()
    with daemon.connect() as connection:
        connection.send(f"POST /echo HTTP/1.1\r\nHost: app.test\r\nContent-Length: {LARGE}\r\n\r\n".encode())
        for piece in pieces_of(LARGE):
            connection.send(piece)
        seen = connection.read_response().json()
        assert (seen["body_length"], seen["body_sha256"]) == (LARGE, digest_of(LARGE))
    assert grows_little(daemon, before)


@WORKERS
@KINDS
def test_both_ways_at_once(daemon):
    def upload(problems):
        with daemon.connect() as connection:
            connection.send(f"POST /echo HTTP/1.1\r\nHost: app.test\r\nContent-Length: {20 * MEGA}\r\n\r\n".encode())
            for piece in pieces_of(20 * MEGA):
                connection.send(piece)
            if connection.read_response().json()["body_sha256"] != digest_of(20 * MEGA):
                problems.append("upload")

    def download(problems):
        with daemon.connect() as connection:
            connection.send(request_bytes("GET", f"/chunked/{20 * MEGA}"))
            connection.read_head()
            seen, size = hashlib.sha256(), None
            while size != 0:
                size = int(connection.read_until(b"\r\n"), 16)
                seen.update(connection.read_exactly(size))
                connection.read_exactly(2)
            if seen.hexdigest() != digest_of(20 * MEGA):
                problems.append("download")
    problems = []
    threads = [threading.Thread(target=target, args=(problems,)) for target in (upload, download) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == [] and not any(thread.is_alive() for thread in threads)


def upload_until_full(connection, target="/stall-upload"):
    """Sends until nobody takes any more; how much."""
    connection.send(f"POST {target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {100 * MEGA}\r\n\r\n".encode())
    connection.socket.settimeout(1)
    sent = 0
    try:
        while sent < 100 * MEGA:
            sent += connection.socket.send(content(64 * 1024))
    except TimeoutError:
        pass
    connection.socket.settimeout(15)
    return sent


@WORKERS
@KINDS
def test_stalled_uploads_block_nobody(edge, daemon, origin):
    """The origin reads nothing of many uploads: other uploads, websockets and requests on the same two connections go on."""
    before = daemon.memory()
    stalled = [daemon.connect() for _ in range(16)]
    threads = [threading.Thread(target=upload_until_full, args=(connection,)) for connection in stalled]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert grows_little(daemon, before)
    for _ in range(6):
        with daemon.connect() as connection:
            assert connection.request("POST", "/echo", body=content(300_000)).json()["body_length"] == 300_000
            assert connection.request("GET", "/bytes/300000").status == 200
    assert len(edge.lines()) == 2
    for connection in stalled:
        reset(connection)
    wait_until(lambda: daemon.endpoint("pool/ams")["in_flight"] == 0)
    assert daemon.request("POST", "/echo", body=content(3_000_000)).json()["body_length"] == 3_000_000


@WORKERS
@KINDS
def test_a_stalled_upload_goes_on(daemon, origin):
    with daemon.connect() as connection:
        sent = upload_until_full(connection)
        assert sent < 50 * MEGA
        origin.upload_gate.open()
        left = 100 * MEGA - sent
        for piece in pieces_of(left):
            connection.send(piece)
        assert connection.read_response().json()["body_length"] == 100 * MEGA


@WORKERS
@KINDS
def test_slow_clients_block_nobody(edge, daemon, origin):
    """Twenty who ask for much and read nothing: others are served on the same two connections, and memory stays bounded."""
    before = daemon.memory()
    slow = [daemon.connect() for _ in range(20)]
    for connection in slow:
        connection.send(request_bytes("GET", "/endless"))
        assert connection.read_head().status == 200
    sent = [0]

    def settled():
        last, sent[0] = sent[0], origin.sent
        time.sleep(0.3)
        return last == origin.sent
    wait_until(settled, 30)
    assert grows_little(daemon, before)
    for _ in range(6):
        with daemon.connect() as connection:
            assert len(connection.request("GET", "/bytes/3000000").body) == 3_000_000
    for connection in slow:
        connection.read_exactly(10 * MEGA // 4)
        connection.close()
    wait_until(lambda: daemon.endpoint("pool/ams")["in_flight"] == 0)


@WORKERS
@KINDS
def test_a_slow_client_gets_all_of_it(daemon):
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", f"/bytes/{20 * MEGA}"))
        connection.read_head()
        seen = hashlib.sha256()
        for _ in range(20):
            seen.update(connection.read_exactly(MEGA))
            time.sleep(0.05)
        assert seen.hexdigest() == digest_of(20 * MEGA)
        assert connection.request("GET", "/").status == 200


@WORKERS
def test_clients_that_leave_while_uploads_are_stalled(make_edge, origin, workers):
    """A reset is noticed although nothing of it is read, and what the connector holds of the upload is let go."""
    edge = make_edge(workers=workers)
    edge.connect(connections=1, url=origin.url)
    for _ in range(6):
        connection = edge.daemon.connect()
        upload_until_full(connection)
        reset(connection)
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["in_flight"] == 0)


@WORKERS
@KINDS
def test_many_at_once(daemon):
    """More than one connection's worth of small requests."""
    problems = []

    def run(n):
        try:
            with daemon.connect() as connection:
                for i in range(30):
                    size = (n * 37 + i * 1009) % 20_000
                    if len(connection.request("GET", f"/bytes/{size}").body) != size:
                        problems.append(size)
                    if connection.request("POST", "/echo", [("Content-Length", size)], content(size)).json()["body_length"] != size:
                        problems.append(-size)
        except (OSError, Cut, AssertionError) as problem:
            problems.append(repr(problem))
    threads = [threading.Thread(target=run, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
