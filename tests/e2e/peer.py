"""An endpoint that the test itself plays, byte by byte, for what a scripted origin does not do."""

import socket
import struct

from client import TIMEOUT, Connection


class Peer:
    """Listens; `accept` gives the next connection, with the reading and sending of a client's Connection."""

    def __init__(self, name="peer", tls=None, receive_buffer=None):
        self.name = name
        self.tls = tls
        self.listener = socket.socket()
        self.listener.settimeout(TIMEOUT)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.accepted = []

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self):
        """The next connection; TLS once its handshake is over."""
        raw = self.listener.accept()[0]
        raw.settimeout(TIMEOUT)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection.__new__(Connection)
        connection.socket = self.tls.wrap_socket(raw, server_side=True) if self.tls else raw
        connection.buffer = b""
        self.accepted.append(connection)
        return connection

    def accept_request(self):
        """The connection, and the head that came on it."""
        connection = self.accept()
        return connection, connection.read_until(b"\r\n\r\n")

    def close(self):
        self.listener.close()
        for connection in self.accepted:
            connection.close()


def reset(connection):
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
