"""How an endpoint is reached: what is dialled, which name TLS is asked for and verified against, which Host arrives."""

import pytest
from client import wait_until
from daemon import IN_ORDER, IN_TURN, cli, wait_for_state
from edge import Tunnel
from origin import answer, tls_context

UUID = "c1744f8b-faa1-48a4-9e5c-02ac921467fa"


@pytest.fixture
def through_edge(serve, make_origin, public_edge, authority):
    """A daemon before one tunnel at ams.example.com; further settings of the endpoint as given."""
    def start(**more):
        origin = make_origin("ams")
        tunnel = public_edge.add(Tunnel("ams", [("ams.example.com", origin.address)]), "ams.example.com")
        group = {"name": "ams", "tunnel": tunnel.id, "hostname": "ams.example.com", "connect_to": public_edge.address,
                 "tls": {"ca_file": authority.ca}, **more}
        return serve(group), origin
    return start


def test_hostname_through_the_edge(through_edge):
    daemon, origin = through_edge()
    seen = daemon.get("/echo").json()
    fields = {name.lower(): value for name, value in seen["fields"]}
    assert fields["host"] == "ams.example.com"
    assert fields["x-forwarded-host"] == "app.test"
    assert fields["cf-ray"] and fields["cdn-loop"], "it came through the edge"


def test_nothing_the_edge_forbids_is_sent(through_edge, public_edge):
    """CF-* of a client are stripped; one X-Forwarded-For, short enough. CDN-Loop goes on: a loop has to show (RFC 8586)."""
    daemon, _ = through_edge(**{})
    headers = [("CF-Connecting-IP", "10.9.8.7"), ("CF-RAY", "abc-AMS"), ("CF-IPCountry", "NL"), ("CF-Visitor", "{}"),
               ("CF-EW-Via", "15"),
               ("CDN-Loop", "cloudflare"), ("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-For", ", ".join(["192.0.2.255"] * 20))]
    response = daemon.request("GET", "/echo", headers)
    assert response.status == 200, (response, public_edge.refused)
    assert dict(response.json()["fields"])["CDN-Loop"] == "cloudflare, cloudflare"


def test_long_forwarded_for_of_trusted_proxies_is_shortened(serve, make_origin, public_edge, authority):
    origin = make_origin("ams")
    tunnel = public_edge.add(Tunnel("ams", [("*", origin.address)]), "ams.example.com")
    daemon = serve({"name": "ams", "tunnel": tunnel.id, "hostname": "ams.example.com", "connect_to": public_edge.address,
                    "tls": {"ca_file": authority.ca}}, trusted_proxies=["127.0.0.0/8"])
    response = daemon.request("GET", "/echo", [("X-Forwarded-For", ", ".join(f"203.0.113.{n}" for n in range(100, 120)))])
    assert response.status == 200, public_edge.refused
    fields = {name.lower(): value for name, value in response.json()["fields"]}
    assert fields["x-real-ip"] == "203.0.113.119", "the client's address is kept"


LOCATIONS = [
    ("https://ams.example.com/login?x=1", "http://app.test/login?x=1"),
    ("http://ams.example.com/login", "http://app.test/login"),
    ("//ams.example.com/login", "//app.test/login"),
    ("/login", "/login"),
    ("https://other.example.com/login", "https://other.example.com/login"),
    ("https://ams.example.com.evil.test/", "https://ams.example.com.evil.test/"),
    ("https://other.test/?next=https://ams.example.com/", "https://other.test/?next=https://ams.example.com/"),
]


@pytest.mark.parametrize("sent,expected", LOCATIONS)
def test_location_is_rewritten(through_edge, sent, expected):
    daemon, origin = through_edge()
    origin.script("/x", answer(302, b"", [("Location", sent)]))
    got = daemon.get("/x").get("Location")
    assert got == expected or got.replace("https:", "http:") == expected.replace("https:", "http:") and "app.test" in expected


