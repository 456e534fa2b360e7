"""Alerts: signed, in order, at least once, whatever happens to the receiver or to us."""

import base64
import collections
import json

import pytest
from client import wait_until
from daemon import endpoint, monitor

SECRET = "whsec_" + base64.b64encode(b"a secret of the test, 32 bytes!!").decode()


@pytest.fixture
def hook(make_hook):
    return make_hook(secret=SECRET)


@pytest.fixture
def serve_alerting(serve, make_origin, folder, hook):
    def start(events=("*",), **channel):
        (folder / "secret").write_text(SECRET + "\n")
        (folder / "secret").chmod(0o600)
        group = {"name": "ops", "type": "webhook", "url": hook.url, "secret_file": folder / "secret", **channel}
        if events:
            group["events"] = list(events)
        return serve(make_origin("one"), make_origin("two"), alerts=[group])
    return start


def drain(daemon, name="one"):
    assert daemon.admin("PATCH", f"/v1/endpoints/pool/{name}", {"state": "drained"}).status == 200


def enable(daemon, name="one"):
    assert daemon.admin("PATCH", f"/v1/endpoints/pool/{name}", {"state": "enabled"}).status == 200


def test_signed_and_as_the_event_is(serve_alerting, hook):
    daemon = serve_alerting(["endpoint.*"])
    drain(daemon)
    delivery = wait_until(lambda: hook.find("endpoint.drained"))[0]
    assert delivery.problem is None
    assert delivery.head.first[0] == "POST" and delivery.head.get("Content-Type").startswith("application/json")
    assert delivery.id == delivery.event["id"]
    assert set(delivery.event) >= {"id", "type", "timestamp", "severity", "data"}
    assert "pool/one" in json.dumps(delivery.data)
    listed = next(event for event in daemon.events() if event["id"] == delivery.id)
    assert listed["type"] == delivery.type and listed["data"] == delivery.data


def test_only_the_events_that_are_wanted(serve_alerting, hook):
    daemon = serve_alerting(["endpoint.drained"])
    drain(daemon)
    enable(daemon)
    drain(daemon, "two")
    wait_until(lambda: len(hook.find("endpoint.drained")) == 2)
    assert set(hook.types()) == {"endpoint.drained"}


def test_default_is_warnings_and_their_recovery(serve, make_origin, folder, hook):
    one, two = make_origin("one"), make_origin("two")
    (folder / "secret").write_text(SECRET)
    daemon = serve(one, two, pool={"monitors": ["app"]},
                   monitors=[monitor()],
                   alerts=[{"name": "ops", "type": "webhook", "url": hook.url, "secret_file": folder / "secret"}])
    wait_until(lambda: daemon.endpoint("pool/one")["state"] == "healthy")
    assert daemon.reload().returncode == 0
    one.kill()
    wait_until(lambda: "endpoint.unhealthy" in hook.types())
    one.accept()
    wait_until(lambda: "endpoint.healthy" in hook.types(), timeout=40)
    assert "config.reloaded" not in hook.types()


@pytest.mark.parametrize("failure", [500, 503, 429, 404, "close", "hang"])
def test_failed_delivery_is_repeated_with_the_same_id(serve_alerting, hook, failure):
    daemon = serve_alerting(["endpoint.drained"], **({"timeout": "1s"} if failure == "hang" else {}))
    hook.answers = [failure, failure]
    drain(daemon)
    if failure == 404:
        wait_until(lambda: hook.deliveries)
        return
    wait_until(lambda: hook.find("endpoint.drained"), timeout=30)
    assert len(hook.deliveries) == 3
    assert len({delivery.id for delivery in hook.deliveries}) == 1
    assert len({delivery.body for delivery in hook.deliveries}) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(serve_alerting, hook, status):
    daemon = serve_alerting(["endpoint.drained"])
    hook.answers = [(status, [("Retry-After", "3")])]
    drain(daemon)
    wait_until(lambda: len(hook.deliveries) == 2, timeout=30)
    assert hook.deliveries[1].at - hook.deliveries[0].at >= 2.9


def test_redirects_are_not_followed(serve_alerting, hook, make_hook):
    other = make_hook()
    daemon = serve_alerting(["endpoint.drained"])
    hook.answers = [(302, [("Location", other.url)])]
    drain(daemon)
    wait_until(lambda: hook.find("endpoint.drained"), timeout=30)
    assert not other.deliveries


