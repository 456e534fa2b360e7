"""Connectors that die, freeze, leave and misbehave under traffic: what may be sent again is, and nobody waits for the dead."""

import threading
import time

import pytest
from client import Cut, Load, request_bytes, wait_until
from origin import content
from tunnels import CONNECTIONS, KINDS, QUICK, WORKERS


@pytest.fixture
def three(make_edge, origin, workers, kind):
    """One tunnel with three connectors."""
    edge = make_edge(workers=workers)
    edge.three = [edge.connect(kind=kind, connections=QUICK[kind], url=origin.url) for _ in range(3)]
    return edge


@WORKERS
@KINDS
def test_kill_one_of_three(three):
    with Load(three.daemon.connect) as load:
        load.wait_for_more(200)
        three.three[0].kill()
        load.wait_for_more(400)
    assert load.failures == []
    wait_until(lambda: len(three.connectors()) == 2)


@WORKERS
@pytest.mark.parametrize("retries", [0, 2])
def test_kill_with_many_requests_on_it(make_edge, origin, workers, retries):
    """Its connections are not found dead all at once: none of the requests goes from one of them to the next until its tries are used up. Other
    connections of a tunnel are no other endpoints: `retries` does not count them."""
    edge = make_edge(workers=workers, lb={"failover": {"retries": retries}})
    edge.connect(url=origin.url)
    for _ in range(3):
        origin.requests.clear()
        one = edge.connect(url=origin.url)
        waiting = [edge.daemon.connect() for _ in range(48)]
        for connection in waiting:
            connection.send(request_bytes("GET", "/delay/1"))
        wait_until(lambda: len(origin.requests) == len(waiting))
        one.kill()
        assert [connection.read_response().status for connection in waiting] == [200] * len(waiting)
        for connection in waiting:
            connection.close()
        wait_until(lambda: len(edge.connectors()) == 1)


@WORKERS
@KINDS
def test_freeze_one_of_three(three):
    with Load(three.daemon.connect) as load:
        load.wait_for_more(200)
        three.three[0].freeze()
        load.wait_for_more(1600)
        three.three[0].thaw()
        load.wait_for_more(600)
    assert load.failures == []
    wait_until(lambda: len(three.connectors()) == 3, 40)


@WORKERS
def test_freeze_one_of_three_with_little_traffic(make_edge, origin, workers):
    """The connections that nobody has used lately freeze as well: a request that leaves one must not meet the next."""
    edge = make_edge(workers=workers)
    three = [edge.connect(url=origin.url) for _ in range(3)]
    with Load(edge.daemon.connect, rate=10, threads=5) as load:
        load.wait_for_more(10)
        three[0].freeze()
        load.wait_for_more(50)
    assert load.failures == []


@WORKERS
def test_a_frozen_tunnel_is_left_for_another(make_edge, make_origin, workers):
    """Not for another connection of the same process, which would be as silent for as long."""
    edge = make_edge("ams", "fra", workers=workers, pool={"endpoint_steering": {"policy": "off"}})
    frozen = edge.connect("ams", url=make_origin("ams").url)
    edge.connect("fra", url=make_origin("fra").url)
    assert edge.daemon.get().body == b"ams\n"
    frozen.freeze()
    assert edge.daemon.get(headers=[("X-Request-Id", "left")]).body == b"fra\n"
    told = edge.daemon.admin("GET", "/v1/explain?request=left").json()
    assert [step["endpoint"] for step in told["steps"] if step["step"] == "try"] == ["pool/ams", "pool/fra"]


@WORKERS
def test_a_dead_connection_is_left_for_one_beside_it_where_there_is_no_other_tunnel(make_edge, origin, workers):
    edge = make_edge(workers=workers)
    one = edge.connect(connections=2, url=origin.url)
    one.command("abandon 0")
    assert [edge.daemon.get().status for _ in range(6)] == [200] * 6


@WORKERS
def test_a_frozen_connection_comes_back(make_edge, origin, workers):
    edge = make_edge(workers=workers)
    two = [edge.connect(url=origin.url) for _ in range(2)]
    with Load(edge.daemon.connect) as load:
        load.wait_for_more(50)
        two[0].freeze()
        wait_until(lambda: [line["status"] for line in edge.lines()].count("suspect") == CONNECTIONS)
        two[0].thaw()
        wait_until(lambda: [line["status"] for line in edge.lines()].count("usable") == 2 * CONNECTIONS)
        seen = two[0].status()["requests"]
        wait_until(lambda: two[0].status()["requests"] > seen + 10)
    assert load.failures == []


