"""A stand-in for Cloudflare's public edge: one TLS listener, hostnames that are routed to tunnels, tunnels with connectors and an
ingress table. What it answers where the way ends is what the real one answers (530 with error 1033 or 1016, 502 for a dead service behind a
living tunnel, an empty 404 from the catch-all, error 1000 for a request that may not enter).

A connector is a flag that a test sets (`connect`, `disconnect`), or a process that holds a connection to `registry` (see connector.py)."""

import asyncio
import json
import uuid

import wire
from wire import answer, send

XFF_MAX = 100
LOOPS_MAX = 3
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "upgrade"}
PAGE = """<!DOCTYPE html>
<html lang="en-US"><head><title>{host} | {title} | Cloudflare</title></head>
<body><h1>Error <span>{code}</span></h1><p>Ray ID: {ray}</p><h2>{title}</h2><p>{text}</p></body></html>
"""
ERRORS = {
    1000: (403, "DNS points to prohibited IP", "You've requested a page on a website that is on the Cloudflare network in a way that is not allowed."),
    1016: (530, "Origin DNS error", "Cloudflare cannot resolve the requested domain at this moment."),
    1033: (530, "Cloudflare Tunnel error", "Cloudflare is currently unable to resolve the tunnel that serves this host."),
}


class Tunnel:
    """`ingress`: (hostname or "*", service) from the top, where a service is "host:port" of an HTTP origin or an int for `http_status:N`."""

    def __init__(self, name, ingress, identity=None):
        self.name = name
        self.id = identity or str(uuid.uuid4())
        self.ingress = list(ingress)
        self.connectors = {}  # id -> None, or the address that replaces every service of the ingress table

    def service(self, host):
        return next((service for hostname, service in self.ingress if hostname in ("*", host)), 404)


