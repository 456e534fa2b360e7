"""Policies in shared objects: built from the installed package as its users would, used, swapped, and refused with what is wrong."""

import fcntl
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from client import Load, request_bytes, wait_until
from daemon import PENSTOCK, cli, endpoint
from origin import Gate, answer

BUILD = Path(PENSTOCK).resolve().parent


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """What `make install` puts on the disk; one process of tests at a time, as make may find something to build."""
    if not (BUILD / "Makefile").exists() or not shutil.which("cc"):
        pytest.skip("not built by make, or no compiler")
    root = tmp_path_factory.mktemp("package")
    with open(BUILD / "Makefile") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", BUILD, "install", f"DESTDIR={root}"], check=True, capture_output=True, timeout=200)
    return root


def installed(package, name):
    found, = package.rglob(name)
    return found


@pytest.fixture
def compile_module(package, folder):
    """The line in the example's first comment, with the place of the installed header. What stands at `out` is replaced in place."""
    example = installed(package, "steering/spill_over.c").read_text()
    line = re.search(r"^ \* +(cc .*)$", example, re.M)[1]
    assert "-shared" in line and "-fPIC" in line

    def build(out="spill_over.so", source=example, replaced=None):
        for before, after in (replaced or {}).items():
            assert before in source
            source = source.replace(before, after)
        (folder / "spill_over.c").write_text(source)
        include = f"-I{installed(package, 'penstock/policy.h').parent.parent}"
        subprocess.run([*shlex.split(line), *([] if replaced else ["-Werror"]), include], cwd=folder, check=True, capture_output=True, timeout=60)
        if out != "spill_over.so":
            (folder / out).write_bytes((folder / "spill_over.so").read_bytes())
        return folder / out
    return build


def use(module, **options):
    return {"policy": "spill_over", "module": module, **options}


def bodies(daemon, count=20):
    with daemon.connect() as connection:
        return {connection.request().body.decode().strip() for _ in range(count)}


def test_installed_header_stands_alone(package):
    header = installed(package, "penstock/policy.h")
    subprocess.run(["cc", "-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", header], check=True, timeout=60)


@pytest.mark.parametrize("level", ["endpoints", "pools"])
def test_example_steers(serve, make_origin, compile_module, level):
    origins = [make_origin(name) for name in ("a", "b", "c")]
    steering = use(compile_module(), most=2)
    if level == "endpoints":
        daemon = serve(*origins, pool={"endpoint_steering": steering})
    else:
        pools = [{"name": o.name, "monitors": [], "endpoints": [endpoint(o)]} for o in origins]
        daemon = serve(settings={"pools": pools, "load_balancers": [{"hostnames": ["*"], "default_pools": ["a", "b", "c"], "steering": steering}]})
    assert bodies(daemon) == {"a"}
    gate = Gate()
    for origin in origins:
        origin.script("/wait", gate, answer(200, b""))
    busy = []
    for n, expected in enumerate(["a", "a", "b", "b", "c"], 1):
        busy.append(daemon.connect().send(request_bytes("GET", "/wait")))
        wait_until(lambda: gate.waiting == n)
        assert sum(len(o.seen("/wait")) for o in origins if o.name == expected) == 1 + ["a", "a", "b", "b", "c"][:n - 1].count(expected)
    assert bodies(daemon) == {"c"}
    gate.open()
    for connection in busy:
        assert connection.read_response().status == 200
    wait_until(lambda: bodies(daemon) == {"a"})
    assert "spill_over" in daemon.admin("GET", "/v1/status").body.decode()


LAST = {"size_t i = 0; i < w->n; i++": "size_t i = w->n; i-- > 0;"}


def test_reload_loads_what_now_stands_at_the_path(serve, make_origin, compile_module):
    """The former content stays loaded, whole, for the requests that began with it: written over in place, moved, or deleted."""
    origins = [make_origin(name) for name in ("a", "b", "c")]
    module = compile_module("mine.so")
    daemon = serve(*origins, pool={"endpoint_steering": use(module, most=5)})
    assert bodies(daemon) == {"a"}
    with Load(daemon.connect, rate=100) as load:
        load.wait_for_more(10)
        for n in range(6):
            compile_module("mine.so", replaced=None if n % 2 else LAST)
            assert bodies(daemon) == {"a" if n % 2 == 0 else "c"}, "not before it is asked for"
            assert daemon.reload().returncode == 0
            assert bodies(daemon) == {"a" if n % 2 else "c"}
        load.wait_for_more(10)
    assert not load.failures, load.failures[:3]
    module.unlink()
    assert bodies(daemon) == {"a"}
    result = daemon.reload()
    assert result.returncode == 1 and "mine.so" in result.stdout + result.stderr
    assert bodies(daemon) == {"a"}
    daemon.write(pools=[{"name": "pool", "monitors": [], "endpoint_steering": {"policy": "off"}, "endpoints": [endpoint(origins[1])]}])
    assert daemon.reload().returncode == 0
    assert bodies(daemon) == {"b"}
    wait_until(lambda: "mine.so" not in Path(f"/proc/{daemon.pid}/maps").read_text(), what="the module is unloaded")


def test_request_under_way_keeps_its_module(serve, make_origin, compile_module):
    one, two = make_origin("one"), make_origin("two")
    daemon = serve(one, pool={"endpoint_steering": use(compile_module("mine.so"), most=5)})
    gate = Gate()
    one.script("/wait", gate, answer(200, b"late"))
    with daemon.connect() as connection:
        connection.send(request_bytes("GET", "/wait"))
        wait_until(lambda: gate.waiting)
        daemon.write(pools=[{"name": "pool", "monitors": [], "endpoints": [endpoint(two)]}])
        assert daemon.reload().returncode == 0
        assert bodies(daemon) == {"two"}
        assert "mine.so" in Path(f"/proc/{daemon.pid}/maps").read_text()
        gate.open()
        assert connection.read_response().body == b"late"
        assert connection.request().body == b"two\n"
    wait_until(lambda: "mine.so" not in Path(f"/proc/{daemon.pid}/maps").read_text(), what="the module is unloaded")


