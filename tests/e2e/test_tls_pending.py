"""Bytes that OpenSSL has taken from the socket already, which no event of the socket announces: nothing waits for them in vain."""

import socket
import ssl
import threading
import time

import pytest
from client import request_bytes, wait_until
from origin import Gate, content


def secure(endpoint, authority, **more):
    return {"name": endpoint.name, "address": endpoint.url, "tls": {"ca_file": authority.ca}, **more}


@pytest.fixture
def tls_peer(make_peer, server_tls):
    return make_peer(tls=server_tls)


def in_background(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def read_request(tls_peer, answer):
    """Accepting ends with the handshake, so it can't stand before the request is sent: `answer(connection)` runs beside."""
    def play():
        connection, _ = tls_peer.accept_request()
        answer(connection)
    return in_background(play)


@pytest.mark.parametrize("size", [15_000, 16_000, 16_384, 17_000, 30_000])
def test_large_head_of_a_response(serve, tls_peer, authority, size):
    daemon = serve(secure(tls_peer, authority))
    head = b"HTTP/1.1 200 OK\r\nX-Large: " + b"y" * size + b"\r\nContent-Length: 2\r\n\r\n"
    with daemon.connect() as connection:
        connection.socket.settimeout(5)
        read_request(tls_peer, lambda upstream: upstream.send(head + b"ok"))
        connection.send(request_bytes())
        response = connection.read_response()
        assert len(response.get("X-Large")) == size and response.body == b"ok"


@pytest.mark.parametrize("size", [100_000, 916_384])
def test_body_taken_slowly(serve, make_origin, server_tls, authority, size):
    origin = make_origin(tls=server_tls)
    daemon = serve(secure(origin, authority))
    with daemon.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        for path in (f"/bytes/{size}", f"/chunked/{size}"):
            connection.send(request_bytes("GET", path))
            time.sleep(0.2)
            connection.socket.settimeout(5)
            assert connection.read_response().body == content(size)


def test_end_of_tls_without_an_end_of_the_connection(serve, tls_peer, authority):
    """A close_notify in the same packet as the last bytes; the endpoint waits for ours before it closes."""
    daemon = serve(secure(tls_peer, authority))

    def answer(upstream):
        upstream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")
        upstream.socket.unwrap()
    with daemon.connect() as connection:
        connection.socket.settimeout(5)
        upstream = read_request(tls_peer, answer)
        connection.send(request_bytes(version="HTTP/1.0"))
        response = connection.read_response()
        assert response.status == 200 and response.body == b"to the end"
        upstream.join(5)
        assert not upstream.is_alive(), "our end of TLS is said too"


def tls_daemon(serve, authority, origin, **more):
    daemon = serve(origin, **more)
    cert, key = authority.issue("app.test")
    daemon.write(listeners=[{"address": daemon.address, "tls": {"certificates": [{"cert": cert, "key": key}]}}])
    daemon.stop()
    return daemon.start()


def test_client_that_sends_ahead(serve, authority, origin):
    """The second request comes in one record that is larger than the room behind the first: its end stays with OpenSSL."""
    daemon = tls_daemon(serve, authority, origin)
    gate = Gate()
    origin.script("/wait", gate, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    context = ssl.create_default_context(cafile=str(authority.ca))
    with daemon.connect(tls=context, server_name="app.test") as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        bare = len(request_bytes("GET", "/next", [("X", "")]))
        connection.send(request_bytes("GET", "/next", [("X", "x" * (16_384 - bare))]))
        time.sleep(0.2)
        gate.open()
        connection.socket.settimeout(5)
        assert connection.read_response().status == 200
        assert connection.read_response().body == b"origin\n"


def test_upload_and_websocket_over_tls_on_both_sides(serve, make_origin, server_tls, authority):
    origin = make_origin(tls=server_tls)
    daemon = tls_daemon(serve, authority, origin)
    daemon.write(pools=[{"name": "pool", "monitors": [], "endpoints": [secure(origin, authority)]}])
    assert daemon.reload().returncode == 0
    context = ssl.create_default_context(cafile=str(authority.ca))
    with daemon.connect(tls=context, server_name="app.test") as connection:
        for size in (10, 16_384, 300_000, 2_000_000):
            connection.send(request_bytes("POST", "/echo", body=content(size), host="app.test"))
            assert connection.read_response().json()["body_length"] == size
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
        assert connection.request("GET", "/ws", upgrade).status == 101
        for size in (1, 16_384, 200_000):
            connection.send(b"w" * size)
            assert connection.read_exactly(size) == b"w" * size
