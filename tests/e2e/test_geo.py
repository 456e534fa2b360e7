"""Where a client is decides which pools it gets; the client's address is what trusted proxies say."""

import os
import subprocess
from pathlib import Path

import pytest
from client import wait_until
from daemon import PENSTOCK, cli, configuration_text, endpoint

MAKE_MMDB = Path(PENSTOCK).parent / "tests/sim/make_mmdb"
NPM = os.environ.get("PENSTOCK_TEST_MMDB")  # a folder with databases that others made

ROWS = """192.0.2.0/24 DE - 52.5 13.4
192.0.3.0/24 FR - 48.8 2.3
198.51.100.0/24 US CA 37.7 -122.4
198.51.101.0/24 US NY 40.7 -74.0
203.0.113.0/24 AU - -33.9 151.2
2001:db8::/32 DE - 52.5 13.4
"""
MAPS = {"subdivision_pools": {"US-CA": ["west"]}, "country_pools": {"DE": ["germany"]}, "region_pools": {"WEU": ["europe"], "ENAM": ["east"]},
        "client_pools": [{"clients": ["192.0.2.128/25"], "pools": ["office"]}]}
NAMES = ["world", "west", "germany", "europe", "east", "office"]


def make_database(path, rows=ROWS, *arguments):
    """Replaced whole, as a careful updater does it."""
    subprocess.run([MAKE_MMDB, *arguments, f"{path}.new"], input=rows, text=True, check=True, timeout=20)
    os.replace(f"{path}.new", path)
    return path


@pytest.fixture
def database(folder):
    return make_database(folder / "places.mmdb")


@pytest.fixture
def origins(make_origin):
    return {name: make_origin(name) for name in NAMES}


def pools(origins, **more):
    return [{"name": name, "monitors": [], "endpoints": [endpoint(o)], **more.get(name, {})} for name, o in origins.items()]


@pytest.fixture
def mapped(serve, origins, database):
    def start(lb=None, **more):
        return serve(settings={"trusted_proxies": ["127.0.0.0/8"], "geoip": {"database": database}, "pools": pools(origins),
                               "load_balancers": [{"hostnames": ["*"], "default_pools": ["world"], **MAPS, **(lb or {})}]}, **more)
    return start


def ask(daemon, client, target="/"):
    return daemon.get(target, headers=[("X-Forwarded-For", client)]).body.decode().strip()


def test_the_most_specific_map_wins(mapped):
    daemon = mapped()
    assert {client: ask(daemon, client) for client in (
        "192.0.2.1", "192.0.2.200", "192.0.3.1", "198.51.100.1", "198.51.101.1", "203.0.113.1", "203.0.112.1", "2001:db8::1")} == {
        "192.0.2.1": "germany", "192.0.2.200": "office", "192.0.3.1": "europe", "198.51.100.1": "west", "198.51.101.1": "east",
        "203.0.113.1": "world", "203.0.112.1": "world", "2001:db8::1": "germany"}


def test_a_stranger_says_nothing_of_where_he_is(mapped):
    daemon = mapped(trusted_proxies=["10.0.0.0/8"])
    assert ask(daemon, "192.0.2.1") == "world"


def test_each_client_is_looked_up_once(mapped, database):
    """On a kept connection, also where the trusted proxy at its other end speaks for several clients by turns, and anew with new databases."""
    daemon = mapped()
    where = {"192.0.2.1": "germany", "198.51.100.1": "west", "203.0.112.1": "world"}

    def looked_up():
        return daemon.metric("penstock_geoip_lookups_total")

    def ask_all(connection, clients):
        for client in clients:
            assert connection.request(headers=[("X-Forwarded-For", client)]).body.decode().strip() == where[client]

    with daemon.connect() as connection:
        ask_all(connection, ["192.0.2.1"] * 20)
        assert looked_up() == 1
        ask_all(connection, list(where) * 20)
        assert looked_up() == 3
        make_database(database, ROWS.replace("DE", "FR"))
        where["192.0.2.1"] = "europe"
        wait_until(lambda: connection.request(headers=[("X-Forwarded-For", "192.0.2.1")]).body.decode().strip() == "europe")
        ask_all(connection, list(where) * 20)
        assert looked_up() == 6