def test_order_within_a_subject(serve_alerting, hook):
    def about_one(events):
        return [event["id"] for event in events if event["data"].get("endpoint") == "pool/one"]

    daemon = serve_alerting(["endpoint.*"])
    wait_until(lambda: channel(daemon)["backlog"] == 0 and len(hook.accepted) == 2)  # both are healthy from the start
    hook.answers = [500, 500]
    for _ in range(10):
        drain(daemon)
        enable(daemon)
    published = about_one(wait_until(lambda: len(about_one(events := daemon.events("?type=endpoint.*"))) == 21 and events))
    wait_until(lambda: about_one(delivery.event for delivery in hook.accepted) == published, timeout=40)
    assert hook.types()[2:] == ["endpoint.drained", "endpoint.healthy"] * 10


def test_one_subject_that_fails_does_not_hold_up_another(serve_alerting, hook):
    daemon = serve_alerting(["endpoint.drained"])
    hook.answers = ["hang"]
    drain(daemon, "one")
    wait_until(lambda: hook.deliveries)
    drain(daemon, "two")
    wait_until(lambda: any("pool/two" in json.dumps(delivery.data) for delivery in hook.accepted))


def test_kill_9_loses_nothing(serve_alerting, hook):
    """What was shown as an event is delivered after a restart, even when the process was killed at that moment."""
    hook.default = 503
    daemon = serve_alerting(["endpoint.drained"])
    for name in ("one", "two"):
        drain(daemon, name)
    shown = wait_until(lambda: len(found := daemon.events("?type=endpoint.drained")) == 2 and found)
    daemon.kill()
    hook.default = 200
    daemon.start()
    wait_until(lambda: {event["id"] for event in shown} <= {delivery.id for delivery in hook.accepted}, timeout=40)


def test_delivered_alerts_are_not_sent_again_after_a_restart(serve_alerting, hook):
    daemon = serve_alerting(["endpoint.drained"])
    drain(daemon)
    wait_until(lambda: hook.find("endpoint.drained"))
    wait_until(lambda: channel(daemon)["backlog"] == 0)
    daemon.stop()
    daemon.start()
    drain(daemon, "two")
    wait_until(lambda: any("pool/two" in json.dumps(delivery.data) for delivery in hook.accepted))
    counts = collections.Counter(delivery.id for delivery in hook.accepted)
    assert set(counts.values()) == {1}


def channel(daemon):
    return json.loads(daemon.cli("alerts", "list", "--json").stdout)[0]


def test_recovery_is_told_also_of_what_was_told_before_a_restart(serve, make_origin, make_hook):
    hook = make_hook()

    def told():
        """Once each: what was accepted at the moment of the kill may come again."""
        return list({delivery.id: delivery.type for delivery in hook.accepted}.values())
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(settings={
        "monitors": [monitor()],
        "pools": [{"name": "app", "monitors": ["app"], "minimum_endpoints": 2, "endpoints": [endpoint(one), endpoint(two)]}],
        "load_balancers": [{"hostnames": ["app"], "default_pools": ["app"]}],
        "alerts": [{"name": "ops", "type": "webhook", "url": hook.url}],
    })
    wait_until(lambda: daemon.pool("app")["state"] == "healthy")
    one.kill()
    down = ["endpoint.unhealthy", "load_balancer.fallback", "pool.critical"]
    wait_until(lambda: sorted(told()) == down, timeout=30)
    wait_until(lambda: channel(daemon)["backlog"] == 0)
    daemon.kill()
    daemon.start()
    wait_until(lambda: daemon.endpoint("app/one")["state"] == "down")
    wait_until(lambda: daemon.endpoint("app/two")["state"] == "healthy")
    assert sorted(told()) == down, "nothing has changed"
    one.accept()
    wait_until(lambda: sorted(told()[3:]) == ["endpoint.healthy", "load_balancer.recovered", "pool.healthy"], timeout=30)
    assert hook.find("endpoint.healthy")[0].data["from"] == "down"