@WORKERS
@KINDS
def test_a_post_waits_for_a_connector_that_thaws(make_edge, origin, workers, kind):
    """It might have been seen: so it is sent to nobody else, and not given up either."""
    edge = make_edge(workers=workers)
    one = edge.connect(kind=kind, connections=2, url=origin.url)
    with edge.daemon.connect() as connection:
        assert connection.request("POST", "/echo", body=b"hello").status == 200
        one.freeze()
        connection.send(request_bytes("POST", "/echo", body=b"hello again"))
        time.sleep(3)
        one.thaw()
        assert connection.read_response().json()["body_length"] == 11
    assert len(origin.seen("/echo")) == 2


@WORKERS
def test_the_dead_are_buried_after_five_seconds(make_edge, origin, workers):
    edge = make_edge(workers=workers)
    one = edge.connect(url=origin.url)
    with edge.daemon.connect() as connection:
        one.freeze()
        assert connection.request("POST", "/echo", body=b"hello").status == 502
    wait_until(lambda: edge.tunnel()["connections"] == 0)
    assert edge.daemon.get().status == 503
    one.thaw()
    wait_until(lambda: edge.daemon.get().status == 200)


@WORKERS
@KINDS
def test_rolling_restart(make_edge, origin, workers, kind):
    edge = make_edge(workers=workers)
    running = [edge.connect(kind=kind, connections=QUICK[kind], url=origin.url) for _ in range(3)]
    with Load(edge.daemon.connect) as load:
        load.wait_for_more(100)
        for old in running:
            assert old.stop(40) == 0
            edge.connect(kind=kind, connections=QUICK[kind], url=origin.url)
            load.wait_for_more(50)
    assert load.failures == []
    assert edge.tunnel()["connections"] == 3 * QUICK[kind]


@WORKERS
@KINDS
def test_a_connector_that_stops_finishes_its_requests(make_edge, origin, workers, kind):
    edge = make_edge(workers=workers)
    one = edge.connect(kind=kind, connections=2, url=origin.url)
    running = [edge.daemon.connect() for _ in range(8)]
    for n, connection in enumerate(running):
        connection.send(request_bytes(["GET", "POST"][n % 2], "/delay/2", body=b"x" * (n % 2)))
    wait_until(lambda: len(origin.seen("/delay/2")) == 8)
    one.begin_stop()
    wait_until(lambda: edge.daemon.get().status == 503, what="no new request is sent to it")
    for connection in running:
        assert connection.read_response().status == 200
        connection.close()
    assert one.wait() == 0


@WORKERS
def test_posts_while_a_connector_stops(make_edge, origin, workers):
    edge = make_edge(workers=workers)
    two = [edge.connect(url=origin.url) for _ in range(2)]
    with Load(edge.daemon.connect, request=lambda connection: connection.request("POST", "/echo", body=b"hello")) as load:
        load.wait_for_more(100)
        assert two[0].stop() == 0
        load.wait_for_more(100)
    assert load.failures == []
    assert len(origin.seen("/echo")) == load.done


@WORKERS
@pytest.mark.parametrize("fault", ["goaway", "close", "cut", "reset-control", "end-control", "junk"])
def test_ends_of_connections(make_edge, origin, workers, fault):
    """GETs lose nothing; the connector comes back each time."""
    edge = make_edge(workers=workers)
    two = [edge.connect(url=origin.url) for _ in range(2)]
    with Load(edge.daemon.connect) as load:
        for index in [*range(CONNECTIONS), ""]:
            load.wait_for_more(20)
            before = {line["id"] for line in edge.lines()}
            two[0].command(f"{fault} {index}")
            wait_until(lambda: not before <= {line["id"] for line in edge.lines()})
            wait_until(lambda: [line["status"] for line in edge.lines()].count("usable") == 2 * CONNECTIONS)
    assert load.failures == []


@WORKERS
@pytest.mark.parametrize("fault", ["goaway", "reset-control", "end-control", "junk"])
def test_a_connection_that_goes_finishes_its_posts(make_edge, origin, workers, fault):
    edge = make_edge(workers=workers)
    one = edge.connect(url=origin.url)
    other = edge.connect(url=origin.url)
    running = [edge.daemon.connect() for _ in range(16)]
    for connection in running:
        connection.send(request_bytes("POST", "/delay/1", body=b"x"))
    wait_until(lambda: len(origin.seen("/delay/1")) == 16)
    one.command(fault)
    for connection in running:
        assert connection.read_response().status == 200
        connection.close()
    assert other.status()["ready"] == CONNECTIONS


