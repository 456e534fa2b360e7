"""HTTP/1 as the stand-ins need it, on asyncio's streams: heads as lists of fields in order, bodies copied or read by their framing.
Lenient on purpose: what the program under test sends is judged by the tests, not here."""

import asyncio
import socket
import ssl
import struct
import threading

HEAD_MAX = 256 * 1024
PIECE = 64 * 1024
GONE = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError, TimeoutError, OSError)


class Background:
    """One event loop in a thread of its own, so that a test or the demo uses stand-ins like plain objects."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="stand-ins", daemon=True).start()

    def run(self, coroutine, timeout=20):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def call(self, function, *arguments):
        async def run():
            return function(*arguments)
        return self.run(run())


class Head:
    """A parsed head: `first` is the start line's three parts, `fields` the fields in order, as (name, value)."""

    def __init__(self, raw):
        self.raw = raw
        first, _, rest = raw.decode("latin-1").partition("\r\n")
        self.first = (first.split(" ", 2) + ["", ""])[:3]
        self.fields = []
        for line in rest.split("\r\n"):
            if line:
                name, _, value = line.partition(":")
                self.fields.append((name, value.strip(" \t")))

    def all(self, name):
        name = name.lower()
        return [value for field, value in self.fields if field.lower() == name]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)

    def tokens(self, name):
        return {token.strip().lower() for value in self.all(name) for token in value.split(",")}

    @property
    def chunked(self):
        return "chunked" in self.tokens("Transfer-Encoding")

    @property
    def length(self):
        return int(self.get("Content-Length", "0") or 0)


async def read_head(reader):
    """None when the peer closed instead."""
    try:
        return Head(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None


async def body_pieces(reader, head, until_close=False):
    """The body's pieces as (payload, as it stood on the wire). Trailers are read and come with an empty payload."""
    if head.chunked:
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            data = await reader.readexactly(size + 2)
            yield data[:-2], line + data
        trailers = [line]
        while trailers[-1] != b"\r\n":
            trailers.append(await reader.readuntil(b"\r\n"))
        yield b"", b"".join(trailers)
    elif until_close:
        while data := await reader.read(PIECE):
            yield data, data
    else:
        left = head.length
        while left:
            data = await reader.read(min(left, PIECE))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            yield data, data


async def send(writer, data):
    writer.write(data)
    await writer.drain()


async def copy_until_eof(reader, writer):
    try:
        while data := await reader.read(PIECE):
            await send(writer, data)
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
    except GONE:
        writer.close()


def head_bytes(first, fields):
    return "".join([first, "\r\n", *(f"{name}: {value}\r\n" for name, value in fields), "\r\n"]).encode("latin-1")


def answer(status, body=b"", fields=(), reason="Because"):
    """A whole response with a length."""
    return head_bytes(f"HTTP/1.1 {status} {reason}", [*fields, ("Content-Length", len(body))]) + body


def reset(writer):
    """Closes so that the peer sees a reset instead of an end."""
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