class Edge:
    def __init__(self, background, tls, location="AMS"):
        self.background = background
        self.tls = tls
        self.location = location
        self.tunnels = {}     # by id
        self.routes = {}      # public hostname -> tunnel id, as the DNS records would have it
        self.refused = []     # why requests got error 1000
        self.requests = 0
        self.open = set()
        self._idle = {}       # service -> connections
        self._server = self._registry = None
        background.run(self._listen())

    # --- what a test does with it ---

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def add(self, tunnel, *hostnames, connected=True):
        self.tunnels[tunnel.id] = tunnel
        for hostname in hostnames:
            self.routes[hostname] = tunnel.id
        if connected:
            self.connect(tunnel)
        return tunnel

    def connect(self, tunnel, connector="in-process"):
        tunnel.connectors[connector] = None

    def disconnect(self, tunnel):
        """The tunnel's last connector is gone; requests under way end as they do there, with a cut connection."""
        tunnel.connectors.clear()

    def drop(self):
        self.background.call(lambda: [writer.transport.abort() for writer in list(self.open)])

    # --- serving ---

    async def _listen(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls, limit=wire.HEAD_MAX, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        self._registry = await asyncio.start_server(self._register, "127.0.0.1", 0)
        self.registry = "127.0.0.1:%d" % self._registry.sockets[0].getsockname()[1]

    async def _register(self, reader, writer):
        """A connector's process: one line of JSON, {"tunnel", "connector", "address"}; then it is connected until this ends."""
        hello = json.loads(await reader.readline())
        connectors = self.tunnels[hello["tunnel"]].connectors
        connectors[hello["connector"]] = hello["address"]
        try:
            await send(writer, b"registered\n")
            await reader.read()
        except wire.GONE:
            pass
        finally:
            connectors.pop(hello["connector"], None)
            writer.close()

    async def _serve(self, reader, writer):
        self.open.add(writer)
        try:
            while (head := await wire.read_head(reader)) is not None:
                self.requests += 1
                if not await self._answer(head, reader, writer) or "close" in head.tokens("Connection"):
                    break
        except wire.GONE:
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _answer(self, head, reader, writer):
        """False: the connection ends."""
        ray = f"{uuid.uuid4().hex[:16]}-{self.location}"
        host = head.get("Host", "").partition(":")[0]
        if why := forbidden(head):
            self.refused.append(why)
            return await self._error(1000, host, ray, head, reader, writer)
        tunnel = self.tunnels.get(self.routes.get(host))
        if not tunnel or not tunnel.connectors:
            return await self._error(1033 if tunnel else 1016, host, ray, head, reader, writer)
        service = next(iter(tunnel.connectors.values())) or tunnel.service(host)
        if isinstance(service, int):
            await drain(reader, head)
            await send(writer, answer(service, b"", marks(ray)))
            return True
        return await self._forward(service, head, ray, reader, writer)

    async def _error(self, code, host, ray, head, reader, writer):
        await drain(reader, head)
        status, title, text = ERRORS[code]
        page = PAGE.format(host=host, title=title, code=code, ray=ray, text=text)
        await send(writer, answer(status, page.encode(),
                                  [*marks(ray), ("Content-Type", "text/html; charset=UTF-8"), ("Cache-Control", "no-store")]))
        return True

    async def _forward(self, service, head, ray, reader, writer):
        upgrade = "websocket" in head.tokens("Upgrade")
        try:
            up_reader, up_writer = await self._connect(service, fresh=upgrade or head.chunked or head.length)
            await send(up_writer, self._request(head, ray, writer, upgrade))
            async for _, raw in wire.body_pieces(reader, head):
                await send(up_writer, raw)
            response = await wire.read_head(up_reader)
            if response is None:
                raise ConnectionResetError
        except wire.GONE:
            body_unread = head.chunked or head.length > 0
            await send(writer, answer(502, b"Unable to reach the origin service. The service may be down or it may not be responding to traffic "
                                      b"from cloudflared\n", marks(ray) + [("Connection", "close")] * body_unread))
            return not body_unread
        status = int(response.first[1])
        fields = [(n, v) for n, v in response.fields if n.lower() not in HOP_BY_HOP and n.lower() != "server"] + marks(ray)
        if status == 101:
            fields += [("Connection", "Upgrade"), ("Upgrade", response.get("Upgrade", ""))]
        await send(writer, wire.head_bytes(f"HTTP/1.1 {status} {response.first[2]}", fields))
        if status == 101:
            await asyncio.gather(wire.copy_until_eof(reader, up_writer), wire.copy_until_eof(up_reader, writer))
            return False
        bodiless = head.first[0] == "HEAD" or status in (204, 304)
        until_close = not bodiless and not response.chunked and response.get("Content-Length") is None
        if not bodiless:
            try:
                async for _, raw in wire.body_pieces(up_reader, response, until_close):
                    await send(writer, raw)
            except wire.GONE:
                up_writer.close()
                raise
        if until_close or "close" in response.tokens("Connection"):
            up_writer.close()
            return not until_close
        self._idle.setdefault(service, []).append((up_reader, up_writer))
        return True

    async def _connect(self, service, fresh):
        idle = self._idle.setdefault(service, [])
        while idle and not fresh:
            reader, writer = idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        host, port = service.rsplit(":", 1)
        return await asyncio.wait_for(asyncio.open_connection(host, int(port), limit=wire.HEAD_MAX), 5)

    def _request(self, head, ray, writer, upgrade):
        address = writer.get_extra_info("peername")[0]
        known = ", ".join([*head.all("X-Forwarded-For"), address])
        loops = ", ".join([*head.all("CDN-Loop"), "cloudflare"])
        fields = [(n, v) for n, v in head.fields if n.lower() not in HOP_BY_HOP | {"x-forwarded-for", "cdn-loop"}]
        fields += [("X-Forwarded-For", known), ("CF-Connecting-IP", address), ("CF-RAY", ray), ("CDN-Loop", loops)]
        if upgrade:
            fields += [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        return wire.head_bytes(f"{head.first[0]} {head.first[1]} HTTP/1.1", fields)


def marks(ray):
    return [("Server", "cloudflare"), ("CF-RAY", ray)]


def forbidden(head):
    """Why the real edge answers error 1000, or None."""
    for name in ("CF-Connecting-IP", "CF-Connecting-IPv6", "CF-RAY", "CF-IPCountry", "CF-Visitor", "CF-Worker", "CF-EW-Via"):
        if head.get(name) is not None:
            return f"{name} from a client"
    if sum(entry.strip().startswith("cloudflare") for value in head.all("CDN-Loop") for entry in value.split(",")) > LOOPS_MAX:
        return "CDN-Loop has too many entries"
    forwarded = head.all("X-Forwarded-For")
    if len(forwarded) > 1:
        return "two X-Forwarded-For"
    if forwarded and len(forwarded[0]) > XFF_MAX:
        return f"X-Forwarded-For longer than {XFF_MAX}"
    return None


async def drain(reader, head):
    async for _ in wire.body_pieces(reader, head):
        pass