def test_within_a_list_the_policy_decides(mapped, origins):
    daemon = mapped(lb={"country_pools": {"DE": ["germany", "europe"]}, "steering": {"policy": "geo"}})
    assert ask(daemon, "192.0.2.1") == "germany"
    origins["germany"].kill()
    wait_until(lambda: ask(daemon, "192.0.2.1") == "europe")
    assert ask(daemon, "203.0.113.1") == "world"


def test_a_list_that_is_down_has_the_fallback_pool(mapped, origins):
    daemon = mapped(lb={"fallback_pool": "office"})
    origins["germany"].kill()
    wait_until(lambda: ask(daemon, "192.0.2.1") == "office")


def test_proximity(serve, origins, database):
    places = {"west": (37.4, -122.1), "east": (38.9, -77.0), "germany": (50.1, 8.7)}
    of_places = {name: {"latitude": a, "longitude": o} for name, (a, o) in places.items()}
    daemon = serve(settings={"trusted_proxies": ["127.0.0.0/8"], "geoip": {"database": database},
                             "pools": [p for p in pools(origins, **of_places) if p["name"] in places],
                             "load_balancers": [{"hostnames": ["*"], "default_pools": sorted(places), "steering": {"policy": "proximity"}}]})
    assert [ask(daemon, client) for client in ("192.0.2.1", "192.0.3.1", "198.51.100.1", "198.51.101.1")] == [
        "germany", "germany", "west", "east"]
    assert {ask(daemon, "127.0.0.9") for _ in range(60)} == set(places)


def test_proximity_to_where_tunnels_end(make_edge, origins, database):
    """A tunnel is where the edge is, which its location says, and its pool is where it is; explain tells which way each place is known."""
    pool = [{"name": "pool", "monitors": [], "endpoints": [{"name": "ams", "tunnel": "ams"}]}]
    east = pools({"east": origins["east"]}, east={"latitude": 38.9, "longitude": -77.0})
    edge = make_edge(edge={"location": "fra01"}, lb={"default_pools": ["east", "pool"], "steering": {"policy": "proximity"}}, pools=pool + east,
                     trusted_proxies=["127.0.0.0/8"], geoip={"database": database})
    edge.connect(url=origins["germany"].url)
    assert [ask(edge.daemon, client) for client in ("192.0.2.1", "192.0.3.1", "198.51.100.1")] == ["germany", "germany", "east"]
    step = next(s for s in edge.daemon.admin("GET", "/v1/explain?host=app.test&client=192.0.2.1").json()["steps"] if s["step"] == "pools")
    scores = {c["name"]: (c["place"], round(c["score"], -2)) for c in step["candidates"]}
    assert scores == {"east": ("where the configuration says", 6700), "pool": ("where the first of its endpoints is that has a place", 400)}
    told = edge.daemon.cli("explain", "--host", "app.test", "--client", "192.0.2.1")
    assert told.returncode == 0 and "it is where the configuration says" in told.stdout, told.stdout
    edge.daemon.write(edge={**edge.daemon.settings["edge"], "location": "sfo01"})
    assert edge.daemon.reload().returncode == 0
    assert [ask(edge.daemon, client) for client in ("192.0.2.1", "198.51.100.1", "198.51.101.1")] == ["east", "germany", "east"]


def test_endpoints_of_one_pool_by_where_their_tunnels_end(make_edge, origins, database):
    pool = [{"name": "pool", "monitors": [], "endpoint_steering": {"policy": "proximity"},
             "endpoints": [endpoint(origins["east"], latitude=38.9, longitude=-77.0), endpoint(origins["world"]),
                           {"name": "ams", "tunnel": "ams"}]}]
    edge = make_edge(edge={"latitude": 37.6, "longitude": -122.4}, pools=pool, trusted_proxies=["127.0.0.0/8"], geoip={"database": database})
    edge.connect(url=origins["west"].url)
    assert [ask(edge.daemon, client) for client in ("192.0.2.1", "198.51.101.1", "198.51.100.1")] == ["east", "east", "west"]
    step = next(s for s in edge.daemon.admin("GET", "/v1/explain?host=app.test&client=198.51.100.1").json()["steps"] if s["step"] == "endpoints")
    assert {c["name"]: c["place"] for c in step["candidates"]} == {
        "pool/east": "where the configuration says", "pool/world": "at a place that is not known", "pool/ams": "where our edge is"}


def test_a_new_database_is_used_when_it_is_there(mapped, database):
    daemon = mapped()
    assert ask(daemon, "192.0.3.1") == "europe"
    make_database(database, "192.0.3.0/24 DE - - -\n")
    wait_until(lambda: ask(daemon, "192.0.3.1") == "germany")
    assert ask(daemon, "198.51.100.1") == "world"


