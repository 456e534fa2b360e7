#!/usr/bin/env python3
"""The manual's list of keys, written from what the program knows.

    docs/keys.py --check PENSTOCK   says which keys the manual has otherwise than the program
    docs/keys.py --write PENSTOCK   puts the program's list between the marks of both documents

PENSTOCK is the program; `penstock check --keys` prints a line for each key: path, type, default, range, help, separated by tabs.
"""

import argparse
import difflib
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
Key = namedtuple("Key", "path type default range help")


def read_keys(program):
    result = subprocess.run([program, "check", "--keys"], capture_output=True, text=True, timeout=20, check=True)
    keys = [Key(*line.split("\t")) for line in result.stdout.splitlines()]
    if not keys:
        sys.exit(f"{program} check --keys printed nothing")
    return keys


def groups(keys):
    """The keys by the group they stand in, in the order in which the groups begin."""
    result = {}
    for key in keys:
        head, dot, _ = key.path.rpartition(".")
        result.setdefault(head if dot else "", []).append(key)
    return result


# --- Markdown ---

def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def code(text):
    return f"`{text}`" if text else ""


def markdown(keys):
    lines = []
    for group, members in groups(keys).items():
        lines += [f"### `{group}`" if group else "### At the top", "", "| key | type | default | range | meaning |", "| --- | --- | --- | --- | --- |"]
        for key in members:
            name = key.path.rpartition(".")[2]
            lines.append("| " + " | ".join([code(name), cell(key.type), cell(key.default), cell(key.range), cell(key.help)]) + " |")
        lines.append("")
    return lines


# --- roff ---

def roff_escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(cq").replace("^", "\\(ha").replace("~", "\\(ti")
    return "\\&" + text if text.startswith(".") else text


def roff(keys):
    lines = []
    for key in keys:
        notes = [key.type]
        if key.default:
            notes.append(key.default if key.default == "required" else f"default: {key.default}")
        if key.range:
            notes.append(key.range)
        lines += [".TP", f"\\fB{roff_escape(key.path)}\\fR ({roff_escape('; '.join(notes))})", roff_escape(key.help)]
    return lines


DOCUMENTS = [
    (HERE / "configuration.md", "<!-- keys: begin -->", "<!-- keys: end -->", markdown),
    (HERE / "penstock.conf.5", '.\\" keys: begin', '.\\" keys: end', roff),
]


def split(path, begin, end):
    """Lines before the list, in it, and after it."""
    lines = path.read_text(encoding="utf-8").split("\n")
    first, last = lines.index(begin), lines.index(end)
    return lines[:first + 1], lines[first + 1:last], lines[last:]


def check(keys):
    good = True
    for path, begin, end, render in DOCUMENTS:
        _, written, _ = split(path, begin, end)
        difference = list(difflib.unified_diff(written, render(keys), path.name, "the program", lineterm="", n=0))
        if difference:
            good = False
            print("\n".join(difference))
    if not good:
        print("The manual's keys are not the program's: run docs/keys.py --write PENSTOCK")
    return good


def write(keys):
    for path, begin, end, render in DOCUMENTS:
        before, _, after = split(path, begin, end)
        path.write_text("\n".join(before + render(keys) + after), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", metavar="PENSTOCK")
    what.add_argument("--write", metavar="PENSTOCK")
    arguments = parser.parse_args()
    keys = read_keys(arguments.check or arguments.write)
    if arguments.write:
        write(keys)
    return 0 if arguments.write or check(keys) else 1


if __name__ == "__main__":
    sys.exit(main())
