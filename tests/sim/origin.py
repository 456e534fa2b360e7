#!/usr/bin/env python3
"""A scripted origin. By path (see the `on_…` methods) it answers well or badly; `script` says byte by byte what a path, or "*" for
every path, is answered with; `refuse`, `accept` and `kill` move its listener. Every request is recorded.

As a program: origin.py --port 8001 [--name NAME]; then PUT /_control {"path": "*", "mode": "hang"} switches it, see MODES."""

import argparse
import asyncio
import base64
import collections
import hashlib
import json
import os
import signal
import ssl
import time

import wire
from wire import answer, send

CLOSE, RESET, HANG = "close", "reset", "hang"
CLOSE_IF_REUSED, RESET_IF_REUSED = "close if reused", "reset if reused"

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

MODES = {
    "healthy": None,
    "unhealthy": [answer(503, b"unhealthy\n")],
    "hang": [HANG],
    "close": [CLOSE],
    "reset": [RESET],
    "half head": [b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE],
    "garbage": [b"\x00\x01garbage, not HTTP\r\n\r\n", CLOSE],
}


class Gate:
    """A step of a script: the answer waits here until the test opens the gate. `waiting` counts those that wait."""

    def __init__(self):
        self.waiting = 0
        self._open = False

    def open(self):
        self._open = True

    async def wait(self):
        self.waiting += 1
        while not self._open:
            await asyncio.sleep(0.005)
        self.waiting -= 1


class Pause:
    def __init__(self, seconds):
        self.seconds = seconds

    async def wait(self):
        await asyncio.sleep(self.seconds)


class Request:
    """As it arrived. `served`: how many the connection had carried before this one."""

    def __init__(self, head, connection):
        self.head = head
        self.method, self.target, self.version = head.first
        self.path = self.target.partition("?")[0]
        self.parts = self.path.split("/")[1:] or [self.path]
        self.fields = head.fields
        self.connection = connection.number
        self.served = connection.served
        self.sni = connection.sni
        self.client_cn = connection.client_cn
        self.body_length = 0
        self.body_sha256 = hashlib.sha256()
        self.body_whole = False
        self.trailers = b""
        self.at = time.monotonic()

    def get(self, name, default=None):
        return self.head.get(name, default)

    def all(self, name):
        return self.head.all(name)

    def as_json(self, name):
        return {"origin": name, "method": self.method, "target": self.target, "version": self.version, "fields": self.fields,
                "connection": self.connection, "served": self.served, "sni": self.sni, "client_cn": self.client_cn,
                "body_length": self.body_length, "body_sha256": self.body_sha256.hexdigest(),
                "trailers": self.trailers.decode("latin-1")}


class Connection:
    def __init__(self, number, reader, writer):
        self.number = number
        self.reader, self.writer = reader, writer
        self.served = 0
        tls = writer.get_extra_info("ssl_object")
        self.sni = getattr(tls, "sni_seen", None)
        certificate = writer.get_extra_info("peercert") if tls else None
        self.client_cn = next((value for rdn in (certificate or {}).get("subject", ()) for key, value in rdn
                               if key == "commonName"), None)