COOKIES = [
    ("a=1; Domain=ams.example.com; Path=/", "a=1; Domain=app.test; Path=/"),
    ("a=1; domain=.ams.example.com", "a=1; domain=app.test"),
    ("a=1; Path=/; Secure", "a=1; Path=/; Secure"),
    ("a=1; Domain=example.com", "a=1; Domain=example.com"),
    ("a=ams.example.com; Path=/", "a=ams.example.com; Path=/"),
]


@pytest.mark.parametrize("sent,expected", COOKIES)
def test_cookie_domain_is_rewritten(through_edge, sent, expected):
    daemon, origin = through_edge()
    origin.script("/x", answer(200, b"", [("Set-Cookie", sent), ("Set-Cookie", "b=2")]))
    cookies = daemon.get("/x").all("Set-Cookie")
    assert [c.lower().replace("domain=.", "domain=") for c in cookies] == [expected.lower(), "b=2"]


def test_rewriting_can_be_turned_off(through_edge):
    daemon, origin = through_edge(rewrite_host=False)
    origin.script("/x", answer(302, b"", [("Location", "https://ams.example.com/a"),
                                          ("Set-Cookie", "a=1; Domain=ams.example.com")]))
    response = daemon.get("/x")
    assert response.get("Location") == "https://ams.example.com/a"
    assert response.get("Set-Cookie") == "a=1; Domain=ams.example.com"


def test_plain_address_gets_the_request_s_host(serve, origin):
    daemon = serve(origin)
    seen = daemon.get("/echo", host="app.test:8080").json()
    assert dict(seen["fields"])["Host"] == "app.test:8080"


def test_host_header_override(serve, origin):
    daemon = serve({"name": "origin", "address": origin.url, "host_header": "inside.test"})
    fields = {n.lower(): v for n, v in daemon.get("/echo").json()["fields"]}
    assert fields["host"] == "inside.test" and fields["x-forwarded-host"] == "app.test"


def test_https_address_is_verified_by_its_own_name(serve, make_origin, authority):
    origin = make_origin(tls=tls_context(*authority.issue("127.0.0.1")))
    daemon = serve({"name": "o", "address": origin.url, "tls": {"ca_file": authority.ca}})
    seen = daemon.get("/echo").json()
    assert dict(seen["fields"])["Host"] == "app.test"
    assert seen["sni"] is None, "an address is no server name"


def refused_for(daemon, word):
    response = daemon.get()
    assert response.status == 502
    line = wait_until(lambda: daemon.access_log()[-1])
    assert line["reason"] == "tls_failed"
    assert daemon.endpoint("pool/o")["state"] in ("healthy", "unknown", "down", "ejected")
    assert word


@pytest.mark.parametrize("why", ["unknown authority", "wrong name", "expired"])
def test_bad_certificates_are_refused(serve, make_origin, authority, why):
    made = {"unknown authority": ("127.0.0.1",), "wrong name": ("other.example.com",), "expired": ("127.0.0.1",)}[why]
    cert, key = authority.issue(*made, days=-1 if why == "expired" else 30, file=why.replace(" ", "-"))
    origin = make_origin(tls=tls_context(cert, key))
    group = {"name": "o", "address": origin.url}
    if why != "unknown authority":
        group["tls"] = {"ca_file": authority.ca}
    daemon = serve(group)
    refused_for(daemon, why)
    assert not origin.requests


def test_verification_can_be_turned_off(serve, make_origin, authority):
    origin = make_origin(tls=tls_context(*authority.issue("other.example.com")))
    daemon = serve({"name": "o", "address": origin.url, "tls": {"verify": False}})
    assert daemon.get().status == 200


def test_sni_override(serve, make_origin, authority):
    origin = make_origin(tls=tls_context(*authority.issue("inside.example.com")))
    daemon = serve({"name": "o", "address": origin.url, "sni": "inside.example.com", "tls": {"ca_file": authority.ca}})
    assert daemon.get("/echo").json()["sni"] == "inside.example.com"


def test_client_certificate(serve, make_origin, authority):
    cert, key = authority.issue("penstock-client")
    origin = make_origin(tls=tls_context(*authority.issue("127.0.0.1"), client_ca=authority.ca))
    daemon = serve({"name": "o", "address": origin.url, "tls": {"ca_file": authority.ca, "client_cert": cert, "client_key": key}})
    assert daemon.get("/echo").json()["client_cn"] == "penstock-client"


