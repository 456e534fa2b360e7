"""`penstock check`: every error with file and line, not just the first."""

import base64
import json
import os
import re

import pytest
from daemon import cli

HEAD = 'listeners = ( { address = ":8080"; } );\n'
POOL = 'pools = ( { name = "p"; endpoints = ( { address = "http://127.0.0.1:80"; } ); } );\n'
LB = 'load_balancers = ( { hostnames = [ "*" ]; default_pools = [ "p" ]; } );\n'
GOOD = HEAD + POOL + LB


def check(folder, text, *more, **how):
    path = folder / "test.conf"
    path.write_text(text)
    result = cli("check", "-c", path, *more, **how)
    return result, result.stdout + result.stderr


def test_good_configuration(folder):
    result, said = check(folder, GOOD)
    assert result.returncode == 0, said


# (what is wrong, text, line, words that the message has)
WRONG = [
    ("unknown key with suggestion", GOOD + "listners = 1;\n", 4, ["listners", "listeners"]),
    ("unknown key in a group", HEAD + POOL.replace("endpoints", "wieght = 1; endpoints") + LB, 2, ["wieght"]),
    ("dangling pool", HEAD + POOL + LB.replace('"p"', '"q"'), 3, ['q']),
    ("dangling monitor", HEAD + POOL.replace("endpoints", 'monitors = [ "none" ]; endpoints') + LB, 2, ["none"]),
    ("duration without unit", GOOD + 'timeouts = { connect = "3"; };\n', 4, ["connect"]),
    ("duration as a number", GOOD + "timeouts = { connect = 3; };\n", 4, ["connect"]),
    ("unknown policy", HEAD + POOL + LB.replace("default", 'steering = { policy = "luck"; }; default'), 3, ["luck"]),
    ("address without scheme", HEAD + POOL.replace("http://127.0.0.1:80", "ftp://127.0.0.1") + LB, 2, ["ftp"]),
    ("tunnel that is no UUID", HEAD + POOL.replace('address = "http://127.0.0.1:80"',
                                                   'tunnel = "c1744f8b-zzzz"; hostname = "a.example.com"') + LB,
     2, ["c1744f8b-zzzz"]),
    ("name with a space", HEAD + POOL.replace('"p"', '"p q"') + LB.replace('"p"', '"p q"'), 2, ["p q"]),
    ("listener address", GOOD.replace('":8080"', '"nowhere"'), 1, ["nowhere"]),
    ("negative weight", HEAD + POOL.replace('address', 'weight = -1.0; address') + LB, 2, ["weight"]),
    ("missing certificate", GOOD.replace('":8080";',
                                         '":8443"; tls = { certificates = ( { cert = "no.pem"; key = "no.key"; } ); };'),
     1, ["no.pem"]),
    ("missing secret file", GOOD + 'alerts = ( { name = "a"; type = "webhook"; url = "http://127.0.0.1/"; secret_file = "no.secret"; } );\n', 4,
     ["no.secret"]),
    ("unknown channel type", GOOD + 'alerts = ( { name = "a"; type = "pigeon"; url = "http://127.0.0.1/"; } );\n', 4, ["pigeon"]),
    ("listener without address", GOOD.replace('address = ":8080";', ""), 1, ["address"]),
    ("pool without endpoints", HEAD + 'pools = ( { name = "p"; } );\n' + LB, 2, ["endpoints"]),
    ("load balancer without hostnames", HEAD + POOL + LB.replace('hostnames = [ "*" ];', ""), 3, ["hostnames"]),
    ("expected_codes", GOOD + 'monitors = ( { name = "m"; type = "http"; expected_codes = "2000"; } );\n', 4, ["expected_codes"]),
]