def content(length):
    """The same bytes for the same length, so that both ends can hash them."""
    return (b"0123456789abcdef" * (length // 16 + 1))[:length]


def tls_context(cert, key, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED

    def on_sni(tls, name, _):
        tls.sni_seen = name
    context.sni_callback = on_sni
    return context


class Origin:
    def __init__(self, background, name="origin", tls=None, unix=None, host="127.0.0.1", port=0):
        self.background = background
        self.name = name
        self.tls = tls
        self.unix = unix
        self.host, self.port = host, port
        self.scripts = {}
        self.close_after = 0          # requests per connection, then it is closed without a word; 0: no limit
        self.requests = collections.deque(maxlen=20000)
        self.open = set()             # connections now
        self.accepted = 0
        self.sent = 0                 # bytes of long bodies that the transport took
        self.aborted = 0              # answers that the peer did not want to the end
        self.upload_gate = Gate()
        self._server = None
        self.accept()

    # --- what a test does with it ---

    @property
    def address(self):
        return f"unix:{self.unix}" if self.unix else f"{self.host}:{self.port}"

    @property
    def url(self):
        return self.address if self.unix else ("https://" if self.tls else "http://") + self.address

    def script(self, path, *steps):
        """Bytes are written as they stand; then see the constants above, Gate and Pause. The connection stays open at the end."""
        self.scripts[path] = list(steps)

    def mode(self, name, path="*"):
        if MODES[name] is None:
            self.scripts.pop(path, None)
        else:
            self.scripts[path] = MODES[name]

    def seen(self, path):
        return [request for request in self.requests if request.path == path]

    def accept(self):
        if not self._server:
            self.background.run(self._listen())

    def refuse(self):
        """No new connections; those that are open stay."""
        self.background.run(self._refuse())

    def kill(self):
        """As if its process had died."""
        self.refuse()
        self.drop()

    def drop(self):
        """Ends all open connections."""
        self.background.call(lambda: [wire.reset(c.writer) for c in list(self.open)])

    def close_idle(self):
        """Ends all open connections in an orderly way."""
        self.background.call(lambda: [c.writer.close() for c in list(self.open)])

    # --- serving ---

    async def _listen(self):
        options = {"ssl": self.tls, "limit": wire.HEAD_MAX, "backlog": 1024}
        if self.unix:
            self._server = await asyncio.start_unix_server(self._serve, self.unix, **options)
        else:
            self._server = await asyncio.start_server(self._serve, self.host, self.port, reuse_address=True, **options)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self):
        if self._server:
            self._server.close()
            self._server = None

    async def _serve(self, reader, writer):
        self.accepted += 1
        connection = Connection(self.accepted, reader, writer)
        self.open.add(connection)
        try:
            while (head := await wire.read_head(reader)) is not None:
                if not await self._answer(connection, Request(head, connection)):
                    break
                connection.served += 1
                if self.close_after and connection.served >= self.close_after:
                    break
        except wire.GONE:
            self.aborted += 1
        finally:
            self.open.discard(connection)
            writer.close()

    async def _answer(self, connection, request):
        """False: the connection ends."""
        if request.path == "/_control":
            return await self._control(connection, request)
        self.requests.append(request)
        script = self.scripts.get(request.path, self.scripts.get("*"))
        method = getattr(self, "on_" + (request.parts or [""])[0].replace("-", "_"), self.on_)
        if script is None and getattr(method, "before_body", False):
            return await method(connection, request)
        if request.get("Expect", "").lower() == "100-continue" and script is None:
            await send(connection.writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        await self._read_body(connection, request)
        if script is not None:
            return await self._play(script, connection)
        result = await method(connection, request)
        return result is not False and "close" not in request.head.tokens("Connection")

    async def _read_body(self, connection, request):
        async for payload, wire_bytes in wire.body_pieces(connection.reader, request.head):
            request.body_length += len(payload)
            request.body_sha256.update(payload)
            if not payload:
                request.trailers = wire_bytes.partition(b"\r\n")[2]
        request.body_whole = True

    async def _play(self, steps, connection):
        for step in steps:
            if isinstance(step, bytes):
                await send(connection.writer, step)
            elif step == HANG:
                await connection.reader.read()
                return False
            elif step == CLOSE or step == CLOSE_IF_REUSED and connection.served:
                return False
            elif step == RESET or step == RESET_IF_REUSED and connection.served:
                wire.reset(connection.writer)
                return False
            elif not isinstance(step, str):
                await step.wait()
        return True

    async def _control(self, connection, request):
        body = b""
        async for payload, _ in wire.body_pieces(connection.reader, request.head):
            body += payload
        wanted = json.loads(body)
        if wanted["mode"] == "refuse":
            await self._refuse()
        elif wanted["mode"] == "accept":
            await self._listen()
        else:
            self.mode(wanted["mode"], wanted.get("path", "*"))
        await send(connection.writer, answer(200, b"done\n"))
        return True

    # --- what the paths do: /NAME/ARGUMENT… ---

    async def _respond(self, connection, request, status, body, fields=()):
        whole = answer(status, body, [*fields, ("X-Origin", self.name)], "OK" if status == 200 else "Because")
        await send(connection.writer, whole[:len(whole) - len(body)] if request.method == "HEAD" else whole)

    async def on_(self, connection, request):
        await self._respond(connection, request, 200, self.name.encode() + b"\n")

    async def on_echo(self, connection, request):
        body = json.dumps(request.as_json(self.name)).encode()
        await self._respond(connection, request, 200, body, [("Content-Type", "application/json")])

    async def on_status(self, connection, request):
        status = int(request.parts[1])
        if status in (204, 304):
            await send(connection.writer, wire.head_bytes(f"HTTP/1.1 {status} Because", [("X-Origin", self.name)]))
        else:
            await self._respond(connection, request, status, f"{status} from {self.name}\n".encode())

    async def on_delay(self, connection, request):
        await asyncio.sleep(float(request.parts[1]))
        await self.on_(connection, request)

    async def on_bytes(self, connection, request):
        """/bytes/LENGTH, with a length; HEAD answers the same head."""
        length = int(request.parts[1])
        await send(connection.writer, wire.head_bytes("HTTP/1.1 200 OK", [("Content-Length", length)]))
        if request.method != "HEAD":
            await self._send_content(connection, length, lambda piece: piece)

    async def on_chunked(self, connection, request):
        length = int(request.parts[1])
        await send(connection.writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._send_content(connection, length, lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece))
        await send(connection.writer, b"0\r\n\r\n")

    async def on_trailers(self, connection, request):
        await send(connection.writer, b"HTTP/1.1 200 OK\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"4\r\nbody\r\n0\r\nX-Late: trailer\r\n\r\n")

    async def on_until_close(self, connection, request):
        length = int(request.parts[1])
        await send(connection.writer, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        await self._send_content(connection, length, lambda piece: piece)
        return False

    async def on_slow(self, connection, request):
        """/slow/PIECES/SECONDS: a byte, a pause, a byte …"""
        pieces, seconds = int(request.parts[1]), float(request.parts[2])
        await send(connection.writer, wire.head_bytes("HTTP/1.1 200 OK", [("Content-Length", pieces)]))
        for _ in range(pieces):
            await send(connection.writer, b".")
            await asyncio.sleep(seconds)

    async def on_endless(self, connection, request):
        await send(connection.writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = content(wire.PIECE)
        while True:
            await send(connection.writer, b"%x\r\n%s\r\n" % (len(piece), piece))
            self.sent += len(piece)

    async def on_truncated(self, connection, request):
        """/truncated/LENGTH: promises twice that."""
        length = int(request.parts[1])
        await send(connection.writer, wire.head_bytes("HTTP/1.1 200 OK", [("Content-Length", 2 * length)]) + content(length))
        return False

    async def on_interim(self, connection, request):
        """/interim/STATUS/COUNT, then 200."""
        status, count = int(request.parts[1]), int(request.parts[2])
        await send(connection.writer, wire.head_bytes(f"HTTP/1.1 {status} Early", [("Link", "</style.css>; rel=preload")]) * count)
        await self.on_(connection, request)

    async def on_early(self, connection, request):
        """/early/STATUS: answers before the body has come, and closes."""
        await send(connection.writer, answer(int(request.parts[1]), b"too early\n", [("Connection", "close")]))
        while await connection.reader.read(wire.PIECE):  # closing with bytes unread would reset the connection, and the answer with it
            pass
        return False
    on_early.before_body = True

    async def on_stall_upload(self, connection, request):
        """Reads nothing of the body until `upload_gate` opens, then all of it."""
        await self.upload_gate.wait()
        await self._read_body(connection, request)
        await self.on_echo(connection, request)
        return True
    on_stall_upload.before_body = True

    async def on_ws(self, connection, request):
        """A websocket handshake; afterwards every byte comes back."""
        if "websocket" not in request.head.tokens("Upgrade"):
            await send(connection.writer, answer(426, b"websocket only\n"))
            return True
        key = request.get("Sec-WebSocket-Key", "")
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        await send(connection.writer, wire.head_bytes("HTTP/1.1 101 Switching Protocols", [
            ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]))
        await wire.copy_until_eof(connection.reader, connection.writer)
        return False

    async def _send_content(self, connection, length, frame):
        offset = 0
        block = content(wire.PIECE)
        while offset < length:
            piece = block[:min(length - offset, wire.PIECE)]
            await send(connection.writer, frame(piece))
            offset += len(piece)
            self.sent += len(piece)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="origin")
    options = parser.parse_args()
    origin = Origin(wire.Background(), options.name, port=options.port)
    print(origin.address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