def test_client_certificate_that_is_missing_is_a_failure(serve, make_origin, authority):
    origin = make_origin(tls=tls_context(*authority.issue("127.0.0.1"), client_ca=authority.ca))
    daemon = serve({"name": "o", "address": origin.url, "tls": {"ca_file": authority.ca}})
    assert daemon.get().status == 502
    assert not origin.requests


def test_added_headers(serve, origin, folder, monkeypatch):
    (folder / "token").write_text("from-a-file\n")
    monkeypatch.setenv("SERVICE_SECRET", "from-the-environment")
    daemon = serve({"name": "origin", "address": origin.url,
                    "headers": {"X-Literal": "as it is", "CF-Access-Client-Id_file": str(folder / "token"),
                                                                         "X-Secret_env": "SERVICE_SECRET"}})
    fields = {n.lower(): v for n, v in daemon.request("GET", "/echo", [("X-Literal", "forged")]).json()["fields"]}
    assert fields["x-literal"] == "as it is"
    assert fields["cf-access-client-id"] == "from-a-file"
    assert fields["x-secret"] == "from-the-environment"
    assert "from-a-file" not in daemon.log and "from-the-environment" not in daemon.log
    assert "from-a-file" not in daemon.admin("GET", "/v1/status").body.decode()


def test_unix_socket(serve, make_origin, folder):
    origin = make_origin(unix=str(folder / "o.sock"))
    daemon = serve({"name": "o", "address": origin.address})
    assert daemon.get().body == b"origin\n"
    origin.refuse()
    origin.drop()
    assert daemon.get().status == 502


def test_ipv6_address(serve, make_origin):
    origin = make_origin(host="::1")
    daemon = serve({"name": "o", "address": f"http://[::1]:{origin.port}"})
    assert daemon.get().body == b"origin\n"


def test_names_are_resolved(serve, origin, names):
    names.names["app.test"] = ["127.0.0.1"]
    daemon = serve({"name": "o", "address": f"http://app.test:{origin.port}"}, resolver={"servers": names.address})
    wait_until(lambda: daemon.get().status == 200)


@pytest.mark.parametrize("record", ["NXDOMAIN", "SERVFAIL", "silence"])
def test_name_without_an_answer(serve, origin, names, record):
    names.names["app.test"] = record
    daemon = serve({"name": "o", "address": f"http://app.test:{origin.port}"}, origin, resolver={"servers": names.address},
                   pool=IN_ORDER)
    assert daemon.get().body == b"origin\n", "the other one answers"
    if record != "silence":
        row = wait_for_state(daemon, "pool/o", "down")
        assert "app.test" in row["reason"] or "name" in row["reason"]


@pytest.mark.parametrize("group", [{"tunnel": UUID}, {"address": f"{UUID}.cfargotunnel.com"}], ids=["tunnel", "address"])
def test_bare_tunnel_name_says_the_cure(serve, origin, names, group):
    """It resolves to a unique-local address that leads nowhere outside Cloudflare."""
    names.names[f"{UUID}.cfargotunnel.com"] = ["fd10:aec2:5dae::"]
    daemon = serve({"name": "bare", **group}, origin, resolver={"servers": names.address}, pool=IN_ORDER)
    assert daemon.get().body == b"origin\n"
    row = wait_for_state(daemon, "pool/bare", "down")
    assert "hostname" in row["reason"] and "connect_to" in row["reason"]
    said = cli("check", "-c", daemon.config_path)
    assert said.returncode == 0 and "warning" in said.stdout + said.stderr


def test_connections_are_not_shared_between_kinds(serve, make_origin):
    """Two endpoints at one address with different added headers stay apart."""
    origin = make_origin("o")
    daemon = serve({"name": "one", "address": origin.url, "headers": {"X-Who": "one"}},
                   {"name": "two", "address": origin.url, "headers": {"X-Who": "two"}},
                   pool=IN_TURN, workers=1)
    for _ in range(10):
        daemon.get()
    assert {request.get("X-Who") for request in origin.requests} == {"one", "two"}
