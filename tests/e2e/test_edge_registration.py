"""Who may be a connection of a tunnel: who has the secret, and nobody else; so many connectors and connections, no more; one that comes again
replaces itself."""

import contextlib
import re
import socket
import ssl

import pytest
from client import Load, wait_until
from cloudflared import CLOUDFLARED, Credentials
from tunnels import KINDS, REAL, WORKERS


def says(connector, words):
    wait_until(lambda: words in connector.log.read_text(errors="replace"), what=f"it says: {words}")


def other(credentials, **changes):
    return Credentials(**{"tunnel": credentials.tunnel, "account": credentials.account, "secret": credentials.secret, **changes})


WRONG = {
    "unknown tunnel": lambda c: other(c, tunnel="00000000-0000-4000-8000-000000000000"),
    "wrong secret": lambda c: other(c, secret=bytes(32)),
    "longer secret": lambda c: other(c, secret=c.secret + b"\0"),
    "secret of another tunnel": None,
}


@KINDS
@pytest.mark.parametrize("what", WRONG)
def test_strangers_are_refused(make_edge, origin, kind, what):
    """All alike, so that nobody learns which tunnels there are; and both sides say so."""
    edge = make_edge("ams", "fra", pool={"endpoint_steering": {"policy": "off"}})
    ams, fra = edge.credentials["ams"], edge.credentials["fra"]
    wrong = WRONG[what](ams) if WRONG[what] else other(ams, secret=fra.secret)
    right = edge.connect("fra", kind=kind, connections=2, url=origin.url)
    stranger = edge.dial(kind=kind, credentials=wrong, connections=2, url=origin.url)
    wait_until(lambda: stranger.log.read_text().count("Unauthorized: invalid tunnel secret") > 2, what="it goes on trying")
    wait_until(lambda: "refused a connector from 127.0.0.1" in edge.daemon.log)
    assert edge.tunnel()["connections"] == 0 and edge.tunnel()["status"] == "inactive"
    assert edge.daemon.get().status == 200 and right.process.poll() is None
    assert edge.credentials["ams"].encoded_secret not in edge.daemon.log


def test_the_account_is_compared_where_it_is_known(make_edge, origin):
    """A tunnel that was created here has an account; one of the configuration file takes any."""
    edge = make_edge()
    created = edge.daemon.admin("POST", "/v1/tunnels", {"name": "new", "account": "0123456789abcdef0123456789abcdef"})
    if created.status == 404:
        pytest.skip("this admin API creates no tunnels")
    token = created.json()["token"]
    assert edge.dial(credentials=token, connections=2, url=origin.url).wait_ready(2)


def test_a_wrong_secret_at_run_time(make_edge, origin):
    """A connector whose first connection is right is let in with that alone."""
    edge = make_edge()
    one = edge.connect(connections=1, url=origin.url)
    one.command("wrong-secret on")
    one.command("close")
    wait_until(lambda: edge.lines() == [])
    says(one, "Unauthorized")
    one.command("wrong-secret off")
    wait_until(lambda: len(edge.lines()) == 1)


def test_the_twenty_sixth_connector(make_edge, origin):
    edge = make_edge(workers=2)
    many = edge.dial(connections=1, connectors=25, url=origin.url)
    wait_until(lambda: len(edge.connectors()) == 25)
    late = edge.dial(connections=1, url=origin.url)
    says(late, "Unauthorized: tunnel ams has 25 connectors already")
    wait_until(lambda: "it has 25 connectors, the most that a tunnel may have" in edge.daemon.log)
    assert len(edge.connectors()) == 25 and edge.daemon.get().status == 200
    assert many.stop() == 0
    late.wait_ready(1)


def test_the_hundred_and_first_connection(make_edge, origin):
    edge = make_edge(workers=2)
    edge.connect(connections=100, url=origin.url)
    late = edge.dial(connections=1, url=origin.url)
    says(late, "Unauthorized: tunnel ams has 100 connections already")
    wait_until(lambda: "it has 100 connections, the most that a tunnel may have" in edge.daemon.log)
    assert len(edge.lines()) == 100 and edge.daemon.get().status == 200


@KINDS
def test_the_operator_of_cloudflared_reads_why(make_edge, origin, kind):
    edge = make_edge(edge={"connectors_max": 1})
    edge.connect(kind=kind, connections=2, url=origin.url)
    says(edge.dial(kind=kind, connections=2, url=origin.url), "Unauthorized: tunnel ams has 1 connectors already")


@WORKERS
def test_the_same_connection_again_replaces_its_dead_predecessor(make_edge, origin, workers):
    """A connection that nobody closed, as behind a router that was switched off."""
    edge = make_edge(workers=workers)
    one = edge.connect(connections=2, url=origin.url)
    before = {line["index"]: line["id"] for line in edge.lines()}
    with Load(edge.daemon.connect) as load:
        load.wait_for_more(20)
        one.command("abandon 1")
        wait_until(lambda: before != {line["index"]: line["id"] for line in edge.lines()} and len(edge.lines()) == 2)
        load.wait_for_more(50)
    assert load.failures == []
    after = {line["index"]: line["id"] for line in edge.lines()}
    assert after[0] == before[0] and after[1] != before[1]
    assert len(edge.connectors()) == 1


