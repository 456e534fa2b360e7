"""Checks of the tree itself: what the documents say exists, what may include what, what every source needs. Run by tests/run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
PENSTOCK = os.environ.get("PENSTOCK", str(TOP / "build/penstock"))
FOLDERS = ["src/base", "src/net", "src/http", "src/balance", "src/proxy", "src/edge", "src/control", "src/cli", "conf", "steering", "monitors", "alerts"]

# Whom a folder may include besides itself.
BELOW = {"base": set(), "net": {"base"}, "http": {"net", "base"}, "steering": {"base"}}
BELOW["balance"] = {"steering", "http"} | BELOW["http"]
for plug_in in ("monitors", "alerts", "proxy", "edge"):
    BELOW[plug_in] = {"balance"} | BELOW["balance"]
BELOW["conf"] = {"monitors", "alerts", "balance"} | BELOW["balance"]  # the types a file can name
BELOW["control"] = {"monitors", "alerts", "conf", "proxy", "edge"} | BELOW["conf"]
BELOW["cli"] = {"control"} | BELOW["control"]


def sources(*suffixes):
    for folder in FOLDERS:
        for path in sorted((TOP / folder).iterdir()):
            if path.suffix in suffixes:
                yield path


def map_comment():
    return re.search(r"/\*.*?\*/", (TOP / "src/main.c").read_text(), re.S)[0]


def penstock(*arguments):
    return subprocess.run([PENSTOCK, *arguments], capture_output=True, text=True, timeout=20)


def named_files(text):
    """Paths in a text: with a folder, and with a suffix or a closing slash."""
    return set(re.findall(r"(?<![\w/.~$*-])((?:[\w.-]+/)+(?:[\w-]+\.(?:c|h|py|am|md|conf|1|5))?)(?![\w/*-])", text))


@pytest.mark.parametrize("document", ["docs/architecture.md", "README.md", "CONTRIBUTING.md"])
def test_documents_name_only_files_that_exist(document):
    names = named_files((TOP / document).read_text())
    assert names
    missing = [name for name in names if not any((TOP / base / name).exists() for base in ("", "src", "docs"))]
    assert not missing


def test_map_in_main_names_every_folder_and_only_files_that_exist():
    comment = map_comment()
    for folder in FOLDERS:
        assert folder.removeprefix("src/") + "/" in comment, folder
    assert not [name for name in named_files(comment) if not any((TOP / base / name).exists() for base in ("", "src"))]


def test_relative_links_lead_somewhere():
    broken = []
    for page in [*TOP.glob("*.md"), *TOP.glob("docs/*.md"), *TOP.glob("tests/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(TOP)}: {target}")
    assert not broken


def test_includes_never_lead_upwards_or_sideways():
    wrong = []
    for path in sources(".c", ".h"):
        folder = path.parent.name
        for other in re.findall(r'^#include "([\w-]+)/', path.read_text(), re.M):
            if other != folder and other not in BELOW[folder]:
                wrong.append(f"{path.relative_to(TOP)} includes {other}/")
    assert not wrong


@pytest.mark.parametrize("folder", FOLDERS + ["tests/unit", "tests/fuzz"])
def test_build_lists_every_source(folder):
    listed = set(re.findall(re.escape(folder) + r"/([\w-]+\.[ch])", (TOP / folder / "local.am").read_text()))
    present = {path.name for path in (TOP / folder).iterdir() if path.suffix in (".c", ".h")}
    assert listed == present


def test_every_header_is_guarded_by_its_path():
    for path in sources(".h"):
        name = "PENSTOCK_" + re.sub(r"\W", "_", f"{path.parent.name}/{path.name}").upper()
        assert f"#ifndef {name}\n#define {name}\n" in path.read_text(), path


def test_nothing_is_left_for_later():
    words = ["TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK", "not (?:yet )?imple" "mented", "place" "holder"]
    pattern = re.compile(r"\b(?:" + "|".join(words) + r")\b")
    tracked = subprocess.run(["git", "ls-files", "*.c", "*.h", "*.py", "*.am", "*.md", "*.1", "*.5", "quickstart", "tests/run"],
                             cwd=TOP, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a clone")
    found = [f"{name}: {m[0]}" for name in tracked.stdout.split() if (TOP / name).exists()
             for m in pattern.finditer((TOP / name).read_text(errors="replace"))]
    assert not found


MADE_BY_BOOTSTRAP = {"aclocal.m4", "configure", "config.h.in", "Makefile.in"}


def test_tarball_is_the_tree():
    build = Path(PENSTOCK).resolve().parent
    tracked = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True)
    if tracked.returncode or not (build / "Makefile").exists():
        pytest.skip("not a clone, or not built by make")
    subprocess.run(["make", "-s", "-C", str(build), "distdir"], check=True, capture_output=True, timeout=100)
    folder = next(build.glob("penstock-*.*/configure")).parent
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.parent.name != "build-aux"}
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    shutil.rmtree(folder)
    assert files - MADE_BY_BOOTSTRAP == {name for name in tracked.stdout.split() if (TOP / name).exists()}


def test_manual_has_every_key_as_the_program_knows_it():
    """`docs/keys.py` writes both lists."""
    result = subprocess.run([sys.executable, str(TOP / "docs/keys.py"), "--check", PENSTOCK], capture_output=True, text=True, timeout=20)
    assert result.returncode == 0, result.stdout + result.stderr


def test_manual_has_every_subcommand_and_option_that_help_prints():
    help_text = penstock("--help").stdout
    manual = (TOP / "docs/penstock.1").read_text().replace("\\-", "-")
    commands = re.findall(r"^ {2,4}([a-z]+)\b", help_text, re.M)
    assert "serve" in commands
    for command in commands:
        assert re.search(rf"\b{command}\b", manual), command
        for option in re.findall(r"--[a-z][a-z-]+", penstock(command, "--help").stdout):
            assert option in manual, f"{command} {option}"


def test_manual_has_every_type_of_event():
    types = {found for path in (TOP / "src/control").glob("*.c")
             for found in re.findall(r'"((?:endpoint|pool|load_balancer|tunnel|config|certificate|alert)\.[a-z_]+)"', path.read_text())}
    assert "tunnel.inactive" in types
    manual = (TOP / "docs/penstock.1").read_text()
    assert not [name for name in sorted(types) if not re.search(rf"^{re.escape(name)}\t", manual, re.M)]


@pytest.mark.parametrize("page", ["docs/penstock.1", "docs/penstock.conf.5"])
def test_manual_pages_are_sound_roff(page):
    if not shutil.which("groff"):
        pytest.skip("needs groff")
    result = subprocess.run(["groff", "-man", "-t", "-ww", "-z", "-Kutf8", str(TOP / page)], capture_output=True, text=True, timeout=60)
    assert result.stderr == ""


def test_scripts_are_sound_shell():
    if not shutil.which("shellcheck"):
        pytest.skip("needs shellcheck")
    scripts = ["bootstrap", "quickstart", "tests/run", "tests/lib.sh", ".ci/run"]
    result = subprocess.run(["shellcheck", *scripts], cwd=TOP, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout
