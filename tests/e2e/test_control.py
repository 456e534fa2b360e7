"""What only the control thread does: certificates that end, names that fail later, tunnels that traffic alone watches, the user it becomes,
the access log that moves, checking before listening."""

import os
import pwd
import signal
from pathlib import Path

import pytest
from client import wait_until
from daemon import endpoint, wait_for_state
from edge import Tunnel
from origin import HANG


def events(daemon, kind):
    return [event for event in daemon.events() if event["type"] == kind]


def test_certificate_that_ends_soon_is_told_once_and_its_renewal_too(serve, origin, authority):
    cert, key = authority.issue("soon.example.com", days=2, file="soon")
    daemon = serve(origin)
    tls = {"certificates": [{"cert": cert, "key": key}]}
    daemon.write(listeners=[{"address": daemon.address, "tls": tls}])
    assert daemon.reload().returncode == 0
    told = wait_until(lambda: events(daemon, "certificate.expiring"))
    assert told[0]["severity"] == "critical" and told[0]["data"]["listener"] == daemon.address
    assert daemon.reload().returncode == 0
    Path(cert).write_bytes(Path(authority.issue("soon.example.com", days=90, file="later")[0]).read_bytes())
    Path(key).write_bytes((authority.folder / "later.key").read_bytes())
    assert daemon.reload().returncode == 0
    assert wait_until(lambda: events(daemon, "certificate.renewed"))
    assert len(events(daemon, "certificate.expiring")) == 1


def test_names_that_are_being_resolved_are_no_alarm(serve, origin, names):
    names.names["a.test"] = ["127.0.0.1"]
    daemon = serve({"name": "a", "address": f"http://a.test:{origin.port}"}, resolver={"servers": [names.address]})
    wait_for_state(daemon, "pool/a", "healthy")
    types = wait_until(lambda: "pool.healthy" in (types := [event["type"] for event in daemon.events()]) and types)
    assert not {"pool.critical", "load_balancer.fallback", "load_balancer.down", "endpoint.unhealthy"} & set(types), types


def test_name_that_fails_later_keeps_its_addresses_and_is_told(serve, origin, names):
    names.names["app.test"] = ["127.0.0.1"]
    daemon = serve({"name": "o", "address": f"http://app.test:{origin.port}"}, resolver={"servers": names.address})
    assert daemon.get().status == 200
    names.names["app.test"] = "NXDOMAIN"
    told = wait_until(lambda: events(daemon, "endpoint.name_failed"))
    assert told[0]["data"]["name"] == "app.test" and told[0]["data"]["reason"]
    assert daemon.get().status == 200
    assert daemon.endpoint("pool/o")["state"] == "healthy"
    names.names["app.test"] = ["127.0.0.1"]
    wait_until(lambda: events(daemon, "endpoint.name_resolved"))


def test_tunnel_that_traffic_alone_watches(serve, make_origin, public_edge, authority):
    origin, other = make_origin("ams"), make_origin("other")
    tunnel = public_edge.add(Tunnel("ams", [("*", origin.address)]), "ams.example.com")
    through = {"name": "ams", "tunnel": tunnel.id, "hostname": "ams.example.com", "connect_to": public_edge.address, "tls": {"ca_file": authority.ca}}
    daemon = serve(through, other, pool={"passive": {"consecutive": 2, "ejection": "500ms"}, "slow_start": "0s",
                                         "endpoint_steering": {"policy": "round_robin"}})
    public_edge.disconnect(tunnel)

    def status():
        daemon.get()
        return next(t["status"] for t in daemon.status()["tunnels"] if t["id"] == tunnel.id)
    wait_until(lambda: status() == "down")
    told = wait_until(lambda: events(daemon, "tunnel.inactive"))[0]
    assert told["severity"] == "critical" and told["data"]["status"] == "down"
    assert told["data"]["tunnel"] == {"id": tunnel.id, "name": "ams"} and told["data"]["endpoints"] == ["pool/ams"]
    public_edge.connect(tunnel)
    wait_until(lambda: status() == "healthy", timeout=40)
    wait_until(lambda: events(daemon, "tunnel.healthy"))


