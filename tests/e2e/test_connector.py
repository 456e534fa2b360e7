"""The stand-in for cloudflared by itself: without an edge it keeps trying, and it takes commands and leaves."""

import pytest
from client import wait_until
from cloudflared import Credentials
from daemon import free_port


@pytest.fixture
def connector(make_connector, authority):
    return make_connector([f"127.0.0.1:{free_port()}"] * 2, authority.ca, Credentials.new())


def test_keeps_dialling_an_edge_that_is_not_there(connector):
    wait_until(lambda: "Connection refused" in connector.log.read_text())
    wait_until(lambda: connector.log.read_text().count("Connection refused") >= 3)
    status = connector.status()
    assert status["ready"] == 0 and status["connections"] == 2
    assert connector.process.poll() is None


def test_leaves_when_asked(connector):
    wait_until(lambda: connector.status()["ok"])
    assert connector.stop() == 0
    assert not connector.socket.exists()


def test_commands(connector):
    wait_until(lambda: connector.status()["ok"])
    for line in ("refuse 3", "huge-header 60000", "silent on", "silent off", "mute-ping on", "goaway", "cut 1"):
        assert connector.command(line) == {"ok": True}
    for line in ("nothing", "refuse many", "silent perhaps"):
        with pytest.raises(AssertionError, match="the commands are"):
            connector.command(line)


@pytest.mark.parametrize("options", [{"url": "ftp://x"}, {"ha_connections": 0}, {"ingress": [{"hostname": "a", "service": "http_status:200"}]}])
def test_refuses_what_it_can_not_do(make_connector, authority, options):
    assert make_connector(["127.0.0.1:1"] * 2, authority.ca, Credentials.new(), **options).wait() == 2
