"""Fixtures: stand-ins that live as long as a test, and the daemon between them. Everything is on loopback and on free ports."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sim"))

import certs  # noqa: E402
import cloudflared  # noqa: E402
import daemon as daemon_module  # noqa: E402
import dns  # noqa: E402
import edge as edge_module  # noqa: E402
import hook  # noqa: E402
import origin as origin_module  # noqa: E402
import peer as peer_module  # noqa: E402
import tunnels  # noqa: E402
import wire  # noqa: E402


def pytest_configure():
    if not os.access(daemon_module.PENSTOCK, os.X_OK):
        raise pytest.UsageError(f"{daemon_module.PENSTOCK} is not there: build it, or set PENSTOCK")


@pytest.fixture(scope="session")
def background():
    return wire.Background()


@pytest.fixture
def folder():
    """Short enough for the path of a unix socket."""
    path = Path(tempfile.mkdtemp(prefix="penstock-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return certs.Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def server_tls(authority):
    """For stand-ins that speak TLS: names below example.com, and the address itself."""
    return origin_module.tls_context(*authority.issue("*.example.com", "127.0.0.1"))


@pytest.fixture
def make_origin(background):
    made = []

    def make(name="origin", **options):
        made.append(origin_module.Origin(background, name, **options))
        return made[-1]
    yield make
    for one in made:
        one.upload_gate.open()
        one.kill()


@pytest.fixture
def origin(make_origin):
    return make_origin()


@pytest.fixture
def make_peer():
    made = []

    def make(name="peer", **options):
        made.append(peer_module.Peer(name, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def peer(make_peer):
    return make_peer()


@pytest.fixture
def public_edge(background, server_tls):
    made = edge_module.Edge(background, server_tls)
    yield made
    made.drop()


@pytest.fixture
def make_connector(folder):
    """make_connector(edges, ca, tunnel, url=…): a cloudflared.Connector that runs; ended with the test, which fails on a sanitizer's report."""
    made = []

    def make(edges, ca, tunnel, **options):
        made.append(cloudflared.Connector(edges, ca, tunnel, folder / "connectors", **options))
        return made[-1]
    yield make
    for one in made:
        one.kill()
    reports = [one.log.read_text(errors="replace") for one in made]
    assert not [text for text in reports if daemon_module.REPORT.search(text)]


@pytest.fixture
def make_cloudflared(folder):
    """The same with the real program."""
    made = []

    def make(edges, ca, tunnel, **options):
        made.append(cloudflared.Cloudflared(edges, ca, tunnel, folder / "connectors", **options))
        return made[-1]
    yield make
    for one in made:
        one.kill()


@pytest.fixture
def make_edge(make_daemon, make_connector, make_cloudflared):
    """make_edge("ams", "fra", workers=…): a tunnels.Edge, whose connectors end before its daemon does."""
    def make(*names, **settings):
        return tunnels.Edge(make_daemon, make_connector, make_cloudflared, names or ("ams",), **settings)
    return make


@pytest.fixture
def edge(make_edge, origin, workers, kind):
    """One tunnel, one connector with two connections before one origin: for tests marked with WORKERS and KINDS."""
    made = make_edge(workers=workers)
    made.connector = made.connect(kind=kind, connections=2, url=origin.url)
    return made


@pytest.fixture
def make_hook(background):
    made = []

    def make(**options):
        made.append(hook.Hook(background, **options))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def names(background):
    return dns.Dns(background)


@pytest.fixture
def make_daemon(folder):
    """A Daemon that is not started yet; stopped at the end, which fails the test if it ended badly."""
    made = []

    def make(settings, **options):
        made.append(daemon_module.Daemon(folder / f"d{len(made)}", settings, **options))
        return made[-1]
    yield make
    problems = []
    for one in made:
        try:
            one.stop()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture
def serve(make_daemon):
    """serve(origin, …): started, all hosts to one pool "pool" of these endpoints (origins or endpoint groups), without monitors.
    `pool`, `lb` and further top-level settings are merged in; `settings` replaces pool and load balancer altogether."""
    def start(*endpoints, pool=None, lb=None, settings=None, arguments=(), workers=2, **more):
        if settings is None:
            groups = [e if isinstance(e, dict) else daemon_module.endpoint(e) for e in endpoints]
            settings = {"pools": [{"name": "pool", "monitors": [], "endpoints": groups, **(pool or {})}],
                        "load_balancers": [{"hostnames": ["*"], "default_pools": ["pool"], **(lb or {})}]}
        return make_daemon(daemon_module.merge(settings, more), arguments=arguments, workers=workers).start()
    return start
