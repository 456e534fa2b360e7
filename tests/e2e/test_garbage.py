"""Bytes at random, from clients and from origins: whatever comes, the daemon serves on. The draws are the same in each run."""

import random

from client import Connection, Cut
from origin import CLOSE

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: app.test\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: app.test\r\nContent-Length: 11\r\n\r\nhello world",
    b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n\r\n\x81\x02hi",
    b"GET http://app.test/a?b HTTP/1.1\r\nHost: app.test\r\nConnection: X-A, close\r\nX-A: b\r\nExpect: 100-continue\r\n\r\n",
    b"HEAD / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\nCookie: a=b; c=d\r\nForwarded: for=1.2.3.4\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b; Domain=app.test\r\nLocation: http://app.test/\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: close\r\nKeep-Alive: timeout=5\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw",
]
SPICES = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\xff", b"0", b"ffffffffffffffff", b"Content-Length: 1\r\n",
          b"Transfer-Encoding: chunked\r\n",
          b"Host: b\r\n", b"Connection: close\r\n", b"x" * 5000, b"HTTP/1.1 200 OK\r\n\r\n", b"GET / HTTP/1.1\r\n"]


def spoiled(draw, raw):
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(raw) + 1)
        cut = draw.choice([0, 0, 1, draw.randrange(20)])
        raw = raw[:at] + draw.choice([b"", bytes([draw.randrange(256)]), draw.choice(SPICES)]) + raw[at + cut:]
    return raw


def in_pieces(draw, raw):
    cuts = sorted(draw.randrange(len(raw) + 1) for _ in range(draw.randrange(4)))
    return [piece for piece in (raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)])) if piece]


def provoke(daemon, pieces):
    """Sends them, closes the sending side, and takes what comes until the end, or a reset."""
    with daemon.connect() as connection:
        try:
            for piece in pieces:
                connection.send(piece)
            connection.finish_sending()
            connection.read_to_end()
        except (Cut, OSError) as problem:
            assert not isinstance(problem, TimeoutError), "neither answered nor closed"


def test_from_clients(serve, origin):
    daemon = serve(origin, timeouts={"client_header": "500ms", "client_body": "500ms", "upgrade_idle": "1s",
                                     "client_abort": "300ms"})
    draw = random.Random(1)
    for _ in range(500):
        provoke(daemon, in_pieces(draw, spoiled(draw, draw.choice(REQUESTS)) + draw.choice([b"", draw.choice(REQUESTS)])))
    assert daemon.get().body == b"origin\n"


def test_from_origins(serve, origin):
    daemon = serve(origin, timeouts={"response_header": "300ms", "response_idle": "300ms", "upgrade_idle": "1s"},
                   pool={"passive": {"consecutive": 0, "ratio": 0.0}})
    draw = random.Random(2)
    for _ in range(300):
        origin.script("/x", *in_pieces(draw, spoiled(draw, draw.choice(RESPONSES))), *draw.choice([[], [CLOSE]]))
        provoke(daemon, [draw.choice(REQUESTS).replace(b" / ", b" /x ").replace(b"/echo", b"/x").replace(b"/ws", b"/x")])
    assert daemon.get().body == b"origin\n"


def test_towards_the_admin_socket(serve, origin):
    daemon = serve(origin)
    draw = random.Random(3)
    asked = [b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
             b"GET /v1/events?after=evt_1&type=a.* HTTP/1.1\r\nHost: localhost\r\n\r\n",
             b"PATCH /v1/endpoints/pool/origin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19\r\n\r\n{\"state\": \"enabled\"}"]
    for _ in range(200):
        with Connection(f"unix:{daemon.admin_socket}") as connection:
            try:
                connection.send(spoiled(draw, draw.choice(asked)))
                connection.finish_sending()
                connection.read_to_end()
            except (Cut, BrokenPipeError):
                pass
    assert daemon.is_ready()
