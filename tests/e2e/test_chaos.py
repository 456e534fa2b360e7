"""Everything at once: clients of all kinds while origins die and come back, endpoints are drained and configurations reloaded. Every
client gets a whole response or a clean cut, nobody waits for ever, and in the end nothing is left in flight."""

import collections
import random
import threading

from client import WEBSOCKET, Cut, chunked, keep_asking, request_bytes, wait_until
from daemon import endpoint, monitor
from origin import CLOSE, CLOSE_IF_REUSED, RESET, answer, content

CLIENTS = 12
TURNS = 200
ILLS = [[CLOSE], [RESET], [CLOSE_IF_REUSED, answer(200, b"late")], [answer(503, b"no")], [answer(530, b"no")], [b"garbage\r\n\r\n", CLOSE],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", CLOSE]]


def get(connection, draw):
    return connection.request("GET", draw.choice(["/", "/echo?x", "/bytes/100000", "/chunked/50000", "/interim/103/1", "/status/404"]))


def post(connection, draw):
    return connection.request("POST", "/echo", body=content(draw.choice([1, 1000, 100_000])))


def post_chunked(connection, draw):
    connection.send(b"POST /echo HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.send(chunked(*[content(draw.randrange(1, 5000)) for _ in range(5)]))
    return connection.read_response()


def websocket(connection, draw):
    response = connection.request("GET", "/ws", WEBSOCKET)
    if response.status == 101:
        connection.send(b"ping")
        assert connection.read_exactly(4) == b"ping"
        raise Cut("done with it")
    return response


def leave_early(connection, draw):
    connection.send(request_bytes("GET", draw.choice(["/delay/0.05", "/bytes/1000000"])))
    raise Cut("gone")


def client(daemon, seed, answered, problems):
    draw = random.Random(seed)

    def ask(connection):
        return draw.choice([get, get, get, post, post_chunked, websocket, leave_early])(connection, draw)
    keep_asking(daemon, TURNS, ask, (200, 404, 502, 503, 530), answered, problems)


def disturb(daemon, origins, draw):
    """Whatever happens, the first origin stays well and in use."""
    origin = draw.choice(origins[1:])
    what = draw.randrange(6)
    if what == 0:
        origin.kill()
    elif what == 1:
        origin.accept()
    elif what == 2:
        origin.script(draw.choice(["*", "/echo"]), *draw.choice(ILLS))
    elif what == 3:
        origin.scripts.clear()
    elif what == 4:
        daemon.admin("PATCH", f"/v1/endpoints/pool/{origin.name}", {"state": draw.choice(["drained", "enabled"])})
    else:
        daemon.write(pools=[{"name": "pool", "monitors": draw.choice([[], ["app"]]), "passive": {"ejection": "200ms"},
                             "endpoints": [endpoint(o) for o in origins[:1] + draw.sample(origins[1:], draw.randrange(len(origins)))]}])
        assert daemon.admin("POST", "/v1/reload").status == 200


def test_chaos(serve, make_origin):
    origins = [make_origin(name) for name in ("a", "b", "c")]
    daemon = serve(*origins, pool={"passive": {"ejection": "200ms"}}, monitors=[monitor(path="/")],
                   timeouts={"response_header": "10s"})
    problems, answered = [], collections.Counter()
    threads = [threading.Thread(target=client, args=(daemon, seed, answered, problems), daemon=True) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    draw = random.Random("chaos")
    while any(thread.is_alive() for thread in threads):
        disturb(daemon, origins, draw)
        threads[draw.randrange(CLIENTS)].join(0.02)
    assert not problems, problems[:5]
    assert answered.total() == CLIENTS * TURNS and answered[200] > CLIENTS * TURNS / 4, answered
    for origin in origins:
        origin.scripts.clear()
        origin.accept()
        assert daemon.admin("PATCH", f"/v1/endpoints/pool/{origin.name}", {"state": "enabled"}).status in (200, 404)
    wait_until(lambda: daemon.get().status == 200, what="it serves again")
    wait_until(lambda: all(row["in_flight"] == 0 for row in daemon.pool("pool")["endpoints"]), what="nothing is in flight")
    wait_until(lambda: daemon.metric(r"penstock_\w*upgraded") == 0, what="no upgraded connection is left")
