"""Keep what the long tests measured: one line for each bar, on the screen at the end, and in a file that
`docs/reliability.md` and `docs/paid-calls.md` take their tables from.

`python -m tests.fault.figures` shows the newest figure of each bar; with `--write` it puts them into the pages. The
cells of the crash matrix are added up by class, and in the second page by class and point.
"""

import argparse
import json
import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / ".heddle" / "reliability.jsonl"
PAGE = ROOT / "docs" / "reliability.md"
MATRIX_PAGE = ROOT / "docs" / "paid-calls.md"
BEGIN, END = "<!-- begin figures -->", "<!-- end figures -->"
# What is counted in each cell of the crash matrix.
COUNTED = (
    "kills", "purchases", "payments", "duplicates", "duplicates_at_least_once", "made_again_after_forgotten", "lost",
    "unknown_left",
)  # fmt: skip
SHOWN: list[str] = []
Test = TypeVar("Test", bound=Callable[..., None])


def is_full() -> bool:
    """Tell whether the bars' own lengths are asked for (`make test-fault FULL=1`)."""
    return os.environ.get("FAULT_FULL") == "1"


def scaled(*, short: int, full: int) -> int:
    """Give how much of something to do: a taste of it inside `make test`, or what the bar says."""
    return full if is_full() else short


def in_form(*, full: bool) -> Callable[[Test], Test | None]:
    """Keep a test of the form that was asked for; the other form has tests of its own."""
    return lambda test: test if is_full() is full else None


def note(bar: str, *, seed: int, broken: Sequence[str] = (), **measured: Any) -> None:
    """Keep the figures of one bar, and show them in one line. ``broken``: what did not hold."""
    shown = " ".join(f"{name}={_shown(value)}" for name, value in measured.items())
    line = f"{bar} {'full' if is_full() else 'short'} seed={seed} {shown}{' BROKEN' if broken else ''}"
    print(f"figure {line}")
    SHOWN.append(line)
    entry = {
        "bar": bar, "is_full": is_full(), "seed": seed, "measured": measured, "broken": list(broken),
        "at": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("a") as file:
        file.write(json.dumps({**entry, "machine": machine()}) + "\n")


def held(bar: str) -> Mapping[str, Any] | None:
    """Give what was measured of a bar at its own length when nothing was broken, for a run that goes on
    where another ended (FAULT_RESUME=1); None: it has to be measured.
    """
    if os.environ.get("FAULT_RESUME") != "1":
        return None
    entry = _newest().get((bar, True))
    return None if entry is None or entry.get("broken") else entry["measured"]


def machine() -> str:
    """Describe this machine in one line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {system}"


def _shown(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _newest() -> dict[tuple[str, bool], dict[str, Any]]:
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    return {(entry["bar"], entry["is_full"]): entry for entry in map(json.loads, lines)}


def table(shown_before: str = "") -> str:
    """Give the newest figure of each bar and length as a table. ``shown_before``: a table of figures, of which those
    that this file does not have are kept: they were measured elsewhere.
    """
    rows = {
        (cells[1], cells[2]): line
        for line in shown_before.splitlines()
        if len(cells := [cell.strip() for cell in line.split("|")]) > 2 and cells[2] in ("full", "short")
    }
    entries = {key: entry for key, entry in _newest().items() if "point" not in entry["measured"]}
    for (kind,), cells in _cells(lambda measured: (measured["kind"],)).items():
        entries[f"B3 {kind}", True] = {**cells[-1], "measured": _added(cells)}
    for (bar, is_long), entry in entries.items():
        length = "full" if is_long else "short"
        shown = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in entry["measured"].items())
        broken = "; ".join(["", *entry.get("broken", ())])
        where = f"{entry['at']}, {entry['machine']}"
        rows[bar, length] = f"| {bar} | {length} | {shown}{broken} | {entry['seed']} | {where} |"
    heads = ["| Bar | Length | Figures | Seed | When, where |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*heads, *(rows[key] for key in sorted(rows, key=lambda key: (int(key[0].split()[0][1:]), key)))])


def matrix(before: str = "") -> str:
    """Give the newest figures of the crash matrix as a table, one row for each class and point; ``before``, which was
    measured elsewhere, when nothing of it was measured here.
    """
    if before and not _cells(lambda measured: (measured["kind"],)):
        return before.strip()
    heads = ("Class", "Point", "Sellers", *(name.replace("_", " ").capitalize() for name in COUNTED))
    rows = [f"| {' | '.join(heads)} |", f"| --- | --- |{' ---: |' * (1 + len(COUNTED))}"]
    for (kind, point), cells in _cells(lambda measured: (measured["kind"], measured["point"])).items():
        added = _added(cells)
        shown = " | ".join(str(added[name]) for name in COUNTED)
        rows.append(f"| {kind} | {point} | {len(cells)} | {shown} |")
    return "\n".join(rows)


def _cells(key: Callable[[Mapping[str, Any]], tuple[str, ...]]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for (_, is_long), entry in sorted(_newest().items()):
        if is_long and "point" in entry["measured"]:
            found.setdefault(key(entry["measured"]), []).append(entry)
    return dict(sorted(found.items()))


def _added(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    measured = [cell["measured"] for cell in cells]
    return {
        "cells": len(cells),
        **{name: sum(each[name] for each in measured) for name in COUNTED},
        "deaths_of_workers": sum(each["deaths"] for each in measured),
        "recovered_late": sum(each["recovered_late"] for each in measured),
        "longest_lease_of_the_dead_s": max(each["recovered_max_s"] for each in measured),
    }


def _put(page: pathlib.Path, write: Callable[[str], str]) -> None:
    head, rest = page.read_text().split(BEGIN)
    before, tail = rest.split(END)
    page.write_text(f"{head}{BEGIN}\n\n{write(before)}\n\n{END}{tail}")


def main() -> int:
    """Show the table, or write it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.figures")
    parser.add_argument("--write", action="store_true", help="put the tables into the pages of docs/")
    given = parser.parse_args()
    print(table(), matrix(), sep="\n\n")
    if given.write:
        _put(PAGE, table)
        _put(MATRIX_PAGE, matrix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
