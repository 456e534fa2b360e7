"""A scripted DNS server over UDP for the names that tests use."""

import asyncio
import ipaddress
import struct

A, AAAA = 1, 28
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
RCODES = {"NXDOMAIN": NXDOMAIN, "SERVFAIL": SERVFAIL}


class Dns(asyncio.DatagramProtocol):
    """`names`: name -> list of addresses, or "NXDOMAIN", "SERVFAIL", "silence"; may change at any time. Unknown names: NXDOMAIN."""

    def __init__(self, background, ttl=1, **names):
        self.ttl = ttl
        self.names = names
        self.queries = []  # (name, type)
        background.run(self._listen())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def _listen(self):
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port = transport.get_extra_info("sockname")[1]

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, peer):
        name, end = read_name(data, 12)
        kind, = struct.unpack_from("!H", data, end)
        self.queries.append((name, kind))
        record = self.names.get(name, "NXDOMAIN")
        if record != "silence":
            self._transport.sendto(self._reply(data[:2], data[12:end + 4], kind, record), peer)

    def _reply(self, identity, question, kind, record):
        if isinstance(record, str):
            return identity + struct.pack("!HHHHH", 0x8580 | RCODES[record], 1, 0, 0, 0) + question
        addresses = [a for a in map(ipaddress.ip_address, record) if (AAAA if a.version == 6 else A) == kind]
        answers = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, self.ttl, len(a.packed)) + a.packed for a in addresses)
        return identity + struct.pack("!HHHHH", 0x8580, 1, len(addresses), 0, 0) + question + answers


def read_name(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("ascii", "replace").lower())
        at += 1 + data[at]
    return ".".join(labels), at + 1
