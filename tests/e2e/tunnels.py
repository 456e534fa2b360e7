"""A daemon that serves tunnels of its own edge, and the connectors that dial it: the stand-in, or the real cloudflared where the environment
variable CLOUDFLARED names it."""

import pytest
from client import wait_until
from cloudflared import CLOUDFLARED, Credentials
from daemon import free_port, merge

STAND_IN, REAL = "stand-in", "cloudflared"
CONNECTIONS = 4
QUICK = {STAND_IN: CONNECTIONS, REAL: 2}  # the real one opens a connection a second
# One worker; and more of them than a connector has connections, so that most requests are handed from one to another.
WORKERS = pytest.mark.parametrize("workers", [1, 6])
# Of a body that no connector holds back: a cloudflared before 2025 gathers what is no stream of events.
PROMPT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
KINDS = pytest.mark.parametrize("kind", [STAND_IN, pytest.param(REAL, marks=pytest.mark.skipif(not CLOUDFLARED, reason="CLOUDFLARED names no binary"))])


class Edge:
    """`tunnels`: names, each an endpoint of the one pool. `edge`, `pool`, `lb` and further top-level settings are merged in."""

    def __init__(self, make_daemon, make_connector, make_cloudflared, tunnels=("ams",), workers=2, edge=None, pool=None, lb=None, **more):
        self.make = {STAND_IN: make_connector, REAL: make_cloudflared}
        self.addresses = [f"127.0.0.1:{free_port()}", f"127.0.0.2:{free_port()}"]
        self.credentials = {name: Credentials.new() for name in tunnels}
        settings = {
            "edge": {"addresses": self.addresses, "location": "test01", **(edge or {}),
                     "tunnels": [{"id": c.tunnel, "name": name, "secret": c.encoded_secret} for name, c in self.credentials.items()]},
            "pools": [{"name": "pool", "monitors": [], "endpoints": [{"name": name, "tunnel": name} for name in tunnels], **(pool or {})}],
            "load_balancers": [{"hostnames": ["*"], "default_pools": ["pool"], **(lb or {})}],
        }
        self.daemon = make_daemon(merge(settings, more), workers=workers).start()
        self.ca = self.daemon.state_dir / "edge-ca.pem"

    def dial(self, tunnel="ams", kind=STAND_IN, connections=CONNECTIONS, credentials=None, **options):
        """A connector that may register or not."""
        slots = [self.addresses[i % 2] for i in range(max(2, connections))]
        return self.make[kind](slots, self.ca, credentials or self.credentials[tunnel], ha_connections=connections, **options)

    def connect(self, tunnel="ams", kind=STAND_IN, connections=CONNECTIONS, **options):
        """A connector all of whose connections are registered and in use."""
        before = len(self.lines(tunnel))
        connector = self.dial(tunnel, kind, connections, **options).wait_ready(connections)
        wait_until(lambda: len(self.lines(tunnel)) >= before + connections)
        return connector

    def tunnel(self, name="ams"):
        return self.daemon.admin("GET", f"/v1/tunnels/{name}").json()

    def connectors(self, name="ams"):
        return self.tunnel(name)["connectors"]

    def lines(self, name="ams"):
        return [line for connector in self.connectors(name) for line in connector["connections"]]