def test_nobody_who_does_not_register_stays(make_edge):
    edge = make_edge()
    silent = edge.dial(connections=2, faults=["never-register on"], url="http_status:200")
    wait_until(lambda: "connected" in silent.log.read_text() or edge.daemon.log)
    plain = socket.create_connection(("127.0.0.1", int(edge.addresses[0].rsplit(":")[1])), timeout=30)
    assert plain.recv(1) == b""
    assert edge.tunnel()["connections"] == 0


def tls(edge):
    context = ssl.create_default_context(cafile=str(edge.ca))
    raw = socket.create_connection(("127.0.0.1", int(edge.addresses[0].rsplit(":")[1])), timeout=15)
    return context.wrap_socket(raw, server_hostname="h2.cftunnel.com")


def test_who_looks_and_leaves_is_no_event(make_edge, origin):
    """The pre-checks of cloudflared: a TCP connection, a TLS handshake, nothing more."""
    edge = make_edge()
    tls(edge).close()
    socket.create_connection(("127.0.0.1", int(edge.addresses[0].rsplit(":")[1]))).close()
    edge.connect(url=origin.url)
    assert not re.search(r" (warning|error) edge:", edge.daemon.log)


def plain_http(edge):
    address = ("127.0.0.1", int(edge.addresses[0].rsplit(":")[1]))
    with socket.create_connection(address, timeout=15) as stranger, contextlib.suppress(OSError):
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while stranger.recv(4096):
            pass


def believes_another_ca(edge):
    raw = socket.create_connection(("127.0.0.1", int(edge.addresses[0].rsplit(":")[1])), timeout=15)
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw, server_hostname="h2.cftunnel.com")


def speaks_http1(edge):
    with tls(edge) as stranger, contextlib.suppress(OSError):  # a reset, where not all was read
        stranger.sendall(b"\0\0\0\x04\0\0\0\0\0" + b"GET / HTTP/1.1\r\n\r\n" * 50)
        while stranger.recv(65536):
            pass


# What is noticed first of a broken rule: nghttp2's GOAWAY, or the end of the streams that goes with it.
ENDS = {believes_another_ca: r"the peer broke off TLS: unknown CA; cloudflared has to be given this edge's CA \(--cacert\)",
        plain_http: "plain HTTP on a TLS port", speaks_http1: "(broke the rules of HTTP/2|the control stream ended before the registration)"}


@pytest.mark.parametrize("stranger", ENDS, ids=lambda stranger: stranger.__name__)
def test_the_log_says_why_nobody_registered(make_edge, stranger):
    edge = make_edge()
    stranger(edge)
    wait_until(lambda: re.search(rf"notice edge: a connection from 127.0.0.1:\d+ ended before it registered: {ENDS[stranger]}", edge.daemon.log))


def test_strangers_do_not_fill_the_log(make_edge, origin):
    edge = make_edge(workers=1)
    for _ in range(40):
        plain_http(edge)
    edge.connect(url=origin.url)
    assert 1 <= edge.daemon.log.count("ended before it registered:") <= 15, "five in ten seconds"


def test_an_address_that_fails_too_often_is_not_listened_to_for_a_while(make_edge, origin):
    edge = make_edge("ams", "fra", workers=1)
    served = edge.connect("fra", connections=2, url=origin.url)
    for _ in range(110):
        plain_http(edge)
    wait_until(lambda: re.search(r"warning edge: .* was closed at once: 100 of that address failed to register within 10 s", edge.daemon.log))
    with pytest.raises(OSError):
        tls(edge).close()
    assert len(edge.lines("fra")) == 2 and served.process.poll() is None, "who is registered stays"
    assert edge.daemon.get().status in (200, 502)
    edge.connect("ams", connections=2, url=origin.url)


@pytest.mark.skipif(not CLOUDFLARED, reason="CLOUDFLARED names no binary")
def test_a_cloudflared_without_our_ca_is_told_of(make_edge, authority):
    edge = make_edge()
    edge.ca = authority.ca
    edge.dial(kind=REAL, connections=2, url="http_status:200")
    wait_until(lambda: "has to be given this edge's CA" in edge.daemon.log)


JUNK = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 9 + b"\xff" * 100,
        b"\0\0\0\x04\0\0\0\0\0" + b"\xff" * 5000]


@pytest.mark.parametrize("junk", JUNK, ids=["http1", "preface", "data", "settings"])
def test_junk_from_strangers(make_edge, origin, junk):
    edge = make_edge()
    edge.connect(url=origin.url)
    with tls(edge) as stranger:
        stranger.sendall(junk)
        stranger.settimeout(20)
        while stranger.recv(65536):
            pass
    assert edge.daemon.get().status == 200


def test_the_tunnel_of_the_configuration_is_known_by_its_lines(make_edge, origin):
    edge = make_edge(edge={"expected_connections": 4})
    one = edge.connect(url=origin.url)
    wait_until(lambda: edge.tunnel()["status"] == "healthy")
    connector = edge.connectors()[0]
    assert connector["id"] == one.id and connector["version"] == "2026.8.2" and connector["origin_ip"] == "127.0.0.1"
    assert sorted(line["index"] for line in edge.lines()) == [0, 1, 2, 3]
    assert {line["location"] for line in edge.lines()} == {"test01"}
    one.command("close 2")
    wait_until(lambda: edge.tunnel()["connections"] == 3 or edge.tunnel()["status"] == "degraded")
    wait_until(lambda: edge.tunnel()["status"] == "healthy")
    one.kill()
    wait_until(lambda: edge.tunnel()["status"] == "down")
