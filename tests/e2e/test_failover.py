"""One of three dies under 200 GET/s, in every way: no request fails, and the two others take over."""

import pytest
from client import Load, wait_until
from daemon import IN_TURN, endpoint, monitor, wait_for_state
from edge import Tunnel
from origin import CLOSE, RESET, Origin, answer

@pytest.fixture
def three(make_origin):
    return [make_origin(name) for name in ("ams", "fra", "lon")]


def serve_three(serve, endpoints, **more):
    return serve(*endpoints, pool={"monitors": ["app"], **IN_TURN}, monitors=[monitor(path="/")], **more)


def all_answer(daemon, names=("ams", "fra", "lon")):
    wait_until(lambda: {daemon.get().body.decode().strip() for _ in range(12)} == set(names), what="all three answer")


def under_load(daemon, lose, gone, **options):
    """Loses one under load; nobody notices, and in the end only the others answer."""
    all_answer(daemon)
    with Load(daemon.connect, rate=200, **options) as load:
        load.wait_for_more(100)
        lose()
        load.wait_for_more(300)
        wait_until(lambda: daemon.endpoint(f"pool/{gone}")["state"] not in ("healthy", "unknown"),
                   what=f"{gone} is known to be lost")
        load.wait_for_more(50)
        before = load.bodies.get(gone.encode() + b"\n", 0)
        load.wait_for_more(100)
        assert load.bodies.get(gone.encode() + b"\n", 0) == before
    assert not load.failures, f"{len(load.failures)} of {load.done + len(load.failures)}: {load.failures[:3]}"
    return load


def test_process_killed(serve, three):
    daemon = serve_three(serve, three)
    under_load(daemon, three[1].kill, "fra")


def test_connections_reset_after_the_request(serve, three):
    daemon = serve_three(serve, three)
    under_load(daemon, lambda: three[1].script("*", RESET), "fra")


def test_connections_closed_after_the_request(serve, three):
    daemon = serve_three(serve, three)
    under_load(daemon, lambda: three[1].script("*", CLOSE), "fra")


def test_hang_before_answering(serve, three):
    daemon = serve_three(serve, three, timeouts={"response_header": "500ms"})
    under_load(daemon, lambda: three[1].mode("hang"), "fra", threads=40)


def test_listener_gone_but_connections_alive(serve, three):
    """New connections are refused, the kept ones answer on: nobody fails meanwhile."""
    daemon = serve_three(serve, three)
    all_answer(daemon)
    with Load(daemon.connect, rate=200) as load:
        load.wait_for_more(50)
        three[1].refuse()
        load.wait_for_more(300)
    assert not load.failures


@pytest.mark.parametrize("status", [502, 503, 530])
def test_bad_answers(serve, three, status):
    daemon = serve_three(serve, three)
    under_load(daemon, lambda: three[1].script("*", answer(status, b"no")), "fra")


def test_tunnel_without_connector(serve, three, public_edge, authority):
    tunnels = {}
    endpoints = []
    for origin in three:
        host = f"{origin.name}.example.com"
        tunnels[origin.name] = public_edge.add(Tunnel(origin.name, [(host, origin.address)]), host)
        endpoints.append({"name": origin.name, "tunnel": tunnels[origin.name].id, "hostname": host,
                          "connect_to": public_edge.address,
                          "tls": {"ca_file": authority.ca}})
    daemon = serve_three(serve, endpoints)
    under_load(daemon, lambda: public_edge.disconnect(tunnels["fra"]), "fra")
    reason = wait_for_state(daemon, "pool/fra", "down")["reason"]
    assert "530" in reason and "1033" in reason
    public_edge.connect(tunnels["fra"])
    wait_for_state(daemon, "pool/fra", "healthy", timeout=40)


def test_name_that_stops_resolving(serve, three, names):
    """What was resolved last is kept while it answers: DNS alone takes nothing down."""
    for origin in three:
        names.names[f"{origin.name}.test"] = ["127.0.0.1"]
    daemon = serve_three(serve, [{"name": o.name, "address": f"http://{o.name}.test:{o.port}"} for o in three],
                         resolver={"servers": names.address})
    all_answer(daemon)
    with Load(daemon.connect, rate=200) as load:
        load.wait_for_more(50)
        names.names["fra.test"] = "SERVFAIL"
        asked = len(names.queries)
        wait_until(lambda: any(name == "fra.test" for name, _ in names.queries[asked:]), what="the name is asked for again")
        load.wait_for_more(200)
        three[1].kill()
        load.wait_for_more(200)
    assert not load.failures, load.failures[:3]


def test_name_that_moves(serve, three, names):
    """A changed address is followed within its TTL, without a failed request."""
    names.names["app.test"] = ["127.0.0.1"]
    moved = three[1]
    daemon = serve({"name": "app", "address": f"http://app.test:{three[0].port}"}, resolver={"servers": names.address})
    assert daemon.get().body == b"ams\n"
    # The same port at another loopback address.
    twin = Origin(moved.background, "twin", host="127.0.0.2", port=three[0].port)
    try:
        with Load(daemon.connect, rate=100) as load:
            names.names["app.test"] = ["127.0.0.2"]
            wait_until(lambda: load.bodies.get(b"twin\n"), what="the new address answers")
        assert not load.failures, load.failures[:3]
    finally:
        twin.kill()


def test_one_of_several_addresses_is_dead(serve, three, names):
    names.names["app.test"] = ["127.0.0.2", "127.0.0.1", "::1"]
    daemon = serve({"name": "app", "address": f"http://app.test:{three[0].port}"}, resolver={"servers": names.address})
    for _ in range(10):
        assert daemon.request("POST", "/", body=b"x").body == b"ams\n"


def test_origin_that_closes_kept_connections_all_the_time(serve, three):
    for origin in three:
        origin.close_after = 5
    daemon = serve(*three)
    with Load(daemon.connect, rate=300) as load:
        load.wait_for_more(600)
    assert not load.failures, load.failures[:3]


def test_all_die_and_come_back(serve, three):
    daemon = serve_three(serve, three)
    all_answer(daemon)
    for origin in three:
        origin.kill()
    assert daemon.get().status in (502, 503)
    for origin in three:
        origin.accept()
    wait_until(lambda: daemon.get().status == 200, timeout=30)


def test_pool_fails_over_to_the_next(serve, three):
    pools = [{"name": o.name, "monitors": ["app"], "endpoints": [endpoint(o)]} for o in three[:2]]
    daemon = serve(settings={"monitors": [monitor()], "pools": pools,
                             "load_balancers": [{"hostnames": ["*"], "default_pools": ["ams", "fra"]}]})
    wait_until(lambda: daemon.get().body == b"ams\n")
    with Load(daemon.connect, rate=200) as load:
        load.wait_for_more(50)
        three[0].kill()
        load.wait_for_more(200)
    assert not load.failures
    assert daemon.get().body == b"fra\n"
    wait_until(lambda: any(event["type"] == "load_balancer.failover" for event in daemon.events()))