def test_a_reload_reads_it_anew(mapped, database):
    daemon = mapped()
    make_database(database, "192.0.3.0/24 DE - - -\n")
    assert daemon.cli("reload").returncode == 0
    assert ask(daemon, "192.0.3.1") == "germany"


def test_a_database_that_is_cut_short_changes_nothing(mapped, database):
    daemon = mapped()
    assert ask(daemon, "192.0.3.1") == "europe"
    os.truncate(database, 100)
    event = wait_until(lambda: [e for e in daemon.events() if e["type"] == "geoip.unavailable"])
    assert len(event) == 1 and "former" in event[0]["data"]["status"]
    assert ask(daemon, "192.0.3.1") == "europe" and ask(daemon, "198.51.100.1") == "west"
    make_database(database, "192.0.3.0/24 DE - - -\n")
    wait_until(lambda: ask(daemon, "192.0.3.1") == "germany")
    wait_until(lambda: [e for e in daemon.events() if e["type"] == "geoip.available"])


def test_without_a_database_the_default_pools(mapped, database):
    database.unlink()
    daemon = mapped()
    assert ask(daemon, "192.0.3.1") == "world" and ask(daemon, "192.0.2.200") == "office"
    assert len([e for e in daemon.events() if e["type"] == "geoip.unavailable"]) == 1
    make_database(database)
    wait_until(lambda: ask(daemon, "192.0.3.1") == "europe")


PLACES = [
    ({"countries": ["DE", "FR"]}, ["192.0.2.1", "192.0.3.1", "2001:db8::1"], ["198.51.100.1", "203.0.112.1", "127.0.0.9"]),
    ({"regions": ["WEU"]}, ["192.0.2.1", "192.0.3.1"], ["203.0.113.1", "198.51.100.1", "203.0.112.1"]),
    ({"regions": ["WNAM", "OC"]}, ["198.51.100.1", "203.0.113.1"], ["198.51.101.1", "192.0.2.1"]),
    ({"countries": ["US"], "regions": ["ENAM"]}, ["198.51.101.1"], ["198.51.100.1", "192.0.2.1"]),
    ({"countries": ["DE"], "clients": ["192.0.2.0/29", "192.0.3.0/24"]}, ["192.0.2.1"], ["192.0.2.9", "192.0.3.1"]),
    ({"countries": [], "regions": []}, ["192.0.2.1", "203.0.112.1"], []),
]


@pytest.mark.parametrize("match,hit,missed", PLACES)
def test_rules_by_place(mapped, match, hit, missed):
    daemon = mapped(lb={"rules": [{"match": match, "pools": ["office"]}]})
    assert [ask(daemon, client) for client in hit] == ["office"] * len(hit)
    assert "office" not in [ask(daemon, client) for client in missed]


def test_explain_says_by_which_place_a_rule_holds(mapped):
    daemon = mapped(lb={"rules": [{"name": "germans", "match": {"countries": ["DE"]}, "response": {"status": 403}}]})
    german, french = ([daemon.admin("GET", f"/v1/explain?host=app.test&client={client}").json()] for client in ("192.0.2.1", "192.0.3.1"))
    texts = [step["text"] for step in german[0]["steps"]]
    assert german[0]["rule"] == "germans" and any("in DE" in text and "WEU" in text for text in texts), texts
    assert french[0]["rule"] is None and french[0]["pool"] == "europe"


def test_explain_says_where_the_client_of_a_request_is_that_went_nowhere(mapped, origins):
    """Each request's own client, not that of one whose place in the memory it has."""
    daemon = mapped(pools=pools(origins, germany={"enabled": False}, europe={"enabled": False}), explain={"requests": 1}, workers=1)
    assert ask(daemon, "198.51.100.1") == "west"
    for name, client, said in (("one", "192.0.2.1", "it may go to the pools that `country_pools` has for DE"),
                               ("two", "192.0.3.1", "it may go to the pools that `region_pools` has for WEU")):
        assert daemon.get("/", headers=[("X-Forwarded-For", client), ("X-Request-Id", name)]).status == 503
        told = daemon.admin("GET", f"/v1/explain?request={name}").json()
        assert [step["text"] for step in told["steps"] if step["step"] == "list"] == [said]
        assert [step["step"] for step in told["steps"]].count("place") == 1