@WORKERS
def test_goaway_of_an_idle_connection(make_edge, origin, workers):
    edge = make_edge(workers=workers)
    one = edge.connect(url=origin.url)
    before = {line["id"] for line in edge.lines()}
    one.command("goaway")
    wait_until(lambda: not before & {line["id"] for line in edge.lines()} and len(edge.lines()) == CONNECTIONS)
    assert edge.daemon.get().status == 200


@WORKERS
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_streams_are_sent_elsewhere(make_edge, origin, workers, method):
    """Nobody has seen them: a POST goes elsewhere too."""
    edge = make_edge(workers=workers)
    two = [edge.connect(url=origin.url) for _ in range(2)]
    body = b"hello" if method == "POST" else b""
    for n in range(20):
        two[n % 2].command("refuse 1")
        assert edge.daemon.request(method, "/echo", body=body).json()["body_length"] == len(body)


def test_a_tunnel_whose_connectors_refuse_all(make_edge, origin):
    edge = make_edge("ams", "fra", pool={"endpoint_steering": {"policy": "off"}})
    refusing = edge.connect("ams", url=origin.url)
    edge.connect("fra", url="http_status:201")
    assert edge.daemon.get().status == 200
    refusing.command("refuse 1000000")
    assert {edge.daemon.request(method, "/", body=b"x").status for method in ("GET", "POST") for _ in range(5)} == {201}


@WORKERS
def test_the_other_tunnel(make_edge, origin, workers):
    """The last connection of a tunnel dies with a request on it: the next tunnel answers."""
    edge = make_edge("ams", "fra", workers=workers, pool={"endpoint_steering": {"policy": "off", "failback_delay": "0s"}})
    one = edge.connect("ams", connections=1, url=origin.url)
    edge.connect("fra", url="http_status:201")
    with edge.daemon.connect() as connection:
        connection.send(request_bytes("GET", "/delay/5"))
        wait_until(lambda: origin.seen("/delay/5"))
        one.kill()
        assert connection.read_response().status == 201
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["state"] == "down")


@WORKERS
def test_killed_in_the_middle_of_bodies(make_edge, origin, workers):
    """A response that had begun is cut, an upload is 502: never a short body that looks whole."""
    edge = make_edge(workers=workers)
    one = edge.connect(url=origin.url)
    edge.connect(url=origin.url)
    problems = []

    def download():
        try:
            with edge.daemon.connect() as connection:
                answered = connection.request("GET", "/slow/4000/0.001")
                if answered.body != b"." * 4000:
                    problems.append(repr(answered))
        except (Cut, OSError):
            pass

    def upload():
        try:
            with edge.daemon.connect() as connection:
                connection.send(b"POST /echo HTTP/1.1\r\nHost: app.test\r\nContent-Length: 400000\r\n\r\n")
                for _ in range(40):
                    connection.send(content(10_000))
                    time.sleep(0.02)
                answered = connection.read_response()
                if answered.status != 502 and answered.json()["body_length"] != 400_000:
                    problems.append(repr(answered))
        except (Cut, OSError):
            pass
    threads = [threading.Thread(target=target) for target in [download, upload] * 8]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(origin.requests) >= 16)
    one.kill()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert edge.daemon.get().status == 200
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["in_flight"] == 0)


@WORKERS
def test_a_slow_client_outlives_the_connection(make_edge, origin, workers):
    """What had come before the end of its connection was not taken by the client yet: it gets that, and no more."""
    edge = make_edge(workers=workers)
    one = edge.connect(connections=1, url=origin.url)
    with edge.daemon.connect() as connection:
        connection.send(request_bytes("GET", "/bytes/100000000"))
        assert connection.read_head().status == 200
        time.sleep(0.5)
        one.kill()
        wait_until(lambda: edge.lines() == [])
        with pytest.raises(Cut):
            connection.read_exactly(100_000_000)
    assert edge.daemon.get().status == 503


@WORKERS
@KINDS
def test_no_connector_left_is_known_at_once(make_edge, origin, workers, kind):
    edge = make_edge(workers=workers)
    one = edge.connect(kind=kind, connections=2, url=origin.url)
    assert edge.daemon.get().status == 200
    one.kill()
    wait_until(lambda: edge.daemon.get().status == 503)
    wait_until(lambda: edge.daemon.endpoint("pool/ams")["state"] == "down" and edge.tunnel()["status"] == "down")
