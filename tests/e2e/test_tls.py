"""TLS towards clients: certificates by SNI, versions, ALPN, resumption, and broken certificates that nobody lets in."""

import shutil
import socket
import ssl

import pytest
from client import Load
from daemon import cli
from origin import content


@pytest.fixture
def certificates(authority):
    return {name: authority.issue(name) for name in ("one.example.com", "*.wild.example.com", "default.example.com")}


def listener(address, certificates, names, **tls):
    return [{"address": address, "tls": {"certificates": [dict(zip(("cert", "key"), certificates[name])) for name in names],
                                         **tls}}]


@pytest.fixture
def serve_tls(serve, origin, certificates):
    def start(names=("default.example.com", "one.example.com", "*.wild.example.com"), **tls):
        daemon = serve(origin)
        daemon.write(listeners=listener(daemon.address, certificates, names, **tls))
        daemon.stop()
        return daemon.start()
    return start


def context(authority, **options):
    made = ssl.create_default_context(cafile=str(authority.ca))
    for name, value in options.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("asked,shown", [("one.example.com", "one.example.com"), ("a.wild.example.com", "*.wild.example.com"),
                                         ("default.example.com", "default.example.com")])
def test_certificate_by_sni(serve_tls, authority, asked, shown):
    daemon = serve_tls()
    with daemon.connect(tls=context(authority), server_name=asked) as connection:
        assert dict(connection.socket.getpeercert()["subjectAltName"])["DNS"] == shown
        assert connection.request().status == 200


@pytest.mark.parametrize("asked", [None, "unknown.example.com", "a.b.wild.example.com"])
def test_first_certificate_for_everybody_else(serve_tls, authority, asked):
    daemon = serve_tls()
    lax = context(authority, check_hostname=False)
    with daemon.connect(tls=lax, server_name=asked) as connection:
        assert dict(connection.socket.getpeercert()["subjectAltName"])["DNS"] == "default.example.com"


def test_origin_sees_that_it_was_tls(serve_tls, authority):
    daemon = serve_tls()
    with daemon.connect(tls=context(authority), server_name="one.example.com") as connection:
        fields = {n.lower(): v for n, v in connection.request("GET", "/echo").json()["fields"]}
    assert fields["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("minimum,offered,accepted", [("1.2", ssl.TLSVersion.TLSv1_2, True), ("1.3", ssl.TLSVersion.TLSv1_2, False),
                                                      ("1.3", ssl.TLSVersion.TLSv1_3, True)])
def test_minimum_version(serve_tls, authority, minimum, offered, accepted):
    daemon = serve_tls(min_version=minimum)
    asking = context(authority, maximum_version=offered)
    if accepted:
        with daemon.connect(tls=asking, server_name="one.example.com") as connection:
            assert connection.request().status == 200
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            daemon.connect(tls=asking, server_name="one.example.com").request()


def test_alpn(serve_tls, authority):
    daemon = serve_tls()
    asking = context(authority)
    asking.set_alpn_protocols(["http/1.1"])
    with daemon.connect(tls=asking, server_name="one.example.com") as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
        assert connection.request().status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_even_over_a_reload(serve_tls, authority, version):
    daemon = serve_tls()
    asking = context(authority, maximum_version=version, minimum_version=version)

    def visit(session):
        raw = socket.create_connection(("127.0.0.1", daemon.port), timeout=10)
        with asking.wrap_socket(raw, server_hostname="one.example.com", session=session) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
            while tls.recv(4096):  # the ticket comes with the data
                pass
            return tls.session_reused, tls.session
    reused, session = visit(None)
    assert not reused
    assert visit(session)[0]
    assert daemon.reload().returncode == 0
    assert visit(session)[0]


def test_plain_http_on_a_tls_port(serve_tls):
    daemon = serve_tls()
    with daemon.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        assert b"200" not in connection.read_to_end()[:15]
    assert daemon.process.poll() is None


def broken(kind, folder, certificates):
    cert, key = certificates["one.example.com"]
    bad_cert, bad_key = folder / "bad.pem", folder / "bad.key"
    shutil.copy(cert, bad_cert)
    shutil.copy(key, bad_key)
    if kind == "garbage":
        bad_cert.write_text("not a certificate\n")
    elif kind == "key of another":
        shutil.copy(certificates["default.example.com"][1], bad_key)
    elif kind == "no key":
        bad_key.unlink()
    return str(bad_cert), str(bad_key)


@pytest.mark.parametrize("kind", ["garbage", "key of another", "no key"])
def test_broken_certificate_is_refused_by_check_and_reload(serve_tls, certificates, authority, folder, kind):
    daemon = serve_tls()
    cert, key = broken(kind, folder, certificates)
    daemon.write(listeners=[{"address": daemon.address, "tls": {"certificates": [{"cert": cert, "key": key}]}}])
    checked = cli("check", "-c", daemon.config_path)
    assert checked.returncode == 1 and "bad." in checked.stdout + checked.stderr
    reloaded = daemon.reload()
    assert reloaded.returncode == 1 and "bad." in reloaded.stdout + reloaded.stderr
    with daemon.connect(tls=context(authority), server_name="one.example.com") as connection:
        assert connection.request().status == 200


def test_new_certificate_after_a_reload(serve_tls, certificates, authority):
    daemon = serve_tls(names=("default.example.com",))
    with daemon.connect(tls=context(authority), server_name="default.example.com") as old:
        assert old.request().status == 200
        daemon.write(listeners=listener(daemon.address, certificates, ("one.example.com",)))
        assert daemon.reload().returncode == 0
        with daemon.connect(tls=context(authority), server_name="one.example.com") as new:
            assert new.request().status == 200
        assert old.request().status == 200, "a connection that is there stays"


def test_large_bodies(serve_tls, authority):
    daemon = serve_tls()
    body = content(5_000_000)
    with daemon.connect(tls=context(authority), server_name="one.example.com") as connection:
        assert connection.request("POST", "/echo", body=body).json()["body_length"] == len(body)
        assert connection.request("GET", "/bytes/5000000").body == body
        assert connection.request("GET", "/chunked/5000000").body == body


def test_load(serve_tls, authority):
    daemon = serve_tls()
    asking = context(authority)
    with Load(lambda: daemon.connect(tls=asking, server_name="one.example.com"), rate=200) as load:
        load.wait_for_more(200)
    assert not load.failures


def test_expired_certificate_is_a_warning_not_an_error(serve, origin, authority):
    cert, key = authority.issue("old.example.com", days=-1)
    daemon = serve(origin)
    daemon.write(listeners=[{"address": daemon.address, "tls": {"certificates": [{"cert": cert, "key": key}]}}])
    result = cli("check", "-c", daemon.config_path)
    assert result.returncode == 0
    assert "expired" in result.stdout + result.stderr