def test_failover_is_put_into_words(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    monitor = {"name": "app", "type": "http", "path": "/", "interval": "1s", "timeout": "500ms", "consecutive_down": 2}
    pools = [{"name": name, "monitors": ["app"], "endpoints": [endpoint(o)]} for name, o in (("europe", one), ("america", two))]
    daemon = serve(settings={"monitors": [monitor], "pools": pools,
                             "load_balancers": [{"hostnames": ["app.test"], "default_pools": ["europe", "america"],
                                                 "steering": {"policy": "off", "failback_delay": "0s"}}]})
    wait_for_state(daemon, "europe/one", "healthy")
    wait_for_state(daemon, "america/two", "healthy")
    one.kill()
    told = wait_until(lambda: events(daemon, "load_balancer.failover"))[0]
    assert told["data"]["reason"] == "failover: pool europe is critical (0 of 1 endpoints usable): traffic goes to america"
    assert told["data"]["pool"] == "america" and told["severity"] == "warning"
    one.accept()
    wait_until(lambda: events(daemon, "load_balancer.recovered"), timeout=40)


def test_check_first_listens_once_every_monitor_has_looked(make_daemon, make_origin):
    """The first request already goes to the one that is well, though the other stands first."""
    ill, well = make_origin("ill"), make_origin("well")
    ill.script("/", HANG)
    monitor = {"name": "app", "type": "http", "path": "/", "interval": "1s", "timeout": "300ms", "consecutive_down": 1, "retries": 0}
    daemon = make_daemon({"monitors": [monitor], "pools": [{"name": "pool", "monitors": ["app"], "endpoints": [endpoint(ill), endpoint(well)],
                                                            "endpoint_steering": {"policy": "off"}}],
                          "load_balancers": [{"hostnames": ["*"], "default_pools": ["pool"]}]}, arguments=["--check-first"])
    daemon.start()
    assert {e["state"] for e in daemon.pool("pool")["endpoints"]} == {"healthy", "down"}
    assert daemon.get("/page").body == b"well\n"


def test_access_log_moves_with_a_reload_and_is_opened_anew_on_sigusr1(serve, origin, folder):
    daemon = serve(origin)
    daemon.get("/first")
    elsewhere = folder / "elsewhere.log"
    daemon.write(access_log={"path": elsewhere})
    assert daemon.reload().returncode == 0
    daemon.get("/second")
    wait_until(lambda: elsewhere.exists() and "/second" in elsewhere.read_text())
    assert "/second" not in daemon.access_log_path.read_text()
    elsewhere.rename(folder / "rotated.log")
    daemon.signal(signal.SIGUSR1)
    wait_until(elsewhere.exists)
    daemon.get("/third")
    wait_until(lambda: "/third" in elsewhere.read_text())
    assert "/third" not in (folder / "rotated.log").read_text()


def test_access_log_that_cannot_be_opened_refuses_the_reload(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one)
    daemon.write(access_log={"path": "/nowhere/access.log"}, pools=[{"name": "pool", "monitors": [], "endpoints": [endpoint(two)]}])
    result = daemon.reload()
    assert result.returncode == 1 and "/nowhere/access.log" in result.stdout + result.stderr
    assert daemon.get().body == b"one\n"


def test_what_takes_a_restart_is_a_warning(serve, origin):
    daemon = serve(origin, workers=2)
    daemon.write(workers=3)
    result = daemon.reload()
    assert result.returncode == 0 and "workers" in result.stdout + result.stderr and "restart" in result.stdout + result.stderr


def test_two_daemons_do_not_share_a_state_directory(serve, make_daemon, origin):
    first = serve(origin)
    second = make_daemon({"pools": first.settings["pools"], "load_balancers": first.settings["load_balancers"]})
    second.state_dir = first.state_dir
    second.expected_exit = 1
    assert second.spawn().ended() == 1
    assert str(first.state_dir) in second.log and str(first.pid) in second.log
    assert first.get().status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_becomes_the_user_and_can_still_bind_low_ports(make_daemon, origin, folder):
    folder.chmod(0o755)
    daemon = make_daemon({"user": "nobody", "access_log": {"path": "stdout"}, "pools": [{"name": "pool", "monitors": [], "endpoints": [endpoint(origin)]}],
                          "load_balancers": [{"hostnames": ["*"], "default_pools": ["pool"]}]})
    daemon.folder.chmod(0o777)  # the admin socket's folder
    daemon.state_dir.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(daemon.state_dir, nobody.pw_uid, nobody.pw_gid)
    daemon.start()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines() if ":" in line)
    assert set(status["Uid"].split()) == {str(nobody.pw_uid)} and set(status["Gid"].split()) == {str(nobody.pw_gid)}
    assert int(status["CapEff"], 16) == 1 << 10 and status["NoNewPrivs"].strip() == "1"
    low = f"127.0.0.{os.getpid() % 200 + 10}:{os.getpid() % 500 + 200}"
    daemon.write(listeners=[{"address": daemon.address}, {"address": low}])
    assert daemon.reload().returncode == 0
    daemon.address = low
    assert daemon.get().status == 200
