"""Starting and stopping: ready when it says so, a clean end, nothing left behind, and errors that name the cure."""

import os
import signal
import socket
import stat
import subprocess

from client import Connection, Cut, wait_until
from daemon import PENSTOCK, cli, endpoint


def test_serves_once_ready_and_ends_cleanly(serve, origin):
    daemon = serve(origin)
    assert daemon.get().body == b"origin\n"
    assert daemon.admin("GET", "/livez").status == 200
    assert daemon.admin("GET", "/readyz").status == 200
    assert stat.S_IMODE(os.stat(daemon.admin_socket).st_mode) == 0o600
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0


def test_sigint_ends_it_too(serve, origin):
    daemon = serve(origin)
    daemon.signal(signal.SIGINT)
    assert daemon.ended() == 0


def test_several_listeners_and_a_unix_socket(serve, origin, folder):
    path = folder / "front.sock"
    daemon = serve(origin)
    daemon.write(listeners=[{"address": daemon.address}, {"address": f"unix:{path}"}])
    daemon.stop()
    daemon.start()
    assert daemon.get().status == 200
    with Connection(f"unix:{path}") as connection:
        assert connection.request().status == 200


def test_restarts_at_once_on_the_same_sockets(serve, origin):
    daemon = serve(origin)
    connection = daemon.connect()
    assert connection.request().status == 200
    daemon.kill()
    daemon.start()
    assert daemon.get().status == 200


def test_address_in_use_is_said_and_fails(make_daemon, origin):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = "127.0.0.1:%d" % holder.getsockname()[1]
        daemon = make_daemon({"listeners": [{"address": taken}], "pools": [{"name": "p", "endpoints": [endpoint(origin)]}],
                              "load_balancers": [{"hostnames": ["*"], "default_pools": ["p"]}]})
        daemon.expected_exit = 1
        assert daemon.spawn().ended() == 1
        assert taken in daemon.log


def test_a_second_daemon_does_not_steal_the_admin_socket(serve, make_daemon, origin):
    first = serve(origin)
    second = make_daemon({"admin": {"socket": first.admin_socket}, "pools": first.settings["pools"],
                          "load_balancers": first.settings["load_balancers"]})
    second.expected_exit = 1
    assert second.spawn().ended() == 1
    assert str(first.admin_socket) in second.log
    assert first.admin("GET", "/livez").status == 200


def test_invalid_configuration_does_not_start(make_daemon):
    daemon = make_daemon({"nonsense": 1, "pools": [], "load_balancers": []})
    daemon.expected_exit = 1
    assert daemon.spawn().ended() == 1
    assert "nonsense" in daemon.log and "penstock.conf:" in daemon.log


def test_missing_configuration_file_is_named(folder):
    result = cli("serve", "-c", folder / "nowhere.conf", "--state-dir", folder)
    assert result.returncode == 1
    assert "nowhere.conf" in result.stderr


def test_state_directory_that_cannot_be_used_is_named(make_daemon, origin, folder):
    (folder / "file").write_text("in the way")
    daemon = make_daemon({"pools": [{"name": "p", "endpoints": [endpoint(origin)]}],
                          "load_balancers": [{"hostnames": ["*"], "default_pools": ["p"]}]})
    daemon.state_dir.mkdir()
    daemon.arguments = ["--state-dir", folder / "file"]
    daemon.expected_exit = 1
    assert daemon.spawn().ended() == 1
    assert str(folder / "file") in daemon.log


def test_notifies_the_service_manager(make_daemon, origin, folder, monkeypatch):
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(15)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        daemon = make_daemon({"pools": [{"name": "p", "monitors": [], "endpoints": [endpoint(origin)]}],
                              "load_balancers": [{"hostnames": ["*"], "default_pools": ["p"]}]})
        daemon.start()
        seen = manager.recv(4096).decode()
        while "READY=1" not in seen:
            seen += "\n" + manager.recv(4096).decode()
        daemon.stop()
        while "STOPPING=1" not in seen:
            seen += "\n" + manager.recv(4096).decode()


def test_listening_socket_from_the_service_manager(make_daemon, origin):
    """LISTEN_FDS: the daemon serves on the socket it was given; connections made before it started are answered."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        address = "127.0.0.1:%d" % listening.getsockname()[1]
        daemon = make_daemon({"listeners": [{"address": address}],
                              "pools": [{"name": "p", "monitors": [], "endpoints": [endpoint(origin)]}],
                              "load_balancers": [{"hostnames": ["*"], "default_pools": ["p"]}]})
        daemon.address = address
        early = daemon.connect().send(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        daemon.state_dir.mkdir()
        # The descriptor has to be number 3, and LISTEN_PID the daemon's own: the shell (bash: dash knows no descriptor above 9) has both then.
        script = f'exec 3<&{listening.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
        with open(daemon.log_path, "ab") as log:
            daemon.process = subprocess.Popen(["/bin/bash", "-c", script, "bash", PENSTOCK, "serve", "-c", daemon.config_path,
                                               "--state-dir",
                                               daemon.state_dir], pass_fds=[listening.fileno()], stdout=log, stderr=log)
        assert early.read_response().status == 200
        wait_until(daemon.is_ready)


def test_stop_closes_idle_connections(serve, origin):
    daemon = serve(origin)
    connection = daemon.connect()
    assert connection.request().status == 200
    daemon.signal(signal.SIGTERM)
    assert connection.ended()
    assert daemon.ended() == 0


def test_after_stop_new_connections_are_refused(serve, origin):
    daemon = serve(origin)
    daemon.stop()
    try:
        daemon.get()
    except (ConnectionRefusedError, Cut):
        return
    raise AssertionError("still answered")