def test_list_shows_backlog_and_errors(serve_alerting, hook):
    hook.default = 500
    daemon = serve_alerting(["endpoint.drained"])
    drain(daemon)
    row = wait_until(lambda: channel(daemon)["last_error"] and channel(daemon))
    assert (row["name"], row["type"], row["backlog"]) == ("ops", "webhook", 1)
    assert "500" in json.dumps(row["last_error"])
    hook.default = 200
    row = wait_until(lambda: channel(daemon)["backlog"] == 0 and channel(daemon), timeout=30)
    assert row["last_success"]


def test_test_command(serve_alerting, hook):
    daemon = serve_alerting(["endpoint.drained"])
    result = daemon.cli("alerts", "test", "ops")
    assert result.returncode == 0, result.stderr
    wait_until(lambda: hook.find("alert.test"))
    hook.default = 500
    assert daemon.cli("alerts", "test", "ops").returncode == 1
    assert daemon.cli("alerts", "test", "none").returncode == 1


def test_receiver_over_tls_is_verified(serve, origin, make_hook, server_tls, authority):
    hook = make_hook(tls=server_tls)
    daemon = serve(origin, alerts=[{"name": "known", "type": "webhook", "url": hook.url, "ca_file": authority.ca},
                                   {"name": "unknown", "type": "webhook", "url": hook.url},
                                   {"name": "lax", "type": "webhook", "url": hook.url, "tls_verify": False}])
    assert [daemon.cli("alerts", "test", name).returncode for name in ("known", "unknown", "lax")] == [0, 1, 0]
    assert len(hook.deliveries) == 2


def test_secrets_from_files_and_the_environment(serve, origin, make_hook, folder, monkeypatch):
    hook = make_hook(secret=SECRET)
    (folder / "url").write_text(hook.url + "\n")
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    daemon = serve(origin, alerts=[{"name": "ops", "type": "webhook", "url_file": folder / "url", "secret_env": "HOOK_SECRET"}])
    assert daemon.cli("alerts", "test", "ops").returncode == 0
    shown = daemon.admin("GET", "/v1/alerts").body + daemon.admin("GET", "/v1/status").body + daemon.log.encode()
    assert SECRET.encode() not in shown and SECRET.removeprefix("whsec_").encode() not in shown


def test_410_closes_the_channel(serve_alerting, hook):
    daemon = serve_alerting(["endpoint.drained"])
    hook.answers = [410]
    drain(daemon)
    wait_until(lambda: len(hook.deliveries) == 1)
    drain(daemon, "two")
    wait_until(lambda: "410" in json.dumps(channel(daemon)))
    assert len(hook.deliveries) == 1


def test_receiver_that_is_down_does_not_slow_traffic(serve_alerting, hook):
    daemon = serve_alerting(["endpoint.*"])
    hook.stop()
    for _ in range(5):
        drain(daemon)
        enable(daemon)
    for _ in range(20):
        assert daemon.get().status == 200


def test_operator_s_word_survives_a_restart(serve, make_origin):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, two)
    drain(daemon)
    assert daemon.admin("PATCH", "/v1/endpoints/pool/two", {"weight": 0.5}).status == 200
    daemon.kill()
    daemon.start()
    assert daemon.endpoint("pool/one")["state"] == "drained"
    assert daemon.endpoint("pool/two")["weight"] == 0.5
    enable(daemon)
    daemon.stop()
    daemon.start()
    assert daemon.endpoint("pool/one")["state"] == "healthy"


def test_events_survive_a_restart(serve, make_origin):
    daemon = serve(make_origin("one"), make_origin("two"))
    drain(daemon)
    before = wait_until(lambda: daemon.events("?type=endpoint.drained"))
    daemon.kill()
    daemon.start()
    assert [event["id"] for event in before] == [event["id"] for event in daemon.events("?type=endpoint.drained")][:len(before)]


def test_state_that_is_corrupt_does_not_keep_it_from_serving(serve, origin):
    daemon = serve(origin)
    daemon.stop()
    (daemon.state_dir / "penstock.db").write_bytes(b"not a database" * 1000)
    for leftover in ("penstock.db-wal", "penstock.db-shm"):
        (daemon.state_dir / leftover).unlink(missing_ok=True)
    daemon.start()
    assert daemon.get().status == 200
    assert list(daemon.state_dir.glob("penstock.db.corrupt-*"))