def test_a_rule_by_place_follows_the_database(mapped, database):
    daemon = mapped(lb={"rules": [{"match": {"countries": ["AU"]}, "pools": ["office"]}]})
    assert ask(daemon, "192.0.3.1") == "europe"
    make_database(database, "192.0.3.0/24 AU - - -\n")
    wait_until(lambda: ask(daemon, "192.0.3.1") == "office")


def check(folder, settings):
    (folder / "c.conf").write_text(configuration_text(settings))
    return cli("check", "-c", folder / "c.conf")


def test_check_tells_what_a_map_lacks(folder):
    settings = {"listeners": [{"address": ":8080"}], "pools": [{"name": "p", "endpoints": [{"address": "http://127.0.0.1:1"}]}],
                "load_balancers": [{"hostnames": ["a"], "default_pools": ["p"], "subdivision_pools": {"US-CA": ["p"]},
                                    "region_pools": {"WNAM": ["p"]}, "steering": {"policy": "proximity"}}]}
    told = check(folder, settings)
    assert told.returncode == 0 and "need `geoip`" in told.stdout + told.stderr and "proximity" in told.stdout + told.stderr
    countries = make_database(folder / "countries.mmdb", "192.0.2.0/24 DE - - -\n")
    told = check(folder, {**settings, "geoip": {"database": countries}})
    text = told.stdout + told.stderr
    assert told.returncode == 0 and "subdivision_pools" in text and "ENAM" in text and "proximity" in text
    told = check(folder, {**settings, "geoip": {"database": make_database(folder / "city.mmdb")}})
    assert told.returncode == 0 and "warning" not in told.stdout + told.stderr
    told = check(folder, {**settings, "geoip": {"database": folder / "missing.mmdb"}})
    assert told.returncode == 0 and "missing.mmdb" in told.stdout + told.stderr


def test_check_tells_what_a_rule_lacks(folder):
    settings = {"listeners": [{"address": ":8080"}], "pools": [{"name": "p", "endpoints": [{"address": "http://127.0.0.1:1"}]}],
                "load_balancers": [{"hostnames": ["a"], "default_pools": ["p"], "rules": [{"match": {"regions": ["WNAM"]}, "response": {"status": 403}}]}]}
    told = check(folder, settings)
    assert told.returncode == 0 and "need `geoip`: this rule never matches" in told.stdout + told.stderr
    countries = make_database(folder / "countries.mmdb", "192.0.2.0/24 DE - - -\n")
    told = check(folder, {**settings, "geoip": {"database": countries}})
    assert told.returncode == 0 and "all of the US and Canada counts as ENAM" in told.stdout + told.stderr
    places = make_database(folder / "places.mmdb", "192.0.2.0/24 - - 52.5 13.4\n")
    told = check(folder, {**settings, "geoip": {"database": places}})
    assert told.returncode == 0 and "`geoip` has none: this rule never matches" in told.stdout + told.stderr
    told = check(folder, {**settings, "geoip": {"database": make_database(folder / "city.mmdb")}})
    assert told.returncode == 0 and "warning" not in told.stdout + told.stderr


@pytest.mark.skipif(not NPM, reason="no databases of others: tests/run fetches them where npm is")
def test_databases_that_others_made(serve, origins):
    databases = sorted(Path(NPM).glob("**/*.mmdb"))
    assert databases
    for path in databases:
        daemon = serve(settings={"trusted_proxies": ["127.0.0.0/8"], "geoip": {"database": path}, "pools": pools(origins),
                                 "load_balancers": [{"hostnames": ["*"], "default_pools": ["world"], "country_pools": {"US": ["west"], "DE": ["germany"]},
                                                     "rules": [{"match": {"path_prefixes": ["/rule"], "countries": ["US"], "regions": ["WNAM", "ENAM"]}, "pools": ["east"]}]}]})
        clients = {"v4": ("8.8.8.8", "193.99.144.80"), "v6": ("2001:4860:4860::8888", "2a02:2e0:3fe:1001:302::")}
        for family, (american, german) in clients.items():
            known = f"ip{family}" in path.name or "ipv" not in path.name
            assert (ask(daemon, american), ask(daemon, german)) == (("west", "germany") if known else ("world", "world")), path
            assert (ask(daemon, american, "/rule"), ask(daemon, german, "/rule")) == (("east", "germany") if known else ("world", "world")), path