@pytest.mark.parametrize("text,line,words", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_error_has_file_line_and_words(folder, text, line, words):
    result, said = check(folder, text)
    assert result.returncode == 1, said
    messages = [m for m in said.splitlines() if f"test.conf:{line}: " in m and "warning" not in m]
    assert messages, said
    assert any(all(word in message for word in words) for message in messages), said


def test_duplicate_names(folder):
    result, said = check(folder, HEAD + 'pools = (\n{ name = "p"; endpoints = ( { address = "http://127.0.0.1:80"; } ); },\n'
                         '{ name = "p"; endpoints = ( { address = "http://127.0.0.1:81"; } ); } );\n' + LB)
    assert result.returncode == 1
    assert re.search(r'test\.conf:[34]: .*p', said), said


def test_every_error_is_told_in_order(folder):
    result, said = check(folder, 'nonsense = 1;\n' + HEAD + POOL.replace("http:", "ftp:") + LB.replace('"p"', '"q"')
                         + "more = 2;\n")
    assert result.returncode == 1
    lines = [int(n) for n in re.findall(r"test\.conf:(\d+): ", said)]
    assert {1, 3, 4, 5} <= set(lines), said
    assert lines == sorted(lines), said


@pytest.mark.parametrize("text,line,words", [
    (GOOD + "timeouts = { connect = 3s; };\n", 4, ["quot"]),
    (HEAD + 'pools = [ { name = "p"; } ];\n' + LB, 2, ["("]),
    (HEAD.replace(");", ""), 1, []),
], ids=["bare 10s", "brackets for a list of groups", "unfinished"])
def test_syntax_error_names_the_usual_causes(folder, text, line, words):
    result, said = check(folder, text)
    assert result.returncode == 1
    assert re.search(rf"test\.conf:{line}: |test\.conf:{line + 1}: ", said), said
    assert all(word in said for word in words), said


def test_warnings_leave_the_status_at_zero(folder):
    result, said = check(folder, HEAD + POOL.replace('address = "http://127.0.0.1:80"',
                                                     'tunnel = "c1744f8b-faa1-48a4-9e5c-02ac921467fa"') + LB)
    assert result.returncode == 0, said
    assert "test.conf:2: warning: " in said
    assert "hostname" in said or "connect_to" in said


AMS = "c1744f8b-faa1-48a4-9e5c-02ac921467fa"
EDGE = 'edge = { addresses = [ "127.0.0.1:7844" ]; tunnels = ( { id = "%s"; name = "fra"; secret = "%s"; } ); };\n' % (
    "7d1f2c0a-3b1e-4c55-9d6e-0a1b2c3d4e5f", base64.b64encode(b"S" * 32).decode())
TUNNELS = ('pools = ( { name = "p"; endpoints = (\n{ tunnel = "fra"; },\n{ tunnel = "ams"; },\n{ tunnel = "lon"; },\n'
           '{ name = "by-id"; tunnel = "%s"; },\n{ tunnels = "app-*"; } ); } );\n' % AMS)


@pytest.fixture
def state(folder):
    """A state directory with the tunnel "ams", made at run time."""
    kept = folder / "state/tunnels"
    kept.mkdir(parents=True)
    (kept / f"{AMS}.json").write_text(json.dumps({"AccountTag": "0" * 32, "TunnelSecret": base64.b64encode(b"T" * 32).decode(), "TunnelID": AMS,
                                                  "penstock": {"name": "ams", "created": 0}}))
    (kept / f"{AMS}.json").chmod(0o600)
    return folder / "state"


def unknown_tunnels(said):
    return re.findall(r"test\.conf:(\d+): warning: there is no tunnel \"(.*?)\"", said)


def test_tunnels_that_do_not_exist_are_warned_of(folder, state):
    """Neither in the file nor in the state directory."""
    result, said = check(folder, f'state_dir = "{state}";\n' + EDGE + HEAD + TUNNELS + LB)
    assert result.returncode == 0, said
    assert unknown_tunnels(said) == [("7", "lon")], said


def test_the_state_directory_is_the_one_that_the_daemon_would_use(folder, state):
    """The option wins over the environment, and that over the file."""
    text = f'state_dir = "{folder}/elsewhere";\n' + EDGE + HEAD + TUNNELS + LB
    missing = [("6", "ams"), ("7", "lon"), ("8", AMS)]
    assert unknown_tunnels(check(folder, text)[1]) == missing
    assert unknown_tunnels(check(folder, text, env={"STATE_DIRECTORY": str(state)})[1]) == [("7", "lon")]
    by_option = check(folder, text, "--state-dir", state, env={"STATE_DIRECTORY": str(folder)})
    assert by_option[0].returncode == 0 and unknown_tunnels(by_option[1]) == [("7", "lon")]


def test_a_named_state_directory_that_cannot_be_read_is_told(folder, state):
    (state / "tunnels" / f"{AMS}.json").write_text("{")
    text = EDGE + HEAD + TUNNELS + LB
    assert unknown_tunnels(check(folder, text, "--state-dir", state)[1]) == []
    assert "not known" in check(folder, text, "--state-dir", state)[1]


def test_included_files_are_read_and_named_in_errors(folder):
    (folder / "conf.d").mkdir()
    (folder / "conf.d/a.conf").write_text(POOL)
    text = HEAD + LB + 'include = [ "conf.d/*.conf" ];\n'
    assert check(folder, text)[0].returncode == 0
    (folder / "conf.d/b.conf").write_text("\n\nnonsense = 1;\n")
    result, said = check(folder, text)
    assert result.returncode == 1
    assert "b.conf:3: " in said, said


def test_relative_paths_start_at_the_file(folder, authority):
    cert, key = authority.issue("check.example.com")
    for name, source in (("app.pem", cert), ("app.key", key)):
        (folder / name).write_bytes(open(source, "rb").read())
    text = GOOD.replace('":8080";', '":8443"; tls = { certificates = ( { cert = "app.pem"; key = "app.key"; } ); };')
    result, said = check(folder, text)
    assert result.returncode == 0, said


def test_key_of_another_certificate_is_an_error(folder, authority):
    cert, _ = authority.issue("one.example.com")
    _, key = authority.issue("two.example.com")
    text = GOOD.replace('":8080";', f'":8443"; tls = {{ certificates = ( {{ cert = "{cert}"; key = "{key}"; }} ); }};')
    result, said = check(folder, text)
    assert result.returncode == 1
    assert "test.conf:1: " in said


def test_secrets_are_never_printed(folder):
    (folder / "secret").write_text("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\n")
    _, said = check(folder, GOOD + 'alerts = ( { name = "a"; type = "webhook"; url = "nonsense"; secret_file = "secret"; } );\n')
    assert "c2VjcmV0" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads everything only as root")
def test_file_that_the_user_cannot_read_is_an_error(folder):
    folder.chmod(0o755)
    (folder / "secret").write_text("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\n")
    (folder / "secret").chmod(0o600)
    text = GOOD + 'alerts = ( { name = "a"; type = "webhook"; url = "http://127.0.0.1/"; secret_file = "secret"; } );\n'
    assert check(folder, text)[0].returncode == 0
    result, said = check(folder, text + 'user = "nobody";\n')
    assert result.returncode == 1 and "secret" in said and "nobody" in said
    assert check(folder, text + 'user = "no-such-user";\n')[0].returncode == 1


def test_wrong_usage(folder):
    assert cli("check").returncode == 2
    assert cli("check", "-c").returncode == 2
    assert cli("check", "--nonsense").returncode == 2


def test_the_program_agrees_with_itself(folder):
    """`serve --check-first` refuses what `check` refuses, in the same words."""
    result, said = check(folder, "nonsense = 1;\n" + GOOD)
    assert result.returncode == 1
    served = cli("serve", "--check-first", "-c", folder / "test.conf", "--state-dir", folder)
    assert served.returncode == 1
    assert "test.conf:1: " in served.stdout + served.stderr
