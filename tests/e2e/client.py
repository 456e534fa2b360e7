"""A client over a raw socket: sends exactly the bytes it is given, reads responses strictly."""

import collections
import hashlib
import json
import socket
import ssl
import threading
import time

TIMEOUT = 15


def wait_until(fact, timeout=15, what=None):
    """Polls until `fact()` is true and returns its value. What it raises counts as not true yet."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = fact()
            if last:
                return last
        except (OSError, AssertionError, LookupError, ValueError) as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or 'the awaited fact'}; last: {last!r}")
        time.sleep(0.01)


class Cut(ConnectionError):
    """The connection ended in the middle of a response, or before one."""


class Response:
    def __init__(self, raw_head):
        first, *lines = raw_head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.version, status, self.reason = (first.split(" ", 2) + [""])[:3]
        assert self.version in ("HTTP/1.1", "HTTP/1.0") and len(status) == 3 and status.isdigit(), raw_head
        self.status = int(status)
        self.fields = []
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon and name and not name[0].isspace() and name.strip() == name, line
            self.fields.append((name, value.strip(" \t")))
        self.interim = []
        self.body = b""
        self.trailers = []
        self.framing = None  # "none", "length", "chunked", "close"

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        assert len(values) <= 1, f"{name} repeated: {values}"
        return values[0] if values else default

    def json(self):
        return json.loads(self.body)

    @property
    def sha256(self):
        return hashlib.sha256(self.body).hexdigest()

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:200]!r}>"


class Connection:
    def __init__(self, address, tls=None, server_name=None, source=None):
        """`address`: "host:port" or "unix:/path"; `tls`: an ssl.SSLContext."""
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT)
            self.socket.connect(address.removeprefix("unix:"))
        else:
            host, port = address.rsplit(":", 1)
            self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT, source_address=source)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self):
        try:
            data = self.socket.recv(256 * 1024)
        except (ConnectionError, ssl.SSLError) as error:
            raise Cut(str(error)) from error
        if not data:
            raise Cut(f"ended after {self.buffer[-200:]!r}")
        self.buffer += data

    def read_exactly(self, size):
        if len(self.buffer) < size:
            pieces, have = [self.buffer], len(self.buffer)
            while have < size:
                self.buffer = b""
                self._more()
                pieces.append(self.buffer)
                have += len(self.buffer)
            self.buffer = b"".join(pieces)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_until(self, mark):
        while mark not in self.buffer:
            self._more()
        data, self.buffer = self.buffer.split(mark, 1)
        return data + mark

    def read_to_end(self):
        """Everything up to an orderly end; a reset raises Cut."""
        pieces = [self.buffer]
        while True:
            self.buffer = b""
            try:
                self._more()
            except Cut as cut:
                if cut.__cause__ is not None:
                    raise
                return b"".join(pieces)
            pieces.append(self.buffer)

    def read_head(self):
        return Response(self.read_until(b"\r\n\r\n"))

    def read_response(self, method="GET"):
        interim = []
        response = self.read_head()
        while response.status < 200 and response.status != 101:
            interim.append(response)
            response = self.read_head()
        response.interim = interim
        self._read_body(response, method)
        return response

    def _read_body(self, response, method):
        assert not (response.all("Transfer-Encoding") and response.all("Content-Length")), response
        if method == "HEAD" or response.status in (101, 204, 304):
            response.framing = "none"
        elif response.get("Transfer-Encoding"):
            assert response.get("Transfer-Encoding") == "chunked"
            response.framing = "chunked"
            pieces = []
            while size := int(self.read_until(b"\r\n").split(b";")[0], 16):
                pieces.append(self.read_exactly(size))
                assert self.read_exactly(2) == b"\r\n"
            while (line := self.read_until(b"\r\n")) != b"\r\n":
                response.trailers.append(line)
            response.body = b"".join(pieces)
        elif (length := response.get("Content-Length")) is not None:
            response.framing = "length"
            response.body = self.read_exactly(int(length))
        else:
            response.framing = "close"
            response.body = self.read_to_end()

    def request(self, method="GET", target="/", headers=(), body=b"", host="app.test", version="HTTP/1.1"):
        self.send(request_bytes(method, target, headers, body, host, version))
        return self.read_response(method)

    def ended(self, timeout=TIMEOUT):
        """Whether the peer ends the connection without another byte within the time."""
        self.socket.settimeout(timeout)
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLError):
            return True
        finally:
            self.socket.settimeout(TIMEOUT)


def request_bytes(method="GET", target="/", headers=(), body=b"", host="app.test", version="HTTP/1.1"):
    """A request with a Host and, where there is a body, a Content-Length; `host` None leaves it out."""
    fields = ([("Host", host)] if host is not None else []) + list(headers)
    if body and not any(name.lower() == "content-length" for name, _ in fields):
        fields.append(("Content-Length", len(body)))
    return "".join([f"{method} {target} {version}\r\n", *(f"{n}: {v}\r\n" for n, v in fields), "\r\n"]).encode("latin-1") + body


WEBSOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
             ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


def chunked(*pieces, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def keep_asking(daemon, turns, ask, statuses, answered, problems):
    """So many times `ask(connection)`, over a new connection where the last one ended. Counts answers by status, and those that were cut."""
    connection = None
    for _ in range(turns):
        try:
            connection = connection or daemon.connect()
            response = ask(connection)
            assert response.status in statuses, response
            answered[response.status] += 1
            if response.get("Connection") != "close":
                continue
        except TimeoutError as problem:
            problems.append(f"waited for ever: {problem!r}")
        except OSError:
            answered["cut"] += 1
        except AssertionError as problem:
            problems.append(repr(problem))
        if connection:
            connection.close()
        connection = None


class Load:
    """GETs at a steady rate over kept connections until stopped. `failures`: everything that was not the expected status."""

    def __init__(self, connect, rate=200, threads=8, target="/", expected=200, host="app.test", request=None):
        self.connect = connect
        self.interval = threads / rate
        self.target, self.expected, self.host = target, expected, host
        self.request = request or (lambda connection: connection.request("GET", self.target, host=self.host))
        self.done = 0
        self.failures = []
        self.bodies = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i * self.interval / threads,), daemon=True)
                         for i in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 5)

    def wait_for_more(self, count, timeout=30):
        """Until `count` more requests than now were answered."""
        goal = self.done + len(self.failures) + count
        wait_until(lambda: self.done + len(self.failures) >= goal, timeout, f"{count} more requests")

    def _run(self, offset):
        connection = None
        due = time.monotonic() + offset
        while not self._stop.wait(max(0, due - time.monotonic())):
            due = max(due + self.interval, time.monotonic() - 1)
            try:
                connection = connection or self.connect()
                response = self.request(connection)
                failure = None if response.status == self.expected else repr(response)
                if "close" in response.get("Connection", ""):
                    connection.close()
                    connection = None
            except (OSError, Cut, AssertionError) as error:
                failure, response, connection = repr(error), None, None
            with self._lock:
                if failure:
                    self.failures.append(failure)
                else:
                    self.done += 1
                    self.bodies[response.body] = self.bodies.get(response.body, 0) + 1


class Browser:
    """Keeps the cookie that it is given."""

    def __init__(self, daemon, name="penstock", **request):
        self.daemon, self.name, self.request = daemon, name, request
        self.cookie = self.set = None

    def get(self, target="/", headers=()):
        sent = [("Cookie", f"other=1; {self.name}={self.cookie}; more=2")] if self.cookie else []
        answered = self.daemon.get(target, headers=[*sent, *headers], **self.request)
        found = [c for c in answered.all("Set-Cookie") if c.startswith(self.name + "=")]
        assert len(found) <= 1
        self.set = found[0] if found else None
        if found:
            self.cookie = found[0].split(";")[0].split("=", 1)[1]
        return answered

    def who(self, target="/"):
        answered = self.get(target)
        assert answered.status == 200
        return answered.body.decode().strip()

    def several(self, count=12):
        return collections.Counter(self.who() for _ in range(count))