CONFIGURATION = """listeners = ( {{ address = "127.0.0.1:8080"; }} );
pools = ( {{ name = "p"; monitors = ();
  endpoint_steering = {{ {0} }};
  endpoints = ( {{ address = "http://127.0.0.1:1"; }} ); }} );
load_balancers = ( {{ hostnames = [ "*" ]; default_pools = [ "p" ]; }} );
"""


@pytest.fixture
def check(folder):
    def run(steering):
        (folder / "c.conf").write_text(CONFIGURATION.format(steering))
        result = cli("check", "-c", folder / "c.conf")
        return result.returncode, result.stdout + result.stderr
    return run


GOOD = 'policy = "spill_over"; module = "spill_over.so"; '


@pytest.mark.parametrize("steering, told", [
    (GOOD, "needs `most`"),
    (GOOD + "most = 0;", "`most`: must be a number of requests"),
    (GOOD + 'most = "3s";', "`most`: must be a number of requests"),
    (GOOD + "most = 3; least = 1;", "has the option `most` only"),
    (GOOD + "most = [ 3 ];", "`most` must be a number, true or false, or a string"),
    (GOOD + 'most = 3; key = "moon";', "`key` must be \"client_ip\""),
    ('policy = "other"; module = "spill_over.so"; most = 3;', 'is "spill_over", not "other"'),
    ('policy = "random"; module = "spill_over.so";', "is built in"),
    ('policy = "a b"; module = "spill_over.so";', "`policy` must be a name"),
    ('policy = "spill_over"; module = 5;', "`module` must be a path"),
    ('policy = "spill_over"; module = "nowhere.so";', "nowhere.so: No such file"),
    ('policy = "spill_over"; module = "spill_over.c";', "spill_over.c: invalid ELF header"),
    ('module = "spill_over.so";', "needs `policy`"),
])
def test_refused_by_check(check, compile_module, steering, told):
    compile_module()
    status, text = check(steering)
    assert status == 1 and re.search(r"c\.conf:3: .*" + re.escape(told), text), text
    assert "/proc/" not in text


@pytest.mark.parametrize("replaced, told", [
    ({".abi = STEERING_ABI": ".abi = STEERING_ABI + 1"}, r"built for version \d+ of the steering interface, and this penstock has version \d+"),
    ({"    .update = update,\n": ""}, "lacks `update`"),
    ({"    .choose = choose,\n": ""}, "lacks `choose`"),
    ({'    .name = "spill_over",\n': ""}, "lacks `name`"),
    ({"struct steering_policy penstock_steering_policy": "struct steering_policy other"}, "has no symbol `penstock_steering_policy`"),
    ({"const struct steering_policy penstock_steering_policy": "void penstock_steering_policy(void);\nvoid penstock_steering_policy(void) {}\nconst struct steering_policy other"},
     "is no struct steering_policy"),
    ({"const struct steering_policy penstock_steering_policy": "const char penstock_steering_policy[8];\nconst struct steering_policy other"}, "is no struct steering_policy"),
    ({"    w->n = n;": "    w->n = n;\n    extern size_t nobody_has_this(void);\n    nobody_has_this();"}, "undefined symbol: nobody_has_this"),
], ids=["abi", "no update", "no choose", "no name", "no symbol", "a function", "too short", "unresolved"])
def test_odd_modules_are_refused(check, compile_module, replaced, told):
    compile_module(replaced=replaced)
    status, text = check(GOOD + "most = 3;")
    assert status == 1 and re.search(r"c\.conf:3: .*spill_over\.so: .*" + told, text), text
    assert "/proc/" not in text


OPTIONS = r'''
#include <penstock/policy.h>
#include <stdio.h>
#include <stdlib.h>
static bool configure(const struct steering_options *options, struct steering_error *error, void **config)
{
    int n = 0;
    for (size_t i = 0; i < options->n; i++) {
        const struct steering_option *o = &options->items[i];
        n += snprintf(error->message + n, sizeof error->message - (size_t)n, "%s/%d/%g/%d/%s ", o->name, (int)o->type, o->number, o->flag, o->text ? o->text : "-");
    }
    *config = NULL;
    return false;
}
static void *worker_new(void *config) { (void)config; return malloc(1); }
static bool update(void *w, const struct steering_candidate *c, size_t n) { (void)w; (void)c; return n > 0; }
static size_t choose(const void *w, const struct steering_request *r, const struct steering_view *v, double *s)
{
    (void)w; (void)r; (void)v; (void)s;
    return STEERING_NONE;
}
const struct steering_policy penstock_steering_policy = { .name = "spill_over", .abi = STEERING_ABI, .configure = configure,
    .worker_new = worker_new, .update = update, .choose = choose, .worker_free = free };
'''


def test_options_are_passed_as_they_stand(check, compile_module):
    """Number, flag, text, duration and key, in this order in the header."""
    compile_module(source=OPTIONS)
    status, text = check(GOOD + 'a = 3; b = 2.5; c = true; d = "word"; e = "15s"; key = "header:X-Tenant";')
    assert status == 1 and "a/0/3/0/- b/0/2.5/0/- c/1/0/1/- d/2/0/0/word e/3/15/0/15s key/4/0/0/header:X-Tenant" in text


def test_check_accepts_a_good_one(check, compile_module):
    compile_module()
    assert check(GOOD + "most = 3;")[0] == 0
