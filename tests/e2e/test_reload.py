"""Reload: by signal and by command; all or nothing; nobody notices."""

import signal
import socket

from client import Load, request_bytes, wait_until
from daemon import endpoint, free_port, monitor
from origin import Gate, answer


def pools(*origins):
    return [{"name": "pool", "monitors": [], "endpoints": [endpoint(o) for o in origins]}]


def test_by_command(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one)
    daemon.write(pools=pools(two))
    assert daemon.get().body == b"one\n", "not before it is asked for"
    result = daemon.reload()
    assert result.returncode == 0, result.stderr
    assert daemon.get().body == b"two\n"
    wait_until(lambda: any(event["type"] == "config.reloaded" for event in daemon.events()))


def test_by_signal(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one)
    daemon.write(pools=pools(two))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.get().body == b"two\n")


def test_by_api(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one)
    daemon.write(pools=pools(two))
    assert daemon.admin("POST", "/v1/reload").status == 200
    assert daemon.get().body == b"two\n"


def test_refused_configuration_changes_nothing(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one)
    daemon.write(pools=pools(two), nonsense=1)
    result = daemon.reload()
    assert result.returncode == 1
    assert "nonsense" in result.stdout + result.stderr and "penstock.conf:" in result.stdout + result.stderr
    assert daemon.get().body == b"one\n"
    rejected = wait_until(lambda: [event for event in daemon.events() if event["type"] == "config.rejected"])
    assert rejected
    response = daemon.admin("POST", "/v1/reload")
    assert 400 <= response.status < 500 and response.get("Content-Type") == "application/problem+json"
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.log.count("nonsense") >= 2)
    assert daemon.get().body == b"one\n"
    assert daemon.is_ready()


def test_hundred_reloads_under_load(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two)
    with Load(daemon.connect, rate=200) as load:
        load.wait_for_more(20)
        for n in range(100):
            daemon.write(pools=pools(*((one, two) if n % 2 else (two,))))
            assert daemon.admin("POST", "/v1/reload").status == 200
        load.wait_for_more(20)
    assert not load.failures, load.failures[:3]
    assert daemon.get().status == 200


def test_requests_under_way_end_with_what_they_began(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one)
    gate = Gate()
    one.script("/wait", gate, answer(200, b"late"))
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        daemon.write(pools=pools(two))
        assert daemon.reload().returncode == 0
        gate.open()
        assert connection.read_response().body == b"late"
        assert connection.request().body == b"two\n", "the connection goes on with the new one"


def test_listeners_come_and_go(serve, origin):
    daemon = serve(origin)
    second = f"127.0.0.1:{free_port()}"
    first = daemon.address
    daemon.write(listeners=[{"address": first}, {"address": second}])
    assert daemon.reload().returncode == 0
    daemon.address = second
    wait_until(lambda: daemon.get().status == 200)
    with daemon.connect() as kept:
        assert kept.request().status == 200
        daemon.write(listeners=[{"address": first}])
        assert daemon.reload().returncode == 0
        daemon.address = first
        assert daemon.get().status == 200
    daemon.address = second
    wait_until(daemon.refuses, what="the second listener is gone")


def test_listener_that_cannot_be_opened_refuses_the_reload(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = "127.0.0.1:%d" % holder.getsockname()[1]
        daemon.write(listeners=[{"address": daemon.address}, {"address": taken}], pools=pools(two))
        result = daemon.reload()
        assert result.returncode == 1 and taken in result.stdout + result.stderr
    assert daemon.get().body == b"one\n"


def test_live_state_is_carried_over(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two, pool={"passive": {"consecutive": 3, "ejection": "60s"}})
    assert daemon.cli("endpoint", "weight", "pool/two", "0.5").returncode == 0
    one.script("*", "close")
    for _ in range(20):
        daemon.get()
    wait_until(lambda: daemon.endpoint("pool/one")["state"] == "ejected")
    daemon.write(access_log={"format": "combined"})
    assert daemon.reload().returncode == 0
    assert daemon.endpoint("pool/one")["state"] == "ejected"
    assert daemon.endpoint("pool/two")["weight"] == 0.5


def test_monitors_keep_their_history(serve, origin):
    daemon = serve(origin, pool={"monitors": ["app"]}, monitors=[monitor()])
    wait_until(lambda: daemon.endpoint("pool/origin")["state"] == "healthy")
    daemon.write(access_log={"format": "combined"})
    for _ in range(3):
        assert daemon.reload().returncode == 0
        assert daemon.endpoint("pool/origin")["state"] == "healthy"


def test_removed_pool_and_load_balancer_are_gone(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    both = [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in (one, two)]
    daemon = serve(settings={"pools": both, "load_balancers": [{"hostnames": [f"{o.name}.test"], "default_pools": [o.name]}
                                                               for o in (one, two)]})
    assert daemon.get(host="two.test").body == b"two\n"
    daemon.write(pools=both[:1], load_balancers=[{"hostnames": ["one.test"], "default_pools": ["one"]}])
    assert daemon.reload().returncode == 0
    assert daemon.get(host="two.test").status == 404
    assert [pool["name"] for pool in daemon.status()["pools"]] == ["one"]
    assert daemon.admin("GET", "/v1/endpoints/two/two").status == 404


def test_memory_does_not_grow_with_reloads(serve, origin):
    daemon = serve(origin)

    def reload_often():
        for _ in range(50):
            assert daemon.admin("POST", "/v1/reload").status == 200
        assert daemon.get().status == 200
    reload_often()
    before = daemon.memory()
    reload_often()
    assert daemon.memory() - before < 8 * 1024 * 1024
